"""The base of every handle: a set's name and settings, whichever surface it is used through.

No I/O, and nothing that only one surface has: how a plan is run is up to `redset.handle`, and to
`redset.asyncio.handle`.
"""

import time
import warnings
import weakref
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Generic, Literal, Self, TypeVar

from redset._core import compat
from redset._core.algebra import Remote, Target
from redset._core.arguments import check_most
from redset._core.encoding import Encoding, check_serializer, has_methods
from redset._core.idempotency import SetSlots, SharedSlots
from redset._core.keys import check_name, companion, lasting_set_of, text_of
from redset._core.scores import Clock, no_sum, unique_times, zero
from redset._core.spec import UNIQUE, Spec, Terms
from redset._core.subclasses import copy_own_state, own_state
from redset._core.words import shown
from redset.codecs import ValueSerializer
from redset.exceptions import InvalidTypeError, InvalidValueError, KeyTypeError, ResultExpired
from redset.portable import PortableClient

T = TypeVar("T")
# What an instance has whose class adds nothing.
_ATTRIBUTES = frozenset(
    [
        *("_name", "_client", "_settings", "_most", "_clock", "_times", "_at_once", "_spec"),
        *("_connection", "_requests", "_lock", "_owner", "_sign", "_pipelining", "_synchronize"),
        "__orig_class__",  # which `typing` sets
    ]
)
Unique = Literal["until_taken", "until_done", "for_good"]


class Base(Generic[T]):
    """Name and settings of a set; `redset.sets` describes the arguments."""

    _serializer_class: Callable[[], Any] = ValueSerializer
    # Of redset 0.4: a serializer that has neither method is warned of and ignored.
    _falls_back_to_str = False
    # Of a result: the key that says it is alive, and what deletes it with its owner.
    _sign: bytes | None = None
    _owner: "weakref.finalize[Any, Any] | None" = None
    _lock: Any = None
    _connection: Any
    _surface = "redset"

    def __init__(
        self,
        redis_client: Any,
        name: str | bytes,
        scorer: Callable[[T], Any] | None = None,
        serializer: Any = None,
        lock_timeout: float | None = None,
        lock_expires: float | None = None,
        *,
        clock: Clock = time.time,
        unique: Unique = "until_taken",
        max_deliveries: int | None = None,
    ) -> None:
        key = check_name(name)
        self._name = text_of(key)
        for argument, function in (("scorer", scorer), ("clock", clock)):
            if function is not None and not callable(function):
                raise InvalidTypeError(
                    f"redset {shown(self._name)}: {argument} must be callable, got "
                    f"{shown(function)}"
                )
        self._client = self._check_client(redis_client)
        if self._falls_back_to_str and serializer is not None and not has_methods(serializer):
            warnings.warn(
                f"redset {shown(self._name)}: serializer has neither dumps nor loads, so "
                f"items are cast to and returned as str; got {shown(serializer)}",
                stacklevel=2,
            )
            serializer = None
        self._settings = (scorer, serializer, lock_timeout, lock_expires)
        if unique not in UNIQUE:
            raise InvalidValueError(
                f"redset {shown(self._name)}: unique must be one of {', '.join(UNIQUE)}; "
                f"got {shown(unique)}"
            )
        self._most = check_most(self._name, max_deliveries)
        self._clock = clock
        self._times = unique_times(clock)
        self._at_once = Terms(self._due_by())
        if serializer is None:
            serializer = self._serializer_class()
        encoding = Encoding[T](self._name, check_serializer(self._name, serializer))
        self._spec = Spec(self._name, key, encoding, scorer or self._default_scorer(), unique)
        self._connect()
        self._requests = self._slots()

    # What makes a handle, whatever a subclass makes of `__init__`.
    _initialize = __init__

    @property
    def name(self) -> str:
        """The name of this set: the key under which the server keeps it.

        A key that is no text in UTF-8 is shown with the other bytes escaped: see `key`.
        """
        return self._name

    @property
    def key(self) -> bytes:
        """The key under which the server keeps this set, as bytes, also if it is no text.

        Another handle that is given it as its name is one of this set. No I/O.
        """
        return self._spec.key

    def __repr__(self) -> str:
        return f"<{self._surface}.{type(self).__name__} {self._name!r}>"

    def __reduce__(self) -> tuple[Any, ...]:
        client = PortableClient(self._client)
        place = (self._spec.key, self._sign)
        made = _rebuild, (type(self), client, *place, self._settings, self._options())
        state = self.__getstate__()
        return made if state is None else (*made, state)

    def __getstate__(self) -> Any:
        """Return what a subclass added, as ``object`` does; ``None`` for nothing."""
        attributes, slots = own_state(self, _ATTRIBUTES)
        return (attributes or None, slots) if slots else attributes or None

    def _default_scorer(self) -> Callable[[T], Any]:
        return zero

    def _time_scorer(self) -> Callable[[T], Any]:
        """A scorer that gives each item a later time."""
        times = self._times
        return lambda _item: times.next()

    def _due_by(self) -> Clock | None:
        """The clock by which items are due; without one, all of them are."""
        return None

    def _time_of_scores(self) -> float | None:
        """The time now by the clock that gives the scores; ``None`` if they are no times."""
        return None

    def _highest(self) -> str:
        """The highest score that is handed out now, as the server reads it."""
        return self._at_once.highest()

    def _slots(self) -> SetSlots:
        """The slots of this set's calls; a result, whose key nobody else has, needs its own."""
        if self._sign is not None:
            return SetSlots(self._spec.key)
        shared = compat.shared_by_client(self._client, "slots", SharedSlots)
        return shared.of(self._spec.key, only_due=self._due_by() is not None)

    def _remote(self) -> Remote:
        return Remote(self._name, self._spec.key, self._sign)

    def _move(self, key: bytes, sign: bytes | None = None) -> None:
        """Stand for another set from now on: a lasting one, or a result with its sign."""
        self._name, self._sign, self._owner, self._lock = text_of(key), sign, None, None
        is_result = sign is not None
        self._spec = replace(self._spec, name=self._name, key=key, is_result=is_result)
        self._requests = self._slots()
        self._connect()

    def _follow(self, key: bytes) -> None:
        """Stand for this set under *key*, which it was renamed to."""
        requests = self._requests
        self._move(key)
        self._take_over(requests)

    def _take_over(self, requests: SetSlots) -> None:
        """Let what failed be repeated under the set's new name, if it was renamed since."""
        if requests is not self._requests:
            requests.move_failed_to(self._requests)

    def _sibling(self, target: Target) -> Self:
        """A handle like this one for the set at *target*, which it owns if that is a result."""
        sibling = object.__new__(type(self))
        sibling.__dict__.update(self.__dict__)
        copy_own_state(self, sibling, _ATTRIBUTES)
        sibling._move(target.key, target.sign or None)
        sibling._spec = replace(sibling._spec, unique="until_taken")
        if target.sign:
            sibling._own((target.key, target.sign))
        return sibling

    def _options(self) -> dict[str, Any]:
        """The settings that are given by name."""
        return {"clock": self._clock, "unique": self._spec.unique, "max_deliveries": self._most}

    def _lock_settings(self) -> tuple[Any, bytes, float | None, float | None]:
        """What the lock of this set is made with: client, key, expires and timeout."""
        _, _, timeout, expires = self._settings
        return self._client, companion(self._spec.key, "lock"), expires, timeout

    def _translate_error(self, error: Exception) -> Exception:
        """Return the error of redset's own for what the server replied, or *error* itself."""
        code = compat.error_code(error)
        if code == "WRONGTYPE":
            return KeyTypeError(
                f"redset {shown(self._name)}: the key holds another Redis type than a "
                "sorted set, or one of its companion keys does; choose another name, or delete "
                "that key"
            )
        if code == "EXPIRED":
            return ResultExpired(self._name)
        if code == "ERR" and "resulting score is not a number" in str(error):
            return no_sum(self._name)
        return error

    # What a surface does its own way

    def _check_client(self, client: Any) -> Any:
        """Give *client* back if it serves this surface; say what is wrong if it doesn't."""
        raise NotImplementedError

    def _connect(self) -> None:
        """Set the connection: one that keeps a result alive if this is one."""
        raise NotImplementedError

    def _own(self, keys: tuple[bytes, bytes]) -> None:
        """Delete *keys*, of a result, once this handle is gone."""
        raise NotImplementedError


def _rebuild(
    kind: type[Base[T]],
    client: PortableClient,
    key: bytes,
    sign: bytes | None,
    settings: tuple[Any, ...],
    options: dict[str, Any],
) -> Base[T]:
    # A result, and the set of the dead, have no name that a set could be given.
    # A subclass may have an ``__init__`` that asks for something else.
    handle = object.__new__(kind)
    handle._initialize(client.client, lasting_set_of(key), *settings, **options)
    handle._move(key, sign)
    return handle
