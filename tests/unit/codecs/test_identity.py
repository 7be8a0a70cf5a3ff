"""Objects that are equal and of one type have one member, whatever was read or hashed before."""

import array
import pathlib
import pickle
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field, make_dataclass
from datetime import UTC, datetime, time, timedelta, timezone
from decimal import Decimal
from functools import cache, cached_property
from typing import Any, NamedTuple

import attrs
import gmpy2
import numpy
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from redset.codecs import PickleSerializer
from redset.exceptions import InvalidTypeError, UncertainItemError
from tests.unit.codecs.strategies import typed

KEY = b"0123456789abcdef"


def both(*classes: type) -> list[PickleSerializer]:
    return [PickleSerializer(allow=classes), PickleSerializer(secret=KEY)]


def slow(item: Any) -> str:
    return "slow " * 3


def hand_written(names: list[str], compared: list[str]) -> type:
    """A class that keeps its hash itself, where its author leaves it out of the state."""

    def init(self: Any, **values: Any) -> None:
        vars(self).update(values, _hash=None)

    def key(self: Any) -> tuple[Any, ...]:
        return tuple(getattr(self, name) for name in compared)

    def equal(self: Any, other: Any) -> bool:
        return type(other) is type(self) and bool(key(self) == key(other))

    def hashed(self: Any) -> int:
        if self._hash is None:
            self._hash = hash(key(self))
        return int(self._hash)

    def getstate(self: Any) -> dict[str, Any]:
        return {**vars(self), "_hash": None}

    members: dict[str, Any] = {"__init__": init, "__eq__": equal, "__hash__": hashed}
    if compared == names:
        members["__getstate__"] = getstate
    return type("Hand", (), members)


@cache
def generated(kind: str, mask: tuple[bool, ...]) -> type:
    """A class of some fields, of which those in *mask* are compared, that can be found by name."""
    names = [f"field_{index}" for index in range(len(mask))]
    fields = dict(zip(names, mask, strict=True))
    made: Any
    if kind == "attrs":
        row = {name: attrs.field(default=0, eq=each) for name, each in fields.items()}
        made = attrs.make_class("A", row, slots=False, frozen=True, cache_hash=True)
    elif kind == "attrs slots":
        row = {name: attrs.field(factory=int, eq=each) for name, each in fields.items()}
        made = attrs.make_class("A", row, slots=True, frozen=True, cache_hash=True)
    elif kind == "hand-written":
        made = hand_written(names, [name for name in names if fields[name]])
    else:
        typed_row: list[Any] = [
            (name, object, field(default_factory=list, compare=each))
            for name, each in fields.items()
        ]
        slots, frozen = "slots" in kind, "frozen" in kind
        made = make_dataclass("D", typed_row, frozen=frozen, unsafe_hash=True, slots=slots)
    if "slots" not in kind:
        made.slow = cached_property(slow)
        made.slow.__set_name__(made, "slow")
    made.__module__ = __name__
    made.__qualname__ = made.__name__ = f"{kind} {mask}"
    globals()[made.__name__] = made
    found: type = made
    return found


KINDS = ["dataclass", "frozen", "slots", "frozen slots", "attrs", "attrs slots", "hand-written"]
PLAIN = [0, 1, True, 1.0, 0.0, -0.0, "a", b"a", None, (1, "a"), Decimal("1.0"), Decimal(1)]
SCALARS = [
    gmpy2.mpz(1),
    numpy.int64(1), numpy.int32(1), numpy.float64(0.0), numpy.float64(-0.0), numpy.float32(-0.0),
    numpy.float32(0.0), numpy.complex128(complex(-0.0, 0.0)), numpy.complex128(0), numpy.str_("a"),
    numpy.bool_(True), numpy.bytes_(b"a"),
]  # fmt: skip


@st.composite
def objects(draw: st.DrawFn, values: list[Any]) -> tuple[Any, Any, type]:
    """Two objects of a class, often equal, each read and hashed or not."""
    mask = tuple(draw(st.lists(st.booleans(), min_size=1, max_size=4)))
    cls: Any = generated(draw(st.sampled_from(KINDS)), mask)
    row = [draw(st.sampled_from(values)) for _ in mask]
    made = []
    for _ in range(2):
        mine = [draw(st.sampled_from([value, value, *values[:3]])) for value in row]
        item = cls(**{f"field_{index}": value for index, value in enumerate(mine)})
        for use in draw(st.lists(st.sampled_from([hash, lambda each: getattr(each, "slow", 0)]))):
            use(item)
        made.append(item)
    return made[0], made[1], cls


def compared(item: Any, cls: Any) -> Any:
    mask = eval(cls.__name__[cls.__name__.index("(") :])
    return typed([getattr(item, f"field_{index}") for index, each in enumerate(mask) if each])


@pytest.mark.law
@given(st.sampled_from([0, 1]), st.data())
def test_objects_are_equal_and_of_equal_types_if_and_only_if_their_members_are(
    index: int, data: st.DataObject
) -> None:
    one, other, cls = data.draw(objects([PLAIN, PLAIN + SCALARS][index]))
    serializer = both(cls)[index]
    if cls.__name__.startswith("hand-written") and "False" in cls.__name__:
        for item in (one, other):
            with pytest.raises(InvalidTypeError, match="takes no part in its =="):
                serializer.dumps(item)
        return
    members = [serializer.dumps(one), serializer.dumps(other)]
    same = compared(one, cls) == compared(other, cls)
    assert (members[0] == members[1]) == same
    assert one == other or not same
    back = serializer.loads(members[0])
    assert (type(back), back) == (cls, one)
    assert compared(back, cls) == compared(one, cls)
    hash(back)
    assert serializer.dumps(back) == members[0]


@dataclass
class Task:
    url: str
    seen: list[int] = field(default_factory=list, compare=False)
    note: str = field(default="", compare=False)

    @cached_property
    def slow(self) -> int:
        return len(self.url)


@dataclass(frozen=True)
class NoDefault:
    url: str
    size: int = field(compare=False)


@dataclass
class Extra:
    url: str

    def __post_init__(self) -> None:
        self.parsed = self.url.split("/")


class Hashed:
    def __init__(self, x: int) -> None:
        self.x = x
        self._hash: int | None = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Hashed) and self.x == other.x

    def __hash__(self) -> int:
        if self._hash is None:
            self._hash = hash(self.x)
        return self._hash


class Whole:
    """Compares all attributes, whatever they are called."""

    def __init__(self, **attributes: Any) -> None:
        vars(self).update(attributes)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Whole) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]


class Reduced:
    """Says itself what is to be written."""

    def __init__(self, x: int) -> None:
        self.x, self.cache = x, object()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Reduced) and self.x == other.x

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> Any:
        return Reduced, (self.x,)


class Words(list[str]):
    owner: str


class Lazy:
    """A cached property as other libraries have it."""

    def __init__(self, function: Callable[[Any], object]) -> None:
        self.function = function

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, item: Any, owner: type) -> Any:
        if item is None:
            return self
        return vars(item).setdefault(self.name, self.function(item))


class Positive:
    """A descriptor that keeps data in the object."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name
        self.check: Callable[[int], bool] = lambda value: value > 0

    def __get__(self, item: Any, owner: type) -> Any:
        return 1 if item is None else vars(item)[self.name]

    def __set__(self, item: Any, value: int) -> None:
        assert self.check(value)
        vars(item)[self.name] = value


class Empty:
    @cached_property
    def slow(self) -> int:
        return 1


class EmptySlots:
    __slots__ = ("__dict__", "x")

    @cached_property
    def slow(self) -> int:
        return 1


class Numbers(list[int]):
    @cached_property
    def slow(self) -> int:
        return sum(self)

    @Lazy
    def lazy(self) -> int:
        return sum(self)


@dataclass
class Order:
    count: Any = Positive()

    @Lazy
    def slow(self) -> int:
        return int(self.count)


class Hand:
    count = Positive()

    def __init__(self, count: int) -> None:
        self.count = count

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Hand) and self.count == other.count

    __hash__ = None  # type: ignore[assignment]


class Model(pydantic.BaseModel):
    x: int = 1
    tags: list[str] = []

    @cached_property
    def slow(self) -> int:
        return self.x


@attrs.define
class Keyed:
    name: str = attrs.field(eq=str.lower)


@attrs.define
class Chained:
    x: int
    twice: int = attrs.field(
        eq=False, default=attrs.Factory(lambda self: 2 * self.x, takes_self=True)
    )


class Price(Decimal):
    pass


class Moment(datetime):
    pass


class Clock(time):
    pass


def test_a_cached_property_that_was_read_makes_no_other_item() -> None:
    for serializer in both(Task):
        item = Task("a")
        member = serializer.dumps(item)
        assert item.slow == 1
        assert serializer.dumps(item) == member
        assert "slow" not in vars(serializer.loads(member))


@pytest.mark.parametrize("make", [Empty, EmptySlots, lambda: Numbers([1, 2]), lambda: Order(2)])
def test_a_cache_leaves_no_trace_whatever_else_the_object_has(make: Callable[[], Any]) -> None:
    for serializer in both(Empty, EmptySlots, Numbers, Order):
        item = make()
        member = serializer.dumps(item)
        assert item.slow
        assert getattr(item, "lazy", 3)
        assert serializer.dumps(item) == member
        assert serializer.dumps(serializer.loads(member)) == member


@pytest.mark.parametrize("cls", [Order, Hand])
def test_data_that_a_descriptor_keeps_comes_back(cls: Any) -> None:
    for serializer in both(cls):
        assert serializer.dumps(cls(2)) != serializer.dumps(cls(3))
        assert serializer.loads(serializer.dumps(cls(2))).count == 2


@pytest.mark.parametrize("source", ["<string>", "<stdin>"])
def test_a_class_that_was_typed_in_is_like_any_other(source: str) -> None:
    """The functions that dataclasses makes come from "<string>", and so do those of python -c."""
    scope: dict[str, Any] = {"__name__": __name__}
    text = """class Typed:
        def __init__(self, x): self.x = x
        def __eq__(self, other): return self.x == other.x"""
    exec(compile(text, source, "exec"), scope)
    globals()["Typed"] = scope["Typed"]
    for serializer in both(scope["Typed"]):
        item = scope["Typed"](1)
        assert serializer.loads(serializer.dumps(item)) == item


def test_fields_that_are_not_compared_come_back_as_their_default() -> None:
    for serializer in both(Task):
        one, other = Task("a", [1], "x"), Task("a", [], "y")
        assert serializer.dumps(one) == serializer.dumps(other)
        back = serializer.loads(serializer.dumps(one))
        assert (back.url, back.seen, back.note) == ("a", [], "")
        assert back.seen is not serializer.loads(serializer.dumps(one)).seen


def test_a_field_that_is_not_compared_and_has_no_default_is_refused() -> None:
    for serializer in both(NoDefault):
        with pytest.raises(InvalidTypeError, match=r"field size of a NoDefault .* has no default"):
            serializer.dumps(NoDefault("a", 1))


def test_a_default_made_of_the_object_is_made_of_what_came_back() -> None:
    for serializer in both(Chained):
        item = Chained(2, 7)
        assert serializer.loads(serializer.dumps(item)).twice == 4


@pytest.mark.parametrize("use", [lambda item: None, hash])
def test_an_attribute_that_equality_ignores_is_refused(use: Callable[[Any], object]) -> None:
    for serializer in both(Hashed):
        item = Hashed(1)
        use(item)
        with pytest.raises(InvalidTypeError, match="'_hash' of a Hashed takes no part"):
            serializer.dumps([item])
    for serializer in both(Extra):
        with pytest.raises(InvalidTypeError, match="'parsed' of a Extra takes no part"):
            serializer.dumps(Extra("a/b"))
    words = Words(["a"])
    words.owner = "me"
    for serializer in both(Words):
        assert serializer.loads(serializer.dumps(Words(["a"]))) == ["a"]
        with pytest.raises(InvalidTypeError, match="'owner' of a Words takes no part"):
            serializer.dumps(words)


def test_attributes_that_equality_compares_whatever_they_are_come_back() -> None:
    for serializer in both(Whole):
        item = Whole(**{f"a{number}": number for number in range(300)})
        assert serializer.loads(serializer.dumps(item)) == item


def test_a_class_that_says_what_is_written_is_believed() -> None:
    for serializer in both(Reduced):
        assert serializer.dumps(Reduced(1)) == serializer.dumps(Reduced(1))
        assert serializer.loads(serializer.dumps(Reduced(1))) == Reduced(1)


def test_a_model_of_pydantic_is_one_item_whichever_fields_were_given() -> None:
    for serializer in both(Model):
        one, other = Model(), Model(x=1)
        assert other.slow == 1
        assert one == other
        assert serializer.dumps(one) == serializer.dumps(other)
        back = serializer.loads(serializer.dumps(one))
        assert back == one
        assert back.model_fields_set == {"x", "tags"}
        assert serializer.dumps(Model(x=2)) != serializer.dumps(one)


def test_a_field_that_is_compared_by_a_key_is_refused() -> None:
    for serializer in both(Keyed):
        with pytest.raises(InvalidTypeError, match="compared by a key"):
            serializer.dumps(Keyed("A"))


@pytest.mark.parametrize(
    "equal",
    [
        [Price("1.0"), Price("1.00"), Price(1)],
        [
            Moment(2024, 1, 1, 12, tzinfo=UTC),
            Moment(2024, 1, 1, 13, tzinfo=timezone(timedelta(hours=1), "CET")),
            Moment(2024, 1, 1, 13, tzinfo=timezone(timedelta(hours=1))),
        ],
        [Moment(2024, 1, 1), Moment(2024, 1, 1, fold=1)],
        [Clock(12, tzinfo=UTC), Clock(13, tzinfo=timezone(timedelta(hours=1)))],
        [timezone(timedelta(hours=1)), timezone(timedelta(hours=1), "CET")],
        [timezone(timedelta(0)), UTC],
    ],
    ids=lambda equal: type(equal[0]).__name__,
)
def test_equal_values_of_a_class_derived_from_a_scalar_are_one(equal: list[Any]) -> None:
    for serializer in both(Price, Moment, Clock):
        assert len({serializer.dumps(item) for item in equal}) == 1
        back = serializer.loads(serializer.dumps(equal[0]))
        assert (type(back), back) == (type(equal[0]), equal[0])


# Classes whose `==` is not what their fields, or their builtin base, say at first sight.


@dataclass
class Base:
    x: int


@dataclass(eq=False)
class Inheriting(Base):
    """Its ``==`` is that of `Base`, which compares no ``y``."""

    y: int = 0


@dataclass(eq=False)
class InheritingNote(Base):
    note: int = field(default=0, compare=False)


@attrs.define
class AttrsBase:
    x: int


@attrs.define(eq=False)
class AttrsInheriting(AttrsBase):
    y: int = 0


@attrs.define(eq=False)
class AttrsByIdentity:
    x: int
    y: int = attrs.field(default=0, eq=False)


@dataclass
class OwnEq:
    """Compares what its field says it doesn't."""

    x: int
    y: int = field(default=0, compare=False)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, OwnEq) and (self.x, self.y) == (other.x, other.y)

    __hash__ = None  # type: ignore[assignment]


@attrs.define
class AttrsOwnEq:
    x: int
    y: int = attrs.field(default=0, eq=False)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AttrsOwnEq) and (self.x, self.y) == (other.x, other.y)

    __hash__ = None  # type: ignore[assignment]


@dataclass
class OwnEqOfSome:
    x: int
    y: int = field(default=0, compare=False)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, OwnEqOfSome) and self.x == other.x

    __hash__ = None  # type: ignore[assignment]


@dataclass
class OwnEqMixed:
    x: int
    y: int = field(default=0, compare=False)
    z: int = field(default=0, compare=False)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, OwnEqMixed) and (self.x, self.z) == (other.x, other.z)

    __hash__ = None  # type: ignore[assignment]


@dataclass(frozen=True, slots=True)
class OwnEqFrozen:
    x: int
    y: int = 0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, OwnEqFrozen) and self.x == other.x

    __hash__ = None  # type: ignore[assignment]


class OwnEqModel(pydantic.BaseModel):
    x: int
    y: int = 0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, OwnEqModel) and self.x == other.x

    __hash__ = None  # type: ignore[assignment]


class OwnEqWhole(pydantic.BaseModel):
    x: int
    y: int = 0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, OwnEqWhole) and (self.x, self.y) == (other.x, other.y)

    __hash__ = None  # type: ignore[assignment]


class OwnEqPrivate(OwnEqWhole):
    _seen: int = pydantic.PrivateAttr(default=0)

    def see(self, seen: int) -> "OwnEqPrivate":
        self._seen = seen
        return self


class OwnEqPair(NamedTuple):
    x: int
    y: int = 0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, OwnEqPair) and self.x == other.x

    def __hash__(self) -> int:
        return hash(self.x)


class Elements(frozenset[Any]):
    @cached_property
    def slow(self) -> int:
        return len(self)


class MutableElements(set[Any]):
    pass


class Line(deque[Any]):
    pass


class Ordered(OrderedDict[Any, Any]):
    pass


class Raw(bytearray):
    pass


def owned(item: Any) -> Any:
    item.owner = "me"
    return item


# Pairs of objects of one class, and whether they can be kept.
PAIRS: list[tuple[Any, Any, bool]] = [
    (Inheriting(1, 2), Inheriting(1, 3), False),
    (InheritingNote(1, 2), InheritingNote(1, 3), True),
    (AttrsInheriting(1, 2), AttrsInheriting(1, 3), False),
    (OwnEq(1, 2), OwnEq(1, 3), True),
    (OwnEq(1, 2), OwnEq(1, 2), True),
    (AttrsOwnEq(1, 2), AttrsOwnEq(1, 3), True),
    (OwnEqOfSome(1, 2), OwnEqOfSome(1, 3), True),
    (OwnEqMixed(1, 2, 3), OwnEqMixed(1, 3, 3), False),
    (OwnEqFrozen(1, 2), OwnEqFrozen(1, 3), False),
    (OwnEqModel(x=1, y=2), OwnEqModel(x=1, y=3), False),
    (OwnEqPrivate(x=1).see(1), OwnEqPrivate(x=1).see(2), False),
    (OwnEqWhole(x=1), OwnEqWhole(x=1, y=0), True),
    (OwnEqWhole(x=1), OwnEqWhole(x=1, y=1), True),
    (OwnEqPair(1, 2), OwnEqPair(1, 3), False),
    # Sets that are iterated over in the order of adding, as 0 and 8 have one place.
    (Elements([0, 8]), Elements([8, 0]), True),
    (MutableElements([0, 8]), MutableElements([8, 0]), True),
    (MutableElements([(0, "a"), "b"]), MutableElements(["b", (0, "a")]), True),
    (Base(Elements([0, 8])), Base(Elements([8, 0])), True),  # type: ignore[arg-type]
    (owned(Elements([1])), owned(Elements([1])), False),
    (owned(Line([1])), owned(Line([1])), False),
    (owned(Ordered(a=1)), owned(Ordered(a=1)), False),
    (owned(Raw(b"a")), owned(Raw(b"a")), False),
    (pathlib.PureWindowsPath("A"), pathlib.PureWindowsPath("a"), False),
    (array.array("i", [1]), array.array("q", [1]), False),
    (gmpy2.mpfr("1", 53), gmpy2.mpfr("1", 100), False),
    (gmpy2.mpc("1", 53), gmpy2.mpc("1", 100), False),
]


@pytest.mark.parametrize(("one", "other", "is_kept"), PAIRS, ids=lambda each: type(each).__name__)
def test_equal_objects_have_one_member_or_are_refused(one: Any, other: Any, is_kept: bool) -> None:
    for serializer in both(type(one), Elements):
        if not is_kept:
            for item in (one, other):
                with pytest.raises(UncertainItemError, match="so that equal items would have"):
                    serializer.dumps([item])
            continue
        assert (serializer.dumps(one) == serializer.dumps(other)) == (one == other)
        for item in (one, other):
            back = serializer.loads(serializer.dumps(item))
            assert (type(back), back) == (type(item), item)


def test_what_equals_nothing_else_comes_back_whole() -> None:
    for serializer in both(AttrsByIdentity):
        assert serializer.loads(serializer.dumps(AttrsByIdentity(1, 2))).y == 2


def test_a_set_of_a_class_of_its_own_is_one_item_after_its_cache_was_filled() -> None:
    for serializer in both(Elements):
        item = Elements([1])
        member = serializer.dumps(item)
        assert item.slow == 1
        assert serializer.dumps(item) == member


def test_numpy_scalars_need_a_secret_and_have_one_form() -> None:
    with pytest.raises(
        InvalidTypeError, match=r"float64 of numpy needs secret= and no allow=.*item"
    ):
        PickleSerializer(allow=[numpy.float64]).dumps([numpy.float64(1)])
    secret = PickleSerializer(secret=KEY)
    nan = numpy.float64("nan")
    assert secret.dumps(nan) == secret.dumps(-nan)
    for item in SCALARS:
        back = secret.loads(secret.dumps(item))
        assert (type(back), back) == (type(item), item)
    for refused in (numpy.datetime64("2024-01-01"), numpy.longdouble(1), numpy.timedelta64(1, "s")):
        with pytest.raises(InvalidTypeError, match=r"of numpy can't be kept; pass"):
            secret.dumps(refused)


def test_the_advice_for_what_a_function_makes_is_no_class() -> None:
    class Made:
        def __reduce__(self) -> Any:
            return pickle.loads, (b"N.",)

    made = PickleSerializer(allow=[Made])
    with pytest.raises(InvalidTypeError, match="needs secret= and no allow="):
        made.dumps(Made())
