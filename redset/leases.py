# Written by tools/generate.py from redset/asyncio/leases.py: change that, then `make generate`.
"""Leases: items that were handed out until a deadline, and come back after it."""

import contextlib
import logging
import os
from collections.abc import Sequence
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast, overload

from redset._plans import settling
from redset._plans.leased import LeasedItems
from redset._protocol.client_errors import is_disconnected
from redset._support.words import described
from redset._transport.renewals import Renewer, new_guard, renewer_of
from redset._transport.runner import Operation, P, Runner, is_of_the_call
from redset.exceptions import LeaseLost

if TYPE_CHECKING:
    from redset.sets import RedisSortedSet

T = TypeVar("T")

logger = logging.getLogger("redset")


class Lease(Sequence[T]):
    """A sequence of items that nobody else is given until ``deadline``; from `lease`.

    As a context manager it acknowledges, at a normal exit, all items that were neither
    acknowledged nor released; at an exception it releases them. ``KeyboardInterrupt`` and
    ``SystemExit`` come from outside, and the delivery doesn't count then. Methods may be
    called from several threads.

    >>> import redset
    >>> tasks = redset.RedisSortedSet(redset.connect(), "tasks")
    >>> tasks.update(["a", "b"])
    >>> with tasks.lease(10, ttl=60) as batch:
    ...     [task.upper() for task in batch]
    ['A', 'B']
    >>> tasks.stats().leased, len(tasks)
    (0, 0)

    Attributes:
        deadline: when it runs out, in UNIX seconds of the server's clock.

    """

    def __init__(self, source: Any, held: LeasedItems[T], ttl: float, *, renew: bool) -> None:
        self._source, self._held, self._ttl = source, held, ttl
        self._runner: Runner[T] = source._runner
        self._process = os.getpid()
        self._renewer: Renewer | None = None
        if renew and held.items:
            self._begin_renewal()

    @property
    def source(self) -> "RedisSortedSet[T]":
        """The set that the items are of. No I/O."""
        return cast("RedisSortedSet[T]", self._source)

    @property
    def deadline(self) -> float:
        """When it runs out, in UNIX seconds of the server's clock. No I/O."""
        return self._held.deadline

    def deliveries(self, item: T) -> int:
        """How often *item* was handed out, this time included. No I/O."""
        return self._held.deliveries(item)

    @overload
    def __getitem__(self, index: int) -> T: ...

    @overload
    def __getitem__(self, index: slice) -> list[T]: ...

    def __getitem__(self, index: int | slice) -> T | list[T]:
        return self._held.items[index]

    def __len__(self) -> int:
        return len(self._held.items)

    def ack(self, *items: T, again_at: Any = None) -> None:
        """Acknowledge *items*, or all that are left: they are done and gone.

        With *again_at*, a score, they are ready again at that, in the same step: for jobs that
        recur, also where ``unique="until_acked"`` keeps out what is added while it is on lease.

        Cost: 1 round trip for 1,000 items (250 with *again_at*), O(log n) an item. Atomic for so
        many; 1 more, to learn where the set was renamed to, if it doesn't hold some of them. A call
        that is repeated after a lost reply is answered as it was the first time.
        Raises: `LeaseLost` for items that are not held any more (the others are acknowledged);
        ``ValueError`` for what is not in this lease.
        """
        self._settle(settling.ack, self._held, items, again_at)

    def release(
        self,
        *items: T,
        delay: float = 0.0,
        score: Any = None,
        count: bool = True,
        error: object = None,
    ) -> None:
        """Give *items* back, or all that are left, so that others take them.

        Args:
            items: of this lease.
            delay: seconds until they are ready again.
            score: the one they shall have then; ``None`` for the one they had.
            count: whether this delivery counts. ``False`` for a worker that is told to stop, so
                that restarts don't use up ``max_deliveries``.
            error: why, an exception or a text; `dead_letters` shows it (1,000 characters).

        One that was handed out as often as its set's ``max_deliveries`` goes to ``dead`` instead.
        Cost: 1 round trip for 250 items, O(log n) an item. Atomic for so many. Errors: as `ack`.

        """
        self._settle(settling.release, self._held, items, delay, score, count, error)

    def reject(self, *items: T, error: object = None) -> None:
        """Put *items*, or all that are left, among the dead at once; nobody is given them again.

        For what no other try can do; *error* says why. `dead_letters` shows them, `requeue` makes
        them ready again. Cost: as `release`. Errors: as `ack`.
        """
        self._settle(settling.reject, self._held, items, error)

    def extend(self, ttl: float | None = None) -> None:
        """Hold what is left for *ttl* seconds from now (the lease's own without one).

        In a forked child it also begins the renewal of a lease with ``renew=True``, which goes on
        in the parent alone otherwise.
        Cost: 1 round trip for 1,000 items, O(log n) an item. Raises: `LeaseLost` for items that
        are not held any more; the others are.
        """
        self._settle(settling.extend, self._held, self._ttl if ttl is None else ttl)
        if self._renewer is not None and self._held.unsettled and self._in_forked_child():
            self._begin_renewal()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._in_forked_child():
            return
        self._end_renewal()
        self._finish() if error is None else self._give_back(error)

    def _finish(self) -> None:
        with contextlib.suppress(LeaseLost):
            self._settle(settling.finish, self._held)
        if self._held.lost:
            raise self._held.loss()

    def _give_back(self, error: BaseException) -> None:
        self._leave(settling.give_back, self._held, error)
        self._held.log_lost()

    def _begin_renewal(self) -> None:
        """Have the lease renewed, by the process that works on it."""
        self._renewer = renewer_of(self._runner.client)
        self._renewer.begin(self, self._ttl)

    def _end_renewal(self) -> None:
        if self._renewer is not None:
            self._renewer.end(self)

    def _renew(self) -> float | None:
        """Hold what is left for longer; give the seconds, ``None`` if nothing is left.

        What is lost is told at the end of the block.
        """
        if not self._held.unsettled:
            return None
        try:
            self._hold_on()
        except Exception:
            logger.exception("redset %r: can't renew a lease", self._runner.config.label)
        return self._ttl

    def _hold_on(self) -> None:
        """Hold what is left for longer; `LeasedItems.lost` has what was lost."""
        with contextlib.suppress(LeaseLost):
            self._settle(settling.extend, self._held, self._ttl, "renew")

    def _check_time(self) -> None:
        """Learn what is still held, if the lease may have run out: a process may be stopped."""
        if monotonic() >= self._held.until and self._held.unsettled:
            self._hold_on()

    def _leave(self, operation: Operation[T, P, None], *args: P.args, **kwargs: P.kwargs) -> None:
        """Settle what is left when a block is being left; `LeasedItems.lost` has what was lost.

        What else goes wrong is logged: it must not hide why the block is left, and what stays on
        lease comes back by itself.
        """
        try:
            with contextlib.suppress(LeaseLost):
                self._settle(operation, *args, **kwargs)
        except Exception as failure:
            if not is_of_the_call(failure):
                raise
            gone = is_disconnected(failure)  # one line says that, no traceback says more
            logger.error(
                "redset %r: can't give items of a lease back, which come back when it runs out: %s",
                *(self._runner.config.label, described(failure)),
                exc_info=None if gone else failure,
            )

    def _settle(self, operation: Operation[T, P, None], *args: P.args, **kwargs: P.kwargs) -> None:
        # Made here, as most leases of a consumer need none.
        guard = vars(self).setdefault("_guard", new_guard())
        with guard.get():
            self._runner.run(operation, *args, **kwargs)

    def _in_forked_child(self) -> bool:
        """Whether this is a forked child's, which leaves the blocks of its parent too."""
        return self._process != os.getpid()
