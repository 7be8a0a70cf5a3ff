"""Key subscriptions of threads: what they cost others, and what an interruption leaves behind."""

import contextlib
import ctypes
import importlib
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import redis

import redset._transport.subscription
from redset import ScheduledSet, SortedSet
from redset._protocol.config import WaitForChange
from redset._protocol.outlook import Outlook, Place
from redset._transport import compat
from redset._transport.subscription import KeySubscription, _subscriptions_of, evict_one
from tests.interrupts import each_interrupt
from tests.server.conftest import MakeClient, until
from tests.server.test_waiting import WAIT, Call, Strings, wait_for_watchers, watchers


@pytest.fixture(autouse=True)
def no_recheck(monkeypatch: pytest.MonkeyPatch) -> None:
    """No consumer looks by itself: what is found in time, it was notified of."""
    monkeypatch.setattr(redset._transport.subscription, "RECHECK_INTERVAL", 10 * WAIT)


@pytest.fixture
def jobs(client: redis.Redis) -> Strings:
    return SortedSet(client, "jobs")


def wait_for_listeners(client: redis.Redis, number: int) -> None:
    """Wait until as many threads have subscribed by *client*, looked, and do nothing but listen."""

    def listening() -> bool:
        subscriptions = list(_subscriptions_of(client.connection_pool).values())
        armed = [each for each in subscriptions if each._armed and is_free(each._use)]
        return len(armed) == number

    until(listening)


def is_free(lock: Any) -> bool:
    """Whether no other thread holds *lock*."""
    if acquired := lock.acquire(blocking=False):
        lock.release()
    return bool(acquired)


def in_use(client: redis.Redis) -> int:
    """How many connections of the pool are in use, but for those that redset keeps."""
    pool: Any = client.connection_pool
    idle = pool._redset_pinned.get()._idle
    return len(pool._in_use_connections) - len(idle)


@contextmanager
def counted_reads(client: redis.Redis, thread: threading.Thread) -> Iterator[list[Any]]:
    """What *thread* reads of connections: replies and messages."""
    library = type(client).__module__.partition(".")[0]
    connection = importlib.import_module(f"{library}.connection").AbstractConnection
    read = connection.read_response
    found: list[Any] = []

    def noted(self: Any, *args: Any, **options: Any) -> Any:
        reply = read(self, *args, **options)
        if threading.current_thread() is thread:
            found.append(reply)
        return reply

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(connection, "read_response", noted)
        yield found


# What is told


def test_wait_other_keys_that_begin_alike_send_nothing(
    client: redis.Redis, make_client: MakeClient, jobs: Strings
) -> None:
    waiting = Call(jobs.pop, timeout=None)
    wait_for_listeners(client, 1)
    other = make_client()
    with counted_reads(client, waiting) as reads:
        for number in range(200):
            other.set(f"jobs:{number}", "x")
            other.zadd("jobs2", {"x": number})
        time.sleep(0.2)
        assert reads == []
    jobs.add("a")
    assert waiting.result() == "a"


def test_drain_after_many_changes_reads_one_message(client: redis.Redis, jobs: Strings) -> None:
    subscription = KeySubscription(client, (b"jobs",))
    step = WaitForChange(Outlook(Place(b"jobs", None)), 0.0)
    assert subscription.wait(step) is False
    for number in range(200):
        jobs.add(str(number))
    with counted_reads(client, threading.current_thread()) as reads:
        subscription.drain()
        assert len(reads) == 1
    # What is there was told by no message, but is found by the next look.
    assert subscription.wait(step) is True
    subscription.close()


def test_extend_to_an_earlier_deadline_wakes_consumers(
    client: redis.Redis, make_client: MakeClient, jobs: Strings
) -> None:
    jobs.add("a")
    batch = jobs.lease(1, ttl=3600)
    own = make_client()
    waiting = Call(SortedSet[str](own, "jobs").pop, timeout=None)
    wait_for_listeners(own, 1)
    batch.extend(0.2)
    assert waiting.result() == "a"


def test_extend_to_a_later_deadline_tells_nothing(
    client: redis.Redis, make_client: MakeClient, jobs: Strings
) -> None:
    jobs.update("ab")
    batch, other = jobs.lease(1, ttl=WAIT), jobs.lease(1, ttl=WAIT)
    own = make_client()
    waiting = Call(SortedSet[str](own, "jobs").pop, timeout=None)
    wait_for_listeners(own, 1)
    with counted_reads(client, waiting) as reads:
        for _ in range(20):
            batch.extend(2 * WAIT)
        time.sleep(0.1)
        assert reads == []
    other.release()
    assert waiting.result() == "b"


def test_wait_of_a_client_that_renames_keys_polls(make_client: MakeClient) -> None:
    plain = make_client()
    plain.flushall()

    class Prefixed(type(plain)):  # type: ignore[misc]
        def execute_command(self, *args: Any, **options: Any) -> Any:
            words = [b"own:jobs" if word in ("jobs", b"jobs") else word for word in args]
            return super().execute_command(*words, **options)

    pool = make_client().connection_pool
    waiting = Call(SortedSet[str](Prefixed(connection_pool=pool), "jobs").pop, timeout=WAIT)
    time.sleep(0.2)
    assert watchers(plain) == 0
    SortedSet[str](plain, "own:jobs").add("a")
    assert waiting.result() == "a"


# How many connections it takes


@pytest.mark.parametrize("size", [2, 3, 16, 100])
def test_as_many_consumers_as_connections_all_get_their_items(
    client: redis.Redis, make_client: MakeClient, size: int
) -> None:
    shared = make_client(max_connections=size)
    waiting = [Call(SortedSet[str](shared, "jobs").pop, timeout=WAIT) for _ in range(size)]
    wait_for_watchers(client, size // 2)
    SortedSet[str](client, "jobs").update(map(str, range(size)))
    assert sorted(call.result() for call in waiting) == sorted(map(str, range(size)))


def test_evict_one_takes_the_connection_of_a_waiting_consumer(
    client: redis.Redis, make_client: MakeClient
) -> None:
    shared = make_client(max_connections=8)
    waiting = [Call(SortedSet[str](shared, "jobs").take, 1, timeout=None) for _ in range(3)]
    wait_for_listeners(shared, 3)
    for left in (2, 1, 0):
        assert evict_one(shared.connection_pool)
        wait_for_watchers(client, left)
    assert not evict_one(shared.connection_pool)
    # They poll from now on.
    SortedSet[str](client, "jobs").update("abc")
    assert sorted(call.result() for call in waiting) == [["a"], ["b"], ["c"]]
    assert in_use(shared) == 0


def test_evicted_consumer_does_not_sleep_on_another_socket_of_the_same_number(
    client: redis.Redis, make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It had told the system the number, and another connection was given that before it slept."""
    shared = make_client(max_connections=8)
    opened: list[Any] = []

    class Poll:
        def __init__(self) -> None:
            self._poll = poll()

        def register(self, *about: Any) -> None:
            self._poll.register(*about)
            if not opened and evict_one(shared.connection_pool):
                opened.extend(socket.socketpair())
                opened.extend(socket.socketpair())

        def poll(self, *about: Any) -> Any:
            return self._poll.poll(*about)

    poll, Poll.__module__ = select.poll, "select"
    monkeypatch.setattr("redset._transport.subscription.select.poll", Poll)
    waiting = Call(SortedSet[str](shared, "jobs").pop, timeout=None)
    until(lambda: bool(opened))
    SortedSet[str](client, "jobs").add("a")
    assert waiting.result() == "a"
    for each in opened:
        each.close()


def test_evict_one_takes_the_connection_of_a_busy_consumer(
    client: redis.Redis, make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("redset._transport.driver.SOON_SECONDS", WAIT)
    mine = make_client(max_connections=8)
    jobs: Strings = SortedSet(mine, "jobs")
    jobs.add("a")
    loop = jobs.consume(timeout=WAIT)
    assert next(loop) == "a"
    second = Call(next, loop)
    wait_for_listeners(mine, 1)
    jobs.add("b")
    assert second.result() == "b"
    assert evict_one(mine.connection_pool)
    third = Call(next, loop)
    time.sleep(0.1)
    jobs.add("c")
    assert third.result() == "c"
    loop.close()
    assert in_use(mine) == 0


def test_evict_one_of_a_pool_without_subscriptions_is_false(make_client: MakeClient) -> None:
    assert not evict_one(make_client().connection_pool)


# Pools that wait


@pytest.fixture
def blocking(client: Any) -> Iterator[Any]:
    """A client whose pool has four connections, and waits without end for one of them."""
    pool = client.connection_pool
    module = importlib.import_module(f"{type(pool).__module__.partition('.')[0]}.connection")
    pool = module.BlockingConnectionPool(
        max_connections=4,
        timeout=None,
        connection_class=pool.connection_class,
        **pool.connection_kwargs,
    )
    made = type(client)(connection_pool=pool)
    yield made
    made.close()


@contextmanager
def held(client: Any, number: int) -> Iterator[None]:
    """A program that uses so many connections by itself."""
    pool = client.connection_pool
    connections = [compat.acquire_connection(pool) for _ in range(number)]
    yield
    for each in connections:
        pool.release(each)


def idle_of(client: Any) -> Any:
    return client.connection_pool._redset_pinned.get()._idle


def test_a_call_takes_what_is_put_back_while_a_blocking_pool_has_nothing(blocking: Any) -> None:
    jobs: Strings = SortedSet(blocking, "jobs")
    with held(blocking, 3):
        jobs.update("ab")
        used = idle_of(blocking).pop()  # by another call
        call = Call(len, jobs)
        time.sleep(0.1)
        idle_of(blocking).append(used)
        assert call.result() == 2


def test_a_wait_without_a_connection_of_a_blocking_pool_ends_in_time(blocking: Any) -> None:
    jobs: Strings = SortedSet(blocking, "jobs")
    with held(blocking, 3):
        assert Call(jobs.take, 1, timeout=0.1).result() == []


def test_a_call_is_given_the_connection_of_a_wait_of_a_blocking_pool(
    client: redis.Redis, blocking: Any
) -> None:
    jobs: Strings = SortedSet(blocking, "jobs")
    waiting = Call(jobs.pop, timeout=None)
    wait_for_listeners(blocking, 1)
    with held(blocking, 2):
        used = idle_of(blocking).pop()  # by another call
        assert Call(len, jobs).result() == 0
        idle_of(blocking).append(used)
        SortedSet[str](client, "jobs").add("a")
        assert waiting.result() == "a"


def test_a_signal_handler_in_the_middle_of_the_queue_takes_the_connection_that_is_kept(
    client: redis.Redis, blocking: Any
) -> None:
    jobs: Strings = SortedSet(blocking, "jobs")
    jobs.add("a")
    with blocking.connection_pool.pool.mutex:
        assert Call(len, jobs).result() == 1
        assert Call(lambda: list(jobs)).result() == ["a"]


# Signals


@contextmanager
def alarm_after(seconds: float, handler: Callable[[], Any]) -> Iterator[None]:
    before = signal.signal(signal.SIGALRM, lambda *_: handler())
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


class SoftTimeLimit(Exception):
    """What a task queue raises out of a signal handler."""


@pytest.mark.parametrize("kind", [SoftTimeLimit, KeyboardInterrupt])
def test_exception_out_of_a_signal_handler_leaves_no_connection_in_use(
    client: redis.Redis, jobs: Strings, kind: type[BaseException]
) -> None:
    def interrupt() -> None:
        raise kind

    for _ in range(5):
        with pytest.raises(kind), alarm_after(0.1, interrupt):
            jobs.pop(timeout=WAIT)
        assert watchers(client) == 0
        assert in_use(client) == 0
    jobs.add("a")
    assert (jobs.pop(), len(jobs)) == ("a", 0)


def test_an_eviction_that_is_interrupted_leaves_no_lock_held(client: redis.Redis) -> None:
    for interrupted in each_interrupt(KeySubscription.evict, KeySubscription._give_back):
        subscription = KeySubscription(client, (b"jobs",))
        subscription._pool = client.connection_pool
        subscription._connection = compat.acquire_connection(client.connection_pool)
        interrupted(subscription.evict)
        assert Call(is_free, subscription._use).result()


def test_an_eviction_inside_a_use_of_the_connection_takes_nothing(client: redis.Redis) -> None:
    subscription = KeySubscription(client, (b"jobs",))
    with subscription._use:
        subscription._connection = connection = object()
        assert not subscription.evict()  # as a signal handler would
        assert not Call(subscription.evict).result()
        assert not Call(is_free, subscription._use).result()
        assert subscription._connection is connection
        subscription._connection = None
    assert Call(is_free, subscription._use).result()


def _evict_own(jobs: Strings) -> None:
    if evict_one(jobs._runner.client.connection_pool):
        jobs.add("a")
    else:  # the interrupted thread is only just subscribing
        signal.setitimer(signal.ITIMER_REAL, 0.01)


NESTED: dict[str, Callable[[Strings], Any]] = {
    "add": lambda jobs: jobs.add("a"),
    "another wait": lambda jobs: (
        SortedSet(jobs._runner.client, "x").take(1, timeout=0.1),
        jobs.add("a"),
    ),
    "the same wait": lambda jobs: (jobs.take(1, timeout=0.1), jobs.add("a")),
    "an eviction": _evict_own,
}


@pytest.mark.parametrize("way", NESTED)
def test_a_signal_handler_may_use_sets_while_its_thread_waits(jobs: Strings, way: str) -> None:
    with alarm_after(0.1, lambda: NESTED[way](jobs)):
        assert jobs.pop(timeout=WAIT) == "a"
    assert in_use(jobs._runner.client) == 0


# Forks


def _forked_by_python() -> int:
    return os.fork()


def _forked_by_c() -> int:
    # With Python's lock, as uWSGI forks: the child would find it held by a thread that isn't there.
    return int(ctypes.PyDLL(None).fork())


@contextlib.contextmanager
def in_child(fork: Callable[[], int], work: Callable[[], Any]) -> Iterator[Callable[[], str]]:
    """Have a forked child do *work*; give what returns its complaint, ``""`` for none."""
    reading, writing = os.pipe()
    child = fork()
    if child == 0:
        complaint = ""
        try:
            work()
        except BaseException as error:
            complaint = repr(error)
        os.write(writing, complaint.encode())
        os._exit(0)
    os.close(writing)

    def complaint_of_child() -> str:
        with os.fdopen(reading) as pipe:
            said = pipe.read()
        os.waitpid(child, 0)
        return said

    yield complaint_of_child


forks = pytest.mark.parametrize("fork", [_forked_by_python, _forked_by_c], ids=["python", "c"])


@forks
@pytest.mark.skipif(sys.platform == "win32", reason="no fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_does_not_count_the_subscriptions_of_its_parent(
    client: redis.Redis, make_client: MakeClient, fork: Callable[[], int]
) -> None:
    shared = make_client(max_connections=4)
    waiting = [Call(SortedSet[str](shared, "jobs").take, 1, timeout=None) for _ in range(2)]
    wait_for_listeners(shared, 2)

    def work() -> None:
        assert not evict_one(shared.connection_pool)
        assert SortedSet[str](shared, "of the child").pop(timeout=WAIT) == "c"

    with in_child(fork, work) as complaint:
        wait_for_watchers(client, 3)
        SortedSet[str](client, "of the child").add("c")
        assert complaint() == ""
    SortedSet[str](client, "jobs").update("ab")
    assert sorted(call.result() for call in waiting) == [["a"], ["b"]]


@forks
@pytest.mark.skipif(sys.platform == "win32", reason="no fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_does_not_use_a_subscription_of_its_parent(
    client: redis.Redis, jobs: Strings, fork: Callable[[], int]
) -> None:
    subscription = KeySubscription(client, (b"jobs",))
    soon = WaitForChange(Outlook(Place(b"jobs", None)), 0.0)
    late = WaitForChange(Outlook(Place(b"jobs", None)), WAIT)
    assert subscription.wait(soon) is False

    def work() -> None:
        subscription.drain()
        assert subscription.wait(soon) is False
        client.set("looked", 1)  # a subscription is there before the look that belongs to it
        assert subscription.wait(late) is True
        subscription.close()

    with in_child(fork, work) as complaint:
        until(lambda: client.exists("looked"))
        wait_for_watchers(client, 2)
        jobs.add("a")
        assert complaint() == ""
    wait_for_watchers(client, 1)
    # The message about that change is still the parent's.
    assert subscription.wait(late) is True
    subscription.close()
    wait_for_watchers(client, 0)


def test_many_threads_that_are_interrupted_by_evictions_lose_no_wake_up(
    client: redis.Redis, make_client: MakeClient
) -> None:
    shared = make_client(max_connections=20)
    total, found = 300, []
    done = threading.Event()

    def consume() -> None:
        mine: Strings = SortedSet(shared, "jobs")
        for job in mine.consume(timeout=None):
            if job == "end":
                mine.add("end")
                return
            found.append(job)

    def evict() -> None:
        while not done.wait(0.003):
            evict_one(shared.connection_pool)

    consumers = [Call(consume) for _ in range(10)]
    evictor = threading.Thread(target=evict)
    evictor.start()
    jobs: Strings = SortedSet(client, "jobs")
    for number in range(total):
        jobs.add(str(number))
        time.sleep(0.001)
    deadline = time.monotonic() + WAIT
    while len(found) < total and time.monotonic() < deadline:
        time.sleep(0.01)
    done.set()
    evictor.join()
    jobs.add("end")
    for consumer in consumers:
        consumer.result()
    assert sorted(found) == sorted(map(str, range(total)))
    assert in_use(shared) == 0


def test_an_item_that_becomes_due_while_the_look_is_under_way_is_found(
    client: redis.Redis,
) -> None:
    """The clock moves on between the count and the reply."""
    times = iter([100.0, 100.0, 100.0, 102.0])
    latest = [100.0]

    def clock() -> float:
        latest[0] = next(times, latest[0])
        return latest[0]

    later: ScheduledSet[str] = ScheduledSet(client, "later", clock=clock)
    later.add("a", 101.0)
    assert later.pop(timeout=WAIT) == "a"
