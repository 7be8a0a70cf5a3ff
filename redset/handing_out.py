"""Handing out: what a set does for the takers of its items."""

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, Literal, Self, TypeVar, overload

from redset._core import leasing
from redset._core.arguments import check_reason
from redset._core.consuming import Settings, Work
from redset._core.leasing import DeadLetter, Leased, Stats
from redset.consumers import Consumer
from redset.leases import Lease
from redset.ordered import Ordered

T = TypeVar("T")

# Items of which `leased` asks for more at once.
LEASED_PAGE = 1_000


class HandingOut(Ordered[T]):
    """Every item to exactly one taker: at once, or until it is acknowledged."""

    @overload  # type: ignore[override,unused-ignore]
    def pop(
        self, *, timeout: float | None = ..., last: bool = ..., with_scores: Literal[False] = ...
    ) -> T | None: ...

    @overload
    def pop(
        self, *, timeout: float | None = ..., last: bool = ..., with_scores: Literal[True]
    ) -> tuple[T | None, float]: ...

    def pop(
        self, *, timeout: float | None = 0.0, last: bool = False, with_scores: bool = False
    ) -> Any:
        """Remove and return the item with the lowest score; no other taker gets it.

        Args:
            timeout: seconds to wait until there is an item (due, in a `ScheduledSet`); ``None``
                waits for ever.
            last: whether the item with the highest score is meant (of those that are due, in a
                `ScheduledSet`).
            with_scores: whether to return a pair of item and score.

        A reply that is lost on the way loses no item: the client's own retry, or the next call for
        this set over this client, is given the same item (kept for 300 seconds on the server).
        An item that can't be deserialized gives ``None`` and is logged; its bytes move to the
        companion set ``…:undecodable``.

        Cost: 1 round trip, O(log n). Atomic; takes no lock. To wait takes 6 more to begin, 1 for
        each change of the set, and 4 a minute.
        Raises: ``KeyError`` if nothing is left, or came in time.
        Source: a script around ``ZPOPMIN``; ``pop`` of the redset 0.4 documentation.

        """
        return self._run(self._to_pop(timeout, last, with_scores))

    @overload
    def take(
        self,
        num: int,
        *,
        timeout: float | None = ...,
        last: bool = ...,
        with_scores: Literal[False] = ...,
    ) -> list[T]: ...

    @overload
    def take(
        self,
        num: int,
        *,
        timeout: float | None = ...,
        last: bool = ...,
        with_scores: Literal[True],
    ) -> list[tuple[T, float]]: ...

    def take(
        self,
        num: int,
        *,
        timeout: float | None = 0.0,
        last: bool = False,
        with_scores: bool = False,
    ) -> list[Any]:
        """Remove and return up to *num* items, lowest scores first; fewer than 1 gives ``[]``.

        With *last* they are the highest, and the highest comes first; *with_scores*, they are pairs
        of item and score. *timeout*, lost replies and
        items that can't be deserialized as in `pop`, but the latter are left out. To wait is to
        wait for one item; it returns with what is there then.

        Cost: 1 round trip for each 1,000 items, O(num * log n). Atomic for so many; takes no lock.
        Source: a script around ``ZPOPMIN``; ``take`` of the redset 0.4 documentation.
        """
        return self._run(self._to_take(num, timeout, last, with_scores))

    def lease(
        self,
        num: int = 1,
        ttl: float = 30.0,
        *,
        timeout: float | None = 0.0,
        renew: bool = False,
        max_deliveries: int | None = None,
        worker: str | None = None,
        last: bool = False,
    ) -> Lease[T]:
        """Hand out up to *num* items until a deadline; those not acknowledged by then come back.

        Args:
            num: how many at the most; fewer than 1 gives an empty lease.
            ttl: seconds until the deadline, which is on the server's clock.
            timeout: seconds to wait for an item, as in `pop`.
            renew: whether a thread prolongs the lease until its block ends, or nobody refers to
                the lease any more.
            max_deliveries: how often an item may be handed out before it goes to `dead` instead
                of coming back; without one, the set's own.
            worker: who `leased` says has them; the host's name and the process id without one.
            last: whether to hand out the items with the highest scores, as in `pop`.

        The items leave the set, and are kept with their scores in companion keys. They come back
        within the next calls, of anybody, that hand something out. What comes back from several
        items whose worker died is handed out alone from then on, and is not to blame for it. One
        that can't be deserialized is logged and goes to `dead`. A repeated call after a lost reply
        is given the same lease.

        Cost: 1 round trip for each 500 items, O(num * log n). Atomic for so many.

        """
        holds = self._run(self._to_lease(num, ttl, timeout, max_deliveries, worker, last))
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
        worker: str | None = None,
        retry_delay: float | Callable[[int], float] = 0.0,
        on_error: Callable[[T, BaseException], Any] | None = None,
    ) -> Consumer[T]:
        """Hand out items for ever, each until the loop asks for the next one.

        An item is done when the loop asks for the next; one whose turn of the loop ends in another
        way (an exception, ``break``) is given back, and so is what was leased with it, whose
        delivery doesn't count then.

        Args:
            batch: how many to lease at once. What is done is acknowledged when its batch is: if
                the process dies, up to so many are handed out again, one by one.
            ttl: seconds until a lease runs out, as in `lease`.
            renew: whether a thread prolongs it while the loop works, as in `lease`.
            max_deliveries: as in `lease`.
            timeout: seconds after which it ends if there is no item; ``None`` waits for ever.
            stop: an event (anything with ``is_set()``) or a callable that says whether to end. A
                loop that is busy ends after the item at hand, which is acknowledged; what was
                leased with it is given back, and that delivery doesn't count. One that waits ends
                within 0.1 seconds (1 second where the server can't tell of changes). A signal
                handler may set the event.
            worker: as in `lease`.
            retry_delay: seconds until an item that failed is ready again, or a callable that is
                told how often it was handed out and gives them: see `redset.backoff`.
            on_error: called with an item and the error that ended its turn, in `Consumer.attempt`
                or in a ``with`` block around the loop.

        What was lost meanwhile (see `LeaseLost`) is logged and not handed out, and the loop goes
        on.
        Cost: 1 round trip for each batch, which acknowledges the one before: O(batch * log n). A
        batch of more than 500 takes a step for each 500 to be leased, and for each to be
        acknowledged.

        """
        settings = Settings(
            batch, ttl, timeout, renew, max_deliveries, stop, worker, retry_delay, on_error
        )
        return Consumer(self, Work(self._name, self._checked(settings)))

    def leased(self) -> Iterator[Leased[T]]:
        """Iterate over what is on lease now, the nearest deadline first.

        What was given back with a delay is among it, with ``None`` as its worker.
        Cost: 2 round trips for each 1,000 items. Not one moment: what is settled meanwhile is
        left out.
        """
        held = self._members_of("leased").items()
        while page := list(islice(held, LEASED_PAGE)):
            yield from self._run(leasing.entries(self._spec, page))

    @property
    def dead(self) -> Self:
        """The set of the items that came back too often, with their scores: read or clear it.

        `dead_letters` says why they are there, `requeue` makes them ready again. No I/O.
        """
        return self._sibling(self._companion("dead"))

    def dead_letters(self, reason: str | None = None) -> Iterator[DeadLetter[T]]:
        """Iterate over what is dead, and why, the lowest score first.

        Args:
            reason: only what is dead for this one; see `redset.DeadLetter`.

        Cost: 2 round trips for each 1,000 items. Not one moment.

        """
        check_reason(self._name, reason)
        members = self._members_of("dead").items()
        while page := list(islice(members, LEASED_PAGE)):
            for letter in self._run(leasing.letters(self._spec, page)):
                if reason is None or letter.reason == reason:
                    yield letter

    def requeue(self, *items: T, reason: str | None = None, older_than: float | None = None) -> int:
        """Make *items* of `dead`, or all of them, ready again; say how many there were.

        Args:
            items: none for all.
            reason: only what is dead for this one; see `redset.DeadLetter`.
            older_than: only what has been dead for so many seconds.

        They have the scores that they had, and their deliveries are counted anew. What was added
        again, and is on lease now, stays dead: two would work on it.
        Cost: 1 round trip for each 250 items, O(log n) an item. Atomic for so many.

        """
        return self._run(self._to_sort_dead("requeue", items, reason, older_than))

    def discard_dead(
        self, *items: T, reason: str | None = None, older_than: float | None = None
    ) -> int:
        """Forget *items* of `dead`, or all of them; say how many there were.

        Arguments and cost as in `requeue`.
        """
        return self._run(self._to_sort_dead("discard", items, reason, older_than))

    def cancel(self, *items: T) -> int:
        """Remove *items* wherever they are: ready, on lease, delayed or dead.

        Says how many of them were anywhere. Who works on one finds its lease lost. With
        ``unique="for_good"`` they stay known, and out.
        Cost: 1 round trip for each 500 items, O(log n) an item. Atomic for so many.
        """
        return self._run(leasing.cancel(self._spec, items))

    def stats(self) -> Stats:
        """How many items are where, at one moment. Cost: 1 round trip, O(log n)."""
        return self._run(self._to_stats())
