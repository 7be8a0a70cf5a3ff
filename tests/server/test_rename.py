"""`rename` moves all that belongs to a set, and what replaces a set removes all of it."""

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import redis
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from redset import RedisSortedSet
from redset._protocol.commands import Command
from redset._transport.connection import ClientConnection
from redset.codecs import JSONSerializer
from redset.exceptions import AlreadyRenamed, KeyTypeError, LeaseLost
from redset.leases import Lease
from tests.proxy import LossyProxy
from tests.server.conftest import TAG, MakeClient, RoundTrips, companion_of, memory_is_short
from tests.server.test_lost_replies import behind, connection_error
from tests.server.test_waiting import Call, wait_for_watchers
from tests.servers import TestServer

Strings = RedisSortedSet[Any]
OLD, NEW = f"{TAG}old", f"{TAG}new"
NAMES = [f"{TAG}{letter}" for letter in "abc"]


@pytest.fixture
def jobs(client: redis.Redis) -> Strings:
    return filled(client, OLD)


def filled(client: redis.Redis, name: str, items: str = "abcdef") -> Strings:
    found = Strings(client, name)
    for score, item in enumerate(items):
        found.add(item, score)
    return found


def keys(client: redis.Redis) -> set[str]:
    """The keys on the server, except replies, which expire by themselves."""
    found: Any = client.execute_command("KEYS", "*", NEVER_DECODE=True)
    return {key.decode() for key in found if b":given:" not in key}


def in_all_places(client: redis.Redis, name: str, mark: str) -> tuple[Strings, Lease[Any]]:
    """A set with something in each place that there is, and the lease of two of its items."""
    made = Strings(client, name, serializer=JSONSerializer(), unique="forever")
    for score, place in enumerate(["dead", "delayed", "back", "one", "two", "ready"]):
        made.add(mark + place, score)
    dead = made.lease(1)
    dead.reject(error=f"{mark} failed")
    made.lease(1).release(delay=1_000)
    made.lease(1).release()
    client.zadd(name, {b"\xff" + mark.encode(): -1})
    assert made.take(1) == []  # and goes to the undecodable
    back = made.lease(1)
    lease = made.lease(2, ttl=1_000, worker=mark)
    back.release()
    return made, lease


def found_in(shared: Strings) -> Any:
    """All that a set knows, but the time of it."""
    return (
        list(shared.items()),
        sorted((each.item, each.score, each.deliveries, each.worker) for each in shared.leased()),
        [(each.item, each.score, each.reason, each.error) for each in shared.dead_letters()],
        shared.stats(),
    )


def test_rename_moves_all_that_belongs_to_the_set(
    client: redis.Redis, round_trips: RoundTrips
) -> None:
    made, lease = in_all_places(client, OLD, "X")
    before, expected = keys(client), found_in(made)
    Strings(client, f"{TAG}never").rename(f"{TAG}other")  # the server has the script now
    with round_trips(client) as count:
        made.rename(NEW)
    assert count.value == 1
    assert keys(client) == {key.replace(OLD, NEW) for key in before} | {companion_of(OLD, "moved")}
    assert found_in(made) == expected
    lease.ack()
    same = Strings(client, NEW, serializer=JSONSerializer(), unique="forever")
    assert same.lease(1)[0] == "Xback"
    assert same.lease(1).deliveries("Xready") == 1
    assert client.sismember(companion_of(NEW, "seen"), '"Xone"')
    assert same.insert("Xone", "Xtwo", "Xdead") == []
    assert client.zcard(companion_of(NEW, "undecodable")) == 1


def test_the_old_name_is_an_empty_set_after_a_rename(client: redis.Redis) -> None:
    made, _lease = in_all_places(client, OLD, "X")
    left = Strings(client, OLD, serializer=JSONSerializer(), unique="forever")
    made.rename(NEW)
    assert (len(left), list(left.leased()), list(left.dead_letters())) == (0, [], [])
    assert set(left.stats()) == {0}
    assert sorted(left.insert("Xdead", "Xone", "Xnew")) == ["Xdead", "Xnew", "Xone"]


REPLACE: dict[str, Callable[[Any, Any], Any]] = {
    "rename": lambda source, target: source.rename(target),
    "rename of an empty set": lambda source, target: type(source)(
        source._runner.client, f"{TAG}empty", serializer=JSONSerializer()
    ).rename(target),
    "union": lambda source, target: source.union(["q"], into=target),
    "two sets": lambda source, target: source.union(source, on_conflict="sum", into=target),
    "intersection": lambda source, target: source.intersection(["Xready"], into=target),
    "intersection of nothing": lambda source, target: source.intersection([], into=target),
    "difference": lambda source, target: source.difference(["Xready"], into=target),
    "symmetric_difference": lambda source, target: source.symmetric_difference(["q"], into=target),
    "copy": lambda source, target: source.copy(into=target),
    "copy of a result": lambda source, target: (source - {"Xready"}).copy(into=target),
    "rename of a result": lambda source, target: (source | {"q"}).rename(target),
}


@pytest.mark.parametrize("replace", REPLACE.values(), ids=REPLACE)
def test_what_is_replaced_is_removed_with_all_that_belonged_to_it(
    client: redis.Redis, replace: Any
) -> None:
    target, lease = in_all_places(client, NEW, "Y")
    source, running = in_all_places(client, OLD, "X")
    replace(source, target.name)
    known = [key for key in keys(client) if key.startswith((NEW, companion_of(NEW, "")))]
    left = [member for key in known for member in _members(client, key)]
    assert not [member for member in left if b"Y" in member]
    with pytest.raises(LeaseLost):
        lease.ack()
    assert not [item for item in target if item.startswith("Y")]
    assert not [each for each in target.leased() if each.item.startswith("Y")]
    assert sorted(target.insert("Yone", "Ydead", "Ygone")) == ["Ydead", "Ygone", "Yone"]
    running.ack()  # that of the source goes on, wherever it is


def _members(client: redis.Redis, key: str) -> list[bytes]:
    raw: dict[str, Any] = {"NEVER_DECODE": True}
    kind = client.execute_command("TYPE", key, **raw)
    words = {b"zset": ("ZRANGE", key, 0, -1), b"hash": ("HKEYS", key), b"set": ("SMEMBERS", key)}
    return list(client.execute_command(*words[kind], **raw)) if kind in words else []


@pytest.mark.parametrize(
    "change",
    [
        lambda one, other: one.union(["q"], into=one.name),
        lambda one, other: one.copy(into=one.key),
        lambda one, other: other.union(one, into=one.name),
        lambda one, other: one.update(other),
        lambda one, other: one.intersection_update(one),
        lambda one, other: one.rename(one.name),
    ],
)
def test_a_set_that_is_only_changed_keeps_what_belongs_to_it(
    client: redis.Redis, change: Any
) -> None:
    jobs, other = filled(client, f"{TAG}jobs"), filled(client, f"{TAG}other", "xyz")
    jobs.lease(1).reject()
    lease = jobs.lease(2)
    change(jobs, other)
    assert (jobs.stats().leased, list(jobs.dead_items)) == (2, ["a"])
    lease.ack()
    assert jobs.stats().leased == 0


# Leases that run


SETTLE: dict[str, Callable[[Any], Any]] = {
    "ack": lambda lease: lease.ack(),
    "ack one by one": lambda lease: [lease.ack(item) for item in list(lease)],
    "ack again": lambda lease: lease.ack(again_at=9),
    "release": lambda lease: lease.release(),
    "release later": lambda lease: lease.release(delay=500),
    "reject": lambda lease: lease.reject(),
    "extend": lambda lease: lease.extend(500),
    "block": lambda lease: left(lease, None),
    "block that fails": lambda lease: left(lease, ZeroDivisionError),
}


def left(lease: Any, error: type[Exception] | None) -> None:
    try:
        with lease:
            if error is not None:
                raise error
    except ZeroDivisionError:
        pass


def place_of_each(shared: Strings) -> dict[str, Any]:
    return {
        "ready": dict(shared.items()),
        "leased": {each.item: each.worker for each in shared.leased()},
        "near": [each.item for each in shared.leased() if each.expires < time.time() + 100],
        "dead": list(shared.dead_items),
    }


@pytest.mark.parametrize("names", ["b", "bc", "ba", "bab", "bcb", "babcab"])
@pytest.mark.parametrize("settle", SETTLE.values(), ids=SETTLE)
def test_a_lease_goes_on_under_the_new_name(
    client: redis.Redis, settle: Any, names: str, caplog: pytest.LogCaptureFixture
) -> None:
    worker = filled(client, f"{TAG}a")
    settle(worker.lease(2, ttl=50))
    expected = place_of_each(worker)
    worker.clear()
    worker = filled(client, f"{TAG}a")
    lease = worker.lease(2, ttl=50)
    current = NAMES[0]
    for name in (f"{TAG}{letter}" for letter in names):
        Strings(client, current).rename(name)
        current = name
    settle(lease)
    assert caplog.messages == []
    assert place_of_each(Strings(client, current)) == expected
    for name in set(NAMES) - {current}:
        assert set(Strings(client, name).stats()) == {0}


def test_a_lease_goes_on_where_its_own_handle_was_renamed(jobs: Strings) -> None:
    with jobs.lease(2) as lease:
        jobs.rename(NEW)
        lease.extend()
        lease.ack("a")
        jobs.rename(f"{TAG}newer")
    assert (jobs.stats().leased, list(jobs)) == (0, list("cdef"))


def test_leases_of_two_lives_of_a_name_go_each_their_way(client: redis.Redis) -> None:
    shared = filled(client, f"{TAG}a")
    first = shared.lease(1)
    Strings(client, f"{TAG}a").rename(f"{TAG}b")
    shared.update("uvw")
    second = shared.lease(1)
    Strings(client, f"{TAG}a").rename(f"{TAG}c")
    shared.update("xyz")
    third = shared.lease(1)
    for lease in (second, first, third):
        lease.extend(100)
        lease.ack()
    assert [Strings(client, name).stats().leased for name in NAMES] == [0, 0, 0]
    assert [list(Strings(client, name)) for name in NAMES] == [
        list("yz"),
        list("bcdef"),
        list("vw"),
    ]


def test_what_a_moved_lease_costs(
    client: redis.Redis, jobs: Strings, round_trips: RoundTrips
) -> None:
    lease, others = jobs.lease(3), jobs.lease(1)
    lease.ack("a")
    with round_trips(client) as count:
        lease.extend()
    assert count.value == 1
    Strings(client, OLD).rename(NEW)
    with round_trips(client) as count:
        lease.extend()  # asks the old name, where the set is now, and there
    assert count.value == 3
    with round_trips(client) as count:
        lease.ack("b")
        lease.ack()
    assert count.value == 2
    others.ack()


def test_a_lease_that_ran_out_is_lost_under_the_new_name_too(client: redis.Redis) -> None:
    jobs = filled(client, OLD, "a")
    lease = jobs.lease(1, ttl=0.001)
    Strings(client, OLD).rename(NEW)
    again = Strings(client, NEW).lease(1, timeout=60)
    with pytest.raises(LeaseLost, match=rf"'{OLD}': the lease doesn't hold 'a' any more"):
        lease.ack()
    again.ack()


def test_a_renewal_follows_the_set(client: redis.Redis, jobs: Strings) -> None:
    with jobs.lease(2, ttl=0.3, renew=True) as lease:
        Strings(client, OLD).rename(NEW)
        first = lease.deadline
        until = time.monotonic() + 60
        while lease.deadline < first + 0.5 and time.monotonic() < until:
            time.sleep(0.01)
        assert lease.deadline >= first + 0.5
        assert [each.item for each in Strings(client, NEW).leased()] == ["a", "b"]
    assert Strings(client, NEW).stats().leased == 0


def test_where_a_set_went_is_forgotten_after_its_last_lease(client: redis.Redis) -> None:
    jobs = filled(client, OLD)
    Strings(client, OLD).rename(NEW)
    assert keys(client) == {NEW}  # nothing was on lease
    new = Strings(client, NEW)
    _lease = new.lease(1, ttl=100)
    new.rename(OLD)
    assert 300_000 < client.pttl(companion_of(NEW, "moved")) <= 400_000
    _other = jobs.lease(1, ttl=1e15)
    jobs.rename(f"{TAG}last")
    assert client.pttl(companion_of(OLD, "moved")) > 300_000


@pytest.mark.parametrize("batch", [1, 2, 4])
@pytest.mark.parametrize("own", [False, True])
def test_a_consumer_settles_under_the_new_name(
    client: redis.Redis, jobs: Strings, batch: int, own: bool, caplog: pytest.LogCaptureFixture
) -> None:
    done = []
    for item in jobs.consume(batch, timeout=0):
        done.append(item)
        if len(done) == 2:
            (jobs if own else Strings(client, OLD)).rename(NEW)
            Strings(client, OLD).add("late", 9)
    new = Strings(client, NEW)
    assert caplog.messages == []
    assert new.stats().leased == 0
    if own:
        assert done == list("abcdef")
        return
    taken = list("abcdef"[: 4 if batch == 4 else 2])
    assert done == [*taken, "late"]
    assert list(new) == list("abcdef"[len(taken) :])
    assert new.take(9) == list("abcdef"[len(taken) :])


def test_a_consumer_acknowledges_under_the_new_name_before_it_waits(
    client: redis.Redis, make_client: MakeClient
) -> None:
    jobs = filled(client, OLD, "a")
    stop = threading.Event()
    done = []

    def work() -> None:
        for item in Strings(make_client(), OLD).consume(timeout=None, stop=stop):
            Strings(client, OLD).rename(NEW)
            done.append(item)

    working = Call(work)
    new = Strings(client, NEW)
    until = time.monotonic() + 60
    while (not done or new.stats().leased) and time.monotonic() < until:
        time.sleep(0.01)
    assert (set(new.stats()), len(jobs)) == ({0}, 0)
    stop.set()
    working.result()
    assert done == ["a"]


def test_a_consumer_that_fails_gives_back_under_the_new_name(
    client: redis.Redis, jobs: Strings
) -> None:
    with jobs.consume(3, timeout=0, on_error=lambda item, error: None) as work:
        for item in work:
            if item == "b":
                Strings(client, OLD).rename(NEW)
            with work.attempt():
                assert item != "b"
    new = Strings(client, NEW)
    assert (list(new), new.stats().leased) == (["b", "d", "e", "f"], 0)


def test_what_a_consumer_lost_in_a_large_batch_is_logged_and_it_goes_on(
    client: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """What one request can't acknowledge raised out of the loop if some of it was lost."""
    large = "x" * 700_000
    jobs = filled(client, "jobs", "abcd")
    jobs.update([large, large + "y"])
    done = []
    for item in jobs.consume(6, timeout=0):
        done.append(item)
        if len(done) == 1:
            assert jobs.cancel(item) == 1
    assert len(done) == 6
    assert ["any more" in message for message in caplog.messages] == [True]


# Requests that are sent again


def test_a_rename_that_is_called_again_after_a_lost_reply_loses_nothing(
    client: redis.Redis, server: TestServer, make_client: MakeClient
) -> None:
    with LossyProxy(*server.ports) as proxy:
        once = behind(proxy, make_client, client, 0)
        jobs = filled(once, OLD)
        filled(once, f"{TAG}other").rename(f"{TAG}another")  # the server has the script now
        lease = jobs.lease(1)
        proxy.lose("EVAL", 1)
        with pytest.raises(connection_error(client)):
            jobs.rename(NEW)
        assert proxy.lost == 1
        jobs.rename(NEW)
        assert (jobs.name, list(jobs), jobs.stats().leased) == (NEW, list("bcdef"), 1)
        lease.ack()


@pytest.mark.parametrize("state", ["ready", "leased", "dead"])
def test_a_rename_that_is_repeated_when_the_old_name_has_new_items_is_no_silent_success(
    client: redis.Redis, server: TestServer, make_client: MakeClient, state: str
) -> None:
    with LossyProxy(*server.ports) as proxy:
        once = behind(proxy, make_client, client, 0)
        filled(once, f"{TAG}other").rename(f"{TAG}another")  # the server has the script now
        jobs = filled(once, OLD)
        proxy.lose("EVAL", 1)
        with pytest.raises(connection_error(client)):
            jobs.rename(NEW)
        newer = Strings(once, OLD)
        newer.add("z")
        if state != "ready":
            lease = newer.lease(1)
            if state == "dead":
                lease.reject()
        with pytest.raises(AlreadyRenamed, match="call rename again"):
            newer.rename(NEW)
        assert (newer.name, list(Strings(client, NEW))) == (OLD, list("abcdef"))
        newer.rename(NEW)
        assert (newer.name, sum(newer.stats()[:6]) > 0) == (NEW, True)
        assert list(newer) == (["z"] if state == "ready" else [])
        assert list(newer.dead_items) == (["z"] if state == "dead" else [])


@pytest.mark.parametrize("result", [True, False])
def test_a_rename_to_the_same_name_can_be_repeated_too(
    client: redis.Redis, server: TestServer, make_client: MakeClient, result: bool
) -> None:
    with LossyProxy(*server.ports) as proxy:
        once = behind(proxy, make_client, client, 0)
        filled(once, f"{TAG}other").rename(f"{TAG}another")  # the server has the script now
        jobs = filled(once, OLD)
        renamed = jobs | {"g"} if result else jobs
        proxy.lose("EVAL", 1)
        with pytest.raises(connection_error(client)):
            renamed.rename(renamed.name)
        renamed.rename(renamed.name)
        assert len(renamed) == 6 + result
        assert client.ttl(renamed.name) == -1


def test_a_key_of_another_type_is_neither_renamed_nor_replaced(
    client: redis.Redis, jobs: Strings
) -> None:
    client.hset(NEW, "user", "ann")
    with pytest.raises(KeyTypeError, match=rf"'{NEW}' holds another Redis type .* not replaced"):
        jobs.rename(NEW)
    with pytest.raises(KeyTypeError, match=rf"'{NEW}'"):
        Strings(client, NEW).rename(f"{TAG}third")
    user: Any = client.execute_command("HGET", NEW, "user", NEVER_DECODE=True)
    assert (user, client.exists(f"{TAG}third")) == (b"ann", 0)
    client.delete(NEW)
    jobs.rename(NEW)
    assert list(jobs) == list("abcdef")


def test_a_moved_lease_is_settled_once_whichever_reply_is_lost(
    client: redis.Redis, server: TestServer, make_client: MakeClient
) -> None:
    for place in (1, 2):
        with LossyProxy(*server.ports) as proxy:
            once = behind(proxy, make_client, client, 0)
            jobs = filled(once, OLD)
            jobs.lease(1).ack()  # the server has the scripts now
            lease = jobs.lease(2)
            Strings(client, OLD).rename(NEW)
            proxy.lose("EVAL", place)
            with pytest.raises(connection_error(client)):
                lease.ack()
            assert proxy.lost == 1
            lease.ack()
            assert Strings(client, NEW).stats().leased == 0


def test_what_a_failed_call_was_given_moves_with_the_handle(
    client: redis.Redis, server: TestServer, make_client: MakeClient
) -> None:
    with LossyProxy(*server.ports) as proxy:
        once = behind(proxy, make_client, client, 0)
        jobs = filled(once, OLD)
        filled(once, "x").pop()
        filled(once, "x").lease(1).ack()
        for call in (jobs.pop, jobs.lease):
            proxy.lose("EVAL", 1)
            with pytest.raises(connection_error(client)):
                call()
            proxy.lost = 0
        jobs.rename(NEW)
        assert jobs.pop() == "a"
        with jobs.lease() as lease:
            assert list(lease) == ["b"]
        assert jobs.take(9) == list("cdef")
        assert set(jobs.stats()) == {0}


class Renaming(ClientConnection):
    """A connection that loses a reply, while another thread renames the set."""

    def __init__(self, shared: Strings, name: str = NEW) -> None:
        super().__init__(shared._runner.client)
        self._shared, self._name = shared, name

    def _send(self, batch: Sequence[Command[Any]]) -> list[Any]:
        super()._send(batch)
        self._shared.rename(self._name)
        raise ConnectionError


def test_what_was_given_while_the_set_was_renamed_is_given_again(jobs: Strings) -> None:
    jobs._runner.connection = Renaming(jobs)
    with pytest.raises(ConnectionError):
        jobs.take(2)
    assert (jobs.name, jobs.take(2)) == (NEW, ["a", "b"])


def test_a_companion_of_another_type_moves_nothing(client: redis.Redis, jobs: Strings) -> None:
    _lease = jobs.lease(1)
    for key in (companion_of(OLD, "moved"), companion_of(OLD, "leased")):
        client.delete(key)
        client.set(key, "a stranger's")
        with pytest.raises(KeyTypeError, match=rf"'{OLD}': .*companion keys"):
            jobs.rename(NEW)
        assert (len(jobs), jobs.name, client.exists(NEW)) == (5, OLD, 0)
        client.delete(key)


RIGHTS = [
    "rename",
    "unlink",
    "exists",
    "persist",
    "set",
    "get",
    "zadd",
    "pexpire",
    "time",
    "publish",
]


@pytest.mark.parametrize("command", [*RIGHTS, "zremrangebyscore", "zremrangebyrank", "zrange"])
def test_an_account_that_may_not_do_a_part_of_it_loses_nothing(
    client: redis.Redis, make_client: MakeClient, command: str
) -> None:
    """What is replaced would be gone, or what was moved be replaced by the next try."""
    client.execute_command("ACL", "SETUSER", "w", "reset", "on", ">w", "~*", "&*", "+@all")
    try:
        theirs = make_client(username="w", password="w")
        for kind in ("lasting", "result"):
            client.flushdb()
            made, target = filled(theirs, OLD), filled(client, NEW, "xyz")
            made = made if kind == "lasting" else made | {"g"}
            items = set(made)
            if kind == "lasting":
                lease = made.lease(2)
            held = target.lease(1)
            client.execute_command("ACL", "SETUSER", "w", f"-{command}")
            with contextlib.suppress(Exception):
                made.rename(NEW)
            if made.name != NEW:
                assert set(target) == {"y", "z"}
                held.extend()
            client.execute_command("ACL", "SETUSER", "w", f"+{command}")
            made.rename(NEW)
            if kind == "lasting":
                lease.release()
            assert set(Strings(client, NEW)) == items
    finally:
        client.execute_command("ACL", "DELUSER", "w")


def test_a_set_is_renamed_also_if_memory_is_short(client: redis.Redis, jobs: Strings) -> None:
    lease = jobs.lease(1)
    with memory_is_short(client):
        with pytest.raises(Exception, match="maxmemory"):
            jobs.add("more")
        jobs.rename(NEW)
        lease.ack()
    assert (list(jobs), jobs.stats().leased) == (list("bcdef"), 0)


# Who waits


def test_consumers_of_the_new_name_are_woken(client: redis.Redis, make_client: MakeClient) -> None:
    waiting = Call(Strings(make_client(), NEW).pop, timeout=None)
    wait_for_watchers(client, 1)
    filled(client, OLD, "a").rename(NEW)
    assert waiting.result() == "a"


def test_consumers_of_the_new_name_learn_of_deadlines(
    client: redis.Redis, make_client: MakeClient
) -> None:
    """Nothing is ready: what is on lease comes back, sooner than they would look."""
    jobs = filled(client, OLD, "a")
    _lease = jobs.lease(1, ttl=1.0)
    waiting = Call(Strings(make_client(), NEW).pop, timeout=10)
    wait_for_watchers(client, 1)
    jobs.rename(NEW)
    assert waiting.result() == "a"


# All of it at once


class Renames(RuleBasedStateMachine):
    """Three names, sets that go from one to another, and leases that must find theirs."""

    client: redis.Redis
    names = st.sampled_from(NAMES)

    @initialize()
    def begin(self) -> None:
        self.client.flushall()
        self.sets = {name: Strings(self.client, name) for name in NAMES}
        self.ready: dict[str, set[int]] = {name: set() for name in NAMES}
        self.leases: list[tuple[Any, set[int], list[str | None]]] = []
        self.number = 0

    @rule(name=names, count=st.integers(1, 4))
    def add(self, name: str, count: int) -> None:
        for _ in range(count):
            self.number += 1
            self.sets[name].add(self.number, self.number)
            self.ready[name].add(self.number)

    @rule(name=names, count=st.integers(1, 3))
    def lease(self, name: str, count: int) -> None:
        lease = self.sets[name].lease(count, ttl=1_000)
        assert set(lease) == set(sorted(self.ready[name])[:count])
        self.ready[name] -= set(lease)
        self.leases.append((lease, set(lease), [name]))

    @rule(one=names, other=names)
    def rename(self, one: str, other: str) -> None:
        Strings(self.client, one).rename(other)
        if one != other:
            self.replace(other, self.ready[one])
            self.ready[one] = set()
            for _, _, place in self.leases:
                if place == [one]:
                    place[0] = other

    @rule(one=names, other=names)
    def copy(self, one: str, other: str) -> None:
        Strings(self.client, one).copy(into=other)
        if one != other:
            self.replace(other, set(self.ready[one]))

    def replace(self, name: str, ready: set[int]) -> None:
        self.ready[name] = ready
        for _, _, place in self.leases:
            if place == [name]:
                place[0] = None

    @rule(data=st.data(), verb=st.sampled_from(["ack", "release", "extend"]))
    def settle(self, data: Any, verb: str) -> None:
        if not self.leases:
            return
        index = data.draw(st.integers(0, len(self.leases) - 1))
        lease, items, [place] = self.leases[index]
        if verb != "extend":
            del self.leases[index]
        if place is None and items:
            with pytest.raises(LeaseLost):
                getattr(lease, verb)()
            items.clear()
            return
        getattr(lease, verb)()
        if verb == "release" and place is not None:
            self.ready[place] |= items

    @invariant()
    def all_is_where_it_belongs(self) -> None:
        for name in NAMES:
            assert set(self.sets[name]) == self.ready[name]
            held = [item for _, items, place in self.leases if place == [name] for item in items]
            assert sorted(each.item for each in self.sets[name].leased()) == sorted(held)


def test_whatever_is_renamed_each_lease_finds_its_set(
    client: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    Renames.client = client
    run_state_machine_as_test(Renames)
    assert caplog.messages == []
