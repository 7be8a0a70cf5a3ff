"""The first of several sets while replies get lost and workers die: nothing is lost or doubled."""

import contextlib
import time
from collections import Counter
from typing import Any

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from redset import EmptySetError, FirstOf, RedisSortedSet
from redset._plans import first
from tests.processes import Mortals
from tests.proxy import LossyProxy
from tests.server.conftest import (
    TIMEOUT_SECONDS,
    MakeClient,
    companion_of,
    load_scripts,
    until,
)
from tests.server.test_faults import FOREVER, running, stubborn
from tests.server.test_idempotency import Connection, Network, attempt, begin, repeated
from tests.server.test_lost_replies import SCRIPT, behind, connection_error
from tests.server.test_rename import Renaming

pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")

NAMES = ("urgent", "{urgent}normal", "{urgent}low")

Numbers = RedisSortedSet[int]


def numbers(client: Any) -> list[Numbers]:
    return [RedisSortedSet(client, name, scorer=float) for name in NAMES]


@pytest.fixture
def again(client: redis.Redis, proxy: LossyProxy, make_client: MakeClient) -> redis.Redis:
    """A client that repeats commands by itself, as redis-py does by default."""
    load_scripts(client)
    return behind(proxy, make_client, client, retries=10)


@pytest.fixture
def once(client: redis.Redis, proxy: LossyProxy, make_client: MakeClient) -> redis.Redis:
    """A client that never repeats a command."""
    load_scripts(client)
    return behind(proxy, make_client, client, retries=0)


def left(client: redis.Redis) -> list[int]:
    return [number for each in numbers(client) for number in each]


# Lost replies


@pytest.mark.parametrize("losses", [1, 2, 5])
def test_pop_gives_the_item_whose_reply_was_lost(
    again: redis.Redis, proxy: LossyProxy, losses: int
) -> None:
    _, normal, low = sets = numbers(again)
    normal.update([1, 2])
    low.update([3])
    jobs = FirstOf(*sets)
    proxy.lose(SCRIPT, *range(1, losses + 1))
    assert [jobs.pop()[1] for _ in range(3)] == [1, 2, 3]
    assert proxy.lost == losses


def test_a_repeated_request_is_not_given_what_came_to_a_more_urgent_set(
    client: redis.Redis, again: redis.Redis, proxy: LossyProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    urgent, _, low = sets = numbers(again)
    low.update([3, 4])
    jobs = FirstOf(*sets)
    fault, requests = LossyProxy._fault, []

    def add_before_the_second(proxy: LossyProxy, request: bytes) -> Any:
        if b"EVALSHA" in request:
            requests.append(request)
            if len(requests) == 2:
                numbers(client)[0].add(1)
        return fault(proxy, request)

    monkeypatch.setattr(LossyProxy, "_fault", add_before_the_second)
    proxy.lose(SCRIPT, 1)
    assert [jobs.pop()[1] for _ in range(3)] == [3, 1, 4]
    assert requests[0] == requests[1]
    assert not list(urgent)


def test_one_request_reclaims_so_many_items_of_all_sets_together(client: redis.Redis) -> None:
    load_scripts(client)
    sets = numbers(client)
    for each in sets:
        each.update(range(200))
        for _ in range(200):
            each.lease(1, max_deliveries=1)
        leased = companion_of(each.name, "leased")
        on_lease: Any = client.zrange(leased, 0, -1)
        client.zadd(leased, dict.fromkeys(on_lease, 1))
    client.config_resetstat()
    with pytest.raises(EmptySetError):
        FirstOf(*sets).pop()
    stats: Any = client.info("commandstats")
    assert stats["cmdstat_evalsha"]["calls"] == 3
    assert [each.stats().dead for each in sets] == [200] * 3


def test_if_what_a_failed_call_was_given_is_on_lease_elsewhere_the_more_urgent_comes_first(
    client: redis.Redis, once: redis.Redis, proxy: LossyProxy
) -> None:
    sets = numbers(once)
    urgent, normal, _ = numbers(client)
    normal.update([3, 4])
    jobs = FirstOf(*sets)
    proxy.lose(SCRIPT, 1)
    with pytest.raises(connection_error(client)):
        jobs.lease(1, ttl=0.02)
    time.sleep(0.05)
    other = normal.lease(1)
    assert list(other) == [3]
    urgent.add(1)
    given = [list(jobs.lease(1)) for _ in range(3)]
    assert given == [[1], [4], []]
    other.ack()
    assert normal.stats().leased == urgent.stats().leased == 1


def test_the_next_call_is_given_what_a_failed_one_was_given_before_what_is_more_urgent(
    client: redis.Redis, once: redis.Redis, proxy: LossyProxy
) -> None:
    urgent, normal, low = sets = numbers(once)
    low.update([3, 4, 5, 6, 7])
    jobs = FirstOf(*sets)
    lost = connection_error(client)
    proxy.lose(SCRIPT, 1)
    with pytest.raises(lost):
        jobs.pop()
    urgent.add(1)
    # It is kept for five minutes, and would be lost if the most urgent set always had something.
    assert [jobs.pop()[1], jobs.pop()[1]] == [3, 1]
    proxy.lose(SCRIPT, 1)
    with pytest.raises(lost):
        jobs.take(2)
    normal.add(2)
    assert [item for _, item in jobs.take(5)] == [4, 5]
    proxy.lose(SCRIPT, 1)
    with pytest.raises(lost):
        jobs.lease(1, ttl=60)
    urgent.add(1)
    with jobs.lease(1, ttl=60) as lease:
        assert (lease.source.name, list(lease)) == ("{urgent}normal", [2])
    assert jobs.pop()[1] == 1
    proxy.lose(SCRIPT, 1)
    with pytest.raises(lost):
        jobs.pop()
    urgent.add(1)
    # The set itself may be asked, too.
    assert low.pop() == 6
    assert left(client) == [1, 7]


def test_what_two_failed_calls_were_given_comes_with_the_next_two(
    client: redis.Redis, once: redis.Redis, proxy: LossyProxy
) -> None:
    urgent, _, low = sets = numbers(once)
    low.update([3, 4])
    jobs = FirstOf(*sets)
    proxy.lose(SCRIPT, 1)
    with pytest.raises(connection_error(client)):
        jobs.pop()
    # A call of the first set alone takes up the failed call there; the other set's stays.
    with pytest.raises(KeyError):
        urgent.pop()
    urgent.update([1, 2])
    assert [jobs.pop()[1] for _ in range(4)] == [3, 1, 2, 4]


def test_what_a_later_set_gave_a_failed_call_is_kept_while_others_call(
    client: redis.Redis, once: redis.Redis, proxy: LossyProxy
) -> None:
    _, normal, low = sets = numbers(once)
    low.add(3)
    # Another call of the last set, which ends after these, and whose slot is the next to be idle.
    with low._runner.config.requests.take.acquire():
        for jobs in (FirstOf(*sets), FirstOf(*sets[:2])):
            proxy.lose(SCRIPT, 1)
            with pytest.raises(connection_error(client)):
                jobs.pop()
            normal.add(2)
        assert FirstOf(*sets).pop()[1] == 2
    assert low.pop() == 3


@pytest.mark.parametrize("call", ["take", "lease"])
def test_what_was_given_while_a_set_was_renamed_is_given_again(
    client: redis.Redis, call: str
) -> None:
    urgent, *_ = sets = numbers(client)
    urgent.update([1, 2, 3])
    jobs = FirstOf(*sets)
    urgent._runner.connection = Renaming(urgent, "{urgent}new")
    with pytest.raises(ConnectionError):
        getattr(jobs, call)(2)
    numbers(client)[0].add(0)  # under the old name: another set by now
    given = [item for _, item in jobs.take(2)] if call == "take" else list(jobs.lease(2))
    assert (urgent.name, given) == ("{urgent}new", [1, 2])


@pytest.mark.parametrize("lost", [1, 2, 3])
def test_many_items_of_a_failed_call_come_with_the_next_ones(
    client: redis.Redis, once: redis.Redis, proxy: LossyProxy, lost: int
) -> None:
    *_, low = sets = numbers(once)
    low.update(range(2_500))
    jobs = FirstOf(*sets)
    proxy.lose(SCRIPT, lost)
    with pytest.raises(connection_error(client)):
        jobs.take(2_500)
    got = []
    while part := jobs.take(2_500):
        got += [number for _, number in part]
    assert sorted(got) == list(range(2_500))


def test_a_request_that_comes_too_late_takes_from_no_set(
    client: redis.Redis, once: redis.Redis, proxy: LossyProxy, make_client: MakeClient
) -> None:
    once.connection_pool.connection_kwargs["socket_timeout"] = 0.2
    sets = numbers(once)
    there = numbers(client)
    there[0].add(1)
    there[1].update([2, 3])
    jobs = FirstOf(*sets)
    library: Any = __import__(type(client).__module__.partition(".")[0])
    proxy.delay(SCRIPT)
    with pytest.raises(library.exceptions.TimeoutError):
        jobs.pop()
    assert [jobs.pop()[1]] == [1]
    # The first set knows of a later request; the others never heard of the call.
    proxy.deliver()
    assert left(client) == [2, 3]


@given(
    calls=st.lists(st.integers(0, 3), max_size=12), losses=st.sets(st.integers(1, 20), max_size=8)
)
def test_whatever_calls_fail_each_item_is_given_once_or_is_still_there(
    client: redis.Redis, once: redis.Redis, proxy: LossyProxy, calls: list[int], losses: set[int]
) -> None:
    sets = numbers(once)
    for place, each in enumerate(sets):
        each.update(range(10 * place, 10 * place + 4))
    jobs = FirstOf(*sets)
    proxy.lose(SCRIPT, *losses)
    given_out: list[int | None] = []
    for num in calls:
        with contextlib.suppress(KeyError, connection_error(client)):
            given_out += [item for _, item in (jobs.take(num) if num else [jobs.pop()])]
    proxy.lose(SCRIPT)
    # One call more than failed: what they were given comes first.
    for _ in range(len(calls) + 1):
        given_out += [item for _, item in jobs.take(3)]
    for each in sets:
        given_out += each.take(9)
    assert Counter(given_out) == Counter(10 * place + n for place in range(3) for n in range(4))
    for each in sets:
        each.clear()


@given(losses=st.sets(st.integers(1, 30), max_size=10), batch=st.integers(1, 3))
def test_a_loop_that_loses_replies_is_given_each_item_and_acknowledges_it(
    client: redis.Redis, again: redis.Redis, proxy: LossyProxy, losses: set[int], batch: int
) -> None:
    urgent, normal, low = sets = numbers(again)
    low.update(range(20, 24))
    normal.update(range(10, 14))
    proxy.lose(SCRIPT, *losses)
    done = []
    for source, number in FirstOf(*sets).consume(batch, timeout=0):
        done.append(number)
        assert source is sets[number // 10]
        if number >= 10:
            urgent.add(number % 10 + number // 20 * 4)
    assert sorted(done) == [*range(8), *range(10, 14), *range(20, 24)]
    assert [sum(each.stats()) for each in sets] == [0, 0, 0]
    for each in sets:
        each.clear()


# Requests that are lost, delayed, duplicated and reordered


@given(data=st.data())
def test_each_item_is_handed_out_once_whatever_happens_to_requests(
    client: redis.Redis, data: st.DataObject
) -> None:
    begin(client)
    network = Network(data.draw)
    sets = numbers(client)
    for each in sets:
        each._runner.connection = Connection(client, network)
    everyone = [FirstOf(*sets), FirstOf(*sets[1:]), FirstOf(sets[0], sets[2])]
    got: Counter[int] = Counter()
    added = 0

    def take() -> None:
        consumer = data.draw(st.sampled_from(everyone))
        got.update(number for _, number in consumer.take(data.draw(st.integers(1, 3))))

    def take_from_one() -> None:
        got.update(data.draw(st.sampled_from(sets)).take(2))

    def take_back() -> None:
        consumer = data.draw(st.sampled_from(everyone))
        if all(each._runner.config.requests.take._failed for each in consumer.sets):
            repeated(lambda: consumer._runner.run(first.take_back, last=False))

    for _ in range(data.draw(st.integers(1, 14))):
        what = data.draw(st.sampled_from(["add", "add", "take", "take", "take one", "take back"]))
        if what == "add":
            data.draw(st.sampled_from(numbers(client))).add(added)
            added += 1
        else:
            attempt({"take": take, "take one": take_from_one, "take back": take_back}[what])
    network.is_calm = True
    while any(each._runner.config.requests.take._failed for each in sets):
        got.update(number for _, number in everyone[0].take(3))
    network.deliver_all()
    got.update(number for each in numbers(client) for number in each)
    assert got == Counter(range(added))


@given(data=st.data())
def test_what_was_leased_is_acknowledged_once_whatever_happens_to_requests(
    client: redis.Redis, data: st.DataObject
) -> None:
    begin(client)
    network = Network(data.draw)
    sets = numbers(client)
    for place, each in enumerate(sets):
        each.update(range(10 * place, 10 * place + 3))
        each._runner.connection = Connection(client, network)
    jobs = FirstOf(*sets)
    done: Counter[int] = Counter()
    work = jobs.consume(data.draw(st.integers(1, 3)), 3_600.0, timeout=0, renew=False)
    for _ in range(data.draw(st.integers(1, 20))):
        try:
            source, number = next(work)
        except (StopIteration, redis.ConnectionError):
            work = jobs.consume(data.draw(st.integers(1, 3)), 3_600.0, timeout=0, renew=False)
            continue
        assert source is sets[number // 10]
        done[number] += 1
    network.is_calm = True
    network.deliver_all()
    work.close()
    everything = {10 * place + number for place in range(3) for number in range(3)}
    held = {entry.item for each in numbers(client) for entry in each.leased()}
    assert set(left(client)) | held | done.keys() == everything
    assert not set(left(client)) & held


# Killed workers


def hold_two(sets: list[Numbers], log: Any) -> None:
    jobs = FirstOf(*sets)
    held = [jobs.lease(1, ttl=0.5), jobs.lease(2, ttl=0.5)]
    assert [lease.source.name for lease in held] == ["urgent", "{urgent}low"]
    log.set("holding", 1)
    time.sleep(FOREVER)


def test_what_a_killed_worker_held_of_two_sets_comes_to_another(
    client: redis.Redis, make_client: MakeClient
) -> None:
    urgent, _, low = sets = numbers(client)
    urgent.add(1)
    low.update([21, 22])
    with running(hold_two, sets, client):
        until(lambda: client.get("holding"))
    jobs = FirstOf(*numbers(make_client()))
    got = []
    work = jobs.consume(5, timeout=TIMEOUT_SECONDS)
    for source, number in work:
        got.append((source.name, number, work.deliveries))
        if len(got) == 3:
            break
    # It held 1 alone, and may have died of it; of which of the others, nobody knows.
    assert sorted(got) == [("urgent", 1, 2), ("{urgent}low", 21, 1), ("{urgent}low", 22, 1)]


def work_off(which: int, sets: list[Numbers], log: Any) -> None:
    jobs = FirstOf(*sets)
    while any(any(each.stats()) for each in sets):
        for source, number in jobs.consume(3, ttl=1.0, timeout=0.5):
            with log.pipeline() as pipeline:
                pipeline.hincrby("done", f"{source.name} {number}", 1).sadd("busy", which).execute()
            time.sleep(0.005)


def test_each_item_is_done_while_workers_of_several_sets_are_killed(
    client: redis.Redis, make_client: MakeClient
) -> None:
    total, kills = 600, 0
    log: Any = stubborn(client, make_client)
    sets = numbers(log)
    for place, each in enumerate(sets):
        each.update(range(place, total, 3))
    with Mortals("fork", 4, work_off, sets, log) as workers:
        end = time.monotonic() + 2 * TIMEOUT_SECONDS
        while any(any(each.stats()) for each in sets):
            assert time.monotonic() < end
            time.sleep(0.3)
            busy = workers.alive.keys() & map(int, log.smembers("busy"))
            if busy and kills < 5:
                workers.kill(min(busy))
                kills += 1
        assert set(workers.join()) == {0}
    done = {key if isinstance(key, str) else key.decode() for key in log.hgetall("done")}
    assert done == {f"{NAMES[number % 3]} {number}" for number in range(total)}
    assert kills > 0
