"""How much one request carries, and how much work it is, however many items there are."""

import logging
import math
import socket
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis

from redset import RedisSortedSet, SortedSet
from redset._protocol.commands import MAX_OPERANDS
from redset.codecs import TextSerializer
from redset.exceptions import InvalidValueError, KeyTypeError, RedsetError
from tests.proxy import RecordingProxy
from tests.server.conftest import MakeClient, RoundTrips, until
from tests.server.test_waiting import wait_for_watchers
from tests.servers import TestServer

# ElastiCache Serverless refuses a request of more words, its name among them.
MAX_WORDS = 3_999
MANY = 4_500

Numbers = RedisSortedSet[Any]
Strings = SortedSet[str]
MakeNumbers = Callable[..., Numbers]


@pytest.fixture
def recorder(server: TestServer, client: redis.Redis) -> Iterator[RecordingProxy]:
    with RecordingProxy(*server.ports) as proxy:
        yield proxy


@pytest.fixture
def make_numbers(recorder: RecordingProxy, make_client: MakeClient) -> MakeNumbers:
    """Make sets whose requests are recorded."""
    client = make_client(host="127.0.0.1", port=recorder.port)
    return lambda name="numbers", **options: RedisSortedSet(client, name, **options)


class Odd:
    """A serializer that can't read what another program wrote."""

    def dumps(self, item: int) -> str:
        return str(item)

    def loads(self, text: str) -> int:
        return int(text)


def lease(numbers: Numbers, end: Callable[[Any], Any]) -> None:
    numbers.update(range(MANY))
    end(numbers.lease(MANY))


def deliver(numbers: Numbers) -> None:
    """All that becomes of items that are handed out."""
    lease(numbers, lambda batch: batch.ack())
    lease(numbers, lambda batch: batch.ack(again_at=7))
    lease(numbers, lambda batch: (batch.extend(60), batch.release()))
    lease(numbers, lambda batch: batch.release(delay=60))
    assert len(list(numbers.leased())) == MANY
    numbers.cancel(*range(MANY))
    for sort in (numbers.requeue, numbers.discard_dead):
        for chosen in ((), range(MANY)):
            lease(numbers, lambda batch: batch.reject())
            assert len(list(numbers.dead_letters())) == MANY
            assert sort(*chosen) == MANY
    numbers.update(range(MANY))
    assert len(list(numbers.consume(MANY, timeout=0))) == MANY


def put_aside(numbers: Numbers) -> None:
    words: Numbers = RedisSortedSet(numbers._runner.client, "numbers", serializer=TextSerializer())
    for deliver in (numbers.take, numbers.lease):
        words.update(f"no number {place}" for place in range(MANY))
        assert not deliver(MANY)
    assert numbers.stats().undecodable == numbers.stats().dead == MANY


def combine(numbers: Numbers) -> None:
    numbers.update(range(MANY))
    everyone = range(1, MANY + 1)
    for conflict in ("keep", "replace", "sum"):
        assert len(numbers.union(everyone, on_conflict=conflict)) == MANY + 1
        assert len(numbers.intersection(everyone, on_conflict=conflict)) == MANY - 1
    assert len(numbers.difference(everyone)) == len(numbers.difference(iter(everyone))) == 1
    assert len(numbers.symmetric_difference(everyone)) == 2
    assert numbers != set(everyone)
    assert not numbers.isdisjoint(everyone)
    assert {*everyone} - numbers == {MANY}
    numbers ^= set(everyone)
    numbers.difference_update(everyone)
    assert len(numbers) == 1


def read_and_count(numbers: Numbers) -> None:
    numbers.update(range(MANY))
    few: Numbers = RedisSortedSet(numbers._runner.client, "{numbers}few")
    few.update(range(10))
    results = [few.copy() for _ in range(MAX_OPERANDS - 2)]
    for others in ([], results):
        number = MANY if not others else 10
        assert len(numbers.read_intersection(*others, range(MANY))) == number
        assert len(numbers.read_union(*others, range(MANY), on_conflict="max")) == MANY
        assert numbers.read_difference(*others, range(MANY)) == []
        for local in (range(3_000), range(MANY)):
            assert numbers.union_count(*others, local) == MANY
            assert numbers.intersection_count(*others, local) == min(number, len(local))
            assert numbers.difference_count(*others, local) == MANY - len(local)


def use_many_slots(numbers: Numbers) -> None:
    numbers.update(range(MANY))
    assert numbers.take(MANY) == numbers.insert(*range(MANY))
    numbers.lease(MANY).release()
    assert numbers.clear()


OPERATIONS: dict[str, tuple[Callable[[Numbers], Any], dict[str, Any]]] = {
    "update": (lambda s: s.update(range(MANY)), {}),
    "update that sums up": (lambda s: s.update(range(MANY), on_conflict="sum"), {}),
    "update with max": (lambda s: s.update(range(MANY), on_conflict="max"), {}),
    "update of what is unique": (lambda s: s.update(range(MANY)), {"unique": "forever"}),
    "insert": (lambda s: s.insert(*range(MANY)), {}),
    "insert of what is unique": (lambda s: s.insert(*range(MANY)), {"unique": "until_acked"}),
    "scores": (lambda s: s.scores(*range(MANY)), {}),
    "all of delivery": (deliver, {}),
    "undecodable": (put_aside, {"serializer": Odd()}),
    "algebra": (combine, {}),
    "readings and counts": (read_and_count, {}),
    "clear": (use_many_slots, {}),
    "4,000 operands": (lambda s: s.intersection(*[[1]] * 4_000), {}),
}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_any_operation_on_many_items_sends_no_request_that_is_too_long(
    recorder: RecordingProxy,
    make_numbers: MakeNumbers,
    operation: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.CRITICAL, "redset")
    use, options = OPERATIONS[operation]
    use(make_numbers(scorer=float, **options))
    longest = max(recorder.requests(), key=len)
    assert len(longest) <= MAX_WORDS, longest[:3]


def test_update_of_a_chunk_in_several_commands_is_one_round_trip(
    client: redis.Redis, round_trips: RoundTrips
) -> None:
    numbers: Numbers = RedisSortedSet(client, "numbers")
    with round_trips(client) as trips:
        numbers.update(range(5_000))
        assert trips.value == 1
        numbers.scores(*range(5_000))
        assert trips.value == 2
        numbers.difference_update(range(5_000))
        assert trips.value == 3
    assert not numbers


# Many sets at once


@pytest.mark.parametrize("number", [2, MAX_OPERANDS, 4_000])
def test_any_number_of_iterables_can_be_combined(client: redis.Redis, number: int) -> None:
    numbers: Numbers = RedisSortedSet(client, "numbers", scorer=float)
    numbers.update(range(5))
    others = [range(1, 4), *[[1, 2, 3, 4]] * (number - 1)]
    assert list(numbers.intersection(*others).items()) == [(1, 1.0), (2, 2.0), (3, 3.0)]
    assert not numbers.intersection(*others, [], [7])
    assert list(numbers.union(*others, [7])) == [0, 1, 2, 3, 4, 7]
    assert list(numbers.difference(*others)) == [0]
    total = numbers.union(*others, weights=[1, 2, *[1] * (number - 1)], on_conflict="sum")
    assert dict(total.items()) == {
        0: 0.0,
        4: 4.0 * number,
        **{item: float(item * (number + 2)) for item in (1, 2, 3)},
    }
    lowest = numbers.intersection(*others, on_conflict="min")
    assert list(lowest.items()) == [(1, 1.0), (2, 2.0), (3, 3.0)]
    numbers.intersection_update(*others)
    assert list(numbers) == [1, 2, 3]
    assert not staged(client)


def test_infinities_that_meet_in_many_iterables_are_refused_as_in_two(client: redis.Redis) -> None:
    numbers: Numbers = RedisSortedSet(client, "numbers", scorer=lambda item: item * math.inf)
    others = [[1]] * MAX_OPERANDS
    numbers.add(1)
    for refused in ([*others, [-1], others[0]], [*others, {-1: 0}, [1]]):
        low: Numbers = RedisSortedSet(client, "low")
        low.add(-1, math.inf)
        with pytest.raises(InvalidValueError, match="inf and -inf"):
            numbers.union(*refused, low, on_conflict="sum")
    numbers.clear()
    with pytest.raises(InvalidValueError, match="inf and -inf"):
        numbers.union(*others, weights=[1, -1, *[1] * (len(others) - 1)], on_conflict="sum")
    assert not staged(client)


def test_an_operand_of_another_type_is_named_beside_many_iterables(client: redis.Redis) -> None:
    numbers: Numbers = RedisSortedSet(client, "numbers")
    client.set("{numbers}text", "text")
    with pytest.raises(KeyTypeError, match=r"the key '{numbers}text'"):
        numbers.intersection(*[[1]] * MAX_OPERANDS, RedisSortedSet(client, "{numbers}text"))
    assert not staged(client)


def test_more_sets_of_the_server_than_one_step_takes_are_refused_before_anything_is_sent(
    client: redis.Redis, round_trips: RoundTrips
) -> None:
    numbers: Numbers = RedisSortedSet(client, "numbers")
    others = [numbers] * MAX_OPERANDS
    numbers.add(1)
    result = numbers.union(*others[1:])
    assert list(result) == [1]
    with round_trips(client) as trips:
        for combine in (numbers.union, numbers.intersection, numbers.difference):
            with pytest.raises(InvalidValueError, match=r"of 752 sets, .* takes 750; combine"):
                combine([2], *others)
        with pytest.raises(InvalidValueError, match="in several steps"):
            numbers.update(*others)
        assert trips.value == 0


def staged(client: redis.Redis) -> list[Any]:
    found: Any = client.execute_command("KEYS", "*staged*", NEVER_DECODE=True)
    return list(found)


def test_a_combination_that_the_server_refuses_leaves_no_staged_key(client: redis.Redis) -> None:
    numbers: Numbers = RedisSortedSet(client, "numbers")
    numbers.update(range(5))
    client.set("taken", "text")
    for others in ([range(3)], [range(12_000)], [[1]] * 4_000):
        with pytest.raises(TypeError):
            numbers.intersection(RedisSortedSet(client, "taken"), *others)
        assert not staged(client)
        # The server knows the script, and refuses what it writes.
        client.execute_command("ACL", "SETUSER", "default", "-zinterstore", "-zdiffstore")
        try:
            with pytest.raises(Exception, match=r"(?i)permission|can.t run this command"):
                numbers.intersection(*others)
        finally:
            client.execute_command("ACL", "SETUSER", "default", "+@all")
        assert not staged(client)
    assert len(numbers) == 5


# What one script does, as the server shows it to those that look on


class Monitor:
    """The words of all commands of each script call while it is open, its own among them."""

    def __init__(self, server: TestServer) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(server.unix_socket)
        self._socket.sendall(b"MONITOR\r\n")
        self._lines = self._socket.makefile("rb")
        assert self._lines.readline().startswith(b"+OK")

    def scripts(self, client: redis.Redis) -> list[int]:
        """Return the number of words of each script call so far."""
        client.echo("the end")
        found: list[int] = []
        for line in self._lines:
            words = line.count(b'" "') + 1
            command = line.partition(b'"')[2][:4].upper()
            if b" lua] " in line[:60]:
                found[-1] += words
            elif command == b"EVAL":
                found.append(words)
            elif command == b"ECHO" and b"the end" in line:
                break
        return found

    def __enter__(self) -> "Monitor":
        return self

    def __exit__(self, *_error: object) -> None:
        self._lines.close()
        self._socket.close()


# Of so many words in commands, some of them single ones, a script has enough for about 5 ms.
MAX_WORK = 13_000


def expire_all(jobs: Strings, **options: Any) -> None:
    jobs.update(map(str, range(MANY)))
    jobs.lease(MANY, **options).extend(0.001)
    until(lambda: jobs.stats().expired == MANY)


def dead(jobs: Strings) -> None:
    jobs.update(map(str, range(MANY)))
    jobs.lease(MANY).reject()


def leased(jobs: Strings) -> Any:
    jobs.update(map(str, range(MANY)))
    return jobs.lease(MANY)


# What is there before, and what is measured.
SCRIPTS: dict[str, tuple[Callable[[Strings], Any], Callable[[Strings, Any], Any]]] = {
    "take": (leased, lambda jobs, batch: (batch.release(), jobs.take(MANY))),
    "insert": (lambda _: None, lambda jobs, _: jobs.insert(*map(str, range(MANY)))),
    "lease of what came back": (expire_all, lambda jobs, _: [jobs.lease(MANY) for _ in range(30)]),
    "ack": (leased, lambda _, batch: batch.ack()),
    "ack again": (leased, lambda _, batch: batch.ack(again_at=1)),
    "extend": (leased, lambda _, batch: batch.extend(60)),
    "release": (leased, lambda _, batch: batch.release()),
    "release later": (leased, lambda _, batch: batch.release(delay=60)),
    "reject": (leased, lambda _, batch: batch.reject()),
    "requeue": (dead, lambda jobs, _: jobs.requeue()),
    "requeue some": (dead, lambda jobs, _: jobs.requeue(*map(str, range(MANY)))),
    "discard dead": (dead, lambda jobs, _: jobs.discard_dead()),
    "cancel": (leased, lambda jobs, _: jobs.cancel(*map(str, range(MANY)))),
    "clear": (leased, lambda jobs, _: jobs.clear()),
    "consume": (leased, lambda jobs, batch: (batch.release(), list(jobs.consume(MANY, timeout=0)))),
}


@pytest.mark.parametrize("unique", ["until_taken", "forever"])
@pytest.mark.parametrize("operation", SCRIPTS)
def test_the_work_of_one_script_is_bounded(
    client: redis.Redis, server: TestServer, operation: str, unique: Any
) -> None:
    jobs: Strings = SortedSet(client, "jobs", unique=unique)
    prepare, use = SCRIPTS[operation]
    prepared = prepare(jobs)
    with Monitor(server) as monitor:
        use(jobs, prepared)
        scripts = monitor.scripts(client)
    assert max(scripts, default=0) <= MAX_WORK


def test_update_of_what_is_unique_goes_in_scripts_of_bounded_work(
    client: redis.Redis, server: TestServer
) -> None:
    jobs: Strings = SortedSet(client, "jobs", unique="forever")
    with Monitor(server) as monitor:
        jobs.update(map(str, range(MANY)))
        assert max(monitor.scripts(client)) <= MAX_WORK
    assert len(jobs) == MANY


def test_a_pop_pays_for_no_more_than_a_few_hundred_leases_that_ran_out(client: redis.Redis) -> None:
    jobs: Strings = SortedSet(client, "jobs")
    expire_all(jobs)
    before = MANY
    for _ in range(10):
        assert jobs.pop() is not None
        left = jobs.stats().expired
        assert before - 300 <= left < before
        before = left


def test_a_good_item_behind_more_exhausted_ones_than_a_call_buries_is_found(
    client: redis.Redis,
) -> None:
    jobs: Strings = SortedSet(client, "jobs")
    jobs.add("exhausted")
    jobs.lease(1, ttl=0.001, max_deliveries=1)
    # As many others, as if each had been leased alone.
    entry: Any = client.execute_command("HGET", "{jobs}:held", "exhausted", NEVER_DECODE=True)
    others = [f"exhausted {number}" for number in range(10_001)]
    client.hset("{jobs}:held", mapping=dict.fromkeys(others, entry))
    client.hset("{jobs}:held", "good", entry.replace(b" 1 1 ", b" 1 9 "))
    client.zadd("{jobs}:leased", {"good": 2} | dict.fromkeys(others, 1))
    until(lambda: jobs.stats().expired == len(others) + 2)
    assert jobs.take(1) == ["good"]
    assert jobs.stats().dead == len(others) + 1


def test_insert_of_large_items_goes_in_requests_of_a_mebibyte(
    recorder: RecordingProxy, make_numbers: MakeNumbers
) -> None:
    numbers = make_numbers()
    items = [bytes([number]) * 400_000 for number in range(7)]
    assert numbers.insert(*items) == items
    assert numbers.insert(*items, b"new") == [b"new"]
    sizes = [sum(map(len, words)) for words in recorder.requests()]
    assert max(sizes) < 1_500_000


# Numbers beyond anything, and values of megabytes


@pytest.mark.parametrize("power", [(2, 53), (2, 63), (10, 400), (10, 5000)])
def test_numbers_of_items_beyond_all_are_all_there_are_or_an_error_as_of_a_list(
    client: redis.Redis, power: tuple[int, int]
) -> None:
    huge = power[0] ** power[1]
    numbers: Numbers = RedisSortedSet(client, "numbers")
    items = list(range(5))
    numbers.update(items)
    assert sorted(numbers.sample(huge)) == items
    assert numbers[:huge] == numbers[-huge:] == numbers[-huge:huge] == items
    assert (numbers[huge:], numbers[::huge], numbers[::-huge]) == ([], [0], [4])
    assert numbers.range(limit=huge) == items
    assert numbers.range(offset=huge) == []
    for place in (huge, -huge):
        with pytest.raises(IndexError, match="no item of rank"):
            numbers[place]
    for last in (False, True):
        with pytest.raises(KeyError, match="no item at position"):
            numbers.peek(huge, last=last)
    numbers.lease(huge, max_deliveries=huge).release()
    assert list(numbers.consume(huge, timeout=0, max_deliveries=huge)) == items
    numbers.update(items)
    assert numbers.take(huge) == items


SECONDS: dict[str, Callable[[Numbers, Any], Any]] = {
    "ttl": lambda numbers, seconds: numbers.lease(1, seconds).release(),
    "renew": lambda numbers, seconds: numbers.lease(1, seconds, renew=True).ack(),
    "extend": lambda numbers, seconds: numbers.lease(1).extend(seconds),
    "delay": lambda numbers, seconds: numbers.lease(1).release(delay=seconds),
    "older_than": lambda numbers, seconds: numbers.requeue(older_than=seconds),
    "timeout": lambda numbers, seconds: numbers.take(1, timeout=seconds),
    "timeout of consume": lambda numbers, seconds: next(numbers.consume(timeout=seconds)),
    "retry_delay": lambda numbers, seconds: next(numbers.consume(retry_delay=seconds)),
}


@pytest.mark.parametrize("argument", SECONDS)
@pytest.mark.parametrize("seconds", [1e10, 1e18, 2**70, 1e300, sys.float_info.max])
def test_any_finite_number_of_seconds_will_do(
    client: redis.Redis, argument: str, seconds: Any
) -> None:
    numbers: Numbers = RedisSortedSet(client, "numbers")
    numbers.update(range(3))
    SECONDS[argument](numbers, seconds)
    assert len(numbers) + sum(1 for _ in numbers.leased()) in {2, 3}


@pytest.mark.parametrize("seconds", [1e10, 1e300, 2**70])
def test_a_wait_that_is_as_good_as_for_ever_ends_with_an_item(
    client: redis.Redis, seconds: Any
) -> None:
    numbers: Numbers = RedisSortedSet(client, "numbers")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(numbers.pop, timeout=seconds)
        wait_for_watchers(client, 1)
        RedisSortedSet[int](client, "numbers").add(1)
        assert waiting.result() == 1


@pytest.mark.parametrize("argument", SECONDS)
@pytest.mark.parametrize("seconds", [10**400, 10**5000], ids=["10**400", "10**5000"])
def test_seconds_that_no_float_holds_are_refused_before_anything_is_sent(
    client: redis.Redis, round_trips: RoundTrips, argument: str, seconds: int
) -> None:
    numbers: Numbers = RedisSortedSet(client, "numbers")
    numbers.update(range(3))
    sent = 1 if argument in {"extend", "delay"} else 0  # the lease
    with round_trips(client) as trips:
        with pytest.raises(InvalidValueError, match=r"redset 'numbers': .* finite, got"):
            SECONDS[argument](numbers, seconds)
        assert trips.value == sent


def test_messages_quote_little_of_an_item_or_a_name_of_megabytes(
    client: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    large: Any = "x" * 5_000_000
    name = "n" * 1_000_000
    numbers: Numbers = RedisSortedSet(client, name)
    numbers.add(1)
    calls: dict[str, Callable[[], Any]] = {
        "must be a real number": lambda: numbers.add(large, "1"),
        "a real number, got nan": lambda: numbers.add(large, math.nan),
        "must be an integer": lambda: numbers.take(large),
        "must be a number of seconds": lambda: numbers.pop(timeout=large),
        "not in this lease": lambda: numbers.lease(1).ack(large),
        "must be one of keep": lambda: numbers.add(1, on_conflict=large),
        "reason must be one of": lambda: numbers.requeue(reason=large),
        "pop from an empty set": lambda: [numbers.pop() for _ in range(3)],
        "no item at position": lambda: numbers.peek(7),
        "two bools": lambda: numbers.range(0, 1, inclusive=large),
        "max_deliveries must be": lambda: numbers.lease(1, max_deliveries=-(10**5000)),
        "doesn't hold": lambda: lose(numbers, large),
        "set as the operand": lambda: numbers.union(wrong_type(client, f"{{{name}}}w")),
    }
    for words, call in calls.items():
        with pytest.raises(RedsetError) as caught:
            call()
        assert words in str(caught.value)
        assert len(str(caught.value)) < 700
    client.zadd(name, {b"\xff" + large.encode(): 1})
    numbers.take(1)
    assert "can't deserialize" in caplog.text
    assert all(len(record.getMessage()) < 1_000 for record in caplog.records)


def lose(numbers: Numbers, item: Any) -> None:
    numbers.add(item)
    batch = numbers.lease(9)
    numbers.cancel(item)
    batch.ack()


def wrong_type(client: redis.Redis, name: str) -> Numbers:
    client.set(name, "text")
    return RedisSortedSet(client, name)
