"""The operators of a set: Python's own, and those of builtin ``set``; each is one method."""

from collections.abc import Iterable, Set
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar, overload

from redset._methods import SetMethods, _sought
from redset._plans import many, single
from redset._protocol.members import CHUNK_MEMBERS
from redset.exceptions import InvalidTypeError

if TYPE_CHECKING:
    from redset.sets import RedisSortedSet

T = TypeVar("T")
S = TypeVar("S")


class Operators(SetMethods[T]):
    """What a set can do by an operator; the operators take sets only, the methods any iterables.

    Of two sets with different serializers, an item is in both if both serializers say so.
    """

    def __contains__(self, item: object) -> bool:
        """Say whether *item* is in the set; a set of redset is looked up as in `discard`.

        Cost: 1 round trip, O(1). Source: ``ZSCORE``.
        """
        return self._run(single.contains, _sought(item))

    def __len__(self) -> int:
        """How many items are in the set. Cost: 1 round trip, O(1). Source: ``ZCARD``."""
        return self._run(many.size)

    def __delitem__(self, index: int | slice) -> None:
        """Remove the item of that rank, or those of a slice; see `remove_at`."""
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
        """``self.union(other)``, for sets only."""
        return self.union(other) if isinstance(other, Set) else NotImplemented

    def __and__(self, other: Set[Any]) -> Self:
        """``self.intersection(other)``, for sets only."""
        return self.intersection(other) if isinstance(other, Set) else NotImplemented

    def __sub__(self, other: Set[Any]) -> Self:
        """``self.difference(other)``, for sets only."""
        return self.difference(other) if isinstance(other, Set) else NotImplemented

    @overload
    def __xor__(  # pyright: ignore[reportOverlappingOverload]
        self, other: Set[T]
    ) -> Self: ...

    @overload
    def __xor__(self, other: Set[S]) -> "RedisSortedSet[T | S]": ...

    def __xor__(self, other: Set[Any]) -> Any:
        """``self.symmetric_difference(other)``, for sets only."""
        return self.symmetric_difference(other) if isinstance(other, Set) else NotImplemented

    # A builtin set on the left gives a builtin set

    def __ror__(self, other: Set[S]) -> Set[S | T]:
        """The items of *other* and of this set, as a set of this process."""
        return _kind(other)([*other, *self]) if isinstance(other, Set) else NotImplemented

    def __rand__(self, other: Set[S]) -> Set[S]:
        """The items of *other* that this set has, as a set of this process."""
        return _kind(other)(_sift(self, other, True)) if isinstance(other, Set) else NotImplemented

    def __rsub__(self, other: Set[S]) -> Set[S]:
        """The items of *other* that this set hasn't, as a set of this process."""
        return _kind(other)(_sift(self, other, False)) if isinstance(other, Set) else NotImplemented

    def __rxor__(self, other: Set[S]) -> Set[S | T]:
        """The items that only one of the two has, as a set of this process."""
        if not isinstance(other, Set):
            return NotImplemented
        return _kind(other)(set(other) ^ set(self))

    # In place

    def __ior__(self, other: Set[T]) -> Self:  # type: ignore[override,misc,unused-ignore]
        """``self.update(other)``, for sets only."""
        if not isinstance(other, Set):
            return NotImplemented
        self.update(other)
        return self

    def __iand__(self, other: Set[Any]) -> Self:  # type: ignore[misc,unused-ignore]
        """``self.intersection_update(other)``, for sets only."""
        if not isinstance(other, Set):
            return NotImplemented
        self.intersection_update(other)
        return self

    def __isub__(self, other: Set[Any]) -> Self:  # type: ignore[misc,unused-ignore]
        """``self.difference_update(other)``, for sets only."""
        if not isinstance(other, Set):
            return NotImplemented
        self.difference_update(other)
        return self

    def __ixor__(self, other: Set[T]) -> Self:  # type: ignore[override,misc,unused-ignore]
        """``self.symmetric_difference_update(other)``, for sets only."""
        if not isinstance(other, Set):
            return NotImplemented
        self.symmetric_difference_update(other)
        return self

    # Comparisons

    def __le__(self, other: Set[Any]) -> bool:
        """``self.issubset(other)``, for sets only."""
        return self.issubset(other) if isinstance(other, Set) else NotImplemented

    def __ge__(self, other: Set[Any]) -> bool:
        """``self.issuperset(other)``, for sets only."""
        return self.issuperset(other) if isinstance(other, Set) else NotImplemented

    def __lt__(self, other: Set[Any]) -> bool:
        """Say whether *other* has every item of this set, and more."""
        if not isinstance(other, Set):
            return NotImplemented
        return self._compare("proper_subset", other)

    def __gt__(self, other: Set[Any]) -> bool:
        """Say whether this set has every item of *other*, and more."""
        if not isinstance(other, Set):
            return NotImplemented
        return self._compare("proper_subset", other, other_first=True)

    def __eq__(self, other: object) -> bool:
        """Say whether both have the same items, whatever their scores."""
        if not isinstance(other, Set):
            return NotImplemented
        return self._compare("equal", other)

    __hash__: ClassVar[None] = None  # type: ignore[assignment]

    # How it is done

    @classmethod
    def _from_iterable(cls, iterable: Iterable[Any]) -> Any:
        # `Set`'s own operators would make a set somewhere: none of them is left in use.
        raise InvalidTypeError(
            f"{cls.__name__} can't be made from items alone; it needs a client and a name"
        )


def _kind(other: Set[Any]) -> type[set[Any]] | type[frozenset[Any]]:
    return frozenset if isinstance(other, frozenset) else set


def _sift(numbers: SetMethods[Any], others: Iterable[S], wanted: bool) -> Iterable[S]:
    """Those of *others* that are in the set, or that are not."""
    iterator = iter(others)
    while chunk := list(islice(iterator, CHUNK_MEMBERS)):
        for item, score in zip(chunk, numbers.scores(*chunk), strict=True):
            if (score is not None) is wanted:
                yield item
