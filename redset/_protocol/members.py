"""Members: from items, many at a time, to chunks of bytes that one command may carry, and back."""

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

# One command carries at most this much: a larger one would hold up the server's other clients.
CHUNK_MEMBERS = 5_000
CHUNK_BYTES = 1 << 20

logger = logging.getLogger("redset")


def encode_or_none(config: SetConfig[T], item: T) -> bytes | None:
    """Return the member of *item*, ``None`` for one that the set can't hold and so hasn't.

    What isn't even hashable is an error, as with ``set``, and so is what may be equal to an item
    that the set can hold. A fault of ``dumps`` passes through.
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
    """`encode_or_none` for many items; `encode_alike` for those that have an *other* encoding."""
    if other is None:
        return [encode_or_none(config, item) for item in items]
    return [encode_alike(config, item, other) for item in items]


def encode_alike(config: SetConfig[T], item: T, other: Encoding[Any]) -> bytes | None:
    """Return the member of *item*, which is in a set with an *other* encoding, or ``None``.

    It is an item of both sets only if both serializers say so, so either set gives one answer. What
    one of them can't carry is no error.
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
    """`encode_or_none` for one item: a ``set`` is looked up as its ``frozenset``, as in ``set``."""
    try:
        return encode_or_none(config, item)
    except (TypeError, ValueError):
        if not isinstance(item, set):
            raise
    return encode_or_none(config, cast(T, frozenset(item)))


def _is_hashable(item: object) -> bool:
    try:
        hash(item)
    except TypeError:
        return False
    return True


def _succeeds(convert: Callable[[Any], Any], value: object) -> bool:
    """Return whether *convert* takes *value* now: then the error of a first try was not its own.

    A signal handler may raise in the middle of a serializer (a soft time limit). That must reach
    the caller, and must not pass for "this can't be serialized".
    """
    try:
        convert(value)
    except Exception:
        return False
    return True


def cause_of(error: Exception) -> Exception:
    """Return what *error* was made of, if a serializer made one of its own of it."""
    cause = getattr(error.__cause__, "original", error.__cause__)
    return cause if isinstance(error, SerializerError) and isinstance(cause, Exception) else error


def scored(config: SetConfig[T], item: T, score: Any = None) -> Any:
    """The score for *item*: the one given (0 is one), else the scorer's; checked."""
    return check_score(config.name, item, config.scorer(item) if score is None else score)


def scored_all(config: SetConfig[T], items: Sequence[T], scores: Sequence[Any]) -> list[Any]:
    """`scored` for many items; ``None`` stands for a score that is not given."""
    if config.scorer is zero and scores.count(None) == len(scores):
        return [0.0] * len(items)
    return [scored(config, item, score) for item, score in zip(items, scores, strict=True)]


def decoded(
    config: SetConfig[T], pairs: Iterable[Pair], undecodable: list[Pair] | None = None
) -> Iterator[tuple[T, float]]:
    """Pairs of item and score; a member that can't be deserialized is logged and left out."""
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
    """Log one line at level error; the traceback, which shows only this library, at level debug."""
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
    """Return the items of *pairs*, except what can't be deserialized: see `decoded`."""
    try:
        return config.encoding.decode_all([member for member, _ in pairs])
    except Exception as error:
        return _decoded_singly(config, pairs, [] if undecodable is None else undecodable, error)


def decoded_pairs(
    config: SetConfig[T], pairs: Sequence[Pair], undecodable: list[Pair] | None = None
) -> list[tuple[T, float]]:
    """`decoded_all`, with the scores."""
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
    """Return the items of *members*, except what can't be deserialized, which is logged."""
    try:
        return config.encoding.decode_all(members)
    except Exception as error:
        return _decoded_singly(config, [(member, 0.0) for member in members], [], error)


def _decoded_singly(
    config: SetConfig[T], pairs: Sequence[Pair], undecodable: list[Pair], error: Exception
) -> list[T]:
    """Go through *pairs*, of which one at least seems to be broken."""
    items = [item for item, _ in decoded(config, pairs, undecodable)]
    if not undecodable:
        raise cause_of(error) from None  # not the serializer's: see `_succeeds`
    return items


def chunks(
    pairs: Iterable[tuple[bytes, Any]], most: int = CHUNK_MEMBERS
) -> Iterator[list[tuple[bytes, Any]]]:
    """Cut *pairs* into lists that one command may carry; never holds more than one of them."""
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
    """Members that travel together, and their scores."""

    members: list[bytes]
    scores: list[Any]


class ChunkBuilder:
    """A chunk that is not full yet."""

    def __init__(self) -> None:
        self._members: list[bytes] = []
        self._scores: list[Any] = []
        self._room = CHUNK_BYTES

    def add(self, more: Chunk) -> Iterator[Chunk]:
        """Add *more*; give each chunk that is full."""
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
        """Give what there is, and begin anew."""
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
    """Have what *source* gives *encoded* and sent, a chunk at a time; read little beyond it."""
    builder = ChunkBuilder()
    while batches := (yield from read_batch(source)):
        for full in builder.add(encoded(*batches[0])):
            yield from send(full)
    flush = builder.flush()
    if flush.members:
        yield from send(flush)
