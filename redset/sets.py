"""The sets: what a user calls. Docstring, validation, one plan; no command, no reply.

`RedisSortedSet` is the set with Python's own values; `SortedSet`, `TimeSortedSet` and
`ScheduledSet` are those of redset 0.4.
"""

from collections.abc import Callable, Iterable, Mapping, MutableSet
from typing import Any, Literal, TypeVar, cast, overload

from redset._core import plans
from redset._core.scores import Clock
from redset.algebra import Algebra
from redset.codecs import TextSerializer
from redset.handing_out import HandingOut
from redset.operations import OnConflict
from redset.readings import Readings

T = TypeVar("T")


class RedisSortedSet(Readings[T], HandingOut[T], MutableSet[T]):  # type: ignore[misc]
    """A set that many processes share, ordered by score; every item goes to exactly one taker.

    >>> import redset
    >>> jobs = redset.RedisSortedSet(redset.connect(), "jobs")
    >>> jobs.add(("resize", 7), score=2)
    2
    >>> jobs.add(("resize", 8), score=1)
    1
    >>> ("resize", 7) in jobs, len(jobs), list(jobs)
    (True, 2, [('resize', 8), ('resize', 7)])
    >>> jobs.pop()
    ('resize', 8)
    >>> jobs.clear()
    True

    * one item: `add`, `add_and_rank`, `update_score`, `increment`, `replace`, `discard`, `remove`,
      ``in``, `score`
    * many: `update`, `add_scored`, `insert`, `clear`, ``len``, `scores`
    * iteration, ``reversed``, `items`
    * handing out: `pop`, `take`, `peek`, `peek_score`
    * until it is acknowledged: `lease`, `consume`, `leased`, `dead`, `requeue`, `stats`
    * with other sets: the operators and methods of builtin ``set``, on the server, `move`,
      `union_count`, `intersection_count`, `difference_count`
    * in order: indexes and slices, `index`, `rank`, `ranks`, `remove_at`, `range`, `count`,
      `remove_range`, `random`, `sample`
    * as a key: `rename`, `expire`, `persist`, `ttl`; as a result: `close`, ``with``

    The lowest score comes first, items of equal score in order of their bytes. A handle is cheap,
    can be used by several threads, pickled, and sent to other processes.

    Args:
        redis_client: a synchronous client of redis-py or valkey-py, as you configured it.
        name: ``str`` or ``bytes``, the key of the set on the server; none that is a companion key
            of another set, as ``{jobs}:dead`` is of ``jobs``.
        scorer: callable, item -> score; without one every score is 0.
        serializer: object with ``dumps`` and ``loads`` (`redset.interfaces.Serializer`); without
            one, hashable Python values keep their types.
        lock_timeout: seconds that `lock` waits; `redset.locks.Lock` has the default.
        lock_expires: seconds that `lock` may be held; likewise.
        clock: callable that returns UNIX seconds; the time that scores and "due" go by.
        unique: until when an item that is added again is refused. ``"until_taken"``: while it is
            in the set; ``"until_done"``: also while it is on lease; ``"for_good"``: ever since it
            was first added, until `clear`.
        max_deliveries: how often `lease` may hand an item out before it goes to `dead` instead of
            coming back; ``None`` sets no limit.

    """

    # One item

    def add(self, item: T, score: Any = None, *, on_conflict: OnConflict = "replace") -> Any:
        """Put *item* into the set, or give it a new score if it is there; return the score.

        ``None`` for an item that is refused (see *unique* of the set).

        Args:
            item: what the serializer takes.
            score: a real number; ``None`` asks the scorer, 0 is a score.
            on_conflict: which score an item that is there has then: ``"replace"`` (the new one),
                ``"keep"``, ``"min"``, ``"max"`` or ``"sum"``.

        Cost: 1 round trip, O(log n) on the server. Atomic, but that a score which ``"keep"``,
        ``"min"`` or ``"max"`` leaves is read a moment later.
        Raises: ``TypeError`` or ``ValueError`` for an item or a score that can't be kept (``nan``,
        a number of any type that a float would round), before anything is sent, and for a sum of
        ``inf`` and ``-inf``.
        Source: ``ZADD``; ``add`` of the redset 0.4 documentation.

        """
        return self._run(self._to_add(item, score, on_conflict))

    def add_and_rank(
        self,
        item: T,
        score: Any = None,
        *,
        on_conflict: OnConflict = "replace",
        reverse: bool = False,
    ) -> int | None:
        """Put *item* into the set as `add` does, and give its place in score order, as `rank` does.

        ``None`` for an item that is refused (see *unique* of the set).
        Cost: 1 round trip, or 2 if *unique* may refuse it, O(log n). Atomic, but that the place is
        read a moment later.
        Source: ``ZADD`` and ``ZRANK``, ``ZREVRANK`` for *reverse*.
        """
        return self._run(self._to_add_and_rank(item, score, on_conflict, reverse))

    def update_score(
        self, item: T, score: float, *, on_conflict: OnConflict = "replace"
    ) -> float | None:
        """Give *item* another score if it is there; return the score it has then, else ``None``.

        *on_conflict* as for `add`.
        Cost: 1 round trip, O(log n). Atomic, but that the score is read a moment later.
        Source: ``ZADD XX``.
        """
        return self._run(self._to_update_score(item, score, on_conflict))

    def replace(self, old: T, new: T) -> float:
        """Put *new* into the place of *old*, with its score, which is returned.

        If *new* is there already it has that score then. A reply that is lost on the way does not
        make it an error: the client's own retry, or the next such call, is told the score.
        Cost: 1 round trip, O(log n). Atomic.
        Raises: ``KeyError`` if *old* is not there; ``TypeError`` for a set whose *unique* may
        refuse *new*. Source: a script around ``ZADD`` and ``ZREM``.
        """
        return self._run(self._to_replace(old, new))

    def discard(self, item: T) -> bool:  # type: ignore[override]
        """Remove *item* if it is there; say whether it was.

        Another set of redset is looked up as the frozenset of its items, as a builtin ``set`` is
        in ``set``; they are read first.

        Cost: 1 round trip, O(log n). Atomic. Source: ``ZREM``.
        """
        return self._run(plans.discard(self._spec, _sought(item)))

    def remove(self, item: T) -> None:
        """Remove *item*, which must be there: ``KeyError`` if it is not.

        Otherwise as `discard`. Cost: 1 round trip, O(log n). Atomic. Source: ``ZREM``.
        """
        self._run(plans.remove(self._spec, _sought(item), item))

    def __contains__(self, item: object) -> bool:
        """Say whether *item* is in the set; a set of redset is looked up as in `discard`.

        Cost: 1 round trip, O(1). Source: ``ZSCORE``.
        """
        return self._run(plans.contains(self._spec, _sought(cast(T, item))))

    def score(self, item: T) -> float | None:
        """Give the score of *item*, ``None`` if it is not there.

        Cost: 1 round trip, O(1). Source: ``ZSCORE``; ``score`` of the redset 0.4 documentation.
        """
        return self._run(plans.score(self._spec, item))

    # What comes next

    @overload
    def peek(
        self, position: int = ..., *, last: bool = ..., with_scores: Literal[False] = ...
    ) -> T | None: ...

    @overload
    def peek(
        self, position: int = ..., *, last: bool = ..., with_scores: Literal[True]
    ) -> tuple[T | None, float]: ...

    def peek(self, position: int = 0, *, last: bool = False, with_scores: bool = False) -> Any:
        """Return the item that comes next, or at *position* from there, and leave it in the set.

        With *last* it is the one that ``pop(last=True)`` would give, or at *position* before it;
        *with_scores*, a pair of item and score.
        Cost: 1 round trip, O(log n). Raises: ``KeyError`` if there is none.
        Source: ``ZRANGE``; ``peek`` of the redset 0.4 documentation.
        """
        return self._run(self._to_peek(position, last, with_scores))

    def peek_score(self, *, last: bool = False) -> float | None:
        """Give the score of the item that comes next, ``None`` if there is none.

        *last* as in `peek`.
        Cost: 1 round trip, O(log n). Source: ``ZRANGE``; ``peek_score`` of redset 0.4.
        """
        return self._run(plans.peek_score(self._spec, self._highest(), last=last))

    # Many items

    def add_scored(
        self,
        items: Mapping[T, float] | Iterable[tuple[T, float]],
        *,
        on_conflict: OnConflict = "replace",
    ) -> None:
        """Add many items, each with a score of its own, as `add` does one by one.

        Args:
            items: a mapping of items to scores, or an iterable of pairs, also a generator of
                millions; for a score of ``None`` the scorer is asked.
            on_conflict: as for `add`: ``"replace"``, ``"keep"``, ``"min"``, ``"max"`` or ``"sum"``;
                also where *items* have an item twice.

        `update` takes a mapping for the set of its keys, as ``set`` does.
        Cost: 1 round trip for each chunk of up to 5,000 items or 1 MiB (with ``"sum"`` up to 1,000
        items), O(log n) an item. Each chunk is atomic; an error in the middle carries a note of
        how many items had been added.
        Raises: ``TypeError`` or ``ValueError`` for what is no pair, or an item or a score that
        can't be kept, before its chunk is sent.
        Source: ``ZADD``; a script for ``"sum"``, which a repeated request doesn't add again.

        """
        with self._while_read(items):
            self._run(self._to_add_scored(items, on_conflict))

    def insert(self, *items: T) -> list[T]:
        """Add those of *items* that are not there, leave the others; return those that were new.

        Of several processes that insert one item, one is told that it is new. The primitive of
        every "already seen" set. A reply that is lost on the way hides no new item: the client's
        own retry, or the next `insert` over this client, is told again (for 300 seconds).

        Cost: 1 round trip for each 750 items (500 with a *unique*) or 1 MiB, O(log n) an item.
        Atomic for so many.
        Source: a script around ``ZADD NX``.
        """
        return self._run(self._to_insert(items))

    def clear(self) -> bool:  # type: ignore[override]
        """Empty the set and delete its companion keys; say whether there was anything in it.

        Cost: 1 round trip, O(1); the server frees the memory in the background.
        Source: ``UNLINK``; ``clear`` of redset 0.4.
        """
        return self._run(self._to_clear())

    def __len__(self) -> int:
        """How many items are in the set. Cost: 1 round trip, O(1). Source: ``ZCARD``."""
        return self._run(plans.size(self._spec))


def _sought(item: T) -> T:
    """Return what *item* is looked up as: if it is a set of redset, the ``set`` of its items."""
    return cast(T, set(item)) if isinstance(item, Algebra) else item


class SortedSet(RedisSortedSet[T]):
    """The set of redset 0.4: without a serializer, items are cast to and returned as ``str``.

    A *serializer* that has neither ``dumps`` nor ``loads`` does nothing, and a warning says so.

    >>> import redset
    >>> names = redset.SortedSet(redset.connect(), "names")
    >>> names.update([3, "a"])
    >>> list(names)
    ['3', 'a']
    >>> names.clear()
    True
    """

    _serializer_class = TextSerializer
    _falls_back_to_str = True


class TimeSortedSet(SortedSet[T]):
    """A `SortedSet` in order of time: first in, first out, unless a score says otherwise.

    Without a scorer, an item's score is the time at which it is added (UNIX seconds by *clock*).
    One process never gives one time twice, so its items come back in the order it added them.
    """

    def _default_scorer(self) -> Callable[[T], Any]:
        return self._time_scorer()

    def _time_of_scores(self) -> float:
        return float(self._clock())


class ScheduledSet(TimeSortedSet[T]):
    """A `TimeSortedSet` that hands out an item only once its score, a time, has come.

    `pop`, `take`, `peek`, `peek_score` and `available` see the items that are due; ``len``, ``in``
    and iteration see all.

    >>> import redset
    >>> reminders = redset.ScheduledSet(redset.connect(), "reminders", clock=lambda: 100.0)
    >>> reminders.add("later", score=160)
    160
    >>> reminders.add("now", score=100)
    100
    >>> reminders.take(10), reminders.available(), len(reminders)
    (['now'], 0, 1)
    >>> reminders.clear()
    True
    """

    def available(self) -> int:
        """How many items are due now. Cost: 1 round trip, O(log n). Source: ``ZCOUNT``."""
        return self._run(plans.size(self._spec, self._highest()))

    def _due_by(self) -> Clock:
        return self._times.now
