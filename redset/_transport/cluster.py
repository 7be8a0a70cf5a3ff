"""Routes: they send the batches of one set to the node of a cluster that owns the set's slot.

The companion keys of a set share its slot, so that each batch is for one node. It is sent packed,
over connections that redset keeps for that node, as to a single server.

What happens to the cluster (a slot has moved, a node is gone, another one took over) is for the
client to learn: whatever the fast way could not deliver is sent again through the client's own
methods, by its own rules. A request that redset sends twice has an id by which the server answers
it once. There is one exception. Clients give up within half a second if the keys of one command are
being moved from one node to another, as all scripts with several keys are refused until the slot
has moved. Here they are repeated for longer.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

from redset._protocol import client_errors, commands
from redset._protocol.commands import Command
from redset._protocol.keys import slot_of
from redset._support.forks import PerProcess
from redset._transport import compat
from redset._transport.pinned import PinnedConnections, pinned_connections_for
from redset._transport.through_client import check_transaction, send_through
from redset._transport.watch import evict_one

# How long a command is repeated that is refused because its slot is moving.
MOVING_SECONDS = 15.0
FIRST_PAUSE, LONGEST_PAUSE = 0.005, 0.1


class Pauses:
    """The pauses between attempts to run a command whose slot is moving."""

    def __init__(self) -> None:
        self._until = time.monotonic() + MOVING_SECONDS
        self._next = FIRST_PAUSE

    @property
    def are_over(self) -> bool:
        """True if there was time enough."""
        return time.monotonic() > self._until

    def next(self) -> float:
        """Return the seconds until the next attempt."""
        pause, self._next = self._next, min(2 * self._next, LONGEST_PAUSE)
        return pause


def is_undelivered(error: Exception) -> bool:
    """Return whether the client may still deliver a batch, after the fast way raised *error*."""
    return client_errors.is_client_error(error) and not client_errors.is_exhausted(error)


class SlotRoute:
    """The way to the node that owns the slot of *key*, over a synchronous client of a cluster."""

    def __init__(self, client: Any, key: bytes) -> None:
        self._client, self._slot = client, slot_of(key)
        self._original = compat.original_execute(client)
        # The client of the node that was used last, and its pinned connections: one object, as
        # several threads may replace it.
        self._last: tuple[Any, PerProcess[PinnedConnections] | None] = (None, None)
        compat.make_cluster_reentrant(client)

    def send(self, batch: Sequence[Command[Any]]) -> list[Any]:
        """Send *batch* in one write; return its replies, errors among them."""
        replies = self._fast(batch)
        if replies is None:
            return self._settled(batch, self._by_client(batch), client_errors.is_moving)
        for reply in replies:
            if isinstance(reply, Exception) and client_errors.is_redirection(reply):
                check_transaction(batch)
                return self._settled(batch, replies, client_errors.is_redirection)
        return replies

    def _fast(
        self, batch: Sequence[Command[Any]], asked: Exception | None = None
    ) -> list[Any] | None:
        """Send *batch* to the slot's node, or to that of *asked*; ``None`` if the client has to."""
        client = self._client
        if not compat.is_untouched(client, self._original):
            return None
        if len(batch) > 1 and not compat.pipeline_is_untouched(client):
            return None
        try:
            if asked is None:
                node = compat.client_of_slot(client, self._slot)
                return self._call(node, [command.packed() for command in batch])
            node = compat.client_of_redirection(client, asked)
            # The permission is for one command.
            packed = [word.packed() for command in batch for word in (commands.ASKING, command)]
            replies = None if node is None else self._call(node, packed)
            return None if replies is None else replies[1::2]
        except Exception as error:
            if not is_undelivered(error):
                raise
            return None

    def _call(self, node: Any, packed: list[bytes]) -> list[Any] | None:
        """Send *packed* commands to the client of a *node*; return the replies, undecoded."""
        last, pinned = self._last
        if node is not last:
            pinned = pinned_connections_for(node)
            self._last = node, pinned
        if pinned is None:
            return None
        if len(packed) == 1:
            return [pinned.get().call(node, packed[0], evict_one)]
        return pinned.get().call_all(node, packed, evict_one)

    def _by_client(self, batch: Sequence[Command[Any]]) -> list[Any]:
        try:
            return send_through(self._client, batch)
        except Exception as error:
            if len(batch) == 1 and client_errors.is_moving(error):
                return [error]
            raise

    def _settled(
        self,
        batch: Sequence[Command[Any]],
        replies: Sequence[Any],
        is_open: Callable[[Exception], bool],
    ) -> list[Any]:
        """Return *replies*, and for those that are *is_open* the replies to further attempts."""
        return [
            self._redirected(command, reply)
            if isinstance(reply, Exception) and is_open(reply)
            else reply
            for command, reply in zip(batch, replies, strict=True)
        ]

    def _redirected(self, command: Command[Any], reply: Any) -> Any:
        """Return the reply to *command*, whose first *reply* sent it to another node."""
        pauses = Pauses()
        while isinstance(reply, Exception) and client_errors.is_redirection(reply):
            if pauses.are_over:
                break
            found: list[Any] | None = None
            if client_errors.is_moving(reply):
                time.sleep(pauses.next())
                found = self._fast([command])
            elif client_errors.is_ask(reply):
                found = self._fast([command], reply)
            if found is not None:
                [reply] = found
                continue
            [reply] = self._by_client([command])
            if not (isinstance(reply, Exception) and client_errors.is_moving(reply)):
                break
        return reply
