"""What a set can do because it is sorted: by rank, by score, at random.

Names follow redis-py where Redis has the command, builtin sequences where Python has the syntax.
"""

import math
from collections.abc import Iterator
from typing import Any, TypeVar, overload

from redset._core import plans
from redset._core.commands import number
from redset._core.plans import check_count
from redset._core.replies import Pair
from redset._core.scores import check_score
from redset.exceptions import InvalidTypeError, InvalidValueError, MissingRankError
from redset.handle import Handle

T = TypeVar("T")

# Pages of an iteration grow from the first to the last of these, while they stay small in bytes.
FIRST_PAGE, LAST_PAGE, PAGE_BYTES = 100, 5_000, 1 << 20

# No set has more items; the server refuses numbers beyond 64 bits.
FARTHEST = 1 << 62


class Ordered(Handle[T]):
    """Iteration, ranks and ranges, all in score order."""

    def __iter__(self) -> Iterator[T]:
        """Iterate in score order, in bounded memory, while others may change the set.

        An item that is there throughout, at one score, comes exactly once; one that can't be
        deserialized is logged and left out.

        Cost: 1 round trip for each page of 100 to 5,000 items, O(log n + page).
        Source: ``ZRANGE`` after a place given by score and member.
        """
        return (item for item, _ in self._walk())

    def __reversed__(self) -> Iterator[T]:
        """Iterate from the highest score to the lowest; otherwise as ``iter``."""
        return (item for item, _ in self._walk(reverse=True))

    def items(self) -> Iterator[tuple[T, float]]:
        """Iterate over pairs of item and score; otherwise as ``iter``."""
        return self._walk()

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
            return self._slice(index)
        rank = self._place("index", index)
        pairs = self._run(plans.by_rank(self._spec, rank, rank))
        if not pairs:
            raise MissingRankError(f"redset {self._name!r}: no item of rank {index}")
        return next((item for item, _ in plans.decoded(self._spec, pairs)), None)

    def _place(self, argument: str, value: object) -> int:
        return max(-FARTHEST, min(check_count(self._name, argument, value), FARTHEST))

    def _slice(self, index: slice) -> list[T]:
        start, stop, step = (
            None if end is None else self._place("slice", end)
            for end in (index.start, index.stop, index.step)
        )
        step = 1 if step is None else step
        if step == 0:
            raise InvalidValueError(f"redset {self._name!r}: slice step cannot be zero")
        # ZRANGE includes both its ends, and takes negative ones as Python does.
        if step > 0:
            first, last = start or 0, -1 if stop is None else stop - 1
            empty = stop == 0
        else:
            first, last = 0 if stop is None else stop + 1, -1 if start is None else start
            empty = stop == -1
        if empty:
            return []
        pairs = self._run(plans.by_rank(self._spec, first, last))
        return [item for item, _ in plans.decoded(self._spec, pairs[::step])]

    def rank(self, item: T, *, reverse: bool = False) -> int | None:
        """Give the place of *item* in score order (from 0), ``None`` if it is not there.

        Cost: 1 round trip, O(log n). Source: ``ZRANK``, ``ZREVRANK`` for *reverse*.
        """
        return self._run(plans.rank(self._spec, item, reverse=reverse))

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
        return self._run(plans.count(self._spec, self._ends(min, max, inclusive)))

    def range(
        self,
        min: float = -math.inf,
        max: float = math.inf,
        *,
        inclusive: tuple[bool, bool] = (True, True),
        offset: int = 0,
        limit: int | None = None,
        reverse: bool = False,
    ) -> list[T]:
        """Give the items with a score from *min* to *max*, lowest first, or last for *reverse*.

        *offset* and *limit* choose a part of them.
        Cost: 1 round trip, O(log n + offset + k) for k items. Atomic. Source: ``ZRANGEBYSCORE``.
        """
        ends = self._ends(min, max, inclusive)
        skip = self._place("offset", offset)
        most = -1 if limit is None else self._place("limit", limit)
        if skip < 0 or (limit is not None and most < 0):
            raise InvalidValueError(
                f"redset {self._name!r}: offset and limit must be 0 or more, "
                f"got {offset!r} and {limit!r}"
            )
        if most == 0:
            return []
        pairs = self._run(plans.by_score(self._spec, ends, skip, most, reverse=reverse))
        return [item for item, _ in plans.decoded(self._spec, pairs)]

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
        return self._run(plans.remove_range(self._spec, self._ends(min, max, inclusive)))

    def increment(self, item: T, amount: float = 1.0) -> float | None:
        """Raise the score of *item* by *amount* (it is added if it is not there); give the score.

        ``None`` for an item that is refused (see *unique* of the set).
        Cost: 1 round trip, O(log n). Atomic. Source: ``ZINCRBY``.
        """
        return self._run(plans.increment(self._spec, item, amount))

    def random(self) -> T | None:
        """Give one item at random, and leave it in the set; ``KeyError`` if there is none.

        ``None`` for one that can't be deserialized. Cost: 1 round trip, O(log n).
        Source: ``ZRANDMEMBER``.
        """
        plan = plans.random(self._spec)
        return self._run(plan)

    def sample(self, k: int) -> list[T]:
        """Give up to *k* different items at random, and leave them in the set.

        Cost: 1 round trip, O(k log n). Atomic. Source: ``ZRANDMEMBER``; ``random.sample``.
        """
        size = self._place("k", k)
        if size < 0:
            raise InvalidValueError(f"redset {self._name!r}: k must be 0 or more, got {k}")
        return self._run(plans.sample(self._spec, size)) if size else []

    def _ends(self, low: Any, high: Any, inclusive: Any) -> tuple[str, str]:
        if not isinstance(inclusive, tuple) or [type(end) for end in inclusive] != [bool, bool]:
            raise InvalidTypeError(
                f"redset {self._name!r}: inclusive must be two bools, got {inclusive!r}"
            )
        ends = []
        for argument, end, belongs in (("min", low, inclusive[0]), ("max", high, inclusive[1])):
            score = number(check_score(self._name, argument, end))
            ends.append(score if belongs else f"({score}")
        return ends[0], ends[1]

    def _walk(self, *, reverse: bool = False) -> Iterator[tuple[T, float]]:
        after: Pair | None = None
        limit = FIRST_PAGE
        while True:
            pairs = self._run(plans.page(self._spec, after, limit, reverse=reverse))
            yield from plans.decoded(self._spec, pairs)
            if len(pairs) < limit:
                return
            after = pairs[-1]
            size = sum(len(member) for member, _ in pairs) // limit + 1
            limit = max(1, min(limit * 4, LAST_PAGE, PAGE_BYTES // size))
