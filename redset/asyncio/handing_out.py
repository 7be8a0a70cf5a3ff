"""Handing out: `redset.handing_out` for asyncio."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, Literal, Self, TypeVar, overload

import redset.handing_out
from redset._core import leasing
from redset._core.arguments import check_reason
from redset._core.consuming import Settings, Work
from redset._core.leasing import DeadLetter, Leased, Stats
from redset._core.sources import pull
from redset._core.spec import Plan
from redset.asyncio.consumers import Consumer
from redset.asyncio.handle import Opening
from redset.asyncio.leases import Lease
from redset.asyncio.ordered import Ordered
from redset.asyncio.tasks import within
from redset.asyncio.twins import documented
from redset.handing_out import LEASED_PAGE

T = TypeVar("T")
R = TypeVar("R")

# How long a cancelled task waits for what it was given to be back; that goes on without it.
TAKE_BACK_SECONDS = 0.2


@documented(redset.handing_out.HandingOut)
class HandingOut(Ordered[T]):
    """Every item to exactly one taker: at once, or until it is acknowledged."""

    @overload
    async def pop(
        self, *, timeout: float | None = ..., last: bool = ..., with_scores: Literal[False] = ...
    ) -> T | None: ...

    @overload
    async def pop(
        self, *, timeout: float | None = ..., last: bool = ..., with_scores: Literal[True]
    ) -> tuple[T | None, float]: ...

    async def pop(
        self, *, timeout: float | None = 0.0, last: bool = False, with_scores: bool = False
    ) -> Any:
        return await self._take_out(self._to_pop(timeout, last, with_scores), last)

    @overload
    async def take(
        self,
        num: int,
        *,
        timeout: float | None = ...,
        last: bool = ...,
        with_scores: Literal[False] = ...,
    ) -> list[T]: ...

    @overload
    async def take(
        self,
        num: int,
        *,
        timeout: float | None = ...,
        last: bool = ...,
        with_scores: Literal[True],
    ) -> list[tuple[T, float]]: ...

    async def take(
        self,
        num: int,
        *,
        timeout: float | None = 0.0,
        last: bool = False,
        with_scores: bool = False,
    ) -> list[Any]:
        return await self._take_out(self._to_take(num, timeout, last, with_scores), last)

    async def _take_out(self, plan: Plan[R], last: bool) -> R:
        before, requests = self._connection.cancelled_after_send, self._requests
        try:
            return await self._run(plan)
        except BaseException as error:
            self._take_over(requests)
            if not isinstance(error, asyncio.CancelledError):
                raise
            # Nobody may ever call this handle again. What somebody else's task had sent
            # meanwhile may count, too: then there is nothing to take back.
            if self._connection.cancelled_after_send > before:
                await within(TAKE_BACK_SECONDS, self._run(self._to_take_back(last)))
            raise

    def lease(
        self,
        num: int = 1,
        ttl: float = 30.0,
        *,
        timeout: float | None = 0.0,
        renew: bool = False,
        max_deliveries: int | None = None,
        worker: str | None = None,
        last: bool = False,
    ) -> Opening[Lease[T]]:
        async def open_lease() -> Lease[T]:
            plan = self._to_lease(num, ttl, timeout, max_deliveries, worker, last)
            holds = await self._run(plan)
            return Lease(self, holds, float(ttl), renew=renew)

        return Opening(open_lease())

    def consume(
        self,
        batch: int = 1,
        ttl: float = 30.0,
        *,
        timeout: float | None = None,
        renew: bool = True,
        max_deliveries: int | None = None,
        stop: Any = None,
        worker: str | None = None,
        retry_delay: float | Callable[[int], float] = 0.0,
        on_error: Callable[[T, BaseException], Any] | None = None,
    ) -> Consumer[T]:
        settings = Settings(
            batch, ttl, timeout, renew, max_deliveries, stop, worker, retry_delay, on_error
        )
        return Consumer(self, Work(self._name, self._checked(settings)))

    async def leased(self) -> AsyncIterator[Leased[T]]:
        held = self._members_of("leased").items()
        while page := await pull(held, LEASED_PAGE):
            for entry in await self._run(leasing.entries(self._spec, page)):
                yield entry

    @property
    def dead(self) -> Self:
        return self._sibling(self._companion("dead"))

    async def dead_letters(self, reason: str | None = None) -> AsyncIterator[DeadLetter[T]]:
        check_reason(self._name, reason)
        members = self._members_of("dead").items()
        while page := await pull(members, LEASED_PAGE):
            for letter in await self._run(leasing.letters(self._spec, page)):
                if reason is None or letter.reason == reason:
                    yield letter

    async def requeue(
        self, *items: T, reason: str | None = None, older_than: float | None = None
    ) -> int:
        return await self._run(self._to_sort_dead("requeue", items, reason, older_than))

    async def discard_dead(
        self, *items: T, reason: str | None = None, older_than: float | None = None
    ) -> int:
        return await self._run(self._to_sort_dead("discard", items, reason, older_than))

    async def cancel(self, *items: T) -> int:
        return await self._run(leasing.cancel(self._spec, items))

    async def stats(self) -> Stats:
        return await self._run(self._to_stats())
