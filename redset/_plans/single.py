"""Plans for one item: add, look up, move and remove it."""

from typing import Any, TypeVar

from redset._plans.arguments import check_conflict, check_no_dedup
from redset._plans.operands import LocalOperand, StoredOperand
from redset._protocol import commands
from redset._protocol.commands import Command
from redset._protocol.config import Plan, SetConfig, ask
from redset._protocol.idempotency import REPLY_TTL, fingerprint
from redset._protocol.keys import leasing_keys
from redset._protocol.members import encode_for_lookup, scored
from redset._protocol.scores import check_score
from redset._support.words import shown
from redset.exceptions import InvalidTypeError, MissingItemError

T = TypeVar("T")

# For this number of members, a script takes up to 5 ms, in which the server's other clients wait.
ADMIT_AT_ONCE = 500


def add(config: SetConfig[T], item: T, score: Any, conflict: str) -> Plan[Any]:
    check_conflict(config, conflict)
    member, score = config.encoding.encode(item), scored(config, item, score)
    # An int stays one, as in redset 0.4. Of any other number, the float that is kept is returned.
    score = score if type(score) is int else float(score)
    if config.deduplicates:
        kept = yield from admit(config, [(member, score)], conflict)
        return score if conflict == "replace" and kept is not None else kept
    if conflict == "replace":
        yield [commands.add(config.key, [member], [score])]
        return score
    *_, kept = yield commands.add_with(config.key, member, float(score), conflict)
    return kept


def add_and_rank(
    config: SetConfig[T], item: T, score: Any, conflict: str, *, reverse: bool
) -> Plan[int | None]:
    check_conflict(config, conflict)
    member, number = config.encoding.encode(item), float(scored(config, item, score))
    added: list[Command[Any]] = []
    if config.deduplicates:
        # Not in one batch: if the server doesn't know the script yet, it is sent again, and then
        # runs after the commands that follow it.
        yield from admit(config, [(member, number)], conflict)
    elif conflict == "replace":
        added = [commands.add(config.key, [member], [number])]
    else:
        added = commands.add_with(config.key, member, number, conflict)
    rank: int | None
    *_, rank = yield [*added, commands.rank(config.key, member, reverse=reverse)]
    return rank


def admit(
    config: SetConfig[T], pairs: list[tuple[bytes, float]], conflict: str
) -> Plan[float | None]:
    """Add members, except those that the ``unique`` policy rejects.

    Return the score of the last member, ``None`` if it was rejected.
    """
    kept: float | None
    *_, kept = yield [
        commands.admit(config.dedup_keys(), config.unique, conflict, part)
        for part in commands.parts(pairs, ADMIT_AT_ONCE)
    ]
    return kept


def increment(config: SetConfig[T], item: T, amount: Any) -> Plan[float | None]:
    member, amount = config.encoding.encode(item), check_score(config.name, item, amount)
    if config.deduplicates:
        return (yield from admit(config, [(member, float(amount))], "sum"))
    return (yield from ask(commands.increment(config.key, member, float(amount))))


def contains(config: SetConfig[T], item: T) -> Plan[bool]:
    member = encode_for_lookup(config, item)
    if member is None:
        return False
    found: bool
    [found] = yield [commands.contains(config.key, member)]
    return found


def score(config: SetConfig[T], item: T) -> Plan[float | None]:
    member = encode_for_lookup(config, item)
    if member is None:
        return None
    score: float | None
    [score] = yield [commands.score(config.key, member)]
    return score


def discard(config: SetConfig[T], item: T) -> Plan[bool]:
    member = encode_for_lookup(config, item)
    if member is None:
        return False
    [removed] = yield [commands.remove(config.key, member)]
    return bool(removed)


def remove(config: SetConfig[T], sought: T, item: T) -> Plan[None]:
    """Remove *sought*, as which *item* is looked up; the error names *item*, as that of ``set``."""
    if not (yield from discard(config, sought)):
        raise MissingItemError(item)


def update_score(config: SetConfig[T], item: T, score: Any, conflict: str) -> Plan[float | None]:
    check_conflict(config, conflict)
    number = float(check_score(config.name, item, score))
    member = encode_for_lookup(config, item)
    if member is None:
        return None
    kept: float | None
    *_, kept = yield commands.update_score(config.key, member, number, conflict)
    return kept


def replace(config: SetConfig[T], old: T, new: T) -> Plan[float]:
    check_no_dedup(config)
    becomes = config.encoding.encode(new)
    score = yield from _carry(config, old, becomes, config.key, "replace")
    if score is None:
        raise MissingItemError(old)
    return score


def move(
    config: SetConfig[T],
    item: T,
    to: object,
    target: SetConfig[Any] | None,
    operand: StoredOperand | LocalOperand[Any] | None,
    conflict: str,
) -> Plan[bool]:
    """Move *item* to the set *to*; its config is *target*, and as an operand it is *operand*."""
    check_conflict(config, conflict)
    if not isinstance(operand, StoredOperand) or operand.liveness_key is not None:
        raise InvalidTypeError(
            f"redset {shown(config.name)}: move goes to a lasting set of the same server, "
            "database and serializer, and in a cluster of the same slot, got "
            f"{shown(to)}; add the item there, then discard it here"
        )
    if target is not None:
        check_no_dedup(target)
    score = yield from _carry(config, item, None, operand.key, conflict)
    return score is not None


def _carry(
    config: SetConfig[T], item: T, becomes: bytes | None, target: bytes, conflict: str
) -> Plan[float | None]:
    """Move a member to the set under *target*, where it *becomes* another; return its old score."""
    member = encode_for_lookup(config, item)
    if member is None:
        return None
    members = (member, member if becomes is None else becomes)
    # A failed call is repeated only by a call with the same arguments.
    about = ("move", fingerprint(members), target, conflict)
    with config.requests.store.acquire(about) as slot:
        keys = (config.key, slot.reply_key, leasing_keys(config.key).absent, target)
        command = commands.move(keys, slot.request_id(), REPLY_TTL, members, conflict)
        return (yield from ask(command))
