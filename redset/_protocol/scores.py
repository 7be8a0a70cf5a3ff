"""Scores: what may be one, and the times that serve as one."""

import math
import time
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from numbers import Real
from typing import Any

from redset._support.forks import reentrant_lock
from redset._support.native import native
from redset._support.words import shown
from redset.exceptions import InvalidTypeError, InvalidValueError

Clock = Callable[[], float]

# Up to here, a float holds every integer.
_EXACT = 2**53


def zero(_item: object) -> float:
    """The scorer of a set that has none."""
    return 0.0


def check_score(name: str, item: object, score: Any) -> Any:
    """Give *score* back if a float holds it, whatever its type; name what is wrong if not.

    A Decimal or Fraction with a fractional part also passes if the float is written with its
    digits: ``Decimal("0.1")`` is 0.1.
    """
    kind = type(score)
    if (kind is float and not math.isnan(score)) or (kind is int and -_EXACT <= score <= _EXACT):
        return score
    where = f"redset {shown(name)}: score of {shown(item)} must be a real number"
    number = native(score)
    if not isinstance(number, Real | Decimal):
        raise InvalidTypeError(f"{where}, got {kind.__name__} {shown(score)}")
    try:
        held = float(number)
    except (OverflowError, ValueError) as error:
        raise InvalidValueError(f"{where} that a float can hold, got {shown(score)}") from error
    if math.isnan(held):
        raise InvalidValueError(f"{where}, got nan")
    if not _is_held(held, number):
        raise InvalidValueError(
            f"{where} that a float can hold exactly, got {shown(score)}, which would become "
            f"{shown(held)}; "
            "give float(score) if that will do"
        )
    return score


def _is_held(held: float, number: Any) -> bool:
    if held == number:
        return True
    # An integer that is rounded would share its score with its neighbours.
    fractional = isinstance(number, Decimal | Fraction) and not held.is_integer()
    return fractional and type(number)(repr(held)) == number


def no_sum(name: str) -> InvalidValueError:
    """Return the error for a sum that would be no number, and that the server may write as 0."""
    return InvalidValueError(
        f"redset {shown(name)}: inf and -inf have no sum that could be a score, nor has inf "
        "a product with a weight of 0; nothing was changed"
    )


class UniqueTimes:
    """Times of one clock, none given twice: equal or slightly earlier readings move up by one ulp.

    A clock that was set back by more than a second is followed.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last = -math.inf
        self._lock = reentrant_lock()

    def next(self) -> float:
        """Return a time later than any that was returned before."""
        while True:
            last = self._last
            time = self._after(last)
            # Nothing is called while the lock is held, so no signal handler can come between.
            with self._lock.get():
                if self._last == last:
                    self._last = time
                    return time

    def now(self) -> float:
        """Return the time by which all that was given out so far has come."""
        last = self._last
        reading = float(self._clock())
        return last if last - 1.0 < reading <= last else reading

    def _after(self, last: float) -> float:
        reading = float(self._clock())
        return math.nextafter(last, math.inf) if last - 1.0 < reading <= last else reading


_system_times = UniqueTimes(time.time)


def unique_times(clock: Clock) -> UniqueTimes:
    """The times of *clock*: all sets of a process on ``time.time`` share one sequence."""
    return _system_times if clock is time.time else UniqueTimes(clock)
