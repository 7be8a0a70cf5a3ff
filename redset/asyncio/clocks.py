"""Clocks that a set can be given in an asyncio program."""

from typing import Any

from redset._plans.many import server_time
from redset._support.clock import monotonic
from redset._transport.async_connection import AsyncClientConnection, check_async_client
from redset._transport.driver import drive_async
from redset._transport.pickling import PicklableClient
from redset.clocks import BaseClock
from redset.exceptions import InvalidValueError


class ServerClock(BaseClock):
    """The clock of the server behind *client*, as `redset.ServerClock`.

    A set that is given this clock synchronizes it before it needs the time. A program that calls
    the clock itself must synchronize it first, with ``await clock.synchronize()``, at least once.
    """

    def __init__(self, client: Any, *, refresh: float = 60.0) -> None:
        super().__init__(check_async_client("ServerClock", client), refresh)
        self._connection = AsyncClientConnection(self._client)

    async def synchronize(self) -> None:
        """Ask the server for its time if *refresh* seconds have passed.

        Cost: none, or 1 round trip.
        Source: ``TIME``.
        """
        before = monotonic()
        if self._is_due(before):
            self._learn(await drive_async(server_time(), self._connection), before)

    def __call__(self) -> float:
        """Return the server's UNIX time in seconds. No I/O."""
        if self._asked is None:
            raise InvalidValueError("redset ServerClock: await its synchronize() once before")
        return monotonic() + self._offset

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (PicklableClient(self._client), self._refresh)


def _rebuild(client: PicklableClient, refresh: float) -> ServerClock:
    return ServerClock(client.client, refresh=refresh)
