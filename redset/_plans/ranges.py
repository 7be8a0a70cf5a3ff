"""Plans that read or remove items by rank, by score, or at random."""

from collections.abc import Sequence
from typing import Any, TypeVar

from redset._plans.arguments import check_place, score_ends
from redset._protocol import commands
from redset._protocol.config import Plan, SetConfig, ask
from redset._protocol.idempotency import REPLY_TTL
from redset._protocol.members import (
    chunks,
    decoded,
    decoded_all,
    decoded_pairs,
    encode_for_lookup,
)
from redset._support.words import shown
from redset.exceptions import EmptySetError, InvalidValueError, MissingRankError

T = TypeVar("T")


def get(config: SetConfig[T], index: int) -> Plan[T | None]:
    rank = check_place(config, "index", index)
    pairs = yield from ask(commands.by_rank(config.key, rank, rank))
    if not pairs:
        raise _no_rank(config, index)
    return next((item for item, _ in decoded(config, pairs)), None)


def get_slice(config: SetConfig[T], index: slice) -> Plan[list[T]]:
    ends = _ranks_of(config, index)
    if ends is None:
        return []
    first, last, step = ends
    pairs = yield from ask(commands.by_rank(config.key, first, last))
    return [item for item, _ in decoded(config, pairs[::step])]


def index(config: SetConfig[T], item: T) -> Plan[int]:
    found = yield from rank(config, item, reverse=False)
    if found is None:
        raise InvalidValueError(f"redset {shown(config.name)}: {shown(item)} is not in the set")
    return found


def rank(config: SetConfig[T], item: T, *, reverse: bool) -> Plan[int | None]:
    member = encode_for_lookup(config, item)
    if member is None:
        return None
    return (yield from ask(commands.rank(config.key, member, reverse=reverse)))


def ranks(config: SetConfig[T], items: Sequence[T], *, reverse: bool) -> Plan[list[int | None]]:
    found: list[int | None] = [None] * len(items)
    known = ((encode_for_lookup(config, item), place) for place, item in enumerate(items))
    for chunk in chunks((member, place) for member, place in known if member is not None):
        part = yield [commands.rank(config.key, member, reverse=reverse) for member, _ in chunk]
        for (_, place), rank in zip(chunk, part, strict=True):
            found[place] = rank
    return found


def remove_at(config: SetConfig[T], index: int | slice) -> Plan[int]:
    if isinstance(index, slice):
        ends = _ranks_of(config, index)
        if ends is None:
            return 0
        first, last, step = ends
    else:
        first = last = check_place(config, "index", index)
        step = 1
    # A failed call is repeated only by a call with the same arguments.
    with config.requests.remove.acquire((first, last, step)) as slot:
        keys = (config.key, slot.reply_key)
        command = commands.remove_at(keys, slot.request_id(), first, last, REPLY_TTL, step)
        removed = yield from ask(command)
    if not removed and not isinstance(index, slice):
        raise _no_rank(config, index)
    return removed


def _no_rank(config: SetConfig[Any], index: int) -> MissingRankError:
    return MissingRankError(f"redset {shown(config.name)}: no item of rank {shown(index)}")


def _ranks_of(config: SetConfig[Any], index: slice) -> tuple[int, int, int] | None:
    """Return the first and the last rank of a slice, and its step; ``None`` if it is empty."""
    start, stop, step = (
        None if end is None else check_place(config, "slice", end)
        for end in (index.start, index.stop, index.step)
    )
    step = 1 if step is None else step
    if step == 0:
        raise InvalidValueError(f"redset {shown(config.name)}: slice step cannot be zero")
    # ZRANGE includes both its ends, and reads negative ones as Python does.
    if step > 0:
        first, last = start or 0, -1 if stop is None else stop - 1
        empty = stop == 0
    else:
        first, last = 0 if stop is None else stop + 1, -1 if start is None else start
        empty = stop == -1
    return None if empty else (first, last, step)


def count(config: SetConfig[T], low: Any, high: Any, inclusive: tuple[bool, bool]) -> Plan[int]:
    ends = score_ends(config, low, high, inclusive)
    return (yield from ask(commands.count(config.key, *ends)))


def range_by_score(
    config: SetConfig[T],
    low: Any,
    high: Any,
    inclusive: tuple[bool, bool],
    offset: int,
    limit: int | None,
    *,
    reverse: bool,
    with_scores: bool,
) -> Plan[list[Any]]:
    ends = score_ends(config, low, high, inclusive)
    skip = check_place(config, "offset", offset)
    most = -1 if limit is None else check_place(config, "limit", limit)
    if skip < 0 or (limit is not None and most < 0):
        raise InvalidValueError(
            f"redset {shown(config.name)}: offset and limit must be 0 or more, "
            f"got {shown(offset)} and {shown(limit)}"
        )
    if most == 0:
        return []
    command = commands.range_by_score(config.key, ends, skip, most, reverse=reverse)
    pairs = yield from ask(command)
    return (decoded_pairs if with_scores else decoded_all)(config, pairs)


def remove_range(
    config: SetConfig[T], low: Any, high: Any, inclusive: tuple[bool, bool]
) -> Plan[int]:
    ends = score_ends(config, low, high, inclusive)
    return (yield from ask(commands.remove_by_score(config.key, ends)))


def sample(config: SetConfig[T], k: int, *, with_scores: bool) -> Plan[list[Any]]:
    size = check_place(config, "k", k)
    if size < 0:
        raise InvalidValueError(f"redset {shown(config.name)}: k must be 0 or more, got {shown(k)}")
    if not size:
        return []
    if with_scores:
        return decoded_pairs(config, (yield from ask(commands.sample_pairs(config.key, size))))
    members = yield from ask(commands.sample(config.key, size))
    return [item for item, _ in decoded(config, ((member, 0.0) for member in members))]


def random(config: SetConfig[T]) -> Plan[T | None]:
    members = yield from ask(commands.sample(config.key, 1))
    if not members:
        raise EmptySetError(f"redset {shown(config.name)}: no item to choose from")
    return next((item for item, _ in decoded(config, [(members[0], 0.0)])), None)
