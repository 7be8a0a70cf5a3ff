"""Set algebra on a real server: its round trips, its scores, and what it leaves behind.

Sets that are combined on the server are called `a` and `{a}b`: on a cluster they share a slot.
Others, as `left` and `right`, do not, and have to give the same answers.
"""

import functools
import math
import operator
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from hypothesis import example, given, settings
from hypothesis import strategies as st

from redset import InvalidValueError, KeyTypeError, RedisSortedSet, SortedSet, TimeSortedSet
from redset._plans import algebra, operands
from redset._plans.arguments import OnConflict
from redset._protocol.sources import unscored
from redset.codecs import JSONSerializer
from tests.server.conftest import MakeClient, RoundTrips, delete_collected
from tests.servers import TestServer

Redset = RedisSortedSet[Any]
MANY = range(12_000)  # more than two chunks

CALLS: dict[str, Callable[[Redset, Redset], Any]] = {
    "a | b": operator.or_,
    "a & b": operator.and_,
    "a - b": operator.sub,
    "a ^ b": operator.xor,
    "a |= b": operator.ior,
    "a &= b": operator.iand,
    "a -= b": operator.isub,
    "a ^= b": operator.ixor,
    "a == b": operator.eq,
    "a <= b": operator.le,
    "a < b": operator.lt,
    "a >= b": operator.ge,
    "a > b": operator.gt,
    "isdisjoint": RedisSortedSet.isdisjoint,
    "copy": lambda a, _: a.copy(),
    "mixed": lambda a, b: a.union(b, {"x"}, ["y"], on_conflict="sum"),
}
# Every way in which two sets make a third, with the same answer for any kind of right side.
COMBINATIONS = {
    "union": operator.or_,
    "intersection": operator.and_,
    "difference": operator.sub,
    "symmetric_difference": operator.xor,
}


@pytest.fixture
def a(client: redis.Redis) -> Redset:
    """The items 0 to 5, each scored by itself."""
    return filled(client, "a", {item: float(item) for item in range(6)})


@pytest.fixture
def b(client: redis.Redis) -> Redset:
    """The items 3 to 8, scored by ten times themselves."""
    return filled(client, "{a}b", {item: item * 10.0 for item in range(3, 9)})


@pytest.fixture
def far(server: TestServer) -> Iterator[redis.Redis]:
    """A client of another server, which holds nothing."""
    with TestServer.start(server.kind) as other:
        client = redis.Redis(unix_socket_path=other.unix_socket)
        yield client
        client.close()


def filled(client: redis.Redis, name: str, scores: dict[Any, float], **options: Any) -> Redset:
    made: Redset = RedisSortedSet(client, name, **options)
    for item, score in scores.items():
        made.add(item, score)
    return made


def keys(client: redis.Redis) -> set[bytes]:
    delete_collected(client)
    found: Any = client.execute_command("KEYS", "*", NEVER_DECODE=True)
    return set(found)


def failing(items: Any) -> Iterator[Any]:
    yield from items
    raise ZeroDivisionError


# Round trips


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_algebra_takes_one_round_trip_and_a_second_for_a_new_script(
    client: redis.Redis, a: Redset, b: Redset, round_trips: RoundTrips, call: Callable[..., Any]
) -> None:
    client.script_flush()  # type: ignore[no-untyped-call,unused-ignore]
    with round_trips(client) as count:
        result = call(a, b)
    assert count.value <= 2
    with round_trips(client) as count:
        again = call(a, b)
    assert count.value == 1
    del result, again


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_round_trips_do_not_grow_with_the_sets(
    client: redis.Redis, round_trips: RoundTrips, call: Callable[..., Any]
) -> None:
    one, two = RedisSortedSet[Any](client, "one"), RedisSortedSet[Any](client, "{one}two")
    one.update(MANY)
    two.update(MANY)
    with round_trips(client) as count:
        call(one, two)
    assert count.value <= 2


def test_only_the_local_side_travels_and_in_chunks(
    client: redis.Redis, a: Redset, round_trips: RoundTrips
) -> None:
    a.update(range(100_000))
    assert a & {1} == {1}
    with round_trips(client) as count:
        result = a.intersection(MANY)
    assert count.value == 3  # a chunk each, the last with the script
    assert len(result) == len(MANY)


def test_many_local_operands_travel_together(
    client: redis.Redis, a: Redset, round_trips: RoundTrips
) -> None:
    lists = [[number] for number in range(500)]
    assert a.union() == a
    with round_trips(client) as count:
        result = a.union(*lists)
        a.difference_update(*lists[:3])
        a.update(*lists[:2])
    assert count.value == 3
    assert result == set(range(500))
    assert set(a) == {0, 1, 3, 4, 5}


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", None])
def test_one_server_is_recognised_by_all_its_addresses(
    server: TestServer,
    make_client: MakeClient,
    a: Redset,
    round_trips: RoundTrips,
    host: str | None,
) -> None:
    client = make_client() if host is None else make_client(host=host, port=server.port)
    other = RedisSortedSet[Any](client, "{a}other")
    other.update(MANY)
    with round_trips(client) as count:
        assert a <= other
        assert len(a | other) == len(MANY)
    # Each client may ask once which server it speaks to.
    assert count.value <= 2 + 1 + 1 + 2


# Scores


def test_the_left_side_keeps_its_scores(a: Redset, b: Redset) -> None:
    assert dict((a | b).items()) == {0: 0, 1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 60, 7: 70, 8: 80}
    assert dict((b & a).items()) == {3: 30, 4: 40, 5: 50}
    assert dict((a ^ b).items()) == {0: 0, 1: 1, 2: 2, 6: 60, 7: 70, 8: 80}
    assert dict((a - b).items()) == {0: 0, 1: 1, 2: 2}


@pytest.mark.parametrize("infinite", [math.inf, -math.inf])
@pytest.mark.parametrize("method", ["union", "intersection", "update", "intersection_update"])
def test_the_left_score_wins_beside_infinite_ones(
    client: redis.Redis, infinite: float, method: str
) -> None:
    given = {"one": (2.5, infinite), "two": (infinite, 2.5), "three": (infinite, -infinite)}
    left = filled(client, "left", {item: pair[0] for item, pair in given.items()})
    right = filled(client, "right", {item: pair[1] for item, pair in given.items()})
    result = getattr(left, method)(right, right)
    changed = left if result is None else result
    assert dict(changed.items()) == {"one": 2.5, "two": infinite, "three": infinite}


@pytest.mark.parametrize("score", [2.0**53, 2.0**53 - 1, 1e308, 5e-324, -0.1, 1700000000.1234567])
def test_scores_come_through_algebra_as_the_same_floats(client: redis.Redis, score: float) -> None:
    left, right = filled(client, "left", {"x": score}), filled(client, "right", {"y": -score})
    other = filled(client, "other", {"x": 1.0})
    assert dict((left | right).items()) == {"x": score, "y": -score}
    assert dict((left & other).items()) == {"x": score}
    left ^= right
    assert dict(left.items()) == {"x": score, "y": -score}


@pytest.mark.parametrize(
    ("conflict", "united", "shared"),
    [
        ("keep", {"l": 1, "m": 2, "r": 7}, 2),
        ("replace", {"l": 1, "m": 5, "r": 7}, 5),
        ("min", {"l": 1, "m": 2, "r": 7}, 2),
        ("max", {"l": 1, "m": 5, "r": 7}, 5),
        ("sum", {"l": 1, "m": 7, "r": 7}, 7),
    ],
)
def test_on_conflict_says_whose_score_wins(
    client: redis.Redis, conflict: OnConflict, united: dict[str, float], shared: float
) -> None:
    left = filled(client, "left", {"l": 1, "m": 2}, scorer={"m": 5.0, "r": 7.0}.get)
    right = filled(client, "right", {"m": 5, "r": 7})
    for other in (right, {"m", "r"}, ["m", "r"]):
        assert dict(left.union(other, on_conflict=conflict).items()) == united
        found = left.intersection(other, on_conflict=conflict)
        assert dict(found.items()) == {"m": shared}
    left.update(right, on_conflict=conflict)
    assert dict(left.items()) == united


@pytest.mark.parametrize(
    "make",
    [
        lambda a, b: a.union(b, into="{a}hash"),
        lambda a, b: a.intersection([], into="{a}hash"),
        lambda a, b: a.difference(b, b, into="{a}hash"),
        lambda a, b: a.symmetric_difference([1], into="{a}hash"),
        lambda a, b: a.union(range(5_000), b, into="{a}hash"),
        lambda a, b: a.copy(into="{a}hash"),
    ],
)
def test_a_key_of_another_type_is_not_replaced(
    client: redis.Redis, a: Redset, b: Redset, make: Callable[[Redset, Redset], object]
) -> None:
    client.hset("{a}hash", "user", "ann")
    with pytest.raises(KeyTypeError, match=r"redset 'a': the key '{a}hash' .* is not replaced"):
        make(a, b)
    assert client.execute_command("HGET", "{a}hash", "user", NEVER_DECODE=True) == b"ann"
    assert len(a) == len(b) == 6
    assert client.keys("*staged*") == []
    client.delete("{a}hash")
    make(a, b)
    assert client.execute_command("TYPE", "{a}hash", NEVER_DECODE=True) in {b"zset", b"none"}


@pytest.mark.parametrize("conflict", ["keep", "replace"])
def test_the_first_or_last_score_wins_in_a_union_of_large_and_small_sets(
    client: redis.Redis, conflict: OnConflict
) -> None:
    content: list[dict[Any, float]] = [
        {item: item / 3 for item in range(9_000)},
        {item: -item / 7 for item in range(8_500, 11_000)},
        {"x": math.inf, "y": -1.5, 10_999: -math.inf},
        {"x": 1.5, "y": 2.5, 8_999: 3.5, "z": 5e-324},
    ]
    sets = [filled(client, f"set {n}", scores) for n, scores in enumerate(content)]
    expected: dict[Any, float] = {}
    for scores in content if conflict == "replace" else reversed(content):
        expected |= scores
    united = sets[0].union(*sets[1:], on_conflict=conflict)
    assert dict(united.items()) == expected
    sets[0].update(*sets[1:], on_conflict=conflict)
    assert dict(sets[0].items()) == expected


def test_weights_multiply_the_scores_of_each_set(a: Redset, b: Redset) -> None:
    result = a.intersection(b, {4}, on_conflict="sum", weights=[100, 1, 1])
    assert dict(result.items()) == {4: 440.0}
    lowest = a.union(b, on_conflict="min", weights=[1, -1])
    assert dict(lowest.items())[8] == -80.0


INF = math.inf
some_scores = st.sampled_from([0.0, 1.0, -1.0, 7.5, INF, -INF])
contents = st.dictionaries(st.sampled_from("abc"), some_scores)


def sums(
    parts: list[dict[str, float]], weights: list[float], conflict: str, operation: str
) -> dict[str, float] | None:
    """The scores that a combination has, ``None`` if one of them is no number."""
    meets: dict[str, Callable[[list[float]], float]] = {"sum": sum, "min": min, "max": max}
    found = {}
    for item in {item for part in parts for item in part}:
        pairs = zip(parts, weights, strict=False)
        products = [part[item] * weight for part, weight in pairs if item in part]
        if operation == "intersection" and len(products) < len(parts):
            continue
        above = sum(product for product in products if product > 0)
        below = sum(product for product in products if product < 0)
        if any(map(math.isnan, products)) or (conflict == "sum" and (above, below) == (INF, -INF)):
            return None
        found[item] = meets[conflict](products)
    return found


@given(
    parts=st.lists(contents, min_size=2, max_size=3),
    weights=st.lists(st.sampled_from([1.0, 0.0, -1.0, 10.0, 0.5]), min_size=3, max_size=3),
    conflict=st.sampled_from(["sum", "sum", "min", "max"]),
    operation=st.sampled_from(["union", "intersection"]),
    local=st.booleans(),
)
@settings(max_examples=4 * settings().max_examples)
@example([{"a": INF}, {"a": -INF}], [1.0] * 3, "sum", "union", False)
@example([{"a": INF}, {"a": -INF}, {"a": 5.0}], [1.0] * 3, "sum", "union", False)
@example([{"a": INF}, {"a": -INF}, {}], [1.0] * 3, "sum", "intersection", False)
@example([{"a": INF}, {"a": INF}], [1.0, -1.0, 1.0], "sum", "intersection", True)
@example([{"a": INF}, {"a": 3.0}], [0.0, 1.0, 1.0], "max", "union", False)
@example([{"a": 1e308}, {"a": 1e308}, {"a": -INF}], [1.0] * 3, "sum", "union", False)
def test_a_combination_without_a_number_is_refused_and_changes_nothing(
    client: redis.Redis,
    parts: list[dict[str, float]],
    weights: list[float],
    conflict: OnConflict,
    operation: str,
    local: bool,
) -> None:
    client.flushall()
    score_of = parts[-1].__getitem__
    first, *others = [
        filled(client, name, part, scorer=score_of)
        for name, part in zip(("0", "{0}1", "{0}2"), parts, strict=False)
    ]
    operands: list[Any] = [*others[:-1], list(parts[-1]) if local else others[-1]]
    expected = sums(parts, weights, conflict, operation)
    combine = functools.partial(getattr(first, operation), on_conflict=conflict)
    if expected is None:
        before = keys(client)
        with pytest.raises(InvalidValueError, match="redset '0': inf and -inf have no sum"):
            combine(*operands, weights=weights[: len(parts)])
        assert keys(client) == before
    else:
        into = combine(*operands, weights=weights[: len(parts)], into="{0}into")
        assert dict(into.items()) == pytest.approx(expected)
    change = getattr(first, {"union": "update"}.get(operation, f"{operation}_update"))
    expected = sums(parts, [1.0] * 3, conflict, operation)
    if expected is None:
        with pytest.raises(InvalidValueError, match="redset '0': inf and -inf have no sum"):
            change(*operands, on_conflict=conflict)
    else:
        change(*operands, on_conflict=conflict)
    assert dict(first.items()) == pytest.approx(parts[0] if expected is None else expected)


def test_many_infinite_scores_are_searched_for_one_without_a_sum(client: redis.Redis) -> None:
    left = filled(client, "left", {"odd": 1.0}, scorer=lambda _: INF)
    right = filled(client, "right", {"odd": 1.0}, scorer=lambda _: -INF)
    left.update(range(2_500))
    right.update(range(2_500, 5_000))
    with left.union(right, on_conflict="sum") as both:
        assert (len(both), both.score("odd")) == (5_001, 2.0)
    right.add(1_700)
    for method in (left.union, left.intersection, left.update):
        with pytest.raises(InvalidValueError, match="no sum"):
            method(right, on_conflict="sum")
    assert left.score(1_700) == INF


@pytest.mark.parametrize("unique", ["until_acked", "forever"])
def test_update_with_a_sum_that_is_no_number_changes_nothing_with_unique(
    client: redis.Redis, unique: Any
) -> None:
    jobs = filled(client, "jobs", {"a": 1.0, "b": INF}, unique=unique)
    more = filled(client, "more", {"a": 2.0, "b": -INF, "c": -INF, "d": 1.0})
    with pytest.raises(InvalidValueError, match="redset 'jobs': inf and -inf"):
        jobs.update(more, on_conflict="sum")
    assert dict(jobs.items()) == {"a": 1.0, "b": INF}
    jobs.discard("b")
    jobs.update(more, on_conflict="sum")
    there = {"a": 3.0, "c": -INF, "d": 1.0}
    assert dict(jobs.items()) == there | ({"b": -INF} if unique == "until_acked" else {})


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"on_conflict": "first"}, ValueError),
        ({"on_conflict": None}, ValueError),
        ({"weights": [1, 2]}, ValueError),
        ({"weights": [1], "on_conflict": "sum"}, ValueError),
        ({"weights": [1, math.nan], "on_conflict": "sum"}, ValueError),
        ({"weights": [1, "2"], "on_conflict": "sum"}, TypeError),
        ({"weights": [1, -math.inf], "on_conflict": "sum"}, ValueError),
    ],
)
def test_wrong_options_are_refused(
    a: Redset, b: Redset, options: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error, match="redset 'a': "):
        a.union(b, **options)


def test_items_of_a_plain_iterable_get_the_scorers_score(client: redis.Redis) -> None:
    words = filled(client, "words", {"b": 9.0}, scorer=len)
    assert dict(words.union(["ccc"], {"dd", "b"}).items()) == {"b": 9, "dd": 2, "ccc": 3}
    words ^= {"b", "four"}
    assert dict(words.items()) == {"four": 4.0}


def test_items_of_a_time_sorted_set_get_the_time_of_the_union(client: redis.Redis) -> None:
    times: TimeSortedSet[str] = TimeSortedSet(client, "times", clock=lambda: 50.0)
    times.add("old", 40.0)
    assert list(times.union(["z", "y", "old"])) == ["old", "z", "y"]


# Operands that the server can't combine


def test_sets_with_other_serializers_are_streamed(client: redis.Redis) -> None:
    values = filled(client, "values", {"1": 1.0, "2": 2.0, 3: 3.0})
    texts: SortedSet[Any] = SortedSet(client, "texts")
    texts.add("2", 20.0)
    texts.add("3", 30.0)
    documents = filled(client, "documents", {"1": 5.0}, serializer=JSONSerializer())
    assert dict((values | texts).items()) == {"1": 1.0, "2": 2.0, 3: 3.0, "3": 30.0}
    assert dict((texts & values).items()) == {"2": 20.0}  # 3 is no text
    assert dict(texts.intersection([2, 3]).items()) == {"2": 20.0, "3": 30.0}  # which are cast
    assert values & documents == {"1"}
    assert documents < values
    assert values != texts
    assert not values.isdisjoint(texts)


@pytest.mark.parametrize("place", ["another database", "another server"])
def test_sets_elsewhere_are_streamed_and_nothing_is_written_there(
    client: redis.Redis, make_client: MakeClient, far: redis.Redis, a: Redset, place: str
) -> None:
    elsewhere = make_client(db=1) if place == "another database" else far
    # Under the same name, so that a mix-up of the places would show.
    other = filled(elsewhere, "a", {item: item * 10.0 for item in range(3, 9)})
    before = elsewhere.dump("a")
    model, others = set(range(6)), set(range(3, 9))
    for method, call in COMBINATIONS.items():
        assert call(a, other) == call(model, others)
        assert getattr(a, method)(other) == call(model, others)
    assert dict((a | other).items())[8] == 80.0
    assert (a == other, a <= other, a.isdisjoint(other)) == (False, False, False)
    assert a - {0, 1, 2} < other
    a |= other
    a.intersection_update(other)
    a ^= other
    assert (set(a), keys(elsewhere), elsewhere.dump("a")) == (set(), {b"a"}, before)


def test_an_operand_of_another_type_is_named_and_nothing_changes(
    client: redis.Redis, a: Redset
) -> None:
    client.rpush("{a}queue", "x")
    wrong = RedisSortedSet[Any](client, "{a}queue")
    for name, call in CALLS.items():
        if name == "copy":
            continue
        with pytest.raises(KeyTypeError, match=r"'{a}queue' holds another Redis type"):
            call(a, wrong)
        with pytest.raises(KeyTypeError, match=r"'{a}queue' holds another Redis type"):
            call(wrong, a)
    assert (set(a), client.llen("{a}queue"), keys(client)) == (
        set(range(6)),
        1,
        {b"a", b"{a}queue"},
    )


# What goes wrong half-way


@pytest.mark.parametrize("size", [3, 4_999])
@pytest.mark.parametrize(
    "method",
    [
        *COMBINATIONS,
        *("update", "intersection_update", "difference_update", "symmetric_difference_update"),
        *("issubset", "issuperset", "isdisjoint"),
    ],
)
def test_an_iterable_that_raises_leaves_the_set_as_it_was(
    client: redis.Redis, a: Redset, method: str, size: int
) -> None:
    with pytest.raises(ZeroDivisionError):
        getattr(a, method)(failing(range(3, 3 + size)))
    assert (dict(a.items()), keys(client)) == ({item: item for item in range(6)}, {b"a"})


@pytest.mark.parametrize(
    "method", [*COMBINATIONS, "intersection_update", "symmetric_difference_update", "issubset"]
)
def test_chunks_that_were_staged_before_an_error_are_deleted(
    client: redis.Redis, a: Redset, method: str
) -> None:
    with pytest.raises(ZeroDivisionError):
        getattr(a, method)(failing(MANY))
    assert (set(a), keys(client)) == (set(range(6)), {b"a"})


def test_an_update_that_fails_after_a_chunk_says_how_many_were_added(a: Redset) -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        a.update(failing(MANY))
    assert caught.value.__notes__ == ["redset 'a': the first 10000 items were added before this"]


@pytest.mark.parametrize("method", ["update", "difference_update"])
def test_an_error_in_a_later_iterable_leaves_the_set_as_it_was(a: Redset, method: str) -> None:
    with pytest.raises(TypeError, match="iterable"):
        getattr(a, method)([1, 99], 5)
    with pytest.raises(ZeroDivisionError):
        getattr(a, method)([1, 99], failing([2]))
    assert set(a) == set(range(6))


@pytest.mark.parametrize("method", ["intersection", "intersection_update", "issubset"])
def test_items_dropped_while_an_iterable_dawdles_are_an_error_and_no_wrong_answer(
    client: redis.Redis, a: Redset, method: str
) -> None:
    def slow() -> Iterator[int]:
        yield from range(10_001)
        [staged] = [key for key in keys(client) if b":staged:" in key]
        client.delete(staged)
        yield from range(10_001, 14_000)

    with pytest.raises(InvalidValueError, match=r"redset 'a': .*dropped by the server"):
        getattr(a, method)(slow())
    assert set(a) == set(range(6))
    assert keys(client) - {b"a"} == {key for key in keys(client) if b":given:" in key}


@pytest.mark.parametrize("size", [10, 12_000])
def test_generators_are_consumed_once_and_to_their_end(a: Redset, size: int) -> None:
    calls = [*COMBINATIONS, "issubset", "issuperset", "isdisjoint", "update", "difference_update"]
    for method in calls:
        generator = iter(range(size))
        getattr(a, method)(generator)
        assert next(generator, None) is None


def test_a_set_may_be_changed_by_a_generator_over_itself(a: Redset) -> None:
    a.update(item + 100 for item in list(a))
    a.difference_update(item for item in a if item < 100)
    a.intersection_update(item for item in a if item != 105)
    assert set(a) == {100, 101, 102, 103, 104}


# What is left behind


def test_sets_that_algebra_empties_are_empty_sets(client: redis.Redis, a: Redset) -> None:
    changes: list[Callable[[Any, Any], Any]] = [operator.iand, operator.isub, operator.ixor]
    for change in changes:
        a.update([1, 2])
        other = a.copy() if change is operator.ixor else {99} if change is operator.iand else a
        changed = change(a, other)
        assert (changed is a, len(a), list(a), a == set()) == (True, 0, [], True)
    nothing = a & {1}
    assert (len(nothing), nothing | {3} == {3}, nothing <= a) == (0, True, True)
    nothing.add(7)
    assert set(nothing) == {7}


@pytest.mark.parametrize(
    "change",
    [
        operator.ior,
        operator.iand,
        operator.isub,
        operator.ixor,
        lambda a, b: a.update([77], b, on_conflict="sum"),
        lambda a, b: a.intersection_update({3, 4}, on_conflict="max"),
        lambda a, b: a.symmetric_difference_update({3, 99}),
    ],
)
def test_in_place_forms_keep_the_time_to_live(
    client: redis.Redis, a: Redset, b: Redset, change: Callable[..., Any]
) -> None:
    client.expire("a", 1_000)
    change(a, b)
    assert 900 < client.ttl("a") <= 1_000
    client.persist("a")
    change(a, b)
    assert client.ttl("a") in {-1, -2}  # -2 once nothing is left


def test_algebra_leaves_no_key_behind(client: redis.Redis, a: Redset, b: Redset) -> None:
    for call in CALLS.values():
        for other in (b, b.copy()):
            call(a, other)
    chained = (a | {1, 2}) & b.union([9], range(6_000)) - {3}
    assert set(chained) <= set(range(6_000))
    del chained, other
    left = keys(client) - {b"a", b"{a}b"}
    # What a repeated call is told again goes by its time-to-live, and with clear().
    assert all(b":given:" in key and client.pttl(key) > 0 for key in left)
    a.clear()
    b.clear()
    assert keys(client) == set()


def test_into_makes_a_lasting_set_and_replaces_what_was_there(
    client: redis.Redis, a: Redset, b: Redset
) -> None:
    client.zadd("{a}kept", {"another": 1})
    kept = a.intersection(b, into="{a}kept")
    assert (kept.name, set(kept), client.ttl("{a}kept")) == ("{a}kept", {3, 4, 5}, -1)
    del kept
    assert RedisSortedSet[Any](client, "{a}kept") == {3, 4, 5}
    a.difference(a, into="{a}kept")
    assert not client.exists("{a}kept")


def test_a_repeated_command_makes_the_same_result(client: redis.Redis, a: Redset) -> None:
    config = a._runner.config
    plan = algebra.combine(
        config,
        "union",
        [operands.stored(config), operands.LocalOperand(unscored(range(6_000)))],
        operands.new_result(config),
    )
    batch: Any = next(plan)
    batch = plan.send(a._runner.connection.execute(batch))
    for _ in range(2):  # as a client does whose reply got lost
        assert a._runner.connection.execute(batch)[-1] == ("size", 6_000)


def test_redis_without_zintercard_compares_by_storing(
    server: TestServer, client: redis.Redis, a: Redset, b: Redset
) -> None:
    if server.kind != "redis-6.2":  # which has none
        client.execute_command("ACL", "SETUSER", "default", "-zintercard")
    try:
        answers = (a == b, a <= b, a.isdisjoint(b), a == set(range(6)), a.isdisjoint({99}))
    finally:
        client.execute_command("ACL", "SETUSER", "default", "+@all")
    assert answers == (False, False, False, True, True)
    assert keys(client) == {b"a", b"{a}b"}
