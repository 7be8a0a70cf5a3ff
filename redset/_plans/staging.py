"""Staging: send local items to the server, where a script combines them with stored sets.

A local operand is sent once, in chunks, to a key whose time-to-live is ten minutes, renewed by each
chunk; the script combines it with the others and deletes it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from secrets import token_hex
from typing import Any, Generic, TypeVar

from redset._plans.operands import (
    STAGED_SECONDS,
    Destination,
    LocalOperand,
    Ready,
    StoredOperand,
    name_of,
    unique_word,
)
from redset._protocol import commands
from redset._protocol.commands import MAX_OPERANDS, Command, Operand
from redset._protocol.config import Plan, SetConfig
from redset._protocol.idempotency import REPLY_TTL
from redset._protocol.keys import companion
from redset._protocol.members import (
    CHUNK_BYTES,
    CHUNK_MEMBERS,
    Chunk,
    each_chunk,
    encode_all_or_none,
    scored,
    scored_all,
)
from redset._protocol.scores import no_sum
from redset._protocol.sources import ItemBatch
from redset._support.words import shown
from redset.exceptions import InvalidValueError, KeyTypeError, ResultExpired

T = TypeVar("T")
R = TypeVar("R")


class Staging(Generic[T]):
    """Sends local items to the server: the last of them wait, to be sent with the script."""

    def __init__(
        self, config: SetConfig[T], flag: str | None, *, strict: bool, with_scores: bool
    ) -> None:
        self._config = config
        self._flag = flag
        self._strict = strict
        self._with_scores = with_scores
        self.keys: list[bytes] = []
        self.waiting: list[Command[Any]] = []
        self.sent = False
        self._room = (CHUNK_MEMBERS, CHUNK_BYTES)
        self._renews = False

    def stage(self, operand: LocalOperand[T]) -> Plan[bytes]:
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
                # If the key has expired, this chunk makes a new one, without a time-to-live: by
                # that the script sees that earlier chunks were dropped.
                self._renews = True
                self.waiting = [kept, *added]
            else:
                self.keys.append(key)
                self.waiting += [*added, kept]

        yield from each_chunk(operand.source, self._encoded, send)
        return key

    def fold(self, operation: str, conflict: str, ready: Sequence[Ready]) -> Plan[list[Ready]]:
        """Combine neighbouring staged operands, so that one script call can name all the rest."""
        yield from self._send()
        folded: list[Ready] = []
        places: list[int] = []
        liveness_keys: list[bytes] = []
        asked: list[Command[Any]] = []
        for group in in_groups(ready, lambda pair: pair[0]):
            if len(group) == 1:
                folded += group
                continue
            key, liveness_key = self._new_key(), self._new_key()
            target = Destination(key, round(STAGED_SECONDS * 1000), liveness_key)
            self.keys += [key, liveness_key]
            liveness_keys.append(liveness_key)
            places.append(len(folded))
            folded.append((group[0][0], Operand(key, staged=True)))
            keys, request = script_keys(self._config, target), (b"", REPLY_TTL)
            named = [operand for _, operand in group]
            asked.append(commands.algebra(keys, operation, conflict, target.ttl, request, named))
        replies = yield asked
        self.waiting = commands.delete_all(liveness_keys)
        for place, (word, size) in zip(places, replies, strict=True):
            check_verdict(self._config, word, size, ready)
            if not size:  # an empty set has no key
                local, operand = folded[place]
                folded[place] = (local, Operand(operand.key))
        return folded

    def take_waiting(self) -> list[Command[Any]]:
        """Return the commands that wait, for a caller that sends them now."""
        waiting = self.waiting
        self.sent = self.sent or bool(waiting)
        self._renews, self.waiting, self._room = False, [], (CHUNK_MEMBERS, CHUNK_BYTES)
        return waiting

    def _send(self) -> Plan[None]:
        renews = self._renews
        if waiting := self.take_waiting():
            replies = yield waiting
            if renews and not replies[0]:
                raise dropped(self._config)

    def _new_key(self) -> bytes:
        return companion(self._config.key, f"staged:{unique_word()}")

    def _encoded(self, items: Sequence[T], scores: Sequence[Any], other: Any) -> Chunk:
        batch = ItemBatch(items, scores, other)
        return encoded(self._config, batch, strict=self._strict, with_scores=self._with_scores)


def encoded(config: SetConfig[T], batch: ItemBatch, *, strict: bool, with_scores: bool) -> Chunk:
    """Return the members of local items, with their scores.

    If the set can't hold an item, that is an error with *strict*; else the item becomes
    `UNENCODABLE`, a member that no set has.
    """
    items, scores, other = batch
    members: Sequence[bytes | None] = (
        config.encoding.encode_all(items) if strict else encode_all_or_none(config, items, other)
    )
    if not with_scores:
        checked = [0.0] * len(items)
    elif None not in members:
        checked = scored_all(config, items, scores)
    else:
        checked = [
            0.0 if member is None else scored(config, item, score)
            for member, item, score in zip(members, items, scores, strict=True)
        ]
    return Chunk([UNENCODABLE if each is None else each for each in members], checked)


# Replaces all items that this set can't hold, so that a comparison with a local set counts them. No
# member has these bytes: each process draws its own at random.
UNENCODABLE = b"redset:unencodable:" + token_hex(16).encode()


def dropped(config: SetConfig[Any]) -> InvalidValueError:
    return InvalidValueError(
        f"redset {shown(config.name)}: the items of an iterable were dropped by the server "
        f"before all had come: one chunk may take {STAGED_SECONDS:g} seconds; give a list instead"
    )


def check_verdict(config: SetConfig[Any], word: str, number: int, ready: Sequence[Ready]) -> None:
    """Raise the error that the *word* of the script's reply names, if it names one."""
    if word == "dropped":
        raise dropped(config)
    if word == "expired":
        raise ResultExpired(name_of(ready, number))
    if word == "no number":
        raise no_sum(config.name)
    if word == "type":
        raise KeyTypeError(
            f"redset {shown(config.name)}: the key {shown(name_of(ready, number))} holds "
            "another Redis type than a sorted set; use another set as the operand, or delete the "
            "key"
        )


def script_keys(config: SetConfig[Any], target: Destination) -> list[bytes]:
    """Return the keys that the script takes before those of its operands."""
    liveness_key = target.liveness_key or companion(config.key, "scratch:alive")
    scratch = [companion(config.key, "scratch:1"), companion(config.key, "scratch:2")]
    reply_key = scratch[0] if target.slot is None else target.slot.reply_key
    return [target.key, liveness_key, *scratch, reply_key]


def in_groups(
    values: Iterable[R], operand_of: Callable[[R], StoredOperand | LocalOperand[Any]]
) -> Iterator[list[R]]:
    """Group the *values* of operands: neighbouring local operands that one call can combine."""
    for is_local, run in groupby(values, lambda value: isinstance(operand_of(value), LocalOperand)):
        yield from map(list, commands.parts(list(run), MAX_OPERANDS if is_local else 1))


def number_when_folded(
    config: SetConfig[Any], operation: str, operands: Sequence[StoredOperand | LocalOperand[Any]]
) -> int:
    """Return how many *operands* are left for the last script call.

    Raise ``ValueError`` if it can't name as many.
    """
    if len(operands) <= MAX_OPERANDS:
        return len(operands)
    number = len(list(in_groups(operands, lambda operand: operand)))
    if number > MAX_OPERANDS:
        raise InvalidValueError(
            f"redset {shown(config.name)}: {operation} of {len(operands)} sets, but one step on "
            f"the server takes {MAX_OPERANDS}; combine them in several steps"
        )
    return number
