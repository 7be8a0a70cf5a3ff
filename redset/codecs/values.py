"""ValueSerializer: hashable Python values, equal by ``==``, each as one canonical member.

A member is a letter for the type, a colon and the value: ``s:text``, ``i:42``, ``f:0.5``.
A tuple (``t:``) or frozenset (``z:``) is a row of lengths and members: ``t:3 s:a 4 i:42``.
Numbers are written by their exact value, so that ``1``, ``1.0`` and ``True`` are one member.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any

from redset.codecs import _scalars
from redset.exceptions import InvalidTypeError, SerializerError

# Above it, 10 to that power is given back as a Decimal: an int would fill the memory.
_MOST_ZEROS = 100_000
# An integer of fewer digits is read without ado.
_LONG = 300


class ValueSerializer:
    """Keep Python's hashable values with their types; ``==`` decides what is the same item.

    >>> values = ValueSerializer()
    >>> values.dumps(("a", 1.0)) == values.dumps(("a", True))
    True
    >>> values.loads(values.dumps(("a", 0.5, None)))
    ('a', 0.5, None)

    It carries None, bool, int, float, complex, Decimal, Fraction, str, bytes, tuple, frozenset,
    date, time, datetime, timedelta and UUID, nested up to 100 deep, and subclasses that leave
    ``==`` alone (IntEnum, namedtuples) as their base type.

    Invariants: ``x == y`` if and only if ``dumps(x) == dumps(y)``, where nan equals itself; and
    ``loads(dumps(x)) == x``. Where equal values have several types one of them comes back:
    int before float before Decimal before Fraction; aware times come back in UTC.
    """

    def dumps(self, item: object, /) -> bytes:
        """Turn *item* into its member; equal items give equal bytes, in every process.

        Raises `InvalidTypeError` (a ``TypeError``) for what is unhashable or of another type,
        `InvalidValueError` (a ``ValueError``) for what is nested too deep.
        """
        if type(item) is str:
            return b"s:" + item.encode("utf-8", "surrogatepass")
        return _encode(item, 0)

    def dumps_all(self, items: Sequence[object], /) -> list[bytes]:
        """``dumps`` for many items at once, without a call for each."""
        return _scalars.encode_texts("s:", items) or [_encode(item, 0) for item in items]

    def loads_all(self, members: Iterable[bytes], /) -> list[Any]:
        """``loads`` for many members at once; what goes wrong raises whatever it happens to be."""
        return [
            member[2:].decode("utf-8", "surrogatepass")
            if member[:2] == b"s:"
            else _decode(member, 0)
            for member in members
        ]

    def loads(self, member: str | bytes, /) -> Any:
        """Turn *member* back into an item equal to the one that it was made of.

        Raises `SerializerError` for anything that ``dumps`` doesn't write.
        """
        try:
            return _decode(_scalars.as_bytes(self, member), 0)
        except SerializerError:
            raise
        except Exception as error:  # whatever a stranger's bytes provoke
            raise _scalars.undecodable(self, member, error) from error


def _encode(item: Any, depth: int) -> bytes:
    kind: type | None = type(item)
    encode = _ATOMS.get(kind)
    if encode is not None:
        return encode(item)
    if kind not in _CONTAINERS:
        kind = _scalars.base_of(item, _BASES)
    if kind in _ATOMS:
        return _ATOMS[kind](item)
    if kind not in _CONTAINERS:
        raise _refusal(item)
    if depth == _scalars.DEPTH_LIMIT:
        raise _scalars.too_deep()
    encoded: Iterable[bytes] = [_encode(element, depth + 1) for element in item]
    if kind is frozenset:
        encoded = sorted(set(encoded))  # a frozenset can hold several nan
    return _CONTAINERS[kind] + b" ".join([b"%d %b" % (len(part), part) for part in encoded])


def _refusal(item: object) -> InvalidTypeError:
    try:
        hash(item)
    except TypeError as error:
        return InvalidTypeError(
            f"{error}; documents need serializer=JSONSerializer() or MsgpackSerializer()"
        )
    return InvalidTypeError(
        f"an item of type {type(item).__qualname__} needs a serializer of its own: "
        f"PickleSerializer(allow=[{type(item).__name__}]), NamedtupleSerializer, or "
        f"MsgpackSerializer with the type registered; got {_scalars.shown(item)}"
    )


def _integer(number: int) -> bytes:
    if number.bit_length() <= 1024:
        return b"i:%d" % number
    return _huge(*_scalars.strip_factor(number, 10))


def _huge(number: int, zeros: int) -> bytes:
    # Decimal("1E+999999") equals an int, so both need a form without all those zeros.
    return b"i:%#x*10^%d" % (number, zeros)


def _float(number: float) -> bytes:
    if number.is_integer():
        return b"i:%d" % number
    return b"f:" + float.__repr__(number).encode()


def _complex(number: complex) -> bytes:
    if number.imag == 0 and number.real == number.real:
        return _float(number.real)
    return b"c:" + _scalars.complex_text(number).encode()


def _decimal(number: Decimal) -> bytes:
    if number.is_finite():
        digits, exponent = _scalars.decimal_parts(number)
        if exponent >= 0 and len(digits) + exponent > 400:  # past float, and past 1024 bits
            return _huge(int(_scalars.decimal(digits)), exponent)
        if exponent >= 0:
            return _integer(int(number))
    if not number.is_nan():
        nearest = float(number)
        if Decimal.from_float(nearest) == number:
            return _float(nearest)
    return b"d:" + _scalars.decimal_text(number).encode()


def _fraction(number: Fraction) -> bytes:
    if number.denominator == 1:
        return _integer(number.numerator)
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
    return b"d:" + _scalars.decimal_text(_scalars.decimal(f"{digits}E-{places}")).encode()


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


def _decode(member: bytes, depth: int) -> Any:
    tag, body = member[:2], member[2:]
    if tag == b"s:":
        return body.decode("utf-8", "surrogatepass")
    if tag == b"i:" and len(body) < _LONG and b"*" not in body:
        number = int(body)
        if b"i:%d" % number == member:
            return number
    if tag == b"b:":
        return body
    if tag in _CONTAINERS.values():
        if depth == _scalars.DEPTH_LIMIT:
            raise _scalars.too_deep()
        parts = list(_split(body))
        elements = [_decode(part, depth + 1) for part in parts]
        if tag == b"t:":
            return tuple(elements)
        if any(left >= right for left, right in pairwise(parts)):
            raise ValueError("a frozenset out of order")
        return frozenset(elements)
    item = _TEXTS[tag](body.decode("ascii"))
    # Bytes that dumps doesn't write would be a second member for an item that is there.
    if _encode(item, depth) != member:
        raise ValueError("not in canonical form")
    return item


def _split(body: bytes) -> Iterator[bytes]:
    start = 0
    while start < len(body):
        space = body.index(b" ", start, start + 20)
        length = int(body[start:space])
        end = space + 1 + length
        if body[start:space] != b"%d" % length or length < 2 or end > len(body):
            raise ValueError("a length that is not there")
        yield body[space + 1 : end]
        start = end + 1
        if end < len(body) and (body[end] != 32 or start == len(body)):
            raise ValueError("a length that is not there")


def _parse_integer(text: str) -> int | Decimal:
    number, power, zeros = text.partition("*10^")
    if not power:
        return int(number)
    if int(zeros) <= _MOST_ZEROS:
        return int(number, 16) * int(pow(10, int(zeros)))
    return _scalars.decimal(f"{Decimal(int(number, 16))}E{int(zeros)}")


_TEXTS: dict[bytes, Callable[[str], Any]] = {
    **{f"{scalar.tag}:".encode(): scalar.loads for scalar in _scalars.SCALARS},
    b"n:": lambda text: None,
    b"i:": _parse_integer,
    b"f:": float,
}
