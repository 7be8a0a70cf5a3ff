"""What the programs do with sets: calls whose right answers are known, whoever else calls.

A caller's items have its number in them, and its scores too: another caller's reply is never right.
"""

import itertools
import os
from collections.abc import Awaitable, Callable
from typing import Any

import redis
import redis.asyncio

from redset import RedisSortedSet
from redset.asyncio import RedisSortedSet as AsyncSet

STATIC = 1_000
LEASE_SECONDS = 600.0

Items = RedisSortedSet[Any]
AsyncItems = AsyncSet[Any]


class Sets:
    """The handles of a program, made once."""

    def __init__(self, client: redis.Redis, async_client: redis.asyncio.Redis | None) -> None:
        self.client = client
        self.static: Items = RedisSortedSet(client, "static", scorer=lambda item: item + 0.5)
        self.shared: Items = RedisSortedSet(client, "shared")
        self.held: Items = RedisSortedSet(client, f"held:{os.getpid()}")
        self.tasks: Items = RedisSortedSet(client, "tasks")
        self.idle: Items = RedisSortedSet(client, "idle")
        self.never: Items = RedisSortedSet(client, "never")
        self.async_static: AsyncItems | None = None
        if async_client is not None:
            self.async_static = AsyncSet(async_client, "static")
            self.async_shared: AsyncItems = AsyncSet(async_client, "shared")

    def fill(self) -> None:
        """Make the sets that nobody changes."""
        self.static.update(range(STATIC))

    def wrong_answers(self, number: int) -> list[str]:
        """Make some ten calls; *number* belongs to this caller alone."""
        place, item, score = number % STATIC, ("item", number), number + 0.25
        mine: Items = RedisSortedSet(self.client, f"private:{number}")
        shared, static = self.shared, self.static
        answers: list[tuple[str, Any, Any]] = [
            ("static", static.score(place), place + 0.5),
            ("len", len(static), STATIC),
            ("add", shared.add(item, score), score),
            ("score", shared.score(item), score),
            ("in", (item in shared, ("no", number) in shared), (True, False)),
            ("insert", mine.insert(item, ("other", number)), [item, ("other", number)]),
            ("increment", mine.increment(item, score), score),
            ("pop", mine.pop(), ("other", number)),
            ("items", list(mine.items()), [(item, score)]),
            ("range", static.range(place, place + 2), [*range(place, min(place + 2, STATIC))]),
            ("or", list(mine | {("local", number)}), [("local", number), item]),
            ("discard", shared.discard(item), True),
        ]
        with mine.lease(1, LEASE_SECONDS) as lease:
            answers.append(("lease", list(lease), [item]))
        answers.append(("clear", (len(mine), mine.stats().leased), (0, 0)))
        mine.clear()
        return _wrong(answers)

    async def wrong_async_answers(self, number: int) -> list[str]:
        """As `wrong_answers`, awaited."""
        assert self.async_static is not None
        place, item, score = number % STATIC, ("async", number), number + 0.75
        shared, static = self.async_shared, self.async_static
        answers: list[tuple[str, Any, Any]] = [
            ("static", await static.score(place), place + 0.5),
            ("len", await static.size(), STATIC),
            ("add", await shared.add(item, score), score),
            ("score", await shared.score(item), score),
            ("discard", await shared.discard(item), True),
        ]
        return _wrong(answers)


def _wrong(answers: list[tuple[str, Any, Any]]) -> list[str]:
    return [f"{what}: {found!r}, not {right!r}" for what, found, right in answers if found != right]


# How many answers `wrong_answers` checks.
ANSWERS = 14


def count_wrong(work: Callable[[int], list[str]], first: int, calls: int) -> list[str]:
    """Call *work* until it has checked so many answers."""
    rounds = range(first, first + max(1, calls // ANSWERS))
    return list(itertools.chain.from_iterable(map(work, rounds)))


async def count_wrong_async(
    work: Callable[[int], Awaitable[list[str]]], first: int, calls: int
) -> list[str]:
    """`count_wrong`, awaited."""
    wrong: list[str] = []
    for number in range(first, first + max(1, calls // 5)):
        wrong += await work(number)
    return wrong
