"""Idempotency: a request that is sent again changes nothing twice; see docs/idempotency.md.

A slot identifies one caller on the server: a key that holds its last reply, and the number of its
call. Each call acquires a slot. If a call failed, the next call with the same fingerprint acquires
the same slot, and so receives what the failed call had taken. All handles of a set over one client
share their slots: a program that makes a handle for each call leaves no more keys than one handle
does. No I/O.
"""

import itertools
from collections.abc import Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from hashlib import blake2b
from secrets import token_hex
from typing import Any, NamedTuple, Self

from redset._protocol.keys import companion, leasing_keys
from redset._support.clock import monotonic
from redset._support.forks import reentrant_lock, this_process

# The seconds that the server keeps a reply: longer than redis-py repeats a command by itself (10
# times, 5 seconds each).
REPLY_TTL = 300.0
# The number of idle slots to keep: a call in many steps needs a slot for each step.
MAX_IDLE = 64
# The number of calls to remember that failed and were never repeated.
MAX_FAILED = 1_000
# The number of members of failed calls to insert to remember, if all calls have as many.
MAX_FAILED_MEMBERS = 100_000
# The number of sets whose slots a client remembers, with or without a handle of them.
MAX_SETS = 1_000


def fingerprint(members: Sequence[bytes]) -> bytes:
    """Return a digest of *members*: a call for other members has another digest."""
    digest = blake2b(digest_size=16)
    for member in members:
        digest.update(b"%d:" % len(member))
        digest.update(member)
    return digest.digest()


class IdempotencySlot:
    """The reply key of one caller, the number of its call, and the number of its next request."""

    __slots__ = (
        *("attempt", "completed", "is_open", "keys", "name", "process", "reply_key", "sequence"),
    )

    name: str
    process: int
    reply_key: bytes
    keys: tuple[bytes, ...]
    sequence: int
    attempt: int
    completed: bool
    is_open: bool

    def __init__(self, key: bytes) -> None:
        self.name = token_hex(8)
        self.process = this_process()
        self.reply_key = companion(key, f"given:{self.name}")
        self.move_to(key)
        self.sequence = self.attempt = 0
        # Whether the call received something. If it did not, it is not completed: a copy of its
        # request may reach the server after the caller has stopped waiting, and take something.
        self.completed = True
        # Whether the server may have leased something to the current call.
        self.is_open = False

    def move_to(self, key: bytes) -> None:
        """Use the set under *key* from now on; the reply key stays the same."""
        # The keys of all scripts that deliver items.
        self.keys = self.keys_at(key)

    def keys_at(self, key: bytes) -> tuple[bytes, ...]:
        """Return the keys of such a script if the set is under *key*."""
        return key, self.reply_key, *leasing_keys(key)

    def request_id(self) -> bytes:
        """Return the id of a new request for the call; only the client's retries repeat an id."""
        self.is_open = True
        number, self.attempt = self.attempt, self.attempt + 1
        return b"%d.%d" % (self.sequence, number)


class _FailedCall(NamedTuple):
    """A call that failed, with the slot in which it is to be repeated."""

    number: int
    fingerprint: Hashable
    slot: IdempotencySlot
    failed_at: float


# The numbers of calls, in the order in which they acquired their slots. A repeated call keeps its
# number, so that the steps of a large call are repeated in their order.
_call_numbers = itertools.count()


class _Acquired:
    """A context manager that acquires a slot for its block."""

    __slots__ = ("_fingerprint", "_number", "_rest", "_slot", "_slots")

    def __init__(
        self, slots: "IdempotencySlots", fingerprint: Hashable, rest: Hashable = None
    ) -> None:
        self._slots, self._fingerprint, self._rest = slots, fingerprint, rest

    def __enter__(self) -> IdempotencySlot:
        taken: list[_FailedCall] = []
        try:
            self._slot = self._slots.check_out(self._fingerprint, taken)
            self._number = taken[0].number if taken else next(_call_numbers)
            if not taken:
                self._rest = None
            return self._slot
        except BaseException:
            self._slots.put_back(taken)
            raise

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        failed, fingerprint = kind is not None, self._fingerprint
        if self._rest is not None and not failed:
            failed, fingerprint = True, self._rest
        self._slots.check_in(fingerprint, self._slot, self._number, failed=failed)


class Part(NamedTuple):
    """Members of one call to insert, and the slot for them, to acquire."""

    members: list[bytes]
    acquired: _Acquired


class IdempotencySlots:
    """The slots of one kind of call; safe across threads, never shared with a forked child.

    A signal handler may use the set between any two steps, or raise there: each step leaves a
    consistent state.
    """

    __slots__ = ("_failed", "_idle", "_key", "_lock", "_process")

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._lock = reentrant_lock()
        self._reset()

    def _reset(self) -> None:
        self._process = this_process()
        self._idle: list[IdempotencySlot] = []
        self._failed: dict[int, _FailedCall] = {}

    def acquire(self, fingerprint: Hashable = None) -> "_Acquired":
        """Acquire a slot for one call, which is the block.

        If the block raises, the next call with the same *fingerprint* repeats the call.
        """
        return _Acquired(self, fingerprint)

    def check_out(self, fingerprint: Hashable, taken: list[_FailedCall]) -> IdempotencySlot:
        """Return the slot of a call that failed, which is noted in *taken*, or one that is idle.

        After an exception, *taken* is to be put back.
        """
        if self._process != this_process():
            self._drop_after_fork()
        # From here on each step is atomic and needs no lock.
        if self._failed:
            self._take_failed(fingerprint, taken)
        if taken:
            slot = taken[0].slot
        else:
            try:
                slot = self._idle.pop()
            except IndexError:
                slot = IdempotencySlot(self._key)
        slot.completed, slot.is_open = True, False
        return slot

    def put_back(self, taken: Iterable[_FailedCall]) -> None:
        """Remember failed calls again that were *taken*, but not repeated."""
        for call in taken:
            if call.slot.process == self._process:
                self._failed[call.number] = call

    def _drop_after_fork(self) -> None:
        """Drop the slots that a forked child inherited from its parent."""
        with self._lock.get():
            if self._process != this_process():
                self._reset()

    def failed_parts(self, members: Iterable[bytes]) -> tuple[list[Part], list[bytes]]:
        """Return those of different *members* that are to be repeated in failed calls; the others.

        A repeated call may have other members besides, or lack some of those of the failed call,
        which still wait for a repetition then: a crawler's page may have other links when it is
        fetched again.
        """
        left = {member: hash(member) for member in members}
        parts = []
        for call in self._failed_lately():
            failed: Any = call.fingerprint
            if failed.isdisjoint(left.values()):
                continue
            part = [member for member, digest in left.items() if digest in failed]
            rest = failed.difference(map(left.pop, part))
            parts.append(Part(part, _Acquired(self, failed, rest or None)))
        return parts, list(left)

    def part(self, members: list[bytes]) -> Part:
        """Return *members* with a slot, to acquire; if the block raises, see `failed_parts`."""
        return Part(members, _Acquired(self, frozenset(map(hash, members))))

    def _failed_lately(self) -> list[_FailedCall]:
        """Return failed calls, the oldest first; drop those whose reply the server has dropped."""
        if self._process != this_process():
            self._drop_after_fork()
        began = monotonic() - REPLY_TTL
        calls = sorted(list(self._failed.values()))  # noqa: C414 - a thread may change the dict
        for call in calls:
            if call.failed_at < began:
                self._failed.pop(call.number, None)
        return [call for call in calls if call.failed_at >= began]

    def check_in(
        self, fingerprint: Hashable, slot: IdempotencySlot, number: int, *, failed: bool
    ) -> None:
        """Return *slot* after the call; do nothing in a child that was forked within the block."""
        if slot.process != self._process:
            return
        if slot.completed and not failed:
            slot.sequence, slot.attempt = slot.sequence + 1, 0
        if failed:
            self._failed[number] = _FailedCall(number, fingerprint, slot, monotonic())
            most = MAX_FAILED
            if isinstance(fingerprint, frozenset):
                most = max(1, min(most, MAX_FAILED_MEMBERS // max(1, len(fingerprint))))
            _drop_oldest(self._failed, most)
        elif not slot.completed or len(self._idle) < MAX_IDLE:
            self._idle.append(slot)

    def move_failed_to(self, other: "IdempotencySlots") -> None:
        """Move failed calls to the slots of *other*, the same set under its new key."""
        self._drop_after_fork()
        other._drop_after_fork()
        for number in list(self._failed):
            taken: list[_FailedCall] = []
            try:
                self._take(number, taken)
            finally:
                for call in taken:
                    call.slot.move_to(other._key)
                other.put_back(taken)

    def _take_failed(self, fingerprint: Hashable, taken: list[_FailedCall]) -> None:
        """Move the oldest failed call with *fingerprint* to *taken*."""
        for call in sorted(list(self._failed.values())):  # noqa: C414 - see _failed_lately
            if call.fingerprint == fingerprint:
                self._take(call.number, taken)
                if taken:
                    return

    def _take(self, number: int, taken: list[_FailedCall]) -> None:
        """Move a failed call to *taken*, unless a signal handler or another thread was faster."""
        # In one step: a handler that raises between two would lose the call, and what it had taken.
        taken.extend(filter(None, map(self._failed.pop, (number,), (None,))))

    @property
    def any_failed(self) -> bool:
        """True if a call failed and was not repeated."""
        return bool(self._failed) and self._process == this_process()

    @property
    def any_open(self) -> bool:
        """True if a call failed and was not repeated, to which something may be leased."""
        if not self.any_failed:
            return False
        calls = list(self._failed.values())  # a thread may change the dict
        return any(call.slot.is_open for call in calls)

    @contextmanager
    def discarding(self) -> Iterator[list[bytes]]:
        """Yield the reply keys of idle slots and failed calls to delete; then drop these slots.

        If the block raises, the slots stay: a repeated call still receives what the failed one
        had taken.
        """
        with self._lock.get():
            if self._process != this_process():
                self._reset()
            idle, failed = list(self._idle), list(self._failed.values())
        yield [slot.reply_key for slot in (*idle, *(call.slot for call in failed))]
        with self._lock.get():
            for slot in idle:
                with suppress(ValueError):  # a signal handler or another thread was faster
                    self._idle.remove(slot)
            for call in failed:
                self._failed.pop(call.number, None)


class FirstAcquired:
    """A context manager that acquires a slot of each of several sets, for one call.

    The first set that has something answers the call. If the block raises, the next call repeats
    the requests to all sets.
    """

    def __init__(self, all_slots: Sequence[IdempotencySlots]) -> None:
        self._all = all_slots
        # The failed call that is repeated, if any, for each of the sets.
        self._taken: list[list[_FailedCall]] = [[] for _ in all_slots]
        self.slots: list[IdempotencySlot] = []
        # The place of the set that answered with something.
        self.place: int | None = None

    def __enter__(self) -> Self:
        try:
            for each, taken in zip(self._all, self._taken, strict=True):
                self.slots.append(each.check_out(None, taken))
        except BaseException:
            for each, taken in zip(self._all, self._taken, strict=True):
                each.put_back(taken)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        about = zip(self._all, self.slots, self._taken, strict=True)
        for place, (each, slot, taken) in enumerate(about):
            slot.completed = place == self.place
            # The sets after the one that answered were not asked: if a failed call had taken
            # something there, a later call still receives it.
            is_open = bool(taken) and self.place is not None and not slot.completed
            number = taken[0].number if taken else next(_call_numbers)
            each.check_in(None, slot, number, failed=kind is not None or is_open)


class SetSlots:
    """The slots of one set, for each kind of call."""

    __slots__ = (
        *("insert", "lease", "lease_last", "remove", "settle", "store", "take", "take_last"),
        "twin",
    )

    # The slots of the handles of the other kind, of the same set; see `SharedSlots.of`.
    twin: "SetSlots | None"
    take: IdempotencySlots
    take_last: IdempotencySlots
    lease: IdempotencySlots
    lease_last: IdempotencySlots
    settle: IdempotencySlots
    insert: IdempotencySlots
    store: IdempotencySlots
    remove: IdempotencySlots

    def __init__(self, key: bytes) -> None:
        self.twin = None
        self.take, self.lease = IdempotencySlots(key), IdempotencySlots(key)
        # A call for the highest item must not receive what a failed call for the lowest had taken.
        self.take_last, self.lease_last = IdempotencySlots(key), IdempotencySlots(key)
        self.settle, self.insert = IdempotencySlots(key), IdempotencySlots(key)
        self.store, self.remove = IdempotencySlots(key), IdempotencySlots(key)

    def all(self) -> tuple[IdempotencySlots, ...]:
        delivering = (self.take, self.lease, self.take_last, self.lease_last)
        return (*delivering, self.settle, self.insert, self.store, self.remove)

    def move_failed_to(self, other: "SetSlots") -> None:
        """Move failed calls of each kind, as `IdempotencySlots.move_failed_to` does."""
        for mine, theirs in zip(self.all(), other.all(), strict=True):
            mine.move_failed_to(theirs)


class SharedSlots:
    """The slots of all sets that use one client. Safe across threads, without a lock."""

    def __init__(self) -> None:
        self._sets: dict[tuple[bytes, bool], SetSlots] = {}

    def of(self, key: bytes, *, only_due: bool) -> SetSlots:
        """Return the slots that the handles of the set under *key* share.

        Handles that deliver *only_due* items have slots of their own: what a failed call of
        another handle had taken, and its repetition receives, may not be due yet.
        """
        about = (key, only_due)
        found = self._sets.get(about)
        if found is None:
            found = self._sets.setdefault(about, SetSlots(key))
            twin = self._sets.get((key, not only_due))
            if twin is not None:
                found.twin, twin.twin = twin, found
            _drop_oldest(self._sets, MAX_SETS)  # handles that exist keep their slots
        return found


def _drop_oldest(entries: dict[Any, Any], most: int) -> None:
    """Keep only the newest *entries*; a signal handler or another thread may be faster."""
    if len(entries) > most:
        for oldest in list(entries)[:-most]:
            entries.pop(oldest, None)
