# asyncio
"""The methods of a set, for asyncio: docstring, signature, one plan.

This is the one source of both surfaces: ``make generate`` writes `redset._methods` from it, and
interprets the marks ``# asyncio`` and ``# sync``.
"""
# end
# sync: """The methods of a set: docstring, signature, one plan."""

import math
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Callable,
    Coroutine,
    Iterable,
    Mapping,
)

# sync: from collections.abc import MutableSet
from typing import TYPE_CHECKING, Any, Concatenate, Literal, ParamSpec, Self, TypeVar, overload

from redset._plans import (
    algebra,
    comparing,
    counting,
    dead_letters,
    leases,
    many,
    queue,
    ranges,
    reading,
    single,
)
from redset._plans.arguments import OnConflict, check_conflict, check_no_dedup
from redset._plans.consuming import Settings, Work, checked_settings
from redset._plans.iteration import page_of_items, page_of_pairs
from redset._plans.leased import DeadLetter, LeaseInfo, Stats
from redset._plans.operands import (
    LocalOperand,
    StoredOperand,
    companion_of,
    noticed_operand,
    other_encoding,
    stored,
    why_apart,
)
from redset._protocol.arguments import check_reason
from redset._protocol.config import Plan, SetConfig, raw_config
from redset._protocol.sources import pull_async, scored_async, unscored_any
from redset._support.words import shown
from redset._transport.async_runner import AsyncRunner
from redset.asyncio.awaitables import AwaitableContext
from redset.asyncio.consumers import Consumer
from redset.asyncio.leases import Lease
from redset.asyncio.locks import Lock
from redset.base import BaseSet, lock_arguments
from redset.exceptions import InvalidTypeError, NotDurable

if TYPE_CHECKING:
    from redset.asyncio.sets import RedisSortedSet

T = TypeVar("T")
S = TypeVar("S")
R = TypeVar("R")
P = ParamSpec("P")

# The operands of a set: any iterable, an asynchronous one too, as these sets are.
Items = Iterable[T] | AsyncIterable[T]

# How many items `leased` and `dead_letters` request in one round trip.
LISTED_PAGE = 1_000


# sync: class SetMethods(BaseSet[T], MutableSet[T]):
# asyncio
class SetMethods(BaseSet[T]):
    # end
    """The methods of a set; `redset.asyncio.RedisSortedSet` describes the class."""

    _runner_class = AsyncRunner
    _runner: AsyncRunner[T]

    if TYPE_CHECKING:

        async def _run(
            self,
            operation: Callable[Concatenate[SetConfig[T], P], Plan[R]],
            *args: P.args,
            **kwargs: P.kwargs,
        ) -> R: ...

    # The handle

    @property
    def lock(self) -> Lock:
        """Return the lock that all handles of this set share; `pop` and `take` need none.

        The times to wait and to hold, in seconds, are the set's ``lock_timeout`` and
        ``lock_expires``. No I/O.
        """
        if self._lock is None:
            self._lock = Lock(*lock_arguments(self))
        lock: Lock = self._lock
        return lock

    async def close(self) -> None:
        """Delete the set if it is a result that this handle owns; otherwise do nothing.

        Cost: 1 round trip for a result, otherwise none.
        """
        await self._runner.close()

    # asyncio
    async def aclose(self) -> None:
        """Do what `close` does, under the name that `contextlib.aclosing` calls."""
        await self.close()

    # end
    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.close()

    async def rename(self, new_name: str | bytes) -> None:
        """Rename the set to *new_name*, and replace the set of that name; a result becomes lasting.

        All companion keys move with the set: items that are on lease, delayed, dead or undecodable,
        and the items that ``unique="forever"`` has seen. An open lease stays valid under the new
        name: its consumer settles, extends and renews it as before. The set that is replaced is
        removed with its companion keys, and its leases are lost (`LeaseLost`). The lock belongs to
        the old name, and does not move.

        For other handles of the old name, the set is empty then. If a call fails and is repeated,
        the set is renamed once.

        Raises: `ResultExpired` for a result that has expired; ``ValueError`` for a *new_name* that
        can't be the name of a set.
        Cost: 1 round trip, O(log n). The first time that a lease is settled after the rename takes
        2 more. In a cluster, both names must share a slot. Atomic.
        Source: ``RENAME``.
        """
        await self._runner.rename(new_name)
        self._lock = None

    async def expire(self, seconds: float) -> bool:
        """Remove the whole set after *seconds*; return whether there is anything to remove.

        Everything is removed at that time: the items that are ready, on lease, delayed or dead, the
        bytes that could not be deserialized, and what ``unique="forever"`` has seen. If a lease is
        settled after that, `LeaseLost` is raised.

        The time-to-live belongs to the set as long as any of its keys exists, wherever its items
        move: an item that returns, a new lease and a new dead letter have it too. `rename` and
        changes in place keep it, another call replaces it, `persist` and `clear` end it. As in
        Redis, if no key of the set is left, the next key under that name has no time-to-live. If
        nothing is ready but other keys are left, items that `add` and `update` store receive the
        set's time-to-live with the next call of `lease`, `consume` or `ttl`.

        Args:
            seconds: a number of seconds, at least 0.001, by the server's clock.

        Raises: ``ValueError`` if *seconds* is 0, negative or not finite; ``TypeError`` for a
        result, which has a time-to-live of its own, and for `dead_items`, which is removed with its
        set.
        Cost: 1 round trip, O(1). Atomic. A request that the client sends again is executed once.
        Source: a script around ``PEXPIRE``; ``expire`` of redis-py.

        """
        return await self._run(many.expire, seconds)

    async def persist(self) -> bool:
        """Remove the time-to-live of `expire`; return whether the set had one.

        If the reply is lost, the client's own retry, or the next such call after an error, returns
        the same.

        Raises: ``TypeError`` as `expire`.
        Cost: 1 round trip, O(1). Atomic.
        Source: a script around ``PERSIST``; ``persist`` of redis-py.
        """
        return await self._run(many.persist)

    async def ttl(self) -> float | None:
        """Return how many seconds the set has left; ``None`` if it has no end or doesn't exist.

        A read-only replica answers too, and an account that may only read.

        Raises: ``TypeError`` as `expire`.
        Cost: 1 round trip, O(1). Atomic.
        Source: a script around ``PTTL``; ``ttl`` of redis-py, as a float and without -1 and -2.
        """
        return await self._run(many.ttl)

    async def add(self, item: T, score: Any = None, *, on_conflict: OnConflict = "replace") -> Any:
        """Put *item* into the set, or change its score if it is there already; return the score.

        Returns ``None`` for an item that is refused (see *unique* of the set).

        Args:
            item: a value that the serializer accepts.
            score: a real number; ``None`` asks the scorer, 0 is a score.
            on_conflict: which score an item has that was there already: ``"replace"`` (the new
                score), ``"keep"``, ``"min"``, ``"max"`` or ``"sum"``.

        Raises: ``TypeError`` or ``ValueError`` for an item or a score that can't be kept (``nan``,
        a number of any type that a float would round), before anything is sent, and for a sum of
        ``inf`` and ``-inf``.
        Cost: 1 round trip, O(log n) on the server. Atomic, except that with ``"keep"``, ``"min"``
        and ``"max"`` the returned score is read by a second command of the same round trip.
        Source: ``ZADD``; ``add`` of the redset 0.4 documentation.

        """
        return await self._run(single.add, item, score, on_conflict)

    async def add_and_rank(
        self,
        item: T,
        score: Any = None,
        *,
        on_conflict: OnConflict = "replace",
        reverse: bool = False,
    ) -> int | None:
        """Put *item* into the set as `add` does; return its place in score order, as `rank` does.

        Returns ``None`` for an item that is refused (see *unique* of the set).

        Cost: 1 round trip, or 2 if *unique* may refuse it, O(log n). Atomic, except that the place
        is read by a second command.
        Source: ``ZADD`` and ``ZRANK``, ``ZREVRANK`` for *reverse*.
        """
        return await self._run(single.add_and_rank, item, score, on_conflict, reverse=reverse)

    async def update_score(
        self, item: T, score: float, *, on_conflict: OnConflict = "replace"
    ) -> float | None:
        """Change the score of *item* if it is there; return its new score, otherwise ``None``.

        *on_conflict* as for `add`.

        Cost: 1 round trip, O(log n). Atomic, except that the score is read by a second command of
        the same round trip.
        Source: ``ZADD XX``.
        """
        return await self._run(single.update_score, item, score, on_conflict)

    async def replace(self, old: T, new: T) -> float:
        """Replace *old* with *new*, which receives the score of *old*; return that score.

        If *new* is there already, its score is replaced too. A lost reply causes no error: the
        client's own retry, or the next such call, returns the same score.

        Raises: ``KeyError`` if *old* is not there; ``TypeError`` for a set whose *unique* may
        refuse *new*.
        Cost: 1 round trip, O(log n). Atomic.
        Source: a script around ``ZADD`` and ``ZREM``.
        """
        return await self._run(single.replace, old, new)

    async def discard(self, item: T) -> bool:
        """Remove *item* if it is there; return whether it was.

        If *item* is another set of redset, it is looked up as the frozenset of its items, as a
        builtin ``set`` is in ``set``; its items are read first.

        Cost: 1 round trip, O(log n). Atomic.
        Source: ``ZREM``.
        """
        return await self._run(single.discard, await _sought(item))

    async def remove(self, item: T) -> None:
        """Remove *item*, which must be there; otherwise as `discard`.

        Raises: ``KeyError`` if it is not there.
        Cost: 1 round trip, O(log n). Atomic.
        Source: ``ZREM``.
        """
        await self._run(single.remove, await _sought(item), item)

    # asyncio
    async def contains(self, item: object) -> bool:
        """Return whether *item* is in the set; a set of redset is looked up as in `discard`.

        Cost: 1 round trip, O(1).
        Source: ``ZSCORE``.
        """
        return await self._run(single.contains, await _sought(item))

    # end
    async def score(self, item: T) -> float | None:
        """Return the score of *item*, or ``None`` if it is not there.

        Cost: 1 round trip, O(1).
        Source: ``ZSCORE``; ``score`` of the redset 0.4 documentation.
        """
        return await self._run(single.score, item)

    @overload
    async def peek(
        self, position: int = ..., *, last: bool = ..., with_scores: Literal[False] = ...
    ) -> T | None: ...

    @overload
    async def peek(
        self, position: int = ..., *, last: bool = ..., with_scores: Literal[True]
    ) -> tuple[T | None, float]: ...

    async def peek(
        self, position: int = 0, *, last: bool = False, with_scores: bool = False
    ) -> Any:
        """Return the item that comes next, or at *position* from there, and leave it in the set.

        If *last* is true, this is the item that ``pop(last=True)`` would return, or at *position*
        before it. If *with_scores* is true, returns a pair of item and score.

        Raises: ``KeyError`` if there is no such item.
        Cost: 1 round trip, O(log n).
        Source: ``ZRANGE``; ``peek`` of the redset 0.4 documentation.
        """
        return await self._run(queue.peek, position, last=last, with_scores=with_scores)

    async def peek_score(self, *, last: bool = False) -> float | None:
        """Return the score of the item that comes next, or ``None`` if there is none.

        *last* as in `peek`.

        Cost: 1 round trip, O(log n).
        Source: ``ZRANGE``; ``peek_score`` of redset 0.4.
        """
        return await self._run(queue.peek_score, last=last)

    async def add_scored(
        self,
        items: Mapping[T, float] | Iterable[tuple[T, float]] | AsyncIterable[tuple[T, float]],
        *,
        on_conflict: OnConflict = "replace",
    ) -> None:
        """Add many items, each with its own score, as `add` does one by one.

        `update` takes a mapping for the set of its keys, as ``set`` does.

        Args:
            items: a mapping of items to scores, or an iterable of pairs, also a generator of
                millions; if a score is ``None``, the scorer is asked.
            on_conflict: as for `add`: ``"replace"``, ``"keep"``, ``"min"``, ``"max"`` or
                ``"sum"``; also applies if *items* contain an item twice.

        Raises: ``TypeError`` or ``ValueError`` for anything that is not a pair, or an item or a
        score that can't be kept, before its chunk is sent.
        Cost: 1 round trip for each chunk of up to 5,000 items or 1 MiB (with ``"sum"`` up to 1,000
        items), O(log n) an item. Each chunk is atomic; an error in the middle carries a note of how
        many items had been added.
        Source: ``ZADD``; a script for ``"sum"``, which a repeated request doesn't add again.

        """
        with self._runner.while_read(items):
            await self._run(many.add_scored, items, on_conflict)

    async def insert(self, *items: T) -> list[T]:
        """Add those of *items* that are not there, leave the others; return those that were new.

        If several processes insert the same item, exactly one of them has it in its list of new
        items: the primitive of every "already seen" set. If a reply is lost, no new item is missed:
        the client's own retry, or the next `insert` over this client, returns the same items (for
        300 seconds).

        Cost: 1 round trip for each 750 items (500 with a *unique*) or 1 MiB, O(log n) an item. Each
        of these requests is atomic.
        Source: a script around ``ZADD NX``.
        """
        return await self._run(many.insert, items)

    async def clear(self) -> bool:
        """Empty the set and delete its companion keys; return whether there was anything in it.

        Cost: 1 round trip, O(1); the server frees the memory in the background.
        Source: ``UNLINK``; ``clear`` of redset 0.4.
        """
        return await self._run(many.clear)

    # asyncio
    async def size(self) -> int:
        """Return how many items are in the set.

        Cost: 1 round trip, O(1).
        Source: ``ZCARD``.
        """
        return await self._run(many.size)

    # end
    @overload
    async def pop(
        self, *, timeout: float | None = ..., last: bool = ..., with_scores: Literal[False] = ...
    ) -> T | None: ...

    @overload
    async def pop(
        self, *, timeout: float | None = ..., last: bool = ..., with_scores: Literal[True]
    ) -> tuple[T | None, float]: ...

    async def pop(
        self, *, timeout: float | None = 0.0, last: bool = False, with_scores: bool = False
    ) -> Any:
        """Remove and return the item with the lowest score; no other consumer receives it.

        If a reply is lost, no item is lost: the client's own retry, or the next call for this set
        over this client, returns the same item (kept for 300 seconds on the server). For an item
        that can't be deserialized, returns ``None`` and logs it; its bytes move to the companion
        set ``…:undecodable``.

        Args:
            timeout: seconds to wait until there is an item (due, in a `ScheduledSet`); ``None``
                waits without a limit.
            last: whether to take the item with the highest score (among the due items, in a
                `ScheduledSet`).
            with_scores: whether to return a pair of item and score.

        Raises: ``KeyError`` if nothing is left, or no item came in time.
        Cost: 1 round trip, O(log n). Waiting takes 6 more to begin, 1 for each change of the set,
        and 4 a minute. Atomic; takes no lock.
        Source: a script around ``ZPOPMIN``; ``pop`` of the redset 0.4 documentation.

        """
        return await self._runner.hand_out(
            last, queue.pop, timeout, last=last, with_scores=with_scores
        )

    @overload
    async def take(
        self,
        num: int,
        *,
        timeout: float | None = ...,
        last: bool = ...,
        with_scores: Literal[False] = ...,
    ) -> list[T]: ...

    @overload
    async def take(
        self,
        num: int,
        *,
        timeout: float | None = ...,
        last: bool = ...,
        with_scores: Literal[True],
    ) -> list[tuple[T, float]]: ...

    async def take(
        self,
        num: int,
        *,
        timeout: float | None = 0.0,
        last: bool = False,
        with_scores: bool = False,
    ) -> list[Any]:
        """Remove and return up to *num* items, lowest scores first; ``[]`` if *num* is less than 1.

        If *last* is true, the items with the highest scores are taken, the highest first. If
        *with_scores* is true, returns pairs of item and score. *timeout* and lost replies are as in
        `pop`. Items that can't be deserialized are treated as in `pop`, but left out of the list. A
        call that waits does so until there is one item, and returns all that are there then, up to
        *num*.

        Cost: 1 round trip for each 1,000 items, O(num * log n). Each of these requests is atomic;
        takes no lock.
        Source: a script around ``ZPOPMIN``; ``take`` of the redset 0.4 documentation.
        """
        return await self._runner.hand_out(
            last, queue.take, num, timeout, last=last, with_scores=with_scores
        )

    def lease(
        self,
        num: int = 1,
        ttl: float = 30.0,
        *,
        timeout: float | None = 0.0,
        renew: bool = False,
        max_deliveries: int | None = None,
        worker: str | None = None,
        last: bool = False,
    ) -> AwaitableContext[Lease[T]]:
        """Lease up to *num* items until a deadline; items not acknowledged by then are ready again.

        The items leave the set, and are kept with their scores in companion keys. An item whose
        lease has expired becomes ready again within the next calls, of any consumer, that deliver
        something. If the lease held several items that were not settled, they are delivered alone
        from then on, and that delivery is not counted. An item that can't be deserialized is logged
        and becomes a dead letter. If a reply is lost, the repeated call returns the same lease.

        Args:
            num: at most how many; if less than 1, the lease is empty.
            ttl: seconds until the deadline, which is on the server's clock.
            timeout: seconds to wait for an item, as in `pop`.
            renew: whether a thread extends the lease until its block ends, or the lease is no
                longer referenced.
            max_deliveries: how often an item may be delivered before it becomes a dead letter
                (`dead_items`) instead of ready again; ``None`` means the set's own limit.
            worker: the name of this consumer, which `leased` shows; ``None`` means the host's
                name and the process id.
            last: whether to lease the items with the highest scores, as in `pop`.

        Cost: 1 round trip for each 500 items, O(num * log n). Each of these requests is atomic.

        """
        return AwaitableContext(
            _lease(self, num, ttl, timeout, renew, max_deliveries, worker, last)
        )

    def consume(
        self,
        batch: int = 1,
        ttl: float = 30.0,
        *,
        timeout: float | None = None,
        renew: bool = True,
        max_deliveries: int | None = None,
        stop: Any = None,
        worker: str | None = None,
        retry_delay: float | Callable[[int], float] = 0.0,
        on_error: Callable[[T, BaseException], Any] | None = None,
    ) -> Consumer[T]:
        """Deliver items without end; each is acknowledged when the loop asks for the next one.

        If the loop's body ends in another way (an exception, ``break``), its item is released. The
        other items of its batch are released too, and their delivery doesn't count then.

        Args:
            batch: how many items to lease at once. Items that are done are acknowledged
                together with their batch: if the process dies, up to *batch* items that were done
                are delivered again, one by one.
            ttl: seconds until a lease expires, as in `lease`.
            renew: whether a thread extends the lease while the loop works, as in `lease`.
            max_deliveries: as in `lease`.
            timeout: seconds without an item after which the loop ends; ``None`` waits without a
                limit.
            stop: an event (anything with ``is_set()``) or a callable that returns whether to
                end. A loop that is busy ends after its current item, which is acknowledged; the
                other items of its batch are released, and that delivery doesn't count. A loop that
                waits ends within 0.1 seconds (1 second where the server can't notify of changes). A
                signal handler may set the event.
            worker: as in `lease`.
            retry_delay: seconds until an item that failed is ready again, or a callable that
                takes the number of its deliveries and returns the seconds: see `redset.backoff`.
            on_error: called with an item and the error that ended its processing, in
                `Consumer.attempt` or in a ``with`` block around the loop.

        Items that the lease has lost by then (see `LeaseLost`) are logged and not delivered, and
        the loop continues.
        Cost: 1 round trip for each batch, which also acknowledges the batch before: O(batch * log
        n). A batch of more than 500 takes a step for each 500 to be leased, and for each to be
        acknowledged.

        """
        settings = Settings(
            batch, ttl, timeout, renew, max_deliveries, stop, worker, retry_delay, on_error
        )
        work: Work[T] = Work(self.name, checked_settings(self._runner.config, settings))
        return Consumer(self._runner, leases.consume, (self,), work)

    async def leased(self) -> AsyncIterator[LeaseInfo[T]]:
        """Iterate over the items that are on lease now, the nearest deadline first.

        Items that were released with a delay are included, with ``None`` as their worker.

        Cost: 2 round trips for each 1,000 items. Not one snapshot: items that are settled during
        the iteration are left out.
        """
        members = _members_of(self._runner, "leased")
        while page := await pull_async(members, LISTED_PAGE):
            # asyncio
            for entry in await self._run(dead_letters.entries, page):
                yield entry
            # end
            # sync: yield from self._run(dead_letters.entries, page)

    @property
    def dead_items(self) -> Self:
        """Return the set of the dead letters, with their scores: read or clear it. No I/O.

        `dead_letters` has the reasons, `requeue` makes the items ready again.
        """
        return self._derive(companion_of(self._runner.config, "dead"))

    async def dead_letters(self, reason: str | None = None) -> AsyncIterator[DeadLetter[T]]:
        """Iterate over the dead letters and their reasons, the lowest score first.

        Args:
            reason: only the dead letters with this reason; see `redset.DeadLetter`.

        Cost: 2 round trips for each 1,000 items. Not one snapshot.

        """
        check_reason(self.name, reason)
        members = _members_of(self._runner, "dead")
        while page := await pull_async(members, LISTED_PAGE):
            for letter in await self._run(dead_letters.letters, page):
                if reason is None or letter.reason == reason:
                    yield letter

    async def requeue(
        self, *items: T, reason: str | None = None, older_than: float | None = None
    ) -> int:
        """Make *items* of `dead_items`, or all of them, ready again; return how many there were.

        They keep their scores, and their deliveries are counted from 0 again. An item that was
        added again and is on lease now stays a dead letter: otherwise two consumers would work on
        it.

        Args:
            items: none for all.
            reason: only the dead letters with this reason; see `redset.DeadLetter`.
            older_than: only the items that have been dead for at least this many seconds.

        Cost: 1 round trip for each 250 items, O(log n) an item. Each of these requests is atomic.

        """
        return await self._run(dead_letters.sort_dead, "requeue", items, reason, older_than)

    async def discard_dead(
        self, *items: T, reason: str | None = None, older_than: float | None = None
    ) -> int:
        """Delete *items* of `dead_items`, or all of them; return how many there were.

        Arguments and cost as in `requeue`.
        """
        return await self._run(dead_letters.sort_dead, "discard", items, reason, older_than)

    async def cancel(self, *items: T) -> int:
        """Remove *items* wherever they are: ready, on lease, delayed or dead.

        Returns how many of them were in any of these places. A consumer that works on one of them
        finds its lease lost. With ``unique="forever"`` the items stay known, and are refused.

        Cost: 1 round trip for each 500 items, O(log n) an item. Each of these requests is atomic.
        """
        return await self._run(dead_letters.cancel, items)

    async def stats(self) -> Stats:
        """Return how many items are in each state.

        A read-only replica answers too, and an account that may only read, if it may call ``TIME``.

        Cost: 1 round trip, O(log n). Atomic.
        Source: a script around ``ZCARD``, ``ZCOUNT``, ``SCARD`` and ``TIME``.
        """
        return await self._run(dead_letters.stats)

    def __aiter__(self) -> AsyncIterator[T]:
        """Iterate in score order, in bounded memory, while others may change the set.

        An item that is there throughout, at one score, comes exactly once; an item that can't be
        deserialized is logged and left out. A result does not expire during the iteration.

        Cost: 1 round trip for each page of 100 to 5,000 items, O(log n + page); 1 more if a change
        before the page was noticed.
        Source: ``ZRANGE`` in a transaction, or a script, after a place given by score and member.
        """
        return self._runner.walk(page_of_items, self)

    def __reversed__(self) -> AsyncIterator[T]:
        """Iterate from the highest score to the lowest; otherwise as ``iter``."""
        return self._runner.walk(page_of_items, self, reverse=True)

    def items(self) -> AsyncIterator[tuple[T, float]]:
        """Iterate over pairs of item and score; otherwise as ``iter``."""
        return self._runner.walk(page_of_pairs, self)

    @overload
    def __getitem__(self, index: int) -> Coroutine[Any, Any, T | None]: ...

    @overload
    def __getitem__(self, index: slice) -> Coroutine[Any, Any, list[T]]: ...

    def __getitem__(self, index: int | slice) -> Coroutine[Any, Any, T | list[T] | None]:
        """Return the item of that rank, or the list of a slice; negative ranks count from the end.

        An item that can't be deserialized is treated as in `peek`.

        Raises: ``IndexError`` for a rank that doesn't exist.
        Cost: 1 round trip, O(log n + k) for k items between the ends (a step is applied in this
        process). Atomic.
        Source: ``ZRANGE``; indexes of ``list``.
        """
        if isinstance(index, slice):
            return self._run(ranges.get_slice, index)
        return self._run(ranges.get, index)

    async def remove_at(self, index: int | slice) -> int:
        """Remove the item of that rank, or the items of a slice; return how many there were.

        The equivalent of ``del s[index]``. If a reply is lost, nothing else is removed: the
        client's own retry, or the next such call after an error, returns the same number (for 300
        seconds).

        Raises: ``IndexError`` for a rank that doesn't exist.
        Cost: 1 round trip, O(log n + k) for k items. Atomic; but a slice with a step is read first,
        k items, and then removed, 1 more round trip for each 5,000.
        Source: a script around ``ZREMRANGEBYRANK``; ``del`` of ``list``.
        """
        return await self._run(ranges.remove_at, index)

    async def index(self, item: T) -> int:
        """Return the place of *item* in score order (from 0), as `rank`; the item must be there.

        Raises: ``ValueError`` if it is not there.
        Cost: 1 round trip, O(log n).
        Source: ``ZRANK``; ``index`` of ``list``.
        """
        return await self._run(ranges.index, item)

    async def rank(self, item: T, *, reverse: bool = False) -> int | None:
        """Return the place of *item* in score order (from 0), or ``None`` if it is not there.

        Cost: 1 round trip, O(log n).
        Source: ``ZRANK``, ``ZREVRANK`` for *reverse*.
        """
        return await self._run(ranges.rank, item, reverse=reverse)

    async def ranks(self, *items: T, reverse: bool = False) -> list[int | None]:
        """Return the places of many items, with ``None`` for an item that is not there; see `rank`.

        Cost: 1 round trip for 5,000 items, O(log n) an item. Not atomic.
        Source: ``ZRANK``.
        """
        return await self._run(ranges.ranks, items, reverse=reverse)

    async def scores(self, *items: T) -> list[float | None]:
        """Return the scores of many items, with ``None`` for an item that is not there.

        Cost: 1 round trip for 5,000 items, O(1) an item.
        Source: ``ZMSCORE``.
        """
        return await self._run(many.scores, items)

    async def count(
        self,
        min: float = -math.inf,
        max: float = math.inf,
        *,
        inclusive: tuple[bool, bool] = (True, True),
    ) -> int:
        """Return how many items have a score from *min* to *max*.

        *inclusive* says for each end whether a score equal to it is counted.

        Cost: 1 round trip, O(log n).
        Source: ``ZCOUNT``.
        """
        return await self._run(ranges.count, min, max, inclusive)

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
        """Return the items with a score from *min* to *max*, lowest first (highest if *reverse*).

        *offset* and *limit* choose a part of them. If *with_scores* is true, returns pairs of item
        and score.

        Cost: 1 round trip, O(log n + offset + k) for k items. Atomic.
        Source: ``ZRANGEBYSCORE``.
        """
        return await self._run(
            ranges.range_by_score,
            min,
            max,
            inclusive,
            offset,
            limit,
            reverse=reverse,
            with_scores=with_scores,
        )

    async def remove_range(
        self,
        min: float = -math.inf,
        max: float = math.inf,
        *,
        inclusive: tuple[bool, bool] = (True, True),
    ) -> int:
        """Remove the items with a score from *min* to *max*; return how many there were.

        Cost: 1 round trip, O(log n + k) for k items. Atomic.
        Source: ``ZREMRANGEBYSCORE``.
        """
        return await self._run(ranges.remove_range, min, max, inclusive)

    async def increment(self, item: T, amount: float = 1.0) -> float | None:
        """Raise the score of *item* by *amount*; return the new score.

        If the item is not there, it is added with *amount* as its score. Returns ``None`` for an
        item that is refused (see *unique* of the set).

        Raises: ``ValueError`` for a sum of ``inf`` and ``-inf``.
        Cost: 1 round trip, O(log n). Atomic.
        Source: ``ZINCRBY``.
        """
        return await self._run(single.increment, item, amount)

    async def random(self) -> T | None:
        """Return one item at random, and leave it in the set.

        Returns ``None`` for an item that can't be deserialized.

        Raises: ``KeyError`` if the set is empty.
        Cost: 1 round trip, O(log n).
        Source: ``ZRANDMEMBER``.
        """
        return await self._run(ranges.random)

    @overload
    async def sample(self, k: int, *, with_scores: Literal[False] = ...) -> list[T]: ...

    @overload
    async def sample(self, k: int, *, with_scores: Literal[True]) -> list[tuple[T, float]]: ...

    async def sample(self, k: int, *, with_scores: bool = False) -> list[Any]:
        """Return up to *k* different items at random, and leave them in the set.

        If *with_scores* is true, returns pairs of item and score.

        Cost: 1 round trip, O(k log n). Atomic.
        Source: ``ZRANDMEMBER``; ``random.sample``.
        """
        return await self._run(ranges.sample, k, with_scores=with_scores)

    @overload
    def union(  # pyright: ignore[reportOverlappingOverload]
        self,
        *others: Items[T],
        on_conflict: OnConflict = ...,
        weights: Iterable[float] | None = ...,
        into: str | bytes | None = ...,
    ) -> AwaitableContext[Self]: ...

    @overload
    def union(
        self,
        *others: Items[S],
        on_conflict: OnConflict = ...,
        weights: Iterable[float] | None = ...,
        into: str | bytes | None = ...,
    ) -> AwaitableContext["RedisSortedSet[T | S]"]: ...

    def union(
        self,
        *others: Items[Any],
        on_conflict: OnConflict = "keep",
        weights: Iterable[float] | None = None,
        into: str | bytes | None = None,
    ) -> AwaitableContext[Any]:
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
        return AwaitableContext(self._combine("union", others, on_conflict, weights, into))

    def intersection(
        self,
        *others: Items[Any],
        on_conflict: OnConflict = "keep",
        weights: Iterable[float] | None = None,
        into: str | bytes | None = None,
    ) -> AwaitableContext[Self]:
        """Make the set of the items that this set and all *others* have.

        Arguments and cost as for `union`.
        Source: ``ZINTERSTORE``; ``set.intersection``.
        """
        return AwaitableContext(self._combine("intersection", others, on_conflict, weights, into))

    def difference(
        self, *others: Items[Any], into: str | bytes | None = None
    ) -> AwaitableContext[Self]:
        """Make the set of the items that none of *others* has, with their scores.

        *into* and cost as for `union`.
        Source: ``ZDIFFSTORE``; ``set.difference``.
        """
        return AwaitableContext(self._combine("difference", others, "keep", None, into))

    @overload
    def symmetric_difference(  # pyright: ignore[reportOverlappingOverload]
        self, other: Items[T], /, *, into: str | bytes | None = ...
    ) -> AwaitableContext[Self]: ...

    @overload
    def symmetric_difference(
        self, other: Items[S], /, *, into: str | bytes | None = ...
    ) -> AwaitableContext["RedisSortedSet[T | S]"]: ...

    def symmetric_difference(
        self, other: Items[Any], /, *, into: str | bytes | None = None
    ) -> AwaitableContext[Any]:
        """Make the set of the items that only one of the two sets has, with their scores.

        *into* and cost as for `union`.
        Source: ``ZDIFFSTORE``; ``set.symmetric_difference``.
        """
        return AwaitableContext(self._combine("symmetric_difference", (other,), "keep", None, into))

    def copy(self, *, into: str | bytes | None = None) -> AwaitableContext[Self]:
        """Make a snapshot of this set with its scores; *into* and cost as for `union`."""
        return AwaitableContext(self._combine("union", (), "keep", None, into))

    async def move(
        self, item: T, to: "SetMethods[Any]", *, on_conflict: OnConflict = "replace"
    ) -> bool:
        """Move *item* with its score to the set *to*; return whether it was here.

        At no moment is the item in both sets, or in neither. If a reply is lost, the client's own
        retry, or the next such call, returns the same.

        Args:
            item: the item to move; if it is not here, nothing is changed.
            to: a lasting set of the same server, database and serializer; in a cluster, also of
                the same slot (names with the same ``{tag}``).
            on_conflict: which score the item has there if it is there already, as for `add`.

        Raises: ``TypeError`` for another *to*, or a set whose *unique* may refuse items.
        Cost: 1 round trip, O(log n). Atomic.
        Source: a script around ``ZADD`` and ``ZREM``; ``SMOVE``.

        """
        target = to._runner.config if isinstance(to, SetMethods) else None
        operand = await _operand(self._runner, to) if isinstance(to, BaseSet) else None
        return await self._run(single.move, item, to, target, operand, on_conflict)

    async def update(self, *others: Items[T], on_conflict: OnConflict = "keep") -> None:
        """Add the items of all *others*; items that are there already keep their scores.

        *on_conflict* changes that, as for `union`. Each of *others* is any iterable, also a
        generator of millions: it is sent in chunks of up to 5,000 items or 1 MiB, 1 round trip
        each; 1,750 items at a time (500 with a *unique*) are added atomically. An error in the
        middle carries a note of how many items had been added before. If a set of the same server
        is among *others*, all are added in one atomic step.

        If *unique* is not ``"until_taken"``, the items of all *others* are sent from this process,
        and items are refused as by `add`.

        Cost: O(log n) an item.
        Source: ``ZADD NX``, ``ZUNIONSTORE``; ``set.update``.
        """
        check_conflict(self._runner.config, on_conflict)
        operands = await _operands(self._runner, others, travel=True)
        with self._runner.while_read(*others):
            await self._run(algebra.update, operands, on_conflict)

    async def intersection_update(
        self, *others: Items[Any], on_conflict: OnConflict = "keep"
    ) -> None:
        """Keep only the items that all *others* have; scores as for `intersection`.

        Cost: as for `intersection`. Atomic. The key keeps its time-to-live.
        """
        check_conflict(self._runner.config, on_conflict)
        operands = await _operands(self._runner, others)
        await self._run(algebra.combine_own, "intersection", operands, on_conflict)

    async def difference_update(self, *others: Items[Any]) -> None:
        """Remove the items that any of *others* has.

        Cost: 1 round trip (for local items, one for each 5,000), O(log n) an item. Atomic for sets
        of one server; for local items, each 1,750 are removed atomically.
        """
        operands = await _operands(self._runner, others)
        with self._runner.while_read(*others):
            await self._run(algebra.difference_update, operands)

    async def symmetric_difference_update(self, other: Items[T], /) -> None:
        """Remove the items that both have, and add those that only *other* has.

        Raises: ``TypeError`` for a set whose *unique* may refuse items.
        Cost: as for `symmetric_difference`. Atomic. The key keeps its time-to-live.
        """
        check_no_dedup(self._runner.config)
        operands = [await _operand(self._runner, other)]
        await self._run(algebra.combine_own, "symmetric_difference", operands)

    async def issubset(self, other: Items[Any], /) -> bool:
        """Return whether *other* has every item of this set.

        Cost: 1 round trip for a set of the same server, O(n) there, and less if the sizes or the
        first items differ; another iterable travels once. Atomic; but more than 3,500 local items
        are compared chunk by chunk, which is not atomic. A read-only replica answers too, and an
        account that may only read.
        Source: ``ZINTERCARD`` (``ZMSCORE`` on Redis 6.2), ``ZMSCORE``; ``set.issubset``.
        """
        return await self._compare("subset", other)

    async def issuperset(self, other: Items[Any], /) -> bool:
        """Return whether this set has every item of *other*. Cost: as for `issubset`."""
        return await self._compare("subset", other, other_first=True)

    async def isdisjoint(self, other: Items[Any], /) -> bool:
        """Return whether no item is in both.

        Cost: as for `issubset`; stops at the first item that is in both.
        """
        return await self._compare("disjoint", other)

    # asyncio
    async def ispropersubset(self, other: Items[Any], /) -> bool:
        """Return whether *other* has every item of this set, and more."""
        return await self._compare("proper_subset", other)

    async def ispropersuperset(self, other: Items[Any], /) -> bool:
        """Return whether this set has every item of *other*, and more."""
        return await self._compare("proper_subset", other, other_first=True)

    async def equals(self, other: Items[Any], /) -> bool:
        """Return whether both have the same items, whatever their scores."""
        return await self._compare("equal", other)

    # end
    async def union_count(self, *others: Items[Any]) -> int:
        """Return how many items `union` would have, without making it.

        Cost: 1 round trip for sets of the same server, O(n) there for the members of all sets
        except the largest, for each further set; other iterables travel once. Atomic. Nothing is
        written, so that a read-only replica answers, and an account that may only read; more than
        3,500 local items are staged, and where staging is refused, they are counted in steps, which
        is not atomic.
        Source: ``ZINTERCARD``, ``ZMSCORE``.
        """
        return await self._run(counting.count, "union", await _operands(self._runner, others))

    async def intersection_count(self, *others: Items[Any], limit: int | None = None) -> int:
        """Return how many items `intersection` would have, without making it; at most *limit*.

        Cost: 1 round trip for sets of the same server, O(n) there, and less with a *limit*. Of
        other iterables, only the items that all of them have travel, if the first iterable has up
        to 3,500. Atomic, and read-only, as `union_count`.
        Source: ``ZINTERCARD`` (``ZMSCORE`` on Redis 6.2).
        """
        return await self._run(
            counting.count, "intersection", await _operands(self._runner, others), limit
        )

    async def difference_count(self, *others: Items[Any]) -> int:
        """Return how many items `difference` would have, without making it.

        Cost: 1 round trip, O(n) there for the smaller side: this set, or all others together.
        Atomic, and read-only, as `union_count`.
        Source: ``ZINTERCARD``, ``ZMSCORE``.
        """
        return await self._run(counting.count, "difference", await _operands(self._runner, others))

    # Combinations that are read, and not stored

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
        """Return the items of this set and of all *others*, in the order of their scores.

        As `union`, but nothing is stored: all items are read in one step, and come in one reply.
        For a large result use ``a | b``, which is read in pages, or pass a *limit*.

        Nothing is written: a read-only replica answers, and an account that may only read (with
        rights on its keys such as ``%R~*``, for 1 round trip more). A result among the sets must
        not have expired (`ResultExpired`); the call counts as use of it, and renews it where
        writing is allowed.

        Args:
            others: any iterables; up to 749 sets of this server. Local items, and the sets of
                other servers, slots or serializers, are read into this process and combined here.
            on_conflict: which score counts if two sets have an item, as for `union`.
            weights: as for `union`, one for this set and for each other.
            limit: return at most this many of the items, the first in order; all are combined.
            reverse: begin with the highest score.
            with_scores: return pairs of item and score.

        Raises: ``ValueError`` for a sum of ``inf`` and ``-inf``, or 0 times ``inf``.
        Cost: 1 round trip for sets of this server, O(n log n) there for n items in all; if others
        take part, these sets are sent whole. Atomic: they are read at one moment.
        Source: ``ZUNION``, ``ZDIFF``; redis-py's ``zunion``, Redisson's ``readUnion``.

        """
        return await _read(
            self._runner, "union", others, limit, reverse, with_scores, on_conflict, weights
        )

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
        """Return the items that this set and all *others* have, in the order of their scores.

        Arguments, errors and cost as for `read_union`; but of local items, only those that all of
        them have are sent, to be looked up: up to about 3,500 at one moment, more of them in steps
        of that size, unless the sets have fewer items, which are then read instead.
        Source: ``ZINTER``, ``ZMSCORE``; redis-py's ``zinter``, Redisson's ``readIntersection``.
        """
        return await _read(
            self._runner, "intersection", others, limit, reverse, with_scores, on_conflict, weights
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
        """Return the items that none of *others* has, in the order of their scores.

        Arguments, errors and cost as for `read_union`; local items are not sent, but left out here.
        Source: ``ZDIFF``; redis-py's ``zdiff``, Redisson's ``readDiff``.
        """
        return await _read(self._runner, "difference", others, limit, reverse, with_scores)

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
        """Return the items that only one of the two sets has, in the order of their scores.

        Arguments, errors and cost as for `read_union`.
        Source: ``ZDIFF``, twice.
        """
        return await _read(
            self._runner, "symmetric_difference", (other,), limit, reverse, with_scores
        )

    # Private helpers

    async def _combine(
        self,
        operation: str,
        others: Iterable[Items[Any]],
        conflict: str,
        weights: Iterable[float] | None,
        into: str | bytes | None,
    ) -> Self:
        check_conflict(self._runner.config, conflict)
        operands = await _operands(self._runner, others)
        plan = algebra.combined
        try:
            made = await self._run(plan, operation, operands, conflict, weights, into)
        except NotDurable as error:
            error.result = self._derive(error.result)
            raise
        return self._derive(made)

    async def _compare(
        self, operation: str, other: Items[Any], *, other_first: bool = False
    ) -> bool:
        mine, theirs = stored(self._runner.config), await _operand(self._runner, other)
        pair = (theirs, mine) if other_first else (mine, theirs)
        return await self._run(comparing.compare, operation, *pair)


async def _lease(
    source: SetMethods[T],
    num: int,
    ttl: float,
    timeout: float | None,
    renew: bool,
    max_deliveries: int | None,
    worker: str | None,
    last: bool,
) -> Lease[T]:
    try:
        held = await source._runner.run(
            leases.lease, num, ttl, timeout, max_deliveries, worker, last=last
        )
    except NotDurable as error:
        error.result = Lease(source, error.result, float(ttl), renew=renew)
        raise
    return Lease(source, held, float(ttl), renew=renew)


async def _sought(item: Any) -> Any:
    """Return the value that *item* is looked up as: a set of redset as the ``set`` of its items."""
    if isinstance(item, SetMethods):
        # asyncio
        return {each async for each in item}
        # end
        # sync: return set(item)
    return item


def _members_of(runner: AsyncRunner[Any], purpose: str) -> AsyncIterator[tuple[Any, float]]:
    """Return an iterator over the members of the companion set for *purpose*, with their scores."""
    members = runner.derive(companion_of(runner.config, purpose))
    members.config = raw_config(members.config)
    return members.walk(page_of_pairs)


async def _operands(
    runner: AsyncRunner[Any], others: Iterable[Items[Any]], *, travel: bool = False
) -> list[StoredOperand | LocalOperand[Any]]:
    """Return *others* as operands; if they *travel*, members that are refused are left out."""
    if not travel or not runner.config.deduplicates:
        return [await _operand(runner, other) for other in others]
    why = "unique= may refuse some of them"
    return [
        _travelling(runner, other, why) if isinstance(other, SetMethods) else _local(runner, other)
        for other in others
    ]


async def _operand(
    runner: AsyncRunner[Any], other: Items[Any]
) -> StoredOperand | LocalOperand[Any]:
    """Return *other* as an operand: stored on the server, or read item by item."""
    if not isinstance(other, SetMethods):
        return _local(runner, other)
    found = await runner.stored_with(other._runner)
    if found is not None:
        return found
    cluster = runner.connection.is_cluster
    return _travelling(
        runner, other, why_apart(runner.config, other._runner.config, cluster=cluster)
    )


def _local(runner: AsyncRunner[Any], other: Items[Any]) -> LocalOperand[Any]:
    if isinstance(other, BaseSet):
        name = runner.config.name
        raise InvalidTypeError(
            # asyncio
            f"redset {shown(name)}: {shown(other)} is a synchronous set, which "
            "would block the event loop; make it with the class of that name in redset.asyncio"
            # end
            # sync: f"redset {shown(name)}: {shown(other)} is a set of redset.asyncio, "
            # sync: "which has to be awaited; make it with the class of that name in redset"
        )
    return LocalOperand(unscored_any(other))


def _travelling(runner: AsyncRunner[Any], other: SetMethods[Any], why: str) -> LocalOperand[Any]:
    """Return an operand of the scored items of another set, which are read into this process."""
    config, theirs = runner.config, other._runner.config
    source = scored_async(other.items(), other_encoding(config, theirs))
    return noticed_operand(config, theirs, source, why)


async def _read(
    runner: AsyncRunner[Any],
    operation: str,
    others: tuple[Items[Any], ...],
    limit: int | None,
    reverse: bool,
    with_scores: bool,
    conflict: str = "keep",
    weights: Iterable[float] | None = None,
) -> list[Any]:
    options = (limit, reverse, with_scores, conflict, weights)
    wanted = reading.combination(runner.config, operation, len(others), *options)
    if wanted is None:
        return []
    return await runner.run(reading.read, wanted, await _operands(runner, others))
