"""Async connection: sends batches of commands to an asyncio client's server."""

from collections.abc import Coroutine, Sequence
from typing import Any

from redset._protocol import commands
from redset._protocol.commands import Command
from redset._support.words import shown
from redset._transport import compat
from redset._transport.async_cluster import AsyncSlotRoute
from redset._transport.async_subscription import AsyncKeySubscription
from redset._transport.connection import (
    is_async,
    known_run_id,
    parsed,
    run_ids,
    same_address,
    unknown_server,
    without_script,
)
from redset._transport.pipeliner import pipeliner_for
from redset.exceptions import InvalidTypeError


class AsyncClientConnection:
    """An `AsyncConnection` over an asyncio client of redis-py or valkey-py.

    The *key* is one of those that the connection is for, all of which are in one cluster slot.
    """

    def __init__(self, client: Any, key: bytes | None = None, *, pipelining: bool = True) -> None:
        self.client = client
        self._sender = (
            pipeliner_for(client, pipelining)
            if key is None or not self.is_cluster
            else AsyncSlotRoute(client, key, pipelining=pipelining)
        )

    @property
    def is_cluster(self) -> bool:
        """True if the keys of one command must share a cluster slot."""
        return compat.is_cluster(self.client)

    @property
    def cancelled_after_send(self) -> int:
        """The number of batches that this client sent for tasks that were cancelled since."""
        return self._sender.cancelled_after_send

    async def execute(self, batch: Sequence[Command[Any]]) -> list[Any]:
        """Send *batch* as `redset._transport.connection.ClientConnection.execute` does."""
        replies = await self._send(batch)
        if len(batch) == 1 and not isinstance(reply := replies[0], Exception):
            return [batch[0].parse(reply)]
        for reply in replies:
            if isinstance(reply, Exception):
                return parsed(batch, await self._with_scripts(batch, replies))
        return [command.parse(reply) for command, reply in zip(batch, replies, strict=True)]

    async def _with_scripts(self, batch: Sequence[Command[Any]], replies: list[Any]) -> list[Any]:
        missing = without_script(batch, replies)
        if missing:
            again = await self._send([batch[place].with_source() for place in missing])
            for place, reply in zip(missing, again, strict=True):
                replies[place] = reply
        return replies

    def execute_soon(self, batch: Sequence[Command[Any]]) -> None:
        """Send *batch* without waiting for replies, if the loop still runs; from any thread."""
        self._sender.send_soon(self.client, batch)

    def subscribe(self, keys: tuple[bytes, ...]) -> AsyncKeySubscription:
        """Return a subscription that is notified when any of *keys* changes."""
        return AsyncKeySubscription(self.client, keys)

    def _send(self, batch: Sequence[Command[Any]]) -> Coroutine[Any, Any, list[Any]]:
        return self._sender.send(self.client, batch)


async def same_server(one: AsyncClientConnection, other: AsyncClientConnection) -> bool:
    """Return what `redset._transport.connection.same_server` does."""
    known = same_address(one, other)
    return await _run_id(one) == await _run_id(other) if known is None else known


async def _run_id(connection: AsyncClientConnection) -> str:
    client = connection.client
    pool, known = compat.pool_of(client), known_run_id(client)
    if known is None:
        try:
            [known] = await AsyncClientConnection(client).execute([commands.server_info()])
        except Exception as error:
            known = unknown_server(error)
        run_ids[pool] = compat.known_master(client), known
    return known


def check_async_client(name: str, client: Any) -> Any:
    """Return *client* if it can serve an asynchronous set; else raise an error."""
    if not is_async(name, client, "redis.asyncio.Redis()"):
        raise InvalidTypeError(
            f"redset {shown(name)}: redis_client is a synchronous client "
            f"({type(client).__name__}); "
            "this set needs an asyncio one such as redis.asyncio.Redis()"
        )
    return client
