"""Routes for asyncio: see `redset._transport.cluster`, whose rules hold here too."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from redset._protocol import client_errors, commands
from redset._protocol.commands import Command
from redset._protocol.keys import slot_of
from redset._transport import compat
from redset._transport.cluster import Pauses, is_undelivered
from redset._transport.node_pools import NodeClient, client_of_node
from redset._transport.pipeliner import Pipeliner, pipeliner_for
from redset._transport.through_client import check_transaction


class AsyncSlotRoute:
    """The way to the node that owns the slot of *key*, over an asyncio client of a cluster."""

    def __init__(self, client: Any, key: bytes, *, pipelining: bool) -> None:
        self._client, self._slot, self._pipelining = client, slot_of(key), pipelining
        self._original = compat.original_execute(client)
        # What sends through the client's own methods.
        self._by_client = pipeliner_for(client, pipelining)

    @property
    def cancelled_after_send(self) -> int:
        """The number of batches that were sent for tasks that were cancelled since."""
        used = [self._by_client, *self._pipeliners().values()]
        return sum([each.cancelled_after_send for each in used])

    def send_soon(self, client: Any, batch: Sequence[Command[Any]]) -> None:
        """Send *batch* without waiting for replies, if the loop still runs; from any thread."""
        node = compat.node_of_slot(client, self._slot)
        pipeliner = None if node is None else self._pipeliners().get(node.name)
        if pipeliner is not None:
            pipeliner.send_soon(client_of_node(client, node), batch)

    async def send(self, _client: Any, batch: Sequence[Command[Any]]) -> list[Any]:
        """Send *batch* in one write; return its replies, errors among them."""
        replies = await self._fast(batch)
        if replies is None:
            replies = await self._through_client(batch)
            return await self._settled(batch, replies, client_errors.is_moving)
        for reply in replies:
            if isinstance(reply, Exception) and client_errors.is_redirection(reply):
                check_transaction(batch)
                return await self._settled(batch, replies, client_errors.is_redirection)
        return replies

    async def _fast(
        self, batch: Sequence[Command[Any]], asked: Exception | None = None
    ) -> list[Any] | None:
        """Send *batch* to the slot's node, or to that of *asked*; ``None`` if the client has to."""
        client = self._client
        if not compat.is_untouched(client, self._original):
            return None
        try:
            if asked is None:
                node = compat.node_of_slot(client, self._slot)
                return None if node is None else await self._call(node, batch)
            node = compat.node_of_redirection(client, asked)
            # The permission is for one command.
            allowed = [word for command in batch for word in (commands.ASKING, command)]
            return None if node is None else (await self._call(node, allowed))[1::2]
        except Exception as error:
            if not is_undelivered(error):
                raise
            return None

    async def _call(self, node: Any, batch: Sequence[Command[Any]]) -> list[Any]:
        pipeliners, target = self._pipeliners(), client_of_node(self._client, node)
        known = pipeliners.get(node.name)
        if known is None:
            known = pipeliners[node.name] = Pipeliner(self._pipelining, NodeClient.execute_command)
        return await known.send(target, batch)

    def _pipeliners(self) -> dict[str, Pipeliner]:
        name = f"pipeliners_{self._pipelining}"
        return compat.shared_by_client(self._client, name, dict[str, Pipeliner])

    async def _through_client(self, batch: Sequence[Command[Any]]) -> list[Any]:
        try:
            return await self._by_client.send(self._client, batch)
        except Exception as error:
            if len(batch) == 1 and client_errors.is_moving(error):
                return [error]
            raise

    async def _settled(
        self,
        batch: Sequence[Command[Any]],
        replies: Sequence[Any],
        is_open: Callable[[Exception], bool],
    ) -> list[Any]:
        """Return *replies*, and for those that are *is_open* the replies to further attempts."""
        return [
            await self._redirected(command, reply)
            if isinstance(reply, Exception) and is_open(reply)
            else reply
            for command, reply in zip(batch, replies, strict=True)
        ]

    async def _redirected(self, command: Command[Any], reply: Any) -> Any:
        """Return the reply to *command*, whose first *reply* sent it to another node."""
        pauses = Pauses()
        while isinstance(reply, Exception) and client_errors.is_redirection(reply):
            if pauses.are_over:
                break
            found: list[Any] | None = None
            if client_errors.is_moving(reply):
                await asyncio.sleep(pauses.next())
                found = await self._fast([command])
            elif client_errors.is_ask(reply):
                found = await self._fast([command], reply)
            if found is not None:
                [reply] = found
                continue
            [reply] = await self._through_client([command])
            if not (isinstance(reply, Exception) and client_errors.is_moving(reply)):
                break
        return reply
