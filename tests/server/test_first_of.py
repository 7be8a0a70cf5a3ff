"""The first of several sets that has something: priorities, waits, and whose promises hold."""

import copy
import dataclasses
import logging
import pickle
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

import pytest
import redis

import redset
import redset._transport.subscription
from redset import FirstOf, RedisSortedSet, ScheduledSet, SortedSet
from redset.exceptions import EmptySetError, InvalidTypeError, InvalidValueError
from tests.server.conftest import MakeClient, RoundTrips, companion_of
from tests.server.test_waiting import WAIT, Call

# On a cluster they share a slot.
NAMES = ("urgent", "{urgent}normal", "{urgent}low")
ALL = ", ".join(NAMES)

Strings = RedisSortedSet[str]
Sets = tuple[Strings, ...]


def strings(client: redis.Redis, **options: Any) -> Sets:
    return tuple(RedisSortedSet(client, name, **options) for name in NAMES)


@pytest.fixture
def sets(client: redis.Redis) -> Sets:
    return strings(client)


@pytest.fixture
def jobs(sets: Sets) -> FirstOf[str]:
    return FirstOf(*sets)


@pytest.fixture(autouse=True)
def no_look_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """No consumer looks by itself: what it finds in time, it was told of."""
    monkeypatch.setattr(redset._transport.subscription, "RECHECK_INTERVAL", 10 * WAIT)


def named(given: list[Any]) -> list[tuple[Any, ...]]:
    return [(source.name, *rest) for source, *rest in given]


def watchers(client: redis.Redis, number: int) -> int:
    """How many connections wait to be told of changes of so many sets."""
    listing: Any = client.execute_command("CLIENT", "LIST", NEVER_DECODE=True)
    text = listing if isinstance(listing, bytes) else repr(listing).encode()
    return text.count(b"sub=%d " % (number + 1)) or text.count(b"'sub': '%d'" % (number + 1))


def wait_for_watchers(client: redis.Redis, number: int, of: int = len(NAMES)) -> None:
    deadline = time.monotonic() + WAIT
    while (found := watchers(client, of)) != number:
        assert time.monotonic() < deadline, found
        time.sleep(0.005)


# What comes first


def test_pop_gives_an_item_of_the_first_set_that_has_one(sets: Sets, jobs: FirstOf[str]) -> None:
    urgent, normal, low = sets
    low.update(["l1", "l2"])
    normal.add("n1")
    source, item = jobs.pop()
    assert (source is normal, item) == (True, "n1")
    assert named([jobs.pop()]) == [("{urgent}low", "l1")]
    urgent.add("u1")
    assert named([jobs.pop(), jobs.pop()]) == [("urgent", "u1"), ("{urgent}low", "l2")]
    with pytest.raises(EmptySetError, match=rf"'{ALL}': pop from sets"):
        jobs.pop()


def test_take_gives_items_of_the_first_set_only(sets: Sets, jobs: FirstOf[str]) -> None:
    sets[1].update(["n1", "n2", "n3"])
    sets[2].update(["l1"])
    assert named(jobs.take(2)) == [("{urgent}normal", "n1"), ("{urgent}normal", "n2")]
    assert named(jobs.take(5)) == [("{urgent}normal", "n3")]
    assert named(jobs.take(5)) == [("{urgent}low", "l1")]
    assert jobs.take(5) == []
    sets[0].add("u1")
    assert jobs.take(0) == jobs.take(-1) == []
    assert list(sets[0]) == ["u1"]


def test_the_last_comes_from_the_first_set_too(sets: Sets, jobs: FirstOf[str]) -> None:
    for place, each in enumerate(sets[1:]):
        each.add_scored({"a": 1 + place, "b": 2 + place, "c": 3 + place, "d": 4 + place})
    assert named([jobs.pop(last=True)]) == [("{urgent}normal", "d")]
    assert named(jobs.take(1, last=True)) == [("{urgent}normal", "c")]
    assert list(jobs.lease(1, last=True)) == ["b"]
    assert list(sets[1]) == ["a"]


def test_scores_come_with_the_items(sets: Sets, jobs: FirstOf[str]) -> None:
    sets[1].add_scored({"a": 1.5, "b": 2.5, "c": 3.5})
    assert named([jobs.pop(with_scores=True)]) == [("{urgent}normal", "a", 1.5)]
    assert named(jobs.take(2, with_scores=True)) == [
        ("{urgent}normal", "b", 2.5),
        ("{urgent}normal", "c", 3.5),
    ]


def test_one_set_is_enough(sets: Sets) -> None:
    jobs = FirstOf(sets[0])
    sets[0].update("ab")
    assert named([jobs.pop()]) == [("urgent", "a")]
    assert named(list(jobs.consume(timeout=0))) == [("urgent", "b")]
    assert jobs.sets == (sets[0],)


def test_many_items_come_in_steps_of_the_same_set(client: redis.Redis) -> None:
    first, second = (RedisSortedSet[int](client, name, scorer=int) for name in ("a", "{a}b"))
    jobs = FirstOf(first, second)
    second.update(range(4_000))
    assert named(jobs.take(2_500)) == [("{a}b", number) for number in range(2_500)]
    with jobs.lease(1_200, ttl=60) as lease:
        assert list(lease) == list(range(2_500, 3_700))
        assert second.stats().leased == 1_200
    assert [number for _, number in jobs.consume(700, timeout=0)] == list(range(3_700, 4_000))
    assert not any(second.stats())


def test_an_item_is_due_by_the_clock_of_its_own_set(client: redis.Redis) -> None:
    now = {"early": 100.0, "late": 200.0}
    early: ScheduledSet[str] = ScheduledSet(client, "{late}early", clock=lambda: now["early"])
    late: ScheduledSet[str] = ScheduledSet(client, "late", clock=lambda: now["late"])
    plain: SortedSet[str] = SortedSet(client, "{late}plain")
    for each in (early, late, plain):
        each.add("at 150", score=150)
    jobs = FirstOf(early, late, plain)
    assert named([jobs.pop()]) == [("late", "at 150")]
    now["early"] = 150.0
    assert list(jobs.lease(9)) == ["at 150"]
    assert named(jobs.take(9)) == [("{late}plain", "at 150")]
    assert early.stats().leased == 1


# Leases


def test_a_lease_is_one_of_the_set_that_had_something(sets: Sets, jobs: FirstOf[str]) -> None:
    sets[1].update(["n1", "n2"])
    sets[2].add("l1")
    with jobs.lease(5, ttl=60, worker="me") as lease:
        assert (lease.source.name, list(lease)) == ("{urgent}normal", ["n1", "n2"])
        assert [each.worker for each in sets[1].leased()] == ["me", "me"]
        lease.release("n2")
    assert [each.stats()[:3] for each in sets] == [(0, 0, 0), (1, 1, 0), (1, 1, 0)]


def test_a_lease_of_nothing_is_empty(sets: Sets, jobs: FirstOf[str]) -> None:
    with jobs.lease(5) as lease:
        assert list(lease) == []
    sets[0].add("a")
    assert list(jobs.lease(0)) == []
    assert list(sets[0]) == ["a"]


def test_each_set_has_its_own_limit_of_deliveries_and_its_own_dead(client: redis.Redis) -> None:
    once, often = (
        RedisSortedSet[str](client, name, max_deliveries=most)
        for name, most in (("once", 1), ("{once}often", 2))
    )
    jobs = FirstOf(once, often)
    once.add("a")
    often.add("b")
    for source in ("once", "{once}often", "{once}often"):
        lease = jobs.lease(1)
        assert lease.source.name == source
        lease.release(error="no")
    assert [list(once.dead_items), list(often.dead_items)] == [["a"], ["b"]]
    assert [letter.error for letter in often.dead_letters()] == ["no"]
    once.add("c")
    jobs.lease(1, max_deliveries=2).release()
    assert list(once) == ["c"]


def test_an_item_that_is_worked_on_stays_out_until_it_is_done(client: redis.Redis) -> None:
    first, second = strings(client, unique="until_acked")[:2]
    jobs = FirstOf(first, second)
    second.add("a")
    for source, _ in jobs.consume(timeout=0):
        assert source is second
        assert second.add("a") is None
    assert second.add("a") == 0


# Consuming


def test_a_consumer_is_given_what_is_most_urgent_next(sets: Sets, jobs: FirstOf[str]) -> None:
    urgent, normal, low = sets
    normal.update(["n1", "n2"])
    low.update(["l1", "l2"])
    seen = []
    for source, item in jobs.consume(timeout=0):
        seen.append((source.name, item))
        if item in {"n1", "l1"}:
            urgent.add(f"after {item}")
    assert seen == [
        *(("{urgent}normal", "n1"), ("urgent", "after n1"), ("{urgent}normal", "n2")),
        *(("{urgent}low", "l1"), ("urgent", "after l1"), ("{urgent}low", "l2")),
    ]
    assert [sum(each.stats()) for each in sets] == [0, 0, 0]


def test_a_batch_is_of_one_set(sets: Sets, jobs: FirstOf[str]) -> None:
    sets[1].update(["n1", "n2", "n3"])
    sets[2].update(["l1"])
    work = jobs.consume(2, timeout=0)
    assert named(list(islice(work, 2))) == [("{urgent}normal", "n1"), ("{urgent}normal", "n2")]
    sets[0].add("u1")
    assert named([next(work)]) == [("urgent", "u1")]
    assert work.lease.source.name == "urgent"
    assert sets[1].stats().leased == 0
    assert named(list(work)) == [("{urgent}normal", "n3"), ("{urgent}low", "l1")]


def test_what_asks_the_sets_takes_one_round_trip_whichever_has_something(
    client: redis.Redis, sets: Sets, jobs: FirstOf[str], round_trips: RoundTrips
) -> None:
    urgent, normal, low = sets
    low.update(["l1", "l2", "l3", "l4"])
    with round_trips(client) as count:
        jobs.pop()
        jobs.take(1)
        lease = jobs.lease(1)
        work = jobs.consume(timeout=0)
        next(work)
    assert count.value == 4
    lease.ack()
    urgent.update(["u1", "u2"])
    normal.add("n1")
    # Each step acknowledges an item of another set, or of the same, and hands out the next.
    with round_trips(client) as count:
        assert [item for _, item in work] == ["u1", "u2", "n1"]
    assert count.value == 4
    assert [sum(each.stats()) for each in sets] == [0, 0, 0]


def test_what_a_loop_finished_is_acknowledged_with_the_next_step(
    sets: Sets, jobs: FirstOf[str]
) -> None:
    for up in (True, False):
        first, second = (sets[2], sets[0]) if up else (sets[0], sets[2])
        first.add("before")
        work = jobs.consume(timeout=0)
        assert next(work)[1] == "before"
        second.add("after")
        assert first.stats().leased == 1
        assert next(work)[1] == "after"
        assert (first.stats().leased, second.stats().leased) == (0, 1)
        work.close()
        second.clear()


def test_a_loop_that_is_left_gives_its_item_back_to_its_set(sets: Sets, jobs: FirstOf[str]) -> None:
    sets[1].update(["n1", "n2"])
    work = jobs.consume(2, timeout=0)
    with pytest.raises(ZeroDivisionError), work:
        for _ in work:
            raise ZeroDivisionError("of n1")
    assert list(sets[1]) == ["n1", "n2"]
    with jobs.lease(1) as lease:
        assert lease.deliveries("n1") == 2


def test_an_attempt_that_fails_is_of_the_set_of_its_item(
    client: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = strings(client, max_deliveries=2)[:2]
    first.add("bad")
    second.update(["bad", "good"])
    told, done = [], []
    work = FirstOf(first, second).consume(
        timeout=0, on_error=lambda given, error: told.append((given[0].name, given[1], str(error)))
    )
    for source, item in work:
        with work.attempt():
            if item == "bad":
                raise ValueError(f"{source.name} {work.deliveries}")
            done.append((source.name, item))
    assert told == [
        ("urgent", "bad", "urgent 1"),
        ("urgent", "bad", "urgent 2"),
        ("{urgent}normal", "bad", "{urgent}normal 1"),
        ("{urgent}normal", "bad", "{urgent}normal 2"),
    ]
    assert done == [("{urgent}normal", "good")]
    assert [list(first.dead_items), list(second.dead_items)] == [["bad"], ["bad"]]
    for each in (first, second):
        each.requeue()
    with caplog.at_level(logging.ERROR, "redset"):
        work = FirstOf(first, second).consume(timeout=0, retry_delay=60)
        for _ in work:
            with work.attempt():
                raise ValueError
    assert [each.stats().delayed for each in (first, second)] == [1, 1]
    assert "an item failed" in caplog.text


def test_a_loop_that_is_told_to_stop_gives_back_what_it_did_not_begin(
    sets: Sets, jobs: FirstOf[str]
) -> None:
    stop = threading.Event()
    sets[1].update(["n1", "n2", "n3"])
    for _, item in jobs.consume(3, stop=stop):
        if item == "n2":
            stop.set()
    assert list(sets[1]) == ["n3"]
    with jobs.lease(1) as lease:
        assert lease.deliveries("n3") == 1
    stop.clear()
    waiting = Call(lambda: list(jobs.consume(stop=stop)))
    stop.set()
    assert waiting.result() == []


def test_a_renamed_set_is_told_what_is_done(client: redis.Redis, sets: Sets) -> None:
    jobs = FirstOf(*sets)
    sets[1].update(["n1", "n2"])
    work = jobs.consume(timeout=0)
    next(work)
    RedisSortedSet[str](client, "{urgent}normal").rename("{urgent}other")
    sets[2].add("l1")
    assert named(list(work)) == [("{urgent}low", "l1")]
    other: Strings = RedisSortedSet(client, "{urgent}other")
    assert other.stats()[:3] == (1, 1, 0)
    # A handle that was renamed itself is asked under its new name.
    sets[2].rename("{urgent}lowest")
    sets[2].add("l2")
    assert named([jobs.pop()]) == [("{urgent}lowest", "l2")]


def test_what_was_lost_while_a_loop_worked_is_logged_and_the_loop_goes_on(
    sets: Sets, jobs: FirstOf[str], caplog: pytest.LogCaptureFixture
) -> None:
    sets[2].update(["l1", "l2"])
    seen = []
    for _, item in jobs.consume(timeout=0):
        seen.append(item)
        if item == "l1":
            sets[2].cancel("l1")
            sets[0].add("u1")
    assert seen == ["l1", "u1", "l2"]
    assert "'{urgent}low'" in caplog.text
    assert "l1" in caplog.text


# What can't be deserialized


def poisoned(client: redis.Redis) -> Sets:
    sets = strings(client)
    client.zadd("urgent", {b"\xc1poison": 0})
    return sets


def test_pop_gives_none_for_what_it_can_not_deserialize(
    client: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    sets = poisoned(client)
    jobs = FirstOf(*sets)
    sets[1].add("n1")
    assert named([jobs.pop()]) == [("urgent", None)]
    assert sets[0].stats().undecodable == 1
    assert "'urgent': can't deserialize" in caplog.text
    assert named([jobs.pop()]) == [("{urgent}normal", "n1")]
    client.zadd("urgent", {b"\xc1poison": 7})
    assert named([jobs.pop(with_scores=True)]) == [("urgent", None, 7.0)]


def test_what_waits_goes_on_past_what_it_can_not_deserialize(client: redis.Redis) -> None:
    sets = poisoned(client)
    jobs = FirstOf(*sets)
    sets[1].update(["n1", "n2", "n3"])
    assert jobs.take(5) == []
    client.zadd("urgent", {b"\xc1poison": 0})
    assert named(jobs.take(1, timeout=WAIT)) == [("{urgent}normal", "n1")]
    assert sets[0].stats().undecodable == 1
    for _ in range(2):
        client.zadd("urgent", {b"\xc1poison": 0})
        assert list(jobs.lease(1, timeout=WAIT)) in (["n2"], ["n3"])
        assert sets[0].discard_dead(reason="undecodable") == 1
    client.zadd("urgent", {b"\xc1poison": 0})
    sets[2].add("l1")
    assert named(list(jobs.consume(timeout=0))) == [("{urgent}low", "l1")]
    assert [letter.reason for letter in sets[0].dead_letters()] == ["undecodable"]


def test_what_a_set_with_an_end_hands_out_ends_with_it(client: redis.Redis) -> None:
    sets = strings(client)
    jobs = FirstOf(*sets)
    sets[1].update(["n1", "n2"])
    sets[1].expire(1_000)
    held = jobs.lease(2, ttl=60)
    for purpose in ("leased", "held"):
        assert 0 < client.pttl(companion_of("{urgent}normal", purpose)) <= 1_000_000
    held.release()
    assert 0 < client.pttl("{urgent}normal") <= 1_000_000
    assert len(jobs.take(2)) == 2
    client.zadd("{urgent}low", {b"\xc1poison": 0})
    sets[2].expire(1_000)
    assert named([jobs.pop()]) == [("{urgent}low", None)]
    assert 0 < client.pttl(companion_of("{urgent}low", "undecodable")) <= 1_000_000
    assert [client.pttl(name) for name in NAMES] == [-2, -2, -2]


# Waiting

CALLS: dict[str, Callable[[FirstOf[str]], Any]] = {
    "pop": lambda jobs: jobs.pop(timeout=None),
    "take": lambda jobs: jobs.take(3, timeout=WAIT)[0],
    "lease": lambda jobs: (lease := jobs.lease(3, timeout=None)) and (lease.source, lease[0]),
    "consume": lambda jobs: next(jobs.consume()),
}


@pytest.mark.parametrize("place", range(3))
@pytest.mark.parametrize("call", CALLS)
def test_an_item_of_any_set_wakes_who_waits(
    client: redis.Redis, make_client: MakeClient, sets: Sets, call: str, place: int
) -> None:
    waiting = Call(CALLS[call], FirstOf(*strings(make_client())))
    wait_for_watchers(client, 1)
    sets[place].add("a")
    assert named([waiting.result()]) == [(NAMES[place], "a")]
    wait_for_watchers(client, 0)


@pytest.mark.parametrize("place", range(3))
@pytest.mark.parametrize(
    "begin",
    [
        lambda each: each.lease(1, ttl=0.1),
        lambda each: each.lease(1, ttl=60).release(delay=0.1),
        lambda each: each.lease(1, ttl=60).release(),
    ],
    ids=["a lease runs out", "a delay ends", "a release"],
)
def test_what_becomes_ready_again_in_any_set_wakes_who_waits(
    client: redis.Redis,
    make_client: MakeClient,
    place: int,
    begin: Callable[[RedisSortedSet[str]], Any],
) -> None:
    now = [100.0]
    own = make_client()
    mine = [ScheduledSet[str](own, name, clock=lambda: now[0]) for name in NAMES]
    theirs = ScheduledSet[str](client, NAMES[place], clock=lambda: 3_700.0)
    theirs.add("in an hour")
    waiting = Call(FirstOf(*mine).pop, timeout=None)
    wait_for_watchers(client, 1)
    now[0] = 3_700.0  # before the change: the consumer looks once, as soon as it is told
    begin(theirs)
    assert named([waiting.result()]) == [(NAMES[place], "in an hour")]


@pytest.mark.parametrize("place", range(3))
def test_an_item_that_becomes_due_in_any_set_is_taken_then(client: redis.Redis, place: int) -> None:
    later = [ScheduledSet[str](client, name) for name in NAMES]
    due = time.time() + 0.3
    for at, each in enumerate(later):
        each.add("a", due if at == place else due + 3_600)
    waiting = Call(FirstOf(*later).pop, timeout=None)
    assert named([waiting.result()]) == [(NAMES[place], "a")]
    assert time.time() >= due


@pytest.mark.parametrize("timeout", [0, 0.05])
def test_nothing_came_in_time(
    client: redis.Redis, sets: Sets, jobs: FirstOf[str], timeout: float
) -> None:
    later: ScheduledSet[str] = ScheduledSet(client, "{urgent}later")
    later.add("in an hour", time.time() + 3_600)
    jobs = FirstOf(*sets, later)
    with pytest.raises(KeyError):
        jobs.pop(timeout=timeout)
    assert jobs.take(1, timeout=timeout) == []
    assert not jobs.lease(1, timeout=timeout)
    assert list(jobs.consume(timeout=timeout)) == []
    assert len(later) == 1


def test_a_wait_costs_no_more_than_that_for_one_set(
    client: redis.Redis, jobs: FirstOf[str], make_client: MakeClient, round_trips: RoundTrips
) -> None:
    with round_trips(client) as count:
        assert jobs.take(1, timeout=0.3) == []
    assert count.value <= 8
    waiting = Call(jobs.pop, timeout=None)
    wait_for_watchers(client, 1)
    other = make_client()
    with round_trips(client) as count:
        for name in ("urgent2", "norm", "other"):
            other.zadd(name, {"x": 1})
        time.sleep(0.2)
    assert count.value <= 3  # what was added
    jobs.sets[2].add("a")
    assert named([waiting.result()]) == [("{urgent}low", "a")]


def test_one_item_more_wakes_one_and_many_wake_as_many(
    client: redis.Redis, make_client: MakeClient, sets: Sets
) -> None:
    waiting = [Call(FirstOf(*strings(make_client())).pop, timeout=None) for _ in range(6)]
    wait_for_watchers(client, 6)
    for number in range(3):
        sets[number].add(str(number))
        wait_for_watchers(client, 5 - number)
    for number, each in enumerate(sets):
        each.add(str(3 + number))
    got = [call.result() for call in waiting]
    assert sorted(item for _, item in got) == [str(number) for number in range(6)]


def test_threads_that_share_one_object_are_each_given_an_item(
    client: redis.Redis, sets: Sets, jobs: FirstOf[str]
) -> None:
    waiting = [Call(jobs.take, 1, timeout=None) for _ in range(6)]
    for number in range(6):
        sets[number % 3].add(str(number))
    got = [call.result()[0] for call in waiting]
    assert sorted(item for _, item in got) == [str(number) for number in range(6)]


def test_who_waits_for_one_set_and_who_waits_for_several_share_items(
    client: redis.Redis, make_client: MakeClient, sets: Sets
) -> None:
    one = Call(strings(make_client())[1].pop, timeout=None)
    several = Call(FirstOf(*strings(make_client())).pop, timeout=None)
    wait_for_watchers(client, 1)
    wait_for_watchers(client, 1, of=1)
    sets[1].update(["a", "b"])
    assert sorted([one.result(), several.result()[1]]) == ["a", "b"]


@pytest.mark.parametrize("place", range(3))
def test_who_may_not_watch_looks_every_second(
    client: redis.Redis, make_client: MakeClient, sets: Sets, place: int
) -> None:
    client.execute_command(
        *("ACL", "SETUSER", "blind", "on", "nopass", "~*", "+@all", "-client", "-subscribe")
    )
    try:
        blind = make_client(username="blind", password="any")
        waiting = Call(FirstOf(*strings(blind)).pop, timeout=None)
        time.sleep(0.1)
        sets[place].add("a")
        assert named([waiting.result()]) == [(NAMES[place], "a")]
    finally:
        client.execute_command("ACL", "DELUSER", "blind")


def test_a_consumer_in_a_hurry_goes_on_watching_what_it_watched(
    client: redis.Redis, sets: Sets, jobs: FirstOf[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("redset._transport.driver.SOON_SECONDS", WAIT)
    work = jobs.consume(timeout=WAIT)
    with ThreadPoolExecutor(1) as pool:
        for number in range(6):
            coming = pool.submit(next, work)
            wait_for_watchers(client, 1)
            sets[number % 3].add(str(number))
            assert named([coming.result()]) == [(NAMES[number % 3], str(number))]
    work.close()
    wait_for_watchers(client, 0)


def test_consumers_share_what_producers_add_to_several_sets(
    client: redis.Redis, make_client: MakeClient
) -> None:
    total, done = 300, []
    stop = threading.Event()

    own = make_client()
    jobs = FirstOf(*[RedisSortedSet[int](own, name) for name in NAMES])

    def consume() -> None:
        for source, number in jobs.consume(3, stop=stop):
            done.append((source.name, number))

    consumers = [Call(consume) for _ in range(4)]
    targets = [RedisSortedSet[int](client, name) for name in NAMES]
    for number in range(total):
        targets[number % 3].add(number)
    deadline = time.monotonic() + WAIT
    while len(done) < total:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    stop.set()
    for consumer in consumers:
        consumer.result()
    assert sorted(done, key=lambda each: each[1]) == [
        (NAMES[number % 3], number) for number in range(total)
    ]
    assert [sum(each.stats()) for each in targets] == [0, 0, 0]


# What it is made of


def test_bad_sets_are_named_before_anything_is_sent(
    client: redis.Redis, make_client: MakeClient, sets: Sets, round_trips: RoundTrips
) -> None:
    made: Any = FirstOf
    other: Strings = RedisSortedSet(make_client(), "{urgent}other")
    with sets[0] | sets[1] as result, round_trips(client) as count:
        with pytest.raises(InvalidValueError, match="FirstOf: no sets were given; give at least"):
            made()
        with pytest.raises(InvalidTypeError, match=r"got \[.*FirstOf\(\*sets\)"):
            made(list(sets))
        with pytest.raises(InvalidTypeError, match=r"must be a redset.*RedisSortedSet, got 'jobs'"):
            made(sets[0], "jobs")
        with pytest.raises(InvalidTypeError, match=r"this is a result.*rename"):
            made(sets[0], result)
        with pytest.raises(InvalidValueError, match=r"'{urgent}normal'.*given this set twice"):
            made(*sets, RedisSortedSet(client, "{urgent}normal"))
        with pytest.raises(
            InvalidTypeError, match=r"'{urgent}other'.*another client than 'urgent'.*make"
        ):
            made(sets[0], other)
        many = [RedisSortedSet[str](client, str(number)) for number in range(101)]
        with pytest.raises(InvalidValueError, match=r"at most 100 sets.*got 101"):
            made(*many)
    assert count.value == 0


def test_a_hundred_sets_can_be_asked(client: redis.Redis) -> None:
    many = [RedisSortedSet[str](client, f"{{set}}{number:03}") for number in range(100)]
    jobs = FirstOf(*many)
    many[-1].update(["a", "b", "c", "d"])
    assert named([jobs.pop()]) == [("{set}099", "a")]
    assert list(jobs.lease(1, timeout=WAIT)) == ["b"]
    assert named(list(jobs.consume(500, timeout=0))) == [("{set}099", "c"), ("{set}099", "d")]


def test_bad_arguments_are_named_before_anything_is_sent(
    client: redis.Redis, jobs: FirstOf[str], round_trips: RoundTrips
) -> None:
    wrong: Any = "x"
    calls: Iterator[tuple[str, Callable[[], Any]]] = iter(
        [
            ("timeout", lambda: jobs.pop(timeout=-1)),
            ("num", lambda: jobs.take(wrong)),
            ("timeout", lambda: jobs.take(0, timeout=wrong)),
            ("ttl", lambda: jobs.lease(1, ttl=0)),
            ("num", lambda: jobs.lease(wrong)),
            ("max_deliveries", lambda: jobs.lease(1, max_deliveries=0)),
            ("worker", lambda: jobs.lease(1, worker="")),
            ("batch", lambda: jobs.consume(0)),
            ("stop", lambda: jobs.consume(stop=1)),
            ("retry_delay", lambda: jobs.consume(retry_delay=-1)),
            ("on_error", lambda: jobs.consume(on_error=wrong)),
        ]
    )
    with round_trips(client) as count:
        for argument, call in calls:
            with pytest.raises((TypeError, ValueError), match=f"redset 'urgent, .*': {argument}"):
                call()
        with pytest.raises(InvalidValueError, match="no item was delivered yet"):
            _ = jobs.consume().lease
    assert count.value == 0


def test_a_key_of_another_type_is_an_error_that_names_the_sets(
    client: redis.Redis, sets: Sets, jobs: FirstOf[str]
) -> None:
    client.set("{urgent}normal", "text")
    sets[0].add("a")
    assert named([jobs.pop()]) == [("urgent", "a")]
    for call in (jobs.pop, jobs.lease, lambda: next(jobs.consume())):
        with pytest.raises(redset.KeyTypeError, match=rf"'{ALL}': the key of one"):
            call()


def test_it_shows_its_sets_and_goes_to_other_processes(
    client: redis.Redis, sets: Sets, jobs: FirstOf[str]
) -> None:
    assert repr(jobs) == "<redset.FirstOf 'urgent', '{urgent}normal', '{urgent}low'>"
    sets[2].add("a")
    copied: FirstOf[str] = pickle.loads(pickle.dumps(jobs))
    assert [each.name for each in copied.sets] == list(NAMES)
    assert named([copied.pop()]) == [("{urgent}low", "a")]


@pytest.mark.parametrize("make", [copy.copy, copy.deepcopy])
def test_a_copy_is_of_the_same_sets(
    jobs: FirstOf[str], sets: Sets, make: Callable[[FirstOf[str]], FirstOf[str]]
) -> None:
    @dataclasses.dataclass
    class Worker:
        jobs: FirstOf[str]

    for copied in (make(jobs), dataclasses.asdict(Worker(make(jobs)))["jobs"]):
        assert type(copied) is FirstOf
        assert copied is not jobs
        assert copied.sets == jobs.sets
        sets[2].add("a")
        assert named([copied.pop()]) == [("{urgent}low", "a")]
