"""Commands that count, read or remove items by rank, by score, or at random."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from redset._protocol import replies
from redset._protocol.commands.command import Command, Word, call, milliseconds, number, transaction
from redset._protocol.commands.scripts import PAGE, REMOVE_AT


def size(key: bytes) -> Command[int]:
    return Command(("ZCARD", key), (), replies.integer)


def count(key: bytes, lowest: str, highest: str) -> Command[int]:
    return Command(("ZCOUNT", key), (lowest, highest), replies.integer)


def by_rank(key: bytes, first: int, last: int) -> Command[list[replies.Pair]]:
    return Command(("ZRANGE", key), (first, last, "WITHSCORES"), replies.pairs)


def page_at_rank(
    key: bytes,
    last_seen: replies.Pair | None,
    limit: int,
    rank: int,
    *,
    reverse: bool,
    scored: bool,
) -> list[Command[Any]]:
    """Read members from *rank* on, in one transaction; the last reply is the page.

    The page is ``None`` if the member before *rank* is not *last_seen*, with the same score.
    """

    def between(first: int, last: int, *, scored: bool) -> Command[Any]:
        rest: tuple[Word, ...] = (first, last, *(("REV",) if reverse else ()))
        if scored:
            return Command(("ZRANGE", key), (*rest, "WITHSCORES"), replies.pairs)
        return Command(("ZRANGE", key), rest, replies.members)

    last = rank + limit - 1
    asked = [between(rank, last, scored=scored)]
    if not scored:
        asked.append(between(last, last, scored=True))
    if last_seen is not None:
        asked.append(between(rank - 1, rank - 1, scored=True))

    def page(found: list[Any]) -> replies.Page | None:
        if last_seen is not None and found.pop() != [last_seen]:
            return None
        if not scored:
            members, ends = found
            return replies.Page(rank, members, [score for _, score in ends])
        return replies.Page(
            rank, [member for member, _ in found[0]], [score for _, score in found[0]]
        )

    return transaction(asked, page)


def page_after(
    key: bytes, last_seen: replies.Pair | None, limit: int, *, reverse: bool, scored: bool
) -> Command[replies.Page]:
    """Read the members that follow *last_seen*, also if that member was removed or has moved."""
    place = ("", "") if last_seen is None else (number(last_seen[1]), last_seen[0])
    direction = "backward" if reverse else "forward"
    arguments = (direction, *place, limit, "scores" if scored else "members")
    return call(PAGE, [key], arguments, replies.page)


def range_by_score(
    key: bytes, ends: tuple[str, str], offset: int, limit: int, *, reverse: bool
) -> Command[list[replies.Pair]]:
    lowest, highest = ends
    name, first, last = ("ZRANGEBYSCORE", lowest, highest)
    if reverse:
        name, first, last = ("ZREVRANGEBYSCORE", highest, lowest)
    rest = (first, last, "WITHSCORES", "LIMIT", offset, limit)
    return Command((name, key), rest, replies.pairs)


def remove_at(
    keys: Sequence[bytes], request_id: bytes, first: int, last: int, keep: float, step: int = 1
) -> Command[int]:
    arguments = (request_id, milliseconds(keep), first, last, step)
    return call(REMOVE_AT, keys, arguments, replies.integer)


def remove_by_score(key: bytes, ends: tuple[str, str]) -> Command[int]:
    return Command(("ZREMRANGEBYSCORE", key), ends, replies.integer)


def sample(key: bytes, size: int) -> Command[list[bytes]]:
    return Command(("ZRANDMEMBER", key), (size,), replies.members)


def sample_pairs(key: bytes, size: int) -> Command[list[replies.Pair]]:
    return Command(("ZRANDMEMBER", key), (size, "WITHSCORES"), replies.pairs)
