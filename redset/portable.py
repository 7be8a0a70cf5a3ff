"""A client on its way to another process: its settings travel, its connections don't."""

import pickle
from typing import Any
from weakref import WeakValueDictionary

from redset.exceptions import InvalidTypeError

# What a pool keeps among its settings but makes anew for itself.
OWN_STATE = {"himport_registry", "maint_notifications_pool_handler", "event_dispatcher"}

_clients: WeakValueDictionary[bytes, Any] = WeakValueDictionary()


class PortableClient:
    """Pickles as the settings of *client*; unpickled, gives one client of the process for them."""

    def __init__(self, client: Any) -> None:
        self.client = client

    def __reduce__(self) -> tuple[Any, ...]:
        pool = getattr(self.client, "connection_pool", None)
        if pool is None or type(pool).__name__ not in {"ConnectionPool", "BlockingConnectionPool"}:
            raise InvalidTypeError(
                f"redset: a set over {type(self.client).__name__} can't be pickled, as its client "
                "is more than one pool of connections; make the client in the other process"
            )
        # A bare object() is a default that is compared by identity, so a copy would mislead.
        options = {
            name: value
            for name, value in pool.connection_kwargs.items()
            if name not in OWN_STATE and type(value) is not object
        }
        options["max_connections"] = pool.max_connections
        settings = (type(self.client), type(pool), pool.connection_class, options)
        try:
            return _reopen, (pickle.dumps(settings),)
        except Exception as error:
            raise InvalidTypeError(
                f"redset: the client's settings can't be pickled: {error}; "
                "make the client in the other process"
            ) from error


def _reopen(settings: bytes) -> PortableClient:
    client = _clients.get(settings)
    if client is None:
        kind, pool, connection_class, options = pickle.loads(settings)
        client = kind(connection_pool=pool(connection_class=connection_class, **options))
        _clients[settings] = client
    return PortableClient(client)
