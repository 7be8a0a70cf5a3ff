"""What a set can do because it is sorted: by rank, by score, at random.

Names follow redis-py where Redis has the command, builtin sequences where Python has the syntax.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal, TypeVar, overload

from redset._core import plans
from redset._core.spec import Plan, Spec
from redset._core.walking import Walk, walk_items, walk_pairs
from redset.handle import Handle
from redset.results import Use

T = TypeVar("T")
R = TypeVar("R")


class Ordered(Handle[T]):
    """Iteration, ranks and ranges, all in score order."""

    def __iter__(self) -> Iterator[T]:
        """Iterate in score order, in bounded memory, while others may change the set.

        An item that is there throughout, at one score, comes exactly once; one that can't be
        deserialized is logged and left out. A result does not run out while it is iterated over.

        Cost: 1 round trip for each page of 100 to 5,000 items, O(log n + page); 1 more when
        somebody was seen to change what comes before the page.
        Source: ``ZRANGE`` in a transaction, or a script, after a place given by score and member.
        """
        return self._walk(walk_items)

    def __reversed__(self) -> Iterator[T]:
        """Iterate from the highest score to the lowest; otherwise as ``iter``."""
        return self._walk(walk_items, reverse=True)

    def items(self) -> Iterator[tuple[T, float]]:
        """Iterate over pairs of item and score; otherwise as ``iter``."""
        return self._walk(walk_pairs)

    @overload
    def __getitem__(self, index: int) -> T | None: ...

    @overload
    def __getitem__(self, index: slice) -> list[T]: ...

    def __getitem__(self, index: int | slice) -> T | list[T] | None:
        """Give the item of that rank, or the list of a slice; negative ones count from the end.

        Cost: 1 round trip, O(log n + k) for k items between the ends (a step is taken here).
        Atomic. Raises: ``IndexError`` for a rank that there isn't.
        Source: ``ZRANGE``; indexes of ``list``. What can't be deserialized as in `peek`.
        """
        if isinstance(index, slice):
            return self._run(self._to_slice(index))
        return self._run(self._to_get(index))

    def __delitem__(self, index: int | slice) -> None:
        """Remove the item of that rank, or those of a slice; see `remove_at`."""
        self._run(self._to_remove_at(index))

    def remove_at(self, index: int | slice) -> int:
        """Remove the item of that rank, or those of a slice, as ``del s[index]``; say how many.

        A reply that is lost on the way removes nothing else: the client's own retry, or the next
        such call after an error, is told how many it was (for 300 seconds).
        Cost: 1 round trip, O(log n + k) for k items. Atomic; but a slice with a step is read
        first, k items, and then removed, 1 more round trip for each 5,000.
        Raises: ``IndexError`` for a rank that there isn't.
        Source: a script around ``ZREMRANGEBYRANK``; ``del`` of ``list``.
        """
        return self._run(self._to_remove_at(index))

    def index(self, item: T) -> int:
        """Give the place of *item* in score order (from 0), as `rank`, but it must be there.

        Cost: 1 round trip, O(log n). Raises: ``ValueError`` if it is not there.
        Source: ``ZRANK``; ``index`` of ``list``.
        """
        return self._run(self._to_index(item))

    def rank(self, item: T, *, reverse: bool = False) -> int | None:
        """Give the place of *item* in score order (from 0), ``None`` if it is not there.

        Cost: 1 round trip, O(log n). Source: ``ZRANK``, ``ZREVRANK`` for *reverse*.
        """
        return self._run(plans.rank(self._spec, item, reverse=reverse))

    def ranks(self, *items: T, reverse: bool = False) -> list[int | None]:
        """Give the places of many items, ``None`` for one that is not there; see `rank`.

        Cost: 1 round trip for 5,000 items, O(log n) an item. Not one moment. Source: ``ZRANK``.
        """
        return self._run(plans.ranks(self._spec, items, reverse=reverse))

    def scores(self, *items: T) -> list[float | None]:
        """Give the scores of many items, ``None`` for one that is not there.

        Cost: 1 round trip for 5,000 items, O(1) an item. Source: ``ZMSCORE``.
        """
        return self._run(plans.scores(self._spec, items))

    def count(
        self,
        min: float = -math.inf,
        max: float = math.inf,
        *,
        inclusive: tuple[bool, bool] = (True, True),
    ) -> int:
        """How many items have a score from *min* to *max*; *inclusive* says which ends belong.

        Cost: 1 round trip, O(log n). Source: ``ZCOUNT``.
        """
        return self._run(self._to_count(min, max, inclusive))

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
        """Give the items with a score from *min* to *max*, lowest first, or last for *reverse*.

        *offset* and *limit* choose a part of them; *with_scores*, they are pairs of item and score.
        Cost: 1 round trip, O(log n + offset + k) for k items. Atomic. Source: ``ZRANGEBYSCORE``.
        """
        return self._run(self._to_range(min, max, inclusive, offset, limit, reverse, with_scores))

    def remove_range(
        self,
        min: float = -math.inf,
        max: float = math.inf,
        *,
        inclusive: tuple[bool, bool] = (True, True),
    ) -> int:
        """Remove the items with a score from *min* to *max*; say how many there were.

        Cost: 1 round trip, O(log n + k) for k items. Atomic. Source: ``ZREMRANGEBYSCORE``.
        """
        return self._run(self._to_remove_range(min, max, inclusive))

    def increment(self, item: T, amount: float = 1.0) -> float | None:
        """Raise the score of *item* by *amount* (it is added if it is not there); give the score.

        ``None`` for an item that is refused (see *unique* of the set).
        Cost: 1 round trip, O(log n). Atomic. Raises: ``ValueError`` for a sum of ``inf`` and
        ``-inf``. Source: ``ZINCRBY``.
        """
        return self._run(plans.increment(self._spec, item, amount))

    def random(self) -> T | None:
        """Give one item at random, and leave it in the set; ``KeyError`` if there is none.

        ``None`` for one that can't be deserialized. Cost: 1 round trip, O(log n).
        Source: ``ZRANDMEMBER``.
        """
        plan = plans.random(self._spec)
        return self._run(plan)

    @overload
    def sample(self, k: int, *, with_scores: Literal[False] = ...) -> list[T]: ...

    @overload
    def sample(self, k: int, *, with_scores: Literal[True]) -> list[tuple[T, float]]: ...

    def sample(self, k: int, *, with_scores: bool = False) -> list[Any]:
        """Give up to *k* different items at random, and leave them in the set.

        *with_scores*, they are pairs of item and score.
        Cost: 1 round trip, O(k log n). Atomic. Source: ``ZRANDMEMBER``; ``random.sample``.
        """
        return self._run(self._to_sample(k, with_scores))

    def _walk(
        self, next_page: Callable[[Spec[T], Walk], Plan[Iterable[R]]], *, reverse: bool = False
    ) -> Iterator[R]:
        walk = Walk(reverse)
        use = None if self._sign is None else Use(self._connection)
        try:
            while not walk.over:
                page = self._run(next_page(self._spec, walk))
                yield from page if use is None else use.of(page, more=not walk.over)
        finally:
            if use is not None:
                use.end()
