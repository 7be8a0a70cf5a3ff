"""Operations: what each method asks for, as a plan: its arguments checked, its slot acquired.

Both surfaces run these plans, and no line of an operation stands in them. What takes a single plan
of `redset._core` and no check has no method here. Nothing here sends anything or awaits.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from time import monotonic
from typing import Any, Literal, TypeVar

from redset._core import algebra, leasing, plans
from redset._core.algebra import Local, Remote, Target, new_result
from redset._core.arguments import check_count, check_most, check_seconds, check_timeout
from redset._core.commands import number
from redset._core.encoding import Encoding, RawSerializer
from redset._core.idempotency import IdempotencySlot, IdempotencySlots
from redset._core.keys import check_name, companion, slot_of
from redset._core.leasing import Holds
from redset._core.members import decoded
from redset._core.scores import check_score
from redset._core.sources import chained
from redset._core.spec import Plan, Terms
from redset.base import Base
from redset.exceptions import InvalidTypeError, InvalidValueError, LeaseLost, MissingRankError

T = TypeVar("T")
R = TypeVar("R")

# Whose score wins where two meet.
OnConflict = Literal["keep", "replace", "min", "max", "sum"]
CONFLICTS = ("keep", "replace", "min", "max", "sum")

# No set has more items; the server refuses numbers beyond 64 bits.
FARTHEST = 1 << 62

# The shortest time to live that the server knows.
MS = 0.001


def _repeated(
    slots: IdempotencySlots,
    terms: Terms,
    hand_out: Callable[[IdempotencySlot, Terms], Plan[tuple[bool, R]]],
    *,
    goes_on: bool,
) -> Plan[R]:
    """Hand out; if it *goes_on*, again after what can't be deserialized, which is put aside."""
    began, left = monotonic(), terms
    while True:
        with slots.acquire() as slot:
            found, result = yield from hand_out(slot, left)
        if result or not found or not goes_on:
            return result
        left = terms.after(monotonic() - began)


class Operations(Base[T]):
    """The plans of a set's methods."""

    # One item, and many

    def _to_add(self, item: T, score: Any, on_conflict: str) -> Plan[Any]:
        self._check_conflict(on_conflict)
        if on_conflict == "replace":
            return (yield from plans.add(self._spec, item, score))
        return (yield from plans.add_on_conflict(self._spec, item, score, on_conflict))

    def _to_peek(self, position: int) -> Plan[T | None]:
        if check_count(self._name, "position", position) < 0:
            raise InvalidValueError(
                f"redset {self._name!r}: position must be 0 or more, got {position}"
            )
        return (yield from plans.peek(self._spec, int(position), self._highest()))

    def _to_insert(self, items: tuple[T, ...]) -> Plan[list[T]]:
        with self._inserts.acquire() as slot:
            return (yield from plans.insert(self._spec, slot, items))

    def _to_clear(self) -> Plan[bool]:
        with ExitStack() as stack:
            every = (self._turns, self._leases, self._settlings, self._inserts, self._stores)
            keys = [key for each in every for key in stack.enter_context(each.discarding())]
            return (yield from plans.clear(self._spec, keys))

    def _to_rename(self, new_name: str | bytes) -> Plan[None]:
        key = check_name(new_name)
        with self._stores.acquire() as slot:
            yield from algebra.rename(self._spec, slot, key, self._sign)

    # Handing out

    def _to_pop(self, timeout: float | None) -> Plan[T | None]:
        terms = self._terms(timeout)
        with self._turns.acquire() as slot:
            try:
                return (yield from plans.pop(self._spec, slot, terms))
            except KeyError as error:
                empty = error
        raise empty

    def _to_take(self, num: int, timeout: float | None) -> Plan[list[T]]:
        terms = self._terms(timeout)
        if check_count(self._name, "num", num) < 1:
            return []

        def take(slot: IdempotencySlot, left: Terms) -> Plan[tuple[bool, list[T]]]:
            return plans.take(self._spec, slot, int(num), left)

        return (yield from _repeated(self._turns, terms, take, goes_on=terms.timeout != 0))

    def _to_take_back(self) -> Plan[None]:
        """Undo a call of `pop` or `take` that failed, if it was given anything."""
        with self._turns.acquire() as slot:
            # A repeated call that asks for fewer gives the others back: here, all of them.
            yield from plans.take(self._spec, slot, 0, Terms(None))
            slot.completed = True

    def _to_lease(
        self,
        num: int,
        ttl: float,
        timeout: float | None,
        max_deliveries: int | None,
        stopped: Callable[[], bool] | None = None,
        *,
        goes_on: bool = False,
    ) -> Plan[Holds[T]]:
        """Lease items; past those that can't be deserialized if it waits, or *goes_on*."""
        most = check_most(self._name, max_deliveries) or self._most or 0
        seconds = check_seconds(self._name, "ttl", ttl, least=MS)
        terms = self._terms(timeout, stopped)
        if self._sign is not None:
            raise InvalidTypeError(
                f"redset {self._name!r}: this is a result, and goes with what is on lease; make a "
                "lasting set of it with into=… or rename(…)"
            )
        if check_count(self._name, "num", num) < 1:
            return Holds(self._spec, "-", (), 0.0)

        def lease(slot: IdempotencySlot, left: Terms) -> Plan[tuple[bool, Holds[T]]]:
            return leasing.lease(self._spec, slot, int(num), seconds, most, left)

        goes_on = goes_on or terms.timeout != 0
        return (yield from _repeated(self._leases, terms, lease, goes_on=goes_on))

    def _to_ack(self, holds: Holds[T], items: tuple[T, ...]) -> Plan[None]:
        yield from self._to_settle(holds, "ack", holds.members(items))

    def _to_ack_first(self, holds: Holds[T], count: int) -> Plan[None]:
        yield from self._to_settle(holds, "ack", list(holds.open)[:count])

    def _to_release(
        self, holds: Holds[T], items: tuple[T, ...], delay: float, score: Any, count: bool
    ) -> Plan[None]:
        name = holds.spec.name
        seconds = check_seconds(name, "delay", delay)
        checked = None if score is None else float(check_score(name, "release", score))
        verb = "release" if count else "release uncounted"
        yield from self._to_settle(holds, verb, holds.members(items), seconds, checked)

    def _to_extend(self, holds: Holds[T], ttl: float) -> Plan[None]:
        seconds = check_seconds(holds.spec.name, "ttl", ttl, least=MS)
        yield from self._to_settle(holds, "extend", holds.members(()), seconds)

    def _to_settle(
        self,
        holds: Holds[T],
        verb: str,
        members: list[bytes],
        seconds: float = 0.0,
        score: float | None = None,
    ) -> Plan[None]:
        """End the hold on *members*, or prolong it; `LeaseLost` if some are not held any more."""
        lost_items: list[T] = []
        for part in leasing.parts(members):
            about = (verb, holds.name, tuple(part), seconds, score)
            with self._settlings.acquire(about) as slot:
                lost = yield from leasing.settle(
                    holds.spec, slot, verb, holds.name, part, seconds, score
                )
                # Within the block: an exception from here on has the same request repeated.
                ended = [member for member in part if verb != "extend" or member in lost]
                lost_items += holds.close(ended, lost)
        if lost_items:
            raise LeaseLost(holds.spec.name, lost_items)

    def _check_batch(self, batch: int) -> None:
        if check_count(self._name, "batch", batch) < 1:
            raise InvalidValueError(f"redset {self._name!r}: batch must be 1 or more, got {batch}")

    def _terms(self, timeout: float | None, stopped: Callable[[], bool] | None = None) -> Terms:
        if type(timeout) is float and timeout == 0.0 and stopped is None:
            return self._at_once
        return Terms(self._due_by(), check_timeout(self._name, timeout), stopped)

    def _companion(self, purpose: str) -> Target:
        return Target(companion(self._spec.key, purpose), "lasting")

    def _leased_members(self) -> Any:
        """The set of what is on lease, by deadlines, its members as they are."""
        members = self._sibling(self._companion("leased"))
        encoding: Encoding[Any] = Encoding(self._name, RawSerializer())
        members._spec = replace(members._spec, encoding=encoding)
        return members

    # In order

    def _to_get(self, index: int) -> Plan[T | None]:
        rank = self._place("index", index)
        pairs = yield from plans.by_rank(self._spec, rank, rank)
        if not pairs:
            raise MissingRankError(f"redset {self._name!r}: no item of rank {index}")
        return next((item for item, _ in decoded(self._spec, pairs)), None)

    def _to_slice(self, index: slice) -> Plan[list[T]]:
        start, stop, step = (
            None if end is None else self._place("slice", end)
            for end in (index.start, index.stop, index.step)
        )
        step = 1 if step is None else step
        if step == 0:
            raise InvalidValueError(f"redset {self._name!r}: slice step cannot be zero")
        # ZRANGE includes both its ends, and takes negative ones as Python does.
        if step > 0:
            first, last = start or 0, -1 if stop is None else stop - 1
            empty = stop == 0
        else:
            first, last = 0 if stop is None else stop + 1, -1 if start is None else start
            empty = stop == -1
        if empty:
            return []
        pairs = yield from plans.by_rank(self._spec, first, last)
        return [item for item, _ in decoded(self._spec, pairs[::step])]

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
    ) -> Plan[list[T]]:
        ends = self._ends(min, max, inclusive)
        skip = self._place("offset", offset)
        most = -1 if limit is None else self._place("limit", limit)
        if skip < 0 or (limit is not None and most < 0):
            raise InvalidValueError(
                f"redset {self._name!r}: offset and limit must be 0 or more, "
                f"got {offset!r} and {limit!r}"
            )
        if most == 0:
            return []
        pairs = yield from plans.by_score(self._spec, ends, skip, most, reverse=reverse)
        return [item for item, _ in decoded(self._spec, pairs)]

    def _to_remove_range(self, min: float, max: float, inclusive: tuple[bool, bool]) -> Plan[int]:
        return (yield from plans.remove_range(self._spec, self._ends(min, max, inclusive)))

    def _to_sample(self, k: int) -> Plan[list[T]]:
        size = self._place("k", k)
        if size < 0:
            raise InvalidValueError(f"redset {self._name!r}: k must be 0 or more, got {k}")
        return (yield from plans.sample(self._spec, size)) if size else []

    def _place(self, argument: str, value: object) -> int:
        return max(-FARTHEST, min(check_count(self._name, argument, value), FARTHEST))

    def _ends(self, low: Any, high: Any, inclusive: Any) -> tuple[str, str]:
        if not isinstance(inclusive, tuple) or [type(end) for end in inclusive] != [bool, bool]:
            raise InvalidTypeError(
                f"redset {self._name!r}: inclusive must be two bools, got {inclusive!r}"
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
                target = Target(key, "lasting", slot=stack.enter_context(self._stores.acquire()))
            yield from algebra.combine(
                self._spec, verb, everyone, target, conflict=conflict, weights=factors
            )
        return target

    def _to_store_own(
        self, verb: str, operands: Sequence[Remote | Local[Any]], conflict: str
    ) -> Plan[None]:
        everyone = [self._remote(), *operands]
        with self._stores.acquire() as slot:
            target = Target(self._spec.key, "own", slot=slot)
            yield from algebra.combine(self._spec, verb, everyone, target, conflict=conflict)

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

    def _shares_commands(self, other: "Operations[Any]", *, cluster: bool) -> bool:
        """Say whether one command may name both sets, if they are on one server."""
        shares_slot = slot_of(other._spec.key) == slot_of(self._spec.key)
        return self._spec.encoding.same_as(other._spec.encoding) and (shares_slot or not cluster)

    def _check_admits_all(self) -> None:
        if not self._spec.admits_all:
            raise InvalidTypeError(
                f"redset {self._name!r}: unique={self._spec.unique!r} may refuse what this would "
                "add; use difference_update() and update()"
            )

    def _check_conflict(self, conflict: str) -> None:
        if conflict not in CONFLICTS:
            raise InvalidValueError(
                f"redset {self._name!r}: on_conflict must be one of {', '.join(CONFLICTS)}; "
                f"got {conflict!r}"
            )

    def _check_weights(
        self, weights: Iterable[float] | None, conflict: str, number: int
    ) -> list[float] | None:
        if weights is None:
            return None
        if conflict in {"keep", "replace"}:
            raise InvalidValueError(
                f"redset {self._name!r}: weights go with on_conflict 'min', 'max' or 'sum'; "
                f"got {conflict!r}, which leaves scores as they are"
            )
        factors = [float(check_score(self._name, "weights", weight)) for weight in weights]
        if len(factors) != number:
            raise InvalidValueError(
                f"redset {self._name!r}: weights must be one for each of the {number} sets, "
                f"this one first; got {len(factors)}"
            )
        return factors
