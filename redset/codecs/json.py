"""JSONSerializer: documents as canonical JSON text; values that JSON would change are refused."""

import json
from math import isfinite
from typing import Any, NoReturn

from redset._support.native import native
from redset._support.words import shown
from redset.codecs import _bases, _scalars
from redset.exceptions import InvalidTypeError, InvalidValueError

_EXACT = {str, int, bool, type(None)}
_BASES = (str, int, float, list, dict, bool)
_HINT = "MsgpackSerializer() carries it"
_REGISTERED = "a MsgpackSerializer with that type registered carries it"
# The types that MessagePack carries and JSON lacks, or has in another form.
_CARRIED = (
    *(type(None), int, float, tuple, set, frozenset, bytes, bytearray),
    *(scalar.cls for scalar in _scalars.SCALARS),
)


class JSONSerializer:
    """Keep documents readable in redis-cli and in every language; key order never matters.

    >>> JSONSerializer().dumps({"b": [1, 1.0, True], "a": None})
    '{"a":null,"b":[1,1.0,true]}'

    It carries dict with str keys, list, str, int, float, bool and None, with their types: ``1``,
    ``1.0`` and ``True`` are three items; numbers of other libraries are carried as Python's. Values
    that would come back as something else are refused: tuples, other keys, nan and infinity, lone
    surrogates.
    """

    def dumps(self, item: object, /) -> str:
        """Turn *item* into compact JSON with sorted keys.

        Raises `InvalidTypeError` for types that JSON lacks, `InvalidValueError` for values of
        the right type that it lacks, and for documents nested more than 100 deep.
        """
        document = _document(item, 0)
        try:
            text = json.dumps(
                document, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":")
            )
            text.encode()
        except UnicodeEncodeError as error:
            raise InvalidValueError(f"JSON has no lone surrogates; {_HINT}") from error
        except ValueError as error:  # an integer of more digits than Python converts
            raise InvalidValueError(f"JSON can't carry the item: {error}; {_HINT}") from error
        return text

    def loads(self, member: str | bytes, /) -> Any:
        """Turn JSON, of any program, into a document that ``dumps`` would take.

        Raises `SerializerError` for anything else.
        """
        try:
            text = member if isinstance(member, str) else member.decode()
            text.encode()  # a set that decodes members leaves surrogates in place of bad bytes
            document = json.loads(text, parse_constant=_refuse_constant, parse_float=_finite)
            if len(text) > _scalars.DEPTH_LIMIT:
                _scalars.check_depth(document)
            if "\\u" in text:  # it may be a lone surrogate
                json.dumps(document, ensure_ascii=False).encode()
            return document
        except (ValueError, RecursionError) as error:
            raise _scalars.undecodable(self, member, error) from _scalars.cause(error)


def _document(item: Any, depth: int) -> object:
    """Return *item* in the form to be written, so that the same content gives the same text."""
    if depth > _scalars.DEPTH_LIMIT:
        raise _scalars.too_deep()
    kind = type(item)
    if kind in _EXACT:
        return item
    if kind is dict:
        return {
            key if type(key) is str else _key(key): _document(value, depth + 1)
            for key, value in item.items()
        }
    if kind is list:
        return [_document(value, depth + 1) for value in item]
    if kind is float:
        if not isfinite(item):
            raise InvalidValueError(f"JSON has no {shown(item)}; {_HINT}")
        return _scalars.float_value(item)
    return _document(_plain(item), depth)


def _key(key: object) -> object:
    if not isinstance(key, str):
        raise InvalidTypeError(f"a key in JSON is a str, got {_scalars.shown(key)}; {_hint(key)}")
    return _plain(key)


def _plain(item: object) -> object:
    """Return *item* as the value of JSON's types that equals it; a dict as its content."""
    base = dict if isinstance(item, dict) else _bases.base_of(item, _BASES)
    own = native(item) if base is None else _bases.as_base(item, base)
    if own is item:
        raise InvalidTypeError(
            f"JSON has no type {type(item).__qualname__}; {_hint(item)}; got {_scalars.shown(item)}"
        )
    return own


def _hint(item: object) -> str:
    """Return which serializer carries *item*, as far as its own type tells."""
    known = _bases.base_of(item, _CARRIED) is not None or native(item) is not item
    return _HINT if known else _REGISTERED


def _finite(text: str) -> float:
    number = float(text)
    if not isfinite(number):
        raise ValueError(f"{text} is more than a float holds")
    return number


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"JSON has no {name}")
