"""Items with their scores, from whatever gives items."""

import math
from typing import Any

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from redset import EmptySetError, RedisSortedSet, ScheduledSet, SortedSet
from redset.serializers import JSONSerializer
from tests.server.conftest import RoundTrips

scores = st.sampled_from([-math.inf, -0.1, 0.0, 1e300, 2.0**53, math.inf])
contents = st.dictionaries(st.text(max_size=2), scores, min_size=1, max_size=6)


@given(contents, st.booleans(), st.integers(0, 7))
def test_they_are_what_the_set_says_of_its_items(
    client: redis.Redis, given: dict[str, float], last: bool, num: int
) -> None:
    ours: RedisSortedSet[str] = RedisSortedSet(client, "ours")
    ours.clear()
    ours.add_scored(given)
    pairs = list(ours.items())
    assert ours.range(with_scores=True) == pairs
    assert ours.range(with_scores=True, reverse=True, limit=num) == pairs[::-1][:num]
    assert ours.range(offset=num, with_scores=True) == pairs[num:]
    sample = ours.sample(num, with_scores=True)
    assert set(sample) <= set(pairs)
    assert len(sample) == min(num, len(pairs))
    ordered = pairs[::-1] if last else pairs
    assert ours.peek(last=last, with_scores=True) == ordered[0]
    assert ours.pop(last=last, with_scores=True) == ordered[0]
    assert ours.take(num, last=last, with_scores=True) == ordered[1 : num + 1]


def test_an_empty_set_gives_no_pairs(client: redis.Redis) -> None:
    empty: RedisSortedSet[str] = RedisSortedSet(client, "empty")
    assert empty.range(with_scores=True) == empty.sample(3, with_scores=True) == []
    assert empty.take(3, with_scores=True) == empty.take(0, with_scores=True) == []
    for call in (empty.pop, empty.peek):
        with pytest.raises(EmptySetError):
            call(with_scores=True)


def test_what_cannot_be_read_has_a_score(client: redis.Redis) -> None:
    documents: RedisSortedSet[Any] = RedisSortedSet(client, "d", serializer=JSONSerializer())
    documents.add({"id": 1}, 2)
    client.zadd("d", {"{": 1})
    assert documents.peek(with_scores=True) == (None, 1.0)
    assert documents.range(with_scores=True) == [({"id": 1}, 2.0)]
    assert documents.sample(5, with_scores=True) == [({"id": 1}, 2.0)]
    assert documents.pop(with_scores=True) == (None, 1.0)
    client.zadd("d", {"{": 1})
    assert documents.take(5, with_scores=True) == [({"id": 1}, 2.0)]


def test_other_classes(client: redis.Redis) -> None:
    texts: SortedSet[str] = SortedSet(client, "texts")
    texts.add("a", 1)
    later: ScheduledSet[str] = ScheduledSet(client, "later", clock=lambda: 100.0)
    later.add_scored({"now": 99.5, "then": 200})
    assert texts.take(1, with_scores=True) == [("a", 1.0)]
    assert later.peek(with_scores=True) == ("now", 99.5)
    assert later.take(9, with_scores=True) == [("now", 99.5)]


def test_each_is_one_round_trip(client: redis.Redis, round_trips: RoundTrips) -> None:
    ours: RedisSortedSet[str] = RedisSortedSet(client, "ours")
    ours.update("abcdef")
    with round_trips(client) as count:
        ours.range(with_scores=True)
        ours.sample(2, with_scores=True)
        ours.peek(with_scores=True)
        ours.pop(with_scores=True)
        ours.take(2, with_scores=True)
    assert count.value == 5
