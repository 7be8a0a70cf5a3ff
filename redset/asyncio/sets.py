"""The classes of sets for asyncio; their methods are in `redset.asyncio._methods`."""

import time
from collections.abc import Callable
from typing import Any

from redset._plans import many
from redset._protocol.config import Unique
from redset._protocol.durability import Durable
from redset._protocol.scores import Clock
from redset.asyncio._methods import SetMethods
from redset.asyncio.operators import UnsupportedOperators
from redset.base import SCHEDULED, SORTED, TIME_SORTED, T, Text
from redset.interfaces import Loading


class RedisSortedSet(UnsupportedOperators[T], SetMethods[T]):
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

    Every method of the synchronous set is here under its name, and is awaited. Where the
    synchronous set has an operator, there is a method: `contains`, `size`, `equals`,
    `ispropersubset`, `ispropersuperset`. Iteration is ``async for``; `lease` and the methods that
    make a result may be awaited or entered with ``async with``.

    A task may be cancelled anywhere: the client stays usable. If `pop`, `take`, `lease` or `insert`
    is cancelled after the server answered, the next such call returns that answer.

    Args:
        redis_client: a client of ``redis.asyncio`` or ``valkey.asyncio``, as you configured it.
        name, scorer, serializer, lock_timeout, lock_expires, clock, unique, max_deliveries: as
            for `redset.RedisSortedSet`.
        durable: as for `redset.RedisSortedSet`.
        pipelining: whether concurrent operations of all sets of this client share round trips;
            ``False`` gives each a connection of its own.

    """

    def __init__(
        self,
        redis_client: Any,
        name: str | bytes,
        scorer: Callable[[T], Any] | None = None,
        serializer: Loading[T] | None = None,
        lock_timeout: float | None = None,
        lock_expires: float | None = None,
        *,
        clock: Clock = time.time,
        unique: Unique = "until_taken",
        max_deliveries: int | None = None,
        durable: Durable | None = None,
        pipelining: bool = True,
    ) -> None:
        settings = (scorer, serializer, lock_timeout, lock_expires)
        super().__init__(
            *(redis_client, name, *settings),
            clock=clock,
            unique=unique,
            max_deliveries=max_deliveries,
            durable=durable,
            pipelining=pipelining,
        )

    _initialize = __init__  # type: ignore[assignment]


class SortedSet(RedisSortedSet[Text]):
    """`redset.SortedSet` for asyncio: without a serializer, items are ``str``.

    Args:
        redis_client, pipelining: as for `redset.asyncio.RedisSortedSet`.
        name, scorer, serializer, lock_timeout, lock_expires, clock, unique, max_deliveries: as
            for `redset.SortedSet`.
        durable: as for `redset.SortedSet`.

    """

    _kind = SORTED


class TimeSortedSet(SortedSet[Text]):
    """`redset.TimeSortedSet` for asyncio: in order of time, first in, first out.

    Args:
        redis_client, pipelining: as for `redset.asyncio.RedisSortedSet`.
        name, scorer, serializer, lock_timeout, lock_expires, clock, unique, max_deliveries: as
            for `redset.TimeSortedSet`.
        durable: as for `redset.TimeSortedSet`.

    """

    _kind = TIME_SORTED


class ScheduledSet(TimeSortedSet[Text]):
    """`redset.ScheduledSet` for asyncio: delivers an item only when its score has come.

    Args:
        redis_client, pipelining: as for `redset.asyncio.RedisSortedSet`.
        name, scorer, serializer, lock_timeout, lock_expires, clock, unique, max_deliveries: as
            for `redset.ScheduledSet`.
        durable: as for `redset.ScheduledSet`.

    """

    _kind = SCHEDULED

    async def available(self) -> int:
        """Return how many items are due now.

        Cost: 1 round trip, O(log n).
        Source: ``ZCOUNT``.
        """
        return await self._run(many.available)
