"""Reading what `redset.asyncio.algebra` would make: `redset.readings` for asyncio."""

from collections.abc import Iterable
from typing import Any, Literal, TypeVar, overload

import redset.readings
from redset.asyncio.algebra import Algebra, Items
from redset.asyncio.twins import documented
from redset.operations import OnConflict

T = TypeVar("T")
S = TypeVar("S")


@documented(redset.readings.Readings)
class Readings(Algebra[T]):
    """Combinations that are read, for a read-only replica and an account that may only read."""

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
        return await self._read("union", others, limit, reverse, with_scores, on_conflict, weights)

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
        return await self._read(
            "intersection", others, limit, reverse, with_scores, on_conflict, weights
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
        return await self._read("difference", others, limit, reverse, with_scores)

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
        return await self._read("symmetric_difference", (other,), limit, reverse, with_scores)

    async def _read(
        self,
        verb: str,
        others: tuple[Items[Any], ...],
        limit: int | None,
        reverse: bool,
        with_scores: bool,
        conflict: str = "keep",
        weights: Iterable[float] | None = None,
    ) -> list[Any]:
        options = (limit, reverse, with_scores, conflict, weights)
        wanted = self._combination(verb, len(others), *options)
        if wanted is None:
            return []
        return await self._run(self._to_read(wanted, await self._operands(others)))
