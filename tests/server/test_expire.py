"""`expire`, `persist` and `ttl`: a set goes with all that belongs to it, wherever its items are."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
import redis
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from redset import RedisSortedSet
from redset._protocol import commands
from redset._protocol.keys import leasing_keys
from redset._transport.connection import ClientConnection
from redset.codecs import JSONSerializer
from redset.exceptions import InvalidTypeError, InvalidValueError, KeyTypeError, LeaseLost
from redset.leases import Lease
from tests.proxy import LossyProxy
from tests.server.conftest import MakeClient, RoundTrips, memory_is_short
from tests.server.test_lost_replies import behind, connection_error
from tests.servers import TestServer

Set = RedisSortedSet[Any]
SECONDS = 1_000.0


@pytest.fixture
def jobs(client: redis.Redis) -> Set:
    return filled(client)


def filled(client: redis.Redis, name: str = "jobs", items: str = "abcdef", **options: Any) -> Set:
    made = Set(client, name, serializer=JSONSerializer(), **options)
    for score, item in enumerate(items):
        made.add(item, score)
    return made


def ends(client: redis.Redis, name: str = "jobs") -> dict[str, float | None]:
    """The keys of a set that exist, and the seconds that each has left, to the second."""
    key = name.encode()
    found = {}
    for each in (key, *leasing_keys(key)):
        left: Any = client.pttl(each)
        if left != -2:
            purpose = each.decode().rpartition(":")[2]
            found[purpose] = None if left == -1 else round(left / 1000)
    return found


def all_end(client: redis.Redis, name: str = "jobs", seconds: float = SECONDS) -> bool:
    """Whether every key of the set goes at that time."""
    found = ends(client, name)
    return all(left is not None and abs(left - seconds) <= 2 for left in found.values())


def in_all_places(client: redis.Redis, **options: Any) -> tuple[Set, Lease[Any]]:
    """A set with something in each place that there is, and the lease of two of its items."""
    made = filled(client, unique="forever", **options)
    made.lease(1).reject(error="no")
    made.lease(1).release(delay=900)
    client.zadd("jobs", {b"\xff": -1})
    assert made.take(1) == []  # and is put aside
    back = made.lease(1)
    lease = made.lease(2, ttl=900)
    back.release()
    return made, lease


# What a user calls


def test_a_set_has_no_time_to_live_until_it_is_given_one(jobs: Set) -> None:
    assert (jobs.ttl(), jobs.persist()) == (None, False)
    assert jobs.expire(50.5) is True
    assert 49 < (jobs.ttl() or 0) <= 50.5
    assert jobs.expire(7) is True
    assert 6 < (jobs.ttl() or 0) <= 7
    assert (jobs.persist(), jobs.ttl(), jobs.persist()) == (True, None, False)
    assert list(jobs) == list("abcdef")


def test_a_set_that_is_not_there_can_not_expire(client: redis.Redis) -> None:
    nothing = Set(client, "nothing")
    assert (nothing.expire(9), nothing.persist(), nothing.ttl()) == (False, False, None)
    nothing.add(1)
    assert nothing.ttl() is None


def test_each_takes_one_round_trip(client: redis.Redis, round_trips: RoundTrips) -> None:
    jobs, _lease = in_all_places(client)
    calls: list[Callable[[], object]] = [lambda: jobs.expire(9), jobs.ttl, jobs.persist]
    for call in calls:
        with round_trips(client) as count:
            call()
        assert count.value == 1


def test_all_that_belongs_to_a_set_goes_and_stays_with_it(client: redis.Redis) -> None:
    jobs, _lease = in_all_places(client)
    assert set(ends(client)) == {"jobs", *leasing_keys(b"jobs")._fields} - {"absent"}
    jobs.expire(SECONDS)
    assert all_end(client)
    assert jobs.persist() is True
    assert set(ends(client).values()) == {None}


def test_nothing_is_left_when_the_time_has_come(client: redis.Redis) -> None:
    jobs, lease = in_all_places(client)
    jobs.expire(0.001)
    wait_until(lambda: not ends(client))
    assert (set(jobs.stats()), list(jobs.dead_letters()), jobs.ttl()) == ({0}, [], None)
    with pytest.raises(LeaseLost):
        lease.ack()
    assert jobs.insert("a") == ["a"]  # nothing is known of what was seen
    assert set(ends(client).values()) == {None}


def wait_until(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not condition() and time.monotonic() < until:
        time.sleep(0.005)
    assert condition()


def test_a_queue_that_has_nothing_ready_has_a_time_to_live_too(client: redis.Redis) -> None:
    jobs = filled(client, items="a")
    lease = jobs.lease(1)
    assert jobs.expire(SECONDS) is True
    assert jobs.ttl() == pytest.approx(SECONDS, abs=2)
    lease.release()
    assert all_end(client)
    assert list(jobs) == ["a"]


def test_clear_ends_it(client: redis.Redis) -> None:
    jobs, _lease = in_all_places(client)
    jobs.expire(SECONDS)
    jobs.clear()
    jobs.update("ab")
    jobs.lease(1)
    assert jobs.ttl() is None
    assert set(ends(client).values()) == {None}


@pytest.mark.parametrize("seconds", [0, -1, 0.0001, float("inf"), float("nan"), -(10**400)])
def test_a_time_that_is_none_is_refused(jobs: Set, seconds: float) -> None:
    with pytest.raises(InvalidValueError, match=r"'jobs': seconds must be .*; clear\(\) removes"):
        jobs.expire(seconds)
    assert len(jobs) == 6


@pytest.mark.parametrize("seconds", [None, "9", True, 1j])
def test_what_is_no_number_is_refused(jobs: Set, seconds: Any) -> None:
    with pytest.raises(InvalidTypeError, match="'jobs': seconds must be a number of seconds"):
        jobs.expire(seconds)
    assert jobs.ttl() is None


def test_a_very_long_time_is_taken(jobs: Set) -> None:
    assert jobs.expire(1e300) is True
    assert (jobs.ttl() or 0) > 1e10
    lease = jobs.lease(1)
    lease.release()
    assert (jobs.ttl() or 0) > 1e10


@pytest.mark.parametrize("call", ["expire", "persist", "ttl"])
def test_a_result_and_the_dead_go_as_they_do(jobs: Set, call: str) -> None:
    arguments = [9] if call == "expire" else []
    jobs.lease(1).reject()
    with jobs | {"x"} as result, pytest.raises(InvalidTypeError, match=rf"for {call}\(\) make a"):
        getattr(result, call)(*arguments)
    with pytest.raises(InvalidTypeError, match=rf"call {call}\(\) of 'jobs'"):
        getattr(jobs.dead_items, call)(*arguments)


def test_a_result_that_keeps_its_name_is_a_set_like_others(client: redis.Redis, jobs: Set) -> None:
    kept = jobs | {"x"}
    kept.rename(kept.key)
    assert kept.ttl() is None
    assert kept.expire(9) is True


@pytest.mark.parametrize("purpose", ["", "leased"])
def test_a_key_that_is_no_sorted_set_is_left_alone(client: redis.Redis, purpose: str) -> None:
    client.set("jobs", "text")
    with pytest.raises(KeyTypeError):
        Set(client, "jobs").expire(9)
    assert client.ttl("jobs") == -1


# Where items go meanwhile


def ran_out(client: redis.Redis) -> bool:
    """Have what is on lease, or delayed, come back with the next call."""
    members: Any = client.execute_command("ZRANGE", "{jobs}:leased", 0, -1, NEVER_DECODE=True)
    return bool(client.zadd("{jobs}:leased", dict.fromkeys(members, 1)))


MOVES: dict[str, Callable[[redis.Redis, Set, Any], object]] = {
    "add": lambda client, jobs, lease: jobs.add("new", 3),
    "update": lambda client, jobs, lease: jobs.update(["x", "y"]),
    "insert": lambda client, jobs, lease: jobs.insert("x", "y"),
    "increment": lambda client, jobs, lease: jobs.increment("x", 2),
    "add_scored": lambda client, jobs, lease: jobs.add_scored({"x": 1}, on_conflict="sum"),
    "pop": lambda client, jobs, lease: jobs.pop(),
    "take": lambda client, jobs, lease: jobs.take(99),
    "take what comes back": lambda client, jobs, lease: (ran_out(client), jobs.take(1)),
    "lease": lambda client, jobs, lease: jobs.lease(99),
    "lease what comes back": lambda client, jobs, lease: (ran_out(client), jobs.lease(1)),
    "consume": lambda client, jobs, lease: list(jobs.consume(timeout=0)),
    "ack": lambda client, jobs, lease: lease.ack(),
    "ack again": lambda client, jobs, lease: lease.ack(again_at=1),
    "release": lambda client, jobs, lease: lease.release(),
    "release uncounted": lambda client, jobs, lease: lease.release(count=False),
    "release later": lambda client, jobs, lease: lease.release(delay=900),
    "reject": lambda client, jobs, lease: lease.reject(),
    "extend": lambda client, jobs, lease: lease.extend(),
    "requeue": lambda client, jobs, lease: (lease.reject(), jobs.requeue()),
    "discard_dead": lambda client, jobs, lease: jobs.discard_dead(),
    "cancel": lambda client, jobs, lease: jobs.cancel("d"),
    "update with a set": lambda client, jobs, lease: jobs.update(jobs.copy()),
    "intersection_update": lambda client, jobs, lease: jobs.intersection_update(["f"]),
    "into itself": lambda client, jobs, lease: jobs.union(["q"], into="jobs"),
    "copy into itself": lambda client, jobs, lease: jobs.copy(into="jobs"),
    "remove_range": lambda client, jobs, lease: jobs.remove_range(),
    "remove_at": lambda client, jobs, lease: jobs.remove_at(slice(None)),
    "undecodable": lambda client, jobs, lease: (
        client.zadd("jobs", {b"\xff": -1, b"\xfe": -2}),
        jobs.lease(1),
        jobs.take(1),
    ),
}


@pytest.mark.parametrize("unique", ["until_taken", "until_acked", "forever"])
@pytest.mark.parametrize("move", MOVES.values(), ids=MOVES)
def test_every_key_that_is_made_meanwhile_goes_with_the_set(
    client: redis.Redis, move: Any, unique: Any
) -> None:
    jobs = filled(client, unique=unique)
    jobs.take(1)
    jobs.lease(2).release(delay=900)
    lease = jobs.lease(2, ttl=900)  # what is left is ready: "f"
    jobs.expire(SECONDS)
    move(client, jobs, lease)
    assert all_end(client)
    assert jobs.ttl() == pytest.approx(SECONDS, abs=2)
    assert jobs.persist() is True
    jobs.add("z")
    jobs.lease(99)
    assert set(ends(client).values()) == {None}


@pytest.mark.parametrize("move", MOVES.values(), ids=MOVES)
def test_no_key_goes_of_a_set_that_stays(client: redis.Redis, move: Any) -> None:
    jobs = filled(client)
    jobs.lease(2).release(delay=900)
    move(client, jobs, jobs.lease(2, ttl=900))
    assert set(ends(client).values()) == {None}
    assert jobs.ttl() is None


def test_the_only_item_has_its_set_s_time_wherever_it_goes(client: redis.Redis) -> None:
    jobs = filled(client, items="a")
    jobs.expire(SECONDS)
    for settle in (
        lambda lease: lease.release(),
        lambda lease: lease.release(delay=0.001),
        lambda lease: lease.ack(again_at=1),
        lambda lease: (lease.reject(), jobs.requeue()),
        lambda lease: lease.extend(0.001),
    ):
        settle(jobs.lease(1, timeout=60))
        assert ends(client)
        assert all_end(client)
        assert jobs.ttl() == pytest.approx(SECONDS, abs=2)


def test_the_time_does_not_grow_or_shrink_with_use(client: redis.Redis) -> None:
    jobs = filled(client, items="ab")
    jobs.expire(SECONDS)
    began = time.time()
    for _ in range(1_000):
        jobs.lease(2).release(count=False)
    left = jobs.ttl() or 0
    assert SECONDS - (time.time() - began) - 0.5 <= left <= SECONDS + 0.5


CARRY: dict[str, Callable[[Set], object]] = {
    "ttl": lambda jobs: jobs.ttl(),
    "lease": lambda jobs: jobs.lease(1),
    "consume": lambda jobs: next(jobs.consume(timeout=0)),
}


def left_with(client: redis.Redis, place: str) -> Set:
    """A set with a time-to-live that has nothing ready, but something else."""
    jobs = filled(client, items="a")
    if place == "undecodable":
        client.zadd("jobs", {b"\xff": -1})
    jobs.expire(SECONDS)
    if place == "on lease":
        jobs.lease(9)
    elif place == "delayed":
        jobs.lease(9).release(delay=900)
    elif place == "dead":
        jobs.lease(9).reject()
    elif place == "letters":
        jobs.lease(9).reject()
        jobs.dead_items.discard("a")
    elif place == "counted":
        jobs.lease(9).release()
        jobs.discard("a")
    else:
        jobs.take(9)
    assert "jobs" not in ends(client)
    return jobs


PLACES = ["on lease", "delayed", "dead", "counted", "letters", "undecodable"]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("call", CARRY.values(), ids=CARRY)
def test_what_is_added_to_a_set_that_has_nothing_ready_goes_with_it_from_the_next_call_on(
    client: redis.Redis, place: str, call: Any
) -> None:
    jobs = left_with(client, place)
    jobs.add("new")
    jobs.add("newer")
    assert ends(client).pop("jobs") is None  # as it says: a plain ZADD can't know
    call(jobs)
    assert all_end(client)
    assert jobs.ttl() == pytest.approx(SECONDS, abs=2)


@pytest.mark.parametrize("place", PLACES)
def test_what_is_inserted_into_a_set_that_has_nothing_ready_goes_with_it(
    client: redis.Redis, place: str
) -> None:
    left_with(client, place).insert("new")
    assert all_end(client)


@pytest.mark.parametrize("unique", ["until_acked", "forever"])
@pytest.mark.parametrize("place", PLACES)
def test_what_may_be_refused_goes_with_a_set_that_has_nothing_ready(
    client: redis.Redis, place: str, unique: Any
) -> None:
    left_with(client, place)
    jobs = Set(client, "jobs", serializer=JSONSerializer(), unique=unique)
    assert jobs.add("new", 1) == 1
    assert ends(client).keys() >= ({"jobs", "seen"} if unique == "forever" else {"jobs"})
    assert all_end(client)


@pytest.mark.parametrize("add", [lambda jobs: jobs.add("new"), lambda jobs: jobs.insert("new")])
def test_what_is_seen_from_now_on_goes_with_the_set(client: redis.Redis, add: Any) -> None:
    filled(client).expire(SECONDS)
    add(Set(client, "jobs", serializer=JSONSerializer(), unique="forever"))
    assert set(ends(client)) == {"jobs", "seen"}
    assert all_end(client)


def test_expire_by_hand_is_taken_on_by_the_next_lease(client: redis.Redis) -> None:
    jobs = filled(client)
    jobs.lease(1).reject()
    client.expire("jobs", round(SECONDS))
    assert ends(client)["dead"] is None
    assert jobs.ttl() == pytest.approx(SECONDS, abs=3)
    jobs.lease(1)
    assert all_end(client)


@pytest.mark.parametrize("place", PLACES)
def test_a_set_that_has_nothing_ready_and_changes_in_place_goes_with_the_rest(
    client: redis.Redis, place: str
) -> None:
    jobs = left_with(client, place)
    jobs.update(filled(client, "{jobs}other"))
    assert len(jobs) == 6
    assert all_end(client)


def test_a_set_of_which_nothing_is_left_begins_without_a_time_to_live(jobs: Set) -> None:
    jobs.expire(SECONDS)
    jobs.take(99)
    jobs.add("new")
    assert jobs.ttl() is None
    jobs.lease(1).release()
    assert jobs.ttl() is None


def test_the_last_item_that_is_undecodable_goes_when_its_set_was_to_go(
    client: redis.Redis,
) -> None:
    client.zadd("jobs", {b"\xff": 0})
    jobs = Set(client, "jobs", serializer=JSONSerializer())
    jobs.expire(SECONDS)
    assert jobs.pop() is None
    assert set(ends(client)) == {"undecodable"}
    assert all_end(client)


def test_members_are_put_aside_when_memory_is_short(client: redis.Redis) -> None:
    client.zadd("jobs", {b"\xff": 0})
    jobs = Set(client, "jobs", serializer=JSONSerializer())
    jobs.expire(SECONDS)
    with memory_is_short(client):
        assert jobs.pop() is None
        assert jobs.expire(9) is True
    assert ends(client)["undecodable"] in {8, 9}


def test_members_put_aside_go_by_what_the_set_is_now(client: redis.Redis) -> None:
    """Between the two steps of a `take` the set may be given another time-to-live, or none."""
    keys = (b"jobs", b"{jobs}:given:0", *leasing_keys(b"jobs"))
    soon = int(client.time()[0]) * 1000 + 50_000
    command = commands.put_aside(keys, soon, [(b"x", 1.0)])
    connection = ClientConnection(client)
    connection.execute([command])
    assert ends(client)["undecodable"] in {49, 50, 51}
    jobs = filled(client)
    jobs.expire(SECONDS)
    client.delete("{jobs}:undecodable")
    connection.execute([command])
    assert all_end(client)
    jobs.persist()
    client.delete("{jobs}:undecodable")
    connection.execute([command])
    assert set(ends(client).values()) == {None}


def test_rename_takes_the_time_along(client: redis.Redis) -> None:
    jobs, lease = in_all_places(client)
    jobs.expire(SECONDS)
    filled(client, "{jobs}new").expire(9)
    jobs.rename("{jobs}new")
    assert (ends(client), len(ends(client, "{jobs}new"))) == ({}, 9)
    assert all_end(client, "{jobs}new")
    lease.release()
    assert all_end(client, "{jobs}new")


def test_what_replaces_a_set_stays(client: redis.Redis) -> None:
    target, _lease = in_all_places(client)
    target.expire(9)
    other = filled(client, "{jobs}other")
    other.expire(SECONDS)
    other.union(["q"], into="jobs")
    assert ends(client) == {"jobs": None}
    result = other | {"q"}
    result.rename("jobs")
    assert ends(client) == {"jobs": None}
    other.copy(into="jobs")
    assert ends(client) == {"jobs": None}
    assert all_end(client, "{jobs}other")


# Requests that are sent again


def test_the_last_item_that_is_given_back_after_a_lost_reply_has_its_time_again(
    client: redis.Redis, server: TestServer, make_client: MakeClient
) -> None:
    with LossyProxy(*server.ports) as proxy:
        once = behind(proxy, make_client, client, 0)
        jobs = filled(once, items="ab")
        jobs.expire(SECONDS)
        jobs.lease(1).release()
        jobs.take(0), jobs.ttl()
        filled(once, "{jobs}other").take(1)  # the server has the scripts now
        proxy.lose("EVAL", 1)
        with pytest.raises(connection_error(client)):
            jobs.take(2)
        assert ends(client) == {}
        assert jobs.take(1) == ["a"]  # repeats that call, and leaves the other one
        assert list(jobs) == ["b"]
        assert all_end(client)
        assert jobs.pop() == "b"


def test_items_that_two_lost_replies_had_are_given_back_with_their_time(
    client: redis.Redis, server: TestServer, make_client: MakeClient
) -> None:
    with LossyProxy(*server.ports) as proxy:
        once = behind(proxy, make_client, client, 0)
        jobs = filled(once, items="ab")
        jobs.expire(SECONDS)
        filled(once, "{jobs}other").take(1)  # the server has the script now
        for _ in range(2):
            proxy.lose("EVAL", 1)
            with pytest.raises(connection_error(client)):
                jobs.take(2)
        assert ends(client) == {}
        assert jobs.take(1) == ["a"]
        assert set(ends(client)) == {"jobs"}
        assert all_end(client)


def test_a_lease_that_is_asked_for_less_after_a_lost_reply_gives_back_with_the_time(
    client: redis.Redis, server: TestServer, make_client: MakeClient
) -> None:
    with LossyProxy(*server.ports) as proxy:
        once = behind(proxy, make_client, client, 0)
        jobs = filled(once, items="ab")
        jobs.expire(SECONDS)
        for _ in range(2):
            jobs.lease(2).release()
        proxy.lose("EVAL", 1)
        with pytest.raises(connection_error(client)):
            jobs.lease(2)
        assert set(ends(client)) == {"leased", "held"}
        assert list(jobs.lease(1)) == ["a"]
        assert set(ends(client)) == {"jobs", "leased", "held", "deliveries"}
        assert all_end(client)


def test_a_call_is_not_told_what_another_one_did_that_failed(
    client: redis.Redis, server: TestServer, make_client: MakeClient
) -> None:
    with LossyProxy(*server.ports) as proxy:
        once = behind(proxy, make_client, client, 0)
        jobs = filled(once)
        jobs.expire(SECONDS)
        proxy.lose("EVAL", 1)
        with pytest.raises(connection_error(client)):
            jobs.expire(9)
        client.persist("jobs")
        assert jobs.persist() is False


@pytest.mark.parametrize("call", ["expire", "persist"])
def test_a_call_that_is_repeated_after_a_lost_reply_says_what_the_first_one_did(
    client: redis.Redis, server: TestServer, make_client: MakeClient, call: str
) -> None:
    for retries in (0, 3):
        with LossyProxy(*server.ports) as proxy:
            once = behind(proxy, make_client, client, retries)
            jobs = filled(once)
            jobs.expire(SECONDS)  # the server has the script now
            arguments = [7] if call == "expire" else []
            proxy.lose("EVAL", 1)
            if not retries:
                with pytest.raises(connection_error(client)):
                    getattr(jobs, call)(*arguments)
            assert getattr(jobs, call)(*arguments) is True
            assert proxy.lost == 1
            assert (jobs.ttl() or 0) <= 7


def test_a_request_that_arrives_late_or_twice_changes_nothing(client: redis.Redis) -> None:
    jobs = filled(client)
    connection = ClientConnection(client)
    keys = (b"jobs", b"{jobs}:given:0", *leasing_keys(b"jobs"))
    first = commands.expire_set(keys, b"0.0", 300, 9.0)
    assert connection.execute([first]) == [True]
    jobs.persist()
    assert connection.execute([first]) == [True]
    assert jobs.ttl() is None
    assert connection.execute([commands.expire_set(keys, b"1.0", 300, 9.0)]) == [True]
    assert connection.execute([commands.expire_set(keys, b"2.0", 300, None)]) == [True]
    assert connection.execute([commands.expire_set(keys, b"2.1", 300, None)]) == [True]
    connection.execute([first])  # and nobody reads the reply
    assert jobs.ttl() is None


# Any calls in any order


class Calls(RuleBasedStateMachine):
    """A set that has a time-to-live or none, in random calls."""

    client: redis.Redis
    unique = "until_taken"

    @initialize(unique=st.sampled_from(["until_taken", "until_acked", "forever"]))
    def begin(self, unique: Any) -> None:
        self.client.flushall()
        self.jobs = Set(
            self.client, "jobs", serializer=JSONSerializer(), unique=unique, max_deliveries=2
        )
        # In another slot, what it adds comes item by item, as from any iterable.
        self.other = filled(self.client, "{jobs}other", "cxy")
        self.leases: list[Lease[Any]] = []
        # The seconds that the set was given; until when a plain ZADD has made it anew without them.
        self.seconds: float | None = None
        self.is_made_anew = False

    def there(self) -> dict[str, float | None]:
        return ends(self.client)

    @contextmanager
    def adding(self) -> Iterator[None]:
        before = self.there()
        yield
        if "jobs" not in before and before and not self.jobs._runner.config.deduplicates:
            self.is_made_anew = "jobs" in self.there()

    @rule(seconds=st.sampled_from([500.0, 1_000.0, 90_000.5]))
    def expire(self, seconds: float) -> None:
        assert self.jobs.expire(seconds) is bool(self.there())
        self.is_made_anew = False
        self.seconds = seconds if self.there() else None

    @rule()
    def persist(self) -> None:
        assert self.jobs.persist() is (self.seconds is not None)
        self.seconds, self.is_made_anew = None, False

    @rule()
    def ttl(self) -> None:
        assert self.jobs.ttl() == (
            None if self.seconds is None else pytest.approx(self.seconds, abs=60)
        )
        self.is_made_anew = False

    @rule(item=st.sampled_from("abcd"), score=st.integers(0, 3))
    def add(self, item: str, score: int) -> None:
        with self.adding():
            self.jobs.add(item, score)

    @rule(item=st.sampled_from("abcd"))
    def increment(self, item: str) -> None:
        with self.adding():
            self.jobs.increment(item)

    @rule()
    def update(self) -> None:
        with self.adding():
            self.jobs.update("ab")

    @rule(items=st.lists(st.sampled_from("abcd"), min_size=1))
    def insert(self, items: list[str]) -> None:
        self.jobs.insert(*items)

    @rule()
    def add_undecodable(self) -> None:
        before = self.there()
        self.client.zadd("jobs", {b"\xff": -1})
        self.is_made_anew = self.is_made_anew or (bool(before) and "jobs" not in before)

    @rule()
    def update_in_place(self) -> None:
        deduplicates = self.jobs._runner.config.deduplicates
        with self.adding():
            self.jobs.update(self.other)
        if not deduplicates:
            self.is_made_anew = False

    @rule(change=st.sampled_from(["intersection_update", "difference_update"]))
    def change(self, change: str) -> None:
        getattr(self.jobs, change)(self.other)
        self.is_made_anew = False

    @rule(num=st.integers(1, 3))
    def take(self, num: int) -> None:
        self.jobs.take(num)

    @rule(item=st.sampled_from("abcd"))
    def discard(self, item: str) -> None:
        self.jobs.discard(item)

    @rule(item=st.sampled_from("abcd"))
    def cancel(self, item: str) -> None:
        self.jobs.cancel(item)

    @rule(num=st.integers(1, 3), ttl=st.sampled_from([0.001, 900]))
    def lease(self, num: int, ttl: float) -> None:
        self.leases.append(self.jobs.lease(num, ttl=ttl))
        self.is_made_anew = False

    @rule(
        number=st.integers(0, 5),
        settle=st.sampled_from(
            [
                lambda lease: lease.ack(),
                lambda lease: lease.ack(again_at=1),
                lambda lease: lease.release(),
                lambda lease: lease.release(count=False),
                lambda lease: lease.release(delay=900),
                lambda lease: lease.release(delay=0.001),
                lambda lease: lease.reject(),
                lambda lease: lease.extend(900),
            ]
        ),
    )
    @precondition(lambda self: self.leases)
    def settle(self, number: int, settle: Callable[[Any], Any]) -> None:
        with suppress(LeaseLost):
            settle(self.leases[number % len(self.leases)])

    @rule()
    def requeue(self) -> None:
        self.jobs.requeue()

    @rule()
    def discard_dead(self) -> None:
        self.jobs.discard_dead()

    @rule()
    def rename_there_and_back(self) -> None:
        self.jobs.rename("{jobs}elsewhere")
        self.jobs.rename("jobs")

    @rule()
    def clear(self) -> None:
        self.jobs.clear()
        self.seconds, self.is_made_anew = None, False

    @invariant()
    def all_keys_have_the_time_or_none_has(self) -> None:
        found = self.there()
        if not found:
            self.seconds = None
        if self.seconds is None:
            assert set(found.values()) <= {None}
            return
        if self.is_made_anew and found.get("jobs") is None:
            found.pop("jobs", None)
        assert {left is not None and abs(left - self.seconds) < 60 for left in found.values()} <= {
            True
        }
        left = [each for each in found.values() if each is not None]
        assert not left or max(left) - min(left) <= 1


def test_after_any_calls_all_keys_of_a_set_go_at_one_time_or_stay(
    client: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    machine = type("Machine", (Calls,), {"client": client})
    caplog.set_level(logging.CRITICAL, "redset")  # of what can't be deserialized
    run_state_machine_as_test(machine)
