"""What kind of client it is: of which library, of a server or a cluster, with a pool or not."""

import importlib
import inspect
from typing import Any
from weakref import WeakKeyDictionary

from redset._protocol.client_errors import LIBRARIES, library_of

# An option of `execute_command` that disables the decoding of one reply.
RAW = {"NEVER_DECODE": True}

_exceptions: WeakKeyDictionary[type, Any] = WeakKeyDictionary()


def exceptions_of(instance: object) -> Any:
    """Return the module of the exceptions that *instance*, of either library, raises."""
    kind = type(instance)
    known = _exceptions.get(kind)
    if known is None:
        libraries = [library_of(base) for base in kind.__mro__]
        library = next((name for name in libraries if name), LIBRARIES[0])
        known = _exceptions[kind] = importlib.import_module(f"{library}.exceptions")
    return known


def is_cluster(client: Any) -> bool:
    """Return whether *client* speaks to a cluster: keys must share a slot to be used together."""
    return hasattr(client, "nodes_manager")


def is_asyncio(client: Any) -> bool:
    """Return whether the methods of *client* are awaited."""
    if inspect.iscoroutinefunction(inspect.unwrap(client.execute_command)):
        return True
    modules = tuple(f"{library}.asyncio" for library in LIBRARIES)
    return any(kind.__module__.startswith(modules) for kind in type(client).__mro__)


def is_multi_database(client: Any) -> bool:
    """Return whether *client* switches between databases that don't share their data at once."""
    return any(kind.__name__ == "MultiDBClient" for kind in type(client).__mro__)


def pool_of(client: Any) -> Any:
    """Return the pool of *client*, ``None`` for a client that is more than a pool."""
    return getattr(client, "connection_pool", None)


def has_single_connection(client: Any) -> bool:
    """Return whether *client* sends all its commands over one connection of its own.

    An asyncio client opens it with its first command.
    """
    opened = getattr(client, "connection", None) is not None
    return opened or bool(getattr(client, "single_connection_client", False))


def has_cache(client: Any) -> bool:
    """Return whether *client* answers reads from a cache of its own, decoded or not."""
    return getattr(pool_of(client), "cache", None) is not None
