"""The operators that would block the loop: each raises an error with the method to await instead.

Type checkers don't see them, and so refuse them as well.
"""

from collections.abc import Callable, Set
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, TypeVar

from redset._support.words import shown
from redset.base import BaseSet
from redset.exceptions import InvalidTypeError

T = TypeVar("T")

# What Python calls for an operator, how the operator is written, and what to write instead.
UNSUPPORTED = {
    "__len__": ("len(s)", "await s.size()"),
    "__contains__": ("item in s", "await s.contains(item)"),
    "__delitem__": ("del s[i]", "await s.remove_at(i)"),
    "__iter__": ("for item in s", "async for item in s"),
    "__or__": ("s | other", "await s.union(other)"),
    "__and__": ("s & other", "await s.intersection(other)"),
    "__sub__": ("s - other", "await s.difference(other)"),
    "__xor__": ("s ^ other", "await s.symmetric_difference(other)"),
    "__ror__": ("other | s", "await s.union(other)"),
    "__rand__": ("other & s", "await s.intersection(other)"),
    "__rsub__": ("other - s", "an asynchronous comprehension"),
    "__rxor__": ("other ^ s", "await s.symmetric_difference(other)"),
    "__ior__": ("s |= other", "await s.update(other)"),
    "__iand__": ("s &= other", "await s.intersection_update(other)"),
    "__isub__": ("s -= other", "await s.difference_update(other)"),
    "__ixor__": ("s ^= other", "await s.symmetric_difference_update(other)"),
    "__le__": ("s <= other", "await s.issubset(other)"),
    "__ge__": ("s >= other", "await s.issuperset(other)"),
    "__lt__": ("s < other", "await s.ispropersubset(other)"),
    "__gt__": ("s > other", "await s.ispropersuperset(other)"),
    "__copy__": ("copy.copy(s)", "await s.copy()"),
    "__deepcopy__": ("copy.deepcopy(s)", "await s.copy()"),
    "__enter__": ("with s", "async with s"),
}


def _unsupported(name: str) -> Callable[..., NoReturn]:
    written, instead = UNSUPPORTED[name]

    def operator(self: Any, *_: object) -> NoReturn:
        raise InvalidTypeError(
            f"redset {shown(self.name)}: `{written}` would block the event loop; use `{instead}`"
        )

    operator.__name__ = name
    operator.__doc__ = f"Not there: use ``{instead}``."
    return operator


class UnsupportedOperators(BaseSet[T]):
    """The operators that a set of asyncio can't have; each raises an error that says so."""

    if not TYPE_CHECKING:
        for _name in UNSUPPORTED:
            vars()[_name] = _unsupported(_name)
        del _name

        def __exit__(self, *_error):
            """Never called, as ``__enter__`` raises."""

    def __bool__(self) -> NoReturn:
        """Not there: use ``await s.size()``, or ``s is not None``."""
        raise InvalidTypeError(
            f"redset {shown(self.name)}: whether it is empty is `await s.size() == 0`; "
            "whether there is one, `s is not None`"
        )

    def __eq__(self, other: object) -> bool:
        """Compare with a value that is not a set; for sets use ``await s.equals(other)``."""
        if self is other:
            return True
        if not isinstance(other, Set | UnsupportedOperators):
            return NotImplemented
        raise InvalidTypeError(
            f"redset {shown(self.name)}: `s == other` would block the event loop; "
            "use `await s.equals(other)`"
        )

    __hash__: ClassVar[None] = None  # type: ignore[assignment]
