# asyncio
"""The methods of a set, for asyncio: docstring, signature, one plan; a module for each subject.

This is the one source of both surfaces: ``make generate`` writes `redset._methods` from it, and
interprets the marks ``# asyncio`` and ``# sync``. The modules import `handle` and `operands`, and
not each other.
"""
# end
# sync: """The methods of a set: docstring, signature, one plan; a module for each subject.
# sync:
# sync: The modules import `handle` and `operands`, and not each other.
# sync: """

from typing import TypeVar

from redset.asyncio._methods.algebra import AlgebraMethods
from redset.asyncio._methods.comparing import ComparingMethods
from redset.asyncio._methods.counting import CountingMethods
from redset.asyncio._methods.dead_letters import DeadLetterMethods
from redset.asyncio._methods.leases import LeaseMethods
from redset.asyncio._methods.lifetime import LifetimeMethods
from redset.asyncio._methods.many import ManyMethods
from redset.asyncio._methods.queue import QueueMethods
from redset.asyncio._methods.ranges import RangeMethods
from redset.asyncio._methods.reading import ReadingMethods
from redset.asyncio._methods.single import SingleMethods
from redset.asyncio._methods.updates import UpdateMethods

T = TypeVar("T")


# sync: # Of `MutableSet`, which the other bases have too, `discard` and `clear` return ``None``.
# sync: class SetMethods(  # pyright: ignore[reportIncompatibleMethodOverride]
# asyncio
class SetMethods(
    # end
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
    """The methods of a set; `redset.asyncio.RedisSortedSet` describes the class."""
