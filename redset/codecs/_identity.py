"""The identity of an object: only the parts that its ``==`` compares are written.

Caches are left out, and so are fields that a dataclass or an attrs class doesn't compare. If ``==``
ignores anything else, the object is refused, since equal items would have several members.
"""

import copyreg
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import MISSING, fields
from datetime import datetime, time, timezone
from decimal import Decimal
from functools import cached_property
from types import FunctionType, MemberDescriptorType, WrapperDescriptorType
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary, WeakSet

from redset.codecs import _scalars
from redset.exceptions import UncertainItemError

Parts = tuple[Any, tuple[Any, ...], Any]

# In their own form, equal values of these types have several texts.
_SCALAR_BASES = (Decimal, datetime, time)
_GENERATED = {"_dataclass_getstate", "slots_getstate"}
_ATTRS_HASH = "_attrs_cached_hash"
_FIELDS_SET = "__pydantic_fields_set__"
# The kinds of numpy's dtypes that are kept. A datetime64 has a unit that == ignores, a longdouble
# has bytes without a meaning.
_NUMPY_KINDS = "biufcSU"

_known_fields: WeakKeyDictionary[type, tuple["_Field", ...]] = WeakKeyDictionary()
# The attributes that were found to decide whether two objects of a class are equal.
_compared: WeakKeyDictionary[type, set[str]] = WeakKeyDictionary()
_comparing_all: WeakSet[type] = WeakSet()


class _Field(NamedTuple):
    """A field of a dataclass or an attrs class."""

    name: str
    compared: bool
    default: Callable[[Any], object] | None


def parts_of(item: Any, function: Any, arguments: tuple[Any, ...], state: Any) -> Parts:
    """Reduce *function*, *arguments* and *state*, as pickle has them, to the parts that count."""
    cls: Any = type(item)
    if cls is timezone:
        return function, arguments[:1], state  # without its name
    base = _scalars.base_of(item, _SCALAR_BASES)
    if base is not None and function is cls:
        scalar = _scalars.BY_CLASS[base]
        arguments = scalar.loads(scalar.dumps(item)).__reduce_ex__(5)[1]
    if type(state) is dict and _FIELDS_SET in state:
        return function, arguments, _model_state(cls, state)
    plain = _has_plain_state(cls)
    known = _fields_of(cls) if plain else ()
    is_generated = known != () and _has_generated_eq(cls)
    if is_generated:
        _check_fields(item, known)
    if not all(field.compared for field in known) and arguments == (cls,):
        return made, (cls, _compared_values(item, known)), None
    attributes: Any
    attributes, slots = state if type(state) is tuple and len(state) == 2 else (state, None)
    if type(attributes) is dict:
        attributes = _without_caches(cls, attributes, known)
        if plain:  # then Python has None if there are no attributes
            attributes = attributes or None
        state = attributes if slots is None else (attributes, slots)
    if plain and not is_generated and cls.__eq__ is not object.__eq__ and state is not None:
        values = {**(attributes or {}), **(slots or {})}
        if type(cls.__eq__) is WrapperDescriptorType:  # container, number: no attributes
            raise _ignored(cls, min(values))
        _check_compared(item, function, arguments, values)
    return function, arguments, state


def made(cls: Any, values: dict[str, Any]) -> Any:
    """Make an object with *values* in its compared fields, and the defaults in the others."""
    known = _fields_of(cls)
    item = cls.__new__(cls)
    if values.keys() - {field.name for field in known if field.compared}:
        raise ValueError(f"not the fields of a {cls.__name__}")
    for name, value in values.items():
        _set(item, name, value)
    for field in known:
        if not field.compared and field.default is not None:
            _set(item, field.name, field.default(item))
    if hasattr(cls, "__attrs_attrs__") and (static(cls, _ATTRS_HASH) or hasattr(item, "__dict__")):
        _set(item, _ATTRS_HASH, None)  # not computed yet
    return item


def numpy_scalar(item: Any, *, readable: bool) -> Any:
    """Return *item*; a scalar of numpy in the one form of all equal scalars of its type."""
    numpy = sys.modules.get("numpy")
    if numpy is None or not isinstance(item, numpy.generic):
        return item
    cls, kind = type(item), item.dtype.kind
    is_long = isinstance(item, numpy.longdouble | numpy.clongdouble)
    if not readable or is_long or kind not in _NUMPY_KINDS:
        raise UncertainItemError(
            f"a {cls.__name__} of numpy can't be kept{'' if readable else ' without secret='}; "
            f"pass a value of Python's own, such as its item(); got {_scalars.shown(item)}"
        )
    if kind == "f":
        return cls(_scalars.float_value(float(item)))
    if kind == "c":
        parts = [_scalars.float_value(float(part)) for part in (item.real, item.imag)]
        return cls(complex(*parts))
    return item


def _has_plain_state(cls: Any) -> bool:
    """Return whether Python itself, or the decorator of *cls*, decides what its state is."""
    getstate = cls.__getstate__
    return (
        (getstate is object.__getstate__ or getattr(getstate, "__name__", "") in _GENERATED)
        and cls.__reduce_ex__ is object.__reduce_ex__
        and cls.__reduce__ is object.__reduce__
        and cls not in copyreg.dispatch_table
    )


def _has_generated_eq(cls: Any) -> bool:
    """Return whether dataclasses or attrs wrote the ``==`` of *cls*, so that it compares fields."""
    code = getattr(cls.__eq__, "__code__", None)
    return code is not None and code.co_filename.startswith(("<string>", "<attrs generated"))


def _fields_of(cls: Any) -> tuple[_Field, ...]:
    known = _known_fields.get(cls)
    if known is None:
        is_dataclass = hasattr(cls, "__dataclass_fields__")
        found = _dataclass_fields(cls) if is_dataclass else _attrs_fields(cls)
        known = _known_fields[cls] = tuple(found)
    return known


def _dataclass_fields(cls: Any) -> Iterator[_Field]:
    for field in fields(cls):
        compared = field.compare or cls.__eq__ is object.__eq__
        yield _Field(field.name, compared, _dataclass_default(field))


def _attrs_fields(cls: Any) -> Iterator[_Field]:
    for field in getattr(cls, "__attrs_attrs__", ()):
        if field.eq_key is not None:
            raise UncertainItemError(
                f"field {field.name} of a {cls.__name__} is compared by a key, so that equal "
                "items would have several members"
            )
        yield _Field(field.name, field.eq, _attrs_default(field.default))


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


def _check_fields(item: Any, known: Iterable[_Field]) -> None:
    """Raise if *item* has an attribute other than its fields, which alone are compared."""
    names = {field.name for field in known} | {_ATTRS_HASH}
    for name in _without_caches(type(item), getattr(item, "__dict__", {}), known):
        if name not in names:
            raise _ignored(type(item), name)


def _compared_values(item: Any, known: Iterable[_Field]) -> dict[str, object]:
    values = {}
    own = getattr(item, "__dict__", {})
    for field in known:
        if field.compared:
            is_slot = isinstance(static(type(item), field.name), MemberDescriptorType)
            if field.name in own or (is_slot and hasattr(item, field.name)):
                values[field.name] = getattr(item, field.name)
        elif field.default is None:
            raise UncertainItemError(
                f"field {field.name} of a {type(item).__name__} takes no part in its ==, so it "
                "isn't kept, and it has no default to come back with; give it one"
            )
    return values


def _model_state(cls: type, state: dict[str, Any]) -> dict[str, Any]:
    """Return the state of a model of pydantic, as if each of its fields had been given."""
    attributes = _without_caches(cls, state["__dict__"])
    return {**state, "__dict__": attributes, _FIELDS_SET: set(attributes)}


def _without_caches(
    cls: type, attributes: dict[str, Any], known: Iterable[_Field] = ()
) -> dict[str, Any]:
    """Return *attributes* without the values of cached properties and the cached hash of attrs."""
    names = {field.name for field in known}
    kept = {
        name: value
        for name, value in attributes.items()
        if name in names or not _is_cache(cls, name)
    }
    if _ATTRS_HASH in kept:
        kept[_ATTRS_HASH] = None
    return kept


def _is_cache(cls: type, name: str) -> bool:
    """Return whether *name* is a descriptor that stores its function's result in the object.

    A descriptor that sets attributes itself, or holds no function, may store data there.
    """
    found = static(cls, name)
    if isinstance(found, cached_property):
        return True
    kind = type(found)
    if not hasattr(kind, "__get__") or hasattr(kind, "__set__") or callable(found):
        return False
    return any(isinstance(held, FunctionType) for held in getattr(found, "__dict__", {}).values())


def static(cls: type, name: str) -> Any:
    """Return the attribute *name* of *cls*, without running its code."""
    for base in cls.__mro__:
        if name in vars(base):
            return vars(base)[name]
    return None


def _set(item: Any, name: str, value: object) -> None:
    """Set an attribute, and run no setter."""
    slot = static(type(item), name)
    if isinstance(slot, MemberDescriptorType):
        slot.__set__(item, value)
    else:
        item.__dict__[name] = value


def _check_compared(
    item: Any, function: Any, arguments: tuple[Any, ...], attributes: dict[str, Any]
) -> None:
    """Raise if ``==`` ignores one of *attributes*; each is tried once for each class.

    An attribute is ignored if *item* equals a copy of it that has another value there.
    """
    cls: Any = type(item)
    if cls in _comparing_all:
        return
    names = attributes.keys() - _compared.setdefault(cls, set()) - {_ATTRS_HASH}

    def equals_copy(**changed: object) -> bool:
        copy = function(*arguments)
        for name, value in {**attributes, **changed}.items():
            _set(copy, name, value)
        try:
            return bool(item == copy)
        except Exception:  # it read a value that it can't compare
            return False

    if not names or not equals_copy():
        return
    if hasattr(item, "__dict__") and not equals_copy(**{"no attribute": None}):
        _comparing_all.add(cls)
        return
    for name in sorted(names):
        if equals_copy(**{name: object()}):
            raise _ignored(cls, name)
        _compared[cls].add(name)


def _ignored(cls: type, name: str) -> UncertainItemError:
    return UncertainItemError(
        f"attribute {_scalars.shown(name)} of a {cls.__name__} takes no part in its ==, so that "
        "equal items would have several members; leave it out in __getstate__, or make it a "
        "field(compare=False) with a default, or a cached_property"
    )
