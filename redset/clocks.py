"""Clocks that a set can be given: callables without arguments that return UNIX seconds."""

from typing import Any

from redset._plans.many import server_time
from redset._support.clock import monotonic
from redset._support.forks import reentrant_lock
from redset._transport.connection import ClientConnection, check_client
from redset._transport.driver import drive
from redset._transport.pickling import PicklableClient

# A round trip of up to this many seconds tells the time; after a slower one, the server is asked
# again so soon.
PROMPT_SECONDS, SOON_SECONDS = 0.05, 1.0


class BaseClock:
    """The difference between the server's clock and this process's, and when to ask again."""

    def __init__(self, client: Any, refresh: float) -> None:
        self._client = client
        self._refresh = refresh
        self._offset = 0.0
        self._asked: float | None = None

    def _is_due(self, now: float) -> bool:
        if self._asked is None:
            return True
        # Before that: the clock was replaced, or the program was moved to another machine.
        return not 0.0 <= now - self._asked <= self._refresh

    def _learn(self, server: float, before: float) -> float:
        """Note that the server's time was *server* between *before* and now; return the latter."""
        after = monotonic()
        if after - before <= PROMPT_SECONDS:
            self._offset, self._asked = server - (before + after) / 2, after
        else:
            # The reply may have been under way for all of that time: no item is due too early.
            self._offset, self._asked = server - after, after - self._refresh + SOON_SECONDS
        return after


class ServerClock(BaseClock):
    """The clock of the server behind *client*, for fleets whose own clocks differ.

    A call costs no round trip, except one in every *refresh* seconds (default 60). That call asks
    the server for its time (Redis ``TIME``), which is taken as the time in the middle of the round
    trip. If that takes longer than 0.05 seconds, it is taken as the time at its end, so that the
    clock may be late but is not early, and the server is asked again after a second.

    >>> import redset
    >>> client = redset.connect()
    >>> jobs = redset.ScheduledSet(client, "jobs", clock=redset.ServerClock(client))
    """

    def __init__(self, client: Any, *, refresh: float = 60.0) -> None:
        super().__init__(check_client("ServerClock", client), refresh)
        self._connection = ClientConnection(self._client)
        self._lock = reentrant_lock()

    def __call__(self) -> float:
        """Return the server's UNIX time in seconds."""
        with self._lock.get():
            now = monotonic()
            if self._is_due(now):
                now = self._learn(drive(server_time(), self._connection), now)
            return now + self._offset

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (PicklableClient(self._client), self._refresh)


def _rebuild(client: PicklableClient, refresh: float) -> ServerClock:
    return ServerClock(client.client, refresh=refresh)
