"""Calls for all dead letters take several steps; what happens between two of them is no matter."""

from collections.abc import Callable
from typing import Any

import pytest
import redis

from redset import RedisSortedSet, SortedSet
from redset._plans.dead_letters import sort_dead
from redset._transport.connection import ClientConnection

Jobs = RedisSortedSet[int]


def died(client: redis.Redis, items: range, *, reason: str, score: float | None = None) -> Jobs:
    jobs: Jobs = RedisSortedSet(client, "jobs")
    jobs.add_scored({item: item if score is None else score for item in items})
    while len(jobs):
        batch = jobs.lease(250, max_deliveries=1)
        if reason == "rejected":
            batch.reject(error="first")
        else:
            batch.release()
    return jobs


def sorted_dead(
    client: redis.Redis, jobs: Jobs, between: Callable[[], object], verb: str, **options: Any
) -> int:
    """Call *between* after each step of `requeue` or `discard_dead`; return what that returns."""
    about = {"reason": None, "older_than": None} | options
    plan = sort_dead(jobs._runner.config, verb, (), *about.values())
    replies: Any = None
    while True:
        try:
            step = plan.send(replies)
        except StopIteration as end:
            return int(end.value)
        assert isinstance(step, list)
        replies = ClientConnection(client).execute(step)
        between()


@pytest.mark.parametrize("score", [None, 7.0])
def test_items_that_die_again_at_once_are_requeued_once_each(
    client: redis.Redis, score: float | None
) -> None:
    jobs = died(client, range(750), reason="rejected", score=score)

    def fail() -> None:
        while len(jobs):
            jobs.lease(250).reject(error="again")

    assert sorted_dead(client, jobs, fail, "requeue") == 750
    assert {letter.error for letter in jobs.dead_letters()} == {"again"}
    assert len(jobs.dead_items) == 750


@pytest.mark.parametrize("verb", ["requeue", "discard"])
def test_those_of_one_reason_are_found_while_others_are_discarded(
    client: redis.Redis, verb: str
) -> None:
    jobs = died(client, range(300), reason="rejected")
    died(client, range(1_000, 1_300), reason="failed")
    discarded: list[int] = []

    def discard() -> None:
        discarded.append(jobs.discard_dead(reason="rejected"))

    assert sorted_dead(client, jobs, discard, verb, reason="failed") == 300
    assert (sum(discarded), len(jobs.dead_items)) == (300, 0)
    assert len(jobs) == (300 if verb == "requeue" else 0)


def test_those_that_die_during_the_call_wait_for_the_next(client: redis.Redis) -> None:
    jobs = died(client, range(500, 1_000), reason="rejected")
    ranges = iter([range(250), range(250, 500), range(1_000, 1_250), range(1_250, 1_500)])

    def die() -> None:
        for items in ranges:
            died(client, items, reason="rejected")
            break

    assert sorted_dead(client, jobs, die, "discard") == 500
    assert jobs.discard_dead() == len(range(250)) * 3


def test_a_step_may_end_at_the_empty_text(client: redis.Redis) -> None:
    texts: SortedSet[str] = SortedSet(client, "jobs")
    texts.add_scored({f"{item:03}": item for item in range(350)})
    texts.remove_at(249)
    texts.add("", score=249)
    while len(texts):
        texts.lease(250).reject()
    assert texts.discard_dead() == 350


def test_all_are_requeued_though_the_clock_was_set_back(client: redis.Redis) -> None:
    jobs = died(client, range(300), reason="rejected")
    for key in client.hkeys("{jobs}:letters"):
        member = key if isinstance(key, bytes) else key.encode()
        letter: Any = client.execute_command("HGET", "{jobs}:letters", member, NEVER_DECODE=True)
        reason, milliseconds, *rest = letter.split(b" ")
        later = b"%d" % (int(milliseconds) + 3_600_000)
        client.hset("{jobs}:letters", member, b" ".join([reason, later, *rest]))
    assert jobs.requeue(older_than=1) == 0
    assert jobs.requeue() == 300
