"""Choose the cores on which client and server run.

Left alone, the system moves them, and this is the largest difference between two runs: a round
trip takes 18 µs where both share a core, as no core has to be woken, and 60 µs or more where they
don't. So every other pass has both on one core, and the passes between have each on one of its own.
Where a process can't be bound to a core, they run where the system lets them.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from tests.servers import TestServer

SERVER = "valkey-9.1"


def cores(number: int) -> tuple[int, int] | None:
    """Return the cores of client and server in a pass; ``None`` if they can't be chosen."""
    if not hasattr(os, "sched_setaffinity"):
        return None
    free = sorted(os.sched_getaffinity(0))
    return (free[-1], free[-1]) if number % 2 == 0 else (free[-1], free[0])


@contextmanager
def served(number: int, *, stay: bool = True) -> Iterator[TestServer]:
    """Start a server for a pass and bind it to its core; this process, too, if it is to *stay*.

    A server and its threads run on the core of the process that starts it.
    """
    chosen = cores(number)
    if chosen is None:
        with TestServer.start(SERVER) as server:
            yield server
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {chosen[1]})
    try:
        with TestServer.start(SERVER) as server:
            os.sched_setaffinity(0, {chosen[0]} if stay else before)
            yield server
    finally:
        os.sched_setaffinity(0, before)
