"""Routes: they send the batches of one set to the node of a cluster that owns the set's slot.

The companion keys of a set share its slot, so that each batch is for one node. It is sent packed,
over connections that redset keeps for that node, as to a single server.

What happens to the cluster (a slot has moved, a node is gone, another one took over) is for the
client to learn: if a batch could not be delivered, the client's own method asks for the key, and by
its own rules learns of the nodes, or raises its error. Then the batch is sent again. A request that
is sent twice has an id by which the server answers it once.

There is one exception. Clients give up within half a second if the keys of one command are being
moved from one node to another, as all scripts with several keys are refused until the slot has
moved. Here they are repeated for longer.
"""

import time
from collections.abc import Sequence
from typing import Any

from redset._protocol import client_errors, commands
from redset._protocol.commands import Command
from redset._protocol.keys import slot_of
from redset._support.clock import monotonic
from redset._support.forks import PerProcess
from redset._transport import compat
from redset._transport.pinned import PinnedConnections, pinned_connections_for
from redset._transport.subscription import evict_one
from redset._transport.through_client import send_through

# How long a command is repeated that is refused because its slot is moving.
MOVING_SECONDS = 15.0
FIRST_PAUSE, LONGEST_PAUSE = 0.005, 0.1
# How often a batch is sent to a node that replies that it doesn't have the slot, or can't serve it.
MAX_REFUSALS = 5


class Attempts:
    """What one batch was answered so far, and what is to be done next. No I/O.

    A transaction is refused or executed as a whole, and repeated as a whole, and so is a batch with
    what confirms it. Of other batches, the refused commands are repeated.
    """

    def __init__(self, client: Any, batch: Sequence[Command[Any]]) -> None:
        self._client, self._batch = client, batch
        self._is_whole = commands.MULTI in batch or any(command.confirms for command in batch)
        self._places = list(range(len(batch)))
        self.replies: list[Any] = [None] * len(batch)
        # The last reply that was a redirection; ``None`` if the last attempt had no replies.
        self.redirection: Exception | None = None
        self._refusals = self._failures = 0
        self._error: Exception | None = None
        self._until = 0.0
        self._pause = FIRST_PAUSE

    @property
    def unanswered(self) -> list[Command[Any]]:
        """The commands that have no final reply."""
        return [self._batch[place] for place in self._places]

    @property
    def is_moving(self) -> bool:
        """True if the last attempt was refused because the slot is about to move."""
        return self.redirection is not None and client_errors.is_moving(self.redirection)

    @property
    def is_uncertain(self) -> bool:
        """True if an attempt had no reply: its node may have done what was asked."""
        return self._failures > 0

    @property
    def asked(self) -> list[Command[Any]]:
        """The open commands for the node that an ASK names, each of which needs a permission.

        A transaction needs one.
        """
        found: list[Command[Any]] = []
        in_transaction = False
        for command in self.unanswered:
            if not in_transaction:
                found.append(commands.ASKING)
            found.append(command)
            begins, ends = command is commands.MULTI, commands.ends_transaction(command)
            in_transaction = (in_transaction or begins) and not ends
        return found

    def permitted(self, replies: Sequence[Any]) -> list[Any]:
        """Return those of *replies* to `asked` that are for the open commands."""
        pairs = zip(self.asked, replies, strict=True)
        return [reply for command, reply in pairs if command is not commands.ASKING]

    def failed(self, error: Exception) -> None:
        """Note that an attempt had no replies; raise *error* if another one would be in vain."""
        if not is_undelivered(error):
            raise error
        self._error, self.redirection = error, None
        self._failures += 1

    def check(self) -> None:
        """Raise the last error if the client would not try again. It has learned of the nodes."""
        if self._error is not None and self._failures > compat.retries_of_cluster(self._client):
            raise self._error

    def answered(self, replies: Sequence[Any]) -> bool:
        """Take the *replies* to the open commands; return whether all are final."""
        redirected = []
        for place, reply in zip(self._places, replies, strict=True):
            self.replies[place] = reply
            if isinstance(reply, Exception) and client_errors.is_redirection(reply):
                redirected.append(place)
        if not redirected:
            return True
        self.redirection = redirection = self.replies[redirected[0]]
        if not self._is_whole:
            self._places = redirected
        if self.is_moving or client_errors.is_ask(redirection):
            # The owner names the other node, and that one asks to wait, until the slot has moved.
            self._until = self._until or monotonic() + MOVING_SECONDS
            return monotonic() > self._until
        self._refusals += 1
        return self._refusals >= MAX_REFUSALS

    def pause(self) -> float:
        """Return for how many seconds to wait before the next attempt."""
        if not self.is_moving:
            return 0.0
        pause, self._pause = self._pause, min(2 * self._pause, LONGEST_PAUSE)
        return pause


def is_undelivered(error: Exception) -> bool:
    """Return whether a batch that failed with *error* may be delivered by another attempt."""
    return client_errors.is_client_error(error) and not client_errors.is_exhausted(error)


class SlotRoute:
    """The way to the node that owns the slot of *key*, over a synchronous client of a cluster."""

    def __init__(self, client: Any, key: bytes) -> None:
        self._client, self._slot = client, slot_of(key)
        self._original = compat.original_execute(client)
        self._probe = [commands.exists(key)]
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
        if not compat.is_untouched(client, self._original) or (
            len(batch) > 1 and not compat.pipeline_is_untouched(client)
        ):
            return self._send_by_client(batch)
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
        if len(batch) == 1:
            return [pinned.get().call(node, batch[0].packed(), evict_one)]
        return pinned.get().call_all(node, [command.packed() for command in batch], evict_one)

    def _send_again(self, attempts: Attempts) -> list[Any]:
        client = self._client
        while True:
            time.sleep(attempts.pause())
            before = attempts.redirection
            node = None
            if before is not None and client_errors.is_ask(before):
                node = compat.client_of_redirection(client, before)
            if node is None and not attempts.is_moving:
                self._learn()
                attempts.check()
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
                if attempts.answered(replies):
                    return attempts.replies

    def _learn(self) -> None:
        """Let the client learn which node has the slot; raise its error if it can't."""
        try:
            send_through(self._client, self._probe)
        except Exception as error:
            if not client_errors.is_moving(error):
                raise

    def _send_by_client(self, batch: Sequence[Command[Any]]) -> list[Any]:
        """Send *batch* by the client's own methods, which are observed or changed."""
        attempts = Attempts(self._client, batch)
        while True:
            try:
                replies = send_through(self._client, attempts.unanswered)
            except Exception as error:
                if len(attempts.unanswered) > 1 or not client_errors.is_moving(error):
                    raise
                replies = [error]
            if attempts.answered(replies) or not attempts.is_moving:
                return attempts.replies
            time.sleep(attempts.pause())
