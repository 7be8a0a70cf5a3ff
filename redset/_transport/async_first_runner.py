"""Runners of several sets, for asyncio: `redset._transport.first_runner`, awaited."""

from collections.abc import Sequence
from typing import TypeVar

from redset._plans import first
from redset._protocol.config import FirstConfig
from redset._transport.async_runner import AsyncPlanRunner, AsyncRunner
from redset._transport.first_runner import BaseFirstRunner

T = TypeVar("T")


class AsyncFirstRunner(BaseFirstRunner[T], AsyncPlanRunner[FirstConfig[T]]):  # type: ignore[override]
    """Sends the plans of several sets over an asyncio client."""

    take_back = staticmethod(first.take_back)
    undo_lease = staticmethod(first.undo_lease)

    def __init__(self, runners: Sequence[AsyncRunner[T]]) -> None:
        super().__init__(runners)
        clocks = [each.synchronize for each in runners if each.synchronize is not None]

        async def synchronize() -> None:
            for each in clocks:
                await each()

        self.synchronize = synchronize if clocks else None
