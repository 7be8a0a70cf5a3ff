"""Lanes: each thread keeps one connection of a client's pool, and sends packed commands over it.

What a client does anew for each command (taking a connection out of the pool and putting it back,
a closure for each try, callbacks for replies) is done once here, or when something goes wrong.
What goes wrong is treated as the client would treat it: the connection's own `Retry` decides.

A client whose commands somebody listens to or changes (a subclass, a tracer), whose credentials
are renewed, whose pool is small, or that speaks TLS, is left to itself.
"""

import contextlib
import os
import select
import threading
import weakref
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from redset._core.watch import borrow

R = TypeVar("R")

# Lanes keep at most one of so many connections that a pool may have.
SHARE = 4

_CLIENT_MODULES = {"redis.client", "valkey.client"}


class Lane:
    """A connection that a thread keeps, of a pool that it doesn't keep alive."""

    __slots__ = ("__weakref__", "_connection", "_poll", "_pool", "_settled", "_socket")

    def __init__(self, pool: "weakref.ref[Any]") -> None:
        self._pool = pool
        self._connection: Any = None
        self._socket: Any = None
        self._poll: Any = None
        self._settled = True  # no reply is on its way

    def call(self, packed: bytes) -> Any:
        """Send one command; give its reply, undecoded, or raise it if it is an error."""
        connection = self._ready()
        try:
            connection.send_packed_command([packed])
            reply = connection.read_response(disable_decoding=True)
        except Exception as error:
            return self._retry(error, lambda: _ask_all(connection, [packed])[0])
        self._settled = True
        return reply

    def call_all(self, batch: Sequence[bytes]) -> list[Any]:
        """Send commands in one write; give their replies, undecoded, errors among them."""
        connection = self._ready()
        try:
            replies = _ask_all(connection, batch)
        except Exception as error:
            return self._retry(error, lambda: _ask_all(connection, batch))
        self._settled = True
        return replies

    def _ready(self) -> Any:
        connection = self._connection
        # Between two commands there is nothing to read, but that the server has hung up.
        if (
            connection is None
            or not self._settled
            or connection._sock is not self._socket
            or self._poll.poll(0)
        ):
            connection = self._check_out()
        self._settled = False
        return connection

    def _check_out(self) -> Any:
        """Take a connection of which the pool has made sure that it is a good one."""
        self.give_back()
        connection = self._connection = borrow(self._pool())
        self._socket = connection._sock
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN)
        return connection

    def _retry(self, error: Exception, ask: Callable[[], R]) -> R:
        """Go on as the client would after a first try that failed with *error*."""
        first = [error]

        def again() -> R:
            if first:
                raise first.pop()
            return ask()

        connection = self._connection
        try:
            reply: R = connection.retry.call_with_retry(again, lambda _: connection.disconnect())
        except Exception:
            # Either it is the reply, or the connection was closed.
            self._settled = True
            raise
        self._settled = True
        if isinstance(reply, Exception):
            raise reply
        return reply

    def give_back(self) -> None:
        """Let the pool have the connection: closed, if a reply is still on its way."""
        connection, self._connection = self._connection, None
        pool = self._pool()
        if connection is not None:
            if not self._settled:
                connection.disconnect()
            if pool is not None:
                pool.release(connection)
        self._settled = True

    def forget(self) -> None:
        """Drop the connection without a word: it is the parent process's."""
        self._connection = None

    def __del__(self) -> None:
        with contextlib.suppress(Exception):
            self.give_back()


def _ask_all(connection: Any, batch: Sequence[bytes]) -> list[Any]:
    connection.send_packed_command([b"".join(batch)])
    replies = []
    for _ in batch:
        try:
            replies.append(connection.read_response(disable_decoding=True))
        except Exception as error:
            # Both libraries have a class of this name, with no common base.
            if all(kind.__name__ != "ResponseError" for kind in type(error).__mro__):
                raise
            replies.append(error)
    return replies


class Lanes:
    """The lanes into one pool: one for each thread that calls, while there are enough."""

    def __init__(self, pool: Any) -> None:
        self._pool = weakref.ref(pool)
        self._most = pool.max_connections // SHARE
        self._threads = threading.local()
        self.all: weakref.WeakSet[Lane] = weakref.WeakSet()

    def mine(self) -> Lane | None:
        """Give this thread's lane, ``None`` if others have all that the pool can give away."""
        try:
            return self._threads.lane  # type: ignore[no-any-return]
        except AttributeError:
            lane = self._threads.lane = Lane(self._pool) if len(self.all) < self._most else None
        if lane is not None:
            self.all.add(lane)
        return lane


_lanes: "weakref.WeakKeyDictionary[Any, Lanes]" = weakref.WeakKeyDictionary()


def _speaks_plainly(pool: Any) -> bool:
    kinds = {kind.__name__ for kind in pool.connection_class.__mro__}
    return not any("SSL" in name for name in kinds) and hasattr(select, "poll")


def lanes_of(client: Any) -> Lanes | None:
    """The lanes into *client*'s pool, ``None`` for a client that is left to itself."""
    pool = getattr(client, "connection_pool", None)
    execute = getattr(type(client), "execute_command", None)
    if (
        pool is None
        or getattr(execute, "__module__", None) not in _CLIENT_MODULES
        or hasattr(execute, "__wrapped__")
        or {"execute_command", "parse_response"} & vars(client).keys()
        or getattr(client, "connection", None) is not None
        or pool.connection_kwargs.get("credential_provider") is not None
        or getattr(pool, "cache", None) is not None
        or pool.max_connections < SHARE
        # Records of TLS may come at any time, and what there is to read says nothing.
        or not _speaks_plainly(pool)
    ):
        return None
    lanes = _lanes.get(pool)
    if lanes is None:
        lanes = _lanes.setdefault(pool, Lanes(pool))
    return lanes


def _after_fork_in_child() -> None:
    for lanes in list(_lanes.values()):
        for lane in list(lanes.all):
            lane.forget()


os.register_at_fork(after_in_child=_after_fork_in_child)
