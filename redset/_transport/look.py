"""Looks: one transaction reads the state of sets and asks for a message about their next change.

The server notifies a connection by ``CLIENT TRACKING``. It needs no setting on the server, and the
keys need not exist. The server sends one message, for the next change of exactly these keys: a busy
key, or another key with the same prefix, costs a subscriber nothing. No I/O.
"""

import math
from collections.abc import Sequence
from typing import Any

from redset._protocol import client_errors
from redset._protocol.keys import wake_channel
from redset._protocol.outlook import Outlook

Words = tuple[Any, ...]

CHANNEL = b"__redis__:invalidate"
# What the server sends while a look is read, and is not one of its replies.
_MESSAGES = (b"message", b"unsubscribe", b"sunsubscribe")


class NoSubscriptionError(Exception):
    """The consumer can't be notified of changes now."""


class NeverSubscribesError(NoSubscriptionError):
    """The consumer can't be notified of changes, and another try would fail too."""


def handshake(protocol: str) -> list[Words]:
    """Return the commands before the first `Look` of a connection; the last reply is its id."""
    # In RESP2, messages come as those of a channel, which every parser can read.
    return [("HELLO", 2), ("CLIENT", "ID")] if protocol == "3" else [("CLIENT", "ID")]


class Look:
    """A transaction that reads for *outlooks* and requests a message for the next change of *keys*.

    These are the keys of the sets of each outlook. No change is lost between the two steps. No I/O:
    send `words` in one write, then `feed` replies and messages as they come, until it returns
    ``True``. *connection_id* is passed in the first look of a connection: the server then sends the
    messages to that connection.
    """

    def __init__(
        self,
        keys: Sequence[bytes],
        outlooks: Sequence[Outlook],
        connection_id: int | None = None,
        *,
        follows_slot: bool = False,
    ) -> None:
        # In RESP2, a connection that is subscribed can't send commands that read.
        begin: list[Words] = [("UNSUBSCRIBE",), *([("SUNSUBSCRIBE",)] if follows_slot else [])]
        if connection_id is not None:
            begin = [("CLIENT", "TRACKING", "ON", "REDIRECT", connection_id, "OPTIN")]
        self._outlooks = outlooks
        self._of_leases = [outlook.of_leases() for outlook in outlooks]
        self._of_items = [outlook.of_items() for outlook in outlooks]
        inside: list[Words] = [
            *(command.words for each in self._of_leases for command in each),
            # The server sends messages for keys that are read from here on: the sets, but not
            # their leases.
            ("CLIENT", "CACHING", "YES"),
            *(command.words for each in self._of_items for command in each),
            ("SUBSCRIBE", CHANNEL),
            # One command for each channel: a command with several channels has several replies.
            *(("SUBSCRIBE", wake_channel(key)) for key in keys),
        ]
        self.words: list[Words] = [*begin, ("MULTI",), *inside, ("EXEC",)]
        if follows_slot:
            # A node takes back the subscription to a channel of a slot that moves away from it.
            self.words.append(("SSUBSCRIBE", wake_channel(keys[0])))
        # MULTI and each command in it have a reply, and so has CLIENT TRACKING. (S)UNSUBSCRIBE is
        # answered by messages, which are not counted.
        self._awaited = len(inside) + 2 + (connection_id is not None)
        self._awaits_channel = follows_slot
        # Whether the server tells if the slot moves.
        self.is_told = False
        self._error: Exception | None = None
        self._results: list[Any] = []

    def feed(self, reply: Any) -> bool:
        """Take the next reply or message; return whether the look is complete."""
        if isinstance(reply, list) and reply and reply[0] in _MESSAGES:
            return False  # a message of an earlier change: this look reads the state after it
        if self._awaited:
            self._awaited -= 1
            if isinstance(reply, Exception):
                self._error = self._error or reply
            else:
                self._results = reply  # the last one is the reply of EXEC
        else:
            self._awaits_channel = False
            # Before Redis 7, slots have no channels, and an account may have no right to them.
            self.is_told = not isinstance(reply, Exception)
            if isinstance(reply, Exception) and client_errors.is_redirection(reply):
                self._error = self._error or reply
        if self._awaited or self._awaits_channel:
            return False
        if self._error is not None:
            raise self._error
        return True

    def found(self) -> list[tuple[int, float]]:
        """Return the result of `Outlook.read` for each outlook."""
        replies = iter(self._results)
        leases = [[next(replies) for _ in each] for each in self._of_leases]
        if isinstance(caching := next(replies), Exception):
            raise caching  # the connection's tracking was switched off
        found = []
        for outlook, of_leases, of_items, about_leases in zip(
            self._outlooks, self._of_leases, self._of_items, leases, strict=True
        ):
            answers = [*about_leases, *(next(replies) for _ in of_items)]
            if any(isinstance(answer, Exception) for answer in answers):
                found.append((1, math.inf))  # the consumer's request raises the same error
                continue
            commands = [*of_leases, *of_items]
            parsed = [one.parse(answer) for one, answer in zip(commands, answers, strict=True)]
            found.append(outlook.read(parsed))
        return found


def is_change(message: Any) -> bool:
    """Return whether *message* is for a change of a key, not for a new deadline of a lease."""
    return bool(message[1] == CHANNEL)


def check_slot(message: Any) -> None:
    """Raise `NoSubscriptionError` if *message* says that the slot moved to another node."""
    if isinstance(message, list) and message[0] == b"sunsubscribe":
        raise NoSubscriptionError("the slot of the keys moved to another node")
