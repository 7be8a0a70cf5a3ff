"""The identity of an object: only the parts that its ``==`` compares are written.

Caches are left out, and so are fields that a dataclass or an attrs class doesn't compare. If ``==``
ignores anything else, the object is refused, since equal items would have several members.
"""

from __future__ import annotations

import copyreg
import sys
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from datetime import datetime, time, timezone
from decimal import Decimal
from enum import Enum
from functools import cached_property
from types import FunctionType, MemberDescriptorType, WrapperDescriptorType
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

from redset._support.subclasses import static
from redset.codecs import _bases, _scalars
from redset.codecs._fields import Field, fields_of, has_generated_eq, ignored
from redset.exceptions import UncertainItemError

Parts = tuple[Any, tuple[Any, ...], Any]

# In their own form, equal values of these types have several texts.
_SCALAR_BASES = (Decimal, datetime, time)
_GENERATED = {"_dataclass_getstate", "slots_getstate"}
_ATTRS_HASH = "_attrs_cached_hash"
_FIELDS_SET = "__pydantic_fields_set__"
# What else the state of a model of pydantic holds beside its fields.
_MODEL_PARTS = ("__pydantic_extra__", "__pydantic_private__")
# Builtin types with a `__reduce__` of their own, whose state is the attributes of a subclass.
_CONTAINERS = (set, frozenset, bytearray, deque, OrderedDict)
_REDUCES = (object.__reduce__, *(kind.__reduce__ for kind in _CONTAINERS))
_REDUCES_EX = (object.__reduce_ex__, bytearray.__reduce_ex__)
# Types whose equal instances may differ in something that comes back: module, name, what it is.
_HOLDING_MORE = (
    ("array", "array", "typecode"),
    ("pathlib", "PureWindowsPath", "upper and lower case"),
    ("gmpy2", "mpfr", "precision"),
    ("gmpy2", "mpc", "precision"),
)
# The kinds of numpy's dtypes that are kept. A datetime64 has a unit that == ignores, a longdouble
# has bytes without a meaning.
_NUMPY_KINDS = "biufcSU"
_NEVER = "can't be kept;"

# The attributes that were found to decide whether two objects of a class are equal.
_compared: WeakKeyDictionary[type, set[str]] = WeakKeyDictionary()
_comparing_all: WeakSet[type] = WeakSet()
# Whether the `==` that a class with fields defines itself ignores those with ``compare=False``.
_ignoring: WeakKeyDictionary[type, bool] = WeakKeyDictionary()


def parts_of(item: Any, function: Any, arguments: tuple[Any, ...], state: Any) -> Parts:
    """Reduce *function*, *arguments* and *state*, as pickle has them, to the parts that count."""
    cls: Any = type(item)
    if cls is timezone:
        return function, arguments[:1], state  # without its name
    _refuse_holding_more(item)
    base = _bases.base_of(item, _SCALAR_BASES)
    if base is not None and function is cls:
        scalar = _scalars.BY_CLASS[base]
        text = scalar.dumps(_bases.as_base(item, base))
        arguments = scalar.loads(text).__reduce_ex__(5)[1]
    if type(state) is dict and _FIELDS_SET in state:
        return function, arguments, _model_state(item, state)
    plain = _has_plain_state(cls)
    known = fields_of(cls) if plain else ()
    is_generated = known != () and has_generated_eq(cls)
    if is_generated:
        _check_fields(item, known)
    if known and arguments == (cls,) and _leaves_out_fields(item, known):
        return made, (cls, _compared_values(item, known)), None
    attributes: Any
    attributes, slots = state if type(state) is tuple and len(state) == 2 else (state, None)
    if type(attributes) is dict:
        attributes = _without_caches(cls, attributes, known)
        if plain:  # then Python has None if there are no attributes
            attributes = attributes or None
        state = attributes if slots is None else (attributes, slots)
    if plain and not is_generated and cls.__eq__ is not object.__eq__:
        _check_own_eq(item, function, arguments, _values(item, attributes, slots, known))
    return function, arguments, state


def _values(item: Any, attributes: Any, slots: Any, known: Iterable[Field]) -> dict[str, Any]:
    if type(attributes) is list:  # as a frozen dataclass with slots has its state
        return dict(zip([field.name for field in known], attributes, strict=True))
    return {**(attributes or {}), **(slots or {})}


def _check_own_eq(
    item: Any, function: Any, arguments: tuple[Any, ...], values: dict[str, Any]
) -> None:
    """Raise if the ``==`` of the class, which is its own or a builtin one, ignores a value."""
    cls: Any = type(item)
    if type(cls.__eq__) is WrapperDescriptorType:  # container, number: no attributes
        if values:
            raise ignored(cls, min(values))
        return
    fields: tuple[str, ...] = getattr(cls, "_fields", ())
    if isinstance(item, tuple) and len(arguments) - 1 == tuple.__len__(item) == len(fields):
        inner = dict(zip(fields, arguments[1:], strict=True))
        _check_compared(
            item, lambda changed: function(cls, *[changed[name] for name in fields]), inner
        )

    def make(changed: dict[str, Any]) -> Any:
        copy = function(*arguments)
        for name, value in changed.items():
            _set(copy, name, value)
        return copy

    _check_compared(item, make, values)


def can_be_allowed(item: object) -> bool:
    """Return whether *item* can be pickled by its class alone, and equals its copy.

    No code of the item is run for that.
    """
    kind = type(item)
    has_identity = kind.__eq__ is object.__eq__ and not isinstance(item, Enum)
    module = sys.modules.get(kind.__module__)
    is_named = getattr(module, kind.__qualname__, None) is kind
    if _is_numpy_scalar(item):  # a function makes it
        return False
    # Arrays of numpy have one in C: functions make them, and their == gives another array.
    is_own = isinstance(kind.__reduce_ex__, FunctionType) or kind.__reduce_ex__ in _REDUCES_EX
    is_plain = kind not in copyreg.dispatch_table and _uncompared_part(item) is None
    return is_named and not has_identity and is_own and is_plain


def _uncompared_part(item: object) -> str | None:
    """Return what comes back of *item* though ``==`` ignores it; ``None`` if not known."""
    for module, name, part in _HOLDING_MORE:
        kind = getattr(sys.modules.get(module), name, None)
        if isinstance(kind, type) and isinstance(item, kind):
            return part
    return None


def _refuse_holding_more(item: object) -> None:
    part = _uncompared_part(item)
    if part is not None:
        raise UncertainItemError(
            f"an item with a {type(item).__name__} can't be kept: == ignores its {part}, so that "
            f"equal items would have several members; pass another type; got {_scalars.shown(item)}"
        )


def made(cls: Any, values: dict[str, Any]) -> Any:
    """Make an object with *values* in its compared fields, and the defaults in the others."""
    known = fields_of(cls)
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
    if not _is_numpy_scalar(item):
        return item
    numpy: Any = sys.modules["numpy"]
    cls, kind = type(item), item.dtype.kind
    is_long = isinstance(item, numpy.longdouble | numpy.clongdouble)
    is_kept = kind in _NUMPY_KINDS and not is_long
    if not readable or not is_kept:
        need = "needs secret= and no allow=, since a function makes it; or"
        raise UncertainItemError(
            f"a {cls.__name__} of numpy {need if is_kept else _NEVER} "
            f"pass a value of Python's own, such as its item(); got {_scalars.shown(item)}"
        )
    if kind == "f":
        return cls(_scalars.float_value(float(item)))
    if kind == "c":
        parts = [_scalars.float_value(float(part)) for part in (item.real, item.imag)]
        return cls(complex(*parts))
    return item


def _is_numpy_scalar(item: object) -> bool:
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(item, numpy.generic)


def _has_plain_state(cls: Any) -> bool:
    """Return whether Python itself, or the decorator of *cls*, decides what its state is."""
    getstate = cls.__getstate__
    return (
        (getstate is object.__getstate__ or getattr(getstate, "__name__", "") in _GENERATED)
        and cls.__reduce_ex__ in _REDUCES_EX
        and cls.__reduce__ in _REDUCES
        and cls not in copyreg.dispatch_table
    )


def _check_fields(item: Any, known: Iterable[Field]) -> None:
    """Raise if *item* has an attribute other than its fields, which alone are compared."""
    names = {field.name for field in known} | {_ATTRS_HASH}
    for name in _without_caches(type(item), getattr(item, "__dict__", {}), known):
        if name not in names:
            raise ignored(type(item), name)


def _leaves_out_fields(item: Any, known: tuple[Field, ...]) -> bool:
    """Return whether there are fields that take no part in the ``==`` of *item*.

    If the class defines its ``==`` itself, what its fields say of that is tried, once for each
    class.
    """
    cls: Any = type(item)
    others = [field.name for field in known if not field.compared]
    if not others or has_generated_eq(cls):
        return bool(others)
    if cls in _ignoring:
        return _ignoring[cls]
    values = _field_values(item, known)

    def equals_copy(**changed: object) -> bool:
        copy = cls.__new__(cls)
        for name, value in {**values, **changed}.items():
            _set(copy, name, value)
        return _is_equal(item, copy)

    if not equals_copy():
        return False
    _ignoring[cls] = all(equals_copy(**{name: object()}) for name in others)
    return _ignoring[cls]


def _is_equal(item: Any, copy: Any) -> bool:
    try:
        return bool(item == copy)
    except Exception:  # it read a value that it can't compare
        return False


def _field_values(item: Any, known: Iterable[Field]) -> dict[str, object]:
    """Return the fields that *item* has, by name."""
    own = getattr(item, "__dict__", {})
    return {
        field.name: getattr(item, field.name)
        for field in known
        if field.name in own
        or (
            isinstance(static(type(item), field.name), MemberDescriptorType)
            and hasattr(item, field.name)
        )
    }


def _compared_values(item: Any, known: Iterable[Field]) -> dict[str, object]:
    for field in known:
        if not field.compared and field.default is None:
            raise UncertainItemError(
                f"field {field.name} of a {type(item).__name__} takes no part in its ==, so it "
                "isn't kept, and it has no default to come back with; give it one"
            )
    return _field_values(item, [field for field in known if field.compared])


def _model_state(item: Any, state: dict[str, Any]) -> dict[str, Any]:
    """Return the state of a model of pydantic, as if each of its fields had been given."""
    cls: Any = type(item)
    attributes = _without_caches(cls, state["__dict__"])
    state = {**state, "__dict__": attributes, _FIELDS_SET: set(attributes)}
    module = getattr(cls.__eq__, "__module__", None) or ""
    if module.partition(".")[0] != "pydantic":

        def make(changed: dict[str, Any]) -> Any:
            copy = cls.__new__(cls)
            parts = {name: changed.pop(name) for name in _MODEL_PARTS if name in changed}
            copy.__setstate__({**state, **parts, "__dict__": changed})
            return copy

        others = {name: state[name] for name in _MODEL_PARTS if state.get(name)}
        _check_compared(item, make, {**attributes, **others})
    return state


def _without_caches(
    cls: type, attributes: dict[str, Any], known: Iterable[Field] = ()
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


def _set(item: Any, name: str, value: object) -> None:
    """Set an attribute, and run no setter."""
    slot = static(type(item), name)
    if isinstance(slot, MemberDescriptorType):
        slot.__set__(item, value)
    else:
        item.__dict__[name] = value


def _check_compared(
    item: Any, make: Callable[[dict[str, Any]], Any], attributes: dict[str, Any]
) -> None:
    """Raise if ``==`` ignores one of *attributes*; each is tried once for each class.

    An attribute is ignored if *item* equals a copy of it that has another value there; *make* makes
    a copy of given attributes.
    """
    cls: Any = type(item)
    if cls in _comparing_all:
        return
    names = attributes.keys() - _compared.setdefault(cls, set()) - {_ATTRS_HASH}

    def equals_copy(**changed: object) -> bool:
        return _is_equal(item, make({**attributes, **changed}))

    if not names or not equals_copy():
        return
    if hasattr(item, "__dict__") and not equals_copy(**{"no attribute": None}):
        _comparing_all.add(cls)
        return
    for name in sorted(names):
        if equals_copy(**{name: object()}):
            raise ignored(cls, name)
        _compared[cls].add(name)
