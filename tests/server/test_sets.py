"""What one set does with one server, and in how many round trips."""

import json
import logging
import math
import pickle
from collections.abc import Callable, Iterator, MutableSet
from decimal import Decimal
from fractions import Fraction
from typing import Any

import gmpy2
import pytest
import redis

import redset.clocks
from redset import (
    EmptySetError,
    InvalidTypeError,
    InvalidValueError,
    KeyTypeError,
    RedisSortedSet,
    ScheduledSet,
    ServerClock,
    SortedSet,
    TimeSortedSet,
)
from redset._protocol.keys import companion
from tests.server.conftest import RoundTrips, name_beside
from tests.unit.codecs.strategies import Level

KINDS = [RedisSortedSet, SortedSet, TimeSortedSet, ScheduledSet]


@pytest.fixture(params=KINDS)
def jobs(request: pytest.FixtureRequest, client: redis.Redis) -> RedisSortedSet[Any]:
    """An empty set of each kind."""
    made: RedisSortedSet[Any] = request.param(client, "jobs")
    return made


@pytest.fixture
def numbers(client: redis.Redis) -> RedisSortedSet[Any]:
    """The items 0 to 9, each scored by itself."""
    made: RedisSortedSet[Any] = RedisSortedSet(client, "numbers", scorer=float)
    made.update(range(10))
    return made


def test_it_is_a_mutable_set(jobs: RedisSortedSet[Any]) -> None:
    assert isinstance(jobs, MutableSet)


def test_an_added_item_is_there_once(jobs: RedisSortedSet[Any]) -> None:
    assert jobs.add("a", score=3) == 3
    assert jobs.add("a", score=2) == 2
    assert "a" in jobs
    assert "b" not in jobs
    assert (len(jobs), list(jobs), jobs.score("a")) == (1, ["a"], 2.0)


def test_add_keeps_an_explicit_score_of_zero(client: redis.Redis) -> None:
    jobs: RedisSortedSet[str] = RedisSortedSet(client, "jobs", scorer=lambda item: 5)
    assert jobs.add("a", score=0) == 0
    assert jobs.score("a") == 0.0
    assert jobs.add("b") == 5


@pytest.mark.parametrize(
    "score",
    [Decimal("19.99"), Decimal(2), Fraction(1, 4), True, Level.HIGH, gmpy2.mpq(1, 2)],
    ids=repr,
)
@pytest.mark.parametrize("unique", ["until_taken", "until_acked"])
@pytest.mark.parametrize("on_conflict", ["replace", "min"])
def test_add_returns_the_float_that_is_kept(
    client: redis.Redis, score: Any, unique: Any, on_conflict: Any
) -> None:
    jobs: RedisSortedSet[str] = RedisSortedSet(client, "jobs", unique=unique)
    returned = jobs.add("a", score, on_conflict=on_conflict)
    assert (type(returned), returned) == (float, jobs.score("a"))


def test_add_returns_an_int_that_was_given(jobs: RedisSortedSet[Any]) -> None:
    returned = jobs.add("a", 123)
    assert (type(returned), returned) == (int, 123)


def test_infinite_scores_come_first_and_last(jobs: RedisSortedSet[Any]) -> None:
    for item, score in [("m", 0.0), ("z", math.inf), ("a", -math.inf)]:
        jobs.add(item, score)
    assert list(jobs.items()) == [("a", -math.inf), ("m", 0.0), ("z", math.inf)]


@pytest.mark.parametrize("score", [1700000000.123456, 5e-324, 1e308, 0.1 + 0.2, -1 / 3])
def test_a_score_comes_back_as_the_same_float(numbers: RedisSortedSet[Any], score: float) -> None:
    numbers.add("x", score)
    assert numbers.score("x") == score
    assert dict(numbers.items())["x"] == score


def test_items_keep_their_types_without_a_serializer(client: redis.Redis) -> None:
    values: RedisSortedSet[Any] = RedisSortedSet(client, "values")
    given = {1, "1", b"1", None, (1, ("a", frozenset({2.5}))), 0, ""}
    values.update(given)
    assert set(values) == given
    assert 1.0 in values
    assert True in values


def test_falsy_items_are_items(client: redis.Redis) -> None:
    values: RedisSortedSet[Any] = RedisSortedSet(client, "values")
    for item in [0, "", None, (), b""]:
        values.add(item)
        assert values.peek() == item
        assert values.pop() == item
    assert len(values) == 0


def test_items_are_text_in_a_sorted_set(client: redis.Redis) -> None:
    texts: SortedSet[Any] = SortedSet(client, "texts")
    texts.add(12)
    assert (12 in texts, "12" in texts, texts.pop()) == (True, True, "12")


def test_discard_and_remove(jobs: RedisSortedSet[Any]) -> None:
    jobs.update(["a", "b"])
    assert jobs.discard("a") is True
    assert jobs.discard("a") is False
    jobs.remove("b")
    with pytest.raises(KeyError) as caught:
        jobs.remove("b")
    assert caught.value.args == ("b",)


def test_pop_gives_the_lowest_score_and_then_an_error(numbers: RedisSortedSet[Any]) -> None:
    assert [numbers.pop() for _ in range(10)] == list(range(10))
    with pytest.raises(EmptySetError, match="redset 'numbers': pop from an empty set"):
        numbers.pop()
    with pytest.raises(KeyError):
        numbers.pop()


def test_take_gives_up_to_so_many(numbers: RedisSortedSet[Any]) -> None:
    assert numbers.take(3) == [0, 1, 2]
    assert numbers.take(0) == numbers.take(-1) == []
    assert numbers.take(100) == [3, 4, 5, 6, 7, 8, 9]
    assert numbers.take(1) == []


def test_take_of_many_thousands_is_whole(client: redis.Redis) -> None:
    many: RedisSortedSet[int] = RedisSortedSet(client, "many", scorer=float)
    many.update(range(20_000))
    assert many.take(20_000) == list(range(20_000))


def test_peek_leaves_the_item(numbers: RedisSortedSet[Any]) -> None:
    assert (numbers.peek(), numbers.peek(position=3), numbers.peek_score()) == (0, 3, 0.0)
    assert len(numbers) == 10
    with pytest.raises(KeyError, match="no item at position 10"):
        numbers.peek(10)


def test_peek_score_of_an_empty_set_is_none(jobs: RedisSortedSet[Any]) -> None:
    assert jobs.peek_score() is None
    with pytest.raises(KeyError):
        jobs.peek()


def test_update_takes_any_iterables_and_keeps_scores(numbers: RedisSortedSet[Any]) -> None:
    numbers.add(3, score=-1)
    numbers.update([3, 10], iter({11}), (), (n for n in (12, 12)))
    assert list(numbers)[:2] == [3, 0]
    assert len(numbers) == 13


def test_insert_returns_those_that_were_new(numbers: RedisSortedSet[Any]) -> None:
    numbers.add(3, score=-1)
    assert numbers.insert(3, 10, 11, 10) == [10, 11]
    assert numbers.score(3) == -1.0
    assert numbers.insert(10) == numbers.insert() == []


def test_insert_of_many_thousands(client: redis.Redis) -> None:
    seen: RedisSortedSet[int] = RedisSortedSet(client, "seen")
    seen.update(range(0, 20_000, 2))
    assert seen.insert(*range(20_000)) == list(range(1, 20_000, 2))


def test_clear_empties_and_says_whether_there_was_anything(jobs: RedisSortedSet[Any]) -> None:
    jobs.update(["a", "b"])
    assert jobs.clear() is True
    assert jobs.clear() is False
    assert len(jobs) == 0


def test_clear_leaves_no_companion_key(client: redis.Redis) -> None:
    jobs: RedisSortedSet[Any] = RedisSortedSet(client, "jobs", serializer=json)
    client.zadd("jobs", {"not json": 1, '"a"': 2, '"b"': 3})
    assert jobs.take(2) == ["a"]
    assert len(client.keys()) == 3
    jobs.clear()
    assert client.keys() == []


def test_reversed_is_the_other_way_round(numbers: RedisSortedSet[Any]) -> None:
    assert list(reversed(numbers)) == list(range(9, -1, -1))


def test_equal_scores_come_in_order_of_their_bytes(client: redis.Redis) -> None:
    texts: SortedSet[str] = SortedSet(client, "texts")
    texts.update(["9", "10", "é", "z"])
    assert list(texts) == ["10", "9", "z", "é"]


def test_what_was_added_first_comes_out_first(client: redis.Redis) -> None:
    queue: TimeSortedSet[str] = TimeSortedSet(client, "queue")
    items = [str(n) for n in range(3_000, 0, -1)]
    queue.update(items[:2_000])
    for item in items[2_000:2_010]:
        queue.add(item)
    other: TimeSortedSet[str] = TimeSortedSet(client, "queue")
    other.update(items[2_010:])
    assert queue.take(3_000) == items


def test_a_scheduled_set_hands_out_what_is_due(client: redis.Redis) -> None:
    now = 100.0
    jobs: ScheduledSet[str] = ScheduledSet(client, "jobs", clock=lambda: now)
    for item, score in [("late", 200), ("b", 100), ("a", 99.5)]:
        jobs.add(item, score)
    assert (jobs.available(), len(jobs), "late" in jobs) == (2, 3, True)
    assert (jobs.peek(), jobs.peek(1), jobs.peek_score()) == ("a", "b", 99.5)
    with pytest.raises(KeyError):
        jobs.peek(2)
    assert jobs.pop() == "a"
    assert jobs.take(10) == ["b"]
    with pytest.raises(KeyError):
        jobs.pop()
    assert (jobs.take(10), jobs.peek_score(), jobs.available()) == ([], None, 0)
    now = 200.0
    assert jobs.take(10) == ["late"]


def test_what_is_added_now_is_due_now(client: redis.Redis) -> None:
    jobs: ScheduledSet[str] = ScheduledSet(client, "jobs")
    jobs.update(str(n) for n in range(1_000))
    assert len(jobs.take(2_000)) == 1_000


def test_the_clock_may_be_the_servers(client: redis.Redis, round_trips: RoundTrips) -> None:
    clock = ServerClock(client)
    seconds, micros = client.execute_command("TIME")
    assert abs(clock() - (int(seconds) + int(micros) / 1e6)) < 5
    with round_trips(client) as count:
        clock()
    assert count.value == 0
    jobs: ScheduledSet[str] = ScheduledSet(client, "jobs", clock=clock)
    jobs.add("a")
    assert jobs.pop() == "a"


def test_the_servers_clock_is_not_early_after_a_slow_reply(
    client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redset.clocks, "SOON_SECONDS", 0.0)
    clock = ServerClock(client)
    client.execute_command("CLIENT", "PAUSE", 300, "ALL")
    reading = clock()
    seconds, micros = client.execute_command("TIME")
    assert reading <= int(seconds) + int(micros) / 1e6
    again = clock()  # asked again
    seconds, micros = client.execute_command("TIME")
    assert abs(again - (int(seconds) + int(micros) / 1e6)) < 0.2


OPERATIONS: dict[str, Callable[[RedisSortedSet[Any]], object]] = {
    "add": lambda jobs: jobs.add("x"),
    "in": lambda jobs: "a" in jobs,
    "len": len,
    "discard": lambda jobs: jobs.discard("a"),
    "remove": lambda jobs: jobs.remove("a"),
    "score": lambda jobs: jobs.score("a"),
    "pop": lambda jobs: jobs.pop(),
    "take": lambda jobs: jobs.take(2),
    "clear": lambda jobs: jobs.clear(),
    "peek": lambda jobs: jobs.peek(),
    "peek_score": lambda jobs: jobs.peek_score(),
    "insert": lambda jobs: jobs.insert("a", "x", "y"),
    "update": lambda jobs: jobs.update(str(n) for n in range(5_000)),
    "isdisjoint": lambda jobs: jobs.isdisjoint(["x", "y"]),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_it_takes_one_round_trip(
    jobs: RedisSortedSet[Any], round_trips: RoundTrips, name: str
) -> None:
    jobs.take(1)  # the server knows the scripts from now on
    jobs.insert("a", "b")
    jobs.isdisjoint(["z"])
    with round_trips(jobs._runner.client) as count:
        OPERATIONS[name](jobs)
    assert count.value == 1


def test_update_of_100_000_items_takes_at_most_100_round_trips(
    client: redis.Redis, round_trips: RoundTrips
) -> None:
    many: RedisSortedSet[str] = RedisSortedSet(client, "many")
    with round_trips(client) as count:
        many.update(f"item-{n}" for n in range(100_000))
    assert count.value <= 100
    assert len(many) == 100_000


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda jobs: jobs.take("x"), InvalidTypeError),
        (lambda jobs: jobs.take(None), InvalidTypeError),
        (lambda jobs: jobs.peek("x"), InvalidTypeError),
        (lambda jobs: jobs.peek(-1), InvalidValueError),
        (lambda jobs: jobs.add("a", score=math.nan), InvalidValueError),
        (lambda jobs: jobs.add("a", score="1"), InvalidTypeError),
        (lambda jobs: jobs.add("a", score=2**53 + 1), InvalidValueError),
    ],
)
def test_a_bad_argument_sends_nothing(
    jobs: RedisSortedSet[Any],
    round_trips: RoundTrips,
    call: Callable[[RedisSortedSet[Any]], object],
    error: type[Exception],
) -> None:
    with round_trips(jobs._runner.client) as count, pytest.raises(error, match="redset 'jobs'"):
        call(jobs)
    assert count.value == 0


def test_a_scorer_that_returns_rubbish_is_named(client: redis.Redis) -> None:
    jobs: RedisSortedSet[str] = RedisSortedSet(client, "jobs", scorer=lambda item: "soon")
    with pytest.raises(InvalidTypeError, match=r"redset 'jobs': score of 'a' .* got str 'soon'"):
        jobs.add("a")
    assert len(jobs) == 0


@pytest.mark.parametrize("item", [[1], {"a": 1}, {1}, (1, [2])])
def test_an_unhashable_item_is_refused_as_by_set(client: redis.Redis, item: Any) -> None:
    values: RedisSortedSet[Any] = RedisSortedSet(client, "values")
    with pytest.raises(TypeError, match=r"unhashable type: '(list|dict|set)'"):
        values.add(item)


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_a_key_of_another_type_is_named(client: redis.Redis, name: str) -> None:
    client.rpush("jobs", "a list")
    with pytest.raises(KeyTypeError, match=r"redset 'jobs': the key .*holds another Redis type"):
        OPERATIONS[name](SortedSet(client, "jobs"))
    assert client.llen("jobs") == 1


def test_an_unreadable_member_is_logged_and_kept_aside(
    client: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    jobs: RedisSortedSet[Any] = RedisSortedSet(client, "jobs", serializer=json)
    client.zadd("jobs", {"not json": 1, "nor this": 2, '"a"': 3})
    with caplog.at_level(logging.ERROR, logger="redset"):
        assert jobs.pop() is None
    assert "not json" in caplog.text
    assert jobs.peek() is None
    assert list(jobs) == ["a"]
    assert jobs.take(5) == ["a"]
    aside = client.zrange("{jobs}:undecodable", 0, -1, withscores=True)
    assert [float(pair[1]) for pair in aside] == [1.0, 2.0]


def test_a_server_that_is_down_raises_the_clients_own_error() -> None:
    nobody = redis.Redis(port=1, retry=redis.retry.Retry(redis.backoff.NoBackoff(), 0))
    with pytest.raises(redis.ConnectionError):
        SortedSet[str](nobody, "jobs").add("a")


# Names


@pytest.mark.parametrize(
    "name", [b"\xff", b"a\\xff", "\u00e9t\u00e9", "{", b"\x00}{:", "{jobs}:urls"]
)
def test_a_name_is_one_key_as_text_and_as_bytes(client: redis.Redis, name: Any) -> None:
    key = name if isinstance(name, bytes) else name.encode()
    jobs = RedisSortedSet[Any](client, name)
    jobs.add(1)
    assert jobs.key == key
    assert client.zcard(key) == 1
    for same in (RedisSortedSet[Any](client, jobs.key), pickle.loads(pickle.dumps(jobs))):
        assert (same.key, same.name, list(same)) == (key, jobs.name, [1])
    beside = name_beside(key)
    other, third = beside.encode() + b"\xfe", beside.encode() + b"\xfd"
    assert list(jobs.copy(into=other)) == list(RedisSortedSet[Any](client, other)) == [1]
    assert list(jobs.union([2], into=other) & {1}) == [1]
    with jobs.lock:
        assert client.exists(companion(key, "lock"))
    jobs.rename(third)
    assert (jobs.key, jobs.name, list(jobs)) == (third, f"{beside}\\xfd", [1])
    jobs.rename(name)
    assert (jobs.key, list(jobs)) == (key, [1])


NAMED: dict[str, Callable[[Any, Any], Any]] = {
    "a set": lambda jobs, name: type(jobs)(jobs._runner.client, name),
    "rename": lambda jobs, name: jobs.rename(name),
    "union": lambda jobs, name: jobs.union(jobs, into=name),
    "intersection": lambda jobs, name: jobs.intersection(jobs, into=name),
    "difference": lambda jobs, name: jobs.difference(jobs, into=name),
    "symmetric_difference": lambda jobs, name: jobs.symmetric_difference(jobs, into=name),
    "copy": lambda jobs, name: jobs.copy(into=name),
}


@pytest.mark.parametrize("call", NAMED.values(), ids=NAMED)
@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("", InvalidValueError, "must not be empty"),
        (b"", InvalidValueError, "must not be empty"),
        (7, InvalidTypeError, "str or bytes, got int"),
        (bytearray(b"jobs"), InvalidTypeError, "str or bytes, got bytearray"),
        ("\ud800", InvalidValueError, "lone surrogate; .*give bytes"),
        ("{other}:dead", InvalidValueError, "companion key of the set 'other'; choose another"),
        (b"{a}:{a}:\xff:seen", InvalidValueError, "companion key of the set '{a}:.*xff'"),
    ],
)
def test_what_can_be_no_name_is_refused_before_anything_is_sent(
    client: redis.Redis, round_trips: RoundTrips, call: Any, name: Any, error: Any, words: str
) -> None:
    jobs = RedisSortedSet[Any](client, "jobs")
    with round_trips(client) as count, pytest.raises(error, match=f"redset.*{words}"):
        call(jobs, name)
    assert count.value == 0


def test_the_set_of_the_dead_and_results_are_sets_like_others(client: redis.Redis) -> None:
    """Their names are none that a set could be given, but they can be sent, combined and kept."""
    jobs = RedisSortedSet[Any](client, "jobs", max_deliveries=1)
    jobs.update("abc")
    jobs.lease(2).release()
    for dead in (jobs.dead_items, pickle.loads(pickle.dumps(jobs.dead_items))):
        assert (dead.key, list(dead)) == (b"{jobs}:dead", ["a", "b"])
        result = dead | {"z"}
        assert result.name.startswith("{jobs}:result:")
        assert list(result) == ["a", "b", "z"]
    result.rename(result.name)
    assert list(pickle.loads(pickle.dumps(result))) == ["a", "b", "z"]


def test_a_repr_names_class_and_set(jobs: RedisSortedSet[Any], round_trips: RoundTrips) -> None:
    with round_trips(jobs._runner.client) as count:
        assert repr(jobs) == f"<redset.{type(jobs).__name__} 'jobs'>"
    assert count.value == 0


@pytest.mark.parametrize("other", [set(), {1}, set(range(10)), set(range(5, 15)), {99}])
def test_comparisons_and_in_place_operators_are_those_of_set(
    numbers: RedisSortedSet[Any], other: set[Any]
) -> None:
    model = set(numbers)
    assert (numbers <= other, numbers < other, numbers == other, numbers != other) == (
        model <= other,
        model < other,
        model == other,
        model != other,
    )
    assert (numbers >= other, numbers > other) == (model >= other, model > other)
    assert numbers.isdisjoint(other) == model.isdisjoint(other)
    assert numbers | other == model | other
    assert numbers & other == model & other
    assert numbers - other == model - other
    assert numbers ^ other == model ^ other
    for change in ("__ior__", "__iand__", "__isub__", "__ixor__"):
        numbers.clear()
        numbers.update(range(10))
        expected = set(range(10))
        assert getattr(numbers, change)(other) is numbers
        getattr(expected, change)(other)
        assert set(numbers) == expected


@pytest.mark.parametrize("other", [None, 1, [1], "x"])
def test_a_non_set_is_unequal_and_not_comparable(jobs: RedisSortedSet[Any], other: Any) -> None:
    assert (jobs == other, jobs != other) == (False, True)
    with pytest.raises(TypeError):
        assert jobs < other


def test_sets_compare_with_sets_in_few_round_trips(
    client: redis.Redis, round_trips: RoundTrips
) -> None:
    one: RedisSortedSet[int] = RedisSortedSet(client, "one")
    two: RedisSortedSet[int] = RedisSortedSet(client, "two")
    for each in (one, two):
        each.update(range(3_000))
    with round_trips(client) as count:
        assert one == two
    assert count.value < 20


def test_iteration_holds_one_page(client: redis.Redis, round_trips: RoundTrips) -> None:
    many: RedisSortedSet[int] = RedisSortedSet(client, "many")
    many.update(range(1_000))
    with round_trips(client) as count:
        iterator: Iterator[int] = iter(many)
        next(iterator)
        assert count.value == 1
        assert len(list(iterator)) == 999
    assert count.value <= 5
