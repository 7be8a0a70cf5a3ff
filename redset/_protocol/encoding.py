"""Encoding: converts items to members and back, with any kind of serializer."""

import importlib
import inspect
import json
import pickle
import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, Generic, TypeVar

from redset._support.words import shown
from redset.exceptions import InvalidTypeError, InvalidValueError, UncertainItemError

T = TypeVar("T")

# Values that most serializers can dump, tried in turn to learn whether `dumps` returns text.
PROBES: tuple[Any, ...] = ("", 0, None, (), {})

# The errors of `dumps` for an item that it can't serialize: those of redset's own serializers,
# json, msgpack and pickle. Any other error is a bug in the serializer.
_CANT_CARRY = (TypeError, ValueError, OverflowError, pickle.PicklingError)


class RawSerializer:
    """Return members as they are, so that those that the set's serializer can't read are shown."""

    def dumps(self, item: bytes) -> bytes:
        return item

    def loads(self, member: bytes) -> bytes:
        return member


class Encoding(Generic[T]):
    """Convert items to bytes and back with any object that has ``dumps`` or ``loads``.

    If ``dumps`` returns ``str``, ``loads`` is called with ``str``, also in a process that never
    dumped an item: until the first dump, a return annotation or a probe decides which it is.
    """

    def __init__(self, name: str, serializer: Any) -> None:
        self.serializer = serializer
        self._name = name
        self._dumps = (
            _sorted_json if serializer is json else getattr(serializer, "dumps", None) or str
        )
        self._loads = getattr(serializer, "loads", None)
        # Some serializers of redset can convert many items in one call, which is faster.
        self._dumps_all = getattr(serializer, "dumps_all", None)
        self._loads_all = getattr(serializer, "loads_all", None)
        # Before Python 3.14, pickle raises AttributeError for a local class.
        self.cant_carry: tuple[type[Exception], ...] = (
            (*_CANT_CARRY, AttributeError) if serializer is pickle else _CANT_CARRY
        )
        self._text: bool | None = True if self._dumps is str else _annotated_text(self._dumps)

    def encode(self, item: T) -> bytes:
        """Return the member of *item*; errors of ``dumps`` pass through."""
        member = self._dumps(item)
        if type(member) is bytes:
            self._text = False
            return member
        if isinstance(member, str):
            self._text = True
            try:
                return str.encode(member)
            except UnicodeEncodeError:
                return self._escaped(member, item)
        if isinstance(member, bytes | bytearray | memoryview):
            self._text = False
            return bytes(member)
        raise UncertainItemError(
            f"redset {shown(self._name)}: serializer.dumps must return str or bytes, "
            f"got {type(member).__name__} for {shown(item)}"
        )

    def _escaped(self, text: str, item: T) -> bytes:
        """Return the bytes from which `decode` makes *text*, which has lone surrogates.

        Bytes that are not UTF-8 are decoded so, but some of these texts are made of no bytes: their
        bytes are the UTF-8 of another text.
        """
        try:
            member = str.encode(text, "utf-8", "surrogateescape")
        except UnicodeEncodeError:
            member = b""
        if member.decode("utf-8", "surrogateescape") != text:
            raise InvalidValueError(
                f"redset {shown(self._name)}: serializer.dumps returned a text with lone "
                f"surrogates, which would come back as another text; return bytes; got "
                f"{shown(text)} for {shown(item)}"
            )
        return member

    def encode_all(self, items: Sequence[T]) -> list[bytes]:
        """Return the members of *items*; errors of ``dumps`` pass through."""
        if self._dumps_all is not None:
            return self._dumps_all(items)  # type: ignore[no-any-return]
        return list(map(self.encode, items))

    def decode(self, member: bytes) -> T:
        """Return the item of *member*; errors of ``loads`` pass through."""
        if self._text is None:
            self._text = self._probe()
        if not self._text:
            return self._loads(member)  # type: ignore[misc, no-any-return]
        text = member.decode("utf-8", "surrogateescape")
        return text if self._loads is None else self._loads(text)  # type: ignore[return-value]

    def decode_all(self, members: list[bytes]) -> list[T]:
        """Return the items of *members*; errors of ``loads`` pass through."""
        if self._loads_all is not None:
            return self._loads_all(members)  # type: ignore[no-any-return]
        if self._text is None:
            self._text = self._probe()
        if not self._text:
            return list(map(self._loads, members))  # type: ignore[arg-type]
        texts: list[Any] = [member.decode("utf-8", "surrogateescape") for member in members]
        return texts if self._loads is None else list(map(self._loads, texts))

    def same_as(self, other: "Encoding[Any]") -> bool:
        """Return whether both encode equal items as equal members; ``False`` if not known."""
        one, two = self.serializer, other.serializer
        if one is two:
            return True
        return type(one) is type(two) and hasattr(one, "__dict__") and vars(one) == vars(two)

    def _probe(self) -> bool:
        for value in PROBES:
            try:
                return isinstance(self._dumps(value), str)
            except Exception:  # noqa: S112 - a value that it can't dump tells nothing
                continue
        return True


class PicklableModule:
    """Pickles as the name of *module*, which Python's pickle refuses; unpickles by importing it."""

    def __init__(self, module: ModuleType) -> None:
        self.module = module

    def __reduce__(self) -> tuple[Any, ...]:
        name = self.module.__name__
        if sys.modules.get(name) is not self.module:
            raise InvalidTypeError(
                f"redset: a set whose serializer is the module {shown(name)} can't be pickled, as "
                "no import finds that module; pass an object with its dumps and loads"
            )
        return _imported, (name,)


def _imported(name: str) -> PicklableModule:
    return PicklableModule(importlib.import_module(name))


def _sorted_json(item: Any) -> str:
    # With the json module as the serializer, documents that differ only in the order of their keys
    # are the same item.
    return json.dumps(item, sort_keys=True)


def _annotated_text(dumps: Any) -> bool | None:
    try:
        returned = inspect.signature(dumps).return_annotation
    except (TypeError, ValueError):
        return None
    return {str: True, "str": True, bytes: False, "bytes": False}.get(returned)


def has_methods(serializer: Any) -> bool:
    """Return whether *serializer* has ``dumps`` or ``loads``."""
    return bool(_methods(serializer))


def check_serializer(name: str, serializer: Any) -> Any:
    """Return *serializer* if it has ``dumps`` or ``loads`` and they are callable; else raise."""
    methods = _methods(serializer)
    if not methods:
        raise InvalidTypeError(
            f"redset {shown(name)}: serializer must have dumps or loads, as json and pickle have, "
            f"got {shown(serializer)}"
        )
    for method, function in methods.items():
        if not callable(function):
            raise InvalidTypeError(
                f"redset {shown(name)}: serializer.{method} must be callable, got {shown(function)}"
            )
        if isinstance(serializer, type) and not _takes_one(function):
            raise InvalidTypeError(
                f"redset {shown(name)}: serializer must be an instance, got the class "
                f"{serializer.__name__}; write serializer={serializer.__name__}(…)"
            )
    return serializer


def _methods(serializer: Any) -> dict[str, Any]:
    found = {method: getattr(serializer, method, None) for method in ("dumps", "loads")}
    return {method: function for method, function in found.items() if function is not None}


def _takes_one(function: Callable[..., Any]) -> bool:
    """Return whether *function* can be called with an item alone; ``True`` if not known."""
    try:
        inspect.signature(function).bind(None)
    except TypeError:
        return False
    except ValueError:  # written in C, without a signature
        return True
    return True
