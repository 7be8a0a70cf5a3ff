"""Replies: the only module that knows how RESP2, RESP3 and the clients' callbacks differ.

A score comes as bytes (RESP2), a float (RESP3) or a float made by the client; pairs of member
and score come flat or nested. Each function accepts all of these shapes and returns the same one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, NamedTuple, Protocol, TypeVar


class MayHaveMore(Protocol):
    """A reply with *more*: whether another request may find members that this one did not.

    A script returns only a limited number of members of expired leases to the set in one call.
    """

    @property
    def more(self) -> bool: ...


R = TypeVar("R", bound=MayHaveMore)

Pair = tuple[bytes, float]
LeasedMember = tuple[bytes, float, int]  # a member on lease, its score, its deliveries


class Taken(NamedTuple):
    """The members that were taken; *more* as in `MayHaveMore`.

    If the set has a time-to-live, *end* is when it expires, in milliseconds of the server's clock.
    """

    pairs: list[Pair]
    more: bool
    end: int | None = None


class LeaseReply(NamedTuple):
    """The members that were leased until *deadline*, in UNIX seconds; *more* as in `MayHaveMore`.

    Of the members to acknowledge, those at the places *lost* were no longer held by their lease.
    """

    deadline: float
    held: list[LeasedMember]
    lost: list[int]
    more: bool


class First(NamedTuple, Generic[R]):
    """The *reply* of the first of several sets that has something, and its *place*, from 0.

    Both are ``None`` if no set has anything. Of the members to acknowledge, those at the places
    *lost* were no longer held by their lease.
    """

    place: int | None
    reply: R | None
    lost: list[int]

    @property
    def more(self) -> bool:
        """As in `MayHaveMore`."""
        return self.reply is not None and self.reply.more


class Confirmed(NamedTuple):
    """The number of *replicas* that confirmed a change.

    *disk* is whether the server's own disk did, ``None`` if it was not asked. If the server could
    not tell, *error* is its reply.
    """

    replicas: int
    disk: bool | None = None
    error: Exception | None = None


class Reading(NamedTuple):
    """The reply of read.lua; *word* tells which fields it fills."""

    word: str
    number: int = 0
    members: Sequence[bytes] = ()
    runs: Sequence[Sequence[Pair]] = ()
    scores: Sequence[Sequence[float | None]] = ()


class Page(NamedTuple):
    """Consecutive members, their first rank, and all their scores or only that of the last."""

    rank: int
    members: list[bytes]
    scores: list[float]


def nothing(reply: Any) -> None:
    """Ignore the reply, which only confirms that a command is queued in a transaction."""


def all_of(reply: Any) -> list[Any]:
    """Return the replies to the commands of a transaction, or raise the first that is an error."""
    for each in reply:
        if isinstance(each, Exception):
            raise each
    return list(reply)


def integer(reply: Any) -> int:
    return int(reply)


def truth(reply: Any) -> bool:
    return bool(int(reply))


def error_or_none(reply: Any) -> Exception | None:
    return reply if isinstance(reply, Exception) else None


def confirmed(reply: Any) -> Confirmed:
    if isinstance(reply, Exception):
        return Confirmed(0, error=reply)
    return Confirmed(int(reply))


def confirmed_on_disk(reply: Any) -> Confirmed:
    if isinstance(reply, Exception):
        return Confirmed(0, disk=False, error=reply)
    local, number = reply
    return Confirmed(int(number), disk=bool(int(local)))


def fewest(one: Any, other: Any) -> Any:
    """Return the worse one of two replies to ``WAIT`` or ``WAITAOF``; an error is worse than all.

    >>> fewest([1, 0], [0, 2])
    [0, 0]

    """
    for reply in (one, other):
        if isinstance(reply, Exception):
            return reply
    if isinstance(one, list):
        return [min(int(first), int(second)) for first, second in zip(one, other, strict=True)]
    return min(int(one), int(other))


def optional_integer(reply: Any) -> int | None:
    return None if reply is None else int(reply)


def members(reply: Any) -> list[Any]:
    return list(reply)


def page(reply: Any) -> Page:
    rank, scores, found = reply
    return Page(int(rank), list(found), [float(score) for score in scores])


def is_there(reply: Any) -> bool:
    return reply is not None


def optional_score(reply: Any) -> float | None:
    return None if reply is None else float(reply)


def optional_scores(reply: Any) -> list[float | None]:
    return [optional_score(score) for score in reply]


def pairs(reply: Sequence[Any]) -> list[Pair]:
    """Return (member, score) pairs from a flat or a nested reply."""
    if reply and isinstance(reply[0], list | tuple):
        return [(member, float(score)) for member, score in reply]
    return [(member, float(score)) for member, score in zip(reply[::2], reply[1::2], strict=True)]


def seconds(reply: Any) -> float:
    """Return UNIX seconds from the reply of ``TIME``: seconds and microseconds."""
    whole, micro = reply
    return int(whole) + int(micro) / 1_000_000


def seconds_left(reply: Any) -> float | None:
    """Return seconds from milliseconds; ``None`` if there is no time-to-live."""
    return None if int(reply) < 0 else int(reply) / 1000


def taken(reply: Sequence[Any]) -> Taken:
    if len(reply) % 2 == 0:
        return Taken(pairs(reply), more=False)
    *words, end = reply
    return Taken(pairs(words), more=False, end=int(end)) if words else Taken([], more=True)


def leased(reply: Sequence[Any]) -> LeaseReply:
    deadline, lost, more, *words = reply
    groups = zip(words[::3], words[1::3], words[2::3], strict=True)
    held = [(member, float(score), int(count)) for member, score, count in groups]
    return LeaseReply(int(deadline) / 1000, held, _numbers(lost) if lost else [], bool(more))


def first(parse: Callable[[Any], R]) -> Callable[[Any], First[R]]:
    """Return a parser of the reply of first.lua; *parse* parses the reply of the one set in it."""

    def parsed(reply: Any) -> First[R]:
        place, lost, found = reply
        if not int(place):
            return First(None, None, _numbers(lost))
        return First(int(place) - 1, parse(found), _numbers(lost))

    return parsed


def settled(reply: Any) -> tuple[float, list[int]]:
    """Return the deadline that was set, in UNIX seconds, and the places of the lost members."""
    deadline, *lost = _numbers(reply)
    return deadline / 1000, lost


def stats(reply: Sequence[Any]) -> tuple[list[int], float | None]:
    """Return the counts, and the lowest score that is due."""
    *counts, lowest = reply
    return [int(count) for count in counts], float(lowest) if lowest else None


def _numbers(text: Any) -> list[int]:
    return [int(number) for number in text.split()]


def verdict(reply: Any) -> tuple[str, int]:
    """Return the word and the number of a script's reply."""
    word, number = reply
    return _text(word), int(number)


def counted(reply: Any) -> tuple[str, list[int]]:
    """Return the word of a script's reply, and the numbers after it."""
    word, *numbers = reply
    return _text(word), [int(number) for number in numbers]


def reading(reply: Any) -> Reading:
    word, rest = _text(reply[0]), reply[1:]
    if word == "members":
        return Reading(word, members=members(rest[0]))
    if word == "pairs":
        return Reading(word, runs=[pairs(run) for run in rest])
    if word == "scores":
        return Reading(word, scores=[optional_scores(scores) for scores in rest])
    return Reading(word, int(rest[0]))


def _text(word: Any) -> str:
    return word.decode() if isinstance(word, bytes) else str(word)


def run_id(reply: Any) -> str:
    """Return the server's random ``run_id``, from the reply of ``INFO server``."""
    if isinstance(reply, dict):
        return str(reply["run_id"])
    text = reply.decode() if isinstance(reply, bytes) else str(reply)
    return text.partition("run_id:")[2].split()[0]
