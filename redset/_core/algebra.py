"""Plans of set algebra: what is not on the server is staged there, then one script does the rest.

Nothing here opens a socket or awaits. A local operand travels once, in chunks, to a key that
lives for ten minutes at the most; the script combines it with the others and deletes it.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count, groupby
from secrets import token_hex
from typing import Any, Generic, TypeVar

from redset._core import commands
from redset._core.commands import FLAGS, MAX_OPERANDS, Command, Operand
from redset._core.idempotency import REPLY_TTL, IdempotencySlot
from redset._core.keys import companion, lasting_set_of, leasing_keys, moved_key, wake_channel
from redset._core.members import (
    CHUNK_BYTES,
    CHUNK_MEMBERS,
    Chunk,
    each_chunk,
    encode_all_known,
    scored,
    scored_all,
)
from redset._core.readonly import ask_reader
from redset._core.scores import no_sum
from redset._core.sources import Batch, Source, chained
from redset._core.spec import Plan, Spec
from redset._core.words import shown
from redset.exceptions import InvalidValueError, KeyTypeError, ResultExpired

T = TypeVar("T")
R = TypeVar("R")

# A local operand may take this long for one chunk of its items.
STAGED_SECONDS = 600.0
# A result that nobody uses is deleted by the server after this long, its set a minute later.
RESULT_SECONDS = 600.0
GRACE_SECONDS = 60.0

_numbers = count()
_process = token_hex(6)


@dataclass(frozen=True, slots=True)
class Remote:
    """An operand that is on the server already: its name for errors, its key, and its sign."""

    name: str
    key: bytes
    sign: bytes | None = None


@dataclass(frozen=True, slots=True)
class Local(Generic[T]):
    """An operand of which only the items are known, with scores or, for the scorer, ``None``."""

    source: Source


@dataclass(frozen=True, slots=True)
class Target:
    """Where a combination goes, and how long it lives there."""

    key: bytes
    life: str | int
    sign: bytes = b""
    # Knows the request that must not be done twice; a result needs none, as its key is its own.
    slot: IdempotencySlot | None = None


# An operand, and how the script is told of it.
Ready = tuple[Remote | Local[Any], Operand]


def new_result(spec: Spec[Any]) -> Target:
    """A key for a result: in the slot of its left operand, never used before.

    It is named after the set that it was made from, however many results lie between.
    """
    origin, purpose = lasting_set_of(spec.key), f"result:{_token()}"
    sign = companion(origin, f"{purpose}:alive")
    return Target(companion(origin, purpose), round(RESULT_SECONDS * 1000), sign)


def renew(key: bytes, sign: bytes) -> list[Command[int]]:
    """Keep a result for another while: its sign first, and the set for a minute longer."""
    return [
        commands.expire(sign, RESULT_SECONDS),
        commands.expire(key, RESULT_SECONDS + GRACE_SECONDS),
    ]


def combine(
    spec: Spec[T],
    verb: str,
    operands: Sequence[Remote | Local[T]],
    target: Target,
    *,
    conflict: str = "keep",
    weights: Sequence[float] | None = None,
) -> Plan[int]:
    """Make the combination of *operands* at *target*; give its size."""
    adds = verb in {"union", "symmetric_difference"}
    with_scores = adds or conflict != "keep"
    if weights is None and (verb == "difference" or (verb == "union" and conflict != "sum")):
        operands = _joined(operands)
    _, size = yield from _ask(
        spec, verb, operands, target, conflict, weights, strict=adds, with_scores=with_scores
    )
    return size


def _joined(operands: Sequence[Remote | Local[T]]) -> list[Remote | Local[T]]:
    """Neighbouring local operands as one, which is staged and combined only once."""
    joined: list[Remote | Local[T]] = []
    for is_remote, group in groupby(operands, lambda operand: isinstance(operand, Remote)):
        if is_remote:
            joined.extend(group)
        else:
            sources = [operand.source for operand in group if isinstance(operand, Local)]
            joined.append(Local(chained(sources)))
    return joined


def compare_stored(spec: Spec[Any], verb: str, one: Remote, other: Remote) -> Plan[bool]:
    """Answer whether *one* is a ``subset`` of *other* (or what *verb* says)."""
    named = stored_operands((one, other))
    command = commands.compare(verb, named)
    word, answer = yield from ask_reader(command, renewals((one, other)))
    check_verdict(spec, word, answer, list(zip((one, other), named, strict=True)))
    return bool(answer)


def stored_operands(
    stored: Sequence[Remote], weights: Sequence[float] | None = None
) -> list[Operand]:
    """What the scripts are told of operands that are all on the server."""
    factors = weights or [1.0] * len(stored)
    return [
        Operand(each.key, weight, each.sign) for each, weight in zip(stored, factors, strict=True)
    ]


def compare_staged(
    spec: Spec[T], verb: str, one: Remote | Local[T], other: Remote | Local[T]
) -> Plan[bool]:
    """`compare_stored` for any number of local items, which the server keeps meanwhile."""
    target = Target(companion(spec.key, "scratch:into"), "lasting")
    _, answer = yield from _ask(
        spec, verb, (one, other), target, "keep", None, strict=False, with_scores=False
    )
    return bool(answer)


def count_staged(
    spec: Spec[T], verb: str, operands: Sequence[Remote | Local[T]], limit: int = 0
) -> Plan[int]:
    """Answer how many items a combination has, without making it; up to *limit*, 0 for all.

    The server keeps any number of local items meanwhile.
    """
    target = Target(companion(spec.key, "scratch:into"), "lasting")
    if verb != "intersection":
        operands = _joined(operands)
    adds = verb == "union"
    _, size = yield from _ask(
        *(spec, verb, operands, target, "keep", None),
        strict=adds,
        with_scores=False,
        limit=limit,
    )
    return min(size, limit) if limit else size


def _ask(
    spec: Spec[T],
    verb: str,
    operands: Sequence[Remote | Local[T]],
    target: Target,
    conflict: str,
    weights: Sequence[float] | None,
    *,
    strict: bool,
    with_scores: bool,
    limit: int | None = None,
) -> Plan[tuple[str, int]]:
    """Have the script combine, compare, or with a *limit* count *operands*; give its answer."""
    # What an operand has twice meets itself as two operands' items do; in a sum it counts once.
    flag = FLAGS.get(conflict, "NX")
    folds = number_when_folded(spec, verb, operands) < len(operands)
    staging = _Staging(spec, flag, strict=strict, with_scores=with_scores)
    ready: list[Ready] = []
    try:
        for operand, weight in zip(operands, weights or [1.0] * len(operands), strict=True):
            if isinstance(operand, Remote):
                ready.append((operand, Operand(operand.key, weight, operand.sign)))
            else:
                key = yield from staging.stage(operand)
                ready.append((operand, Operand(key, weight, staged=key in staging.keys)))
        if folds:
            ready = yield from staging.fold(verb, conflict, ready)
        slot = target.slot
        once = (b"" if slot is None else slot.request_id(), REPLY_TTL)
        keys = _script_keys(spec, target)
        named = [operand for _, operand in ready]
        life, companions = _life(target, named)
        asked = (verb, conflict) if limit is None else (f"count_{verb}", str(limit))
        command = commands.algebra(keys, *asked, life, once, named, companions)
        *_, (word, number) = yield [*renewals(operands), *staging.take_waiting(), command]
    except Exception:
        if staging.sent and staging.keys:
            with suppress(Exception):  # then they run out
                yield commands.delete_all(staging.keys)
        raise
    check_verdict(spec, word, number, ready)
    return word, number


def renewals(operands: Iterable[Remote | Local[Any]]) -> list[Command[int]]:
    """What keeps those *operands* alive that are results."""
    return [
        command
        for operand in operands
        if isinstance(operand, Remote) and operand.sign is not None
        for command in renew(operand.key, operand.sign)
    ]


def check_verdict(spec: Spec[Any], word: str, number: int, ready: Sequence[Ready]) -> None:
    """Raise what the *word* of the script says is wrong, if anything is."""
    if word == "dropped":
        raise _dropped(spec)
    if word == "expired":
        raise ResultExpired(_name(ready, number))
    if word == "no number":
        raise no_sum(spec.name)
    if word == "type":
        raise KeyTypeError(
            f"redset {shown(spec.name)}: the key {shown(_name(ready, number))} holds "
            "another Redis type than a sorted set; use another set as the operand, or delete the "
            "key"
        )


def _script_keys(spec: Spec[Any], target: Target) -> list[bytes]:
    """The keys that the script wants before those of its operands."""
    sign = target.sign or companion(spec.key, "scratch:sign")
    scratch = [companion(spec.key, "scratch:1"), companion(spec.key, "scratch:2")]
    reply_key = scratch[0] if target.slot is None else target.slot.reply_key
    return [target.key, sign, *scratch, reply_key]


def _in_groups(
    values: Iterable[R], operand_of: Callable[[R], Remote | Local[Any]]
) -> Iterator[list[R]]:
    """The *values* of operands: of those that are local, neighbours that one call combines."""
    for is_local, run in groupby(values, lambda value: isinstance(operand_of(value), Local)):
        yield from map(list, commands.parts(list(run), MAX_OPERANDS if is_local else 1))


def number_when_folded(spec: Spec[Any], verb: str, operands: Sequence[Remote | Local[Any]]) -> int:
    """How many *operands* are left for the last script call; refuse more than it can name."""
    if len(operands) <= MAX_OPERANDS:
        return len(operands)
    number = len(list(_in_groups(operands, lambda operand: operand)))
    if number > MAX_OPERANDS:
        raise InvalidValueError(
            f"redset {shown(spec.name)}: {verb} of {len(operands)} sets, but one step on "
            f"the server takes {MAX_OPERANDS}; combine them in several steps"
        )
    return number


def _life(target: Target, operands: Sequence[Operand]) -> tuple[str | int, Sequence[bytes]]:
    """Say how long a set lives at *target*, and the keys of what belongs to it.

    One that takes part is only changed, and keeps its time-to-live.
    """
    if target.slot is None:
        return target.life, ()
    takes_part = any(operand.key == target.key for operand in operands)
    return "own" if takes_part else target.life, leasing_keys(target.key)


class _Staging(Generic[T]):
    """Local items on their way to the server: the last of them wait, to travel with the script."""

    def __init__(self, spec: Spec[T], flag: str | None, *, strict: bool, with_scores: bool) -> None:
        self._spec = spec
        self._flag = flag
        self._strict = strict
        self._with_scores = with_scores
        self.keys: list[bytes] = []
        self.waiting: list[Command[Any]] = []
        self.sent = False
        self._room = (CHUNK_MEMBERS, CHUNK_BYTES)
        self._renews = False

    def stage(self, operand: Local[T]) -> Plan[bytes]:
        key = self._new_key()
        kept = commands.expire(key, STAGED_SECONDS)

        def send(chunk: Chunk) -> Plan[None]:
            size = sum(map(len, chunk.members))
            begun = self.keys[-1:] == [key]
            if begun or len(chunk.members) > self._room[0] or size > self._room[1]:
                yield from self._send()
            self._room = (self._room[0] - len(chunk.members), self._room[1] - size)
            added = commands.add_all(key, *chunk, flag=self._flag)
            if begun:
                # Made anew by this chunk, the key has no time-to-live: that tells the script.
                self._renews = True
                self.waiting = [kept, *added]
            else:
                self.keys.append(key)
                self.waiting += [*added, kept]

        yield from each_chunk(operand.source, self._encoded, send)
        return key

    def fold(self, verb: str, conflict: str, ready: Sequence[Ready]) -> Plan[list[Ready]]:
        """Combine neighbours that are staged, so that one script call can name what is left."""
        yield from self._send()
        folded: list[Ready] = []
        places: list[int] = []
        signs: list[bytes] = []
        asked: list[Command[Any]] = []
        for group in _in_groups(ready, lambda pair: pair[0]):
            if len(group) == 1:
                folded += group
                continue
            key, sign = self._new_key(), self._new_key()
            target = Target(key, round(STAGED_SECONDS * 1000), sign)
            self.keys += [key, sign]
            signs.append(sign)
            places.append(len(folded))
            folded.append((group[0][0], Operand(key, staged=True)))
            keys, once = _script_keys(self._spec, target), (b"", REPLY_TTL)
            named = [operand for _, operand in group]
            asked.append(commands.algebra(keys, verb, conflict, target.life, once, named))
        replies = yield asked
        self.waiting = commands.delete_all(signs)
        for place, (word, size) in zip(places, replies, strict=True):
            check_verdict(self._spec, word, size, ready)
            if not size:  # an empty set has no key
                local, operand = folded[place]
                folded[place] = (local, Operand(operand.key))
        return folded

    def take_waiting(self) -> list[Command[Any]]:
        """Give what was not sent yet: it is sent now."""
        waiting = self.waiting
        self.sent = self.sent or bool(waiting)
        self._renews, self.waiting, self._room = False, [], (CHUNK_MEMBERS, CHUNK_BYTES)
        return waiting

    def _send(self) -> Plan[None]:
        renews = self._renews
        if waiting := self.take_waiting():
            replies = yield waiting
            if renews and not replies[0]:
                raise _dropped(self._spec)

    def _new_key(self) -> bytes:
        return companion(self._spec.key, f"staged:{_token()}")

    def _encoded(self, items: Sequence[T], scores: Sequence[Any], other: Any) -> Chunk:
        batch = Batch(items, scores, other)
        return encoded(self._spec, batch, strict=self._strict, with_scores=self._with_scores)


def encoded(spec: Spec[T], batch: Batch, *, strict: bool, with_scores: bool) -> Chunk:
    """The members of local items, with their scores.

    What the set can't hold is an error if that is to be *strict*, else a member that no set has.
    """
    items, scores, other = batch
    members: Sequence[bytes | None] = (
        spec.encoding.encode_all(items) if strict else encode_all_known(spec, items, other)
    )
    if not with_scores:
        checked = [0.0] * len(items)
    elif None not in members:
        checked = scored_all(spec, items, scores)
    else:
        checked = [
            0.0 if member is None else scored(spec, item, score)
            for member, item, score in zip(members, items, scores, strict=True)
        ]
    return Chunk([_STRANGER if each is None else each for each in members], checked)


# Stands for all items that this set can't hold, so that a comparison with a local set knows of
# them; no member is these bytes, as they are drawn anew by each process.
_STRANGER = b"redset:stranger:" + token_hex(16).encode()


def _dropped(spec: Spec[Any]) -> InvalidValueError:
    return InvalidValueError(
        f"redset {shown(spec.name)}: the items of an iterable were dropped by the server "
        f"before all had come: one chunk may take {STAGED_SECONDS:g} seconds; give a list instead"
    )


def _token() -> str:
    """A word that no other call has, in whatever process: letters and digits only."""
    return f"{_process}{token_hex(4)}n{next(_numbers)}"


def _name(ready: Sequence[Ready], place: int) -> str:
    operand, _ = ready[place]
    return operand.name if isinstance(operand, Remote) else "a local operand"


def rename(spec: Spec[T], slot: IdempotencySlot, new: bytes, sign: bytes | None) -> Plan[None]:
    """Give the set another key, with all that belongs to it."""
    keys = [spec.key, new, slot.reply_key, moved_key(spec.key)]
    keys += [*leasing_keys(spec.key), *leasing_keys(new), *([] if sign is None else [sign])]
    once = (slot.request_id(), REPLY_TTL)
    [(word, _)] = yield [commands.rename(keys, once, wake_channel(new))]
    if word == "expired":
        raise ResultExpired(spec.name)
