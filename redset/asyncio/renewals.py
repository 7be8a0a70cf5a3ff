"""Renewals, awaited: `redset.renewals` for asyncio, with a timer instead of the thread."""

import asyncio
import weakref
from typing import Protocol

from redset import renewals


class Renewable(Protocol):
    """What runs out unless it is renewed."""

    async def _renew(self) -> bool:
        """Prolong it; return whether there is anything left to be prolonged."""
        ...


class Renewal:
    """Renews something again and again until it is stopped, or nobody refers to that any more."""

    def __init__(self, renewed: Renewable, ttl: float, name: str) -> None:
        self._renewed, self._pause = weakref.ref(renewed), ttl * renewals.RENEW_AFTER
        self._name = name
        self._task: asyncio.Task[None] | None = None
        self._stopped = False
        self._wait()

    def stop(self) -> None:
        """Let it run out, or be settled."""
        self._stopped = True
        self._timer.cancel()
        if self._task is not None:
            self._task.cancel()

    def _wait(self) -> None:
        # Most things end before: a timer costs less than a task.
        self._timer = asyncio.get_running_loop().call_later(self._pause, self._begin)

    def _begin(self) -> None:
        renewed = self._renewed()
        if renewed is not None:
            self._task = asyncio.get_running_loop().create_task(
                self._renew(renewed), name=self._name
            )

    async def _renew(self, renewed: Renewable) -> None:
        if await renewed._renew() and not self._stopped:
            self._wait()
