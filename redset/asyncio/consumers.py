# asyncio
"""Consumers, for asyncio: the loop of a worker, which acknowledges an item by asking for the next.

The one source of both surfaces, as `redset.asyncio._methods` is.
"""
# end
# sync: """Consumers: the loop of a worker, which acknowledges an item by asking for the next."""

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from redset._plans import leases, settling
from redset._plans.consuming import Settings, Work
from redset._plans.leased import LeasedItems, log_kept
from redset._protocol.config import Plan

# sync: from redset._support.exits import close_at_exit, next_until_exit
from redset._support.words import shown
from redset._transport.async_runner import AsyncPlanRunner, is_of_the_call, run_shielded, undo_soon
from redset._transport.driver import SubscriptionReuse, SubscriptionSlot
from redset.asyncio.leases import Lease
from redset.exceptions import ConsumerInUse, NotDurable

if TYPE_CHECKING:
    from redset.asyncio.sets import RedisSortedSet

logger: logging.Logger = logging.getLogger("redset")

T = TypeVar("T")
C = TypeVar("C", bound="BaseConsumer[Any]")

# The plan that leases the next items, and acknowledges those that are done.
Step = Callable[[Any, Settings, LeasedItems[T] | None], Plan[LeasedItems[T]]]


class BaseConsumer(Generic[T]):
    """The methods that `Consumer` and `FirstConsumer` share."""

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
        """Return the lease of the current item. No I/O.

        Raises: ``ValueError`` before the first item.
        """
        lease: Lease[T] = self._work.current_lease()
        return lease

    @property
    def deliveries(self) -> int:
        """Return how often the current item was delivered, this time included. No I/O.

        0 if there is no current item.
        """
        return self._work.deliveries

    def attempt(self) -> "Attempt[Self]":
        """Return a context manager that releases the current item if its block fails.

        An ``Exception`` is suppressed, and the loop continues with the next item. The exception is
        passed to ``on_error``, or logged if there is none; the item is ready again after
        ``retry_delay``. ``SystemExit`` and other exceptions that are no ``Exception`` are not
        suppressed; if the loop goes on nevertheless (after ``asyncio.timeout`` around the block,
        for example), the item has failed like one with an ``Exception``.
        """
        return Attempt(self)

    async def close(self) -> None:
        """End the loop: acknowledge the items that are done, release the others.

        For a loop that was left early; a loop that has ended needs no call. To end a loop from
        outside, use *stop* of `consume`.

        Raises: `ConsumerInUse`, also a ``RuntimeError`` and ``ValueError``, while another task or
        thread waits for an item of it, or closes it.
        """
        try:
            await self._items.aclose()
        except (RuntimeError, ValueError) as error:
            # An error of the loop itself has that in its traceback: this one is the interpreter's.
            if error.__traceback__ is None or error.__traceback__.tb_next is not None:
                raise
            name = shown(self._runner.config.name)
            raise ConsumerInUse(
                f"redset {name}: another task or thread is using this consumer, so it can't be "
                "closed; to end that loop from outside, use the argument stop= of consume"
            ) from error

    # asyncio
    async def aclose(self) -> None:
        """Do what `close` does, under the name that `contextlib.aclosing` calls."""
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
        try:
            self._work.left_by(error)
        finally:
            await self.close()


class Consumer(BaseConsumer[T], AsyncIterator[T]):
    # asyncio
    """The items that are delivered to one worker, one by one; returned by `consume` of a set.

    As `redset.Consumer`, with ``async for`` and ``async with``. If the loop is in an ``async with``
    block of its consumer, and its task is cancelled, the current item is released, and the delivery
    doesn't count.
    """

    # end
    # sync: """The items that are delivered to one worker, one by one; returned by `consume`.
    # sync:
    # sync: A ``for`` loop is enough. If the consumer is also the context manager of a block around
    # sync: the loop, it receives the error that ends the loop: `dead_letters` shows its text, and
    # sync: if it is ``SystemExit`` or ``KeyboardInterrupt``, the delivery doesn't count.
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
        # asyncio
        return await anext(self._items)
        # end
        # sync: return next_until_exit(self._items)


class FirstConsumer(BaseConsumer[T], AsyncIterator[tuple["RedisSortedSet[T]", T]]):
    """The sets and items that are delivered to one worker; returned by `consume` of `FirstOf`.

    As `Consumer`; ``lease.source`` is the set of the current item, too.
    """

    async def __anext__(self) -> tuple["RedisSortedSet[T]", T]:
        # asyncio
        item = await anext(self._items)
        # end
        # sync: item = next_until_exit(self._items)
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
            await _failed(self._consumer._runner, self._consumer._work, error)
            return True
        if error is not None:
            self._consumer._work.error = error
        return False


async def _consume(
    runner: AsyncPlanRunner[Any], step: Step[T], sets: tuple[Any, ...], work: Work[T]
) -> AsyncGenerator[T, None]:
    """Deliver items without referring to the `Consumer`, so that a dropped one is closed soon."""
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
            held = await _next(runner, slot, step, sets, work, done)
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
                    if work.error is not None:
                        await _failed(runner, work, work.error)
                    work.at_hand = None
                work.done += 1
    finally:
        try:
            await _end(runner, step, sets, work, lease, at_hand)
        finally:
            reuse.end()
            # An error refers to this frame: this cycle would stay until a garbage collection.
            at_hand = work.error = work.unanswered = None


async def _failed(runner: AsyncPlanRunner[Any], work: Work[Any], error: BaseException) -> None:
    """Release the current item, and report *error*.

    If the *error* that ended the item's attempt is no ``Exception``, but the loop goes on, it has
    not ended the program or the task: the delivery counts.
    """
    work.error = None
    try:
        source = runner if work.at_hand is None else work.lease._runner
        work.log_and_report(source.config.label, error)
    finally:
        item, lease = work.at_hand, work.lease
        if item is not None and item.member in lease._held.unsettled:
            how = settling.counted_failure(work.retry_delay(), error)
            members = [item.member]
            unconfirmed = await run_shielded(
                lease._leave(settling.settle, lease._held, how, members)
            )
            if unconfirmed is not None:
                logger.warning("%s", unconfirmed)


async def _next(
    runner: AsyncPlanRunner[Any],
    slot: SubscriptionSlot | None,
    step: Step[T],
    sets: tuple[Any, ...],
    work: Work[T],
    done: LeasedItems[T] | None,
) -> LeasedItems[T]:
    """Acknowledge what is done and lease what is next, in one step."""
    try:
        return await runner.run_in(slot, step, work.settings, done)
    except NotDurable as error:
        await run_shielded(_return(sets, work.settings, error))
        raise
    except BaseException as error:
        work.unanswered = error
        raise


async def _end(
    runner: AsyncPlanRunner[Any],
    step: Step[T],
    sets: tuple[Any, ...],
    work: Work[T],
    lease: Lease[T] | None,
    error: BaseException | None,
) -> None:
    """Settle what is left when the loop ends; *error* is that of the current item, if any."""
    if lease is not None and lease._in_forked_child():
        lease = None
    if work.unanswered is not None and _has_open(sets):
        if lease is not None:
            await run_shielded(_give_back(runner, step, sets, work.settings, lease._held))
        # asyncio
        elif not isinstance(work.unanswered, Exception):
            await undo_soon(_give_back(runner, step, sets, work.settings, None))
        # end
    elif lease is not None:
        await run_shielded(_leave(work, lease, error))


async def _leave(work: Work[T], lease: Lease[T], error: BaseException | None) -> None:
    """Settle what is left of the last lease; if there is an *error*, the current item failed."""
    # asyncio
    # A task that is cancelled here has done its work: the items must still be settled (shielded).
    # end
    lease._end_renewal()
    delay = 0.0
    try:
        if error is not None:
            delay = work.delay(error)
    finally:
        unconfirmed = await lease._leave(settling.leave, lease._held, work.done, delay, error)
        lease._held.log_lost()
        if unconfirmed is not None:
            if error is None:
                raise unconfirmed
            logger.warning("%s", unconfirmed)


def _has_open(sets: tuple[Any, ...]) -> bool:
    return any(leases.slots_of(each._runner.config, last=False).any_open for each in sets)


async def _give_back(
    runner: AsyncPlanRunner[Any],
    step: Step[T],
    sets: tuple[Any, ...],
    settings: Settings,
    done: LeasedItems[T] | None,
) -> None:
    """Repeat a request that failed, for no items: those that were leased to it are returned.

    What it was to acknowledge is acknowledged once, and isn't taken for lost.
    """
    try:
        await runner.run(step, settings.for_nothing(), done)
        while _has_open(sets):
            await runner.run(step, settings.for_nothing(), done)
    except NotDurable as unconfirmed:
        logger.warning("%s", unconfirmed)
    except Exception as failure:
        if not is_of_the_call(failure):
            raise
        log_kept(runner.config.label, failure)
    if done is not None:
        done.log_lost()


async def _return(sets: tuple[Any, ...], settings: Settings, error: NotDurable) -> None:
    """Release the items of a request that was not confirmed: the loop doesn't receive them."""
    held, error.result = error.result, None
    if held is not None and held.items:
        lease: Lease[Any] = Lease(sets[held.place], held, settings.ttl, renew=False)
        # The loop raises *error*, which says as much as a second one would.
        await lease._leave(settling.leave, held, 0, 0.0, None)
