"""Asyncio clients of the test server, as the environment asks for them, and what they write.

They live as long as the event loop that they are used in: make them inside the coroutine that a
test runs with ``asyncio.run``.
"""

import asyncio
import importlib
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from typing import Any

import pytest

from tests.cluster_clients import is_cluster, make_cluster_client
from tests.server.conftest import Count, cluster_address, server_address
from tests.servers import TestServer

LIBRARY = os.environ.get("REDSET_TEST_CLIENT", "redis")


def make(server: TestServer, **options: Any) -> Any:
    """A client of *server*; options are those of the client's class."""
    settings: dict[str, Any] = {
        "protocol": int(os.environ.get("REDSET_TEST_PROTOCOL", "2")),
        "decode_responses": os.environ.get("REDSET_TEST_DECODE", "0") == "1",
    }
    if "connection_pool" not in options:
        address = cluster_address(server, options)
        if address is not None:
            return make_cluster_client(LIBRARY, is_asyncio=True, **(settings | address | options))
        settings |= server_address(server, options)
    kind = getattr(importlib.import_module(f"{LIBRARY}.asyncio"), LIBRARY.capitalize())
    return kind(**(settings | options))


@asynccontextmanager
async def connected(server: TestServer, **options: Any) -> AsyncIterator[Any]:
    """A client of *server* that is closed in the end; every connection must be back by then."""
    client = make(server, **options)
    try:
        if is_cluster(client):
            # It would ask for the cluster's nodes with its first calls, which are counted.
            await client.initialize()
        yield client
        await all_given_back(client)
    finally:
        await client.aclose()


async def all_given_back(client: Any) -> None:
    """Wait until no connection is in use, however long that takes."""
    while is_lent(client):
        await asyncio.sleep(0.001)


def is_lent(client: Any) -> bool:
    """Whether a connection of *client* is in use."""
    if not is_cluster(client):
        return bool(client.connection_pool._in_use_connections)
    return any(len(node._free) < len(node._connections) for node in client.get_nodes())


def library_exceptions() -> Any:
    return importlib.import_module(f"{LIBRARY}.exceptions")


@contextmanager
def counted_writes() -> Iterator[Count]:
    """Count what all asyncio clients write: one write, one round trip; handshakes are not."""
    connection = importlib.import_module(f"{LIBRARY}.asyncio.connection").AbstractConnection
    count = Count()
    shaking_hands: ContextVar[bool] = ContextVar("shaking_hands", default=False)
    send, on_connect = connection.send_packed_command, "on_connect"
    if hasattr(connection, "on_connect_check_health"):
        on_connect = "on_connect_check_health"
    shake_hands = getattr(connection, on_connect)

    async def counted_send(self: Any, command: Any, check_health: bool = True) -> Any:
        # The first write on a new socket connects from within, hence: written, then counted.
        result = await send(self, command, check_health)
        # A cluster's client of valkey-py sends all its commands without a check of the connection.
        is_check = not check_health and b"PING" in b"".join(command)
        count.value += not is_check and not shaking_hands.get()
        return result

    async def uncounted_handshake(self: Any, *args: Any, **options: Any) -> Any:
        token = shaking_hands.set(True)
        try:
            return await shake_hands(self, *args, **options)
        finally:
            shaking_hands.reset(token)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(connection, "send_packed_command", counted_send)
        patch.setattr(connection, on_connect, uncounted_handshake)
        yield count
