"""How much one request carries, and how much work it is, however many items there are."""

import logging
import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from redset import RedisSortedSet
from redset._core.commands import MAX_OPERANDS
from redset.codecs import TextSerializer
from redset.exceptions import InvalidValueError, KeyTypeError
from tests.proxy import RecordingProxy
from tests.server.conftest import MakeClient, RoundTrips
from tests.servers import TestServer

# ElastiCache Serverless refuses a request of more words, its name among them.
MOST_WORDS = 3_999
MANY = 6_000

Numbers = RedisSortedSet[Any]
MakeNumbers = Callable[..., Numbers]


@pytest.fixture
def recorder(server: TestServer, client: redis.Redis) -> Iterator[RecordingProxy]:
    with RecordingProxy(server.port) as proxy:
        yield proxy


@pytest.fixture
def make_numbers(recorder: RecordingProxy, make_client: MakeClient) -> MakeNumbers:
    """Make sets whose requests are recorded."""
    client = make_client(host="127.0.0.1", port=recorder.port)
    return lambda name="numbers", **options: RedisSortedSet(client, name, **options)


class Odd:
    """A serializer that can't read what another program wrote."""

    def dumps(self, item: int) -> str:
        return str(item)

    def loads(self, text: str) -> int:
        return int(text)


def lease(numbers: Numbers, end: Callable[[Any], Any]) -> None:
    numbers.update(range(MANY))
    end(numbers.lease(MANY))


def deliver(numbers: Numbers) -> None:
    """All that becomes of items that are handed out."""
    lease(numbers, lambda batch: batch.ack())
    lease(numbers, lambda batch: batch.ack(again_at=7))
    lease(numbers, lambda batch: (batch.extend(60), batch.release()))
    lease(numbers, lambda batch: batch.release(delay=60))
    assert len(list(numbers.leased())) == MANY
    numbers.cancel(*range(MANY))
    for sort in (numbers.requeue, numbers.discard_dead):
        for chosen in ((), range(MANY)):
            lease(numbers, lambda batch: batch.reject())
            assert len(list(numbers.dead_letters())) == MANY
            assert sort(*chosen) == MANY
    numbers.update(range(MANY))
    assert len(list(numbers.consume(MANY, timeout=0))) == MANY


def put_aside(numbers: Numbers) -> None:
    words: Numbers = RedisSortedSet(numbers._client, "numbers", serializer=TextSerializer())
    for hand_out in (numbers.take, numbers.lease):
        words.update(f"no number {place}" for place in range(MANY))
        assert not hand_out(MANY)
    assert numbers.stats().undecodable == numbers.stats().dead == MANY


def combine(numbers: Numbers) -> None:
    numbers.update(range(MANY))
    everyone = range(1, MANY + 1)
    for conflict in ("keep", "replace", "sum"):
        assert len(numbers.union(everyone, on_conflict=conflict)) == MANY + 1
        assert len(numbers.intersection(everyone, on_conflict=conflict)) == MANY - 1
    assert len(numbers.difference(everyone)) == len(numbers.difference(iter(everyone))) == 1
    assert len(numbers.symmetric_difference(everyone)) == 2
    assert numbers != set(everyone)
    assert not numbers.isdisjoint(everyone)
    assert {*everyone} - numbers == {MANY}
    numbers ^= set(everyone)
    numbers.difference_update(everyone)
    assert len(numbers) == 1


def use_many_slots(numbers: Numbers) -> None:
    numbers.update(range(MANY))
    assert numbers.take(MANY) == numbers.insert(*range(MANY))
    numbers.lease(MANY).release()
    assert numbers.clear()


OPERATIONS: dict[str, tuple[Callable[[Numbers], Any], dict[str, Any]]] = {
    "update": (lambda s: s.update(range(MANY)), {}),
    "update that sums up": (lambda s: s.update(range(MANY), on_conflict="sum"), {}),
    "update with max": (lambda s: s.update(range(MANY), on_conflict="max"), {}),
    "update of what is unique": (lambda s: s.update(range(MANY)), {"unique": "for_good"}),
    "insert": (lambda s: s.insert(*range(MANY)), {}),
    "insert of what is unique": (lambda s: s.insert(*range(MANY)), {"unique": "until_done"}),
    "scores": (lambda s: s.scores(*range(MANY)), {}),
    "all of delivery": (deliver, {}),
    "undecodable": (put_aside, {"serializer": Odd()}),
    "algebra": (combine, {}),
    "clear": (use_many_slots, {}),
    "4,000 operands": (lambda s: s.intersection(*[[1]] * 4_000), {}),
}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_any_operation_on_many_items_sends_no_request_that_is_too_long(
    recorder: RecordingProxy,
    make_numbers: MakeNumbers,
    operation: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.CRITICAL, "redset")
    use, options = OPERATIONS[operation]
    use(make_numbers(scorer=float, **options))
    longest = max(recorder.requests(), key=len)
    assert len(longest) <= MOST_WORDS, longest[:3]


def test_update_of_a_chunk_in_several_commands_is_one_round_trip(
    client: redis.Redis, round_trips: RoundTrips
) -> None:
    numbers: Numbers = RedisSortedSet(client, "numbers")
    with round_trips(client) as trips:
        numbers.update(range(5_000))
        assert trips.value == 1
        numbers.scores(*range(5_000))
        assert trips.value == 2
        numbers.difference_update(range(5_000))
        assert trips.value == 3
    assert not numbers


# Many sets at once


@pytest.mark.parametrize("number", [2, MAX_OPERANDS, 4_000])
def test_any_number_of_iterables_can_be_combined(client: redis.Redis, number: int) -> None:
    numbers: Numbers = RedisSortedSet(client, "numbers", scorer=float)
    numbers.update(range(5))
    others = [range(1, 4), *[[1, 2, 3, 4]] * (number - 1)]
    assert list(numbers.intersection(*others).items()) == [(1, 1.0), (2, 2.0), (3, 3.0)]
    assert not numbers.intersection(*others, [], [7])
    assert list(numbers.union(*others, [7])) == [0, 1, 2, 3, 4, 7]
    assert list(numbers.difference(*others)) == [0]
    total = numbers.union(*others, weights=[1, 2, *[1] * (number - 1)], on_conflict="sum")
    assert dict(total.items()) == {
        0: 0.0,
        4: 4.0 * number,
        **{item: float(item * (number + 2)) for item in (1, 2, 3)},
    }
    lowest = numbers.intersection(*others, on_conflict="min")
    assert list(lowest.items()) == [(1, 1.0), (2, 2.0), (3, 3.0)]
    numbers.intersection_update(*others)
    assert list(numbers) == [1, 2, 3]
    assert not staged(client)


def test_infinities_that_meet_in_many_iterables_are_refused_as_in_two(client: redis.Redis) -> None:
    numbers: Numbers = RedisSortedSet(client, "numbers", scorer=lambda item: item * math.inf)
    others = [[1]] * MAX_OPERANDS
    numbers.add(1)
    for refused in ([*others, [-1], others[0]], [*others, {-1: 0}, [1]]):
        low: Numbers = RedisSortedSet(client, "low")
        low.add(-1, math.inf)
        with pytest.raises(InvalidValueError, match="inf and -inf"):
            numbers.union(*refused, low, on_conflict="sum")
    numbers.clear()
    with pytest.raises(InvalidValueError, match="inf and -inf"):
        numbers.union(*others, weights=[1, -1, *[1] * (len(others) - 1)], on_conflict="sum")
    assert not staged(client)


def test_an_operand_of_another_type_is_named_beside_many_iterables(client: redis.Redis) -> None:
    numbers: Numbers = RedisSortedSet(client, "numbers")
    client.set("text", "text")
    with pytest.raises(KeyTypeError, match="the key 'text'"):
        numbers.intersection(*[[1]] * MAX_OPERANDS, RedisSortedSet(client, "text"))
    assert not staged(client)


def test_more_sets_of_the_server_than_one_step_takes_are_refused_before_anything_is_sent(
    client: redis.Redis, round_trips: RoundTrips
) -> None:
    numbers: Numbers = RedisSortedSet(client, "numbers")
    others = [numbers] * MAX_OPERANDS
    numbers.add(1)
    result = numbers.union(*others[1:])
    assert list(result) == [1]
    with round_trips(client) as trips:
        for combine in (numbers.union, numbers.intersection, numbers.difference):
            with pytest.raises(InvalidValueError, match=r"of 752 sets, .* takes 750; combine"):
                combine([2], *others)
        with pytest.raises(InvalidValueError, match="in several steps"):
            numbers.update(*others)
        assert trips.value == 0


def staged(client: redis.Redis) -> list[Any]:
    found: Any = client.execute_command("KEYS", "*staged*", NEVER_DECODE=True)
    return list(found)


def test_a_combination_that_the_server_refuses_leaves_no_staged_key(client: redis.Redis) -> None:
    numbers: Numbers = RedisSortedSet(client, "numbers")
    numbers.update(range(5))
    client.set("taken", "text")
    for others in ([range(3)], [range(12_000)], [[1]] * 4_000):
        with pytest.raises(TypeError):
            numbers.intersection(RedisSortedSet(client, "taken"), *others)
        assert not staged(client)
        # The server knows the script, and refuses what it writes.
        client.execute_command("ACL", "SETUSER", "default", "-zinterstore", "-zdiffstore")
        try:
            with pytest.raises(Exception, match=r"(?i)permission"):
                numbers.intersection(*others)
        finally:
            client.execute_command("ACL", "SETUSER", "default", "+@all")
        assert not staged(client)
    assert len(numbers) == 5
