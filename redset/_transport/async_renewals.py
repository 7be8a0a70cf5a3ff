"""Renewals for asyncio: `redset._transport.renewals`, with timers instead of the thread."""

import asyncio
import weakref
from typing import Any, Protocol

from redset._transport import renewals


class Renewable(Protocol):
    """What runs out unless it is renewed."""

    async def _renew(self) -> float | None:
        """Prolong it; return for how many seconds, ``None`` if nothing is left of it."""
        ...


class Renewer:
    """Renews one thing again and again until it is ended, or nobody refers to that any more."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._ended = False

    def begin(self, renewed: Renewable, ttl: float) -> None:
        """Renew what has *ttl* seconds from now on."""
        self._renewed, self._pause = weakref.ref(renewed), ttl * renewals.RENEW_AFTER
        self._wait()

    def end(self, _renewed: object = None) -> None:
        """Let it run out, or be settled."""
        self._ended = True
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()

    def _wait(self) -> None:
        # Most things end before: a timer costs less than a task.
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
    """Return one for a lease."""
    return Renewer("redset lease")


class Guard:
    """Lets one task at a time settle items of a lease."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()

    def get(self) -> asyncio.Lock:
        """Return what is entered for it."""
        return self._lock


def new_guard() -> Guard:
    """Return a guard that nobody has entered."""
    return Guard()
