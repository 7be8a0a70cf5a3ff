"""The operators and methods that builtin ``set`` has for two sets and more.

Which operand is on the server already and which must travel is decided here; how they are
combined, in `redset._core.algebra`.
"""

from collections.abc import Iterable, Set
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar, cast, overload

from redset._core import comparing, plans
from redset._core.algebra import Local, Remote
from redset._core.connection import same_server
from redset._core.members import CHUNK_MEMBERS
from redset._core.sources import scored, unscored
from redset.exceptions import InvalidTypeError
from redset.operations import OnConflict
from redset.ordered import Ordered

if TYPE_CHECKING:
    from redset.sets import RedisSortedSet

__all__ = ["Algebra", "OnConflict"]

T = TypeVar("T")
S = TypeVar("S")


class Algebra(Ordered[T]):
    """Set algebra on the server; the methods take any iterables, the operators only sets.

    Of two sets with different serializers, an item is in both if both serializers say so.
    """

    # Results: of the same class, or of the general one where other types of items join in

    @overload
    def union(  # pyright: ignore[reportOverlappingOverload]
        self,
        *others: Iterable[T],
        on_conflict: OnConflict = ...,
        weights: Iterable[float] | None = ...,
        into: str | bytes | None = ...,
    ) -> Self: ...

    @overload
    def union(
        self,
        *others: Iterable[S],
        on_conflict: OnConflict = ...,
        weights: Iterable[float] | None = ...,
        into: str | bytes | None = ...,
    ) -> "RedisSortedSet[T | S]": ...

    def union(
        self,
        *others: Iterable[Any],
        on_conflict: OnConflict = "keep",
        weights: Iterable[float] | None = None,
        into: str | bytes | None = None,
    ) -> "Algebra[Any]":
        """Make the set of all items of this set and *others*.

        Args:
            others: any iterables; sets of one server (up to 749) are combined there, others
                travel once.
            on_conflict: whose score wins where two sets have an item: ``"keep"`` (the left
                one's), ``"replace"``, ``"min"``, ``"max"``, ``"sum"``.
            weights: a finite factor for the scores of this set and of each other, with ``"min"``,
                ``"max"`` and ``"sum"``.
            into: the name of a lasting set to make; the set that is there is replaced, with all
                that belongs to it, its leases too, unless it takes part itself. Without one it is
                a *result*, which goes with its handle.

        Cost: 1 round trip for what is on the server (O(n log n) there) or fits in one chunk.
        Atomic. Raises: ``ValueError`` for a sum of ``inf`` and ``-inf``, or 0 times ``inf``; then
        nothing was changed. Source: ``ZUNIONSTORE``; ``set.union``.

        """
        return self._combine("union", others, on_conflict, weights, into)

    def intersection(
        self,
        *others: Iterable[Any],
        on_conflict: OnConflict = "keep",
        weights: Iterable[float] | None = None,
        into: str | bytes | None = None,
    ) -> Self:
        """Make the set of the items that this set and all *others* have.

        Arguments and cost as for `union`. Source: ``ZINTERSTORE``; ``set.intersection``.
        """
        return self._combine("intersection", others, on_conflict, weights, into)

    def difference(self, *others: Iterable[Any], into: str | bytes | None = None) -> Self:
        """Make the set of the items that none of *others* has, with their scores.

        *into* and cost as for `union`. Source: ``ZDIFFSTORE``; ``set.difference``.
        """
        return self._combine("difference", others, "keep", None, into)

    @overload
    def symmetric_difference(  # pyright: ignore[reportOverlappingOverload]
        self, other: Iterable[T], /, *, into: str | bytes | None = ...
    ) -> Self: ...

    @overload
    def symmetric_difference(
        self, other: Iterable[S], /, *, into: str | bytes | None = ...
    ) -> "RedisSortedSet[T | S]": ...

    def symmetric_difference(
        self, other: Iterable[Any], /, *, into: str | bytes | None = None
    ) -> "Algebra[Any]":
        """Make the set of the items that only one of the two has, with their scores.

        *into* and cost as for `union`. Source: ``ZDIFFSTORE``; ``set.symmetric_difference``.
        """
        return self._combine("symmetric_difference", (other,), "keep", None, into)

    def copy(self, *, into: str | bytes | None = None) -> Self:
        """Make a snapshot of this set with its scores; *into* and cost as for `union`."""
        return self._combine("union", (), "keep", None, into)

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
        return _kind(other)(self._sift(other, True)) if isinstance(other, Set) else NotImplemented

    def __rsub__(self, other: Set[S]) -> Set[S]:
        """The items of *other* that this set hasn't, as a set of this process."""
        return _kind(other)(self._sift(other, False)) if isinstance(other, Set) else NotImplemented

    def __rxor__(self, other: Set[S]) -> Set[S | T]:
        """The items that only one of the two has, as a set of this process."""
        if not isinstance(other, Set):
            return NotImplemented
        return _kind(other)(set(other) ^ set(self))

    # One item

    def move(self, item: T, to: "Algebra[Any]", *, on_conflict: OnConflict = "replace") -> bool:
        """Move *item* with its score to the set *to*; say whether it was here.

        Args:
            item: what is moved; one that is not here changes nothing.
            to: a lasting set of the same server, database and serializer; in a cluster, also of
                the same slot (names with the same ``{tag}``).
            on_conflict: which score it has there if it is there already, as for `add`.

        At no moment it is in both sets, or in none. A reply that is lost on the way hides no move:
        the client's own retry, or the next such call, is told of it.
        Cost: 1 round trip, O(log n). Atomic.
        Raises: ``TypeError`` for another *to*, or one whose *unique* may refuse items.
        Source: a script around ``ZADD`` and ``ZREM``; ``SMOVE``.

        """
        operand = self._operand(to) if isinstance(to, Algebra) else None
        return self._run(self._to_move(item, to, operand, on_conflict))

    # In place

    def update(self, *others: Iterable[T], on_conflict: OnConflict = "keep") -> None:
        """Add the items of all *others*; those that are there keep their scores.

        *on_conflict* may say otherwise, as for `union`. Any iterable will do, also a generator of
        millions: it is sent in chunks of up to 5,000 items or 1 MiB, 1 round trip each; 1,750
        items at a time (500 with a *unique*) are added atomically. An error in the middle carries
        a note of how many items had been added before. If a set of the same server is among
        *others*, all are added in one atomic step.

        With a *unique* other than ``"until_taken"`` all travels, and items are refused as by `add`.
        Cost: O(log n) an item. Source: ``ZADD NX``, ``ZUNIONSTORE``; ``set.update``.
        """
        self._check_conflict(on_conflict)
        with self._while_read(*others):
            self._run(self._to_update(self._operands(others, travel=True), on_conflict))

    def intersection_update(self, *others: Iterable[Any], on_conflict: OnConflict = "keep") -> None:
        """Keep only the items that all *others* have; scores as for `intersection`.

        Cost: as for `intersection`. Atomic. The key keeps its time-to-live.
        """
        self._check_conflict(on_conflict)
        self._run(self._to_store_own("intersection", self._operands(others), on_conflict))

    def difference_update(self, *others: Iterable[Any]) -> None:
        """Remove the items that any of *others* has.

        Cost: 1 round trip (for local items, one for each 5,000), O(log n) an item. Atomic for
        sets of one server; for local items, 1,750 at a time are.
        """
        with self._while_read(*others):
            self._run(self._to_difference_update(self._operands(others)))

    def symmetric_difference_update(self, other: Iterable[T], /) -> None:
        """Remove the items that both have, add those that only *other* has.

        Cost: as for `symmetric_difference`. Atomic. The key keeps its time-to-live.
        Raises: ``TypeError`` for a set whose *unique* may refuse items.
        """
        self._check_admits_all()
        self._run(self._to_symmetric_difference_update(self._operand(other)))

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

    def issubset(self, other: Iterable[Any], /) -> bool:
        """Say whether *other* has every item of this set.

        Cost: 1 round trip for a set of the same server, O(n) there, and early where the sizes or
        the first items differ; another iterable travels once. Atomic. A read-only replica answers
        too, and an account that may only read; for more than 3,500 local items chunk by chunk,
        which is not one moment.
        Source: ``ZINTERCARD`` (``ZMSCORE`` on Redis 6.2), ``ZMSCORE``; ``set.issubset``.
        """
        return self._compare("subset", self._remote(), self._operand(other))

    def issuperset(self, other: Iterable[Any], /) -> bool:
        """Say whether this set has every item of *other*. Cost: as for `issubset`."""
        return self._compare("subset", self._operand(other), self._remote())

    def isdisjoint(self, other: Iterable[Any], /) -> bool:
        """Say whether no item is in both. Cost: as for `issubset`; stops at the first."""
        return self._compare("disjoint", self._remote(), self._operand(other))

    # Sizes

    def union_count(self, *others: Iterable[Any]) -> int:
        """Say how many items `union` would have, without making it.

        Cost: 1 round trip for sets of the same server, O(n) there for the members of all but the
        largest, for each further set; other iterables travel once. Atomic. Nothing is written, so
        that a read-only replica answers, and an account that may only read; more than 3,500 local
        items are staged, and where that is refused counted in steps, which are not one moment.
        Source: ``ZINTERCARD``, ``ZMSCORE``.
        """
        return self._run(self._to_count_of("union", self._operands(others)))

    def intersection_count(self, *others: Iterable[Any], limit: int | None = None) -> int:
        """Say how many items `intersection` would have, without making it; *limit* at the most.

        Cost: 1 round trip for sets of the same server, O(n) there, and less with a *limit*. Of
        other iterables only the items that all of them have travel, if the first one has up to
        3,500. Atomic, and read-only, as `union_count`.
        Source: ``ZINTERCARD`` (``ZMSCORE`` on Redis 6.2).
        """
        return self._run(self._to_count_common(self._operands(others), limit))

    def difference_count(self, *others: Iterable[Any]) -> int:
        """Say how many items `difference` would have, without making it.

        Cost: 1 round trip, O(n) there for the smaller side: this set, or all others together.
        Atomic, and read-only, as `union_count`. Source: ``ZINTERCARD``, ``ZMSCORE``.
        """
        return self._run(self._to_count_of("difference", self._operands(others)))

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
        return self._compare("proper_subset", self._remote(), self._operand(other))

    def __gt__(self, other: Set[Any]) -> bool:
        """Say whether this set has every item of *other*, and more."""
        if not isinstance(other, Set):
            return NotImplemented
        return self._compare("proper_subset", self._operand(other), self._remote())

    def __eq__(self, other: object) -> bool:
        """Say whether both have the same items, whatever their scores."""
        if not isinstance(other, Set):
            return NotImplemented
        return self._compare("equal", self._remote(), self._operand(other))

    __hash__: ClassVar[None] = None  # type: ignore[assignment]

    # How it is done

    def _operand(self, other: Iterable[Any]) -> Remote | Local[Any]:
        """Say how *other* takes part: where it is, or item by item."""
        if not isinstance(other, Algebra):
            return Local(unscored(other))
        together = self._shares_commands(other, cluster=self._connection.is_cluster)
        if together and same_server(self._connection, other._connection):
            return other._remote()
        return self._travelling(other, self._why_apart(other))

    def _operands(
        self, others: Iterable[Iterable[Any]], *, travel: bool = False
    ) -> list[Remote | Local[Any]]:
        """Say how *others* take part; if they *travel*, members that are refused are left out."""
        if travel and not self._spec.admits_all:
            return [self._refusable(other) for other in others]
        return [self._operand(other) for other in others]

    def _refusable(self, other: Iterable[Any]) -> Local[Any]:
        if not isinstance(other, Algebra):
            return Local(unscored(other))
        return self._travelling(other, "unique= may refuse some of them")

    def _travelling(self, other: "Algebra[Any]", why: str) -> Local[Any]:
        """The items of another set with their scores, on their way through this process."""
        items = scored(other.items(), self._other_encoding(other))
        return Local(self._noticed(other, items, why))

    def _combine(
        self,
        verb: str,
        others: Iterable[Iterable[Any]],
        conflict: str,
        weights: Iterable[float] | None,
        into: str | bytes | None,
    ) -> Self:
        self._check_conflict(conflict)
        plan = self._to_combine(verb, self._operands(others), conflict, weights, into)
        return self._sibling(self._run(plan))

    def _compare(self, verb: str, one: Remote | Local[Any], other: Remote | Local[Any]) -> bool:
        return self._run(comparing.compare(self._spec, verb, one, other))

    def _sift(self, items: Iterable[S], wanted: bool) -> Iterable[S]:
        iterator = iter(items)
        while chunk := list(islice(iterator, CHUNK_MEMBERS)):
            scores = self._run(plans.scores(self._spec, cast(list[Any], chunk)))
            for item, score in zip(chunk, scores, strict=True):
                if (score is not None) is wanted:
                    yield item

    @classmethod
    def _from_iterable(cls, iterable: Iterable[Any]) -> Any:
        # `Set`'s own operators would make a set somewhere: none of them is left in use.
        raise InvalidTypeError(
            f"{cls.__name__} can't be made from items alone; it needs a client and a name"
        )


def _kind(other: Set[Any]) -> type[set[Any]] | type[frozenset[Any]]:
    return frozenset if isinstance(other, frozenset) else set
