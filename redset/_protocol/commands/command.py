"""One command: its words, the parser of its reply, and how it is packed; and transactions."""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any, ClassVar, Generic, TypeVar

from redset._protocol import replies
from redset._protocol.commands.scripts import CALL, Script

R = TypeVar("R")
Word = bytes | str | int | float


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
        rest = self._rest
        if len(rest) == 1 and type(word := rest[0]) is bytes:  # most commands of one item
            return b"".join((packed_head(self._head, 1), PACKED_LENGTHS[len(word)], word, b"\r\n"))
        return packed_head(self._head, len(rest)) + packed_words(rest)


# Words may have any length: a process keeps what precedes the shorter ones.
MAX_KEPT_LENGTH = 4_096


class _PackedLengths(dict[int, bytes]):
    """What precedes a packed word, by its length."""

    def __missing__(self, length: int) -> bytes:
        packed = b"$%d\r\n" % length
        if length < MAX_KEPT_LENGTH:
            self[length] = packed
        return packed


PACKED_LENGTHS = _PackedLengths()


def packed_words(words: Sequence[Word]) -> bytes:
    ready = [word if type(word) is bytes else _as_bytes(word) for word in words]
    return b"".join([b"$%d\r\n%b\r\n" % (len(word), word) for word in ready])


@lru_cache(maxsize=1024)
def packed_head(words: tuple[Word, ...], following: int) -> bytes:
    """Return the beginning of a packed command: *words*, and how many are *following*."""
    return b"*%d\r\n%b" % (len(words) + following, packed_words(words))


def _as_bytes(word: Word) -> bytes:
    if isinstance(word, str):
        return word.encode()
    return word if isinstance(word, bytes) else repr(word).encode()


LOWEST, HIGHEST = "-inf", "+inf"

# Some servers refuse a request of 4,000 words or more (ElastiCache Serverless): a call with more
# members is split into several commands, which are sent together.
MAX_MEMBERS = 1_750


def number(score: float) -> str:
    """Return *score* as text that the server reads as the same double: `repr` has enough digits."""
    return repr(float(score))


def flat(pairs: Sequence[tuple[bytes, float]]) -> list[Word]:
    return [word for member, score in pairs for word in (number(score), member)]


def parts(words: Sequence[R], most: int = MAX_MEMBERS) -> Iterator[Sequence[R]]:
    """Cut *words* into parts of up to *most*, one for each command."""
    if len(words) <= most:
        return iter([words] if words else [])
    return (words[first : first + most] for first in range(0, len(words), most))


def milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


def call(
    script: Script,
    keys: Sequence[bytes],
    arguments: Sequence[Word],
    parse: Callable[[Any], R],
    same: Sequence[Word] = (),
) -> Command[R]:
    """Return a call of *script*; the arguments that are the *same* in many calls come first."""
    return Command(("EVALSHA", script.digest, len(keys), *keys, *same), arguments, parse, script)


def call_once(
    script: Script, keys: Sequence[bytes], arguments: Sequence[Word], parse: Callable[[Any], R]
) -> Command[R]:
    """Return what `call` does, for keys that no other call has: caching them would be useless."""
    words = ("EVALSHA", script.digest, len(keys), *keys, *arguments)
    return Command((), words, parse, script)


MULTI: Command[None] = Command(("MULTI",), (), replies.nothing)

# Before a command for a node that is receiving the slot of its keys.
ASKING: Command[None] = Command(("ASKING",), (), replies.nothing)

# Around commands over a connection of a client that reads from replicas. Such a connection is
# READONLY: a master that became a replica would answer what only reads, and start scripts.
READWRITE: Command[None] = Command(("READWRITE",), (), replies.nothing)
READONLY: Command[None] = Command(("READONLY",), (), replies.nothing)

# The commands that change nothing; some of a transaction are among them.
READING = frozenset(
    [
        *("EXEC", "HMGET", "INFO", "MULTI", "TIME", "ZCARD", "ZCOUNT", "ZMSCORE", "ZRANDMEMBER"),
        *("ZRANGE", "ZRANGEBYSCORE", "ZRANK", "ZREVRANGEBYSCORE", "ZREVRANK", "ZSCORE"),
    ]
)
_WITHOUT_KEY = frozenset(["EXEC", "INFO", "MULTI", "TIME"])


def from_master(command: Command[R]) -> Command[R]:
    """Return *command* as a client that reads from replicas sends it to a master: as a script.

    Such a client may send to a replica what it knows to change nothing.
    """
    name, *words = command.words
    if name not in READING or name in _WITHOUT_KEY:
        return command
    return Command((), ("EVAL", CALL.source, 1, words[0], name, *words[1:]), command.parse)


def ends_transaction(command: Command[Any]) -> bool:
    """Return whether *command* is the last one of a transaction."""
    return command.words == ("EXEC",)


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
