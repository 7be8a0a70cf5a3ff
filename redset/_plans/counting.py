"""Plans of counts: how many items a combination would have, without storing it.

A read-only replica can answer, as nothing is written, unless there are many local items: these are
staged, so that all are counted at one moment. If the server refuses writes, they are counted chunk
by chunk. Nothing here does I/O or awaits.
"""

from collections.abc import Iterable, Sequence
from typing import TypeVar

from redset._plans.algebra import count_staged
from redset._plans.arguments import check_limit
from redset._plans.operands import (
    LocalOperand,
    StoredOperand,
    renewals_of,
    stored_operands,
)
from redset._plans.operands import stored as stored_set
from redset._plans.readonly import ask_reader
from redset._plans.seen import REMEMBERED, Seen
from redset._plans.staging import check_verdict, number_when_folded
from redset._protocol import client_errors, commands
from redset._protocol.config import Plan, SetConfig
from redset._protocol.members import chunks, read_batch
from redset._protocol.sources import ItemSource, Memory, chained, remembered

T = TypeVar("T")

# As the limit: the script counts only the members that it is called with, not the combination.
_NONE = -1


def count(
    config: SetConfig[T],
    operation: str,
    others: Sequence[StoredOperand | LocalOperand[T]],
    limit: int | None = None,
) -> Plan[int]:
    """Return how many items a combination of this set and *others* has, up to *limit*.

    The limit is for intersections.
    """
    most = check_limit(config, limit)
    if most == 0:
        return 0
    operands = [stored_set(config), *others]
    stored = [each for each in operands if isinstance(each, StoredOperand)]
    number_when_folded(config, operation, stored)
    sources = [each.source for each in operands if isinstance(each, LocalOperand)]
    if operation != "intersection" and sources:
        # Wherever they stand among the operands, their items are added, or left out, together.
        sources = [chained(sources)]
    return (yield from _count(config, operation, stored, sources, most or 0))


def _count(
    config: SetConfig[T],
    operation: str,
    stored: Sequence[StoredOperand],
    sources: Sequence[ItemSource],
    limit: int,
) -> Plan[int]:
    memories = [Memory(REMEMBERED) for _ in sources]
    reading = [remembered(source, memory) for source, memory in zip(sources, memories, strict=True)]
    seen = Seen(config, strict=operation == "union")
    most = commands.room_beside(stored_operands(stored))
    if not reading or (yield from seen.read_all(reading[0], most)):
        few = (yield from _in_all(config, seen.members, reading[1:])) if reading else None
        return (yield from _count_members(config, operation, stored, few, limit))
    local: list[LocalOperand[T]] = [
        LocalOperand(chained([iter(list(memory.batches or ())), source]))
        for memory, source in zip(memories, reading, strict=True)
    ]
    try:
        return (yield from count_staged(config, operation, [*stored, *local], limit))
    except Exception as error:
        batches = [memory.batches for memory in memories]
        if None in batches or not client_errors.refuses_writes(error):
            raise
    again = [
        chained([iter(read or ()), source]) for read, source in zip(batches, sources, strict=True)
    ]
    everything = Seen(config, strict=operation == "union")
    while batch := (yield from read_batch(again[0])):
        everything.new(batch[0])
    members = yield from _in_all(config, everything.members, again[1:])
    return (yield from _count_members(config, operation, stored, members, limit))


def _in_all(
    config: SetConfig[T], members: set[bytes], sources: Sequence[ItemSource]
) -> Plan[set[bytes]]:
    """Return those *members* that all *sources* contain; only these are kept in memory."""
    for source in sources:
        found: set[bytes] = set()
        while batches := (yield from read_batch(source)):
            found |= Seen(config).new(batches[0]) & members
        members = found
    return members


def _count_members(
    config: SetConfig[T],
    operation: str,
    stored: Sequence[StoredOperand],
    members: set[bytes] | None,
    limit: int,
) -> Plan[int]:
    """Count the combination of the sets, and with it *members* of local items.

    If the members fit in one call, all are counted at one moment.
    """
    named = stored_operands(stored)
    total = 0
    wanted = _NONE if operation == "intersection" and members is not None else limit
    for part in parts_of(members or (), commands.room_beside(named)):
        command = commands.count_combined(operation, named, wanted, part)
        word, numbers = yield from ask_reader(command, renewals_of(stored))
        check_verdict(config, word, numbers[0], list(zip(stored, named, strict=True)))
        whole, beside = numbers
        total += whole - beside if operation == "difference" else whole + beside
        wanted = _NONE
        if 0 < limit <= total:
            break
    return min(total, limit) if limit else max(total, 0)


def parts_of(members: Iterable[bytes], most: int) -> list[list[bytes]]:
    """Split *members* into lists for one call each; one empty list if there are none."""
    cut = chunks(((member, None) for member in members), most)
    return [[member for member, _ in part] for part in cut] or [[]]
