# Generated from redset/asyncio/_methods/operands.py: change that, then `make generate`.
"""Operands: the other sets and iterables that the methods of a set are given."""

from collections.abc import Iterable
from typing import Any, TypeVar

from redset._methods.handle import SetHandle
from redset._plans.operands import (
    LocalOperand,
    StoredOperand,
    noticed_operand,
    other_encoding,
    why_apart,
)
from redset._protocol.sources import scored, unscored_any
from redset._support.words import shown
from redset._transport.runner import Runner
from redset.base import BaseSet
from redset.exceptions import InvalidTypeError

T = TypeVar("T")

# The operands of a set: any iterable.
Items = Iterable[T]


def sought(handle: SetHandle[Any], item: BaseSet[Any]) -> set[Any]:
    """Return the value that *item*, a set of redset, is looked up as: the ``set`` of its items."""
    if not isinstance(item, SetHandle):
        raise _of_the_other_surface(handle.name, item)
    return set(item)


def operands_of(
    runner: Runner[Any], others: Iterable[Items[Any]], *, travel: bool = False
) -> list[StoredOperand | LocalOperand[Any]]:
    """Return *others* as operands; if they *travel*, members that are refused are left out."""
    if not travel or not runner.config.deduplicates:
        return [operand_of(runner, other) for other in others]
    why = "unique= may refuse some of them"
    return [
        _travelling(runner, other, why) if isinstance(other, SetHandle) else _local(runner, other)
        for other in others
    ]


def operand_of(runner: Runner[Any], other: Items[Any]) -> StoredOperand | LocalOperand[Any]:
    """Return *other* as an operand: stored on the server, or read item by item."""
    if not isinstance(other, SetHandle):
        return _local(runner, other)
    found = runner.stored_with(other._runner)
    if found is not None:
        return found
    cluster = runner.connection.is_cluster
    return _travelling(
        runner, other, why_apart(runner.config, other._runner.config, cluster=cluster)
    )


def _local(runner: Runner[Any], other: Items[Any]) -> LocalOperand[Any]:
    if isinstance(other, BaseSet):
        raise _of_the_other_surface(runner.config.name, other)
    return LocalOperand(unscored_any(other))


def _of_the_other_surface(name: str, other: BaseSet[Any]) -> InvalidTypeError:
    return InvalidTypeError(
        f"redset {shown(name)}: {shown(other)} is a set of redset.asyncio, "
        "which has to be awaited; make it with the class of that name in redset"
    )


def _travelling(runner: Runner[Any], other: SetHandle[Any], why: str) -> LocalOperand[Any]:
    """Return an operand of the scored items of another set, which are read into this process."""
    config, theirs = runner.config, other._runner.config
    source = scored(other.items(), other_encoding(config, theirs))
    return noticed_operand(config, theirs, source, why)
