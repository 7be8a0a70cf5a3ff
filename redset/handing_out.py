"""Handing out: what a set does for the takers of its items."""

import logging
from collections.abc import Callable, Generator, Iterator
from itertools import islice
from typing import Any, Self, TypeVar

from redset._core import leasing
from redset._core.arguments import check_stop
from redset._core.driver import SubscriptionReuse
from redset._core.leasing import Leased, Stats, Stopped
from redset.exceptions import LeaseLost
from redset.leases import Lease, Renewal
from redset.ordered import Ordered

T = TypeVar("T")

logger = logging.getLogger("redset")

# Items of which `leased` asks for more at once.
LEASED_PAGE = 1_000


class HandingOut(Ordered[T]):
    """Every item to exactly one taker: at once, or until it is acknowledged."""

    def pop(self, *, timeout: float | None = 0.0) -> T | None:  # type: ignore[override,unused-ignore]
        """Remove and return the item with the lowest score; no other taker gets it.

        Args:
            timeout: seconds to wait until there is an item (due, in a `ScheduledSet`); ``None``
                waits for ever.

        A reply that is lost on the way loses no item: the client's own retry, or the next call of
        this handle, is given the same item (kept for 300 seconds on the server).
        An item that can't be deserialized gives ``None`` and is logged; its bytes move to the
        companion set ``…:undecodable``.

        Cost: 1 round trip, O(log n). Atomic; takes no lock. To wait takes 6 more to begin, 1 for
        each change of the set, and 4 a minute.
        Raises: ``KeyError`` if nothing is left, or came in time.
        Source: a script around ``ZPOPMIN``; ``pop`` of the redset 0.4 documentation.

        """
        return self._run(self._to_pop(timeout))

    def take(self, num: int, *, timeout: float | None = 0.0) -> list[T]:
        """Remove and return up to *num* items, lowest scores first; fewer than 1 gives ``[]``.

        *timeout*, lost replies and items that can't be deserialized as in `pop`, but the latter
        are left out. To wait is to wait for one item; it returns with what is there then.

        Cost: 1 round trip, O(num * log n). Atomic; takes no lock.
        Source: a script around ``ZPOPMIN``; ``take`` of the redset 0.4 documentation.
        """
        return self._run(self._to_take(num, timeout))

    def lease(
        self,
        num: int = 1,
        ttl: float = 30.0,
        *,
        timeout: float | None = 0.0,
        renew: bool = False,
        max_deliveries: int | None = None,
    ) -> Lease[T]:
        """Hand out up to *num* items until a deadline; those not acknowledged by then come back.

        Args:
            num: how many at the most; fewer than 1 gives an empty lease.
            ttl: seconds until the deadline, which is on the server's clock.
            timeout: seconds to wait for an item, as in `pop`.
            renew: whether a thread prolongs the lease until its block ends.
            max_deliveries: how often an item may be handed out before it goes to `dead` instead
                of coming back; without one, the set's own.

        The items leave the set, and are kept with their scores in companion keys. They come back
        within the next call, of anybody, that hands something out. One that can't be deserialized
        is logged and goes to `dead`. A repeated call after a lost reply is given the same lease.

        Cost: 1 round trip, O(num * log n). Atomic.

        """
        holds = self._run(self._to_lease(num, ttl, timeout, max_deliveries))
        return Lease(self, holds, float(ttl), renew=renew)

    def consume(
        self,
        batch: int = 1,
        ttl: float = 30.0,
        *,
        timeout: float | None = None,
        renew: bool = True,
        max_deliveries: int | None = None,
        stop: Any = None,
    ) -> Generator[T, None, None]:
        """Hand out items for ever, each until the loop asks for the next one.

        An item is done when the loop asks for the next; one whose turn of the loop ends in another
        way (an exception, ``break``) is given back, and so is what was leased with it.

        Args:
            batch: how many to lease at once. What is done is acknowledged when its batch is: if
                the process dies, up to so many are handed out again.
            ttl: seconds until a lease runs out, as in `lease`.
            renew: whether a thread prolongs it while the loop works, as in `lease`.
            max_deliveries: as in `lease`.
            timeout: seconds after which it ends if there is no item; ``None`` waits for ever.
            stop: an event (anything with ``is_set()``) or a callable that says whether to end. A
                loop that is busy ends after the item at hand, which is acknowledged; what was
                leased with it is given back, and that delivery doesn't count. One that waits ends
                within 0.1 seconds (1 second where the server can't tell of changes). A signal
                handler may set the event.

        What was lost meanwhile (see `LeaseLost`) is logged, and the loop goes on.
        Cost: 2 round trips for each batch.

        """
        self._check_batch(batch)
        stopped = check_stop(self._name, stop)
        renewal: Renewal | None = None
        reuse = SubscriptionReuse()
        try:
            while not (stopped and stopped()) and (
                holds := self._run(
                    self._to_lease(batch, ttl, timeout, max_deliveries, stopped, goes_on=True),
                    reuse.slot(),
                )
            ):
                lease = Lease(self, holds, float(ttl), renew=False)
                if renew:
                    renewal = renewal or Renewal(self._spec.label, ttl, many=True)
                    lease._renew_by(renewal)
                yield from self._consume(lease, stopped)
        finally:
            reuse.end()
            if renewal is not None:
                renewal.stop()

    def _consume(self, lease: Lease[T], stopped: Callable[[], bool] | None) -> Iterator[T]:
        done = 0
        try:
            with lease:
                try:
                    for item in lease:
                        if stopped and stopped():
                            raise Stopped
                        yield item
                        done += 1
                except BaseException:
                    lease.ack_first(done)
                    raise
        except Stopped:
            return
        except LeaseLost as lost:
            logger.warning("%s", lost)

    def leased(self) -> Iterator[Leased[T]]:
        """Iterate over what is on lease now, the nearest deadline first.

        Cost: 2 round trips for each 1,000 items. Not one moment: what is settled meanwhile is
        left out.
        """
        held = self._leased_members().items()
        while page := list(islice(held, LEASED_PAGE)):
            yield from self._run(leasing.entries(self._spec, page))

    @property
    def dead(self) -> Self:
        """The set of the items that came back too often, with their scores: read or clear it.

        `requeue` makes them ready again. No I/O.
        """
        return self._sibling(self._companion("dead"))

    def requeue(self, *items: T) -> int:
        """Make *items* of `dead`, or all of them, ready again; say how many there were.

        They have the scores that they had, and their deliveries are counted anew.
        Cost: 1 round trip for 5,000 items, O(log n) an item. Atomic.
        """
        return self._run(leasing.requeue(self._spec, items))

    def stats(self) -> Stats:
        """How many items are where, at one moment. Cost: 1 round trip, O(log n)."""
        return self._run(leasing.stats(self._spec, self._highest()))
