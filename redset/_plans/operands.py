"""Operands of set algebra, stored on the server or local, and destinations of results. No I/O."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import count, groupby
from secrets import token_hex
from typing import Any, Generic, TypeVar

from redset._protocol import commands
from redset._protocol.commands import Command, Operand
from redset._protocol.config import SetConfig
from redset._protocol.constants import GRACE_SECONDS, RESULT_SECONDS
from redset._protocol.encoding import Encoding
from redset._protocol.idempotency import IdempotencySlot
from redset._protocol.keys import check_name, companion, lasting_set_of, slot_of, text_of
from redset._protocol.sources import LARGE, ItemSource, chained, noticed
from redset._support.words import shown
from redset.exceptions import InvalidValueError, KeyTypeError

T = TypeVar("T")

logger = logging.getLogger("redset")

# A local operand may take this many seconds to yield one chunk of its items.
STAGED_SECONDS = 600.0

_numbers = count()
_process = token_hex(6)


@dataclass(frozen=True, slots=True)
class StoredOperand:
    """An operand on the server: its name for errors, its key, and the liveness key of a result."""

    name: str
    key: bytes
    liveness_key: bytes | None = None


@dataclass(frozen=True, slots=True)
class LocalOperand(Generic[T]):
    """An operand of local items, with scores, or with ``None`` for what the scorer returns."""

    source: ItemSource


@dataclass(frozen=True, slots=True)
class Destination:
    """The key at which a combination is stored, and its time-to-live."""

    key: bytes
    ttl: str | int
    liveness_key: bytes = b""
    # Identifies the request, which must not be executed twice. A result needs none: its key is used
    # by no other request.
    slot: IdempotencySlot | None = None


# An operand, and the arguments of the script for it.
Ready = tuple[StoredOperand | LocalOperand[Any], Operand]


def stored(config: SetConfig[Any]) -> StoredOperand:
    """Return the set as an operand of its own server."""
    return StoredOperand(config.name, config.key, config.liveness_key)


def companion_of(config: SetConfig[Any], purpose: str) -> Destination:
    """Return the companion set for *purpose*, a lasting one."""
    return Destination(companion(config.key, purpose), "none")


def new_result(config: SetConfig[Any]) -> Destination:
    """Return a new key for a result, in the same cluster slot as its left operand.

    It is named after the set that the result was made from, also if its operand is a result.
    """
    origin, purpose = lasting_set_of(config.key), f"result:{unique_word()}"
    liveness_key = companion(origin, f"{purpose}:alive")
    return Destination(companion(origin, purpose), round(RESULT_SECONDS * 1000), liveness_key)


def renew(key: bytes, liveness_key: bytes) -> list[Command[int]]:
    """Return the commands that renew a result: its liveness key, and the set, a minute longer."""
    return [
        commands.expire(liveness_key, RESULT_SECONDS),
        commands.expire(key, RESULT_SECONDS + GRACE_SECONDS),
    ]


def joined(
    operands: Sequence[StoredOperand | LocalOperand[T]],
) -> list[StoredOperand | LocalOperand[T]]:
    """Join neighbouring local operands to one, which is staged and combined only once."""
    joined: list[StoredOperand | LocalOperand[T]] = []
    for is_remote, group in groupby(operands, lambda operand: isinstance(operand, StoredOperand)):
        if is_remote:
            joined.extend(group)
        else:
            sources = [operand.source for operand in group if isinstance(operand, LocalOperand)]
            joined.append(LocalOperand(chained(sources)))
    return joined


def renewals_of(operands: Iterable[StoredOperand | LocalOperand[Any]]) -> list[Command[int]]:
    """Return the commands that renew those *operands* that are results."""
    return [
        command
        for operand in operands
        if isinstance(operand, StoredOperand) and operand.liveness_key is not None
        for command in renew(operand.key, operand.liveness_key)
    ]


def unique_word() -> str:
    """Return a word that no other call returns, in any process: letters and digits only."""
    return f"{_process}{token_hex(4)}n{next(_numbers)}"


def name_of(ready: Sequence[Ready], place: int) -> str:
    operand, _ = ready[place]
    return operand.name if isinstance(operand, StoredOperand) else "a local operand"


def stored_operands(
    operands: Sequence[StoredOperand], weights: Sequence[float] | None = None
) -> list[Operand]:
    """Return the arguments of the scripts for operands that are all on the server."""
    factors = weights or [1.0] * len(operands)
    return [
        Operand(each.key, weight, each.liveness_key)
        for each, weight in zip(operands, factors, strict=True)
    ]


def other_encoding(config: SetConfig[Any], other: SetConfig[Any]) -> Encoding[Any] | None:
    """Return the encoding of the *other* set, ``None`` if it is the same as that of this set."""
    return None if config.encoding.same_as(other.encoding) else other.encoding


def noticed_operand(
    config: SetConfig[Any], other: SetConfig[Any], source: ItemSource, why: str
) -> LocalOperand[Any]:
    """Return the items of another set as a local operand; log a warning if there are many."""

    def notice() -> None:
        logger.warning(
            "redset %r: reads all of redset %r through this process, more than %s items, as %s",
            *(config.label, other.label, f"{LARGE:,}", why),
        )

    return LocalOperand(noticed(source, notice))


def check_new_name(config: SetConfig[Any], new_name: object, own: bytes = b"") -> bytes:
    """Return the key of a set called *new_name* that the server makes of this one.

    The *own* key of the set is always accepted.
    """
    key = check_name(new_name, own)
    if config.in_cluster and slot_of(key) != slot_of(config.key):
        raise InvalidValueError(
            f"redset {shown(config.name)}: a cluster keeps {shown(new_name)} in another slot, and "
            "the server can't make that set of this one; give both names the same {tag}"
        )
    return key


def not_replaceable(config: SetConfig[Any], key: bytes) -> KeyTypeError:
    """Return the error for the *key* of a set to be made, if it holds another type."""
    return KeyTypeError(
        f"redset {shown(config.name)}: the key {shown(text_of(key))} holds another Redis type than "
        "a sorted set, and is not replaced; choose another name, or delete that key"
    )


def why_apart(config: SetConfig[Any], other: SetConfig[Any], *, cluster: bool) -> str:
    """Return the reason why no command may name both sets, for a warning."""
    if not config.encoding.same_as(other.encoding):
        return "their serializers differ"
    if cluster and slot_of(other.key) != slot_of(config.key):
        return "a cluster keeps them in different slots: names with the same {tag} share one"
    return "they are on different servers or databases"


def shares_commands(config: SetConfig[Any], other: SetConfig[Any], *, cluster: bool) -> bool:
    """Return whether one command may name both sets, if they are on one server."""
    shares_slot = not cluster or slot_of(other.key) == slot_of(config.key)
    return config.encoding.same_as(other.encoding) and shares_slot
