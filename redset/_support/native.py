"""Foreign values: Python's own value for a number of another library, or for a scalar of numpy.

Imports nothing of redset, and no library whose values it converts.
"""

import sys
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from math import inf
from numbers import Complex, Integral, Number, Rational, Real
from typing import Any

_OWN = {bool, int, float, complex, Decimal, Fraction, str, bytes, date, datetime, timedelta}


def _fraction(number: Any) -> Fraction | None:
    """Return a number with more digits than a float has, such as a gmpy2.mpfr."""
    if float(number) in {0.0, inf, -inf}:  # the Fraction might have millions of digits
        return None
    return Fraction(*map(int, number.as_integer_ratio()))


_MAKERS: tuple[tuple[type, Callable[[Any], Any]], ...] = (
    (Integral, int),
    (Rational, lambda number: Fraction(int(number.numerator), int(number.denominator))),
    (Real, float),
    (Real, _fraction),
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


def is_lookalike(item: Any, kinds: tuple[type, ...] = ()) -> bool:
    """Return whether *item* may be equal to a value of Python's own, or to one of *kinds*.

    These are numbers of any library and objects that equal their own text. Anything else is assumed
    to equal only objects of its own kind.
    """
    if type(item) in _OWN:
        return False
    if isinstance(item, (Number, memoryview, *kinds)) or _is_numpy(item, "generic"):
        return True
    kind = type(item)
    equality: tuple[object, object] = (kind.__eq__, object.__eq__)
    if equality[0] is equality[1]:
        return False
    return hasattr(kind, "__index__") or hasattr(kind, "__float__") or _is_same(_text(item), item)


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
    """Return whether a builtin set would treat both as the same element."""
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
    # An int is returned for a unit that Python's times don't have.
    return value if isinstance(value, date | timedelta) else None


def _text(item: Any) -> str | None:
    try:
        return str(item)
    except Exception:
        return None


def _is_numpy(item: Any, *names: str) -> bool:
    numpy = sys.modules.get("numpy")
    kinds = [getattr(numpy, name, None) for name in names]
    return any(isinstance(kind, type) and isinstance(item, kind) for kind in kinds)
