"""The handle: what every set knows of itself, its server and its plans, whatever it can do."""

import time
import weakref
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Generic, Literal, Self, TypeVar

from redset._core import algebra
from redset._core.algebra import Remote, Target
from redset._core.connection import ClientConnection, check_client
from redset._core.driver import run
from redset._core.encoding import Encoding, check_serializer
from redset._core.keys import check_name, companion
from redset._core.plans import UNIQUE, Plan, Spec, Terms, check_most
from redset._core.scores import Clock, unique_times
from redset._core.turns import Turns
from redset.codecs import ValueSerializer
from redset.exceptions import InvalidTypeError, InvalidValueError, KeyTypeError
from redset.locks import Lock
from redset.portable import PortableClient
from redset.results import ResultConnection, own

T = TypeVar("T")
R = TypeVar("R")
Unique = Literal["until_taken", "until_done", "for_good"]


class Handle(Generic[T]):
    """Name, settings and connection of a set; `redset.sets` describes the arguments."""

    _serializer_class: Callable[[], Any] = ValueSerializer
    # Of a result: the key that says it is alive, and what deletes it with its owner.
    _sign: bytes | None = None
    _owner: "weakref.finalize[Any, Any] | None" = None
    _lock: Lock | None = None

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
        self._name = _text(name)
        for argument, function in (("scorer", scorer), ("clock", clock)):
            if function is not None and not callable(function):
                raise InvalidTypeError(
                    f"redset {self._name!r}: {argument} must be callable, got {function!r}"
                )
        self._client = check_client(self._name, redis_client)
        self._settings = (scorer, serializer, lock_timeout, lock_expires)
        if unique not in UNIQUE:
            raise InvalidValueError(
                f"redset {self._name!r}: unique must be one of {', '.join(UNIQUE)}; got {unique!r}"
            )
        self._most = check_most(self._name, max_deliveries)
        self._clock = clock
        self._times = unique_times(clock)
        if serializer is None:
            serializer = self._serializer_class()
        encoding = Encoding[T](self._name, check_serializer(self._name, serializer))
        self._spec = Spec(self._name, key, encoding, scorer or self._default_scorer(), unique)
        self._connection = ClientConnection(self._client)
        self._begin_turns()

    @property
    def name(self) -> str:
        """The name of this set: the key under which the server keeps it."""
        return self._name

    @property
    def lock(self) -> Lock:
        """A lock that all handles of this set share; `pop` and `take` need none.

        Seconds to wait and to hold are the set's ``lock_timeout`` and ``lock_expires``.
        """
        if self._lock is None:
            given = {"timeout": self._settings[2], "expires": self._settings[3]}
            options = {name: seconds for name, seconds in given.items() if seconds is not None}
            self._lock = Lock(self._client, companion(self._spec.key, "lock"), **options)
        return self._lock

    def close(self) -> None:
        """Delete the set if it is a result that this handle owns; else do nothing.

        Cost: 1 round trip for a result.
        """
        if self._owner is not None:
            self._owner()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def rename(self, new_name: str | bytes) -> None:
        """Give the set the key *new_name*, replacing what is there; a result stays for good.

        Cost: 1 round trip, O(1). Atomic. Raises: `ResultExpired` for a result that is gone.
        In a cluster, both names must share a slot. Source: ``RENAME``.
        """
        key = check_name(new_name)
        with self._stores.lend() as turn:
            plan = algebra.rename(self._spec, turn.given, key, self._sign)
            # Not over a result's connection: that would see a repeated call's result as gone, and
            # give one that keeps its name a time-to-live again.
            run(plan, ClientConnection(self._client))
        if self._owner is not None:
            self._owner.detach()
        self._move(new_name)

    def __repr__(self) -> str:
        return f"<redset.{type(self).__name__} {self._name!r}>"

    def __reduce__(self) -> tuple[Any, ...]:
        client = PortableClient(self._client)
        place = (self._spec.key, self._sign)
        options = {"clock": self._clock, "unique": self._spec.unique, "max_deliveries": self._most}
        return _rebuild, (type(self), client, *place, self._settings, options)

    def _default_scorer(self) -> Callable[[T], Any]:
        return _zero

    def _due_by(self) -> Clock | None:
        """The clock by which items are due; without one, all of them are."""
        return None

    def _highest(self) -> str:
        """The highest score that is handed out now, as the server reads it."""
        return Terms(self._due_by()).highest()

    def _begin_turns(self) -> None:
        """Forget what calls under another name, or of another handle, were answered."""
        key = self._spec.key
        self._turns, self._leases, self._settlings = Turns(key), Turns(key), Turns(key)
        self._inserts, self._stores = Turns(key), Turns(key)

    def _remote(self) -> Remote:
        return Remote(self._name, self._spec.key, self._sign)

    def _move(self, name: str | bytes, sign: bytes | None = None) -> None:
        """Stand for the set under *name* from now on: a lasting one, or a result with its sign."""
        key = check_name(name)
        self._name, self._sign, self._owner, self._lock = _text(name), sign, None, None
        self._spec = replace(self._spec, name=self._name, key=key)
        self._begin_turns()
        if sign is None:
            self._connection = ClientConnection(self._client)
        else:
            self._connection = ResultConnection(self._client, self._name, key, sign)

    def _sibling(self, target: Target) -> Self:
        """A handle like this one for the set at *target*, which it owns if that is a result."""
        sibling = object.__new__(type(self))
        sibling.__dict__.update(self.__dict__)
        sibling._move(target.key, target.sign or None)
        sibling._spec = replace(sibling._spec, unique="until_taken")
        if target.sign:
            sibling._owner = own(sibling, self._client, (target.key, target.sign))
        return sibling

    def _run(self, plan: Plan[R]) -> R:
        try:
            return run(plan, self._connection)
        except Exception as error:
            if "WRONGTYPE" in str(error):
                raise KeyTypeError(
                    f"redset {self._name!r}: the key holds another Redis type than a sorted set; "
                    "choose another name, or delete the key"
                ) from error
            if "not a number" in str(error):
                raise InvalidValueError(
                    f"redset {self._name!r}: inf and -inf have no sum that could be a score; "
                    "nothing was changed"
                ) from error
            raise


def _zero(_item: object) -> float:
    return 0.0


def _text(name: str | bytes) -> str:
    return name if isinstance(name, str) else name.decode("utf-8", "backslashreplace")


def _rebuild(
    kind: type[Handle[T]],
    client: PortableClient,
    key: bytes,
    sign: bytes | None,
    settings: tuple[Any, ...],
    options: dict[str, Any],
) -> Handle[T]:
    handle = kind(client.client, key, *settings, **options)
    handle._move(key, sign)
    return handle
