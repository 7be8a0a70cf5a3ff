"""Attempts: what a batch for one slot of a cluster was answered, and what to send next. No I/O.

Clients give up within half a second if the keys of one command are being moved from one node to
another, as all scripts with several keys are refused until the slot has moved. Here they are
repeated for longer.
"""

from collections.abc import Sequence
from typing import Any, cast

from redset._protocol import client_errors, commands
from redset._protocol.commands import Command
from redset._protocol.replies import fewest
from redset._support.clock import monotonic
from redset._transport import compat

# How long a command is repeated that is refused because its slot is moving.
MOVING_SECONDS = 15.0
FIRST_PAUSE, LONGEST_PAUSE = 0.005, 0.1
# How often a batch is sent to a node that replies that it doesn't have the slot, or can't serve it.
MAX_REFUSALS = 5


class Attempts:
    """What one batch was answered so far, and what is to be done next. No I/O.

    A command that has a final reply is not sent again. The exception is a transaction: it is
    refused or executed as a whole, and repeated as a whole.

    What confirms changes speaks only for the node of its own attempt, so it is sent with each
    attempt. If a node makes a change, but refuses to confirm it, only the confirmation is sent
    again: a node that a slot is leaving refuses keys that it doesn't have, such as that of a fence.
    """

    def __init__(self, client: Any, batch: Sequence[Command[Any]]) -> None:
        self._client, self._batch = client, batch
        self._is_transaction = commands.MULTI in batch
        # What confirms the others, and how many these are.
        self._confirming = [command for command in batch if command.confirms]
        self._number = len(batch) - len(self._confirming)
        # The places of the commands that have no final reply, of those that confirm nothing.
        self._places = list(range(self._number))
        # What still has to confirm changes, each with another fence. A batch may also only ask
        # whether the server can confirm.
        self._fences = [] if self._places else self._confirming[:1]
        # What was confirmed of all changes, and the first error of a fence.
        self._confirmed: Any = None
        self._unconfirmed: Exception | None = None
        self.replies: list[Any] = [None] * len(batch)
        # True if there is no point in another attempt.
        self.is_over = False
        # The last reply that was a redirection; ``None`` if the last attempt had no replies.
        self.redirection: Exception | None = None
        # True if a command was executed.
        self.has_results = False
        self._begins_to_confirm = False
        self._refusals = self._failures = 0
        self._error: Exception | None = None
        self._until = 0.0
        self._pause = FIRST_PAUSE

    @property
    def unanswered(self) -> list[Command[Any]]:
        """The commands to send next: those that have no final reply, and what confirms them."""
        if self._places or not self._fences:
            return [*(self._batch[place] for place in self._places), *self._confirming]
        return [self._fences[0], *self._confirming[1:]]

    @property
    def is_moving(self) -> bool:
        """True if the last attempt was refused because the slot is about to move."""
        return self.redirection is not None and client_errors.is_moving(self.redirection)

    @property
    def is_uncertain(self) -> bool:
        """True if a node may have done what was asked, and the caller doesn't know its reply."""
        return self._failures > 0 or self.has_results

    @property
    def may_go_by_client(self) -> bool:
        """True if the client may send what is left by its own methods.

        It refuses to confirm changes, so the caller would not learn of those that may be made.
        """
        return not (self._confirming and self.is_uncertain)

    @property
    def must_learn(self) -> bool:
        """True if the client has to learn which node has the slot, before the next attempt."""
        return not (self.is_moving or self._begins_to_confirm)

    @property
    def asked(self) -> list[Command[Any]]:
        """What to send to the node that an ASK names, where each command needs a permission.

        A transaction needs one, and a command without keys none.
        """
        found: list[Command[Any]] = []
        in_transaction = False
        for command in self.unanswered:
            if not in_transaction and command not in self._confirming[-1:]:
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
        self._error, self.redirection, self._begins_to_confirm = error, None, False
        self._failures += 1

    def check(self) -> None:
        """Raise the last error if the client would not try again. It has learned of the nodes."""
        if self._error is not None and self._failures > compat.retries_of_cluster(self._client):
            raise self._error

    def end(self, error: Exception) -> None:
        """Take *error* for the reply to what confirms the changes, or raise it if some are open.

        The caller is told what was changed, and that nothing confirmed it.
        """
        if self._places or not self.has_results or not client_errors.is_client_error(error):
            raise error
        self._refused(error)
        self.is_over = True

    def answered(self, replies: Sequence[Any]) -> None:
        """Take the *replies* to the last attempt, and decide about the next one."""
        number = len(replies) - len(self._confirming)
        executed: Command[Any] | None = None
        refused = []
        for place, reply in zip(self._places, replies[:number], strict=True):
            self.replies[place] = reply
            if _is_redirection(reply):
                refused.append(place)
            elif executed is None and not isinstance(reply, Exception):
                executed, self.has_results = self._batch[place], True
        fence = None
        if self._confirming:
            fence = self._take_confirmation(executed, *replies[number:])
        self._begins_to_confirm = False
        if not (refused and self._is_transaction):
            self._places = refused
        if refused:
            self._redirected(self.replies[refused[0]])
        elif not self._fences:
            self.is_over = True
        elif fence is None or (number and client_errors.is_ask(fence)):
            # The node that made the change has its key, as far as is known.
            self.redirection, self._begins_to_confirm = None, True
        else:
            self._redirected(fence)
            if self.is_over:
                self._refused(fence)

    def _take_confirmation(
        self, executed: Command[Any] | None, fence: Any, wait: Any
    ) -> Exception | None:
        """Take the replies of the node that *executed* a command, or was only asked to confirm.

        Return the reply to the fence if that was refused.
        """
        is_refused, was_alone = _is_redirection(fence), not self._places
        if executed is not None or (was_alone and not is_refused):
            self._confirmed = wait if self._confirmed is None else fewest(self._confirmed, wait)
            self.replies[self._number :] = [self._unconfirmed, self._confirmed]
        elif not self.has_results:
            self.replies[self._number :] = [fence, wait]
        if is_refused:
            if executed is not None:
                self._fences.append(commands.fence_beside(executed))
            return cast(Exception, fence)
        if was_alone:
            self._fences.pop(0)
        if isinstance(fence, Exception) and (executed is not None or was_alone):
            self._refused(fence)
        return None

    def _refused(self, error: Exception) -> None:
        """Note the *error* of a fence, the first one if there are several."""
        self._unconfirmed = self._unconfirmed or error
        self.replies[self._number] = self._unconfirmed

    def _redirected(self, reply: Exception) -> None:
        self.redirection = reply
        if self.is_moving or client_errors.is_ask(reply):
            # The owner names the other node, and that one asks to wait, until the slot has moved.
            self._until = self._until or monotonic() + MOVING_SECONDS
            self.is_over = monotonic() > self._until
        else:
            self._refusals += 1
            self.is_over = self._refusals >= MAX_REFUSALS

    def pause(self) -> float:
        """Return for how many seconds to wait before the next attempt."""
        if not self.is_moving:
            return 0.0
        pause, self._pause = self._pause, min(2 * self._pause, LONGEST_PAUSE)
        return pause


def _is_redirection(reply: Any) -> bool:
    return isinstance(reply, Exception) and client_errors.is_redirection(reply)


def is_undelivered(error: Exception) -> bool:
    """Return whether a batch that failed with *error* may be delivered by another attempt."""
    return client_errors.is_client_error(error) and not client_errors.is_exhausted(error)
