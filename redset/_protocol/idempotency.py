"""Idempotency: a request that is sent again changes nothing twice; docs/idempotency.md says how.

A slot identifies one caller on the server: a key that holds its last reply, and the number of its
call. Each call acquires one. One whose call failed is acquired again first, by a call with the same
fingerprint, and so that call is given what the failed one had taken. All handles of a set over one
client share their slots, so a handle for each call leaves as many keys as a single one. No I/O.
"""

import os
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from secrets import token_hex
from typing import Self

from redset._protocol.keys import companion, leasing_keys
from redset._support.forks import reentrant_lock

# Longer than redis-py keeps repeating a command by itself (10 times, 5 seconds each).
REPLY_TTL = 300.0
# Of slots that are idle, so many are kept: a call in many steps needs one for each.
MAX_IDLE = 64
# Of calls that failed and were never repeated, so many are remembered.
MAX_FAILED = 1_000
# A client remembers the slots of so many sets, whether or not there are handles of them.
MAX_SETS = 1_000


def fingerprint(members: Sequence[bytes]) -> bytes:
    """Return what tells calls for *members* from those for others."""
    digest = blake2b(digest_size=16)
    for member in members:
        digest.update(b"%d:" % len(member))
        digest.update(member)
    return digest.digest()


class IdempotencySlot:
    """The reply key of one caller, the number of its call, and that of its next request."""

    __slots__ = ("attempts", "completed", "keys", "name", "process", "reply_key", "sequence")

    def __init__(self, key: bytes) -> None:
        self.name = token_hex(8)
        self.process = os.getpid()
        self.reply_key = companion(key, f"given:{self.name}")
        self.move_to(key)
        self.sequence = self.attempts = 0
        # Whether the call was given something. One that wasn't is not completed: what reaches the
        # server when no caller waits for it any more may be given something yet.
        self.completed = True

    def move_to(self, key: bytes) -> None:
        """Work with the set under *key* from now on; the reply key stays what it is."""
        # What all scripts of handing out work with.
        self.keys = self.keys_at(key)

    def keys_at(self, key: bytes) -> tuple[bytes, ...]:
        """Return what such a script works with if the set is under *key*."""
        return key, self.reply_key, *leasing_keys(key)

    def request_id(self) -> bytes:
        """Return the id of a new request for the call; only the client sends one of them twice."""
        attempt, self.attempts = self.attempts, self.attempts + 1
        return b"%d.%d" % (self.sequence, attempt)


class _Acquired:
    """A slot that is acquired for the time of a block."""

    __slots__ = ("_fingerprint", "_slot", "_slots")

    def __init__(self, slots: "IdempotencySlots", fingerprint: Hashable) -> None:
        self._slots, self._fingerprint = slots, fingerprint

    def __enter__(self) -> IdempotencySlot:
        self._slot = self._slots.check_out(self._fingerprint)
        return self._slot

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._slots.check_in(self._fingerprint, self._slot, failed=kind is not None)


class IdempotencySlots:
    """The slots of one kind of calls; safe across threads, never shared with a forked child.

    A signal handler may use the set in the middle of any step: each one is complete in itself.
    """

    __slots__ = ("_failed", "_idle", "_key", "_lock", "_process")

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._lock = reentrant_lock()
        self._forget()

    def _forget(self) -> None:
        self._process = os.getpid()
        self._idle: list[IdempotencySlot] = []
        self._failed: list[tuple[Hashable, IdempotencySlot]] = []

    def acquire(self, fingerprint: Hashable = None) -> "_Acquired":
        """Acquire a slot for one call, the block; an exception leaves it to be repeated.

        Only a call with the same *fingerprint* is a repetition.
        """
        return _Acquired(self, fingerprint)

    def check_out(self, fingerprint: Hashable) -> IdempotencySlot:
        """Return the slot of a call that failed, or one that is idle."""
        if self._process != os.getpid():
            self._forget_parents()
        # From here on each step is atomic: no lock.
        slot = self._failed_call(fingerprint) if self._failed else None
        if slot is None:
            try:
                slot = self._idle.pop()
            except IndexError:
                slot = IdempotencySlot(self._key)
        slot.completed = True
        return slot

    def check_out_failed(self, fingerprint: Hashable = None) -> IdempotencySlot | None:
        """Return the slot of a call that failed, to be repeated, if there is one."""
        return self._failed_call(fingerprint) if self.any_failed else None

    def _forget_parents(self) -> None:
        """Forget the slots that a forked child has from its parent."""
        with self._lock.get():
            if self._process != os.getpid():
                self._forget()

    def check_in(self, fingerprint: Hashable, slot: IdempotencySlot, *, failed: bool) -> None:
        """Take back what was checked out; not in a child that was forked within the block."""
        if slot.process != self._process:
            return
        if slot.completed and not failed:
            slot.sequence, slot.attempts = slot.sequence + 1, 0
        if failed:
            self._failed.append((fingerprint, slot))
            del self._failed[:-MAX_FAILED]
        elif not slot.completed or len(self._idle) < MAX_IDLE:
            self._idle.append(slot)

    def move_failed_to(self, other: "IdempotencySlots") -> None:
        """Leave calls that failed to be repeated as those of another set, which this one became."""
        self._forget_parents()
        other._forget_parents()
        for entry in list(self._failed):
            if _removed(self._failed, entry):
                entry[1].move_to(other._key)
                other._failed.append(entry)

    def _failed_call(self, fingerprint: Hashable) -> IdempotencySlot | None:
        for entry in list(self._failed):
            if entry[0] == fingerprint and _removed(self._failed, entry):
                return entry[1]
        return None

    @property
    def any_failed(self) -> bool:
        """Whether there is a call that failed and was not repeated."""
        return bool(self._failed) and self._process == os.getpid()

    @contextmanager
    def discarding(self) -> Iterator[list[bytes]]:
        """Return the reply keys of all idle slots, to be deleted, and forget them after that.

        An exception keeps them: what a failed call was given is still to be had.
        """
        with self._lock.get():
            if self._process != os.getpid():
                self._forget()
            idle, failed = list(self._idle), list(self._failed)
        yield [slot.reply_key for slot in (*idle, *(slot for _, slot in failed))]
        with self._lock.get():
            for slot in idle:
                _removed(self._idle, slot)
            for entry in failed:
                _removed(self._failed, entry)


class FirstAcquired:
    """A slot of each of several sets, for a call that the first of them answers: the block.

    An exception leaves all of them to be repeated.
    """

    def __init__(self, all_slots: Sequence[IdempotencySlots]) -> None:
        self._all = all_slots
        self._repeated: list[bool] = []
        self.slots: list[IdempotencySlot] = []
        # Which set handed something out.
        self.place: int | None = None

    def __enter__(self) -> Self:
        for each in self._all:
            repeated = each.check_out_failed()
            self.slots.append(each.check_out(None) if repeated is None else repeated)
            self._repeated.append(repeated is not None)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        about = zip(self._all, self.slots, self._repeated, strict=True)
        for place, (each, slot, is_repeated) in enumerate(about):
            slot.completed = place == self.place
            # The sets after the one that answered were not asked: what a failed call was given
            # there is still to be had.
            is_open = is_repeated and self.place is not None and not slot.completed
            each.check_in(None, slot, failed=kind is not None or is_open)


class SetSlots:
    """The slots of one set, by what the calls do."""

    __slots__ = ("insert", "lease", "lease_last", "remove", "settle", "store", "take", "take_last")

    def __init__(self, key: bytes) -> None:
        self.take, self.lease = IdempotencySlots(key), IdempotencySlots(key)
        # What a failed call for the lowest was given is not for one that asks for the highest.
        self.take_last, self.lease_last = IdempotencySlots(key), IdempotencySlots(key)
        self.settle, self.insert = IdempotencySlots(key), IdempotencySlots(key)
        self.store, self.remove = IdempotencySlots(key), IdempotencySlots(key)

    def all(self) -> tuple[IdempotencySlots, ...]:
        handing_out = (self.take, self.lease, self.take_last, self.lease_last)
        return (*handing_out, self.settle, self.insert, self.store, self.remove)

    def move_failed_to(self, other: "SetSlots") -> None:
        """As that of `IdempotencySlots`, for each kind of calls."""
        for mine, theirs in zip(self.all(), other.all(), strict=True):
            mine.move_failed_to(theirs)


class SharedSlots:
    """The slots of all sets that one client is used for. Safe across threads, without a lock."""

    def __init__(self) -> None:
        self._sets: dict[tuple[bytes, bool], SetSlots] = {}

    def of(self, key: bytes, *, only_due: bool) -> SetSlots:
        """Return the slots that the handles of the set under *key* share.

        Those that hand out *only_due* items have their own: what a call of another handle was
        given, and has to be given again, may be due later.
        """
        about = (key, only_due)
        found = self._sets.get(about)
        if found is None:
            found = self._sets.setdefault(about, SetSlots(key))
            if len(self._sets) > MAX_SETS:
                # Handles keep what they have.
                for oldest in list(self._sets)[:-MAX_SETS]:
                    self._sets.pop(oldest, None)
        return found


def _removed(
    entries: list[object] | list[IdempotencySlot] | list[tuple[Hashable, IdempotencySlot]],
    entry: object,
) -> bool:
    """Remove *entry*; return ``False`` if a handler of a signal was faster."""
    try:
        entries.remove(entry)  # type: ignore[arg-type]
    except ValueError:
        return False
    return True
