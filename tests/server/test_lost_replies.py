"""The network loses replies, the server its scripts: no item is lost and none is given twice."""

import json
import time
from typing import Any

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from redset import FirstOf, RedisSortedSet, ScheduledSet, SortedSet
from tests.proxy import LossyProxy
from tests.server.conftest import MakeClient, errors_of, memory_is_short, retry_options
from tests.servers import TestServer

SCRIPT = "EVAL"  # and EVALSHA: pop and take are scripts


@pytest.fixture
def repeating(client: redis.Redis, proxy: LossyProxy, make_client: MakeClient) -> redis.Redis:
    """A client that repeats commands by itself, as redis-py does by default."""
    return behind(proxy, make_client, client, retries=10)


@pytest.fixture
def once(client: redis.Redis, proxy: LossyProxy, make_client: MakeClient) -> redis.Redis:
    """A client that never repeats a command."""
    return behind(proxy, make_client, client, retries=0)


def behind(
    proxy: LossyProxy, make_client: MakeClient, client: redis.Redis, retries: int
) -> redis.Redis:
    return make_client(host="127.0.0.1", port=proxy.port, **retry_options(client, retries))


def connection_error(client: redis.Redis) -> type[Exception]:
    return errors_of(client)[0]


def numbers(client: redis.Redis, total: int, name: str = "numbers") -> RedisSortedSet[int]:
    found: RedisSortedSet[int] = RedisSortedSet(client, name, scorer=int)
    found.update(range(total))
    return found


def loaded(client: redis.Redis) -> None:
    """Bring the scripts to the server, so that each call is one command."""
    other: RedisSortedSet[int] = RedisSortedSet(client, "{numbers}other")
    other.insert(1)
    other.take(1)
    other.clear()


def test_a_plain_zpopmin_that_the_client_repeats_loses_an_item(
    client: redis.Redis, repeating: redis.Redis, proxy: LossyProxy
) -> None:
    client.zadd("plain", {"first": 1, "second": 2})
    proxy.lose("ZPOPMIN", 1)
    assert "second" in str(repeating.zpopmin("plain"))
    assert proxy.lost == 1
    assert client.zcard("plain") == 0


@pytest.mark.parametrize("losses", [1, 2, 5])
def test_pop_gives_the_item_whose_reply_was_lost(
    client: redis.Redis, repeating: redis.Redis, proxy: LossyProxy, losses: int
) -> None:
    jobs = numbers(repeating, 4)
    loaded(client)
    proxy.lose(SCRIPT, *range(1, losses + 1))
    assert [jobs.pop() for _ in range(4)] == [0, 1, 2, 3]
    assert proxy.lost == losses


def test_take_gives_the_items_whose_reply_was_lost(
    client: redis.Redis, repeating: redis.Redis, proxy: LossyProxy
) -> None:
    jobs = numbers(repeating, 30)
    loaded(client)
    proxy.lose(SCRIPT, 1, 3)
    assert [jobs.take(10) for _ in range(4)] == [
        list(range(10)),
        list(range(10, 20)),
        list(range(20, 30)),
        [],
    ]
    assert proxy.lost == 2


def test_ten_thousand_items_taken_at_once_survive_a_lost_reply(
    client: redis.Redis, repeating: redis.Redis, proxy: LossyProxy
) -> None:
    jobs = numbers(repeating, 10_000)
    loaded(client)
    proxy.lose(SCRIPT, 1)
    assert jobs.take(10_000) == list(range(10_000))
    assert proxy.lost == 1


def test_a_scheduled_set_gives_the_due_items_whose_reply_was_lost(
    client: redis.Redis, repeating: redis.Redis, proxy: LossyProxy
) -> None:
    jobs: ScheduledSet[str] = ScheduledSet(repeating, "jobs", scorer=float, clock=lambda: 4.0)
    jobs.update(["1", "2", "3", "9"])
    loaded(client)
    proxy.lose(SCRIPT, 1, 3)
    assert [jobs.pop(), jobs.take(5)] == ["1", ["2", "3"]]
    assert proxy.lost == 2
    assert list(jobs) == ["9"]


@given(
    calls=st.lists(st.integers(0, 4), max_size=12), losses=st.sets(st.integers(1, 20), max_size=8)
)
def test_whatever_replies_are_lost_calls_give_what_they_would_have_given(
    client: redis.Redis,
    repeating: redis.Redis,
    proxy: LossyProxy,
    calls: list[int],
    losses: set[int],
) -> None:
    jobs = numbers(repeating, 20)
    loaded(client)
    proxy.lose(SCRIPT, *losses)
    given_out: list[Any] = []
    for num in calls:
        given_out += jobs.take(num) if num else [jobs.pop()] if jobs else []
    assert given_out + list(jobs) == list(range(20))
    jobs.clear()


@given(
    calls=st.lists(st.integers(0, 4), max_size=12), losses=st.sets(st.integers(1, 20), max_size=8)
)
def test_whatever_calls_fail_each_item_is_given_once_or_is_still_there(
    client: redis.Redis, once: redis.Redis, proxy: LossyProxy, calls: list[int], losses: set[int]
) -> None:
    jobs = numbers(once, 20)
    loaded(client)
    proxy.lose(SCRIPT, *losses)
    given_out: list[Any] = []
    for num in calls:
        try:
            given_out += jobs.take(num) if num else [jobs.pop()] if jobs else []
        except connection_error(client):
            continue
    proxy.lose(SCRIPT)
    given_out += jobs.take(1)  # one that succeeds: what a failed call took is back
    assert sorted(given_out + list(jobs)) == list(range(20))
    jobs.clear()


def test_without_retries_pop_raises_and_the_next_pop_gives_the_same_item(
    client: redis.Redis, once: redis.Redis, proxy: LossyProxy
) -> None:
    jobs = numbers(once, 3)
    loaded(client)
    proxy.lose(SCRIPT, 1, 2)
    for _ in range(2):
        with pytest.raises(connection_error(client)):
            jobs.pop()
    assert [jobs.pop() for _ in range(3)] == [0, 1, 2]


def test_without_retries_take_raises_and_the_next_take_gives_the_same_items(
    client: redis.Redis, once: redis.Redis, proxy: LossyProxy
) -> None:
    jobs = numbers(once, 15)
    loaded(client)
    proxy.lose(SCRIPT, 1)
    with pytest.raises(connection_error(client)):
        jobs.take(10)
    assert [jobs.take(10), jobs.take(10)] == [list(range(10)), list(range(10, 15))]


def test_pop_after_a_lost_take_gives_one_of_its_items_and_puts_the_others_back(
    client: redis.Redis, once: redis.Redis, proxy: LossyProxy
) -> None:
    jobs = numbers(once, 12)
    jobs.add(5, score=1700000000.123456)
    loaded(client)
    before = dict(jobs.items())
    proxy.lose(SCRIPT, 1)
    with pytest.raises(connection_error(client)):
        jobs.take(10)
    popped = jobs.pop()
    assert popped == 0
    del before[popped]
    assert dict(jobs.items()) == before


def test_an_item_added_again_meanwhile_keeps_its_new_score_when_a_lost_take_is_put_back(
    client: redis.Redis, once: redis.Redis, proxy: LossyProxy
) -> None:
    jobs = numbers(once, 3)
    loaded(client)
    proxy.lose(SCRIPT, 1)
    with pytest.raises(connection_error(client)):
        jobs.take(3)
    jobs.add(2, score=-7)
    assert jobs.pop() == 0
    assert list(jobs.items()) == [(2, -7.0), (1, 1.0)]


def test_another_handle_is_not_given_what_a_lost_reply_held(
    client: redis.Redis, once: redis.Redis, proxy: LossyProxy
) -> None:
    jobs, others = numbers(once, 2), numbers(client, 2)
    loaded(client)
    proxy.lose(SCRIPT, 1)
    with pytest.raises(connection_error(client)):
        jobs.pop()
    assert [others.pop(), others.take(5), jobs.pop(), jobs.take(5)] == [1, [], 0, []]


def test_insert_tells_of_a_new_item_whose_reply_was_lost(
    client: redis.Redis, repeating: redis.Redis, proxy: LossyProxy
) -> None:
    seen = numbers(repeating, 3)
    loaded(client)
    proxy.lose(SCRIPT, 1, 2)
    assert [seen.insert(2, 3, 4, 4), seen.insert(4, 5)] == [[3, 4], [5]]
    assert proxy.lost == 2


def test_without_retries_the_next_insert_tells_of_the_items_that_a_failed_one_added(
    client: redis.Redis, once: redis.Redis, proxy: LossyProxy
) -> None:
    seen = numbers(once, 3)
    loaded(client)
    proxy.lose(SCRIPT, 1)
    with pytest.raises(connection_error(client)):
        seen.insert(2, 3, 4)
    assert seen.insert(1, 4, 5, 3) == [4, 5, 3]
    assert seen.insert(3, 4, 5) == []


AGAIN: dict[str, tuple[Any, Any, set[int]]] = {
    "pop": (lambda jobs: jobs.pop(), 0, {1, 2, 3, 4}),
    "pop last": (lambda jobs: jobs.pop(last=True), 4, {0, 1, 2, 3}),
    "take": (lambda jobs: jobs.take(3), [0, 1, 2], {3, 4}),
    "lease": (lambda jobs: list(jobs.lease(2)), [0, 1], {2, 3, 4}),
    "remove_at": (lambda jobs: jobs.remove_at(slice(2)), 2, {2, 3, 4}),
    "first of": (lambda jobs: FirstOf(jobs).take(2), [0, 1], {2, 3, 4}),
}


@pytest.mark.parametrize("call", AGAIN)
def test_on_a_full_server_a_failed_call_is_repeated_all_the_same(
    client: redis.Redis, once: redis.Redis, proxy: LossyProxy, call: str
) -> None:
    again, reply, rest = AGAIN[call]
    jobs = numbers(once, 5)
    again(jobs)
    jobs.clear()
    jobs.update(range(5))
    proxy.lose(SCRIPT, 1)
    with pytest.raises(connection_error(client)):
        again(jobs)
    with memory_is_short(client):
        given = again(jobs)
        if call == "first of":
            given = [item for _, item in given]
        assert given == reply
    assert set(jobs) == rest


def test_on_a_full_server_what_a_failed_call_took_goes_back(
    client: redis.Redis, once: redis.Redis, proxy: LossyProxy
) -> None:
    jobs = numbers(once, 5)
    loaded(client)
    proxy.lose(SCRIPT, 1)
    with pytest.raises(connection_error(client)):
        jobs.take(3)
    with memory_is_short(client):
        assert jobs.take(1) == [0]
    assert set(jobs) == {1, 2, 3, 4}


@pytest.mark.parametrize("lost", [1, 2, 3])
@pytest.mark.parametrize("turned", [False, True])
def test_an_insert_in_steps_is_repeated_whole_in_whatever_order_its_items_come(
    client: redis.Redis, once: redis.Redis, proxy: LossyProxy, lost: int, turned: bool
) -> None:
    seen = numbers(once, 0)
    loaded(client)
    proxy.lose(SCRIPT, lost)
    with pytest.raises(connection_error(client)):
        seen.insert(*range(2_000))
    taken = numbers(client, 0).take(2_000)
    assert len(taken) == {1: 750, 2: 1_500, 3: 2_000}[lost]
    again = list(range(2_000))[:: -1 if turned else 1]
    assert seen.insert(*again) == again
    assert sorted([*taken, *seen]) == list(range(2_000))
    assert seen.insert(*taken[:5]) == taken[:5]


def test_failed_inserts_are_repeated_each_with_its_items(
    client: redis.Redis, once: redis.Redis, proxy: LossyProxy
) -> None:
    seen = numbers(once, 0)
    loaded(client)
    for page in [(1, 2), (3, 4, 5), (6,)]:
        proxy.lose(SCRIPT, 1)
        with pytest.raises(connection_error(client)):
            seen.insert(*page)
    assert seen.insert(4) == [4]
    assert seen.insert(9, 6, 3, 8) == [9, 6, 3, 8]
    assert [seen.insert(3, 4), seen.insert(2, 5, 1), seen.insert(*range(1, 7))] == [
        [],
        [2, 5, 1],
        [],
    ]


def test_an_item_that_is_given_twice_is_inserted_once_though_its_reply_is_lost(
    client: redis.Redis, once: redis.Redis, proxy: LossyProxy
) -> None:
    seen, others = numbers(once, 0), numbers(client, 0)
    loaded(client)
    proxy.lose(SCRIPT, 1)
    with pytest.raises(connection_error(client)):
        seen.insert(1, 1)
    assert others.pop() == 1
    assert [seen.insert(1, 1), len(seen)] == [[1], 0]


@pytest.mark.parametrize("lost", [1, 2, 3])
def test_take_and_lease_in_steps_are_repeated_in_the_order_of_the_steps(
    client: redis.Redis, once: redis.Redis, proxy: LossyProxy, lost: int
) -> None:
    jobs = numbers(once, 9_000)
    loaded(client)
    jobs.lease(1).ack()
    proxy.lose(SCRIPT, lost)
    with pytest.raises(connection_error(client)):
        jobs.take(2_500)
    assert jobs.take(2_500) == list(range(1, 2_501))
    proxy.lose(SCRIPT, lost)
    with pytest.raises(connection_error(client)):
        jobs.lease(1_300)
    assert list(jobs.lease(1_300)) == list(range(2_501, 3_801))
    assert jobs.take(9_000) == list(range(3_801, 9_000))


def test_a_failed_insert_and_a_failed_take_are_told_apart(
    client: redis.Redis, once: redis.Redis, proxy: LossyProxy
) -> None:
    jobs = numbers(once, 3)
    loaded(client)
    proxy.lose(SCRIPT, 1, 2)
    with pytest.raises(connection_error(client)):
        jobs.insert(7, 8)
    with pytest.raises(connection_error(client)):
        jobs.take(2)
    assert [jobs.insert(7, 9), jobs.take(5), jobs.take(5)] == [[7, 9], [0, 1], [2, 7, 8, 9]]


@pytest.mark.parametrize("retried", [True, False])
@pytest.mark.parametrize("step", [2, -3])
def test_a_slice_with_a_step_is_removed_once(
    client: redis.Redis,
    once: redis.Redis,
    repeating: redis.Redis,
    proxy: LossyProxy,
    retried: bool,
    step: int,
) -> None:
    jobs = numbers(repeating if retried else once, 10)
    loaded(client)
    numbers(client, 3, "{numbers}other").remove_at(slice(None, None, 2))
    proxy.lose(SCRIPT, 1)
    if not retried:
        with pytest.raises(connection_error(client)):
            jobs.remove_at(slice(None, None, step))
    left = list(range(10))
    del left[::step]
    assert jobs.remove_at(slice(None, None, step)) == 10 - len(left)
    assert (proxy.lost, list(jobs)) == (1, left)


def test_an_extend_that_is_repeated_after_an_error_counts_from_then_on(
    client: redis.Redis, once: redis.Redis, proxy: LossyProxy
) -> None:
    jobs = numbers(once, 1)
    loaded(client)
    batch = jobs.lease(1, ttl=60)
    batch.extend(60)
    proxy.lose(SCRIPT, 1)
    with pytest.raises(connection_error(client)):
        batch.extend(60)
    [before] = jobs.leased()
    time.sleep(0.2)
    batch.extend(60)
    [after] = jobs.leased()
    assert after.expires >= before.expires + 0.19
    assert batch.deadline == pytest.approx(after.expires, abs=0.01)


def test_a_sum_whose_reply_is_lost_is_added_once(
    client: redis.Redis, repeating: redis.Redis, proxy: LossyProxy
) -> None:
    loaded(client)
    jobs: RedisSortedSet[int] = RedisSortedSet(repeating, "jobs")
    jobs.add_scored({0: 1}, on_conflict="sum")
    proxy.lose(SCRIPT, 1, 2)
    jobs.add_scored({0: 2, 1: 5}, on_conflict="sum")
    assert proxy.lost == 2
    assert dict(jobs.items()) == {0: 3.0, 1: 5.0}


def test_ten_thousand_items_inserted_at_once_survive_a_lost_reply(
    client: redis.Redis, repeating: redis.Redis, proxy: LossyProxy
) -> None:
    seen = numbers(repeating, 0)
    loaded(client)
    proxy.lose(SCRIPT, 1)
    assert seen.insert(*range(10_000)) == list(range(10_000))
    assert proxy.lost == 1


def test_scripts_that_the_server_forgot_are_sent_again(client: redis.Redis) -> None:
    jobs = numbers(client, 600)
    for _ in range(2):
        assert jobs.insert(1, -1) == [-1]
        assert jobs.pop() == -1
        assert list(jobs) == list(range(600))
        client.script_flush()
    assert jobs.take(2) == [0, 1]
    client.script_flush()
    assert jobs.take(2) == [2, 3]


def test_a_script_sent_again_survives_a_lost_reply(
    client: redis.Redis, repeating: redis.Redis, proxy: LossyProxy
) -> None:
    jobs = numbers(repeating, 4)
    client.script_flush()
    proxy.lose(SCRIPT, 2)  # the first is refused, as the server lacks the script
    assert [jobs.pop() for _ in range(4)] == [0, 1, 2, 3]
    assert proxy.lost == 1


def test_a_server_that_was_restarted_is_used_again(
    server: TestServer, client: redis.Redis, make_client: MakeClient
) -> None:
    with TestServer.start(server.kind, "--appendonly", "yes", "--appendfsync", "always") as own:
        jobs = numbers(make_client(unix_socket_path=own.unix_socket), 600)
        assert jobs.pop() == 0
        own.restart()
        reading = iter(jobs)
        assert jobs.pop() == 1
        own.restart()
        assert list(reading) == list(range(2, 600))
        assert jobs.insert(2, 1) == [1]


def companions(client: redis.Redis) -> list[Any]:
    return [key for key in client.keys("*") if key not in {"jobs", b"jobs"}]


def test_what_was_handed_out_is_kept_for_five_minutes_in_one_key_a_handle(
    client: redis.Redis,
) -> None:
    jobs = numbers(client, 20, "jobs")
    for _ in range(3):
        jobs.pop()
        jobs.take(2)
        [given_out] = companions(client)
        assert 290_000 < client.pttl(given_out) <= 300_000


def test_a_call_that_finds_nothing_leaves_a_key_that_expires(client: redis.Redis) -> None:
    jobs = numbers(client, 0, "jobs")
    assert jobs.take(1) == []
    # A copy of the request that comes later must find that it was answered.
    [key] = client.keys("*")
    assert 0 < client.pttl(key) <= 300_000


def test_clear_deletes_the_companion_keys(client: redis.Redis) -> None:
    jobs: SortedSet[Any] = SortedSet(client, "jobs", serializer=json)
    client.zadd("jobs", {"{": 1, "1": 2, "2": 3})
    assert [jobs.pop(), jobs.pop()] == [None, 1]
    assert len(companions(client)) == 2  # what was given last, and what could not be read
    assert jobs.clear() is True
    assert client.keys("*") == []
