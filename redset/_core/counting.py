"""Plans of counts: how many items a combination would have, without making it.

They write nothing, so that a read-only replica can answer; only many local items are staged, so
that all are counted at one moment. A server that refuses that is asked chunk by chunk. Nothing here
does I/O or awaits.
"""

from collections.abc import Iterable, Sequence
from typing import TypeVar

from redset._core import commands, compat
from redset._core.algebra import (
    Local,
    Remote,
    check_verdict,
    count_staged,
    number_when_folded,
    renewals,
    stored_operands,
)
from redset._core.members import chunks, read_batch
from redset._core.readonly import ask_reader
from redset._core.seen import REMEMBERED, Seen
from redset._core.sources import Memory, Source, chained, remembered
from redset._core.spec import Plan, Spec

T = TypeVar("T")

# What the script is told that is not to count the members of the sets' combination.
_NONE = -1


def count(
    spec: Spec[T], verb: str, operands: Sequence[Remote | Local[T]], limit: int = 0
) -> Plan[int]:
    """Answer how many items a combination has, the first operand's set on the left.

    Up to *limit*, 0 for all; that is for intersections.
    """
    stored = [each for each in operands if isinstance(each, Remote)]
    number_when_folded(spec, verb, stored)
    sources = [each.source for each in operands if isinstance(each, Local)]
    if verb != "intersection" and sources:
        # Whatever stands between them, their items are added, or left out, together.
        sources = [chained(sources)]
    return (yield from _count(spec, verb, stored, sources, limit))


def _count(
    spec: Spec[T], verb: str, stored: Sequence[Remote], sources: Sequence[Source], limit: int
) -> Plan[int]:
    memories = [Memory(REMEMBERED) for _ in sources]
    reading = [remembered(source, memory) for source, memory in zip(sources, memories, strict=True)]
    seen = Seen(spec, strict=verb == "union")
    most = commands.room_beside(stored_operands(stored))
    if not reading or (yield from seen.read_all(reading[0], most)):
        few = (yield from _in_all(spec, seen.members, reading[1:])) if reading else None
        return (yield from _count_members(spec, verb, stored, few, limit))
    local: list[Local[T]] = [
        Local(chained([iter(list(memory.batches or ())), source]))
        for memory, source in zip(memories, reading, strict=True)
    ]
    try:
        return (yield from count_staged(spec, verb, [*stored, *local], limit))
    except Exception as error:
        batches = [memory.batches for memory in memories]
        if None in batches or not compat.refuses_writes(error):
            raise
    again = [
        chained([iter(read or ()), source]) for read, source in zip(batches, sources, strict=True)
    ]
    everything = Seen(spec, strict=verb == "union")
    while batch := (yield from read_batch(again[0])):
        everything.new(batch[0])
    members = yield from _in_all(spec, everything.members, again[1:])
    return (yield from _count_members(spec, verb, stored, members, limit))


def _in_all(spec: Spec[T], members: set[bytes], sources: Sequence[Source]) -> Plan[set[bytes]]:
    """Return those *members* that all further *sources* have; only they are kept in memory."""
    for source in sources:
        found: set[bytes] = set()
        while batches := (yield from read_batch(source)):
            found |= Seen(spec).new(batches[0]) & members
        members = found
    return members


def _count_members(
    spec: Spec[T],
    verb: str,
    stored: Sequence[Remote],
    members: set[bytes] | None,
    limit: int,
) -> Plan[int]:
    """Count what is in the sets, and *members* of local items beside it, at one moment if few."""
    named = stored_operands(stored)
    total = 0
    wanted = _NONE if verb == "intersection" and members is not None else limit
    for part in parts_of(members or (), commands.room_beside(named)):
        command = commands.count_combined(verb, named, wanted, part)
        word, numbers = yield from ask_reader(command, renewals(stored))
        check_verdict(spec, word, numbers[0], list(zip(stored, named, strict=True)))
        whole, beside = numbers
        total += whole - beside if verb == "difference" else whole + beside
        wanted = _NONE
        if 0 < limit <= total:
            break
    return min(total, limit) if limit else max(total, 0)


def parts_of(members: Iterable[bytes], most: int) -> list[list[bytes]]:
    """Cut *members* into those of one call each; one call is made even without any."""
    cut = chunks(((member, None) for member in members), most)
    return [[member for member, _ in part] for part in cut] or [[]]
