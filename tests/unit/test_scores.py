"""What may be a score, and times that one process gives only once."""

import math
import threading
from decimal import Decimal
from fractions import Fraction

import pytest

from redset._core.scores import UniqueTimes, check_score
from redset.exceptions import InvalidTypeError, InvalidValueError


@pytest.mark.parametrize(
    "score", [0, -1, 2**53, 2**60, 0.5, math.inf, -math.inf, Decimal("0.1"), Fraction(1, 3), True]
)
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
