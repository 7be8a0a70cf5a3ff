"""Commands that add, change, remove or look up given items."""

from collections.abc import Sequence
from itertools import chain
from typing import Any

from redset._protocol import replies
from redset._protocol.commands.command import (
    PACKED_LENGTHS,
    Command,
    Word,
    call,
    flat,
    milliseconds,
    number,
    packed_head,
    packed_words,
    parts,
)
from redset._protocol.commands.scripts import ADMIT, INCREASE, INSERT, MOVE

# The flag of ZADD for each rule that decides which score wins if the member is there already.
FLAGS = {"replace": None, "keep": "NX", "min": "LT", "max": "GT"}


def add(
    key: bytes, members: Sequence[bytes], scores: Sequence[float], *, flag: str | None = None
) -> Command[int]:
    head = ("ZADD", key) if flag is None else ("ZADD", key, flag)
    if len(members) == 1:
        return Command(head, (number(scores[0]), members[0]), replies.integer)
    return Addition(head, members, scores)


def add_all(
    key: bytes, members: Sequence[bytes], scores: Sequence[float], *, flag: str | None = None
) -> list[Command[Any]]:
    """Return the commands of `add` for any number of members."""
    together = zip(parts(members), parts(scores), strict=True)
    return [add(key, some, their_scores, flag=flag) for some, their_scores in together]


class Addition(Command[int]):
    """A ``ZADD`` of many members, with a faster `packed`."""

    __slots__ = ("_members", "_scores")

    def __init__(
        self, head: tuple[Word, ...], members: Sequence[bytes], scores: Sequence[float]
    ) -> None:
        super().__init__(head, (), replies.integer)
        self._members, self._scores = members, scores

    @property
    def words(self) -> tuple[Word, ...]:
        """The command as `Command.words`; made only for clients that pack it themselves."""
        return (*self._head, *flat(list(zip(self._members, self._scores, strict=True))))

    def packed(self) -> bytes:
        """Return what `Command.packed` does; each different score is packed once."""
        size = len(self._members)
        pieces = zip(
            map(_PackedNumbers().__getitem__, self._scores),
            map(PACKED_LENGTHS.__getitem__, map(len, self._members)),
            self._members,
            [b"\r\n"] * size,
            strict=True,
        )
        rest = b"".join(chain.from_iterable(pieces))
        return packed_head(self._head, 2 * size) + rest


class _PackedNumbers(dict[float, bytes]):
    def __missing__(self, score: float) -> bytes:
        packed = self[score] = packed_words([number(score)])
        return packed


def insert(
    keys: Sequence[bytes],
    request_id: bytes,
    unique: str,
    pairs: Sequence[tuple[bytes, float]],
    keep: float,
) -> Command[list[int]]:
    arguments = (request_id, milliseconds(keep), unique, *flat(pairs))
    return call(INSERT, keys, arguments, lambda reply: [int(index) for index in reply])


def increase(
    keys: Sequence[bytes], request_id: bytes, pairs: Sequence[tuple[bytes, float]], keep: float
) -> Command[int]:
    arguments = (request_id, milliseconds(keep), *flat(pairs))
    return call(INCREASE, keys, arguments, replies.integer)


def admit(
    keys: Sequence[bytes], unique: str, conflict: str, pairs: Sequence[tuple[bytes, float]]
) -> Command[float | None]:
    return call(ADMIT, keys, (unique, conflict, *flat(pairs)), replies.optional_score)


def add_with(key: bytes, member: bytes, score: float, conflict: str) -> list[Command[Any]]:
    """Add a member; *conflict* decides if it has a score already. The last reply is its score."""
    if conflict == "sum":
        return [increment(key, member, score)]
    kept = Command(("ZSCORE", key), (member,), replies.optional_score)
    return [add(key, [member], [score], flag=FLAGS[conflict]), kept]


def update_score(key: bytes, member: bytes, score: float, conflict: str) -> list[Command[Any]]:
    """Change the score of a member that is there; the last reply is its score afterwards."""
    head = ("ZADD", key, "XX")
    if conflict == "sum":
        rest = ("INCR", number(score), member)
        return [Command(head, rest, replies.optional_score)]
    kept = Command(("ZSCORE", key), (member,), replies.optional_score)
    if conflict == "keep":
        return [kept]
    flag = FLAGS[conflict]
    words = (number(score), member) if flag is None else (flag, number(score), member)
    return [Command(head, words, replies.integer), kept]


def increment(key: bytes, member: bytes, amount: float) -> Command[float]:
    return Command(("ZINCRBY", key), (number(amount), member), float)


def move(
    keys: Sequence[bytes],
    request_id: bytes,
    keep: float,
    members: tuple[bytes, bytes],
    conflict: str,
) -> Command[float | None]:
    arguments = (request_id, milliseconds(keep), *members, conflict)
    return call(MOVE, keys, arguments, replies.optional_score)


def remove(key: bytes, member: bytes) -> Command[int]:
    return Command(("ZREM", key), (member,), replies.integer)


def remove_all(key: bytes, members: Sequence[bytes]) -> list[Command[Any]]:
    return [Command(("ZREM", key), part, replies.integer) for part in parts(members)]


def contains(key: bytes, member: bytes) -> Command[bool]:
    return Command(("ZSCORE", key), (member,), replies.is_there)


def score(key: bytes, member: bytes) -> Command[float | None]:
    return Command(("ZSCORE", key), (member,), replies.optional_score)


def scores(key: bytes, members: Sequence[bytes]) -> list[Command[Any]]:
    return [Command(("ZMSCORE", key), part, replies.optional_scores) for part in parts(members)]


def rank(key: bytes, member: bytes, *, reverse: bool) -> Command[int | None]:
    name = "ZREVRANK" if reverse else "ZRANK"
    return Command((name, key), (member,), replies.optional_integer)
