"""A lock between processes, on the lock of the client's own library.

Contains waiting, expiry and their messages. Must not import sets: a lock is made of a client
and a key. The library's script checks on the server the token that guards the release.
"""

import contextlib
import logging
import math
import threading
import time
from collections import deque
from decimal import Decimal
from numbers import Real
from secrets import token_hex
from types import TracebackType
from typing import Any, Literal, Self
from weakref import WeakKeyDictionary

from redset._protocol.arguments import LONGEST_SECONDS
from redset._protocol.keys import encoded_name
from redset._support.clock import monotonic
from redset._support.forks import this_process
from redset._support.words import shown
from redset._transport import compat
from redset.exceptions import InvalidTypeError, InvalidValueError, LockTimeout

__all__ = ["Lock", "LockTimeout"]

logger: logging.Logger = logging.getLogger("redset.locks")


class BaseLock:
    """The settings of a lock, and the messages if it can't be acquired; `Lock` describes them."""

    def __init__(
        self,
        redis: Any,
        key: str | bytes,
        expires: float | None = None,
        timeout: float | None = None,
        poll_interval: float | None = None,
    ) -> None:
        if not isinstance(key, str | bytes):
            raise InvalidTypeError(
                f"redset lock: key must be str or bytes, got {type(key).__name__}"
            )
        if not key:
            raise InvalidValueError("redset lock: key must not be empty")
        encoded_name(key)
        if not callable(getattr(redis, "lock", None)):
            raise InvalidTypeError(
                f"redset lock {shown(key)}: needs a client of redis-py or valkey-py, "
                f"got {type(redis).__name__}"
            )
        self.redis = redis
        self.key = key
        # The server counts whole milliseconds, and refuses 0 of them.
        self.expires: float = _seconds(key, "expires", expires, default=20, least=0.001)
        self.timeout: float = _seconds(key, "timeout", timeout, default=10, least=0)
        self.poll_interval: float = _seconds(
            key, "poll_interval", poll_interval, default=0.2, least=0.001
        )
        # The tries that failed: the server may have given them the lock. The next call that
        # acquires the lock frees it first.
        self._unanswered: deque[tuple[int, Any, bytes]] = deque()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.key!r} expires={self.expires:g}>"

    def _timed_out(self) -> LockTimeout:
        return LockTimeout(
            f"redset lock {shown(self.key)}: held by another for all of the "
            f"{self.timeout:g} seconds that timeout allows to wait"
        )

    def _warn(self) -> None:
        logger.warning(
            "redset lock %s: not held when released; if it was acquired, its %g seconds were "
            "over (choose `expires` above what the work takes), or it had been released, and only "
            "the reply was lost",
            shown(self.key),
            self.expires,
        )


class Lock(BaseLock):
    """Let one thread of all processes at a time into a block of code.

    >>> with Lock(client, "nightly-report", expires=60):  # doctest: +SKIP
    ...     write_report()

    A lock belongs to the thread that acquired it; one `Lock` serves any number of threads. It is
    not reentrant. The server frees it after *expires* seconds: if its holder crashes, others wait
    no longer than that, and if the block takes longer, another thread may enter it at the same
    time. Choose *expires* well above the time that the block takes.

    If the server fails and a replica takes its place, another thread may acquire the lock at the
    same time. The option ``durable`` of a set doesn't change that: a replica that lacks the lock
    may be the one that takes over.

    - *redis*: a client of redis-py or valkey-py, with ``decode_responses`` or without.
    - *key*: the key on the server, which must not be used for anything else.
    - *expires*: seconds until the server frees a lock that was not released; default 20.
    - *timeout*: seconds to wait for the lock; 0 tries once; default 10.
    - *poll_interval*: seconds between two tries; default 0.2.

    Raises `InvalidTypeError` (a `TypeError`) or `InvalidValueError` (a `ValueError`) for
    arguments that can't be used.

    Source: ``redset.locks.Lock`` of redset 0.4; ``SET key token NX PX`` of Redis.
    """

    def __init__(
        self,
        redis: Any,
        key: str | bytes,
        expires: float | None = None,
        timeout: float | None = None,
        poll_interval: float | None = None,
    ) -> None:
        super().__init__(redis, key, expires, timeout, poll_interval)
        # The thread is asked for at each call: gevent may have replaced threads by greenlets since.
        self._held: WeakKeyDictionary[Any, tuple[int, Any, bytes]] = WeakKeyDictionary()

    def acquire(self) -> Literal[True]:
        """Wait until this thread holds the lock; return ``True``.

        Raises: `LockTimeout` after *timeout* seconds.
        Cost: 1 round trip if the lock is free, otherwise 2 for each try; 1 more after a call that
        failed. Atomic.
        """
        for pid, lock, token in list(self._unanswered):
            if pid == this_process():
                _free(lock, token)
            with contextlib.suppress(ValueError):  # another thread was faster
                self._unanswered.remove((pid, lock, token))
        lock = self.redis.lock(self.key, timeout=self.expires)
        token = token_hex(16).encode()
        deadline = monotonic() + self.timeout
        too_late: LockTimeout | None = None
        try:
            while not self._try(lock, token):
                left = deadline - monotonic()
                if left <= 0:
                    too_late = self._timed_out()
                    raise too_late
                time.sleep(min(self.poll_interval, left))
            self._held[threading.current_thread()] = (this_process(), lock, token)
        except BaseException as error:
            # Also if a signal handler raised it after the reply.
            if error is not too_late:
                self._unanswered.append((this_process(), lock, token))
            raise
        return True

    def release(self) -> bool:
        """Free the lock; return whether this thread still held it.

        If the lock has expired, another thread may hold it by now: it is left as it is, and a
        warning is logged.

        After an error of the connection, the call can be repeated.

        Cost: 1 round trip. Atomic.
        """
        thread = threading.current_thread()
        held = self._held.get(thread)
        if held is not None:
            pid, lock, token = held
            # A forked child inherits the token, but the lock remains its parent's.
            is_freed = pid == this_process() and _free(lock, token)
            # Only now: after an error of the connection, the call can be repeated.
            self._held.pop(thread, None)
            if is_freed or pid != this_process():
                return is_freed
        self._warn()
        return False

    def _try(self, lock: Any, token: bytes) -> bool:
        if compat.try_to_lock(lock, token):
            return True
        # If the reply to a SET is lost, the client repeats it, and NX fails because of its own
        # token.
        return bool(self.redis.execute_command("GET", self.key, **compat.RAW) == token)

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()


def _free(lock: Any, token: bytes) -> bool:
    try:
        compat.unlock(lock, token)
    except ValueError:  # LockNotOwnedError, of redis-py or of valkey-py
        return False
    return True


def _seconds(
    key: str | bytes, argument: str, value: object, *, default: float, least: float
) -> float:
    if value is None:
        return default
    wanted = f"redset lock {shown(key)}: {argument} must be a number of seconds, at least {least:g}"
    if isinstance(value, bool) or not isinstance(value, Real | Decimal):
        raise InvalidTypeError(f"{wanted}, got {shown(value)}")
    try:
        seconds = float(value)
    except (OverflowError, ValueError):
        seconds = math.inf
    if not (math.isfinite(seconds) and seconds >= least):
        raise InvalidValueError(f"{wanted}, got {shown(value)}")
    return min(seconds, LONGEST_SECONDS)
