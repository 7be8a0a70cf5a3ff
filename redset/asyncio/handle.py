"""The handle: how a set runs its plans, and what it does with its key, in an asyncio program."""

import logging
import os
import time
import weakref
from collections.abc import Callable, Coroutine, Generator, Sequence, Sized
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeVar

import redset.handle
from redset._core import algebra, commands
from redset._core.algebra import renew
from redset._core.async_connection import AsyncClientConnection, check_async_client
from redset._core.commands import Command
from redset._core.driver import SubscriptionSlot, run_async
from redset._core.scores import Clock
from redset._core.spec import Plan
from redset.asyncio.locks import Lock
from redset.asyncio.renewals import Renewal
from redset.asyncio.twins import documented
from redset.base import Unique
from redset.exceptions import ResultExpired
from redset.operations import Operations

T = TypeVar("T")
R = TypeVar("R")

logger = logging.getLogger("redset")


class Enterable(Protocol):
    """What ``async with`` takes."""

    async def __aenter__(self) -> Any: ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> Any: ...


E_co = TypeVar("E_co", bound=Enterable, covariant=True)


class Opening(Generic[E_co]):
    """What is on its way: ``await`` it to have it, or enter it at once with ``async with``."""

    def __init__(self, coming: Coroutine[Any, Any, E_co]) -> None:
        self._coming = coming

    def __await__(self) -> Generator[Any, Any, E_co]:
        return self._coming.__await__()

    async def __aenter__(self) -> E_co:
        self._there = await self._coming
        await self._there.__aenter__()
        return self._there

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._there.__aexit__(kind, error, traceback)


class ResultConnection(AsyncClientConnection):
    """`redset.results.ResultConnection` for asyncio."""

    def __init__(
        self, client: Any, name: str, keys: tuple[bytes, bytes], *, pipelining: bool
    ) -> None:
        super().__init__(client, pipelining=pipelining)
        self._name, self._keys = name, keys
        self._renew_sign, self._renew_set = renew(*keys)

    async def execute(self, batch: Sequence[Command[Any]]) -> list[Any]:
        return await super().execute(commands.while_alive(batch, *self._keys))

    async def _send(self, batch: Sequence[Command[Any]]) -> list[Any]:
        alive, *replies, _ = await super()._send([self._renew_sign, *batch, self._renew_set])
        if not alive:
            raise ResultExpired(self._name)
        return replies


class Use:
    """An iteration over a result, which is use of it also while it is at one page, or one item."""

    def __init__(self, connection: ResultConnection) -> None:
        self._connection = connection
        self._renewal: Renewal | None = None

    def begin(self) -> None:
        """Renew the result from now on: a page of it was read just now."""
        self.end()
        self._renewal = Renewal(self, algebra.RESULT_SECONDS, "redset use of a result")

    def end(self) -> None:
        """Leave the result to run out."""
        if self._renewal is not None:
            self._renewal.stop()

    def __enter__(self) -> None:
        self.begin()

    def __exit__(self, *_error: object) -> None:
        self.end()

    async def _renew(self) -> bool:
        try:
            await self._connection.execute([])
        except ResultExpired:  # which the next page will say, if there is one
            return False
        except Exception as error:
            logger.warning("redset: can't renew a result that is read: %s", error)
        return True


@documented(redset.handle.Handle)
class Handle(Operations[T]):
    """A set's connection, lock and life; `redset.base` has its name and settings."""

    _surface = "redset.asyncio"

    def __init__(
        self,
        redis_client: Any,
        name: str | bytes,
        scorer: Callable[[T], Any] | None = None,
        serializer: Any = None,
        lock_timeout: float | None = None,
        lock_expires: float | None = None,
        *,
        clock: Clock = time.time,
        unique: Unique = "until_taken",
        max_deliveries: int | None = None,
        pipelining: bool = True,
    ) -> None:
        self._pipelining = bool(pipelining)
        # A clock that has to ask a server is given the time to.
        self._synchronize = getattr(clock, "synchronize", None)
        super().__init__(
            redis_client,
            name,
            scorer,
            serializer,
            lock_timeout,
            lock_expires,
            clock=clock,
            unique=unique,
            max_deliveries=max_deliveries,
        )

    _initialize = __init__

    @property
    def lock(self) -> Lock:
        if self._lock is None:
            self._lock = Lock(*self._lock_settings())
        lock: Lock = self._lock
        return lock

    async def close(self) -> None:
        owned = None if self._owner is None else self._owner.detach()
        if owned is None:
            return
        _, _, (connection, keys, process), _ = owned
        if process == os.getpid():
            try:
                await connection.execute([commands.delete(*keys)])
            except Exception:
                logger.debug("redset: a result is left to run out on the server", exc_info=True)

    async def aclose(self) -> None:
        """As `close`, under the name that `contextlib.aclosing` knows."""
        await self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.close()

    async def rename(self, new_name: str | bytes) -> None:
        # Not over a result's connection, as in `redset.handle`.
        connection = self._plain_connection()
        key = await run_async(self._to_rename(new_name), connection, self._translate_error)
        if self._owner is not None:
            self._owner.detach()
        self._follow(key)

    async def expire(self, seconds: float) -> bool:
        return await self._run(self._to_expire(seconds))

    async def persist(self) -> bool:
        return await self._run(self._to_persist())

    async def ttl(self) -> float | None:
        return await self._run(self._to_ttl())

    def _check_client(self, client: Any) -> Any:
        return check_async_client(self._name, client)

    def _connect(self) -> None:
        if self._sign is None:
            self._connection = self._plain_connection()
        else:
            keys = (self._spec.key, self._sign)
            self._connection = ResultConnection(
                self._client, self._name, keys, pipelining=self._pipelining
            )

    def _plain_connection(self) -> AsyncClientConnection:
        return AsyncClientConnection(self._client, pipelining=self._pipelining)

    def _own(self, keys: tuple[bytes, bytes]) -> None:
        self._owner = weakref.finalize(self, _drop, self._plain_connection(), keys, os.getpid())
        # There is no loop then: the server deletes what is left.
        self._owner.atexit = False

    def _options(self) -> dict[str, Any]:
        return super()._options() | {"pipelining": self._pipelining}

    def _while_read(self, *sources: object) -> AbstractContextManager[None]:
        if self._sign is None or all(isinstance(each, Sized) for each in sources):
            return nullcontext()
        return Use(self._connection)

    def _run(self, plan: Plan[R], slot: SubscriptionSlot | None = None) -> Coroutine[Any, Any, R]:
        running = run_async(plan, self._connection, self._translate_error, slot)
        return running if self._synchronize is None else self._run_in_time(running)

    async def _run_in_time(self, running: Coroutine[Any, Any, R]) -> R:
        try:
            await self._clock.synchronize()  # type: ignore[attr-defined]
        except BaseException:
            running.close()
            raise
        return await running


def _drop(connection: AsyncClientConnection, keys: tuple[bytes, bytes], process: int) -> None:
    """Delete a result whose handle was collected, if there is still a loop to do it."""
    if process == os.getpid():
        try:
            connection.execute_soon([commands.delete(*keys)])
        except RuntimeError:  # the loop is just closing
            logger.debug("redset: a result is left to run out on the server", exc_info=True)
