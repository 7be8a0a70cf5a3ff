"""ValueSerializer: hashable Python values, equal by ``==``, each as one canonical member.

A member is a letter for the type, a colon and the value: ``s:text``, ``i:42``, ``f:0.5``.
A tuple (``t:``) or frozenset (``z:``) is a row of lengths and members: ``t:3 s:a 4 i:42``.
Numbers are written by their exact value, so that ``1``, ``1.0`` and ``True`` are one member.
An integer of more than 1,024 bits is hexadecimal, ``i:0x1f``; a Decimal beyond every int that is
carried is its digits and a power of ten, ``i:17*10^999999``. Everything is read in linear time.
"""

from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

from redset._support.native import is_lookalike, native
from redset.codecs import _bases, _identity, _scalars
from redset.exceptions import (
    InvalidTypeError,
    InvalidValueError,
    SerializerError,
    UncertainItemError,
)

# An int is carried if it has at most this many decimal digits, and so at most this many bits:
# Python converts it to and from a Decimal in quadratic time.
_MOST_DIGITS = 120_000
_MOST_BITS = 398_632
# The exact value of a float has no more digits than this.
_FLOAT_DIGITS = 767
# Every atom except text, bytes and exact numbers is shorter than this.
_MOST_ATOM = 300


class ValueSerializer:
    """Keep Python's hashable values with their types; ``==`` decides which are the same item.

    >>> values = ValueSerializer()
    >>> values.dumps(("a", 1.0)) == values.dumps(("a", True))
    True
    >>> values.loads(values.dumps(("a", 0.5, None)))
    ('a', 0.5, None)

    It carries None, bool, int, float, complex, Decimal, Fraction, str, bytes, tuple, frozenset,
    date, time, datetime, timedelta and UUID, nested up to 100 deep, and subclasses that keep ``==``
    (IntEnum, namedtuples) as their base type. Numbers of other libraries, scalars of numpy and
    memoryviews are carried as the value of Python's own that equals them.

    Invariants: ``x == y`` if and only if ``dumps(x) == dumps(y)``, where nan equals itself; and
    ``loads(dumps(x)) == x``. If equal values have several types, one of them comes back: int before
    float before Decimal before Fraction; aware times come back in UTC. A datetime keeps its
    instant, or is refused: if its zone shows two instants alike, ``==`` can't distinguish them.
    """

    def dumps(self, item: object, /) -> bytes:
        """Turn *item* into its member; equal items give equal bytes, in every process.

        Raises `InvalidTypeError` (a ``TypeError``) for an item that is unhashable or of another
        type, and its subclass `UncertainItemError` for an item that may be equal to a value that it
        carries; `InvalidValueError` (a ``ValueError``) for an item that is nested too deep, an int
        of more than 120,000 decimal digits, a Fraction with a part of more than 40,000 bits, a
        frozenset that holds more than 1,000 elements, more than 100 of them with one hash, and an
        aware datetime with ``fold=1`` whose offset depends on ``fold``.
        """
        if type(item) is str:
            return b"s:" + item.encode("utf-8", "surrogatepass")
        return _encode(item, 0)

    def dumps_all(self, items: Sequence[object], /) -> list[bytes]:
        """Do ``dumps`` for many items at once, without a call for each."""
        return _scalars.encode_texts("s:", items) or [_encode(item, 0) for item in items]

    def loads_all(self, members: Iterable[bytes], /) -> list[Any]:
        """Do ``loads`` for many members at once; any exception may come out of it."""
        return [
            member[2:].decode("utf-8", "surrogatepass") if member[:2] == b"s:" else _decode(member)
            for member in members
        ]

    def loads(self, member: str | bytes, /) -> Any:
        """Turn *member* back into an item equal to the one that it was made of.

        Raises `SerializerError` for anything that ``dumps`` doesn't write.
        """
        try:
            return _decode(_scalars.as_bytes(self, member))
        except SerializerError:
            raise
        except Exception as error:  # any error that foreign bytes cause
            raise _scalars.undecodable(self, member, error) from _scalars.cause(error)


def _encode(item: Any, depth: int) -> bytes:
    kind: type | None = type(item)
    encode = _ATOMS.get(kind)
    if encode is not None:
        return encode(item)
    if kind not in _CONTAINERS:
        base = _bases.base_of(item, _BASES)
        own = native(item) if base is None else _bases.as_base(item, base)
        if own is item:
            raise _refusal(item)
        return _encode(own, depth)
    if depth == _scalars.DEPTH_LIMIT:
        raise _scalars.too_deep()
    encoded: Iterable[bytes] = [_encode(element, depth + 1) for element in item]
    if kind is frozenset:
        _scalars.check_hashes(item)
        encoded = sorted(set(encoded))  # a frozenset can hold several nan
    return _CONTAINERS[kind] + b" ".join([b"%d %b" % (len(part), part) for part in encoded])


def _refusal(item: object) -> InvalidTypeError:
    try:
        hash(item)
    except TypeError as error:
        if isinstance(item, dict | list | set | tuple | frozenset | bytearray):
            advice = (
                "documents need serializer=MsgpackSerializer(), or JSONSerializer() if JSON will do"
            )
        else:
            advice = "it needs a MsgpackSerializer with its type registered"
        return InvalidTypeError(f"{error}; {advice}")
    kind = type(item)
    words = f"an item of type {kind.__qualname__} needs a serializer of its own: "
    if _identity.can_be_allowed(item):
        words += f"PickleSerializer(allow=[{kind.__qualname__}]), or "
    words += f"MsgpackSerializer with the type registered; got {_scalars.shown(item)}"
    if is_lookalike(item, tuple(_BASES)):
        return UncertainItemError(f"{words}; or convert it to the type of Python's that it equals")
    return InvalidTypeError(words)


def _integer(number: int) -> bytes:
    bits = number.bit_length()
    if bits <= 1024:
        return b"i:%d" % number
    if bits > _MOST_BITS or (bits == _MOST_BITS and abs(number) >= 10**_MOST_DIGITS):
        raise UncertainItemError(
            f"an int may have {_MOST_DIGITS:,} decimal digits at most; a Decimal may be larger"
        )
    return b"i:%#x" % number


def _float(number: float) -> bytes:
    if number.is_integer():
        return b"i:%d" % number
    return b"f:" + float.__repr__(number).encode()


def _complex(number: complex) -> bytes:
    if number.imag == 0 and number.real == number.real:
        return _float(number.real)
    return b"c:" + _scalars.complex_text(number).encode()


def _decimal(number: Decimal) -> bytes:
    if not number.is_finite():
        return _float(float(number)) if number.is_infinite() else _inexact(number)
    digits, exponent = _scalars.decimal_parts(number)
    if exponent < 0:
        return _float(float(number)) if _is_float(number, digits) else _inexact(number)
    if _is_beyond_int(digits, exponent):
        return b"i:%b*10^%d" % (digits.encode(), exponent)
    return _integer(int(number))


def _is_beyond_int(digits: str, exponent: int) -> bool:
    return len(digits.lstrip("-")) + exponent > _MOST_DIGITS


def _inexact(number: Decimal) -> bytes:
    return b"d:" + _scalars.decimal_text(number).encode()


def _is_float(number: Decimal, digits: str) -> bool:
    return len(digits) <= _FLOAT_DIGITS and Decimal.from_float(float(number)) == number


def _fraction(number: Fraction) -> bytes:
    if number.denominator == 1:
        return _integer(number.numerator)
    try:
        _scalars.check_fraction(number.numerator, number.denominator)
    except InvalidValueError as error:  # a Decimal may equal it
        raise UncertainItemError(*error.args) from None
    try:
        nearest = number.numerator / number.denominator
    except OverflowError:
        nearest = 0.0
    if nearest == number:
        return _float(nearest)
    rest, twos = _scalars.strip_factor(number.denominator, 2)
    rest, fives = _scalars.strip_factor(rest, 5)
    if rest != 1:
        return b"q:" + _scalars.fraction_text(number).encode()
    places = max(twos, fives)
    digits = Decimal(number.numerator * 2 ** (places - twos) * 5 ** (places - fives))
    return _inexact(_scalars.decimal(f"{digits}E-{places}"))


def _scalar(scalar: _scalars.Scalar) -> Callable[[Any], bytes]:
    prefix, text = f"{scalar.tag}:", scalar.dumps
    return lambda item: (prefix + text(item)).encode()


_ATOMS: dict[type | None, Callable[[Any], bytes]] = {
    str: lambda item: b"s:" + str.encode(item, "utf-8", "surrogatepass"),
    bytes: lambda item: b"b:" + item,
    type(None): lambda item: b"n:",
    bool: _integer,
    **{scalar.cls: _scalar(scalar) for scalar in _scalars.SCALARS},
    int: _integer,
    float: _float,
    complex: _complex,
    Decimal: _decimal,
    Fraction: _fraction,
}
_CONTAINERS: dict[type | None, bytes] = {tuple: b"t:", frozenset: b"z:"}
_BASES: list[type] = [kind for kind in (*_ATOMS, *_CONTAINERS) if kind is not None]


def _decode(member: bytes) -> Any:
    return _read(member, 0, len(member), 0)


def _read(member: bytes, start: int, end: int, depth: int) -> Any:
    """Read the value in one part of *member*, which no level copies for the next."""
    tag = member[start : start + 2]
    if tag in (b"t:", b"z:"):
        if depth == _scalars.DEPTH_LIMIT:
            raise _scalars.too_deep()
        elements = _elements(member, start + 2, end, depth + 1, ascending=tag == b"z:")
        return tuple(elements) if tag == b"t:" else frozenset(elements)
    body = member[start + 2 : end]
    if tag == b"s:":
        return body.decode("utf-8", "surrogatepass")
    if tag == b"b:":
        return body
    # Bytes that dumps doesn't write would be a second member for an item that is there: each reader
    # refuses them.
    return _READERS[tag](body.decode("ascii"))


def _elements(member: bytes, start: int, end: int, depth: int, *, ascending: bool) -> list[Any]:
    """Read the elements of a container, whose bytes must be *ascending* in a frozenset."""
    elements: list[Any] = []
    last = b""
    while start < end:
        space = member.index(b" ", start, min(start + 20, end))
        digits = member[start:space]
        start = space + 1
        stop = start + int(digits)
        if not digits.isdigit() or digits[:1] == b"0" or stop < start + 2 or stop > end:
            raise ValueError("a length that is not there")
        if member[start : start + 2] == b"s:":
            elements.append(member[start + 2 : stop].decode("utf-8", "surrogatepass"))
        else:
            elements.append(_read(member, start, stop, depth))
        if ascending:
            part = member[start:stop]
            if part <= last:
                raise ValueError("a frozenset out of order")
            last = part
        start = stop + 1
        if stop < end and (member[stop] != 32 or start == end):
            raise ValueError("a length that is not there")
    if ascending:
        _scalars.check_hashes(elements)
    return elements


def _check_canonical(tag: bytes, text: str, written: bytes) -> None:
    if written != tag + text.encode():
        raise ValueError("not in canonical form")


def _read_integer(text: str) -> int | Decimal:
    if "*" in text:
        return _read_power(text)
    number = _scalars.integer(text)
    _check_canonical(b"i:", text, _integer(number))
    return number


def _read_power(text: str) -> Decimal:
    digits, exponent = text.split("*10^")
    number = _scalars.decimal(f"{digits}E{exponent}")
    if not _is_beyond_int(*_scalars.decimal_parts(number)):
        raise ValueError("a power of ten that an int holds")
    _check_canonical(b"i:", text, _decimal(number))
    return number


def _read_decimal(text: str) -> Decimal:
    number = _scalars.decimal(text)
    if number.is_infinite():
        raise ValueError("a Decimal that a float equals")
    if number.is_finite():
        digits, exponent = _scalars.decimal_parts(number)
        if exponent >= 0 or _is_float(number, digits):
            raise ValueError("a Decimal that an int or a float equals")
    _check_canonical(b"d:", text, _inexact(number))
    return number


def _reader(scalar: _scalars.Scalar) -> Callable[[str], Any]:
    encode, prefix = _ATOMS[scalar.cls], f"{scalar.tag}:".encode()
    longest = _MOST_ATOM if scalar.cls is not Fraction else 2 * _MOST_BITS

    def read(text: str) -> Any:
        if len(text) > longest:
            raise ValueError(f"a value of {len(text)} characters")
        value = scalar.loads(text)
        _check_canonical(prefix, text, encode(value))
        return value

    return read


def _read_none(text: str) -> None:
    _check_canonical(b"n:", text, b"n:")


_READERS: dict[bytes, Callable[[str], Any]] = {
    **{f"{scalar.tag}:".encode(): _reader(scalar) for scalar in _scalars.SCALARS},
    b"f:": _reader(_scalars.Scalar("f", float, float.__repr__, float)),
    b"i:": _read_integer,
    b"d:": _read_decimal,
    b"n:": _read_none,
}
