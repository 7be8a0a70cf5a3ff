"""Plans of set algebra: local operands are staged on the server, and one script combines all."""

from collections.abc import Iterable, Sequence
from contextlib import ExitStack, suppress
from typing import Any, TypeVar

from redset._plans.arguments import (
    check_conflict,
    check_weights,
)
from redset._plans.many import add_all, discard_all
from redset._plans.operands import (
    Destination,
    LocalOperand,
    Ready,
    StoredOperand,
    check_new_name,
    joined,
    new_result,
    not_replaceable,
    renewals_of,
    stored,
    stored_operands,
)
from redset._plans.readonly import ask_reader
from redset._plans.staging import Staging, check_verdict, number_when_folded, script_keys
from redset._protocol import commands
from redset._protocol.commands import FLAGS, Operand
from redset._protocol.config import Plan, SetConfig
from redset._protocol.idempotency import REPLY_TTL
from redset._protocol.keys import companion, leasing_keys
from redset._protocol.sources import chained

T = TypeVar("T")

AnyOperand = StoredOperand | LocalOperand[Any]


def combined(
    config: SetConfig[T],
    operation: str,
    operands: Sequence[AnyOperand],
    conflict: str,
    weights: Iterable[float] | None,
    into: str | bytes | None,
) -> Plan[Destination]:
    """Store the combination of this set and *operands*; return its destination."""
    check_conflict(config, conflict)
    everyone = [stored(config), *operands]
    factors = check_weights(config, weights, conflict, len(everyone))
    with ExitStack() as stack:
        if into is None:
            target = new_result(config)
        else:
            key = check_new_name(config, into)
            slot = stack.enter_context(config.requests.store.acquire())
            target = Destination(key, "none", slot=slot)
        yield from combine(config, operation, everyone, target, conflict=conflict, weights=factors)
    return target


def combine_own(
    config: SetConfig[T], operation: str, operands: Sequence[AnyOperand], conflict: str = "keep"
) -> Plan[None]:
    """Replace this set by its combination with *operands*."""
    check_conflict(config, conflict)
    everyone = [stored(config), *operands]
    with config.requests.store.acquire() as slot:
        target = Destination(config.key, "kept", slot=slot)
        yield from combine(config, operation, everyone, target, conflict=conflict)


def update(config: SetConfig[T], operands: Sequence[AnyOperand], conflict: str) -> Plan[None]:
    """Add the items of *operands*."""
    check_conflict(config, conflict)
    local = [operand.source for operand in operands if isinstance(operand, LocalOperand)]
    if not config.deduplicates and (conflict == "sum" or len(local) < len(operands)):
        yield from combine_own(config, "union", operands, conflict)
    else:
        yield from add_all(config, chained(local), conflict)


def difference_update(config: SetConfig[T], operands: Sequence[AnyOperand]) -> Plan[None]:
    local = [operand.source for operand in operands if isinstance(operand, LocalOperand)]
    if len(local) < len(operands):
        yield from combine_own(config, "difference", operands)
    else:
        yield from discard_all(config, chained(local))


def combine(
    config: SetConfig[T],
    operation: str,
    operands: Sequence[StoredOperand | LocalOperand[T]],
    target: Destination,
    *,
    conflict: str = "keep",
    weights: Sequence[float] | None = None,
) -> Plan[int]:
    """Store the combination of *operands* at *target*; return its size."""
    adds = operation in {"union", "symmetric_difference"}
    with_scores = adds or conflict != "keep"
    if weights is None and (
        operation == "difference" or (operation == "union" and conflict != "sum")
    ):
        operands = joined(operands)
    _, size = yield from _combine_on_server(
        config, operation, operands, target, conflict, weights, strict=adds, with_scores=with_scores
    )
    return size


def compare_stored(
    config: SetConfig[Any], operation: str, one: StoredOperand, other: StoredOperand
) -> Plan[bool]:
    """Return whether *one* is a ``subset`` of *other*, or as *operation* compares them."""
    named = stored_operands((one, other))
    command = commands.compare(operation, named)
    word, answer = yield from ask_reader(command, renewals_of((one, other)))
    check_verdict(config, word, answer, list(zip((one, other), named, strict=True)))
    return bool(answer)


def compare_staged(
    config: SetConfig[T],
    operation: str,
    one: StoredOperand | LocalOperand[T],
    other: StoredOperand | LocalOperand[T],
) -> Plan[bool]:
    """Compare as `compare_stored` does, for any number of local items, staged on the server."""
    target = Destination(companion(config.key, "scratch:into"), "none")
    _, answer = yield from _combine_on_server(
        config, operation, (one, other), target, "keep", None, strict=False, with_scores=False
    )
    return bool(answer)


def count_staged(
    config: SetConfig[T], operation: str, operands: Sequence[AnyOperand], limit: int = 0
) -> Plan[int]:
    """Return how many items a combination has, without storing it; up to *limit*, 0 for all.

    Any number of local items is staged on the server for the call.
    """
    target = Destination(companion(config.key, "scratch:into"), "none")
    if operation != "intersection":
        operands = joined(operands)
    adds = operation == "union"
    _, size = yield from _combine_on_server(
        *(config, operation, operands, target, "keep", None),
        strict=adds,
        with_scores=False,
        limit=limit,
    )
    return min(size, limit) if limit else size


def _combine_on_server(
    config: SetConfig[T],
    operation: str,
    operands: Sequence[StoredOperand | LocalOperand[T]],
    target: Destination,
    conflict: str,
    weights: Sequence[float] | None,
    *,
    strict: bool,
    with_scores: bool,
    limit: int | None = None,
) -> Plan[tuple[str, int]]:
    """Call the script to combine, compare, or with a *limit* count *operands*; return its reply."""
    # If an operand has an item twice, its scores are merged as those of two operands are; in a sum
    # the item counts once.
    flag = FLAGS.get(conflict, "NX")
    folds = number_when_folded(config, operation, operands) < len(operands)
    staging = Staging(config, flag, strict=strict, with_scores=with_scores)
    ready: list[Ready] = []
    try:
        for operand, weight in zip(operands, weights or [1.0] * len(operands), strict=True):
            if isinstance(operand, StoredOperand):
                ready.append((operand, Operand(operand.key, weight, operand.liveness_key)))
            else:
                key = yield from staging.stage(operand)
                ready.append((operand, Operand(key, weight, staged=key in staging.keys)))
        if folds:
            ready = yield from staging.fold(operation, conflict, ready)
        slot = target.slot
        request = (b"" if slot is None else slot.request_id(), REPLY_TTL)
        keys = script_keys(config, target)
        named = [operand for _, operand in ready]
        ttl, companions = _life(target, named)
        asked = (operation, conflict) if limit is None else (f"count_{operation}", str(limit))
        command = commands.algebra(keys, *asked, ttl, request, named, companions)
        *_, (word, number) = yield [*renewals_of(operands), *staging.take_waiting(), command]
    except Exception:
        if staging.sent and staging.keys:
            with suppress(Exception):  # the staged keys expire then
                yield commands.delete_all(staging.keys)
        raise
    if word == "into":
        raise not_replaceable(config, target.key)
    check_verdict(config, word, number, ready)
    return word, number


def _life(target: Destination, operands: Sequence[Operand]) -> tuple[str | int, Sequence[bytes]]:
    """Return the time-to-live of the set at *target*, and its companion keys.

    If the set is an operand too, it is only changed, and keeps its time-to-live.
    """
    if target.slot is None:
        return target.ttl, ()
    takes_part = any(operand.key == target.key for operand in operands)
    return "kept" if takes_part else target.ttl, leasing_keys(target.key)
