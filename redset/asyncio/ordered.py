"""What a set can do because it is sorted: `redset.ordered` for asyncio."""

import math
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from typing import Any, Literal, TypeVar, overload

import redset.ordered
from redset._core import plans
from redset._core.spec import Plan, Spec
from redset._core.walking import Walk, walk_items, walk_pairs
from redset.asyncio.handle import Handle, Use
from redset.asyncio.twins import documented

T = TypeVar("T")
R = TypeVar("R")


@documented(redset.ordered.Ordered)
class Ordered(Handle[T]):
    """Iteration, ranks and ranges, all in score order."""

    def __aiter__(self) -> AsyncIterator[T]:
        return self._walk(walk_items)

    def __reversed__(self) -> AsyncIterator[T]:
        return self._walk(walk_items, reverse=True)

    def items(self) -> AsyncIterator[tuple[T, float]]:
        return self._walk(walk_pairs)

    @overload
    def __getitem__(self, index: int) -> Coroutine[Any, Any, T | None]: ...

    @overload
    def __getitem__(self, index: slice) -> Coroutine[Any, Any, list[T]]: ...

    def __getitem__(self, index: int | slice) -> Coroutine[Any, Any, T | list[T] | None]:
        if isinstance(index, slice):
            return self._run(self._to_slice(index))
        return self._run(self._to_get(index))

    async def remove_at(self, index: int | slice) -> int:
        return await self._run(self._to_remove_at(index))

    async def index(self, item: T) -> int:
        return await self._run(self._to_index(item))

    async def rank(self, item: T, *, reverse: bool = False) -> int | None:
        return await self._run(plans.rank(self._spec, item, reverse=reverse))

    async def ranks(self, *items: T, reverse: bool = False) -> list[int | None]:
        return await self._run(plans.ranks(self._spec, items, reverse=reverse))

    async def scores(self, *items: T) -> list[float | None]:
        return await self._run(plans.scores(self._spec, items))

    async def count(
        self,
        min: float = -math.inf,
        max: float = math.inf,
        *,
        inclusive: tuple[bool, bool] = (True, True),
    ) -> int:
        return await self._run(self._to_count(min, max, inclusive))

    @overload
    async def range(
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
    async def range(
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

    async def range(
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
        return await self._run(
            self._to_range(min, max, inclusive, offset, limit, reverse, with_scores)
        )

    async def remove_range(
        self,
        min: float = -math.inf,
        max: float = math.inf,
        *,
        inclusive: tuple[bool, bool] = (True, True),
    ) -> int:
        return await self._run(self._to_remove_range(min, max, inclusive))

    async def increment(self, item: T, amount: float = 1.0) -> float | None:
        return await self._run(plans.increment(self._spec, item, amount))

    async def random(self) -> T | None:
        plan = plans.random(self._spec)
        return await self._run(plan)

    @overload
    async def sample(self, k: int, *, with_scores: Literal[False] = ...) -> list[T]: ...

    @overload
    async def sample(self, k: int, *, with_scores: Literal[True]) -> list[tuple[T, float]]: ...

    async def sample(self, k: int, *, with_scores: bool = False) -> list[Any]:
        return await self._run(self._to_sample(k, with_scores))

    async def _walk(
        self, next_page: Callable[[Spec[T], Walk], Plan[Iterable[R]]], *, reverse: bool = False
    ) -> AsyncIterator[R]:
        walk = Walk(reverse)
        use = None if self._sign is None else Use(self._connection)
        try:
            while not walk.over:
                page = await self._run(next_page(self._spec, walk))
                if use is not None:
                    use.begin()
                for each in page:
                    yield each
        finally:
            if use is not None:
                use.end()
