"""The operations that are compared, one group of competitors for each.

An operation makes the `bench.pairs.Work` of a competitor: fills its set, checks once that it gives
the right answer, and says what is timed.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any

import redis

from bench.competitors import COMPETITORS, FLOOR, Competitor
from bench.pairs import WARM_UP_CALLS, Groups, Work, interleave
from bench.placement import served

ITEMS = 1_000  # of a set whose size doesn't matter
MANY = 100_000
MANY_QUICK = 5_000
CALLS = 25  # of a single operation in a block: some milliseconds


class WrongAnswer(Exception):
    """A competitor doesn't do what it is compared in."""


def items(number: int, start: int = 0) -> list[str]:
    return [f"item:{each:08}" for each in range(start, start + number)]


def expect(competitor: Competitor, title: str, found: Any, right: Any) -> None:
    if found != right:
        raise WrongAnswer(f"{competitor.name}, {title}: expected {right!r}, got {found!r}")


@dataclass(frozen=True)
class Operation:
    """One group: a title, the method of the competitors, and what makes their work."""

    title: str
    job: str
    work: Callable[["Operation", Competitor, str, int], Work]
    number: int = 1  # of items that one call concerns
    seconds: float = 0.8  # of a pass
    calls: int = CALLS
    warm_up: int = WARM_UP_CALLS

    def heading(self, many: int) -> str:
        return self.title.format(many=many)

    def timed(self, call: Callable[[], Any], prepare: Callable[[], object] = int) -> Work:
        return Work(call, self.calls, warm_up=self.warm_up, prepare=prepare)

    @property
    def competitors(self) -> list[type[Competitor]]:
        return [
            kind
            for kind in COMPETITORS
            if hasattr(kind, self.job) and (self.title, kind.name) not in NOT_COMPARED
        ]


def size_of(competitor: Competitor, key: str) -> int:
    """Ask the server itself how many items there are."""
    client: Any = competitor.client
    return client.scard(key) if client.type(key) == b"set" else client.zcard(key)  # type: ignore[no-any-return]


def single(operation: Operation, competitor: Competitor, key: str, _many: int) -> Work:
    """An operation on one item of a set that keeps its size."""
    title, job = operation.title, operation.job
    shared = competitor.make(key)
    competitor.fill(shared, items(ITEMS))
    present, absent = items(1, start=500)[0], "item:absent--"

    def ask(*arguments: str) -> Any:
        return competitor.answer(getattr(competitor, job)(shared, *arguments)())

    if job == "size":
        expect(competitor, title, ask(), ITEMS)
        return operation.timed(getattr(competitor, job)(shared))
    if job == "contains":
        # A raw socket returns a score or None.
        answers = [bool(ask(each)) for each in (present, absent)]
        expect(competitor, title, answers, [True, False])
    elif job == "score":
        expect(competitor, title, [float(ask(present)), ask(absent)], [0.0, None])
    else:
        # "add" adds an item that is there, "discard" discards one that is not: nothing changes.
        ask(absent if job == "add" else present)
        change = 1 if job == "add" else -1
        expect(competitor, title, size_of(competitor, key), ITEMS + change)
    argument = absent if job == "discard" else present
    return operation.timed(getattr(competitor, job)(shared, argument))


def taking(operation: Operation, competitor: Competitor, key: str, _many: int) -> Work:
    """An operation that takes the lowest items away; as many are added before each block."""
    number = operation.number
    shared = competitor.make(key)
    size = max(ITEMS, 2 * number)
    competitor.fill(shared, items(size))
    arguments = [] if operation.job == "pop" else [number]
    call = getattr(competitor, operation.job)(shared, *arguments)
    found = competitor.answer(call())
    expect(competitor, operation.title, size_of(competitor, key), size - number)
    if operation.job != "lease" and competitor.name != "pottery":
        right = items(number)
        taken = found if isinstance(found, list) else [found]
        expect(competitor, operation.title, taken, right)
    elif competitor.name == "pottery":
        expect(competitor, operation.title, found in items(size), True)
    as_many = (operation.warm_up + operation.calls) * number
    added = count(size, as_many)
    return operation.timed(call, lambda: competitor.fill(shared, items(as_many, start=next(added))))


def inserting(operation: Operation, competitor: Competitor, key: str, _many: int) -> Work:
    """Insert new items and return which are new; each block begins with an empty set."""
    number = operation.number
    numbers = count(0, number)

    def batches() -> Iterator[list[str]]:
        while True:
            yield items(number, start=next(numbers))

    shared = competitor.make(key)
    call = getattr(competitor, operation.job)(shared, batches())
    expect(competitor, operation.title, call(), items(number))
    again = getattr(competitor, operation.job)(shared, iter([items(number + 1)]))
    expect(competitor, operation.title, again(), items(1, start=number))
    return operation.timed(call, lambda: competitor.client.delete(key))


def filling(operation: Operation, competitor: Competitor, key: str, many: int) -> Work:
    """Add many items at once; each block begins without the set."""
    values = items(many)

    def fill() -> None:
        competitor.fill(competitor.make(key), values)

    fill()
    expect(competitor, operation.title, size_of(competitor, key), many)
    return Work(fill, 1, warm_up=0, prepare=lambda: competitor.client.delete(key))


def iterating(operation: Operation, competitor: Competitor, key: str, many: int) -> Work:
    """Iterate over all items."""
    shared = competitor.make(key)
    competitor.fill(shared, items(many))
    call = getattr(competitor, operation.job)(shared)
    expect(competitor, operation.title, call(), many)
    return Work(call, 1, warm_up=0)


def combining(operation: Operation, competitor: Competitor, key: str, many: int) -> Work:
    """Combine or compare two sets, half of whose items are the same; a result is deleted."""
    one, other = (competitor.make(f"algebra:{key}:{side}") for side in (1, 2))
    competitor.fill(one, items(many))
    competitor.fill(other, items(many, start=0 if operation.job == "subset" else many // 2))
    call = getattr(competitor, operation.job)(one, other)
    result = call()
    if operation.job == "subset":
        expect(competitor, operation.title, result, True)
        return Work(call, 1, warm_up=0)
    right = many * 3 // 2 if operation.job == "union" else many // 2
    expect(competitor, operation.title, competitor.count(result), right)
    competitor.forget(result)
    return Work(lambda: competitor.forget(call()), 1, warm_up=0)


OPERATIONS = [
    *(Operation(job, job, single) for job in ("add", "contains", "score", "size", "discard")),
    Operation("pop", "pop", taking),
    Operation("take 10", "take", taking, number=10),
    Operation("insert 10", "insert", inserting, number=10),
    Operation("lease and acknowledge 1", "lease", taking, number=1),
    Operation("add {many:,} at once", "fill", filling, seconds=5),
    Operation("iterate over {many:,}", "iterate", iterating, seconds=5),
    Operation("take 1,000", "take", taking, number=1_000, calls=2),
    Operation("difference of {many:,} and {many:,}", "difference", combining, seconds=3),
    Operation("intersection of {many:,} and {many:,}", "intersection", combining, seconds=3),
    Operation("subset of {many:,} and {many:,}", "subset", combining, seconds=2),
    Operation("union of {many:,} and {many:,}", "union", combining, seconds=4),
    Operation("lease and acknowledge 100", "lease", taking, number=100, calls=10),
]
# The raw socket has nothing of its own to fill a set with, and reads short replies only.
NOT_COMPARED = {("add {many:,} at once", FLOOR), ("take 1,000", FLOOR)}


def work_of(
    operation: Operation,
    client: redis.Redis,
    many: int,
    kinds: list[type[Competitor]],
    prefix: str = "bench",
) -> dict[str, Work]:
    """Return the work of each of *kinds*, which know the operation, by name."""
    # Names of the same length: all send as many bytes.
    return {
        kind.name: operation.work(operation, kind(client), f"{prefix}:{place}", many)
        for place, kind in enumerate(kinds)
    }


def measure(titles: list[str], many: int, quick: bool, number: int) -> Groups:
    """Measure the operations of these titles once, on a server of their own."""
    groups: Groups = {}
    order = random.Random(number)
    chosen = [operation for operation in OPERATIONS if operation.title in titles]
    with served(number) as server, redis.Redis(port=server.port) as client:
        for operation in chosen:
            client.flushall()
            work = work_of(operation, client, many, operation.competitors)
            seconds = 0 if quick else operation.seconds
            groups[operation.heading(many)] = interleave(work, seconds, order)
    return groups
