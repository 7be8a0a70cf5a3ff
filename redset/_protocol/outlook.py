"""Outlook: what a waiting consumer reads to learn when there may be something to take.

No I/O: commands, and what their replies say.
"""

import math
from collections.abc import Sequence
from typing import Any

from redset._protocol import commands
from redset._protocol.commands import HIGHEST, LOWEST, Command
from redset._protocol.keys import leasing_keys
from redset._protocol.scores import Clock


class Outlook:
    """How many items of a set are ready by *clock*, and when the next one will be.

    Without a clock every item is ready. Consumers of one set that have the same clock have the
    same outlook: what one of them is told, the others need not ask for.
    """

    __slots__ = ("_key", "clock", "found")

    def __init__(self, key: bytes, clock: Clock | None) -> None:
        self._key, self.clock = key, clock
        # Whether the last ask found something.
        self.found = False

    def of_leases(self) -> list[Command[Any]]:
        """Read the nearest deadline of a lease, and the server's time."""
        return [commands.by_rank(leasing_keys(self._key).leased, 0, 0), commands.server_time()]

    def of_items(self) -> list[Command[Any]]:
        """Read the lowest score, and how many items are ready."""
        highest = HIGHEST if self.clock is None else commands.number(self.clock())
        return [commands.by_rank(self._key, 0, 0), commands.count(self._key, LOWEST, highest)]

    def commands(self) -> list[Command[Any]]:
        """Read everything at one moment, or nearly."""
        return [*self.of_leases(), *self.of_items()]

    def read(self, replies: Sequence[Any]) -> tuple[int, float]:
        """Return how many asks may find something now, and in how many seconds another may.

        What changes nothing on the server is no change that it could tell of: a lease runs out,
        an item becomes due. A lease that has run out counts as one item; handing that out returns
        all such items to the set, which is a change.
        """
        held, server_now, lowest, ready = replies
        events = [deadline / 1000 - server_now for _, deadline in held]
        ready += sum(event <= 0 for event in events)
        if self.clock is not None and lowest:
            now, [(_, score)] = self.clock(), lowest
            if score > now:
                events.append(score - now)
            elif not ready:  # it became due after the clock was asked for the count
                ready = 1
        return ready, min([event for event in events if event > 0], default=math.inf)
