"""Leased items: their state, how their lease ends, dead letters, and the numbers of each.

No I/O and no plan: these are what the plans of leases return to the surfaces.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import repeat
from typing import Generic, NamedTuple, TypeVar

from redset._protocol.client_errors import is_disconnected
from redset._protocol.config import SetConfig
from redset._protocol.members import CHUNK_BYTES, chunks
from redset._support.words import described, shown
from redset.exceptions import InvalidValueError, LeaseLost

T = TypeVar("T")

logger = logging.getLogger("redset")

# For this number of members, a script takes up to 5 ms, in which the server's other clients wait.
LEASE_AT_ONCE = 500
ACK_AT_ONCE = 1_000  # or to extend
RELEASE_AT_ONCE = 250  # or to reject

# The text of an error is cut to this number of characters.
LONGEST_ERROR = 1_000


def counts(error: BaseException) -> bool:
    """Return whether a delivery that ended with *error* counts: not if it came from outside.

    ``KeyboardInterrupt`` and a cancellation come from outside. ``GeneratorExit`` counts: Python
    doesn't tell a generator whether its loop was left by an exception or on purpose.
    """
    return isinstance(error, Exception | GeneratorExit)


def error_text(error: object) -> str:
    """Return the text that a dead letter has for *error*, an exception or a text."""
    if isinstance(error, GeneratorExit) or error is None:
        return ""
    if not isinstance(error, BaseException):
        return _sendable(str(error))
    kind = type(error).__name__
    try:
        text = str(error)
    except Exception:  # an exception's own __str__ may fail
        text = ""
    return _sendable(f"{kind}: {text}" if text else kind)


def _sendable(text: str) -> str:
    # A lone surrogate, as in the name of a file that is no UTF-8, can't be sent.
    return text[:LONGEST_ERROR].encode("utf-8", "backslashreplace").decode()[:LONGEST_ERROR]


def log_kept(label: str, failure: BaseException) -> None:
    """Log that *failure* kept items on lease that a block or a loop was to give back."""
    gone = is_disconnected(failure)  # one line is enough: a traceback would add nothing
    logger.error(
        "redset %r: can't give items of a lease back, which come back when it runs out: %s",
        *(label, described(failure)),
        exc_info=None if gone else failure,
    )


class LeaseTerms(NamedTuple):
    """The terms of a lease: its seconds, the maximum of deliveries, and the name of the worker.

    An item that comes back after the maximum of deliveries becomes a dead letter. If the name is
    empty, the lease gets the name of this process.
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
    """An item that a worker has on lease, or that was released with a delay that still runs.

    ``since`` is when that began, ``expires`` when the item is ready again, both in UNIX seconds of
    the server's clock; ``worker`` is the name of the worker that has it, ``None`` if the item waits
    for the end of a delay; ``deliveries`` is how often it was delivered so far.
    """

    item: T
    score: float
    expires: float
    deliveries: int
    since: float
    worker: str | None


class DeadLetter(NamedTuple, Generic[T]):
    """An item that is not delivered any more, and why.

    ``reason`` is ``"failed"`` (released after an error as often as ``max_deliveries`` allows),
    ``"expired"`` (its worker died, or was slower than its lease, as often as that), ``"rejected"``
    (`Lease.reject`), ``"undecodable"``, or ``""`` if it is unknown; ``error`` is the text of the
    last error; ``time`` is when the item became a dead letter, in UNIX seconds of the server's
    clock; ``item`` is ``None`` if the serializer can't read ``member``.
    """

    item: T | None
    score: float
    reason: str
    error: str
    time: float
    deliveries: int
    member: bytes


class Stats(NamedTuple):
    """The number of items in each state, at one moment.

    ``ready + leased + delayed + dead + undecodable`` is the number of all items. Of the ready ones,
    ``due`` can be delivered now; if scores are times, ``oldest`` is for how many seconds the first
    of them has been due, else 0. The ``leased`` items are being worked on, the ``delayed`` ones
    were released with a delay; of both, ``expired`` become ready with the next calls that deliver
    something.
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
    """The way in which a lease of members ends, or is extended: see ``lua/settle.lua``."""

    verb: str
    seconds: float = 0.0
    score: float | None = None
    error: str = ""

    @property
    def at_once(self) -> int:
        """Return the maximum number of members that one script settles in this way."""
        is_short = (self.verb == "ack" or self.prolongs) and self.score is None
        return ACK_AT_ONCE if is_short else RELEASE_AT_ONCE

    @property
    def returns(self) -> bool:
        """Return whether the members are returned to the set, or become dead letters."""
        return not self.prolongs and (self.verb != "ack" or self.score is not None)

    @property
    def prolongs(self) -> bool:
        """Return whether the members stay on lease."""
        return self.verb in {"extend", "renew"}


# How one request ends the lease of a name for members.
Attempt = tuple[Settling, str, list[bytes]]


class LeasedItems(Generic[T]):
    """The items of one lease, in score order, and which of them are not settled yet.

    *place* is the position of their set among those that were asked.
    """

    def __init__(
        self,
        config: SetConfig[T],
        holds: Sequence[LeasedItem[T]],
        deadline: float,
        until: float,
        place: int = 0,
    ) -> None:
        self.config: SetConfig[T] = config
        self.deadline: float = deadline
        self.until: float = until
        self.place: int = place
        # The key under which each of its leases was found last: their set may be renamed.
        self.keys: dict[str, bytes] = {}
        # A member that was added again between two steps of the lease was leased by both.
        self._holds: dict[bytes, LeasedItem[T]] = {hold.member: hold for hold in holds}
        self.items: list[T] = [hold.item for hold in self._holds.values()]
        # What follows may be changed by a signal handler in the middle of any call: it is copied
        # before it is iterated over.
        self.unsettled: dict[bytes, LeasedItem[T]] = self._holds.copy()
        self._by_identity: dict[int, bytes] | None = None
        self.lost: dict[bytes, LeasedItem[T]] = {}
        # The members that are to be released, rejected or made ready again at another score, and
        # how, until that has succeeded: a call that acknowledges what is left must skip them.
        self.returning: dict[bytes, Settling] = {}
        # The requests that failed, and may have been done: how, and for which members of one lease.
        self.attempts: list[Attempt] = []
        # The members of each request that is under way. There are several if a signal handler made
        # one in the middle of another.
        self.asked: dict[object, list[bytes]] = {}
        # The lost members that a call has named to its caller.
        self._told: set[bytes] = set()

    def deliveries(self, item: T) -> int:
        """Return how often *item* was delivered, this time included. No I/O."""
        [member] = self.members([item])
        if member in self.lost:
            raise LeaseLost(self.config.name, [item])
        return self._holds[member].deliveries

    def members(self, items: Sequence[T]) -> list[bytes]:
        """Return the members of *items*, unsettled or lost; for no items, the unsettled ones."""
        if not items:
            return list(self.unsettled)
        wanted = {self._member_of(item): item for item in items}
        for member, item in wanted.items():
            if member not in self.unsettled and member not in self.lost:
                raise InvalidValueError(
                    f"redset {shown(self.config.name)}: {shown(item)} is not in this lease, or was "
                    "acknowledged or released before"
                )
        return list(wanted)

    def _member_of(self, item: T) -> bytes:
        # An item is settled as the member that it was made from, even if it was changed since.
        if self._by_identity is None:
            self._by_identity = {id(hold.item): hold.member for hold in self._holds.values()}
        member = self._by_identity.get(id(item))
        return self.config.encoding.encode(item) if member is None else member

    def all_members(self) -> Iterator[bytes]:
        """Return the members of all items, in order, including the settled ones."""
        return iter(self._holds)

    def by_lease(self, members: Iterable[bytes], most: int) -> Iterator[tuple[str, list[bytes]]]:
        """Split *members* into lists of one lease each that one script call accepts."""
        leases: dict[str, list[bytes]] = {}
        for member in members:
            hold = self.unsettled.get(member)
            if hold is not None:  # else a signal handler has settled it, or found it lost
                leases.setdefault(hold.lease, []).append(member)
        for name, those in leases.items():
            for part in parts(those, most):
                yield name, part

    def key_of(self, lease: str) -> bytes:
        """Return the key under which the set of *lease* was found last."""
        return self.keys.get(lease, self.config.key)

    def is_settled_at_once(self, key: bytes) -> bool:
        """Return whether one request to the set under *key* can acknowledge what is left."""
        if self.returning or self.attempts:
            return False
        names = {hold.lease for hold in list(self.unsettled.values())}
        size = sum(map(len, self.unsettled))
        at_once = len(names) <= 1 and len(self.unsettled) <= LEASE_AT_ONCE and size <= CHUNK_BYTES
        return at_once and all(self.key_of(name) == key for name in names)

    def not_returning(self) -> list[bytes]:
        """Return the unsettled members, without those that are to be returned to the set."""
        return [member for member in list(self.unsettled) if member not in self.returning]

    def to_return(self) -> list[tuple[Settling, list[bytes]]]:
        """Return the members that are to be returned to the set, grouped by their `Settling`."""
        groups: dict[Settling, list[bytes]] = {}
        for member, how in list(self.returning.items()):
            groups.setdefault(how, []).append(member)
        return list(groups.items())

    def open_attempts(self) -> Iterator[Attempt]:
        """Yield the failed requests that are to be repeated, as no other has settled a member."""
        for attempt in list(self.attempts):
            if self.unsettled.keys() >= set(attempt[2]):
                yield attempt

    def forget(self, attempt: Attempt) -> None:
        """Note that *attempt* has succeeded."""
        with suppress(ValueError):  # a signal handler may have made the same request
            self.attempts.remove(attempt)

    def tell_lost(self, members: Collection[bytes] | None = None) -> None:
        """Raise `LeaseLost` for lost *members*, or for those that no call has named yet."""
        named = (
            self.lost.keys() - self._told if members is None else self.lost.keys() & set(members)
        )
        if named:
            self._told |= named
            items = [hold.item for member, hold in list(self.lost.items()) if member in named]
            raise LeaseLost(self.config.name, items)

    def loss(self) -> LeaseLost:
        """Return the error that names the lost items."""
        return LeaseLost(self.config.name, [hold.item for hold in list(self.lost.values())])

    def log_lost(self) -> None:
        """Log the lost items, if there are any."""
        if self.lost:
            logger.warning("%s", self.loss())

    def close(self, members: Iterable[bytes]) -> None:
        """Mark *members* as settled."""
        those = list(members)
        # In one step, as a signal handler may raise between any two: a call that is repeated has
        # to ask for all of the members again, or for none. A handler may also have settled some.
        deque(map(self.unsettled.pop, those, repeat(None)), maxlen=0)
        if self.returning:
            for member in those:
                self.returning.pop(member, None)

    def not_asked(self, members: Collection[bytes]) -> list[bytes]:
        """Return *members* without those that a request that is under way asks for.

        A signal handler that settles them in the middle of another call may find them gone: the
        other may have settled them, and what that learns is true.
        """
        asked = {each for those in list(self.asked.values()) for each in those}
        return [each for each in members if each not in asked]

    def lose(self, members: Iterable[bytes]) -> None:
        """Mark *members*, if they are unsettled, as lost."""
        gone = {each: hold for each in members if (hold := self.unsettled.get(each))}
        # Noted first: an exception from here on doesn't hide the loss.
        self.lost |= gone
        self.close(gone)


def parts(members: Sequence[bytes], most: int) -> Iterator[list[bytes]]:
    """Split *members* into lists for one script call each: *most* members, or 1 MiB."""
    for chunk in chunks(((member, None) for member in members), most):
        yield [member for member, _ in chunk]
