"""Sizes of combinations that are not made."""

from typing import Any

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from redset import InvalidTypeError, InvalidValueError, RedisSortedSet, SortedSet
from redset.serializers import JSONSerializer
from tests.server.conftest import MakeClient, RoundTrips

letters = st.sets(st.sampled_from("abcde"))
# What the other operands are: sets on the server, or of this process.
kinds = st.sampled_from(["redset", "set", "list"])


def made(client: redis.Redis, name: str, items: Any) -> RedisSortedSet[Any]:
    found: RedisSortedSet[Any] = RedisSortedSet(client, name)
    found.clear()
    found.update(items)
    return found


@given(letters, st.lists(st.tuples(kinds, letters), max_size=4), st.none() | st.integers(0, 4))
def test_they_are_those_of_builtin_sets(
    client: redis.Redis, one: set[str], given: list[tuple[str, set[str]]], limit: int | None
) -> None:
    ours, builtin = made(client, "ours", one), [items for _, items in given]
    others: list[Any] = [
        made(client, f"other-{place}", items)
        if kind == "redset"
        else items
        if kind == "set"
        else [*items, *items]
        for place, (kind, items) in enumerate(given)
    ]
    before = set(client.keys())
    assert ours.union_count(*others) == len(one.union(*builtin))
    assert ours.difference_count(*others) == len(one.difference(*builtin))
    common = len(one.intersection(*builtin))
    assert ours.intersection_count(*others) == common
    assert ours.intersection_count(*others, limit=limit) == (
        common if limit is None else min(common, limit)
    )
    assert set(client.keys()) == before


def test_other_serializers_servers_and_databases(
    client: redis.Redis, make_client: MakeClient
) -> None:
    ours = made(client, "ours", ["1", "2", 3])
    texts: SortedSet[str] = SortedSet(client, "texts")
    texts.update(["1", "3", "4"])
    elsewhere = made(make_client(db=1), "ours", ["2", 3, 5])
    assert [ours.union_count(texts, elsewhere), ours.intersection_count(texts)] == [6, 1]
    assert ours.difference_count(elsewhere) == 1
    documents: RedisSortedSet[Any] = RedisSortedSet(client, "d", serializer=JSONSerializer())
    documents.update([{"id": 1}, [2]])
    assert documents.intersection_count([{"id": 1}, {"id": 2}]) == 1
    elsewhere.clear()


def test_what_cannot_be_in_the_set_is_not_counted_and_not_added(client: redis.Redis) -> None:
    ours = made(client, "ours", [1, 2])
    strange = [1, object(), object()]
    assert [ours.intersection_count(strange), ours.difference_count(strange)] == [1, 1]
    with pytest.raises(InvalidTypeError):
        ours.union_count(strange)  # as union
    with pytest.raises(TypeError):
        ours.union_count(7)  # type: ignore[arg-type,unused-ignore]


def test_a_limit_is_a_number_of_items(client: redis.Redis) -> None:
    ours = made(client, "ours", [1, 2])
    with pytest.raises(InvalidValueError, match="'ours': limit must be 0 or more, got -1"):
        ours.intersection_count([1], limit=-1)
    with pytest.raises(InvalidTypeError, match="limit must be an integer"):
        ours.intersection_count([1], limit=1.5)  # type: ignore[arg-type,unused-ignore]
    assert ours.intersection_count([1, 2], limit=10**30) == 2


def test_each_is_one_round_trip(client: redis.Redis, round_trips: RoundTrips) -> None:
    ours, other = made(client, "ours", range(10)), made(client, "other", range(5, 20))
    ours.union_count(other)  # from now on they are known to be of one server
    with round_trips(client) as count:
        assert ours.union_count(other, [77]) == 21
        assert ours.intersection_count(other) == 5
        assert ours.difference_count(other, [0]) == 4
    assert count.value == 3


def test_infinite_scores_count(client: redis.Redis) -> None:
    ours, other = made(client, "ours", []), made(client, "other", [])
    for name, sign in (("ours", "inf"), ("other", "-inf"), ("third", "-inf")):
        client.zadd(name, {"x": float(sign)})
    third: RedisSortedSet[Any] = RedisSortedSet(client, "third")
    assert [ours.union_count(other, third), ours.intersection_count(other, third)] == [1, 1]
    assert ours.difference_count(other, third) == 0
