"""Addresses and settings of a client, also for such a client in another process."""

import inspect
import sys
from typing import Any, cast

from redset._protocol.client_errors import library_of
from redset._transport.compat.kinds import (
    has_single_connection,
    is_asyncio,
    is_cluster,
    pool_of,
)
from redset._transport.compat.observers import provider_of


def address_of(client: Any) -> dict[str, Any]:
    """Return host, port, path and database of *client*, as far as its pool has them."""
    options = pool_of(client).connection_kwargs
    address = {name: options.get(name) for name in ("host", "port", "path")}
    return address | {"db": options.get("db") or 0}


def read_timeout_of(client: Any) -> float | None:
    """Return for how many seconds connections of *client* wait for a reply; ``None``: no limit."""
    if is_cluster(client):
        settings = getattr(client, "connection_kwargs", client.nodes_manager.connection_kwargs)
        return cast("float | None", settings.get("socket_timeout"))
    pool = pool_of(client)
    options = getattr(pool, "connection_kwargs", {})
    if "socket_timeout" in options:
        return cast("float | None", options["socket_timeout"])
    kinds: tuple[Any, ...] = getattr(pool, "connection_class", object).__mro__
    for kind in kinds:
        found = inspect.signature(kind.__init__).parameters.get("socket_timeout")
        if found is not None:
            return found.default if isinstance(found.default, int | float) else None
    return None


# Settings of a pool that each pool makes for itself.
_OWN_STATE = {"himport_registry", "maint_notifications_pool_handler", "event_dispatcher"}


def portable_settings(client: Any) -> tuple[type, type, type, dict[str, Any]] | None:
    """Return the settings for such a client in another process; ``None`` if they aren't all known.

    That is so for a client without a plain pool, with a single connection, or of a class with an
    ``__init__`` of its own.
    """
    pool = pool_of(client)
    if pool is None or type(pool).__name__ not in {"ConnectionPool", "BlockingConnectionPool"}:
        return None
    # The pool doesn't say what a class of the user's was made with, or what a single connection
    # has selected.
    maker = provider_of(type(client), "__init__")
    if has_single_connection(client) or maker is None or library_of(maker) is None:
        return None
    # A bare object() is a default that is compared by identity, so a copy would be a wrong value.
    options = {
        name: value
        for name, value in pool.connection_kwargs.items()
        if name not in _OWN_STATE and type(value) is not object
    }
    options["max_connections"] = pool.max_connections
    for name in ("timeout", "queue_class"):  # of a BlockingConnectionPool
        if hasattr(pool, name):
            options[name] = getattr(pool, name)
    return type(client), type(pool), pool.connection_class, options


# Settings of a cluster's client that each client makes for itself.
_OWN_OF_CLUSTER = {
    *_OWN_STATE,
    *("redis_connect_func", "valkey_connect_func", "parser_class", "response_callbacks"),
    *("oss_cluster_maint_notifications_handler", "host", "port", "retry"),
}
# Settings that only the client has, not its nodes.
_ONLY_OF_CLUSTER = ("read_from_replicas", "reinitialize_steps", "retry", "load_balancing_strategy")


def portable_cluster_settings(client: Any) -> tuple[type, list[tuple[str, int]], dict[str, Any]]:
    """Return the class, the addresses and the options for such a client of a cluster elsewhere."""
    kind, manager = type(client), client.nodes_manager
    known = inspect.signature(kind.__init__).parameters
    takes_any = not is_asyncio(client)
    options = {
        name: value
        for name, value in getattr(client, "connection_kwargs", manager.connection_kwargs).items()
        if name not in _OWN_OF_CLUSTER
        and type(value) is not object
        and (name in known or takes_any)
    }
    for name in _ONLY_OF_CLUSTER:
        if name in known and (value := getattr(client, name, None)):
            options[name] = value
    nodes = [*manager.nodes_cache.values(), *manager.startup_nodes.values()]
    return kind, list(dict.fromkeys([(node.host, node.port) for node in nodes])), options


def open_cluster(kind: type, addresses: list[tuple[str, int]], options: dict[str, Any]) -> Any:
    """Make the client of a cluster whose settings `portable_cluster_settings` returned."""
    provider = provider_of(kind, "execute_command")
    node = vars(sys.modules[provider.__module__ if provider else kind.__module__])["ClusterNode"]
    return kind(startup_nodes=[node(host, port) for host, port in addresses], **options)
