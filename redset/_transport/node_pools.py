"""Node pools: the nodes of an asyncio cluster's client, in the shape of a client with a pool.

The client keeps the connections of each node itself, with no pool. What redset does with a pool
(pipelining, subscriptions) is done here with the node's own connections.
"""

from collections.abc import Iterator
from typing import Any

from redset._transport import compat


class NodeConnectionsInUse:
    """The connections of a *node* that calls are using, as a pool has them."""

    def __init__(self, node: Any) -> None:
        self._node = node

    def __iter__(self) -> Iterator[Any]:
        return iter(compat.connections_in_use_of_node(self._node))

    def discard(self, connection: Any) -> None:
        """Let the node make another connection in the place of *connection*."""
        compat.abandon_connection_of_node(self._node, connection)


class NodePool:
    """The connections of one node: the part of a pool that redset uses."""

    def __init__(self, node: Any) -> None:
        self.node = node
        self.max_connections: int = node.max_connections
        self.connection_class: type = node.connection_class
        self._in_use_connections = NodeConnectionsInUse(node)

    @property
    def _available_connections(self) -> Any:
        return compat.idle_connections_of_node(self.node)

    async def get_connection(self) -> Any:
        """Acquire a connection, which is checked."""
        return await compat.connection_of_node(self.node)

    async def release(self, connection: Any) -> None:
        """Return *connection* to the node."""
        compat.release_to_node(self.node, connection)


class NodeClient:
    """One node of a cluster, as `redset._transport.pipeliner.Pipeliner` sends to it."""

    def __init__(self, node: Any, *, is_read_only: bool) -> None:
        self.connection_pool = NodePool(node)
        # Whether its connections are READONLY, as the client reads from replicas, too.
        self.is_read_only = is_read_only


def client_of_node(client: Any, node: Any) -> NodeClient:
    """Return the one `NodeClient` of a *node* of an asyncio cluster's *client*."""
    # A node has no attributes of its own, so that the client keeps them.
    nodes: dict[str, NodeClient] = compat.shared_by_client(client, "nodes", dict)
    known = nodes.get(node.name)
    if known is None or known.connection_pool.node is not node:
        is_read_only = compat.reads_from_replicas(client)
        known = nodes[node.name] = NodeClient(node, is_read_only=is_read_only)
    return known
