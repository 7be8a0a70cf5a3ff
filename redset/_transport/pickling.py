"""Pickled clients: a client's settings are sent to another process, its connections are not."""

import pickle
from typing import Any
from weakref import WeakValueDictionary

from redset._transport import compat
from redset.exceptions import InvalidTypeError

_clients: WeakValueDictionary[bytes, Any] = WeakValueDictionary()
# Their pools, as they were made: a client that a program gave another pool has other settings.
_pools: WeakValueDictionary[bytes, Any] = WeakValueDictionary()


class PicklableClient:
    """Pickles as the settings of *client*; unpickles as the process's one client with them."""

    def __init__(self, client: Any) -> None:
        self.client = client

    def __reduce__(self) -> tuple[Any, ...]:
        settings: Any
        if compat.is_cluster(self.client):
            settings = compat.portable_cluster_settings(self.client)
        else:
            settings = compat.portable_settings(self.client)
        if settings is None:
            raise InvalidTypeError(
                f"redset: a set over {type(self.client).__name__} can't be pickled, as its client "
                "is more than a pool of connections with their settings; make the client in the "
                "other process"
            )
        try:
            return _reopen, (pickle.dumps(settings),)
        except Exception as error:
            raise InvalidTypeError(
                f"redset: the client's settings can't be pickled: {error}; "
                "make the client in the other process"
            ) from error


def _reopen(settings: bytes) -> PicklableClient:
    client = _clients.get(settings)
    if (
        client is None
        or compat.is_ended(client)
        or compat.pool_of(client) is not _pools.get(settings)
    ):
        client = _clients[settings] = _open(*pickle.loads(settings))
        if not compat.is_cluster(client):
            _pools[settings] = compat.pool_of(client)
    return PicklableClient(client)


def _open(kind: Any, *settings: Any) -> Any:
    if len(settings) == 2:
        return compat.open_cluster(kind, *settings)
    pool, connection_class, options = settings
    return kind(connection_pool=pool(connection_class=connection_class, **options))
