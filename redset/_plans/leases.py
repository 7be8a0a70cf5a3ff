"""Plans of leases: items are delivered until a deadline."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any, TypeVar

from redset._plans.arguments import MS, check_lasting, take_options
from redset._plans.consuming import Settings
from redset._plans.leased import (
    LEASE_AT_ONCE,
    LeasedItem,
    LeasedItems,
    LeaseTerms,
    Settling,
    parts,
)
from redset._plans.queue import in_steps
from redset._plans.settling import finish, settle_command
from redset._plans.waiting import when_there
from redset._protocol import commands
from redset._protocol.arguments import check_count, check_most, check_seconds, check_worker
from redset._protocol.commands import Command
from redset._protocol.config import AnyConfig, Plan, SetConfig, TakeOptions
from redset._protocol.idempotency import REPLY_TTL, IdempotencySlot, IdempotencySlots
from redset._protocol.keys import wake_channel
from redset._protocol.members import decoded
from redset._protocol.replies import First, LeaseReply, Pair
from redset._support.clock import monotonic
from redset._support.forks import id_of

T = TypeVar("T")

# The terms of a request that leases nothing.
NO_TERMS = LeaseTerms(MS, 0, "")


def lease(
    config: SetConfig[T],
    num: int,
    ttl: float,
    timeout: float | None,
    max_deliveries: int | None,
    worker: str | None,
    *,
    last: bool,
) -> Plan[LeasedItems[T]]:
    """Lease items; if it waits, skip members that can't be deserialized."""
    wanted = lease_terms(config, ttl, max_deliveries, worker)
    options = take_options(config, timeout, last)
    check_lasting(config)
    if check_count(config.name, "num", num) < 1:
        return LeasedItems(config, (), 0.0, 0.0)
    goes_on = options.timeout != 0
    return (yield from lease_in_steps(config, int(num), wanted, options, None, goes_on=goes_on))


def lease_terms(
    config: AnyConfig[Any], ttl: float, max_deliveries: int | None, worker: str | None
) -> LeaseTerms:
    """Return the checked terms of a lease."""
    return LeaseTerms(
        check_seconds(config.name, "ttl", ttl, least=MS),
        check_most(config.name, max_deliveries) or config.max_deliveries,
        check_worker(config.name, worker),
    )


def consume(
    config: SetConfig[T], settings: Settings, done: LeasedItems[T] | None
) -> Plan[LeasedItems[T]]:
    """Lease the items that a consumer works on next, and acknowledge what is left of *done*."""
    check_lasting(config)
    batch, wanted, options = settings.batch, settings.wanted, settings.options
    return lease_in_steps(config, batch, wanted, options, done, goes_on=True)


def lease_in_steps(
    config: SetConfig[T],
    num: int,
    wanted: LeaseTerms,
    options: TakeOptions,
    done: LeasedItems[T] | None,
    *,
    goes_on: bool,
) -> Plan[LeasedItems[T]]:
    """Lease items; first, in the same step, acknowledge what is left of *done*."""
    if done is not None and not done.is_settled_at_once(config.key):
        yield from finish(config, done)
        done = None
    holds: list[LeasedItem[T]] = []
    ends: list[tuple[float, float]] = []

    def lease_some(
        slot: IdempotencySlot, num: int, wait: TakeOptions
    ) -> Plan[tuple[int, list[LeasedItem[T]]]]:
        left = done if done is not None and done.unsettled else None
        lost = None if left is None else partial(finish, config, left)
        found, part, *end = yield from _lease(config, slot, num, wanted, wait, left, lost)
        holds.extend(part)
        ends.append((end[0], end[1]))
        return found, part

    slots = slots_of(config, last=options.last)
    yield from in_steps(slots, num, LEASE_AT_ONCE, options, lease_some, goes_on=goes_on)
    return LeasedItems(config, holds, *min(ends))


def undo_lease(config: SetConfig[T], *, last: bool) -> Plan[None]:
    """Undo calls of `lease` that failed after the server had leased items to them.

    No caller receives these items, and their delivery doesn't count.
    """
    check_lasting(config)
    options = TakeOptions(config.no_wait.now, last=last)
    while slots_of(config, last=last).any_open:
        # If a repeated call asks for fewer items, the server returns the others: here, all.
        yield from lease_in_steps(config, 0, NO_TERMS, options, None, goes_on=False)


def slots_of(config: SetConfig[Any], *, last: bool) -> IdempotencySlots:
    """Return the slots of calls that lease the lowest items, or the highest."""
    return config.requests.lease_last if last else config.requests.lease


def _lease(
    config: SetConfig[T],
    slot: IdempotencySlot,
    num: int,
    wanted: LeaseTerms,
    options: TakeOptions,
    done: LeasedItems[T] | None = None,
    lost: Callable[[], Plan[None]] | None = None,
) -> Plan[tuple[int, list[LeasedItem[T]], float, float]]:
    """Lease up to *num* items; first acknowledge what is left of *done*, which has one lease.

    If the lease doesn't hold some of these items, the plan *lost* settles them, before this plan
    waits. Return how many members were leased, the items that can be deserialized, and their
    deadline by the server's clock and by this process's monotonic clock.
    """
    name = name_of(slot)
    acknowledged = [] if done is None else list(done.unsettled.values())
    sent = 0.0

    def ask(max_due_score: str) -> Command[LeaseReply]:
        nonlocal sent
        sent = monotonic()
        finished = [hold.member for hold in acknowledged]
        earlier = (acknowledged[0].lease if finished else "", finished)
        return request_of(config, slot, num, max_due_score, wanted, last=options.last, done=earlier)

    def is_found(reply: LeaseReply) -> bool:
        slot.is_open = bool(reply.held)
        return slot.is_open

    first = partial(close_done, done, acknowledged, lost) if acknowledged else None
    reply = yield from when_there(config, options, ask, is_found, first)
    slot.completed = bool(reply.held)
    holds, undecodable = leased_items(config, name, reply)
    if undecodable:
        yield from dead_letter_undecodable(slot, name, undecodable)
    return len(reply.held), holds, reply.deadline, sent + wanted.ttl


def name_of(slot: IdempotencySlot) -> str:
    """Return the name on the server of the lease that the slot's current call makes."""
    return f"{slot.name}.{slot.sequence}"


def request_of(
    config: SetConfig[Any],
    slot: IdempotencySlot,
    num: int,
    max_due_score: str,
    wanted: LeaseTerms,
    *,
    last: bool,
    done: tuple[str, Sequence[bytes]],
) -> Command[LeaseReply]:
    """Return a request for a lease of one set; *done* is as for `commands.lease`."""
    return commands.lease(
        *(slot.keys, slot.request_id(), num, max_due_score, REPLY_TTL, name_of(slot)),
        ttl=wanted.ttl,
        most=wanted.most or config.max_deliveries,
        channel=wake_channel(config.key),
        worker=wanted.worker or worker_of(slot.process),
        last=last,
        done=done,
    )


def close_done(
    done: LeasedItems[T] | None,
    acknowledged: list[LeasedItem[T]],
    lost: Callable[[], Plan[None]] | None,
    reply: LeaseReply | First[LeaseReply],
) -> Plan[None]:
    """Mark the items of *done* that a reply confirms as acknowledged; run *lost* for the others.

    *acknowledged* has the items that the request was to acknowledge; it is cleared.
    """
    places = set(reply.lost)
    if done is not None and lost is not None:
        done.close([h.member for place, h in enumerate(acknowledged) if place not in places])
        acknowledged.clear()
        if places:
            yield from lost()


def leased_items(
    config: SetConfig[T], name: str, reply: LeaseReply
) -> tuple[list[LeasedItem[T]], list[Pair]]:
    """Return the items of the lease *name*, and its members that can't be deserialized."""
    items: list[LeasedItem[T]] = []
    undecodable: list[Pair] = []
    for member, score, deliveries in reply.held:
        for item, _ in decoded(config, [(member, score)], undecodable):
            items.append(LeasedItem(item, member, score, deliveries, name))
    return items, undecodable


def dead_letter_undecodable(
    slot: IdempotencySlot, name: str, undecodable: list[Pair]
) -> Plan[None]:
    """Make dead letters of the members of the lease *name* that can't be deserialized."""
    # Without a request id: the slot keeps the reply of the lease. A second call changes nothing.
    how = Settling("undecodable")
    for part in parts([member for member, _ in undecodable], how.at_once):
        yield [settle_command(slot.keys, b"", how, name, part)]


@lru_cache(maxsize=2)
def worker_of(process: int) -> str:
    """Return the default name of a worker: this host's name and the id of the process."""
    return f"{platform.node()}:{id_of(process)}"
