"""The sets, awaited: docstring, signature, one plan. `redset.sets` says what each does."""

from collections.abc import AsyncIterable, Callable, Iterable, Mapping
from typing import Any, Literal, TypeVar, overload

import redset.sets
from redset._core import plans
from redset._core.scores import Clock
from redset.asyncio.algebra import Algebra
from redset.asyncio.handing_out import HandingOut
from redset.asyncio.operators import Operators
from redset.asyncio.readings import Readings
from redset.asyncio.twins import documented
from redset.codecs import TextSerializer
from redset.operations import OnConflict

T = TypeVar("T")


@documented(redset.sets.RedisSortedSet)
class RedisSortedSet(Readings[T], HandingOut[T], Operators[T]):
    """A set that many processes share, as `redset.RedisSortedSet`, for asyncio.

    >>> import asyncio, redset.asyncio
    >>> async def main():
    ...     async with redset.asyncio.connect() as client:
    ...         jobs = redset.asyncio.RedisSortedSet(client, "jobs")
    ...         await jobs.add(("resize", 7), score=2)
    ...         await jobs.add(("resize", 8), score=1)
    ...         print(await jobs.contains(("resize", 7)), await jobs.size())
    ...         print([job async for job in jobs])
    ...         print(await jobs.pop())
    ...         return await jobs.clear()
    >>> asyncio.run(main())
    True 2
    [('resize', 8), ('resize', 7)]
    ('resize', 8)
    True

    Every method of the synchronous set is here under its name, and is awaited; where that has an
    operator, there is a method: `contains`, `size`, `equals`, `ispropersubset`,
    `ispropersuperset`. Iteration is ``async for``; `lease` and what makes a result may be awaited
    or entered with ``async with``.

    A task may be cancelled anywhere: the client stays usable, and what `pop`, `take`, `lease` or
    `insert` was about to be told the next such call is told instead.

    Args:
        redis_client: a client of ``redis.asyncio`` or ``valkey.asyncio``, as you configured it.
        name, scorer, serializer, lock_timeout, lock_expires, clock, unique, max_deliveries: as
            for `redset.RedisSortedSet`.
        pipelining: whether concurrent operations of all sets of this client share round trips;
            ``False`` gives each a connection of its own.

    """

    # One item

    async def add(self, item: T, score: Any = None, *, on_conflict: OnConflict = "replace") -> Any:
        return await self._run(self._to_add(item, score, on_conflict))

    async def add_and_rank(
        self,
        item: T,
        score: Any = None,
        *,
        on_conflict: OnConflict = "replace",
        reverse: bool = False,
    ) -> int | None:
        return await self._run(self._to_add_and_rank(item, score, on_conflict, reverse))

    async def update_score(
        self, item: T, score: float, *, on_conflict: OnConflict = "replace"
    ) -> float | None:
        return await self._run(self._to_update_score(item, score, on_conflict))

    async def replace(self, old: T, new: T) -> float:
        return await self._run(self._to_replace(old, new))

    async def discard(self, item: T) -> bool:
        sought: Any = await _read(item) if isinstance(item, Algebra) else item
        return await self._run(plans.discard(self._spec, sought))

    async def remove(self, item: T) -> None:
        sought: Any = await _read(item) if isinstance(item, Algebra) else item
        await self._run(plans.remove(self._spec, sought, item))

    async def contains(self, item: object) -> bool:
        sought: Any = await _read(item) if isinstance(item, Algebra) else item
        return await self._run(plans.contains(self._spec, sought))

    async def score(self, item: T) -> float | None:
        return await self._run(plans.score(self._spec, item))

    # What comes next

    @overload
    async def peek(
        self, position: int = ..., *, last: bool = ..., with_scores: Literal[False] = ...
    ) -> T | None: ...

    @overload
    async def peek(
        self, position: int = ..., *, last: bool = ..., with_scores: Literal[True]
    ) -> tuple[T | None, float]: ...

    async def peek(
        self, position: int = 0, *, last: bool = False, with_scores: bool = False
    ) -> Any:
        return await self._run(self._to_peek(position, last, with_scores))

    async def peek_score(self, *, last: bool = False) -> float | None:
        return await self._run(plans.peek_score(self._spec, self._highest(), last=last))

    # Many items

    async def add_scored(
        self,
        items: Mapping[T, float] | Iterable[tuple[T, float]] | AsyncIterable[tuple[T, float]],
        *,
        on_conflict: OnConflict = "replace",
    ) -> None:
        with self._while_read(items):
            await self._run(self._to_add_scored(items, on_conflict))

    async def insert(self, *items: T) -> list[T]:
        return await self._run(self._to_insert(items))

    async def clear(self) -> bool:
        return await self._run(self._to_clear())

    async def size(self) -> int:
        return await self._run(plans.size(self._spec))


async def _read(other: Algebra[Any]) -> Any:
    """Return the ``set`` of the items of *other*: what it is looked up as."""
    return {item async for item in other}


class SortedSet(RedisSortedSet[T]):
    """`redset.SortedSet` for asyncio: without a serializer, items are ``str``."""

    _serializer_class = TextSerializer
    _falls_back_to_str = True


class TimeSortedSet(SortedSet[T]):
    """`redset.TimeSortedSet` for asyncio: in order of time, first in, first out."""

    def _default_scorer(self) -> Callable[[T], Any]:
        return self._time_scorer()

    def _time_of_scores(self) -> float:
        return float(self._clock())


@documented(redset.sets.ScheduledSet)
class ScheduledSet(TimeSortedSet[T]):
    """`redset.ScheduledSet` for asyncio: hands out an item only once its score has come."""

    async def available(self) -> int:
        return await self._run(plans.size(self._spec, self._highest()))

    def _due_by(self) -> Clock:
        return self._times.now
