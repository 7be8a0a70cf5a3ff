"""One item has one pickle: no bytes but those that are written are read as an equal item."""

import pickle
import random
from collections import OrderedDict, deque
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from typing import Any
from uuid import UUID

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from redset.codecs import PickleSerializer
from redset.codecs.pickle import _Writing
from redset.exceptions import SerializerError
from tests.unit.codecs.strategies import documents, typed

MUTANTS = 400  # of each item


class Kind(Enum):
    PAGE = 1


@dataclass
class Job:
    url: Any = ""
    size: Any = 0
    note: Any = field(default=None, compare=False)


@dataclass
class Wide:
    url: Any = ""
    size: Any = 0


@dataclass(frozen=True, slots=True)
class Slot:
    left: Any = None
    right: Any = None


@attrs.frozen(cache_hash=True)
class Point:
    x: Any = 0
    y: Any = 0


class Plain:
    size = 0

    def __init__(self, size: Any) -> None:
        self.size = size

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Plain) and bool(self.size == other.size)

    __hash__ = None  # type: ignore[assignment]


ALLOW = [Kind, Job, Wide, Slot, Point, Plain, deque, OrderedDict]
SERIALIZER = PickleSerializer(allow=ALLOW)


def content(item: Any) -> Any:
    """What makes *item* the item that it is, with the types of all that is in it."""
    if is_dataclass(item):
        names = [each.name for each in fields(item) if each.compare]
    elif isinstance(item, Point | Plain):
        names = ["x", "y"] if isinstance(item, Point) else ["size"]
    elif isinstance(item, deque):
        return deque, item.maxlen, content(list(item))
    elif isinstance(item, list | tuple):
        return type(item), [content(each) for each in item]
    else:
        return typed(item)
    return type(item), [content(getattr(item, name, None)) for name in names]


def mutant(member: bytes, luck: random.Random) -> bytes:
    start = luck.randrange(len(member) + 1)
    end = min(len(member), start + luck.randrange(5))
    kind = luck.randrange(6)
    if kind == 0:
        new = luck.randbytes(luck.randrange(5))
    elif kind == 1:
        new = member[start:end] * luck.choice([0, 2, 3])
    elif kind == 2:
        new = bytes(each ^ (1 << luck.randrange(8)) for each in member[start:end])
    elif kind == 3:
        new = bytes(luck.choice(b"(NK\x88\x89)]}at\x85\x86ues.h\x94\x8c\x95\x00") for _ in "ab")
    elif kind == 4:
        other = luck.randrange(len(member) + 1)
        new = member[other : other + end - start]
    else:
        return framed(mutant(member[11:], luck)) if len(member) > 12 else member + b"."
    return member[:start] + new + member[end:]


def framed(body: bytes) -> bytes:
    """Return a member with a frame of the right length."""
    return b"\x80\x05\x95" + len(body).to_bytes(8, "little") + body


values = st.one_of(documents, st.sampled_from([0, 1, True, 0.0, 1.0, "", "a", None, (), []]))
items = st.one_of(
    values,
    st.sampled_from(Kind),
    st.builds(Job, values, values, values),
    st.builds(Slot, values, values),
    st.builds(Point, values, values),
    st.builds(Plain, values),
    st.builds(deque, st.lists(values, max_size=3), st.sampled_from([None, 5])),
    st.lists(st.builds(Job, values, values), max_size=3),
)


@pytest.mark.law
@given(items, st.integers(0, 2**32))
def test_no_mutant_of_a_member_is_read_as_an_equal_item(item: Any, seed: int) -> None:
    member = SERIALIZER.dumps(item)
    assert content(SERIALIZER.loads(member)) == content(item)
    luck = random.Random(seed)
    for _ in range(MUTANTS):
        changed = mutant(member, luck)
        try:
            read = SERIALIZER.loads(changed)
        except SerializerError:
            continue
        assert changed == member or content(read) != content(item), changed
        assert SERIALIZER.dumps(read) == changed


VARIANTS: dict[str, tuple[Any, bytes, bytes]] = {
    "integer of four bytes": ([1, 2], b"K\x01", b"J\x01\x00\x00\x00"),
    "integer of two bytes": ([1, 2], b"K\x01", b"M\x01\x00"),
    "long integer": ([1, 2], b"K\x01", b"\x8a\x01\x01"),
    "integer in digits": ([1, 2], b"K\x01", b"I1\n"),
    "padded integer": ([2**80], b"\x8a\x0b" + (2**80).to_bytes(11, "little"),
                       b"\x8a\x0c" + (2**80).to_bytes(12, "little")),
    "long text": (["abc"], b"\x8c\x03abc", b"X\x03\x00\x00\x00abc"),
    "longer text": (["abc"], b"\x8c\x03abc", b"\x8d\x03" + bytes(7) + b"abc"),
    "long bytes": ([b"abc"], b"C\x03abc", b"B\x03\x00\x00\x00abc"),
    "items one by one": ([1, 2], b"(K\x01K\x02e", b"K\x01aK\x02a"),
    "items as a row of one": (["abc"], b"\x8c\x03abca", b"(\x8c\x03abce"),
    "no items": (["abc"], b"\x8c\x03abca", b"(e\x8c\x03abca"),
    "pair with a mark": ((1, 2), b"K\x01K\x02\x86", b"(K\x01K\x02t"),
    "empty tuple with a mark": ([()], b")", b"(t"),
    "keys one by one": ({"a": 1, "b": 2}, b"(\x8c\x01aK\x01\x8c\x01bK\x02u",
                        b"\x8c\x01aK\x01s\x8c\x01bK\x02s"),
    "keys in another order": ({"a": 1, "b": 2}, b"\x8c\x01aK\x01\x8c\x01bK\x02",
                              b"\x8c\x01bK\x02\x8c\x01aK\x01"),
    "a key twice": ({"a": 1, "b": 2}, b"(\x8c\x01a", b"(\x8c\x01aK\x01\x8c\x01a"),
    "elements in another order": ({1, 2}, b"K\x01K\x02", b"K\x02K\x01"),
    "an element twice": ({1, 2}, b"K\x01K\x02", b"K\x01K\x02K\x02"),
    "the other zero": ([0.0], b"G" + bytes(8), b"G\x80" + bytes(7)),
    "a longer range": ([range(0, 4, 2)], b"K\x04", b"K\x03"),
    "another decimal": ([Decimal("1.5")], b"\x8c\x031.5", b"\x8c\x041.50"),
    "a fraction to reduce": ([Fraction(1, 3)], b"\x8c\x031/3", b"\x8c\x032/6"),
    "another offset": ([datetime(2024, 1, 1, 12, tzinfo=UTC)], b"\x8c\x192024-01-01T12:00:00+00:00",
                       b"\x8c\x192024-01-01T13:00:00+01:00"),
    "another version": ([1, 2], b"]", b"\x80\x04]"),
    "a frame in a frame": ([1, 2], b"]", b"\x95" + bytes(8) + b"]"),
    "a memo": ([1, 2], b"]", b"]\x94"),
    "an attribute twice": (Plain(5), b"\x8c\x04sizeK\x05s",
                           b"\x8c\x04sizeK\x05s\x8c\x04sizeK\x05s"),
    "no state": (Plain(0), b"}\x8c\x04sizeK\x00sb", b"}b"),
    "state twice": (Plain(5), b"}\x8c\x04sizeK\x05sb", b"}\x8c\x04sizeK\x05sb}b"),
    "made by a call": (Plain(5), b")\x81}\x8c\x04sizeK\x05sb", b"K\x05\x85R"),
    "a value that isn't kept": (Job("u"), b"\x8c\x04sizeK\x00",
                                b"\x8c\x04noteK\x00\x8c\x04sizeK\x00"),
    "an attribute by another name": (Plain(0), b"\x8c\x04size", b"\x8c\x04sine"),
    "another attribute": (Slot(1, 2), b"K\x01K\x02e", b"K\x01K\x02K\x03e"),
    "something after the end": ([1, 2], b"e.", b"e.."),
    "something else after the end": ([1, 2], b"e.", b"e.N."),
}  # fmt: skip


@pytest.mark.parametrize(("item", "old", "new"), VARIANTS.values(), ids=VARIANTS)
def test_another_way_to_write_an_item_is_refused(item: Any, old: bytes, new: bytes) -> None:
    member = SERIALIZER.dumps(item)
    body = member[11:]
    assert framed(body) == member
    assert body.count(old) == 1
    with pytest.raises(SerializerError):
        SERIALIZER.loads(framed(body.replace(old, new)))


def test_no_other_frame_is_read() -> None:
    member = SERIALIZER.dumps([1, "abc"])
    body = member[11:]
    others = [
        b"\x80\x05" + body,
        b"\x80\x04" + member[2:],
        b"\x80\x05\x95" + bytes(8) + body,
        member[:3] + b"\xff" * 8 + body,
        member[:3] + (len(body) + 1).to_bytes(8, "little") + body,
        member[:3] + (len(body) - 1).to_bytes(8, "little") + body,
        member[:11] + b"]0" + body,
        member + b".",
        member[2:],
    ]
    for other in others:
        with pytest.raises(SerializerError):
            SERIALIZER.loads(other)


@pytest.mark.parametrize("size", [60_000, 70_000, 200_000])
def test_long_members_in_several_frames_come_back(size: int) -> None:
    for item in (
        list(range(size)),
        {number: str(number) for number in range(size // 10)},
        ["x" * size, "y", "x" * size],
        [Job("u" * (size // 10), number) for number in range(20)],
    ):
        member = SERIALIZER.dumps(item)
        assert SERIALIZER.loads(member) == item


@given(st.text(st.characters(codec=None, exclude_categories=()), max_size=70))
def test_short_texts_are_sorted_by_what_pickle_writes(text: str) -> None:
    assert _Writing(()).key(text) == _Writing(()).dumps(text)


# What an earlier PickleSerializer wrote, which must be read for ever.
WRITTEN: list[tuple[Any, bytes]] = [
    ([None, True, 1, 300, -5, 2**70, 0.5, "é", b"b", bytearray(b"c")],
     b'\x80\x05\x955\x00\x00\x00\x00\x00\x00\x00](N\x88K\x01M,\x01J\xfb\xff\xff\xff\x8a'
     b'\t\x00\x00\x00\x00\x00\x00\x00\x00@G?\xe0\x00\x00\x00\x00\x00\x00\x8c\x02\xc3\xa9'
     b'C\x01b\x96\x01\x00\x00\x00\x00\x00\x00\x00ce.'),
    ({"b": (1, (), {2, 3}), "a": frozenset({"x", "y"})},
     b'\x80\x05\x95H\x00\x00\x00\x00\x00\x00\x00}(\x8c\x01a\x8c\x08builtins\x8c\tfrozens'
     b'et\x93](\x8c\x01x\x8c\x01ye\x85R\x8c\x01bK\x01)\x8c\x08builtins\x8c\x03set\x93](K'
     b'\x02K\x03e\x85R\x87u.'),
    ([Decimal("1.5"), Fraction(1, 3), UUID(int=5), 1j, range(2, 9, 3), UTC],
     b'\x80\x05\x954\x01\x00\x00\x00\x00\x00\x00](\x8c\x16redset.codecs._scalars\x8c\x07'
     b'restore\x93\x8c\x01d\x8c\x031.5\x86R\x8c\x16redset.codecs._scalars\x8c\x07restore'
     b'\x93\x8c\x01q\x8c\x031/3\x86R\x8c\x16redset.codecs._scalars\x8c\x07restore\x93'
     b'\x8c\x01u\x8c$00000000-0000-0000-0000-000000000005\x86R\x8c\x16redset.codecs._sca'
     b'lars\x8c\x07restore\x93\x8c\x01c\x8c\x070.0,1.0\x86R\x8c\x08builtins\x8c\x05range'
     b'\x93K\x02K\x0bK\x03\x87R\x8c\x08datetime\x8c\x08timezone\x93\x8c\x16redset.codecs'
     b'._scalars\x8c\x07restore\x93\x8c\x01e\x8c\x010\x86R\x85Re.'),
    ([datetime(2024, 1, 1, 12, tzinfo=UTC), date(2024, 1, 1), time(1), timedelta(1)],
     b'\x80\x05\x95\xde\x00\x00\x00\x00\x00\x00\x00](\x8c\x16redset.codecs._scalars\x8c'
     b'\x07restore\x93\x8c\x01D\x8c\x192024-01-01T12:00:00+00:00\x86R\x8c\x16redset.code'
     b'cs._scalars\x8c\x07restore\x93\x8c\x01a\x8c\n2024-01-01\x86R\x8c\x16redset.codecs'
     b'._scalars\x8c\x07restore\x93\x8c\x01T\x8c\x0801:00:00\x86R\x8c\x16redset.codecs._'
     b'scalars\x8c\x07restore\x93\x8c\x01e\x8c\x0b86400000000\x86Re.'),
    ([Kind.PAGE, Slot(1, "r"), Plain([1])],
     b'\x80\x05\x95\xad\x00\x00\x00\x00\x00\x00\x00](\x8c%tests.unit.codecs.test_pickle_'
     b'members\x8c\x04Kind\x93K\x01\x85R\x8c%tests.unit.codecs.test_pickle_members\x8c'
     b'\x04Slot\x93)\x81](K\x01\x8c\x01reb\x8c%tests.unit.codecs.test_pickle_members\x8c'
     b'\x05Plain\x93)\x81}\x8c\x04size]K\x01asbe.'),
    (deque([1], 3),
     b'\x80\x05\x95\x1e\x00\x00\x00\x00\x00\x00\x00\x8c\x0bcollections\x8c\x05deque\x93)'
     b'K\x03\x86RK\x01a.'),
    (OrderedDict(b=1, a=2),
     b'\x80\x05\x95*\x00\x00\x00\x00\x00\x00\x00\x8c\x0bcollections\x8c\x0bOrderedDict'
     b'\x93)R(\x8c\x01bK\x01\x8c\x01aK\x02u.'),
    (Point(1, 2),
     b'\x80\x05\x95@\x00\x00\x00\x00\x00\x00\x00\x8c%tests.unit.codecs.test_pickle_membe'
     b'rs\x8c\x05Point\x93)\x81}(\x8c\x01xK\x01\x8c\x01yK\x02ub.'),
    (Job("u", 1),
     b'\x80\x05\x95c\x00\x00\x00\x00\x00\x00\x00\x8c\x17redset.codecs._identity\x8c\x04m'
     b'ade\x93\x8c%tests.unit.codecs.test_pickle_members\x8c\x03Job\x93}(\x8c\x03url\x8c'
     b'\x01u\x8c\x04sizeK\x01u\x86R.'),
]  # fmt: skip


@pytest.mark.parametrize(("item", "member"), WRITTEN, ids=range(len(WRITTEN)))
def test_members_of_before_are_read_and_written_alike(item: Any, member: bytes) -> None:
    assert content(SERIALIZER.loads(member)) == content(item)
    assert SERIALIZER.dumps(item) == member


@pytest.mark.parametrize("item", [Job("u"), Wide("u")], ids=repr)
def test_an_object_from_before_a_field_was_added_is_read(item: Any) -> None:
    whole = SERIALIZER.dumps(item)
    del item.size
    member = SERIALIZER.dumps(item)
    back = SERIALIZER.loads(member)
    assert member != whole
    assert vars(back) == vars(item)


def test_what_pickle_writes_is_read_where_a_secret_vouches_for_it() -> None:
    """Members of a class's earlier version stay readable: the HMAC says that they were written."""
    secret = b"0123456789abcdef"
    signed = PickleSerializer(secret=secret)
    both = PickleSerializer(allow=ALLOW, secret=secret)
    payload = SERIALIZER.dumps([1, 2])[11:]
    for serializer in (signed, both):
        assert serializer.loads(serializer._digest(payload) + payload) == [1, 2]
    assert pickle.loads(payload) == [1, 2]
