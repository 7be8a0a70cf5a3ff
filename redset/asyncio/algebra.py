"""Set algebra, awaited: `redset.algebra` for asyncio, with names instead of the operators."""

from collections.abc import AsyncIterable, Coroutine, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload

import redset.algebra
from redset._core import comparing, sources
from redset._core.algebra import Local, Remote
from redset._core.async_connection import same_server
from redset._core.words import shown
from redset.asyncio.handle import Opening
from redset.asyncio.ordered import Ordered
from redset.asyncio.twins import documented
from redset.exceptions import InvalidTypeError
from redset.handle import Handle
from redset.operations import OnConflict

if TYPE_CHECKING:
    from redset.asyncio.sets import RedisSortedSet

T = TypeVar("T")
S = TypeVar("S")

# What a set can be combined with: any iterable, an asynchronous one too, as these sets are.
Items = Iterable[T] | AsyncIterable[T]


@documented(redset.algebra.Algebra)
class Algebra(Ordered[T]):
    """Set algebra on the server, with any iterables."""

    # Results: of the same class, or of the general one where other types of items join in

    @overload
    def union(  # pyright: ignore[reportOverlappingOverload]
        self,
        *others: Items[T],
        on_conflict: OnConflict = ...,
        weights: Iterable[float] | None = ...,
        into: str | bytes | None = ...,
    ) -> Opening[Self]: ...

    @overload
    def union(
        self,
        *others: Items[S],
        on_conflict: OnConflict = ...,
        weights: Iterable[float] | None = ...,
        into: str | bytes | None = ...,
    ) -> Opening["RedisSortedSet[T | S]"]: ...

    def union(
        self,
        *others: Items[Any],
        on_conflict: OnConflict = "keep",
        weights: Iterable[float] | None = None,
        into: str | bytes | None = None,
    ) -> Opening[Any]:
        return Opening(self._combine("union", others, on_conflict, weights, into))

    def intersection(
        self,
        *others: Items[Any],
        on_conflict: OnConflict = "keep",
        weights: Iterable[float] | None = None,
        into: str | bytes | None = None,
    ) -> Opening[Self]:
        return Opening(self._combine("intersection", others, on_conflict, weights, into))

    def difference(self, *others: Items[Any], into: str | bytes | None = None) -> Opening[Self]:
        return Opening(self._combine("difference", others, "keep", None, into))

    @overload
    def symmetric_difference(  # pyright: ignore[reportOverlappingOverload]
        self, other: Items[T], /, *, into: str | bytes | None = ...
    ) -> Opening[Self]: ...

    @overload
    def symmetric_difference(
        self, other: Items[S], /, *, into: str | bytes | None = ...
    ) -> Opening["RedisSortedSet[T | S]"]: ...

    def symmetric_difference(
        self, other: Items[Any], /, *, into: str | bytes | None = None
    ) -> Opening[Any]:
        return Opening(self._combine("symmetric_difference", (other,), "keep", None, into))

    def copy(self, *, into: str | bytes | None = None) -> Opening[Self]:
        return Opening(self._combine("union", (), "keep", None, into))

    # One item

    async def move(
        self, item: T, to: "Algebra[Any]", *, on_conflict: OnConflict = "replace"
    ) -> bool:
        operand = await self._operand(to) if isinstance(to, Algebra | Handle) else None
        return await self._run(self._to_move(item, to, operand, on_conflict))

    # In place

    async def update(self, *others: Items[T], on_conflict: OnConflict = "keep") -> None:
        self._check_conflict(on_conflict)
        operands = await self._operands(others, travel=True)
        with self._while_read(*others):
            await self._run(self._to_update(operands, on_conflict))

    async def intersection_update(
        self, *others: Items[Any], on_conflict: OnConflict = "keep"
    ) -> None:
        self._check_conflict(on_conflict)
        operands = await self._operands(others)
        await self._run(self._to_store_own("intersection", operands, on_conflict))

    async def difference_update(self, *others: Items[Any]) -> None:
        operands = await self._operands(others)
        with self._while_read(*others):
            await self._run(self._to_difference_update(operands))

    async def symmetric_difference_update(self, other: Items[T], /) -> None:
        self._check_admits_all()
        await self._run(self._to_symmetric_difference_update(await self._operand(other)))

    # Comparisons

    async def issubset(self, other: Items[Any], /) -> bool:
        return await self._compare("subset", self._remote(), await self._operand(other))

    async def issuperset(self, other: Items[Any], /) -> bool:
        return await self._compare("subset", await self._operand(other), self._remote())

    async def isdisjoint(self, other: Items[Any], /) -> bool:
        return await self._compare("disjoint", self._remote(), await self._operand(other))

    async def ispropersubset(self, other: Items[Any], /) -> bool:
        return await self._compare("proper_subset", self._remote(), await self._operand(other))

    async def ispropersuperset(self, other: Items[Any], /) -> bool:
        return await self._compare("proper_subset", await self._operand(other), self._remote())

    async def equals(self, other: Items[Any], /) -> bool:
        return await self._compare("equal", self._remote(), await self._operand(other))

    # Sizes

    async def union_count(self, *others: Items[Any]) -> int:
        return await self._run(self._to_count_of("union", await self._operands(others)))

    async def intersection_count(self, *others: Items[Any], limit: int | None = None) -> int:
        return await self._run(self._to_count_common(await self._operands(others), limit))

    async def difference_count(self, *others: Items[Any]) -> int:
        return await self._run(self._to_count_of("difference", await self._operands(others)))

    # How it is done

    async def _operand(self, other: Items[Any]) -> Remote | Local[Any]:
        """Say how *other* takes part: where it is, or item by item."""
        if isinstance(other, Handle):
            raise InvalidTypeError(
                f"redset {shown(self._name)}: {shown(other)} is a synchronous set, which "
                "would block the event loop; make it with the class of that name in redset.asyncio"
            )
        if isinstance(other, Algebra):
            together = self._shares_commands(other, cluster=self._connection.is_cluster)
            if together and await same_server(self._connection, other._connection):
                return other._remote()
            return self._travelling(other, self._why_apart(other))
        return _unscored(other)

    async def _operands(
        self, others: Sequence[Items[Any]], *, travel: bool = False
    ) -> list[Remote | Local[Any]]:
        """Say how *others* take part; if they *travel*, members that are refused are left out."""
        if travel and not self._spec.admits_all:
            return [self._refusable(other) for other in others]
        return [await self._operand(other) for other in others]

    def _refusable(self, other: Items[Any]) -> Local[Any]:
        if not isinstance(other, Algebra):
            return _unscored(other)
        return self._travelling(other, "unique= may refuse some of them")

    def _travelling(self, other: "Algebra[Any]", why: str) -> Local[Any]:
        items = sources.scored_later(other.items(), self._other_encoding(other))
        return Local(self._noticed(other, items, why))

    async def _combine(
        self,
        verb: str,
        others: Sequence[Items[Any]],
        conflict: str,
        weights: Iterable[float] | None,
        into: str | bytes | None,
    ) -> Self:
        self._check_conflict(conflict)
        operands = await self._operands(others)
        plan = self._to_combine(verb, operands, conflict, weights, into)
        return self._sibling(await self._run(plan))

    def _compare(
        self, verb: str, one: Remote | Local[Any], other: Remote | Local[Any]
    ) -> Coroutine[Any, Any, bool]:
        return self._run(comparing.compare(self._spec, verb, one, other))


def _unscored(items: Items[Any]) -> Local[Any]:
    """Items without scores, local ones or such that come asynchronously."""
    if isinstance(items, AsyncIterable):
        return Local(sources.unscored_later(items))
    return Local(sources.unscored(items))
