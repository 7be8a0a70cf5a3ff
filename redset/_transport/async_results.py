"""Results for asyncio: their connection renews them, and so does an iteration."""

import logging
from collections.abc import Sequence
from typing import Any

from redset._plans.operands import renew
from redset._protocol import commands
from redset._protocol.commands import Command
from redset._protocol.constants import RESULT_SECONDS
from redset._transport.async_connection import AsyncClientConnection
from redset._transport.async_renewals import Renewer
from redset.exceptions import ResultExpired

logger = logging.getLogger("redset")


class RefreshingConnection(AsyncClientConnection):
    """`redset._transport.results.RefreshingConnection` for asyncio."""

    def __init__(
        self, client: Any, name: str, keys: tuple[bytes, bytes], *, pipelining: bool
    ) -> None:
        super().__init__(client, keys[0], pipelining=pipelining)
        self._name, self._keys = name, keys
        self._renew_liveness, self._renew_set = renew(*keys)

    async def execute(self, batch: Sequence[Command[Any]]) -> list[Any]:
        return await super().execute(commands.while_alive(batch, *self._keys))

    async def _send(self, batch: Sequence[Command[Any]]) -> list[Any]:
        alive, *replies, _ = await super()._send([self._renew_liveness, *batch, self._renew_set])
        if not alive:
            raise ResultExpired(self._name)
        return replies


class Use:
    """An iteration over a result, which counts as use during the whole iteration."""

    def __init__(self, connection: RefreshingConnection) -> None:
        self._connection = connection
        self._renewal: Renewer | None = None

    def begin(self) -> None:
        """Renew the result from now on: a page of it was just read."""
        self.end()
        self._renewal = Renewer("redset use of a result")
        self._renewal.begin(self, RESULT_SECONDS)

    def end(self) -> None:
        """Stop renewing: an unused result expires."""
        if self._renewal is not None:
            self._renewal.end()

    def __enter__(self) -> None:
        self.begin()

    def __exit__(self, *_error: object) -> None:
        self.end()

    async def _renew(self) -> float | None:
        try:
            await self._connection.execute([])
        except ResultExpired:  # the next page raises it, if there is one
            return None
        except Exception as error:
            logger.warning("redset: can't renew a result that is read: %s", error)
        return RESULT_SECONDS
