"""Leases, awaited: `redset.leases` for asyncio."""

import asyncio
import contextlib
import logging
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

import redset.leases
from redset._core.leasing import Holds
from redset._core.spec import Plan
from redset.asyncio.renewals import Renewal
from redset.asyncio.tasks import to_the_end
from redset.asyncio.twins import documented
from redset.exceptions import LeaseLost

if TYPE_CHECKING:
    from redset.asyncio.handing_out import HandingOut

T = TypeVar("T")

logger = logging.getLogger("redset")


@documented(redset.leases.Lease)
class Lease(Holds[T]):
    """A sequence of items that nobody else is given until ``deadline``; from `lease` of a set.

    As an asynchronous context manager it acknowledges, at a normal exit, all items that were
    neither acknowledged nor released; at an exception, a cancellation too, it releases them. A
    cancellation comes from outside, and the delivery doesn't count then. The
    sequence itself is there: indexes, ``len`` and ``for`` await nothing.

    Attributes:
        deadline: when it runs out, in UNIX seconds of the server's clock.

    """

    def __init__(
        self, handle: "HandingOut[T]", holds: Holds[T], ttl: float, *, renew: bool
    ) -> None:
        vars(self).update(vars(holds))  # which nobody uses any more
        self._handle, self._ttl = handle, ttl
        self._guard = asyncio.Lock()
        name = f"redset lease of {self.spec.label}"
        self._renewal = Renewal(self, ttl, name) if renew and holds else None

    async def ack(self, *items: T, again_at: Any = None) -> None:
        await self._settle(self._handle._to_ack(self, items, again_at))

    async def release(
        self,
        *items: T,
        delay: float = 0.0,
        score: Any = None,
        count: bool = True,
        error: object = None,
    ) -> None:
        await self._settle(self._handle._to_release(self, items, delay, score, count, error))

    async def reject(self, *items: T, error: object = None) -> None:
        await self._settle(self._handle._to_reject(self, items, error))

    async def extend(self, ttl: float | None = None) -> None:
        await self._settle(self._handle._to_extend(self, self._ttl if ttl is None else ttl))

    async def _renew(self) -> bool:
        """Hold what is left for longer; say whether anything is left."""
        if self.open:
            try:
                await self._hold_on()
            except Exception:
                logger.exception("redset %r: can't renew a lease", self.spec.label)
        return bool(self.open)

    async def _hold_on(self) -> None:
        """Hold what is left for longer; `lost` has what was lost."""
        with contextlib.suppress(LeaseLost):
            await self._settle(self._handle._to_extend(self, self._ttl, "renew"))

    async def _check_time(self) -> None:
        """Learn what is still held, if the lease may have run out: a process may be stopped."""
        if monotonic() >= self.until and self.open:
            await self._hold_on()

    def _end_renewal(self) -> None:
        if self._renewal is not None:
            self._renewal.stop()

    async def _leave(self, plan: Plan[None]) -> None:
        """Settle what is left when a block is being left; see `redset.leases`."""
        try:
            with contextlib.suppress(LeaseLost):
                await self._settle(plan)
        except Exception:
            logger.exception("redset %r: can't give items of a lease back", self.spec.label)

    async def _settle(self, plan: Plan[None]) -> None:
        async with self._guard:
            await self._handle._run(plan)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end_renewal()
        # Who is cancelled here has done his work, or given it back, all the same.
        await to_the_end(self._finish() if error is None else self._give_back(error))

    async def _give_back(self, error: BaseException) -> None:
        await self._leave(self._handle._to_give_back(self, error))
        self.log_lost()

    async def _finish(self) -> None:
        with contextlib.suppress(LeaseLost):
            await self._settle(self._handle._to_finish(self))
        if self.lost:
            raise self.loss()
