"""Sources: where a plan has the items from that are not on its server yet.

Any iterable will do, and on the asyncio surface an asynchronous one too: a plan can't wait for
that, so it yields a `Pull` and is given the next items.
"""

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from typing import Any, TypeVar

T = TypeVar("T")

# An item with its score, or with `None` for the scorer's.
Pair = tuple[T, Any]
Pairs = Iterable[Pair[T]] | AsyncIterator[Pair[T]]


@dataclass(frozen=True, slots=True)
class Pull:
    """What a plan yields to be given the next items of *source*, none at its end."""

    source: AsyncIterator[Any]


async def pull(source: AsyncIterator[T], most: int = 250) -> list[T]:
    """Read up to so many items, fewer only at the end: the answer to a `Pull`."""
    items: list[T] = []
    with suppress(StopAsyncIteration):
        while len(items) < most:
            items.append(await anext(source))
    return items


async def unscored(items: AsyncIterable[T]) -> AsyncIterator[tuple[T, None]]:
    """Pairs for the items of an asynchronous iterable; the scorer is asked for their scores."""
    async for item in items:
        yield item, None


def chained(sources: Sequence[Pairs[T]]) -> Pairs[T]:
    """All pairs of *sources*, one source after the other."""
    if any(isinstance(source, AsyncIterator) for source in sources):
        return _chained_later(sources)
    return chain.from_iterable(source for source in sources if isinstance(source, Iterable))


async def _chained_later(sources: Sequence[Pairs[T]]) -> AsyncIterator[Pair[T]]:
    for source in sources:
        if isinstance(source, AsyncIterator):
            async for pair in source:
                yield pair
        else:
            for pair in source:
                yield pair
