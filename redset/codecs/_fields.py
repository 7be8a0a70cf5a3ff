"""The fields of dataclasses and attrs classes, and which of them ``==`` compares. No trials."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import MISSING, fields
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from redset.codecs import _scalars
from redset.exceptions import UncertainItemError


class Field(NamedTuple):
    """A field of a dataclass or an attrs class."""

    name: str
    compared: bool
    default: Callable[[Any], object] | None


_known_fields: WeakKeyDictionary[type, tuple[Field, ...]] = WeakKeyDictionary()


def has_generated_eq(cls: Any) -> bool:
    """Return whether dataclasses or attrs wrote the ``==`` of *cls*, so that it compares fields."""
    code = getattr(cls.__eq__, "__code__", None)
    return code is not None and (
        code.co_filename.startswith("<attrs generated")
        or code.co_qualname.startswith("__create_fn__.")  # by dataclasses
    )


def fields_of(cls: Any) -> tuple[Field, ...]:
    """Return the fields of *cls*, and whether its ``==`` compares them.

    An ``==`` that is inherited compares only the fields of the class that it was written for.
    """
    known = _known_fields.get(cls)
    if known is None:
        known = _own_fields(cls)
        owner = next(base for base in cls.__mro__ if "__eq__" in vars(base))
        if owner is object:
            known = tuple(field._replace(compared=True) for field in known)
        elif owner is not cls and known and has_generated_eq(cls):
            there = {field.name: field.compared for field in _own_fields(owner)}
            for field in known:
                if field.compared and field.name not in there:
                    raise ignored(cls, field.name)
            known = tuple(field._replace(compared=there.get(field.name, False)) for field in known)
        _known_fields[cls] = known
    return known


def _own_fields(cls: Any) -> tuple[Field, ...]:
    is_dataclass = hasattr(cls, "__dataclass_fields__")
    return tuple(_dataclass_fields(cls) if is_dataclass else _attrs_fields(cls))


def _dataclass_fields(cls: Any) -> Iterator[Field]:
    for field in fields(cls):
        yield Field(field.name, field.compare, _dataclass_default(field))


def _attrs_fields(cls: Any) -> Iterator[Field]:
    for field in getattr(cls, "__attrs_attrs__", ()):
        if field.eq_key is not None:
            raise UncertainItemError(
                f"field {field.name} of a {cls.__name__} is compared by a key, so that equal "
                "items would have several members"
            )
        yield Field(field.name, field.eq, _attrs_default(field.default))


def _dataclass_default(field: Any) -> Callable[[Any], object] | None:
    if field.default is not MISSING:
        return lambda item: field.default
    if field.default_factory is not MISSING:
        return lambda item: field.default_factory()
    return None


def _attrs_default(default: Any) -> Callable[[Any], object] | None:
    attr: Any = sys.modules["attr"]
    if isinstance(default, attr.Factory):
        return lambda item: default.factory(item) if default.takes_self else default.factory()
    return None if default is attr.NOTHING else lambda item: default


def ignored(cls: type, name: str) -> UncertainItemError:
    return UncertainItemError(
        f"attribute {_scalars.shown(name)} of a {cls.__name__} takes no part in its ==, so that "
        "equal items would have several members; leave it out in __getstate__, or make it a "
        "field(compare=False) with a default, or a cached_property"
    )
