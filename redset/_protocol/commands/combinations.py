"""Commands that combine, compare, count or read several sets."""

from collections.abc import Sequence
from dataclasses import dataclass

from redset._protocol import replies
from redset._protocol.commands.command import Command, Word, call, call_once, milliseconds, number
from redset._protocol.commands.scripts import ALGEBRA, COMPARE, COUNT, OVERLAP, READ

# The script that looks members up takes only one key and the members: it has room for more.
MAX_LOOKED_UP = 3_500

# The words that a call of a script that only reads has for its operands and members.
MAX_WORDS = 3_980

# A call of the script for algebra has up to five words for each operand.
MAX_OPERANDS = 750


@dataclass(frozen=True, slots=True)
class Operand:
    """A key that takes part in algebra, and its weight.

    The operand is temporary if it has a *liveness_key*. A *staged* operand holds items that were
    sent for this call; the script deletes it.
    """

    key: bytes
    weight: float = 1.0
    liveness_key: bytes | None = None
    staged: bool = False


def algebra(
    keys: Sequence[bytes],
    operation: str,
    conflict: str,
    ttl: Word,
    request: tuple[bytes, float],
    operands: Sequence[Operand],
    companions: Sequence[bytes] = (),
) -> Command[tuple[str, int]]:
    """Combine or compare *operands*; *keys* are the script's keys before those of the operands.

    *companions* are the companion keys of the set that the combination replaces or changes.
    *request* is the id of a request that must not be done twice, and the seconds to keep its reply.
    """
    named, temporary = _keys_and_places(operands)
    arguments = (
        *(operation, conflict, ttl, request[0], milliseconds(request[1]), len(operands)),
        *("staged" if operand.staged else "set" for operand in operands),
        *(number(operand.weight) for operand in operands),
        *temporary,
    )
    all_keys = (*keys, *named, *companions)
    return call_once(ALGEBRA, all_keys, arguments, replies.verdict)


def compare(operation: str, operands: Sequence[Operand]) -> Command[tuple[str, int]]:
    """Compare two sets, neither of which is staged."""
    keys, temporary = _keys_and_places(operands)
    return call(COMPARE, keys, (operation, *temporary), replies.verdict)


def _keys_and_places(operands: Sequence[Operand]) -> tuple[list[bytes], list[int]]:
    """Return the keys of *operands*, then their liveness keys; and the places of the results."""
    temporary = [
        place for place, operand in enumerate(operands) if operand.liveness_key is not None
    ]
    liveness_keys = [operands[place].liveness_key or b"" for place in temporary]
    return [*(operand.key for operand in operands), *liveness_keys], temporary


def room_beside(operands: Sequence[Operand]) -> int:
    """Return how many members a call of a script that only reads can have beside *operands*."""
    keys, temporary = _keys_and_places(operands)
    return min(MAX_LOOKED_UP, MAX_WORDS - len(operands) - len(keys) - len(temporary))


def count_combined(
    operation: str, operands: Sequence[Operand], limit: int, members: Sequence[bytes]
) -> Command[tuple[str, list[int]]]:
    """Count the members of a combination of *operands*, and local *members*: see count.lua."""
    keys, temporary = _keys_and_places(operands)
    head: tuple[Word, ...] = (operation, len(operands), limit)
    arguments = (*head, *temporary, *members)
    return call_once(COUNT, keys, arguments, replies.counted)


def read_combined(
    operation: str,
    operands: Sequence[Operand],
    conflict: str,
    limit: int,
    *,
    last: bool = False,
    with_scores: bool = True,
    members: Sequence[bytes] = (),
) -> Command[replies.Reading]:
    """Read a combination of *operands*, or the data to make it from: see read.lua."""
    keys, temporary = _keys_and_places(operands)
    part, scored = "last" if last else "first", "scores" if with_scores else "members"
    head: tuple[Word, ...] = (operation, len(operands), conflict, limit, part, scored)
    weights = [number(operand.weight) for operand in operands]
    arguments = (*head, *weights, *temporary, *members)
    return call_once(READ, keys, arguments, replies.reading)


def overlap(key: bytes, members: Sequence[bytes]) -> Command[tuple[int, int]]:
    """Count the members of the set, and how many of *members* are among them."""
    return call(OVERLAP, [key], members, lambda reply: (int(reply[0]), int(reply[1])))
