"""The law of the default serializer: equal by ``==`` if and only if equal as bytes."""

import math
import os
import subprocess
import sys
from collections import namedtuple
from datetime import UTC, datetime, time, timedelta, timezone
from decimal import Decimal, localcontext
from enum import Enum
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from redset.codecs import ValueSerializer
from redset.exceptions import InvalidTypeError, InvalidValueError, SerializerError
from tests.unit.codecs.strategies import (
    BERLIN,
    FIXED,
    FOLDED,
    SKIPPED,
    Colour,
    Level,
    mutated,
    pairs,
    same,
    values,
)

SERIALIZER = ValueSerializer()
dumps, loads = SERIALIZER.dumps, SERIALIZER.loads
Point = namedtuple("Point", "x,y")
NAN = float("nan")


@pytest.mark.law
@given(pairs())
@example((10**9999, Decimal("1E+9999")))
@example((10**119_999, Decimal("1E+119999")))
@example((10**120_000 - 1, Decimal(10**120_000 - 1)))
@example((Decimal("1E+120000"), Decimal("10E+119999")))
@example((Decimal("-17E+999999"), Decimal("-1.7E+1000000")))
@example((Decimal("1E-120000"), Decimal("10E-120001")))
@example((Decimal("0.1"), 0.1))
@example((Fraction(1, 10), Decimal("0.1")))
@example((complex(NAN, 0), NAN))
@example((frozenset({NAN, float("nan")}), frozenset({NAN})))
@example((FOLDED.replace(tzinfo=BERLIN), FOLDED.replace(tzinfo=BERLIN).astimezone(UTC)))
@example((time(0, 30, tzinfo=timezone(timedelta(hours=1))), time(23, 30, tzinfo=UTC)))
def test_items_are_equal_if_and_only_if_their_bytes_are(pair: tuple[Any, Any]) -> None:
    one, other = pair
    assert same(one, other) == (dumps(one) == dumps(other))


@pytest.mark.law
@given(values)
def test_what_comes_back_is_equal(value: Any) -> None:
    assert same(loads(dumps(value)), value)


@pytest.mark.parametrize(
    "equal",
    [
        [1, 1.0, True, Decimal(1), Decimal("1.00"), Fraction(1), complex(1, 0), Level.HIGH],
        [0.5, Decimal("0.5"), Fraction(1, 2), complex(0.5, -0.0)],
        [0, 0.0, -0.0, False, Decimal("-0E+7"), complex(-0.0, -0.0), Level.LOW],
        [(1, "a"), (1.0, "a"), Point(True, "a")],
        [NAN, -NAN, math.inf - math.inf],
        [math.inf, Decimal("Infinity")],
        ["red", Colour.RED],
        [frozenset("ab"), frozenset("ba")],
        [
            datetime(2024, 1, 1, 12, tzinfo=UTC),
            datetime(2024, 1, 1, 13, tzinfo=BERLIN),
            datetime(2024, 1, 1, 11, 59, tzinfo=timezone(timedelta(minutes=-1))),
        ],
        [time(12, tzinfo=UTC), time(13, tzinfo=timezone(timedelta(hours=1)))],
        [time(12), time(12, tzinfo=BERLIN), time(12, fold=1)],
    ],
    # Not its repr: that of a frozenset differs from process to process.
    ids=lambda equal: type(equal[0]).__name__,
)
def test_equal_items_of_several_types_are_one(equal: list[Any]) -> None:
    assert len({dumps(item) for item in equal}) == 1


def test_items_that_only_look_alike_stay_apart() -> None:
    texts = ["1", b"1", "a", b"a", "", b"", "s:a", "\ud800", "2024"]
    containers = [(), ("a",), ("",), ("", ""), ((),), frozenset(), frozenset({()})]
    numbers = [None, 1, 0.1, Decimal("0.1"), 2**53, 2**53 + 1]
    moment = datetime(2024, 1, 1)
    different = [*texts, *containers, *numbers, moment, moment.date(), moment.replace(tzinfo=UTC)]
    assert len({dumps(item) for item in different}) == len(set(different))


@pytest.mark.parametrize("item", [0.5, Decimal("0.1"), Fraction(1, 3), 7, 2j, math.inf, "é", b"\0"])
def test_a_type_survives_where_no_equal_value_of_another_type_is_simpler(item: Any) -> None:
    assert type(loads(dumps(item))) is type(item)


@pytest.mark.parametrize(
    ("item", "member"), [("job:7", b"s:job:7"), (42, b"i:42"), (0.5, b"f:0.5")]
)
def test_common_members_can_be_read_in_redis_cli(item: Any, member: bytes) -> None:
    assert dumps(item) == member


def test_equal_moments_outside_of_the_years_of_utc_are_one() -> None:
    east, further = timezone(timedelta(hours=1)), timezone(timedelta(hours=2))
    early = datetime(1, 1, 1, 0, 30, tzinfo=east)
    late = datetime(9999, 12, 31, 23, 30, tzinfo=timezone(timedelta(hours=-1)))
    assert dumps(early) == dumps(datetime(1, 1, 1, 1, 30, tzinfo=further))
    assert loads(dumps(early)) == early
    assert loads(dumps(late)) == late


def test_a_skipped_or_doubled_hour_keeps_its_zone() -> None:
    for naive in (FOLDED, SKIPPED):
        moment = naive.replace(tzinfo=BERLIN)
        assert loads(dumps(moment)).tzinfo is BERLIN


@pytest.mark.parametrize("item", [[], {}, set(), bytearray(b"a"), (1, [2])], ids=repr)
def test_unhashable_items_are_refused_in_the_words_of_python_with_a_hint(item: Any) -> None:
    with pytest.raises(TypeError) as of_python:
        hash(item)
    with pytest.raises(InvalidTypeError) as refused:
        dumps(item)
    assert str(refused.value).startswith(str(of_python.value))
    assert "JSONSerializer()" in str(refused.value)


class Opaque(Enum):
    ONE = 1


class CaseBlind(str):
    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and self.lower() == other.lower()

    def __hash__(self) -> int:
        return hash(self.lower())


@pytest.mark.parametrize("item", [object(), Opaque.ONE, CaseBlind("a"), (object(),), range(2), int])
def test_other_types_are_refused_with_their_name_and_the_alternatives(item: Any) -> None:
    with pytest.raises(InvalidTypeError, match=r"type \w+ needs .*Msgpack"):
        dumps(item)


def test_integers_of_any_size_come_back() -> None:
    for item in (7**9999, -(7**9999), 10**9999, 2**99999):
        assert loads(dumps(item)) == item
    with pytest.raises(InvalidTypeError):
        dumps((object(), 7**9999))


@pytest.mark.parametrize(
    ("item", "part"),
    [
        (10**120_000, "120,000 decimal digits"),
        (Fraction(3, 1 << 50_000), "40000 bits"),
        (Fraction(3**30_000, 7), "40000 bits"),
        (frozenset(number * (2**61 - 1) for number in range(2000)), "same hash"),
    ],
    ids=["int", "denominator", "numerator", "frozenset"],
)
def test_what_would_take_too_long_to_read_is_not_written(item: Any, part: str) -> None:
    with pytest.raises(InvalidValueError, match=part):
        dumps(item)
    with pytest.raises(InvalidValueError, match=part):
        dumps((item,))


def test_decimals_beyond_every_integer_come_back() -> None:
    for item in (Decimal("1E+120000"), Decimal("-17E+999999999"), Decimal(f"1{'7' * 130_000}")):
        assert same(loads(dumps(item)), item)
    assert dumps(Decimal("-1.70E+999999")) == b"i:-17*10^999998"


def test_a_signaling_nan_is_refused_like_by_set() -> None:
    with pytest.raises(InvalidTypeError, match="signaling NaN"):
        dumps(Decimal("sNaN"))


def test_an_item_nested_without_end_is_refused_and_not_a_crash() -> None:
    item: Any = ()
    for _ in range(100):
        item = (item,)
    with pytest.raises(InvalidValueError, match="nested"):
        dumps(item)
    assert loads(dumps(item[0])) == item[0]


@pytest.mark.parametrize(
    "item", ["a", 1, 10**400, Decimal("0.1"), Decimal("1E+99"), Decimal("NaN")]
)
def test_the_decimal_context_of_the_caller_changes_no_bytes(item: Any) -> None:
    member = dumps(item)
    with localcontext() as context:
        context.prec, context.capitals = 1, 0
        context.clear_traps()
        assert dumps(item) == member
        assert same(loads(member), item)
        with pytest.raises(SerializerError):
            loads(b"d:rubbish")


BAD = [
    b"", b"s", b"x:", b"i:", b"i:01", b"i:+1", b"i: 1", b"i:1_0", b"f:1.0", b"f:0.50", b"f:NAN",
    b"i:0xff", b"i:0xff*10^99999999999999999999", b"d:0.5", b"d:sNaN", b"d:1E+99999999999999999999",
    b"q:1/0", b"q:2/4", b"q:1/2", b"t:9999999999 s:a", b"t:3 s:a ", b"t:3 s:a4 i:42", b"t:03 s:a",
    b"t:-1 s:a", b"z:3 s:b 3 s:a", b"z:3 s:a 3 s:a", b"D:2024", b"D:2024-01-01T00:00:00[../x]",
    b"D:2024-01-01T00:00:00[Europe/Berlin]", b"D:2024-01-01T00:00:00[Europe]", b"e:" + b"9" * 30,
    b"i:0x1*10^99999", b"i:1*10^99999", b"i:1*10^119999", b"i:10*10^120000", b"i:01*10^120000",
    b"i:1*10^0120000", b"i:+1*10^120000", b"i:0*10^120000", b"i:1*10^-1", b"i:1*10^9" + b"9" * 30,
    b"d:1E+120000", b"d:Infinity", b"d:1.0E-9", b"d:0E-400", b"d:" + b"9" * 400, b"d:5E-1",
    b"q:0x1/0x3", b"q:1/3_0", b"q:3/-1", b"f:" + b"1" * 400, b"D:2024-01-01T00:00:00[",
    b"D:2024-01-01T00:00[../x\nCRITICAL:\x1b[2J]", b"D:2024-01-01T00:00:00[Europe/Berlin\n]",
    b"u:1", b"c:1.0,0.0", b"n:x", b"s:\xff", b"i:" + b"9" * 5000, b"t:3 s:ax3 s:a",
]  # fmt: skip


@pytest.mark.parametrize("member", BAD, ids=repr)
def test_bytes_that_dumps_never_writes_are_an_error(member: bytes) -> None:
    with pytest.raises(SerializerError, match="ValueSerializer can't read member"):
        loads(member)


def test_members_nested_without_end_are_an_error_and_not_a_crash() -> None:
    member = b"t:"
    for _ in range(5000):
        member = b"t:%d %b" % (len(member), member)
    with pytest.raises(SerializerError):
        loads(member)


def test_text_is_no_member() -> None:
    with pytest.raises(SerializerError, match="expected bytes"):
        loads("s:a")


@given(st.data())
def test_any_bytes_are_the_one_member_of_an_item_or_an_error(data: st.DataObject) -> None:
    member = data.draw(
        st.one_of(
            st.binary(),
            st.builds(bytes.__add__, st.sampled_from([b"t:", b"i:", b"z:", b"D:"]), st.binary()),
            values.map(dumps).flatmap(mutated),
        )
    )
    try:
        item = loads(member)
    except SerializerError:
        return
    assert dumps(item) == member


def test_bytes_are_the_same_in_every_process() -> None:
    program = (
        "from redset.codecs import ValueSerializer as V\n"
        "from tests.unit.codecs.strategies import FIXED\n"
        "print([V().dumps(item) for item in FIXED])"
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
    assert outputs == {f"{[dumps(item) for item in FIXED]}\n"}
