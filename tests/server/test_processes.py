"""Several processes share one set: every item goes to exactly one of them."""

from typing import Any

import pytest
import redis

from redset import RedisSortedSet, ScheduledSet, SortedSet
from tests.processes import METHODS, in_processes

PROCESSES = 4
NOW = 1_700_000_000.0

# Python 3.12 warns of fork in a process with threads; these tests fork on purpose.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),
    pytest.mark.parametrize("method", METHODS),
]


def at_now() -> float:
    return NOW


def late_from_1_001(item: str) -> float:
    return NOW + int(item) - 1_000


def pop_all(items: RedisSortedSet[Any]) -> list[Any]:
    popped = []
    try:
        while True:
            popped.append(items.pop())
    except KeyError:
        return popped


def take_all(items: RedisSortedSet[Any]) -> list[Any]:
    taken: list[Any] = []
    while batch := items.take(7):
        taken += batch
    return taken


def pop_and_take_all(items: RedisSortedSet[Any]) -> list[Any]:
    taken: list[Any] = []
    while batch := items.take(3):
        taken += batch
        try:
            taken.append(items.pop())
        except KeyError:
            break
    return taken


def insert_overlapping(seen: RedisSortedSet[int], total: int) -> list[int]:
    new = []
    for first in range(0, total, 50):
        new += seen.insert(*range(first, first + 100))
    return new


@pytest.mark.parametrize("consume", [pop_all, take_all, pop_and_take_all])
def test_each_item_is_handed_to_exactly_one_process(
    client: redis.Redis, method: str, consume: Any
) -> None:
    jobs: RedisSortedSet[int] = RedisSortedSet(client, "jobs")
    jobs.update(range(5_000))
    shares = in_processes(method, PROCESSES, consume, jobs)
    assert sorted(item for share in shares for item in share) == list(range(5_000))
    assert len(jobs) == 0


def test_each_process_is_handed_lower_scores_first(client: redis.Redis, method: str) -> None:
    jobs: SortedSet[str] = SortedSet(client, "jobs", scorer=float)
    jobs.update(map(str, range(1_000)))
    for share in in_processes(method, PROCESSES, pop_all, jobs):
        assert share == sorted(share, key=int)


def test_an_item_inserted_by_several_processes_is_new_to_exactly_one(
    client: redis.Redis, method: str
) -> None:
    seen: RedisSortedSet[int] = RedisSortedSet(client, "seen")
    shares = in_processes(method, PROCESSES, insert_overlapping, seen, 5_000)
    assert sorted(item for share in shares for item in share) == list(range(5_050))
    assert len(seen) == 5_050


@pytest.mark.parametrize("consume", [pop_all, take_all])
def test_processes_are_handed_only_the_items_that_are_due(
    client: redis.Redis, method: str, consume: Any
) -> None:
    jobs: ScheduledSet[str] = ScheduledSet(client, "jobs", scorer=late_from_1_001, clock=at_now)
    jobs.update(map(str, range(2_000)))
    shares = in_processes(method, PROCESSES, consume, jobs)
    assert sorted(int(item) for share in shares for item in share) == list(range(1_001))
    assert [int(item) for item in jobs] == list(range(1_001, 2_000))
