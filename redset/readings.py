"""Reading what `redset.algebra` would make, in one step and without storing it."""

from collections.abc import Iterable
from typing import Any, Literal, TypeVar, overload

from redset.algebra import Algebra
from redset.operations import OnConflict

T = TypeVar("T")
S = TypeVar("S")


class Readings(Algebra[T]):
    """Combinations that are read, for a read-only replica and an account that may only read."""

    @overload
    def read_union(
        self,
        *others: Iterable[S],
        on_conflict: OnConflict = ...,
        weights: Iterable[float] | None = ...,
        limit: int | None = ...,
        reverse: bool = ...,
        with_scores: Literal[False] = ...,
    ) -> list[T | S]: ...

    @overload
    def read_union(
        self,
        *others: Iterable[S],
        on_conflict: OnConflict = ...,
        weights: Iterable[float] | None = ...,
        limit: int | None = ...,
        reverse: bool = ...,
        with_scores: Literal[True],
    ) -> list[tuple[T | S, float]]: ...

    def read_union(
        self,
        *others: Iterable[Any],
        on_conflict: OnConflict = "keep",
        weights: Iterable[float] | None = None,
        limit: int | None = None,
        reverse: bool = False,
        with_scores: bool = False,
    ) -> list[Any]:
        """Give the items of this set and of all *others*, in the order of their scores.

        As `union`, but nothing is stored: all items are read in one step, and come in one reply.
        For a large result use ``a | b``, which is read in pages, or give a *limit*.

        Args:
            others: any iterables; up to 749 sets of this server. Local items, and the sets of
                other servers, slots or serializers, are read into this process and combined here.
            on_conflict: whose score counts where two sets have an item, as for `union`.
            weights: as for `union`, one for this set and for each other.
            limit: give at most so many of the items, the first in order; all are combined.
            reverse: begin with the highest score.
            with_scores: give pairs of item and score.

        Nothing is written: a read-only replica answers, and an account that may only read (with
        rights on its keys such as ``%R~*``, for 1 round trip more). A result among the sets must
        be alive (`ResultExpired`); this is use of it, which renews it where that may be written.

        Cost: 1 round trip for sets of this server, O(n log n) there for n items in all; if others
        take part, these sets are sent whole. Atomic: they are read at one moment.
        Raises: ``ValueError`` for a sum of ``inf`` and ``-inf``, or 0 times ``inf``.
        Source: ``ZUNION``, ``ZDIFF``; redis-py's ``zunion``, Redisson's ``readUnion``.

        """
        return self._read("union", others, limit, reverse, with_scores, on_conflict, weights)

    @overload
    def read_intersection(
        self,
        *others: Iterable[Any],
        on_conflict: OnConflict = ...,
        weights: Iterable[float] | None = ...,
        limit: int | None = ...,
        reverse: bool = ...,
        with_scores: Literal[False] = ...,
    ) -> list[T]: ...

    @overload
    def read_intersection(
        self,
        *others: Iterable[Any],
        on_conflict: OnConflict = ...,
        weights: Iterable[float] | None = ...,
        limit: int | None = ...,
        reverse: bool = ...,
        with_scores: Literal[True],
    ) -> list[tuple[T, float]]: ...

    def read_intersection(
        self,
        *others: Iterable[Any],
        on_conflict: OnConflict = "keep",
        weights: Iterable[float] | None = None,
        limit: int | None = None,
        reverse: bool = False,
        with_scores: bool = False,
    ) -> list[Any]:
        """Give the items that this set and all *others* have, in the order of their scores.

        Arguments, errors and cost as for `read_union`; but of local items, only those that all of
        them have are sent, to be looked up: up to about 3,500 at one moment, more of them in steps
        of that size, unless the sets have fewer items, which are then read instead.
        Source: ``ZINTER``, ``ZMSCORE``; redis-py's ``zinter``, Redisson's ``readIntersection``.
        """
        return self._read("intersection", others, limit, reverse, with_scores, on_conflict, weights)

    @overload
    def read_difference(
        self,
        *others: Iterable[Any],
        limit: int | None = ...,
        reverse: bool = ...,
        with_scores: Literal[False] = ...,
    ) -> list[T]: ...

    @overload
    def read_difference(
        self,
        *others: Iterable[Any],
        limit: int | None = ...,
        reverse: bool = ...,
        with_scores: Literal[True],
    ) -> list[tuple[T, float]]: ...

    def read_difference(
        self,
        *others: Iterable[Any],
        limit: int | None = None,
        reverse: bool = False,
        with_scores: bool = False,
    ) -> list[Any]:
        """Give the items that none of *others* has, in the order of their scores.

        Arguments, errors and cost as for `read_union`; local items are not sent, but left out here.
        Source: ``ZDIFF``; redis-py's ``zdiff``, Redisson's ``readDiff``.
        """
        return self._read("difference", others, limit, reverse, with_scores)

    @overload
    def read_symmetric_difference(
        self,
        other: Iterable[S],
        /,
        *,
        limit: int | None = ...,
        reverse: bool = ...,
        with_scores: Literal[False] = ...,
    ) -> list[T | S]: ...

    @overload
    def read_symmetric_difference(
        self,
        other: Iterable[S],
        /,
        *,
        limit: int | None = ...,
        reverse: bool = ...,
        with_scores: Literal[True],
    ) -> list[tuple[T | S, float]]: ...

    def read_symmetric_difference(
        self,
        other: Iterable[Any],
        /,
        *,
        limit: int | None = None,
        reverse: bool = False,
        with_scores: bool = False,
    ) -> list[Any]:
        """Give the items that only one of the two has, in the order of their scores.

        Arguments, errors and cost as for `read_union`. Source: ``ZDIFF``, twice.
        """
        return self._read("symmetric_difference", (other,), limit, reverse, with_scores)

    def _read(
        self,
        verb: str,
        others: tuple[Iterable[Any], ...],
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
        return self._run(self._to_read(wanted, self._operands(others)))
