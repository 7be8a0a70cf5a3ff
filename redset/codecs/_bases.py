"""Base types: an instance of a subclass as the value of Python's own type that it equals.

A subclass that keeps ``==`` may override any other method. So only methods of the base type are
called here, never those of the instance.
"""

from collections import OrderedDict, defaultdict, namedtuple
from collections.abc import Callable, Iterable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID

from redset._support.subclasses import static
from redset._support.words import shown
from redset.exceptions import UncertainItemError


def _datetime(moment: datetime) -> datetime:
    return datetime.combine(datetime.date(moment), datetime.timetz(moment))


def _collection(base: Any) -> Callable[[Any], Any]:
    return lambda item: base(base.__iter__(item))


_CONVERTERS: dict[type, Callable[[Any], Any]] = {
    str: str.__str__,
    bytes: bytes.__bytes__,
    bytearray: lambda item: bytearray.__getitem__(item, slice(None)),
    int: int.__int__,
    float: float.__float__,
    complex: complex.__complex__,
    Decimal: Decimal,
    Fraction: Fraction.__pos__,
    datetime: _datetime,
    date: lambda day: date.fromordinal(date.toordinal(day)),
    time: lambda moment: datetime.combine(date.min, moment).timetz(),
    timedelta: timedelta.__pos__,
    UUID: lambda identifier: UUID(int=identifier.int),
    **{base: _collection(base) for base in (tuple, list, set, frozenset)},
    dict: lambda item: dict(dict.items(item)),
}

# The attributes that `==` reads of an instance: it isn't that of the base type if one of them is
# overridden. `Fraction` reads the first of every number, and `bytearray` compares buffers.
_READ_BY_EQ: dict[type, tuple[str, ...]] = {
    int: ("numerator", "denominator"),
    float: ("real", "imag", "as_integer_ratio"),
    complex: ("real", "imag"),
    Fraction: ("numerator", "denominator", "_numerator", "_denominator", "from_float"),
    UUID: ("int",),
    bytearray: ("__buffer__",),
}

# How Python itself reduces its collections, and subclasses of them.
_REDUCE_EX: Any = object.__reduce_ex__
_REDUCES: list[Any] = [
    kind.__reduce__ for kind in (object, set, frozenset, OrderedDict, defaultdict)
]
# All namedtuple classes share the code of this method, which calls the iterator of the class.
_ARGUMENTS_OF_NAMEDTUPLE = vars(namedtuple("_NT", ""))["__getnewargs__"].__code__


def base_of(item: object, bases: Iterable[type]) -> type | None:
    """Return the type in *bases* that *item* is a plain subclass of: one that compares like it."""
    for base in bases:
        if isinstance(item, base):
            equality: tuple[object, object] = (type(item).__eq__, base.__eq__)
            return base if equality[0] is equality[1] else None
    return None


def as_base(item: Any, base: type) -> Any:
    """Return *item*, an instance of a subclass of *base*, as the instance of *base* it equals.

    Raise `UncertainItemError` if the subclass changes what ``==`` reads, or the hash.
    """
    kind: Any = type(item)
    own_hash: Any = base.__hash__
    for name in ("__getattribute__", *_READ_BY_EQ[base]) if base in _READ_BY_EQ else ():
        if static(kind, name) is not static(base, name):
            raise _changed(item, base, f"{name}, which == reads")
    if own_hash and kind.__hash__ not in (own_hash, None) and not _keeps_hash(item, own_hash):
        raise _changed(item, base, "the hash")
    own = _CONVERTERS[base](item)
    if base is datetime and not _has_offset_of(item, own):
        raise _changed(item, base, "what its time zone reads")
    return own


def _keeps_hash(item: object, own_hash: Callable[[Any], int]) -> bool:
    try:
        return hash(item) == own_hash(item)
    except TypeError:  # it holds what isn't hashable: a tuple with a list
        return False


def _has_offset_of(item: datetime, own: datetime) -> bool:
    """Return whether the time zone of *item*, which may read any attribute, agrees on *own*."""
    offset = own.utcoffset()
    try:
        return datetime.utcoffset(item) == offset
    except Exception:  # the overriding method's
        return False


def _changed(item: object, base: type, what: str) -> UncertainItemError:
    return UncertainItemError(
        f"a {type(item).__qualname__} can't be kept: it is a {base.__name__} that changes {what}, "
        f"so it may be equal to a {base.__name__} or not; convert it to {base.__name__}; "
        f"got {shown(item)}"
    )


def reduced(item: Any, parts: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return *parts*, of ``__reduce_ex__``, with what *item* holds as its base type reads it.

    Python's own reduction reads a collection by methods that a subclass may override.
    """
    kind: Any = type(item)
    keeper: Any
    if kind.__reduce_ex__ is not _REDUCE_EX or kind.__reduce__ not in _REDUCES:
        return parts
    function, arguments, state, elements, pairs = parts
    if isinstance(item, tuple):
        getter = static(kind, "__getnewargs__")
        if getattr(getter, "__code__", None) is _ARGUMENTS_OF_NAMEDTUPLE:
            arguments = (kind, *tuple.__iter__(item))
    elif isinstance(item, (set, frozenset)):
        keeper = set if isinstance(item, set) else frozenset
        arguments = (list(keeper.__iter__(item)),)
    elif isinstance(item, list):
        elements = list.__iter__(item)
    elif isinstance(item, dict):
        keeper = OrderedDict if isinstance(item, OrderedDict) else dict
        pairs = keeper.items(item)
    return function, arguments, state, elements, pairs
