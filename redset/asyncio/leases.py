"""Leases, awaited: `redset.leases` for asyncio, with a task instead of the thread that renews."""

import asyncio
import logging
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

import redset.leases
from redset._core.leasing import Holds, counts
from redset._core.spec import Plan
from redset.asyncio.tasks import to_the_end
from redset.asyncio.twins import documented
from redset.exceptions import LeaseLost
from redset.leases import RENEW_AFTER

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
        super().__init__(holds.spec, holds.name, list(holds.open.values()), holds.deadline)
        self._handle, self._ttl = handle, ttl
        self._guard = asyncio.Lock()
        self._renewal = Renewal(self, ttl) if renew and holds else None

    def deliveries(self, item: T) -> int:
        [member] = self.members([item])
        return self.open[member].deliveries

    async def ack(self, *items: T) -> None:
        await self._settle(self._handle._to_ack(self, items))

    async def release(
        self, *items: T, delay: float = 0.0, score: Any = None, count: bool = True
    ) -> None:
        await self._settle(self._handle._to_release(self, items, delay, score, count))

    async def extend(self, ttl: float | None = None) -> None:
        await self._settle(self._handle._to_extend(self, self._ttl if ttl is None else ttl))

    async def ack_first(self, count: int) -> None:
        try:
            await self._settle(self._handle._to_ack_first(self, count))
        except LeaseLost as lost:
            logger.warning("%s", lost)
        except Exception:
            logger.exception("redset %r: can't acknowledge items of a lease", self.spec.label)

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
        if self._renewal is not None:
            self._renewal.stop()
        # Who is cancelled here has done his work, or given it back, all the same.
        await to_the_end(self._finish() if error is None else self._give_back(error))

    async def _give_back(self, error: BaseException) -> None:
        try:
            await self.release(count=counts(error))
        except LeaseLost as lost:
            logger.warning("%s", lost)
        except Exception:
            # The error of the block matters more; what stays on lease comes back by itself.
            logger.exception("redset %r: can't give items of a lease back", self.spec.label)

    async def _finish(self) -> None:
        lost = [] if self._renewal is None else self._renewal.lost
        try:
            await self.ack()
        except LeaseLost as error:
            lost = lost + error.items
        if lost:
            raise LeaseLost(self.spec.name, lost)


class Renewal:
    """A task that prolongs a lease again and again until it is stopped."""

    def __init__(self, lease: Lease[Any], ttl: float) -> None:
        self._lease, self._ttl = lease, ttl
        self.lost: list[Any] = []
        name = f"redset lease of {lease.spec.label}"
        self._task = asyncio.get_running_loop().create_task(self._run(), name=name)

    def stop(self) -> None:
        """Let the lease run out, or be settled."""
        self._task.cancel()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._ttl * RENEW_AFTER)
            if not self._lease.open:
                return
            try:
                await self._lease.extend()
            except LeaseLost as error:
                self.lost += error.items
            except Exception:
                logger.exception("redset %r: can't renew a lease", self._lease.spec.label)
