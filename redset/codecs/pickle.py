"""PickleSerializer: objects as canonical pickles, read back without trusting the server.

Without a secret, a pickle is never passed to Python's own unpickler, which runs the functions that
it names: `redset.codecs._pickle_reader` reads it as data. With a secret, the HMAC is checked first.
"""

import copyreg
import hashlib
import hmac
import io
import pickle
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator
from types import BuiltinFunctionType, FunctionType
from typing import Any

from redset._support.words import shown
from redset.codecs import _bases, _identity, _pickle_reader, _scalars
from redset.exceptions import InvalidTypeError, InvalidValueError, RedsetError

_PROTOCOL = 5
_DIGEST = "sha256"
_DIGEST_SIZE = 32
_LEAST_SECRET = 16
# The reader counts up to three levels for an object, or for a list or set, of which an object may
# hold 100 in each other. If objects are nested deeper than this, their pickle is tried.
_SAFE_DEPTH = 50
# At most this many bytes of an element are its sort key; a hash distinguishes elements that begin
# alike.
_KEY_SIZE = 1_024


class PickleSerializer:
    """Keep objects of your own classes, and run no foreign code.

    >>> from collections import deque
    >>> objects = PickleSerializer(allow=[deque])
    >>> objects.loads(objects.dumps({"last": deque([1, 2], maxlen=2)}))
    {'last': deque([1, 2], maxlen=2)}

    Without *secret* it carries Python's builtin data types, those of `ValueSerializer`, and the
    classes in *allow*. An attacker with write access to the server can make any object of those
    classes, with any arguments and attributes, but can call nothing else, and replace no method.

    With *secret*, members that were not made with it are refused before they are read. Any class is
    accepted then, or only those in *allow* if it is given too. Keep the secret from everyone with
    write access to the server; it is part of the pickle of a set's handle. The HMAC shows that a
    holder of the secret wrote the member, not for which set: give each set a secret of its own if a
    member that is copied from one set to another would do harm.

    Items that are equal and of the same types have the same bytes, in every process: dicts and sets
    are sorted, shared parts written out, aware times kept in UTC. So an item can't contain itself;
    parts that it shares come back as equal copies.

    Of an object, only the parts that its ``==`` compares are kept. A cached property and a cached
    hash of attrs are left out, and so is a field of a dataclass or an attrs class that isn't
    compared: it comes back as its default. An object with another attribute that ``==`` ignores is
    refused, unless its class defines in ``__getstate__`` or ``__reduce__`` what is to be written.

    Args:
        allow: classes whose instances may be kept; importable by name, without their subclasses.
        secret: key of the HMAC-SHA-256 before each member, 16 random bytes or more, such as
            ``secrets.token_bytes(32)``.

    Raises `InvalidTypeError` for an *allow* that holds anything but classes or a *secret* that is
    not bytes, `InvalidValueError` for a *secret* of fewer than 16 bytes.

    """

    def __init__(self, allow: Iterable[type] = (), secret: bytes | None = None) -> None:
        allowed = tuple(allow)
        for cls in allowed:
            if not isinstance(cls, type):
                raise InvalidTypeError(f"allow must hold classes, got {shown(cls)}")
        if secret is not None and not isinstance(secret, bytes):
            raise InvalidTypeError(f"secret must be bytes, got {type(secret).__name__}")
        if secret is not None and len(secret) < _LEAST_SECRET:
            raise InvalidValueError(
                f"secret must have {_LEAST_SECRET} bytes or more, got {len(secret)}; "
                "make one with secrets.token_bytes(32)"
            )
        self._allow = allowed
        self._secret = secret
        # The classes that items may be of; None for all.
        self._limit = allowed if allowed or secret is None else None

    def __repr__(self) -> str:
        secret = "" if self._secret is None else ", secret=..."
        return f"PickleSerializer(allow=[{', '.join(c.__name__ for c in self._allow)}]{secret})"

    def dumps(self, item: object, /) -> bytes:
        """Turn *item* into its member.

        Raises `InvalidTypeError` for objects of classes that are not allowed, that pickle can't
        take, or with an attribute that ``==`` ignores; `InvalidValueError` for items that contain
        themselves or nest more than 100 deep, and for an aware datetime with ``fold=1`` whose
        offset depends on ``fold``.
        """
        try:
            writing = _Writing(self._limit)
            payload = writing.dumps(item)
            if self._limit is not None and writing.deepest > _SAFE_DEPTH:
                _check_depth(payload, self._limit)
        except RedsetError:
            raise
        except RecursionError as error:
            raise _scalars.too_deep() from error
        except ValueError as error:  # pickle raises it for a cycle, among other things
            raise InvalidValueError(
                f"the item can't be pickled: {error}; does it contain itself?"
            ) from error
        except (pickle.PicklingError, TypeError, AttributeError) as error:
            raise InvalidTypeError(f"the item can't be pickled: {error}") from error
        return payload if self._secret is None else self._digest(payload) + payload

    def loads(self, member: str | bytes, /) -> Any:
        """Turn *member* back into its item.

        Raises `SerializerError` for members that name other classes, that carry no valid HMAC, that
        are not pickles, or, without a secret, that `dumps` would write in another way.
        """
        member = _scalars.as_bytes(self, member)
        digest, payload = member[:_DIGEST_SIZE], member[_DIGEST_SIZE:]
        if self._secret is not None and not hmac.compare_digest(digest, self._digest(payload)):
            raise _scalars.undecodable(self, member, "it was not made with this secret")
        try:
            if self._limit is None:
                return pickle.loads(payload)
            if self._secret is not None:
                return _pickle_reader.read(payload, self._limit)
            item = _pickle_reader.read(member, self._limit)
            if _Writing(self._limit).dumps(item) != member:
                raise ValueError("dumps writes the item in another way")
        except Exception as error:  # any error that foreign bytes, or allowed classes, cause
            raise _scalars.undecodable(self, member, error) from _scalars.cause(error)
        return item

    def _digest(self, payload: bytes) -> bytes:
        return hmac.digest(self._secret or b"", payload, _DIGEST)


def _check_depth(payload: bytes, allow: tuple[type, ...]) -> None:
    """Raise if objects are nested too deep in *payload* to be read."""
    try:
        _pickle_reader.read(payload, allow)
    except InvalidValueError:
        raise
    except Exception:  # noqa: S110 - of a class in *allow*; `loads` will show it
        pass


class _Sorted:
    """A set while it is written: its elements in canonical order."""

    def __init__(self, cls: type, elements: list[object]) -> None:
        self.cls = cls
        self.elements = elements


class _Writing:
    """One item while it is written: the classes it may have, the sort keys of its elements.

    An element of a set is written twice, once to find its place. Without ``keys``, an object in a
    set in an object in a set would be written twice at each level, so exponentially often.
    """

    def __init__(self, allow: tuple[type, ...] | None) -> None:
        self.allow = allow
        self.known = None if allow is None else _pickle_reader.named(allow)
        self.keys: dict[int, tuple[object, bytes]] = {}
        self.deepest = 0

    def dumps(self, item: object) -> bytes:
        file = io.BytesIO()
        pickler = _Pickler(file, self)
        pickler.dump(pickler.canonical(item))
        return file.getvalue()

    def key(self, element: object) -> bytes:
        """Return the bytes by which *element*, in canonical form, is sorted."""
        if type(element) is str and 0 < len(element) <= _SHORT_TEXT:
            text = element.encode("utf-8", "surrogatepass")
            return _TEXT % ((len(text) + 3).to_bytes(8, "little"), len(text), text)
        known = self.keys.get(id(element))
        if known is not None:
            return known[1]
        written = self.dumps(element)
        if len(written) > _KEY_SIZE:
            written = written[:_KEY_SIZE] + hashlib.sha256(written).digest()
        if type(element) not in _PLAIN:
            self.keys[id(element)] = element, written  # kept, so that no other element gets its id
        return written


class _Pickler(pickle.Pickler):
    """Writes each object by its value, also if it is shared; refuses classes not in *allow*."""

    def __init__(self, file: io.BytesIO, writing: _Writing) -> None:
        super().__init__(file, _PROTOCOL)
        self.fast = True  # no memo: equal objects would differ in their shared parts
        self.writing = writing
        # How deep the object stands whose parts are written now, and how deep those in it do, by
        # their ids. They are kept, so that no other object gets such an id.
        self.depth = 0
        self.depths: dict[int, tuple[object, int]] = {}

    def check(self, obj: object, named: Any) -> None:
        """Raise unless the reader would find *named*, the class of *obj* or *obj* itself."""
        name = named.__qualname__
        known = self.writing.known
        if known is not None and (named.__module__, name) not in known:
            need = f"{name} in allow=[...], or secret= without it; got {_scalars.shown(obj)}"
            if not isinstance(named, type):
                need = "secret= and no allow=, since that function makes it"
            raise InvalidTypeError(f"an item with a {name} needs {need}")

    def reducer_override(self, obj: Any) -> Any:
        """Return the parts of *obj* in canonical order."""
        cls = type(obj)
        if cls is _Sorted:
            return obj.cls, (obj.elements,)
        if cls in _scalars.BY_CLASS:
            scalar = _scalars.BY_CLASS[cls]
            return _scalars.restore, (scalar.tag, scalar.dumps(obj))
        if isinstance(obj, type | FunctionType | BuiltinFunctionType):
            self.check(obj, obj)
            return NotImplemented
        if id(obj) in self.depths:
            self.depth = self.depths[id(obj)][1]
            self.writing.deepest = max(self.writing.deepest, self.depth)
        obj = _identity.numpy_scalar(obj, readable=self.writing.allow is None)
        self.check(obj, cls)
        reduce = copyreg.dispatch_table.get(cls)
        parts: Any = obj.__reduce_ex__(_PROTOCOL) if reduce is None else reduce(obj)
        if isinstance(parts, str):
            return parts
        parts = (*parts, None, None, None)[:5]
        if reduce is None:
            parts = _bases.reduced(obj, parts)
        function, arguments, state, elements, pairs = parts
        function, arguments, state = _identity.parts_of(obj, function, arguments, state)
        if self.writing.allow is not None:
            self.check_readable(cls, arguments, state)
        return (
            function,
            self.canonical_arguments(obj, arguments),
            self.canonical(state),
            None if elements is None else iter([self.canonical(each) for each in elements]),
            None if pairs is None else self.canonical_pairs(cls, dict(pairs)),
        )

    def canonical_arguments(self, obj: Any, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return *arguments* in canonical form: the elements of a subclass of set, too."""
        if isinstance(obj, set | frozenset) and type(obj).__reduce__ in _REDUCES_OF_SETS:
            return (self.canonical_elements(arguments[0], 1),)
        return tuple(self.canonical(argument) for argument in arguments)

    def check_readable(self, cls: type, arguments: Iterable[Any], state: Any) -> None:
        """Raise if the reader would refuse these parts of an object of *cls*."""
        if cls is range:
            _pickle_reader.check_range(*arguments)
        if cls in (self.writing.allow or ()):
            _pickle_reader.check_arguments(cls, arguments)
            if state is not None and _pickle_reader.state_setter(cls) is None:
                _pickle_reader.check_attributes(cls, state)

    def canonical(self, item: Any, depth: int = 0) -> Any:
        """Return *item* with every builtin container in it in canonical order."""
        if depth > _scalars.DEPTH_LIMIT:
            raise _scalars.too_deep()
        cls = type(item)
        if cls is list or cls is tuple:
            if depth == _scalars.DEPTH_LIMIT and item:
                raise _scalars.too_deep()
            return cls(
                [
                    each
                    if type(each) in _SIMPLE or (type(each) in _SIMPLE_IF_EMPTY and not each)
                    else self.canonical(each, depth + 1)
                    for each in item
                ]
            )
        if cls is set or cls is frozenset:
            return _Sorted(cls, self.canonical_elements(item, depth + 1))
        if cls is dict:
            return self.canonical_dict(item, depth)
        if cls in _ATOMS:
            return _ATOMS[cls](item)
        if cls not in _LEAVES:
            known, depth = self.depths.get(id(item)), self.depth + depth + 1
            if known is None or known[1] < depth:
                self.depths[id(item)] = item, depth
        return item

    def canonical_elements(self, item: Collection[Any], depth: int) -> list[Any]:
        elements = [self.canonical(element, depth) for element in item]
        _scalars.check_hashes(item)
        elements.sort(key=self.writing.key)
        return elements

    def canonical_pairs(self, cls: type, pairs: dict[Any, Any]) -> Iterator[tuple[Any, Any]]:
        if not issubclass(cls, OrderedDict):  # its order is part of its equality
            return iter(self.canonical_dict(pairs, 0).items())
        return iter([(self.canonical(key), self.canonical(pairs[key])) for key in pairs])

    def canonical_dict(self, item: dict[Any, Any], depth: int) -> dict[Any, Any]:
        """Return a copy of *item* in the order of its written keys."""
        entries = [
            (self.canonical(key, depth + 1), self.canonical(value, depth + 1))
            for key, value in item.items()
        ]
        _scalars.check_hashes(item.keys())
        entries.sort(key=lambda entry: self.writing.key(entry[0]))
        ordered = dict(entries)
        if len(ordered) != len(item):
            raise InvalidValueError(f"two keys of a dict are both nan: {_scalars.shown(item)}")
        return ordered


def _canonical_range(numbers: range) -> range:
    """Return the one range that is written for all ranges with these *numbers*, which are equal."""
    length = _pickle_reader.length_of(numbers)
    start = numbers.start if length else 0
    step = numbers.step if length > 1 else 1
    return range(start, start + length * step, step)


_ATOMS: dict[type, Callable[[Any], object]] = {
    float: _scalars.float_value,
    range: _canonical_range,
}

_REDUCES_OF_SETS = (set.__reduce__, frozenset.__reduce__)

# A text of at most this many characters, each of up to 4 bytes in UTF-8, has one form of pickle.
_SHORT_TEXT = 60
_TEXT = b"\x80\x05\x95%b\x8c%c%b."
# Already in canonical form.
_SIMPLE = {str, bytes, int, bool, type(None)}
_SIMPLE_IF_EMPTY = {list, tuple, dict}
# Without parts that are written by themselves.
_LEAVES = {*_SIMPLE, bytearray, type, *_scalars.BY_CLASS}
# Written without a sort key that is kept: nothing in them could be written again and again.
_PLAIN = {*_SIMPLE, float}
