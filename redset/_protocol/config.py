"""Plans, and the config of a set that each plan works with. No I/O, and no operations."""

from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Generic, Literal, Protocol, TypeVar, get_args

from redset._protocol import commands
from redset._protocol.commands import HIGHEST, Command
from redset._protocol.durability import Durable
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
    """A plan yields this to wait until there may be something to take, for *seconds* at most.

    The driver answers ``True`` if there may be something, ``False`` if the time is up, and ``None``
    if it can't be notified of changes of the sets of *outlook*: then the plan asks the server.
    """

    outlook: Outlook
    seconds: float


Plan = Generator[list[Command[Any]] | WaitForChange | ReadItems, Any, R]


def ask(command: Command[R]) -> Plan[R]:
    """Send one command, and return its reply."""
    replies: list[R] = yield [command]
    return replies[0]


class Awaited(Protocol):
    """One set, or several, that a consumer can wait for."""

    @property
    def label(self) -> str:
        """The name, or the names, for logs."""
        ...

    def outlook(self, now: Clock | None, /) -> Outlook:
        """Return the outlook of a consumer that takes items that are due by the clock *now*."""
        ...


@dataclass(frozen=True, slots=True)
class TakeOptions:
    """The seconds to wait for an item (``None``: without end), and which items are due.

    With a clock *now*, items with a score of at most its time are due; without one, all items are.
    A wait ends early once *stopped* returns ``True``.
    """

    now: Clock | None
    timeout: float | None = 0.0
    stopped: Callable[[], bool] | None = None
    # Whether the item with the highest score of those that are due is first, not the lowest.
    last: bool = False

    def after(self, seconds: float) -> "TakeOptions":
        """Return the options with a timeout that is shorter by *seconds*."""
        if not self.timeout:
            return self
        return replace(self, timeout=max(0.0, self.timeout - seconds))

    def max_due_score(self) -> str:
        return HIGHEST if self.now is None else commands.number(self.now())


# Until when an item that is added again counts as the one that was there.
Unique = Literal["until_taken", "until_acked", "forever"]
UNIQUE: tuple[str, ...] = get_args(Unique)


# The slots of a config without a client, whose plans are not sent.
_UNBOUND = SetSlots(b"redset")


@dataclass(frozen=True, slots=True)
class SetConfig(Generic[T]):
    """The config of one set."""

    name: str
    key: bytes
    encoding: Encoding[T]
    scorer: Callable[[T], Any]
    # Until when an item that is added again counts as the one that was there: see `UNIQUE`.
    unique: str = "until_taken"
    # The key that exists as long as a result is in use; it is deleted with the result's handle.
    # ``None`` for a set that is not the result of an operator.
    liveness_key: bytes | None = None
    # After this many deliveries an item that is not acknowledged is dead; 0 for never.
    max_deliveries: int = 0
    # Which items are due, for calls that don't wait.
    no_wait: TakeOptions = TakeOptions(None)
    # The clock of scores that are times.
    score_clock: Clock | None = None
    # Which copies of a change each call waits for; not of a result, which is temporary.
    durable: Durable | None = None
    # Whether the keys of one command must share a cluster slot.
    in_cluster: bool = False
    # The idempotency slots of this set's calls.
    requests: SetSlots = field(default=_UNBOUND, compare=False)

    @property
    def label(self) -> str:
        """The name, shortened for logs: a name may be megabytes long."""
        return shortened(self.name, LONGEST_LINE)

    @property
    def is_result(self) -> bool:
        """True if the set is the result of an operator, deleted with its handle."""
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
        """Return the outlook as `Awaited.outlook` does."""
        return Outlook(Place(self.key, now))

    @property
    def deduplicates(self) -> bool:
        """True if `add` rejects items that are not in the set: on lease, dead, or seen before."""
        return self.unique != "until_taken"

    def dedup_keys(self) -> tuple[bytes, ...]:
        """Return the set's key, the keys that show which members are rejected, and the others."""
        keys = leasing_keys(self.key)
        others = keys.deliveries, keys.letters, keys.undecodable
        return self.key, keys.held, keys.seen, keys.dead, *others

    def max_due_score(self) -> str:
        """Return the highest score that is due now, as text for the server."""
        return self.no_wait.max_due_score()


@dataclass(frozen=True, slots=True)
class FirstConfig(Generic[T]):
    """The configs of several sets; the first set that has something answers a call."""

    # In the order in which they are asked.
    sets: tuple[SetConfig[T], ...]
    # Each set has a clock and a limit of its own.
    no_wait: ClassVar[TakeOptions] = TakeOptions(None)
    max_deliveries: ClassVar[int] = 0

    @property
    def name(self) -> str:
        """The names of all sets, for messages."""
        return ", ".join([each.name for each in self.sets])

    @property
    def label(self) -> str:
        """The names, shortened for logs."""
        return shortened(self.name, LONGEST_LINE)

    @property
    def keys(self) -> tuple[bytes, ...]:
        """The keys that a consumer waits for."""
        return tuple([each.key for each in self.sets])

    def outlook(self, _now: Clock | None) -> Outlook:
        """Return the outlook as `Awaited.outlook` does; each set has a clock of its own."""
        return Outlook(*(Place(each.key, each.no_wait.now) for each in self.sets))


# The config that a plan of a queue operation works with.
AnyConfig = SetConfig[T] | FirstConfig[T]


def raw_config(config: SetConfig[Any]) -> SetConfig[Any]:
    """Return the config of the same set with members instead of items."""
    return replace(config, encoding=Encoding(config.name, RawSerializer()))
