"""Consumers: the loop of a worker, each of whose items is done when it asks for the next one."""

from collections.abc import Generator, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Generic, Self, TypeVar

from redset._core.consuming import Work
from redset._core.driver import SubscriptionReuse
from redset.leases import Lease

if TYPE_CHECKING:
    from redset.handing_out import HandingOut

T = TypeVar("T")


class Consumer(Iterator[T]):
    """The items that one worker is handed out, one after the other; from `consume` of a set.

    A ``for`` loop is enough. As a context manager around the loop it also learns of the error that
    leaves it: `dead_letters` has its text, and ``SystemExit`` or ``KeyboardInterrupt`` don't count
    as a delivery.

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

    def __init__(self, handle: "HandingOut[T]", work: Work[T]) -> None:
        self._handle, self._work = handle, work
        self._items = _consume(handle, work)

    def __next__(self) -> T:
        return next(self._items)

    @property
    def lease(self) -> Lease[T]:
        """The lease of the item at hand. No I/O. Raises: ``ValueError`` before the first one."""
        lease: Lease[T] = self._work.current_lease()
        return lease

    @property
    def deliveries(self) -> int:
        """How often the item at hand was handed out, this time included; 0 without one. No I/O."""
        return self._work.deliveries

    def attempt(self) -> "Attempt[T]":
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
            work.log_and_tell(self._handle._spec.label, error)
        finally:
            hold = work.at_hand
            if hold is not None and hold.member in work.lease.open:
                how = self._handle._failure(work.delay(error), error)
                work.lease._leave(self._handle._to_settle(work.lease, how, [hold.member]))


class Attempt(Generic[T]):
    """The block of `Consumer.attempt`."""

    def __init__(self, consumer: Consumer[T]) -> None:
        self._consumer = consumer

    def __enter__(self) -> Consumer[T]:
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


def _consume(handle: "HandingOut[T]", work: Work[T]) -> Generator[T, None, None]:
    """Hand out items; refers to no `Consumer`, so that one that is dropped ends at once."""
    settings = work.settings
    stopped = settings.stopped
    reuse = SubscriptionReuse()
    lease: Lease[T] | None = None
    at_hand: BaseException | None = None
    try:
        while not (stopped and stopped()):
            if lease is not None:
                lease._end_renewal()
            done = None if lease is None or lease._is_a_copy() else lease
            holds = handle._run(handle._to_consume(settings, done), reuse.slot(handle.key))
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
                lease._check_time()
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
            if lease is not None and not lease._is_a_copy():
                _leave(handle, work, lease, at_hand)
        finally:
            reuse.end()
            # An error refers to this frame: nothing is to wait for the collector.
            at_hand = work.error = None


def _leave(
    handle: "HandingOut[T]", work: Work[T], lease: Lease[T], error: BaseException | None
) -> None:
    """Settle what is left of the last lease; *error* ended the item at hand, if there is one."""
    lease._end_renewal()
    delay = 0.0
    try:
        if error is not None:
            delay = work.delay(error)
    finally:
        lease._leave(handle._to_leave(lease, work.done, delay, error))
        lease.log_lost()
