# Generated from redset/asyncio/_methods/lifetime.py: change that, then `make generate`.
"""Methods of a set as a key of the server: its name, and its time-to-live."""

from typing import TypeVar

from redset._methods.handle import SetHandle
from redset._plans import many

T = TypeVar("T")


class LifetimeMethods(SetHandle[T]):
    """Rename a set, and give it a time-to-live."""

    def rename(self, new_name: str | bytes) -> None:
        """Rename the set to *new_name*, and replace the set of that name; a result becomes lasting.

        All companion keys move with the set: items that are on lease, delayed, dead or undecodable,
        and the items that ``unique="forever"`` has seen. An open lease stays valid under the new
        name: its consumer settles, extends and renews it as before. The set that is replaced is
        removed with its companion keys, and its leases are lost (`LeaseLost`). The lock belongs to
        the old name, and does not move.

        For other handles of the old name, the set is empty then. If a call fails and is repeated,
        the set is renamed once.

        Raises: `ResultExpired` for a result that has expired; ``ValueError`` for a *new_name* that
        can't be the name of a set; `KeyTypeError` if one of the names holds another Redis type;
        `AlreadyRenamed` if this call repeats one that failed after the server had renamed the set,
        and the old name has items again: the next call replaces what that one moved.
        Cost: 1 round trip, O(log n). The first time that a lease is settled after the rename takes
        2 more. In a cluster, both names must share a slot. Atomic.
        Source: ``RENAME``.
        """
        self._runner.rename(new_name)
        self._lock = None

    def expire(self, seconds: float) -> bool:
        """Remove the whole set after *seconds*; return whether there is anything to remove.

        Everything is removed at that time: the items that are ready, on lease, delayed or dead, the
        bytes that could not be deserialized, and what ``unique="forever"`` has seen. If a lease is
        settled after that, `LeaseLost` is raised.

        The time-to-live belongs to the set as long as any of its keys exists, wherever its items
        move: an item that returns, a new lease and a new dead letter have it too. `rename` and
        changes in place keep it, another call replaces it, `persist` and `clear` end it. As in
        Redis, if no key of the set is left, the next key under that name has no time-to-live. If
        nothing is ready but other keys are left, items that `add` and `update` store receive the
        set's time-to-live with the next call of `lease`, `consume` or `ttl`.

        Args:
            seconds: a number of seconds, at least 0.001, by the server's clock.

        Raises: ``ValueError`` if *seconds* is 0, negative or not finite; ``TypeError`` for a
        result, which has a time-to-live of its own, and for `dead_items`, which is removed with its
        set.
        Cost: 1 round trip, O(1). Atomic. A request that the client sends again is executed once.
        Source: a script around ``PEXPIRE``; ``expire`` of redis-py.

        """
        return self._run(many.expire, seconds)

    def persist(self) -> bool:
        """Remove the time-to-live of `expire`; return whether the set had one.

        If the reply is lost, the client's own retry, or the next such call after an error, returns
        the same.

        Raises: ``TypeError`` as `expire`.
        Cost: 1 round trip, O(1). Atomic.
        Source: a script around ``PERSIST``; ``persist`` of redis-py.
        """
        return self._run(many.persist)

    def ttl(self) -> float | None:
        """Return how many seconds the set has left; ``None`` if it has no end or doesn't exist.

        A read-only replica answers too, and an account that may only read.

        Raises: ``TypeError`` as `expire`.
        Cost: 1 round trip, O(1). Atomic.
        Source: a script around ``PTTL``; ``ttl`` of redis-py, as a float and without -1 and -2.
        """
        return self._run(many.ttl)
