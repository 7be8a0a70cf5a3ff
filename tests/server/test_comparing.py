"""Comparisons read only: a replica that nothing may write to answers them as its master does."""

from collections.abc import Callable
from typing import Any

import pytest
import redis
from hypothesis import example, given
from hypothesis import strategies as st

from redset import RedisSortedSet
from redset.exceptions import KeyTypeError, ResultExpired
from tests.server.conftest import TAG, RoundTrips

Numbers = RedisSortedSet[Any]

METHODS: dict[str, Callable[[Any, Any], bool]] = {
    "==": lambda one, other: one == other,
    "!=": lambda one, other: one != other,
    "<=": lambda one, other: one <= other,
    "<": lambda one, other: one < other,
    ">=": lambda one, other: one >= other,
    ">": lambda one, other: one > other,
    "issubset": lambda one, other: one.issubset(other),
    "issuperset": lambda one, other: one.issuperset(other),
    "isdisjoint": lambda one, other: one.isdisjoint(other),
}


def pairs(client: Any, name: str = "numbers") -> Numbers:
    return RedisSortedSet(client, name)


OTHERS: dict[str, set[Any]] = {
    "equal": set(range(6)),
    "less": {1, 2},
    "more": set(range(9)),
    "crossing": {4, 5, 6, 7, 8, 9},
    "apart": {10, 11},
    "empty": set(),
}


@pytest.mark.parametrize("other", OTHERS)
def test_a_read_only_replica_answers_all_comparisons(
    client: redis.Redis, replica: Any, other: str
) -> None:
    mine, items = set(range(6)), OTHERS[other]
    pairs(client).update(mine)
    pairs(client, "other").update(items)
    replica.caught_up()
    numbers, same_server = pairs(replica), pairs(replica, "other")
    with pytest.raises(Exception, match="read only"):
        numbers.add(1)
    for name, method in METHODS.items():
        expected = method(mine, items)
        assert method(numbers, same_server) is expected, name
        assert method(numbers, items) is expected, name
        assert method(numbers, pairs(client, "other")) is expected, name
    assert (items == numbers) is (items == mine)
    assert (items <= numbers) is (items <= mine)


def test_a_read_only_replica_says_the_time_to_live(client: redis.Redis, replica: Any) -> None:
    numbers = pairs(client)
    numbers.add(1)
    numbers.expire(1_000)
    numbers.lease(1)
    numbers.add(2)  # which makes the key anew, without a time-to-live that a replica could give it
    replica.caught_up()
    assert pairs(replica).ttl() == pytest.approx(1_000, abs=30)
    assert client.ttl("numbers") == -1


@pytest.mark.parametrize("number", [3_500, 3_501, 4_999, 5_000, 5_001, 10_000, 12_000])
def test_a_replica_answers_for_more_local_items_than_one_call_takes(
    client: redis.Redis, replica: Any, number: int
) -> None:
    items = list(range(number))
    pairs(client).update(items)
    replica.caught_up()
    for numbers in (pairs(client), pairs(replica)):
        assert numbers.issubset(iter(items))
        assert numbers == set(items)
        assert not numbers < set(items)
        assert numbers < {*items, -1}
        assert numbers < {*items, 1j}
        assert numbers.issuperset([*items, *items])
        assert not numbers.issuperset([*items, *items, -1])
        assert not numbers.issubset([*items[1:], *items[1:]])
        assert numbers.isdisjoint([-1] * number)
        assert not numbers.isdisjoint([-1] * number + [1])
    assert client.keys("*staged*") == []


def test_comparing_writes_nothing_and_takes_one_round_trip(
    client: redis.Redis, round_trips: RoundTrips
) -> None:
    numbers, other = pairs(client, f"{TAG}numbers"), pairs(client, f"{TAG}other")
    numbers.update(range(3_500))
    other.update(range(3_500))
    assert numbers == other  # the server has the scripts from here on
    assert numbers == set(range(3_500))
    client.config_resetstat()
    for method in METHODS.values():
        for operand in (other, set(range(3_500))):
            with round_trips(client) as trips:
                method(numbers, operand)
            assert trips.value == 1
    stats: Any = client.info("commandstats")
    wrote = [name for name in stats if name[8:] in {"zadd", "del", "unlink", "zinterstore", "set"}]
    assert wrote == []


@given(
    mine=st.sets(st.integers(0, 6)),
    others=st.lists(st.integers(0, 8) | st.just(1j)),
    repeats=st.sampled_from([1, 2_000]),
)
@example(mine={1}, others=[1, 1j], repeats=1)
@example(mine=set(), others=[1j], repeats=1)
@example(mine=set(), others=[], repeats=1)
def test_comparisons_say_what_those_of_builtin_sets_say(
    client: redis.Redis, mine: set[int], others: list[Any], repeats: int
) -> None:
    client.flushall()
    numbers = pairs(client)
    numbers.update(mine)
    for name, method in METHODS.items():
        if name.startswith("is"):
            assert method(numbers, others * repeats) is method(mine, others), name
        else:
            assert method(numbers, set(others)) is method(mine, set(others)), name


def test_what_is_wrong_with_an_operand_is_named(client: redis.Redis) -> None:
    numbers = pairs(client)
    numbers.update(range(3))
    client.set("text", "text")
    text = pairs(client, "text")
    for compare in (numbers.issubset, numbers.isdisjoint):
        with pytest.raises(KeyTypeError, match="'text'"):
            compare(text)
    with pytest.raises(KeyTypeError, match="'text'"):
        text.issubset(numbers)
    with pytest.raises(KeyTypeError, match="'text'"):
        text.issubset([1])
    result = numbers | {7}
    client.delete(*client.keys("*result*"))
    with pytest.raises(ResultExpired):
        numbers.issubset(result)
    with pytest.raises(ResultExpired):
        result.issubset([1])
    with pytest.raises(TypeError, match="unhashable"):
        numbers.issubset([[]])
