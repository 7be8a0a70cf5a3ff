"""Redset's sets and builtin ``set`` are given the same calls, and must answer the same.

A state machine drives several handles and a builtin set for each, with a dict for the scores.
``HYPOTHESIS_PROFILE`` says how many examples of up to 50 steps it tries, ``REDSET_CONTRACT_STEPS``
how many steps at least, ``--hypothesis-seed`` which ones; the steps that were run are reported with
the (last) seed.
"""

import copy
import gc
import math
import operator
import os
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
import redis
from hypothesis import seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from redset import RedisSortedSet
from redset._plans.arguments import OnConflict
from redset._transport.results import delete_collected
from redset.codecs import ValueSerializer
from tests.cluster_clients import settings_of
from tests.server.conftest import MakeClient
from tests.servers import TestServer

Redset = RedisSortedSet[Any]
Scores = dict[Any, float]

MAX_SETS = 7
# About 30,000 steps.
MAX_EXAMPLES = 700
LEAST_STEPS = int(os.environ.get("REDSET_CONTRACT_STEPS", "0"))
NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)
# Values of every kind that the default serializer carries, and equal ones of other types.
ITEMS: list[Any] = [
    *(0, False, -0.0, 1, 1.0, True, Decimal(1), Fraction(1), 1 + 0j, 2, 0.5, Fraction(1, 2)),
    *(2**70, float(2**70), Decimal("0.1"), math.inf, 2j),
    *(None, "", "a", b"a", "1", b"", "\ud800", "é"),
    *((), (1, "a"), (1.0, "a"), ((True,), b""), ("a", frozenset({1}))),
    *(frozenset(), frozenset({1, "a"}), frozenset({"a", 1.0}), frozenset({frozenset()})),
    *(NOON, NOON.astimezone(timezone(timedelta(hours=5))), NOON.date(), NOON.timetz()),
    timedelta(1),
]
UNHASHABLE: list[Any] = [[], {}, bytearray(b"a"), ([],)]
# Hashable, so a builtin set takes it; no serializer of values can.
UNENCODABLE = object()
SCORES = [0, 1, -2.5, 7, 2.0**40, 1e300, math.inf, Decimal("0.5")]

OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "|": operator.or_,
    "&": operator.and_,
    "-": operator.sub,
    "^": operator.xor,
}
IN_PLACE: dict[str, Callable[[Any, Any], Any]] = {
    "|": operator.ior,
    "&": operator.iand,
    "-": operator.isub,
    "^": operator.ixor,
}
COMPARISONS = [operator.lt, operator.le, operator.eq, operator.ne, operator.ge, operator.gt]
# The operator of each, whether it is of many operands, and whether scores may meet.
METHODS = {"union": "|", "intersection": "&", "difference": "-", "symmetric_difference": "^"}
UPDATES = {"update": "|"} | {f"{n}_update": o for n, o in METHODS.items() if n != "union"}
PREDICATES = ["issubset", "issuperset", "isdisjoint"]
CONFLICTS: dict[str, Callable[[float, float], float]] = {
    "keep": lambda old, _: old,
    "replace": lambda _, new: new,
    "min": min,
    "max": max,
    "sum": operator.add,
}

items = st.sampled_from(ITEMS)
many = st.lists(items, max_size=5)
conflicts = st.sampled_from(list(CONFLICTS))


def by_type(item: object) -> float:
    """A scorer that tells equal items of different types apart."""
    return len(type(item).__name__)


@dataclass
class Both:
    """One set as redset has it and as Python has it, with the scores that it should have."""

    redset: Redset
    builtin: set[Any]
    scores: Scores


@dataclass
class Operand:
    """What is handed to redset, what to the builtin set, and the scores that it brings."""

    redset: Any
    builtin: Any
    pairs: list[tuple[Any, float]]

    def merged(self, conflict: str) -> Scores:
        """What an iterable has twice meets itself, except for a sum, where it counts once."""
        meet = CONFLICTS["keep" if conflict == "sum" else conflict]
        found: Scores = {}
        for item, score in self.pairs:
            found[item] = meet(found[item], score) if item in found else score
        return found


LOCAL_KINDS: dict[str, Callable[[list[Any]], Any]] = {
    "set": set,
    "frozenset": frozenset,
    "list": list,
    "tuple": tuple,
    "dict": dict.fromkeys,
    "keys": lambda values: dict.fromkeys(values).keys(),
    "generator": iter,
}
SETS_ONLY = ["set", "frozenset", "keys"]


# Which operand a rule wants: the number of a set, or local items of a kind.
redsets = st.tuples(st.just("redset"), st.integers(0, MAX_SETS - 1))
sets = st.one_of(redsets, redsets, st.tuples(st.sampled_from(SETS_ONLY), many))
anything = st.one_of(redsets, redsets, st.tuples(st.sampled_from(list(LOCAL_KINDS)), many))


def outcome(call: Callable[..., Any], *args: Any, **options: Any) -> tuple[Any, type | None]:
    try:
        return call(*args, **options), None
    except Exception as error:
        return error.args, type(error)


class SetMachine(RuleBasedStateMachine):
    """The same calls for both; after each step, every set must hold the same."""

    clients: list[redis.Redis]
    steps = 0

    def __init__(self) -> None:
        super().__init__()
        self.made = 0
        self.sets: list[Both] = []

    @initialize(first=many, second=many)
    def start(self, first: list[Any], second: list[Any]) -> None:
        same, by_port, elsewhere = self.clients
        for client in (same, elsewhere):
            client.flushall()
        places: list[tuple[Any, Any, Any]] = [
            # The first two have one slot of a cluster, the third one has another.
            (same, "{b}a", None),
            (same, b"\xff{b}", by_type),
            (by_port, "c", by_type),
        ]
        for client, name, scorer in [*places, (elsewhere, "a", by_type)]:
            self.sets.append(Both(RedisSortedSet(client, name, scorer), set(), {}))
        for both, content in zip(self.sets, [first, second], strict=False):
            both.redset.update(content)
            both.builtin.update(content)
            both.scores = self.operand(both, ("list", content)).merged("keep")

    @invariant()
    def they_hold_the_same(self) -> None:
        type(self).steps += 1
        for both in self.sets:
            found = list(both.redset.items())
            assert dict(found) == both.scores
            assert len(found) == len(both.redset) == len(both.builtin)
            assert {item for item, _ in found} == both.builtin

    def teardown(self) -> None:
        same, _, elsewhere = self.clients
        for both in self.sets:
            both.redset.close()
        self.sets.clear()
        gc.collect()  # an exception that was caught may still hold a handle
        for client in {same, elsewhere}:
            delete_collected(client)
        named = {b"{b}a", b"a", b"\xff{b}", b"c"}
        left = {key for client in (same, elsewhere) for key in raw_keys(client)}
        given = {key for key in left if b":given:" in key}
        assert left - given <= named, left

    # The two sides of a call

    def at(self, place: int) -> Both:
        return self.sets[place % len(self.sets)]

    def operand(self, left: Both, place: tuple[str, Any]) -> Operand:
        kind, content = place
        if kind == "redset":
            both = self.at(content)
            return Operand(both.redset, both.builtin, list(both.scores.items()))
        scorer = left.redset._runner.config.scorer
        make = LOCAL_KINDS[kind]
        made = make(content)
        pairs = [(item, scorer(item)) for item in (content if kind == "generator" else made)]
        return Operand(made, make(content) if kind == "generator" else made, pairs)

    def expected_scores(
        self, operator: str, left: Both, operands: list[Operand], conflict: str = "keep"
    ) -> Scores:
        meet = CONFLICTS[conflict]
        scores = dict(left.scores)
        for other in (operand.merged(conflict) for operand in operands):
            if operator in "|^":
                shared = scores.keys() & other.keys()
                joined = {item: meet(scores[item], other[item]) for item in shared}
                scores = other | scores | joined
                if operator == "^":
                    scores = {item: scores[item] for item in scores if item not in shared}
            elif operator == "&":
                scores = {i: meet(scores[i], other[i]) for i in scores if i in other}
            else:
                scores = {item: scores[item] for item in scores if item not in other}
        return scores

    def keep(self, left: Both, result: Any, builtin: set[Any], scores: Scores) -> None:
        assert type(result) is type(left.redset)
        assert result == builtin
        if len(self.sets) == MAX_SETS:
            self.sets.pop(4)
        self.sets.append(Both(result, builtin, scores))
        self.settle(self.sets[-1])

    def settle(self, both: Both) -> None:
        """Take over sums: the server adds them up in another order, so they may be an ulp off."""
        for item, score in both.redset.items():
            assert item in both.scores
            if math.isclose(score, both.scores[item], rel_tol=1e-9):
                both.scores[item] = score

    # One item

    @rule(
        place=st.integers(0, 9),
        item=items,
        score=st.one_of(st.none(), st.sampled_from(SCORES)),
        conflict=conflicts,
    )
    def add(self, place: int, item: Any, score: Any, conflict: OnConflict) -> None:
        both = self.at(place)
        new = float(both.redset._runner.config.scorer(item) if score is None else score)
        if item in both.scores:
            new = CONFLICTS[conflict](both.scores[item], new)
        assert both.redset.add(item, score, on_conflict=conflict) == new
        both.builtin.add(item)
        both.scores[item] = new

    @rule(
        place=st.integers(0, 9), item=st.one_of(items, st.sampled_from([*UNHASHABLE, UNENCODABLE]))
    )
    def look_up_and_remove(self, place: int, item: Any) -> None:
        both = self.at(place)
        there = outcome(operator.contains, both.builtin, item)
        assert outcome(operator.contains, both.redset, item)[1] is None or there[1] is TypeError
        if there[1] is None:
            assert (item in both.redset) == there[0]
            assert both.redset.score(item) == both.scores.get(item)
        for method in ("discard", "remove"):
            self.same_error(both, method, item)
        if there[1] is None:
            both.scores.pop(item, None)

    @rule(place=st.integers(0, 9), content=many)
    def look_up_an_inner_set(self, place: int, content: list[Any]) -> None:
        both, inner = self.at(place), set(content)
        assert (inner in both.redset) == (inner in both.builtin)
        self.same_error(both, "remove", inner)
        both.scores.pop(frozenset(inner), None)

    def same_error(self, both: Both, method: str, *args: Any) -> None:
        """Call *method* on both; the exception of redset's must be one of the builtin's type."""
        _, expected = outcome(getattr(both.builtin, method), *args)
        words, error = outcome(getattr(both.redset, method), *args)
        assert (error is None) == (expected is None), (words, expected)
        assert expected is None or issubclass(error or object, expected)
        if expected is KeyError and args:
            assert words == args

    @rule(place=st.integers(0, 9), item=st.sampled_from([*UNHASHABLE, UNENCODABLE]))
    def add_what_no_set_holds(self, place: int, item: Any) -> None:
        both = self.at(place)
        for call in (both.redset.add, both.redset.insert):
            with pytest.raises(TypeError):
                call(item)

    @rule(place=st.integers(0, 9))
    def pop(self, place: int) -> None:
        both = self.at(place)
        item, error = outcome(both.redset.pop)
        if not both.builtin:
            assert error is not None
            assert issubclass(error, KeyError)
            return
        assert error is None
        lowest = min(both.scores.values())
        assert both.scores.pop(item) == lowest
        both.builtin.remove(item)

    @rule(place=st.integers(0, 9))
    def clear(self, place: int) -> None:
        both = self.at(place)
        assert both.redset.clear() == bool(both.builtin)
        both.builtin.clear()
        both.scores.clear()

    # Operators

    @rule(place=st.integers(0, 9), symbol=st.sampled_from(list(OPERATORS)), other=sets)
    def operate(self, place: int, symbol: str, other: tuple[str, Any]) -> None:
        left = self.at(place)
        operand = self.operand(left, other)
        scores = self.expected_scores(symbol, left, [operand])
        result = OPERATORS[symbol](left.redset, operand.redset)
        self.keep(left, result, set(OPERATORS[symbol](left.builtin, operand.builtin)), scores)

    @rule(
        place=st.integers(0, 9),
        symbol=st.sampled_from(list(OPERATORS)),
        kind=st.sampled_from(SETS_ONLY),
        content=many,
    )
    def operate_from_the_right(
        self, place: int, symbol: str, kind: str, content: list[Any]
    ) -> None:
        right, left = self.at(place), LOCAL_KINDS[kind](content)
        expected = OPERATORS[symbol](left, right.builtin)
        result = OPERATORS[symbol](left, right.redset)
        assert result == expected
        assert type(result) is type(expected)
        changed = IN_PLACE[symbol](LOCAL_KINDS[kind](content), right.redset)
        assert changed == expected
        assert type(changed) is type(expected)

    @rule(place=st.integers(0, 9), symbol=st.sampled_from(list(IN_PLACE)), other=sets)
    def operate_in_place(self, place: int, symbol: str, other: tuple[str, Any]) -> None:
        left = self.at(place)
        operand = self.operand(left, other)
        scores = self.expected_scores(symbol, left, [operand])
        assert IN_PLACE[symbol](left.redset, operand.redset) is left.redset
        left.builtin = IN_PLACE[symbol](left.builtin, operand.builtin)
        left.scores = scores

    @rule(
        place=st.integers(0, 9),
        call=st.sampled_from([*OPERATORS.values(), *IN_PLACE.values(), *COMPARISONS]),
        wrong=st.sampled_from([None, 1, "a", [], (1,)]),
        swap=st.booleans(),
    )
    def operate_with_what_is_no_set(
        self, place: int, call: Callable[..., Any], wrong: Any, swap: bool
    ) -> None:
        both = self.at(place)
        answers = [
            outcome(call, *((wrong, one) if swap else (one, wrong)))
            for one in (both.redset, set(both.builtin))
        ]
        assert answers[0][1] is answers[1][1], answers
        if answers[0][1] is None:
            assert answers[0][0] is answers[1][0]

    # Methods

    @rule(
        place=st.integers(0, 9),
        method=st.sampled_from(list(METHODS)),
        others=st.lists(anything, max_size=3),
        conflict=conflicts,
    )
    def call_a_method(
        self, place: int, method: str, others: list[tuple[str, Any]], conflict: str
    ) -> None:
        self.call(place, method, METHODS[method], others, conflict)

    @rule(
        place=st.integers(0, 9),
        method=st.sampled_from(list(UPDATES)),
        others=st.lists(anything, max_size=3),
        conflict=conflicts,
    )
    def call_an_update(
        self, place: int, method: str, others: list[tuple[str, Any]], conflict: str
    ) -> None:
        self.call(place, method, UPDATES[method], others, conflict)

    def call(
        self, place: int, method: str, operator: str, others: list[tuple[str, Any]], conflict: str
    ) -> None:
        left = self.at(place)
        if operator in "-^":
            conflict = "keep"
        options = {} if conflict == "keep" else {"on_conflict": conflict}
        operands = [self.operand(left, other) for other in others]
        given = [operand.redset for operand in operands]
        expected, error = outcome(
            getattr(left.builtin, method), *(operand.builtin for operand in operands)
        )
        if error is not None:
            assert outcome(getattr(left.redset, method), *given, **options)[1] is error
            return
        scores = self.expected_scores(operator, left, operands, conflict)
        result = getattr(left.redset, method)(*given, **options)
        if expected is None:
            assert result is None
            left.scores = scores
            self.settle(left)
        else:
            self.keep(left, result, expected, scores)

    @rule(
        place=st.integers(0, 9),
        method=st.sampled_from([*METHODS, *UPDATES, *PREDICATES]),
        good=many,
        wrong=st.sampled_from(["not iterable", "unhashable", "inner set", "raises"]),
    )
    def call_with_what_fails(self, place: int, method: str, good: list[Any], wrong: str) -> None:
        both = self.at(place)
        bad: dict[str, Callable[[], Any]] = {
            "not iterable": lambda: 5,
            # Builtin predicates stop at the first item that decides, so it comes first.
            "unhashable": lambda: [*UNHASHABLE[:1], *good],
            "inner set": lambda: [set(good), *good],
            "raises": lambda: broken(good if method not in PREDICATES else []),
        }
        _, expected = outcome(getattr(set(both.builtin), method), bad[wrong]())
        _, error = outcome(getattr(both.redset, method), bad[wrong]())
        # An intersection that has all it can have doesn't read on, in CPython.
        assert expected is not None or method.startswith("intersection")
        assert error is not None
        assert issubclass(error, expected or ZeroDivisionError)

    @rule(
        place=st.integers(0, 9),
        method=st.sampled_from([*METHODS, *UPDATES, *PREDICATES]),
        content=many,
    )
    def call_with_a_stranger(self, place: int, method: str, content: list[Any]) -> None:
        left, operand = self.at(place), {*content, UNENCODABLE}
        operator = (METHODS | UPDATES).get(method, "")
        if operator and operator in "|^":
            with pytest.raises(TypeError):
                getattr(left.redset, method)(operand)
            return
        scores = self.expected_scores(operator or "|", left, [self.operand(left, ("set", content))])
        result = getattr(left.redset, method)(operand)
        assert result == getattr(left.builtin, method)(operand)
        if method in UPDATES:
            left.scores = scores

    # Comparisons and copies

    @rule(place=st.integers(0, 9), other=sets, call=st.sampled_from(COMPARISONS))
    def compare(self, place: int, other: tuple[str, Any], call: Callable[..., Any]) -> None:
        left = self.at(place)
        operand = self.operand(left, other)
        assert call(left.redset, operand.redset) is call(left.builtin, operand.builtin)
        assert call(operand.redset, left.redset) is call(operand.builtin, left.builtin)

    @rule(place=st.integers(0, 9), other=st.integers(0, 9), call=st.sampled_from(COMPARISONS))
    def compare_with_its_own_items(self, place: int, other: int, call: Callable[..., Any]) -> None:
        left, right = self.at(place), frozenset(self.at(other).builtin)
        assert call(left.redset, right) is call(left.builtin, right)
        unencodable = right | {UNENCODABLE}
        assert call(left.redset, unencodable) is call(left.builtin, unencodable)

    @rule(place=st.integers(0, 9), other=anything, method=st.sampled_from(PREDICATES))
    def ask(self, place: int, other: tuple[str, Any], method: str) -> None:
        left = self.at(place)
        operand = self.operand(left, other)
        answer = getattr(left.redset, method)(operand.redset)
        assert answer is getattr(left.builtin, method)(operand.builtin)

    @rule(place=st.integers(0, 9), how=st.sampled_from([copy.copy, copy.deepcopy, set.copy]))
    def make_a_copy(self, place: int, how: Callable[[Any], Any]) -> None:
        left = self.at(place)
        result = left.redset.copy() if how is set.copy else how(left.redset)
        self.keep(left, result, how(left.builtin), dict(left.scores))

    @precondition(lambda self: len(self.sets) > 4)
    @rule(place=st.integers(4, 9))
    def close(self, place: int) -> None:
        self.sets.pop(4 + place % (len(self.sets) - 4)).redset.close()

    # Order

    @rule(
        place=st.integers(0, 9),
        start=st.one_of(st.none(), st.integers(-9, 9)),
        stop=st.one_of(st.none(), st.integers(-9, 9)),
        step=st.one_of(st.none(), st.integers(-3, 3)),
    )
    def slice(self, place: int, start: Any, stop: Any, step: Any) -> None:
        both = self.at(place)
        ordered = sorted(
            both.scores, key=lambda item: (both.scores[item], ValueSerializer().dumps(item))
        )
        assert list(both.redset) == ordered
        assert list(reversed(both.redset)) == ordered[::-1]
        cut = slice(start, stop, step)
        expected, error = outcome(operator.getitem, ordered, cut)
        result, raised = outcome(operator.getitem, both.redset, cut)
        assert result == expected if error is None else issubclass(raised or object, error)
        if start is not None:
            expected, error = outcome(operator.getitem, ordered, start)
            result, raised = outcome(operator.getitem, both.redset, start)
            assert (raised, error) == (None, None) or issubclass(raised or object, IndexError)
            assert error is not None or result == expected


def broken(values: Iterable[Any]) -> Iterator[Any]:
    """A generator that raises half-way."""
    yield from values
    raise ZeroDivisionError


def raw_keys(client: redis.Redis) -> list[bytes]:
    keys: Any = client.execute_command("KEYS", "*", NEVER_DECODE=True)
    return list(keys)


def test_every_call_does_what_it_does_with_builtin_sets(
    server: TestServer,
    client: redis.Redis,
    make_client: MakeClient,
    request: pytest.FixtureRequest,
    capsys: pytest.CaptureFixture[str],
) -> None:
    clients = [client, make_client(host="127.0.0.1", port=server.port), make_client(db=1)]
    profile = settings()
    chosen = str(request.config.getoption("--hypothesis-seed") or "")
    any_seed = 0 if profile.derandomize else random.getrandbits(32)
    number = int(chosen) if chosen.isdecimal() else any_seed

    class Machine(SetMachine):
        steps = 0

    Machine.clients = clients
    # A seed that can be set is reported instead of one that a profile hides.
    examples = min(profile.max_examples, MAX_EXAMPLES)
    own = settings(profile, max_examples=examples, derandomize=False, database=None)
    try:
        run_state_machine_as_test(seed(number)(Machine), settings=own)
        while Machine.steps < LEAST_STEPS:
            number += 1
            run_state_machine_as_test(seed(number)(Machine), settings=own)
    finally:
        with capsys.disabled():
            kind = f"{server.kind}, RESP{settings_of(client)['protocol']}"
            print(f"\nstate machine of sets on {kind}: {Machine.steps} steps, seed {number}")


# What `dir(set)` has


def test_everything_in_dir_of_set_is_there(client: redis.Redis) -> None:
    shared: Redset = RedisSortedSet(client, "s")
    assert set(dir(set)) - set(dir(shared)) == set()


@pytest.mark.parametrize("name", [name for name in dir(set) if callable(getattr(set, name))])
def test_what_is_callable_in_set_is_callable_here(client: redis.Redis, name: str) -> None:
    shared: Redset = RedisSortedSet(client, "s")
    if name == "__hash__":
        assert shared.__hash__ is set().__hash__ is None
    else:
        assert callable(getattr(shared, name))


# What `object` or `collections.abc` bring would be there anyway, but wrong or item by item.
OWN = [
    name
    for name in dir(set)
    if getattr(set, name) is not getattr(object, name, None)
    and name not in {"__new__", "__init__", "__getattribute__", "__sizeof__", "__doc__", "__ne__"}
    and name != "__subclasshook__"  # bound to each class anew
]


@pytest.mark.parametrize("name", OWN)
def test_redset_defines_what_set_defines(name: str) -> None:
    [owner, *_] = [kind for kind in RedisSortedSet.__mro__ if name in vars(kind)]
    assert owner.__module__.startswith(("redset.", "typing"))


def test_a_set_is_unhashable_as_set_is(client: redis.Redis) -> None:
    shared: Redset = RedisSortedSet(client, "s")
    with pytest.raises(TypeError, match="unhashable"):
        hash(shared)
