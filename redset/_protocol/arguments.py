"""Checks of arguments: each raises an error that names the set, the argument and its value."""

import math
import operator
from collections.abc import Callable
from numbers import Real
from typing import Any

from redset._support.words import shown
from redset.exceptions import InvalidTypeError, InvalidValueError

LONGEST_WORKER = 200
# No set has more items. The server refuses numbers beyond 64 bits, and a ZRANDMEMBER with scores
# a larger number than this, since it replies with twice as many elements.
FARTHEST = (1 << 62) - 1
# 3,000 years: the server can't count the milliseconds of a much longer time.
LONGEST_SECONDS = 1e11

# The reasons why an item is dead: see `redset._plans.leasing.DeadLetter`.
REASONS = ("failed", "expired", "rejected", "undecodable")


def check_count(name: str, argument: str, value: object) -> int:
    """Return *value* (anything with ``__index__``) as an int; raise an error for other types."""
    try:
        return operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise InvalidTypeError(
            f"redset {shown(name)}: {argument} must be an integer, got "
            f"{type(value).__name__} {shown(value)}"
        ) from None


def check_seconds(
    name: str, argument: str, value: Any, *, least: float = 0.0, hint: str = ""
) -> float:
    """Return *value* as a float; raise an error if it is not a number of seconds.

    If it is longer than `LONGEST_SECONDS`, return that. *hint* ends the error for a value that is
    out of range: it says what to do instead.
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        raise InvalidTypeError(
            f"redset {shown(name)}: {argument} must be a number of seconds, "
            f"got {type(value).__name__} {shown(value)}"
        )
    try:
        seconds = float(value)
    except OverflowError:  # an int of more digits than a float holds
        seconds = math.inf
    if not least <= seconds < math.inf:
        raise InvalidValueError(
            f"redset {shown(name)}: {argument} must be at least {least:g} seconds and finite, "
            f"got {shown(value)}{hint}"
        )
    return min(seconds, LONGEST_SECONDS)


def check_timeout(name: str, value: Any) -> float | None:
    """Return the seconds to wait; ``None`` if the wait has no end."""
    return None if value is None else check_seconds(name, "timeout", value)


def check_stop(name: str, stop: Any) -> Callable[[], bool] | None:
    """Return a function that returns whether to stop; ``None`` if there is no *stop*.

    The function calls *stop*, or its ``is_set``. Once that was true, the function stays true.
    """
    if stop is None:
        return None
    asked = getattr(stop, "is_set", stop)
    if not callable(asked) or isinstance(stop, type):
        raise InvalidTypeError(
            f"redset {shown(name)}: stop must be callable or have is_set(), as "
            f"threading.Event has, got {type(stop).__name__} {shown(stop)}"
        )
    answered = False

    def stopped() -> bool:
        nonlocal answered
        answered = answered or bool(asked())
        return answered

    return stopped


def check_worker(name: str, worker: object) -> str:
    """Return the name of a worker as the server keeps it; ``""`` for ``None``."""
    if worker is None:
        return ""
    if not isinstance(worker, str):
        raise InvalidTypeError(
            f"redset {shown(name)}: worker must be a str, got {type(worker).__name__} "
            f"{shown(worker)}"
        )
    if not worker or len(worker) > LONGEST_WORKER:
        raise InvalidValueError(
            f"redset {shown(name)}: worker must have 1 to {LONGEST_WORKER} characters, got "
            f"{len(worker)}"
        )
    return worker.encode("utf-8", "replace").decode()


def check_reason(name: str, reason: object) -> None:
    """Raise an error unless *reason* is ``None`` or one of `REASONS`."""
    if reason is not None and reason not in REASONS:
        raise InvalidValueError(
            f"redset {shown(name)}: reason must be one of {', '.join(REASONS)}; got {shown(reason)}"
        )


def check_most(name: str, value: object) -> int | None:
    """Return *value*, the deliveries after which an item that is not acknowledged is dead."""
    if value is None:
        return None
    most = check_count(name, "max_deliveries", value)
    if most < 1:
        raise InvalidValueError(
            f"redset {shown(name)}: max_deliveries must be 1 or more, got {shown(value)}"
        )
    return min(most, FARTHEST)
