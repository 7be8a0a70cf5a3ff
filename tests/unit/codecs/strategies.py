"""Strategies and oracles: values that are often equal across types, and bytes of a stranger."""

import math
from collections import namedtuple
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import IntEnum, StrEnum
from fractions import Fraction
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

Pair = namedtuple("Pair", "left,right")


class Level(IntEnum):
    LOW = 0
    HIGH = 1


class Colour(StrEnum):
    RED = "red"


BERLIN = ZoneInfo("Europe/Berlin")
ZONES = [
    None,
    UTC,
    BERLIN,
    ZoneInfo("America/New_York"),
    ZoneInfo("Europe/Paris"),
    timezone(timedelta(hours=5, minutes=30)),
    timezone(timedelta(hours=-23, seconds=-7, microseconds=-3)),
    timezone(timedelta(hours=23, minutes=59)),
]
FOLDED = datetime(2024, 10, 27, 2, 30)
SKIPPED = datetime(2024, 3, 31, 2, 30)

texts = st.text(st.characters(codec=None, exclude_categories=()), max_size=8)
integers = st.one_of(
    st.integers(-3, 3),
    st.integers(),
    st.builds(
        lambda base, exponent, step: base**exponent + step,
        st.sampled_from([2, 10, -10]),
        st.sampled_from([53, 63, 64, 1024, 4200]),
        st.integers(-1, 1),
    ),
)
floats = st.one_of(st.sampled_from([0.0, -0.0, 0.1, 0.5, 1e300, 5e-324]), st.floats())
decimals = st.one_of(
    st.sampled_from(
        list(map(Decimal, ["-0", "0.1", "0.5", "1E+400", "-1E+4200", "1E+9999999", "1E-9999999"]))
    ),
    st.decimals().filter(lambda number: not number.is_snan()),
)
fractions = st.one_of(
    st.fractions(),
    st.builds(Fraction, integers, st.sampled_from([1, 3, 10, 2**60, 2**1100, 10**30])),
)
numbers = st.one_of(
    integers,
    floats,
    decimals,
    fractions,
    st.booleans(),
    st.complex_numbers(),
    st.sampled_from(Level),
)
folds = st.sampled_from([0, 1])


def depends_on_fold(moment: datetime) -> bool:
    return moment.replace(fold=not moment.fold).utcoffset() != moment.utcoffset()


def unbent(moment: datetime) -> datetime:
    """*moment*, or the first of the two if ``==`` doesn't tell it from the first."""
    return moment.replace(fold=0) if depends_on_fold(moment) else moment


datetimes = st.builds(
    lambda moment, zone, fold: unbent(moment.replace(tzinfo=zone, fold=fold)),
    st.one_of(
        st.datetimes(),
        st.sampled_from([FOLDED, SKIPPED, datetime.min, datetime.max, datetime(2024, 1, 1, 12)]),
    ),
    st.sampled_from(ZONES),
    folds,
)
times = st.builds(
    lambda moment, zone, fold: moment.replace(tzinfo=zone, fold=fold),
    st.one_of(st.times(), st.sampled_from([time(0), time(0, 30), time(23, 59, 59)])),
    st.sampled_from(ZONES),
    folds,
)
_scalars = st.one_of(
    st.none(),
    numbers,
    texts,
    st.binary(max_size=8),
    st.dates(),
    times,
    datetimes,
    st.timedeltas(),
    st.uuids(),
    st.sampled_from([Colour.RED, "red"]),
)


@st.composite
def scalars(draw: st.DrawFn) -> Any:
    """Any scalar; a strategy of its own for the sake of its short repr in reports."""
    return draw(_scalars)


values = st.recursive(
    scalars(),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map(tuple),
        st.frozensets(inner, max_size=4),
        st.builds(Pair, inner, inner),
    ),
    max_leaves=8,
)


def _number_variants(number: Any) -> list[Any]:
    made: list[Callable[[Any], Any]] = [
        int,
        float,
        bool,
        complex,
        Decimal,
        Fraction,
        Level,
        lambda one: Fraction(Decimal(one)),
        lambda one: Decimal(one.numerator) / Decimal(one.denominator),
        lambda one: Decimal(f"{one}0"),
        lambda one: math.nextafter(one, math.inf),
        lambda one: one + 1,
    ]
    huge = isinstance(number, Decimal) and number.is_finite() and abs(number.adjusted()) > 5000
    return [*_attempts(made[3:5] if huge else made, number), number]


def _attempts(made: list[Callable[[Any], Any]], number: Any) -> list[Any]:
    results = []
    for make in made:
        try:
            results.append(make(number))
        except (ValueError, TypeError, ArithmeticError, AttributeError):
            continue
    return results


def variant(draw: st.DrawFn, value: Any) -> Any:
    """A value that is equal to *value*, or nearly so, and often of another type."""
    if isinstance(value, tuple):
        parts = tuple(variant(draw, part) for part in value)
        return Pair(*parts) if len(parts) == 2 and draw(st.booleans()) else parts
    if isinstance(value, frozenset):
        # A nan hashes by its address, so the order of the set differs from run to run.
        return frozenset(variant(draw, part) for part in sorted(value, key=repr))
    return _scalar_variant(draw, value)


def _scalar_variant(draw: st.DrawFn, value: Any) -> Any:
    if isinstance(value, int | float | complex | Decimal | Fraction):
        return draw(st.sampled_from(_number_variants(value)))
    if isinstance(value, datetime):
        return _other_zone(draw, value)
    if isinstance(value, time):
        shifted = value.replace(tzinfo=draw(st.sampled_from(ZONES)), fold=draw(folds))
        return draw(st.sampled_from([value, shifted, _shifted_time(value)]))
    if isinstance(value, str):
        return Colour.RED if value == "red" else "".join(value)
    return value


def _other_zone(draw: st.DrawFn, moment: datetime) -> datetime:
    zone = draw(st.sampled_from(ZONES))
    if zone is None or moment.tzinfo is None or draw(st.booleans()):
        return unbent(moment.replace(tzinfo=zone, fold=draw(folds)))
    try:
        return unbent(moment.astimezone(zone))
    except (OverflowError, ValueError):
        return moment


def _shifted_time(moment: time) -> time:
    """The same time as seen half an hour further east, if it is aware."""
    offset = moment.utcoffset()
    if offset is None or moment.hour > 22 or abs(offset) > timedelta(hours=20):
        return moment
    return moment.replace(hour=moment.hour + 1, tzinfo=timezone(offset + timedelta(hours=1)))


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Any, Any]:
    """Two values: mostly variants of one, sometimes any two."""
    one = draw(values)
    return one, variant(draw, one) if draw(st.integers(0, 4)) else draw(values)


def same(one: Any, other: Any) -> bool:
    """The oracle: Python's ``==``, except that a nan equals a nan of its kind."""
    if isinstance(one, tuple) and isinstance(other, tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, frozenset) and isinstance(other, frozenset):
        return _covers(one, other) and _covers(other, one)
    if isinstance(one, complex) and isinstance(other, complex):
        return same(one.real, other.real) and same(one.imag, other.imag)
    if isinstance(one, float) and isinstance(other, float) and math.isnan(one):
        return math.isnan(other)
    if isinstance(one, Decimal) and isinstance(other, Decimal) and one.is_nan():
        return repr(one) == repr(other)
    return bool(one == other)


def _covers(one: frozenset[Any], other: frozenset[Any]) -> bool:
    return all(any(same(left, right) for right in other) for left in one)


plain_values = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), texts, st.binary()
)
keys = st.one_of(texts, st.integers(), st.booleans(), st.tuples(texts, st.integers()))
documents = st.recursive(
    st.one_of(plain_values, st.decimals(allow_nan=False), st.uuids(), datetimes, st.timedeltas()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(keys, inner, max_size=4),
        st.sets(keys, max_size=4),
        st.frozensets(keys, max_size=4),
    ),
    max_leaves=10,
)
json_documents = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(), inner, max_size=4)
    ),
    max_leaves=10,
)


def shuffled(document: Any) -> Any:
    """The same content in another order, from other objects."""
    if isinstance(document, dict):
        return {shuffled(key): shuffled(document[key]) for key in reversed(document)}
    if isinstance(document, list | tuple):
        return type(document)([shuffled(part) for part in document])
    if isinstance(document, set | frozenset):
        return type(document)(reversed([shuffled(part) for part in document]))
    return document


def typed(document: Any) -> Any:
    """What two documents must agree in to be one item: content and types, not order."""
    if isinstance(document, dict):
        return dict, frozenset((typed(key), typed(value)) for key, value in document.items())
    if isinstance(document, list | tuple):
        return type(document), tuple(typed(part) for part in document)
    if isinstance(document, set | frozenset):
        return type(document), frozenset(typed(part) for part in document)
    return type(document), document


@st.composite
def mutated(draw: st.DrawFn, member: bytes) -> bytes:
    """*member* with some bytes changed, cut out or doubled."""
    start = draw(st.integers(0, len(member)))
    end = draw(st.integers(start, min(len(member), start + 4)))
    return member[:start] + draw(st.binary(max_size=4)) + member[end:]


FIXED: list[Any] = [
    ("a", 1, None, frozenset({"x", "y", "z", 1, 2.5, ("t", b"b")})),
    frozenset(map(str, range(20))),
    date(2024, 1, 1),
    UUID(int=7),
    Decimal("0.1"),
    Fraction(1, 3),
]
