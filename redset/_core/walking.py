"""Plans of iteration: pages in score order, exact while others change the set.

The cursor is the last member that was read, with its score. As long as that member still is where
it was, the next page is read by rank, which is fast; once it isn't, a script finds the place.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from redset._core import commands
from redset._core.members import cause_of, decoded, decoded_members
from redset._core.readonly import ask_reader
from redset._core.replies import Page, Pair
from redset._core.spec import Plan, Spec

T = TypeVar("T")

# Pages of an iteration grow from the first to the last of these, while they stay small in bytes.
FIRST_PAGE, LAST_PAGE, PAGE_BYTES = 100, 5_000, 1 << 20


@dataclass(slots=True)
class Walk:
    """Where an iteration is: after which member it goes on, and with how many."""

    reverse: bool = False
    after: Pair | None = None
    # How many members came before the next one, when the last page was read.
    rank: int = 0
    # Whether that is likely to be so still: nobody was seen to add or remove before it.
    steady: bool = True
    # Whether the connection takes transactions; one of a cluster doesn't.
    transactions: bool = True
    limit: int = field(default_factory=lambda: FIRST_PAGE)
    over: bool = False

    def go_on(self, page: Page) -> None:
        """Take along that *page* was read."""
        members = page.members
        self.over = len(members) < self.limit
        if not self.over:
            self.after = (members[-1], page.scores[-1])
            self.rank = page.rank + len(members)
            # Some stand for all: to measure each would cost a good part of its reading.
            some = members[:: len(members) // FIRST_PAGE or 1]
            size = sum(map(len, some)) // len(some) + 1
            self.limit = max(1, min(self.limit * 4, LAST_PAGE, PAGE_BYTES // size))


def walk_items(spec: Spec[T], walk: Walk) -> Plan[list[T]]:
    """The next page of *walk*, which is taken along, without scores."""
    page = yield from _next_page(spec, walk, scored=False)
    return decoded_members(spec, page.members)


def walk_pairs(spec: Spec[T], walk: Walk) -> Plan[Iterable[tuple[T, float]]]:
    """The next page of *walk*, which is taken along, with scores."""
    page = yield from _next_page(spec, walk, scored=True)
    try:
        return zip(spec.encoding.decode_all(page.members), page.scores, strict=True)
    except Exception as error:
        broken: list[Pair] = []
        found = list(decoded(spec, zip(page.members, page.scores, strict=True), broken))
        if not broken:
            raise cause_of(error) from None  # out of a signal handler, and not the serializer's
        return found


def _next_page(spec: Spec[T], walk: Walk, *, scored: bool) -> Plan[Page]:
    where = (spec.key, walk.after, walk.limit)
    # Members so large that few make a page would be sent twice to see that they are still there.
    if walk.steady and walk.limit >= FIRST_PAGE:
        try:
            *_, found = yield commands.page_at_rank(
                *where, walk.rank, reverse=walk.reverse, scored=scored
            )
        except commands.TransactionUnsupportedError:
            walk.transactions, found = False, None
        if found is not None:
            walk.go_on(found)
            return found  # type: ignore[no-any-return]
    command = commands.page_after(*where, reverse=walk.reverse, scored=scored)
    page = yield from ask_reader(command)
    walk.steady = page.rank == walk.rank and walk.transactions
    walk.go_on(page)
    return page
