# Generated from redset/asyncio/_methods/algebra.py: change that, then `make generate`.
"""Methods of a set that make another set: a result, or a lasting one."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload

from redset._methods.handle import SetHandle
from redset._methods.operands import Items, operands_of
from redset._plans import algebra
from redset._plans.arguments import OnConflict, check_conflict
from redset.exceptions import NotDurable

if TYPE_CHECKING:
    from redset.sets import RedisSortedSet

T = TypeVar("T")
S = TypeVar("S")


class AlgebraMethods(SetHandle[T]):
    """Make the union, intersection, difference or copy."""

    @overload
    def union(  # pyright: ignore[reportOverlappingOverload]
        self,
        *others: Items[T],
        on_conflict: OnConflict = ...,
        weights: Iterable[float] | None = ...,
        into: str | bytes | None = ...,
    ) -> Self: ...

    @overload
    def union(
        self,
        *others: Items[S],
        on_conflict: OnConflict = ...,
        weights: Iterable[float] | None = ...,
        into: str | bytes | None = ...,
    ) -> "RedisSortedSet[T | S]": ...

    def union(
        self,
        *others: Items[Any],
        on_conflict: OnConflict = "keep",
        weights: Iterable[float] | None = None,
        into: str | bytes | None = None,
    ) -> Any:
        """Make the set of all items of this set and *others*.

        Args:
            others: any iterables; sets of one server (up to 749) are combined there, others
                travel once.
            on_conflict: which score wins if two sets have an item: ``"keep"`` (that of the left
                set), ``"replace"``, ``"min"``, ``"max"``, ``"sum"``.
            weights: a finite factor for the scores of this set and of each other, with
                ``"min"``, ``"max"`` and ``"sum"``.
            into: the name of a lasting set to make, in a cluster one of the same slot; an existing
                set of that name is replaced with its companion keys, and its leases are lost,
                unless it is an operand itself. If ``None``, the set is a *result*, which is deleted
                with its handle.

        Raises: ``ValueError`` for a sum of ``inf`` and ``-inf``, or 0 times ``inf``; nothing has
        been changed then.
        Cost: 1 round trip for operands that are on the server (O(n log n) there) or fit in one
        chunk. Atomic.
        Source: ``ZUNIONSTORE``; ``set.union``.

        """
        return self._combine("union", others, on_conflict, weights, into)

    def intersection(
        self,
        *others: Items[Any],
        on_conflict: OnConflict = "keep",
        weights: Iterable[float] | None = None,
        into: str | bytes | None = None,
    ) -> Self:
        """Make the set of the items that this set and all *others* have.

        Arguments and cost as for `union`.
        Source: ``ZINTERSTORE``; ``set.intersection``.
        """
        return self._combine("intersection", others, on_conflict, weights, into)

    def difference(self, *others: Items[Any], into: str | bytes | None = None) -> Self:
        """Make the set of the items that none of *others* has, with their scores.

        *into* and cost as for `union`.
        Source: ``ZDIFFSTORE``; ``set.difference``.
        """
        return self._combine("difference", others, "keep", None, into)

    @overload
    def symmetric_difference(  # pyright: ignore[reportOverlappingOverload]
        self, other: Items[T], /, *, into: str | bytes | None = ...
    ) -> Self: ...

    @overload
    def symmetric_difference(
        self, other: Items[S], /, *, into: str | bytes | None = ...
    ) -> "RedisSortedSet[T | S]": ...

    def symmetric_difference(self, other: Items[Any], /, *, into: str | bytes | None = None) -> Any:
        """Make the set of the items that only one of the two sets has, with their scores.

        *into* and cost as for `union`.
        Source: ``ZDIFFSTORE``; ``set.symmetric_difference``.
        """
        return self._combine("symmetric_difference", (other,), "keep", None, into)

    def copy(self, *, into: str | bytes | None = None) -> Self:
        """Make a snapshot of this set with its scores; *into* and cost as for `union`."""
        return self._combine("union", (), "keep", None, into)

    def _combine(
        self,
        operation: str,
        others: Iterable[Items[Any]],
        conflict: str,
        weights: Iterable[float] | None,
        into: str | bytes | None,
    ) -> Self:
        check_conflict(self._runner.config, conflict)
        operands = operands_of(self._runner, others)
        plan = algebra.combined
        try:
            made = self._run(plan, operation, operands, conflict, weights, into)
        except NotDurable as error:
            error.result = self._derive(error.result)
            raise
        return self._derive(made)
