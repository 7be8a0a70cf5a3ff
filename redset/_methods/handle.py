# Generated from redset/asyncio/_methods/handle.py: change that, then `make generate`.
"""The base of all methods: the runner of a set, its lock, its iterators and its end."""

from collections.abc import Callable, Iterator, MutableSet
from typing import TYPE_CHECKING, Concatenate, ParamSpec, Self, TypeVar

from redset._plans.iteration import page_of_items, page_of_pairs
from redset._protocol.config import Plan, SetConfig
from redset._support.forks import reentrant_lock
from redset._transport.runner import Runner
from redset.base import BaseSet, lock_arguments
from redset.locks import Lock

T = TypeVar("T")
R = TypeVar("R")
P = ParamSpec("P")

_making_locks = reentrant_lock()


class SetHandle(BaseSet[T], MutableSet[T]):
    """Iterate over a set, lock it and close it: what every other part may call."""

    _runner_class = Runner
    _runner: Runner[T]

    if TYPE_CHECKING:

        def _run(
            self,
            operation: Callable[Concatenate[SetConfig[T], P], Plan[R]],
            *args: P.args,
            **kwargs: P.kwargs,
        ) -> R: ...

    @property
    def lock(self) -> Lock:
        """Return the lock that all handles of this set share; `pop` and `take` need none.

        The times to wait and to hold, in seconds, are the set's ``lock_timeout`` and
        ``lock_expires``. No I/O.
        """
        with _making_locks.get():  # two threads get the same one
            if self._lock is None:
                self._lock = Lock(*lock_arguments(self))
            lock: Lock = self._lock
        return lock

    def close(self) -> None:
        """Delete the set if it is a result that this handle owns; otherwise do nothing.

        Cost: 1 round trip for a result, otherwise none.
        """
        self._runner.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[T]:
        """Iterate in score order, in bounded memory, while others may change the set.

        An item that is there throughout, at one score, comes exactly once; an item that can't be
        deserialized is logged and left out. A result does not expire during the iteration.

        Cost: 1 round trip for each page of 100 to 5,000 items, O(log n + page); 1 more if a change
        before the page was noticed.
        Source: ``ZRANGE`` in a transaction, or a script, after a place given by score and member.
        """
        return self._runner.walk(page_of_items, self)

    def __reversed__(self) -> Iterator[T]:
        """Iterate from the highest score to the lowest; otherwise as ``iter``."""
        return self._runner.walk(page_of_items, self, reverse=True)

    def items(self) -> Iterator[tuple[T, float]]:
        """Iterate over pairs of item and score; otherwise as ``iter``."""
        return self._runner.walk(page_of_pairs, self)
