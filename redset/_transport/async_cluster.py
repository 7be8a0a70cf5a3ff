"""Routes for asyncio: see `redset._transport.cluster`, whose rules hold here too."""

import asyncio
from collections.abc import Sequence
from typing import Any

from redset._protocol import client_errors, commands
from redset._protocol.commands import Command
from redset._protocol.keys import companion, slot_of
from redset._transport import compat
from redset._transport.attempts import Attempts
from redset._transport.cluster import denied_places
from redset._transport.node_pools import client_of_node
from redset._transport.pipeliner import Pipeliner, pipeliner_for


class AsyncSlotRoute:
    """The way to the node that owns the slot of *key*, over an asyncio client of a cluster."""

    def __init__(self, client: Any, key: bytes, *, pipelining: bool) -> None:
        self._client, self._slot, self._pipelining = client, slot_of(key), pipelining
        self._original = compat.original_execute(client)
        self._probe = [commands.reach_owner(companion(key, "fence"))]
        # What sends through the client's own methods.
        self._by_client = pipeliner_for(client, pipelining)
        # The number of batches whose task was cancelled between two attempts.
        self._cancelled = 0
        self._is_read_only = compat.reads_from_replicas(client)

    @property
    def cancelled_after_send(self) -> int:
        """The number of batches that were sent for tasks that were cancelled since."""
        used = [self._by_client, *self._pipeliners().values()]
        return self._cancelled + sum([each.cancelled_after_send for each in used])

    def send_soon(self, client: Any, batch: Sequence[Command[Any]]) -> None:
        """Send *batch* without waiting for replies, if the loop still runs; from any thread."""
        if not compat.is_untouched(client, self._original):
            self._by_client.send_soon(client, batch)
            return
        node = compat.node_of_slot(client, self._slot)
        pipeliner = None if node is None else self._pipeliners().get(node.name)
        if pipeliner is not None and not self._is_closed():
            pipeliner.send_soon(client_of_node(client, node), batch)

    async def send(self, _client: Any, batch: Sequence[Command[Any]]) -> list[Any]:
        """Send *batch* in one write; return its replies, errors among them."""
        client = self._client
        node = compat.node_of_slot(client, self._slot)
        if not compat.is_untouched(client, self._original) or (
            len(batch) > 1 and not compat.pipeline_is_untouched(client)
        ):
            return await self._send_by_client(Attempts(client, batch))
        if node is None or self._is_closed():
            return await self._send_again(Attempts(client, batch))
        try:
            replies = await self._call(node, batch)
        except Exception as error:
            attempts = Attempts(client, batch)
            attempts.failed(error)
            return await self._send_again(attempts)
        for reply in replies:
            if isinstance(reply, Exception) and client_errors.is_redirection(reply):
                attempts = Attempts(client, batch)
                attempts.answered(replies)
                return await self._send_again(attempts)
        return replies

    async def _call(self, node: Any, batch: Sequence[Command[Any]]) -> list[Any]:
        pipeliners, target = self._pipeliners(), client_of_node(self._client, node)
        known = pipeliners.get(node.name)
        if known is None:
            known = pipeliners[node.name] = Pipeliner(self._pipelining, None, packs=True)
        return await known.send(target, batch)

    async def _send_again(self, attempts: Attempts) -> list[Any]:
        try:
            await self._attempt(attempts)
        except asyncio.CancelledError:
            self._cancelled += attempts.is_uncertain
            raise
        except Exception as error:
            attempts.end(error)
        return attempts.replies

    async def _attempt(self, attempts: Attempts) -> None:
        client = self._client
        while not attempts.is_over:
            await asyncio.sleep(attempts.pause())
            before = attempts.redirection
            node = None
            if before is not None and client_errors.is_ask(before):
                node = compat.node_of_redirection(client, before)
            if node is None and attempts.must_learn:
                await self._learn()
                attempts.check()
            if attempts.may_go_by_client and not compat.is_untouched(client, self._original):
                await self._send_by_client(attempts)  # an observer came in between
                return
            try:
                if node is not None:
                    replies = attempts.permitted(await self._call(node, attempts.asked))
                else:
                    owner = client.nodes_manager.get_node_from_slot(self._slot)
                    replies = await self._call(owner, attempts.unanswered)
            except Exception as error:
                attempts.failed(error)
            else:
                attempts.answered(replies)

    async def _learn(self) -> None:
        """Let the client learn which node has the slot; raise its error if it can't."""
        client = self._client
        if compat.node_of_slot(client, self._slot) is None or self._is_closed():
            # Several commands at once can't be the first ones of a client: it does this once. If
            # the task that began it is cancelled, others may wait for it.
            await asyncio.shield(asyncio.ensure_future(client.initialize()))
            if compat.node_of_slot(client, self._slot) is not None:
                return
        troubles = self._troubles()
        troubles.add(self._slot)
        try:
            [reply] = await self._by_client.send(self._client, self._probe)
        except Exception as error:
            if not client_errors.is_moving(error):
                raise
        else:
            if isinstance(reply, Exception) and client_errors.is_denied(reply):
                # Any node refuses it, before it looks at the key.
                await compat.ask_for_nodes(self._client)
        troubles.discard(self._slot)

    def _is_closed(self) -> bool:
        """Return whether the user closed the client: it is to be opened before it is used again."""
        # Before version 7, redis-py's closes itself while a node doesn't answer, until it has
        # learned of the nodes again. The sets of other nodes need not wait for that.
        return compat.is_closed(self._client) and not self._troubles()

    def _troubles(self) -> set[int]:
        """Return the slots for which the client could not learn yet which node has them."""
        return compat.shared_by_client(self._client, "troubles", set[int])

    async def _send_by_client(self, attempts: Attempts) -> list[Any]:
        """Send what is open by the client's own methods, which are observed or changed."""
        while True:
            try:
                replies = await self._send_once(attempts.unanswered)
            except Exception as error:
                if len(attempts.unanswered) > 1 or not client_errors.is_moving(error):
                    raise
                replies = [error]
            attempts.answered(replies)
            if attempts.is_over or not attempts.is_moving:
                return attempts.replies
            await asyncio.sleep(attempts.pause())

    async def _send_once(self, batch: Sequence[Command[Any]]) -> list[Any]:
        client = self._client
        if not self._is_read_only:
            return await self._by_client.send(client, batch)
        sent = [commands.from_master(command) for command in batch]
        replies = await self._by_client.send(client, sent)
        for place in denied_places(batch, sent, replies):
            [replies[place]] = await self._by_client.send(client, [batch[place]])
        return replies

    def _pipeliners(self) -> dict[str, Pipeliner]:
        name = f"pipeliners_{self._pipelining}"
        return compat.shared_by_client(self._client, name, dict[str, Pipeliner])
