"""Consumers, awaited: `redset.consumers` for asyncio."""

from collections.abc import AsyncGenerator, AsyncIterator
from types import TracebackType
from typing import TYPE_CHECKING, Generic, Self, TypeVar

import redset.consumers
from redset._core.consuming import Work
from redset._core.driver import SubscriptionReuse
from redset.asyncio.leases import Lease
from redset.asyncio.tasks import to_the_end
from redset.asyncio.twins import documented

if TYPE_CHECKING:
    from redset.asyncio.handing_out import HandingOut

T = TypeVar("T")


@documented(redset.consumers.Consumer)
class Consumer(AsyncIterator[T]):
    """The items that one worker is handed out, one after the other; from `consume` of a set.

    As `redset.Consumer`, with ``async for`` and ``async with``. A task that is cancelled at work
    gives its item back, and the delivery doesn't count, if the loop stands in such a block.
    """

    def __init__(self, handle: "HandingOut[T]", work: Work[T]) -> None:
        self._handle, self._work = handle, work
        self._items = _consume(handle, work)

    async def __anext__(self) -> T:
        return await anext(self._items)

    @property
    def lease(self) -> Lease[T]:
        lease: Lease[T] = self._work.current_lease()
        return lease

    @property
    def deliveries(self) -> int:
        return self._work.deliveries

    def attempt(self) -> "Attempt[T]":
        return Attempt(self)

    async def close(self) -> None:
        await self._items.aclose()

    async def aclose(self) -> None:
        """As `close`, under the name that `contextlib.aclosing` knows."""
        await self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._work.left_by(error)
        await self.close()

    async def _failed(self, error: Exception) -> None:
        """Give the item at hand back."""
        work = self._work
        try:
            work.log_and_tell(self._handle._spec.label, error)
        finally:
            hold = work.at_hand
            if hold is not None and hold.member in work.lease.open:
                how = self._handle._failure(work.delay(error), error)
                plan = self._handle._to_settle(work.lease, how, [hold.member])
                await to_the_end(work.lease._leave(plan))


class Attempt(Generic[T]):
    """The block of `Consumer.attempt`."""

    def __init__(self, consumer: Consumer[T]) -> None:
        self._consumer = consumer

    async def __aenter__(self) -> Consumer[T]:
        return self._consumer

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        if isinstance(error, Exception):
            await self._consumer._failed(error)
            return True
        if error is not None:
            self._consumer._work.error = error
        return False


async def _consume(handle: "HandingOut[T]", work: Work[T]) -> AsyncGenerator[T, None]:
    """Hand out items; refers to no `Consumer`, so that one that is dropped ends soon."""
    settings = work.settings
    stopped = settings.stopped
    reuse = SubscriptionReuse()
    lease: Lease[T] | None = None
    at_hand: BaseException | None = None
    try:
        while not (stopped and stopped()):
            if lease is not None:
                lease._end_renewal()
            holds = await handle._run(handle._to_consume(settings, lease), reuse.slot(handle.key))
            if lease is not None:
                lease.log_lost()
            lease = None
            if not holds:
                return
            lease = Lease(handle, holds, settings.ttl, renew=settings.renew)
            work.begin(lease)
            for hold in list(lease.open.values()):
                if stopped and stopped():
                    return
                await lease._check_time()
                if hold.member in lease.open:
                    work.at_hand = hold
                    try:
                        yield hold.item
                    except BaseException as error:
                        at_hand = work.error or error
                        raise
                    work.at_hand = None
                work.done += 1
    finally:
        try:
            if lease is not None:
                # Who is cancelled here has done his work, or given it back, all the same.
                await to_the_end(_leave(handle, work, lease, at_hand))
        finally:
            reuse.end()
            # An error refers to this frame: nothing is to wait for the collector.
            at_hand = work.error = None


async def _leave(
    handle: "HandingOut[T]", work: Work[T], lease: Lease[T], error: BaseException | None
) -> None:
    """Settle what is left of the last lease; *error* ended the item at hand, if there is one."""
    lease._end_renewal()
    delay = 0.0
    try:
        if error is not None:
            delay = work.delay(error)
    finally:
        await lease._leave(handle._to_leave(lease, work.done, delay, error))
        lease.log_lost()
