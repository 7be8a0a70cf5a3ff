"""Waiting: consumers that block until something is there or due, without asking again and again."""

import contextlib
import importlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

import pytest
import redis

import redset._transport.subscription
from redset import RedisSortedSet, ScheduledSet, SortedSet
from redset._protocol.outlook import Outlook
from redset._transport.subscription import KeySubscription
from redset.exceptions import EmptySetError, InvalidTypeError, InvalidValueError
from tests.server.conftest import MakeClient, RoundTrips, errors_of, retry_options
from tests.servers import TestServer

# Far longer than anything here takes: who waits for so long was not woken.
WAIT = 60.0

Strings = SortedSet[str]


@pytest.fixture
def jobs(client: redis.Redis) -> Strings:
    return SortedSet(client, "jobs")


@pytest.fixture(autouse=True)
def no_look_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody looks by himself: what is found in time, somebody was told of."""
    monkeypatch.setattr(redset._transport.subscription, "RECHECK_INTERVAL", 10 * WAIT)


class Call(threading.Thread):
    """A call in a thread, which is seen to wait before it is let go on."""

    def __init__(self, function: Callable[..., Any], *args: Any, **options: Any) -> None:
        super().__init__(daemon=True)
        self._function, self._args, self._options = function, args, options
        self._outcome: tuple[Any, BaseException | None] = None, None
        self.start()

    def run(self) -> None:
        try:
            self._outcome = self._function(*self._args, **self._options), None
        except BaseException as error:
            self._outcome = None, error

    def result(self) -> Any:
        self.join(WAIT)
        assert not self.is_alive(), "it was not woken"
        if self._outcome[1] is not None:
            raise self._outcome[1]
        return self._outcome[0]


def watchers(client: redis.Redis) -> int:
    """How many connections of the server wait to be told of a change."""
    listing: Any = client.execute_command("CLIENT", "LIST", NEVER_DECODE=True)
    lines = listing if isinstance(listing, bytes) else repr(listing).encode()
    return lines.count(b"sub=2 ") or lines.count(b"'sub': '2'")


def wait_for_watchers(client: redis.Redis, number: int) -> None:
    deadline = time.monotonic() + WAIT
    while watchers(client) != number:
        assert time.monotonic() < deadline, watchers(client)
        time.sleep(0.005)


def keys(client: redis.Redis) -> set[bytes]:
    found: Any = client.execute_command("KEYS", "*", NEVER_DECODE=True)
    return {key for key in found if b":given:" not in key}


# What wakes


def add_plainly(jobs: Strings) -> None:
    jobs._runner.client.zadd("jobs", {"a": 0})


def beside(jobs: Strings) -> Strings:
    """A set in the same slot of a cluster."""
    return SortedSet(jobs._runner.client, "{jobs}x")


WAYS: dict[str, Callable[[Strings], Any]] = {
    "add": lambda jobs: jobs.add("a"),
    "update": lambda jobs: jobs.update(["a"]),
    "insert": lambda jobs: jobs.insert("a"),
    "a plain ZADD": add_plainly,
    "a plain ZINCRBY": lambda jobs: jobs._runner.client.zincrby("jobs", 1, "a"),
    "a renamed key": lambda jobs: beside(jobs).rename("jobs"),
    "a combination": lambda jobs: beside(jobs).union([], into="jobs"),
    "a copy": lambda jobs: beside(jobs).copy(into="jobs"),
    "a script of algebra": lambda jobs: jobs.update(beside(jobs)),
}


@pytest.mark.parametrize("way", WAYS)
def test_whatever_adds_an_item_wakes_who_waits(
    client: redis.Redis, make_client: MakeClient, jobs: Strings, way: str
) -> None:
    SortedSet[str](client, "{jobs}x").add("a")
    waiting = Call(SortedSet[str](make_client(), "jobs").pop, timeout=None)
    wait_for_watchers(client, 1)
    WAYS[way](jobs)
    assert waiting.result() == "a"
    wait_for_watchers(client, 0)
    client.delete("{jobs}x")
    assert keys(client) == set()


@pytest.mark.parametrize(
    ("call", "result"),
    [
        (lambda jobs: jobs.pop(timeout=WAIT), "a"),
        (lambda jobs: jobs.take(3, timeout=WAIT), ["a"]),
        (lambda jobs: list(jobs.lease(3, timeout=WAIT)), ["a"]),
        (lambda jobs: next(jobs.consume(timeout=WAIT)), "a"),
    ],
)
def test_every_way_to_take_can_wait(
    client: redis.Redis, jobs: Strings, call: Callable[[Strings], Any], result: Any
) -> None:
    waiting = Call(call, jobs)
    wait_for_watchers(client, 1)
    jobs.add("a")
    assert waiting.result() == result


def test_what_is_there_is_not_waited_for(
    client: redis.Redis, jobs: Strings, round_trips: RoundTrips
) -> None:
    jobs.update(["a", "b", "c"])
    with round_trips(client) as count:
        assert jobs.pop(timeout=None) == "a"
        assert jobs.take(1, timeout=WAIT) == ["b"]
        assert list(jobs.lease(5, timeout=None)) == ["c"]
    assert count.value == 3


@pytest.mark.parametrize("timeout", [0, 0.05])
def test_nothing_came_in_time(client: redis.Redis, jobs: Strings, timeout: float) -> None:
    with pytest.raises(EmptySetError, match="jobs"):
        jobs.pop(timeout=timeout)
    assert jobs.take(1, timeout=timeout) == []
    assert not jobs.lease(1, timeout=timeout)
    assert list(jobs.consume(timeout=timeout)) == []
    wait_for_watchers(client, 0)
    assert keys(client) == set()


def test_changes_of_other_sets_wake_nobody(
    client: redis.Redis, jobs: Strings, round_trips: RoundTrips, make_client: MakeClient
) -> None:
    waiting = Call(jobs.pop, timeout=None)
    wait_for_watchers(client, 1)
    other = make_client()
    for name in ("jobs2", "job", "jobs:x", "{jobs}"):
        other.zadd(name, {"{jobs}x": 1})
    with round_trips(client) as count:
        time.sleep(0.2)
    assert count.value == 0
    jobs.add("a")
    assert waiting.result() == "a"


def test_an_idle_consumer_asks_seldom(
    client: redis.Redis, jobs: Strings, round_trips: RoundTrips, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At most 60 round trips a minute: the first look and the watch, then 4."""
    with round_trips(client) as count:
        assert jobs.take(1, timeout=0.5) == []
    assert count.value <= 8
    monkeypatch.undo()
    assert 60 / redset._transport.subscription.RECHECK_INTERVAL <= 4
    assert 60 / redset._transport.subscription.POLL_SECONDS <= 60


def test_one_item_more_wakes_one_taker_and_leaves_the_others(
    client: redis.Redis, make_client: MakeClient, jobs: Strings
) -> None:
    waiting = [Call(SortedSet[str](make_client(), "jobs").take, 1, timeout=None) for _ in range(8)]
    wait_for_watchers(client, 8)
    for number in range(8):
        jobs.add(str(number))
        wait_for_watchers(client, 7 - number)
    assert sorted(call.result()[0] for call in waiting) == [str(number) for number in range(8)]


def test_many_items_at_once_wake_as_many_takers(
    client: redis.Redis, make_client: MakeClient, jobs: Strings
) -> None:
    waiting = [Call(SortedSet[str](make_client(), "jobs").take, 1, timeout=None) for _ in range(8)]
    wait_for_watchers(client, 8)
    jobs.update(map(str, range(8)))
    assert sorted(call.result()[0] for call in waiting) == [str(number) for number in range(8)]


def test_crowds_learn_to_let_one_go_first(
    client: redis.Redis, make_client: MakeClient, jobs: Strings
) -> None:
    """Once all have been woken for nothing a few times, few ask for one item."""
    crowd = 20
    stop = threading.Event()

    def consume() -> None:
        mine: Strings = SortedSet(make_client(), "jobs")
        while not stop.is_set():
            with contextlib.suppress(KeyError):
                mine.pop(timeout=WAIT)

    consumers = [Call(consume) for _ in range(crowd)]
    wait_for_watchers(client, crowd)
    rounds, calls = 40, []
    for number in range(rounds):
        client.config_resetstat()
        jobs.add(str(number))
        deadline = time.monotonic() + WAIT
        while len(jobs) and time.monotonic() < deadline:
            time.sleep(0.001)
        wait_for_watchers(client, crowd)
        time.sleep(0.05)
        stats: Any = client.info("commandstats")
        calls.append(stats["cmdstat_evalsha"]["calls"])
    stop.set()
    jobs.update(f"end {number}" for number in range(crowd))
    for consumer in consumers:
        consumer.result()
    assert sorted(calls[rounds // 2 :])[rounds // 4] < crowd


# What becomes due


def test_a_scheduled_item_is_taken_when_it_is_due(client: redis.Redis) -> None:
    later: ScheduledSet[str] = ScheduledSet(client, "later")
    due = time.time() + 0.3
    later.add("a", due)
    waiting = Call(later.pop, timeout=None)
    assert waiting.result() == "a"
    assert time.time() >= due


def test_an_earlier_item_is_not_waited_past(client: redis.Redis, make_client: MakeClient) -> None:
    later: ScheduledSet[str] = ScheduledSet(client, "later")
    later.add("in an hour", time.time() + 3600)
    waiting = Call(ScheduledSet[str](make_client(), "later").pop, timeout=None)
    wait_for_watchers(client, 1)
    later.add("soon", time.time() + 0.1)
    assert waiting.result() == "soon"


def test_what_is_not_due_in_time_is_not_waited_for(client: redis.Redis) -> None:
    later: ScheduledSet[str] = ScheduledSet(client, "later")
    later.add("in an hour", time.time() + 3600)
    assert later.take(1, timeout=0.05) == []
    assert len(later) == 1


def test_a_lease_that_runs_out_wakes_who_waits(
    client: redis.Redis, make_client: MakeClient, jobs: Strings
) -> None:
    jobs.add("a")
    jobs.lease(1, ttl=0.3)
    assert SortedSet[str](make_client(), "jobs").pop(timeout=WAIT) == "a"


@pytest.mark.parametrize(
    "begin",
    [
        lambda jobs: jobs.lease(1, ttl=0.1),
        lambda jobs: jobs.lease(1, ttl=60).release(delay=0.1),
    ],
)
def test_who_waits_is_told_of_a_deadline_that_nobody_could_know_of(
    client: redis.Redis, make_client: MakeClient, begin: Callable[[Strings], Any]
) -> None:
    now = [100.0]
    mine: ScheduledSet[str] = ScheduledSet(make_client(), "later", clock=lambda: now[0])
    ahead: ScheduledSet[str] = ScheduledSet(client, "later", clock=lambda: 3700.0)
    ahead.add("in an hour")
    waiting = Call(mine.pop, timeout=None)
    wait_for_watchers(client, 1)
    begin(ahead)
    now[0] = 3700.0
    assert waiting.result() == "in an hour"


def test_a_released_item_wakes_who_waits(
    client: redis.Redis, make_client: MakeClient, jobs: Strings
) -> None:
    jobs.add("a")
    batch = jobs.lease(1)
    waiting = Call(SortedSet[str](make_client(), "jobs").pop, timeout=None)
    wait_for_watchers(client, 1)
    batch.release()
    assert waiting.result() == "a"


# Trouble


def test_no_command_waits_longer_than_the_socket_timeout(
    client: redis.Redis, make_client: MakeClient, jobs: Strings
) -> None:
    impatient = make_client(socket_timeout=0.2)
    waiting = Call(SortedSet[str](impatient, "jobs").pop, timeout=None)
    wait_for_watchers(client, 1)
    time.sleep(0.7)
    jobs.add("a")
    assert waiting.result() == "a"


def test_a_wait_survives_the_loss_of_its_connection(
    client: redis.Redis, make_client: MakeClient, jobs: Strings, server: TestServer
) -> None:
    waiting = Call(SortedSet[str](make_client(), "jobs").pop, timeout=None)
    wait_for_watchers(client, 1)
    client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
    wait_for_watchers(client, 1)
    jobs.add("a")
    assert waiting.result() == "a"


def test_a_flushed_database_and_scripts_are_survived(
    client: redis.Redis, make_client: MakeClient, jobs: Strings
) -> None:
    waiting = Call(SortedSet[str](make_client(), "jobs").pop, timeout=None)
    wait_for_watchers(client, 1)
    client.script_flush()
    client.flushall()
    jobs.add("a")
    assert waiting.result() == "a"


@pytest.mark.parametrize("library", ["redis", "valkey"])
def test_a_parser_in_python_reads_that_all_was_flushed(
    server: TestServer, client: redis.Redis, jobs: Strings, library: str
) -> None:
    package = pytest.importorskip(library)
    connection = importlib.import_module(f"{library}.connection")
    pool = connection.ConnectionPool(
        port=server.port,  # redis-py 7.0 speaks no RESP3 over a unix socket
        protocol=3,
        parser_class=importlib.import_module(f"{library}._parsers")._RESP2Parser,
    )
    other: Any = getattr(package, library.capitalize())(connection_pool=pool)
    for _ in range(2):
        # In RESP2, which it speaks to be told, the message of a flush has a null.
        waiting = Call(SortedSet[str](other, "jobs").pop, timeout=None)
        wait_for_watchers(client, 1)
        client.flushall()
        jobs.add("a")
        assert waiting.result() == "a"
    pool.disconnect()


@pytest.mark.parametrize("size", [1, 2])
def test_a_pool_of_one_connection_is_enough(
    client: redis.Redis, make_client: MakeClient, jobs: Strings, size: int
) -> None:
    narrow = make_client(max_connections=size)
    waiting = Call(SortedSet[str](narrow, "jobs").pop, timeout=None)
    if size > 1:
        wait_for_watchers(client, 1)
    time.sleep(0.1)
    jobs.add("a")
    assert waiting.result() == "a"


def test_threads_that_wait_leave_half_of_the_pool_to_be_asked_with(
    client: redis.Redis, make_client: MakeClient, jobs: Strings
) -> None:
    pools = importlib.import_module(f"{type(client).__module__.partition('.')[0]}.connection")
    options = make_client().connection_pool.connection_kwargs
    narrow = make_client()
    narrow.connection_pool = pools.BlockingConnectionPool(
        max_connections=4,
        timeout=WAIT,
        connection_class=make_client().connection_pool.connection_class,
        **options,
    )
    waiting = [Call(SortedSet[str](narrow, "jobs").take, 1, timeout=None) for _ in range(8)]
    wait_for_watchers(client, 2)
    assert narrow.ping()
    jobs.update(map(str, range(8)))
    assert sorted(call.result()[0] for call in waiting) == [str(number) for number in range(8)]
    narrow.connection_pool.disconnect()


def test_who_may_not_watch_looks_every_second(
    client: redis.Redis, make_client: MakeClient, jobs: Strings
) -> None:
    client.execute_command(
        *("ACL", "SETUSER", "blind", "on", "nopass", "~*", "+@all", "-client", "-subscribe")
    )
    try:
        blind = make_client(username="blind", password="any")
        waiting = Call(SortedSet[str](blind, "jobs").pop, timeout=None)
        time.sleep(0.1)
        jobs.add("a")
        assert waiting.result() == "a"
    finally:
        client.execute_command("ACL", "DELUSER", "blind")


def test_a_connection_that_watched_serves_others_as_before(
    client: redis.Redis, make_client: MakeClient, jobs: Strings
) -> None:
    one = make_client(max_connections=2)
    mine: Strings = SortedSet(one, "jobs")
    for number in range(5):
        assert mine.take(1, timeout=0.01) == []
        mine.add(str(number))
        assert mine.take(1, timeout=0.01) == [str(number)]
        assert one.ping()
    assert watchers(client) == 0


WAITER = """
import sys, redis, redset
jobs = redset.SortedSet(redis.Redis(unix_socket_path=sys.argv[1]), "jobs")
try:
    jobs.pop(timeout=None)
except KeyboardInterrupt:
    print("interrupted", jobs.add("after"))
"""


def test_ctrl_c_ends_a_wait_without_end(client: redis.Redis, server: TestServer) -> None:
    waiting = subprocess.Popen(
        [sys.executable, "-c", WAITER, server.unix_socket], stdout=subprocess.PIPE, text=True
    )
    wait_for_watchers(client, 1)
    waiting.send_signal(signal.SIGINT)
    assert waiting.communicate(timeout=WAIT)[0] == "interrupted 0.0\n"
    assert keys(client) == {b"jobs"}


def test_a_waiter_that_is_killed_leaves_nothing(client: redis.Redis, server: TestServer) -> None:
    with subprocess.Popen([sys.executable, "-c", WAITER, server.unix_socket]) as waiting:
        wait_for_watchers(client, 1)
        os.kill(waiting.pid, signal.SIGKILL)
    wait_for_watchers(client, 0)
    assert keys(client) == set()


# Consuming


def test_consumed_items_are_done_when_the_next_is_asked_for(
    client: redis.Redis, jobs: Strings
) -> None:
    jobs.update("abc")
    consumed = jobs.consume(timeout=0)
    assert next(consumed) == "a"
    assert jobs.stats()[:3] == (2, 2, 1)
    assert next(consumed) == "b"
    assert jobs.stats()[:3] == (1, 1, 1)
    assert list(consumed) == ["c"]
    assert sum(jobs.stats()) == 0


@pytest.mark.parametrize("batch", [1, 2, 3, 10])
def test_an_item_whose_turn_fails_is_given_back(jobs: Strings, batch: int) -> None:
    jobs.update("abcdef")
    with pytest.raises(ZeroDivisionError):
        for job in jobs.consume(batch, timeout=0):
            if job == "d":
                raise ZeroDivisionError
    assert list(jobs) == ["d", "e", "f"]
    assert jobs.stats().leased == 0


def test_a_broken_off_loop_gives_its_item_back(jobs: Strings) -> None:
    jobs.update("ab")
    for _job in jobs.consume():
        break
    assert list(jobs) == ["a", "b"]


def test_a_busy_loop_begins_to_watch_once(
    client: redis.Redis, jobs: Strings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("redset._transport.driver.SOON_SECONDS", WAIT)
    begun: list[object] = []
    begin = KeySubscription._begin

    def noted_begin(subscription: KeySubscription, outlook: Outlook) -> None:
        begun.append(subscription)
        begin(subscription, outlook)

    monkeypatch.setattr(KeySubscription, "_begin", noted_begin)

    def feed(job: str) -> None:
        while not begun or len(jobs):  # until the loop waits for it
            time.sleep(0.001)
        jobs.add(job)

    names = [f"job {number}" for number in range(20)]
    with ThreadPoolExecutor(1) as pool:
        fed = [pool.submit(feed, name) for name in names]
        done = list(islice(jobs.consume(timeout=WAIT), len(names)))
        assert (done, [each.result() for each in fed]) == (names, [None] * len(names))
    assert len(begun) == 1
    wait_for_watchers(client, 0)


def test_what_was_said_while_a_loop_worked_is_passed_over(
    client: redis.Redis, jobs: Strings, round_trips: RoundTrips, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("redset._transport.driver.SOON_SECONDS", WAIT)
    jobs.add("first")
    loop = jobs.consume(timeout=WAIT)
    assert next(loop) == "first"
    with ThreadPoolExecutor(1) as pool:
        second = pool.submit(next, loop)
        wait_for_watchers(client, 1)
        jobs.add("second")
        assert second.result() == "second"
        for _ in range(100):
            jobs.add("other")
            jobs.discard("other")
        with round_trips(client) as count:
            third = pool.submit(next, loop)
            time.sleep(0.3)
            jobs.add("third")
            assert third.result() == "third"
    # The acknowledgement, two looks, the addition, and a look when it is heard of.
    assert count.value <= 6
    loop.close()


@pytest.mark.parametrize(("batch", "trips"), [(1, 101), (50, 3), (100, 2)])
def test_a_batch_is_consumed_in_one_round_trip(
    client: redis.Redis, jobs: Strings, round_trips: RoundTrips, batch: int, trips: int
) -> None:
    jobs.update(map(str, range(100)))
    with round_trips(client) as count:
        assert len(list(jobs.consume(batch, timeout=0))) == 100
    # The last one acknowledges the last batch, and finds nothing.
    assert count.value == trips


def test_a_loop_goes_on_when_an_item_was_lost(
    client: redis.Redis, jobs: Strings, caplog: pytest.LogCaptureFixture
) -> None:
    jobs.update("ab")
    seen = []
    for job in jobs.consume(ttl=0.01, renew=False, timeout=0):
        seen.append(job)
        if len(seen) == 1:
            time.sleep(0.05)
            assert jobs.take(1) == ["a"]
    assert seen == ["a", "b"]
    assert "it ran out" in caplog.text


def test_consumers_share_what_many_producers_add(
    client: redis.Redis, make_client: MakeClient
) -> None:
    total, done = 400, []

    def consume() -> None:
        mine: RedisSortedSet[int] = RedisSortedSet(make_client(), "numbers")
        for number in mine.consume(5, timeout=None):
            if number < 0:
                mine.add(number - 1)
                return
            done.append(number)

    consumers = [Call(consume) for _ in range(4)]
    numbers: RedisSortedSet[int] = RedisSortedSet(client, "numbers", scorer=lambda n: -n)
    for first in range(0, total, 40):
        numbers.update(range(first, first + 40))
    deadline = time.monotonic() + WAIT
    while len(done) < total:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    numbers.add(-1, score=0)
    for consumer in consumers:
        consumer.result()
    assert sorted(done) == list(range(total))


# Bad input


@pytest.mark.parametrize(
    ("timeout", "error"),
    [
        (-1, InvalidValueError),
        (float("nan"), InvalidValueError),
        (float("inf"), InvalidValueError),
        ("1", InvalidTypeError),
        (True, InvalidTypeError),
    ],
)
def test_a_timeout_that_is_none_is_named_before_anything_is_sent(
    client: redis.Redis,
    jobs: Strings,
    round_trips: RoundTrips,
    timeout: Any,
    error: type[Exception],
) -> None:
    calls: Iterator[Callable[[], Any]] = iter(
        [
            lambda: jobs.pop(timeout=timeout),
            lambda: jobs.take(1, timeout=timeout),
            lambda: jobs.take(0, timeout=timeout),
            lambda: jobs.lease(1, timeout=timeout),
            lambda: next(jobs.consume(timeout=timeout)),
        ]
    )
    with round_trips(client) as count:
        for call in calls:
            with pytest.raises(error, match="redset 'jobs': timeout"):
                call()
        with pytest.raises(InvalidValueError, match="redset 'jobs': batch"):
            next(jobs.consume(0))
    assert count.value == 0


def test_a_key_of_another_type_is_named_while_waiting(client: redis.Redis, jobs: Strings) -> None:
    waiting = Call(jobs.pop, timeout=None)
    wait_for_watchers(client, 1)
    client.set("jobs", "text")
    with pytest.raises(TypeError, match="redset 'jobs'"):
        waiting.result()


def test_a_server_that_is_down_raises_what_the_client_raises(
    server: TestServer,
    client: redis.Redis,
    make_client: MakeClient,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("redset._plans.waiting.OUTAGE_SECONDS", 0.0)
    options: dict[str, Any] = {}
    with TestServer.start(server.kind) as other:
        options = {"port": other.port, "host": "127.0.0.1", **retry_options(client, 0)}
        waiting = Call(SortedSet[str](make_client(**options), "jobs").pop, timeout=None)
        with redis.Redis(port=other.port) as janitor:
            wait_for_watchers(janitor, 1)
        other.kill()
        with pytest.raises(errors_of(client)[0]):
            waiting.result()
