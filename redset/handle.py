"""The handle: how a set runs its plans, and what it does with its key, in a synchronous program."""

import os
from collections.abc import Sized
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Self, TypeVar

from redset._core.connection import ClientConnection, check_client
from redset._core.driver import SubscriptionSlot, run
from redset._core.spec import Plan
from redset.locks import Lock
from redset.operations import Operations
from redset.results import ResultConnection, Use, delete_keys, delete_when_collected

T = TypeVar("T")
R = TypeVar("R")


class Handle(Operations[T]):
    """A set's connection, lock and life; `redset.base` has its name and settings."""

    @property
    def lock(self) -> Lock:
        """A lock that all handles of this set share; `pop` and `take` need none.

        Seconds to wait and to hold are the set's ``lock_timeout`` and ``lock_expires``.
        """
        if self._lock is None:
            self._lock = Lock(*self._lock_settings())
        lock: Lock = self._lock
        return lock

    def close(self) -> None:
        """Delete the set if it is a result that this handle owns; else do nothing.

        Cost: 1 round trip for a result.
        """
        owned = None if self._owner is None else self._owner.detach()
        if owned is not None:
            _, _, (connection, keys, process), _ = owned
            if process == os.getpid():
                delete_keys(connection, keys)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def rename(self, new_name: str | bytes) -> None:
        """Give the set the key *new_name*, replacing what is there; a result stays for good.

        All that belongs to the set moves along: what is on lease, delayed, dead, undecodable or was
        ever seen. A lease that runs goes on under the new name, whoever has it: it can be settled,
        extended and renewed as before. The set that is replaced is removed with all that belonged
        to it, its leases too (`LeaseLost`). The lock is that of a name, and stays.

        Other handles of the old name have an empty set then. A call that failed, and is repeated,
        is not done twice.

        Cost: 1 round trip, O(log n). Atomic. The first time that a lease is settled after that
        takes 2 more. In a cluster, both names must share a slot.
        Raises: `ResultExpired` for a result that is gone; ``ValueError`` for what can be no name.
        Source: ``RENAME``.
        """
        # Not over a result's connection: that would see a repeated call's result as gone, and
        # give one that keeps its name a time-to-live again.
        connection = ClientConnection(self._client)
        key = run(self._to_rename(new_name), connection, self._translate_error)
        if self._owner is not None:
            self._owner.detach()
        self._follow(key)

    def expire(self, seconds: float) -> bool:
        """Remove the whole set after *seconds*; return whether there is anything to remove.

        All of it goes at that time: the items that are ready, on lease, delayed or dead, the bytes
        that could not be deserialized, and what ``unique="for_good"`` has seen. A lease that is
        settled after that raises `LeaseLost`.

        The time-to-live belongs to the set as long as any of its keys exists, wherever its items
        go: an item that returns, a new lease and a new dead letter have it too. `rename` and
        changes in place keep it, another call replaces it, `persist` and `clear` end it. As in
        Redis, a set of which no key is left begins anew without one. If nothing is ready but other
        keys are left, what `add` and `update` put there joins the set's time-to-live with the next
        call of `lease`, `consume` or `ttl`.

        Args:
            seconds: a number of seconds, at least 0.001, by the server's clock.

        Cost: 1 round trip, O(1). Atomic. A request that the client sends again is done once.
        Raises: ``ValueError`` if *seconds* is 0, negative or not finite; ``TypeError`` for a
        result, which has a time-to-live of its own, and for `dead`, which goes with its set.
        Source: a script around ``PEXPIRE``; ``expire`` of redis-py.

        """
        return self._run(self._to_expire(seconds))

    def persist(self) -> bool:
        """Remove the time-to-live of `expire`; return whether the set had one.

        If the reply is lost, the client's own retry, or the next such call after an error, returns
        the same.
        Cost: 1 round trip, O(1). Atomic. Raises: ``TypeError`` as `expire`.
        Source: a script around ``PERSIST``; ``persist`` of redis-py.
        """
        return self._run(self._to_persist())

    def ttl(self) -> float | None:
        """Return how many seconds the set has left; ``None`` if it has no end or doesn't exist.

        Cost: 1 round trip, O(1). Atomic. Raises: ``TypeError`` as `expire`.
        Source: a script around ``PTTL``; ``ttl`` of redis-py, in a float and without -1 and -2.
        """
        return self._run(self._to_ttl())

    def _check_client(self, client: Any) -> Any:
        return check_client(self._name, client)

    def _connect(self) -> None:
        if self._sign is None:
            self._connection = ClientConnection(self._client)
        else:
            self._connection = ResultConnection(
                self._client, self._name, self._spec.key, self._sign
            )

    def _own(self, keys: tuple[bytes, bytes]) -> None:
        self._owner = delete_when_collected(self, self._client, keys)

    def _while_read(self, *sources: object) -> AbstractContextManager[None]:
        """Keep a result that is changed by *sources*, which may take long to be read."""
        if self._sign is None or all(isinstance(each, Sized) for each in sources):
            return nullcontext()
        return Use(self._connection)

    def _run(self, plan: Plan[R], slot: SubscriptionSlot | None = None) -> R:
        requests = self._requests
        try:
            return run(plan, self._connection, self._translate_error, slot)
        except BaseException:
            self._take_over(requests)
            raise
