"""Handing out: `redset.handing_out` for asyncio."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, Self, TypeVar

import redset.handing_out
from redset._core import leasing
from redset._core.arguments import check_stop
from redset._core.driver import SubscriptionReuse
from redset._core.leasing import Leased, Stats, Stopped
from redset._core.sources import pull
from redset._core.spec import Plan
from redset.asyncio.handle import Opening
from redset.asyncio.leases import Lease
from redset.asyncio.ordered import Ordered
from redset.asyncio.tasks import within
from redset.asyncio.twins import documented
from redset.exceptions import LeaseLost
from redset.handing_out import LEASED_PAGE

T = TypeVar("T")
R = TypeVar("R")

logger = logging.getLogger("redset")

# How long a cancelled task waits for what it was given to be back; that goes on without it.
TAKE_BACK_SECONDS = 0.2


@documented(redset.handing_out.HandingOut)
class HandingOut(Ordered[T]):
    """Every item to exactly one taker: at once, or until it is acknowledged."""

    async def pop(self, *, timeout: float | None = 0.0) -> T | None:
        return await self._take_out(self._to_pop(timeout))

    async def take(self, num: int, *, timeout: float | None = 0.0) -> list[T]:
        return await self._take_out(self._to_take(num, timeout))

    async def _take_out(self, plan: Plan[R]) -> R:
        before = self._connection.cancelled_after_send
        try:
            return await self._run(plan)
        except asyncio.CancelledError:
            # Nobody may ever call this handle again. What somebody else's task had sent
            # meanwhile may count, too: then there is nothing to take back.
            if self._connection.cancelled_after_send > before:
                await within(TAKE_BACK_SECONDS, self._run(self._to_take_back()))
            raise

    def lease(
        self,
        num: int = 1,
        ttl: float = 30.0,
        *,
        timeout: float | None = 0.0,
        renew: bool = False,
        max_deliveries: int | None = None,
    ) -> Opening[Lease[T]]:
        async def open_lease() -> Lease[T]:
            holds = await self._run(self._to_lease(num, ttl, timeout, max_deliveries))
            return Lease(self, holds, float(ttl), renew=renew)

        return Opening(open_lease())

    async def consume(
        self,
        batch: int = 1,
        ttl: float = 30.0,
        *,
        timeout: float | None = None,
        renew: bool = True,
        max_deliveries: int | None = None,
        stop: Any = None,
    ) -> AsyncGenerator[T, None]:
        self._check_batch(batch)
        stopped = check_stop(self._name, stop)
        reuse = SubscriptionReuse()
        try:
            while not (stopped and stopped()) and (
                holds := await self._run(
                    self._to_lease(batch, ttl, timeout, max_deliveries, stopped, goes_on=True),
                    reuse.slot(),
                )
            ):
                lease = Lease(self, holds, float(ttl), renew=renew)
                done = 0
                try:
                    async with lease:
                        try:
                            for item in lease:
                                if stopped and stopped():
                                    raise Stopped
                                yield item
                                done += 1
                        except BaseException:
                            await lease.ack_first(done)
                            raise
                except Stopped:
                    return
                except LeaseLost as lost:
                    logger.warning("%s", lost)
        finally:
            reuse.end()

    async def leased(self) -> AsyncIterator[Leased[T]]:
        held = self._leased_members().items()
        while page := await pull(held, LEASED_PAGE):
            for entry in await self._run(leasing.entries(self._spec, page)):
                yield entry

    @property
    def dead(self) -> Self:
        return self._sibling(self._companion("dead"))

    async def requeue(self, *items: T) -> int:
        return await self._run(leasing.requeue(self._spec, items))

    async def stats(self) -> Stats:
        return await self._run(leasing.stats(self._spec, self._highest()))
