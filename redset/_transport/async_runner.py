"""Runners for asyncio: they do what `redset._transport.runner` does, awaited."""

import asyncio
import logging
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from typing import TYPE_CHECKING, Any, Concatenate, Generic, TypeVar, cast

from redset._plans import leases, many, queue
from redset._plans.iteration import Cursor
from redset._plans.operands import StoredOperand, shares_commands, stored
from redset._protocol import commands
from redset._protocol.config import Plan, SetConfig
from redset._protocol.durability import Durable
from redset._support.forks import this_process
from redset._transport.async_connection import (
    AsyncClientConnection,
    check_async_client,
    same_server,
)
from redset._transport.async_results import RefreshingConnection, Use
from redset._transport.driver import SubscriptionSlot, drive_async
from redset._transport.durable import drive_durably_async, durable_call
from redset._transport.runner import BaseRunner, P
from redset._transport.tasks import run_shielded, run_with_grace
from redset.exceptions import NotDurable

__all__ = ["AsyncRunner", "is_of_the_call", "run_shielded", "undo_soon"]

T = TypeVar("T")
R = TypeVar("R")
# As in `redset._transport.runner`.
C = TypeVar("C")

logger = logging.getLogger("redset")

# How long a cancelled task waits until the items that it took are back in the set. If that takes
# longer, it continues in the background.
TAKE_BACK_SECONDS = 0.2


async def undo_soon(coroutine: Coroutine[Any, Any, Any]) -> None:
    """Await *coroutine*, which undoes a call of a task that was cancelled, for a short time."""
    await run_with_grace(TAKE_BACK_SECONDS, coroutine)


class AsyncPlanRunner(Generic[C]):
    """Sends the plans of the one set, or of the several, that *config* describes."""

    # Lets a clock read the server's time, if the set's clock needs it.
    synchronize: Callable[[], Awaitable[object]] | None

    config: C
    connection: AsyncClientConnection
    # Which copies of a change each call waits for.
    durable: Durable | None
    # The plans that return what a cancelled call took, or leased.
    take_back: Callable[..., Plan[None]]
    undo_lease: Callable[..., Plan[None]]

    if TYPE_CHECKING:

        def translate_error(self, error: Exception) -> Exception: ...

        def take_over(self, before: C) -> None: ...

    def run(
        self, operation: Callable[Concatenate[C, P], Plan[R]], *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[Any, Any, R]:
        """Run the plan of *operation*."""
        plan = operation(self.config, *args, **kwargs)
        if self.durable is not None or self.synchronize is not None:
            return self._run(None, plan)
        # As `_run` does, without the cost of a call.
        return drive_async(plan, self.connection, self.translate_error)

    def run_in(
        self,
        slot: SubscriptionSlot | None,
        operation: Callable[Concatenate[C, P], Plan[R]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Coroutine[Any, Any, R]:
        """Run the plan of *operation*; if it waits, keep its subscription in *slot*."""
        return self._run(slot, operation(self.config, *args, **kwargs))

    def _run(
        self, slot: SubscriptionSlot | None, plan: Plan[R], received: list[bool] | None = None
    ) -> Coroutine[Any, Any, R]:
        durable, connection = self.durable, self.connection  # that of several sets is worked out
        if durable is None:
            running = drive_async(plan, connection, self.translate_error, slot, received)
        else:
            call = durable_call(self.config, connection, durable)
            translate = self.translate_error
            running = drive_durably_async(plan, connection, call, translate, slot, received)
        return running if self.synchronize is None else self._run_in_time(running)

    async def _run_in_time(self, running: Coroutine[Any, Any, R]) -> R:
        try:
            await self.synchronize()  # type: ignore[misc]
        except BaseException:
            running.close()
            raise
        return await running

    async def deliver(
        self,
        from_end: bool,
        operation: Callable[Concatenate[C, P], Plan[R]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """Run an operation that removes items; if the task is cancelled, return them to the set."""
        return await self._deliver(
            self.take_back, from_end, operation(self.config, *args, **kwargs)
        )

    async def lease(
        self,
        from_end: bool,
        operation: Callable[Concatenate[C, P], Plan[R]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """Run an operation that leases items; if the task is cancelled, return them to the set."""
        return await self._deliver(
            self.undo_lease, from_end, operation(self.config, *args, **kwargs)
        )

    async def _deliver(self, undo: Callable[..., Plan[None]], from_end: bool, plan: Plan[R]) -> R:
        before, config = self.connection.cancelled_after_send, self.config
        received: list[bool] = []
        try:
            return await self._run(None, plan, received)
        except BaseException as error:
            self.take_over(config)
            if not isinstance(error, asyncio.CancelledError):
                raise
            # The items are returned now, as the program may never use this handle again: those
            # of the step that was cancelled, and of the steps before it. The counter also counts
            # requests of other cancelled tasks: then there may be nothing to return.
            if received or self.connection.cancelled_after_send > before:
                # No caller learns whether this is confirmed, so it doesn't wait for that.
                undoing = undo(self.config, last=from_end)
                taken_back = drive_async(undoing, self.connection, self.translate_error)
                await undo_soon(taken_back)
            raise


class AsyncRunner(BaseRunner[T], AsyncPlanRunner[SetConfig[T]]):
    """Sends the plans of one set over an asyncio client."""

    connection: AsyncClientConnection
    surface = "redset.asyncio"
    take_back = staticmethod(queue.take_back)
    undo_lease = staticmethod(leases.undo_lease)
    check_client = staticmethod(check_async_client)

    def __init__(
        self, client: Any, config: SetConfig[T], *, clock: Any = None, pipelining: bool = True
    ) -> None:
        self.pipelining = bool(pipelining)
        self.synchronize = getattr(clock, "synchronize", None)
        super().__init__(client, config, clock=clock, pipelining=self.pipelining)

    async def walk(
        self,
        page_of: Callable[[SetConfig[T], Cursor], Plan[Iterable[R]]],
        handle: object = None,
        *,
        reverse: bool = False,
    ) -> AsyncIterator[R]:
        """Yield the entries of all pages, one page after the other.

        A result is kept alive on the server until the iteration ends, and so is its *handle*.
        """
        cursor = Cursor(reverse)
        use = self.use() if self.config.is_result else None
        try:
            while not cursor.exhausted:
                page = await self.run(page_of, cursor)
                if use is not None:
                    use.begin()
                for each in page:
                    yield each
        finally:
            if use is not None:
                use.end()

    def use(self) -> Use:
        """Return a use of the result, which keeps it alive."""
        return Use(cast(RefreshingConnection, self.connection))

    async def rename(self, new_name: str | bytes) -> None:
        """Rename the set."""
        # Not over a result's connection, for the reasons in `redset._transport.runner`.
        connection, plan = self._plain_connection(), many.rename(self.config, new_name)
        durable = self.config.durable  # also of a result, which lasts from now on
        if durable is None:
            self.move_to(await drive_async(plan, connection, self.translate_error))
            return
        call = durable_call(self.config, connection, durable)
        try:
            self.move_to(await drive_durably_async(plan, connection, call, self.translate_error))
        except NotDurable as error:
            self.move_to(error.result)
            error.result = None
            raise

    async def close(self) -> None:
        """Delete the set if it is a result that this runner owns."""
        owned = None if self.owner is None else self.owner.detach()
        if owned is None:
            return
        _, _, (connection, keys, process), _ = owned
        if process == this_process():
            try:
                await connection.execute([commands.delete(*keys)])
            except Exception:
                logger.debug("redset: a result is left to run out on the server", exc_info=True)

    async def stored_with(self, other: "AsyncRunner[Any]") -> StoredOperand | None:
        """Return *other* as an operand on this set's server; ``None`` if it isn't stored there."""
        cluster = self.connection.is_cluster
        together = shares_commands(self.config, other.config, cluster=cluster)
        if together and await same_server(self.connection, other.connection):
            return stored(other.config)
        return None

    def _connect(self) -> AsyncClientConnection:
        config = self.config
        if config.liveness_key is None:
            return self._plain_connection()
        keys = (config.key, config.liveness_key)
        return RefreshingConnection(self.client, config.name, keys, pipelining=self.pipelining)

    def _plain_connection(self) -> AsyncClientConnection:
        return AsyncClientConnection(self.client, self.config.key, pipelining=self.pipelining)

    def delete_when_collected(self, keys: tuple[bytes, bytes]) -> None:
        """Delete *keys*, those of a result, when this runner is collected."""
        self.owner = weakref.finalize(
            self, _delete_soon, self._plain_connection(), keys, this_process()
        )
        # When the program exits, no loop runs: the server deletes what is left.
        self.owner.atexit = False


def is_of_the_call(_error: Exception) -> bool:
    """Return ``True``: in an awaited call, only the client, the server and redset raise errors."""
    return True


def _delete_soon(connection: AsyncClientConnection, keys: tuple[bytes, bytes], pid: int) -> None:
    """Delete a result whose handle was collected, if the loop still runs."""
    if pid == this_process():
        try:
            connection.execute_soon([commands.delete(*keys)])
        except RuntimeError:  # the loop is being closed
            logger.debug("redset: a result is left to run out on the server", exc_info=True)
