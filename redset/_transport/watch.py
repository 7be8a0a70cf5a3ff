"""Key subscriptions: learn that a set may hold something to take, without asking again and again.

The server tells: ``CLIENT TRACKING``, whose messages come to the connection that asked for them.
It needs no setting of the server's, and the keys need not exist. Only the next change of exactly
these keys is told, so a busy key, or one whose name only begins alike, costs a subscriber nothing.
After each message a `Look` reads what is there, and asks for the next one, in one transaction.
"""

import contextlib
import logging
import math
import os
import random
import select
import socket
import threading
import time
from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary, WeakValueDictionary

from redset._protocol import client_errors
from redset._protocol.config import WaitForChange
from redset._protocol.constants import RECHECK_SECONDS
from redset._protocol.keys import wake_channel
from redset._protocol.outlook import Outlook
from redset._support.forks import PerProcess, reentrant_lock
from redset._support.words import shown
from redset._transport import compat

Words = tuple[Any, ...]

logger = logging.getLogger("redset")

CHANNEL = b"__redis__:invalidate"
# How often a subscriber looks anyway: a connection may die without a word.
RECHECK_INTERVAL = RECHECK_SECONDS
# How often a consumer asks if nothing tells of changes (a cluster, an account without
# CLIENT TRACKING, a pool without a connection to spare).
POLL_SECONDS = 1.0
# How long the server may take to answer a look.
REPLY_SECONDS = 5.0
# How much later, at random, a consumer looks that was notified for nothing: it doubles each time.
SHORTEST_SECONDS, LONGEST_SECONDS = 0.001, 0.016
# More messages than so many that nobody read are not worth reading.
MAX_UNREAD = 1_000


def handshake(protocol: str) -> list[Words]:
    """Return what a connection says before its first `Look`; the last reply is its number."""
    # In RESP2, messages come as those of a channel, for every parser.
    return [("HELLO", 2), ("CLIENT", "ID")] if protocol == "3" else [("CLIENT", "ID")]


class Look:
    """One transaction: read what *outlooks* want to know, and be told of the next change of *keys*.

    These are the keys of the sets of each outlook. Nothing can change between the two. No I/O: send
    `words` in one write, then `feed` replies and messages as they come, until that says that it was
    the last. *connection_id* is for the first look of a connection, whose messages are to come to
    that connection itself.
    """

    def __init__(
        self,
        keys: Sequence[bytes],
        outlooks: Sequence[Outlook],
        connection_id: int | None = None,
    ) -> None:
        # A connection that listens in RESP2 can't read.
        begin: Words = ("UNSUBSCRIBE",)
        if connection_id is not None:
            begin = ("CLIENT", "TRACKING", "ON", "REDIRECT", connection_id, "OPTIN")
        self._outlooks = outlooks
        self._of_leases = [outlook.of_leases() for outlook in outlooks]
        self._of_items = [outlook.of_items() for outlook in outlooks]
        inside: list[Words] = [
            *(command.words for each in self._of_leases for command in each),
            # Of what is read from here on, changes are told: of the set, not of its leases.
            ("CLIENT", "CACHING", "YES"),
            *(command.words for each in self._of_items for command in each),
            ("SUBSCRIBE", CHANNEL),
            # Each channel by itself: a command that names several has several replies.
            *(("SUBSCRIBE", wake_channel(key)) for key in keys),
        ]
        self.words: list[Words] = [begin, ("MULTI",), *inside, ("EXEC",)]
        # MULTI and each command in it are confirmed, and so is the first command, but
        # UNSUBSCRIBE by messages.
        self._confirmations = len(inside) + 1 + (connection_id is not None)
        self._error: Exception | None = None
        self._results: list[Any] = []

    def feed(self, reply: Any) -> bool:
        """Take the next reply or message; return whether the look is complete."""
        if isinstance(reply, list) and reply and reply[0] in (b"message", b"unsubscribe"):
            return False  # what was told before doesn't matter to the one who is looking now
        if isinstance(reply, Exception):
            self._error = self._error or reply
        else:
            self._results = reply  # the last of them is that of EXEC
        if self._confirmations:
            self._confirmations -= 1
            return False
        if self._error is not None:
            raise self._error
        return True

    def found(self) -> list[tuple[int, float]]:
        """Return what `Outlook.read` makes of the replies, for each outlook."""
        replies = iter(self._results)
        leases = [[next(replies) for _ in each] for each in self._of_leases]
        if isinstance(caching := next(replies), Exception):
            raise caching  # the connection doesn't track any more
        found = []
        for outlook, of_leases, of_items, about_leases in zip(
            self._outlooks, self._of_leases, self._of_items, leases, strict=True
        ):
            answers = [*about_leases, *(next(replies) for _ in of_items)]
            if any(isinstance(answer, Exception) for answer in answers):
                found.append((1, math.inf))  # the ask will be told the same error, and raise it
                continue
            commands = [*of_leases, *of_items]
            parsed = [one.parse(answer) for one, answer in zip(commands, answers, strict=True)]
            found.append(outlook.read(parsed))
        return found


class WakeupBackoff:
    """How long a notified consumer lets others go first.

    All waiting processes are notified of a new item. One that repeatedly finds nothing backs off
    for 1 to 16 ms; one that finds something backs off for less.
    """

    def __init__(self) -> None:
        self._longest = 0.0

    @property
    def is_none(self) -> bool:
        """Whether there is no reason to let others go first."""
        return self._longest == 0.0

    def missed(self) -> None:
        """Note that a consumer was notified for nothing: another was faster."""
        self._longest = min(2 * self._longest + SHORTEST_SECONDS, LONGEST_SECONDS)

    def hit(self) -> None:
        """Note that a notified consumer found something."""
        self._longest = self._longest / 2 if self._longest > 2 * SHORTEST_SECONDS else 0.0

    def seconds(self) -> float:
        """Return how long to wait before the next look."""
        return random.random() * self._longest  # noqa: S311 - no secret


class NoSubscriptionError(Exception):
    """Nothing can tell this consumer of changes now."""


class NeverSubscribesError(NoSubscriptionError):
    """Nothing can tell this consumer of changes, and another try would end like this one."""


def cannot_subscribe(error: BaseException) -> bool:
    """Return whether *error* says that nothing tells of changes.

    Other errors are none of ours: a signal handler may raise any exception while a thread waits.
    """
    ours = isinstance(error, NoSubscriptionError | AttributeError | TypeError)
    return ours or client_errors.is_client_error(error)


def is_refusal(error: BaseException) -> bool:
    """Return whether the server or the client can't tell of changes, now or later."""
    cannot = isinstance(error, NeverSubscribesError | AttributeError | TypeError)
    return cannot or client_errors.is_reply(error)


class Polling:
    """When a consumer asks that nothing tells of changes."""

    def __init__(self) -> None:
        self._polls = False

    def begin(self) -> None:
        """Note that a plan begins, which has not looked yet."""
        self._polls = False

    def pause(self, seconds: float) -> float:
        """Return how long to sleep before the next ask, at most *seconds*.

        Not at all the first time: only that ask tells when the next item will be ready.
        """
        if not self._polls:
            self._polls = True
            return 0.0
        return max(min(seconds, POLL_SECONDS), SHORTEST_SECONDS)


# Until when no connection of a pool is asked to subscribe, as the server refused it.
_refused: PerProcess[WeakKeyDictionary[Any, float]] = PerProcess(WeakKeyDictionary)


def remember_refusal(pool: Any, seconds: float) -> None:
    """Have no consumer of *pool* try to subscribe for so many *seconds*."""
    if pool is not None:
        _refused.get()[pool] = time.monotonic() + seconds


def pool_to_subscribe_with(client: Any) -> Any:
    """Return the pool whose connections may subscribe; ``None`` if none can."""
    # A client that changes commands may call the key by another name.
    return None if compat.renames_keys(client) else compat.pool_of(client)


def check_refusal(pool: Any) -> None:
    """Raise `NoSubscriptionError` if a connection of *pool* can't subscribe."""
    if pool is None:
        raise NoSubscriptionError("no connection of this client can subscribe")
    if time.monotonic() < _refused.get().get(pool, 0.0):
        raise NoSubscriptionError("the server refused it a short while ago")


def may_subscribe(pool: Any, number: int) -> bool:
    """Return whether one more connection of *pool* may subscribe, beside *number* others.

    Half of a pool at least is for asking: a consumer that waits takes nothing if none is left.
    """
    return number < compat.max_connections(pool) // 2


def is_change(message: Any) -> bool:
    """Return whether *message* tells of a change of a key, and not only of a new deadline."""
    return bool(message[1] == CHANNEL)


class KeySubscription:
    """A connection of the client's pool, lent for as long as a thread waits for a change.

    It tells of the keys of one set, or of several.

    Cost: 2 round trips to begin, then 1 for each change, none to wait. Without a connection that
    can subscribe, `wait` only sleeps, for a second at most.

    The connection is used under `_use`, and by nobody while its owner sleeps or works: then
    `evict` may take it, from another thread or from a signal handler.
    """

    def __init__(self, client: Any, keys: tuple[bytes, ...]) -> None:
        self._pool = pool_to_subscribe_with(client)
        self._keys = keys
        self._process = os.getpid()
        # Held for a round trip at most, and never twice by one thread.
        self._use = threading.Lock()
        self._connection: Any = None
        self._socket: Any = None
        # Whether the next change will be told; what the last look found, and when it was.
        self._armed = False
        self._ready = 0
        self._looked = self._begun = self._evicted = -math.inf
        # When an item becomes ready without a message.
        self._event = math.inf
        self._notified = False
        self._backoff = WakeupBackoff()
        self._polling = Polling()

    def wait(self, step: WaitForChange) -> bool | None:
        """Return ``True`` when there may be something to take, ``False`` after *step.seconds*.

        ``None`` says that nothing tells of changes, so the caller has to look by itself.
        """
        self._leave_to_parent()
        self.asked(found=False)
        end = time.monotonic() + step.seconds
        try:
            if self._connection is None:
                self._begin(step.outlook)
            self._notified = self._listen(step.outlook, end)
        except BaseException as error:
            self._end_after(error)
        else:
            return self._notified
        time.sleep(self._polling.pause(max(0.0, end - time.monotonic())))
        return None

    def asked(self, *, found: bool) -> None:
        """Note whether the consumer *found* something, if `wait` told it that it may."""
        if self._notified:
            self._notified = self._armed = False
            if found:
                self._backoff.hit()
            else:
                self._backoff.missed()

    def drain(self) -> None:
        """Pass over what was told so far; what changes from now on will be told.

        For a consumer that waited before, when it asks again.
        """
        self._leave_to_parent()
        self._polling.begin()
        try:
            if self._connection is not None:
                for _ in range(MAX_UNREAD):
                    if self._next_message() is None:
                        return
                self.close()
        except BaseException as error:
            self._end_after(error)

    def close(self) -> None:
        """Return the connection, which no longer listens, to the pool."""
        self._leave_to_parent()
        with self._use:
            self._give_back()

    def evict(self) -> bool:
        """Return the connection to the pool, unless its owner is using it; from any thread."""
        if not self._use.acquire(blocking=False):
            return False
        try:
            if self._connection is None:
                return False
            self._evicted = time.monotonic()
            self._give_back()
            return True
        finally:
            self._use.release()

    def _end_after(self, error: BaseException) -> None:
        """Poll from now on, if *error* says so; else raise it."""
        # Whatever it is: a reply may be half read.
        self.close()
        if not cannot_subscribe(error):
            raise error
        if is_refusal(error):
            remember_refusal(self._pool, RECHECK_INTERVAL)
        logger.debug("redset: %s: polled, not subscribed to", shown(self._keys), exc_info=error)

    def _give_back(self) -> None:
        try:
            if self._connection is not None:
                # Its next user connects anew, without tracking. The owner is woken by that.
                try:
                    self._connection.disconnect()
                finally:
                    self._pool.release(self._connection)
        finally:
            self._connection = self._socket = None
            self._armed = False
            if self._pool is not None:
                _subscriptions_of(self._pool).pop(id(self), None)

    def _leave_to_parent(self) -> None:
        # In a forked child the connection is the parent's, and so is the holder of the lock.
        process = os.getpid()
        if self._process != process:
            self._process, self._use = process, threading.Lock()
            self._connection = self._socket = None
            self._armed = self._notified = False
            self._looked = self._begun = self._evicted = -math.inf

    def _begin(self, outlook: Outlook) -> None:
        check_refusal(self._pool)
        now = time.monotonic()
        if now < self._evicted + RECHECK_INTERVAL:
            raise NoSubscriptionError("the connection was needed for something else")
        if now < self._begun + POLL_SECONDS:
            raise NoSubscriptionError("the last connection was lost a moment ago")
        with _counting.get():
            others = _subscriptions_of(self._pool)
            if not may_subscribe(self._pool, len(others)):
                raise NoSubscriptionError("a connection to subscribe with can't be spared")
            others[id(self)] = self
        with self._use:
            self._connection = compat.borrow(self._pool)
            self._socket = compat.socket_of(self._connection)
            if self._socket is None:
                raise NeverSubscribesError("a connection without a socket can't be waited for")
            words = handshake(compat.protocol_of(self._connection))
            self._send(words)
            *_, connection_id = [self._reply() for _ in words]
            if isinstance(connection_id, Exception):
                raise connection_id
            self._begun = time.monotonic()
            self._look(Look(self._keys, [outlook], connection_id))

    def _listen(self, outlook: Outlook, end: float) -> bool:
        """Listen until there may be something to take (true), or until *end*."""
        # Whether other processes learned at the same moment what this one did.
        contended = False
        while True:
            if not self._armed:
                self._rest(min(self._backoff.seconds(), end - time.monotonic()))
                with self._use:
                    self._check()
                    self._look(Look(self._keys, [outlook]))
                if contended and not self._ready:
                    self._backoff.missed()
            if self._ready:
                self._ready = 0
                return True
            until = min(end, self._event, self._looked + RECHECK_INTERVAL)
            message = self._hear(until)
            if message is None and until == end:
                return False
            self._armed = False
            contended = is_change(message) if message else until == self._event
            if contended and self._backoff.is_none:
                return True

    def _look(self, look: Look) -> None:
        self._send(look.words)
        while not look.feed(self._reply()):
            pass
        [(self._ready, seconds)] = look.found()
        self._looked = time.monotonic()
        self._event = self._looked + seconds
        self._armed = True

    def _hear(self, until: float) -> Any:
        """Return the next message, ``None`` if there is none *until* then."""
        while (message := self._next_message()) is None:
            left = until - time.monotonic()
            if left <= 0:
                return None
            self._rest(left)
        return message

    def _next_message(self) -> Any:
        with self._use:
            self._check()
            if not self._connection.can_read(timeout=0):
                return None
            message = self._connection.read_response(disable_decoding=True)
        # Either the change that would be told was told, or there is a new deadline to look at.
        self._armed = False
        return message

    def _check(self) -> None:
        """Raise `NoSubscriptionError` if the connection is not what it was before the sleep."""
        self._leave_to_parent()
        if self._connection is None:
            raise NoSubscriptionError("the connection was needed for something else")
        if compat.socket_of(self._connection) is not self._socket:
            raise NoSubscriptionError("the connection was closed by another thread")

    def _rest(self, seconds: float) -> None:
        """Sleep until the server says something, or the connection is taken away."""
        if seconds <= 0:
            return
        with self._use:
            if self._socket is None:
                return
            # Whoever takes the connection closes its socket, whose number another one may be given
            # at once: this thread would sleep on that. A duplicate keeps the number, and ends too.
            about = (self._socket.fileno(), self._socket.family, self._socket.type)
            waited_for = socket.fromfd(*about) if about[0] >= 0 else None
        if waited_for is not None:
            with waited_for:
                wait_until_readable(waited_for, seconds)

    def _send(self, words: Sequence[Words]) -> None:
        packed = self._connection.pack_commands(words)
        # A health check would take a message for its answer.
        self._connection.send_packed_command(packed, check_health=False)

    def _reply(self) -> Any:
        """Return the next reply or message; an error of the server is a reply."""
        if not self._connection.can_read(timeout=REPLY_SECONDS):
            raise NoSubscriptionError("the server doesn't answer")
        try:
            return self._connection.read_response(disable_decoding=True)
        except Exception as error:
            if client_errors.is_reply(error):
                return error
            raise


Subscriptions = WeakValueDictionary[int, KeySubscription]

_counting = reentrant_lock()


def _subscriptions_of(pool: Any) -> Subscriptions:
    """Return the subscriptions of this process that have a connection of *pool*, by their ids."""
    of_processes: PerProcess[Subscriptions] = compat.shared_by_client(
        pool, "subscriptions", lambda: PerProcess(WeakValueDictionary)
    )
    return of_processes.get()


def evict_one(pool: Any) -> bool:
    """Return a connection to *pool* that only listens; return whether there was one.

    Its consumer, which sleeps or is busy with an item, polls for a while from then on. Takes no
    time: the connection is there when this returns. From any thread, also in a signal handler.
    """
    for reference in _subscriptions_of(pool).valuerefs():
        subscription = reference()
        if subscription is not None and subscription.evict():
            return True
    return False


def wait_until_readable(waited_for: Any, seconds: float) -> None:
    """Return when a socket has something to read, was closed, or after *seconds*."""
    make_poll = getattr(select, "poll", None)
    with contextlib.suppress(ValueError):  # it has no number any more
        if make_poll is None:  # on Windows
            select.select([waited_for], [], [], seconds)
            return
        poll = make_poll()
        if type(poll).__module__ != "select":
            # The poll of an event loop (gevent) doesn't notice that another greenlet closes it.
            seconds = min(seconds, POLL_SECONDS)
        poll.register(waited_for, select.POLLIN)
        poll.poll(math.ceil(1000 * min(seconds, RECHECK_INTERVAL)))
