"""The base of the sets of both surfaces: it checks their arguments and makes their runner."""

import time
import warnings
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NamedTuple, Self, TypeVar

from redset._plans.operands import Destination
from redset._protocol.arguments import check_most
from redset._protocol.config import UNIQUE, SetConfig, TakeOptions, Unique
from redset._protocol.durability import Durable, check_durable
from redset._protocol.encoding import (
    Encoding,
    PicklableModule,
    check_serializer,
    has_methods,
)
from redset._protocol.keys import check_name, companion, lasting_set_of, text_of
from redset._protocol.scores import Clock, unique_times, zero
from redset._support.subclasses import copy_own_state, own_state
from redset._support.words import shown
from redset._transport import compat
from redset._transport.pickling import PicklableClient
from redset._transport.runner import BaseRunner, slots_of
from redset.codecs import TextSerializer, ValueSerializer
from redset.exceptions import InvalidTypeError, InvalidValueError

if TYPE_CHECKING:
    # Defaults (PEP 696), which type checkers know before Python 3.13 does: what a set holds whose
    # items nothing tells, neither an annotation nor its scorer or serializer.
    from typing_extensions import TypeVar as WithDefault

    T = WithDefault("T", default=Any)
    Text = WithDefault("Text", default=str)
else:
    T = TypeVar("T")
    Text = TypeVar("Text")

# The attributes that every instance has, also of a class that adds none; `typing` sets the last.
_ATTRIBUTES = frozenset(["_arguments", "_runner", "_run", "_lock", "__orig_class__"])


class Kind(NamedTuple):
    """The settings in which the classes of sets differ."""

    serializer_class: Callable[[], Any] = ValueSerializer
    # Of redset 0.4: if a serializer has neither method, it is ignored with a warning.
    falls_back_to_str: bool = False
    # Whether the time is the score if none is given, and whether only due items are delivered.
    scores_are_times: bool = False
    delivers_due: bool = False


SORTED = Kind(TextSerializer, falls_back_to_str=True)
TIME_SORTED = SORTED._replace(scores_are_times=True)
SCHEDULED = TIME_SORTED._replace(delivers_due=True)


class BaseSet(Generic[T]):
    """Name, settings and runner of a set; `redset.sets` describes the arguments."""

    _kind = Kind()
    _runner_class: ClassVar[type[BaseRunner[Any]]]
    _runner: Any
    _lock: Any = None

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
        durable: Durable | None = None,
        **options: Any,
    ) -> None:
        key = check_name(name)
        label = text_of(key)
        _check_arguments(label, scorer, clock, unique)
        most = check_most(label, max_deliveries)
        if _falls_back(self._kind, label, serializer):
            serializer = None
        settings = (scorer, serializer, lock_timeout, lock_expires)
        named = {"clock": clock, "unique": unique, "max_deliveries": most, **options}
        if check_durable(label, durable) is not None:
            named["durable"] = durable
        self._arguments = (settings, named)
        times = unique_times(clock)
        encoding = _encoding(self._kind, label, serializer)
        client = self._runner_class.check_client(label, redis_client)
        config = SetConfig(
            label,
            key,
            encoding,
            scorer or _default_scorer(self._kind, times),
            unique,
            max_deliveries=most or 0,
            no_wait=TakeOptions(times.now if self._kind.delivers_due else None),
            score_clock=clock if self._kind.scores_are_times else None,
            durable=durable,
            in_cluster=compat.is_cluster(client),
            requests=slots_of(client, key, only_due=self._kind.delivers_due),
        )
        self._runner = self._runner_class(client, config, clock=clock, **options)
        self._run = self._runner.run

    # The set's own initialization, also if a subclass overrides `__init__`.
    _initialize = __init__

    @property
    def name(self) -> str:
        """Return the name of this set: the key under which the server keeps it.

        If the key is not UTF-8 text, its other bytes are shown escaped: see `key`. No I/O.
        """
        name: str = self._runner.config.name
        return name

    @property
    def key(self) -> bytes:
        """Return the key under which the server keeps this set, as bytes, also if it is not text.

        Another handle that is made with this key as its name is a handle of the same set. No I/O.
        """
        key: bytes = self._runner.config.key
        return key

    def __repr__(self) -> str:
        return f"<{self._runner.surface}.{type(self).__name__} {self.name!r}>"

    def __reduce__(self) -> tuple[Any, ...]:
        config = self._runner.config
        client, place = PicklableClient(self._runner.client), (config.key, config.liveness_key)
        (scorer, serializer, *lock), named = self._arguments
        if isinstance(serializer, ModuleType):
            serializer = PicklableModule(serializer)
        made = _rebuild, (type(self), client, *place, (scorer, serializer, *lock), named)
        state = self.__getstate__()
        return made if state is None else (*made, state)

    def __getstate__(self) -> Any:
        """Return the attributes that a subclass added, as ``object`` does; ``None`` for none."""
        attributes, slots = own_state(self, _ATTRIBUTES)
        return (attributes or None, slots) if slots else attributes or None

    def _derive(self, destination: Destination) -> Self:
        """Return a handle like this one for the set at *destination*.

        If the set is a result, the handle owns it.
        """
        derived = object.__new__(type(self))
        own = self.__dict__
        derived.__dict__.update({name: own[name] for name in _ATTRIBUTES if name in own})
        copy_own_state(self, derived, _ATTRIBUTES)
        derived._runner, derived._lock = self._runner.derive(destination), None
        derived._run = derived._runner.run
        return derived


def lock_arguments(handle: BaseSet[Any]) -> tuple[Any, bytes, float | None, float | None]:
    """Return the arguments for the lock of a set: client, key, expires and timeout."""
    (_, _, timeout, expires), _ = handle._arguments
    return handle._runner.client, companion(handle.key, "lock"), expires, timeout


def _check_arguments(name: str, scorer: Any, clock: Any, unique: Any) -> None:
    for argument, function in (("scorer", scorer), ("clock", clock)):
        if function is not None and not callable(function):
            raise InvalidTypeError(
                f"redset {shown(name)}: {argument} must be callable, got {shown(function)}"
            )
    if unique not in UNIQUE:
        raise InvalidValueError(
            f"redset {shown(name)}: unique must be one of {', '.join(UNIQUE)}; got {shown(unique)}"
        )


def _falls_back(kind: Kind, name: str, serializer: Any) -> bool:
    """Return whether *serializer* is to be ignored; if so, issue a warning."""
    if not kind.falls_back_to_str or serializer is None or has_methods(serializer):
        return False
    warnings.warn(
        f"redset {shown(name)}: serializer has neither dumps nor loads, so "
        f"items are cast to and returned as str; got {shown(serializer)}",
        stacklevel=4,
    )
    return True


def _encoding(kind: Kind, name: str, serializer: Any) -> Encoding[Any]:
    if serializer is None:
        serializer = kind.serializer_class()
    return Encoding(name, check_serializer(name, serializer))


def _default_scorer(kind: Kind, times: Any) -> Callable[[Any], Any]:
    return (lambda _item: times.next()) if kind.scores_are_times else zero


def _rebuild(
    kind: type[BaseSet[T]],
    client: PicklableClient,
    key: bytes,
    liveness_key: bytes | None,
    settings: tuple[Any, ...],
    named: dict[str, Any],
) -> BaseSet[T]:
    # A result, and the set of the dead letters, have names that a new set can't be given. A
    # subclass may have an ``__init__`` with other arguments.
    handle = object.__new__(kind)
    scorer, serializer, *lock = settings
    if isinstance(serializer, PicklableModule):
        serializer = serializer.module
    handle._initialize(client.client, lasting_set_of(key), scorer, serializer, *lock, **named)
    handle._runner.rebind(key, liveness_key)
    return handle
