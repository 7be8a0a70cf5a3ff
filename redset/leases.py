"""Leases: items that were handed out until a deadline, and come back unless they are acknowledged.

Owns what a taker does with them.
"""

import contextlib
import logging
import os
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from redset._core.forks import ReentrantLock, reentrant_lock
from redset._core.leasing import Holds
from redset._core.spec import Plan
from redset.exceptions import LeaseLost
from redset.renewals import Renewer, renewer_of

if TYPE_CHECKING:
    from redset.handing_out import HandingOut

T = TypeVar("T")

logger = logging.getLogger("redset")


class Lease(Holds[T]):
    """A sequence of items that nobody else is given until ``deadline``; from `lease` of a set.

    As a context manager it acknowledges, at a normal exit, all items that were neither
    acknowledged nor released; at an exception it releases them. ``KeyboardInterrupt`` and
    ``SystemExit`` come from outside, and the delivery doesn't count then. Methods may be called
    from several threads.

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

    def __init__(
        self, handle: "HandingOut[T]", holds: Holds[T], ttl: float, *, renew: bool
    ) -> None:
        vars(self).update(vars(holds))  # which nobody uses any more
        self._handle, self._ttl = handle, ttl
        self._process = os.getpid()
        self._renewer: Renewer | None = None
        if renew and holds:
            self._begin_renewal()

    def ack(self, *items: T, again_at: Any = None) -> None:
        """Acknowledge *items*, or all that are left: they are done and gone.

        With *again_at*, a score, they are ready again at that, in the same step: for jobs that
        recur, also where ``unique="until_done"`` keeps out what is added while it is on lease.

        Cost: 1 round trip for 1,000 items (250 with *again_at*), O(log n) an item. Atomic for so
        many; 1 more, to learn where the set was renamed to, if it doesn't hold some of them. A call
        that is repeated after a lost reply is answered as it was the first time.
        Raises: `LeaseLost` for items that are not held any more (the others are acknowledged);
        ``ValueError`` for what is not in this lease.
        """
        self._settle(self._handle._to_ack(self, items, again_at))

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
        self._settle(self._handle._to_release(self, items, delay, score, count, error))

    def reject(self, *items: T, error: object = None) -> None:
        """Put *items*, or all that are left, among the dead at once; nobody is given them again.

        For what no other try can do; *error* says why. `dead_letters` shows them, `requeue` makes
        them ready again. Cost: as `release`. Errors: as `ack`.
        """
        self._settle(self._handle._to_reject(self, items, error))

    def extend(self, ttl: float | None = None) -> None:
        """Hold what is left for *ttl* seconds from now (the lease's own without one).

        In a forked child it also begins the renewal of a lease with ``renew=True``, which goes on
        in the parent alone otherwise.
        Cost: 1 round trip for 1,000 items, O(log n) an item. Raises: `LeaseLost` for items that
        are not held any more; the others are.
        """
        self._settle(self._handle._to_extend(self, self._ttl if ttl is None else ttl))
        if self._renewer is not None and self.open and self._is_a_copy():
            self._begin_renewal()

    def _begin_renewal(self) -> None:
        """Have the lease renewed, by the process that works on it."""
        self._renewer = renewer_of(self._handle._client)
        self._renewer.begin(self, self._ttl)

    def _end_renewal(self) -> None:
        if self._renewer is not None:
            self._renewer.end(self)

    def _renew(self) -> float | None:
        """Hold what is left for longer; give the seconds, ``None`` if nothing is left.

        What is lost is told at the end of the block.
        """
        if not self.open:
            return None
        try:
            self._hold_on()
        except Exception:
            logger.exception("redset %r: can't renew a lease", self.spec.label)
        return self._ttl

    def _hold_on(self) -> None:
        """Hold what is left for longer; `lost` has what was lost."""
        with contextlib.suppress(LeaseLost):
            self._settle(self._handle._to_extend(self, self._ttl, "renew"))

    def _check_time(self) -> None:
        """Learn what is still held, if the lease may have run out: a process may be stopped."""
        if monotonic() >= self.until and self.open:
            self._hold_on()

    def _leave(self, plan: Plan[None]) -> None:
        """Settle what is left when a block is being left; `lost` has what was lost.

        What else goes wrong is logged: it must not hide why the block is left, and what stays on
        lease comes back by itself.
        """
        try:
            with contextlib.suppress(LeaseLost):
                self._settle(plan)
        except Exception as failure:
            if not _is_of_the_call(failure):
                raise
            logger.exception("redset %r: can't give items of a lease back", self.spec.label)

    def _settle(self, plan: Plan[None]) -> None:
        # Made here, as most leases of a consumer need none.
        guard: ReentrantLock = vars(self).setdefault("_guard", reentrant_lock())
        with guard.get():
            self._handle._run(plan)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._is_a_copy():
            return
        self._end_renewal()
        if error is None:
            self._finish()
        else:
            self._leave(self._handle._to_give_back(self, error))
            self.log_lost()

    def _is_a_copy(self) -> bool:
        """Whether this is a forked child's, which leaves the blocks of its parent too."""
        return self._process != os.getpid()

    def _finish(self) -> None:
        with contextlib.suppress(LeaseLost):
            self._settle(self._handle._to_finish(self))
        if self.lost:
            raise self.loss()


def _is_of_the_call(error: Exception) -> bool:
    """Return whether the client, the server or redset raised *error*, not a signal handler."""
    libraries = {kind.__module__.partition(".")[0] for kind in type(error).__mro__}
    return isinstance(error, OSError) or not libraries.isdisjoint({"redset", "redis", "valkey"})
