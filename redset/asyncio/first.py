# asyncio
"""First of several, for asyncio: sets that one call asks, in the order of their priority.

The one source of both surfaces, as `redset.asyncio._methods` is.
"""
# end
# sync: """First of several: sets that one call asks, in the order of their priority."""

import copy
from collections.abc import Callable
from typing import Any, Generic, Literal, Self, TypeVar, overload

from redset._plans import first
from redset._plans.consuming import FirstWork, Settings, checked_settings
from redset._support.words import shown
from redset._transport.async_first_runner import AsyncFirstRunner
from redset.asyncio.awaitables import AwaitableContext
from redset.asyncio.consumers import FirstConsumer
from redset.asyncio.leases import Lease
from redset.asyncio.sets import RedisSortedSet
from redset.base import BaseSet
from redset.exceptions import InvalidTypeError, NotDurable

T = TypeVar("T")


class FirstOf(Generic[T]):
    # asyncio
    """Several sets: each call is served by the first of them that has something.

    As `redset.FirstOf`, awaited, for sets of `redset.asyncio`.
    """

    # end
    # sync: """Several sets: each call is served by the first of them that has something.
    # sync:
    # sync: >>> import redset
    # sync: >>> client, kind = redset.connect(), redset.RedisSortedSet[str]
    # sync: >>> urgent, normal = kind(client, "urgent"), kind(client, "normal")
    # sync: >>> normal.update(["a", "b"])
    # sync: >>> urgent.add("x")
    # sync: 0.0
    # sync: >>> jobs = redset.FirstOf(urgent, normal)
    # sync: >>> for source, job in jobs.consume(timeout=0):
    # sync: ...     print(source.name, job)
    # sync: urgent x
    # sync: normal a
    # sync: normal b
    # sync:
    # sync: A set has something if it would deliver it itself: a `ScheduledSet` delivers items that
    # sync: are due. Each call finds the first such set on the server, at one moment. An item stays
    # sync: an item of its set: its deliveries are counted there, and it is acknowledged, or becomes
    # sync: a dead letter, there. The calls have the guarantees of those of a single set.
    # sync:
    # sync: Args:
    # sync:     sets: `RedisSortedSet` or its subclasses, the most urgent one first: 1 to 100, none
    # sync:         twice. All are made with one client; in a cluster, their names share a
    # sync:         ``{tag}``. For sets with different types of items, write ``FirstOf[Any](…)``.
    # sync:
    # sync: Raises: ``TypeError`` for anything else, for a result (``a | b``), and if the sets have
    # sync: different clients; ``ValueError`` for no sets, for more than 100, if a set is given
    # sync: twice, and if a cluster keeps the sets in different slots.
    # sync:
    # sync: """

    def __init__(self, *sets: RedisSortedSet[T]) -> None:
        first.check_number(sets)
        for each in sets:
            _check_kind(each)
        self._sets = sets
        self._runner: AsyncFirstRunner[T] = AsyncFirstRunner([each._runner for each in sets])

    @property
    def sets(self) -> tuple[RedisSortedSet[T], ...]:
        """Return the sets, in the order in which they are asked. No I/O."""
        return self._sets

    def __repr__(self) -> str:
        names = ", ".join([repr(each.name) for each in self._sets])
        # asyncio
        return f"<redset.asyncio.FirstOf {names}>"
        # end
        # sync: return f"<redset.FirstOf {names}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self._sets

    def __deepcopy__(self, _memo: dict[int, Any]) -> Self:
        # Copies of the sets would be results, which go with their handles.
        return copy.copy(self)

    @overload
    async def pop(
        self, *, timeout: float | None = ..., last: bool = ..., with_scores: Literal[False] = ...
    ) -> tuple[RedisSortedSet[T], T | None]: ...

    @overload
    async def pop(
        self, *, timeout: float | None = ..., last: bool = ..., with_scores: Literal[True]
    ) -> tuple[RedisSortedSet[T], T | None, float]: ...

    async def pop(
        self, *, timeout: float | None = 0.0, last: bool = False, with_scores: bool = False
    ) -> Any:
        """Remove an item of the first set that has one; return the set and the item.

        Args:
            timeout: seconds to wait until any of the sets has an item (that is due, in a
                `ScheduledSet`); ``None`` waits without end.
            last: whether to return the item with the highest score of that set.
            with_scores: whether to return set, item and score.

        If a reply is lost, the next call for these sets, or for the set of the item, returns the
        same item. An item that can't be deserialized is treated as in `RedisSortedSet.pop`.
        Raises: ``KeyError`` if no set has an item, or if none was added in time.
        Cost: 1 round trip, O(log n), and O(1) for each set before it; a wait costs as many round
        trips as for one set. Atomic; takes no lock.
        Source: ``BZPOPMIN`` with several keys.

        """
        try:
            place, *others = await self._runner.deliver(
                last, first.pop, timeout, last=last, with_scores=with_scores
            )
        except NotDurable as error:
            place, *others = error.result
            error.result = (self._sets[place], *others)
            raise
        return (self._sets[place], *others)

    @overload
    async def take(
        self,
        num: int,
        *,
        timeout: float | None = ...,
        last: bool = ...,
        with_scores: Literal[False] = ...,
    ) -> list[tuple[RedisSortedSet[T], T]]: ...

    @overload
    async def take(
        self,
        num: int,
        *,
        timeout: float | None = ...,
        last: bool = ...,
        with_scores: Literal[True],
    ) -> list[tuple[RedisSortedSet[T], T, float]]: ...

    async def take(
        self,
        num: int,
        *,
        timeout: float | None = 0.0,
        last: bool = False,
        with_scores: bool = False,
    ) -> list[Any]:
        """Remove up to *num* items of the first set that has any; return each with its set.

        If that set has fewer, fewer items are returned: those of the sets after it are left for the
        next call. ``[]`` if no set has any, or if none was added in time. Arguments as in `pop`.

        Cost: 1 round trip for each 1,000 items, O(num * log n). Takes no lock.
        Atomic for each 1,000 items.
        Source: ``ZMPOP``.
        """
        try:
            taken = await self._runner.deliver(
                last, first.take, num, timeout, last=last, with_scores=with_scores
            )
        except NotDurable as error:
            error.result = self._with_sets(error.result)
            raise
        return self._with_sets(taken)

    def _with_sets(self, taken: list[Any]) -> list[Any]:
        """Return items with their sets, given with the places of their sets."""
        return [(self._sets[place], *others) for place, *others in taken]

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
    ) -> AwaitableContext[Lease[T]]:
        """Lease up to *num* items of the first set that has any, until a deadline.

        The lease is a lease of that set, its ``source``; it is empty if no set has any item, or if
        none was added in time. Arguments as in `RedisSortedSet.lease`; without *max_deliveries*,
        each set's own applies.

        Cost: 1 round trip for each 500 items, O(num * log n). Atomic for each 500 items.
        """
        return AwaitableContext(
            _lease(self, num, ttl, timeout, renew, max_deliveries, worker, last)
        )

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
        on_error: Callable[[tuple[RedisSortedSet[T], T], BaseException], Any] | None = None,
    ) -> FirstConsumer[T]:
        """Deliver sets and items without end, each until the loop asks for the next one.

        Each batch comes from the first set that has something at that moment: with the default
        *batch* of 1, an item of the first set waits only until the current item is done. Arguments
        as in `RedisSortedSet.consume`; without *max_deliveries*, each set's own applies; *on_error*
        is called with what the loop received, a set and an item, and the error.

        Cost: 1 round trip for each batch, O(batch * log n). It also acknowledges the batch before,
        even of another set. More round trips if a set was renamed in between, or for batches of
        more than 500 items.
        """
        settings = Settings(
            batch, ttl, timeout, renew, max_deliveries, stop, worker, retry_delay, on_error
        )
        config = self._runner.config
        work: FirstWork[T] = FirstWork(config.name, checked_settings(config, settings))
        return FirstConsumer(self._runner, first.consume, self._sets, work)


def _check_kind(given: object) -> None:
    """Raise ``TypeError`` if *given* is not a set of this surface."""
    if isinstance(given, RedisSortedSet):
        return
    advice = "give a list of sets as FirstOf(*sets)"
    if isinstance(given, BaseSet):
        advice = f"make a {given._runner.surface}.FirstOf of it"
    raise InvalidTypeError(
        # asyncio
        "redset FirstOf: each argument must be a redset.asyncio.RedisSortedSet, "
        # end
        # sync: "redset FirstOf: each argument must be a redset.RedisSortedSet, "
        f"got {shown(given)}; {advice}"
    )


async def _lease(
    several: FirstOf[T],
    num: int,
    ttl: float,
    timeout: float | None,
    renew: bool,
    max_deliveries: int | None,
    worker: str | None,
    last: bool,
) -> Lease[T]:
    try:
        held = await several._runner.lease(
            last, first.lease, num, ttl, timeout, max_deliveries, worker, last=last
        )
    except NotDurable as error:
        held = error.result
        error.result = Lease(several.sets[held.place], held, float(ttl), renew=renew)
        raise
    return Lease(several.sets[held.place], held, float(ttl), renew=renew)
