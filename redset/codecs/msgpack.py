"""MsgpackSerializer: documents in MessagePack, canonical, with Python's types and the user's own.

Types that MessagePack lacks are written as extension types: codes from 64 on are redset's (the
letter of the type), those below are the user's.
"""

from collections.abc import Callable, Collection, Iterable
from datetime import datetime
from typing import Any, NamedTuple, TypeVar, cast

import msgpack

from redset._support.native import is_lookalike, native
from redset._support.words import shown
from redset.codecs import _bases, _identity, _scalars
from redset.exceptions import (
    InvalidTypeError,
    InvalidValueError,
    SerializerError,
    UncertainItemError,
)

T = TypeVar("T")

_USER_CODES = 64
_BYTEARRAY = ord("b")
_COLLECTIONS: dict[type, int] = {tuple: ord("t"), set: ord("s"), frozenset: ord("z")}
_MAKERS: dict[int, Callable[[Any], Any]] = {ord("t"): tuple, ord("s"): set, ord("z"): frozenset}
_PLAIN: dict[type, Callable[[Any], object]] = {
    float: _scalars.float_value,
    bytearray: lambda item: msgpack.ExtType(_BYTEARRAY, bytes(item)),
}
_EXACT = {str, bytes, bool, type(None)}
_KINDS: dict[type, None] = dict.fromkeys(
    [
        *(str, bytes, float, bytearray),
        *(list, tuple, set, frozenset, dict),
        *_scalars.BY_CLASS,
    ]
)
_LEAST, _MOST = -(2**63), 2**64 - 1


def _order(key: str) -> tuple[int, bytes]:
    """Return a sort key that orders text as its packed bytes, which start with the length."""
    encoded = key.encode("utf-8", "surrogatepass")
    return len(encoded), encoded


def _packed(document: object) -> bytes:
    return cast(bytes, msgpack.packb(document, unicode_errors="surrogatepass"))


def _atom(item: Any) -> object:
    """Return a scalar in a type that MessagePack has."""
    kind = type(item)
    if kind in _EXACT or (kind is int and _LEAST <= item <= _MOST):
        return item
    if kind in _PLAIN:
        return _PLAIN[kind](item)
    scalar = _scalars.BY_CLASS[kind]
    text = _scalars.instant_text if kind is datetime else scalar.dumps
    return msgpack.ExtType(ord(scalar.tag), text(item).encode())


class Extension(NamedTuple):
    """A type of the user: its code, and the functions to and from a document."""

    code: int
    dumps: Callable[[Any], object]
    loads: Callable[[Any], Any]


class _Held:
    """The bytes of a member, or of an extension in it, until they are taken.

    Otherwise nested extensions would hold a copy of the innermost bytes at each level.
    """

    __slots__ = ("_content", "code")

    def __init__(self, content: bytes, code: int = 0) -> None:
        self._content = content
        self.code = code

    def taken(self) -> bytes:
        content, self._content = self._content, b""
        return content


_EMPTY_ARRAY = b"\x90"
_EMPTY = {kind: msgpack.ExtType(code, _EMPTY_ARRAY) for kind, code in _COLLECTIONS.items()}
_TO_RESTORE = {_Held, list, dict}
_SCALARS = {ord(scalar.tag): scalar.loads for scalar in _scalars.SCALARS}


class MsgpackSerializer:
    """Keep documents of Python values compactly; the same content is the same item.

    >>> documents = MsgpackSerializer()
    >>> documents.loads(documents.dumps({(1, "a"): [1, 1.0, True, {2}]}))
    {(1, 'a'): [1, 1.0, True, {2}]}

    It carries dict with keys of any hashable kind, list, tuple, set, frozenset, str, bytes, int of
    any size, float, bool, None, complex, Decimal, Fraction, datetime, date, time, timedelta and
    UUID, nested up to 100 deep, and the types given to `register`. Types stay: ``1``, ``1.0`` and
    ``True`` are three items, a tuple is not a list. The order of keys and of sets never matters,
    nor does the time zone of an aware time, which comes back in UTC. A datetime always keeps its
    instant; if its zone has the time twice, it keeps its zone and its ``fold`` too. Numbers of
    other libraries and scalars of numpy are carried as the value of Python's own that equals them.

    Args:
        types: ``(cls, code, dumps, loads)`` for each type to register.

    """

    def __init__(
        self,
        types: Iterable[tuple[type, int, Callable[[Any], object], Callable[[Any], Any]]] = (),
    ) -> None:
        self._by_class: dict[type, Extension] = {}
        self._by_code: dict[int, Callable[[Any], Any]] = {}
        for cls, code, dumps, loads in types:
            self.register(cls, code, dumps, loads)

    def register(
        self,
        cls: type[T],
        code: int,
        dumps: Callable[[T], object],
        loads: Callable[[Any], T],
    ) -> None:
        """Carry instances of *cls* too, in every process under the same *code*.

        Args:
            cls: exactly this class, not its subclasses.
            code: 0 to 63, one for each class.
            dumps: returns a document, which may hold registered types; equal documents for
                equal objects.
            loads: makes the object from that document.

        Raises `InvalidTypeError` if *cls* is not a class, and `InvalidValueError` if the code or
        the class is taken, or the code out of range.

        """
        if not isinstance(cls, type):
            raise InvalidTypeError(f"only a class can be registered, got {shown(cls)}")
        if code not in range(_USER_CODES):
            raise InvalidValueError(
                f"the code of {cls.__name__} must be 0 to 63, got {shown(code)}"
            )
        if code in self._by_code or cls in self._by_class:
            raise InvalidValueError(f"{cls.__name__} or code {code} is registered already")
        self._add(cls, Extension(code, dumps, loads))

    def _add(self, cls: type, extension: Extension) -> None:
        self._by_class[cls] = extension
        self._by_code[extension.code] = extension.loads

    def dumps(self, item: object, /) -> bytes:
        """Turn *item* into MessagePack with sorted keys.

        Raises `InvalidTypeError` for a type that is not registered, `InvalidValueError` for
        documents nested more than 100 deep.
        """
        return self._pack(item, 0)

    def loads(self, member: str | bytes, /) -> Any:
        """Turn MessagePack, of any program, into a document that ``dumps`` would take.

        Raises `SerializerError` for anything else.
        """
        try:
            return self._unpack(_Held(_scalars.as_bytes(self, member)), 0)
        except SerializerError:
            raise
        except Exception as error:  # any error that foreign bytes, or the user's loads, cause
            raise _scalars.undecodable(self, member, error) from _scalars.cause(error)

    def _pack(self, item: object, depth: int) -> bytes:
        return _packed(self._document(item, depth))

    def _document(self, item: Any, depth: int) -> object:
        """Return *item* in the types that MessagePack has, and in canonical order."""
        if depth > _scalars.DEPTH_LIMIT:
            raise _scalars.too_deep()
        extension = self._by_class.get(type(item))
        if extension is not None:
            payload = self._pack(extension.dumps(item), depth + 1)
            return msgpack.ExtType(extension.code, payload)
        if type(item) in _EXACT:
            return item
        if type(item) not in _KINDS:
            # An instance of a subclass, such as an IntEnum, is packed as its base type. A dict is
            # its content, also if its `==` compares the order of its keys.
            base = dict if isinstance(item, dict) else _bases.base_of(item, _KINDS)
            if base is None:
                return self._foreign(item, depth)
            item = _bases.as_base(item, base)
        kind = type(item)
        if kind is list:
            return [self._document(element, depth + 1) for element in item]
        if kind in _COLLECTIONS:
            return self._collection(item, kind, depth)
        return self._map(item, depth) if kind is dict else _atom(item)

    def _foreign(self, item: object, depth: int) -> object:
        own = native(item)
        if own is item:
            raise self._refusal(item)
        return self._document(own, depth)

    def _refusal(self, item: object) -> InvalidTypeError:
        name = type(item).__qualname__
        refusal = UncertainItemError if is_lookalike(item, tuple(_KINDS)) else InvalidTypeError
        words = f"MsgpackSerializer has no type {name}; register it"
        if _identity.can_be_allowed(item):
            words += f", or use PickleSerializer(allow=[{name}])"
        return refusal(f"{words}; got {_scalars.shown(item)}")

    def _collection(self, item: Collection[Any], kind: type, depth: int) -> object:
        if not item:
            return _EMPTY[kind]
        code = _COLLECTIONS[kind]
        if kind is tuple:
            row = [self._document(element, depth + 1) for element in item]
            return msgpack.ExtType(code, _packed(row))
        _scalars.check_hashes(item)
        pack = msgpack.Packer(unicode_errors="surrogatepass").pack
        packed = {pack(self._document(element, depth + 1)) for element in item}
        elements: list[bytes] = sorted(packed)
        header: bytes = msgpack.Packer().pack_array_header(len(elements))
        return msgpack.ExtType(code, header + b"".join(elements))

    def _map(self, item: dict[Any, Any], depth: int) -> dict[Any, object]:
        if all(type(key) is str for key in item):
            return {key: self._document(item[key], depth + 1) for key in sorted(item, key=_order)}
        _scalars.check_hashes(item.keys())
        pack = msgpack.Packer(unicode_errors="surrogatepass").pack
        documents = (
            (self._document(key, depth + 1), self._document(value, depth + 1))
            for key, value in item.items()
        )
        pairs = {pack(key): (key, value) for key, value in documents}
        document = dict(pairs[key] for key in sorted(pairs))
        if len(document) != len(item):
            raise InvalidValueError(f"two keys of a document are both nan: {_scalars.shown(item)}")
        return document

    def _unpack(self, held: _Held, depth: int) -> Any:
        """Unpack extensions one after the other: nested calls would use up the C stack."""
        if depth > _scalars.DEPTH_LIMIT:
            raise _scalars.too_deep()
        extensions: list[int] = []

        def keep(code: int, payload: bytes) -> Any:
            if payload == _EMPTY_ARRAY and code in _MAKERS:
                return _MAKERS[code](())
            extensions.append(code)
            return _Held(payload, code)

        member = held.taken()
        document = msgpack.unpackb(
            member,
            strict_map_key=False,
            unicode_errors="surrogatepass",
            timestamp=3,
            ext_hook=keep,
        )
        if not extensions:
            if depth + len(member) > _scalars.DEPTH_LIMIT:
                _scalars.check_depth(document, depth)
            return document
        del member
        return self._restored(document, depth)

    def _restored(self, document: Any, depth: int) -> Any:
        if depth > _scalars.DEPTH_LIMIT:
            raise _scalars.too_deep()
        kind = type(document)
        if kind is _Held:
            loads = _SCALARS.get(document.code)
            if loads is not None:
                return loads(document.taken().decode("ascii"))
            return self._of_extension(document, depth)
        if kind is list:
            depth += 1
            if document and depth > _scalars.DEPTH_LIMIT:
                raise _scalars.too_deep()
            return [
                self._restored(each, depth) if type(each) in _TO_RESTORE else each
                for each in document
            ]
        if kind is dict:
            pairs = [
                (self._restored(key, depth + 1), self._restored(value, depth + 1))
                for key, value in document.items()
            ]
            if len(pairs) > _scalars.FEW_HASHES:
                _scalars.check_hashes([key for key, _ in pairs])
            return dict(pairs)
        return document

    def _of_extension(self, held: _Held, depth: int) -> Any:
        code = held.code
        if code in self._by_code:
            return self._by_code[code](self._unpack(held, depth + 1))
        if code in _MAKERS:
            elements = self._unpack(held, depth)
            if not isinstance(elements, list):
                raise ValueError("a collection that is no array")
            if _MAKERS[code] is not tuple:
                _scalars.check_hashes(elements)
            return _MAKERS[code](elements)
        if code == _BYTEARRAY:
            return bytearray(held.taken())
        raise ValueError(f"extension type {code} is not registered")
