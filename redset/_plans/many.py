"""Plans for many items, which are sent in chunks, and for the whole set."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from itertools import chain
from typing import Any, TypeVar

from redset._plans.arguments import MS, check_conflict
from redset._plans.leased import parts
from redset._plans.operands import check_new_name, not_replaceable
from redset._plans.readonly import ask_reader
from redset._plans.single import ADMIT_AT_ONCE, admit
from redset._protocol import commands
from redset._protocol.arguments import check_seconds
from redset._protocol.commands import HIGHEST, LOWEST
from redset._protocol.config import Plan, SetConfig, ask
from redset._protocol.constants import RESULT_SECONDS
from redset._protocol.idempotency import REPLY_TTL
from redset._protocol.keys import (
    leasing_keys,
    moved_key,
    owner_of,
    text_of,
    wake_channel,
)
from redset._protocol.members import (
    Chunk,
    chunks,
    each_chunk,
    encode_all_or_none,
    encode_for_lookup,
    scored,
    scored_all,
)
from redset._protocol.sources import ItemSource, checked_pairs
from redset._support.words import shown
from redset.exceptions import AlreadyRenamed, InvalidTypeError, ResultExpired

T = TypeVar("T")

# For this number of members, a script takes up to 5 ms, in which the server's other clients wait.
INSERT_AT_ONCE = 750


def add_scored(config: SetConfig[T], items: object, conflict: str) -> Plan[None]:
    check_conflict(config, conflict)
    yield from add_all(config, checked_pairs(config.name, items), conflict)


def add_all(config: SetConfig[T], source: ItemSource, conflict: str = "keep") -> Plan[None]:
    """Add items with their scores, a chunk at a time; an error notes how many were added."""
    sent = 0

    def encoded(items: Sequence[T], scores: Sequence[Any], _other: Any) -> Chunk:
        return Chunk(config.encoding.encode_all(items), scored_all(config, items, scores))

    def send(chunk: Chunk) -> Plan[None]:
        nonlocal sent
        if config.deduplicates:
            yield from admit(config, list(zip(*chunk, strict=True)), conflict)
        elif conflict == "sum":
            yield from _increase(config, list(zip(*chunk, strict=True)))
        else:
            yield commands.add_all(config.key, *chunk, flag=commands.FLAGS[conflict])
        sent += len(chunk.members)

    try:
        yield from each_chunk(source, encoded, send)
    except Exception as error:
        if sent:
            error.add_note(
                f"redset {shown(config.name)}: the first {sent} items were added before this"
            )
        raise


def _increase(config: SetConfig[T], pairs: Sequence[tuple[bytes, float]]) -> Plan[None]:
    """Add to scores, in requests with an id, as a request that is sent twice must add once."""
    for first in range(0, len(pairs), INSERT_AT_ONCE):
        with config.requests.store.acquire() as slot:
            keys, part = (config.key, slot.reply_key), pairs[first : first + INSERT_AT_ONCE]
            yield [commands.increase(keys, slot.request_id(), part, REPLY_TTL)]


def insert(config: SetConfig[T], items: tuple[T, ...]) -> Plan[list[T]]:
    pairs = [(config.encoding.encode(item), scored(config, item)) for item in items]
    places: dict[bytes, int] = {}
    for place, (member, _) in enumerate(pairs):
        places.setdefault(member, place)
    key, *others = config.dedup_keys()
    slots = config.requests.insert
    steps, rest = slots.failed_parts(places) if slots.any_failed else ([], list(places))
    at_once = ADMIT_AT_ONCE if config.deduplicates else INSERT_AT_ONCE
    steps += map(slots.part, parts(rest, at_once))
    new: list[int] = []
    with ExitStack() as stack:  # after an error, all of them are repeated
        for step in steps:
            slot = stack.enter_context(step.acquired)
            keys = (key, slot.reply_key, *others)
            sent = [places[member] for member in step.members]
            command = commands.insert(
                keys, slot.request_id(), config.unique, [pairs[place] for place in sent], REPLY_TTL
            )
            new += [sent[place] for place in (yield from ask(command))]
    return [items[place] for place in sorted(new)]


def scores(config: SetConfig[T], items: tuple[T, ...]) -> Plan[list[float | None]]:
    found: list[float | None] = [None] * len(items)
    known = ((encode_for_lookup(config, item), place) for place, item in enumerate(items))
    for chunk in chunks((member, place) for member, place in known if member is not None):
        parts = yield commands.scores(config.key, [member for member, _ in chunk])
        for (_, place), score in zip(chunk, chain.from_iterable(parts), strict=True):
            found[place] = score
    return found


def discard_all(config: SetConfig[T], source: ItemSource) -> Plan[None]:
    def encoded(items: Sequence[T], _scores: Sequence[Any], other: Any) -> Chunk:
        known = encode_all_or_none(config, items, other)
        members = [member for member in known if member is not None]
        return Chunk(members, [None] * len(members))

    def send(chunk: Chunk) -> Plan[None]:
        yield commands.remove_all(config.key, chunk.members)

    yield from each_chunk(source, encoded, send)


# The whole set


def size(config: SetConfig[T]) -> Plan[int]:
    return ask(commands.size(config.key))


def available(config: SetConfig[T]) -> Plan[int]:
    """Return how many items are due."""
    max_due_score = config.max_due_score()
    if max_due_score == HIGHEST:
        return size(config)
    return ask(commands.count(config.key, LOWEST, max_due_score))


def clear(config: SetConfig[T]) -> Plan[bool]:
    with ExitStack() as stack:
        mine, twin = config.requests, config.requests.twin
        every = mine.all() if twin is None else (*mine.all(), *twin.all())
        keys = [key for each in every for key in stack.enter_context(each.discarding())]
        owner = owner_of(config.key)
        if owner is not None and config.key == leasing_keys(owner).dead:
            keys.append(leasing_keys(owner).letters)
        there, *_ = yield commands.clear([config.key, *leasing_keys(config.key), *keys])
    return bool(there)


def rename(config: SetConfig[T], new_name: str | bytes) -> Plan[bytes]:
    """Rename the set and its companion keys; return the new key."""
    new = check_new_name(config, new_name, config.key)
    alive = [] if config.liveness_key is None else [config.liveness_key]
    # A failed call is repeated with its slot: if the server had renamed the set already, a new
    # request would not find it.
    with config.requests.store.acquire(("rename", new)) as slot:
        keys = [config.key, new, slot.reply_key, moved_key(config.key)]
        keys += [*leasing_keys(config.key), *leasing_keys(new), *alive]
        request = (slot.request_id(), REPLY_TTL)
        word, _ = yield from ask(commands.rename(keys, request, wake_channel(new)))
        if word == "expired":
            raise ResultExpired(config.name)
        if word == "into":
            raise not_replaceable(config, new)
    if word == "renamed":
        raise AlreadyRenamed(
            f"redset {shown(config.name)}: an earlier call, which failed, has renamed this set to "
            f"{shown(new_name)}; there are new items under the old name since; call rename again "
            "to replace what that call has moved"
        )
    return new


def expire(config: SetConfig[Any], seconds: float) -> Plan[bool]:
    """Let the set expire in *seconds*, with its companion keys."""
    hint = "; clear() removes the set at once, persist() keeps it"
    left = check_seconds(config.name, "seconds", seconds, least=MS, hint=hint)
    return (yield from _set_ttl(config, "expire", left))


def persist(config: SetConfig[Any]) -> Plan[bool]:
    return (yield from _set_ttl(config, "persist", None))


def _set_ttl(config: SetConfig[Any], call: str, seconds: float | None) -> Plan[bool]:
    _check_has_own_ttl(config, call)
    # A failed call is repeated only by a call with the same arguments.
    with config.requests.store.acquire((call, seconds)) as slot:
        command = commands.expire_set(slot.keys, slot.request_id(), REPLY_TTL, seconds)
        return (yield from ask(command))


def ttl(config: SetConfig[Any]) -> Plan[float | None]:
    _check_has_own_ttl(config, "ttl")
    command = commands.ttl_of_set((config.key, *leasing_keys(config.key)))
    return (yield from ask_reader(command))


def _check_has_own_ttl(config: SetConfig[Any], call: str) -> None:
    if config.is_result:
        raise InvalidTypeError(
            f"redset {shown(config.name)}: this is a result, which the server keeps for "
            f"{RESULT_SECONDS:g} seconds after each use; for {call}() make a lasting "
            "set of it with into=… or rename(…)"
        )
    owner = owner_of(config.key)
    if owner is not None and config.key == leasing_keys(owner).dead:
        raise InvalidTypeError(
            f"redset {shown(config.name)}: the dead go with the set that they belong to; call "
            f"{call}() of {shown(text_of(owner))}"
        )


def server_time() -> Plan[float]:
    return ask(commands.server_time())
