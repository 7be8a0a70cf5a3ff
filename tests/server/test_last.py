"""The high end: what has the highest score is handed out with ``last=True``."""

import threading
from typing import Any

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from redset import EmptySetError, RedisSortedSet, ScheduledSet, SortedSet, TimeSortedSet
from redset.serializers import JSONSerializer
from tests.proxy import LossyProxy
from tests.server.conftest import MakeClient, RoundTrips
from tests.server.test_lost_replies import behind, connection_error, loaded
from tests.servers import TestServer

contents = st.dictionaries(st.text("ab", max_size=3), st.sampled_from([-1.5, 0, 1, 7]), max_size=8)
calls = st.lists(
    st.tuples(st.sampled_from(["pop", "take", "lease"]), st.booleans(), st.integers(1, 3))
)


@given(contents, calls)
def test_both_ends_are_those_of_the_sorted_list(
    client: redis.Redis, given: dict[str, float], calls: list[tuple[str, bool, int]]
) -> None:
    texts: SortedSet[str] = SortedSet(client, "texts")
    texts.clear()
    texts.add_scored(given)
    model = sorted(given, key=lambda text: (given[text], text.encode()))
    for call, last, num in calls:
        ordered = model[::-1] if last else list(model)
        assert texts.peek_score(last=last) == (given[ordered[0]] if ordered else None)
        for position, expected in enumerate(ordered[:2]):
            assert texts.peek(position, last=last) == expected
        if call == "pop":
            if not model:
                with pytest.raises(EmptySetError):
                    texts.pop(last=last)
                continue
            taken: list[Any] = [texts.pop(last=last)]
        elif call == "take":
            taken = texts.take(num, last=last)
        else:
            with texts.lease(num, last=last) as lease:
                taken = list(lease)
        assert taken == ordered[: 1 if call == "pop" else num]
        model = [text for text in model if text not in taken]
        assert list(texts) == model


def test_only_what_is_due_is_handed_out(client: redis.Redis) -> None:
    later: ScheduledSet[str] = ScheduledSet(client, "later", clock=lambda: 100.0)
    later.add_scored({"a": 1, "b": 50, "c": 100, "d": 101, "e": 200})
    assert (later.peek(last=True), later.peek(1, last=True)) == ("c", "b")
    assert (later.peek_score(last=True), later.pop(last=True)) == (100.0, "c")
    with later.lease(last=True) as lease:
        assert list(lease) == ["b"]
        lease.release()
    assert later.take(9, last=True) == ["b", "a"]
    assert list(later) == ["d", "e"]
    with pytest.raises(EmptySetError):
        later.peek(last=True)


def test_last_in_first_out(client: redis.Redis) -> None:
    stack: TimeSortedSet[str] = TimeSortedSet(client, "stack")
    stack.update(["1", "2", "3"])
    assert [stack.pop(last=True), stack.pop(), stack.pop(last=True)] == ["3", "1", "2"]


def test_what_comes_back_from_a_lease_of_the_high_end_is_where_it_was(client: redis.Redis) -> None:
    numbers: RedisSortedSet[int] = RedisSortedSet(client, "numbers", scorer=int)
    numbers.update(range(10))
    lease = numbers.lease(3, last=True)
    assert list(lease) == [9, 8, 7]
    lease.release(9)
    lease.ack(8)
    lease.release(7)
    assert numbers.take(3, last=True) == [9, 7, 6]


def test_other_serializers_and_what_cannot_be_read(client: redis.Redis) -> None:
    documents: RedisSortedSet[Any] = RedisSortedSet(client, "d", serializer=JSONSerializer())
    documents.add_scored([({"id": 1}, 1), ({"id": 2}, 2)])
    client.zadd("d", {"{": 9})
    assert documents.pop(last=True) is None
    assert documents.take(5, last=True) == [{"id": 2}, {"id": 1}]
    assert client.zrange("{d}:undecodable", 0, -1, withscores=False) in ([b"{"], ["{"])


def test_it_is_one_round_trip(client: redis.Redis, round_trips: RoundTrips) -> None:
    numbers: RedisSortedSet[int] = RedisSortedSet(client, "numbers", scorer=int)
    numbers.update(range(100))
    with round_trips(client) as count:
        numbers.pop(last=True)
        numbers.take(50, last=True)
        numbers.peek(3, last=True)
        numbers.peek_score(last=True)
        lease = numbers.lease(2, last=True)
    assert count.value == 5
    lease.ack()


def test_more_than_a_step_comes_in_order(client: redis.Redis) -> None:
    numbers: RedisSortedSet[int] = RedisSortedSet(client, "numbers", scorer=int)
    numbers.update(range(5_000))
    assert numbers.take(4_500, last=True) == list(range(4_999, 499, -1))
    assert list(numbers) == list(range(500))


def test_it_waits(client: redis.Redis) -> None:
    numbers: RedisSortedSet[int] = RedisSortedSet(client, "numbers", scorer=int)
    taken: list[Any] = []
    waiting = threading.Thread(target=lambda: taken.append(numbers.pop(timeout=30, last=True)))
    waiting.start()
    other: RedisSortedSet[int] = RedisSortedSet(client, "numbers", scorer=int)
    other.update([1, 2])
    waiting.join()
    assert (taken, list(other)) == ([2], [1])


@pytest.mark.parametrize("retries", [0, 10])
def test_a_lost_reply_loses_and_doubles_nothing(
    client: redis.Redis, server: TestServer, make_client: MakeClient, retries: int
) -> None:
    loaded(client)
    with LossyProxy(*server.ports) as proxy:
        ours: RedisSortedSet[int] = RedisSortedSet(
            behind(proxy, make_client, client, retries), "numbers", scorer=int
        )
        ours.update(range(10))
        ours.take(0)
        proxy.lose("EVAL", 1, 2)
        if retries:
            assert ours.take(3, last=True) == [9, 8, 7]
        else:
            for call in (ours.pop, lambda: ours.take(3, last=True)):
                with pytest.raises(connection_error(client)):
                    call()
            # Each is given what was taken for it, and not what was taken for the other.
            assert ours.take(2, last=True) == [9, 8]
            assert ours.pop() == 0
            assert ours.pop() == 1
        assert proxy.lost == 2
        assert ours.pop(last=True) == (6 if retries else 7)
