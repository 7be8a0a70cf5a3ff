"""Foreign values: Python's own value for a number, or a scalar of numpy, of another library.

Imports nothing of redset's, and no library whose values it meets.
"""

import sys
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from numbers import Complex, Integral, Rational, Real
from typing import Any

_OWN = {bool, int, float, complex, Decimal, Fraction, str, bytes, date, datetime, timedelta}
_MAKERS: tuple[tuple[type, Callable[[Any], Any]], ...] = (
    (Integral, int),
    (Rational, lambda number: Fraction(int(number.numerator), int(number.denominator))),
    (Real, float),
    # More digits than a float has, such as those of a gmpy2.mpfr.
    (Real, lambda number: Fraction(*map(int, number.as_integer_ratio()))),
    (Complex, complex),
    (memoryview, bytes),
)


def native(item: Any) -> Any:
    """Return the value of Python's own that equals *item*, *item* itself if there is none.

    It takes what `numbers` knows as a number, scalars of numpy, and bytes as a memoryview.
    """
    if type(item) in _OWN:
        return item
    return next((value for value in _candidates(item) if _is_same(value, item)), item)


def _candidates(item: Any) -> Iterator[Any]:
    makers = [make for kind, make in _MAKERS if isinstance(item, kind)]
    if _is_numpy(item, "datetime64", "timedelta64"):
        makers = [_moment]
    elif _is_numpy(item, "generic"):
        makers.insert(0, lambda scalar: scalar.item())
    for make in makers:
        try:
            yield make(item)
        except Exception:  # noqa: S112 - whatever another library raises for what it can't convert
            continue


def _is_same(value: Any, item: Any) -> bool:
    """Return whether a builtin set would take one for the other."""
    if type(value) not in _OWN:
        return False
    try:
        if value != value:  # noqa: PLR0124 - only nan is
            return bool(item != item)  # noqa: PLR0124
        # Not every version of numpy hashes its times as Python does.
        same_hash = isinstance(value, date | timedelta) or hash(value) == hash(item)
        return same_hash and bool(value == item)
    except Exception:
        return False


def _moment(scalar: Any) -> Any:
    value = scalar.item()
    # An int stands for a unit that Python's times don't have.
    return value if isinstance(value, date | timedelta) else None


def _is_numpy(item: Any, *names: str) -> bool:
    numpy = sys.modules.get("numpy")
    kinds = [getattr(numpy, name, None) for name in names]
    return any(isinstance(kind, type) and isinstance(item, kind) for kind in kinds)
