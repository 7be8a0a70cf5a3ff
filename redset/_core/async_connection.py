"""Async connection: sends batches of commands through the user's own asyncio client.

Owns who may use the wire when. Tasks never touch a connection: they hand their commands in and
wait for the replies, so that a task that is cancelled leaves no connection in the middle of one.
What it had asked for is done nevertheless, hence the one rule of order: nothing that is handed in
after a task was cancelled overtakes what that task had sent.
"""

import asyncio
import copy
import importlib
import math
from collections import deque
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from redset._core import commands
from redset._core.async_watch import ClientWatch, borrow
from redset._core.commands import Command
from redset._core.connection import (
    RAW,
    is_async,
    parsed,
    run_ids,
    same_address,
    without_script,
)
from redset.exceptions import InvalidTypeError

# What one write carries at the most: more would hold up the server's other clients.
MOST_BYTES, MOST_COMMANDS = 1 << 20, 5_000


class AsyncClientConnection:
    """An `AsyncConnection` over an asyncio client of redis-py or valkey-py."""

    def __init__(self, client: Any, *, pipelining: bool = True) -> None:
        self.client = client
        self._wire = _wire_of(client, pipelining)

    @property
    def is_cluster(self) -> bool:
        """Whether keys must share a slot to be used together."""
        return hasattr(self.client, "nodes_manager")

    @property
    def abandoned(self) -> int:
        """How many batches of this client were done without that anybody heard of it."""
        return self._wire.abandoned

    async def execute(self, batch: Sequence[Command[Any]]) -> list[Any]:
        """As `redset._core.connection.ClientConnection.execute`, awaited."""
        replies = await self._send(batch)
        if len(batch) == 1 and not isinstance(reply := replies[0], Exception):
            return [batch[0].parse(reply)]
        for reply in replies:
            if isinstance(reply, Exception):
                return parsed(batch, await self._with_scripts(batch, replies))
        return [command.parse(reply) for command, reply in zip(batch, replies, strict=True)]

    async def _with_scripts(self, batch: Sequence[Command[Any]], replies: list[Any]) -> list[Any]:
        missing = without_script(replies)
        if missing:
            again = await self._send([batch[place].with_source() for place in missing])
            for place, reply in zip(missing, again, strict=True):
                replies[place] = reply
        return replies

    def execute_soon(self, batch: Sequence[Command[Any]]) -> None:
        """Send *batch* while the loop runs; nobody waits for it. From any thread."""
        self._wire.send_soon(self.client, batch)

    def watch(self, key: bytes) -> ClientWatch:
        """What tells when *key* changes."""
        return ClientWatch(self.client, key)

    def _send(self, batch: Sequence[Command[Any]]) -> Coroutine[Any, Any, list[Any]]:
        return self._wire.send(self.client, batch)


@dataclass(slots=True, eq=False)
class Parcel:
    """What one task hands in, and the future of what it gets back."""

    client: Any
    batch: Sequence[Command[Any]]
    packed: bytes
    # The replies, or the error that befell them: raised only if somebody still waits.
    replies: "asyncio.Future[list[Any] | Exception]"
    sent: bool = False


class Wire:
    """What all sets of one client send by.

    Parcels that are handed in within one iteration of the loop, or while others are under way,
    travel together. Without *pipelining* each travels by itself, at once.
    """

    def __init__(self, pipelining: bool) -> None:
        self._pipelining = pipelining
        # How many parcels were sent whose replies nobody waited for.
        self.abandoned = 0
        self._begin(None)

    def _begin(self, loop: asyncio.AbstractEventLoop | None) -> None:
        self._loop = loop
        self._waiting: deque[Parcel] = deque()
        self._sender: asyncio.Task[None] | None = None
        self._alone: dict[asyncio.Task[None], Parcel] = {}

    async def send(self, client: Any, batch: Sequence[Command[Any]]) -> list[Any]:
        """Give the raw replies to *batch*; those that are errors are among them."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._begin(loop)
        parcel = self._hand_in(loop, client, batch)
        try:
            # To cancel a task that waits here is to cancel this future, and nothing else.
            replies = await parcel.replies
        except asyncio.CancelledError:
            self.abandoned += parcel.sent
            raise
        if isinstance(replies, Exception):
            raise replies
        return replies

    def send_soon(self, client: Any, batch: Sequence[Command[Any]]) -> None:
        """Send *batch* if the loop still runs; from any thread, without waiting."""
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._hand_in, loop, client, batch)

    def _hand_in(
        self, loop: asyncio.AbstractEventLoop, client: Any, batch: Sequence[Command[Any]]
    ) -> Parcel:
        if len(batch) == 1:
            packed = batch[0].packed()
        else:
            packed = b"".join([command.packed() for command in batch])
        parcel = Parcel(client, batch, packed, loop.create_future())
        if self._pipelining:
            self._waiting.append(parcel)
            if self._sender is None:
                self._sender = loop.create_task(self._send_all())
        else:
            task = loop.create_task(self._send_alone(parcel))
            self._alone[task] = parcel
            task.add_done_callback(self._alone.pop)
        return parcel

    async def _send_all(self) -> None:
        try:
            while parcels := self._next():
                await _exchange(parcels)
                # Those that were answered now ask again, and share the next write.
                await asyncio.sleep(0)
        finally:
            self._sender = None
            if any(not parcel.replies.cancelled() for parcel in self._waiting):
                # This task was cancelled by somebody else, theirs were not.
                self._sender = asyncio.get_running_loop().create_task(self._send_all())

    def _next(self) -> list[Parcel]:
        parcels: list[Parcel] = []
        size = number = 0
        while self._waiting:
            parcel = self._waiting[0]
            size, number = size + len(parcel.packed), number + len(parcel.batch)
            if parcels and (size > MOST_BYTES or number > MOST_COMMANDS):
                break
            self._waiting.popleft()
            if not parcel.replies.cancelled():
                parcels.append(parcel)
        return parcels

    async def _send_alone(self, parcel: Parcel) -> None:
        while left := [task for task, other in self._alone.items() if _is_left_behind(other)]:
            await asyncio.wait(left)
        if not parcel.replies.cancelled():
            await _exchange([parcel])


def _is_left_behind(parcel: Parcel) -> bool:
    return parcel.sent and parcel.replies.cancelled()


async def _exchange(parcels: list[Parcel]) -> None:
    """Send *parcels* in one write, and hand the replies out."""
    for parcel in parcels:
        parcel.sent = True
    try:
        replies = await _ask(parcels[0].client, parcels)
    except Exception as error:
        for parcel in parcels:
            if not parcel.replies.done():
                parcel.replies.set_result(_copied(error))
    except BaseException:
        for parcel in parcels:
            parcel.replies.cancel()
        raise
    else:
        place = 0
        for parcel in parcels:
            end = place + len(parcel.batch)
            if not parcel.replies.done():
                parcel.replies.set_result(replies[place:end])
            place = end


def _copied(error: Exception) -> Exception:
    # Each task adds its own traceback to what it raises.
    try:
        return copy.copy(error)
    except Exception:
        return error


async def _ask(client: Any, parcels: list[Parcel]) -> list[Any]:
    pool = getattr(client, "connection_pool", None)
    if pool is None or getattr(client, "single_connection_client", False):
        return await _ask_through(client, [command for p in parcels for command in p.batch])
    packed = [parcel.packed for parcel in parcels]
    number = sum([len(parcel.batch) for parcel in parcels])
    connection = await borrow(pool)
    try:
        # Older clients repeat only after the errors that they were told.
        end = getattr(client, "_disconnect_raise", None)

        async def fail(error: Exception) -> None:
            await (connection.disconnect() if end is None else end(connection, error))

        return list(
            await connection.retry.call_with_retry(lambda: _talk(connection, packed, number), fail)
        )
    finally:
        await pool.release(connection)


async def _talk(connection: Any, packed: list[bytes], number: int) -> list[Any]:
    """Write *packed*, a number of commands, and read as many replies.

    The connection's own timeout for each read would cost more than the read. One for all replies
    is put off as they come, a little generously: it ends a silence, not a long answer.
    """
    await connection.send_packed_command(packed)
    errors = exceptions_of(type(connection))
    patience: float | None = connection.socket_timeout
    now = asyncio.get_running_loop().time
    due = math.inf if patience is None else now() + patience / 4
    replies: list[Any] = []
    try:
        async with asyncio.timeout(patience) as limit:
            for _ in range(number):
                try:
                    reply = await connection.read_response(disable_decoding=True, timeout=math.inf)
                except errors.ResponseError as error:
                    reply = error
                replies.append(reply)
                if patience is not None and now() > due:
                    due = now() + patience / 4
                    limit.reschedule(due + patience)
    except TimeoutError:
        raise errors.TimeoutError("Timeout reading from the server") from None
    return replies


async def _ask_through(client: Any, batch: list[Command[Any]]) -> list[Any]:
    """Have a client that is more than a pool of connections send *batch* in its own way."""
    if len(batch) == 1:
        try:
            return [await client.execute_command(*batch[0].words, **RAW)]
        except exceptions_of(type(client)).ResponseError as error:
            return [error]
    pipeline = client.pipeline(transaction=False)
    for command in batch:
        pipeline.execute_command(*command.words, **RAW)
    return list(await pipeline.execute(raise_on_error=False))


_exceptions: WeakKeyDictionary[type, Any] = WeakKeyDictionary()


def exceptions_of(kind: type) -> Any:
    """The exceptions of the library that *kind*, or a class that it is made from, belongs to."""
    if kind not in _exceptions:
        libraries = [base.__module__.partition(".")[0] for base in kind.__mro__]
        library = next((name for name in libraries if name in {"redis", "valkey"}), "redis")
        _exceptions[kind] = importlib.import_module(f"{library}.exceptions")
    return _exceptions[kind]


_wires: WeakKeyDictionary[Any, dict[bool, Wire]] = WeakKeyDictionary()


def _wire_of(client: Any, pipelining: bool) -> Wire:
    wires = _wires.setdefault(client, {})
    if pipelining not in wires:
        wires[pipelining] = Wire(pipelining)
    return wires[pipelining]


async def same_server(one: AsyncClientConnection, other: AsyncClientConnection) -> bool:
    """As `redset._core.connection.same_server`, awaited."""
    known = same_address(one, other)
    return await _run_id(one) == await _run_id(other) if known is None else known


async def _run_id(connection: AsyncClientConnection) -> str:
    known = run_ids.get(connection.client)
    if known is None:
        [known] = await AsyncClientConnection(connection.client).execute([commands.server_info()])
        run_ids[connection.client] = known
    return known


def check_async_client(name: str, client: Any) -> Any:
    """Give *client* back if it can serve an asynchronous set; say what is wrong if it can't."""
    if not is_async(name, client, "redis.asyncio.Redis()"):
        raise InvalidTypeError(
            f"redset {name!r}: redis_client is a synchronous client ({type(client).__name__}); "
            "this set needs an asyncio one such as redis.asyncio.Redis()"
        )
    return client
