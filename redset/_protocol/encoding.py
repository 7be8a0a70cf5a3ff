"""Encoding: between an item and its member, whatever the user's serializer looks like."""

import inspect
import json
import pickle
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from redset._support.words import shown
from redset.exceptions import InvalidTypeError, UncertainItemError

T = TypeVar("T")

# Values that most serializers can dump, tried in turn to learn whether `dumps` gives text.
PROBES: tuple[Any, ...] = ("", 0, None, (), {})

# What `dumps` raises for an item that it can't carry: redset's own serializers, json, msgpack and
# pickle do. Anything else is a fault of its own.
_CANT_CARRY = (TypeError, ValueError, OverflowError, pickle.PicklingError)


class RawSerializer:
    """Gives members as they are: what a set's own serializer can't read must not hide the rest."""

    def dumps(self, item: bytes) -> bytes:
        return item

    def loads(self, member: bytes) -> bytes:
        return member


class Encoding(Generic[T]):
    """Turns items into bytes and back with any object that has ``dumps`` or ``loads``.

    A ``dumps`` that returns ``str`` is given ``str`` in ``loads``, also in a process that never
    dumped an item: until an item was dumped, a return annotation or a probe tells which it is.
    """

    def __init__(self, name: str, serializer: Any) -> None:
        self.serializer = serializer
        self._name = name
        self._dumps = (
            _sorted_json if serializer is json else getattr(serializer, "dumps", None) or str
        )
        self._loads = getattr(serializer, "loads", None)
        # Of redset's own: the same for many, where that is faster.
        self._dumps_all = getattr(serializer, "dumps_all", None)
        self._loads_all = getattr(serializer, "loads_all", None)
        # Before Python 3.14, the module says so of a local class.
        self.cant_carry: tuple[type[Exception], ...] = (
            (*_CANT_CARRY, AttributeError) if serializer is pickle else _CANT_CARRY
        )
        self._text: bool | None = True if self._dumps is str else _annotated_text(self._dumps)

    def encode(self, item: T) -> bytes:
        """Give the member of *item*; what ``dumps`` raises passes through."""
        member = self._dumps(item)
        if type(member) is bytes:
            self._text = False
            return member
        if isinstance(member, str):
            self._text = True
            return member.encode("utf-8", "surrogateescape")
        if isinstance(member, bytes | bytearray | memoryview):
            self._text = False
            return bytes(member)
        raise UncertainItemError(
            f"redset {shown(self._name)}: serializer.dumps must return str or bytes, "
            f"got {type(member).__name__} for {shown(item)}"
        )

    def encode_all(self, items: Sequence[T]) -> list[bytes]:
        """Give the members of *items*; what ``dumps`` raises for one of them passes through."""
        if self._dumps_all is not None:
            return self._dumps_all(items)  # type: ignore[no-any-return]
        return list(map(self.encode, items))

    def decode(self, member: bytes) -> T:
        """Give the item of *member*; what ``loads`` raises passes through."""
        if self._text is None:
            self._text = self._probe()
        if not self._text:
            return self._loads(member)  # type: ignore[misc, no-any-return]
        text = member.decode("utf-8", "surrogateescape")
        return text if self._loads is None else self._loads(text)  # type: ignore[return-value]

    def decode_all(self, members: list[bytes]) -> list[T]:
        """Give the items of *members*; what ``loads`` raises for one of them passes through."""
        if self._loads_all is not None:
            return self._loads_all(members)  # type: ignore[no-any-return]
        if self._text is None:
            self._text = self._probe()
        if not self._text:
            return list(map(self._loads, members))  # type: ignore[arg-type]
        texts: list[Any] = [member.decode("utf-8", "surrogateescape") for member in members]
        return texts if self._loads is None else list(map(self._loads, texts))

    def same_as(self, other: "Encoding[Any]") -> bool:
        """Say whether both turn equal items into equal members, as far as can be told."""
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


def _sorted_json(item: Any) -> str:
    # The module as a serializer: whatever the order of a document's keys, it is one item.
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
    """Give *serializer* back if it has at least one of ``dumps`` and ``loads``, to be called."""
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
    """Return whether *function* can be called with an item alone, as far as can be told."""
    try:
        inspect.signature(function).bind(None)
    except TypeError:
        return False
    except ValueError:  # written in C, without a signature
        return True
    return True
