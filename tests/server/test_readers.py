"""Accounts and replicas that may only read: every public method that reads answers them too."""

from collections.abc import Callable
from typing import Any

import pytest
import redis

from redset import ScheduledSet
from tests.unit.test_parity import INSTEAD, names

# A call of a set, and of another handle of it.
Reading = Callable[[Any, Any], object]

NOW = 1_000.0
LATER = "later"
ITEMS = {f"item-{number}" for number in range(300)}
LOCAL = {"item-7", "elsewhere"}

# Every public name of a set that reads, and a call of it whose answer is the same each time.
READS: dict[str, Reading] = {
    "__contains__": lambda jobs, _: ("item-7" in jobs, "elsewhere" in jobs),
    "__eq__": lambda jobs, twin: (jobs == twin, jobs == LOCAL),
    "__ge__": lambda jobs, twin: (jobs >= twin, jobs >= {"item-7"}),
    "__getitem__": lambda jobs, _: (jobs[0], jobs[-1], jobs[2:9:2]),
    "__gt__": lambda jobs, twin: (jobs > twin, jobs > {"item-7"}),
    "__iter__": lambda jobs, _: list(jobs),
    "__le__": lambda jobs, twin: (jobs <= twin, jobs <= LOCAL),
    "__len__": lambda jobs, _: len(jobs),
    "__lt__": lambda jobs, twin: (jobs < twin, jobs < LOCAL),
    "__rand__": lambda jobs, _: LOCAL & jobs,
    "__reversed__": lambda jobs, _: list(reversed(jobs)),
    "__ror__": lambda jobs, _: LOCAL | jobs,
    "__rsub__": lambda jobs, _: LOCAL - jobs,
    "__rxor__": lambda jobs, _: LOCAL ^ jobs,
    "available": lambda jobs, _: jobs.available(),
    "count": lambda jobs, _: jobs.count(0, 50),
    "dead_items": lambda jobs, _: list(jobs.dead_items.items()),
    "dead_letters": lambda jobs, _: list(jobs.dead_letters()),
    "difference_count": lambda jobs, twin: jobs.difference_count(twin, LOCAL),
    "index": lambda jobs, _: jobs.index("item-7"),
    "intersection_count": lambda jobs, twin: jobs.intersection_count(twin, LOCAL, limit=5),
    "isdisjoint": lambda jobs, twin: (jobs.isdisjoint(twin), jobs.isdisjoint({"elsewhere"})),
    "issubset": lambda jobs, twin: (jobs.issubset(twin), jobs.issubset(LOCAL)),
    "issuperset": lambda jobs, twin: (jobs.issuperset(twin), jobs.issuperset(LOCAL)),
    "items": lambda jobs, _: list(jobs.items()),
    "leased": lambda jobs, _: list(jobs.leased()),
    "peek": lambda jobs, _: (jobs.peek(with_scores=True), jobs.peek(last=True)),
    "peek_score": lambda jobs, _: (jobs.peek_score(), jobs.peek_score(last=True)),
    "random": lambda jobs, _: jobs.random() in {*ITEMS, LATER},
    "range": lambda jobs, _: (jobs.range(3, 9), jobs.range(3, 9, reverse=True)),
    "rank": lambda jobs, _: (jobs.rank("item-7"), jobs.rank("item-7", reverse=True)),
    "ranks": lambda jobs, _: jobs.ranks("item-7", "elsewhere"),
    "read_difference": lambda jobs, twin: (jobs.read_difference(twin), jobs.read_difference(LOCAL)),
    "read_intersection": lambda jobs, twin: (
        jobs.read_intersection(twin, on_conflict="sum"),
        jobs.read_intersection(LOCAL, with_scores=True),
    ),
    "read_symmetric_difference": lambda jobs, twin: jobs.read_symmetric_difference(twin),
    "read_union": lambda jobs, twin: (
        jobs.read_union(twin, on_conflict="sum"),
        jobs.read_union(LOCAL, with_scores=True),
    ),
    "sample": lambda jobs, _: set(jobs.sample(3)) <= {*ITEMS, LATER},
    "score": lambda jobs, _: (jobs.score("item-7"), jobs.score("elsewhere")),
    "scores": lambda jobs, _: jobs.scores("item-7", "elsewhere"),
    "stats": lambda jobs, _: jobs.stats(),
    "ttl": lambda jobs, _: round(jobs.ttl() / 100),
    "union_count": lambda jobs, twin: (jobs.union_count(twin), jobs.union_count(LOCAL)),
}
# The others: they change something, or do no I/O.
WRITES = {
    *("__and__", "__copy__", "__deepcopy__", "__delitem__", "__iand__", "__ior__", "__isub__"),
    *("__ixor__", "__or__", "__sub__", "__xor__", "add", "add_and_rank", "add_scored", "cancel"),
    *("clear", "consume", "copy", "difference", "difference_update", "discard", "discard_dead"),
    *("expire", "increment", "insert", "intersection", "intersection_update", "lease", "lock"),
    *("move", "persist", "pop", "remove", "remove_at", "remove_range", "rename", "replace"),
    *("requeue", "symmetric_difference", "symmetric_difference_update", "take", "union"),
    *("update", "update_score"),
}
NO_IO = {"__bool__", "__enter__", "__exit__", "aclose", "close", "key", "name"}

# The names of the asyncio surface, as those of the operators that they stand for.
OPERATORS = {method: operator for operator, method in INSTEAD.items()}
COMPARISONS = {"__eq__", "__ge__", "__gt__", "__le__", "__lt__"}


def test_each_public_name_is_known_to_read_or_not_to() -> None:
    """A new method that reads has to be added to `READS`."""
    surface = getattr(ScheduledSet, "kind", ScheduledSet)
    public = {OPERATORS.get(name, name) for name in names(surface)}
    assert READS.keys() & (WRITES | NO_IO) == set()
    assert public - READS.keys() - WRITES - NO_IO == set()
    assert READS.keys() - COMPARISONS - public == set()


def fill(client: redis.Redis) -> None:
    """Fill a set with items in every state, and give it a time-to-live."""
    jobs = opened(client)
    jobs.add_scored({item: float(item.partition("-")[2]) for item in ITEMS})
    with jobs.lease(3, worker="a") as dying:
        dying.reject(*dying, error="rejected")
    jobs.lease(2, ttl=3_600, worker="b")
    jobs.lease(2, worker="c").release(delay=3_600)
    client.zadd("{jobs}:undecodable", {"stray": 1})
    jobs.add(LATER, NOW + 1)
    jobs.expire(10_000)


def opened(client: redis.Redis) -> Any:
    return ScheduledSet[str](client, "jobs", clock=lambda: NOW)


def answers(client: redis.Redis) -> dict[str, object]:
    """The answer to each reading call, or the error that it raises."""
    jobs, twin, found = opened(client), opened(client), {}
    for name, call in READS.items():
        try:
            found[name] = call(jobs, twin)
        except Exception as error:
            found[name] = error
    return found


def check_same(expected: dict[str, object], found: dict[str, object]) -> None:
    differing = {name: answer for name, answer in found.items() if answer != expected[name]}
    assert differing == {}, differing


@pytest.fixture
def expected(client: redis.Redis) -> dict[str, object]:
    fill(client)
    answered = answers(client)
    assert answered["stats"] == (294, 293, 2, 2, 0, 3, 1, NOW - 7)
    assert {name for name, each in answered.items() if isinstance(each, Exception)} == set()
    return answered


def test_an_account_that_may_only_read_is_answered_by_every_method_that_reads(
    expected: dict[str, object], reader: redis.Redis
) -> None:
    for _ in range(2):
        check_same(expected, answers(reader))


def test_an_account_that_may_only_read_is_answered_by_a_server_without_the_scripts(
    client: redis.Redis, expected: dict[str, object], reader: redis.Redis
) -> None:
    client.script_flush()
    check_same(expected, answers(reader))


def test_a_read_only_replica_answers_every_method_that_reads(
    expected: dict[str, object], replica: Any
) -> None:
    replica.caught_up()
    check_same(expected, answers(replica))


def test_a_time_to_live_is_read_where_a_new_key_cannot_be_given_it(
    client: redis.Redis, reader: redis.Redis
) -> None:
    jobs = opened(client)
    jobs.add("a", 1)
    jobs.expire(10_000)
    jobs.lease(1, ttl=3_600)
    jobs.add("b", 1)  # which makes the key again, without a time-to-live
    assert round(opened(reader).ttl() / 100) == 100
    assert client.ttl("jobs") == -1
