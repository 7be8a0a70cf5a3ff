# asyncio
"""Consumers, for asyncio: the loop of a worker, whose items are done when it asks for the next.

The one source of both surfaces, as `redset.asyncio._methods` is.
"""
# end
# sync: """Consumers: the loop of a worker, whose items are done when it asks for the next."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from redset._plans import settling
from redset._plans.consuming import Settings, Work
from redset._plans.leased import LeasedItems
from redset._protocol.config import Plan

# sync: from redset._support.exits import close_at_exit
from redset._transport.async_runner import AsyncPlanRunner, run_shielded
from redset._transport.driver import SubscriptionReuse
from redset.asyncio.leases import Lease

if TYPE_CHECKING:
    from redset.asyncio.sets import RedisSortedSet

T = TypeVar("T")
C = TypeVar("C", bound="BaseConsumer[Any]")

# What leases the next items, and acknowledges those that are done.
Step = Callable[[Any, Settings, LeasedItems[T] | None], Plan[LeasedItems[T]]]


class BaseConsumer(Generic[T]):
    """What `Consumer` and `FirstConsumer` share."""

    def __init__(
        self,
        runner: AsyncPlanRunner[Any],
        step: Step[T],
        sets: tuple[Any, ...],
        work: Work[T],
    ) -> None:
        self._runner, self._work = runner, work
        self._items = _consume(runner, step, sets, work)
        # sync: close_at_exit(self._items)

    @property
    def lease(self) -> Lease[T]:
        """The lease of the item at hand. No I/O. Raises: ``ValueError`` before the first one."""
        lease: Lease[T] = self._work.current_lease()
        return lease

    @property
    def deliveries(self) -> int:
        """How often the item at hand was handed out, this time included; 0 without one. No I/O."""
        return self._work.deliveries

    def attempt(self) -> "Attempt[Self]":
        """Give the item at hand back if the block fails, so that the loop goes on with the next.

        An ``Exception`` ends there, and is logged unless there is an ``on_error``; the item is
        ready again after ``retry_delay``. ``SystemExit`` and the like pass through.
        """
        return Attempt(self)

    async def close(self) -> None:
        """End: what is done is acknowledged, the rest given back. For a loop that was left."""
        await self._items.aclose()

    # asyncio
    async def aclose(self) -> None:
        """As `close`, under the name that `contextlib.aclosing` knows."""
        await self.close()

    # end
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
            runner = self._runner if work.at_hand is None else work.lease._runner
            work.log_and_tell(runner.config.label, error)
        finally:
            item, lease = work.at_hand, work.lease
            if item is not None and item.member in lease._held.unsettled:
                how = settling.failure(work.delay(error), error)
                members = [item.member]
                await run_shielded(lease._leave(settling.settle, lease._held, how, members))


class Consumer(BaseConsumer[T], AsyncIterator[T]):
    # asyncio
    """The items that one worker is handed out, one after the other; from `consume` of a set.

    As `redset.Consumer`, with ``async for`` and ``async with``. A task that is cancelled at work
    gives its item back, and the delivery doesn't count, if the loop stands in such a block.
    """

    # end
    # sync: """The items that one worker is handed out, one after the other; from `consume`.
    # sync:
    # sync: A ``for`` loop is enough. As a context manager around the loop it also learns of the
    # sync: error that leaves it: `dead_letters` has its text, and ``SystemExit`` or
    # sync: ``KeyboardInterrupt`` don't count as a delivery.
    # sync:
    # sync: >>> import redset
    # sync: >>> jobs = redset.RedisSortedSet(redset.connect(), "jobs", max_deliveries=2)
    # sync: >>> jobs.update(["7", "seven"])
    # sync: >>> with jobs.consume(timeout=0, on_error=lambda job, error: None) as work:
    # sync: ...     for job in work:
    # sync: ...         with work.attempt():
    # sync: ...             print(int(job), work.deliveries)
    # sync: 7 1
    # sync: >>> [(letter.item, letter.reason, letter.deliveries) for letter in jobs.dead_letters()]
    # sync: [('seven', 'failed', 2)]
    # sync:
    # sync: """

    async def __anext__(self) -> T:
        return await anext(self._items)


class FirstConsumer(BaseConsumer[T], AsyncIterator[tuple["RedisSortedSet[T]", T]]):
    """The sets and items that one worker is handed out; from `consume` of `FirstOf`.

    As `Consumer`; ``lease.source`` is the set of the item at hand, too.
    """

    async def __anext__(self) -> tuple["RedisSortedSet[T]", T]:
        item = await anext(self._items)
        return self.lease.source, item


class Attempt(Generic[C]):
    """The block of `Consumer.attempt`."""

    def __init__(self, consumer: C) -> None:
        self._consumer = consumer

    async def __aenter__(self) -> C:
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


async def _consume(
    runner: AsyncPlanRunner[Any], step: Step[T], sets: tuple[Any, ...], work: Work[T]
) -> AsyncGenerator[T, None]:
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
            done = None if lease is None or lease._in_forked_child() else lease._held
            slot = reuse.slot(runner.config.keys)
            held = await runner.run_in(slot, step, settings, done)
            if lease is not None:
                lease._held.log_lost()
            lease = None
            if not held.items:
                return
            lease = Lease(sets[held.place], held, settings.ttl, renew=settings.renew)
            work.begin(lease)
            for leased in list(held.unsettled.values()):
                if stopped and stopped():
                    return
                await lease._check_time()
                if leased.member in held.unsettled:
                    work.at_hand = leased
                    try:
                        yield leased.item
                    except BaseException as error:
                        at_hand = work.error or error
                        raise
                    work.at_hand = None
                work.done += 1
    finally:
        try:
            if lease is not None and not lease._in_forked_child():
                # asyncio
                # Who is cancelled here has done his work, or given it back, all the same.
                # end
                await run_shielded(_leave(work, lease, at_hand))
        finally:
            reuse.end()
            # An error refers to this frame: nothing is to wait for the collector.
            at_hand = work.error = None


async def _leave(work: Work[T], lease: Lease[T], error: BaseException | None) -> None:
    """Settle what is left of the last lease; *error* ended the item at hand, if there is one."""
    lease._end_renewal()
    delay = 0.0
    try:
        if error is not None:
            delay = work.delay(error)
    finally:
        await lease._leave(settling.leave, lease._held, work.done, delay, error)
        lease._held.log_lost()
