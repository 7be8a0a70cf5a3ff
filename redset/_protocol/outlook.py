"""Outlook: the commands that tell a waiting consumer when there may be something to take.

No I/O: only commands, and the reading of their replies.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from redset._protocol import commands
from redset._protocol.commands import HIGHEST, LOWEST, Command
from redset._protocol.keys import leasing_keys
from redset._protocol.scores import Clock


class Place(NamedTuple):
    """The key of a set, and the clock by which its items are due; without a clock all are due."""

    key: bytes
    clock: Clock | None


class Outlook:
    """The number of ready items of one set, or of several, and the time when the next one is ready.

    Consumers of the same sets that have the same clocks have the same outlook: if one of them has
    asked the server, the others need not.
    """

    __slots__ = ("found", "places")

    places: tuple[Place, ...]
    found: bool

    def __init__(self, *places: Place) -> None:
        self.places = places
        # Whether the last request found something.
        self.found = False

    @property
    def keys(self) -> tuple[bytes, ...]:
        """The keys of the sets."""
        return tuple([place.key for place in self.places])

    def is_that_of(self, other: "Outlook") -> bool:
        """Return whether *other*, an outlook of the same sets, has the same clocks."""
        pairs = zip(self.places, other.places, strict=True)
        return all(mine.clock == theirs.clock for mine, theirs in pairs)

    def of_leases(self) -> list[Command[Any]]:
        """Return commands that read each set's nearest lease deadline, and the server's time."""
        held = [commands.by_rank(leasing_keys(place.key).leased, 0, 0) for place in self.places]
        return [*held, commands.server_time()]

    def of_items(self) -> list[Command[Any]]:
        """Return commands that read each set's lowest score, and how many items are ready."""
        asked: list[Command[Any]] = []
        for key, clock in self.places:
            max_due_score = HIGHEST if clock is None else commands.number(clock())
            asked += commands.by_rank(key, 0, 0), commands.count(key, LOWEST, max_due_score)
        return asked

    def commands(self) -> list[Command[Any]]:
        """Return all commands, to be sent in one batch."""
        return [*self.of_leases(), *self.of_items()]

    def read(self, replies: Sequence[Any]) -> tuple[int, float]:
        """Return how many requests may find something now, and in how many seconds another may.

        The server sends no notification if a lease expires or an item becomes due, as no key
        changes. An expired lease counts as one item: the request that takes it returns all such
        items to the set, and of that change the server sends a notification.
        """
        number = len(self.places)
        held, server_now, of_items = replies[:number], replies[number], replies[number + 1 :]
        in_all, first = 0, math.inf
        for place, leases, lowest, ready in zip(
            self.places, held, of_items[::2], of_items[1::2], strict=True
        ):
            events = [deadline / 1000 - server_now for _, deadline in leases]
            there = ready + sum(event <= 0 for event in events)
            if place.clock is not None and lowest:
                now, [(_, score)] = place.clock(), lowest
                if score > now:
                    events.append(score - now)
                elif not there:  # it became due after the clock was asked for the count
                    there = 1
            in_all += there
            first = min([first, *(event for event in events if event > 0)])
        return in_all, first
