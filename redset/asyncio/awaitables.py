"""A pending result that may be awaited or entered."""

from collections.abc import Coroutine, Generator
from types import TracebackType
from typing import Any, Generic, Protocol, TypeVar


class Enterable(Protocol):
    """An object that ``async with`` accepts."""

    async def __aenter__(self) -> Any: ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> Any: ...


E_co = TypeVar("E_co", bound=Enterable, covariant=True)


class AwaitableContext(Generic[E_co]):
    """A pending result: ``await`` it to get the object, or enter it with ``async with``."""

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
