"""What the errors of serializers advise works: each advice is followed, and the item comes back."""

import datetime
import fractions
import ipaddress
import pathlib
import re
import types
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from redset.codecs import JSONSerializer, MsgpackSerializer, PickleSerializer, ValueSerializer
from redset.exceptions import InvalidTypeError, InvalidValueError

KEY = b"0123456789abcdef"


@dataclass(frozen=True)
class Point:
    x: Any


class Colour(Enum):
    RED = 1


class Plain:
    """It equals nothing but itself."""


class Outer:
    @dataclass(frozen=True)
    class Inner:
        x: int


def made_inside() -> object:
    @dataclass(frozen=True)
    class Local:
        x: int

    return Local(1)


ITEMS: dict[str, Any] = {
    "dataclass": Point(1),
    "inner class": Outer.Inner(1),
    "local class": made_inside(),
    "enum": Colour.RED,
    "no __eq__": Plain(),
    "object": object(),
    "function": made_inside,
    "lambda": lambda: 1,
    "class": Plain,
    "module": re,
    "pattern": re.compile("a"),
    "address": ipaddress.ip_address("127.0.0.1"),
    "path": pathlib.PurePath("/a"),
    "Windows path": pathlib.PureWindowsPath("/a"),
    "range": range(3),
    "ellipsis": ...,
    "not implemented": NotImplemented,
    "bound method": "a".upper,
    "code": made_inside.__code__,
    "exception": ValueError("a"),
    "zone": datetime.UTC,
    "array": np.array([1]),
    "long float": np.longdouble(1) / 3,
    "no time": np.datetime64("NaT", "s"),
    "years": np.timedelta64(3, "Y"),
    "record": np.zeros(1, dtype=[("a", "i4")])[0],
    "slice": slice(1),
    "namespace": types.SimpleNamespace(a=1),
    "document": {"a": [1, None]},
    "document with more": {"a": [(1,), {2}]},
    "tuple with a list": (1, [2]),
    "odd keys": {1: 2, (1, 2): 3, None: 4},
    "bytes": b"a",
    "nan": float("nan"),
    "surrogate": "\ud800",
    "decimal": Decimal(1),
    "fraction": fractions.Fraction(1, 2),
    "uuid": UUID(int=1),
    "date": datetime.date(2020, 1, 1),
    "large int": 10**4_000,
}


def registered(kind: type) -> MsgpackSerializer:
    """A serializer with that type registered, here with an object of it by its number."""
    kept: list[Any] = []

    def dumps(item: Any) -> int:
        kept.append(item)
        return len(kept) - 1

    return MsgpackSerializer([(kind, 1, dumps, lambda place: kept[place])])


# What an advice says, and the serializer of those who follow it for an item.
ADVICE: dict[str, Callable[[Any], Any]] = {
    "PickleSerializer(allow=": lambda item: PickleSerializer(allow=[type(item)]),
    "MsgpackSerializer()": lambda _: MsgpackSerializer(),
    "type registered": lambda item: registered(type(item)),
    "register it": lambda item: registered(type(item)),
}


@pytest.mark.parametrize(
    "serializer",
    [ValueSerializer(), JSONSerializer(), MsgpackSerializer()],
    ids=["values", "json", "msgpack"],
)
@pytest.mark.parametrize("name", ITEMS)
def test_doing_what_an_error_advises_works(name: str, serializer: Any) -> None:
    item = ITEMS[name]
    try:
        serializer.dumps(item)
    except (InvalidTypeError, InvalidValueError) as error:
        words = str(error)
    else:
        return
    followed = [make(item) for advice, make in ADVICE.items() if advice in words]
    assert followed, words
    for other in followed:
        found = other.loads(other.dumps(item))
        assert type(found) is type(item), words
        assert name in ("nan", "no time") or found == item, words


def test_what_a_pickle_lacks_in_allow_is_named_and_may_be_added() -> None:
    item = Point(Outer.Inner(1))
    with pytest.raises(InvalidTypeError, match=r"needs Outer\.Inner in allow="):
        PickleSerializer(allow=[Point]).dumps(item)
    both = PickleSerializer(allow=[Point, Outer.Inner])
    assert both.loads(both.dumps(item)) == item
    secret = PickleSerializer(secret=KEY)
    assert secret.loads(secret.dumps(item)) == item


@pytest.mark.parametrize(
    "settings", [{}, {"allow": [np.int64]}, {"secret": KEY, "allow": [np.int64]}]
)
def test_what_a_pickle_of_a_scalar_of_numpy_needs_works(settings: Any) -> None:
    item = np.int64(1)
    with pytest.raises(InvalidTypeError, match="int64 of numpy needs secret= and no allow="):
        PickleSerializer(**settings).dumps(item)
    found = PickleSerializer(secret=KEY).loads(PickleSerializer(secret=KEY).dumps(item))
    assert (type(found), found) == (np.int64, 1)
