"""Plans of a queue: read the next items, or remove and return them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any, TypeVar

from redset._plans.arguments import check_place, take_options
from redset._plans.waiting import when_there
from redset._protocol import commands
from redset._protocol.arguments import check_count
from redset._protocol.commands import HIGHEST, LOWEST, Command
from redset._protocol.config import Plan, SetConfig, TakeOptions, ask
from redset._protocol.idempotency import REPLY_TTL, IdempotencySlot, IdempotencySlots
from redset._protocol.members import decoded_all, decoded_pairs
from redset._protocol.replies import Pair, Taken
from redset._support.clock import monotonic
from redset._support.words import shown
from redset.exceptions import EmptySetError, InvalidValueError

T = TypeVar("T")
# Annotations of a function in a function are evaluated at each call.
Take = Command[Taken]

# For this number of members, a script takes up to 5 ms, in which the server's other clients wait.
TAKE_AT_ONCE = 1_000

# For this long, members of a result are kept that were taken, and can't be deserialized.
UNDECODABLE_SECONDS = 600.0


def pop(config: SetConfig[T], timeout: float | None, *, last: bool, with_scores: bool) -> Plan[Any]:
    options = take_options(config, timeout, last)
    with slots_of(config, last=last).acquire() as slot:
        pairs, items = yield from _take(config, slot, 1, options, with_scores=with_scores)
    if not pairs:
        raise EmptySetError(f"redset {shown(config.name)}: pop from an empty set")
    return items[0] if items else _unreadable(pairs, with_scores=with_scores)


def _unreadable(pairs: list[Pair], *, with_scores: bool) -> tuple[None, float] | None:
    """Return what a call returns for a member that can't be deserialized."""
    return (None, pairs[0][1]) if with_scores else None


def take(
    config: SetConfig[T], num: int, timeout: float | None, *, last: bool, with_scores: bool
) -> Plan[list[Any]]:
    options = take_options(config, timeout, last)
    if check_count(config.name, "num", num) < 1:
        return []
    items: list[Any] = []

    def take_some(
        slot: IdempotencySlot, wanted: int, wait: TakeOptions
    ) -> Plan[tuple[int, list[Any]]]:
        pairs, part = yield from _take(config, slot, wanted, wait, with_scores=with_scores)
        items.extend(part)
        return len(pairs), part

    slots, goes_on = slots_of(config, last=last), options.timeout != 0
    yield from in_steps(slots, int(num), TAKE_AT_ONCE, options, take_some, goes_on=goes_on)
    return items


def take_back(config: SetConfig[T], *, last: bool) -> Plan[None]:
    """Undo calls of `pop` or `take` that failed after the server had taken items for them."""
    slots = slots_of(config, last=last)
    while True:
        with slots.acquire() as slot:
            # If a repeated call asks for fewer items, the server puts the others back: here, all.
            yield from _take(config, slot, 0, TakeOptions(None), with_scores=False)
            slot.completed = True
        if not slots.any_failed:
            return


def slots_of(config: SetConfig[Any], *, last: bool) -> IdempotencySlots:
    """Return the slots of calls that take the lowest items, or the highest."""
    return config.requests.take_last if last else config.requests.take


def _take(
    config: SetConfig[T],
    slot: IdempotencySlot,
    num: int,
    options: TakeOptions,
    *,
    with_scores: bool,
) -> Plan[tuple[list[Pair], list[Any]]]:
    """Take up to *num* members; return them, and the items of those that can be deserialized."""

    def request(max_due_score: str) -> Take:
        request_id = slot.request_id()
        return commands.take(
            slot.keys, request_id, num, max_due_score, REPLY_TTL, last=options.last
        )

    pairs, _, end = yield from when_there(config, options, request, lambda reply: bool(reply.pairs))
    slot.completed = bool(pairs)
    undecodable: list[Pair] = []
    items: list[Any] = (decoded_pairs if with_scores else decoded_all)(config, pairs, undecodable)
    if undecodable:
        yield put_aside(config, slot, undecodable, end)
    return pairs, items


def put_aside(
    config: SetConfig[Any], slot: IdempotencySlot, undecodable: list[Pair], end: int | None
) -> list[Command[Any]]:
    """Return the commands that keep members that were taken, and can't be deserialized."""
    if not config.is_result:
        return [commands.put_aside(slot.keys, end, part) for part in commands.parts(undecodable)]
    members, scores = zip(*undecodable, strict=True)
    kept = commands.add_all(config.undecodable, members, scores)
    return [*kept, commands.expire(config.undecodable, UNDECODABLE_SECONDS)]


def in_steps(
    slots: IdempotencySlots,
    num: int,
    at_once: int,
    options: TakeOptions,
    deliver: Callable[[IdempotencySlot, int, TakeOptions], Plan[tuple[int, Sequence[Any]]]],
    *,
    goes_on: bool,
) -> Plan[None]:
    """Deliver up to *num* items, at most *at_once* in a step, until a step finds fewer.

    After an error, the next calls repeat all steps. If none of the members that were found can be
    deserialized, they were put aside; with *goes_on*, the plan asks for others then.
    """
    began, left, given, wait = monotonic(), num, 0, options
    with slots.acquire() as slot:
        wanted = min(left, at_once)
        found, items = yield from deliver(slot, wanted, wait)
        if (items or not found) and (found < wanted or found == num):
            return  # the case of most calls: one step
        with ExitStack() as stack:
            while True:
                given, left = given + len(items), left - found
                if found and not given and goes_on:
                    left, wait = num, options.after(monotonic() - began)
                elif found < wanted or left <= 0:
                    return
                else:
                    wait = replace(wait, timeout=0.0)
                wanted = min(left, at_once)
                found, items = yield from deliver(
                    stack.enter_context(slots.acquire()), wanted, wait
                )


def peek(config: SetConfig[T], position: int, *, last: bool, with_scores: bool) -> Plan[Any]:
    place = check_place(config, "position", position)
    if place < 0:
        raise InvalidValueError(
            f"redset {shown(config.name)}: position must be 0 or more, got {shown(position)}"
        )
    pairs = yield from ask(_next_one(config, place, last=last))
    if not pairs:
        raise EmptySetError(f"redset {shown(config.name)}: no item at position {place}")
    items: list[Any] = (decoded_pairs if with_scores else decoded_all)(config, pairs)
    return items[0] if items else _unreadable(pairs, with_scores=with_scores)


def peek_score(config: SetConfig[T], *, last: bool) -> Plan[float | None]:
    pairs = yield from ask(_next_one(config, 0, last=last))
    return pairs[0][1] if pairs else None


def _next_one(config: SetConfig[T], position: int, *, last: bool) -> Command[list[Pair]]:
    max_due_score = config.max_due_score()
    if max_due_score == HIGHEST:
        rank = -1 - position if last else position
        return commands.by_rank(config.key, rank, rank)
    return commands.range_by_score(config.key, (LOWEST, max_due_score), position, 1, reverse=last)
