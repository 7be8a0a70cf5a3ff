"""Plans of comparisons, which write nothing, so that a read-only replica can answer.

A few local items are looked up by one script. More of them are staged, so that all are compared at
one moment; a server that refuses that is asked chunk by chunk. Nothing here does I/O or awaits.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

from redset._core import commands, compat
from redset._core.algebra import Local, Remote, compare_staged, compare_stored
from redset._core.commands import MAX_LOOKED_UP
from redset._core.members import Chunk, each_chunk
from redset._core.readonly import ask_reader
from redset._core.seen import REMEMBERED, Seen
from redset._core.sources import Batch, Memory, Source, chained, remembered
from redset._core.spec import Plan, Spec

T = TypeVar("T")


def compare(
    spec: Spec[T], verb: str, one: Remote | Local[T], other: Remote | Local[T]
) -> Plan[bool]:
    """Answer whether *one* is a ``subset`` of *other* (or what *verb* says)."""
    if isinstance(one, Local):
        return (yield from _compare_local(spec, verb, one, other, local_first=True))
    if isinstance(other, Local):
        return (yield from _compare_local(spec, verb, other, one, local_first=False))
    return (yield from compare_stored(spec, verb, one, other))


class Overlap(NamedTuple):
    """The size of a set, how many local members are in it, and how many there are.

    *strange* says whether there are local items that the set can't hold.
    """

    size: int
    found: int
    members: int
    strange: bool

    def answers(self, verb: str, *, local_first: bool) -> bool:
        """Return what *verb* asks of the local items and the set, in that order or the other."""
        holds_all = self.found == self.members and not self.strange
        has_no_other = self.found == self.size
        if verb == "disjoint":
            return self.found == 0
        if verb == "equal":
            return holds_all and has_no_other
        if local_first:
            return holds_all and (verb == "subset" or self.members < self.size)
        return has_no_other and (verb == "subset" or self.size < self.members + self.strange)


def _compare_local(
    spec: Spec[T], verb: str, local: Local[T], stored: Remote | Local[T], *, local_first: bool
) -> Plan[bool]:
    memory = Memory(REMEMBERED)
    source = remembered(local.source, memory)
    seen = Seen(spec)
    if (yield from seen.read_all(source, MAX_LOOKED_UP)):
        command = commands.overlap(spec.key, list(seen.members))
        size, found = yield from ask_reader(command)
        overlap = Overlap(size, found, len(seen.members), seen.strange)
        return overlap.answers(verb, local_first=local_first)
    read: Local[T] = Local(chained([iter(list(memory.batches or ())), source]))
    pair = (read, stored) if local_first else (stored, read)
    try:
        return (yield from compare_staged(spec, verb, *pair))
    except Exception as error:
        if memory.batches is None or not compat.refuses_writes(error):
            raise
    overlap = yield from _overlap_of_many(spec, chained([iter(memory.batches), local.source]))
    return overlap.answers(verb, local_first=local_first)


def _overlap_of_many(spec: Spec[T], source: Source) -> Plan[Overlap]:
    """Look members up, chunk by chunk: others may change the set between two chunks."""
    seen = Seen(spec)
    total = 0

    def encoded(items: Sequence[T], scores: Sequence[Any], encoding: Any) -> Chunk:
        new = list(seen.new(Batch(items, scores, encoding)))
        return Chunk(new, [None] * len(new))

    def send(chunk: Chunk) -> Plan[None]:
        nonlocal total
        for part in commands.parts(chunk.members, MAX_LOOKED_UP):
            _, found = yield from ask_reader(commands.overlap(spec.key, part))
            total += found

    yield from each_chunk(source, encoded, send)
    [size] = yield [commands.size(spec.key)]
    return Overlap(size, total, len(seen.members), seen.strange)
