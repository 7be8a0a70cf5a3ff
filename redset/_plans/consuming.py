"""Consuming: the settings of a consumer, and the state of the items that it works on. No I/O.

Both surfaces share it: their loops record here which item is delivered, and which are done.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Generic, NamedTuple, TypeVar, cast

from redset._plans.arguments import MS
from redset._plans.leased import LeasedItem, LeaseTerms, counts
from redset._protocol.arguments import (
    check_count,
    check_most,
    check_seconds,
    check_stop,
    check_timeout,
    check_worker,
)
from redset._protocol.config import AnyConfig, TakeOptions
from redset._support.words import shown
from redset.exceptions import InvalidTypeError, InvalidValueError

T = TypeVar("T")

logger = logging.getLogger("redset")

# Seconds until an item that failed is ready again, or a function that returns them for the number
# of its deliveries.
RetryDelay = float | Callable[[int], float]


def backoff(
    first: float = 1.0, factor: float = 2.0, longest: float = 3600.0, jitter: float = 0.1
) -> Callable[[int], float]:
    """Return a function for ``retry_delay``: after each delivery of an item, the delay is longer.

    Args:
        first: seconds after the first delivery.
        factor: by which the delay is multiplied after each further delivery.
        longest: the longest delay, in seconds.
        jitter: the largest part of a delay, from 0 to 1, that is subtracted at random, so that
            items that failed together are not ready again together.

    >>> import redset
    >>> delays = redset.backoff(first=1, factor=3, longest=20, jitter=0)
    >>> [delays(deliveries) for deliveries in (1, 2, 3, 4)]
    [1.0, 3.0, 9.0, 20.0]

    """
    first = check_seconds("backoff", "first", first)
    longest = check_seconds("backoff", "longest", longest)
    factor = check_seconds("backoff", "factor", factor, least=1.0)
    if not 0 <= check_seconds("backoff", "jitter", jitter) <= 1:
        raise InvalidValueError(
            f"redset 'backoff': jitter must be from 0 to 1, got {shown(jitter)}"
        )

    def delay(deliveries: int) -> float:
        try:
            seconds = min(longest, first * factor ** max(0, deliveries - 1))
        except OverflowError:
            seconds = longest if first else 0.0
        return float(seconds * (1 - jitter * random.random()))  # noqa: S311 - no secret

    return delay


class Settings(NamedTuple):
    """The arguments of ``consume``; `checked_settings` checks them."""

    batch: int
    ttl: float
    timeout: float | None
    renew: bool
    max_deliveries: int | None
    stopped: Callable[[], bool] | None
    worker: str | None
    retry_delay: RetryDelay
    on_error: Callable[[Any, BaseException], Any] | None
    # Derived from the others, for each request.
    wanted: LeaseTerms = LeaseTerms(0.0, 0, "")
    options: TakeOptions = TakeOptions(None)

    def for_nothing(self) -> Settings:
        """Return the settings of a request that leases nothing, and doesn't wait."""
        options = replace(self.options, timeout=0.0, stopped=None)
        return self._replace(batch=0, options=options)


def check_retry_delay(name: str, delay: Any) -> RetryDelay:
    """Return *delay* if it is a number of seconds, or a callable."""
    if callable(delay):
        return cast(Callable[[int], float], delay)
    return check_seconds(name, "retry_delay", delay)


def check_on_error(name: str, on_error: Any) -> Any:
    """Return *on_error* if it is ``None``, or can be called."""
    if on_error is not None and not callable(on_error):
        raise InvalidTypeError(
            f"redset {shown(name)}: on_error must be callable with an item and an exception, "
            f"got {type(on_error).__name__} {shown(on_error)}"
        )
    return on_error


def checked_settings(config: AnyConfig[Any], settings: Settings) -> Settings:
    """Return *settings*, checked, with what each request needs; raise if one of them is wrong."""
    name = config.name
    if check_count(name, "batch", settings.batch) < 1:
        raise InvalidValueError(
            f"redset {shown(name)}: batch must be 1 or more, got {shown(settings.batch)}"
        )
    ttl = check_seconds(name, "ttl", settings.ttl, least=MS)
    timeout = check_timeout(name, settings.timeout)
    most = check_most(name, settings.max_deliveries)
    stopped = check_stop(name, settings.stopped)
    worker = check_worker(name, settings.worker)
    return Settings(
        int(settings.batch),
        ttl,
        timeout,
        bool(settings.renew),
        most,
        stopped,
        worker,
        check_retry_delay(name, settings.retry_delay),
        check_on_error(name, settings.on_error),
        LeaseTerms(ttl, most or config.max_deliveries, worker),
        TakeOptions(config.no_wait.now, timeout, stopped),
    )


class Work(Generic[T]):
    """The lease that a consumer works on, its current item, and the error that ended its work."""

    def __init__(self, name: str, settings: Settings) -> None:
        self._name = name
        self.settings: Settings = settings
        self.lease: Any = None
        self.at_hand: LeasedItem[T] | None = None
        # How many items of the lease were delivered to the loop, and are done.
        self.done: int = 0
        self.error: BaseException | None = None
        # What ended a request for the next items: they may be leased, and are never delivered.
        self.unanswered: BaseException | None = None

    def begin(self, lease: Any) -> None:
        """Start to work on *lease*."""
        self.lease, self.at_hand, self.done = lease, None, 0
        self.error = None

    def current_lease(self) -> Any:
        """Return the lease that the consumer works on, or worked on last."""
        if self.lease is None:
            raise InvalidValueError(f"redset {shown(self._name)}: no item was delivered yet")
        return self.lease

    @property
    def deliveries(self) -> int:
        """Return how often the current item was delivered, 0 if there is none."""
        return 0 if self.at_hand is None else self.at_hand.deliveries

    def left_by(self, error: BaseException | None) -> None:
        """Record the *error* that ended the block around the loop, and report it."""
        if error is not None and self.error is None:
            self.error = error
            if isinstance(error, Exception):
                self.report(error)

    def delay(self, error: BaseException) -> float:
        """Return the seconds until the current item, which failed with *error*, is ready again."""
        if self.at_hand is None or not counts(error):
            return 0.0
        return self.retry_delay()

    def retry_delay(self) -> float:
        """Return ``retry_delay`` for the current item."""
        delay = self.settings.retry_delay
        if callable(delay) and self.at_hand is not None:
            return check_seconds(self._name, "retry_delay", delay(self.at_hand.deliveries))
        return cast(float, delay)

    def report(self, error: BaseException) -> None:
        """Call ``on_error`` for the current item."""
        on_error = self.settings.on_error
        if on_error is not None and self.at_hand is not None:
            on_error(self.given(self.at_hand), error)

    def given(self, leased: LeasedItem[T]) -> Any:
        """Return what the loop receives for *leased*."""
        return leased.item

    def log_and_report(self, label: str, error: BaseException) -> None:
        """Call ``on_error`` for the current item; log *error* if there is no ``on_error``."""
        if self.settings.on_error is None:
            logger.error("redset %r: an item failed", label, exc_info=error)
        self.report(error)


class FirstWork(Work[T]):
    """The work of a consumer of several sets, whose loop receives each item with its set."""

    def given(self, leased: LeasedItem[T]) -> Any:
        """Return the set of *leased*, and its item."""
        return self.lease.source, leased.item
