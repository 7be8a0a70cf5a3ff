"""Methods of a set for one item."""

from typing import Any, TypeVar

from redset._plans import single
from redset._plans.arguments import OnConflict
from redset.asyncio._methods.handle import SetHandle
from redset.asyncio._methods.operands import sought
from redset.base import BaseSet

T = TypeVar("T")


class SingleMethods(SetHandle[T]):
    """Add, change, remove and look up one item."""

    async def add(self, item: T, score: Any = None, *, on_conflict: OnConflict = "replace") -> Any:
        """Put *item* into the set, or change its score if it is there already; return the score.

        The score is returned as the float that is kept, or as the ``int`` that was given. Returns
        ``None`` for an item that is refused (see *unique* of the set).

        Args:
            item: a value that the serializer accepts.
            score: a real number; ``None`` asks the scorer, 0 is a score.
            on_conflict: which score an item has that was there already: ``"replace"`` (the new
                score), ``"keep"``, ``"min"``, ``"max"`` or ``"sum"``.

        Raises: ``TypeError`` or ``ValueError`` for an item or a score that can't be kept (``nan``,
        a number of any type that a float would round), before anything is sent, and for a sum of
        ``inf`` and ``-inf``.
        Cost: 1 round trip, O(log n) on the server. Atomic, except that with ``"keep"``, ``"min"``
        and ``"max"`` the returned score is read by a second command of the same round trip.
        Source: ``ZADD``; ``add`` of the redset 0.4 documentation.

        """
        return await self._run(single.add, item, score, on_conflict)

    async def add_and_rank(
        self,
        item: T,
        score: Any = None,
        *,
        on_conflict: OnConflict = "replace",
        reverse: bool = False,
    ) -> int | None:
        """Put *item* into the set as `add` does; return its place in score order, as `rank` does.

        Returns ``None`` for an item that is refused (see *unique* of the set).

        Cost: 1 round trip, or 2 if *unique* may refuse it, O(log n). Atomic, except that the place
        is read by a second command.
        Source: ``ZADD`` and ``ZRANK``, ``ZREVRANK`` for *reverse*.
        """
        return await self._run(single.add_and_rank, item, score, on_conflict, reverse=reverse)

    async def update_score(
        self, item: T, score: float, *, on_conflict: OnConflict = "replace"
    ) -> float | None:
        """Change the score of *item* if it is there; return its new score, otherwise ``None``.

        *on_conflict* as for `add`.

        Cost: 1 round trip, O(log n). Atomic, except that the score is read by a second command of
        the same round trip.
        Source: ``ZADD XX``.
        """
        return await self._run(single.update_score, item, score, on_conflict)

    async def increment(self, item: T, amount: float = 1.0) -> float | None:
        """Raise the score of *item* by *amount*; return the new score.

        If the item is not there, it is added with *amount* as its score. Returns ``None`` for an
        item that is refused (see *unique* of the set).

        Raises: ``ValueError`` for a sum of ``inf`` and ``-inf``.
        Cost: 1 round trip, O(log n). Atomic.
        Source: ``ZINCRBY``.
        """
        return await self._run(single.increment, item, amount)

    async def replace(self, old: T, new: T) -> float:
        """Replace *old* with *new*, which receives the score of *old*; return that score.

        If *new* is there already, its score is replaced too. A lost reply causes no error: the
        client's own retry, or the next such call, returns the same score.

        Raises: ``KeyError`` if *old* is not there; ``TypeError`` for a set whose *unique* may
        refuse *new*.
        Cost: 1 round trip, O(log n). Atomic.
        Source: a script around ``ZADD`` and ``ZREM``.
        """
        return await self._run(single.replace, old, new)

    async def discard(self, item: T) -> bool:
        """Remove *item* if it is there; return whether it was.

        If *item* is another set of redset, it is looked up as the frozenset of its items, as a
        builtin ``set`` is in ``set``; its items are read first.

        Cost: 1 round trip, O(log n). Atomic.
        Source: ``ZREM``.
        """
        value: Any = await sought(self, item) if isinstance(item, BaseSet) else item
        return await self._run(single.discard, value)

    async def remove(self, item: T) -> None:
        """Remove *item*, which must be there; otherwise as `discard`.

        Raises: ``KeyError`` if it is not there.
        Cost: 1 round trip, O(log n). Atomic.
        Source: ``ZREM``.
        """
        value: Any = await sought(self, item) if isinstance(item, BaseSet) else item
        await self._run(single.remove, value, item)

    # asyncio
    async def contains(self, item: object) -> bool:
        """Return whether *item* is in the set; a set of redset is looked up as in `discard`.

        Cost: 1 round trip, O(1).
        Source: ``ZSCORE``.
        """
        value: Any = await sought(self, item) if isinstance(item, BaseSet) else item
        return await self._run(single.contains, value)

    # end
    async def score(self, item: T) -> float | None:
        """Return the score of *item*, or ``None`` if it is not there.

        Cost: 1 round trip, O(1).
        Source: ``ZSCORE``; ``score`` of the redset 0.4 documentation.
        """
        return await self._run(single.score, item)
