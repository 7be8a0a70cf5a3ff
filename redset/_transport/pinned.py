"""Pinned connections: connections of a client's own pool that redset keeps between calls.

A client repeats some work for each command (acquiring a connection and releasing it, a closure for
each attempt, callbacks for replies). Here it is done once, or only after an error. Errors are
handled as the client would handle them.

The rule that keeps replies apart: a call *takes* its connection. Until the call ends, no other
call, thread, greenlet, signal handler or finalizer can find that connection, and it is put back
only after every reply that was asked for has been read. A call that ends in any other way closes
it.
"""

import os
import select
import time
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from redset._protocol import client_errors
from redset._protocol.commands import MULTI, confirming_places
from redset._support.forks import PerProcess
from redset._transport import compat

# At most the pool's maximum number of connections, divided by this, is kept between calls.
POOL_DIVISOR = 4
# Seconds that a call waits for a connection if all connections of the pool are in use. Only pauses
# count: on a busy machine, a thread that rarely runs has tried as often as any other.
ACQUIRE_TIMEOUT = 5.0
FIRST_PAUSE, LONGEST_PAUSE = 0.0005, 0.01

# Marks a connection that was closed here, in place of its socket.
_CLOSED = object()

# Frees a connection that is held by something other than a call; returns whether there was one.
Evict = Callable[[Any], bool]


class PinnedConnection:
    """A connection that redset has acquired from a pool, in use by one call or by none."""

    __slots__ = (
        *("_follows_pushes", "_identity", "_orphans", "_poll", "_pool", "_socket"),
        "connection",
    )

    def __init__(self, connections: "PinnedConnections", connection: Any) -> None:
        # Not *connections* itself: no cycle, so a dropped client's sockets are closed at once.
        self._orphans, self._follows_pushes = connections.orphans, connections.follows_pushes
        # The pool that Sentinels tell of its master; ``None`` for any other pool.
        self._pool = connections.pool_of_master
        self.connection = connection
        self._socket: Any = _CLOSED
        self._poll: Any = None
        self._identity: tuple[int, int] | None = None
        if connections.keeps and compat.socket_of(connection) is not None:
            self._watch_socket()

    def _watch_socket(self) -> None:
        socket = compat.socket_of(self.connection)
        if socket is None:  # closed: connected again at its next use
            self._socket = _CLOSED
            return
        self._socket = socket
        self._identity = _identity(socket)
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN)

    def is_healthy(self) -> bool:
        """Return whether an idle connection is as it was when it was put back.

        An idle connection is readable only if the server closed it, or pushed something.
        """
        if compat.socket_of(self.connection) is not self._socket or self._poll.poll(0):
            return False
        return self._pool is None or not self._left_master()

    def _left_master(self) -> bool:
        """Return whether Sentinels name another master: the one before may leave it open."""
        pool = None if self._pool is None else self._pool()
        return pool is not None and compat.left_master(pool, self.connection)

    def renew(self) -> None:
        """Make a connection healthy again, by reading pushed messages or by reconnecting."""
        self._disown_descriptor()
        connection = self.connection
        if self._follows_pushes and compat.socket_of(connection) is self._socket:
            try:
                compat.read_pushes(connection)
            except Exception:
                connection.disconnect()
            same_socket = compat.socket_of(connection) is self._socket
            moves = compat.should_reconnect(connection) or self._left_master()
            if same_socket and not moves:
                return
        connection.disconnect()
        connection.connect()
        self._watch_socket()

    def close(self) -> None:
        """Close the connection, some of whose replies may not have been read."""
        self._disown_descriptor()
        self._socket = _CLOSED
        self.connection.disconnect()

    def _disown_descriptor(self) -> None:
        """Leave the descriptor open if it is that of another file of the program now.

        A program that closes all descriptors closes the socket's, too, and the next file that is
        opened may get its number.
        """
        socket = compat.socket_of(self.connection)
        if socket is self._socket and _identity(socket) != self._identity:
            socket.detach()

    def __del__(self) -> None:
        # Only a call that was ended by an exception at an unlucky moment leaves a connection here.
        # A finalizer may run anywhere, also inside the pool's own code: a later call does the rest.
        connection = getattr(self, "connection", None)
        if connection is not None:
            self._disown_descriptor()
            self._orphans.append(connection)


def _identity(socket: Any) -> tuple[int, int] | None:
    """Return which socket of the kernel it is; ``None`` if it is closed."""
    try:
        found = os.fstat(socket.fileno())
    except OSError:
        return None
    return found.st_dev, found.st_ino


class PinnedConnections:
    """The connections that one process has acquired from one pool; see the module's rule."""

    def __init__(self, pool: Any) -> None:
        self._pool = weakref.ref(pool)
        self.keeps = compat.max_connections(pool) // POOL_DIVISOR
        if not compat.may_stay_pinned(pool):
            self.keeps = 0
        self.follows_pushes = compat.follows_pushes(pool)
        self.pool_of_master = self._pool if compat.follows_master(pool) else None
        self._reply_error = compat.exceptions_of(pool).ResponseError
        # The last connection that was put back is the first to be taken; both steps are atomic.
        self._idle: deque[PinnedConnection] = deque()
        self.orphans: deque[Any] = deque()
        self._waiting = 0
        self._is_pool_suspect = False

    def call(self, client: Any, packed: bytes, evict: Evict) -> Any:
        """Send one command; return its reply, undecoded, also if it is an error."""
        try:
            pinned = self._idle.pop()
        except IndexError:
            pinned = self._acquire(evict)
        else:
            if not pinned.is_healthy():
                self._renew(pinned)
        connection = pinned.connection
        try:
            connection.send_packed_command([packed])
            try:
                reply = connection.read_response(disable_decoding=True)
            except self._reply_error as error:
                reply = self._final_reply(connection, error)
        except BaseException as error:
            [reply] = self._recover(client, pinned, error, [packed], [])
        if len(self._idle) >= self.keeps:
            self._put_back_carefully(pinned)
        else:
            if self.follows_pushes and compat.should_reconnect(connection):
                pinned.close()  # reconnects at its next use, where the server asks it to
            self._idle.append(pinned)
        return reply

    def call_all(self, client: Any, batch: Sequence[bytes], evict: Evict) -> list[Any]:
        """Send commands in one write; return their replies, undecoded, errors among them."""
        try:
            pinned = self._idle.pop()
        except IndexError:
            pinned = self._acquire(evict)
        else:
            if not pinned.is_healthy():
                self._renew(pinned)
        replies: list[Any] = []
        try:
            self.exchange(pinned.connection, batch, replies)
        except BaseException as error:
            replies = self._recover(client, pinned, error, batch, replies)
        self._put_back_carefully(pinned)
        return replies

    def exchange(self, connection: Any, batch: Sequence[bytes], replies: list[Any]) -> None:
        """Send *batch*, add its replies to *replies*; raise the first error to be retried."""
        repeat: Exception | None = None
        connection.send_packed_command([b"".join(batch)])
        for _ in batch:
            try:
                replies.append(connection.read_response(disable_decoding=True))
            except self._reply_error as error:
                # Its traceback would refer to this frame, which refers to it: a dropped result
                # would stay until a garbage collection.
                reply = compat.plain_reply(connection, error).with_traceback(None)
                if not isinstance(reply, self._reply_error):
                    raise reply from error
                replies.append(reply)
                if repeat is None and compat.repeats_reply(connection, reply):
                    repeat = reply
        if repeat is not None:
            raise repeat

    def _final_reply(self, connection: Any, error: Exception) -> Any:
        """Return *error*, a reply, without its traceback; raise it if the call is to be retried."""
        reply = compat.plain_reply(connection, error)
        if not isinstance(reply, self._reply_error) or compat.repeats_reply(connection, reply):
            raise reply
        return reply.with_traceback(None)  # as in `exchange`

    def _recover(
        self,
        client: Any,
        pinned: PinnedConnection,
        error: BaseException,
        batch: Sequence[bytes],
        replies: list[Any],
    ) -> list[Any]:
        """Continue as the client would after *error*, or close the connection."""
        try:
            if not isinstance(error, Exception):
                raise error
            client_errors.raise_interruption(error)
            if isinstance(error, self._reply_error) and not replies:
                replies = [error]
            repetition = _Repetition(self, pinned.connection, batch, replies)
            connection = pinned.connection
            try:
                return compat.call_with_retry(client, connection, error, repetition.again)
            except self._reply_error:
                if repetition.replies is None:
                    raise
                return repetition.replies
        except BaseException:
            self._give_up(pinned)
            raise

    def try_call(self, packed: bytes) -> bool:
        """Send one command if a healthy connection is idle; return whether one was.

        Its reply is read and ignored, nothing is retried, no error is raised.
        """
        try:
            pinned = self._idle.pop()
        except IndexError:
            return False
        try:
            if not pinned.is_healthy():
                return False
            pinned.connection.send_packed_command([packed])
            pinned.connection.read_response(disable_decoding=True)
        except Exception as error:
            pinned.close()
            if client_errors.interruption(error) is not None:
                raise
            return False
        except BaseException:
            pinned.close()
            raise
        finally:
            self._idle.append(pinned)
        return True

    # Acquiring and releasing

    def _acquire(self, evict: Evict) -> PinnedConnection:
        """Acquire a connection that the pool has checked.

        If all are in use, wait until another call of redset puts one back: a call takes no longer
        than a round trip. A wait for changes of a key gives up its connection before that.
        """
        self._take_in_orphans()
        waited, pause = 0.0, FIRST_PAUSE
        while True:
            try:
                pinned = self._idle.pop()
            except IndexError:
                pass
            else:
                if not pinned.is_healthy():
                    self._renew(pinned)
                return pinned
            pool = self._pool()
            try:
                return self._borrow(pool)
            except Exception as error:
                client_errors.raise_interruption(error)
                # A pool that waits longer by itself is to do so here too.
                longest = max(ACQUIRE_TIMEOUT, compat.seconds_to_wait(pool))
                if not client_errors.is_exhausted(error) or waited > longest:
                    raise
            if pause >= LONGEST_PAUSE:
                evict(pool)
            self._waiting += 1
            try:
                time.sleep(pause)
            finally:
                self._waiting -= 1
            waited, pause = waited + pause, min(2 * pause, LONGEST_PAUSE)

    def _borrow(self, pool: Any) -> PinnedConnection:
        if self._is_pool_suspect:
            self._is_pool_suspect = not compat.close_idle_connections(pool)
        was_used = self.keeps > 0 and compat.has_idle(pool)
        try:
            pinned = PinnedConnection(self, compat.acquire_connection(pool))
        except BaseException as error:
            # If a signal handler raises an exception, the pool takes the connection back as it is:
            # possibly in the middle of its handshake, whose reply would be read as the next reply.
            self._is_pool_suspect = not client_errors.is_client_error(error)
            raise
        if was_used:
            # The same may have happened in a call of the user. The connection is renewed once.
            pinned.close()
            self._renew(pinned)
        return pinned

    def _renew(self, pinned: PinnedConnection) -> None:
        try:
            pinned.renew()
        except BaseException as error:
            self._give_up(pinned)
            client_errors.raise_interruption(error)
            raise

    def _give_up(self, pinned: PinnedConnection) -> None:
        # The pool's own code is avoided as far as possible: if a signal handler raises an exception
        # in the middle of it, the connection's place in the pool is lost.
        pinned.close()
        if len(self._idle) < self.keeps:
            self._idle.append(pinned)
        else:
            self._release(pinned)

    def _put_back_carefully(self, pinned: PinnedConnection) -> None:
        connection = pinned.connection
        if self.follows_pushes and compat.should_reconnect(connection):
            pinned.close()
        pool = self._pool()
        if len(self._idle) < self.keeps and (
            self._waiting > 0 or (pool is not None and compat.has_room(pool))
        ):
            self._idle.append(pinned)
        else:
            self._release(pinned)

    def _release(self, pinned: PinnedConnection) -> None:
        # Never twice: old pools would give one connection to two callers.
        connection, pinned.connection = pinned.connection, None
        pool = self._pool()
        if pool is not None and not compat.release_connection(pool, connection):
            self.orphans.append(connection)

    def _take_in_orphans(self) -> None:
        """Put connections back into use whose calls ended before they could release them."""
        for _ in range(len(self.orphans)):  # one that the pool doesn't take now is an orphan again
            try:
                orphan = self.orphans.popleft()
            except IndexError:
                return
            orphan.disconnect()
            self._give_up(PinnedConnection(self, orphan))


class _Repetition:
    """The part of a batch that is sent again: all, or the commands that failed temporarily."""

    def __init__(
        self,
        connections: PinnedConnections,
        connection: Any,
        batch: Sequence[bytes],
        replies: list[Any],
    ) -> None:
        self._connections, self._connection, self._batch = connections, connection, batch
        # The replies, including errors, once each command has been answered.
        self.replies = replies if len(replies) == len(batch) else None
        # A transaction is refused or executed as a whole.
        self._as_a_whole = MULTI.packed() in batch

    def again(self) -> list[Any]:
        """Send the open commands, return all replies; raise an error that is to be retried."""
        if self.replies is None or self._as_a_whole:
            places = list(range(len(self._batch)))
        else:
            places = [place for place, reply in enumerate(self.replies) if self._is_open(reply)]
            # What confirms a change is sent again with it.
            places = sorted({*places, *confirming_places(self._batch)})
        found: list[Any] = []
        try:
            self._connections.exchange(
                self._connection, [self._batch[place] for place in places], found
            )
        finally:
            if len(found) == len(places):
                answers = dict(zip(places, found, strict=True))
                before = self.replies or found
                self.replies = [answers.get(place, reply) for place, reply in enumerate(before)]
        return self.replies or []

    def _is_open(self, reply: Any) -> bool:
        return isinstance(reply, Exception) and compat.repeats_reply(self._connection, reply)


def pinned_connections_for(client: Any) -> PerProcess[PinnedConnections] | None:
    """Return the pinned connections of a synchronous *client*, shared by all users of its pool.

    ``None`` for a client that is more than a pool of plain connections.
    """
    if not compat.can_be_pinned(client):
        return None
    pool = compat.pool_of(client)
    of_pool = weakref.ref(pool)
    return compat.shared_by_client(
        pool, "pinned", lambda: PerProcess(lambda: PinnedConnections(of_pool()))
    )
