"""What a lookup is asked for: found if it equals an item, absent if it can't, refused otherwise."""

import asyncio
import json
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import msgpack
import pytest
import redis
import redis.asyncio

import redset.asyncio
from redset import InvalidTypeError, MissingItemError, RedisSortedSet
from redset.codecs import JSONSerializer, MsgpackSerializer, NamedtupleSerializer, PickleSerializer
from redset.exceptions import UncertainItemError
from tests.server.conftest import RoundTrips
from tests.unit.codecs.strategies import Pair
from tests.unit.test_native import FOREIGN, UNCERTAIN

Redset = RedisSortedSet[Any]


def removed(shared: Redset, item: Any) -> bool:
    try:
        shared.remove(item)
    except MissingItemError:
        return False
    return True


def changed(shared: Redset, change: Callable[[], object]) -> bool:
    before = len(shared)
    change()
    return len(shared) < before


# Each answers whether an item is in a set of one item or none; some take it away.
LOOKUPS: dict[str, Callable[[Redset, Any], bool]] = {
    "in": lambda shared, item: item in shared,
    "score": lambda shared, item: shared.score(item) is not None,
    "scores": lambda shared, item: shared.scores(item) != [None],
    "rank": lambda shared, item: shared.rank(item) == 0,
    "difference": lambda shared, item: len(shared - {item}) < len(shared),
    "intersection": lambda shared, item: len(shared & {item}) == 1,
    "isdisjoint": lambda shared, item: not shared.isdisjoint([item]),
    "issuperset": lambda shared, item: shared.issuperset([item]),
    "==": lambda shared, item: shared == {item},
    "discard": lambda shared, item: shared.discard(item),
    "remove": removed,
    "difference_update": lambda shared, item: changed(
        shared, lambda: shared.difference_update([item])
    ),
    "-=": lambda shared, item: changed(shared, lambda: shared.__isub__({item})),
    "intersection_update": lambda shared, item: (
        not changed(shared, lambda: shared.intersection_update([item])) and len(shared) == 1
    ),
}
every_lookup = pytest.mark.parametrize("lookup", LOOKUPS.values(), ids=LOOKUPS)


REFLECTED: dict[str, Callable[[Redset, Any], bool]] = {
    "{item} & s": lambda shared, item: {item} & shared == {item},
    "{item} - s": lambda shared, item: not {item} - shared,
}


@pytest.fixture
def values(client: redis.Redis) -> Redset:
    return RedisSortedSet(client, "values")


@every_lookup
def test_a_foreign_value_is_found_as_the_item_that_it_equals(
    values: Redset, lookup: Callable[[Redset, Any], bool]
) -> None:
    for foreign, item in FOREIGN:
        for asked, there in ((foreign, item), ((1, foreign), (1, item))):
            assert not lookup(values, asked)
            values.add(there)
            assert lookup(values, asked), asked
            values.clear()


def test_a_foreign_value_is_added_as_the_item_that_it_equals(values: Redset) -> None:
    for foreign, item in FOREIGN:
        values.add(foreign)
        [kept] = values
        assert kept == item
        assert values.insert(item) == []
        values.clear()


@every_lookup
def test_what_may_be_equal_to_an_item_is_refused_by_lookups_as_by_add(
    values: Redset,
    round_trips: RoundTrips,
    client: redis.Redis,
    lookup: Callable[[Redset, Any], bool],
) -> None:
    values.add("a")
    long_int = 10**120_000  # a Decimal may equal it
    for asked in (*UNCERTAIN, (1, UNCERTAIN[0]), long_int):
        with pytest.raises(UncertainItemError):
            lookup(values, asked)
        with round_trips(client) as count, pytest.raises(UncertainItemError):
            values.add(asked)
        assert count.value == 0
    assert list(values) == ["a"]


@dataclass(frozen=True)
class Unencodable:
    x: int


@every_lookup
@pytest.mark.parametrize(
    "serializer",
    [None, json, pickle, msgpack, JSONSerializer(), PickleSerializer(), NamedtupleSerializer(Pair)],
    ids=lambda serializer: getattr(serializer, "__name__", type(serializer).__name__),
)
def test_what_equals_no_item_of_the_set_is_absent(
    client: redis.Redis, serializer: Any, lookup: Callable[[Redset, Any], bool]
) -> None:
    shared: Redset = RedisSortedSet(client, "shared", serializer=serializer)

    class Local:
        pass

    for unencodable in (Unencodable(1), Local(), object(), range(2), (1, Unencodable(1)), Local):
        assert not lookup(shared, unencodable)
    if serializer is msgpack:
        assert not lookup(shared, 2**70)


@every_lookup
@pytest.mark.parametrize(
    "serializer",
    [JSONSerializer(), MsgpackSerializer(), PickleSerializer(), json],
    ids=lambda serializer: getattr(serializer, "__name__", type(serializer).__name__),
)
def test_no_serializer_misses_a_number_that_add_refuses(
    client: redis.Redis, serializer: Any, lookup: Callable[[Redset, Any], bool]
) -> None:
    shared: Redset = RedisSortedSet(client, "shared", serializer=serializer)
    for foreign, item in FOREIGN[:3]:
        shared.update([item])
        try:
            added = shared.insert(foreign) == []
        except TypeError:
            with pytest.raises(TypeError):
                lookup(shared, foreign)
        else:
            assert added
            assert lookup(shared, foreign)
        shared.clear()


@pytest.mark.parametrize("lookup", REFLECTED.values(), ids=REFLECTED)
def test_on_the_right_of_a_builtin_set_the_same_is_found_and_refused(
    values: Redset, client: redis.Redis, lookup: Callable[[Redset, Any], bool]
) -> None:
    for foreign, item in FOREIGN:
        assert not lookup(values, foreign)
        values.add(item)
        assert lookup(values, foreign)
        values.clear()
    assert not lookup(values, Unencodable(1))
    for item in UNCERTAIN:
        with pytest.raises(UncertainItemError):
            lookup(values, item)
    faulty: Redset = RedisSortedSet(client, "faulty", serializer=Faulty(AttributeError))
    with pytest.raises(AttributeError, match="a fault of dumps"):
        lookup(faulty, "bad")


# Sets as elements


@pytest.mark.parametrize("name", ["in", "discard", "remove"])
def test_a_set_of_redset_is_looked_up_as_the_frozenset_of_its_items(
    values: Redset, client: redis.Redis, name: str
) -> None:
    other: Redset = RedisSortedSet(client, "other")
    other.update([1, (2, "a")])
    empty: Redset = RedisSortedSet(client, "empty")
    for inner, builtin in ((other, {1, (2, "a")}), (empty, set())):
        assert not LOOKUPS[name](values, inner)
        values.add(frozenset(builtin))
        assert LOOKUPS[name](values, inner)
        values.clear()
        values.add(frozenset(builtin))
        assert LOOKUPS[name](values, builtin)
        values.clear()
    assert list(other) == [1, (2, "a")]


def test_a_set_that_is_not_there_is_named_by_the_key_error(
    values: Redset, client: redis.Redis
) -> None:
    other: Redset = RedisSortedSet(client, "other")
    with pytest.raises(KeyError) as caught:
        values.remove(other)
    assert caught.value.args[0].name == "other"


def test_a_set_of_the_other_surface_is_no_element(values: Redset) -> None:
    other: Any = redset.asyncio.RedisSortedSet(redis.asyncio.Redis(), "other")
    for lookup in (values.__contains__, values.discard, values.remove):
        with pytest.raises(InvalidTypeError, match=r"a set of redset\.asyncio, which has to be"):
            lookup(other)

    async def look() -> None:
        for name in ("contains", "discard", "remove"):
            with pytest.raises(InvalidTypeError, match="a synchronous set, which would block"):
                await getattr(other, name)(values)

    asyncio.run(look())


def test_a_set_of_unhashable_items_is_no_element(values: Redset, client: redis.Redis) -> None:
    documents: Redset = RedisSortedSet(client, "documents", serializer=JSONSerializer())
    documents.add([1])
    for lookup in (values.__contains__, values.discard, values.remove):
        with pytest.raises(TypeError, match="unhashable"):
            lookup(documents)
    with pytest.raises(TypeError, match="unhashable"):
        values.add(documents)


# Faults of a user's serializer


class Faulty:
    def __init__(self, error: type[Exception]) -> None:
        self.error = error

    def dumps(self, item: Any) -> str:
        if item == "bad":
            raise self.error("a fault of dumps")
        return str(item)

    def loads(self, member: str) -> str:
        return member


@every_lookup
def test_a_fault_of_dumps_reaches_the_caller_of_a_lookup(
    client: redis.Redis, lookup: Callable[[Redset, Any], bool]
) -> None:
    for error in (AttributeError, KeyError, NameError, RuntimeError, OSError):
        shared: Redset = RedisSortedSet(client, "shared", serializer=Faulty(error))
        shared.add("good")
        with pytest.raises(error, match="a fault of dumps"):
            lookup(shared, "bad")
        assert list(shared) == ["good"]


@every_lookup
def test_what_dumps_refuses_as_json_and_pickle_do_is_absent(
    client: redis.Redis, lookup: Callable[[Redset, Any], bool]
) -> None:
    for error in (TypeError, ValueError, OverflowError, pickle.PicklingError):
        shared: Redset = RedisSortedSet(client, "shared", serializer=Faulty(error))
        assert not lookup(shared, "bad")


@every_lookup
def test_a_member_that_is_no_member_is_a_fault_of_dumps(
    client: redis.Redis, lookup: Callable[[Redset, Any], bool]
) -> None:
    serializer = SimpleNamespace(dumps=lambda _item: 7)
    shared: Redset = RedisSortedSet(client, "shared", serializer=serializer)
    with pytest.raises(InvalidTypeError, match=r"serializer.dumps must return .* got int"):
        lookup(shared, "a")
