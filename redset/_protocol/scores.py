"""Scores: the check of a score, and times that serve as scores."""

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
    """Return 0.0: the scorer of a set without one."""
    return 0.0


def check_score(name: str, item: object, score: Any) -> Any:
    """Return *score*, of any numeric type, if a float can hold it exactly; else raise an error.

    A Decimal or Fraction with a fractional part is also accepted if the float's digits are the
    same: ``Decimal("0.1")`` is 0.1.
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
    # If an integer were rounded, it would have the same score as its neighbours.
    fractional = isinstance(number, Decimal | Fraction) and not held.is_integer()
    return fractional and type(number)(repr(held)) == number


def no_sum(name: str) -> InvalidValueError:
    """Return the error for a sum that is not a number: the server may store 0 for it."""
    return InvalidValueError(
        f"redset {shown(name)}: inf and -inf have no sum that could be a score, nor has inf "
        "a product with a weight of 0; nothing was changed"
    )


class UniqueTimes:
    """Times of one clock, each returned once: an equal or slightly earlier reading adds one ulp.

    If the clock was set back by more than a second, the times follow it.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last = -math.inf
        self._lock = reentrant_lock()

    def next(self) -> float:
        """Return a time that is later than all times returned before."""
        while True:
            last = self._last
            time = self._after(last)
            if math.isnan(time):
                return time  # no score: the caller refuses it
            # No call is made while the lock is held, so no signal handler can run in between.
            with self._lock.get():
                if self._last == last:
                    self._last = time
                    return time

    def now(self) -> float:
        """Return the clock's time, not earlier than the last time returned by `next`."""
        last = self._last
        reading = float(self._clock())
        return last if last - 1.0 < reading <= last else reading

    def _after(self, last: float) -> float:
        reading = float(self._clock())
        return math.nextafter(last, math.inf) if last - 1.0 < reading <= last else reading


_system_times = UniqueTimes(time.time)


def unique_times(clock: Clock) -> UniqueTimes:
    """Return the times of *clock*; all sets of a process on ``time.time`` share one sequence."""
    return _system_times if clock is time.time else UniqueTimes(clock)
