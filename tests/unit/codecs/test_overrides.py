"""Subclasses that keep ``==`` are carried as their base type's value, whatever they override."""

import sys
from collections import OrderedDict, defaultdict, namedtuple
from collections.abc import Callable, Set
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from typing import Any, NamedTuple
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redset.codecs import (
    JSONSerializer,
    MsgpackSerializer,
    NamedtupleSerializer,
    PickleSerializer,
    TextSerializer,
    ValueSerializer,
)
from redset.exceptions import InvalidTypeError, UncertainItemError
from tests.unit.codecs.strategies import BERLIN

VALUES, MSGPACK, JSON, TEXT = (
    ValueSerializer(),
    MsgpackSerializer(),
    JSONSerializer(),
    TextSerializer(),
)
EAST = timezone(timedelta(hours=1))

# The arguments that make a value of each type, and those of another one, whose answers the
# overriding methods give.
MADE: dict[type, list[tuple[Any, ...]]] = {
    str: [("é",), ("other",), ("",)],
    bytes: [(b"a",), (b"other",), (b"",)],
    int: [(7,), (0,), (-(2**70),), (10**400,)],
    float: [(0.1,), (2.0,), (-0.0,)],
    complex: [(1, 2), (0, 0), (3, 0)],
    Decimal: [("1.25",), ("0",), ("-17E+5",), ("Infinity",), ("1E+130000",)],
    Fraction: [(1, 3), (5, 1), (1, 10)],
    datetime: [
        (2024, 1, 1, 12, 30),
        (2023, 5, 5, 0, 0, 0, 0, UTC),
        (2024, 3, 31, 2, 30, 0, 0, BERLIN),
        (2024, 7, 1, 2, 30, 0, 5, BERLIN),
    ],
    date: [(2024, 1, 1), (2023, 5, 5)],
    time: [(12, 30), (1, 2, 3, 4, EAST), (0, 30, 0, 0, EAST)],
    timedelta: [(1, 2, 3), (0,), (-5,)],
    UUID: [("00000000000000000000000000000005",), ("f" * 32,)],
    tuple: [((1, "a"),), ((),), ((None,),)],
    frozenset: [({1, "a"},), ((),), ({0.5},)],
    list: [([1, "a"],), ([],)],
    dict: [({"a": 1, "b": [2]},), ({},)],
    set: [({1, "a"},), ((),)],
    bytearray: [(b"a",), (b"other",)],
}
HASHABLE = [kind for kind in MADE if kind.__hash__ is not None]
IN_JSON = [str, int, float, list, dict]

# What makes a class what it is, and what `==` and `hash` are.
KEPT = {
    *("__class__", "__class_getitem__", "__delattr__", "__dict__", "__doc__", "__eq__", "__hash__"),
    *("__getattribute__", "__init__", "__init_subclass__", "__module__", "__new__", "__setattr__"),
    *("__slots__", "__subclasshook__", "__weakref__", "_numerator", "_denominator"),
    *("_abc_impl", "__abstractmethods__", "__release_buffer__"),
}
# By these a class says itself how it is pickled, and how it is filled.
PICKLED = {
    *("__getnewargs__", "__getstate__", "__reduce__", "__reduce_ex__", "__setstate__"),
    *("__setitem__", "add", "append", "extend", "update", "int", "is_safe"),
}
# What `==` reads of an instance: a class that overrides it has another `==`.
READ: dict[type, set[str]] = {
    int: {"numerator", "denominator"},
    float: {"real", "imag", "as_integer_ratio"},
    complex: {"real", "imag"},
    Fraction: {"numerator", "denominator", "from_float"},
    UUID: {"int"},
    bytearray: {"__buffer__"},
}
# What the time zone of a datetime may read.
OFFSET = {"toordinal", "hour", "minute", "second"}


def overriding(base: type, name: str, other: Any) -> Any:
    """What a subclass may have under *name*: it answers for *other*."""
    found = getattr(base, name)
    if callable(found):
        return lambda _self, *arguments: getattr(other, name)(*arguments)
    return property(lambda _self: getattr(other, name))


def failing(base: type, name: str, _other: Any) -> Any:
    def fail(*_: Any) -> Any:
        raise AssertionError(f"{name} of a subclass of {base.__name__} was called")

    return fail if callable(getattr(base, name)) else property(fail)


class Case(NamedTuple):
    """An instance of a subclass, the value that it equals, and what the subclass overrides."""

    item: Any
    plain: Any
    names: set[str]

    def __repr__(self) -> str:
        return f"Case of {self.plain!r} with other {self.names}"

    @property
    def must_be_refused(self) -> bool:
        return bool(self.names & READ.get(type(self.plain), set()))

    @property
    def may_be_refused(self) -> bool:
        is_aware = isinstance(self.plain, datetime) and self.plain.tzinfo is not None
        return self.must_be_refused or (is_aware and bool(self.names & OFFSET))


@st.composite
def cases(
    draw: st.DrawFn, bases: list[type], without: Set[str] = frozenset(), *, fail: bool = True
) -> Case:
    base = draw(st.sampled_from(bases))
    arguments, others = draw(st.permutations(MADE[base]))[:2]
    cls = type("Own", (base,), {"__module__": __name__})
    item, plain = cls(*arguments), base(*arguments)
    names = [name for name in dir(base) if name not in KEPT | without]
    extra = ["encode", "hex", "isoformat", "__iter__", "items", "__index__", "__bytes__"]
    chosen = draw(
        st.sets(st.sampled_from(names), max_size=4) | st.just(set(names) - READ.get(base, set()))
    )
    override = failing if fail and draw(st.booleans()) else overriding
    for name in chosen:
        setattr(cls, name, override(base, name, base(*others)))
    for name in extra:
        if not hasattr(base, name):
            setattr(cls, name, lambda *_: b"extra")
    return Case(item, plain, chosen)


def check(serializer: Any, case: Case, wrap: Callable[[Any], Any]) -> None:
    try:
        document = wrap(case.item)
    except AssertionError:  # a zone's, for the hash
        assert case.may_be_refused
        return
    try:
        member = serializer.dumps(document)
    except UncertainItemError:
        assert case.may_be_refused
        return
    assert not case.must_be_refused
    assert member == serializer.dumps(wrap(case.plain))
    found = serializer.loads(member)
    assert found == wrap(case.plain)
    assert found == document


@pytest.mark.law
@given(cases(HASHABLE), st.sampled_from([lambda x: x, lambda x: (x, 1), lambda x: frozenset([x])]))
def test_values_carry_a_subclass_as_its_base_whatever_it_overrides(case: Case, wrap: Any) -> None:
    check(VALUES, case, wrap)


@pytest.mark.law
@given(cases(list(MADE)), st.sampled_from([lambda x: x, lambda x: [x], lambda x: {"a": x}]))
def test_msgpack_carries_a_subclass_as_its_base_whatever_it_overrides(
    case: Case, wrap: Any
) -> None:
    check(MSGPACK, case, wrap)


@pytest.mark.law
@given(cases(HASHABLE), st.sampled_from([lambda x: {x: 1}, lambda x: {x}]))
def test_msgpack_carries_keys_of_a_subclass_as_their_base(case: Case, wrap: Any) -> None:
    check(MSGPACK, case, wrap)


@pytest.mark.law
@given(cases(IN_JSON), st.sampled_from([lambda x: x, lambda x: [x], lambda x: {"a": x}]))
def test_json_carries_a_subclass_as_its_base_whatever_it_overrides(case: Case, wrap: Any) -> None:
    check(JSON, case, wrap)


@pytest.mark.law
@given(cases([str]))
def test_json_carries_keys_of_a_subclass_as_their_base(case: Case) -> None:
    check(JSON, case, lambda key: {key: 1, "b": 2, "z": 3})


@pytest.mark.law
@given(cases([str, bytes]))
def test_text_is_the_content_of_str_and_bytes_whatever_a_subclass_overrides(case: Case) -> None:
    assert TEXT.dumps(case.item) == TEXT.dumps(case.plain)


@pytest.mark.law
@given(cases(list(MADE), PICKLED, fail=False), st.booleans())
def test_pickles_hold_what_a_subclass_equals_whatever_it_overrides(
    case: Case, with_secret: bool
) -> None:
    cls = type(case.item)
    with_secret = with_secret or cls.__base__ is datetime  # it may keep its zone
    settings: Any = {"secret": b"0123456789abcdef"} if with_secret else {"allow": [cls]}
    setattr(sys.modules[__name__], "Own", cls)  # noqa: B010 - pickle finds classes by name
    pickles = PickleSerializer(**settings)
    try:
        member = pickles.dumps(case.item)
    except UncertainItemError:
        assert case.may_be_refused
        return
    found = pickles.loads(member)
    assert type(found) is cls
    assert found == case.plain or case.may_be_refused
    assert pickles.dumps(found) == member


class Task(namedtuple("Task", "name,parts")):
    """A namedtuple that iterates, indexes and counts something else."""

    __slots__ = ()

    def __iter__(self) -> Any:
        return iter(("other",))

    def __len__(self) -> int:
        return 9

    def __getitem__(self, _place: Any) -> Any:
        return "other"


def test_namedtuples_keep_their_fields_whatever_they_override() -> None:
    task = Task("a", Task("b", None))
    tasks: Any = NamedtupleSerializer(Task)
    assert tuple.__eq__(tasks.loads(tasks.dumps(task)), task)
    assert VALUES.loads(VALUES.dumps(task)) == ("a", ("b", None))
    assert MSGPACK.loads(MSGPACK.dumps(task)) == ("a", ("b", None))
    pickles = PickleSerializer(allow=[Task])
    assert tuple.__eq__(pickles.loads(pickles.dumps(task)), task)
    assert pickles.dumps(task) != pickles.dumps(Task("a", "c"))


class Money(Decimal):
    def __format__(self, spec: str, *rest: Any) -> str:
        return "EUR " + super().__format__(spec)


class UserId(UUID):
    def __str__(self) -> str:
        return "user_" + self.hex


@pytest.mark.parametrize("serializer", [VALUES, MSGPACK], ids=["values", "msgpack"])
def test_different_items_of_a_subclass_stay_different(serializer: Any) -> None:
    prices = [Money("1.25"), Money("1.5"), Money("1")]
    assert len({serializer.dumps(each) for each in prices}) == 3
    assert [serializer.loads(serializer.dumps(each)) for each in prices] == prices
    assert serializer.dumps(UserId(int=5)) == serializer.dumps(UUID(int=5))


def mixin(base: type, arguments: tuple[Any, ...]) -> Any:
    """A member of an enum of *base* that shows itself in another way."""
    shown = {"__str__": lambda _: "shown", "__format__": lambda _, spec: "shown"}
    cls: Any = type("Mixin", (base,), {**shown, "__repr__": lambda _: "shown"})
    made: Any = Enum
    return made("Shown", {"ONE": arguments}, type=cls).ONE


# Of Fraction and UUID no enum can be made.
@pytest.mark.parametrize(
    "base",
    [base for base in HASHABLE if base not in (Fraction, UUID)],
    ids=lambda base: base.__name__,
)
def test_members_of_enums_are_carried_as_their_values(base: type) -> None:
    for arguments in MADE[base]:
        item, plain = mixin(base, arguments), base(*arguments)
        assert item == plain
        for serializer in (VALUES, MSGPACK, *([JSON] if base in IN_JSON else [])):
            assert serializer.dumps(item) == serializer.dumps(plain)  # type: ignore[attr-defined]


class Halves(Fraction):
    @property
    def numerator(self) -> int:
        return 1


class Hashed(str):
    __slots__ = ()

    def __hash__(self) -> int:
        return 1


class CaseBlind(str):
    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and self.lower() == other.lower()

    def __hash__(self) -> int:
        return hash(self.lower())


@pytest.mark.parametrize(
    ("item", "part"),
    [(Halves(2, 3), "numerator"), (Hashed("a"), "hash"), (frozenset([Hashed("a")]), "hash")],
    ids=repr,
)
def test_what_may_equal_its_base_or_not_is_refused(item: Any, part: str) -> None:
    for serializer in (VALUES, MSGPACK):
        with pytest.raises(UncertainItemError, match=f"changes .*{part}.*convert it to"):
            serializer.dumps(item)


def test_a_hash_of_its_own_that_is_the_same_is_no_change() -> None:
    cls: Any = type("Cached", (str,), {"__hash__": lambda self: hash(str(self))})
    assert VALUES.dumps(cls("a")) == b"s:a"


def test_json_refuses_text_that_compares_in_another_way_as_the_others_do() -> None:
    for item in (CaseBlind("a"), [CaseBlind("a")], {CaseBlind("a"): 1}):
        with pytest.raises(InvalidTypeError, match="no type CaseBlind; a MsgpackSerializer with"):
            JSON.dumps(item)


@pytest.mark.parametrize("base", [dict, OrderedDict, defaultdict], ids=lambda base: base.__name__)
def test_a_dict_that_shows_other_items_is_written_by_its_content(base: Any) -> None:
    def none(_self: Any) -> Any:
        return iter(())

    cls = type("Own", (base,), {"__module__": __name__, "items": none, "__iter__": none})
    setattr(sys.modules[__name__], "Own", cls)  # noqa: B010 - pickle finds classes by name
    item = cls()
    for key in "ba":
        item[key] = 1
    assert JSON.dumps(item) == '{"a":1,"b":1}'
    assert MSGPACK.dumps(item) == MSGPACK.dumps({"a": 1, "b": 1})
    pickles = PickleSerializer(allow=[cls])
    assert dict.items(pickles.loads(pickles.dumps(item))) == dict.items(item)


@pytest.mark.parametrize("serializer", [ValueSerializer(), MsgpackSerializer()])
def test_a_hash_of_its_own_beside_what_has_none_is_refused_in_words(serializer: Any) -> None:
    cls: Any = type("Key", (tuple,), {"__hash__": lambda self: 5})
    with pytest.raises(UncertainItemError, match="changes the hash"):
        serializer.dumps(cls(([1],)))
