"""What plans are, and what each of them knows of its set. No I/O, and no operation."""

from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from redset._core import commands
from redset._core.commands import HIGHEST, Command
from redset._core.encoding import Encoding
from redset._core.keys import leasing_keys
from redset._core.outlook import Outlook
from redset._core.scores import Clock
from redset._core.sources import Pull
from redset._core.words import LONGEST_LINE, shortened

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class WaitForChange:
    """What a plan yields to wait until there may be something to take, for *seconds* at most.

    The answer is ``True`` for that, ``False`` if the time is up, and ``None`` if nothing tells of
    changes of *key*: then the plan has to look by itself.
    """

    key: bytes
    seconds: float
    outlook: Outlook


Plan = Generator[list[Command[Any]] | WaitForChange | Pull, list[Any], R]


@dataclass(frozen=True, slots=True)
class Spec(Generic[T]):
    """What a plan knows of its set."""

    name: str
    key: bytes
    encoding: Encoding[T]
    scorer: Callable[[T], Any]
    # Until when an item that is added again is the one that was there: see `UNIQUE`.
    unique: str = "until_taken"
    # Whether the set goes with its handle, and all that belongs to it.
    is_result: bool = False

    @property
    def label(self) -> str:
        """The name as logs show it: a name may be megabytes long."""
        return shortened(self.name, LONGEST_LINE)

    @property
    def undecodable(self) -> bytes:
        return leasing_keys(self.key).undecodable

    @property
    def admits_all(self) -> bool:
        return self.unique == "until_taken"

    def admission(self) -> tuple[bytes, ...]:
        """The set's own key, those that tell which members have to stay out, and the others."""
        keys = leasing_keys(self.key)
        others = keys.deliveries, keys.letters, keys.undecodable
        return self.key, keys.held, keys.seen, keys.dead, *others


UNIQUE = ("until_taken", "until_done", "for_good")


@dataclass(frozen=True, slots=True)
class Terms:
    """How many seconds to wait for something to hand out (``None``: for ever), and what is due.

    By the clock *now*, what has a score of at most that; without one, everything. A wait ends early
    once *stopped* returns ``True``.
    """

    now: Clock | None
    timeout: float | None = 0.0
    stopped: Callable[[], bool] | None = None
    # Whether the highest of what is due comes first, and not the lowest.
    last: bool = False

    def after(self, seconds: float) -> "Terms":
        """Return what is left of the terms after so many *seconds*."""
        if not self.timeout:
            return self
        return replace(self, timeout=max(0.0, self.timeout - seconds))

    def highest(self) -> str:
        return HIGHEST if self.now is None else commands.number(self.now())
