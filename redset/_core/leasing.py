"""Plans of leases: items that are handed out until a deadline, and what becomes of them.

Nothing here opens a socket or awaits. `Holds` is the part of a lease that both surfaces share.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Generic, NamedTuple, TypeVar, overload

from redset._core import commands
from redset._core.commands import Command
from redset._core.idempotency import REPLY_TTL, IdempotencySlot
from redset._core.keys import companion, leasing_keys, wake_channel
from redset._core.members import chunks, decoded
from redset._core.plans import when_there
from redset._core.replies import Held, Pair
from redset._core.spec import Plan, Spec, Terms
from redset.exceptions import InvalidValueError, LeaseLost

T = TypeVar("T")


class Stopped(BaseException):
    """Leaves the block of a consumer's lease when the consumer is told to stop."""


def counts(error: BaseException) -> bool:
    """Return whether a delivery counts that *error* ended, and not an order from outside.

    Python doesn't tell a generator whether its loop was left by an exception or on purpose.
    """
    return isinstance(error, Exception | GeneratorExit)


class Hold(NamedTuple, Generic[T]):
    """One item on lease."""

    item: T
    member: bytes
    score: float
    deliveries: int


class Leased(NamedTuple, Generic[T]):
    """An item that somebody has on lease, or that was given back with a delay that still runs.

    ``expires`` is when it is ready again, in UNIX seconds of the server's clock; ``deliveries``
    how often it was handed out so far.
    """

    item: T
    score: float
    expires: float
    deliveries: int


class Stats(NamedTuple):
    """How many items are where; ``ready + leased + dead + undecodable`` are all that there are.

    Of those ready, ``due`` are handed out now. Of those leased (or given back with a delay that
    still runs), ``expired`` will be ready again with the next call that hands something out.
    """

    ready: int
    due: int
    leased: int
    expired: int
    dead: int
    undecodable: int


def lease(
    spec: Spec[T], slot: IdempotencySlot, num: int, ttl: float, most: int, terms: Terms
) -> Plan[tuple[bool, "Holds[T]"]]:
    """Lease items; also return whether there were members, which perhaps can't be deserialized."""
    name = f"{slot.name}.{slot.sequence}"

    def ask(highest: str) -> Command[tuple[float, list[Held]]]:
        keys, token = slot.keys, slot.request_id()
        return commands.lease(
            *(keys, token, num, highest, REPLY_TTL),
            name=name,
            ttl=ttl,
            most=most,
            channel=wake_channel(spec.key),
        )

    deadline, held = yield from when_there(spec, terms, ask, lambda reply: bool(reply[1]))
    slot.completed = bool(held)
    counts = {member: count for member, _, count in held}
    holds: list[Hold[T]] = []
    broken: list[Pair] = []
    for pair in ((member, score) for member, score, _ in held):
        for item, score in decoded(spec, [pair], broken):
            holds.append(Hold(item, pair[0], score, counts[pair[0]]))
    if broken:
        # The slot's reply is that of the lease itself; to bury twice changes nothing.
        yield [_settle(spec, slot, b"", "bury", name, [member for member, _ in broken])]
    return bool(held), Holds(spec, name, holds, deadline)


def settle(
    spec: Spec[Any],
    slot: IdempotencySlot,
    verb: str,
    name: str,
    members: Sequence[bytes],
    seconds: float = 0.0,
    score: float | None = None,
) -> Plan[set[bytes]]:
    """End or prolong the hold of the lease *name*; give the members that it has lost."""
    request_id = slot.request_id()
    [lost] = yield [_settle(spec, slot, request_id, verb, name, members, seconds, score)]
    return {members[place] for place in lost}


def _settle(
    spec: Spec[Any],
    slot: IdempotencySlot,
    request_id: bytes,
    verb: str,
    name: str,
    members: Sequence[bytes],
    seconds: float = 0.0,
    score: float | None = None,
) -> Command[list[int]]:
    return commands.settle(
        slot.keys,
        request_id,
        REPLY_TTL,
        verb,
        name=name,
        seconds=seconds,
        score=score,
        channel=wake_channel(spec.key),
        members=members,
    )


def entries(spec: Spec[T], pairs: Sequence[Pair]) -> Plan[list[Leased[T]]]:
    """Say more of members with their deadlines in milliseconds; leave out what is settled now."""
    _, held, *_ = leasing_keys(spec.key)
    [found] = yield [commands.fields(held, [member for member, _ in pairs])]
    leased = []
    for (member, deadline), entry in zip(pairs, found, strict=True):
        if entry is not None:
            deliveries, score = _parts_of(entry)
            for item, _ in decoded(spec, [(member, score)]):
                leased.append(Leased(item, score, deadline / 1000, deliveries))
    return leased


def _parts_of(entry: bytes) -> tuple[int, float]:
    """Deliveries and score of an entry of held; 0 if another program wrote it."""
    try:
        _, deliveries, _, score = entry.split()
        return int(deliveries), float(score)
    except ValueError:
        return 0, 0.0


def stats(spec: Spec[Any], highest: str) -> Plan[Stats]:
    leased, _, _, dead = leasing_keys(spec.key)
    [counts] = yield [commands.stats([spec.key, leased, dead, spec.undecodable], highest)]
    return Stats(*counts)


def requeue(spec: Spec[T], items: tuple[T, ...]) -> Plan[int]:
    dead = companion(spec.key, "dead")
    if not items:
        [moved] = yield [commands.requeue(spec.key, dead, [])]
        return moved  # type: ignore[no-any-return]
    total = 0
    for chunk in chunks((spec.encoding.encode(item), None) for item in items):
        [moved] = yield [commands.requeue(spec.key, dead, [member for member, _ in chunk])]
        total += moved
    return total


class Holds(Sequence[T]):
    """The items of one lease, in score order, and which of them are still to be settled."""

    def __init__(self, spec: Spec[T], name: str, holds: Sequence[Hold[T]], deadline: float) -> None:
        self.spec, self.name, self.deadline = spec, name, deadline
        self._items = [hold.item for hold in holds]
        # An item is settled as the member that it came from, also if it was changed since.
        self._by_identity = {id(hold.item): hold.member for hold in holds}
        self.open = {hold.member: hold for hold in holds}
        self.lost: dict[bytes, Hold[T]] = {}

    @overload
    def __getitem__(self, index: int) -> T: ...

    @overload
    def __getitem__(self, index: slice) -> list[T]: ...

    def __getitem__(self, index: int | slice) -> T | list[T]:
        return self._items[index]

    def __len__(self) -> int:
        return len(self._items)

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
                    f"redset {self.spec.name!r}: {item!r} is not in this lease, or was "
                    "acknowledged or released before"
                )
        return list(wanted)

    def _member_of(self, item: T) -> bytes:
        member = self._by_identity.get(id(item))
        return self.spec.encoding.encode(item) if member is None else member

    def close(self, members: Iterable[bytes], lost: set[bytes]) -> list[T]:
        """Count *members* as settled; give the items of those that were *lost*."""
        # A signal handler may have settled some of them in the middle of this call.
        closed = {member: self.open.pop(member) for member in members if member in self.open}
        gone = {member: hold for member, hold in closed.items() if member in lost}
        self.lost |= gone
        return [hold.item for hold in gone.values()]


def parts(members: Sequence[bytes]) -> Iterator[list[bytes]]:
    """Cut *members* into lists that one command may carry."""
    for chunk in chunks((member, None) for member in members):
        yield [member for member, _ in chunk]
