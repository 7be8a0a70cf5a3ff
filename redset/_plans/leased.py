"""What is on lease: its items and what is known of them, how their lease ends, and what is dead.

No I/O and no plan: what the plans of leases tell the surfaces.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Generic, NamedTuple, TypeVar

from redset._protocol.config import SetConfig
from redset._protocol.members import CHUNK_BYTES, chunks
from redset._support.words import shown
from redset.exceptions import InvalidValueError, LeaseLost

T = TypeVar("T")

logger = logging.getLogger("redset")

# A script takes up to 5 ms for so many, and holds up the server's other clients meanwhile.
LEASE_AT_ONCE = 500
ACK_AT_ONCE = 1_000  # or to extend
RELEASE_AT_ONCE = 250  # or to put among the dead letters

# The text of an error is kept so far.
LONGEST_ERROR = 1_000


def counts(error: BaseException) -> bool:
    """Return whether a delivery counts that *error* ended, and not an order from outside.

    Python doesn't tell a generator whether its loop was left by an exception or on purpose.
    """
    return isinstance(error, Exception | GeneratorExit)


def error_text(error: object) -> str:
    """Return what a dead letter says of *error*, an exception or a text."""
    if isinstance(error, GeneratorExit) or error is None:
        return ""
    if not isinstance(error, BaseException):
        return str(error)[:LONGEST_ERROR]
    kind = type(error).__name__
    try:
        text = str(error)
    except Exception:  # an exception's own __str__ may fail
        return kind
    return (f"{kind}: {text}" if text else kind)[:LONGEST_ERROR]


class LeaseTerms(NamedTuple):
    """What a lease is asked for: seconds, deliveries after which what comes back is dead, who.

    Without a name it is this process that wants it.
    """

    ttl: float
    most: int
    worker: str


class LeasedItem(NamedTuple, Generic[T]):
    """One item on lease, and the name of the lease on the server."""

    item: T
    member: bytes
    score: float
    deliveries: int
    lease: str


class LeaseInfo(NamedTuple, Generic[T]):
    """An item that somebody has on lease, or that was given back with a delay that still runs.

    ``since`` is when that began, ``expires`` when the item is ready again, in UNIX seconds of the
    server's clock; ``worker`` who has it, ``None`` for one that waits for the end of a delay;
    ``deliveries`` how often it was handed out so far.
    """

    item: T
    score: float
    expires: float
    deliveries: int
    since: float
    worker: str | None


class DeadLetter(NamedTuple, Generic[T]):
    """An item that is not handed out any more, and why.

    ``reason`` is ``"failed"`` (given back after an error as often as ``max_deliveries`` allows),
    ``"expired"`` (its worker died, or was slower than its lease, so often), ``"rejected"``
    (`Lease.reject`), ``"undecodable"``, or ``""`` if nothing says; ``error`` the text of the last
    error; ``time`` when it was, in UNIX seconds of the server's clock; ``item`` is ``None`` if the
    serializer can't read ``member``.
    """

    item: T | None
    score: float
    reason: str
    error: str
    time: float
    deliveries: int
    member: bytes


class Stats(NamedTuple):
    """How many items are where, at one moment.

    ``ready + leased + delayed + dead + undecodable`` are all that there are. Of those ready,
    ``due`` are handed out now; ``oldest`` is for how many seconds the first of them has been due
    where scores are times, else 0. Those ``leased`` are being worked on, those ``delayed`` were
    given back with a delay; of both, ``expired`` will be ready with the next calls that hand
    something out.
    """

    ready: int
    due: int
    leased: int
    delayed: int
    expired: int
    dead: int
    undecodable: int
    oldest: float


class Settling(NamedTuple):
    """How the hold on members ends: see ``lua/settle.lua``."""

    verb: str
    seconds: float = 0.0
    score: float | None = None
    error: str = ""

    @property
    def at_once(self) -> int:
        """How many members one script settles so."""
        is_short = (self.verb == "ack" or self.prolongs) and self.score is None
        return ACK_AT_ONCE if is_short else RELEASE_AT_ONCE

    @property
    def prolongs(self) -> bool:
        """Whether the hold goes on."""
        return self.verb in {"extend", "renew"}


class LeasedItems(Generic[T]):
    """The items of one lease, in score order, and which of them are still to be settled.

    They are of the set at *place* among those that were asked.
    """

    def __init__(
        self,
        config: SetConfig[T],
        holds: Sequence[LeasedItem[T]],
        deadline: float,
        until: float,
        place: int = 0,
    ) -> None:
        self.config, self.deadline, self.until, self.place = config, deadline, until, place
        # Where its leases were found last: their set may be renamed.
        self.keys: dict[str, bytes] = {}
        self._holds = holds
        self.items = [hold.item for hold in holds]
        self._by_identity: dict[int, bytes] | None = None
        self.unsettled = {hold.member: hold for hold in holds}
        self.lost: dict[bytes, LeasedItem[T]] = {}
        # What is to be given back, and how, until that has succeeded: nobody is done with it.
        self.returning: dict[bytes, Settling] = {}

    def deliveries(self, item: T) -> int:
        """How often *item* was handed out, this time included. No I/O."""
        [member] = self.members([item])
        return self.unsettled[member].deliveries

    def members(self, items: Sequence[T]) -> list[bytes]:
        """The members of *items*, each of which must be open; of all that are, for none."""
        if not items:
            return list(self.unsettled)
        wanted = {self._member_of(item): item for item in items}
        for member, item in wanted.items():
            if member in self.lost:
                raise LeaseLost(self.config.name, [item])
            if member not in self.unsettled:
                raise InvalidValueError(
                    f"redset {shown(self.config.name)}: {shown(item)} is not in this lease, or was "
                    "acknowledged or released before"
                )
        return list(wanted)

    def _member_of(self, item: T) -> bytes:
        # An item is settled as the member that it came from, also if it was changed since.
        if self._by_identity is None:
            self._by_identity = {id(hold.item): hold.member for hold in self._holds}
        member = self._by_identity.get(id(item))
        return self.config.encoding.encode(item) if member is None else member

    def all_members(self) -> Iterator[bytes]:
        """The members of all items, in order, also of those that are settled."""
        return (hold.member for hold in self._holds)

    def by_lease(self, members: Iterable[bytes], most: int) -> Iterator[tuple[str, list[bytes]]]:
        """Cut *members* into lists that have one lease, and of which one script may be told."""
        leases: dict[str, list[bytes]] = {}
        for member in members:
            leases.setdefault(self.unsettled[member].lease, []).append(member)
        for name, those in leases.items():
            for part in parts(those, most):
                yield name, part

    def key_of(self, lease: str) -> bytes:
        """The key that the set of *lease* had when it was heard of last."""
        return self.keys.get(lease, self.config.key)

    def is_settled_at_once(self, key: bytes) -> bool:
        """Whether one request to the set under *key* may acknowledge what is left."""
        if self.returning:
            return False
        names = {hold.lease for hold in self.unsettled.values()}
        size = sum(map(len, self.unsettled))
        at_once = len(names) <= 1 and len(self.unsettled) <= LEASE_AT_ONCE and size <= CHUNK_BYTES
        return at_once and all(self.key_of(name) == key for name in names)

    def not_returning(self) -> list[bytes]:
        """The members that are left, without those that are to be given back."""
        return [member for member in self.unsettled if member not in self.returning]

    def to_return(self) -> list[tuple[Settling, list[bytes]]]:
        """How what is to be given back shall be, and the members."""
        groups: dict[Settling, list[bytes]] = {}
        for member, how in self.returning.items():
            groups.setdefault(how, []).append(member)
        return list(groups.items())

    def loss(self) -> LeaseLost:
        """Return the error that names what was lost."""
        return LeaseLost(self.config.name, [hold.item for hold in self.lost.values()])

    def log_lost(self) -> None:
        """Log what was lost, if anything was."""
        if self.lost:
            logger.warning("%s", self.loss())

    def close(self, members: Iterable[bytes], lost: Collection[bytes] = ()) -> list[T]:
        """Count *members* as settled; give the items of those that were *lost*."""
        # A signal handler may have settled some of them in the middle of this call.
        closed = {
            member: self.unsettled.pop(member) for member in members if member in self.unsettled
        }
        if self.returning:
            for member in closed.keys() & self.returning.keys():
                del self.returning[member]
        if not lost:
            return []
        gone = {member: hold for member, hold in closed.items() if member in lost}
        self.lost |= gone
        return [hold.item for hold in gone.values()]


def parts(members: Sequence[bytes], most: int) -> Iterator[list[bytes]]:
    """Cut *members* into lists of which one script may be told: *most* of them, or 1 MiB."""
    for chunk in chunks(((member, None) for member in members), most):
        yield [member for member, _ in chunk]
