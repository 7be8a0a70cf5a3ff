"""Consumers: what can't be read, and how a worker is told to stop."""

import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis

import redset.asyncio.leases
import redset.leases
from redset import RedisSortedSet
from redset.exceptions import InvalidTypeError
from tests.server.conftest import MakeClient

BROKEN = b"\xc1\xff"
WAIT = 60.0
# Far more than a stop takes, far less than a wait.
SOON = 20.0

Numbers = RedisSortedSet[int]


@pytest.fixture
def numbers(client: redis.Redis) -> Numbers:
    """0 to 9, each with itself as the score."""
    found: Numbers = RedisSortedSet(client, "numbers", scorer=int)
    found.update(range(10))
    return found


def spoil(client: redis.Redis, *scores: float) -> None:
    """Add members that can't be deserialized."""
    for score in scores:
        client.zadd("numbers", {BROKEN + str(score).encode(): score})


# What can't be read


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("timeout", [0, 0.2])
def test_consume_undecodable_members_are_skipped(
    client: redis.Redis, numbers: Numbers, batch: int, timeout: float
) -> None:
    """The loop took the empty rest of a lease for the end."""
    spoil(client, -3, -2, -1, 4.5, 4.6, 4.7, 11)
    assert list(numbers.consume(batch, timeout=timeout)) == list(range(10))
    assert numbers.stats().dead == 7


@pytest.mark.parametrize("timeout", [5, None])
def test_lease_and_take_undecodable_member_first_the_next_one_is_given(
    client: redis.Redis, numbers: Numbers, timeout: float | None
) -> None:
    spoil(client, -2, -1)
    assert list(numbers.lease(1, timeout=timeout)) == [0]
    spoil(client, -2, -1)
    assert numbers.take(1, timeout=timeout) == [1]
    assert numbers.stats().undecodable == 2


def test_lease_and_take_nothing_but_undecodable_members_ends_in_time(
    client: redis.Redis, numbers: Numbers
) -> None:
    numbers.clear()
    spoil(client, 1, 2)
    began = time.monotonic()
    assert list(numbers.lease(1, timeout=0.2)) == []
    spoil(client, 1, 2)
    assert numbers.take(1, timeout=0.2) == []
    assert 0.4 <= time.monotonic() - began < SOON
    assert (numbers.stats().dead, numbers.stats().undecodable) == (2, 2)


# How it is told to stop


class Once:
    """Something that is no event and says yes after so many questions."""

    def __init__(self, questions: int) -> None:
        self.questions = questions

    def is_set(self) -> bool:
        self.questions -= 1
        return self.questions < 0


@pytest.mark.parametrize("batch", [1, 4])
def test_consume_stopped_while_busy_the_item_at_hand_is_done_and_the_rest_ready(
    numbers: Numbers, batch: int
) -> None:
    stop = threading.Event()
    done = []
    for number in numbers.consume(batch, stop=stop, max_deliveries=1):
        done.append(number)
        if number == 5:
            stop.set()
    assert done == [0, 1, 2, 3, 4, 5]
    assert list(numbers) == [6, 7, 8, 9]
    assert numbers.stats()[2:] == (0, 0, 0, 0)
    # What was given back was not delivered.
    lease = numbers.lease(4)
    assert [lease.deliveries(number) for number in lease] == [1] * 4


def test_consume_stopped_and_the_release_fails_nothing_is_acknowledged_that_was_not_done(
    client: redis.Redis, numbers: Numbers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was done was acknowledged a second time: by its number, which then was of the rest."""

    def fail(*_items: object, **_options: object) -> None:
        raise redis.ConnectionError("the server is gone")

    for kind in (redset.leases.Lease, redset.asyncio.leases.Lease):
        monkeypatch.setattr(kind, "release", fail)
    stop = threading.Event()
    for number in numbers.consume(5, stop=stop, timeout=0):
        if number == 1:
            stop.set()
    assert client.zrange("{numbers}:leased", 0, -1) in (
        [b"i:2", b"i:3", b"i:4"],
        ["i:2", "i:3", "i:4"],
    )
    assert len(numbers) == 5


def test_consume_stopped_before_it_begins_takes_nothing(numbers: Numbers) -> None:
    stop = threading.Event()
    stop.set()
    assert list(numbers.consume(stop=stop)) == []
    assert list(numbers.consume(stop=lambda: True)) == []
    assert len(numbers) == 10


def test_consume_stop_may_be_a_callable_or_have_is_set(numbers: Numbers) -> None:
    answers = iter([False, False, False, False, True])  # and never asked again
    assert list(numbers.consume(stop=lambda: next(answers))) == [0, 1]
    assert len(numbers) == 8
    assert list(numbers.consume(stop=Once(6), timeout=0)) != []


@pytest.mark.parametrize("batch", [1, 5])
def test_consume_stopped_while_it_waits_ends_soon(numbers: Numbers, batch: int) -> None:
    numbers.clear()
    stop = threading.Event()
    timer = threading.Timer(0.3, stop.set)
    timer.start()
    began = time.monotonic()
    assert list(numbers.consume(batch, stop=stop)) == []
    assert 0.3 <= time.monotonic() - began < SOON
    timer.join()


def test_consume_with_a_stop_is_told_of_new_items_at_once(
    client: redis.Redis, numbers: Numbers, make_client: MakeClient
) -> None:
    """A wait in short pieces asks the server no more than one in one piece."""
    numbers.clear()
    stop = threading.Event()
    found: list[int] = []

    def add() -> None:
        time.sleep(0.8)
        before: Any = client.info("commandstats")
        asked.append(before.get("cmdstat_evalsha", {}).get("calls", 0))
        Numbers(make_client(), "numbers").add(1, 1)

    asked: list[int] = []
    thread = threading.Thread(target=add)
    client.config_resetstat()
    thread.start()
    for number in numbers.consume(stop=stop):
        found.append(number)
        stop.set()
    thread.join()
    assert found == [1]
    assert asked[0] <= 3


def test_consume_without_a_subscription_is_stopped_too(
    client: redis.Redis, make_client: MakeClient
) -> None:
    client.execute_command(
        *("ACL", "SETUSER", "blind", "on", "nopass", "~*", "+@all", "-client", "-subscribe")
    )
    try:
        numbers: Numbers = RedisSortedSet(make_client(username="blind", password="any"), "numbers")
        stop = threading.Event()
        threading.Timer(0.2, stop.set).start()
        assert list(numbers.consume(stop=stop)) == []
    finally:
        client.execute_command("ACL", "DELUSER", "blind")


@pytest.mark.parametrize("stop", [1, "now", object(), threading.Event])
def test_consume_stop_of_another_type_is_refused(numbers: Numbers, stop: Any) -> None:
    with pytest.raises(InvalidTypeError, match=r"stop must be callable or have is_set\(\)"):
        list(numbers.consume(stop=stop, timeout=0))
    assert len(numbers) == 10


@pytest.fixture
def terminated() -> Iterator[threading.Event]:
    """An event that SIGUSR1 sets, as a worker has it for SIGTERM."""
    stop = threading.Event()
    before = signal.signal(signal.SIGUSR1, lambda _number, _frame: stop.set())
    yield stop
    signal.signal(signal.SIGUSR1, before)


def test_consume_stopped_by_a_signal_handler_while_it_waits(
    numbers: Numbers, terminated: threading.Event
) -> None:
    numbers.clear()
    main = threading.main_thread().ident or 0
    timer = threading.Timer(0.2, signal.pthread_kill, (main, signal.SIGUSR1))
    timer.start()
    assert list(numbers.consume(stop=terminated)) == []
    timer.join()


# What counts as a delivery


def test_release_uncounted_delivery_is_as_if_it_had_not_been(numbers: Numbers) -> None:
    for _ in range(3):
        lease = numbers.lease(2, max_deliveries=1)
        assert [lease.deliveries(number) for number in lease] == [1, 1]
        lease.release(0, count=False)
        lease.release(1, count=False, delay=0.001)
        time.sleep(0.05)
    assert numbers.stats().dead == 0
    numbers.lease(2).release()
    lease = numbers.lease(2)
    assert lease.deliveries(0) == 2
    lease.release(count=False)
    assert numbers.lease(2).deliveries(0) == 2


@pytest.mark.parametrize(("kind", "dead"), [(KeyboardInterrupt, 0), (SystemExit, 0), (OSError, 2)])
def test_lease_ended_from_outside_does_not_count(
    numbers: Numbers, kind: type[BaseException], dead: int
) -> None:
    with pytest.raises(kind), numbers.lease(2, max_deliveries=1):
        raise kind
    assert numbers.stats().dead == dead
    assert len(numbers) == 10 - dead
