"""A reader of pickles as data: it makes values and objects of given classes, and runs nothing else.

Python's own unpickler can be limited to certain names, but it can't be kept from changing the
classes that it finds, from using any amount of memory, or from nesting deeper than the C stack
holds. This reader handles only the opcodes that `PickleSerializer` writes (of protocol 5, for
trees), and refuses all others.

Time and memory are linear in the length of a pickle: an argument that would be expanded is
refused, and nothing is repeated by reference.
"""

from array import array
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import timezone
from decimal import Decimal
from fractions import Fraction
from struct import Struct
from types import MappingProxyType, MemberDescriptorType
from typing import Any

from redset._support.subclasses import static
from redset.codecs import _identity, _scalars
from redset.exceptions import InvalidValueError

_DEPTH_LIMIT = 5 * _scalars.DEPTH_LIMIT  # a set or an object takes several levels
# A constructor may iterate over a range, so a range as its argument has at most this length.
_MOST_NUMBERS = 1_000
# At most this many bits may an integer have where Python's arithmetic takes quadratic time.
_MOST_BITS = 1_024


def read(pickled: bytes, allow: tuple[type, ...]) -> Any:
    """Return the item in *pickled*; raise an exception for all except values and *allow*."""
    return _Reader(allow, pickled).read()


def named(allow: tuple[type, ...]) -> dict[tuple[str, str], Any]:
    """Return what a pickle may name, by module and name: *allow*, and makers of Python's values."""
    return {**_STANDARD, **{(cls.__module__, cls.__qualname__): cls for cls in allow}}


class _Maker:
    """A function that makes values, as a pickle names it; it is not an item itself."""

    def __init__(self, make: Callable[..., Any]) -> None:
        self.make = make


class _Reader:
    """The stack of one pickle while it is read.

    Invariants: ``depths[i]`` is how deep ``stack[i]`` is nested, at most the limit; for deeper ones
    ``hash`` and ``repr`` would overflow the C stack. Nothing below ``marks[-1]`` is popped.
    """

    def __init__(self, allow: tuple[type, ...], pickled: bytes) -> None:
        self.allow = allow
        self.names = named(allow)
        self.pickled = pickled
        self.place = 0
        self.stack: list[Any] = []
        self.depths = array("H")
        self.marks: list[int] = [0]
        self.crowds: dict[int, Counter[int]] = {}

    def read(self) -> Any:
        pickled, operations = self.pickled, _OPERATIONS
        while True:
            code = pickled[self.place]
            self.place += 1
            if code == _STOP:
                break
            operations[code](self)
        [item] = self.stack
        _refuse_makers(self.stack)
        if len(self.marks) > 1 or self.place < len(pickled):
            raise ValueError("a mark, or bytes after the end")
        return item

    def bytes(self, count: int) -> bytes:
        """Return the next *count* bytes of the pickle."""
        start, self.place = self.place, self.place + count
        if self.place > len(self.pickled):
            raise ValueError("the pickle ends too early")
        return self.pickled[start : self.place]

    def number(self, layout: Struct) -> Any:
        [number] = layout.unpack(self.bytes(layout.size))
        return number

    def push(self, value: Any, depth: int = 0) -> None:
        if depth > _DEPTH_LIMIT:
            raise _scalars.too_deep()
        self.stack.append(value)
        self.depths.append(depth)

    def pop(self, count: int) -> tuple[list[Any], int]:
        """Remove *count* values from the stack; return them, and the depth of their container."""
        start = len(self.stack) - count
        if start < self.marks[-1]:
            raise ValueError("the stack is empty")
        values, depths = self.stack[start:], self.depths[start:]
        del self.stack[start:], self.depths[start:]
        _refuse_makers(values)
        return values, max(depths, default=0) + 1

    def mark(self) -> None:
        self.marks.append(len(self.stack))

    def pop_mark(self) -> tuple[list[Any], int]:
        if len(self.marks) == 1:
            raise ValueError("no mark")
        elements = self.pop(len(self.stack) - self.marks[-1])
        self.marks.pop()
        return elements

    def pop_name(self) -> Any:
        if len(self.stack) <= self.marks[-1]:
            raise ValueError("the stack is empty")
        self.depths.pop()
        name = self.stack.pop()
        if type(name) is not _Maker and not self.is_allowed(name):
            raise ValueError("only classes can be called")
        return name

    def is_allowed(self, value: Any) -> bool:
        return any(value is cls for cls in self.allow)

    def find(self, module: str, name: str) -> None:
        if (module, name) not in self.names:
            raise ValueError(f"{module}.{name} is not allowed; pass the class in allow=[...]")
        found = self.names[module, name]
        self.push(found if self.is_allowed(found) else _Maker(found))

    def collect(self, elements: tuple[list[Any], int]) -> None:
        values, depth = elements
        self.push(tuple(values), depth)

    def call(self, operands: list[Any], depth: int) -> None:
        arguments = _of(tuple, operands[0])
        name = self.pop_name()
        if type(name) is _Maker:
            self.push(name.make(*arguments), depth)
        else:
            check_arguments(name, arguments)
            self.push(name(*arguments), depth)

    def new(self, operands: list[Any], depth: int) -> None:
        arguments, keywords = (*operands, {})[:2]
        cls = self.pop_name()
        if type(cls) is _Maker:
            raise ValueError("a value that is not made in this way")
        check_arguments(cls, (*_of(tuple, arguments), *_of(dict, keywords).values()))
        self.push(cls.__new__(cls, *arguments, **keywords), depth)

    def build(self) -> None:
        [state], depth = self.pop(1)
        [item], inner = self.pop(1)
        if not self.is_allowed(type(item)):
            raise ValueError(f"a {type(item).__name__} has no state")
        _set_state(item, state)
        self.push(item, max(depth, inner - 1))

    def fill(
        self, values: tuple[list[Any], int], kind: type, add: Callable[[Any, Any], object]
    ) -> None:
        """Add *values* to the container below them."""
        elements, depth = values
        [container], inner = self.pop(1)
        if type(container) is not kind and not self.is_allowed(type(container)):
            raise ValueError(f"a {type(container).__name__} can't be added to")
        if kind is not list:
            self.check_crowd(container, elements[::2])
        add(container, elements)
        self.push(container, max(depth, inner - 1))

    def check_crowd(self, container: Any, keys: list[Any]) -> None:
        """Raise before equal hashes among its keys make *container* take quadratic time."""
        crowd = self.crowds.get(id(container))
        if crowd is None:
            if len(container) + len(keys) <= _scalars.FEW_HASHES:
                return
            crowd = self.crowds[id(container)] = Counter(map(hash, container))
        hashes = list(map(hash, keys))
        crowd.update(hashes)
        _scalars.check_counts(crowd[number] for number in hashes)


def _refuse_makers(values: list[Any]) -> None:
    for value in values:
        if type(value) is _Maker:
            raise ValueError("a function where a value belongs")


def _of(kind: type, value: Any) -> Any:
    if type(value) is not kind:
        raise ValueError(f"expected a {kind.__name__}, got a {type(value).__name__}")
    return value


def length_of(numbers: range) -> int:
    """Return how many numbers there are, also if ``len`` overflows."""
    if numbers.step > 0:
        return max(0, (numbers.stop - numbers.start + numbers.step - 1) // numbers.step)
    return max(0, (numbers.start - numbers.stop - numbers.step - 1) // -numbers.step)


def check_range(*ends: int) -> None:
    """Raise unless the arguments of a range are short enough to be divided by each other."""
    if any(_of(int, end).bit_length() > _MOST_BITS for end in ends):
        raise InvalidValueError(f"a range may have ends of {_MOST_BITS} bits at most")


def check_arguments(cls: type, arguments: Iterable[Any]) -> None:
    """Raise if *cls* could make much from little: a range, a length, a long integer, one hash.

    The writer calls this as well, so that it writes nothing that can't be read.
    """
    fields = issubclass(cls, tuple) and cls.__new__ is not tuple.__new__  # a namedtuple
    lengths = issubclass(cls, bytes | bytearray)
    numbers = issubclass(cls, Decimal | Fraction)
    for argument in arguments:
        kind = type(argument)
        if kind is list and issubclass(cls, set | frozenset):
            _scalars.check_hashes(argument)
        if kind is range and not fields and length_of(argument) > _MOST_NUMBERS:
            raise InvalidValueError(
                f"a {cls.__name__} can't be made of a range of more than {_MOST_NUMBERS:,} numbers"
            )
        if kind is int and lengths:
            raise InvalidValueError(f"a {cls.__name__} can't be made of its length")
        if numbers and kind is int and argument.bit_length() > _scalars.MAX_FRACTION_BITS:
            raise InvalidValueError(f"a {cls.__name__} can't be made of so long an int")


def check_attributes(cls: type, state: Any) -> None:
    """Raise if an attribute in *state* would replace a method or a property of *cls*."""
    for name in _attributes_of(state)[0]:
        found = static(cls, _of(str, name))
        shadowing = callable(found) or isinstance(
            found, property | classmethod | staticmethod | MemberDescriptorType
        )
        if shadowing or (name.startswith("__") and name.endswith("__")):
            raise InvalidValueError(
                f"attribute {_scalars.shown(name)} of a {cls.__name__} would hide one of its class"
            )


def state_setter(cls: type) -> Any:
    """Return the ``__setstate__`` of *cls*, which no attribute of an instance can replace."""
    return static(cls, "__setstate__")


def _attributes_of(state: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the attributes in a state that ``object`` made: those of the dict, those of slots."""
    attributes, slots = state if type(state) is tuple else (state, None)
    return (
        _of(dict, {} if attributes is None else attributes),
        _of(dict, {} if slots is None else slots),
    )


def _set_state(item: Any, state: Any) -> None:
    cls = type(item)
    if state_setter(cls) is not None:
        cls.__setstate__(item, state)
        return
    check_attributes(cls, state)
    attributes, slots = _attributes_of(state)
    for name, value in attributes.items():
        item.__dict__[name] = value
    for name, value in slots.items():
        slot = static(cls, _of(str, name))
        if not isinstance(slot, MemberDescriptorType):
            raise ValueError(f"{name} is no slot of a {cls.__name__}")
        slot.__set__(item, value)


def _append(container: Any, values: list[Any]) -> None:
    add = type(container).append
    for value in values:
        add(container, value)


def _set_items(container: Any, values: list[Any]) -> None:
    for key, value in zip(values[::2], values[1::2], strict=True):
        container[key] = value


def _from_list(cls: type[Any]) -> Callable[..., Any]:
    """Return a maker of sets that accepts only lists: a range may have any length."""

    def make(elements: Any) -> Any:
        _scalars.check_hashes(_of(list, elements))
        return cls(elements)

    return make


def _range(*ends: Any) -> range:
    check_range(*ends)
    return range(*ends)


_STANDARD = MappingProxyType(
    {
        ("builtins", "range"): _range,
        ("builtins", "set"): _from_list(set),
        ("builtins", "frozenset"): _from_list(frozenset),
        ("datetime", "timezone"): timezone,
        (_scalars.restore.__module__, _scalars.restore.__name__): _scalars.restore,
        (_identity.made.__module__, _identity.made.__name__): _identity.made,
    }
)

_BYTE, _SHORT, _INT, _SIGNED = Struct("<B"), Struct("<H"), Struct("<I"), Struct("<i")
_LONG, _FLOAT = Struct("<Q"), Struct(">d")


def _integer(reader: _Reader, size: Struct) -> None:
    content = reader.bytes(reader.number(size))
    reader.push(int.from_bytes(content, "little", signed=True))


def _text(reader: _Reader, size: Struct) -> None:
    reader.push(reader.bytes(reader.number(size)).decode("utf-8", "surrogatepass"))


def _refuse(reader: _Reader) -> None:
    code = reader.pickled[reader.place - 1]
    raise ValueError(f"opcode {bytes([code])!r} is not allowed")


def _constant(value: Any) -> Callable[[_Reader], object]:
    def push(reader: _Reader) -> None:
        reader.stack.append(value)
        reader.depths.append(0)

    return push


def _empty(kind: type[Any]) -> Callable[[_Reader], object]:
    def push(reader: _Reader) -> None:
        reader.stack.append(kind())
        reader.depths.append(0)

    return push


_STOP = ord(".")
_KNOWN: dict[bytes, Callable[[_Reader], object]] = {
    b"\x80": lambda reader: reader.number(_BYTE),
    b"\x95": lambda reader: reader.number(_LONG),
    b"(": _Reader.mark,
    b"N": _constant(None),
    b"\x88": _constant(True),
    b"\x89": _constant(False),
    b")": _constant(()),
    b"]": _empty(list),
    b"}": _empty(dict),
    b"J": lambda reader: reader.push(reader.number(_SIGNED)),
    b"K": lambda reader: reader.push(reader.number(_BYTE)),
    b"M": lambda reader: reader.push(reader.number(_SHORT)),
    b"\x8a": lambda reader: _integer(reader, _BYTE),
    b"\x8b": lambda reader: _integer(reader, _INT),
    b"G": lambda reader: reader.push(reader.number(_FLOAT)),
    b"\x8c": lambda reader: _text(reader, _BYTE),
    b"X": lambda reader: _text(reader, _INT),
    b"\x8d": lambda reader: _text(reader, _LONG),
    b"C": lambda reader: reader.push(reader.bytes(reader.number(_BYTE))),
    b"B": lambda reader: reader.push(reader.bytes(reader.number(_INT))),
    b"\x8e": lambda reader: reader.push(reader.bytes(reader.number(_LONG))),
    b"\x96": lambda reader: reader.push(bytearray(reader.bytes(reader.number(_LONG)))),
    b"t": lambda reader: reader.collect(reader.pop_mark()),
    b"\x85": lambda reader: reader.collect(reader.pop(1)),
    b"\x86": lambda reader: reader.collect(reader.pop(2)),
    b"\x87": lambda reader: reader.collect(reader.pop(3)),
    b"a": lambda reader: reader.fill(reader.pop(1), list, _append),
    b"e": lambda reader: reader.fill(reader.pop_mark(), list, _append),
    b"s": lambda reader: reader.fill(reader.pop(2), dict, _set_items),
    b"u": lambda reader: reader.fill(reader.pop_mark(), dict, _set_items),
    b"\x93": lambda reader: reader.find(*reader.pop(2)[0]),
    b"R": lambda reader: reader.call(*reader.pop(1)),
    b"\x81": lambda reader: reader.new(*reader.pop(1)),
    b"\x92": lambda reader: reader.new(*reader.pop(2)),
    b"b": _Reader.build,
}
_OPERATIONS = [_KNOWN.get(bytes([code]), _refuse) for code in range(256)]
