"""Methods of a set for many items, each with its score, and for all of them."""

from collections.abc import AsyncIterable, Iterable, Mapping
from typing import TypeVar

from redset._plans import many
from redset._plans.arguments import OnConflict
from redset.asyncio._methods.handle import SetHandle

T = TypeVar("T")


class ManyMethods(SetHandle[T]):
    """Add, look up and count many items; remove all."""

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
        the client's own retry, or the next `insert` of these items over this client, alone or with
        others, returns them (for 300 seconds). An item that is given twice is inserted once.

        Cost: 1 round trip for each 750 items (500 with a *unique*) or 1 MiB, O(log n) an item. Each
        of these requests is atomic.
        Source: a script around ``ZADD NX``.
        """
        return await self._run(many.insert, items)

    async def clear(self) -> bool:
        """Empty the set and delete its companion keys; return whether there was anything in it.

        Raises: `KeyTypeError` if the key holds another Redis type, which is left as it is.
        Cost: 1 round trip, O(1); the server frees the memory in the background. Atomic.
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
    async def scores(self, *items: T) -> list[float | None]:
        """Return the scores of many items, with ``None`` for an item that is not there.

        Cost: 1 round trip for 5,000 items, O(1) an item.
        Source: ``ZMSCORE``.
        """
        return await self._run(many.scores, items)
