"""A reader of pickles as data: it makes values and objects of given classes, and runs nothing else.

Python's own unpickler can be told which names to find, but not to leave the classes that it found
unchanged, to stay within memory, or to nest no deeper than the C stack holds. This one has
an opcode or refuses it. It knows protocols 2 to 5 as far as ``pickle.dumps`` needs them for trees.
"""

import pickletools
from collections.abc import Callable
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from types import MappingProxyType
from typing import Any
from uuid import UUID

from redset.codecs import _scalars

_MARK = object()
_DEPTH_LIMIT = 5 * _scalars.DEPTH_LIMIT  # a set, or an object, takes more levels than it shows
# Without UUID, which is memoized before its value is there.
_SHAREABLE = {str, bytes, float, timezone, *_scalars.BY_CLASS} - {UUID}


def read(pickled: bytes, allow: tuple[type, ...]) -> Any:
    """The item in *pickled*; any exception if it holds anything but values and *allow*."""
    return _Reader(allow).read(pickled)


def named(allow: tuple[type, ...]) -> dict[tuple[str, str], Any]:
    """What a pickle may name, by module and name: the standard value types and *allow*."""
    return {**_STANDARD, **{(cls.__module__, cls.__qualname__): cls for cls in allow}}


class _Reader:
    """The stack of one pickle while it is read.

    Invariant: ``depths[i]`` is how deep ``stack[i]`` is nested, at most the limit; for deeper ones
    ``hash`` and ``repr`` would overflow the C stack.
    """

    def __init__(self, allow: tuple[type, ...]) -> None:
        self.allow = allow
        self.names = named(allow)
        self.stack: list[Any] = []
        self.depths: list[int] = []
        self.memo: dict[int, Any] = {}

    def read(self, pickled: bytes) -> Any:
        for opcode, argument, _ in pickletools.genops(pickled):
            if opcode.name in _LITERALS:
                self.push(argument)
            elif opcode.name in _OPERATIONS:
                _OPERATIONS[opcode.name](self, argument)
            else:
                raise ValueError(f"opcode {opcode.name} is not allowed")
        [item] = self.stack
        return self.data(item)

    def push(self, value: Any, depth: int = 0) -> None:
        if depth > _DEPTH_LIMIT:
            raise _scalars.too_deep()
        self.stack.append(value)
        self.depths.append(depth)

    def pop(self, count: int) -> tuple[list[Any], int]:
        """Take *count* values off the stack; they, and the depth of what is made of them."""
        start = len(self.stack) - count
        if start < 0:
            raise ValueError("the stack is empty")
        values, depths = self.stack[start:], self.depths[start:]
        del self.stack[start:], self.depths[start:]
        return [self.data(value) for value in values], max(depths, default=0) + 1

    def pop_mark(self) -> tuple[list[Any], int]:
        for count, value in enumerate(reversed(self.stack)):
            if value is _MARK:
                taken = self.pop(count)
                del self.stack[-1], self.depths[-1]
                return taken
        raise ValueError("no mark")

    def data(self, value: Any) -> Any:
        if value is _MARK or any(value is each for each in _STANDARD.values()):
            raise ValueError("a function or a mark where a value belongs")
        return value

    def is_name(self, value: Any) -> bool:
        return any(value is each for each in self.names.values())

    def pop_name(self) -> Any:
        if not self.stack or not self.is_name(self.stack[-1]):
            raise ValueError("only classes can be called")
        self.depths.pop()
        return self.stack.pop()

    def find(self, module: str, name: str) -> None:
        if (module, name) not in self.names:
            raise ValueError(f"{module}.{name} is not allowed; pass the class in allow=[...]")
        self.push(self.names[module, name])

    def collect(self, kind: type[Any], elements: tuple[list[Any], int]) -> None:
        values, depth = elements
        self.push(kind(values), depth)

    def call(self, operands: list[Any], depth: int) -> None:
        [arguments] = operands
        self.push(self.pop_name()(*_of(tuple, arguments)), depth)

    def new(self, operands: list[Any], depth: int) -> None:
        arguments, keywords = (*operands, {})[:2]
        cls = self.pop_name()
        if cls is _uuid:
            self.push(UUID(int=0), depth)  # its value comes as its state
        elif cls in self.allow:
            item = cls.__new__(cls, *_of(tuple, arguments), **_of(dict, keywords))
            self.push(item, depth)
        else:
            raise ValueError("a value that is not made in this way")

    def build(self) -> None:
        [state], depth = self.pop(1)
        [item], inner = self.pop(1)
        if type(item) is UUID:
            item = UUID(int=state["int"])
        elif type(item) in self.allow:
            _set_state(item, state)
        else:
            raise ValueError(f"{type(item).__name__} has no state")
        self.push(item, max(depth, inner - 1))

    def fill(self, values: tuple[list[Any], int], kind: type, add: Callable[..., Any]) -> None:
        """Add *values* to the container below them."""
        elements, depth = values
        [container], inner = self.pop(1)
        if not isinstance(container, kind) and type(container) not in self.allow:
            raise ValueError(f"{type(container).__name__} can't be added to")
        add(container, elements)
        self.push(container, max(depth, inner - 1))

    def remember(self, index: int | None) -> None:
        value = self.stack[-1]
        self.memo[len(self.memo) if index is None else index] = value

    def recall(self, index: int) -> None:
        value = self.memo[index]
        # A container in two places could be hashed, or printed, exponentially often.
        if type(value) not in _SHAREABLE and not self.is_name(value):
            raise ValueError(f"a {type(value).__name__} in two places")
        self.push(value)


def _of(kind: type, value: Any) -> Any:
    if type(value) is not kind:
        raise ValueError(f"expected a {kind.__name__}, got {type(value).__name__}")
    return value


def _set_state(item: Any, state: Any) -> None:
    set_state = getattr(item, "__setstate__", None)
    if set_state is not None:
        set_state(state)
        return
    attributes, slots = state if type(state) is tuple else (state, None)
    for name, value in _of(dict, attributes or {}).items():
        item.__dict__[_of(str, name)] = value
    for name, value in _of(dict, slots or {}).items():
        if _of(str, name).startswith("__"):
            raise ValueError(f"{name} is not for a pickle to set")
        object.__setattr__(item, name, value)


def _append(container: Any, values: list[Any]) -> None:
    for value in values:
        container.append(value)


def _set_items(container: Any, values: list[Any]) -> None:
    for key, value in zip(values[::2], values[1::2], strict=True):
        container[key] = value


def _add(container: Any, values: list[Any]) -> None:
    for value in values:
        container.add(value)


def _checked(cls: type[Any]) -> Callable[..., Any]:
    """A maker of dates and times: the constructor takes bytes of a pickle without a check."""
    return lambda *arguments: cls(*arguments).replace()


def _from_list(cls: type[Any]) -> Callable[..., Any]:
    """A maker of sets that never walks through a range of any length."""
    return lambda elements: cls(_of(list, elements))


def _fraction(*parts: Any) -> Fraction:
    """A Fraction of two integers; of a text it could be 10 to any power."""
    if len(parts) == 1:
        parts = tuple(int(part) for part in f"{_of(str, parts[0])}/1".split("/")[:2])
    return Fraction(*(_of(int, part) for part in parts))


def _bytearray(content: Any = b"", encoding: str = "") -> bytearray:
    """A bytearray of the given bytes; of a number it would be zeros of any length."""
    return bytearray(content.encode("latin-1") if encoding else _of(bytes, content))


def _uuid() -> None:
    """The name of UUID in a pickle, never called: `_Reader.new` makes it."""


_STANDARD = MappingProxyType(
    {
        ("builtins", "complex"): complex,
        ("builtins", "range"): range,
        ("builtins", "bytearray"): _bytearray,
        ("builtins", "set"): _from_list(set),
        ("builtins", "frozenset"): _from_list(frozenset),
        ("datetime", "datetime"): _checked(datetime),
        ("datetime", "date"): _checked(date),
        ("datetime", "time"): _checked(time),
        ("datetime", "timedelta"): timedelta,
        ("datetime", "timezone"): timezone,
        ("decimal", "Decimal"): Decimal,
        ("fractions", "Fraction"): _fraction,
        ("uuid", "UUID"): _uuid,
        (_scalars.restore.__module__, _scalars.restore.__name__): _scalars.restore,
    }
)

_LITERALS = frozenset(
    [
        "BININT",
        "BININT1",
        "BININT2",
        "LONG1",
        "LONG4",
        "BINFLOAT",
        "BINUNICODE",
        "SHORT_BINUNICODE",
        "BINUNICODE8",
        "BINBYTES",
        "SHORT_BINBYTES",
        "BINBYTES8",
        "BYTEARRAY8",
    ]
)

_OPERATIONS: dict[str, Callable[[_Reader, Any], object]] = {
    "PROTO": lambda reader, version: None,
    "FRAME": lambda reader, length: None,
    "STOP": lambda reader, _: None,
    "MARK": lambda reader, _: reader.push(_MARK),
    "NONE": lambda reader, _: reader.push(None),
    "NEWTRUE": lambda reader, _: reader.push(True),
    "NEWFALSE": lambda reader, _: reader.push(False),
    "EMPTY_TUPLE": lambda reader, _: reader.push(()),
    "EMPTY_LIST": lambda reader, _: reader.push([]),
    "EMPTY_DICT": lambda reader, _: reader.push({}),
    "EMPTY_SET": lambda reader, _: reader.push(set()),
    "TUPLE": lambda reader, _: reader.collect(tuple, reader.pop_mark()),
    "TUPLE1": lambda reader, _: reader.collect(tuple, reader.pop(1)),
    "TUPLE2": lambda reader, _: reader.collect(tuple, reader.pop(2)),
    "TUPLE3": lambda reader, _: reader.collect(tuple, reader.pop(3)),
    "FROZENSET": lambda reader, _: reader.collect(frozenset, reader.pop_mark()),
    "APPEND": lambda reader, _: reader.fill(reader.pop(1), list, _append),
    "APPENDS": lambda reader, _: reader.fill(reader.pop_mark(), list, _append),
    "SETITEM": lambda reader, _: reader.fill(reader.pop(2), dict, _set_items),
    "SETITEMS": lambda reader, _: reader.fill(reader.pop_mark(), dict, _set_items),
    "ADDITEMS": lambda reader, _: reader.fill(reader.pop_mark(), set, _add),
    "MEMOIZE": lambda reader, _: reader.remember(None),
    "BINPUT": lambda reader, index: reader.remember(index),
    "LONG_BINPUT": lambda reader, index: reader.remember(index),
    "BINGET": lambda reader, index: reader.recall(index),
    "LONG_BINGET": lambda reader, index: reader.recall(index),
    "GLOBAL": lambda reader, names: reader.find(*names.split(" ", 1)),
    "STACK_GLOBAL": lambda reader, _: reader.find(*reader.pop(2)[0]),
    "REDUCE": lambda reader, _: reader.call(*reader.pop(1)),
    "NEWOBJ": lambda reader, _: reader.new(*reader.pop(1)),
    "NEWOBJ_EX": lambda reader, _: reader.new(*reader.pop(2)),
    "BUILD": lambda reader, _: reader.build(),
}
