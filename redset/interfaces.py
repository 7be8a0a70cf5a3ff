"""The shape of a serializer, for type checkers and readers; nothing here runs."""

from typing import Any, Protocol, TypeVar

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Serializer(Protocol[T]):
    """The methods that a set needs of its serializer: ``dumps`` and ``loads``; no base class.

    Any object or module with these two functions will do (``json``, ``pickle``, a class of
    `redset.codecs`, your own). If it lacks one function, ``str`` is used for that direction; if it
    lacks both, it is refused, or ignored with a warning by the sets of redset 0.4. If ``dumps``
    returns ``str``, ``loads`` is called with ``str``; if it returns ``bytes``, with ``bytes``.
    Type checkers need ``loads``, which tells them what the items are.

    Source: ``redset.interfaces.Serializer`` of the redset 0.4 documentation.
    """

    def dumps(self, obj: T, /) -> str | bytes:
        """Turn *obj* into its member: equal items must give equal bytes.

        Raise ``TypeError`` or ``ValueError`` for a value that can't be turned: lookups treat it as
        an item that is not there, and let any other exception through.
        """
        ...

    def loads(self, str_from_redis: str | bytes, /) -> T:
        """Turn a member back into its item; raise any exception if that is not possible."""
        ...


class Loading(Protocol[T_co]):
    """What tells type checkers the items of a set that is given a serializer: its ``loads``.

    Less than `Serializer` asks: a ``loads`` may take ``str`` only, or ``bytes`` only.
    """

    def loads(self, str_from_redis: Any, /) -> T_co:
        """Turn a member back into its item."""
        ...
