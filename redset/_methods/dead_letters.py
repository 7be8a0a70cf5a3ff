# Generated from redset/asyncio/_methods/dead_letters.py: change that, then `make generate`.
"""Methods of a set for items that are on lease, delayed or dead."""

from collections.abc import Iterator
from typing import Any, Self, TypeVar

from redset._methods.handle import SetHandle
from redset._plans import dead_letters
from redset._plans.iteration import page_of_pairs
from redset._plans.leased import DeadLetter, LeaseInfo, Stats
from redset._plans.operands import companion_of
from redset._protocol.arguments import check_reason
from redset._protocol.config import raw_config
from redset._protocol.sources import pull
from redset._transport.runner import Runner

T = TypeVar("T")

LISTED_PAGE = 1_000


class DeadLetterMethods(SetHandle[T]):
    """List, count, requeue and remove items that are not ready."""

    def leased(self) -> Iterator[LeaseInfo[T]]:
        """Iterate over the items that are on lease now, the nearest deadline first.

        Items that were released with a delay are included, with ``None`` as their worker.

        Cost: 2 round trips for each 1,000 items. Not one snapshot: items that are settled during
        the iteration are left out.
        """
        members = _members_of(self._runner, "leased")
        while page := pull(members, LISTED_PAGE):
            yield from self._run(dead_letters.entries, page)

    @property
    def dead_items(self) -> Self:
        """Return the set of the dead letters, with their scores: read or clear it. No I/O.

        `dead_letters` has the reasons, `requeue` makes the items ready again.
        """
        return self._derive(companion_of(self._runner.config, "dead"))

    def dead_letters(self, reason: str | None = None) -> Iterator[DeadLetter[T]]:
        """Iterate over the dead letters and their reasons, the lowest score first.

        Args:
            reason: only the dead letters with this reason; see `redset.DeadLetter`.

        Cost: 2 round trips for each 1,000 items. Not one snapshot.

        """
        check_reason(self.name, reason)
        members = _members_of(self._runner, "dead")
        while page := pull(members, LISTED_PAGE):
            for letter in self._run(dead_letters.letters, page):
                if reason is None or letter.reason == reason:
                    yield letter

    def requeue(self, *items: T, reason: str | None = None, older_than: float | None = None) -> int:
        """Make *items* of `dead_items`, or all of them, ready again; return how many there were.

        They keep their scores, and their deliveries are counted from 0 again. An item that was
        added again and is on lease now stays a dead letter: otherwise two consumers would work on
        it.

        Args:
            items: none for all.
            reason: only the dead letters with this reason; see `redset.DeadLetter`.
            older_than: only the items that have been dead for at least this many seconds.

        Cost: 1 round trip for each 250 items, O(log n) an item. Each of these requests is atomic.
        Between them, items that die again wait for the next call.

        """
        return self._run(dead_letters.sort_dead, "requeue", items, reason, older_than)

    def discard_dead(
        self, *items: T, reason: str | None = None, older_than: float | None = None
    ) -> int:
        """Delete *items* of `dead_items`, or all of them; return how many there were.

        Arguments and cost as in `requeue`.
        """
        return self._run(dead_letters.sort_dead, "discard", items, reason, older_than)

    def cancel(self, *items: T) -> int:
        """Remove *items* wherever they are: ready, on lease, delayed or dead.

        Returns how many of them were in any of these places. A consumer that works on one of them
        finds its lease lost. With ``unique="forever"`` the items stay known, and are refused.
        What the set can't hold is in none of them, as with `discard`.

        Cost: 1 round trip for each 500 items, O(log n) an item. Each of these requests is atomic.
        """
        return self._run(dead_letters.cancel, items)

    def stats(self) -> Stats:
        """Return how many items are in each state.

        A read-only replica answers too, and an account that may only read, if it may call ``TIME``.

        Cost: 1 round trip, O(log n). Atomic.
        Source: a script around ``ZCARD``, ``ZCOUNT``, ``SCARD`` and ``TIME``.
        """
        return self._run(dead_letters.stats)


def _members_of(runner: Runner[Any], purpose: str) -> Iterator[tuple[Any, float]]:
    """Return an iterator over the members of the companion set for *purpose*, with their scores."""
    members = runner.derive(companion_of(runner.config, purpose))
    members.config = raw_config(members.config)
    return members.walk(page_of_pairs)
