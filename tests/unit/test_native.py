"""Numbers and scalars of other libraries: the item that they equal, or refused."""

import math
from collections import UserString
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from ipaddress import ip_address
from typing import Any, NamedTuple

import gmpy2
import numpy
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from redset._support.native import is_lookalike, native
from redset.codecs import JSONSerializer, MsgpackSerializer, ValueSerializer
from redset.exceptions import InvalidTypeError, InvalidValueError, UncertainItemError
from tests.unit.codecs.strategies import numbers, same, texts, variant

dumps = ValueSerializer().dumps
HIGH = gmpy2.mpfr("0.1", 200)


def of_gmpy2(make: Callable[..., Any], *precision: int) -> Callable[[Any], Any]:
    """A maker that takes no text and no Decimal, for some of which gmpy2 takes for ever."""

    def made(value: Any) -> Any:
        if type(value) not in {int, float, complex, Fraction}:
            raise TypeError
        return make(value, *precision)

    return made


# Each makes a value of another library of one of Python's, or fails.
MAKERS: list[Callable[[Any], Any]] = [
    *(numpy.bool_, numpy.int8, numpy.int64, numpy.uint64, numpy.float16, numpy.float32),
    *(numpy.float64, numpy.longdouble, numpy.complex64, numpy.complex128, numpy.clongdouble),
    *map(of_gmpy2, (gmpy2.mpz, gmpy2.mpq, gmpy2.mpfr, gmpy2.mpc)),
    of_gmpy2(gmpy2.mpfr, 500),
    *(numpy.str_, UserString, memoryview),
    lambda value: numpy.bytes_(memoryview(value)),  # of an int, it makes so many bytes
    *(numpy.datetime64, numpy.timedelta64),
    lambda moment: numpy.datetime64(moment, "ns"),
]
own = st.one_of(
    # An int of millions of digits takes seconds.
    numbers.filter(lambda one: not isinstance(one, Decimal) or abs(one.adjusted()) < 400),
    texts,
    st.binary(max_size=4),
    st.dates(),
    st.datetimes(),
    st.timedeltas(),
)


@st.composite
def foreign_pairs(draw: st.DrawFn) -> tuple[Any, Any]:
    """A value of another library, and one of Python's that is often equal to it."""
    value = draw(own)
    made = []
    for make in MAKERS:
        try:
            with numpy.errstate(all="ignore"):
                found = make(value)
            hash(found)
        except (TypeError, ValueError, ArithmeticError, AttributeError, DeprecationWarning):
            continue
        if isinstance(found, numpy.generic | UserString | memoryview) or "gmpy2" in repr(
            type(found)
        ):
            made.append(found)
    if not made:
        return value, value
    found = draw(st.sampled_from(made))
    twin = native(found)
    return found, draw(st.sampled_from([value, variant(draw, value), twin, variant(draw, twin)]))


def is_in_a_builtin_set(value: Any, item: Any) -> bool:
    try:
        return value in {item}
    except Exception:  # such as that of a comparison of gmpy2.mpq with a Decimal
        return False


@pytest.mark.law
@given(foreign_pairs())
@example((numpy.float32(0.1), 0.1))
@example((numpy.float32(0.1), float(numpy.float32(0.1))))
@example((numpy.int64(2**53 + 1), 2**53 + 1))
@example((numpy.uint64(2**64 - 1), float(2**64)))
@example((gmpy2.mpq(1, 10), Decimal("0.1")))
@example((gmpy2.mpq(1, 3), Fraction(1, 3)))
@example((HIGH, Fraction(*map(int, HIGH.as_integer_ratio()))))
@example((HIGH, 0.1))
@example((numpy.float16("nan"), math.nan))
@example((numpy.str_("\0"), "\0"))
@example((numpy.timedelta64(1, "s"), 1))
@example((UserString("a"), "a"))
def test_a_foreign_value_has_the_member_of_what_it_equals_or_is_refused(
    pair: tuple[Any, Any],
) -> None:
    foreign, item = pair
    try:
        member = dumps(foreign)
    except UncertainItemError:
        assert native(foreign) is foreign
        return
    except InvalidTypeError:
        assert not is_in_a_builtin_set(foreign, item)
        return
    if is_in_a_builtin_set(foreign, item):
        assert member == dumps(item)
    assert (member == dumps(item)) == same(native(foreign), item)
    assert dumps((foreign,)) == dumps((native(foreign),))


FOREIGN: list[tuple[Any, Any]] = [
    (numpy.int64(7), 7),
    (numpy.bool_(True), True),
    (numpy.float32(0.5), 0.5),
    (numpy.longdouble(0.5), 0.5),
    (numpy.complex64(2j), 2j),
    (numpy.str_("a"), "a"),
    (numpy.bytes_(b"a"), b"a"),
    (numpy.datetime64("2024-01-01"), date(2024, 1, 1)),
    (numpy.datetime64("2024-01-01T12"), datetime(2024, 1, 1, 12)),
    (numpy.timedelta64(90, "s"), timedelta(seconds=90)),
    (gmpy2.mpz(7), 7),
    (gmpy2.mpq(1, 3), Fraction(1, 3)),
    (gmpy2.mpfr("0.5"), 0.5),
    (gmpy2.mpc(2j), 2j),
    (memoryview(b"a"), b"a"),
]


@pytest.mark.parametrize(
    ("foreign", "item"), FOREIGN, ids=[type(each).__name__ for each, _ in FOREIGN]
)
def test_native_gives_pythons_own_value(foreign: Any, item: Any) -> None:
    assert native(foreign) == item
    assert type(native(foreign)) is type(item)
    documents = MsgpackSerializer()
    assert documents.dumps([foreign]) == documents.dumps([item])


def test_json_carries_the_numbers_of_other_libraries() -> None:
    values = {"a": [numpy.int64(1), numpy.float32(0.5), numpy.bool_(True), gmpy2.mpz(2**70)]}
    written = JSONSerializer().dumps(values | {numpy.str_("b"): numpy.str_("c")})
    assert written == f'{{"a":[1,0.5,true,{2**70}],"b":"c"}}'
    with pytest.raises(InvalidTypeError, match="JSON has no type Fraction"):
        JSONSerializer().dumps(gmpy2.mpq(1, 3))


class Stamp(datetime):
    """As pandas.Timestamp: a datetime that compares by what a datetime lacks."""

    nanosecond = 0

    def __eq__(self, other: object) -> bool:
        return not self.nanosecond and datetime.__eq__(self, other)

    __hash__ = datetime.__hash__


class CaseBlind(str):
    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and self.lower() == other.lower()

    def __hash__(self) -> int:
        return hash(self.lower())


class Lazy:
    """As the texts that Django translates when they are read."""

    def __str__(self) -> str:
        return "a"

    def __eq__(self, other: object) -> bool:
        return str(self) == other

    def __hash__(self) -> int:
        return hash("a")


class Seven:
    """A number that `numbers` doesn't know."""

    def __index__(self) -> int:
        return 7

    def __eq__(self, other: object) -> bool:
        return other == 7

    def __hash__(self) -> int:
        return 7


UNCERTAIN: list[Any] = [
    *(Stamp(2024, 1, 1), CaseBlind("a"), Lazy(), Seven(), UserString("a")),
    *(
        numpy.longdouble(1) / 3,
        numpy.datetime64("2024-01-01T12", "ns"),
        numpy.datetime64("NaT", "ns"),
    ),
]


@pytest.mark.parametrize("item", UNCERTAIN, ids=lambda item: type(item).__name__)
def test_what_may_be_equal_to_an_item_is_uncertain(item: Any) -> None:
    for nested in (item, (1, item), frozenset({item})):
        with pytest.raises(UncertainItemError, match=r"convert it to the type of Python's"):
            dumps(nested)


def test_a_number_that_is_too_long_to_be_written_is_uncertain() -> None:
    for number in (10**120_000, Fraction(3, 1 << 50_000), gmpy2.mpz(10) ** 120_000):
        with pytest.raises(UncertainItemError):
            dumps(number)


class Point(NamedTuple):
    x: int


@pytest.mark.parametrize(
    "item",
    [object(), range(2), ip_address("::1"), Point(1), int, math, time(1), 7, 7.0, "a"],
    ids=lambda item: type(item).__name__,
)
def test_what_equals_only_its_like_is_no_lookalike(item: Any) -> None:
    assert native(item) is item
    assert not is_lookalike(item)


def test_a_refusal_is_both_a_type_error_and_a_value_error() -> None:
    assert issubclass(UncertainItemError, InvalidTypeError)
    assert issubclass(UncertainItemError, InvalidValueError)
