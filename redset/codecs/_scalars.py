"""Scalars: one canonical text for each value type of the standard library.

Equal values of one type have one text; the text turns back into an equal value of that type. How
a text becomes a member, and which types are equal to each other, is decided by the serializers.
They pass values of exactly these types, never of subclasses: see `redset.codecs._bases`.
"""

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Context, Decimal, InvalidOperation
from fractions import Fraction
from math import isnan, nan
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

from redset._support.words import Foreign, described, one_line
from redset._support.words import shown as shown  # noqa: PLC0414 - the codecs have it from here
from redset.exceptions import (
    InvalidTypeError,
    InvalidValueError,
    SerializerError,
    UncertainItemError,
)

DEPTH_LIMIT = 100  # far below the interpreter's own limit, whatever the depth of the caller's stack
# Reducing a fraction takes quadratic time: 2 ms for two integers of this many bits.
MAX_FRACTION_BITS = 40_000
# The longest decimal text of an integer. Longer integers are hexadecimal, which is read in linear
# time; 1,024 bits are 309 digits.
_MOST_DECIMAL_DIGITS = 310
# Below this number of elements, equal hashes cost little.
FEW_HASHES = 1_000
# Python's hash of numbers is predictable. A set or dict takes quadratic time for elements of one
# hash, so more than this are refused.
_MOST_OF_ONE_HASH = 100
# `ZoneInfo` opens a file of this name, so only names of zones may reach it.
_ZONE_NAME = re.compile(r"[A-Za-z0-9_+-]{1,40}(/[A-Za-z0-9_+-]{1,40}){0,4}", re.ASCII)
# Marks the later of two times that a clock shows alike.
_SECOND = "(2)"

# Their message is only a value.
_UNNAMED = (KeyError, IndexError, AssertionError)

# The caller's decimal context may turn a bad text into NaN instead of an error.
_STRICT = Context(traps=[InvalidOperation])
_DAY = 86_400


class Scalar(NamedTuple):
    """The text form of one type's values: a tag of one letter, and the text after it."""

    tag: str
    cls: type
    dumps: Callable[[Any], str]
    loads: Callable[[str], Any]


def too_deep() -> InvalidValueError:
    """Return the error for an item that contains itself, or is nested too deep."""
    return InvalidValueError(
        f"an item may be nested {DEPTH_LIMIT} deep at most; does it contain itself?"
    )


def undecodable(serializer: object, member: object, reason: object) -> SerializerError:
    """Return the error for *member*, of which only the beginning is shown, because of *reason*."""
    start = shown(member[:60] if isinstance(member, bytes | str) else member)
    words = described(reason) if isinstance(reason, _UNNAMED) else one_line(str(reason))
    name = getattr(serializer, "_reported_as", type(serializer).__name__)
    return SerializerError(f"{name} can't read member {start}: {words}")


def cause(error: Exception) -> Exception:
    """Return the cause of `undecodable`: *error*, or a replacement if its text is unsafe."""
    words = str(error)
    if one_line(words) == words and error.__cause__ is error.__context__:
        return error
    return Foreign(error)


def encode_texts(prefix: str, items: Sequence[Any]) -> list[bytes] | None:
    """Encode many items in one go; ``None`` unless each is a ``str`` without a line break."""
    if set(map(type, items)) != {str}:
        return None
    joined = prefix + f"\n{prefix}".join(items)
    members = joined.encode("utf-8", "surrogatepass").split(b"\n")
    return members if len(members) == len(items) else None


def as_bytes(serializer: object, member: str | bytes) -> bytes:
    """Return *member*; raise if it is text, which no serializer of bytes can have made."""
    if not isinstance(member, bytes):
        raise undecodable(serializer, member, f"expected bytes, got {type(member).__name__}")
    return member


def float_value(number: float) -> float:
    """Return *number* with one zero and one nan, whatever their sign."""
    return nan if isnan(number) else number + 0.0


def strip_factor(number: int, factor: int) -> tuple[int, int]:
    """Divide *number* (not 0) by *factor* as often as possible; return quotient and count."""
    powers = [factor]
    while number % powers[-1] == 0:
        powers.append(powers[-1] ** 2)
    count = 0
    for exponent in reversed(range(len(powers))):
        quotient, rest = divmod(number, powers[exponent])
        if not rest:
            number, count = quotient, count + 2**exponent
    return number, count


def check_depth(document: Any, depth: int = 0) -> None:
    """Raise if *document*, which is at *depth*, nests lists and dicts deeper than allowed."""
    level: list[Any] = [document]
    for _ in range(depth, DEPTH_LIMIT + 1):
        level = [
            child
            for each in level
            if isinstance(each, list | dict)
            for child in (each.values() if isinstance(each, dict) else each)
        ]
        if not level:
            return
    raise too_deep()


def check_hashes(elements: Collection[Any]) -> None:
    """Raise if a set of *elements* would take quadratic time because of equal hashes."""
    if len(elements) > FEW_HASHES:
        check_counts(Counter(map(hash, elements)).values())


def check_counts(counts: Iterable[int]) -> None:
    """Raise if one of *counts*, of elements with one hash, is too large."""
    if max(counts, default=0) > _MOST_OF_ONE_HASH:
        raise InvalidValueError(
            f"more than {_MOST_OF_ONE_HASH} elements of a large set or dict have the same hash"
        )


def integer_text(number: int) -> str:
    """Return decimal digits, or hexadecimal where Python limits the conversion to decimal."""
    return format(number, "d" if number.bit_length() <= 1024 else "#x")


def integer(text: str) -> int:
    """Return the integer of `integer_text`, in time that is linear in the length of *text*."""
    if "0x" in text:
        return int(text, 16)
    if len(text) > _MOST_DECIMAL_DIGITS:
        raise ValueError(f"an integer of {len(text)} decimal digits")
    return int(text)


def decimal_parts(number: Decimal) -> tuple[str, int]:
    """Return the signed digits of a finite number without trailing zeros, and its exponent."""
    coefficient, _, exponent = f"{number:E}".partition("E")
    whole, _, fraction = coefficient.partition(".")
    digits = (whole + fraction).rstrip("0")
    if digits in ("", "-"):
        return "0", 0
    return digits, int(exponent) + len(whole.lstrip("-")) - len(digits.lstrip("-"))


def decimal_text(number: Decimal) -> str:
    if number.is_snan():
        raise InvalidTypeError("Cannot hash a signaling NaN value; use Decimal('NaN')")
    if not number.is_finite():
        return str(number)
    digits, exponent = decimal_parts(number)
    return str(decimal(f"{digits}E{exponent}")).replace("e", "E")  # the context may choose "e"


def decimal(text: str) -> Decimal:
    number = Decimal(text, context=_STRICT)
    if number.is_snan():
        raise ValueError("a signaling NaN")
    return number


def check_fraction(*parts: int) -> None:
    """Raise unless numerator and denominator are short enough to be reduced."""
    if any(part.bit_length() > MAX_FRACTION_BITS for part in parts):
        raise InvalidValueError(
            f"a Fraction may have a numerator and a denominator of {MAX_FRACTION_BITS} bits at most"
        )


def fraction_text(number: Fraction) -> str:
    check_fraction(number.numerator, number.denominator)
    return f"{integer_text(number.numerator)}/{integer_text(number.denominator)}"


def fraction(text: str) -> Fraction:
    numerator, denominator = map(integer, text.split("/"))
    check_fraction(numerator, denominator)
    return Fraction(numerator, denominator)


def complex_text(number: complex) -> str:
    return f"{float_value(number.real)!r},{float_value(number.imag)!r}"


def complex_number(text: str) -> complex:
    real, imag = map(float, text.split(","))
    return complex(real, imag)


def datetime_text(moment: datetime) -> str:
    """Return the text of a naive time as it is, of an aware time in UTC.

    Equal moments of two zones are one item. A time that its zone has twice (or never) equals
    nothing in another zone, so it keeps its zone. Python compares it without its ``fold``, so the
    second of the two is refused: it would come back as the first, another instant.
    """
    if not _depends_on_fold(moment):
        return _utc_text(moment)
    name = _zone_name(moment)
    if moment.fold or name is None:
        raise UncertainItemError(
            f"{shown(moment)} is ambiguous: == ignores the fold that its zone needs, and only "
            "fold=0 of a ZoneInfo with a name can be kept; use .astimezone(UTC)"
        )
    return f"{_local(moment).isoformat()}[{name}]"


def instant_text(moment: datetime) -> str:
    """Return the text as `datetime_text`, but of the instant: nothing is refused.

    The second of two times is marked with ``(2)``. A time that is ambiguous in a zone without
    a name is kept in UTC.
    """
    name = _zone_name(moment) if _depends_on_fold(moment) else None
    if name is None:
        return _utc_text(moment)
    return f"{_local(moment).isoformat()}[{name}]{_SECOND if moment.fold else ''}"


def _local(moment: datetime) -> datetime:
    """Return *moment* without its zone, and as a plain datetime."""
    return datetime.combine(moment.date(), moment.time())


def _depends_on_fold(moment: datetime) -> bool:
    return moment.replace(fold=not moment.fold).utcoffset() != moment.utcoffset()


def _zone_name(moment: datetime) -> str | None:
    """Return the name by which a reader finds the same offsets; ``None`` if there is none."""
    name = getattr(moment.tzinfo, "key", None) or ""
    if not isinstance(moment.tzinfo, ZoneInfo) or not _ZONE_NAME.fullmatch(name):
        return None
    try:
        found = ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return None
    folds = [moment, moment.replace(fold=not moment.fold)]
    same = all(each.replace(tzinfo=found).utcoffset() == each.utcoffset() for each in folds)
    return name if same else None


def _utc_text(moment: datetime) -> str:
    naive, offset = _local(moment), moment.utcoffset()
    if offset is None:
        return naive.isoformat()
    try:
        return (naive - offset).replace(tzinfo=UTC).isoformat()
    except OverflowError:  # in UTC it would be outside of the years 1 to 9999
        edge = datetime.max if offset < timedelta(0) else datetime.min
        return edge.replace(tzinfo=timezone(edge - naive + offset)).isoformat()


def datetime_value(text: str) -> datetime:
    text, bracket, zone = text.partition("[")
    moment = datetime.fromisoformat(text)
    if not bracket:
        return moment
    name, end, mark = zone.partition("]")
    if not end or mark not in ("", _SECOND) or not _ZONE_NAME.fullmatch(name):
        raise ValueError("not the name of a time zone")
    return moment.replace(tzinfo=ZoneInfo(name), fold=int(mark == _SECOND))


def time_text(moment: time) -> str:
    """Return a naive time as it is; an aware one as UTC, but not wrapped around midnight.

    Python's ``==`` doesn't wrap it either.
    """
    offset = moment.utcoffset()
    if offset is None:
        return moment.replace(tzinfo=None).isoformat()
    seconds = moment.hour * 3600 + moment.minute * 60 + moment.second
    seconds -= offset.days * _DAY + offset.seconds
    shown = min(max(seconds, 0), _DAY - 1)
    zone = timezone(timedelta(seconds=shown - seconds))
    hour, minute = divmod(shown // 60, 60)
    return time(hour, minute, shown % 60, moment.microsecond, zone).isoformat()


def timedelta_text(duration: timedelta) -> str:
    return str((duration.days * _DAY + duration.seconds) * 1_000_000 + duration.microseconds)


def timedelta_value(text: str) -> timedelta:
    return timedelta(microseconds=integer(text))


SCALARS = (
    Scalar("i", int, integer_text, integer),
    Scalar("c", complex, complex_text, complex_number),
    Scalar("d", Decimal, decimal_text, decimal),
    Scalar("q", Fraction, fraction_text, fraction),
    Scalar("D", datetime, datetime_text, datetime_value),  # before date, its base class
    Scalar("a", date, date.isoformat, date.fromisoformat),
    Scalar("T", time, time_text, time.fromisoformat),
    Scalar("e", timedelta, timedelta_text, timedelta_value),
    Scalar("u", UUID, str, UUID),
)
BY_CLASS = {scalar.cls: scalar for scalar in SCALARS}
BY_TAG = {scalar.tag: scalar for scalar in SCALARS}


def restore(tag: str, text: str) -> Any:
    """Return the value that was written as *text* under *tag*."""
    return BY_TAG[tag].loads(text)
