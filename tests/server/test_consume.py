"""Consumers: what can't be read, and how a worker is told to stop."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from redset import RedisSortedSet, ScheduledSet
from redset._plans import settling
from redset._plans.leased import Settling
from redset.exceptions import ConsumerInUse, InvalidTypeError, InvalidValueError
from tests.server.asyncio_clients import library_exceptions
from tests.server.conftest import MakeClient, memory_is_short, until
from tests.server.test_waiting import wait_for_watchers

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
    assert numbers.stats()[2:] == (0,) * 6
    # What was given back was not delivered.
    lease = numbers.lease(4)
    assert [lease.deliveries(number) for number in lease] == [1] * 4


def test_consume_stopped_and_the_release_fails_nothing_is_acknowledged_that_was_not_done(
    client: redis.Redis, numbers: Numbers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was done was acknowledged a second time: by its number, which then was of the rest."""

    settle = settling._settle_once

    def fail(config: Any, slot: Any, how: Settling, *about: Any) -> Any:
        if how.verb == "uncounted":
            raise redis.ConnectionError("the server is gone")
        return settle(config, slot, how, *about)

    monkeypatch.setattr(settling, "_settle_once", fail)
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


@pytest.mark.parametrize(("kind", "dead"), [(KeyboardInterrupt, 0), (SystemExit, 0), (OSError, 1)])
def test_lease_ended_from_outside_does_not_count(
    numbers: Numbers, kind: type[BaseException], dead: int
) -> None:
    with pytest.raises(kind), numbers.lease(1, max_deliveries=1):
        raise kind
    assert numbers.stats().dead == dead
    assert len(numbers) == 10 - dead


def test_lease_of_several_that_failed_none_is_to_blame_until_it_fails_alone(
    numbers: Numbers,
) -> None:
    """One that always fails took all its neighbours to the dead."""
    done: list[int] = []
    for _ in range(30):
        with contextlib.suppress(OSError), numbers.lease(5, max_deliveries=2) as batch:
            if 3 in batch:
                raise OSError
            done += batch
    assert sorted(done) == [0, 1, 2, *range(4, 10)]
    assert [(each.item, each.reason, each.deliveries) for each in numbers.dead_letters()] == [
        (3, "failed", 2)
    ]


# A turn of the loop that fails


def test_attempt_that_failed_the_loop_goes_on_and_the_item_is_delayed(numbers: Numbers) -> None:
    told = []

    def report(number: int, error: BaseException) -> None:
        told.append((number, str(error)))

    done = []
    jobs = numbers.consume(4, timeout=0, retry_delay=60, on_error=report)
    for number in jobs:
        with jobs.attempt():
            if number in {2, 7}:
                raise OSError(f"number {number}")
            done.append(number)
    assert done == [0, 1, 3, 4, 5, 6, 8, 9]
    assert told == [(2, "number 2"), (7, "number 7")]
    assert numbers.stats()._replace(oldest=0.0) == (0, 0, 0, 2, 0, 0, 0, 0.0)
    assert [(each.item, each.worker, each.deliveries) for each in numbers.leased()] == [
        (2, None, 1),
        (7, None, 1),
    ]


def test_attempt_without_on_error_logs_the_error(
    numbers: Numbers, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in (jobs := numbers.consume(10, timeout=0, max_deliveries=1)):
        with jobs.attempt():
            raise OSError("it broke")
    assert caplog.text.count("OSError: it broke") == 10
    assert numbers.stats().dead == 10


def test_attempt_passes_an_exit_on_and_the_delivery_does_not_count(numbers: Numbers) -> None:
    jobs = numbers.consume(4, timeout=0, max_deliveries=1)
    with pytest.raises(SystemExit):
        for number in jobs:
            with jobs.attempt():
                if number == 1:
                    raise SystemExit
    jobs.close()
    assert list(numbers) == list(range(1, 10))
    assert numbers.stats().dead == 0
    lease = numbers.lease(3)
    assert [lease.deliveries(number) for number in lease] == [1, 1, 1]


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_an_item_whose_attempt_was_left_by_an_exit_has_failed_if_the_loop_goes_on(
    numbers: Numbers, kind: type[BaseException]
) -> None:
    told: list[tuple[int, type[BaseException]]] = []

    def report(number: int, error: BaseException) -> None:
        told.append((number, type(error)))

    jobs = numbers.consume(2, timeout=0, max_deliveries=2, on_error=report)
    done = []
    for number in jobs:
        with contextlib.suppress(kind), jobs.attempt():
            if number in {1, 2}:
                raise kind
            done.append(number)
    assert done == [0, *range(3, 10)]
    assert told == [(number, kind) for number in (1, 1, 2, 2)]
    assert [(letter.item, letter.reason) for letter in numbers.dead_letters()] == [
        (1, "failed"),
        (2, "failed"),
    ]


def test_the_error_of_an_earlier_item_is_not_taken_for_that_of_a_later_one(
    numbers: Numbers,
) -> None:
    told: list[BaseException] = []
    for _ in range(2):
        with (
            pytest.raises(OSError, match="poison"),
            numbers.consume(
                4, max_deliveries=2, on_error=lambda _item, error: told.append(error)
            ) as jobs,
        ):
            for number in jobs:
                with contextlib.suppress(SystemExit), jobs.attempt():
                    if number == 0:
                        raise SystemExit
                if number == 1:
                    raise OSError("poison")
    assert [type(error) for error in told] == [SystemExit, OSError] * 2
    assert {letter.error for letter in numbers.dead_letters()} == {"SystemExit", "OSError: poison"}


@pytest.mark.parametrize(("kind", "counted"), [(SystemExit, 0), (OSError, 1)])
def test_with_block_around_a_loop_learns_of_the_error(
    numbers: Numbers, kind: type[BaseException], counted: int
) -> None:
    told: list[BaseException] = []
    with (
        pytest.raises(kind),
        numbers.consume(4, on_error=lambda _item, error: told.append(error)) as jobs,
    ):
        for number in jobs:
            if number == 1:
                raise kind("it ended")
    assert [type(error) for error in told] == [kind] * counted
    assert list(numbers) == list(range(1, 10))
    lease = numbers.lease(2)
    assert [lease.deliveries(number) for number in lease] == [1 + counted, 1]


def test_retry_delay_may_depend_on_the_deliveries(numbers: Numbers) -> None:
    asked = []

    def delay(deliveries: int) -> float:
        asked.append(deliveries)
        return 0.001

    numbers.remove_range(1, 9)
    seen = []
    jobs = numbers.consume(timeout=1, retry_delay=delay, max_deliveries=3)
    for _ in jobs:
        with jobs.attempt():
            seen.append(jobs.deliveries)
            raise OSError
    assert seen == asked == [1, 2, 3]
    [letter] = numbers.dead_letters()
    assert letter[:4] == (0, 0.0, "failed", "OSError")
    assert letter.deliveries == 3
    assert abs(letter.time - time.time()) < WAIT


def test_failing_item_at_the_head_does_not_block_the_others(numbers: Numbers) -> None:
    done = []
    jobs = numbers.consume(timeout=0, retry_delay=60)
    for number in jobs:
        with jobs.attempt():
            if number == 0:
                raise OSError
            done.append(number)
    assert done == list(range(1, 10))


def test_item_at_hand_can_be_settled_by_the_loop(numbers: Numbers) -> None:
    jobs = numbers.consume(5, timeout=0)
    for number in jobs:
        if number == 1:
            jobs.lease.ack(number, again_at=100)
        elif number == 2:
            jobs.lease.reject(number, error="no such number")
        elif number == 3:
            jobs.lease.release(number, delay=60)
        elif number == 9:
            break
    jobs.close()
    assert list(numbers.items()) == [(9, 9.0), (1, 100.0)]
    assert [letter[:4] for letter in numbers.dead_letters("rejected")] == [
        (2, 2.0, "rejected", "no such number")
    ]
    assert numbers.stats().delayed == 1


# A worker that dies


def expire(client: redis.Redis) -> None:
    """Have all leases run out, as if their workers had died."""
    leased: Any = client.zrange("{numbers}:leased", 0, -1)
    if leased:
        client.zadd("{numbers}:leased", dict.fromkeys(leased, 1))


def test_item_that_kills_takes_no_other_one_to_the_dead(
    client: redis.Redis, numbers: Numbers
) -> None:
    """A lease that runs out is what the server sees of a worker that was killed."""
    done: list[int] = []
    for _ in range(40):
        batch = numbers.lease(5, max_deliveries=2)
        if 3 in batch:
            expire(client)
        else:
            done += batch
            batch.ack()
    assert sorted(done) == [0, 1, 2, *range(4, 10)]
    assert [letter[:4] for letter in numbers.dead_letters()] == [(3, 3.0, "expired", "")]
    assert sum(numbers.stats()) == 1


def test_stopped_process_is_not_handed_what_others_were_given(
    client: redis.Redis, numbers: Numbers, caplog: pytest.LogCaptureFixture
) -> None:
    """As after SIGSTOP and SIGCONT: nothing ran meanwhile, not even what renews."""
    jobs = numbers.consume(4, ttl=0.2, renew=False, timeout=0)
    assert next(jobs) == 0
    time.sleep(0.4)
    assert [list(numbers.lease(1)) for _ in range(3)] == [[0], [1], [2]]
    assert next(jobs) == 3
    assert next(jobs) == 4
    jobs.close()
    assert "doesn't hold 0, 1, 2, 3 any more" in caplog.text


# Where an item is


def test_cancel_removes_an_item_wherever_it_is(numbers: Numbers) -> None:
    batch = numbers.lease(3)
    batch.release(1, delay=60)
    batch.reject(2)
    assert numbers.cancel(0, 1, 2, 3, 77) == 4
    assert sum(numbers.stats()[2:]) == 0
    assert list(numbers) == list(range(4, 10))


def test_what_the_set_cannot_hold_is_in_none_of_its_places(numbers: Numbers) -> None:
    values: Any = numbers
    values.add(frozenset({1}), 99)
    numbers.lease(1).reject(0)
    foreign: list[Any] = [object(), {1, 2}]
    for remove in (values.cancel, values.requeue, values.discard_dead):
        assert remove(*foreign) == 0
        with pytest.raises(TypeError, match="unhashable"):
            remove([1])
    # Nothing was removed with them, and a `set` is looked up as its `frozenset`.
    assert [letter.item for letter in numbers.dead_letters()] == [0]
    assert numbers.requeue(*foreign, 0) == 1
    assert values.cancel(*foreign, {1}) == 1


def test_dead_letters_are_chosen_by_reason_and_age(client: redis.Redis, numbers: Numbers) -> None:
    client.zadd("numbers", {BROKEN: -1})
    batch = numbers.lease(4, max_deliveries=1)
    assert list(batch) == [0, 1, 2]
    batch.release(0, error=OSError("broke"))
    batch.reject(1, error="never")
    letters = {letter.reason: letter for letter in numbers.dead_letters()}
    assert [letters[reason].item for reason in ("failed", "rejected", "undecodable")] == [
        0,
        1,
        None,
    ]
    assert letters["undecodable"].member == BROKEN
    assert numbers.requeue(older_than=3600) == 0
    assert numbers.requeue(reason="failed") == 1
    assert numbers.discard_dead(0, 1) == 1
    assert [letter.reason for letter in numbers.dead_letters()] == ["undecodable"]
    assert numbers.discard_dead(older_than=0) == 1
    assert not list(client.keys("*letters"))
    with pytest.raises(InvalidValueError, match="reason must be one of failed"):
        numbers.requeue(reason="bored")


def test_dead_item_that_was_added_again_runs_once(numbers: Numbers) -> None:
    numbers.lease(1, max_deliveries=1).release()
    numbers.add(0)
    running = numbers.lease(1)
    assert list(running) == [0]
    assert numbers.requeue() == 0
    assert 0 not in numbers
    running.ack()
    assert numbers.requeue() == 1
    assert list(numbers.lease(1)) == [0]


def test_requeue_of_many_passes_over_what_stays(numbers: Numbers) -> None:
    numbers.update(range(2000))
    numbers.lease(2000, max_deliveries=1).release()
    numbers.update(range(700))
    assert len(numbers.lease(700)) == 700
    assert numbers.requeue() == 1300
    assert numbers.stats()[:6] == (1300, 1300, 700, 0, 0, 700)


@pytest.mark.parametrize("unique", ["until_acked", "forever"])
def test_dead_item_is_not_done_so_it_is_not_accepted_again(
    client: redis.Redis, unique: Any
) -> None:
    jobs: Numbers = RedisSortedSet(client, "jobs", unique=unique, max_deliveries=1)
    assert jobs.insert(1) == [1]
    jobs.lease(1).release()
    assert jobs.stats().dead == 1
    assert jobs.insert(1, 2) == [2]
    assert jobs.add(1) is None
    assert list(jobs) == [2]


def test_recurring_job_is_unique_and_recurs(client: redis.Redis) -> None:
    jobs: Numbers = RedisSortedSet(client, "jobs", unique="until_acked")
    jobs.add(7, 1)
    for _ in range(3):
        with jobs.lease(1) as batch:
            assert jobs.insert(7) == []
            batch.ack(7, again_at=5)
    assert list(jobs.items()) == [(7, 5.0)]


def test_who_holds_what_is_told(numbers: Numbers) -> None:
    numbers.lease(1, worker="anna at desk 4")
    numbers.lease(1)
    before = time.time()
    for _ in (loop := numbers.consume(worker="bert")):
        break
    anna, this, bert = numbers.leased()
    assert [anna.worker, bert.worker] == ["anna at desk 4", "bert"]
    assert this.worker is not None
    assert this.worker.endswith(f":{os.getpid()}")
    assert abs(bert.since - before) < WAIT
    assert bert.expires > bert.since
    loop.close()


@pytest.mark.parametrize("name", ["a\0b", "100 % of \N{GREEK SMALL LETTER BETA}", "x" * 200])
def test_name_of_a_worker_is_told_as_it_was_given(numbers: Numbers, name: str) -> None:
    numbers.lease(1, worker=name)
    for _ in (loop := numbers.consume(worker=name)):
        break
    assert [each.worker for each in numbers.leased()] == [name, name]
    loop.close()


def test_consume_of_a_set_that_is_renamed_goes_on(client: redis.Redis, numbers: Numbers) -> None:
    items = list(numbers)
    done: list[int] = []
    for item in numbers.consume(timeout=0):
        if not done:
            numbers.rename("{numbers}renamed")
        done.append(item)
    assert done == items
    assert sum(numbers.stats()[:-1]) == 0
    assert not client.keys("*leased") + client.keys("*held")


@pytest.mark.parametrize(
    "wrong",
    [
        {"worker": ""},
        {"worker": "x" * 201},
        {"worker": 7},
        {"retry_delay": -1},
        {"retry_delay": "soon"},
        {"on_error": 3},
    ],
)
def test_what_a_consumer_cannot_use_is_an_error_before_anything_is_sent(
    numbers: Numbers, wrong: dict[str, Any]
) -> None:
    with pytest.raises((InvalidTypeError, InvalidValueError), match="redset 'numbers'"):
        numbers.consume(**wrong)
    assert len(numbers) == 10


def test_stats_tell_the_age_of_the_oldest_item_that_is_due(client: redis.Redis) -> None:
    jobs: ScheduledSet[str] = ScheduledSet(client, "jobs", clock=lambda: 100.0)
    assert jobs.stats().oldest == 0.0
    jobs.update({"a", "b"})
    jobs.add("old", 70)
    jobs.add("later", 200)
    assert jobs.stats().oldest == 30.0


# What a script does when it can't do everything


def test_under_memory_pressure_leases_are_renewed_and_settled(
    client: redis.Redis, numbers: Numbers
) -> None:
    """ZADD came first and was refused, so that a running job was given to a second worker."""
    renewed, delayed, done = numbers.lease(1, ttl=0.5), numbers.lease(1), numbers.lease(1)
    with memory_is_short(client):
        with pytest.raises(library_exceptions().OutOfMemoryError):
            numbers.add(11)
        renewed.extend(60)
        delayed.release(delay=60)
        done.ack()
        assert list(numbers.lease(1)) == [3]
        assert numbers.pop() == 4
        assert numbers.stats()[:4] == (5, 5, 2, 1)


@pytest.mark.parametrize(
    "denied",
    ["zremrangebyrank", "zadd", "hset", "hdel", "zrem", "set", "zrange", "zrangebyscore", "time"],
)
@pytest.mark.parametrize("call", ["pop", "take", "lease", "release", "delay", "reject"])
def test_account_without_a_right_loses_and_doubles_nothing(
    client: redis.Redis, make_client: MakeClient, numbers: Numbers, denied: str, call: str
) -> None:
    """What was popped before the command that was refused was gone."""
    client.execute_command("ACL", "SETUSER", "most", "on", ">pw", "~*", "&*", "+@all")
    mine: Numbers = RedisSortedSet(
        make_client(username="most", password="pw"), "numbers", scorer=int
    )
    batch = mine.lease(2)
    client.execute_command("ACL", "SETUSER", "most", f"-{denied}")
    calls: dict[str, Any] = {
        "pop": mine.pop,
        "take": lambda: mine.take(3),
        "lease": lambda: mine.lease(3),
        "release": batch.release,
        "delay": lambda: batch.release(delay=60),
        "reject": batch.reject,
    }
    with contextlib.suppress(library_exceptions().ResponseError):
        got = calls[call]()
        if call in {"pop", "take"}:
            numbers.update([got] if call == "pop" else got)
    client.execute_command("ACL", "DELUSER", "most")
    stats = numbers.stats()
    assert stats.ready + stats.leased + stats.delayed + stats.dead == 10
    expire(client)
    assert sorted([*numbers.take(20), *numbers.dead_items]) == list(range(10))


def test_retry_delay_that_fails_gives_the_item_back_all_the_same(numbers: Numbers) -> None:
    def delay(_deliveries: int) -> float:
        raise ZeroDivisionError

    jobs = numbers.consume(timeout=0, retry_delay=delay)
    with pytest.raises(ZeroDivisionError), jobs.attempt():
        next(jobs)
        raise OSError
    with pytest.raises(ZeroDivisionError):
        jobs.close()
    assert list(numbers) == list(range(10))


@contextlib.contextmanager
def without_a_right(client: redis.Redis, right: str = "zadd") -> Iterator[None]:
    """Keep the account "most" from what a script needs to give an item back."""
    client.execute_command("ACL", "SETUSER", "most", f"-{right}")
    try:
        yield
    finally:
        client.execute_command("ACL", "SETUSER", "most", f"+{right}")


@pytest.fixture
def mine(client: redis.Redis, make_client: MakeClient, numbers: Numbers) -> Iterator[Numbers]:
    """The set of `numbers`, used by the account "most", which has all rights."""
    client.execute_command("ACL", "SETUSER", "most", "on", ">pw", "~*", "&*", "+@all")
    yield RedisSortedSet(make_client(username="most", password="pw"), "numbers", scorer=int)
    client.execute_command("ACL", "DELUSER", "most")


@pytest.mark.parametrize("batch", [1, 4])
def test_item_that_failed_is_not_done_where_the_server_refuses_to_take_it_back(
    client: redis.Redis, mine: Numbers, batch: int
) -> None:
    """The refusal was logged, and the item was acknowledged together with its neighbours."""
    jobs = mine.consume(batch, timeout=0)
    failed = next(jobs)
    with jobs.attempt(), without_a_right(client):
        raise OSError
    handed_out = [(number, jobs.deliveries) for number in jobs]
    assert sorted(handed_out) == [(number, 1 + (number == failed)) for number in range(10)]


def test_item_that_failed_comes_back_if_it_can_not_be_given_back_at_all(
    client: redis.Redis, mine: Numbers, numbers: Numbers
) -> None:
    jobs = mine.consume(4, timeout=0)
    for number in jobs:
        with without_a_right(client):
            with jobs.attempt():
                raise OSError
            if number == 2:
                jobs.close()
    assert numbers.stats()[:3] == (6, 6, 4)
    expire(client)
    assert sorted(numbers.take(20)) == list(range(10))


@pytest.mark.parametrize("settle", ["release", "reject"])
def test_what_a_lease_could_not_settle_is_not_acknowledged_at_its_end(
    client: redis.Redis, mine: Numbers, numbers: Numbers, settle: str
) -> None:
    with mine.lease(3) as lease, contextlib.suppress(library_exceptions().ResponseError):
        with without_a_right(client):
            getattr(lease, settle)(1)
        raise AssertionError("it was not refused")
    assert numbers.stats().leased == 0
    left = numbers if settle == "release" else numbers.dead_items
    assert 1 in left
    assert len(numbers) + len(numbers.dead_items) == 8


@pytest.mark.parametrize("right", ["zadd", "hset", "zrem", "time"])
def test_what_a_lease_could_not_give_back_keeps_its_delay_when_an_error_ends_the_block(
    client: redis.Redis, mine: Numbers, numbers: Numbers, right: str
) -> None:
    lease = mine.lease(3)
    with (
        contextlib.suppress(library_exceptions().ResponseError),
        lease,
        without_a_right(client, right),
    ):
        lease.release(1, delay=60)
    assert numbers.stats()[:4] == (9, 9, 0, 1)


@pytest.mark.parametrize("right", ["zrem", "hdel"])
def test_consumer_whose_acknowledgement_is_refused_leaves_nothing_half_done(
    client: redis.Redis, mine: Numbers, numbers: Numbers, right: str
) -> None:
    """What was not on lease any more was held for ever, and so never added again by until_acked."""
    jobs = mine.consume(4, timeout=0)
    for number in jobs:
        if number == 3:
            break
    with without_a_right(client, right), pytest.raises(library_exceptions().ResponseError):
        next(jobs)
    assert (len(numbers), numbers.stats().leased) == (6, 4)
    assert client.hlen("{numbers}:held") == 4


def test_ack_of_all_that_is_left_passes_over_what_is_to_be_given_back(
    client: redis.Redis, mine: Numbers, numbers: Numbers
) -> None:
    lease = mine.lease(3)
    with without_a_right(client), pytest.raises(library_exceptions().ResponseError):
        lease.release(1)
    lease.ack()
    assert [each.item for each in numbers.leased()] == [1]
    lease.ack(1)
    assert numbers.stats()[:4] == (7, 7, 0, 0)


# A loop that runs elsewhere


def test_consume_closed_while_another_thread_waits_says_how_to_stop(
    client: redis.Redis, numbers: Numbers
) -> None:
    numbers.clear()
    received: list[int] = []
    stop = threading.Event()
    work = numbers.consume(timeout=None, stop=stop)
    other = threading.Thread(target=lambda: received.extend(work), daemon=True)
    other.start()
    wait_for_watchers(client, 1)
    for kind in (ConsumerInUse, RuntimeError, ValueError):
        with pytest.raises(kind, match=r"'numbers': .* stop= of consume"):
            work.close()
    numbers.add(1)
    until(lambda: received == [1])
    stop.set()
    other.join(SOON)
    assert not other.is_alive()
    work.close()
    assert (len(numbers), numbers.stats().leased) == (0, 0)


@pytest.mark.parametrize("kind", [RuntimeError, ValueError])
def test_consume_closed_with_an_error_of_its_own_raises_that(
    numbers: Numbers, kind: type[Exception]
) -> None:
    def fail(_deliveries: int) -> float:
        raise kind("in retry_delay")

    work = numbers.consume(timeout=0, retry_delay=fail)
    assert next(iter(work)) == 0
    with pytest.raises(kind, match="in retry_delay") as caught:
        work.close()
    assert type(caught.value) is kind
    numbers.clear()
