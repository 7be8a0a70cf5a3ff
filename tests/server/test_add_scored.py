"""Many items with scores of their own."""

import math
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from redset import (
    InvalidTypeError,
    InvalidValueError,
    RedisSortedSet,
    ScheduledSet,
    SortedSet,
)
from redset._plans.arguments import CONFLICTS
from redset._plans.many import INSERT_AT_ONCE
from redset.serializers import JSONSerializer
from tests.server.conftest import RoundTrips

pairs = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from([-1.5, -0.1, 0.0, 1e300, math.inf])),
    max_size=6,
)


@given(pairs, pairs, st.sampled_from(CONFLICTS))
def test_it_does_what_add_does_one_by_one(
    client: redis.Redis,
    before: list[tuple[str, float]],
    given: list[tuple[str, float]],
    conflict: Any,
) -> None:
    many: RedisSortedSet[str] = RedisSortedSet(client, "many")
    singly: RedisSortedSet[str] = RedisSortedSet(client, "singly")
    many.clear(), singly.clear()
    many.add_scored(before)
    for item, score in before:
        singly.add(item, score)
    many.add_scored(given, on_conflict=conflict)
    for item, score in given:
        singly.add(item, score, on_conflict=conflict)
    assert list(many.items()) == list(singly.items())


def test_a_mapping_and_pairs_say_the_same(client: redis.Redis) -> None:
    jobs: RedisSortedSet[Any] = RedisSortedSet(client, "jobs")
    jobs.add_scored({"a": 2, ("b", 1): 1.5})
    jobs.add_scored(iter([["c", 3], (4, 0)]))  # type: ignore[arg-type,unused-ignore]
    assert dict(jobs.items()) == {4: 0.0, ("b", 1): 1.5, "a": 2.0, "c": 3.0}
    jobs.update({"x": 9})
    assert jobs.score("x") == 0.0


def test_other_serializers_and_classes(client: redis.Redis) -> None:
    texts = SortedSet[str](client, "texts")
    texts.add_scored({"a": 1})
    later = ScheduledSet[str](client, "later", clock=lambda: 100.0)
    later.add_scored({"now": 100, "then": 200})
    documents: RedisSortedSet[Any] = RedisSortedSet(client, "d", serializer=JSONSerializer())
    documents.add_scored([({"id": 1}, 7), ([1, 2], 8)])
    assert (list(texts.items()), later.take(9)) == ([("a", 1.0)], ["now"])
    assert list(documents.items()) == [({"id": 1}, 7.0), ([1, 2], 8.0)]


def test_without_a_score_the_scorer_is_asked(client: redis.Redis) -> None:
    words: RedisSortedSet[str] = RedisSortedSet(client, "words", scorer=len)
    words.add_scored([("four", None), ("four!", 1)])  # type: ignore[list-item,unused-ignore]
    assert list(words.items()) == [("four!", 1.0), ("four", 4.0)]


@pytest.mark.parametrize("conflict", CONFLICTS)
def test_nothing_changes_nothing(
    client: redis.Redis, round_trips: RoundTrips, conflict: Any
) -> None:
    jobs: RedisSortedSet[str] = RedisSortedSet(client, "jobs")
    with round_trips(client) as count:
        jobs.add_scored({}, on_conflict=conflict)
        jobs.add_scored(iter(()), on_conflict=conflict)
    assert count.value == 0


@pytest.mark.parametrize(("conflict", "trips"), [("replace", 1), ("max", 1), ("sum", 2)])
def test_a_chunk_is_a_round_trip(
    client: redis.Redis, round_trips: RoundTrips, conflict: Any, trips: int
) -> None:
    jobs: RedisSortedSet[int] = RedisSortedSet(client, "jobs")
    jobs.add(0)
    with round_trips(client) as count:
        jobs.add_scored(
            ((number, number) for number in range(INSERT_AT_ONCE + 1)), on_conflict=conflict
        )
    assert count.value == trips
    assert len(jobs) == INSERT_AT_ONCE + 1


@pytest.mark.parametrize(
    "wrong", ["ab", ["ab"], [1], [(1,)], [(1, 2, 3)], 7, None, {1, 2}, [None], [{1: 2}]]
)
def test_what_is_no_pair_is_refused(client: redis.Redis, wrong: Any) -> None:
    jobs: RedisSortedSet[Any] = RedisSortedSet(client, "jobs")
    with pytest.raises(InvalidTypeError, match=r"'jobs'.*pairs of an item and its score"):
        jobs.add_scored(wrong)
    with pytest.raises(InvalidTypeError, match="pairs of an item and its score"):
        jobs.add_scored([("fine", 1), *wrong] if isinstance(wrong, list) else wrong)
    assert len(jobs) == 0


@pytest.mark.parametrize(
    ("score", "kind"),
    [("1", InvalidTypeError), (math.nan, InvalidValueError), (2**53 + 1, InvalidValueError)],
)
def test_a_score_that_cannot_be_kept_is_refused(
    client: redis.Redis, score: Any, kind: type[Exception]
) -> None:
    jobs: RedisSortedSet[str] = RedisSortedSet(client, "jobs")
    with pytest.raises(kind, match="'wrong'"):
        jobs.add_scored({"fine": 1, "wrong": score})
    with pytest.raises(InvalidValueError, match="on_conflict"):
        jobs.add_scored({"fine": 1}, on_conflict="less")  # type: ignore[arg-type,unused-ignore]
    assert len(jobs) == 0


def test_a_sum_of_infinities_changes_nothing(client: redis.Redis) -> None:
    jobs: RedisSortedSet[str] = RedisSortedSet(client, "jobs")
    jobs.add_scored({"a": 1, "b": math.inf})
    with pytest.raises(InvalidValueError, match="inf and -inf"):
        jobs.add_scored({"a": 1, "b": -math.inf}, on_conflict="sum")
    assert dict(jobs.items()) == {"a": 1.0, "b": math.inf}


def test_a_unique_set_refuses_what_is_on_lease(client: redis.Redis) -> None:
    jobs: RedisSortedSet[str] = RedisSortedSet(client, "jobs", unique="until_acked")
    jobs.add_scored({"a": 1, "b": 2})
    with jobs.lease() as lease:
        jobs.add_scored({"a": 5, "b": 6, "c": 7}, on_conflict="sum")
        assert dict(jobs.items()) == {"b": 8.0, "c": 7.0}
        lease.ack()


def test_an_error_in_the_middle_says_how_many_were_added(client: redis.Redis) -> None:
    def broken() -> Iterator[tuple[int, float]]:
        for number in range(5_001):
            yield number, 1.0
        raise OSError("the file ended")

    jobs: RedisSortedSet[int] = RedisSortedSet(client, "jobs")
    with pytest.raises(OSError, match="the file ended") as caught:
        jobs.add_scored(broken())
    assert caught.value.__notes__ == ["redset 'jobs': the first 5000 items were added before this"]
    assert len(jobs) == 5_000
