"""The operators of a set: Python's own, and those of builtin ``set``; each is one method."""

from collections.abc import Iterable, Set
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar, overload

from redset._methods import SetMethods
from redset._methods.operands import sought
from redset._plans import many, single
from redset._protocol.members import CHUNK_MEMBERS
from redset.base import BaseSet
from redset.exceptions import InvalidTypeError

if TYPE_CHECKING:
    from redset.sets import RedisSortedSet

T = TypeVar("T")
S = TypeVar("S")


class Operators(SetMethods[T]):
    """The operators of a set; they take sets only, while the methods take any iterables.

    Of two sets with different serializers, an item is in both if both serializers say so.
    """

    def __contains__(self, item: object) -> bool:
        """Return whether *item* is in the set; a set of redset is looked up as in `discard`.

        Cost: 1 round trip, O(1).
        Source: ``ZSCORE``.
        """
        value: Any = sought(self, item) if isinstance(item, BaseSet) else item
        return self._run(single.contains, value)

    def __len__(self) -> int:
        """Return how many items are in the set.

        Cost: 1 round trip, O(1).
        Source: ``ZCARD``.
        """
        return self._run(many.size)

    def __delitem__(self, index: int | slice) -> None:
        """Remove the item of that rank, or the items of a slice; see `remove_at`."""
        self.remove_at(index)

    def __copy__(self) -> Self:
        return self.copy()

    def __deepcopy__(self, _memo: dict[int, Any]) -> Self:
        return self.copy()

    @overload
    def __or__(  # pyright: ignore[reportOverlappingOverload]
        self, other: Set[T]
    ) -> Self: ...

    @overload
    def __or__(self, other: Set[S]) -> "RedisSortedSet[T | S]": ...

    def __or__(self, other: Set[Any]) -> Any:
        """Return ``self.union(other)``, for sets only."""
        return self.union(other) if isinstance(other, Set) else NotImplemented

    def __and__(self, other: Set[Any]) -> Self:
        """Return ``self.intersection(other)``, for sets only."""
        return self.intersection(other) if isinstance(other, Set) else NotImplemented

    def __sub__(self, other: Set[Any]) -> Self:
        """Return ``self.difference(other)``, for sets only."""
        return self.difference(other) if isinstance(other, Set) else NotImplemented

    @overload
    def __xor__(  # pyright: ignore[reportOverlappingOverload]
        self, other: Set[T]
    ) -> Self: ...

    @overload
    def __xor__(self, other: Set[S]) -> "RedisSortedSet[T | S]": ...

    def __xor__(self, other: Set[Any]) -> Any:
        """Return ``self.symmetric_difference(other)``, for sets only."""
        return self.symmetric_difference(other) if isinstance(other, Set) else NotImplemented

    # If the left operand is a builtin set, the result is a builtin set

    def __ror__(self, other: Set[S]) -> Set[S | T]:
        """Return the items of *other* and of this set, as a set of this process."""
        return _kind(other)([*other, *self]) if isinstance(other, Set) else NotImplemented

    def __rand__(self, other: Set[S]) -> Set[S]:
        """Return the items of *other* that this set has, as a set of this process."""
        return _kind(other)(_sift(self, other, True)) if isinstance(other, Set) else NotImplemented

    def __rsub__(self, other: Set[S]) -> Set[S]:
        """Return the items of *other* that this set does not have, as a set of this process."""
        return _kind(other)(_sift(self, other, False)) if isinstance(other, Set) else NotImplemented

    def __rxor__(self, other: Set[S]) -> Set[S | T]:
        """Return the items that only one of the two has, as a set of this process."""
        if not isinstance(other, Set):
            return NotImplemented
        return _kind(other)(set(other) ^ set(self))

    # In place

    def __ior__(self, other: Set[T]) -> Self:  # type: ignore[override,misc,unused-ignore]
        """Do ``self.update(other)``, for sets only."""
        if not isinstance(other, Set):
            return NotImplemented
        self.update(other)
        return self

    def __iand__(self, other: Set[Any]) -> Self:  # type: ignore[misc,unused-ignore]
        """Do ``self.intersection_update(other)``, for sets only."""
        if not isinstance(other, Set):
            return NotImplemented
        self.intersection_update(other)
        return self

    def __isub__(self, other: Set[Any]) -> Self:  # type: ignore[misc,unused-ignore]
        """Do ``self.difference_update(other)``, for sets only."""
        if not isinstance(other, Set):
            return NotImplemented
        self.difference_update(other)
        return self

    def __ixor__(self, other: Set[T]) -> Self:  # type: ignore[override,misc,unused-ignore]
        """Do ``self.symmetric_difference_update(other)``, for sets only."""
        if not isinstance(other, Set):
            return NotImplemented
        self.symmetric_difference_update(other)
        return self

    # Comparisons

    def __le__(self, other: Set[Any]) -> bool:
        """Return ``self.issubset(other)``, for sets only."""
        return self.issubset(other) if isinstance(other, Set) else NotImplemented

    def __ge__(self, other: Set[Any]) -> bool:
        """Return ``self.issuperset(other)``, for sets only."""
        return self.issuperset(other) if isinstance(other, Set) else NotImplemented

    def __lt__(self, other: Set[Any]) -> bool:
        """Return whether *other* has every item of this set, and more."""
        if not isinstance(other, Set):
            return NotImplemented
        return self._compare("proper_subset", other)

    def __gt__(self, other: Set[Any]) -> bool:
        """Return whether this set has every item of *other*, and more."""
        if not isinstance(other, Set):
            return NotImplemented
        return self._compare("proper_subset", other, other_first=True)

    def __eq__(self, other: object) -> bool:
        """Return whether both have the same items, whatever their scores."""
        if not isinstance(other, Set):
            return NotImplemented
        return self._compare("equal", other)

    __hash__: ClassVar[None] = None  # type: ignore[assignment]

    # Private helpers

    @classmethod
    def _from_iterable(cls, iterable: Iterable[Any]) -> Any:
        # The operators of `Set` would build a set from items alone: every one of them is
        # overridden.
        raise InvalidTypeError(
            f"{cls.__name__} can't be made from items alone; it needs a client and a name"
        )


def _kind(other: Set[Any]) -> type[set[Any]] | type[frozenset[Any]]:
    return frozenset if isinstance(other, frozenset) else set


def _sift(numbers: SetMethods[Any], others: Iterable[S], wanted: bool) -> Iterable[S]:
    """Return those of *others* that are in the set, or that are not if *wanted* is false."""
    iterator = iter(others)
    while chunk := list(islice(iterator, CHUNK_MEMBERS)):
        for item, score in zip(chunk, numbers.scores(*chunk), strict=True):
            if (score is not None) is wanted:
                yield item
