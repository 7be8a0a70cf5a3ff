"""Plans of iteration: pages in score order, exact while other clients change the set.

The cursor is the last member that was read, with its score. If that member still has the same rank,
the next page is read by rank, which is fast; otherwise a script finds the place.
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

# The number of members of a page grows from the first to the second of these, as long as a page
# has at most as many bytes as the third.
FIRST_PAGE, LAST_PAGE, PAGE_BYTES = 100, 5_000, 1 << 20


@dataclass(slots=True)
class Cursor:
    """The position of an iteration: after which member it continues, and with how many."""

    reverse: bool = False
    last_seen: Pair | None = None
    # The rank of the next member when the last page was read.
    rank: int = 0
    # Whether it probably still has that rank: the last page showed no change of the set before it.
    rank_stable: bool = True
    # Whether the connection supports transactions: not if the client's methods send.
    transactions: bool = True
    limit: int = field(default_factory=lambda: FIRST_PAGE)
    exhausted: bool = False

    def advance(self, page: Page) -> None:
        """Move past *page*, which was read."""
        members = page.members
        self.exhausted = len(members) < self.limit
        if not self.exhausted:
            self.last_seen = (members[-1], page.scores[-1])
            self.rank = page.rank + len(members)
            # A sample of the members is measured: measuring all would cost a large part of the time
            # that reading the page takes.
            some = members[:: len(members) // FIRST_PAGE or 1]
            size = sum(map(len, some)) // len(some) + 1
            self.limit = max(1, min(self.limit * 4, LAST_PAGE, PAGE_BYTES // size))


def page_of_items(config: SetConfig[T], cursor: Cursor) -> Plan[list[T]]:
    """Read the next page at *cursor*, and advance it; return the items without scores."""
    page = yield from _next_page(config, cursor, scored=False)
    return decoded_members(config, page.members)


def page_of_pairs(config: SetConfig[T], cursor: Cursor) -> Plan[Iterable[tuple[T, float]]]:
    """Read the next page at *cursor*, and advance it; return pairs of item and score."""
    page = yield from _next_page(config, cursor, scored=True)
    try:
        return zip(config.encoding.decode_all(page.members), page.scores, strict=True)
    except Exception as error:
        undecodable: list[Pair] = []
        found = list(decoded(config, zip(page.members, page.scores, strict=True), undecodable))
        if not undecodable:
            raise cause_of(error) from None  # raised by a signal handler, not by the serializer
        return found


def _next_page(config: SetConfig[T], cursor: Cursor, *, scored: bool) -> Plan[Page]:
    where = (config.key, cursor.last_seen, cursor.limit)
    # Reading by rank reads the last member again, to see whether it is still there. If members are
    # so large that a page has few of them, that costs too much.
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
