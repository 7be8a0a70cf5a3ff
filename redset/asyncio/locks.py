"""A lock between processes, awaited; `redset.locks` describes it."""

import asyncio
import contextlib
from secrets import token_hex
from types import TracebackType
from typing import Any, Literal, Self
from weakref import WeakKeyDictionary

from redset._support.clock import monotonic
from redset._support.forks import this_process
from redset._transport import compat
from redset._transport.tasks import run_shielded, spawn
from redset.locks import BaseLock


class Lock(BaseLock):
    """Let one task of all processes at a time into a block of code.

    >>> async with Lock(client, "nightly-report", expires=60):  # doctest: +SKIP
    ...     await write_report()

    As `redset.locks.Lock`, but it belongs to the task that acquired it. If a task is cancelled
    while it waits for the lock, it doesn't hold the lock, also if the server had just granted it.
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
        self._held: WeakKeyDictionary[Any, tuple[int, Any, bytes]] = WeakKeyDictionary()

    async def acquire(self) -> Literal[True]:
        """Wait until this task holds the lock; return ``True``.

        Raises: `LockTimeout` after *timeout* seconds.
        Cost: 1 round trip if the lock is free, otherwise 2 for each try; 1 more after a call that
        failed. Atomic.
        """
        pool = compat.pool_of(self.redis)
        if pool is not None:
            compat.forget_other_loops(pool, asyncio.get_running_loop(), forked=False)
        for pid, lock, token in list(self._unanswered):
            if pid == this_process():
                await _release(lock, token)
            with contextlib.suppress(ValueError):  # another task was faster
                self._unanswered.remove((pid, lock, token))
        lock = self.redis.lock(self.key, timeout=self.expires)
        token = token_hex(16).encode()
        deadline = monotonic() + self.timeout
        while not await self._try(lock, token):
            left = deadline - monotonic()
            if left <= 0:
                raise self._timed_out()
            await asyncio.sleep(min(self.poll_interval, left))
        self._held[asyncio.current_task()] = (this_process(), lock, token)
        return True

    async def release(self) -> bool:
        """Free the lock; return whether this task still held it.

        If the lock has expired, another task may hold it by now: it is left as it is, and a warning
        is logged.

        After an error of the connection, the call can be repeated.

        Cost: 1 round trip. Atomic.
        """
        task = asyncio.current_task()
        held = self._held.get(task)
        if held is not None:
            pid, lock, token = held
            # A forked child inherits the token, but the lock remains its parent's. The lock is
            # freed in any case, also if this task is cancelled during the release.
            is_freed = pid == this_process() and await run_shielded(_release(lock, token))
            # Only now: after an error of the connection, the call can be repeated.
            self._held.pop(task, None)
            if is_freed or pid != this_process():
                return is_freed
        self._warn()
        return False

    async def _try(self, lock: Any, token: bytes) -> bool:
        attempt = spawn(self._attempt(lock, token))
        try:
            return await asyncio.shield(attempt)
        except asyncio.CancelledError:
            spawn(self._undo(attempt, lock, token))
            raise

    async def _attempt(self, lock: Any, token: bytes) -> bool:
        try:
            if await compat.try_to_lock(lock, token):
                return True
            # If the reply to a SET is lost, the client repeats it, and NX fails because of its own
            # token.
            held = await self.redis.execute_command("GET", self.key, **compat.RAW)
        except BaseException:
            self._unanswered.append((this_process(), lock, token))
            raise
        return bool(held == token)

    async def _undo(self, attempt: "asyncio.Task[bool]", lock: Any, token: bytes) -> None:
        with contextlib.suppress(Exception):
            if await attempt:
                try:
                    await _release(lock, token)
                except BaseException:
                    self._unanswered.append((this_process(), lock, token))
                    raise

    async def __aenter__(self) -> Self:
        await self.acquire()
        return self

    async def __aexit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.release()


async def _release(lock: Any, token: bytes) -> bool:
    try:
        await compat.unlock(lock, token)
    except ValueError:  # LockNotOwnedError, of redis-py or of valkey-py
        return False
    return True
