"""Pickles are canonical, and what a stranger wrote is data or an error, never code."""

import io
import math
import os
import pickle
import subprocess
import sys
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, timedelta
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from typing import Any, ClassVar, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redset.codecs import PickleSerializer, _scalars
from redset.exceptions import InvalidTypeError, InvalidValueError, SerializerError
from tests.unit.codecs.strategies import documents, mutated, shuffled, typed


class Kind(Enum):
    PAGE = 1


@dataclass
class Job:
    url: str
    tags: set[str] = field(default_factory=set)
    options: dict[str, Any] = field(default_factory=dict)


class Slotted:
    __slots__ = ("x",)

    def __init__(self, x: Any) -> None:
        self.x = x


class Stateful:
    def __init__(self, x: int) -> None:
        self.x = x

    def __getstate__(self) -> tuple[int]:
        return (self.x,)

    def __setstate__(self, state: tuple[int]) -> None:
        (self.x,) = state


class Other:
    pass


class Guarded:
    """What a stranger's attributes must not reach: methods, a property's setter, a slot."""

    __slots__ = ("__dict__", "slot")
    called: ClassVar[list[str]] = []

    def append(self, value: Any) -> None:
        self.called.append("append")

    @property
    def watched(self) -> int:
        return 1

    @watched.setter
    def watched(self, value: int) -> None:
        self.called.append("setter")


class Row(tuple[Any, ...]):
    pass


class Token(bytes):
    pass


class Price(Decimal):
    pass


class Call(NamedTuple):
    numbers: range


@dataclass(frozen=True)
class Branch:
    parts: frozenset["Branch"] = frozenset()


ALLOW = [Job, Kind, Slotted, Stateful, deque, OrderedDict, defaultdict, list]
GUARDED = PickleSerializer(allow=[Guarded, Call, deque, Counter, Row, Token, Price, Branch])
PLAIN, ALLOWING = PickleSerializer(), PickleSerializer(allow=ALLOW)
SECRET = PickleSerializer(secret=b"0123456789abcdef")


@pytest.mark.law
@given(documents, documents)
def test_equal_items_of_equal_types_pickle_equally(one: Any, other: Any) -> None:
    assert PLAIN.dumps(one) == PLAIN.dumps(shuffled(one))
    assert (PLAIN.dumps(one) == PLAIN.dumps(other)) == (typed(one) == typed(other))
    assert typed(PLAIN.loads(PLAIN.dumps(one))) == typed(one)
    assert typed(SECRET.loads(SECRET.dumps(one))) == typed(one)


def test_shared_parts_make_no_difference() -> None:
    text, copy = "ab" * 50, "".join(["ab"] * 50)
    assert text is not copy
    assert PLAIN.dumps((text, text)) == PLAIN.dumps((text, copy))
    shared = [1]
    assert PLAIN.loads(PLAIN.dumps([shared, shared])) == [[1], [1]]


def test_the_order_of_attributes_sets_and_keys_makes_no_difference() -> None:
    one, other = Job("u", {"x", "y"}, {"a": 1, "b": 2}), Job("u", {"y", "x"}, {"b": 2, "a": 1})
    other.__dict__ = dict(reversed(other.__dict__.items()))
    assert ALLOWING.dumps(one) == ALLOWING.dumps(other)
    assert SECRET.dumps(one) == SECRET.dumps(other)


@pytest.mark.parametrize(
    "item",
    [
        Job("u", {"x"}, {"a": [Kind.PAGE]}),
        Kind.PAGE,
        deque([1, {2}], maxlen=3),
        OrderedDict(b=1, a=2),
        defaultdict(list, {"a": [1]}),
        range(2, 9, 3),
        UTC,
        {"a": bytearray(b"x"), (1, frozenset({2})): {3}},
    ],
    ids=repr,
)
def test_objects_of_allowed_classes_come_back(item: Any) -> None:
    for serializer in (ALLOWING, SECRET):
        back = serializer.loads(serializer.dumps(item))
        assert (type(back), back) == (type(item), item)


def test_objects_with_slots_or_a_state_of_their_own_come_back() -> None:
    assert ALLOWING.loads(ALLOWING.dumps(Slotted([1]))).x == [1]
    assert ALLOWING.loads(ALLOWING.dumps(Stateful(5))).x == 5


def test_an_ordered_dict_keeps_its_order() -> None:
    assert ALLOWING.dumps(OrderedDict(b=1, a=2)) != ALLOWING.dumps(OrderedDict(a=2, b=1))


def test_equal_ranges_pickle_equally() -> None:
    assert PLAIN.dumps([range(0), range(0, 3, 2)]) == PLAIN.dumps([range(5, 1), range(0, 4, 2)])


@pytest.mark.parametrize("item", [Other(), Other, os.system, [Other()], print], ids=range(5))
def test_what_is_not_allowed_is_refused_by_name_when_it_is_written(item: Any) -> None:
    with pytest.raises(InvalidTypeError, match=r"Other|system|print"):
        ALLOWING.dumps(item)


def test_a_secret_lets_any_class_pass() -> None:
    assert type(SECRET.loads(SECRET.dumps(Other()))) is Other


def test_what_pickle_can_not_take_is_a_type_error() -> None:
    with pytest.raises(InvalidTypeError, match="can't be pickled"):
        SECRET.dumps(lambda: None)


class Loop:
    def __init__(self) -> None:
        self.me = self


def test_items_that_contain_themselves_are_refused_without_a_crash() -> None:
    endless: list[Any] = []
    endless.append(endless)
    for item in (endless, Loop(), {"a": [Loop()]}):
        with pytest.raises(InvalidValueError, match="contain itself"):
            SECRET.dumps(item)


def test_two_nan_keys_are_refused() -> None:
    with pytest.raises(InvalidValueError, match="nan"):
        PLAIN.dumps({float("nan"): 1, -math.nan: 2})


def unshared(item: Any) -> bytes:
    """Return a pickle without references, as only such are read."""
    file = io.BytesIO()
    pickler = pickle.Pickler(file, 5)
    pickler.fast = True
    pickler.dump(item)
    return file.getvalue()


class Exploit:
    def __init__(self, *call: Any) -> None:
        self.call = call

    def __reduce__(self) -> Any:
        return self.call[0], self.call[1:]


def global_of(module: str, name: str) -> bytes:
    return b"".join(
        b"\x8c%c%b" % (len(text), text.encode()) for text in (module, name)
    ) + b"\x93"  # fmt: skip


JOB = global_of(Job.__module__, "Job")
HOSTILE = {
    "call": unshared(Exploit(os.system, "exit 1")),
    "call of eval": unshared(Exploit(eval, "1")),
    "call of getattr": unshared(Exploit(getattr, Job, "__init__")),
    "class": unshared(Other()),
    "dotted name": b"\x80\x04" + global_of(Job.__module__, "Job.__init__") + b".",
    "extension registry": b"\x80\x02\x82\x01.",
    "persistent id": b"\x80\x02Pid\n.",
    "instance": b"(ios\nsystem\n.",
    "state of a class": b"\x80\x04" + JOB + b"}\x8c\x01xK\x01sb.",
    "item of a class": b"\x80\x04" + JOB + b"K\x01K\x02s.",
    "append to a class": b"\x80\x04" + JOB + b"K\x01a.",
    "maker as an item": b"\x80\x04" + global_of("builtins", "set") + b".",
    "call of data": b"\x80\x04K\x01)R.",
    "slot with a dunder name": b"\x80\x04" + JOB + b")\x81N}\x8c\x09__class__K\x01s\x86b.",
    "zeros without end": unshared(Exploit(bytearray, 10**13)),
    "set of a range": unshared(Exploit(set, range(10**15))),
    "power of ten": unshared(Exploit(Fraction, "1e999999999")),
    "memo without end": b"\x80\x02K\x01r\xff\xff\xff\x7fj\xff\xff\xff\x7e.",
    "bytes without end": b"\x80\x05\x8e" + b"\xff" * 7 + b"\x7f.",
    "bytearray without end": b"\x80\x05\x96" + b"\xff" * 7 + b"\x7f.",
    "deep tuple as a key": b"\x80\x02})" + b"\x85" * 200_000 + b"Ns.",
    "tuples shared without end": b"\x80\x02)q\x00" + b"h\x00h\x00\x86q\x00" * 100 + b".",
    "month 255": b"\x80\x04" + global_of("datetime", "date") + b"C\x04\x07\xe8\xff\x01\x85R.",
    "nothing": b".",
    "mark": b"(.",
    "two items": b"K\x01K\x02.",
    "no stop": b"K\x01",
    "empty stack": b"\x85.",
    "empty": b"",
}  # fmt: skip


@pytest.mark.parametrize("member", HOSTILE.values(), ids=HOSTILE)
def test_hostile_pickles_are_an_error_and_change_nothing(member: bytes) -> None:
    before = dict(vars(Job))
    for serializer in (PLAIN, ALLOWING, SECRET):
        with pytest.raises(SerializerError, match="PickleSerializer can't read member"):
            serializer.loads(member)
    assert dict(vars(Job)) == before


def state_of(cls: type, state: Any) -> bytes:
    """Return a pickle of a bare object of *cls* with *state*, as a stranger would write one."""
    body = unshared(state).partition(b"\x95")[2][8:-1]
    name = global_of(cls.__module__, cls.__qualname__)
    return b"\x80\x05" + name + b")\x81" + body + b"b."


@pytest.mark.parametrize(
    "member",
    [
        state_of(Guarded, {"__setstate__": deque}),
        state_of(Guarded, {"__reduce_ex__": 1}),
        state_of(Guarded, {"append": 1}),
        state_of(Guarded, {"watched": 1}),
        state_of(Guarded, {"slot": 1}),
        state_of(Guarded, (None, {"watched": 1})),
        state_of(Guarded, (None, {"append": 1})),
        state_of(Guarded, (None, {"__class__": 1})),
        state_of(Guarded, (None, {"no such": 1})),
    ],
    ids=range(9),
)
def test_a_state_replaces_no_method_and_runs_no_setter(member: bytes) -> None:
    with pytest.raises(SerializerError, match="Guarded"):
        GUARDED.loads(member)
    assert Guarded.called == []


def test_a_state_sets_attributes_and_slots() -> None:
    item: Any = Guarded()
    item.free, item.slot = 1, 2
    back = GUARDED.loads(GUARDED.dumps(item))
    assert (back.free, back.slot) == (1, 2)


@pytest.mark.parametrize(
    "call",
    [
        Exploit(deque, range(2**62)),
        Exploit(Counter, range(2**62)),
        Exploit(Row, range(10**9)),
        Exploit(Token, 10**12),
        Exploit(Price, 1 << 3_000_000),
        Exploit(Decimal, 1 << 100_000),
        Exploit(range, 1 << 5000),
        Exploit(timedelta, 1.5),
    ],
    ids=lambda call: f"{call.call[0].__name__}",
)
def test_little_makes_not_much(call: Exploit) -> None:
    """An argument that a constructor would expand is refused before it is called."""
    with pytest.raises(SerializerError):
        GUARDED.loads(unshared(call))


@pytest.mark.parametrize("item", [Call(range(10**9)), deque([range(10**9)]), Row([range(2**70)])])
def test_a_range_is_a_value_like_others_where_it_is_kept(item: Any) -> None:
    assert GUARDED.loads(GUARDED.dumps(item)) == item


@pytest.mark.parametrize(
    "item",
    [range(1 << 2000), deque([range(1 << 2000)])],
    ids=["range", "in a deque"],
)
def test_what_could_not_be_read_is_not_written(item: Any) -> None:
    with pytest.raises(InvalidValueError, match="1024 bits"):
        GUARDED.dumps(item)


def test_ranges_longer_than_len_can_say_are_kept() -> None:
    for item in (range(10**30), range(10**30, 0, -3), range(-(10**30), 10**30, 10**29)):
        assert PLAIN.loads(PLAIN.dumps(item)) == item
    assert PLAIN.dumps(range(0, 10**30, 2)) == PLAIN.dumps(range(0, 10**30 - 1, 2))


def test_a_signaling_nan_is_refused_both_ways() -> None:
    with pytest.raises(InvalidTypeError, match="signaling"):
        PLAIN.dumps(Decimal("sNaN"))
    with pytest.raises(SerializerError, match="signaling"):
        PLAIN.loads(unshared(Exploit(_scalars.restore, "d", "sNaN")))


COLLIDING = [number * (2**61 - 1) for number in range(2_000)]


@pytest.mark.parametrize(
    "item",
    [set(COLLIDING), frozenset(COLLIDING), dict.fromkeys(COLLIDING)],
    ids=["set", "frozenset", "dict"],
)
def test_a_crowd_of_one_hash_is_refused_both_ways(item: Any) -> None:
    with pytest.raises(InvalidValueError, match="same hash"):
        PLAIN.dumps(item)
    made_of_a_list = Exploit(type(item), list(item))
    with pytest.raises(SerializerError, match="same hash"):
        PLAIN.loads(unshared(item if type(item) is dict else made_of_a_list))


def test_with_a_secret_and_classes_both_hold() -> None:
    both = PickleSerializer(allow=[Job], secret=b"0123456789abcdef")
    assert both.loads(both.dumps(Job("u"))) == Job("u")
    with pytest.raises(SerializerError, match="Other is not allowed"):
        both.loads(SECRET.dumps(Other()))
    with pytest.raises(InvalidTypeError, match="Other"):
        both.dumps(Other())
    with pytest.raises(SerializerError, match="not made with this secret"):
        both.loads(ALLOWING.dumps(Job("u")))


def test_objects_in_sets_in_objects_are_written_in_linear_time() -> None:
    """Each level was written twice: 2**60 times the innermost."""
    item = Branch()
    for _ in range(60):
        item = Branch(frozenset({item, Branch()}))
    assert GUARDED.loads(GUARDED.dumps(item)) == item


def in_lists(item: Any) -> Any:
    for _ in range(30):
        item = [item]
    return item


@pytest.mark.parametrize(
    "wrap",
    [
        lambda item: Job("u", options={"a": item}),
        Slotted,
        lambda item: Slotted(in_lists(item)),
        lambda item: OrderedDict({"a": item}),
        lambda item: deque([item]),
        lambda item: {"a": deque([(item,)])},
    ],
    ids=["dataclass", "slots", "in lists", "OrderedDict", "deque", "in a tuple"],
)
def test_objects_nested_deeper_than_can_be_read_are_not_written(
    wrap: Callable[[Any], Any],
) -> None:
    """A process that takes such a member would put it aside as undecodable."""
    item: Any = 1
    for _ in range(300):
        item = wrap(item)
        try:
            member = ALLOWING.dumps(item)
        except InvalidValueError as error:
            assert "deep" in str(error)  # noqa: PT017 - the first objects are accepted
            return
        ALLOWING.loads(member)


def test_pickles_by_pickle_itself_are_other_bytes_and_so_refused() -> None:
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        for item in ({"a": [1]}, [1, "a"], ("same", "same"), Job("u")):
            with pytest.raises(SerializerError):
                ALLOWING.loads(pickle.dumps(item, protocol))


@given(
    st.one_of(
        st.binary(),
        documents.map(PLAIN.dumps).flatmap(mutated),
        documents.map(pickle.dumps).flatmap(mutated),
        st.text(alphabet=".()]}[NKhbRsaeut\x80\x81\x85\x86\x93\x8c\x94", max_size=40).map(
            lambda text: text.encode("latin-1")
        ),
    )
)
def test_any_bytes_are_an_item_or_an_error(member: bytes) -> None:
    for serializer in (PLAIN, ALLOWING, SECRET):
        try:
            item = serializer.loads(member)
        except SerializerError:
            continue
        assert serializer.dumps(item) == member


@given(documents.map(SECRET.dumps).flatmap(mutated), documents)
def test_a_member_that_was_not_made_with_the_secret_is_never_unpickled(
    member: bytes, item: Any
) -> None:
    with pytest.raises(SerializerError, match="not made with this secret"):
        PickleSerializer(secret=b"another secret of 16").loads(member)
    with pytest.raises(SerializerError, match="not made with this secret"):
        SECRET.loads(PLAIN.dumps(item))


def test_the_repr_shows_no_secret() -> None:
    assert (
        repr(PickleSerializer([Job], b"hidden" * 3)) == "PickleSerializer(allow=[Job], secret=...)"
    )


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(InvalidTypeError, match="allow must hold classes"):
        PickleSerializer(allow=["Job"])  # type: ignore[list-item]
    with pytest.raises(InvalidTypeError, match="secret must be bytes"):
        PickleSerializer(secret="text")  # type: ignore[arg-type]
    for short in (b"", b"x", b"x" * 15):
        with pytest.raises(InvalidValueError, match=f"16 bytes or more, got {len(short)}"):
            PickleSerializer(secret=short)


def test_bytes_are_the_same_in_every_process() -> None:
    program = (
        "from redset.codecs import PickleSerializer as P\n"
        "print(P().dumps([{'a', 'b', 'c', (1, 'x')}, {'z': frozenset('qwertz'), 'a': {1, 'b'}}]))"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "2")
    }
    assert len(outputs) == 1


@pytest.mark.parametrize("bottom", [1, "", None, 0.5, [], (), {}, [1], {"a": 1}, {1}], ids=repr)
def test_what_is_nested_101_deep_is_refused_whatever_is_at_the_bottom(bottom: Any) -> None:
    for wrap in (lambda item: [item], lambda item: (item,), lambda item: {"a": item}):
        item = bottom
        depth = 1 if bottom and isinstance(bottom, list | dict | set) else 0
        while depth < 100:
            item, depth = wrap(item), depth + 1
        assert PLAIN.loads(PLAIN.dumps(item)) == item
        with pytest.raises(InvalidValueError, match="deep"):
            PLAIN.dumps(wrap(item))
