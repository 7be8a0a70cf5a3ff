"""Key subscriptions: notice without polling that a set may hold something to take.

The server notifies a connection of the next change of a set. After each message, a `Look` reads the
state of the sets and asks for the next message, in one transaction.
"""

import contextlib
import errno
import logging
import math
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
from redset._protocol.keys import slot_of
from redset._protocol.outlook import Outlook
from redset._support.clock import monotonic
from redset._support.forks import PerProcess, reentrant_lock, this_process
from redset._support.words import shown
from redset._transport import compat
from redset._transport.look import (
    Look,
    NeverSubscribesError,
    NoSubscriptionError,
    Words,
    check_slot,
    handshake,
    is_change,
)
from redset._transport.node_pools import client_of_node

logger = logging.getLogger("redset")

# How often a subscriber looks without a message: a connection may die without an error.
RECHECK_INTERVAL = RECHECK_SECONDS
# How often a consumer asks if it can't be notified of changes (if the account may not use CLIENT
# TRACKING, or if the pool has no connection to spare).
POLL_SECONDS = 1.0
# How long a subscriber waits for the server's reply to a look.
REPLY_SECONDS = 5.0
# If a notified consumer finds nothing, it delays its looks by a random time up to a limit between
# these two, which doubles each time.
SHORTEST_SECONDS, LONGEST_SECONDS = 0.001, 0.016
# If the process has no descriptor left, a subscriber looks as often at its socket for messages.
NO_DESCRIPTOR = (errno.EMFILE, errno.ENFILE)
NO_DESCRIPTOR_SECONDS = 0.05
# If more messages than this are unread, the connection is closed instead of reading them.
MAX_UNREAD = 1_000


def recheck_interval(*, moves: bool) -> float:
    """Return how long a subscriber waits for a message before it looks.

    If the slot *moves* without a message, only a look finds out, as for an empty set.
    """
    return POLL_SECONDS if moves else RECHECK_INTERVAL


class WakeupBackoff:
    """The delay between a notification and the look of a consumer.

    All waiting processes are notified of a new item. A process that repeatedly finds nothing backs
    off for a random time of up to 1 to 16 ms; a process that finds something backs off for less.
    """

    def __init__(self) -> None:
        self._longest = 0.0

    @property
    def is_none(self) -> bool:
        """True if there is no delay."""
        return self._longest == 0.0

    def missed(self) -> None:
        """Note that a notified consumer found nothing: another one was faster."""
        self._longest = min(2 * self._longest + SHORTEST_SECONDS, LONGEST_SECONDS)

    def hit(self) -> None:
        """Note that a notified consumer found something."""
        self._longest = self._longest / 2 if self._longest > 2 * SHORTEST_SECONDS else 0.0

    def seconds(self) -> float:
        """Return how long to wait before the next look."""
        return random.random() * self._longest  # noqa: S311 - no secret


def cannot_subscribe(error: BaseException) -> bool:
    """Return whether *error* means that the consumer can't be notified of changes.

    Other errors are not caught: a signal handler may raise any exception while a thread waits.
    """
    ours = isinstance(error, NoSubscriptionError | AttributeError | TypeError)
    return ours or client_errors.is_client_error(error)


def is_refusal(error: BaseException) -> bool:
    """Return whether *error* means that the server or the client can't notify, now or later."""
    if client_errors.is_redirection(error):
        return False  # another node of the cluster may be able to
    cannot = isinstance(error, NeverSubscribesError | AttributeError | TypeError)
    return cannot or client_errors.is_reply(error)


class Polling:
    """The pauses of a consumer that can't be notified of changes."""

    def __init__(self) -> None:
        self._polls = False

    def begin(self) -> None:
        """Note that a new plan begins, which has not asked the server yet."""
        self._polls = False

    def pause(self, seconds: float) -> float:
        """Return how long to sleep before the next request, at most *seconds*.

        The first pause is 0: only that request tells when the next item will be ready.
        """
        if not self._polls:
            self._polls = True
            return 0.0
        return max(min(seconds, POLL_SECONDS), SHORTEST_SECONDS)


# For each pool, until when its connections don't try to subscribe, because the server refused.
_refused: PerProcess[WeakKeyDictionary[Any, float]] = PerProcess(WeakKeyDictionary)


def remember_refusal(pool: Any, seconds: float) -> None:
    """Let no consumer of *pool* try to subscribe for *seconds*."""
    if pool is not None:
        _refused.get()[pool] = monotonic() + seconds


def pool_to_subscribe_with(client: Any, key: bytes) -> Any:
    """Return the pool whose connections may subscribe to *key*; ``None`` if none can."""
    # If a client renames the keys in its commands, a subscription would use the wrong names; if it
    # has selected a database on its one connection, the keys of another database.
    if compat.renames_keys(client) or compat.has_single_connection(client):
        return None
    if not compat.is_cluster(client):
        return _passing(compat.pool_of(client))
    if compat.is_asyncio(client):
        node = compat.node_of_slot(client, slot_of(key))
        node = None if node is None else client_of_node(client, node)
    else:
        try:
            node = compat.client_of_slot(client, slot_of(key))
        except Exception as error:
            if not client_errors.is_client_error(error):
                raise
            node = None
    if node is None:
        raise NoSubscriptionError("the client knows no node for the slot")
    return _passing(compat.pool_of(node))


def _passing(pool: Any) -> Any:
    """Return *pool* if its connections write and read as the library's do; else ``None``.

    A class of the user's may send other words than redset writes, as other keys.
    """
    kind = getattr(pool, "connection_class", None)
    return pool if kind is None or compat.passes_messages(kind) else None


def check_connection(connection: Any) -> None:
    """Raise `NeverSubscribesError` if *connection* is not as `pool_to_subscribe_with` expects."""
    if not compat.passes_messages(connection):  # a pool of the user's may make any
        raise NeverSubscribesError("a connection of the user's may send other words")


def check_refusal(pool: Any) -> None:
    """Raise `NoSubscriptionError` if connections of *pool* can't subscribe now."""
    if pool is None:
        raise NoSubscriptionError("no connection of this client can subscribe")
    if monotonic() < _refused.get().get(pool, 0.0):
        raise NoSubscriptionError("the server refused it a short while ago")


def may_subscribe(pool: Any, number: int) -> bool:
    """Return whether one more connection of *pool* may subscribe, in addition to *number* others.

    At least half of a pool is left for requests: if no connection were left, no waiting consumer
    could take an item.
    """
    return number < compat.max_connections(pool) // 2


class KeySubscription:
    """A connection of the client's pool, acquired for as long as a thread waits for a change.

    It is notified of changes of the keys of one set, or of several.

    Cost: 2 round trips to begin, then 1 for each change, none to wait. If no connection can
    subscribe, `wait` only sleeps, for at most 1 second.

    The connection is used only while `_use` is held. While its owner sleeps or works, the lock is
    free, and `evict` may take the connection, from another thread or from a signal handler.
    """

    def __init__(self, client: Any, keys: tuple[bytes, ...]) -> None:
        self._client, self._keys = client, keys
        self._is_cluster = compat.is_cluster(client)
        # The pool of the connection: in a cluster, that of the node that has the keys' slot.
        self._pool: Any = None
        self._process = this_process()
        # Held for at most one round trip, and never acquired twice by one thread.
        self._use = _new_use()
        self._connection: Any = None
        self._socket: Any = None
        # Whether the server will send a message for the next change; what the last look found, and
        # when it was.
        self._armed = False
        self._ready = 0
        self._looked = self._begun = self._evicted = -math.inf
        # When the next item becomes ready without a message.
        self._event = math.inf
        # Whether the server tells if the keys' slot moves.
        self._follows_slot = False
        self._notified = False
        self._backoff = WakeupBackoff()
        self._polling = Polling()

    def wait(self, step: WaitForChange) -> bool | None:
        """Return ``True`` when there may be something to take, ``False`` after *step.seconds*.

        If the consumer can't be notified of changes, sleep for at most 1 second and return
        ``None``: the caller has to ask the server.
        """
        self._leave_to_parent()
        self.asked(found=False)
        end = monotonic() + step.seconds
        try:
            if self._connection is None:
                self._begin(step.outlook)
            self._notified = self._listen(step.outlook, end)
        except BaseException as error:
            self._end_after(error)
        else:
            return self._notified
        time.sleep(self._polling.pause(max(0.0, end - monotonic())))
        return None

    def asked(self, *, found: bool) -> None:
        """Note whether the consumer *found* something, if the last `wait` returned ``True``."""
        if self._notified:
            self._notified = self._armed = False
            if found:
                self._backoff.hit()
            else:
                self._backoff.missed()

    def drain(self) -> None:
        """Drop the messages received so far: only later changes end the next `wait`.

        A consumer that waited before calls it before it asks the server again.
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
        """Disconnect the connection, and return it to the pool."""
        self._leave_to_parent()
        with self._use:
            self._give_back()

    def evict(self) -> bool:
        """Return the connection to the pool, unless its owner is using it; from any thread."""
        use = self._use
        if use._is_owned():
            return False  # in a signal handler that interrupted the owner
        try:
            # Inside the block: a signal handler may raise an exception as soon as it is acquired.
            if not use.acquire(blocking=False) or self._connection is None:
                return False
            self._evicted = monotonic()
            self._give_back()
            return True
        finally:
            try:  # noqa: SIM105 - in one step, which `suppress` is not
                use.release()
            except RuntimeError:
                pass  # another thread holds it

    def _end_after(self, error: BaseException) -> None:
        """Close, to poll from now on; raise *error* if it is not about the subscription."""
        # Close after any error: a reply may be half read.
        self.close()
        client_errors.raise_interruption(error)
        if not cannot_subscribe(error):
            raise error
        if is_refusal(error):
            remember_refusal(self._pool, RECHECK_INTERVAL)
        logger.debug("redset: %s: polled, not subscribed to", shown(self._keys), exc_info=error)

    def _give_back(self) -> None:
        try:
            if self._connection is not None:
                # Its next user connects again, without tracking. The disconnection wakes the owner.
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
        # In a forked child, the connection belongs to the parent, and so does the thread that may
        # hold the lock.
        process = this_process()
        if self._process != process:
            self._process, self._use = process, _new_use()
            self._connection = self._socket = None
            self._armed = self._notified = False
            self._looked = self._begun = self._evicted = -math.inf

    def _begin(self, outlook: Outlook) -> None:
        self._pool = pool_to_subscribe_with(self._client, self._keys[0])
        check_refusal(self._pool)
        now = monotonic()
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
            self._connection = compat.acquire_connection(self._pool)
            check_connection(self._connection)
            self._socket = compat.socket_of(self._connection)
            if self._socket is None:
                raise NeverSubscribesError("a connection without a socket can't be waited for")
            words = handshake(compat.protocol_of(self._connection))
            self._send(words)
            *_, connection_id = [self._reply() for _ in words]
            compat.read_nulls_of_resp2(self._connection)
            if isinstance(connection_id, Exception):
                raise connection_id
            self._begun = monotonic()
            self._follows_slot = self._is_cluster
            self._look([outlook], connection_id)

    def _listen(self, outlook: Outlook, end: float) -> bool:
        """Wait until there may be something to take (return ``True``), or until *end*."""
        # Whether other processes were notified at the same moment as this one.
        contended = False
        while True:
            if not self._armed:
                self._rest(min(self._backoff.seconds(), end - monotonic()))
                if monotonic() >= self._looked + RECHECK_INTERVAL:
                    self._ask_for_master()
                with self._use:
                    self._check()
                    self._look([outlook])
                if contended and not self._ready:
                    self._backoff.missed()
            if self._ready:
                self._ready = 0
                return True
            moves = self._is_cluster and not self._follows_slot
            until = min(end, self._event, self._looked + recheck_interval(moves=moves))
            message = self._hear(until)
            if message is None and until == end:
                return False
            self._armed = False
            contended = is_change(message) if message else until == self._event
            if contended and self._backoff.is_none:
                return True

    def _look(self, outlooks: Sequence[Outlook], connection_id: int | None = None) -> None:
        look = Look(self._keys, outlooks, connection_id, follows_slot=self._follows_slot)
        self._send(look.words)
        while not look.feed(self._reply()):
            pass
        self._follows_slot = look.is_told
        [(self._ready, seconds)] = look.found()
        self._looked = monotonic()
        self._event = self._looked + seconds
        self._armed = True

    def _hear(self, until: float) -> Any:
        """Return the next message; ``None`` if none comes before *until*."""
        while (message := self._next_message()) is None:
            left = until - monotonic()
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
        check_slot(message)
        # The message is for the next change, or for a new deadline: both need another look.
        self._armed = False
        return message

    def _check(self) -> None:
        """Raise `NoSubscriptionError` if the connection was taken away or closed in the sleep."""
        self._leave_to_parent()
        if self._connection is None:
            raise NoSubscriptionError("the connection was needed for something else")
        if compat.socket_of(self._connection) is not self._socket:
            raise NoSubscriptionError("the connection was closed by another thread")
        if not self._is_cluster and compat.pool_of(self._client) is not self._pool:
            raise NoSubscriptionError("the client has another pool now")
        if compat.follows_master(self._pool) and compat.left_master(self._pool, self._connection):
            raise NoSubscriptionError("another server is the master now")

    def _ask_for_master(self) -> None:
        """Learn whether the server, which may be isolated or a replica now, is still the master."""
        if compat.follows_master(self._pool):
            try:
                compat.ask_for_master(self._pool)
            except Exception as error:
                if not client_errors.is_disconnected(error):  # no Sentinel knows
                    raise

    def _rest(self, seconds: float) -> None:
        """Sleep for *seconds*, or until there is something to read or the connection is evicted."""
        if seconds <= 0:
            return
        with self._use:
            if self._socket is None:
                return
            # `evict` closes the socket, and another socket may receive its descriptor at once: this
            # thread would wait for that one. A duplicate has a descriptor of its own, and becomes
            # readable when the connection is shut down.
            about = (self._socket.fileno(), self._socket.family, self._socket.type)
            if about[0] < 0:
                return
            try:
                waited_for = socket.fromfd(*about)
            except OSError as error:
                if error.errno not in NO_DESCRIPTOR:
                    raise
                waited_for = None
        if waited_for is None:
            time.sleep(min(seconds, NO_DESCRIPTOR_SECONDS))
        else:
            with waited_for:
                wait_until_readable(waited_for, seconds)

    def _send(self, words: Sequence[Words]) -> None:
        packed = self._connection.pack_commands(words)
        # A health check would take a message for the reply to its PING.
        self._connection.send_packed_command(packed, check_health=False)

    def _reply(self) -> Any:
        """Return the next reply or message; an error of the server is returned as a reply."""
        end = monotonic() + REPLY_SECONDS
        # The client's own wait would swallow a `TimeoutError` of a signal handler.
        while not self._connection.can_read(timeout=0):
            if (left := end - monotonic()) <= 0:
                raise NoSubscriptionError("the server doesn't answer")
            wait_until_readable(self._socket, left)
        try:
            return self._connection.read_response(disable_decoding=True)
        except Exception as error:
            if client_errors.is_reply(error):
                return error
            raise


def _new_use() -> Any:
    """Return a lock that knows its owner, and that no other thread can release.

    Its `release` tells whether this thread had acquired it: there is always a moment between the
    acquisition and a variable that says so.
    """
    return threading.RLock()


Subscriptions = WeakValueDictionary[int, KeySubscription]

_counting = reentrant_lock()


def _subscriptions_of(pool: Any) -> Subscriptions:
    """Return this process's subscriptions with a connection of *pool*, by their ids."""
    of_processes: PerProcess[Subscriptions] = compat.shared_by_client(
        pool, "subscriptions", lambda: PerProcess(WeakValueDictionary)
    )
    return of_processes.get()


def evict_one(pool: Any) -> bool:
    """Evict one subscription, to free its connection of *pool*; return whether there was one.

    Its consumer, which sleeps or is busy with an item, polls for `RECHECK_INTERVAL` seconds. The
    connection is in the pool when this function returns; it never waits. From any thread, also in a
    signal handler.
    """
    for reference in _subscriptions_of(pool).valuerefs():
        subscription = reference()
        if subscription is not None and subscription.evict():
            return True
    return False


def wait_until_readable(waited_for: Any, seconds: float) -> None:
    """Wait until a socket is readable or closed, for at most *seconds*."""
    make_poll = getattr(select, "poll", None)
    with contextlib.suppress(ValueError):  # the socket has no descriptor any more
        if make_poll is None:  # on Windows
            select.select([waited_for], [], [], seconds)
            return
        poll = make_poll()
        if type(poll).__module__ != "select":
            # If gevent replaced poll, it doesn't notice that another greenlet closes the socket.
            seconds = min(seconds, POLL_SECONDS)
        poll.register(waited_for, select.POLLIN)
        poll.poll(math.ceil(1000 * min(seconds, RECHECK_INTERVAL)))
