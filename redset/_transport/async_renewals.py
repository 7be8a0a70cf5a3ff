"""Renewals for asyncio: `redset._transport.renewals`, with timers instead of the thread."""

import asyncio
import weakref
from typing import Any, Protocol

from redset._transport import renewals


class Renewable(Protocol):
    """An object that expires unless it is renewed."""

    async def _renew(self) -> float | None:
        """Renew it; return for how many seconds, ``None`` if nothing is left of it."""
        ...


class Renewer:
    """Renews one object repeatedly until it is ended, or the object is no longer referenced."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._ended = False

    def begin(self, renewed: Renewable, ttl: float) -> None:
        """Renew an object that has *ttl* seconds from now on."""
        self._renewed, self._pause = weakref.ref(renewed), ttl * renewals.RENEW_AFTER
        self._wait()

    def end(self, _renewed: object = None) -> None:
        """Stop renewing; the object then expires or is settled."""
        self._ended = True
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()

    def _wait(self) -> None:
        # Most renewals are ended before they are due: a timer costs less than a task.
        self._timer = asyncio.get_running_loop().call_later(self._pause, self._begin_to_renew)

    def _begin_to_renew(self) -> None:
        renewed = self._renewed()
        if renewed is not None:
            task = asyncio.get_running_loop().create_task(self._renew(renewed), name=self._name)
            self._task = task

    async def _renew(self, renewed: Renewable) -> None:
        if await renewed._renew() is not None and not self._ended:
            self._wait()


def renewer_of(_client: Any) -> Renewer:
    """Return a renewer for one lease."""
    return Renewer("redset lease")


class Guard:
    """Lets one task at a time settle items of a lease."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()

    def get(self) -> asyncio.Lock:
        """Return the lock to enter."""
        return self._lock


def new_guard() -> Guard:
    """Return a guard that no task has entered."""
    return Guard()
