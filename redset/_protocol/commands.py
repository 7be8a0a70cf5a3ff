"""Commands: the only module that names Redis commands.

Each function returns a `Command`, or a list of them that are sent together: the words to send, and
the parser of the reply.
"""

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from itertools import chain
from typing import Any, ClassVar, Generic, TypeVar

from redset._protocol import replies
from redset._protocol.constants import IN_LUA
from redset._protocol.keys import is_temporary

R = TypeVar("R")
Word = bytes | str | int | float


class Script:
    """A Lua script, the files *names* of ``lua/`` joined in that order; called by its digest."""

    def __init__(self, *names: str) -> None:
        folder = files("redset._protocol").joinpath("lua")
        texts = [folder.joinpath(f"{name}.lua").read_bytes() for name in names]
        self.source = _constants_of(texts) + b"".join(texts)
        self.digest = hashlib.sha1(self.source, usedforsecurity=False).hexdigest()


def _constants_of(texts: Sequence[bytes]) -> bytes:
    """Return lines of Lua that define those constants of `IN_LUA` that *texts* name."""
    lines = [
        b"local %b = %d\n" % (name.encode(), value)
        for name, value in IN_LUA.items()
        if any(re.search(rb"\b%b\b" % name.encode(), text) for text in texts)
    ]
    return b"".join(lines)


class Command(Generic[R]):
    """The words of one command, the parser of its reply, and the script if it calls one.

    The *head* is the same in many commands: it is packed once and cached. The *rest* is not.
    """

    __slots__ = ("_head", "_rest", "parse", "script")

    # Whether it is a `Confirming` command.
    confirms: ClassVar[bool] = False

    def __init__(
        self,
        head: tuple[Word, ...],
        rest: Sequence[Word],
        parse: Callable[[Any], R],
        script: Script | None = None,
    ) -> None:
        self._head, self._rest, self.parse, self.script = head, rest, parse, script

    @property
    def words(self) -> tuple[Word, ...]:
        """The command as a client's ``execute_command`` takes it.

        Numbers are text already: if a signal handler raises while hiredis 3.5 converts a number,
        the process crashes.
        """
        words = (*self._head, *self._rest)
        return tuple([word if isinstance(word, bytes | str) else repr(word) for word in words])

    def with_source(self) -> "Command[R]":
        """Return the same call with the script's source, for a server that doesn't have it."""
        if self.script is None:
            return self
        name, _, *rest = self.words
        evaluated = "EVAL_RO" if name == "EVALSHA_RO" else "EVAL"
        return Command((), (evaluated, self.script.source, *rest), self.parse)

    def as_reader(self) -> "Command[R]":
        """Return the same call of a script that only reads, for an account that may not write.

        Redis 6.2 has neither this call nor such accounts.
        """
        return Command((), ("EVALSHA_RO", *self.words[1:]), self.parse, self.script)

    def packed(self) -> bytes:
        """Return the command as bytes for the server: an array of strings in RESP."""
        number_of_words = len(self._head) + len(self._rest)
        return b"*%d\r\n%b%b" % (number_of_words, _packed_once(self._head), _packed(self._rest))


def _packed(words: Sequence[Word]) -> bytes:
    if len(words) == 1 and type(word := words[0]) is bytes:
        return b"$%d\r\n%b\r\n" % (len(word), word)
    ready = [word if type(word) is bytes else _as_bytes(word) for word in words]
    return b"".join([b"$%d\r\n%b\r\n" % (len(word), word) for word in ready])


@lru_cache(maxsize=1024)
def _packed_once(words: tuple[Word, ...]) -> bytes:
    return _packed(words)


def _as_bytes(word: Word) -> bytes:
    if isinstance(word, str):
        return word.encode()
    return word if isinstance(word, bytes) else repr(word).encode()


TAKE = Script("idempotency", "sign", "life", "leasing", "take")
INSERT = Script("idempotency", "sign", "life", "insert")
ALIVE = Script("sign", "alive")
ALGEBRA = Script("idempotency", "life", "scores", "sums", "comparing", "algebra")
RENAME = Script("idempotency", "rename")
COMPARE, OVERLAP = Script("comparing", "compare"), Script("comparing", "overlap")
COUNT, READ = Script("comparing", "count"), Script("scores", "sums", "comparing", "read")
LEASE = Script("idempotency", "life", "leasing", "lease")
SETTLE = Script("idempotency", "life", "leasing", "settle")
PUT_ASIDE = Script("life", "leasing", "put_aside")
EXPIRE, TTL = Script("idempotency", "expire"), Script("life", "ttl")
# The same scripts, for the first of several sets that has something.
FIRST_TAKE = Script("idempotency", "first_begin", "sign", "life", "leasing", "take", "first")
FIRST_LEASE = Script("idempotency", "first_begin", "life", "leasing", "lease", "first")
PAGE = Script("page")
STATS, ADMIT = Script("stats"), Script("life", "scores", "admit")
DEAD, CANCEL = Script("life", "dead"), Script("cancel")
INCREASE = Script("idempotency", "sign", "increase")
REMOVE_AT = Script("idempotency", "sign", "remove_at")
MOVE = Script("idempotency", "sign", "scores", "move")
FENCE = Script("fence")
LOWEST, HIGHEST = "-inf", "+inf"

# The commands, and the scripts, that change nothing: see `Command.changes`.
_READING = frozenset(
    [
        *("EXEC", "HMGET", "INFO", "MULTI", "TIME", "ZCARD", "ZCOUNT", "ZMSCORE", "ZRANDMEMBER"),
        *("ZRANGE", "ZRANGEBYSCORE", "ZRANK", "ZREVRANGEBYSCORE", "ZREVRANK", "ZSCORE"),
    ]
)
_READERS: frozenset[Script | None] = frozenset([COMPARE, COUNT, OVERLAP, PAGE, READ, STATS, TTL])
# The verb of settle.lua that renews a lease in the background.
RENEW = "renew"

# Some servers refuse a request of 4,000 words or more (ElastiCache Serverless): a call with more
# members is split into several commands, which are sent together.
MAX_MEMBERS = 1_750
# The script that looks members up takes only one key and the members: it has room for more.
MAX_LOOKED_UP = 3_500
# The words that a call of a script that only reads has for its operands and members.
MAX_WORDS = 3_980
# A call of the script for algebra has up to five words for each operand.
MAX_OPERANDS = 750

# The script for several sets, and what first.lua must know about the script for one set: the place
# of the request's id among its arguments, the place of the number of members, and how many words
# a recorded reply, and a reply, have that are no members.
_SHAPES: dict[Script | None, tuple[Script, tuple[int, ...]]] = {
    TAKE: (FIRST_TAKE, (1, 2, 0, 0)),
    LEASE: (FIRST_LEASE, (8, 3, 2, 3)),
}

# The flag of ZADD for each rule that decides which score wins if the member is there already.
FLAGS = {"replace": None, "keep": "NX", "min": "LT", "max": "GT"}


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


def number(score: float) -> str:
    """Return *score* as text that the server reads as the same double: `repr` has enough digits."""
    return repr(float(score))


def _flat(pairs: Sequence[tuple[bytes, float]]) -> list[Word]:
    return [word for member, score in pairs for word in (number(score), member)]


def parts(words: Sequence[R], most: int = MAX_MEMBERS) -> Iterator[Sequence[R]]:
    """Cut *words* into parts of up to *most*, one for each command."""
    if len(words) <= most:
        return iter([words] if words else [])
    return (words[first : first + most] for first in range(0, len(words), most))


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


def _call(
    script: Script, keys: Sequence[bytes], arguments: Sequence[Word], parse: Callable[[Any], R]
) -> Command[R]:
    return Command(("EVALSHA", script.digest, len(keys), *keys), arguments, parse, script)


def _call_once(
    script: Script, keys: Sequence[bytes], arguments: Sequence[Word], parse: Callable[[Any], R]
) -> Command[R]:
    """Return what `_call` does, for keys that no other call has: caching them would be useless."""
    words = ("EVALSHA", script.digest, len(keys), *keys, *arguments)
    return Command((), words, parse, script)


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
        return (*self._head, *_flat(list(zip(self._members, self._scores, strict=True))))

    def packed(self) -> bytes:
        """Return what `Command.packed` does; each different score and length is packed once."""
        size = len(self._members)
        pieces = zip(
            map(_PackedNumbers().__getitem__, self._scores),
            map(_PackedLengths().__getitem__, map(len, self._members)),
            self._members,
            [b"\r\n"] * size,
            strict=True,
        )
        rest = b"".join(chain.from_iterable(pieces))
        return b"*%d\r\n%b%b" % (len(self._head) + 2 * size, _packed_once(self._head), rest)


class _PackedNumbers(dict[float, bytes]):
    def __missing__(self, score: float) -> bytes:
        packed = self[score] = _packed([number(score)])
        return packed


class _PackedLengths(dict[int, bytes]):
    def __missing__(self, length: int) -> bytes:
        packed = self[length] = b"$%d\r\n" % length
        return packed


def while_alive(
    batch: Sequence[Command[Any]], key: bytes, liveness_key: bytes
) -> list[Command[Any]]:
    """Return commands that do what *batch* does, but change no temporary set that is gone.

    The set under *key* is gone if its *liveness_key* doesn't exist. Only commands that change this
    set are replaced; a command that deletes it stays as it is.
    """
    guarded = [_while_alive(command, key, liveness_key) for command in batch]
    if len(guarded) == 1:
        return guarded
    # Later commands of a batch rely on this script, so it must not fail because the server doesn't
    # have it: it is sent with its source.
    return [each.with_source() if each.script is ALIVE else each for each in guarded]


def _while_alive(command: Command[R], key: bytes, liveness_key: bytes) -> Command[R]:
    name, *head = command._head or ("",)
    if command.script in {TAKE, INSERT, INCREASE, REMOVE_AT, MOVE}:
        digest, _, *keys = head
        words = ("EVALSHA", digest, len(keys) + 1, *keys, liveness_key)
        return Command(words, command._rest, command.parse, command.script)
    if head[:1] != [key] or name not in {"ZADD", "ZREM", "ZINCRBY", "ZREMRANGEBYSCORE"}:
        return command
    return _call(ALIVE, (key, liveness_key), (name, *command.words[2:]), command.parse)


def remove(key: bytes, member: bytes) -> Command[int]:
    return Command(("ZREM", key), (member,), replies.integer)


def remove_all(key: bytes, members: Sequence[bytes]) -> list[Command[Any]]:
    return [Command(("ZREM", key), part, replies.integer) for part in parts(members)]


def score(key: bytes, member: bytes) -> Command[float | None]:
    return Command(("ZSCORE", key), (member,), replies.optional_score)


def scores(key: bytes, members: Sequence[bytes]) -> list[Command[Any]]:
    return [Command(("ZMSCORE", key), part, replies.optional_scores) for part in parts(members)]


def size(key: bytes) -> Command[int]:
    return Command(("ZCARD", key), (), replies.integer)


def count(key: bytes, lowest: str, highest: str) -> Command[int]:
    return Command(("ZCOUNT", key), (lowest, highest), replies.integer)


def exists(key: bytes) -> Command[int]:
    return Command(("EXISTS", key), (), replies.integer)


def delete(*keys: bytes) -> Command[int]:
    """Delete *keys*; the server frees their memory in the background."""
    return Command(("UNLINK",), keys, replies.integer)


def delete_all(keys: Sequence[bytes]) -> list[Command[Any]]:
    """Return the commands of `delete` for any number of keys."""
    return [delete(*part) for part in parts(keys)]


def by_rank(key: bytes, first: int, last: int) -> Command[list[replies.Pair]]:
    return Command(("ZRANGE", key), (first, last, "WITHSCORES"), replies.pairs)


def page_at_rank(
    key: bytes,
    after: replies.Pair | None,
    limit: int,
    rank: int,
    *,
    reverse: bool,
    scored: bool,
) -> list[Command[Any]]:
    """Read members from *rank* on, in one transaction; the last reply is the page.

    The page is ``None`` if the member before *rank* is not *after*, with the same score.
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
    if after is not None:
        asked.append(between(rank - 1, rank - 1, scored=True))

    def page(found: list[Any]) -> replies.Page | None:
        if after is not None and found.pop() != [after]:
            return None
        if not scored:
            members, ends = found
            return replies.Page(rank, members, [score for _, score in ends])
        return replies.Page(
            rank, [member for member, _ in found[0]], [score for _, score in found[0]]
        )

    return transaction(asked, page)


def page_after(
    key: bytes, after: replies.Pair | None, limit: int, *, reverse: bool, scored: bool
) -> Command[replies.Page]:
    """Read the members that follow *after*, also if that member was removed or has moved."""
    place = ("", "") if after is None else (number(after[1]), after[0])
    direction = "backward" if reverse else "forward"
    arguments = (direction, *place, limit, "scores" if scored else "members")
    return _call(PAGE, [key], arguments, replies.page)


MULTI: Command[None] = Command(("MULTI",), (), replies.nothing)
# Before a command for a node that is receiving the slot of its keys.
ASKING: Command[None] = Command(("ASKING",), (), replies.nothing)


class TransactionUnsupportedError(Exception):
    """The client might send a transaction over several connections, so nothing was sent."""


def transaction(
    asked: Sequence[Command[Any]], parse: Callable[[list[Any]], R]
) -> list[Command[Any]]:
    """Run the commands *asked* in one transaction; the last reply is *parse* of all replies."""

    def all_of(reply: Any) -> R:
        return parse(
            [each.parse(found) for each, found in zip(asked, replies.all_of(reply), strict=True)]
        )

    queued = [Command((), each.words, replies.nothing) for each in asked]
    return [MULTI, *queued, Command(("EXEC",), (), all_of)]


def insert(
    keys: Sequence[bytes],
    request_id: bytes,
    unique: str,
    pairs: Sequence[tuple[bytes, float]],
    keep: float,
) -> Command[list[int]]:
    arguments = (request_id, _milliseconds(keep), unique, *_flat(pairs))
    return _call(INSERT, keys, arguments, lambda reply: [int(index) for index in reply])


def increase(
    keys: Sequence[bytes], request_id: bytes, pairs: Sequence[tuple[bytes, float]], keep: float
) -> Command[int]:
    arguments = (request_id, _milliseconds(keep), *_flat(pairs))
    return _call(INCREASE, keys, arguments, replies.integer)


def admit(
    keys: Sequence[bytes], unique: str, conflict: str, pairs: Sequence[tuple[bytes, float]]
) -> Command[float | None]:
    return _call(ADMIT, keys, (unique, conflict, *_flat(pairs)), replies.optional_score)


def take(
    keys: Sequence[bytes],
    request_id: bytes,
    num: int,
    highest: str,
    keep: float,
    *,
    last: bool = False,
) -> Command[replies.Taken]:
    arguments = (request_id, num, highest, _milliseconds(keep), *(("last",) if last else ()))
    return _call(TAKE, keys, arguments, replies.taken)


def lease(
    keys: Sequence[bytes],
    request_id: bytes,
    num: int,
    highest: str,
    keep: float,
    name: str,
    *,
    ttl: float,
    most: int,
    channel: bytes,
    worker: str,
    last: bool = False,
    done: tuple[str, Sequence[bytes]] = ("", ()),
) -> Command[replies.LeaseReply]:
    """Lease members; *done* names an earlier lease and the members of it to acknowledge."""
    # The words that are the same in many requests of a consumer come first, and are packed once.
    times = (_milliseconds(keep), _milliseconds(ttl))
    place = "last" if last else ""
    same: tuple[Word, ...] = (*times, num, most, channel, worker, place)
    head: tuple[Word, ...] = ("EVALSHA", LEASE.digest, len(keys), *keys, *same)
    rest: tuple[Word, ...] = (request_id, highest, name, done[0], *done[1])
    return Command(head, rest, replies.leased, LEASE)


def first(
    asked: Sequence[Command[replies.R]], done: tuple[int, Sequence[bytes]] = (0, ())
) -> Command[replies.First[replies.R]]:
    """Ask the first set that has something; *asked* has a command for each set.

    *done* is the place, from 1, of the set that has members to acknowledge, and these members.
    """
    script, shape = _SHAPES[asked[0].script]
    keys: list[Word] = []
    rest: list[Word] = []
    for command in asked:
        _, _, number, *words = command.words
        keys += words[: int(number)]
        rest += words[int(number) :]
    head = ("EVALSHA", script.digest, len(keys), *keys)
    every = (len(asked), len(rest) // len(asked), *shape, done[0], *rest, *done[1])
    return Command(head, every, replies.first(asked[0].parse), script)


def settle(
    keys: Sequence[bytes],
    request_id: bytes,
    keep: float,
    verb: str,
    *,
    name: str,
    seconds: float,
    score: float | None,
    channel: bytes,
    error: str,
    members: Sequence[bytes],
) -> Command[tuple[float, list[int]]]:
    place = "" if score is None else number(score)
    times = (_milliseconds(keep), _milliseconds(seconds))
    head: tuple[Word, ...] = (request_id, times[0], verb, name, times[1], place, channel, error)
    return _call(SETTLE, keys, (*head, *members), replies.settled)


def put_aside(
    keys: Sequence[bytes], end: int | None, pairs: Sequence[replies.Pair]
) -> Command[int]:
    """Keep members that can't be deserialized under a companion key; *end* as in `Taken`."""
    return _call_once(PUT_ASIDE, keys, ("" if end is None else end, *_flat(pairs)), replies.integer)


def stats(keys: Sequence[bytes], highest: str) -> Command[tuple[list[int], float | None]]:
    return _call(STATS, keys, (highest,), replies.stats)


def sort_dead(
    keys: Sequence[bytes],
    verb: str,
    passed: int,
    reason: str,
    before: float | None,
    members: Sequence[bytes],
) -> Command[list[int]]:
    """Requeue or discard dead members; the reply is how many, and how many were passed over."""
    latest: Word = "" if before is None else _milliseconds(before)
    arguments = (verb, passed, reason, latest, *members)
    return _call(DEAD, keys, arguments, lambda reply: [int(count) for count in reply])


def cancel(keys: Sequence[bytes], members: Sequence[bytes]) -> Command[int]:
    return _call(CANCEL, keys, members, replies.integer)


def fields(key: bytes, names: Sequence[bytes]) -> Command[list[bytes | None]]:
    return Command(("HMGET", key), names, replies.members)


def server_time() -> Command[float]:
    return Command(("TIME",), (), replies.seconds)


def expire(key: bytes, seconds: float) -> Command[int]:
    return Command(("PEXPIRE", key), (_milliseconds(seconds),), replies.integer)


def expire_set(
    keys: Sequence[bytes], request_id: bytes, keep: float, seconds: float | None
) -> Command[bool]:
    """Set the time-to-live of a set and its companions; ``None`` removes it."""
    words = ("PERSIST",) if seconds is None else ("PEXPIRE", _milliseconds(seconds))
    return _call(EXPIRE, keys, (request_id, _milliseconds(keep), *words), replies.truth)


def ttl_of_set(keys: Sequence[bytes]) -> Command[float | None]:
    return _call(TTL, keys, (), replies.seconds_left)


def algebra(
    keys: Sequence[bytes],
    verb: str,
    conflict: str,
    life: Word,
    once: tuple[bytes, float],
    operands: Sequence[Operand],
    companions: Sequence[bytes] = (),
) -> Command[tuple[str, int]]:
    """Combine or compare *operands*; *keys* are the script's keys before those of the operands.

    *companions* are the companion keys of the set that the combination replaces or changes. *once*
    is the id of a request that must not be done twice, and the seconds to keep its reply for.
    """
    named, temporary = _keys_and_places(operands)
    arguments = (
        *(verb, conflict, life, once[0], _milliseconds(once[1]), len(operands)),
        *("staged" if operand.staged else "set" for operand in operands),
        *(number(operand.weight) for operand in operands),
        *temporary,
    )
    all_keys = (*keys, *named, *companions)
    return _call_once(ALGEBRA, all_keys, arguments, replies.verdict)


def compare(verb: str, operands: Sequence[Operand]) -> Command[tuple[str, int]]:
    """Compare two sets, neither of which is staged."""
    keys, temporary = _keys_and_places(operands)
    return _call(COMPARE, keys, (verb, *temporary), replies.verdict)


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
    verb: str, operands: Sequence[Operand], limit: int, members: Sequence[bytes]
) -> Command[tuple[str, list[int]]]:
    """Count the members of a combination of *operands*, and local *members*: see count.lua."""
    keys, temporary = _keys_and_places(operands)
    head: tuple[Word, ...] = (verb, len(operands), limit)
    arguments = (*head, *temporary, *members)
    return _call_once(COUNT, keys, arguments, replies.counted)


def read_combined(
    verb: str,
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
    head: tuple[Word, ...] = (verb, len(operands), conflict, limit, part, scored)
    weights = [number(operand.weight) for operand in operands]
    arguments = (*head, *weights, *temporary, *members)
    return _call_once(READ, keys, arguments, replies.reading)


def overlap(key: bytes, members: Sequence[bytes]) -> Command[tuple[int, int]]:
    """Count the members of the set, and how many of *members* are among them."""
    return _call(OVERLAP, [key], members, lambda reply: (int(reply[0]), int(reply[1])))


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


def move(
    keys: Sequence[bytes],
    request_id: bytes,
    keep: float,
    members: tuple[bytes, bytes],
    conflict: str,
) -> Command[float | None]:
    arguments = (request_id, _milliseconds(keep), *members, conflict)
    return _call(MOVE, keys, arguments, replies.optional_score)


def rank(key: bytes, member: bytes, *, reverse: bool) -> Command[int | None]:
    name = "ZREVRANK" if reverse else "ZRANK"
    return Command((name, key), (member,), replies.optional_integer)


def increment(key: bytes, member: bytes, amount: float) -> Command[float]:
    return Command(("ZINCRBY", key), (number(amount), member), float)


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
    keys: Sequence[bytes], request_id: bytes, first: int, last: int, keep: float
) -> Command[int]:
    arguments = (request_id, _milliseconds(keep), first, last)
    return _call(REMOVE_AT, keys, arguments, replies.integer)


def remove_by_score(key: bytes, ends: tuple[str, str]) -> Command[int]:
    return Command(("ZREMRANGEBYSCORE", key), ends, replies.integer)


def sample(key: bytes, size: int) -> Command[list[bytes]]:
    return Command(("ZRANDMEMBER", key), (size,), replies.members)


def sample_pairs(key: bytes, size: int) -> Command[list[replies.Pair]]:
    return Command(("ZRANDMEMBER", key), (size, "WITHSCORES"), replies.pairs)


class Confirming(Command[R]):
    """A command that is sent after others, to learn whether their changes are safe.

    It is sent again together with any command before it. An error of it is parsed, not raised: the
    commands before it were executed.
    """

    __slots__ = ()

    confirms: ClassVar[bool] = True


def confirm(key: bytes, number: int, milliseconds: int, *, disk: bool) -> list[Command[Any]]:
    """Wait until *number* replicas have all that the server has, with *disk* on their disks.

    With *disk*, the server's own disk has it too. The last reply says what was confirmed. *key* is
    a key that doesn't exist; the first command writes it and deletes it: see fence.lua.
    """
    fence = Confirming(("EVAL", FENCE.source, 1, key), (), replies.error_or_none)
    if disk:
        waits = ("WAITAOF", 1, number, milliseconds)
        return [fence, Confirming(waits, (), replies.confirmed_on_disk)]
    return [fence, Confirming(("WAIT", number, milliseconds), (), replies.confirmed)]


def changes(command: Command[Any]) -> bool:
    """Return whether *command* changes a set that lasts, or its companions.

    Reading does not, nor do changes of results and of staged items, which are temporary, nor the
    renewal of a lease: the next one comes soon.
    """
    script = command.script
    name, *words = (*command._head, *command._rest[:4])
    if script in _READERS or name in _READING:
        return False
    if script is SETTLE and command._rest[2] == RENEW:
        return False
    if script is RENAME:  # of a result, which lasts from then on
        return True
    key = words[0] if script is None else words[2]
    return not (isinstance(key, bytes) and is_temporary(key))


def delivered_nothing(command: Command[Any], reply: Any) -> bool:
    """Return whether *command* is a request for items that found none, and acknowledged none."""
    script = command.script
    if script is TAKE:
        return not reply.pairs
    if script is LEASE:
        return not reply.held and not command._rest[3]
    if script is FIRST_TAKE or script is FIRST_LEASE:
        return reply.reply is None and not command._rest[2 + len(_SHAPES[TAKE][1])]
    return False


def confirming_places(packed: Sequence[bytes]) -> list[int]:
    """Return the places of `Confirming` commands in a *packed* batch."""
    places = [place for place, words in enumerate(packed) if words.startswith(_PACKED_WAITS)]
    return [each for place in places for each in (place - 1, place)]


_PACKED_WAITS = (b"*3\r\n$4\r\nWAIT\r\n", b"*4\r\n$7\r\nWAITAOF\r\n")


def server_info() -> Command[str]:
    return Command(("INFO", "server"), (), replies.run_id)


def rename(
    keys: Sequence[bytes], once: tuple[bytes, float], channel: bytes
) -> Command[tuple[str, int]]:
    request_id, keep = once
    return _call_once(RENAME, keys, (request_id, _milliseconds(keep), channel), replies.verdict)
