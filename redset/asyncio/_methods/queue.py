"""Methods of a set that deliver the next items, or show them."""

from typing import Any, Literal, TypeVar, overload

from redset._plans import queue
from redset.asyncio._methods.handle import SetHandle

T = TypeVar("T")


class QueueMethods(SetHandle[T]):
    """Take the next items, or look at them."""

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
        return await self._runner.deliver(
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
        return await self._runner.deliver(
            last, queue.take, num, timeout, last=last, with_scores=with_scores
        )

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
