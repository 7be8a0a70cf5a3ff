# Generated from redset/asyncio/_methods/updates.py: change that, then `make generate`.
"""Methods of a set that change it by other sets, or move an item to one."""

from typing import Any, TypeVar

from redset._methods.handle import SetHandle
from redset._methods.operands import Items, operand_of, operands_of
from redset._plans import algebra, single
from redset._plans.arguments import OnConflict, check_conflict, check_no_dedup
from redset.base import BaseSet

T = TypeVar("T")


class UpdateMethods(SetHandle[T]):
    """Change the set in place."""

    def update(self, *others: Items[T], on_conflict: OnConflict = "keep") -> None:
        """Add the items of all *others*; items that are there already keep their scores.

        *on_conflict* changes that, as for `union`. Each of *others* is any iterable, also a
        generator of millions: it is sent in chunks of up to 5,000 items or 1 MiB, 1 round trip
        each; 1,750 items at a time (500 with a *unique*) are added atomically. An error in the
        middle carries a note of how many items had been added before. If a set of the same server
        is among *others*, all are added in one atomic step.

        If *unique* is not ``"until_taken"``, the items of all *others* are sent from this process,
        and items are refused as by `add`.

        Cost: O(log n) an item.
        Source: ``ZADD NX``, ``ZUNIONSTORE``; ``set.update``.
        """
        check_conflict(self._runner.config, on_conflict)
        operands = operands_of(self._runner, others, travel=True)
        with self._runner.while_read(*others):
            self._run(algebra.update, operands, on_conflict)

    def intersection_update(self, *others: Items[Any], on_conflict: OnConflict = "keep") -> None:
        """Keep only the items that all *others* have; scores as for `intersection`.

        Cost: as for `intersection`. Atomic. The key keeps its time-to-live.
        """
        check_conflict(self._runner.config, on_conflict)
        operands = operands_of(self._runner, others)
        self._run(algebra.combine_own, "intersection", operands, on_conflict)

    def difference_update(self, *others: Items[Any]) -> None:
        """Remove the items that any of *others* has.

        Cost: 1 round trip (for local items, one for each 5,000), O(log n) an item. Atomic for sets
        of one server; for local items, each 1,750 are removed atomically.
        """
        operands = operands_of(self._runner, others)
        with self._runner.while_read(*others):
            self._run(algebra.difference_update, operands)

    def symmetric_difference_update(self, other: Items[T], /) -> None:
        """Remove the items that both have, and add those that only *other* has.

        Raises: ``TypeError`` for a set whose *unique* may refuse items.
        Cost: as for `symmetric_difference`. Atomic. The key keeps its time-to-live.
        """
        check_no_dedup(self._runner.config)
        operands = [operand_of(self._runner, other)]
        self._run(algebra.combine_own, "symmetric_difference", operands)

    def move(self, item: T, to: SetHandle[Any], *, on_conflict: OnConflict = "replace") -> bool:
        """Move *item* with its score to the set *to*; return whether it was here.

        At no moment is the item in both sets, or in neither. If a reply is lost, the client's own
        retry, or the next such call, returns the same.

        Args:
            item: the item to move; if it is not here, nothing is changed.
            to: a lasting set of the same server, database and serializer; in a cluster, also of
                the same slot (names with the same ``{tag}``).
            on_conflict: which score the item has there if it is there already, as for `add`.

        Raises: ``TypeError`` for another *to*, or a set whose *unique* may refuse items.
        Cost: 1 round trip, O(log n). Atomic.
        Source: a script around ``ZADD`` and ``ZREM``; ``SMOVE``.

        """
        target = to._runner.config if isinstance(to, SetHandle) else None
        operand = operand_of(self._runner, to) if isinstance(to, BaseSet) else None
        return self._run(single.move, item, to, target, operand, on_conflict)
