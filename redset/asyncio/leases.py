# asyncio
"""Leases, for asyncio: items that are delivered until a deadline, and are ready again after it.

The one source of both surfaces, as `redset.asyncio._methods` is.
"""
# end
# sync: """Leases: items that are delivered until a deadline, and are ready again after it."""

import logging
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast, overload

from redset._plans import settling
from redset._plans.leased import LeasedItems, log_kept
from redset._support.clock import monotonic
from redset._support.forks import this_process
from redset._transport.async_renewals import Renewer, new_guard, renewer_of
from redset._transport.async_runner import AsyncRunner, is_of_the_call, run_shielded
from redset._transport.runner import Operation, P
from redset.exceptions import NotDurable

if TYPE_CHECKING:
    from redset.asyncio.sets import RedisSortedSet

T = TypeVar("T")

logger: logging.Logger = logging.getLogger("redset")


class Lease(Sequence[T]):
    # asyncio
    """A sequence of items that no other consumer receives until ``deadline``; see `lease`.

    As an asynchronous context manager it acknowledges, at a normal exit, all items that were
    neither acknowledged nor released. At an exception it releases them, at a cancellation too: that
    comes from outside, and the delivery doesn't count then. The sequence itself is in memory:
    indexes, ``len`` and ``for`` await nothing.

    Attributes:
        deadline: when the lease expires, in UNIX seconds of the server's clock.

    """

    # end
    # sync: """A sequence of items that no other consumer receives until ``deadline``; see `lease`.
    # sync:
    # sync: As a context manager it acknowledges, at a normal exit, all items that were neither
    # sync: acknowledged nor released; at an exception it releases them. ``KeyboardInterrupt`` and
    # sync: ``SystemExit`` come from outside, and the delivery doesn't count then. Several threads
    # sync: may call the methods of one lease.
    # sync:
    # sync: >>> import redset
    # sync: >>> tasks = redset.RedisSortedSet(redset.connect(), "tasks")
    # sync: >>> tasks.update(["a", "b"])
    # sync: >>> with tasks.lease(10, ttl=60) as batch:
    # sync: ...     [task.upper() for task in batch]
    # sync: ['A', 'B']
    # sync: >>> tasks.stats().leased, len(tasks)
    # sync: (0, 0)
    # sync:
    # sync: Attributes:
    # sync:     deadline: when the lease expires, in UNIX seconds of the server's clock.
    # sync:
    # sync: """

    def __init__(self, source: Any, held: LeasedItems[T], ttl: float, *, renew: bool) -> None:
        self._source, self._held, self._ttl = source, held, ttl
        self._runner: AsyncRunner[T] = source._runner
        self._process = this_process()
        self._renewer: Renewer | None = None
        if renew and held.items:
            self._begin_renewal()

    @property
    def source(self) -> "RedisSortedSet[T]":
        """Return the set of the items. No I/O."""
        return cast("RedisSortedSet[T]", self._source)

    @property
    def deadline(self) -> float:
        """Return when the lease expires, in UNIX seconds of the server's clock. No I/O."""
        return self._held.deadline

    def deliveries(self, item: T) -> int:
        """Return how often *item* was delivered, this time included. No I/O.

        Raises: as `ack`.
        """
        return self._held.deliveries(item)

    @overload
    def __getitem__(self, index: int) -> T: ...

    @overload
    def __getitem__(self, index: slice) -> list[T]: ...

    def __getitem__(self, index: int | slice) -> T | list[T]:
        return self._held.items[index]

    def __len__(self) -> int:
        return len(self._held.items)

    async def ack(self, *items: T, again_at: Any = None) -> None:
        """Acknowledge *items*, or all that are left: they are done, and deleted from the set.

        Args:
            items: of this lease; none for all that are neither acknowledged nor released.
            again_at: a score with which the items are ready again, in the same step, instead of
                being deleted: for recurring jobs, also with ``unique="until_acked"``, which rejects
                items that are added while they are on lease. An item that was added again has the
                lower of the two scores.

        Raises: `LeaseLost` for items that the lease doesn't hold any more (the others are
        acknowledged); a call without items also names those whose loss no call has named yet.
        ``ValueError`` for items that are not in this lease, or that were acknowledged or released
        before.
        Cost: 1 round trip for each 1,000 items (250 with *again_at*), O(log n) for each item. 1
        more, to learn where the set was renamed to, if the lease doesn't hold some of them there.
        Each of these requests is atomic. If a reply is lost, the repeated call gets the same
        answer.

        """
        await self._settle(settling.ack, self._held, items, again_at)

    async def release(
        self,
        *items: T,
        delay: float = 0.0,
        score: Any = None,
        count: bool = True,
        error: object = None,
    ) -> None:
        """Release *items*, or all that are left: they are ready again, for any consumer.

        If an item has had ``max_deliveries`` deliveries that count, it becomes a dead letter
        instead.

        Args:
            items: of this lease; none for all that are neither acknowledged nor released.
            delay: seconds until they are ready again.
            score: their new score; ``None`` keeps the score that they had. An item that was added
                again keeps its own score, or has the lower of that and the new one.
            count: whether this delivery counts. Pass ``False`` if the worker has to stop, so that
                restarts don't use up ``max_deliveries``.
            error: why, an exception or a text; `dead_letters` shows its first 1,000 characters.

        Raises: as `ack`.
        Cost: 1 round trip for each 250 items, O(log n) for each item. Each of these requests is
        atomic.

        """
        await self._settle(settling.release, self._held, items, delay, score, count, error)

    async def reject(self, *items: T, error: object = None) -> None:
        """Make dead letters of *items*, or of all that are left: they are not delivered any more.

        For items that no further attempt can process. `dead_letters` shows them with *error*, an
        exception or a text; `requeue` makes them ready again.

        Raises: as `ack`.
        Cost: as `release`.
        """
        await self._settle(settling.reject, self._held, items, error)

    async def extend(self, ttl: float | None = None) -> None:
        """Extend the lease of the items that are left: it expires *ttl* seconds from now.

        Without *ttl*, the lease's own is used. In a forked child, the call also starts the renewal
        of a lease with ``renew=True``; without it, only the parent renews the lease.

        Raises: `LeaseLost` for items that the lease doesn't hold any more; the others are extended.
        Cost: 1 round trip for each 1,000 items, O(log n) for each item.
        """
        await self._settle(settling.extend, self._held, self._ttl if ttl is None else ttl)
        if self._renewer is not None and self._held.unsettled and self._in_forked_child():
            self._begin_renewal()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._in_forked_child():
            return
        self._end_renewal()
        # asyncio
        # A task that is cancelled here has done its work, or failed: the items must still be
        # settled.
        # end
        await run_shielded(self._finish() if error is None else self._give_back(error))

    async def _finish(self) -> None:
        await self._settle(settling.finish, self._held)
        if self._held.lost:
            raise self._held.loss()

    async def _give_back(self, error: BaseException) -> None:
        unconfirmed = await self._leave(settling.release_remaining, self._held, error)
        if unconfirmed is not None:
            logger.warning("%s", unconfirmed)
        self._held.log_lost()

    def _begin_renewal(self) -> None:
        """Start to renew the lease, in the process that works on it."""
        self._renewer = renewer_of(self._runner.client)
        self._renewer.begin(self, self._ttl)

    def _end_renewal(self) -> None:
        if self._renewer is not None:
            self._renewer.end(self)

    # sync: def _node(self) -> str | None:
    # sync:     """Return the name of the cluster's node that is asked to renew the lease."""
    # sync:     return self._runner.connection.node_name
    # sync:
    async def _renew(self) -> float | None:
        """Extend the lease; return for how many seconds, ``None`` if no items are left.

        Lost items are reported at the end of the block.
        """
        if not self._held.unsettled:
            return None
        try:
            await self._hold_on()
        except Exception:
            logger.exception("redset %r: can't renew a lease", self._runner.config.label)
        return self._ttl

    async def _hold_on(self) -> None:
        """Extend the lease of the items that are left; `LeasedItems.lost` has the lost ones."""
        await self._settle(settling.renew, self._held, self._ttl)

    async def _check_time(self) -> None:
        """Extend the lease if it may have expired, to learn which items it still holds.

        A process may be stopped for longer than its lease.
        """
        if monotonic() >= self._held.until and self._held.unsettled:
            await self._hold_on()

    async def _leave(
        self, operation: Operation[T, P, None], *args: P.args, **kwargs: P.kwargs
    ) -> NotDurable | None:
        """Settle what is left when a block ends; `LeasedItems.lost` has the lost items.

        Return the error if that was done, and was not confirmed. Other errors are logged, not
        raised: they must not hide the error that ended the block, and items that stay on lease are
        ready again when it expires.
        """
        try:
            await self._settle(operation, *args, **kwargs)
        except NotDurable as unconfirmed:
            return unconfirmed
        except Exception as failure:
            if not is_of_the_call(failure):
                raise
            log_kept(self._runner.config.label, failure)
        return None

    async def _settle(
        self, operation: Operation[T, P, None], *args: P.args, **kwargs: P.kwargs
    ) -> None:
        # The guard is made here, as most leases of a consumer need none.
        guard = vars(self).setdefault("_guard", new_guard())
        async with guard.get():
            await self._runner.run(operation, *args, **kwargs)

    def _in_forked_child(self) -> bool:
        """Return whether a forked child calls this: it leaves the blocks of its parent too."""
        return self._process != this_process()
