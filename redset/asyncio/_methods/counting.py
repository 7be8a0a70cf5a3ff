"""Methods of a set that count a combination, without making it."""

from typing import Any, TypeVar

from redset._plans import counting
from redset.asyncio._methods.handle import SetHandle
from redset.asyncio._methods.operands import Items, operands_of

T = TypeVar("T")


class CountingMethods(SetHandle[T]):
    """Count the items of a union, intersection or difference."""

    async def union_count(self, *others: Items[Any]) -> int:
        """Return how many items `union` would have, without making it.

        Cost: 1 round trip for sets of the same server, O(n) there for the members of all sets
        except the largest, for each further set; other iterables travel once. Atomic. Nothing is
        written, so that a read-only replica answers, and an account that may only read; more than
        3,500 local items are staged, and where staging is refused, they are counted in steps, which
        is not atomic.
        Source: ``ZINTERCARD``, ``ZMSCORE``.
        """
        return await self._run(counting.count, "union", await operands_of(self._runner, others))

    async def intersection_count(self, *others: Items[Any], limit: int | None = None) -> int:
        """Return how many items `intersection` would have, without making it; at most *limit*.

        Cost: 1 round trip for sets of the same server, O(n) there, and less with a *limit*. Of
        other iterables, only the items that all of them have travel, if the first iterable has up
        to 3,500. Atomic, and read-only, as `union_count`.
        Source: ``ZINTERCARD`` (``ZMSCORE`` on Redis 6.2).
        """
        return await self._run(
            counting.count, "intersection", await operands_of(self._runner, others), limit
        )

    async def difference_count(self, *others: Items[Any]) -> int:
        """Return how many items `difference` would have, without making it.

        Cost: 1 round trip, O(n) there for the smaller side: this set, or all others together.
        Atomic, and read-only, as `union_count`.
        Source: ``ZINTERCARD``, ``ZMSCORE``.
        """
        return await self._run(
            counting.count, "difference", await operands_of(self._runner, others)
        )
