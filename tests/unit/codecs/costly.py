"""Members that a stranger may write to make a process slow or large, each of any size."""

import json
import random
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID

import msgpack

from redset.codecs import JSONSerializer, MsgpackSerializer, PickleSerializer, ValueSerializer

SERIALIZERS: dict[str, Any] = {
    "values": ValueSerializer(),
    "json": JSONSerializer(),
    "msgpack": MsgpackSerializer(),
    "pickle": PickleSerializer(),
}
# Python's hash of an int is the int modulo this.
_MODULUS = 2**61 - 1


def _fill(dumps: Callable[[Any], bytes], make: Callable[[int], Any], size: int) -> list[Any]:
    """Return distinct values of *make* whose members come to about *size* bytes together."""
    return [make(number) for number in range(max(1, size // len(dumps(make(9_999)))))]


def _nested(value: Any, wrap: Callable[[Any], Any], depth: int = 95) -> Any:
    for _ in range(depth):
        value = wrap(value)
    return value


# What one part of a container may be, by a number; all are valid under ValueSerializer.
PARTS: dict[str, Callable[[int], Any]] = {
    "None": lambda number: None,
    "small integers": lambda number: number % 100,
    "integers": lambda number: number * 7919,
    "integers of 300 digits": lambda number: 10**299 + number,
    "integers of 20,000 bits": lambda number: 3**12_000 + number,
    "integers of 390,000 bits": lambda number: (1 << 390_000) + number,
    "multiples of the hash's modulus": lambda number: number * _MODULUS,
    "floats": lambda number: number + 0.1,
    "decimals": lambda number: Decimal(number) / 3,
    "decimals of 5,000 digits": lambda number: Decimal(f"0.{'3' * 5000}{number}1"),
    "powers of ten": lambda number: Decimal(f"1E+{150_000 + number}"),
    "small powers": lambda number: Decimal(f"1E-{150_000 + number}"),
    "fractions": lambda number: Fraction(number, 3),
    "fractions of 39,000 bits": lambda number: Fraction(3**24_000 + number, 7**13_000),
    "fractions that are decimals": lambda number: Fraction(2 * number + 1, 2**30_000),
    "complex numbers": lambda number: complex(number, 1),
    "empty text": lambda number: "",
    "words": lambda number: f"word {number}",
    "text of 9,000 characters": lambda number: f"{number}" + "€" * 3000,
    "bytes of 9,000": lambda number: b"%d" % number + bytes(9000),
    "datetimes": lambda number: datetime(2024, 1, 1, tzinfo=UTC) + timedelta(number % 9999),
    "durations": lambda number: timedelta(microseconds=number),
    "UUIDs": lambda number: UUID(int=number * _MODULUS),
    "empty tuples": lambda number: (),
    "pairs": lambda number: (number, str(number)),
    "empty frozensets": lambda number: frozenset(),
    "frozensets": lambda number: frozenset({number, -number}),
}
# Parts of which most have the same hash, so that a large set of them is refused.
CROWDS = {"multiples of the hash's modulus", "UUIDs"}
DOCUMENT_PARTS: dict[str, Callable[[int], Any]] = {
    **{name: PARTS[name] for name in ("None", "integers", "floats", "empty text", "words")},
    "text of 9,000 characters": PARTS["text of 9,000 characters"],
    "integers of 300 digits": PARTS["integers of 300 digits"],
    "integers of 4,000 digits": lambda number: 10**3999 + number,
    "empty lists": lambda number: [],
    "empty dicts": lambda number: {},
    "dicts": lambda number: {"id": number, f"key {number}": [number]},
}


def items(name: str, size: int) -> Iterable[tuple[str, Any]]:
    """Give valid items for the serializer *name*, each with a member of about *size* bytes."""
    dumps = SERIALIZERS[name].dumps
    document = name == "json"
    for part, make in (DOCUMENT_PARTS if document else PARTS).items():
        values = _fill(dumps, make, size)
        row = values if document else tuple(values)
        yield f"row of {part}", row
        yield f"deep row of {part}", _nested(row, lambda value: [value] if document else (value,))
        distinct = not document and part not in CROWDS and len(set(values)) == len(values)
        if distinct:
            yield f"set of {part}", frozenset(values)
            if name != "values":
                yield f"dict of {part}", dict.fromkeys(values, 1)
                yield f"list of {part}", values
    if not document:
        words = frozenset(_fill(dumps, PARTS["words"], size // 2))
        yield "deep sets", _nested(words, lambda value: frozenset({value}))
        yield "deep pairs of sets", _nested(words, lambda value: frozenset({value, 1}))
        yield "bytes", bytes(size)
    yield "text", "x" * size
    yield "text of escapes", "\x00\x1b" * (size // 4)


def _call(module: str, name: str) -> bytes:
    return b"".join(
        b"\x8c%c%b" % (len(text), text.encode()) for text in (module, name)
    ) + b"\x93"  # fmt: skip


def members(name: str, size: int) -> Iterable[tuple[str, bytes]]:
    """Give members of about *size* bytes for the serializer *name* that ``dumps`` doesn't write."""
    if name == "values":
        powers = [b"i:0x1*10^99999"] * (size // 17)
        yield "powers of ten", b"t:" + b" ".join(b"%d %b" % (len(each), each) for each in powers)
        yield "hexadecimal", b"i:0x" + b"f" * (size - 4)
        yield "decimal", b"i:" + b"9" * (size - 2)
        yield "digits", b"d:0." + b"9" * (size - 4)
        yield "zeros", b"d:1" + b"0" * (size - 4) + b".1"
        yield "float", b"f:0." + b"9" * (size - 4)
        yield "fraction", b"q:0x" + b"f" * (size // 2) + b"/0x" + b"d" * (size // 2 - 8)
        yield "zone", b"D:2024-01-01T00:00:00[" + b"A/" * (size // 2) + b"]"
        yield "lengths", b"t:" + b"9" * (size - 2)
        crowd = sorted(b"i:%d" % (number * _MODULUS) for number in range(size // 28))
        yield "crowd", b"z:" + b" ".join(b"%d %b" % (len(each), each) for each in crowd)
    elif name == "json":
        yield "brackets", b"[" * size
        yield "digits", b"9" * size
        yield "float", b"0." + b"9" * (size - 2)
        yield "surrogates", json.dumps("\ud800" * (size // 6)).encode()
        yield "escapes", b'["' + b"\\u0000" * (size // 6) + b'"]'
    elif name == "msgpack":
        yield "lists", b"\x91" * size
        yield "wide", b"\xdd" + (size // 8).to_bytes(4, "big") + b"\x91\x90\xc0\xc0" * (size // 8)
        for tag in "idq":
            text = {"i": "9", "d": "9", "q": "0xf"}[tag] * (size // 9)
            whole = f"{text}/{text[:-1]}" if tag == "q" else text
            yield f"number {tag}", msgpack.packb(msgpack.ExtType(ord(tag), whole.encode()))
        floats = [float(m << 61 * k) for k in range(16) for m in range(1, size // 9 // 16)]
        yield "crowd of keys", msgpack.packb(dict.fromkeys(floats))
        inner = bytes(size // 2)
        for _ in range(90):
            inner = msgpack.packb([msgpack.ExtType(ord("t"), msgpack.packb([inner])), 1])[:]
            inner = msgpack.packb(msgpack.ExtType(ord("t"), inner))
        yield "deep extensions", inner
    else:
        # Without a frame, which is found last: they are read, and written again, in vain.
        yield "nothing", b"\x80\x05(" + b"N" * (size - 4) + b"t."
        yield "marks", b"\x80\x05" + b"(" * (size - 3) + b"."
        yield "lists", b"\x80\x05(" + b"]" * (size - 4) + b"t."
        yield "tuples", b"\x80\x05)" + b"\x85" * (size - 4) + b"."
        yield "memo", b"\x80\x05]" + b"\x94" * (size - 4) + b"."
        restore = _call("redset.codecs._scalars", "restore")
        for tag in "idqecDT":
            digits = {"i": b"9", "d": b"9", "q": b"0xf"}.get(tag, b"1") * (size // 9)
            value = digits + b"/" + digits[:-1] if tag == "q" else digits
            written = b"\x8c\x01%cX" % tag.encode() + len(value).to_bytes(4, "little") + value
            yield f"number {tag}", b"\x80\x05" + restore + written + b"\x86R."
        numbers = [(number * _MODULUS).to_bytes(12, "little") for number in range(size // 17)]
        ones = [b"\x8a\x0c" + number for number in random.Random(1).sample(numbers, len(numbers))]
        row = b"](" + b"".join(ones) + b"e\x85R."
        for kind in ("set", "frozenset"):
            yield f"crowd in a {kind}", b"\x80\x05" + _call("builtins", kind) + row
        yield "crowd of keys", b"\x80\x05}(" + b"".join(one + b"N" for one in ones) + b"u."
        yield "crowd one by one", b"\x80\x05}" + b"".join(one + b"Ns" for one in ones) + b"."
