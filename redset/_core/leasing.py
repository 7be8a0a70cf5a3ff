"""Plans of leases: items that are handed out until a deadline, and what becomes of them.

Nothing here opens a socket or awaits. `Holds` is the part of a lease that both surfaces share.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import lru_cache
from time import monotonic
from typing import Any, Generic, NamedTuple, TypeVar, overload

from redset._core import commands
from redset._core.commands import Command
from redset._core.idempotency import REPLY_TTL, IdempotencySlot
from redset._core.keys import leasing_keys, moved_key, wake_channel
from redset._core.members import CHUNK_BYTES, chunks, decoded
from redset._core.plans import when_there
from redset._core.replies import LeaseReply, Pair
from redset._core.spec import Plan, Spec, Terms
from redset._core.words import shown
from redset.exceptions import InvalidValueError, LeaseLost

T = TypeVar("T")

logger = logging.getLogger("redset")

# A script takes up to 5 ms for so many, and holds up the server's other clients meanwhile.
LEASE_AT_ONCE = CANCEL_AT_ONCE = 500
ACK_AT_ONCE = 1_000  # or to extend
RELEASE_AT_ONCE = DEAD_AT_ONCE = 250  # or to bury

# A set that was renamed leaves so many traces, as rename.lua has it.
MAX_MOVED = 100

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


@lru_cache(maxsize=2)
def worker_of(process: int) -> str:
    """Return the name of a process of this host among those of all hosts."""
    return f"{socket.gethostname()}:{process}"


class LeaseTerms(NamedTuple):
    """What a lease is asked for: seconds, deliveries after which what comes back is dead, who.

    Without a name it is this process that wants it.
    """

    ttl: float
    most: int
    worker: str


class Hold(NamedTuple, Generic[T]):
    """One item on lease, and the name of the lease on the server."""

    item: T
    member: bytes
    score: float
    deliveries: int
    lease: str


class Leased(NamedTuple, Generic[T]):
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


def lease(
    spec: Spec[T],
    slot: IdempotencySlot,
    num: int,
    wanted: LeaseTerms,
    terms: Terms,
    done: Holds[T] | None = None,
    lost: Callable[[], Plan[None]] | None = None,
) -> Plan[tuple[int, list[Hold[T]], float, float]]:
    """Lease up to *num* items; first acknowledge what is left of *done*, which has one lease.

    If that isn't all there any more, the plan *lost* is for the rest, before this one waits.
    Return how many members there were, those that can be deserialized, their deadline, and that by
    this process's monotonic clock.
    """
    name = f"{slot.name}.{slot.sequence}"
    acknowledged = [] if done is None else list(done.open.values())
    sent = 0.0

    def ask(highest: str) -> Command[LeaseReply]:
        nonlocal sent
        sent = monotonic()
        finished = [hold.member for hold in acknowledged]
        return commands.lease(
            *(slot.keys, slot.request_id(), num, highest, REPLY_TTL, name),
            ttl=wanted.ttl,
            most=wanted.most,
            channel=wake_channel(spec.key),
            worker=wanted.worker or worker_of(slot.process),
            last=terms.last,
            done=(acknowledged[0].lease if finished else "", finished),
        )

    def answered(reply: LeaseReply) -> Plan[None]:
        """Read what the first answer says of *done*."""
        places = set(reply.lost)
        if done is not None and lost is not None:
            done.close([h.member for place, h in enumerate(acknowledged) if place not in places])
            acknowledged.clear()
            if places:
                yield from lost()

    first = answered if acknowledged else None
    reply = yield from when_there(spec, terms, ask, lambda reply: bool(reply.held), first)
    slot.completed = bool(reply.held)
    holds: list[Hold[T]] = []
    broken: list[Pair] = []
    for member, score, deliveries in reply.held:
        for item, _ in decoded(spec, [(member, score)], broken):
            holds.append(Hold(item, member, score, deliveries, name))
    if broken:
        # The slot's reply is that of the lease itself; to bury twice changes nothing.
        how = Settling("undecodable")
        for part in parts([member for member, _ in broken], how.at_once):
            yield [_settle(slot.keys, b"", how, name, part)]
    return len(reply.held), holds, reply.deadline, sent + wanted.ttl


class Settling(NamedTuple):
    """How the hold on members ends: see ``scripts/settle.lua``."""

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


def settle(
    keys: Sequence[bytes],
    slot: IdempotencySlot,
    settling: Settling,
    name: str,
    members: Sequence[bytes],
) -> Plan[tuple[float, set[bytes]]]:
    """End or prolong the hold of the lease *name*; give the deadline, and what it has lost.

    *keys* are those of the slot, which may be a slot of another set.
    """
    request_id = slot.request_id()
    [(deadline, lost)] = yield [_settle(keys, request_id, settling, name, members)]
    return deadline, {members[place] for place in lost}


def moved_to(key: bytes) -> Plan[list[bytes]]:
    """Give the keys that the set under *key* was given lately, while some of it was on lease."""
    [found] = yield [commands.by_rank(moved_key(key), -MAX_MOVED, -1)]
    return [place for place, _ in reversed(found)]


def _settle(
    keys: Sequence[bytes],
    request_id: bytes,
    settling: Settling,
    name: str,
    members: Sequence[bytes],
) -> Command[tuple[float, list[int]]]:
    return commands.settle(
        keys,
        request_id,
        REPLY_TTL,
        settling.verb,
        name=name,
        seconds=settling.seconds,
        score=settling.score,
        channel=wake_channel(keys[0]),
        error=settling.error,
        members=members,
    )


def entries(spec: Spec[T], pairs: Sequence[Pair]) -> Plan[list[Leased[T]]]:
    """Say more of members with their deadlines in milliseconds; leave out what is settled now."""
    [found] = yield [commands.fields(leasing_keys(spec.key).held, [member for member, _ in pairs])]
    leased = []
    for (member, deadline), entry in zip(pairs, found, strict=True):
        if entry is not None:
            deliveries, score, since, worker = _parts_of(entry)
            for item, _ in decoded(spec, [(member, score)]):
                about = (deadline / 1000, deliveries, since, worker)
                leased.append(Leased(item, score, *about))
    return leased


def _parts_of(entry: bytes) -> tuple[int, float, float, str | None]:
    """Deliveries, score, begin and worker of an entry of held; 0 if another program wrote it."""
    try:
        lease, deliveries, _, score, since, _, worker = entry.split(b" ", 6)
        name = None if lease == b"-" else worker.decode("utf-8", "replace")
        return int(deliveries), float(score), int(since) / 1000, name
    except ValueError:
        return 0, 0.0, 0.0, None


def letters(spec: Spec[T], pairs: Sequence[Pair]) -> Plan[list[DeadLetter[T]]]:
    """Say more of dead members and their scores."""
    [found] = yield [
        commands.fields(leasing_keys(spec.key).letters, [member for member, _ in pairs])
    ]
    return [
        DeadLetter(_item_of(spec, member), score, *_letter_of(letter), member)
        for (member, score), letter in zip(pairs, found, strict=True)
    ]


def _item_of(spec: Spec[T], member: bytes) -> T | None:
    try:
        return spec.encoding.decode(member)
    except Exception:  # it was logged when it was buried
        return None


def _letter_of(letter: bytes | None) -> tuple[str, str, float, int]:
    """Reason, error, time and deliveries of a letter; nothing if there is none."""
    try:
        reason, milliseconds, deliveries, error = (letter or b"").split(b" ", 3)
        text = error.decode("utf-8", "replace")
        return reason.decode(), text, int(milliseconds) / 1000, int(deliveries)
    except ValueError:
        return "", "", 0.0, 0


def stats(spec: Spec[Any], highest: str, now: float | None) -> Plan[Stats]:
    """Count; *now* is the time of the set's clock if its scores are times."""
    keys = leasing_keys(spec.key)
    all_keys = [spec.key, keys.leased, keys.dead, spec.undecodable, keys.delayed]
    [(counted, lowest)] = yield [commands.stats(all_keys, highest)]
    oldest = 0.0 if now is None or lowest is None else max(0.0, now - lowest)
    ready, due, leased, waiting, expired, dead, undecodable = counted
    return Stats(ready, due, leased, waiting, expired, dead, undecodable, oldest)


def sort_dead(
    spec: Spec[T], verb: str, items: tuple[T, ...], reason: str, before: float | None
) -> Plan[int]:
    """Requeue or discard dead items: *items*, or all, of one reason, that died *before* then."""
    own = leasing_keys(spec.key)
    keys = (spec.key, own.dead, own.letters, own.held, own.absent)
    total = 0
    if items:
        for part in parts([spec.encoding.encode(item) for item in items], DEAD_AT_ONCE):
            [(moved, _)] = yield [commands.sort_dead(keys, verb, 0, reason, before, part)]
            total += moved
        return total
    [left] = yield [commands.size(own.dead)]
    passed = 0
    while passed >= 0 and left > 0:  # what dies meanwhile is left alone
        [(moved, passed)] = yield [commands.sort_dead(keys, verb, passed, reason, before, ())]
        total, left = total + moved, left - moved
    return total


def cancel(spec: Spec[T], items: Sequence[T]) -> Plan[int]:
    """Remove *items* wherever they are; say how many were anywhere."""
    total = 0
    for part in parts([spec.encoding.encode(item) for item in items], CANCEL_AT_ONCE):
        [found] = yield [commands.cancel((spec.key, *leasing_keys(spec.key)), part)]
        total += found
    return total


class Holds(Sequence[T]):
    """The items of one lease, in score order, and which of them are still to be settled."""

    def __init__(
        self, spec: Spec[T], holds: Sequence[Hold[T]], deadline: float, until: float
    ) -> None:
        self.spec, self.deadline, self.until = spec, deadline, until
        # Where its leases were found last: their set may be renamed.
        self.keys: dict[str, bytes] = {}
        self._holds = holds
        self._items = [hold.item for hold in holds]
        self._by_identity: dict[int, bytes] | None = None
        self.open = {hold.member: hold for hold in holds}
        self.lost: dict[bytes, Hold[T]] = {}
        # What is to be given back, and how, until that has succeeded: nobody is done with it.
        self.returning: dict[bytes, Settling] = {}

    @overload
    def __getitem__(self, index: int) -> T: ...

    @overload
    def __getitem__(self, index: slice) -> list[T]: ...

    def __getitem__(self, index: int | slice) -> T | list[T]:
        return self._items[index]

    def __len__(self) -> int:
        return len(self._items)

    def deliveries(self, item: T) -> int:
        """How often *item* was handed out, this time included. No I/O."""
        [member] = self.members([item])
        return self.open[member].deliveries

    def members(self, items: Sequence[T]) -> list[bytes]:
        """The members of *items*, each of which must be open; of all that are, for none."""
        if not items:
            return list(self.open)
        wanted = {self._member_of(item): item for item in items}
        for member, item in wanted.items():
            if member in self.lost:
                raise LeaseLost(self.spec.name, [item])
            if member not in self.open:
                raise InvalidValueError(
                    f"redset {shown(self.spec.name)}: {shown(item)} is not in this lease, or was "
                    "acknowledged or released before"
                )
        return list(wanted)

    def _member_of(self, item: T) -> bytes:
        # An item is settled as the member that it came from, also if it was changed since.
        if self._by_identity is None:
            self._by_identity = {id(hold.item): hold.member for hold in self._holds}
        member = self._by_identity.get(id(item))
        return self.spec.encoding.encode(item) if member is None else member

    def all_members(self) -> Iterator[bytes]:
        """The members of all items, in order, also of those that are settled."""
        return (hold.member for hold in self._holds)

    def by_lease(self, members: Iterable[bytes], most: int) -> Iterator[tuple[str, list[bytes]]]:
        """Cut *members* into lists that have one lease, and of which one script may be told."""
        leases: dict[str, list[bytes]] = {}
        for member in members:
            leases.setdefault(self.open[member].lease, []).append(member)
        for name, those in leases.items():
            for part in parts(those, most):
                yield name, part

    def key_of(self, lease: str) -> bytes:
        """The key that the set of *lease* had when it was heard of last."""
        return self.keys.get(lease, self.spec.key)

    def is_settled_at_once(self, key: bytes) -> bool:
        """Whether one request to the set under *key* may acknowledge what is left."""
        if self.returning:
            return False
        names = {hold.lease for hold in self.open.values()}
        size = sum(map(len, self.open))
        at_once = len(names) <= 1 and len(self.open) <= LEASE_AT_ONCE and size <= CHUNK_BYTES
        return at_once and all(self.key_of(name) == key for name in names)

    def not_returning(self) -> list[bytes]:
        """The members that are left, without those that are to be given back."""
        return [member for member in self.open if member not in self.returning]

    def to_return(self) -> list[tuple[Settling, list[bytes]]]:
        """How what is to be given back shall be, and the members."""
        groups: dict[Settling, list[bytes]] = {}
        for member, how in self.returning.items():
            groups.setdefault(how, []).append(member)
        return list(groups.items())

    def loss(self) -> LeaseLost:
        """Return the error that names what was lost."""
        return LeaseLost(self.spec.name, [hold.item for hold in self.lost.values()])

    def log_lost(self) -> None:
        """Log what was lost, if anything was."""
        if self.lost:
            logger.warning("%s", self.loss())

    def close(self, members: Iterable[bytes], lost: Collection[bytes] = ()) -> list[T]:
        """Count *members* as settled; give the items of those that were *lost*."""
        # A signal handler may have settled some of them in the middle of this call.
        closed = {member: self.open.pop(member) for member in members if member in self.open}
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
