"""Pipeliner: the queue through which all sets of one asyncio client send.

A batch is packed or goes through the client by the same rule as in `redset._transport.connection`.
This module also decides the order of requests. A task never uses a connection itself: it enqueues
its commands and waits for the replies, so that a cancelled task leaves no half-read reply. The
server executes the commands of a cancelled task nevertheless. Hence the rule of order: no request
that is enqueued after a task was cancelled overtakes what that task had sent.
"""

import asyncio
import contextlib
import copy
import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from typing import Any

from redset._protocol import client_errors, commands
from redset._protocol.commands import Command
from redset._support.clock import monotonic
from redset._support.forks import this_process
from redset._transport import compat
from redset._transport.node_pools import NodeClient
from redset._transport.pinned import ACQUIRE_TIMEOUT, FIRST_PAUSE, LONGEST_PAUSE
from redset._transport.through_client import confirmations_after, send_through_async
from redset.exceptions import InvalidTypeError

# The most that one write carries: a larger one would delay the server's other clients.
MAX_BYTES, MAX_COMMANDS = 1 << 20, 5_000


@dataclass(slots=True, eq=False)
class PendingRequest:
    """The batch that one task enqueued, and the future of its replies."""

    client: Any
    batch: Sequence[Command[Any]]
    # The replies, or the error of the round trip as a result: it is raised only if the task still
    # waits.
    replies: "asyncio.Future[list[Any] | Exception]"
    # Empty if the request goes through the client.
    packed: bytes = b""
    # The task that sends this request by itself; none for one that shares a write.
    sender: "asyncio.Task[None] | None" = None
    is_sent: bool = False
    # The later requests of its write whose fence, and whose wait, confirm this one, too.
    fenced_by: "PendingRequest | None" = None
    confirmed_by: "PendingRequest | None" = None


class Pipeliner:
    """The queue through which all sets of one client send.

    Requests that are enqueued within one iteration of the loop, or while others wait for replies,
    are sent in one write. Without *pipelining*, and while a tracer observes the client's commands,
    each request is sent by itself, at once. While only its pipelines are observed, a request of
    several commands keeps its place, and is sent by the client.
    """

    def __init__(self, pipelining: bool, original: Any, *, packs: bool = False) -> None:
        # Commands are packed as long as the client's ``execute_command`` is the *original* one; for
        # one node of a cluster always, as the route to it looks at the client.
        self._pipelining, self._original, self._always_packs = pipelining, original, packs
        # The number of requests whose task was cancelled after they were sent.
        self.cancelled_after_send = 0
        self._process = this_process()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: deque[PendingRequest] = deque()
        self._begin(None, None)

    def _begin(self, client: Any, loop: asyncio.AbstractEventLoop | None) -> None:
        process = this_process()
        pool = compat.pool_of(client)
        if pool is not None:
            forked = self._process != process
            compat.forget_other_loops(pool, loop, forked=forked)
        left, waiting = self._loop, self._waiting
        if left is not None and not left.is_closed() and self._process == process:
            for request in list(waiting):
                with contextlib.suppress(RuntimeError):  # it was closed in this moment
                    left.call_soon_threadsafe(_leave, request)
        self._loop, self._process = loop, process
        self._waiting = deque()
        # The pool whose connections take packed commands; ``None`` until a request finds it.
        self._pool: Any = None
        # The requests that are being sent.
        self._taken: list[PendingRequest] = []
        self._sender: asyncio.Task[None] | None = None
        # The senders of single requests, and those of them whose request belongs to a cancelled
        # task.
        self._alone: set[asyncio.Task[None]] = set()
        self._orphaned: set[asyncio.Task[None]] = set()

    async def send(self, client: Any, batch: Sequence[Command[Any]]) -> list[Any]:
        """Send *batch*, and return the raw replies; errors of the server are among them."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop or self._process != this_process():
            self._begin(client, loop)
        request = self._enqueue(loop, client, batch)
        try:
            # If a task that waits here is cancelled, only this future is cancelled, not the sender.
            replies = await request.replies
        except asyncio.CancelledError:
            if request.is_sent:
                self.cancelled_after_send += 1
                if request.sender is not None and not request.sender.done():
                    self._orphaned.add(request.sender)
                    request.sender.add_done_callback(self._orphaned.discard)
            raise
        if isinstance(replies, Exception):
            raise replies
        return replies

    def send_soon(self, client: Any, batch: Sequence[Command[Any]]) -> None:
        """Send *batch* if the loop still runs; from any thread, without waiting."""
        loop = self._loop
        if loop is not None and not loop.is_closed() and self._process == this_process():
            loop.call_soon_threadsafe(self._enqueue, loop, client, batch)

    def _enqueue(
        self, loop: asyncio.AbstractEventLoop, client: Any, batch: Sequence[Command[Any]]
    ) -> PendingRequest:
        request = PendingRequest(client, batch, loop.create_future())
        packs = (self._always_packs or compat.is_untouched(client, self._original)) and (
            client.connection_pool is self._pool or self._follow_pool(client)
        )
        if packs:
            if len(batch) == 1:
                request.packed = batch[0].packed()
            elif self._always_packs or compat.pipeline_is_untouched(client):
                request.packed = b"".join([command.packed() for command in batch])
        if packs and self._pipelining:
            self._waiting.append(request)
            if self._sender is None or self._sender.done():
                self._begin_sender(loop)
        else:
            self._begin_alone(loop, request)
        return request

    def _begin_sender(self, loop: asyncio.AbstractEventLoop) -> None:
        self._sender = loop.create_task(self._send_all())
        self._sender.add_done_callback(self._end_sender)

    def _end_sender(self, sender: "asyncio.Task[None]") -> None:
        """Let another task send what waits, if *sender* was cancelled from outside."""
        if self._sender is sender:  # it was cancelled before its first step
            self._sender, self._taken = None, []
        loop = sender.get_loop()
        if self._sender is None and self._loop is loop and self._is_awaited():
            self._begin_sender(loop)

    def _is_awaited(self) -> bool:
        return any(not request.replies.done() for request in self._waiting)

    def _begin_alone(self, loop: asyncio.AbstractEventLoop, request: PendingRequest) -> None:
        request.sender = loop.create_task(self._send_alone(request))
        self._alone.add(request.sender)
        request.sender.add_done_callback(partial(self._end_alone, loop, request))

    def _end_alone(
        self,
        loop: asyncio.AbstractEventLoop,
        request: PendingRequest,
        sender: "asyncio.Task[None]",
    ) -> None:
        self._alone.discard(sender)
        if not request.replies.done():  # it was cancelled from outside, before it sent anything
            self._begin_alone(loop, request)

    def _follow_pool(self, client: Any) -> bool:
        """Use the pool that *client* has now; return whether it takes packed commands.

        A program may give its client another pool, and a node of a cluster may be a new one.
        """
        pool = compat.pool_of(client)
        if not (isinstance(client, NodeClient) or compat.can_be_pinned(client)):
            return False
        compat.forget_other_loops(pool, self._loop, forked=False)
        self._pool = pool
        return True

    async def _send_all(self) -> None:
        if self._loop is not asyncio.get_running_loop():
            return  # another loop has taken over
        this = self._sender = asyncio.current_task()
        requests: list[PendingRequest] = []
        try:
            if self._orphaned:
                await self._let_orphans_go_first()
            while self._sender is this and (requests := self._next()):
                await round_trip(requests)
                if self._sender is this:
                    self._taken = []
                # Tasks that just received replies may enqueue again, and share the next write.
                await asyncio.sleep(0)
        except BaseException as error:
            # A signal handler may have raised it between any two steps of this task.
            for request in self._taken if self._sender is this else requests:
                if isinstance(error, asyncio.CancelledError):
                    request.replies.cancel()
                elif not request.replies.done():
                    request.replies.set_exception(error)
            raise
        finally:
            if self._sender is this:
                self._sender, self._taken = None, []

    def _next(self) -> list[PendingRequest]:
        requests = self._taken = []
        size = number = 0
        while self._waiting:
            request = self._waiting[0]
            size, number = size + len(request.packed), number + len(request.batch)
            if requests and (size > MAX_BYTES or number > MAX_COMMANDS):
                break
            if requests and not (request.packed and requests[0].packed):
                break  # one that goes through the client, whose pipelines are observed
            if not request.replies.done():
                requests.append(request)
            self._waiting.popleft()
        if 1 < len(requests) < number:  # some have several commands
            share_confirmations(requests)
        return requests

    async def _send_alone(self, request: PendingRequest) -> None:
        await self._let_orphans_go_first()
        if not (self._always_packs or compat.is_untouched(request.client, self._original)):
            # Requests of a shared write may be unanswered, from before a tracer was installed.
            while self._sender is not None:
                await asyncio.wait({self._sender})
        if not request.replies.cancelled():
            await round_trip([request])

    async def _let_orphans_go_first(self) -> None:
        while self._orphaned:
            await asyncio.wait(set(self._orphaned))


def _leave(request: PendingRequest) -> None:
    """Let a request fail that waited when another loop began to use its client."""
    if not (request.is_sent or request.replies.done()):
        request.replies.set_result(
            InvalidTypeError(
                "redset: another event loop began to use the client while this call waited to be "
                "sent; nothing was sent. Make a client for each loop"
            )
        )


def share_confirmations(requests: list[PendingRequest]) -> None:
    """Let requests that wait for the same confirmations share the wait of the last such request.

    That wait begins after the changes of all of them, and a server that confirms nothing keeps them
    waiting once, not once for each request. They share a fence only if it is for the same set: that
    of another set may be refused, as its slot has moved or the account has no right to its key.
    """
    waits: dict[tuple[object, ...], PendingRequest] = {}
    fences: dict[tuple[object, ...], PendingRequest] = {}
    for request in reversed(requests):
        if len(request.batch) < 3 or not request.batch[-1].confirms:  # one of two only probes
            continue
        *batch, fence, wait = request.batch
        has_permission = batch[-1] is commands.ASKING  # which would be that of another command
        set_and_wait = (*fence.words, *wait.words)
        if (last := waits.setdefault(wait.words, request)) is not request:
            request.confirmed_by = last
            size = len(wait.packed())
            later = None if has_permission else fences.get(set_and_wait)
            if later is None:
                batch.append(fence)
            else:
                request.fenced_by = later
                size += len(fence.packed())
            request.batch, request.packed = batch, request.packed[:-size]
        if not has_permission:
            fences.setdefault(set_and_wait, request)


async def round_trip(requests: list[PendingRequest]) -> None:
    """Send *requests* in one write, and give each request its replies."""
    for request in requests:
        request.is_sent = True
    try:
        replies = await send_batch(requests[0].client, requests)
    except Exception as error:
        for request in requests:
            if not request.replies.done():
                request.replies.set_result(_copied(error))
    except BaseException:
        for request in requests:
            request.replies.cancel()
        raise
    else:
        place = 0
        ends: dict[PendingRequest, int] = {}
        for request in requests:
            end = place + len(request.batch)
            if not request.replies.done():
                found = replies[place:end]
                if request.confirmed_by is not None:
                    ends = ends or _ends_of(requests)
                    found += _confirmation_of(request, request.confirmed_by, ends, replies)
                request.replies.set_result(found)
            place = end


def _confirmation_of(
    request: PendingRequest,
    waits: PendingRequest,
    ends: dict[PendingRequest, int],
    replies: list[Any],
) -> list[Any]:
    """Return those *replies* that confirm *request*, but belong to others: *waits* has the last."""
    found = [replies[ends[waits] - 1]]
    if (fenced_by := request.fenced_by) is not None:
        has_own_wait = fenced_by.confirmed_by is None
        found.insert(0, replies[ends[fenced_by] - (2 if has_own_wait else 1)])
    return found


def _ends_of(requests: list[PendingRequest]) -> dict[PendingRequest, int]:
    """Return where the replies to each request end, among those to all of them."""
    sizes = [len(request.batch) for request in requests]
    return dict(zip(requests, accumulate(sizes), strict=True))


def _copied(error: Exception) -> Exception:
    # Each task raises an error of its own, as raising adds a traceback to it.
    try:
        return copy.copy(error)
    except Exception:
        return error


async def send_batch(client: Any, requests: list[PendingRequest]) -> list[Any]:
    """Send all commands of *requests* over one connection, and return the replies."""
    if not requests[0].packed:
        return await send_through_async(client, requests[0].batch)
    pool = compat.pool_of(client)
    connection = await _acquire(pool)
    repetition = Repetition(connection, requests)
    is_clean = False
    try:
        replies: list[Any] = await compat.call_with_retry_async(
            client, connection, repetition.attempt
        )
        is_clean = True
        return replies
    except Exception as error:
        is_clean = client_errors.is_reply(error)  # all replies were read before it was raised
        if is_clean and repetition.replies is not None:
            return repetition.replies
        raise
    finally:
        if not is_clean:
            # The next reply on this connection may belong to one of these commands.
            await connection.disconnect(nowait=True)
        await pool.release(connection)


class Repetition:
    """Sends requests, and again those whose error replies the client's settings repeat."""

    def __init__(self, connection: Any, requests: list[PendingRequest]) -> None:
        self._connection, self._requests = connection, requests
        client = requests[0].client
        is_read_only = type(client) is NodeClient and client.is_read_only
        self._write_and_read = write_and_read_as_writer if is_read_only else write_and_read
        # The number of commands of all requests.
        self.number = sum([len(request.batch) for request in requests])
        # The replies to all commands, errors among them; ``None`` until each has been answered.
        self.replies: list[Any] | None = None

    async def attempt(self) -> list[Any]:
        """Send what has no final reply and return all replies; raise a reply to repeat after."""
        if self.replies is None:
            packed = [request.packed for request in self._requests]
            self.replies = await self._write_and_read(self._connection, packed, self.number)
        else:
            batch = [command for request in self._requests for command in request.batch]
            places = self._open_places()
            packed = [batch[place].packed() for place in places]
            found = await self._write_and_read(self._connection, packed, len(places))
            for place, reply in zip(places, found, strict=True):
                self.replies[place] = reply
        for reply in self.replies:
            if isinstance(reply, Exception) and compat.repeats_reply(self._connection, reply):
                raise reply
        return self.replies

    def _open_places(self) -> list[int]:
        places: list[int] = []
        start = 0
        for request in self._requests:
            of_request = range(start, start + len(request.batch))
            refused = [
                place
                for place in of_request
                if isinstance(reply := (self.replies or ())[place], Exception)
                and compat.repeats_reply(self._connection, reply)
            ]
            # A transaction is refused or executed as a whole, so it is repeated as a whole.
            places += of_request if refused and commands.MULTI in request.batch else refused
            start = of_request.stop
        batch = [command for request in self._requests for command in request.batch]
        # What confirms a change is sent again with it: sorted, as the order is that of the batch.
        return sorted({*places, *confirmations_after(batch, min(places))}) if places else []


async def _acquire(pool: Any) -> Any:
    """Acquire a connection of *pool*; if all are in use, wait up to `ACQUIRE_TIMEOUT` for one."""
    waited, pause = 0.0, FIRST_PAUSE
    while True:
        try:
            connection = await compat.acquire_connection_async(pool)
            break
        except Exception as error:
            waited += compat.seconds_to_wait(pool)  # the pool has waited by itself
            if not client_errors.is_exhausted(error) or waited > ACQUIRE_TIMEOUT:
                raise
        await asyncio.sleep(pause)
        waited, pause = waited + pause, min(2 * pause, LONGEST_PAUSE)
    if compat.follows_master(pool) and compat.left_master(pool, connection):
        # In use when the pool learned of another master. It connects to that one when it is used.
        await connection.disconnect(nowait=True)
    return connection


async def write_and_read(connection: Any, packed: list[bytes], number: int) -> list[Any]:
    """Write *packed*, which has *number* commands, and read as many replies.

    The connection's own timeout of each read would cost more than the read. One timeout is used for
    all replies, and moved while they come, by up to a quarter more: it ends a silence, not a long
    reply. The client relaxes it when the server tells of its maintenance, as it would its own.
    """
    if not compat.write_at_once(connection, packed):
        await connection.send_packed_command(packed)
    read_timeout: float | None = connection.socket_timeout
    relaxes = read_timeout is not None and compat.may_relax(connection)
    due = math.inf if read_timeout is None else monotonic() + read_timeout / 4
    replies: list[Any] = []
    try:
        async with asyncio.timeout(read_timeout) as limit:
            if relaxes:
                compat.relax_with(connection, limit)
            for _ in range(number):
                try:
                    reply = await connection.read_response(disable_decoding=True, timeout=math.inf)
                except Exception as error:
                    errors = compat.exceptions_of(connection)
                    if not isinstance(error, errors.ResponseError):
                        raise
                    # Its traceback refers to this frame, and the frame to the error: a cycle.
                    reply = compat.plain_reply(connection, error).with_traceback(None)
                    if not isinstance(reply, errors.ResponseError):
                        raise reply from error
                replies.append(reply)
                changed = relaxes and connection.socket_timeout != read_timeout
                if read_timeout is not None and (changed or monotonic() > due):
                    read_timeout = connection.socket_timeout
                    due = _postpone(limit, read_timeout)
    except TimeoutError as error:
        if client_errors.interruption(error) is not None:
            raise
        timed_out = compat.exceptions_of(connection).TimeoutError
        raise timed_out("Timeout reading from the server") from None
    finally:
        if relaxes:
            compat.relax_with(connection, None)
    return replies


def _postpone(limit: asyncio.Timeout, read_timeout: float | None) -> float:
    """Move *limit* to after the next silence; return when it is to be moved again."""
    if read_timeout is None:
        limit.reschedule(None)
        return math.inf
    limit.reschedule(asyncio.get_running_loop().time() + read_timeout * 5 / 4)
    return monotonic() + read_timeout / 4


async def write_and_read_as_writer(connection: Any, packed: list[bytes], number: int) -> list[Any]:
    """Do what `write_and_read` does, over a READONLY *connection*, which is so again after it."""
    around = [commands.READWRITE.packed(), *packed, commands.READONLY.packed()]
    return (await write_and_read(connection, around, number + 2))[1:-1]


def pipeliner_for(client: Any, pipelining: bool) -> Pipeliner:
    """Return the one pipeliner of *client*, with or without *pipelining*."""
    pipeliners: dict[bool, Pipeliner] = compat.shared_by_client(client, "pipeliners", dict)
    found = pipeliners.get(pipelining)
    if found is None:
        original = compat.original_execute(client) if compat.can_be_pinned(client) else None
        found = pipeliners[pipelining] = Pipeliner(pipelining, original)
    return found
