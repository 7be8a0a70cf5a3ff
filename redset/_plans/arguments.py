"""Checks of the arguments that operations share; an error names the set."""

from collections.abc import Iterable
from math import isinf
from typing import Any, Literal, get_args

from redset._protocol.arguments import FARTHEST, check_count, check_timeout
from redset._protocol.commands import number
from redset._protocol.config import AnyConfig, SetConfig, TakeOptions
from redset._protocol.scores import check_score
from redset._support.words import shown
from redset.exceptions import InvalidTypeError, InvalidValueError

# Which score an item gets if it has two: the one it had, the new one, or one computed of both.
OnConflict = Literal["keep", "replace", "min", "max", "sum"]
CONFLICTS: tuple[str, ...] = get_args(OnConflict)

# The shortest time-to-live that the server can set, in seconds.
MS = 0.001


def check_conflict(config: SetConfig[Any], conflict: str) -> None:
    """Raise ``ValueError`` if *conflict* is none of `CONFLICTS`."""
    if conflict not in CONFLICTS:
        raise InvalidValueError(
            f"redset {shown(config.name)}: on_conflict must be one of {', '.join(CONFLICTS)}; "
            f"got {shown(conflict)}"
        )


def check_no_dedup(config: SetConfig[Any]) -> None:
    """Raise ``TypeError`` if ``unique`` may reject items: this operation can't check each one."""
    if config.deduplicates:
        raise InvalidTypeError(
            f"redset {shown(config.name)}: unique={shown(config.unique)} may refuse "
            "what this would add; use difference_update() and update()"
        )


def check_lasting(config: SetConfig[Any]) -> None:
    """Raise ``TypeError`` for a result: when it expires, what is on lease would be lost with it."""
    if config.is_result:
        raise InvalidTypeError(
            f"redset {shown(config.name)}: this is a result, and goes with what is on "
            "lease; make a lasting set of it with into=… or rename(…)"
        )


def check_weights(
    config: SetConfig[Any], weights: Iterable[float] | None, conflict: str, number: int
) -> list[float] | None:
    """Return the *weights* of a *number* of sets as floats, ``None`` if there are none."""
    if weights is None:
        return None
    if conflict in {"keep", "replace"}:
        raise InvalidValueError(
            f"redset {shown(config.name)}: weights go with on_conflict 'min', 'max' or 'sum'; "
            f"got {shown(conflict)}, which leaves scores as they are"
        )
    factors = [float(check_score(config.name, "weights", weight)) for weight in weights]
    if any(map(isinf, factors)):
        raise InvalidValueError(
            f"redset {shown(config.name)}: weights must be finite, got {shown(factors)}"
        )
    if len(factors) != number:
        raise InvalidValueError(
            f"redset {shown(config.name)}: weights must be one for each of the {number} sets, "
            f"this one first; got {len(factors)}"
        )
    return factors


def check_place(config: SetConfig[Any], argument: str, value: object) -> int:
    """Return a rank, or a number of items, as an int that the server accepts."""
    return max(-FARTHEST, min(check_count(config.name, argument, value), FARTHEST))


def check_limit(config: SetConfig[Any], limit: object) -> int | None:
    """Return the maximum number of items to return, ``None`` for all."""
    most = None if limit is None else check_place(config, "limit", limit)
    if most is not None and most < 0:
        raise InvalidValueError(
            f"redset {shown(config.name)}: limit must be 0 or more, got {shown(limit)}"
        )
    return most


def score_ends(config: SetConfig[Any], low: Any, high: Any, inclusive: Any) -> tuple[str, str]:
    """Return the ends of a range of scores in the syntax of the server."""
    if not isinstance(inclusive, tuple) or [type(end) for end in inclusive] != [bool, bool]:
        raise InvalidTypeError(
            f"redset {shown(config.name)}: inclusive must be two bools, got {shown(inclusive)}"
        )
    ends = []
    for argument, end, belongs in (("min", low, inclusive[0]), ("max", high, inclusive[1])):
        score = number(check_score(config.name, argument, end))
        ends.append(score if belongs else f"({score}")
    return ends[0], ends[1]


def take_options(config: AnyConfig[Any], timeout: float | None, last: object) -> TakeOptions:
    """Return the options of a delivery for *timeout* and *last*."""
    if type(timeout) is float and timeout == 0.0 and not last:
        return config.no_wait
    return TakeOptions(config.no_wait.now, check_timeout(config.name, timeout), last=bool(last))
