"""What a read-only replica answers: each call that docs/deployment.md names, and no other."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis

from redset import ScheduledSet

PAGE = Path(__file__).resolve().parents[2] / "docs" / "deployment.md"
Call = Callable[[Any, Any], Any]

# The calls of a set that only read, with another set of the same server.
READS: dict[str, Call] = {
    "in": lambda jobs, _: ["a" in jobs, "z" in jobs],
    "len": lambda jobs, _: len(jobs),
    "iteration": lambda jobs, _: list(jobs),
    "reversed": lambda jobs, _: list(reversed(jobs)),
    "items": lambda jobs, _: list(jobs.items()),
    "indexes and slices": lambda jobs, _: [jobs[0], jobs[-1], jobs[1:3], jobs[::-2]],
    "score": lambda jobs, _: jobs.score("a"),
    "scores": lambda jobs, _: jobs.scores("a", "z"),
    "rank": lambda jobs, _: jobs.rank("b"),
    "ranks": lambda jobs, _: jobs.ranks("b", "z"),
    "index": lambda jobs, _: jobs.index("c"),
    "range": lambda jobs, _: jobs.range(1, 3, with_scores=True),
    "count": lambda jobs, _: jobs.count(1, 3),
    "random": lambda jobs, _: jobs.random() in jobs,
    "sample": lambda jobs, _: set(jobs.sample(2)) <= set(jobs),
    "peek": lambda jobs, _: jobs.peek(),
    "peek_score": lambda jobs, _: jobs.peek_score(),
    "available": lambda jobs, _: jobs.available(),
    "ttl": lambda jobs, _: jobs.ttl() is None,
    "stats": lambda jobs, _: jobs.stats()[:-1],  # without a time that is measured when asked
    "leased": lambda jobs, _: [entry.item for entry in jobs.leased()],
    "dead_letters": lambda jobs, _: [(each.item, each.reason) for each in jobs.dead_letters()],
    "dead_items": lambda jobs, _: list(jobs.dead_items),
    "comparisons": lambda jobs, other: [jobs == other, jobs <= other, jobs > other, jobs != {"a"}],
    "issubset": lambda jobs, other: jobs.issubset(other),
    "issuperset": lambda jobs, other: jobs.issuperset(other),
    "isdisjoint": lambda jobs, other: jobs.isdisjoint(other),
    "union_count": lambda jobs, other: jobs.union_count(other, ["x"]),
    "intersection_count": lambda jobs, other: jobs.intersection_count(other),
    "difference_count": lambda jobs, other: jobs.difference_count(other),
    "read_union": lambda jobs, other: jobs.read_union(other, with_scores=True),
    "read_intersection": lambda jobs, other: jobs.read_intersection(other, {"b"}),
    "read_difference": lambda jobs, other: jobs.read_difference(other),
    "read_symmetric_difference": lambda jobs, other: jobs.read_symmetric_difference(other),
}

# Every other call of a set: it writes, or, if there is nothing to write, may have to.
WRITES: dict[str, Call] = {
    "add": lambda jobs, _: jobs.add("new"),
    "add_and_rank": lambda jobs, _: jobs.add_and_rank("new"),
    "add_scored": lambda jobs, _: jobs.add_scored({"new": 1}),
    "update_score": lambda jobs, _: jobs.update_score("a", 2),
    "increment": lambda jobs, _: jobs.increment("a"),
    "replace": lambda jobs, _: jobs.replace("a", "new"),
    "move": lambda jobs, other: jobs.move("a", to=other),
    "discard": lambda jobs, _: jobs.discard("a"),
    "remove": lambda jobs, _: jobs.remove("a"),
    "remove_at": lambda jobs, _: jobs.remove_at(0),
    "remove_range": lambda jobs, _: jobs.remove_range(0, 9),
    "update": lambda jobs, _: jobs.update(["new"]),
    "insert": lambda jobs, _: jobs.insert("new"),
    "clear": lambda jobs, _: jobs.clear(),
    "rename": lambda jobs, _: jobs.rename("{x}elsewhere"),
    "expire": lambda jobs, _: jobs.expire(1_000),
    "persist": lambda jobs, _: jobs.persist(),
    "pop": lambda jobs, _: jobs.pop(),
    "take": lambda jobs, _: jobs.take(1),
    "lease": lambda jobs, _: jobs.lease(1),
    "consume": lambda jobs, _: list(jobs.consume(timeout=0)),
    "requeue": lambda jobs, _: jobs.requeue(),
    "discard_dead": lambda jobs, _: jobs.discard_dead(),
    "cancel": lambda jobs, _: jobs.cancel("a"),
    "lock": lambda jobs, _: jobs.lock.__enter__(),
    "union": lambda jobs, other: jobs.union(other),
    "intersection": lambda jobs, other: jobs.intersection(other),
    "difference": lambda jobs, other: jobs.difference(other),
    "symmetric_difference": lambda jobs, other: jobs.symmetric_difference(other),
    "copy": lambda jobs, _: jobs.copy(),
    "intersection_update": lambda jobs, other: jobs.intersection_update(other),
    "difference_update": lambda jobs, other: jobs.difference_update(other),
    "symmetric_difference_update": lambda jobs, o: jobs.symmetric_difference_update(o),
}
# What sends nothing.
LOCAL = {"name", "key", "close"}


def sets_of(client: Any) -> tuple[Any, Any]:
    return ScheduledSet(client, "{x}jobs"), ScheduledSet(client, "{x}other")


@pytest.fixture
def filled(client: redis.Redis) -> tuple[Any, Any]:
    """Sets that hold something, one of which has something on lease, and a dead letter."""
    jobs, other = sets_of(client)
    jobs.add_scored({name: place for place, name in enumerate("abcdefgh")})
    other.add_scored({"b": 5, "c": 7, "x": 1})
    jobs.lease(1)
    jobs.lease(1).reject(error="no")
    jobs.add_scored({"a": 0, "late": 4e9})
    return jobs, other


def test_a_replica_answers_what_only_reads(filled: tuple[Any, Any], replica: Any) -> None:
    replica.caught_up()
    for name, call in READS.items():
        assert call(*sets_of(replica)) == call(*filled), name


def test_a_replica_refuses_every_other_call(filled: tuple[Any, Any], replica: Any) -> None:
    replica.caught_up()
    for name, call in WRITES.items():
        with pytest.raises(Exception, match="read only"):
            call(*sets_of(replica))
            pytest.fail(name)


@pytest.mark.parametrize("call", WRITES)
def test_a_master_without_enough_replicas_refuses_what_writes_with_nothing_done(
    client: redis.Redis, filled: tuple[Any, Any], call: str
) -> None:
    client.config_set("min-replicas-to-write", 1)
    before = [READS[name](*filled) for name in ("items", "stats", "leased", "dead_letters")]
    try:
        with pytest.raises(Exception, match=r"Not enough good replicas|NOREPLICAS"):
            WRITES[call](*filled)
        after = [READS[name](*filled) for name in ("items", "stats", "leased", "dead_letters")]
    finally:
        client.config_set("min-replicas-to-write", 0)
    assert after == before


def test_every_call_is_known_to_read_or_to_write() -> None:
    calls = {name for name in dir(ScheduledSet) if not name.startswith("_")}
    assert calls == {*READS, *WRITES, *LOCAL} - {
        *("in", "len", "iteration", "reversed", "indexes and slices", "comparisons"),
    }


def test_the_page_names_what_a_replica_answers() -> None:
    [section] = re.findall(
        r"^## What a replica answers$(.*?)(?=^## )", PAGE.read_text(), re.DOTALL | re.MULTILINE
    )
    [table] = re.findall(r"^\| answered \|.*?\n\n", section, re.DOTALL | re.MULTILINE)
    named = set(re.findall(r"`(\w+)`", table)) | {
        words for words in ("iteration", "indexes and slices", "comparisons") if words in table
    }
    assert named == set(READS)
