"""Plans that settle items on lease: acknowledge, release, reject or extend them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from redset._plans.arguments import MS
from redset._plans.leased import LeasedItems, Settling, counts, error_text
from redset._protocol import commands
from redset._protocol.arguments import check_seconds
from redset._protocol.commands import Command
from redset._protocol.config import Plan, SetConfig
from redset._protocol.constants import MAX_MOVED
from redset._protocol.idempotency import REPLY_TTL, IdempotencySlot, fingerprint
from redset._protocol.keys import moved_key, wake_channel
from redset._protocol.scores import check_score
from redset._support.clock import monotonic

T = TypeVar("T")


def ack(
    config: SetConfig[T], holds: LeasedItems[T], items: tuple[T, ...], again_at: Any
) -> Plan[None]:
    score = _score_for(config, "ack", again_at)
    members = holds.members(items) if items else holds.not_returning()
    yield from _settle_those(config, holds, Settling("ack", 0.0, score), items, members)


def release(
    config: SetConfig[T],
    holds: LeasedItems[T],
    items: tuple[T, ...],
    delay: float,
    score: Any,
    count: bool,
    error: object,
) -> Plan[None]:
    seconds = check_seconds(config.name, "delay", delay)
    checked = _score_for(config, "release", score)
    verb = "release" if count else "uncounted"
    how = Settling(verb, seconds, checked, error_text(error))
    yield from _settle_those(config, holds, how, items, holds.members(items))


def reject(
    config: SetConfig[T], holds: LeasedItems[T], items: tuple[T, ...], error: object
) -> Plan[None]:
    how = Settling("reject", error=error_text(error))
    yield from _settle_those(config, holds, how, items, holds.members(items))


def extend(config: SetConfig[T], holds: LeasedItems[T], ttl: float) -> Plan[None]:
    seconds = check_seconds(config.name, "ttl", ttl, least=MS)
    yield from _settle_those(config, holds, Settling("extend", seconds), (), holds.members(()))


def renew(config: SetConfig[T], holds: LeasedItems[T], ttl: float) -> Plan[None]:
    """Extend the lease, but don't raise `LeaseLost`: `LeasedItems.lost` has the lost items."""
    yield from settle(config, holds, Settling("renew", ttl), holds.members(()))


def _settle_those(
    config: SetConfig[T],
    holds: LeasedItems[T],
    how: Settling,
    items: tuple[T, ...],
    members: list[bytes],
) -> Plan[None]:
    """Settle *members*, those of *items*, for a caller.

    Raise `LeaseLost` for all that the lease doesn't hold, also if that was known before. If the
    caller named no items, the error also names the losses that no error has named yet.
    """
    yield from settle(config, holds, how, members)
    holds.tell_lost(members if items else None)


def release_remaining(
    config: SetConfig[T], holds: LeasedItems[T], error: BaseException
) -> Plan[None]:
    """Release what is left of a lease whose block ended with *error*.

    If several items are left, the error doesn't tell which of them caused it: this delivery doesn't
    count then, and each is delivered alone next.
    """
    rest = holds.not_returning()
    verb = "release" if len(rest) == 1 else "suspected"
    how = Settling(verb if counts(error) else "uncounted")
    how = how._replace(error=error_text(error))
    yield from settle_each(config, holds, [(how, rest)])


def leave(
    config: SetConfig[T],
    holds: LeasedItems[T],
    done: int,
    delay: float,
    error: BaseException | None,
) -> Plan[None]:
    """Settle what is left of a consumer's lease: its first *done* items are acknowledged.

    If there is an *error*, the next item failed with it. The others were not begun: they are
    released, and their delivery doesn't count.
    """
    at_hand = done + (error is not None)
    everyone = list(holds.all_members())
    groups = (
        (Settling("ack"), everyone[:done]),
        (failure(delay, error), everyone[done:at_hand]),
        (Settling("uncounted"), everyone[at_hand:]),
    )
    rest = set(holds.not_returning())
    others = [(how, [each for each in those if each in rest]) for how, those in groups]
    yield from settle_each(config, holds, others)


def finish(config: SetConfig[T], holds: LeasedItems[T]) -> Plan[None]:
    """Acknowledge what is left of *holds*; `LeasedItems.lost` has the lost items.

    Items that an earlier call failed to return to the set are returned instead.
    """
    yield from settle_each(config, holds, [(Settling("ack"), holds.not_returning())])


def settle_each(
    config: SetConfig[T], holds: LeasedItems[T], groups: Iterable[tuple[Settling, list[bytes]]]
) -> Plan[None]:
    """Settle the unsettled members of each group, and those that are to be returned.

    A request that failed before is repeated as it was: if it had been done, the server answers
    that, and doesn't say that its members are lost. What is returned may be refused, so it comes
    last.
    """
    again = [(how, members) for how, _, members in holds.open_attempts()]
    acks = [each for each in again if not each[0].returns]
    returned = [each for each in again if each[0].returns]
    for how, members in [*acks, *groups, *returned, *holds.to_return()]:
        yield from settle(config, holds, how, members)


def failure(delay: float, error: BaseException | None) -> Settling:
    if error is None or not counts(error):
        return Settling("uncounted")
    return counted_failure(delay, error)


def counted_failure(delay: float, error: BaseException) -> Settling:
    return Settling("release", delay, None, error_text(error))


def _score_for(config: SetConfig[T], operation: str, score: Any) -> float | None:
    return None if score is None else float(check_score(config.name, operation, score))


def settle(
    config: SetConfig[T], holds: LeasedItems[T], how: Settling, members: list[bytes]
) -> Plan[None]:
    """End the lease of unsettled *members*, or extend it; `LeasedItems.lost` has the lost ones.

    No exception tells of them: one that a signal handler raised would be taken for it.
    """
    those = [member for member in members if member in holds.unsettled]
    if how.returns:
        holds.returning |= dict.fromkeys(those, how)
    ends: list[tuple[float, float]] = []
    for lease, part in holds.by_lease(those, how.at_once):
        attempt = how, lease, part
        if not how.prolongs and attempt not in holds.attempts:
            holds.attempts.append(attempt)
        request = object()
        try:
            holds.asked[request] = part
            key = holds.key_of(lease)
            lost = yield from _settle_at(config, holds, how, lease, part, key, ends, [])
        finally:
            holds.asked.pop(request, None)
        holds.forget(attempt)
        if lost and (gone := holds.not_asked(lost)):
            yield from _ask_earlier(config, holds, gone)
            holds.lose(gone)
    if ends:
        deadline, until = min(ends)
        if how.verb == "extend" or deadline > holds.deadline:
            holds.deadline, holds.until = deadline, until


def _ask_earlier(config: SetConfig[T], holds: LeasedItems[T], gone: Sequence[bytes]) -> Plan[None]:
    """Mark those of *gone* as settled that an earlier request settled, whose reply never came.

    It is repeated if the lease holds none of its members: if it was not done, it does nothing.
    """
    for attempt in holds.open_attempts():
        how, lease, part = attempt
        if set(part) <= set(gone):
            yield from _settle_at(config, holds, how, lease, part, holds.key_of(lease), [], [])
            holds.forget(attempt)


def _settle_at(
    config: SetConfig[T],
    holds: LeasedItems[T],
    how: Settling,
    lease: str,
    members: list[bytes],
    key: bytes,
    ends: list[tuple[float, float]],
    asked: list[bytes],
) -> Plan[list[bytes]]:
    """Settle members of one *lease* of the set under *key*, or under a key it was renamed to.

    Append to *ends* the deadlines of an extended lease; return the members that it doesn't hold
    under any key. *asked* are the keys that were asked before.
    """
    # A failed call may be remembered for a long time: it keeps a digest, and not the members.
    about = (how, lease, key, len(members), fingerprint(members))
    with config.requests.settle.acquire(about) as slot:
        sent = monotonic()
        keys = slot.keys if key == slot.keys[0] else slot.keys_at(key)
        deadline, lost = yield from _settle_once(keys, slot, how, lease, members)
        # Within the block: after an exception from here on, the same request is repeated.
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
        for place in (yield from moved_to(key)):
            # The set may have been renamed back to the first key since: it is asked once more.
            if left and place not in asked[1:]:
                left = yield from _settle_at(config, holds, how, lease, left, place, ends, asked)
        return left


def _settle_once(
    keys: Sequence[bytes],
    slot: IdempotencySlot,
    settling: Settling,
    name: str,
    members: Sequence[bytes],
) -> Plan[tuple[float, set[bytes]]]:
    """End or extend the lease *name* of *members*; return its deadline, and the lost members.

    *keys* are the keys of the set to ask, with the reply key of the slot, which may be of another
    set.
    """
    request_id = slot.request_id()
    [(deadline, lost)] = yield [settle_command(keys, request_id, settling, name, members)]
    return deadline, {members[place] for place in lost}


def moved_to(key: bytes) -> Plan[list[bytes]]:
    """Return the keys that the set under *key* was renamed to lately, while it had leased items."""
    [found] = yield [commands.by_rank(moved_key(key), -MAX_MOVED, -1)]
    return [place for place, _ in reversed(found)]


def settle_command(
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
