"""Routes: they send the batches of one set to the node of a cluster that owns the set's slot.

The companion keys of a set share its slot, so that each batch is for one node. It is sent packed,
over connections that redset keeps for that node, as to a single server.

What happens to the cluster (a slot has moved, a node is gone, another one took over) is for the
client to learn: if a batch could not be delivered, the client's own method asks for the key, and by
its own rules learns of the nodes, or raises its error. Then the batch is sent again. A request that
is sent twice has an id by which the server answers it once.
"""

import time
from collections.abc import Sequence
from typing import Any

from redset._protocol import client_errors, commands
from redset._protocol.commands import Command
from redset._protocol.keys import companion, slot_of
from redset._support.forks import PerProcess
from redset._transport import compat
from redset._transport.attempts import Attempts
from redset._transport.pinned import PinnedConnections, pinned_connections_for
from redset._transport.subscription import evict_one
from redset._transport.through_client import send_through


class SlotRoute:
    """The way to the node that owns the slot of *key*, over a synchronous client of a cluster."""

    def __init__(self, client: Any, key: bytes) -> None:
        self._client, self._slot = client, slot_of(key)
        self._original = compat.original_execute(client)
        self._probe = [commands.reach_owner(companion(key, "fence"))]
        self._is_read_only = compat.reads_from_replicas(client)
        # The client of the node that was used last, and its pinned connections: one object, as
        # several threads may replace it.
        self._last: tuple[Any, PerProcess[PinnedConnections] | None] = (None, None)
        compat.make_cluster_reentrant(client)

    @property
    def node_name(self) -> str | None:
        """The name of the node that owns the slot; ``None`` if the client knows of none."""
        node = compat.node_of_slot(self._client, self._slot)
        return None if node is None else str(node.name)

    def send(self, batch: Sequence[Command[Any]]) -> list[Any]:
        """Send *batch* in one write; return its replies, errors among them."""
        client = self._client
        if self._is_observed(len(batch)):
            return self._send_by_client(Attempts(client, batch))
        try:
            replies = self._call(compat.client_of_slot(client, self._slot), batch)
        except Exception as error:
            attempts = Attempts(client, batch)
            attempts.failed(error)
            return self._send_again(attempts)
        for reply in replies:
            if isinstance(reply, Exception) and client_errors.is_redirection(reply):
                attempts = Attempts(client, batch)
                attempts.answered(replies)
                return self._send_again(attempts)
        return replies

    def try_call(self, packed: bytes) -> bool:
        """Send one command if a healthy connection is idle, as `PinnedConnections.try_call`."""
        if not compat.is_untouched(self._client, self._original):
            return False
        node = compat.used_client_of_slot(self._client, self._slot)
        pinned = None if node is None else pinned_connections_for(node)
        return pinned is not None and pinned.get().try_call(packed)

    def _call(self, node: Any, batch: Sequence[Command[Any]]) -> list[Any]:
        """Send *batch* to the client of a *node*; return the replies, undecoded."""
        last, pinned = self._last
        if node is not last:
            pinned = pinned_connections_for(node)
            self._last = node, pinned
        if pinned is None:
            return send_through(node, batch)
        if self._is_read_only:
            around = [commands.READWRITE, *batch, commands.READONLY]
            packed = [command.packed() for command in around]
            return pinned.get().call_all(node, packed, evict_one)[1:-1]
        if len(batch) == 1:
            return [pinned.get().call(node, batch[0].packed(), evict_one)]
        return pinned.get().call_all(node, [command.packed() for command in batch], evict_one)

    def _send_again(self, attempts: Attempts) -> list[Any]:
        try:
            self._attempt(attempts)
        except Exception as error:
            attempts.end(error)
        return attempts.replies

    def _attempt(self, attempts: Attempts) -> None:
        client = self._client
        while not attempts.is_over:
            time.sleep(attempts.pause())
            before = attempts.redirection
            node = None
            if before is not None and client_errors.is_ask(before):
                node = compat.client_of_redirection(client, before)
            if node is None and attempts.must_learn:
                self._learn()
                attempts.check()
            if attempts.may_go_by_client and self._is_observed(len(attempts.unanswered)):
                self._send_by_client(attempts)  # an observer came in between
                return
            try:
                if node is not None:
                    replies = attempts.permitted(self._call(node, attempts.asked))
                else:
                    replies = self._call(
                        compat.client_of_slot(client, self._slot), attempts.unanswered
                    )
            except Exception as error:
                attempts.failed(error)
            else:
                attempts.answered(replies)

    def _learn(self) -> None:
        """Let the client learn which node has the slot; raise its error if it can't."""
        try:
            [reply] = send_through(self._client, self._probe)
        except Exception as error:
            if not client_errors.is_moving(error):
                raise
            return
        if isinstance(reply, Exception) and client_errors.is_denied(reply):
            # Any node refuses it, before it looks at the key.
            compat.ask_for_nodes(self._client)

    def _is_observed(self, number: int) -> bool:
        """Return whether the client's own methods, observed or changed, send *number* commands."""
        client = self._client
        return not compat.is_untouched(client, self._original) or (
            number > 1 and not compat.pipeline_is_untouched(client)
        )

    def _send_by_client(self, attempts: Attempts) -> list[Any]:
        """Send what is open by the client's own methods, which are observed or changed."""
        while True:
            try:
                replies = self._send_once(attempts.unanswered)
            except Exception as error:
                if len(attempts.unanswered) > 1 or not client_errors.is_moving(error):
                    raise
                replies = [error]
            attempts.answered(replies)
            if attempts.is_over or not attempts.is_moving:
                return attempts.replies
            time.sleep(attempts.pause())

    def _send_once(self, batch: Sequence[Command[Any]]) -> list[Any]:
        if not self._is_read_only:
            return send_through(self._client, batch)
        sent = [commands.from_master(command) for command in batch]
        replies = send_through(self._client, sent)
        for place in denied_places(batch, sent, replies):
            [replies[place]] = send_through(self._client, [batch[place]])
        return replies


def denied_places(
    batch: Sequence[Command[Any]], sent: Sequence[Command[Any]], replies: Sequence[Any]
) -> list[int]:
    """Return the places of commands that were *sent* in another form, which the account may not.

    It has no right to scripts that may write: then what it reads comes from any node.
    """
    return [
        place
        for place, reply in enumerate(replies)
        if isinstance(reply, Exception)
        and client_errors.is_denied(reply)
        and sent[place] is not batch[place]
    ]
