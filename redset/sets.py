"""The classes of sets that a user makes; their methods are in `redset._methods`.

`RedisSortedSet` is the set with Python's own values; `SortedSet`, `TimeSortedSet` and
`ScheduledSet` are those of redset 0.4.
"""

import time
from collections.abc import Callable
from typing import Any

from redset._operators import Operators
from redset._plans import many
from redset._protocol.config import Unique
from redset._protocol.durability import Durable
from redset._protocol.scores import Clock
from redset.base import SCHEDULED, SORTED, TIME_SORTED, T, Text
from redset.interfaces import Loading


class RedisSortedSet(Operators[T]):
    """A set that many processes share, ordered by score; each item is delivered to one consumer.

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

    * one item: `add`, `add_and_rank`, `update_score`, `increment`, `replace`, `discard`,
      `remove`, ``in``, `score`
    * many: `update`, `add_scored`, `insert`, `clear`, ``len``, `scores`
    * iteration, ``reversed``, `items`
    * delivery: `pop`, `take`, `peek`, `peek_score`
    * delivery until an item is acknowledged: `lease`, `consume`, `leased`, `dead_items`,
      `dead_letters`, `requeue`, `stats`
    * with other sets: the operators and methods of builtin ``set``, on the server, `move`,
      `union_count`, `intersection_count`, `difference_count`
    * in order: indexes and slices, `index`, `rank`, `ranks`, `remove_at`, `range`, `count`,
      `remove_range`, `random`, `sample`
    * as a key: `rename`, `expire`, `persist`, `ttl`; as a result: `close`, ``with``

    The lowest score comes first, items of equal score in order of their bytes. A handle is cheap,
    can be used by several threads, pickled, and sent to other processes.

    Args:
        redis_client: a synchronous client of redis-py or valkey-py, as you configured it.
        name: ``str`` or ``bytes``, the key of the set on the server; it must not be a companion
            key of another set, as ``{jobs}:dead`` is of ``jobs``.
        scorer: callable, item -> score; if ``None``, every score is 0.
        serializer: object with ``dumps`` and ``loads`` (`redset.interfaces.Serializer`); if
            ``None``, hashable Python values keep their types.
        lock_timeout: seconds that `lock` waits; `redset.locks.Lock` has the default.
        lock_expires: seconds that `lock` may be held; `redset.locks.Lock` has the default.
        clock: callable that returns UNIX seconds; the time for scores and for "due".
        unique: when an item that is added again is refused. ``"until_taken"``: while it is in
            the set; ``"until_acked"``: also while it is on lease; ``"forever"``: always after it
            was first added, until `clear`.
        max_deliveries: how often `lease` may deliver an item before it becomes a dead letter
            (`dead_items`) instead of ready again; ``None`` sets no limit.
        durable: the copies of a change that each call waits for (`redset.Durable`); ``None``
            waits for none: the server may lose what it acknowledged if it fails.

    """

    def __init__(
        self,
        redis_client: Any,
        name: str | bytes,
        scorer: Callable[[T], Any] | None = None,
        serializer: Loading[T] | None = None,
        lock_timeout: float | None = None,
        lock_expires: float | None = None,
        *,
        clock: Clock = time.time,
        unique: Unique = "until_taken",
        max_deliveries: int | None = None,
        durable: Durable | None = None,
    ) -> None:
        settings = (scorer, serializer, lock_timeout, lock_expires)
        super().__init__(
            *(redis_client, name, *settings),
            clock=clock,
            unique=unique,
            max_deliveries=max_deliveries,
            durable=durable,
        )

    _initialize = __init__  # type: ignore[assignment]


class SortedSet(RedisSortedSet[Text]):
    """The set of redset 0.4: without a serializer, items are cast to and returned as ``str``.

    If a *serializer* has neither ``dumps`` nor ``loads``, it is ignored with a warning.

    >>> import redset
    >>> names = redset.SortedSet(redset.connect(), "names")
    >>> names.update([3, "a"])
    >>> list(names)
    ['3', 'a']
    >>> names.clear()
    True

    Args:
        redis_client, name, scorer: as for `redset.RedisSortedSet`.
        serializer: object with ``dumps`` and ``loads``; without one, items are ``str``.
        lock_timeout, lock_expires, clock, unique, max_deliveries, durable: as for
            `redset.RedisSortedSet`.

    """

    _kind = SORTED


class TimeSortedSet(SortedSet[Text]):
    """A `SortedSet` in order of time: first in, first out, unless a score is given.

    Without a scorer, an item's score is the time at which it is added (UNIX seconds by *clock*).
    A process never uses the same time twice, so its items come back in the order it added them.

    Args:
        redis_client, name: as for `redset.RedisSortedSet`.
        scorer: callable, item -> score; without one, the score is the time.
        serializer: as for `redset.SortedSet`.
        clock: callable that returns UNIX seconds, the time of items without a score.
        lock_timeout, lock_expires, unique, max_deliveries, durable: as for
            `redset.RedisSortedSet`.

    """

    _kind = TIME_SORTED


class ScheduledSet(TimeSortedSet[Text]):
    """A `TimeSortedSet` that delivers an item only when its score, a time, has come.

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

    Args:
        redis_client, name: as for `redset.RedisSortedSet`.
        scorer: callable, item -> UNIX seconds at which it is due; without one, it is due at once.
        serializer: as for `redset.SortedSet`.
        clock: callable that returns UNIX seconds, by which items are due.
        lock_timeout, lock_expires, unique, max_deliveries, durable: as for
            `redset.RedisSortedSet`.

    """

    _kind = SCHEDULED

    def available(self) -> int:
        """Return how many items are due now.

        Cost: 1 round trip, O(log n).
        Source: ``ZCOUNT``.
        """
        return self._run(many.available)
