"""Plans: one generator for each operation.

Encode, yield commands, decode. Nothing here opens a socket or awaits. One ``yield`` is one round
trip: a list of commands goes out, the list of their parsed replies comes back. A `WaitForChange`
that is yielded waits, a `Pull` reads on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from itertools import chain
from time import monotonic
from typing import Any, TypeVar

from redset._core import commands
from redset._core.commands import HIGHEST, LOWEST, Command
from redset._core.idempotency import REPLY_TTL, IdempotencySlot, IdempotencySlots
from redset._core.keys import leasing_keys
from redset._core.members import (
    Chunk,
    chunks,
    decoded,
    decoded_all,
    decoded_pairs,
    each_chunk,
    encode_all_known,
    encode_sought,
    scored,
    scored_all,
)
from redset._core.outlook import Outlook
from redset._core.replies import LeaseReply, Pair, Taken
from redset._core.scores import check_score
from redset._core.sources import Source
from redset._core.spec import Plan, Spec, Terms, WaitForChange
from redset._core.words import shown
from redset.exceptions import EmptySetError, MissingItemError

T = TypeVar("T")
R = TypeVar("R", Taken, LeaseReply)

# A script takes up to 5 ms for so many, and holds up the server's other clients meanwhile.
INSERT_AT_ONCE, ADMIT_AT_ONCE = 750, 500

# How long the bytes are kept that could not be turned into an item of a result.
UNDECODABLE_SECONDS = 600.0

# How long a consumer that can be stopped waits before it asks whether it is to stop.
GLANCE_SECONDS = 0.1


# One item


def add(spec: Spec[T], item: T, score: Any) -> Plan[Any]:
    member, score = spec.encoding.encode(item), scored(spec, item, score)
    if not spec.admits_all:
        kept = yield from admit(spec, [(member, score)], "replace")
        return None if kept is None else score
    yield [commands.add(spec.key, [member], [score])]
    return score


def add_on_conflict(spec: Spec[T], item: T, score: Any, conflict: str) -> Plan[Any]:
    member, score = spec.encoding.encode(item), scored(spec, item, score)
    if not spec.admits_all:
        return (yield from admit(spec, [(member, score)], conflict))
    *_, kept = yield commands.add_with(spec.key, member, float(score), conflict)
    return kept


def add_and_rank(
    spec: Spec[T], item: T, score: Any, conflict: str, *, reverse: bool
) -> Plan[int | None]:
    member, number = spec.encoding.encode(item), float(scored(spec, item, score))
    added: list[Command[Any]] = []
    if not spec.admits_all:
        # Not in one batch: a script that the server doesn't know yet comes after what follows it.
        yield from admit(spec, [(member, number)], conflict)
    elif conflict == "replace":
        added = [commands.add(spec.key, [member], [number])]
    else:
        added = commands.add_with(spec.key, member, number, conflict)
    *_, rank = yield [*added, commands.rank(spec.key, member, reverse=reverse)]
    return rank  # type: ignore[no-any-return]


def admit(spec: Spec[T], pairs: list[tuple[bytes, float]], conflict: str) -> Plan[float | None]:
    """Add members but for those that have to stay out; give the last one's score, or ``None``."""
    *_, kept = yield [
        commands.admit(spec.admission(), spec.unique, conflict, part)
        for part in commands.parts(pairs, ADMIT_AT_ONCE)
    ]
    return kept  # type: ignore[no-any-return]


def contains(spec: Spec[T], item: T) -> Plan[bool]:
    return (yield from score(spec, item)) is not None


def score(spec: Spec[T], item: T) -> Plan[float | None]:
    member = encode_sought(spec, item)
    if member is None:
        return None
    [score] = yield [commands.score(spec.key, member)]
    return score  # type: ignore[no-any-return]


def discard(spec: Spec[T], item: T) -> Plan[bool]:
    member = encode_sought(spec, item)
    if member is None:
        return False
    [removed] = yield [commands.remove(spec.key, member)]
    return bool(removed)


def update_score(spec: Spec[T], item: T, score: Any, conflict: str) -> Plan[float | None]:
    number = float(check_score(spec.name, item, score))
    member = encode_sought(spec, item)
    if member is None:
        return None
    *_, kept = yield commands.update_score(spec.key, member, number, conflict)
    return kept  # type: ignore[no-any-return]


def move(
    spec: Spec[T],
    slot: IdempotencySlot,
    members: tuple[bytes, bytes],
    target: bytes,
    conflict: str = "replace",
) -> Plan[float | None]:
    """Move a member to *target*, where it becomes the second one; give the score it had."""
    keys = (spec.key, slot.reply_key, leasing_keys(spec.key).absent, target)
    [score] = yield [commands.move(keys, slot.request_id(), REPLY_TTL, members, conflict)]
    return score  # type: ignore[no-any-return]


def remove(spec: Spec[T], sought: T, item: T) -> Plan[None]:
    """Remove *sought*, as which *item* is looked up; the error names *item*, as with ``set``."""
    if not (yield from discard(spec, sought)):
        raise MissingItemError(item)


# The whole set


def size(spec: Spec[T], highest: str = HIGHEST) -> Plan[int]:
    command = (
        commands.size(spec.key) if highest == HIGHEST else commands.count(spec.key, LOWEST, highest)
    )
    [number] = yield [command]
    return number  # type: ignore[no-any-return]


def clear(spec: Spec[T], companions: list[bytes]) -> Plan[bool]:
    others = [*leasing_keys(spec.key), *companions]
    there, *_ = yield [commands.delete(spec.key), *commands.delete_all(others)]
    return bool(there)


def expire(slot: IdempotencySlot, seconds: float | None) -> Plan[bool]:
    """Have the set go in so many *seconds*, ``None`` for never, with all that belongs to it."""
    [changed] = yield [commands.expire_set(slot.keys, slot.request_id(), REPLY_TTL, seconds)]
    return changed  # type: ignore[no-any-return]


def ttl(spec: Spec[Any]) -> Plan[float | None]:
    [seconds] = yield [commands.ttl_of_set((spec.key, *leasing_keys(spec.key)))]
    return seconds  # type: ignore[no-any-return]


def run_id() -> Plan[str]:
    [info] = yield [commands.server_info()]
    return info  # type: ignore[no-any-return]


def server_time() -> Plan[float]:
    [seconds] = yield [commands.server_time()]
    return seconds  # type: ignore[no-any-return]


# Many items


def update(
    spec: Spec[T],
    source: Source,
    conflict: str = "keep",
    slots: IdempotencySlots | None = None,
) -> Plan[None]:
    """Add items with their scores, a chunk at a time; an error says how many of them got in.

    *slots* are for ``"sum"``, which must not be done twice.
    """
    sent = 0

    def encoded(items: Sequence[T], scores: Sequence[Any], _other: Any) -> Chunk:
        return Chunk(spec.encoding.encode_all(items), scored_all(spec, items, scores))

    def send(chunk: Chunk) -> Plan[None]:
        nonlocal sent
        if not spec.admits_all:
            yield from admit(spec, list(zip(*chunk, strict=True)), conflict)
        elif slots is not None and conflict == "sum":
            yield from increase(spec, slots, list(zip(*chunk, strict=True)))
        else:
            yield commands.add_all(spec.key, *chunk, flag=commands.FLAGS[conflict])
        sent += len(chunk.members)

    try:
        yield from each_chunk(source, encoded, send)
    except Exception as error:
        if sent:
            error.add_note(
                f"redset {shown(spec.name)}: the first {sent} items were added before this"
            )
        raise


def increase(
    spec: Spec[T], slots: IdempotencySlots, pairs: Sequence[tuple[bytes, float]]
) -> Plan[None]:
    for first in range(0, len(pairs), INSERT_AT_ONCE):
        with slots.acquire() as slot:
            keys, part = (spec.key, slot.reply_key), pairs[first : first + INSERT_AT_ONCE]
            yield [commands.increase(keys, slot.request_id(), part, REPLY_TTL)]


def insert(spec: Spec[T], slots: IdempotencySlots, items: tuple[T, ...]) -> Plan[list[T]]:
    pairs = [(spec.encoding.encode(item), scored(spec, item)) for item in items]
    key, *others = spec.admission()
    new: list[T] = []
    with ExitStack() as stack:  # an error has all of them repeated
        first = 0
        for part in chunks(pairs, INSERT_AT_ONCE if spec.admits_all else ADMIT_AT_ONCE):
            slot = stack.enter_context(slots.acquire())
            keys = (key, slot.reply_key, *others)
            request_id = slot.request_id()
            [places] = yield [commands.insert(keys, request_id, spec.unique, part, REPLY_TTL)]
            new += [items[first + place] for place in places]
            first += len(part)
    return new


def scores(spec: Spec[T], items: Sequence[T]) -> Plan[list[float | None]]:
    found: list[float | None] = [None] * len(items)
    known = ((encode_sought(spec, item), place) for place, item in enumerate(items))
    for chunk in chunks((member, place) for member, place in known if member is not None):
        parts = yield commands.scores(spec.key, [member for member, _ in chunk])
        for (_, place), score in zip(chunk, chain.from_iterable(parts), strict=True):
            found[place] = score
    return found


def discard_all(spec: Spec[T], source: Source) -> Plan[None]:
    def encoded(items: Sequence[T], _scores: Sequence[Any], other: Any) -> Chunk:
        known = encode_all_known(spec, items, other)
        members = [member for member in known if member is not None]
        return Chunk(members, [None] * len(members))

    def send(chunk: Chunk) -> Plan[None]:
        yield commands.remove_all(spec.key, chunk.members)

    yield from each_chunk(source, encoded, send)


# Handing out


def pop(
    spec: Spec[T], slot: IdempotencySlot, terms: Terms, *, with_scores: bool = False
) -> Plan[Any]:
    pairs, items = yield from _hand_out(spec, slot, 1, terms, with_scores=with_scores)
    if not pairs:
        raise EmptySetError(f"redset {shown(spec.name)}: pop from an empty set")
    return items[0] if items else _unreadable(pairs, with_scores=with_scores)


def _unreadable(pairs: list[Pair], *, with_scores: bool) -> tuple[None, float] | None:
    """What is given for a member that can't be deserialized."""
    return (None, pairs[0][1]) if with_scores else None


def take(
    spec: Spec[T], slot: IdempotencySlot, num: int, terms: Terms, *, with_scores: bool = False
) -> Plan[tuple[int, list[Any]]]:
    """Take items; return how many members there were, and those that can be deserialized."""
    pairs, items = yield from _hand_out(spec, slot, num, terms, with_scores=with_scores)
    return len(pairs), items


def _hand_out(
    spec: Spec[T], slot: IdempotencySlot, num: int, terms: Terms, *, with_scores: bool
) -> Plan[tuple[list[Pair], list[Any]]]:
    def ask(highest: str) -> Command[Taken]:
        request_id = slot.request_id()
        return commands.take(slot.keys, request_id, num, highest, REPLY_TTL, last=terms.last)

    pairs, _, end = yield from when_there(spec, terms, ask, lambda reply: bool(reply.pairs))
    slot.completed = bool(pairs)
    broken: list[Pair] = []
    items: list[Any] = (decoded_pairs if with_scores else decoded_all)(spec, pairs, broken)
    if broken:
        yield _put_aside(spec, slot, broken, end)
    return pairs, items


def _put_aside(
    spec: Spec[Any], slot: IdempotencySlot, broken: list[Pair], end: int | None
) -> list[Command[Any]]:
    if not spec.is_result:
        return [commands.put_aside(slot.keys, end, part) for part in commands.parts(broken)]
    members, scores = zip(*broken, strict=True)
    kept = commands.add_all(spec.undecodable, members, scores)
    return [*kept, commands.expire(spec.undecodable, UNDECODABLE_SECONDS)]


def when_there(
    spec: Spec[T],
    terms: Terms,
    ask: Callable[[str], Command[R]],
    found: Callable[[R], bool],
    answered: Callable[[R], Plan[None]] | None = None,
) -> Plan[R]:
    """Ask whenever the set may hold something to take, until something is *found* or time is up.

    *ask* is told the highest score that is due; *answered* does what the first reply calls for.
    """
    end = math.inf if terms.timeout is None else monotonic() + terms.timeout
    reply: R
    [reply] = yield [ask(terms.highest())]
    if reply.more:
        reply, _ = yield from _asked(terms, ask)
    if answered is not None:
        yield from answered(reply)
    if found(reply) or terms.timeout == 0:
        return reply
    outlook = Outlook(spec.key, terms.now)
    seconds = math.inf
    glance = math.inf if terms.stopped is None else GLANCE_SECONDS
    while True:
        left = end - monotonic()
        if left <= 0 or (terms.stopped and terms.stopped()):
            return reply
        [told] = yield WaitForChange(spec.key, min(left, seconds, glance), outlook)
        if told is False and glance < min(left, seconds):
            continue  # nothing has changed, and the server is not asked
        if told is None:  # then each wait ends with a question to the server
            glance = math.inf
        # As long as nothing tells of changes, each ask looks when the next item will be ready.
        looks = outlook.commands() if told is None else []
        reply, looked = yield from _asked(terms, ask, looks)
        outlook.found = found(reply)
        if outlook.found:
            return reply
        ready, seconds = outlook.read(looked) if looked else (0, math.inf)
        seconds = 0.0 if ready else seconds


def _asked(
    terms: Terms, ask: Callable[[str], Command[R]], looks: Sequence[Command[Any]] = ()
) -> Plan[tuple[R, list[Any]]]:
    """Ask once, or until the server has put right what it had to; also look, the first time."""
    reply, *looked = yield [ask(terms.highest()), *looks]
    while reply.more:
        [reply] = yield [ask(terms.highest())]
    return reply, looked


def peek(
    spec: Spec[T], position: int, highest: str, *, last: bool = False, with_scores: bool = False
) -> Plan[Any]:
    [pairs] = yield [_waiting(spec, position, highest, last=last)]
    if not pairs:
        raise EmptySetError(f"redset {shown(spec.name)}: no item at position {position}")
    items: list[Any] = (decoded_pairs if with_scores else decoded_all)(spec, pairs)
    return items[0] if items else _unreadable(pairs, with_scores=with_scores)


def peek_score(spec: Spec[T], highest: str, *, last: bool = False) -> Plan[float | None]:
    [pairs] = yield [_waiting(spec, 0, highest, last=last)]
    return pairs[0][1] if pairs else None


def _waiting(spec: Spec[T], position: int, highest: str, *, last: bool) -> Command[list[Pair]]:
    if highest == HIGHEST:
        rank = -1 - position if last else position
        return commands.by_rank(spec.key, rank, rank)
    return commands.range_by_score(spec.key, (LOWEST, highest), position, 1, reverse=last)


# By rank and by score


def rank(spec: Spec[T], item: T, *, reverse: bool) -> Plan[int | None]:
    member = encode_sought(spec, item)
    if member is None:
        return None
    [rank] = yield [commands.rank(spec.key, member, reverse=reverse)]
    return rank  # type: ignore[no-any-return]


def ranks(spec: Spec[T], items: Sequence[T], *, reverse: bool) -> Plan[list[int | None]]:
    found: list[int | None] = [None] * len(items)
    known = ((encode_sought(spec, item), place) for place, item in enumerate(items))
    for chunk in chunks((member, place) for member, place in known if member is not None):
        part = yield [commands.rank(spec.key, member, reverse=reverse) for member, _ in chunk]
        for (_, place), rank in zip(chunk, part, strict=True):
            found[place] = rank
    return found


def remove_at(spec: Spec[T], slot: IdempotencySlot, first: int, last: int) -> Plan[int]:
    keys = (spec.key, slot.reply_key)
    [removed] = yield [commands.remove_at(keys, slot.request_id(), first, last, REPLY_TTL)]
    return removed  # type: ignore[no-any-return]


def remove_stepped(spec: Spec[T], first: int, last: int, step: int) -> Plan[int]:
    """Remove every *step*-th member of those ranks: they are read first, then removed."""
    pairs = yield from by_rank(spec, first, last)
    total = 0
    for chunk in chunks(pairs[::step]):
        total += sum((yield commands.remove_all(spec.key, [member for member, _ in chunk])))
    return total


def by_rank(spec: Spec[T], first: int, last: int) -> Plan[list[Pair]]:
    [pairs] = yield [commands.by_rank(spec.key, first, last)]
    return pairs  # type: ignore[no-any-return]


def by_score(
    spec: Spec[T], ends: tuple[str, str], offset: int, limit: int, *, reverse: bool
) -> Plan[list[Pair]]:
    [pairs] = yield [commands.range_by_score(spec.key, ends, offset, limit, reverse=reverse)]
    return pairs  # type: ignore[no-any-return]


def count(spec: Spec[T], ends: tuple[str, str]) -> Plan[int]:
    [number] = yield [commands.count(spec.key, *ends)]
    return number  # type: ignore[no-any-return]


def remove_range(spec: Spec[T], ends: tuple[str, str]) -> Plan[int]:
    [removed] = yield [commands.remove_by_score(spec.key, ends)]
    return removed  # type: ignore[no-any-return]


def increment(spec: Spec[T], item: T, amount: Any) -> Plan[float | None]:
    member, amount = spec.encoding.encode(item), check_score(spec.name, item, amount)
    if not spec.admits_all:
        return (yield from admit(spec, [(member, float(amount))], "sum"))
    [score] = yield [commands.increment(spec.key, member, float(amount))]
    return score  # type: ignore[no-any-return]


def sample(spec: Spec[T], size: int) -> Plan[list[T]]:
    [members] = yield [commands.sample(spec.key, size)]
    return [item for item, _ in decoded(spec, ((member, 0.0) for member in members))]


def sample_pairs(spec: Spec[T], size: int) -> Plan[list[tuple[T, float]]]:
    [pairs] = yield [commands.sample_pairs(spec.key, size)]
    return decoded_pairs(spec, pairs)


def random(spec: Spec[T]) -> Plan[T | None]:
    [members] = yield [commands.sample(spec.key, 1)]
    if not members:
        raise EmptySetError(f"redset {shown(spec.name)}: no item to choose from")
    return next((item for item, _ in decoded(spec, [(members[0], 0.0)])), None)
