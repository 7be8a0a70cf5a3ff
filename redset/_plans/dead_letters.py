"""Plans for items that are leased, delayed or dead: list, count, requeue and discard them."""

from collections.abc import Sequence
from typing import Any, TypeVar

from redset._plans.leased import (
    LEASE_AT_ONCE,
    RELEASE_AT_ONCE,
    DeadLetter,
    LeaseInfo,
    Stats,
    parts,
)
from redset._plans.readonly import ask_reader
from redset._protocol import commands
from redset._protocol.arguments import check_reason, check_seconds
from redset._protocol.config import Plan, SetConfig
from redset._protocol.keys import leasing_keys
from redset._protocol.members import decoded, encode_for_lookup
from redset._protocol.replies import Pair

T = TypeVar("T")


def entries(config: SetConfig[T], pairs: Sequence[Pair]) -> Plan[list[LeaseInfo[T]]]:
    """Return what is known of leased or delayed members, given with deadlines in milliseconds.

    Members that were settled since are left out.
    """
    [found] = yield [
        commands.fields(leasing_keys(config.key).held, [member for member, _ in pairs])
    ]
    leased = []
    for (member, deadline), entry in zip(pairs, found, strict=True):
        if entry is not None:
            deliveries, score, since, worker = _parts_of(entry)
            for item, _ in decoded(config, [(member, score)]):
                about = (deadline / 1000, deliveries, since, worker)
                leased.append(LeaseInfo(item, score, *about))
    return leased


def _parts_of(entry: bytes) -> tuple[int, float, float, str | None]:
    """Return deliveries, score, begin and worker of an entry of the companion key ``held``.

    If another program wrote the entry, they are 0 and ``None``.
    """
    try:
        lease, deliveries, _, score, since, _, worker = entry.split(b" ", 6)
        name = None if lease == b"-" else worker.decode("utf-8", "replace")
        return int(deliveries), float(score), int(since) / 1000, name
    except ValueError:
        return 0, 0.0, 0.0, None


def letters(config: SetConfig[T], pairs: Sequence[Pair]) -> Plan[list[DeadLetter[T]]]:
    """Return the dead letters of members that are given with their scores."""
    [found] = yield [
        commands.fields(leasing_keys(config.key).letters, [member for member, _ in pairs])
    ]
    return [
        DeadLetter(_item_of(config, member), score, *_letter_of(letter), member)
        for (member, score), letter in zip(pairs, found, strict=True)
    ]


def _item_of(config: SetConfig[T], member: bytes) -> T | None:
    try:
        return config.encoding.decode(member)
    except Exception:  # logged when the member became a dead letter
        return None


def _letter_of(letter: bytes | None) -> tuple[str, str, float, int]:
    """Return reason, error, time and deliveries of a letter; empty ones if there is none."""
    try:
        reason, milliseconds, deliveries, error = (letter or b"").split(b" ", 3)
        text = error.decode("utf-8", "replace")
        return reason.decode(), text, int(milliseconds) / 1000, int(deliveries)
    except ValueError:
        return "", "", 0.0, 0


def stats(config: SetConfig[Any]) -> Plan[Stats]:
    """Count the items in each state, at one moment."""
    now = None if config.score_clock is None else float(config.score_clock())
    keys = leasing_keys(config.key)
    all_keys = [config.key, keys.leased, keys.dead, config.undecodable, keys.delayed]
    command = commands.stats(all_keys, config.max_due_score())
    counted, lowest = yield from ask_reader(command)
    oldest = 0.0 if now is None or lowest is None else max(0.0, now - lowest)
    ready, due, leased, waiting, expired, dead, undecodable = counted
    return Stats(ready, due, leased, waiting, expired, dead, undecodable, oldest)


def sort_dead(
    config: SetConfig[T],
    operation: str,
    items: tuple[T, ...],
    reason: str | None,
    older_than: float | None,
) -> Plan[int]:
    """Requeue or discard dead letters: *items*, or all; return how many.

    With *reason*, only those of that reason; with *older_than*, only those that have been dead for
    that many seconds.
    """
    check_reason(config.name, reason)
    age = 0.0 if older_than is None else check_seconds(config.name, "older_than", older_than)
    about = (operation, reason or "", age)
    own = leasing_keys(config.key)
    keys = (config.key, own.dead, own.letters, own.held, own.absent)
    total: int = 0
    place: Sequence[Any] = commands.FIRST_PLACE
    if items:
        for part in parts(_sought(config, items), RELEASE_AT_ONCE):
            [(moved, place)] = yield [commands.sort_dead(keys, *about, place, part)]
            total += moved
        return total
    while True:
        [(moved, place)] = yield [commands.sort_dead(keys, *about, place, ())]
        total += moved
        if not place[1]:  # the score of the member that this step ended at
            return total


def _sought(config: SetConfig[T], items: Sequence[T]) -> list[bytes]:
    """Return the members of *items*, without those that the set can't hold."""
    members = [encode_for_lookup(config, item) for item in items]
    return [member for member in members if member is not None]


def cancel(config: SetConfig[T], items: Sequence[T]) -> Plan[int]:
    """Remove *items* in whatever state they are; return how many were found."""
    total = 0
    for part in parts(_sought(config, items), LEASE_AT_ONCE):
        [found] = yield [commands.cancel((config.key, *leasing_keys(config.key)), part)]
        total += found
    return total
