"""Combinations that are read: right, in order, at one moment, and without a write."""

import math
import threading
from collections.abc import Callable
from typing import Any

import pytest
import redis
from hypothesis import example, given, settings
from hypothesis import strategies as st

from redset import (
    InvalidTypeError,
    InvalidValueError,
    KeyTypeError,
    RedisSortedSet,
    ResultExpired,
    SortedSet,
)
from redset._plans.arguments import OnConflict
from tests.server.conftest import MakeClient, RoundTrips
from tests.server.test_algebra import INF, keys, sums

Redset = RedisSortedSet[Any]
Pairs = list[tuple[Any, float]]

READS: dict[str, Callable[..., Any]] = {
    "union": lambda one, *others, **options: one.read_union(*others, **options),
    "intersection": lambda one, *others, **options: one.read_intersection(*others, **options),
    "difference": lambda one, *others, **options: one.read_difference(*others, **options),
    "symmetric_difference": lambda one, other, **options: one.read_symmetric_difference(
        other, **options
    ),
}
WRITES = {
    *("zadd", "zrem", "del", "unlink", "set", "rename", "pexpire"),
    *("zunionstore", "zinterstore", "zdiffstore"),
}

some_scores = st.sampled_from([0.0, 1.0, -1.0, 7.5, 2.0**53, INF, -INF])
contents = st.dictionaries(st.sampled_from("abcd"), some_scores, max_size=4)
# Where an operand is: on the server, here, or in another database.
places = st.sampled_from(["server", "server", "local", "elsewhere"])
conflicts = st.sampled_from(["keep", "replace", "min", "max", "sum"])


def filled(client: redis.Redis, name: str, scores: dict[Any, float], **options: Any) -> Redset:
    made: Redset = RedisSortedSet(client, name, **options)
    made.add_scored(scores)
    return made


def model(
    operation: str, parts: list[dict[str, float]], weights: list[float], conflict: str
) -> Pairs | None:
    """What builtin sets and dicts say; ``None`` if a score would be no number."""
    first, *others = parts
    members: set[str] = getattr(set(first), operation)(*map(set, others))
    found: dict[str, float] | None
    if operation in {"union", "intersection"} and conflict in {"min", "max", "sum"}:
        found = sums(parts, weights, conflict, operation)
        if found is None:
            return None
    else:
        found = {}
        for part in parts if conflict == "replace" else reversed(parts):
            found |= part
    return sorted(((each, found[each]) for each in members), key=lambda pair: (pair[1], pair[0]))


def part_of(pairs: Pairs, limit: int | None, reverse: bool) -> Pairs:
    return (pairs[::-1] if reverse else pairs)[:limit]


@given(
    operation=st.sampled_from(list(READS)),
    parts=st.lists(contents, min_size=1, max_size=4),
    where=st.lists(places, min_size=4, max_size=4),
    conflict=conflicts,
    weights=st.none()
    | st.lists(st.sampled_from([1.0, 0.0, -1.0, 10.0, 0.5]), min_size=4, max_size=4),
    wanted=st.tuples(st.none() | st.integers(0, 3), st.booleans()),
)
@settings(max_examples=4 * settings().max_examples)
@example("union", [{"a": INF}, {"a": -INF}], ["server"] * 4, "sum", None, (None, False))
@example("union", [{"a": INF}, {"a": -INF}], ["local"] * 4, "sum", None, (None, False))
@example("intersection", [{"a": 1.0}, {"a": INF}], ["server"] * 4, "keep", None, (None, False))
@example("intersection", [{"a": 1.0, "b": 0.0}] * 2, ["local"] * 4, "max", [0.0] * 4, (1, True))
@example("union", [{"a": INF}, {"a": 1.0}], ["server"] * 4, "min", [0.0] * 4, (None, False))
@example("union", [{"a": 2.0}], ["server"] * 4, "sum", [10.0] * 4, (None, False))
@example("union", [{"a": 1.0, "b": 2.0}, {"c": 0.0}], ["server"] * 4, "keep", None, (1, True))
@example("intersection", [{"a": 2.0}, {"a": 3.0}] * 2, ["server"] * 4, "replace", None, (1, True))
@example("difference", [{"a": 1.0, "b": 2.0}, {"b": 0.0}], ["local"] * 4, "keep", None, (1, True))
def test_readings_are_what_builtin_sets_and_dicts_of_scores_say(
    client: redis.Redis,
    make_client: MakeClient,
    operation: str,
    parts: list[dict[str, float]],
    where: list[str],
    conflict: OnConflict,
    weights: list[float] | None,
    wanted: tuple[int | None, bool],
) -> None:
    client.flushall()
    limit, reverse = wanted
    if operation == "symmetric_difference":
        parts = (parts * 2)[:2]
    scores: dict[str, float] = {}

    def score_of(item: str) -> float:
        return scores.get(item, 0.0)

    sets = {"server": client, "elsewhere": make_client(db=1)}
    for each in sets.values():
        each.flushall()
    ours = filled(client, "0", parts[0], scorer=score_of)
    operands: list[Any] = []
    for place, part in enumerate(parts[1:], start=1):
        if where[place] == "local":
            # The scorer gives one score to all: the parts here agree about the items they share.
            part |= {item: scores.setdefault(item, score) for item, score in part.items()}
            operands.append([*part, *part] if place % 2 else set(part))
        else:
            operands.append(filled(sets[where[place]], str(place), part))
    options: dict[str, Any] = {"limit": limit, "reverse": reverse}
    if operation in {"union", "intersection"}:
        options["on_conflict"] = conflict
        if weights is not None and conflict in {"min", "max", "sum"}:
            options["weights"] = weights = weights[: len(parts)]
        else:
            weights = None
    else:
        conflict = "keep"
    expected = model(operation, parts, weights or [1.0] * len(parts), conflict)
    before = keys(client)
    if expected is None and limit != 0:
        with pytest.raises(InvalidValueError, match="redset '0': inf and -inf have no sum"):
            READS[operation](ours, *operands, **options)
    else:
        chosen = part_of(expected or [], limit, reverse)
        found = READS[operation](ours, *operands, with_scores=True, **options)
        assert found == [(item, pytest.approx(score)) for item, score in chosen]
        assert READS[operation](ours, *operands, **options) == [item for item, _ in chosen]
    assert keys(client) == before


def trio(client: Any) -> list[Redset]:
    return [RedisSortedSet(client, name) for name in ("one", "{one}two", "{one}three")]


def fill(client: redis.Redis) -> None:
    for start, each in enumerate(trio(client)):
        each.add_scored({item: float(item * 10 - start) for item in range(start, start + 6)})


def every_reading(sets: list[Redset]) -> list[Any]:
    one, two, three = sets
    local = {4, 5, 99}
    return [
        one.read_union(two, three, with_scores=True),
        one.read_union(two, local, on_conflict="replace"),
        one.read_union(two, on_conflict="sum", weights=[1, 2], reverse=True, limit=3),
        one.read_intersection(two, three, with_scores=True),
        one.read_intersection(two, on_conflict="min", with_scores=True),
        one.read_intersection(two, local, with_scores=True),
        one.read_difference(two, [0]),
        one.read_difference(three, with_scores=True),
        one.read_symmetric_difference(two),
        one.read_symmetric_difference(local),
    ]


def test_a_read_only_replica_is_read(client: redis.Redis, replica: Any) -> None:
    fill(client)
    replica.caught_up()
    expected = every_reading(trio(client))
    assert expected[0][:3] == [(0, 0.0), (1, 10.0), (2, 20.0)]
    assert every_reading(trio(replica)) == expected
    elsewhere = [trio(replica)[0], *trio(client)[1:]]
    assert every_reading(elsewhere) == expected


def test_an_account_that_may_only_read_reads(client: redis.Redis, reader: redis.Redis) -> None:
    fill(client)
    expected = every_reading(trio(client))
    mine = trio(reader)
    for _ in range(2):
        assert every_reading(mine) == expected
    with pytest.raises(Exception, match=r"(?i)permission"):
        mine[0].add(1)


@pytest.mark.parametrize("change", [None, lambda one: one.pop()], ids=["quiet", "changed"])
def test_an_account_that_may_only_read_iterates_and_compares(
    client: redis.Redis, reader: redis.Redis, change: Callable[[Any], object] | None
) -> None:
    numbers: Redset = RedisSortedSet(client, "numbers")
    numbers.add_scored({item: item for item in range(5_000)})
    mine: Redset = RedisSortedSet(reader, "numbers")
    found = []
    for item in mine:
        found.append(item)
        if item == 10 and change is not None:
            change(numbers)
    assert found == list(range(5_000))
    for items in (set(numbers), set(list(numbers)[:10])):
        assert mine >= items
        assert not mine < items


def test_a_reading_is_one_round_trip_and_writes_nothing(
    client: redis.Redis, round_trips: RoundTrips
) -> None:
    fill(client)
    sets = trio(client)
    every_reading(sets)
    before = keys(client)
    client.config_resetstat()
    with round_trips(client) as trips:
        count = len(every_reading(sets))
    assert trips.value == count
    stats: Any = client.info("commandstats")
    assert {name.removeprefix("cmdstat_") for name in stats} & WRITES == set()
    assert keys(client) == before


def test_many_local_items_are_looked_up_in_steps_or_the_set_is_read(
    client: redis.Redis, replica: Any, round_trips: RoundTrips
) -> None:
    large, small = (RedisSortedSet[Any](client, name) for name in ("large", "small"))
    large.add_scored({item: -item for item in range(20_000)})
    small.add_scored({item: item for item in range(10)})
    replica.caught_up()
    wanted = range(0, 30_000, 4)  # 7,500, of which 5,000 are there
    for one in (client, replica):
        big, few = (RedisSortedSet[Any](one, name) for name in ("large", "small"))
        with round_trips(one) as trips:
            assert big.read_intersection(wanted) == list(range(0, 20_000, 4))[::-1]
        # It is smaller than the set, so it is looked up, after one question.
        assert trips.value == 1 + 3
        with round_trips(one) as trips:
            assert few.read_intersection(wanted) == [0, 4, 8]
            assert few.read_difference(wanted) == [1, 2, 3, 5, 6, 7, 9]
            assert len(few.read_union(wanted)) == 7_500 + 7
        assert trips.value == 3


def test_a_union_of_many_sets_has_the_scores_of_the_first_that_has_the_item(
    client: redis.Redis,
) -> None:
    sets = [filled(client, f"s{n}", {n: n, n + 1: 100 - n, "all": n}) for n in range(40)]
    for number in (2, 16, 17, 40):
        first, *others = sets[:number]
        for conflict in ("keep", "replace"):
            made = first.union(*others, on_conflict=conflict)
            expected = list(made.items())
            options: dict[str, Any] = {"on_conflict": conflict, "with_scores": True}
            assert first.read_union(*others, **options) == expected
            # Fewer than one set has: what is cut off there must not come from a later set.
            assert first.read_union(*others, limit=2, **options) == expected[:2]
            last = first.read_union(*others, limit=2, reverse=True, **options)
            assert last == expected[::-1][:2]


def test_many_results_and_sets_take_part(client: redis.Redis) -> None:
    one = filled(client, "one", {"a": 1.0, "b": 2.0})
    results = [one.copy() for _ in range(749)]
    assert one.read_union(*results, on_conflict="sum", with_scores=True) == [
        ("a", 750.0),
        ("b", 1500.0),
    ]
    assert one.read_intersection(*results, ["b", *range(2_000)]) == ["b"]
    with pytest.raises(InvalidValueError, match="redset 'one': union of 751 sets"):
        one.read_union(*results, one)


def test_sets_of_other_serializers_are_read_as_operators_combine_them(client: redis.Redis) -> None:
    values = filled(client, "values", {"1": 1.0, "2": 2.0, 3: 3.0})
    texts: SortedSet[Any] = SortedSet(client, "texts")
    texts.add("2", 20.0)
    texts.add("3", 30.0)
    assert values.read_union(texts, with_scores=True) == [("1", 1), ("2", 2), (3, 3), ("3", 30)]
    assert texts.read_intersection(values, with_scores=True) == [("2", 20.0)]  # 3 is no text
    assert texts.read_intersection([2, 3]) == ["2", "3"]  # which are cast
    assert values.read_difference(texts) == ["1", 3]
    assert values.read_symmetric_difference(texts) == ["1", 3, "3"]


def test_what_cannot_be_in_the_set_is_refused_only_where_it_would_be_added(
    client: redis.Redis,
) -> None:
    ours = filled(client, "ours", {1: 1.0, 2: 2.0})
    strange = [1, object()]
    assert ours.read_intersection(strange) == [1]
    assert ours.read_difference(strange) == [2]
    with pytest.raises(InvalidTypeError):
        ours.read_union(strange)
    with pytest.raises(TypeError, match="unhashable"):
        ours.read_difference([[]])
    with pytest.raises(TypeError):
        ours.read_union(7)  # type: ignore[call-overload,unused-ignore]


def test_items_that_cannot_be_deserialized_are_left_out(client: redis.Redis) -> None:
    ours, other = filled(client, "ours", {1: 1.0}), filled(client, "other", {2: 2.0})
    client.zadd("other", {b"\xff\xff": 1.5})
    assert ours.read_union(other) == [1, 2]
    assert ours.read_union(other, with_scores=True) == [(1, 1.0), (2, 2.0)]
    assert other.read_difference(ours) == [2]


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"on_conflict": "first"}, ValueError),
        ({"weights": [1, 2]}, ValueError),
        ({"weights": [1], "on_conflict": "sum"}, ValueError),
        ({"weights": [1, math.nan], "on_conflict": "sum"}, ValueError),
        ({"limit": -1}, ValueError),
        ({"limit": 1.5}, TypeError),
    ],
)
def test_wrong_options_are_refused_before_anything_is_sent(
    client: redis.Redis,
    round_trips: RoundTrips,
    options: dict[str, Any],
    error: type[Exception],
) -> None:
    ours = filled(client, "ours", {1: 1.0})
    with round_trips(client) as trips:
        for read in (ours.read_union, ours.read_intersection):
            with pytest.raises(error, match="redset 'ours': "):
                read([2], **options)
    assert trips.value == 0
    assert ours.read_union([2], limit=0) == []
    assert ours.read_union([2], limit=10**30) == [2, 1]


def test_what_is_wrong_with_an_operand_is_named(client: redis.Redis) -> None:
    ours = filled(client, "ours", {1: 1.0})
    client.set("text", "text")
    text: Redset = RedisSortedSet(client, "text")
    for method in ("read_union", "read_intersection", "read_difference"):
        for others in ([text], [text, [1]]):
            with pytest.raises(KeyTypeError, match="'text'"):
                getattr(ours, method)(*others)
    result = ours | {7}
    client.delete(*client.keys("*result*"))
    for others in ([result], [result, [1]]):
        with pytest.raises(ResultExpired):
            ours.read_union(*others)
    with pytest.raises(ResultExpired):
        result.read_union([1])


def seen_by(client: Any, result: Any) -> Redset:
    """A handle of the same result over another client."""
    handle: Redset = RedisSortedSet(client, "ours")
    of_result = result._runner.config
    handle._runner.rebind(of_result.key, of_result.liveness_key)
    return handle


def test_reading_a_result_renews_it_where_that_may_be_written(
    client: redis.Redis, reader: redis.Redis
) -> None:
    ours = filled(client, "ours", {1: 1.0})
    result = ours | {7}
    [liveness_key] = client.keys("*:alive")
    client.pexpire(liveness_key, 50_000)
    theirs: Redset = RedisSortedSet(reader, "ours")
    stored = seen_by(reader, result)
    assert (stored.read_union(), theirs.read_union(stored)) == ([7, 1], [7, 1])
    assert (theirs == stored, theirs <= stored) == (False, True)
    assert theirs.union_count(stored, [8]) == 3
    assert 0 < client.pttl(liveness_key) <= 50_000
    assert ours.read_union(result) == [7, 1]
    assert client.pttl(liveness_key) > 500_000


def test_a_replica_reads_results_and_does_not_renew_them(client: redis.Redis, replica: Any) -> None:
    ours = filled(client, "ours", {1: 1.0})
    result = ours | {7}
    replica.caught_up()
    theirs: Redset = RedisSortedSet(replica, "ours")
    stored = seen_by(replica, result)
    assert (stored.read_union(), theirs.read_union(stored)) == ([7, 1], [7, 1])
    assert (theirs == stored, theirs <= stored) == (False, True)
    assert theirs.intersection_count(stored, [1, 8]) == 1
    result.close()
    replica.caught_up()
    with pytest.raises(ResultExpired):
        theirs.read_union(stored)


def test_all_is_read_at_one_moment(client: redis.Redis) -> None:
    """An item that moves to and fro between two sets is in their union, and only once."""
    one, two = trio(client)[:2]
    one.update(range(50))
    stop = threading.Event()

    def move() -> None:
        here, there = trio(client)[:2]
        while not stop.is_set():
            for item in range(50):
                here.move(item, there)
            here, there = there, here

    mover = threading.Thread(target=move)
    mover.start()
    try:
        for _ in range(200):
            assert sorted(one.read_union(two)) == list(range(50))
            assert one.read_intersection(two) == []
            assert sorted(one.read_symmetric_difference(two)) == list(range(50))
    finally:
        stop.set()
        mover.join()
