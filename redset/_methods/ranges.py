# Generated from redset/asyncio/_methods/ranges.py: change that, then `make generate`.
"""Methods of a set for ranks, ranges of scores, and samples."""

import math
from typing import Any, Literal, TypeVar, overload

from redset._methods.handle import SetHandle
from redset._plans import ranges

T = TypeVar("T")


class RangeMethods(SetHandle[T]):
    """Find, count and remove items by rank or score; choose some at random."""

    @overload
    def __getitem__(self, index: int) -> T | None: ...

    @overload
    def __getitem__(self, index: slice) -> list[T]: ...

    def __getitem__(self, index: int | slice) -> T | list[T] | None:
        """Return the item of that rank, or the list of a slice; negative ranks count from the end.

        An item that can't be deserialized is treated as in `peek`.

        Raises: ``IndexError`` for a rank that doesn't exist.
        Cost: 1 round trip, O(log n + k) for k items between the ends (a step is applied in this
        process). Atomic.
        Source: ``ZRANGE``; indexes of ``list``.
        """
        if isinstance(index, slice):
            return self._run(ranges.get_slice, index)
        return self._run(ranges.get, index)

    def remove_at(self, index: int | slice) -> int:
        """Remove the item of that rank, or the items of a slice; return how many there were.

        The equivalent of ``del s[index]``. If a reply is lost, nothing else is removed: the
        client's own retry, or the next such call after an error, returns the same number (for 300
        seconds).

        Raises: ``IndexError`` for a rank that doesn't exist.
        Cost: 1 round trip, O(log n + k) for k items, O(k log n) for a slice with a step. Atomic.
        Source: a script around ``ZREMRANGEBYRANK``; ``del`` of ``list``.
        """
        return self._run(ranges.remove_at, index)

    def index(self, item: T) -> int:
        """Return the place of *item* in score order (from 0), as `rank`; the item must be there.

        Raises: ``ValueError`` if it is not there.
        Cost: 1 round trip, O(log n).
        Source: ``ZRANK``; ``index`` of ``list``.
        """
        return self._run(ranges.index, item)

    def rank(self, item: T, *, reverse: bool = False) -> int | None:
        """Return the place of *item* in score order (from 0), or ``None`` if it is not there.

        Cost: 1 round trip, O(log n).
        Source: ``ZRANK``, ``ZREVRANK`` for *reverse*.
        """
        return self._run(ranges.rank, item, reverse=reverse)

    def ranks(self, *items: T, reverse: bool = False) -> list[int | None]:
        """Return the places of many items, with ``None`` for an item that is not there; see `rank`.

        Cost: 1 round trip for 5,000 items, O(log n) an item. Not atomic.
        Source: ``ZRANK``.
        """
        return self._run(ranges.ranks, items, reverse=reverse)

    def count(
        self,
        min: float = -math.inf,
        max: float = math.inf,
        *,
        inclusive: tuple[bool, bool] = (True, True),
    ) -> int:
        """Return how many items have a score from *min* to *max*.

        *inclusive* says for each end whether a score equal to it is counted.

        Cost: 1 round trip, O(log n).
        Source: ``ZCOUNT``.
        """
        return self._run(ranges.count, min, max, inclusive)

    @overload
    def range(
        self,
        min: float = ...,
        max: float = ...,
        *,
        inclusive: tuple[bool, bool] = ...,
        offset: int = ...,
        limit: int | None = ...,
        reverse: bool = ...,
        with_scores: Literal[False] = ...,
    ) -> list[T]: ...

    @overload
    def range(
        self,
        min: float = ...,
        max: float = ...,
        *,
        inclusive: tuple[bool, bool] = ...,
        offset: int = ...,
        limit: int | None = ...,
        reverse: bool = ...,
        with_scores: Literal[True],
    ) -> list[tuple[T, float]]: ...

    def range(
        self,
        min: float = -math.inf,
        max: float = math.inf,
        *,
        inclusive: tuple[bool, bool] = (True, True),
        offset: int = 0,
        limit: int | None = None,
        reverse: bool = False,
        with_scores: bool = False,
    ) -> list[Any]:
        """Return the items with a score from *min* to *max*, lowest first (highest if *reverse*).

        *offset* and *limit* choose a part of them. If *with_scores* is true, returns pairs of item
        and score.

        Cost: 1 round trip, O(log n + offset + k) for k items. Atomic.
        Source: ``ZRANGEBYSCORE``.
        """
        return self._run(
            ranges.range_by_score,
            min,
            max,
            inclusive,
            offset,
            limit,
            reverse=reverse,
            with_scores=with_scores,
        )

    def remove_range(
        self,
        min: float = -math.inf,
        max: float = math.inf,
        *,
        inclusive: tuple[bool, bool] = (True, True),
    ) -> int:
        """Remove the items with a score from *min* to *max*; return how many there were.

        Cost: 1 round trip, O(log n + k) for k items. Atomic.
        Source: ``ZREMRANGEBYSCORE``.
        """
        return self._run(ranges.remove_range, min, max, inclusive)

    def random(self) -> T | None:
        """Return one item at random, and leave it in the set.

        Returns ``None`` for an item that can't be deserialized.

        Raises: ``KeyError`` if the set is empty.
        Cost: 1 round trip, O(log n).
        Source: ``ZRANDMEMBER``.
        """
        return self._run(ranges.random)

    @overload
    def sample(self, k: int, *, with_scores: Literal[False] = ...) -> list[T]: ...

    @overload
    def sample(self, k: int, *, with_scores: Literal[True]) -> list[tuple[T, float]]: ...

    def sample(self, k: int, *, with_scores: bool = False) -> list[Any]:
        """Return up to *k* different items at random, and leave them in the set.

        If *with_scores* is true, returns pairs of item and score.

        Cost: 1 round trip, O(k log n). Atomic.
        Source: ``ZRANDMEMBER``; ``random.sample``.
        """
        return self._run(ranges.sample, k, with_scores=with_scores)
