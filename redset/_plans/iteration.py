"""Plans of iteration: pages in score order, exact while others change the set.

The cursor is the last member that was read, with its score. As long as that member still is where
it was, the next page is read by rank, which is fast; once it isn't, a script finds the place.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from redset._plans.readonly import ask_reader
from redset._protocol import commands
from redset._protocol.config import Plan, SetConfig
from redset._protocol.members import cause_of, decoded, decoded_members
from redset._protocol.replies import Page, Pair

T = TypeVar("T")

# Pages of an iteration grow from the first to the last of these, while they stay small in bytes.
FIRST_PAGE, LAST_PAGE, PAGE_BYTES = 100, 5_000, 1 << 20


@dataclass(slots=True)
class Cursor:
    """Where an iteration is: after which member it goes on, and with how many."""

    reverse: bool = False
    last_seen: Pair | None = None
    # How many members came before the next one, when the last page was read.
    rank: int = 0
    # Whether that is likely to be so still: nobody was seen to add or remove before it.
    rank_stable: bool = True
    # Whether the connection takes transactions; one of a cluster doesn't.
    transactions: bool = True
    limit: int = field(default_factory=lambda: FIRST_PAGE)
    exhausted: bool = False

    def advance(self, page: Page) -> None:
        """Take along that *page* was read."""
        members = page.members
        self.exhausted = len(members) < self.limit
        if not self.exhausted:
            self.last_seen = (members[-1], page.scores[-1])
            self.rank = page.rank + len(members)
            # Some stand for all: to measure each would cost a good part of its reading.
            some = members[:: len(members) // FIRST_PAGE or 1]
            size = sum(map(len, some)) // len(some) + 1
            self.limit = max(1, min(self.limit * 4, LAST_PAGE, PAGE_BYTES // size))


def page_of_items(config: SetConfig[T], cursor: Cursor) -> Plan[list[T]]:
    """The next page of *walk*, which is taken along, without scores."""
    page = yield from _next_page(config, cursor, scored=False)
    return decoded_members(config, page.members)


def page_of_pairs(config: SetConfig[T], cursor: Cursor) -> Plan[Iterable[tuple[T, float]]]:
    """The next page of *walk*, which is taken along, with scores."""
    page = yield from _next_page(config, cursor, scored=True)
    try:
        return zip(config.encoding.decode_all(page.members), page.scores, strict=True)
    except Exception as error:
        undecodable: list[Pair] = []
        found = list(decoded(config, zip(page.members, page.scores, strict=True), undecodable))
        if not undecodable:
            raise cause_of(error) from None  # out of a signal handler, and not the serializer's
        return found


def _next_page(config: SetConfig[T], cursor: Cursor, *, scored: bool) -> Plan[Page]:
    where = (config.key, cursor.last_seen, cursor.limit)
    # Members so large that few make a page would be sent twice to see that they are still there.
    if cursor.rank_stable and cursor.limit >= FIRST_PAGE:
        try:
            *_, found = yield commands.page_at_rank(
                *where, cursor.rank, reverse=cursor.reverse, scored=scored
            )
        except commands.TransactionUnsupportedError:
            cursor.transactions, found = False, None
        if found is not None:
            cursor.advance(found)
            return found  # type: ignore[no-any-return]
    command = commands.page_after(*where, reverse=cursor.reverse, scored=scored)
    page = yield from ask_reader(command)
    cursor.rank_stable = page.rank == cursor.rank and cursor.transactions
    cursor.advance(page)
    return page
