"""The laws of sets, for two sets of the same server whose serializers differ."""

import itertools
import json
import math
import operator
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st

from redset import RedisSortedSet, SortedSet
from redset.codecs import (
    JSONSerializer,
    MsgpackSerializer,
    NamedtupleSerializer,
    PickleSerializer,
    TextSerializer,
    ValueSerializer,
)
from tests.unit.codecs.strategies import Pair

Redset = RedisSortedSet[Any]


class Jobs(RedisSortedSet[Any]):
    """A subclass whose operators Python asks before those of the left operand."""


SERIALIZERS: dict[str, Any] = {
    "values": ValueSerializer(),
    "text": TextSerializer(),
    "JSON": JSONSerializer(),
    "json": json,
    "msgpack": MsgpackSerializer(),
    "pickle": PickleSerializer(),
    "namedtuple": NamedtupleSerializer(Pair),
}
KINDS: list[type[Redset]] = [RedisSortedSet, SortedSet, Jobs]
ITEMS: list[Any] = [
    *("1", "a", 1, 1.0, True, None, Decimal(1), b"a", math.nan, (1,), (1.0,), [1], {"a": 1}),
    *(frozenset({1}), datetime(2024, 1, 1, tzinfo=UTC), Pair(1, "a"), Pair(1.0, "a"), (1, "a")),
]
some = st.lists(st.sampled_from(ITEMS), max_size=6)
PAIRS = list(itertools.permutations(SERIALIZERS, 2))
pairs = pytest.mark.parametrize(("one", "other"), PAIRS, ids=list(map("-".join, PAIRS)))


def written(serializer: Any, item: Any) -> bytes | None:
    """The member of *item*, ``None`` if the serializer can't carry it."""
    try:
        member = serializer.dumps(item)
    except (TypeError, ValueError):
        return None
    return member.encode() if isinstance(member, str) else bytes(member)


def members(serializer: Any, items: list[Any]) -> dict[bytes, Any]:
    """What a set holds to which *items* were added: members, and what they are read as."""
    found = {written(serializer, item) for item in items}
    return {member: serializer.loads(member) for member in found if member is not None}


def shared(one: Any, ours: dict[bytes, Any], other: Any, theirs: dict[bytes, Any]) -> set[bytes]:
    """Members of *ours* that both serializers say are items of *theirs*."""
    return {
        mine
        for mine, item in ours.items()
        for yours, twin in theirs.items()
        if written(one, twin) == mine and written(other, item) == yours
    }


def filled(
    client: redis.Redis, name: str, kind: type[Redset], serializer: Any, ours: Any
) -> Redset:
    made: Redset = kind(client, name, serializer=serializer)
    client.delete(name)
    for member in ours:
        client.zadd(name, {member: 1.0})
    return made


def members_of(client: redis.Redis, made: Redset) -> set[bytes]:
    found: Any = client.execute_command("ZRANGE", made.key, 0, -1, NEVER_DECODE=True)
    return set(found)


COMPARISONS: dict[str, tuple[Callable[[Any, Any], bool], Callable[[int, int, int], bool]]] = {
    # How many members the two have, and how many they share, decide.
    "==": (operator.eq, lambda one, other, both: one == other == both),
    "!=": (operator.ne, lambda one, other, both: not one == other == both),
    "<=": (operator.le, lambda one, _, both: one == both),
    "<": (operator.lt, lambda one, other, both: one == both < other),
    ">=": (operator.ge, lambda _, other, both: other == both),
    ">": (operator.gt, lambda one, other, both: other == both < one),
    "issubset": (lambda a, b: a.issubset(b), lambda one, _, both: one == both),
    "issuperset": (lambda a, b: a.issuperset(b), lambda _, other, both: other == both),
    "isdisjoint": (lambda a, b: a.isdisjoint(b), lambda _one, _other, both: both == 0),
}


@pairs
@given(left=some, right=some, kinds=st.tuples(st.sampled_from(KINDS), st.sampled_from(KINDS)))
@settings(max_examples=15)
def test_comparisons_and_algebra_say_one_thing_whatever_the_serializers(
    client: redis.Redis,
    one: str,
    other: str,
    left: list[Any],
    right: list[Any],
    kinds: tuple[type[Redset], type[Redset]],
) -> None:
    first, second = SERIALIZERS[one], SERIALIZERS[other]
    ours, theirs = members(first, left), members(second, right)
    a = filled(client, "a", kinds[0], first, ours)
    b = filled(client, "b", kinds[1], second, theirs)
    both = shared(first, ours, second, theirs)
    assert len(both) == len(shared(second, theirs, first, ours))
    for name, (compare, expected) in COMPARISONS.items():
        answer = compare(a, b)
        assert answer is expected(len(ours), len(theirs), len(both)), name
    assert members_of(client, a & b) == members_of(client, a.intersection(b)) == both
    assert members_of(client, a - b) == members_of(client, a.difference(b)) == ours.keys() - both
    added = {written(first, item) for item in theirs.values()}
    for adds, result in (
        (operator.or_, ours.keys() | added),
        (operator.xor, ours.keys() ^ added),
    ):
        if None in added:  # as a plain set of those items would be
            with pytest.raises((TypeError, ValueError)):
                adds(a, b)
        else:
            assert members_of(client, adds(a, b)) == result
    changes: list[tuple[Callable[[Any, Any], Any], set[bytes]]] = [
        (operator.iand, both),
        (operator.isub, ours.keys() - both),
    ]
    for change, left_over in changes:
        changed = filled(client, "changed", kinds[0], first, ours)
        change(changed, b)
        assert members_of(client, changed) == left_over


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_left_set_can_not_carry_is_unequal_and_no_error(
    client: redis.Redis, kind: type[Redset]
) -> None:
    values: Redset = RedisSortedSet(client, "values")
    values.update(["1", 1])
    documents = kind(client, "documents", serializer=JSONSerializer())
    documents.update([[1], {"a": 1}])
    texts: SortedSet[Any] = SortedSet(client, "texts")
    texts.update(["1", "2"])
    for one, two in itertools.permutations([values, documents, texts], 2):
        assert one != two
        assert not one.issubset(two)
        assert not two <= one
    assert values.isdisjoint(documents)
    assert len(values - documents) == 2
    assert len(values & texts) == len(texts & values) == 1
    with pytest.raises(TypeError, match="unhashable"):
        _ = values | documents


class Faulty:
    def dumps(self, item: Any) -> str:
        if item == "bad":
            raise AttributeError("a fault of dumps")
        return str(item)

    def loads(self, member: str) -> str:
        return member


def test_a_fault_of_either_serializer_is_not_hidden_by_a_comparison(client: redis.Redis) -> None:
    values: Redset = RedisSortedSet(client, "values")
    values.add("bad")
    faulty: Redset = RedisSortedSet(client, "faulty", serializer=Faulty())
    faulty.add("good")
    with pytest.raises(AttributeError, match="a fault of dumps"):
        _ = faulty == values
