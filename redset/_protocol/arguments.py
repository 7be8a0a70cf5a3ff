"""Arguments: what an operation may be asked for, said in the words of its set."""

import math
import operator
from collections.abc import Callable
from numbers import Real
from typing import Any

from redset._support.words import shown
from redset.exceptions import InvalidTypeError, InvalidValueError

LONGEST_WORKER = 200
# No set has more items; the server refuses numbers beyond 64 bits.
FARTHEST = 1 << 62
# 3,000 years: the server can't count the milliseconds of much more, and for ever is no longer.
LONGEST_SECONDS = 1e11

# Why an item is dead: see `redset._plans.leasing.DeadLetter`.
REASONS = ("failed", "expired", "rejected", "undecodable")


def check_count(name: str, argument: str, value: object) -> int:
    """Give *value* as an int (anything with ``__index__``), or say which argument is wrong."""
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
    """Give *value* as a float, or say which argument is no number of seconds.

    What is longer than `LONGEST_SECONDS` is taken for that. *hint* says what to do instead.
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
    """Give the seconds to wait, ``None`` for ever."""
    return None if value is None else check_seconds(name, "timeout", value)


def check_stop(name: str, stop: Any) -> Callable[[], bool] | None:
    """Give what says whether to stop, and says so ever after; ``None`` without a *stop*.

    It asks *stop* itself, or its ``is_set``.
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
    """Give the name of a worker as the server keeps it; ``""`` for ``None``."""
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
    """Say what is wrong if *reason* is none for which an item is dead."""
    if reason is not None and reason not in REASONS:
        raise InvalidValueError(
            f"redset {shown(name)}: reason must be one of {', '.join(REASONS)}; got {shown(reason)}"
        )


def check_most(name: str, value: object) -> int | None:
    """Give the number of deliveries after which an item that comes back is dead."""
    if value is None:
        return None
    most = check_count(name, "max_deliveries", value)
    if most < 1:
        raise InvalidValueError(
            f"redset {shown(name)}: max_deliveries must be 1 or more, got {shown(value)}"
        )
    return min(most, FARTHEST)
