"""Plans that read a combination in order, and store nothing.

Sets of one server are read at one moment. Local items, and items of other servers, are combined in
this process with the members of the sets. For an intersection, a few local items are looked up by
one script; more are looked up in steps, unless the sets are smaller: then the sets are read.
Nothing here does I/O or awaits.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any, TypeVar

from redset._plans.arguments import check_conflict, check_limit, check_weights
from redset._plans.counting import parts_of
from redset._plans.operands import (
    LocalOperand,
    StoredOperand,
    renewals_of,
    stored_operands,
)
from redset._plans.operands import stored as stored_set
from redset._plans.readonly import ask_reader
from redset._plans.staging import check_verdict, encoded, number_when_folded
from redset._protocol import commands
from redset._protocol.config import Plan, SetConfig
from redset._protocol.members import decoded_members, decoded_pairs, read_batch
from redset._protocol.replies import Pair, Reading
from redset._protocol.scores import no_sum

T = TypeVar("T")

Scores = dict[bytes, float]

# The largest limit that is sent: no set has more items, and Lua formats larger numbers in a way
# that the server doesn't accept.
MAX_LIMIT = 1 << 40


@dataclass(frozen=True, slots=True)
class Combination:
    """The combination to read: its operation, its scores, and which part of it in which order."""

    operation: str
    conflict: str = "keep"
    weights: Sequence[float] | None = None
    # The maximum number of items, 0 for all.
    limit: int = 0
    reverse: bool = False
    with_scores: bool = False

    @property
    def adds(self) -> bool:
        """Return whether it can have items that the first operand doesn't have."""
        return self.operation in {"union", "symmetric_difference"}

    def part_of(self, found: list[Any]) -> list[Any]:
        """Return the part to read of all pairs or members that were *found*, which are in order."""
        if self.reverse:
            found.reverse()
        return found[: self.limit] if self.limit else found


def combination(
    config: SetConfig[Any],
    operation: str,
    number: int,
    limit: int | None,
    reverse: bool,
    with_scores: bool,
    conflict: str = "keep",
    weights: Iterable[float] | None = None,
) -> Combination | None:
    """Return the combination to read of this set and a *number* of others; ``None`` for nothing."""
    check_conflict(config, conflict)
    factors = check_weights(config, weights, conflict, 1 + number)
    most = check_limit(config, limit)
    if most == 0:
        return None
    return Combination(operation, conflict, factors, most or 0, reverse, with_scores)


def read(
    config: SetConfig[T], wanted: Combination, others: Sequence[StoredOperand | LocalOperand[T]]
) -> Plan[list[Any]]:
    """Read a combination of this set and *others*; return items, or pairs of item and score."""
    operands = [stored_set(config), *others]
    on_server = [each for each in operands if isinstance(each, StoredOperand)]
    number_when_folded(config, wanted.operation, on_server)
    if any(isinstance(each, LocalOperand) for each in operands):
        pairs = yield from _read_with_local(config, wanted, operands)
    else:
        found = yield from _reply_for(config, on_server, wanted.operation, wanted, wanted.limit)
        if found.word == "members":
            return decoded_members(config, wanted.part_of(list(found.members)))
        pairs = _in_order(_united(found.runs))
    wanted_pairs = wanted.part_of(pairs)
    if wanted.with_scores:
        return decoded_pairs(config, wanted_pairs)
    return decoded_members(config, [member for member, _ in wanted_pairs])


def _reply_for(
    config: SetConfig[T],
    stored: Sequence[StoredOperand],
    operation: str,
    wanted: Combination,
    limit: int = 0,
    members: Sequence[bytes] = (),
) -> Plan[Reading]:
    """Call the script that reads *operation* of the *stored* operands."""
    together = operation == wanted.operation
    named = stored_operands(stored, wanted.weights if together else None)
    command = commands.read_combined(
        operation,
        named,
        wanted.conflict if together else "keep",
        min(limit, MAX_LIMIT),
        last=wanted.reverse,
        with_scores=wanted.with_scores,
        members=members,
    )
    found = yield from ask_reader(command, renewals_of(stored))
    check_verdict(config, found.word, found.number, list(zip(stored, named, strict=True)))
    return found


def _in_order(scores: Mapping[bytes, float]) -> list[Pair]:
    """Return the members in the order of a sorted set: by score, then by their bytes."""
    return [(member, score) for score, member in sorted(zip(scores.values(), scores, strict=True))]


def _united(runs: Iterable[Iterable[Pair]]) -> Scores:
    """Return all members of *runs*, each with its score in the first run that has it."""
    found: Scores = {}
    for run in reversed(list(runs)):
        found.update(run)
    return found


# With local items


def _read_with_local(
    config: SetConfig[T], wanted: Combination, operands: Sequence[StoredOperand | LocalOperand[T]]
) -> Plan[list[Pair]]:
    local = {}
    for place, operand in enumerate(operands):
        if isinstance(operand, LocalOperand):
            local[place] = yield from _scores_of(config, wanted, operand)
    stored = {place: each for place, each in enumerate(operands) if isinstance(each, StoredOperand)}
    if wanted.operation == "difference":
        return (yield from _read_difference(config, wanted, list(stored.values()), local.values()))
    if wanted.operation == "intersection":
        members = set.intersection(*map(set, local.values()))
        there = yield from _look_up(config, wanted, list(stored.values()), members)
    else:
        found = yield from _reply_for(config, list(stored.values()), "all", wanted)
        there = [dict(run) for run in found.runs]
    by_place = local | dict(zip(stored, there, strict=True))
    return _in_order(_combined(config, wanted, [by_place[place] for place in sorted(by_place)]))


def _scores_of(config: SetConfig[T], wanted: Combination, operand: LocalOperand[T]) -> Plan[Scores]:
    """Read a local operand; scores of an item that it has twice are merged, but never added."""
    with_scores = wanted.adds or wanted.conflict != "keep"
    meet = {"min": min, "max": max}.get(wanted.conflict)
    found: Scores = {}
    while batches := (yield from read_batch(operand.source)):
        chunk = encoded(config, batches[0], strict=wanted.adds, with_scores=with_scores)
        for member, score in zip(*chunk, strict=True):
            number = float(score)
            if member not in found or wanted.conflict == "replace":
                found[member] = number
            elif meet is not None:
                found[member] = meet(found[member], number)
    return found


def _read_difference(
    config: SetConfig[T],
    wanted: Combination,
    stored: Sequence[StoredOperand],
    local: Iterable[Scores],
) -> Plan[list[Pair]]:
    out: set[bytes] = set().union(*local)
    limit = wanted.limit + len(out) if wanted.limit else 0
    found = yield from _reply_for(config, stored, wanted.operation, wanted, limit)
    if found.word == "members":
        return [(member, 0.0) for member in found.members if member not in out]
    return [pair for pair in found.runs[0] if pair[0] not in out]


def _look_up(
    config: SetConfig[T], wanted: Combination, stored: Sequence[StoredOperand], members: set[bytes]
) -> Plan[list[Scores]]:
    """Read the scores of *members* in each of the sets."""
    room = commands.room_beside(stored_operands(stored))
    if len(members) > room:
        # If the sets have fewer members than that, reading them takes one step, at one moment.
        found = yield from _reply_for(config, stored, "all", wanted, len(members))
        if found.word == "pairs":
            return [dict(run) for run in found.runs]
    there: list[Scores] = [{} for _ in stored]
    for part in parts_of(members, room):
        found = yield from _reply_for(config, stored, "scores", wanted, members=part)
        for scores, known in zip(found.scores, there, strict=True):
            pairs = zip(part, scores, strict=True)
            known.update((member, score) for member, score in pairs if score is not None)
    return there


def _combined(config: SetConfig[T], wanted: Combination, operands: Sequence[Scores]) -> Scores:
    """Combine *operands* as the server does."""
    if wanted.operation == "symmetric_difference":
        one, other = operands
        return {
            member: score
            for member, score in (one | other).items()
            if (member in one) is not (member in other)
        }
    members = set(operands[0]).union(*operands)
    if wanted.operation == "intersection":
        members = set(operands[0]).intersection(*operands)
    if wanted.conflict in {"keep", "replace"}:
        turned = operands if wanted.conflict == "replace" else reversed(operands)
        first: Scores = {}
        for each in turned:
            first |= each
        return {member: first[member] for member in members}
    factors = wanted.weights or [1.0] * len(operands)
    weighted = list(zip(operands, factors, strict=True))
    found = {}
    for member in members:
        parts = [scores[member] * factor for scores, factor in weighted if member in scores]
        score = _met(parts, wanted.conflict)
        if score is None:
            raise no_sum(config.name)
        found[member] = score
    return found


def _met(parts: list[float], conflict: str) -> float | None:
    """Return the combined score of a member of several sets; ``None`` if it is not a number."""
    if any(map(math.isnan, parts)):
        return None
    if conflict != "sum":
        return min(parts) if conflict == "min" else max(parts)
    above = reduce(add, (part for part in parts if part > 0), 0.0)
    below = reduce(add, (part for part in parts if part < 0), 0.0)
    return None if above == math.inf and below == -math.inf else reduce(add, parts)
