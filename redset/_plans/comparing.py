"""Plans of comparisons, which store nothing, so that a read-only replica can answer.

A few local items are looked up by one script. If there are more, they are staged, so that all are
compared at one moment; if the server refuses writes, they are looked up chunk by chunk. Nothing
here does I/O or awaits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

from redset._plans.algebra import compare_staged, compare_stored
from redset._plans.operands import LocalOperand, StoredOperand
from redset._plans.readonly import ask_reader
from redset._plans.seen import REMEMBERED, Seen
from redset._protocol import client_errors, commands
from redset._protocol.commands import MAX_LOOKED_UP
from redset._protocol.config import Plan, SetConfig
from redset._protocol.members import Chunk, each_chunk
from redset._protocol.sources import ItemBatch, ItemSource, Memory, chained, remembered

T = TypeVar("T")


def compare(
    config: SetConfig[T],
    operation: str,
    one: StoredOperand | LocalOperand[T],
    other: StoredOperand | LocalOperand[T],
) -> Plan[bool]:
    """Return whether *one* is a ``subset`` of *other*, or as *operation* compares them."""
    if isinstance(one, LocalOperand):
        return (yield from _compare_local(config, operation, one, other, local_first=True))
    if isinstance(other, LocalOperand):
        return (yield from _compare_local(config, operation, other, one, local_first=False))
    return (yield from compare_stored(config, operation, one, other))


class Overlap(NamedTuple):
    """The size of a set, how many local members are in it, and how many local members there are.

    *unencodable* is ``True`` if there are local items that the set can't hold.
    """

    size: int
    found: int
    members: int
    unencodable: bool

    def answers(self, operation: str, *, local_first: bool) -> bool:
        """Return the result of *operation*, with the local items as its first operand or second."""
        holds_all = self.found == self.members and not self.unencodable
        has_no_other = self.found == self.size
        if operation == "disjoint":
            return self.found == 0
        if operation == "equal":
            return holds_all and has_no_other
        if local_first:
            return holds_all and (operation == "subset" or self.members < self.size)
        return has_no_other and (
            operation == "subset" or self.size < self.members + self.unencodable
        )


def _compare_local(
    config: SetConfig[T],
    operation: str,
    local: LocalOperand[T],
    stored: StoredOperand | LocalOperand[T],
    *,
    local_first: bool,
) -> Plan[bool]:
    memory = Memory(REMEMBERED)
    source = remembered(local.source, memory)
    seen = Seen(config)
    if (yield from seen.read_all(source, MAX_LOOKED_UP)):
        command = commands.overlap(config.key, list(seen.members))
        size, found = yield from ask_reader(command)
        overlap = Overlap(size, found, len(seen.members), seen.unencodable)
        return overlap.answers(operation, local_first=local_first)
    read: LocalOperand[T] = LocalOperand(chained([iter(list(memory.batches or ())), source]))
    pair = (read, stored) if local_first else (stored, read)
    try:
        return (yield from compare_staged(config, operation, *pair))
    except Exception as error:
        if memory.batches is None or not client_errors.refuses_writes(error):
            raise
    overlap = yield from _overlap_of_many(config, chained([iter(memory.batches), local.source]))
    return overlap.answers(operation, local_first=local_first)


def _overlap_of_many(config: SetConfig[T], source: ItemSource) -> Plan[Overlap]:
    """Look members up, chunk by chunk: other clients may change the set between two chunks."""
    seen = Seen(config)
    total = 0

    def encoded(items: Sequence[T], scores: Sequence[Any], encoding: Any) -> Chunk:
        new = list(seen.new(ItemBatch(items, scores, encoding)))
        return Chunk(new, [None] * len(new))

    def send(chunk: Chunk) -> Plan[None]:
        nonlocal total
        for part in commands.parts(chunk.members, MAX_LOOKED_UP):
            _, found = yield from ask_reader(commands.overlap(config.key, part))
            total += found

    yield from each_chunk(source, encoded, send)
    [size] = yield [commands.size(config.key)]
    return Overlap(size, total, len(seen.members), seen.unencodable)
