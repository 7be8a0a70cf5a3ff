"""Operations: what each method asks for, as a plan: its arguments checked, its slot acquired.

Both surfaces run these plans, and no line of an operation stands in them. What takes a single plan
of `redset._core` and no check has no method here. Nothing here sends anything or awaits.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial
from math import isinf
from time import monotonic
from typing import Any, Literal, TypeVar

from redset._core import algebra, counting, leasing, plans, reading
from redset._core.algebra import Local, Remote, Target, new_result
from redset._core.arguments import (
    FARTHEST,
    check_count,
    check_most,
    check_reason,
    check_seconds,
    check_stop,
    check_timeout,
    check_worker,
)
from redset._core.commands import number
from redset._core.consuming import (
    Settings,
    check_on_error,
    check_retry_delay,
)
from redset._core.encoding import Encoding, RawSerializer
from redset._core.idempotency import IdempotencySlot, IdempotencySlots, fingerprint
from redset._core.keys import (
    check_name,
    companion,
    leasing_keys,
    owner_of,
    slot_of,
    text_of,
)
from redset._core.leasing import LEASE_AT_ONCE, Hold, Holds, Settling, Stats
from redset._core.members import decoded, decoded_all, decoded_pairs, encode_sought
from redset._core.reading import Combination
from redset._core.scores import check_score
from redset._core.sources import LARGE, Source, chained, checked_pairs, noticed
from redset._core.spec import Plan, Terms
from redset._core.words import shown
from redset.base import Base
from redset.exceptions import (
    InvalidTypeError,
    InvalidValueError,
    LeaseLost,
    MissingItemError,
    MissingRankError,
)

T = TypeVar("T")
R = TypeVar("R")

logger = logging.getLogger("redset")

# Whose score wins where two meet.
OnConflict = Literal["keep", "replace", "min", "max", "sum"]
CONFLICTS = ("keep", "replace", "min", "max", "sum")

# A script takes up to 5 ms for so many, and holds up the server's other clients meanwhile.
TAKE_AT_ONCE = 1_000

# The shortest time to live that the server knows.
MS = 0.001


def _in_steps(
    slots: IdempotencySlots,
    num: int,
    at_once: int,
    terms: Terms,
    hand_out: Callable[[IdempotencySlot, int, Terms], Plan[tuple[int, Sequence[Any]]]],
    *,
    goes_on: bool,
) -> Plan[None]:
    """Hand out up to *num* items, *at_once* in a step, until a step finds fewer.

    An error has the next calls repeat all steps. If it *goes_on*, and all that was found can't be
    deserialized and was put aside, ask again.
    """
    began, left, given, wait = monotonic(), num, 0, terms
    with slots.acquire() as slot:
        wanted = min(left, at_once)
        found, items = yield from hand_out(slot, wanted, wait)
        if (items or not found) and (found < wanted or found == num):
            return  # most calls
        with ExitStack() as stack:
            while True:
                given, left = given + len(items), left - found
                if found and not given and goes_on:
                    left, wait = num, terms.after(monotonic() - began)
                elif found < wanted or left <= 0:
                    return
                else:
                    wait = replace(wait, timeout=0.0)
                wanted = min(left, at_once)
                found, items = yield from hand_out(
                    stack.enter_context(slots.acquire()), wanted, wait
                )


class Operations(Base[T]):
    """The plans of a set's methods."""

    # One item, and many

    def _to_add(self, item: T, score: Any, on_conflict: str) -> Plan[Any]:
        self._check_conflict(on_conflict)
        if on_conflict == "replace":
            return (yield from plans.add(self._spec, item, score))
        return (yield from plans.add_on_conflict(self._spec, item, score, on_conflict))

    def _to_add_and_rank(
        self, item: T, score: Any, on_conflict: str, reverse: bool
    ) -> Plan[int | None]:
        self._check_conflict(on_conflict)
        plan = plans.add_and_rank(self._spec, item, score, on_conflict, reverse=reverse)
        return (yield from plan)

    def _to_update_score(self, item: T, score: Any, on_conflict: str) -> Plan[float | None]:
        self._check_conflict(on_conflict)
        return (yield from plans.update_score(self._spec, item, score, on_conflict))

    def _to_replace(self, old: T, new: T) -> Plan[float]:
        self._check_admits_all()
        becomes = self._spec.encoding.encode(new)
        score = yield from self._to_carry(old, becomes, self._spec.key, "replace")
        if score is None:
            raise MissingItemError(old)
        return score

    def _to_move(
        self, item: T, to: object, operand: Remote | Local[Any] | None, on_conflict: str
    ) -> Plan[bool]:
        self._check_conflict(on_conflict)
        if not isinstance(operand, Remote) or operand.sign is not None:
            raise InvalidTypeError(
                f"redset {shown(self._name)}: move goes to a lasting set of the same server, "
                "database and serializer, and in a cluster of the same slot, got "
                f"{shown(to)}; add the item there, then discard it here"
            )
        if isinstance(to, Operations):
            to._check_admits_all()
        score = yield from self._to_carry(item, None, operand.key, on_conflict)
        return score is not None

    def _to_carry(
        self, item: T, becomes: bytes | None, target: bytes, conflict: str
    ) -> Plan[float | None]:
        member = encode_sought(self._spec, item)
        if member is None:
            return None
        members = (member, member if becomes is None else becomes)
        # Only the same call repeats one that failed.
        about = ("move", fingerprint(members), target, conflict)
        with self._requests.store.acquire(about) as slot:
            return (yield from plans.move(self._spec, slot, members, target, conflict))

    def _to_add_scored(self, items: object, on_conflict: str) -> Plan[None]:
        self._check_conflict(on_conflict)
        source = checked_pairs(self._name, items)
        yield from plans.update(self._spec, source, on_conflict, self._requests.store)

    def _to_peek(self, position: int, last: bool, with_scores: bool) -> Plan[Any]:
        if (place := self._place("position", position)) < 0:
            raise InvalidValueError(
                f"redset {shown(self._name)}: position must be 0 or more, got {shown(position)}"
            )
        highest = self._highest()
        plan = plans.peek(self._spec, place, highest, last=last, with_scores=with_scores)
        return (yield from plan)

    def _to_insert(self, items: tuple[T, ...]) -> Plan[list[T]]:
        return (yield from plans.insert(self._spec, self._requests.insert, items))

    def _to_clear(self) -> Plan[bool]:
        with ExitStack() as stack:
            every = self._requests.all()
            keys = [key for each in every for key in stack.enter_context(each.discarding())]
            return (yield from plans.clear(self._spec, keys))

    def _to_rename(self, new_name: str | bytes) -> Plan[bytes]:
        key = check_name(new_name, self._spec.key)
        # A call that failed is repeated as that, or else it would rename what is not there.
        with self._requests.store.acquire(("rename", key)) as slot:
            yield from algebra.rename(self._spec, slot, key, self._sign)
        return key

    def _to_expire(self, seconds: float) -> Plan[bool]:
        hint = "; clear() removes the set at once, persist() keeps it"
        left = check_seconds(self._name, "seconds", seconds, least=MS, hint=hint)
        return (yield from self._to_set_ttl("expire", left))

    def _to_persist(self) -> Plan[bool]:
        return (yield from self._to_set_ttl("persist", None))

    def _to_set_ttl(self, call: str, seconds: float | None) -> Plan[bool]:
        self._check_has_own_ttl(call)
        # Only the same call repeats one that failed.
        with self._requests.store.acquire((call, seconds)) as slot:
            return (yield from plans.expire(slot, seconds))

    def _to_ttl(self) -> Plan[float | None]:
        self._check_has_own_ttl("ttl")
        return (yield from plans.ttl(self._spec))

    def _check_has_own_ttl(self, call: str) -> None:
        if self._sign is not None:
            raise InvalidTypeError(
                f"redset {shown(self._name)}: this is a result, which the server keeps for "
                f"{algebra.RESULT_SECONDS:g} seconds after each use; for {call}() make a lasting "
                "set of it with into=… or rename(…)"
            )
        owner = owner_of(self._spec.key)
        if owner is not None and self._spec.key == leasing_keys(owner).dead:
            raise InvalidTypeError(
                f"redset {shown(self._name)}: the dead go with the set that they belong to; call "
                f"{call}() of {shown(text_of(owner))}"
            )

    # Handing out

    def _to_pop(self, timeout: float | None, last: bool, with_scores: bool) -> Plan[Any]:
        terms = self._terms(timeout, last)
        with self._takes(last).acquire() as slot:
            try:
                return (yield from plans.pop(self._spec, slot, terms, with_scores=with_scores))
            except KeyError as error:
                empty = error
        raise empty

    def _takes(self, last: bool) -> IdempotencySlots:
        return self._requests.take_last if last else self._requests.take

    def _to_take(
        self, num: int, timeout: float | None, last: bool, with_scores: bool
    ) -> Plan[list[Any]]:
        terms = self._terms(timeout, last)
        if check_count(self._name, "num", num) < 1:
            return []

        items: list[Any] = []

        def take(slot: IdempotencySlot, wanted: int, wait: Terms) -> Plan[tuple[int, list[Any]]]:
            found, part = yield from plans.take(
                self._spec, slot, wanted, wait, with_scores=with_scores
            )
            items.extend(part)
            return found, part

        goes_on = terms.timeout != 0
        slots = self._takes(last)
        yield from _in_steps(slots, int(num), TAKE_AT_ONCE, terms, take, goes_on=goes_on)
        return items

    def _to_take_back(self, last: bool = False) -> Plan[None]:
        """Undo calls of `pop` or `take` that failed, if they were given anything."""
        slots = self._takes(last)
        while True:
            with slots.acquire() as slot:
                # A repeated call that asks for fewer gives the others back: here, all of them.
                yield from plans.take(self._spec, slot, 0, Terms(None))
                slot.completed = True
            if not slots.any_failed:
                return

    def _to_lease(
        self,
        num: int,
        ttl: float,
        timeout: float | None,
        max_deliveries: int | None,
        worker: str | None,
        last: bool,
    ) -> Plan[Holds[T]]:
        """Lease items; past those that can't be deserialized if it waits."""
        wanted = leasing.LeaseTerms(
            check_seconds(self._name, "ttl", ttl, least=MS),
            check_most(self._name, max_deliveries) or self._most or 0,
            check_worker(self._name, worker),
        )
        terms = self._terms(timeout, last)
        self._check_lasting()
        if check_count(self._name, "num", num) < 1:
            return Holds(self._spec, (), 0.0, 0.0)
        goes_on = terms.timeout != 0
        return (yield from self._lease(int(num), wanted, terms, None, goes_on=goes_on))

    def _check_lasting(self) -> None:
        if self._sign is not None:
            raise InvalidTypeError(
                f"redset {shown(self._name)}: this is a result, and goes with what is on "
                "lease; make a lasting set of it with into=… or rename(…)"
            )

    def _to_consume(self, settings: Settings, done: Holds[T] | None) -> Plan[Holds[T]]:
        """Lease what a consumer works on next, and acknowledge what is left of *done*."""
        self._check_lasting()
        return self._lease(settings.batch, settings.wanted, settings.terms, done, goes_on=True)

    def _lease(
        self,
        num: int,
        wanted: leasing.LeaseTerms,
        terms: Terms,
        done: Holds[T] | None,
        *,
        goes_on: bool,
    ) -> Plan[Holds[T]]:
        """Lease items; first, in the same step, acknowledge what is left of *done*."""
        if done is not None and not done.is_settled_at_once(self._spec.key):
            yield from self._finish(done)
            done = None
        holds: list[Hold[T]] = []
        ends: list[tuple[float, float]] = []

        def lease(slot: IdempotencySlot, num: int, wait: Terms) -> Plan[tuple[int, list[Hold[T]]]]:
            left = done if done is not None and done.open else None
            lost = None if left is None else partial(self._finish, left)
            found, part, *end = yield from leasing.lease(
                self._spec, slot, num, wanted, wait, left, lost
            )
            holds.extend(part)
            ends.append((end[0], end[1]))
            return found, part

        slots = self._requests.lease_last if terms.last else self._requests.lease
        yield from _in_steps(slots, num, LEASE_AT_ONCE, terms, lease, goes_on=goes_on)
        return Holds(self._spec, holds, *min(ends))

    def _to_ack(self, holds: Holds[T], items: tuple[T, ...], again_at: Any) -> Plan[None]:
        score = self._score_for(holds, "ack", again_at)
        members = holds.members(items) if items else holds.not_returning()
        yield from self._to_settle(holds, Settling("ack", 0.0, score), members)

    def _to_release(
        self,
        holds: Holds[T],
        items: tuple[T, ...],
        delay: float,
        score: Any,
        count: bool,
        error: object,
    ) -> Plan[None]:
        seconds = check_seconds(holds.spec.name, "delay", delay)
        checked = self._score_for(holds, "release", score)
        verb = "release" if count else "uncounted"
        how = Settling(verb, seconds, checked, leasing.error_text(error))
        yield from self._to_settle(holds, how, holds.members(items))

    def _to_reject(self, holds: Holds[T], items: tuple[T, ...], error: object) -> Plan[None]:
        how = Settling("reject", error=leasing.error_text(error))
        yield from self._to_settle(holds, how, holds.members(items))

    def _to_extend(self, holds: Holds[T], ttl: float, verb: str = "extend") -> Plan[None]:
        seconds = check_seconds(holds.spec.name, "ttl", ttl, least=MS)
        yield from self._to_settle(holds, Settling(verb, seconds), holds.members(()))

    def _to_give_back(self, holds: Holds[T], error: BaseException) -> Plan[None]:
        """Give back what is left of a lease whose block *error* ended.

        If several items are left, the error says not which of them is to blame.
        """
        rest = holds.not_returning()
        verb = "release" if len(rest) == 1 else "suspected"
        how = Settling(verb if leasing.counts(error) else "uncounted")
        how = how._replace(error=leasing.error_text(error))
        yield from self._to_settle_each(holds, [(how, rest), *holds.to_return()])

    def _to_leave(
        self, holds: Holds[T], done: int, delay: float, error: BaseException | None
    ) -> Plan[None]:
        """Settle what is left of a consumer's lease: the first *done* of its items are done.

        The next one is at hand if there is an *error*; nobody began the others.
        """
        at_hand = done + (error is not None)
        everyone = list(holds.all_members())
        returning = holds.to_return()
        groups = (
            (Settling("ack"), everyone[:done]),
            (self._failure(delay, error), everyone[done:at_hand]),
            (Settling("uncounted"), everyone[at_hand:]),
        )
        rest = set(holds.not_returning())
        others = [(how, [each for each in those if each in rest]) for how, those in groups]
        yield from self._to_settle_each(holds, [*others, *returning])

    def _to_finish(self, holds: Holds[T]) -> Plan[None]:
        """Acknowledge what is left of *holds*; but give back what an earlier call could not."""
        groups = [(Settling("ack"), holds.not_returning()), *holds.to_return()]
        yield from self._to_settle_each(holds, groups)

    def _finish(self, holds: Holds[T]) -> Plan[None]:
        """As `_to_finish`, but `Holds.lost` alone has what is lost: who works on it looks there."""
        with suppress(LeaseLost):
            yield from self._to_finish(holds)

    def _to_settle_each(
        self, holds: Holds[T], groups: Iterable[tuple[Settling, list[bytes]]]
    ) -> Plan[None]:
        """Settle what is open of each group, also of those after one that has lost some."""
        lost: list[T] = []
        for how, members in groups:
            try:
                those = [member for member in members if member in holds.open]
                yield from self._to_settle(holds, how, those)
            except LeaseLost as loss:
                lost += loss.items
        if lost:
            raise LeaseLost(holds.spec.name, lost)

    def _failure(self, delay: float, error: BaseException | None) -> Settling:
        if error is None or not leasing.counts(error):
            return Settling("uncounted")
        return Settling("release", delay, None, leasing.error_text(error))

    def _score_for(self, holds: Holds[T], operation: str, score: Any) -> float | None:
        return None if score is None else float(check_score(holds.spec.name, operation, score))

    def _to_settle(self, holds: Holds[T], how: Settling, members: list[bytes]) -> Plan[None]:
        """End the hold on *members*, or prolong it; `LeaseLost` if some are not held any more."""
        if not how.prolongs and how.verb != "ack":
            holds.returning |= dict.fromkeys(members, how)
        lost_items: list[T] = []
        ends: list[tuple[float, float]] = []
        for lease, part in holds.by_lease(members, how.at_once):
            lost = yield from self._settle_at(
                holds, how, lease, part, holds.key_of(lease), ends, []
            )
            if lost:
                lost_items += holds.close(lost, set(lost))
        if ends:
            deadline, until = min(ends)
            if how.verb == "extend" or deadline > holds.deadline:
                holds.deadline, holds.until = deadline, until
        if lost_items:
            raise LeaseLost(holds.spec.name, lost_items)

    def _settle_at(
        self,
        holds: Holds[T],
        how: Settling,
        lease: str,
        members: list[bytes],
        key: bytes,
        ends: list[tuple[float, float]],
        asked: list[bytes],
    ) -> Plan[list[bytes]]:
        """Settle members of one *lease* of the set under *key*, or where that was renamed to.

        Append to *ends* until when it holds them then; return those that it doesn't hold anywhere.
        *asked* are the keys that were asked before.
        """
        # A call that failed may be remembered for long, its members must not be.
        about = (how, lease, key, len(members), fingerprint(members))
        with self._requests.settle.acquire(about) as slot:
            sent = monotonic()
            keys = slot.keys if key == slot.keys[0] else slot.keys_at(key)
            deadline, lost = yield from leasing.settle(keys, slot, how, lease, members)
            # Within the block: an exception from here on has the same request repeated.
            found = [member for member in members if member not in lost] if lost else members
            if found:
                holds.keys[lease] = key
                if how.prolongs:
                    ends.append((deadline, sent + how.seconds))
                else:
                    holds.close(found)
            if not lost:
                return []
            left = [member for member in members if member in lost]
            asked.append(key)
            for place in (yield from leasing.moved_to(key)):
                # The first key may have its set back meanwhile.
                if left and place not in asked[1:]:
                    left = yield from self._settle_at(holds, how, lease, left, place, ends, asked)
            return left

    def _to_sort_dead(
        self, verb: str, items: tuple[T, ...], reason: str | None, age: float | None
    ) -> Plan[int]:
        check_reason(self._name, reason)
        before = None
        if age is not None:
            seconds = check_seconds(self._name, "older_than", age)
            before = (yield from plans.server_time()) - seconds
        return (yield from leasing.sort_dead(self._spec, verb, items, reason or "", before))

    def _to_stats(self) -> Plan[Stats]:
        return (yield from leasing.stats(self._spec, self._highest(), self._time_of_scores()))

    def _checked(self, settings: Settings) -> Settings:
        if check_count(self._name, "batch", settings.batch) < 1:
            raise InvalidValueError(
                f"redset {shown(self._name)}: batch must be 1 or more, got {shown(settings.batch)}"
            )
        ttl = check_seconds(self._name, "ttl", settings.ttl, least=MS)
        timeout = check_timeout(self._name, settings.timeout)
        most = check_most(self._name, settings.max_deliveries)
        stopped = check_stop(self._name, settings.stopped)
        worker = check_worker(self._name, settings.worker)
        return Settings(
            int(settings.batch),
            ttl,
            timeout,
            bool(settings.renew),
            most,
            stopped,
            worker,
            check_retry_delay(self._name, settings.retry_delay),
            check_on_error(self._name, settings.on_error),
            leasing.LeaseTerms(ttl, most or self._most or 0, worker),
            Terms(self._due_by(), timeout, stopped),
        )

    def _terms(self, timeout: float | None, last: bool) -> Terms:
        if type(timeout) is float and timeout == 0.0 and not last:
            return self._at_once
        return Terms(self._due_by(), check_timeout(self._name, timeout), last=bool(last))

    def _companion(self, purpose: str) -> Target:
        return Target(companion(self._spec.key, purpose), "lasting")

    def _members_of(self, purpose: str) -> Any:
        """The companion set for *purpose*, its members as they are."""
        members = self._sibling(self._companion(purpose))
        encoding: Encoding[Any] = Encoding(self._name, RawSerializer())
        members._spec = replace(members._spec, encoding=encoding)
        return members

    # In order

    def _to_get(self, index: int) -> Plan[T | None]:
        rank = self._place("index", index)
        pairs = yield from plans.by_rank(self._spec, rank, rank)
        if not pairs:
            raise MissingRankError(f"redset {shown(self._name)}: no item of rank {shown(index)}")
        return next((item for item, _ in decoded(self._spec, pairs)), None)

    def _to_index(self, item: T) -> Plan[int]:
        rank = yield from plans.rank(self._spec, item, reverse=False)
        if rank is None:
            raise InvalidValueError(f"redset {shown(self._name)}: {shown(item)} is not in the set")
        return rank

    def _to_remove_at(self, index: int | slice) -> Plan[int]:
        if isinstance(index, slice):
            ends = self._ranks_of(index)
            if ends is None:
                return 0
            first, last, step = ends
            if abs(step) > 1:
                return (yield from plans.remove_stepped(self._spec, first, last, step))
        else:
            first = last = self._place("index", index)
        # Only the same call repeats one that failed.
        with self._requests.remove.acquire((first, last)) as slot:
            removed = yield from plans.remove_at(self._spec, slot, first, last)
        if not removed and not isinstance(index, slice):
            raise MissingRankError(f"redset {shown(self._name)}: no item of rank {shown(index)}")
        return removed

    def _to_slice(self, index: slice) -> Plan[list[T]]:
        ends = self._ranks_of(index)
        if ends is None:
            return []
        first, last, step = ends
        pairs = yield from plans.by_rank(self._spec, first, last)
        return [item for item, _ in decoded(self._spec, pairs[::step])]

    def _ranks_of(self, index: slice) -> tuple[int, int, int] | None:
        """Return the first and the last rank of a slice, and its step; ``None`` if it is empty."""
        start, stop, step = (
            None if end is None else self._place("slice", end)
            for end in (index.start, index.stop, index.step)
        )
        step = 1 if step is None else step
        if step == 0:
            raise InvalidValueError(f"redset {shown(self._name)}: slice step cannot be zero")
        # ZRANGE includes both its ends, and takes negative ones as Python does.
        if step > 0:
            first, last = start or 0, -1 if stop is None else stop - 1
            empty = stop == 0
        else:
            first, last = 0 if stop is None else stop + 1, -1 if start is None else start
            empty = stop == -1
        return None if empty else (first, last, step)

    def _to_count(self, min: float, max: float, inclusive: tuple[bool, bool]) -> Plan[int]:
        return (yield from plans.count(self._spec, self._ends(min, max, inclusive)))

    def _to_range(
        self,
        min: float,
        max: float,
        inclusive: tuple[bool, bool],
        offset: int,
        limit: int | None,
        reverse: bool,
        with_scores: bool,
    ) -> Plan[list[Any]]:
        ends = self._ends(min, max, inclusive)
        skip = self._place("offset", offset)
        most = -1 if limit is None else self._place("limit", limit)
        if skip < 0 or (limit is not None and most < 0):
            raise InvalidValueError(
                f"redset {shown(self._name)}: offset and limit must be 0 or more, "
                f"got {shown(offset)} and {shown(limit)}"
            )
        if most == 0:
            return []
        pairs = yield from plans.by_score(self._spec, ends, skip, most, reverse=reverse)
        return (decoded_pairs if with_scores else decoded_all)(self._spec, pairs)

    def _to_remove_range(self, min: float, max: float, inclusive: tuple[bool, bool]) -> Plan[int]:
        return (yield from plans.remove_range(self._spec, self._ends(min, max, inclusive)))

    def _to_sample(self, k: int, with_scores: bool) -> Plan[list[Any]]:
        size = self._place("k", k)
        if size < 0:
            raise InvalidValueError(
                f"redset {shown(self._name)}: k must be 0 or more, got {shown(k)}"
            )
        plan = plans.sample_pairs if with_scores else plans.sample
        return (yield from plan(self._spec, size)) if size else []

    def _place(self, argument: str, value: object) -> int:
        return max(-FARTHEST, min(check_count(self._name, argument, value), FARTHEST))

    def _ends(self, low: Any, high: Any, inclusive: Any) -> tuple[str, str]:
        if not isinstance(inclusive, tuple) or [type(end) for end in inclusive] != [bool, bool]:
            raise InvalidTypeError(
                f"redset {shown(self._name)}: inclusive must be two bools, got {shown(inclusive)}"
            )
        ends = []
        for argument, end, belongs in (("min", low, inclusive[0]), ("max", high, inclusive[1])):
            score = number(check_score(self._name, argument, end))
            ends.append(score if belongs else f"({score}")
        return ends[0], ends[1]

    # With other sets

    def _to_combine(
        self,
        verb: str,
        operands: Sequence[Remote | Local[Any]],
        conflict: str,
        weights: Iterable[float] | None,
        into: str | bytes | None,
    ) -> Plan[Target]:
        """Make the combination of this set and *operands*; give where it is."""
        everyone = [self._remote(), *operands]
        factors = self._check_weights(weights, conflict, len(everyone))
        with ExitStack() as stack:
            if into is None:
                target = new_result(self._spec)
            else:
                key = check_name(into)
                target = Target(
                    key, "lasting", slot=stack.enter_context(self._requests.store.acquire())
                )
            yield from algebra.combine(
                self._spec, verb, everyone, target, conflict=conflict, weights=factors
            )
        return target

    def _to_store_own(
        self, verb: str, operands: Sequence[Remote | Local[Any]], conflict: str
    ) -> Plan[None]:
        everyone = [self._remote(), *operands]
        with self._requests.store.acquire() as slot:
            target = Target(self._spec.key, "own", slot=slot)
            yield from algebra.combine(self._spec, verb, everyone, target, conflict=conflict)

    def _to_count_common(
        self, operands: Sequence[Remote | Local[Any]], limit: int | None
    ) -> Plan[int]:
        most = self._check_limit(limit)
        return (
            0 if most == 0 else (yield from self._to_count_of("intersection", operands, most or 0))
        )

    def _to_count_of(
        self, verb: str, operands: Sequence[Remote | Local[Any]], limit: int = 0
    ) -> Plan[int]:
        everyone = [self._remote(), *operands]
        return (yield from counting.count(self._spec, verb, everyone, limit))

    def _to_read(
        self, wanted: Combination, operands: Sequence[Remote | Local[Any]]
    ) -> Plan[list[Any]]:
        return (yield from reading.read(self._spec, wanted, [self._remote(), *operands]))

    def _combination(
        self,
        verb: str,
        number: int,
        limit: int | None,
        reverse: bool,
        with_scores: bool,
        conflict: str = "keep",
        weights: Iterable[float] | None = None,
    ) -> Combination | None:
        """Say what is to be read of this set and a *number* of others; ``None`` for nothing."""
        self._check_conflict(conflict)
        factors = self._check_weights(weights, conflict, 1 + number)
        most = self._check_limit(limit)
        if most == 0:
            return None
        return Combination(verb, conflict, factors, most or 0, reverse, with_scores)

    def _check_limit(self, limit: int | None) -> int | None:
        most = None if limit is None else self._place("limit", limit)
        if most is not None and most < 0:
            raise InvalidValueError(
                f"redset {shown(self._name)}: limit must be 0 or more, got {shown(limit)}"
            )
        return most

    def _to_update(self, operands: Sequence[Remote | Local[T]], conflict: str) -> Plan[None]:
        local = [operand.source for operand in operands if isinstance(operand, Local)]
        if self._spec.admits_all and (conflict == "sum" or len(local) < len(operands)):
            yield from self._to_store_own("union", operands, conflict)
        else:
            yield from plans.update(self._spec, chained(local), conflict)

    def _to_difference_update(self, operands: Sequence[Remote | Local[Any]]) -> Plan[None]:
        local = [operand.source for operand in operands if isinstance(operand, Local)]
        if len(local) < len(operands):
            yield from self._to_store_own("difference", operands, "keep")
        else:
            yield from plans.discard_all(self._spec, chained(local))

    def _to_symmetric_difference_update(self, operand: Remote | Local[T]) -> Plan[None]:
        yield from self._to_store_own("symmetric_difference", [operand], "keep")

    def _other_encoding(self, other: Operations[Any]) -> Encoding[Any] | None:
        """Return the encoding of *other* unless it is that of this set."""
        found = other._spec.encoding
        return None if self._spec.encoding.same_as(found) else found

    def _noticed(self, other: Operations[Any], source: Source, why: str) -> Source:
        """What *source* gives of another set, with a warning if many items travel."""

        def notice() -> None:
            logger.warning(
                "redset %r: reads all of redset %r through this process, more than %s items, as %s",
                *(self._spec.label, other._spec.label, f"{LARGE:,}", why),
            )

        return noticed(source, notice)

    def _why_apart(self, other: Operations[Any]) -> str:
        """Say why no command may name both sets, or that they are on different servers."""
        if not self._spec.encoding.same_as(other._spec.encoding):
            return "their serializers differ"
        if self._connection.is_cluster and slot_of(other._spec.key) != slot_of(self._spec.key):
            return "a cluster keeps them in different slots: names with the same {tag} share one"
        return "they are on different servers or databases"

    def _shares_commands(self, other: Operations[Any], *, cluster: bool) -> bool:
        """Say whether one command may name both sets, if they are on one server."""
        shares_slot = slot_of(other._spec.key) == slot_of(self._spec.key)
        return self._spec.encoding.same_as(other._spec.encoding) and (shares_slot or not cluster)

    def _check_admits_all(self) -> None:
        if not self._spec.admits_all:
            raise InvalidTypeError(
                f"redset {shown(self._name)}: unique={shown(self._spec.unique)} may refuse "
                "what this would add; use difference_update() and update()"
            )

    def _check_conflict(self, conflict: str) -> None:
        if conflict not in CONFLICTS:
            raise InvalidValueError(
                f"redset {shown(self._name)}: on_conflict must be one of {', '.join(CONFLICTS)}; "
                f"got {shown(conflict)}"
            )

    def _check_weights(
        self, weights: Iterable[float] | None, conflict: str, number: int
    ) -> list[float] | None:
        if weights is None:
            return None
        if conflict in {"keep", "replace"}:
            raise InvalidValueError(
                f"redset {shown(self._name)}: weights go with on_conflict 'min', 'max' or 'sum'; "
                f"got {shown(conflict)}, which leaves scores as they are"
            )
        factors = [float(check_score(self._name, "weights", weight)) for weight in weights]
        if any(map(isinf, factors)):
            raise InvalidValueError(
                f"redset {shown(self._name)}: weights must be finite, got {shown(factors)}"
            )
        if len(factors) != number:
            raise InvalidValueError(
                f"redset {shown(self._name)}: weights must be one for each of the {number} sets, "
                f"this one first; got {len(factors)}"
            )
        return factors
