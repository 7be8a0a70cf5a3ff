"""Key subscriptions for asyncio, where all tasks of a set share one.

This module owns the connection that the server notifies of changes, and decides which tasks are
notified: as many as there are items, however many wait. The commands and messages of a subscription
are those of `redset._transport.subscription`.
"""

import asyncio
import contextlib
import logging
import math
from collections import OrderedDict, deque
from collections.abc import Sequence
from typing import Any

from redset._protocol import client_errors
from redset._protocol.config import WaitForChange
from redset._protocol.outlook import Outlook
from redset._support.forks import PerProcess, this_process
from redset._support.words import shown
from redset._transport import compat, subscription
from redset._transport.look import (
    Look,
    NoSubscriptionError,
    Words,
    check_slot,
    handshake,
    is_change,
)
from redset._transport.subscription import (
    Polling,
    WakeupBackoff,
    check_connection,
    check_refusal,
    is_refusal,
    may_subscribe,
    pool_to_subscribe_with,
    remember_refusal,
)

# The answer that a waiting task receives, as `WaitForChange` describes it.
Answer = asyncio.Future["bool | None"]

# The keys of all sets that a task waits for.
Keys = tuple[bytes, ...]

logger = logging.getLogger("redset")


async def release_connection(pool: Any, connection: Any) -> None:
    """Disconnect *connection* and return it to *pool*: its next user connects again."""
    try:
        await connection.disconnect(nowait=True)
    finally:
        await pool.release(connection)


class Line:
    """The tasks that wait for the same sets, by the same clocks, in the order of their arrival."""

    def __init__(self, outlook: Outlook) -> None:
        self.outlook = outlook
        self.waiting: OrderedDict[Answer, None] = OrderedDict()
        # The number of tasks that were notified and have not yet asked the server, or given up.
        self.awake = 0
        # The number of ready items for which no task was notified.
        self.unclaimed = 0
        # Whether the last look assigned items to tasks that were awake already.
        self.discounted = False
        # When the next item becomes ready without a message (a deadline, or a score that is a
        # time).
        self.event = math.inf
        # Whether no look has been made for this line yet.
        self.is_new = True

    def learn(self, ready: int, event: float) -> None:
        """Wake as many tasks as there are *ready* items for which no task is awake."""
        self.event, self.is_new = event, False
        self.discounted = ready > 0 and self.awake > 0
        self.unclaimed = max(0, ready - self.awake)
        while self.unclaimed and self.waiting:
            self.wake_one()

    def wake_one(self) -> None:
        """Wake the task that has waited longest, if any still waits."""
        while self.waiting:
            answer, _ = self.waiting.popitem(last=False)
            # One that was cancelled, or whose time is up, leaves in this iteration of the loop.
            if not answer.done():
                self.unclaimed = max(0, self.unclaimed - 1)
                self.awake += 1
                answer.set_result(True)
                return


class SharedSubscription:
    """A connection of the client's pool, acquired for as long as any task waits for a change.

    A message alone wakes no task: the subscription reads how many items are ready, and wakes as
    many tasks. If a notified task finds nothing, fails or is cancelled, the subscription looks
    again, so that no notification is lost. If only one task waits, it is notified at once.
    """

    def __init__(self, pool: Any, keys: Keys, *, in_cluster: bool = False) -> None:
        self._pool, self._keys = pool, keys
        # Whether the keys have a slot that may move, and whether the server tells if it does.
        self._in_cluster = self._follows_slot = in_cluster
        self._process = this_process()
        self._loop = asyncio.get_running_loop()
        self._connection: Any = None
        self._closed = False
        self.users: set[AsyncKeySubscription] = set()
        self._lines: list[Line] = []
        # Replies and messages that were read, and the error that ended the reading.
        self._inbox: deque[Any] = deque()
        self._stirred = asyncio.Event()
        # Whether to look at the server: it sends no further message until then.
        self._stale = True
        self._looked = -math.inf
        # When the tasks were last checked to have clients of this pool.
        self._checked = self._loop.time()
        # Whether other processes were notified at the same moment as this one.
        self._contended = False
        # Whether a task of this process found something since the last look.
        self._found = False
        self._backoff = WakeupBackoff()
        self._task = self._loop.create_task(self._run())

    @property
    def is_over(self) -> bool:
        """True if it can't notify the running task of changes."""
        return (
            self._closed
            or self._task.done()
            or self._process != this_process()
            or self._loop is not asyncio.get_running_loop()
        )

    async def wait(self, line: Line, seconds: float) -> bool | None:
        """Wait in *line*, and answer as `KeySubscription.wait` does."""
        if line.unclaimed:
            line.unclaimed -= 1
            line.awake += 1
            return True
        answer: Answer = self._loop.create_future()
        line.waiting[answer] = None
        if self._stale or line.is_new:
            self._look_soon()
        timer = None
        if seconds < math.inf:
            timer = self._loop.call_later(seconds, _answer, answer, False)
        try:
            return await answer
        except asyncio.CancelledError:
            if not answer.cancelled() and answer.done() and answer.result():
                self.asked(line, found=False)
            raise
        finally:
            line.waiting.pop(answer, None)
            if timer is not None:
                timer.cancel()

    def line_of(self, outlook: Outlook) -> Line:
        """Return the line of the tasks with the same *outlook*."""
        for line in self._lines:
            if line.outlook.is_that_of(outlook):
                return line
        # Lines without tasks are dropped, so that their number stays small.
        self._lines = [line for line in self._lines if line.waiting or line.awake]
        self._lines.append(Line(outlook))
        return self._lines[-1]

    def asked(self, line: Line, *, found: bool) -> None:
        """Note that a notified task has asked the server, or given up, and what it *found*."""
        line.awake -= 1
        if found:
            self._found = True
            self._backoff.hit()
        if line.discounted or not found:
            self._look_soon()

    def missed(self) -> None:
        """Note that a notified task found nothing because another process was faster."""
        self._contended = False
        self._backoff.missed()

    def close(self) -> None:
        """End the subscription, and return its connection to the pool soon."""
        self._closed = True
        self._stirred.set()
        with contextlib.suppress(RuntimeError):  # the loop of this task was closed
            self._task.cancel()

    def _look_soon(self) -> None:
        self._stale = True
        self._stirred.set()

    async def _run(self) -> None:
        begun = self._loop.time()
        try:
            compat.check_room_async(self._pool)
            self._connection = await compat.acquire_connection_async(self._pool)
            try:
                check_connection(self._connection)
                await self._serve()
            finally:
                if not self._loop.is_closed():  # else the next loop frees its place in the pool
                    await release_connection(self._pool, self._connection)
        except Exception as error:
            logger.debug("redset: %s: polled, not subscribed to", shown(self._keys), exc_info=True)
            if is_refusal(error):
                remember_refusal(self._pool, subscription.RECHECK_INTERVAL)
            elif self._loop.time() < begun + subscription.POLL_SECONDS:
                remember_refusal(self._pool, subscription.POLL_SECONDS)
        finally:
            self._closed = True
            _forget(self._pool, self._keys, self)
            for line in self._lines:
                for answer in line.waiting:
                    _answer(answer, None)

    async def _serve(self) -> None:
        reading = self._loop.create_task(self._read())
        try:
            words = handshake(compat.protocol_of(self._connection))
            await self._send(words)
            *_, connection_id = [await self._reply() for _ in words]
            compat.read_nulls_of_resp2(self._connection)
            if isinstance(connection_id, Exception):
                raise connection_id
            await self._look(connection_id)
            # In Python 3.11, the client's `wait_for` may swallow a cancellation: check `_closed`.
            while not self._closed:
                while self._inbox:
                    self._hear(self._inbox.popleft())
                if not self._is_awaited():
                    await self._until_stirred(math.inf)
                elif self._stale:
                    await asyncio.sleep(self._backoff.seconds())
                    if self._loop.time() >= self._looked + subscription.RECHECK_INTERVAL:
                        await self._ask_for_master()
                    self._check_master()
                    self._check_pool()
                    await self._look()
                else:
                    await self._until_stirred(self._expected())
        finally:
            if not self._loop.is_closed():
                # No second reader may be left when the next user of the connection reads.
                reading.cancel()
                await asyncio.wait({reading}, timeout=subscription.REPLY_SECONDS)

    def _is_awaited(self) -> bool:
        return any(line.waiting for line in self._lines)

    def _hear(self, message: Any) -> None:
        if isinstance(message, Exception):
            raise message
        check_slot(message)
        self._stale = True
        if is_change(message):
            self._wake_or_look()

    def _expected(self) -> float:
        """Return when to look if no message comes; if that is now, prepare the look."""
        event = min(line.event for line in self._lines if line.waiting)
        moves = self._in_cluster and not self._follows_slot
        interval = subscription.recheck_interval(moves=moves)
        until = min(event, self._looked + interval)
        if until <= self._loop.time():
            self._stale = True
            self._stirred.set()
            if until == event:
                self._wake_or_look()
        return until

    def _wake_or_look(self) -> None:
        """Wake the task if only one waits and there is no backoff; else leave it to the look."""
        self._contended = True
        waiting = [line for line in self._lines if line.waiting]
        if self._backoff.is_none and [len(line.waiting) for line in waiting] == [1]:
            waiting[0].wake_one()

    async def _look(self, connection_id: int | None = None) -> None:
        lines = list(self._lines)
        # A task that asks from here on needs another look.
        self._stale = False
        outlooks = [line.outlook for line in lines]
        look = Look(self._keys, outlooks, connection_id, follows_slot=self._follows_slot)
        await self._send(look.words)
        while not look.feed(await self._reply()):
            pass
        self._follows_slot = look.is_told
        self._looked = self._loop.time()
        found = look.found()
        if self._contended and not self._found and not any(ready for ready, _ in found):
            self._backoff.missed()
        self._contended = self._found = False
        for line, (ready, seconds) in zip(lines, found, strict=True):
            line.learn(ready, self._looked + seconds)

    async def _ask_for_master(self) -> None:
        """Do what `KeySubscription` does before it looks again."""
        if compat.follows_master(self._pool):
            try:
                await compat.ask_for_master(self._pool)
            except Exception as error:
                if not client_errors.is_disconnected(error):  # no Sentinel knows
                    raise

    def _check_master(self) -> None:
        if compat.follows_master(self._pool) and compat.left_master(self._pool, self._connection):
            raise NoSubscriptionError("another server is the master now")

    def _check_pool(self) -> None:
        # Not before each look: thousands of tasks may wait.
        if self._loop.time() >= self._checked + subscription.RECHECK_INTERVAL:
            self._checked = self._loop.time()
            if any(user.has_other_pool for user in self.users):
                raise NoSubscriptionError("a client has another pool now")

    async def _send(self, words: Sequence[Words]) -> None:
        packed = self._connection.pack_commands(words)
        # A health check would take a message for the reply to its PING.
        await self._connection.send_packed_command(packed, check_health=False)

    async def _reply(self) -> Any:
        """Return the next reply or message; an error of the server is returned as a reply."""
        until = self._loop.time() + subscription.REPLY_SECONDS
        while not self._inbox:
            if self._loop.time() >= until:
                raise NoSubscriptionError("the server doesn't answer")
            await self._until_stirred(until)
            # If the loop was busy until the time limit, the reply may be in the socket's buffer.
            await asyncio.sleep(0)
        reply = self._inbox.popleft()
        if isinstance(reply, Exception) and not client_errors.is_reply(reply):
            raise reply
        return reply

    async def _read(self) -> None:
        going_on = True
        while going_on:
            try:
                reply = await self._connection.read_response(
                    disable_decoding=True, timeout=math.inf
                )
            except Exception as error:
                reply, going_on = error, client_errors.is_reply(error)
            self._inbox.append(reply)
            self._stirred.set()

    async def _until_stirred(self, until: float) -> None:
        """Sleep until something was read, a look is due, or it is *until*."""
        if not self._inbox:
            timer = None if until == math.inf else self._loop.call_at(until, self._stirred.set)
            try:
                await self._stirred.wait()
            finally:
                if timer is not None:
                    timer.cancel()
        self._stirred.clear()
        if self._closed:
            raise asyncio.CancelledError


def _answer(answer: Answer, notified: bool | None) -> None:
    if not answer.done():
        answer.set_result(notified)


Subscriptions = dict[Keys, SharedSubscription]


def _subscriptions_of(pool: Any) -> Subscriptions:
    """Return this process's subscriptions with a connection of *pool*, by their keys."""
    of_processes: PerProcess[Subscriptions] = compat.shared_by_client(
        pool, "subscriptions", lambda: PerProcess(dict)
    )
    return of_processes.get()


def _forget(pool: Any, keys: Keys, shared: SharedSubscription) -> None:
    of_pool = _subscriptions_of(pool)
    if of_pool.get(keys) is shared:
        del of_pool[keys]


def _shared_subscription(pool: Any, keys: Keys, *, in_cluster: bool) -> SharedSubscription:
    """Return the shared subscription to *keys*, or raise `NoSubscriptionError`."""
    check_refusal(pool)
    of_pool = _subscriptions_of(pool)
    for other, shared in list(of_pool.items()):
        if shared.is_over:
            del of_pool[other]
    if keys not in of_pool:
        if not may_subscribe(pool, len(of_pool)):
            raise NoSubscriptionError("a connection to subscribe with can't be spared")
        of_pool[keys] = SharedSubscription(pool, keys, in_cluster=in_cluster)
    return of_pool[keys]


class AsyncKeySubscription:
    """The subscription of one task that waits for keys to change: `KeySubscription` for asyncio."""

    def __init__(self, client: Any, keys: Keys) -> None:
        self._client, self._keys = client, keys
        # The pool of the connection: in a cluster, that of the node that has the keys' slot.
        self._pool: Any = None
        self._process = this_process()
        self._shared: SharedSubscription | None = None
        # The line in which this task was notified, if it has not asked the server since.
        self._line: Line | None = None
        self._polling = Polling()

    @property
    def has_other_pool(self) -> bool:
        """True if the program gave the client another pool than that of the subscription."""
        return not compat.is_cluster(self._client) and (
            compat.pool_of(self._client) is not self._pool
        )

    async def wait(self, step: WaitForChange) -> bool | None:
        """Wait as `KeySubscription.wait` does."""
        if self._line is not None and self._shared is not None:
            self._shared.missed()
        self.asked(found=False)
        end = asyncio.get_running_loop().time() + step.seconds
        try:
            shared = self._subscription()
        except NoSubscriptionError:
            logger.debug("redset: %s: polled, not subscribed to", shown(self._keys), exc_info=True)
        else:
            line = shared.line_of(step.outlook)
            notified = await shared.wait(line, step.seconds)
            if notified is not None:
                self._line = line if notified else None
                return notified
            self.close()
        left = max(0.0, end - asyncio.get_running_loop().time())
        await asyncio.sleep(self._polling.pause(left))
        return None

    def asked(self, *, found: bool) -> None:
        """Note what a notified task found: see `KeySubscription.asked`."""
        line, self._line = self._line, None
        if line is not None and self._shared is not None:
            self._shared.asked(line, found=found)

    def drain(self) -> None:
        """Begin a new plan; no messages are dropped, as a shared subscription reads them all."""
        self._polling.begin()

    def close(self) -> None:
        """Leave the shared subscription; the last task that leaves closes it."""
        self.asked(found=False)
        shared, self._shared = self._shared, None
        # In a forked child, the subscription belongs to the parent.
        if shared is None or self._process != this_process():
            return
        shared.users.discard(self)
        if not shared.users:
            _forget(self._pool, self._keys, shared)
            shared.close()

    def _subscription(self) -> SharedSubscription:
        if self._shared is not None and (self._shared.is_over or self.has_other_pool):
            self.close()
        if self._shared is None:
            self._process = this_process()
            self._pool = pool_to_subscribe_with(self._client, self._keys[0])
            in_cluster = compat.is_cluster(self._client)
            self._shared = _shared_subscription(self._pool, self._keys, in_cluster=in_cluster)
            self._shared.users.add(self)
        return self._shared
