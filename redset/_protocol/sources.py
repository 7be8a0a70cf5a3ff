"""Sources: the items of a call that are not on the plan's server yet.

A source is any iterable; on the asyncio surface also an asynchronous one. A plan can't await that,
so it yields a `ReadItems` and receives the next batch of items.
"""

from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, NamedTuple, TypeVar

from redset._support.words import shortened, shown
from redset.exceptions import InvalidTypeError

T = TypeVar("T")

# The number of items that are read and encoded together: few calls for many items, little memory.
AT_ONCE = 250
# If more items than this of another set are sent through this process, redset logs a warning.
LARGE = 10_000


class ItemBatch(NamedTuple):
    """Items, and for each of them its score, or ``None`` to use the scorer.

    Items of a set with another serializer come with that set's *encoding*.
    """

    items: Sequence[Any]
    scores: Sequence[Any]
    encoding: Any = None


ItemSource = Iterator[ItemBatch] | AsyncIterator[ItemBatch]


@dataclass(frozen=True, slots=True)
class ReadItems:
    """A plan yields this to receive the next batch of *source* in a list; ``[]`` at its end."""

    source: AsyncIterator[ItemBatch]


async def pull_async(source: AsyncIterator[T], most: int) -> list[T]:
    """Read up to *most* items of *source*; fewer only at its end."""
    found: list[T] = []
    with suppress(StopAsyncIteration):
        while len(found) < most:
            found.append(await anext(source))
    return found


def pull(source: Iterator[T], most: int) -> list[T]:
    """Read up to *most* items of a synchronous *source*; fewer only at its end."""
    return list(islice(source, most))


def unscored(items: Iterable[Any]) -> Iterator[ItemBatch]:
    """Return batches of *items* without scores: the scorer gives them."""
    # An object that is not iterable is an error now, not when the first batch is sent.
    reading = iter(items)
    return map(_without_scores, iter(lambda: list(islice(reading, AT_ONCE)), []))


def scored(pairs: Iterator[tuple[Any, Any]], encoding: Any = None) -> Iterator[ItemBatch]:
    """Return batches of *pairs* of item and score; *encoding* if it is not that of the set."""
    parts = iter(lambda: list(islice(pairs, AT_ONCE)), [])
    return (_with_scores(part, encoding) for part in parts)


async def unscored_async(items: AsyncIterable[Any]) -> AsyncIterator[ItemBatch]:
    """Yield the batches of `unscored` for an asynchronous iterable."""
    reading = aiter(items)
    while some := await pull_async(reading, AT_ONCE):
        yield _without_scores(some)


def unscored_any(items: Iterable[Any] | AsyncIterable[Any]) -> ItemSource:
    """Return the batches of `unscored` for an iterable of either kind."""
    return unscored_async(items) if isinstance(items, AsyncIterable) else unscored(items)


async def scored_async(
    pairs: AsyncIterator[tuple[Any, Any]], encoding: Any = None
) -> AsyncIterator[ItemBatch]:
    """Yield the batches of `scored` for an asynchronous iterator of pairs."""
    while some := await pull_async(pairs, AT_ONCE):
        yield _with_scores(some, encoding)


def checked_pairs(name: str, items: object) -> ItemSource:
    """Return the source for *items*: a mapping of items to scores, or pairs of both."""
    if isinstance(items, Mapping):
        return scored(iter(items.items()))
    if isinstance(items, AsyncIterable):
        return scored_async(_checked_async(name, items))
    if isinstance(items, Iterable):
        return scored(_pair(name, each) for each in items)
    raise _no_pairs(name, items)


def noticed(source: ItemSource, notice: Callable[[], None]) -> ItemSource:
    """Return the batches of *source*; call *notice* once more than `LARGE` items were read."""
    if isinstance(source, AsyncIterator):
        return _noticed_async(source, notice)
    return _noticed(source, notice)


def _noticed(source: Iterator[ItemBatch], notice: Callable[[], None]) -> Iterator[ItemBatch]:
    total = 0
    for batch in source:
        before, total = total, total + len(batch.items)
        if before <= LARGE < total:
            notice()
        yield batch


async def _noticed_async(
    source: AsyncIterator[ItemBatch], notice: Callable[[], None]
) -> AsyncIterator[ItemBatch]:
    total = 0
    async for batch in source:
        before, total = total, total + len(batch.items)
        if before <= LARGE < total:
            notice()
        yield batch


async def _checked_async(name: str, items: AsyncIterable[Any]) -> AsyncIterator[tuple[Any, Any]]:
    async for each in items:
        yield _pair(name, each)


def _pair(name: str, given: object) -> tuple[Any, Any]:
    if not isinstance(given, tuple | list) or len(given) != 2:
        raise _no_pairs(name, given)
    return given[0], given[1]


def _no_pairs(name: str, given: object) -> InvalidTypeError:
    return InvalidTypeError(
        f"redset {shown(name)}: expected a mapping of items to scores, or pairs of an item and its "
        f"score, such as s.items(); got {type(given).__name__} {shortened(repr(given), 100)}"
    )


def _without_scores(items: list[Any]) -> ItemBatch:
    return ItemBatch(items, [None] * len(items))


def _with_scores(pairs: list[tuple[Any, Any]], encoding: Any = None) -> ItemBatch:
    items, scores = zip(*pairs, strict=True)
    return ItemBatch(items, scores, encoding)


class Memory:
    """The batches that were read from a source, as long as they have at most *most* items."""

    def __init__(self, most: int) -> None:
        self._max_deliveries, self.number = most, 0
        self.batches: list[ItemBatch] | None = []

    def note(self, batch: ItemBatch) -> ItemBatch:
        """Keep *batch*, and return it."""
        self.number += len(batch.items)
        if self.batches is not None:
            self.batches.append(batch)
            if self.number > self._max_deliveries:
                self.batches = None
        return batch


def remembered(source: ItemSource, memory: Memory) -> ItemSource:
    """Return the batches of *source*, and keep them in *memory*."""
    if isinstance(source, AsyncIterator):
        return _remembered_async(source, memory)
    return map(memory.note, source)


async def _remembered_async(
    source: AsyncIterator[ItemBatch], memory: Memory
) -> AsyncIterator[ItemBatch]:
    async for batch in source:
        yield memory.note(batch)


def chained(sources: Sequence[ItemSource]) -> ItemSource:
    """Return all batches of *sources*, one source after the other."""
    if any(isinstance(source, AsyncIterator) for source in sources):
        return _chained_async(sources)
    return chain.from_iterable(source for source in sources if isinstance(source, Iterator))


async def _chained_async(sources: Sequence[ItemSource]) -> AsyncIterator[ItemBatch]:
    for source in sources:
        if isinstance(source, AsyncIterator):
            async for batch in source:
                yield batch
        else:
            for batch in source:
                yield batch
