"""The nodes of a cluster, as its client knows them."""

from typing import Any

from redset._protocol import client_errors
from redset._transport.compat.kinds import is_asyncio, is_cluster, pool_of
from redset._transport.compat.pools import close_idle_connections, make_lock_reentrant


def make_cluster_reentrant(client: Any) -> None:
    """Let a signal handler use a cluster's *client*, in the middle of another of its calls."""
    for guarded in (client, client.nodes_manager):
        make_lock_reentrant(guarded)


def client_of_slot(client: Any, slot: int) -> Any:
    """Return the client of the node that owns *slot*, as far as a cluster's *client* knows.

    Raise the client's error if it knows of none.
    """
    node = node_of_slot(client, slot)
    if node is None:
        node = client.nodes_manager.get_node_from_slot(slot)  # raises the client's error
    used = _used_client(node)
    return client_of_node(client, node) if used is None else used


def used_client_of_slot(client: Any, slot: int) -> Any:
    """Return what `client_of_slot` does if it was used before, else ``None``: for finalizers."""
    node = node_of_slot(client, slot)
    return None if node is None else _used_client(node)


def _used_client(node: Any) -> Any:
    # The libraries have different names for it. It is made when it is first needed.
    found = vars(node)
    return found.get("redis_connection") or found.get("valkey_connection")


def client_of_node(client: Any, node: Any) -> Any:
    """Return the client of one *node* of a synchronous cluster's *client*."""
    name = "redis" if hasattr(node, "redis_connection") else "valkey"
    return getattr(client, f"get_{name}_connection")(node)


def node_of_redirection(client: Any, reply: Any) -> Any:
    """Return the node that *reply* (ASK) names; ``None`` if it names no address.

    A node that is new in the cluster has no slots yet, so that the *client* has not heard of it. It
    belongs to the client from now on, which closes its connections.
    """
    manager = client.nodes_manager
    host, port = reply.host, reply.port
    if not host:
        return None
    if hasattr(manager, "remap_host_port"):
        host, port = manager.remap_host_port(host, port)
    known = client.get_node(host=host, port=port)
    if known is not None:
        return known
    [kind] = {type(node) for node in manager.nodes_cache.values()}
    options = manager.connection_kwargs if is_asyncio(client) else {}
    node = kind(host, port, "primary", **options)
    return manager.nodes_cache.setdefault(node.name, node)


def client_of_redirection(client: Any, reply: Any) -> Any:
    """Return the client of the node that *reply* (ASK) names; ``None`` if it isn't known."""
    node = node_of_redirection(client, reply)
    return None if node is None else client_of_node(client, node)


def node_clients(client: Any) -> list[Any]:
    """Return the clients of those nodes that a synchronous cluster's *client* has used."""
    used = map(_used_client, list(client.nodes_manager.nodes_cache.values()))
    return [each for each in used if each is not None]


def node_of_slot(client: Any, slot: int) -> Any:
    """Return the node that owns *slot*, as far as a cluster's *client* knows.

    ``None`` if it knows of none. While it asks the cluster again, its nodes are those of before: if
    one of them doesn't answer, the sets of the others need not wait.
    """
    # What the client's own method returns, which takes a lock and may raise an error.
    try:
        return client.nodes_manager.slots_cache[slot][0]
    except (KeyError, IndexError, TypeError):
        return None


def reads_from_replicas(client: Any) -> bool:
    """Return whether a cluster's *client* sends commands that only read to replicas, too."""
    names = ("read_from_replicas", "load_balancing_strategy")
    return any(getattr(client, name, None) for name in names)


def ask_for_nodes(client: Any) -> Any:
    """Let a cluster's *client* ask for its nodes and their slots now.

    For an asyncio client, returns an awaitable.
    """
    return client.nodes_manager.initialize()


def is_closed(client: Any) -> bool:
    """Return whether an asyncio cluster's *client* was closed, or never used.

    If a node's connection is opened without the client's knowledge, the client doesn't close it.
    """
    if hasattr(client, "_closed"):
        return is_ended(client)
    # After a failure, too, it is to ask for its nodes again, but has a default one.
    return client._initialize and client.nodes_manager.default_node is None


def is_ended(client: Any) -> bool:
    """Return whether *client* was closed and can't be used again, as valkey-py's of a cluster."""
    return getattr(client, "_closed", False) is True


async def connection_of_node(node: Any) -> Any:
    """Acquire a connection of *node*, of an asyncio cluster's client; it is checked."""
    connection = node.acquire_connection()
    try:
        await connection.connect()
        if await _has_data(connection):  # or the server closed it
            await connection.disconnect()
            await connection.connect()
    except BaseException:
        await connection.disconnect(nowait=True)
        release_to_node(node, connection)
        raise
    return connection


async def _has_data(connection: Any) -> bool:
    can_read = getattr(connection, "can_read", None) or connection.can_read_destructive
    try:
        return bool(await can_read())
    except Exception as error:
        if isinstance(error, OSError) or client_errors.is_client_error(error):
            return True
        raise


def release_to_node(node: Any, connection: Any) -> None:
    """Return *connection* to its *node*, of an asyncio cluster's client."""
    release = getattr(node, "release", None)
    if release is None:  # before version 6
        node._free.append(connection)
    else:
        release(connection)


def connections_in_use_of_node(node: Any) -> list[Any]:
    """Return the connections of *node* that calls are using."""
    return [each for each in node._connections if each not in node._free]


def abandon_connection_of_node(node: Any, connection: Any) -> None:
    """Let *node* make another connection in the place of *connection*, which stays in use."""
    node._connections.remove(connection)


def idle_connections_of_node(node: Any) -> Any:
    """Return the connections of *node* that no call is using."""
    return node._free


def close_half_read(client: Any) -> None:
    """Close every connection of *client* that may have been left in the middle of a reply."""
    if getattr(client, "connection", None) is not None:
        client.connection.disconnect()
    elif pool_of(client) is not None:
        close_idle_connections(pool_of(client))
    elif is_cluster(client) and not is_asyncio(client):
        for each in node_clients(client):
            close_idle_connections(pool_of(each))
