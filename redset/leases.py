"""Leases: items that were handed out until a deadline, and come back unless they are acknowledged.

Owns what a taker does with them, and the thread that prolongs a lease while he works.
"""

import logging
import os
import threading
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from redset._core.forks import reentrant_lock
from redset._core.leasing import Holds, counts
from redset._core.spec import Plan
from redset.exceptions import LeaseLost

if TYPE_CHECKING:
    from redset.handing_out import HandingOut

T = TypeVar("T")

logger = logging.getLogger("redset")

# A lease is renewed when this part of it is over: two more tries fit in.
RENEW_AFTER = 1 / 3


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
        super().__init__(holds.spec, holds.name, list(holds.open.values()), holds.deadline)
        self._handle, self._ttl = handle, ttl
        self._process = os.getpid()
        self._guard = reentrant_lock()
        self._lost_meanwhile: list[T] = []
        self._renewal: Renewal | None = None
        if renew and holds:
            self._renew_by(Renewal(holds.spec.label, ttl))

    def deliveries(self, item: T) -> int:
        """How often *item* was handed out, this time included. No I/O."""
        [member] = self.members([item])
        return self.open[member].deliveries

    def ack(self, *items: T) -> None:
        """Acknowledge *items*, or all that are left: they are done and gone.

        Cost: 1 round trip for 5,000 items, O(log n) an item. Atomic. A call that is repeated after
        a lost reply is answered as it was the first time.
        Raises: `LeaseLost` for items that ran out and are not held any more (the others are
        acknowledged); ``ValueError`` for what is not in this lease.
        """
        self._settle(self._handle._to_ack(self, items))

    def release(self, *items: T, delay: float = 0.0, score: Any = None, count: bool = True) -> None:
        """Give *items* back, or all that are left, so that others take them.

        Args:
            items: of this lease.
            delay: seconds until they are ready again.
            score: the one they shall have then; ``None`` for the one they had.
            count: whether this delivery counts. ``False`` for a worker that is told to stop, so
                that restarts don't use up ``max_deliveries``.

        One that was handed out as often as its set's ``max_deliveries`` goes to ``dead`` instead.
        Cost, errors: as `ack`.

        """
        self._settle(self._handle._to_release(self, items, delay, score, count))

    def extend(self, ttl: float | None = None) -> None:
        """Hold what is left for *ttl* seconds from now (the lease's own without one).

        Cost: 1 round trip for 5,000 items, O(log n) an item. Raises: `LeaseLost` for items that
        are not held any more; the others are.
        """
        self._settle(self._handle._to_extend(self, self._ttl if ttl is None else ttl))

    def _renew_by(self, renewal: "Renewal") -> None:
        self._renewal = renewal
        renewal.begin(self)

    def _renew(self) -> None:
        """Extend the lease while a block works on it; what is lost is told at the end of that."""
        if not self.open:
            return
        try:
            self.extend()
        except LeaseLost as error:
            self._lost_meanwhile += error.items
        except Exception:
            logger.exception("redset %r: can't renew a lease", self.spec.label)

    def ack_first(self, count: int) -> None:
        """Acknowledge the first *count* of what is left; cost as `ack`.

        For a block that is being left: what goes wrong is logged, and must not hide why it is.
        """
        if self._is_a_copy():
            return
        try:
            self._settle(self._handle._to_ack_first(self, count))
        except LeaseLost as lost:
            logger.warning("%s", lost)
        except Exception as error:
            if not _is_of_the_call(error):
                raise
            logger.exception("redset %r: can't acknowledge items of a lease", self.spec.label)

    def _settle(self, plan: Plan[None]) -> None:
        with self._guard.get():
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
        if self._renewal is not None:
            self._renewal.end()
        if error is None:
            self._finish()
            return
        try:
            self.release(count=counts(error))
        except LeaseLost as lost:
            logger.warning("%s", lost)
        except Exception as failure:
            if not _is_of_the_call(failure):
                raise
            # The error of the block matters more; what stays on lease comes back by itself.
            logger.exception("redset %r: can't give items of a lease back", self.spec.label)

    def _is_a_copy(self) -> bool:
        """Whether this is a forked child's, which leaves the blocks of its parent too."""
        return self._process != os.getpid()

    def _finish(self) -> None:
        lost = self._lost_meanwhile
        try:
            self.ack()
        except LeaseLost as error:
            lost = lost + error.items
        if lost:
            raise LeaseLost(self.spec.name, lost)


def _is_of_the_call(error: Exception) -> bool:
    """Return whether the client, the server or redset raised *error*, not a signal handler."""
    libraries = {kind.__module__.partition(".")[0] for kind in type(error).__mro__}
    return isinstance(error, OSError) or not libraries.isdisjoint({"redset", "redis", "valkey"})


class Renewal(threading.Thread):
    """A thread that prolongs one lease again and again, or one lease after the other."""

    def __init__(self, name: str, ttl: float, *, many: bool = False) -> None:
        super().__init__(name=f"redset lease of {name}", daemon=True)
        self._pause, self._many = ttl * RENEW_AFTER, many
        self._guard = threading.Lock()
        self._lease: Lease[Any] | None = None
        self._due = 0.0
        self._stopped = threading.Event()

    def begin(self, lease: Lease[Any]) -> None:
        """Prolong *lease* from now on."""
        with self._guard:
            self._lease, self._due = lease, monotonic() + self._pause
        if self.ident is None:
            self.start()

    def end(self) -> None:
        """Let the lease run out, or be settled."""
        with self._guard:
            self._lease = None
        if not self._many:
            self.stop()

    def stop(self) -> None:
        """End the thread."""
        self._stopped.set()

    def run(self) -> None:
        """Renew until it is stopped."""
        pause = self._pause
        # A lease that begins while it waits is due no earlier than the end of the longest pause.
        while not self._stopped.wait(pause):
            with self._guard:
                lease, pause = self._lease, self._due - monotonic()
            if lease is None:
                pause = self._pause
            elif pause <= 0:
                lease._renew()
                pause = self._pause
                with self._guard:
                    if self._lease is lease:
                        self._due = monotonic() + pause
