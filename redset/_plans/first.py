"""Plans that deliver items of the first of several sets that has any.

One script asks the sets in their order: more sets cost no more round trips.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Generic, NamedTuple, TypeVar

from redset._plans import leases, queue, settling
from redset._plans.arguments import take_options
from redset._plans.consuming import Settings
from redset._plans.leased import LEASE_AT_ONCE, LeasedItem, LeasedItems, LeaseTerms
from redset._plans.waiting import when_there
from redset._protocol import commands
from redset._protocol.arguments import check_count
from redset._protocol.commands import HIGHEST, Command
from redset._protocol.config import FirstConfig, Plan, SetConfig, TakeOptions
from redset._protocol.idempotency import REPLY_TTL, FirstAcquired
from redset._protocol.keys import slot_of
from redset._protocol.members import decoded_all, decoded_pairs
from redset._protocol.replies import First, LeaseReply, Pair, Taken
from redset._support.clock import monotonic
from redset._support.words import shown
from redset.exceptions import EmptySetError, InvalidTypeError, InvalidValueError

T = TypeVar("T")
# Annotations of a function in a function are evaluated at each call.
TakeFirst = Command[First[Taken]]
LeaseFirst = Command[First[LeaseReply]]

# A request has fewer than 3,999 words: each set takes 22 of them, and the members that are
# acknowledged up to 500.
MAX_SETS = 100


def check_number(sets: Sequence[object]) -> None:
    """Raise ``ValueError`` if there are no sets, or more than one request can ask."""
    if not sets:
        raise InvalidValueError("redset FirstOf: no sets were given; give at least one")
    if len(sets) > MAX_SETS:
        raise InvalidValueError(
            f"redset FirstOf: at most {MAX_SETS} sets can be asked at once, got {len(sets)}"
        )


def check_sets(sets: Sequence[SetConfig[Any]]) -> None:
    """Raise if one of the sets is a result, or if a set is given twice."""
    seen: set[bytes] = set()
    for each in sets:
        if each.is_result:
            raise InvalidTypeError(
                f"redset {shown(each.name)}: this is a result, and goes with its handle; "
                "make a lasting set of it with into=… or rename(…)"
            )
        if each.key in seen:
            raise InvalidValueError(
                f"redset {shown(each.name)}: FirstOf was given this set twice; "
                "give it once, in the place where it is to be asked"
            )
        seen.add(each.key)


def check_one_slot(sets: Sequence[SetConfig[Any]]) -> None:
    """Raise ``ValueError`` if a cluster keeps a set in another slot than the first one."""
    one, *others = sets
    for each in others:
        if slot_of(each.key) != slot_of(one.key):
            raise InvalidValueError(
                f"redset {shown(each.name)}: FirstOf asks all sets in one step, and a cluster "
                f"keeps this one in another slot than {shown(one.name)}; give their names "
                "the same {tag}"
            )


class Received(NamedTuple, Generic[T]):
    """The members that the set at *place* delivered, and the items that can be deserialized."""

    place: int | None = None
    members: Sequence[tuple[Any, ...]] = ()
    items: Sequence[T] = ()
    # The deadline of their lease, by the server's clock and by this process's monotonic clock.
    deadline: float = 0.0
    until: float = 0.0


def pop(
    config: FirstConfig[T], timeout: float | None, *, last: bool, with_scores: bool
) -> Plan[tuple[Any, ...]]:
    """Take one item; return the place of its set, the item and, if *with_scores*, its score."""
    options = take_options(config, timeout, last)
    with _slots_to_take(config, last=last) as acquired:
        received = yield from _take(config, acquired, 1, options, with_scores=False)
    if received.place is None:
        raise EmptySetError(f"redset {shown(config.name)}: pop from sets that are all empty")
    item = received.items[0] if received.items else None
    _, score = received.members[0]
    return (received.place, item, score) if with_scores else (received.place, item)


def take(
    config: FirstConfig[T], num: int, timeout: float | None, *, last: bool, with_scores: bool
) -> Plan[list[tuple[Any, ...]]]:
    """Take items of one set; return each as `pop` does."""
    options = wait = take_options(config, timeout, last)
    if (left := check_count(config.name, "num", num)) < 1:
        return []
    began = monotonic()
    while True:
        # If it takes several steps, all of them are repeated after an error.
        with _slots_to_take(config, last=last) as acquired:
            some = min(left, queue.TAKE_AT_ONCE)
            received = yield from _take(config, acquired, some, wait, with_scores=with_scores)
            if received.place is None:
                return []
            place, items = received.place, list(received.items)
            if items and queue.TAKE_AT_ONCE <= len(received.members) < left:
                more = left - queue.TAKE_AT_ONCE
                items += yield from queue.take(
                    config.sets[place], more, 0.0, last=last, with_scores=with_scores
                )
        if items or options.timeout == 0:
            return [(place, *item) if with_scores else (place, item) for item in items]
        wait = options.after(monotonic() - began)


def take_back(config: FirstConfig[T], *, last: bool) -> Plan[None]:
    """Undo calls of `pop` or `take` that failed after the server had taken items for them."""
    while True:
        with _slots_to_take(config, last=last) as acquired:
            # If a repeated call asks for fewer items, the server puts the others back: here, all.
            asked = [
                commands.take(slot.keys, slot.request_id(), 0, HIGHEST, REPLY_TTL, last=last)
                for slot in acquired.slots
            ]
            yield [commands.first(asked)]
        if not any(queue.slots_of(each, last=last).any_failed for each in config.sets):
            return


def _slots_to_take(config: FirstConfig[Any], *, last: bool) -> FirstAcquired:
    return FirstAcquired([queue.slots_of(each, last=last) for each in config.sets])


def _take(
    config: FirstConfig[Any],
    acquired: FirstAcquired,
    num: int,
    options: TakeOptions,
    *,
    with_scores: bool,
) -> Plan[Received[Any]]:
    """Take up to *num* items of the first set that has any that are due."""

    def request(_highest: str) -> TakeFirst:
        each_one = zip(config.sets, acquired.slots, strict=True)
        return commands.first(
            [
                commands.take(
                    *(slot.keys, slot.request_id(), num, each.max_due_score(), REPLY_TTL),
                    last=options.last,
                )
                for each, slot in each_one
            ]
        )

    first = yield from when_there(config, options, request, _is_found)
    if first.place is None or first.reply is None:
        return Received()
    acquired.place = first.place
    source, pairs = config.sets[first.place], first.reply.pairs
    undecodable: list[Pair] = []
    items: list[Any] = (decoded_pairs if with_scores else decoded_all)(source, pairs, undecodable)
    if undecodable:
        yield queue.put_aside(source, acquired.slots[first.place], undecodable, first.reply.end)
    return Received(first.place, pairs, items)


def lease(
    config: FirstConfig[T],
    num: int,
    ttl: float,
    timeout: float | None,
    max_deliveries: int | None,
    worker: str | None,
    *,
    last: bool,
) -> Plan[LeasedItems[T]]:
    """Lease items of one set; if it waits, skip members that can't be deserialized."""
    wanted = leases.lease_terms(config, ttl, max_deliveries, worker)
    options = take_options(config, timeout, last)
    if check_count(config.name, "num", num) < 1:
        return _nothing(config)
    goes_on = options.timeout != 0
    return (yield from _lease_in_steps(config, int(num), wanted, options, None, goes_on=goes_on))


def consume(
    config: FirstConfig[T], settings: Settings, done: LeasedItems[T] | None
) -> Plan[LeasedItems[T]]:
    """Lease the items that a consumer works on next, and acknowledge what is left of *done*."""
    batch, wanted, options = settings.batch, settings.wanted, settings.options
    return _lease_in_steps(config, batch, wanted, options, done, goes_on=True)


def undo_lease(config: FirstConfig[T], *, last: bool) -> Plan[None]:
    """Do what `redset._plans.leases.undo_lease` does, for several sets."""
    options = TakeOptions(None, last=last)
    while any(leases.slots_of(each, last=last).any_open for each in config.sets):
        yield from _lease_in_steps(config, 0, leases.NO_TERMS, options, None, goes_on=False)


def _nothing(config: FirstConfig[T]) -> LeasedItems[T]:
    return LeasedItems(config.sets[0], (), 0.0, 0.0)


def _lease_in_steps(
    config: FirstConfig[T],
    num: int,
    wanted: LeaseTerms,
    options: TakeOptions,
    done: LeasedItems[T] | None,
    *,
    goes_on: bool,
) -> Plan[LeasedItems[T]]:
    """Lease items of one set; first, in the same step, acknowledge what is left of *done*."""
    if done is not None and not done.is_settled_at_once(config.sets[done.place].key):
        yield from settling.finish(config.sets[done.place], done)
        done = None
    began, wait = monotonic(), options
    while True:
        left = done if done is not None and done.unsettled else None
        slots = [leases.slots_of(each, last=options.last) for each in config.sets]
        with FirstAcquired(slots) as acquired:
            some = min(num, LEASE_AT_ONCE)
            received = yield from _lease(config, acquired, some, wanted, wait, left)
            if received.place is None:
                return _nothing(config)
            source, items = config.sets[received.place], list(received.items)
            ends = [(received.deadline, received.until)]
            if items and LEASE_AT_ONCE <= len(received.members) < num:
                more = yield from leases.lease_in_steps(
                    source,
                    num - LEASE_AT_ONCE,
                    wanted,
                    replace(source.no_wait, last=options.last),
                    None,
                    goes_on=False,
                )
                items += more.unsettled.values()
                ends += [(more.deadline, more.until)] if more.items else []
        if items or not goes_on:
            return LeasedItems(source, items, *min(ends), place=received.place)
        wait = options.after(monotonic() - began)


def _lease(
    config: FirstConfig[T],
    acquired: FirstAcquired,
    num: int,
    wanted: LeaseTerms,
    options: TakeOptions,
    done: LeasedItems[T] | None,
) -> Plan[Received[LeasedItem[T]]]:
    """Lease up to *num* items of the first set that has any that are due.

    In the same step, acknowledge what is left of *done*, which has one lease. If the lease doesn't
    hold some of these items, they are looked for under other keys of a renamed set, before this
    call waits.
    """
    acknowledged: list[LeasedItem[T]] = []
    lost: Callable[[], Plan[None]] | None = None
    if done is not None:
        acknowledged = list(done.unsettled.values())
        lost = partial(settling.finish, config.sets[done.place], done)
    sent = 0.0

    def request(_highest: str) -> LeaseFirst:
        nonlocal sent
        sent = monotonic()
        earlier = acknowledged[0].lease if acknowledged else ""
        asked = [
            leases.request_of(
                *(each, slot, num, each.max_due_score(), wanted),
                last=options.last,
                done=(earlier if done is not None and at == done.place else "", ()),
            )
            for at, (each, slot) in enumerate(zip(config.sets, acquired.slots, strict=True))
        ]
        if done is None or not acknowledged:
            return commands.first(asked)
        return commands.first(asked, (done.place + 1, [hold.member for hold in acknowledged]))

    def is_found(first: First[LeaseReply]) -> bool:
        for place, slot in enumerate(acquired.slots):
            slot.is_open = place == first.place
        return _is_found(first)

    answered = partial(leases.close_done, done, acknowledged, lost) if acknowledged else None
    first = yield from when_there(config, options, request, is_found, answered)
    if first.place is None or first.reply is None:
        return Received()
    acquired.place = first.place
    slot, reply = acquired.slots[first.place], first.reply
    name = leases.name_of(slot)
    items, undecodable = leases.leased_items(config.sets[first.place], name, reply)
    if undecodable:
        yield from leases.dead_letter_undecodable(slot, name, undecodable)
    return Received(first.place, reply.held, items, reply.deadline, sent + wanted.ttl)


def _is_found(first: First[Any]) -> bool:
    return first.place is not None
