"""Scores: what may be one, and the times that serve as one."""

import math
import time
from collections.abc import Callable
from decimal import Decimal
from numbers import Real
from typing import Any

from redset._core.forks import reentrant_lock
from redset.exceptions import InvalidTypeError, InvalidValueError

Clock = Callable[[], float]


def zero(_item: object) -> float:
    """The scorer of a set that has none."""
    return 0.0


def check_score(name: str, item: object, score: Any) -> Any:
    """Give *score* back if the server can keep it exactly as it is; name what is wrong if not."""
    if type(score) is float and not math.isnan(score):
        return score
    where = f"redset {name!r}: score of {item!r} must be a real number"
    if not isinstance(score, Real | Decimal):
        raise InvalidTypeError(f"{where}, got {type(score).__name__} {score!r}")
    try:
        exact = float(score)
    except (OverflowError, ValueError) as error:
        raise InvalidValueError(f"{where} that a float can hold, got {score!r}") from error
    if math.isnan(exact):
        raise InvalidValueError(f"{where}, got nan")
    if isinstance(score, int) and exact != score:
        raise InvalidValueError(
            f"{where} that a float can hold exactly, got {score!r}: "
            "beyond 2**53 neighbouring integers would become one score"
        )
    return score


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
