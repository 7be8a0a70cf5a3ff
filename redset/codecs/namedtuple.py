"""NamedtupleSerializer: instances of one namedtuple class, field by field.

A member is a MessagePack map of field names and values. Namedtuples inside it carry the name
of their class, which must be known beforehand: nothing is ever imported for a member.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Generic, TypeVar, get_args, get_type_hints

from redset._support.words import shown
from redset.codecs import _scalars
from redset.codecs.msgpack import Extension, MsgpackSerializer
from redset.exceptions import InvalidTypeError, InvalidValueError, SerializerError

NT = TypeVar("NT", bound=tuple[Any, ...])

_CODE = ord("n")


class NamedtupleSerializer(Generic[NT]):
    """Keep namedtuples of one class; their values keep their types.

    >>> from collections import namedtuple
    >>> Task = namedtuple("Task", "foo,bar,priority")
    >>> tasks = NamedtupleSerializer(Task)
    >>> tasks.loads(tasks.dumps(Task("yo", ["baz"], 1)))
    Task(foo='yo', bar=['baz'], priority=1)

    Values may be of any type that `MsgpackSerializer` carries, lists and dicts too. As there, types
    stay, so ``Task(1)`` and ``Task(1.0)`` are two items. A namedtuple inside another takes three of
    the 100 levels that a document may have.

    Args:
        NTClass: the class, made by ``collections.namedtuple`` or ``typing.NamedTuple``.
        nested: other namedtuple classes of values; those that the annotations of *NTClass* name
            are found without it.

    Source: ``redset.serializers.NamedtupleSerializer`` of the redset 0.4 documentation.

    """

    def __init__(
        self,
        NTClass: type[NT],  # noqa: N803 - the name that redset 0.4 gave it
        nested: Iterable[type[tuple[Any, ...]]] = (),
    ) -> None:
        known: dict[str, type[Any]] = {}
        for cls in (NTClass, *nested):
            for found in _with_annotated(cls):
                if known.setdefault(found.__name__, found) is not found:
                    raise InvalidValueError(f"two namedtuple classes are named {found.__name__}")
        self._cls: type[Any] = NTClass
        self._documents = _Documents(known)

    def dumps(self, nt_instance: NT, /) -> bytes:
        """Turn *nt_instance* into its member.

        Raises `InvalidTypeError` if it is of another class, or for a value of a type that a
        document can't have.
        """
        if not isinstance(nt_instance, self._cls):
            raise InvalidTypeError(
                f"expected an item of type {self._cls.__name__}, got {_scalars.shown(nt_instance)}"
            )
        return self._documents.dumps(_fields_of(self._cls, nt_instance))

    def loads(self, str_from_redis: str | bytes, /) -> NT:
        """Turn a member back into the namedtuple.

        Raises `SerializerError` if it is not a namedtuple, or has other fields, which the error
        names.
        """
        fields = self._documents.loads(str_from_redis)
        try:
            item: NT = _make(self._cls, fields)
        except ValueError as error:
            raise _scalars.undecodable(self, str_from_redis, error) from _scalars.cause(error)
        return item


class _Documents(MsgpackSerializer):
    """Documents in which a namedtuple keeps its class, if that is one of *classes*."""

    # Its errors name the class that a user knows.
    _reported_as = "NamedtupleSerializer"

    def __init__(self, classes: dict[str, type[Any]]) -> None:
        super().__init__()
        self._classes = classes
        for cls in classes.values():
            self._add(cls, Extension(_CODE, self._dumps_nested, self._loads_nested))

    def _dumps_nested(self, item: Any) -> list[object]:
        return [type(item).__name__, _fields_of(type(item), item)]

    def _loads_nested(self, document: Any) -> Any:
        name, fields = document
        if name not in self._classes:
            raise SerializerError(
                f"namedtuple class {_scalars.shown(name)} is unknown; pass it as nested="
            )
        return _make(self._classes[name], fields)

    def _document(self, item: Any, depth: int) -> object:
        if (
            isinstance(item, tuple)
            and hasattr(item, "_fields")
            and type(item) not in self._by_class
        ):
            raise InvalidTypeError(
                f"namedtuple class {type(item).__qualname__} is unknown; pass it as nested="
            )
        return super()._document(item, depth)


def _fields_of(cls: type[Any], item: Any) -> dict[str, object]:
    # The class may override how its instances are iterated.
    return dict(zip(cls._fields, tuple.__iter__(item), strict=True))


def _make(cls: type[Any], fields: object) -> Any:
    expected: tuple[str, ...] = cls._fields
    if not isinstance(fields, dict):
        raise ValueError(f"not the fields of a {cls.__name__}")
    if fields.keys() != set(expected):
        missing = [name for name in expected if name not in fields]
        unknown = [name for name in fields if name not in expected]
        raise ValueError(
            f"its fields are not those of {cls.__name__}: missing {missing}, unknown {unknown}"
        )
    # Not `_make`, which asks the class for the length.
    return tuple.__new__(cls, [fields[name] for name in expected])


def _with_annotated(cls: Any) -> Iterator[type[Any]]:
    """Return *cls* and every namedtuple class that its annotations name, at any depth."""
    waiting, seen = [cls], []
    if not _is_namedtuple(cls):
        raise InvalidTypeError(f"NTClass must be a namedtuple class, got {shown(cls)}")
    while waiting:
        hint = waiting.pop()
        if hint in seen:
            continue
        seen.append(hint)
        if _is_namedtuple(hint):
            yield hint
            waiting.extend(_hints(hint))
        waiting.extend(get_args(hint))


def _is_namedtuple(cls: object) -> bool:
    return isinstance(cls, type) and issubclass(cls, tuple) and hasattr(cls, "_fields")


def _hints(cls: type[Any]) -> Iterable[object]:
    try:
        return get_type_hints(cls).values()
    except (NameError, TypeError):  # a name that only a type checker sees
        return ()
