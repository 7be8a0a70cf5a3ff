"""Methods of a set that read a combination, without storing it."""

from collections.abc import Iterable
from typing import Any, Literal, TypeVar, overload

from redset._plans import reading
from redset._plans.arguments import OnConflict
from redset._transport.async_runner import AsyncRunner
from redset.asyncio._methods.handle import SetHandle
from redset.asyncio._methods.operands import Items, operands_of

T = TypeVar("T")
S = TypeVar("S")


class ReadingMethods(SetHandle[T]):
    """Read the items of a union, intersection or difference."""

    @overload
    async def read_union(
        self,
        *others: Items[S],
        on_conflict: OnConflict = ...,
        weights: Iterable[float] | None = ...,
        limit: int | None = ...,
        reverse: bool = ...,
        with_scores: Literal[False] = ...,
    ) -> list[T | S]: ...

    @overload
    async def read_union(
        self,
        *others: Items[S],
        on_conflict: OnConflict = ...,
        weights: Iterable[float] | None = ...,
        limit: int | None = ...,
        reverse: bool = ...,
        with_scores: Literal[True],
    ) -> list[tuple[T | S, float]]: ...

    async def read_union(
        self,
        *others: Items[Any],
        on_conflict: OnConflict = "keep",
        weights: Iterable[float] | None = None,
        limit: int | None = None,
        reverse: bool = False,
        with_scores: bool = False,
    ) -> list[Any]:
        """Return the items of this set and of all *others*, in the order of their scores.

        As `union`, but nothing is stored: all items are read in one step, and come in one reply.
        For a large result use ``a | b``, which is read in pages, or pass a *limit*.

        Nothing is written: a read-only replica answers, and an account that may only read (with
        rights on its keys such as ``%R~*``, for 1 round trip more). A result among the sets must
        not have expired (`ResultExpired`); the call counts as use of it, and renews it where
        writing is allowed.

        Args:
            others: any iterables; up to 749 sets of this server. Local items, and the sets of
                other servers, slots or serializers, are read into this process and combined here.
            on_conflict: which score counts if two sets have an item, as for `union`.
            weights: as for `union`, one for this set and for each other.
            limit: return at most this many of the items, the first in order; all are combined.
            reverse: begin with the highest score.
            with_scores: return pairs of item and score.

        Raises: ``ValueError`` for a sum of ``inf`` and ``-inf``, or 0 times ``inf``.
        Cost: 1 round trip for sets of this server, O(n log n) there for n items in all; if others
        take part, these sets are sent whole. Atomic: they are read at one moment.
        Source: ``ZUNION``, ``ZDIFF``; redis-py's ``zunion``, Redisson's ``readUnion``.

        """
        return await _read(
            self._runner, "union", others, limit, reverse, with_scores, on_conflict, weights
        )

    @overload
    async def read_intersection(
        self,
        *others: Items[Any],
        on_conflict: OnConflict = ...,
        weights: Iterable[float] | None = ...,
        limit: int | None = ...,
        reverse: bool = ...,
        with_scores: Literal[False] = ...,
    ) -> list[T]: ...

    @overload
    async def read_intersection(
        self,
        *others: Items[Any],
        on_conflict: OnConflict = ...,
        weights: Iterable[float] | None = ...,
        limit: int | None = ...,
        reverse: bool = ...,
        with_scores: Literal[True],
    ) -> list[tuple[T, float]]: ...

    async def read_intersection(
        self,
        *others: Items[Any],
        on_conflict: OnConflict = "keep",
        weights: Iterable[float] | None = None,
        limit: int | None = None,
        reverse: bool = False,
        with_scores: bool = False,
    ) -> list[Any]:
        """Return the items that this set and all *others* have, in the order of their scores.

        Arguments, errors and cost as for `read_union`; but of local items, only those that all of
        them have are sent, to be looked up: up to about 3,500 at one moment, more of them in steps
        of that size, unless the sets have fewer items, which are then read instead.
        Source: ``ZINTER``, ``ZMSCORE``; redis-py's ``zinter``, Redisson's ``readIntersection``.
        """
        return await _read(
            self._runner, "intersection", others, limit, reverse, with_scores, on_conflict, weights
        )

    @overload
    async def read_difference(
        self,
        *others: Items[Any],
        limit: int | None = ...,
        reverse: bool = ...,
        with_scores: Literal[False] = ...,
    ) -> list[T]: ...

    @overload
    async def read_difference(
        self,
        *others: Items[Any],
        limit: int | None = ...,
        reverse: bool = ...,
        with_scores: Literal[True],
    ) -> list[tuple[T, float]]: ...

    async def read_difference(
        self,
        *others: Items[Any],
        limit: int | None = None,
        reverse: bool = False,
        with_scores: bool = False,
    ) -> list[Any]:
        """Return the items that none of *others* has, in the order of their scores.

        Arguments, errors and cost as for `read_union`; local items are not sent, but left out here.
        Source: ``ZDIFF``; redis-py's ``zdiff``, Redisson's ``readDiff``.
        """
        return await _read(self._runner, "difference", others, limit, reverse, with_scores)

    @overload
    async def read_symmetric_difference(
        self,
        other: Items[S],
        /,
        *,
        limit: int | None = ...,
        reverse: bool = ...,
        with_scores: Literal[False] = ...,
    ) -> list[T | S]: ...

    @overload
    async def read_symmetric_difference(
        self,
        other: Items[S],
        /,
        *,
        limit: int | None = ...,
        reverse: bool = ...,
        with_scores: Literal[True],
    ) -> list[tuple[T | S, float]]: ...

    async def read_symmetric_difference(
        self,
        other: Items[Any],
        /,
        *,
        limit: int | None = None,
        reverse: bool = False,
        with_scores: bool = False,
    ) -> list[Any]:
        """Return the items that only one of the two sets has, in the order of their scores.

        Arguments, errors and cost as for `read_union`.
        Source: ``ZDIFF``, twice.
        """
        return await _read(
            self._runner, "symmetric_difference", (other,), limit, reverse, with_scores
        )


async def _read(
    runner: AsyncRunner[Any],
    operation: str,
    others: tuple[Items[Any], ...],
    limit: int | None,
    reverse: bool,
    with_scores: bool,
    conflict: str = "keep",
    weights: Iterable[float] | None = None,
) -> list[Any]:
    options = (limit, reverse, with_scores, conflict, weights)
    wanted = reading.combination(runner.config, operation, len(others), *options)
    if wanted is None:
        return []
    return await runner.run(reading.read, wanted, await operands_of(runner, others))
