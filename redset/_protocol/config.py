"""What plans are, and what each of them knows of its set. No I/O, and no operation."""

from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Generic, Literal, Protocol, TypeVar, get_args

from redset._protocol import commands
from redset._protocol.commands import HIGHEST, Command
from redset._protocol.encoding import Encoding, RawSerializer
from redset._protocol.idempotency import SetSlots
from redset._protocol.keys import leasing_keys
from redset._protocol.outlook import Outlook, Place
from redset._protocol.scores import Clock
from redset._protocol.sources import ReadItems
from redset._support.words import LONGEST_LINE, shortened

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class WaitForChange:
    """What a plan yields to wait until there may be something to take, for *seconds* at most.

    The answer is ``True`` for that, ``False`` if the time is up, and ``None`` if nothing tells of
    changes of the sets of *outlook*: then the plan has to look by itself.
    """

    outlook: Outlook
    seconds: float


Plan = Generator[list[Command[Any]] | WaitForChange | ReadItems, Any, R]


def ask(command: Command[R]) -> Plan[R]:
    """Send one command, and give its reply."""
    replies: list[R] = yield [command]
    return replies[0]


class Awaited(Protocol):
    """What may hold something to take: one set, or several."""

    def outlook(self, now: Clock | None, /) -> Outlook:
        """Return what a consumer waits for that takes what is due by the clock *now*."""
        ...


@dataclass(frozen=True, slots=True)
class TakeOptions:
    """How many seconds to wait for something to hand out (``None``: for ever), and what is due.

    By the clock *now*, what has a score of at most that; without one, everything. A wait ends early
    once *stopped* returns ``True``.
    """

    now: Clock | None
    timeout: float | None = 0.0
    stopped: Callable[[], bool] | None = None
    # Whether the highest of what is due comes first, and not the lowest.
    last: bool = False

    def after(self, seconds: float) -> "TakeOptions":
        """Return what is left of them after so many *seconds*."""
        if not self.timeout:
            return self
        return replace(self, timeout=max(0.0, self.timeout - seconds))

    def max_due_score(self) -> str:
        return HIGHEST if self.now is None else commands.number(self.now())


# Until when an item that is added again is the one that was there.
Unique = Literal["until_taken", "until_acked", "forever"]
UNIQUE: tuple[str, ...] = get_args(Unique)


@dataclass(frozen=True, slots=True)
class SetConfig(Generic[T]):
    """What a plan knows of its set."""

    name: str
    key: bytes
    encoding: Encoding[T]
    scorer: Callable[[T], Any]
    # Until when an item that is added again is the one that was there: see `UNIQUE`.
    unique: str = "until_taken"
    # Of a result: the key that says it is alive. It goes with its handle, and all its companions.
    liveness_key: bytes | None = None
    # After so many deliveries an item that comes back is dead; 0 for never.
    max_deliveries: int = 0
    # What is handed out, to those that don't wait.
    no_wait: TakeOptions = TakeOptions(None)
    # The clock of scores that are times.
    score_clock: Clock | None = None
    # The slots of this set's calls.
    requests: SetSlots = field(default_factory=lambda: SetSlots(b"redset"), compare=False)

    @property
    def label(self) -> str:
        """The name as logs show it: a name may be megabytes long."""
        return shortened(self.name, LONGEST_LINE)

    @property
    def is_result(self) -> bool:
        """Whether the set goes with its handle."""
        return self.liveness_key is not None

    @property
    def undecodable(self) -> bytes:
        """The key of the members that can't be deserialized."""
        return leasing_keys(self.key).undecodable

    @property
    def keys(self) -> tuple[bytes, ...]:
        """The keys that a consumer waits for."""
        return (self.key,)

    def outlook(self, now: Clock | None) -> Outlook:
        """As that of `Awaited`."""
        return Outlook(Place(self.key, now))

    @property
    def admits_all(self) -> bool:
        """Whether no item is refused that is not in the set."""
        return self.unique == "until_taken"

    def dedup_keys(self) -> tuple[bytes, ...]:
        """The set's own key, those that tell which members have to stay out, and the others."""
        keys = leasing_keys(self.key)
        others = keys.deliveries, keys.letters, keys.undecodable
        return self.key, keys.held, keys.seen, keys.dead, *others

    def max_due_score(self) -> str:
        """The highest score that is handed out now, as the server reads it."""
        return self.no_wait.max_due_score()


@dataclass(frozen=True, slots=True)
class FirstConfig(Generic[T]):
    """What a plan knows of several sets, of which the first that has something answers."""

    # In the order in which they are asked.
    sets: tuple[SetConfig[T], ...]
    # Each set has a clock and a limit of its own.
    no_wait: ClassVar[TakeOptions] = TakeOptions(None)
    max_deliveries: ClassVar[int] = 0

    @property
    def name(self) -> str:
        """The names of all, for messages."""
        return ", ".join([each.name for each in self.sets])

    @property
    def label(self) -> str:
        """The names as logs show them."""
        return shortened(self.name, LONGEST_LINE)

    @property
    def keys(self) -> tuple[bytes, ...]:
        """The keys that a consumer waits for."""
        return tuple([each.key for each in self.sets])

    def outlook(self, _now: Clock | None) -> Outlook:
        """As that of `Awaited`: each set has a clock of its own."""
        return Outlook(*(Place(each.key, each.no_wait.now) for each in self.sets))


# What hands something out.
AnyConfig = SetConfig[T] | FirstConfig[T]


def raw_config(config: SetConfig[Any]) -> SetConfig[Any]:
    """The same set, its members taken for its items."""
    return replace(config, encoding=Encoding(config.name, RawSerializer()))
