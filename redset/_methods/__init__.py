# Generated from redset/asyncio/_methods/__init__.py: change that, then `make generate`.
"""The methods of a set: docstring, signature, one plan; a module for each subject.

The modules import `handle` and `operands`, and not each other.
"""

from typing import TypeVar

from redset._methods.algebra import AlgebraMethods
from redset._methods.comparing import ComparingMethods
from redset._methods.counting import CountingMethods
from redset._methods.dead_letters import DeadLetterMethods
from redset._methods.leases import LeaseMethods
from redset._methods.lifetime import LifetimeMethods
from redset._methods.many import ManyMethods
from redset._methods.queue import QueueMethods
from redset._methods.ranges import RangeMethods
from redset._methods.reading import ReadingMethods
from redset._methods.single import SingleMethods
from redset._methods.updates import UpdateMethods

T = TypeVar("T")


# Of `MutableSet`, which the other bases have too, `discard` and `clear` return ``None``.
class SetMethods(  # pyright: ignore[reportIncompatibleMethodOverride]
    SingleMethods[T],
    ManyMethods[T],
    QueueMethods[T],
    LeaseMethods[T],
    DeadLetterMethods[T],
    RangeMethods[T],
    AlgebraMethods[T],
    UpdateMethods[T],
    ComparingMethods[T],
    CountingMethods[T],
    ReadingMethods[T],
    LifetimeMethods[T],
):
    """The methods of a set; `redset.RedisSortedSet` describes the class."""
