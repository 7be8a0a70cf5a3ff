"""Async watch: `redset._core.watch` for asyncio, where all tasks that wait for a key share one.

Owns the connection that the server tells of changes, and who is told of them. What those make of
it is up to `redset._core.watch.Attention`.
"""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Generator
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from redset._core import compat
from redset._core.watch import PATIENCE_SECONDS, POLL_SECONDS, Attention, Message, greet

A = TypeVar("A")
R = TypeVar("R")
S = TypeVar("S")

logger = logging.getLogger("redset")

MOST_UNREAD = 1_000


async def give_back(pool: Any, connection: Any) -> None:
    """Let the next user of *connection* find it as new."""
    try:
        await connection.disconnect(nowait=True)
    finally:
        await pool.release(connection)


async def _follow(steps: Generator[S, A, R], answer: Callable[[S], Awaitable[A]]) -> R:
    try:
        step = next(steps)
        while True:
            step = steps.send(await answer(step))
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]


class Station:
    """A connection of the client's pool, lent for as long as any task waits for a key to change."""

    def __init__(self, pool: Any, key: bytes) -> None:
        self._pool, self._key = pool, key
        self._connection: Any = None
        self._closed = False
        self.loop = asyncio.get_running_loop()
        self.waiting: set[asyncio.Queue[Message | None]] = set()
        # Done once changes are told, or once there is no hope that they will be.
        self.begun: asyncio.Future[None] = self.loop.create_future()
        self.task = self.loop.create_task(self._listen())

    @property
    def is_over(self) -> bool:
        """Whether it can't tell of changes any more."""
        return self.task.done()

    async def _listen(self) -> None:
        try:
            self._connection = await compat.borrow_async(self._pool)
            try:
                protocol = getattr(self._connection, "protocol", 2)
                await _follow(greet(self._key, protocol), self._ask)
                self._settle()
                while not self._closed:
                    *_, channel, said = await self._read(timeout=math.inf)
                    for messages in self.waiting:
                        # Who doesn't listen now needs to hear no more than that there was much.
                        if messages.qsize() < MOST_UNREAD:
                            messages.put_nowait((channel, said))
            finally:
                await give_back(self._pool, self._connection)
        except Exception:
            logger.debug("redset: can't watch %r, so it is polled", self._key, exc_info=True)
        finally:
            self._settle()
            for messages in self.waiting:
                messages.put_nowait(None)

    def close(self) -> None:
        """Let the connection go."""
        self._closed = True
        self.task.cancel()

    async def _ask(self, words: tuple[Any, ...]) -> Any:
        # The client's `wait_for` may swallow a cancellation (Python 3.11).
        if self._closed:
            raise asyncio.CancelledError
        if words:
            await self._connection.send_command(*words)
        return await self._read()

    async def _read(self, **options: Any) -> Any:
        return await self._connection.read_response(disable_decoding=True, **options)

    def _settle(self) -> None:
        if not self.begun.done():
            self.begun.set_result(None)


# Of each client, the stations that have somebody who waits.
_stations: WeakKeyDictionary[Any, dict[bytes, Station]] = WeakKeyDictionary()


def _station(client: Any, key: bytes) -> Station | None:
    """The station for *key*; none where a connection can't be spared."""
    stations = _stations.setdefault(client, {})
    for other, station in list(stations.items()):
        if station.is_over or station.loop is not asyncio.get_running_loop():
            del stations[other]
    if key not in stations:
        pool = getattr(client, "connection_pool", None)
        # Half of them at the least stay with those who have something to say.
        most = 0 if pool is None else getattr(pool, "max_connections", 2) // 2
        if len(stations) >= most:
            return None
        stations[key] = Station(pool, key)
    return stations[key]


class ClientWatch:
    """One task that waits for a key to change; `redset._core.watch.Watch` for asyncio."""

    def __init__(self, client: Any, key: bytes) -> None:
        self._client, self._key = client, key
        self._attention = Attention(key)
        self._station: Station | None = None
        self._messages: asyncio.Queue[Message | None] = asyncio.Queue()

    async def wait(self, seconds: float) -> bool:
        """As `redset._core.watch.Watch.wait`, awaited."""
        if self._station is None:
            self._station = _station(self._client, self._key)
            if self._station is not None:
                self._station.waiting.add(self._messages)
                await asyncio.wait({self._station.begun}, timeout=seconds)
                return False
        else:
            heard = self._attention.listen(min(seconds, PATIENCE_SECONDS))
            try:
                return await _follow(heard, self._message)
            except _OverError:
                self.close()
                self._attention.woken = False
        await asyncio.sleep(min(seconds, POLL_SECONDS))
        return False

    def catch_up(self) -> None:
        """As `redset._core.watch.Watch.catch_up`."""
        self._attention.woken = False
        while not self._messages.empty():
            if self._messages.get_nowait() is None:
                self.close()

    async def _message(self, seconds: float) -> Message | None:
        assert self._station is not None  # noqa: S101
        if self._messages.empty() and self._station.is_over:
            raise _OverError
        try:
            async with asyncio.timeout(seconds):
                message = await self._messages.get()
        except TimeoutError:
            return None
        if message is None:
            raise _OverError
        return message

    def close(self) -> None:
        """Wait no more; who is the last one to leave lets the connection go."""
        station, self._station = self._station, None
        if station is not None:
            station.waiting.discard(self._messages)
            if not station.waiting:
                station.close()
                _stations.get(self._client, {}).pop(self._key, None)
        self._messages = asyncio.Queue()


class _OverError(Exception):
    """The station can't tell of changes any more."""
