"""What may be a score, and times that one process gives only once."""

import math
import threading
from contextlib import suppress
from decimal import Decimal
from fractions import Fraction
from typing import Any

import gmpy2
import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from redset._protocol.scores import UniqueTimes, check_score
from redset.exceptions import InvalidTypeError, InvalidValueError

SCORES: list[Any] = [
    *(0, -1, 2**53, 2**60, 0.5, math.inf, -math.inf, True),
    *(Decimal("0.1"), Decimal("19.99"), Decimal("1700000000.123456"), Decimal("-Infinity")),
    *(Fraction(1, 8), Fraction(1, 10)),
    *(numpy.int64(2**60), numpy.float32(0.1), numpy.longdouble(0.5), numpy.bool_(True)),
    *(gmpy2.mpz(7), gmpy2.mpq(1, 10), gmpy2.mpfr("0.1")),
]


@pytest.mark.parametrize("score", SCORES, ids=repr)
def test_a_real_number_is_a_score(score: object) -> None:
    assert check_score("jobs", "x", score) is score


@pytest.mark.parametrize(
    ("score", "error", "said"),
    [
        (math.nan, InvalidValueError, "got nan"),
        (Decimal("nan"), InvalidValueError, "got nan"),
        (Decimal("snan"), InvalidValueError, "got Decimal"),
        (2**53 + 1, InvalidValueError, "9007199254740993"),
        (10**400, InvalidValueError, "that a float can hold"),
        (numpy.int64(2**53 + 1), InvalidValueError, "9007199254740993"),
        (numpy.uint64(2**64 - 1), InvalidValueError, "18446744073709551615"),
        (gmpy2.mpz(2**53 + 1), InvalidValueError, "9007199254740993"),
        (Decimal(2**53 + 1), InvalidValueError, "become 9007199254740992.0"),
        (Decimal("1E+23"), InvalidValueError, "hold exactly"),
        (Decimal("1E+400"), InvalidValueError, "become inf"),
        (Decimal("1E-400"), InvalidValueError, "become 0.0"),
        (Decimal("0.99999999999999999999"), InvalidValueError, "become 1.0"),
        (Decimal("1700000000.123456789"), InvalidValueError, "give float(score)"),
        (Fraction(2**53 + 1), InvalidValueError, "9007199254740993"),
        (Fraction(1, 3), InvalidValueError, "become 0.3333333333333333"),
        (numpy.longdouble(1) / 3, InvalidValueError, "hold exactly"),
        (gmpy2.mpq(1, 3), InvalidValueError, "hold exactly"),
        (gmpy2.mpfr("0.1", 200), InvalidValueError, "hold exactly"),
        (numpy.float32("nan"), InvalidValueError, "got nan"),
        (numpy.timedelta64(1, "s"), InvalidTypeError, "got timedelta64"),
        ("1", InvalidTypeError, "got str '1'"),
        (None, InvalidTypeError, "got NoneType None"),
        (1j, InvalidTypeError, "got complex 1j"),
    ],
)
def test_a_score_that_cannot_be_kept_is_refused(
    score: object, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match="redset 'jobs': score of 'x' must be a real number") as caught:
        check_score("jobs", "x", score)
    assert said in str(caught.value)


@given(
    one=st.integers(2**52, 2**60),
    step=st.integers(-3, 3),
    kind=st.sampled_from([int, Decimal, Fraction, numpy.int64, gmpy2.mpz, gmpy2.mpq]),
)
def test_integers_of_no_type_share_a_score(one: int, step: int, kind: Any) -> None:
    kept = set()
    for number in {one, one + step}:
        with suppress(InvalidValueError):
            kept.add((number, float(check_score("jobs", "x", kind(number)))))
    assert len({score for _, score in kept}) == len(kept)
    assert all(number == score for number, score in kept)


def test_a_clock_that_stands_still_gives_rising_times() -> None:
    times = UniqueTimes(lambda: 1_700_000_000.0)
    given = [times.next() for _ in range(1_000)]
    assert given == sorted(set(given))
    assert given[0] == 1_700_000_000.0
    assert given[-1] < 1_700_000_000.001
    assert times.now() == given[-1]


def test_a_clock_that_is_set_back_is_followed() -> None:
    readings = iter([100.0, 50.0, 50.0])
    times = UniqueTimes(lambda: next(readings))
    assert [times.next(), times.next(), times.now()] == [100.0, 50.0, 50.0]


def test_threads_never_get_one_time_twice() -> None:
    times = UniqueTimes(lambda: 5.0)
    given: list[float] = []
    threads = [
        threading.Thread(target=lambda: given.extend(times.next() for _ in range(2_000)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(given)) == 8_000


def test_a_clock_that_is_no_number_once_stops_no_later_call() -> None:
    times = UniqueTimes(iter([1.0, math.nan, 3.0, math.nan, 2.9]).__next__)
    first, second, third, fourth, fifth = (times.next() for _ in range(5))
    assert (first, third, math.isnan(second), math.isnan(fourth)) == (1.0, 3.0, True, True)
    assert fifth > 3.0
