"""The clock of deadlines, which no library for tests stops. Imports nothing of redset."""

import time
from collections.abc import Callable
from functools import partial

# Return seconds that only ever pass. Instead of `time.monotonic`: freezegun replaces that wherever
# a module names it, but not inside of `threading`, so that timeouts would never end and renewals
# would never be due. Both frozen clocks and clocks that jump leave this one as it is. Windows has
# no `clock_gettime`; the `partial` hides the function from freezegun there.
monotonic: Callable[[], float] = (
    partial(time.clock_gettime, time.CLOCK_MONOTONIC)
    if hasattr(time, "clock_gettime")
    else partial(time.monotonic)
)
