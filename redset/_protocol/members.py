"""Members: items are encoded into chunks that one command may carry, and members are decoded."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple, TypeVar, cast

from redset._protocol.config import Plan, SetConfig
from redset._protocol.encoding import Encoding
from redset._protocol.replies import Pair
from redset._protocol.scores import check_score, zero
from redset._protocol.sources import ItemBatch, ItemSource, ReadItems
from redset._support.native import is_lookalike
from redset._support.words import Foreign, described
from redset.exceptions import SerializerError, UncertainItemError

T = TypeVar("T")

# The most that one command carries: a larger one would delay the server's other clients.
CHUNK_MEMBERS = 5_000
CHUNK_BYTES = 1 << 20

logger = logging.getLogger("redset")


def encode_or_none(config: SetConfig[T], item: T) -> bytes | None:
    """Return the member of *item*; ``None`` if the set can't hold it, and so doesn't have it.

    An item that is not hashable is an error, as with ``set``, and so is an item that may be equal
    to one that the set can hold. A bug of ``dumps`` passes through.
    """
    try:
        return config.encoding.encode(item)
    except UncertainItemError:
        raise
    except config.encoding.cant_carry as error:
        if not _is_hashable(item) or is_lookalike(item):
            raise
        if _succeeds(config.encoding.encode, item):
            raise cause_of(error) from None
        return None


def encode_all_or_none(
    config: SetConfig[T], items: Sequence[T], other: Encoding[Any] | None
) -> list[bytes | None]:
    """Return the members of *items*: of `encode_or_none`, or with an *other* of `encode_alike`."""
    if other is None:
        return [encode_or_none(config, item) for item in items]
    return [encode_alike(config, item, other) for item in items]


def encode_alike(config: SetConfig[T], item: T, other: Encoding[Any]) -> bytes | None:
    """Return the member of *item*, an item of a set with an *other* encoding, or ``None``.

    The item belongs to both sets only if both serializers agree, so that the answer is the same
    whichever set is asked. An item that one of them can't serialize is no error.
    """
    try:
        return _alike(config.encoding, item, other)
    except (*config.encoding.cant_carry, *other.cant_carry) as error:
        if _succeeds(lambda item: _alike(config.encoding, item, other), item):
            raise cause_of(error) from None
        return None


def _alike(encoding: Encoding[T], item: T, other: Encoding[Any]) -> bytes | None:
    member = encoding.encode(item)
    own = encoding.decode(member)
    if type(own) is type(item) is str and own == item:
        return member
    return member if other.encode(own) == other.encode(item) else None


def encode_for_lookup(config: SetConfig[T], item: T) -> bytes | None:
    """Return what `encode_or_none` does; as ``set`` does, look up a ``set`` as a ``frozenset``."""
    try:
        return encode_or_none(config, item)
    except (TypeError, ValueError):
        if not isinstance(item, set):
            raise
    # A subclass may override how it is iterated; ``==`` compares what it holds.
    return encode_or_none(config, cast(T, frozenset(set.__iter__(item))))


def _is_hashable(item: object) -> bool:
    try:
        hash(item)
    except TypeError:
        return False
    return True


def _succeeds(convert: Callable[[Any], Any], value: object) -> bool:
    """Return whether *convert* accepts *value* now: if so, its first error was not its own.

    A signal handler may raise in the middle of a serializer (a soft time limit). That error must
    reach the caller, and must not be taken for "this can't be serialized".
    """
    try:
        convert(value)
    except Exception:
        return False
    return True


def cause_of(error: Exception) -> Exception:
    """Return the error that a serializer of redset wrapped in *error*; else *error*."""
    cause = getattr(error.__cause__, "original", error.__cause__)
    return cause if isinstance(error, SerializerError) and isinstance(cause, Exception) else error


def scored(config: SetConfig[T], item: T, score: Any = None) -> Any:
    """Return the checked score for *item*: *score* unless it is ``None``, else the scorer's."""
    return check_score(config.name, item, config.scorer(item) if score is None else score)


def scored_all(config: SetConfig[T], items: Sequence[T], scores: Sequence[Any]) -> list[Any]:
    """Return the scores of `scored` for many items; ``None`` means that the scorer decides."""
    if config.scorer is zero and scores.count(None) == len(scores):
        return [0.0] * len(items)
    return [scored(config, item, score) for item, score in zip(items, scores, strict=True)]


def decoded(
    config: SetConfig[T], pairs: Iterable[Pair], undecodable: list[Pair] | None = None
) -> Iterator[tuple[T, float]]:
    """Yield pairs of item and score; log and omit a member that can't be deserialized."""
    for member, score in pairs:
        try:
            item = config.encoding.decode(member)
        except Exception as error:
            if _succeeds(config.encoding.decode, member):
                raise cause_of(error) from None
            _log_undecodable(config, member, error)
            if undecodable is not None:
                undecodable.append((member, score))
        else:
            yield item, score


def _log_undecodable(config: SetConfig[Any], member: bytes, error: Exception) -> None:
    """Log one line at level ERROR, and the traceback, which only shows redset, at level DEBUG."""
    serializer = config.encoding.serializer
    name = getattr(serializer, "__name__", type(serializer).__name__)
    beginning = member[:100]
    logger.error(
        "redset %r: can't deserialize %r with %s; was it written by another class or serializer? "
        "(%s)",
        *(config.label, beginning, name, described(cause_of(error))),
    )
    logger.debug(
        "redset %r: traceback of %r that can't be deserialized",
        *(config.label, beginning),
        exc_info=Foreign(error),
    )


def decoded_all(
    config: SetConfig[T], pairs: Sequence[Pair], undecodable: list[Pair] | None = None
) -> list[T]:
    """Return the items of *pairs*, except those that can't be deserialized: see `decoded`."""
    try:
        return config.encoding.decode_all([member for member, _ in pairs])
    except Exception as error:
        return _decoded_singly(config, pairs, [] if undecodable is None else undecodable, error)


def decoded_pairs(
    config: SetConfig[T], pairs: Sequence[Pair], undecodable: list[Pair] | None = None
) -> list[tuple[T, float]]:
    """Return what `decoded_all` does, with the scores."""
    undecodable = [] if undecodable is None else undecodable
    try:
        items = config.encoding.decode_all([member for member, _ in pairs])
    except Exception as error:
        found = list(decoded(config, pairs, undecodable))
        if not undecodable:
            raise cause_of(error) from None  # not the serializer's: see `_succeeds`
        return found
    return [(item, score) for item, (_, score) in zip(items, pairs, strict=True)]


def decoded_members(config: SetConfig[T], members: list[bytes]) -> list[T]:
    """Return the items of *members*; log and omit those that can't be deserialized."""
    try:
        return config.encoding.decode_all(members)
    except Exception as error:
        return _decoded_singly(config, [(member, 0.0) for member in members], [], error)


def _decoded_singly(
    config: SetConfig[T], pairs: Sequence[Pair], undecodable: list[Pair], error: Exception
) -> list[T]:
    """Decode *pairs* one by one, because at least one of them seems to be undecodable."""
    items = [item for item, _ in decoded(config, pairs, undecodable)]
    if not undecodable:
        raise cause_of(error) from None  # not the serializer's: see `_succeeds`
    return items


def chunks(
    pairs: Iterable[tuple[bytes, Any]], most: int = CHUNK_MEMBERS
) -> Iterator[list[tuple[bytes, Any]]]:
    """Cut *pairs* into lists that one command may carry; hold one of them in memory at a time."""
    chunk: list[tuple[bytes, Any]] = []
    room = CHUNK_BYTES
    for pair in pairs:
        chunk.append(pair)
        room -= len(pair[0])
        if room <= 0 or len(chunk) == most:
            yield chunk
            chunk, room = [], CHUNK_BYTES
    if chunk:
        yield chunk


class Chunk(NamedTuple):
    """Members that are sent in one command, and their scores."""

    members: list[bytes]
    scores: list[Any]


class ChunkBuilder:
    """A chunk that is not full yet."""

    def __init__(self) -> None:
        self._members: list[bytes] = []
        self._scores: list[Any] = []
        self._room = CHUNK_BYTES

    def add(self, more: Chunk) -> Iterator[Chunk]:
        """Add *more*; yield each chunk that is full."""
        size = sum(map(len, more.members))
        if size < self._room and len(self._members) + len(more.members) < CHUNK_MEMBERS:
            self._members += more.members
            self._scores += more.scores
            self._room -= size
            return
        for member, score in zip(*more, strict=True):
            self._members.append(member)
            self._scores.append(score)
            self._room -= len(member)
            if self._room <= 0 or len(self._members) == CHUNK_MEMBERS:
                yield self.flush()

    def flush(self) -> Chunk:
        """Return the chunk so far, and begin an empty one."""
        chunk = Chunk(self._members, self._scores)
        self._members, self._scores, self._room = [], [], CHUNK_BYTES
        return chunk


def read_batch(source: ItemSource) -> Plan[list[ItemBatch]]:
    """Read the next batch of *source*; ``[]`` at its end."""
    return list(islice(source, 1)) if isinstance(source, Iterator) else (yield ReadItems(source))


def each_chunk(
    source: ItemSource,
    encoded: Callable[[Sequence[T], Sequence[Any], Any], Chunk],
    send: Callable[[Chunk], Plan[None]],
) -> Plan[None]:
    """Read *source*, encode its batches and send them in chunks; read at most a batch ahead."""
    builder = ChunkBuilder()
    while batches := (yield from read_batch(source)):
        for full in builder.add(encoded(*batches[0])):
            yield from send(full)
    flush = builder.flush()
    if flush.members:
        yield from send(flush)
