# Written by tools/generate.py from redset/asyncio/consumers.py: change that, then `make generate`.
"""Consumers: the loop of a worker, whose items are done when it asks for the next."""

from collections.abc import Callable, Generator, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from redset._plans import settling
from redset._plans.consuming import Settings, Work
from redset._plans.leased import LeasedItems
from redset._protocol.config import Plan
from redset._support.exits import close_at_exit
from redset._transport.driver import SubscriptionReuse
from redset._transport.runner import PlanRunner
from redset.leases import Lease

if TYPE_CHECKING:
    from redset.sets import RedisSortedSet

T = TypeVar("T")
C = TypeVar("C", bound="BaseConsumer[Any]")

# What leases the next items, and acknowledges those that are done.
Step = Callable[[Any, Settings, LeasedItems[T] | None], Plan[LeasedItems[T]]]


class BaseConsumer(Generic[T]):
    """What `Consumer` and `FirstConsumer` share."""

    def __init__(
        self,
        runner: PlanRunner[Any],
        step: Step[T],
        sets: tuple[Any, ...],
        work: Work[T],
    ) -> None:
        self._runner, self._work = runner, work
        self._items = _consume(runner, step, sets, work)
        close_at_exit(self._items)

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

    def close(self) -> None:
        """End: what is done is acknowledged, the rest given back. For a loop that was left."""
        self._items.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._work.left_by(error)
        self.close()

    def _failed(self, error: Exception) -> None:
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
                lease._leave(settling.settle, lease._held, how, members)


class Consumer(BaseConsumer[T], Iterator[T]):
    """The items that one worker is handed out, one after the other; from `consume`.

    A ``for`` loop is enough. As a context manager around the loop it also learns of the
    error that leaves it: `dead_letters` has its text, and ``SystemExit`` or
    ``KeyboardInterrupt`` don't count as a delivery.

    >>> import redset
    >>> jobs = redset.RedisSortedSet(redset.connect(), "jobs", max_deliveries=2)
    >>> jobs.update(["7", "seven"])
    >>> with jobs.consume(timeout=0, on_error=lambda job, error: None) as work:
    ...     for job in work:
    ...         with work.attempt():
    ...             print(int(job), work.deliveries)
    7 1
    >>> [(letter.item, letter.reason, letter.deliveries) for letter in jobs.dead_letters()]
    [('seven', 'failed', 2)]

    """

    def __next__(self) -> T:
        return next(self._items)


class FirstConsumer(BaseConsumer[T], Iterator[tuple["RedisSortedSet[T]", T]]):
    """The sets and items that one worker is handed out; from `consume` of `FirstOf`.

    As `Consumer`; ``lease.source`` is the set of the item at hand, too.
    """

    def __next__(self) -> tuple["RedisSortedSet[T]", T]:
        item = next(self._items)
        return self.lease.source, item


class Attempt(Generic[C]):
    """The block of `Consumer.attempt`."""

    def __init__(self, consumer: C) -> None:
        self._consumer = consumer

    def __enter__(self) -> C:
        return self._consumer

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        if isinstance(error, Exception):
            self._consumer._failed(error)
            return True
        if error is not None:
            self._consumer._work.error = error
        return False


def _consume(
    runner: PlanRunner[Any], step: Step[T], sets: tuple[Any, ...], work: Work[T]
) -> Generator[T, None, None]:
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
            held = runner.run_in(slot, step, settings, done)
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
                lease._check_time()
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
                _leave(work, lease, at_hand)
        finally:
            reuse.end()
            # An error refers to this frame: nothing is to wait for the collector.
            at_hand = work.error = None


def _leave(work: Work[T], lease: Lease[T], error: BaseException | None) -> None:
    """Settle what is left of the last lease; *error* ended the item at hand, if there is one."""
    lease._end_renewal()
    delay = 0.0
    try:
        if error is not None:
            delay = work.delay(error)
    finally:
        lease._leave(settling.leave, lease._held, work.done, delay, error)
        lease._held.log_lost()
