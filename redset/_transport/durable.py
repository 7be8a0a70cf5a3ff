"""Durable calls: each change is followed, in its own write, by a wait for replicas or the disk.

A plan runs over a connection that exists for one call. That connection adds the commands of
`redset._protocol.durability` to each batch that changes something, and takes their replies off.
"""

from collections.abc import Sequence
from typing import Any, TypeVar, cast

from redset._protocol import client_errors
from redset._protocol.commands import Command
from redset._protocol.config import Plan, SetConfig, WaitForChange
from redset._protocol.durability import Confirmations, Durable
from redset._protocol.replies import Confirmed
from redset._support.words import shown
from redset._transport import compat
from redset._transport.connection import (
    AsyncConnection,
    AsyncSubscription,
    Connection,
)
from redset._transport.driver import SubscriptionSlot, Translate, drive, drive_async
from redset._transport.subscription import KeySubscription
from redset.exceptions import (
    DurabilityUnsupported,
    InvalidTypeError,
    InvalidValueError,
    NotDurable,
)

T = TypeVar("T")


def check_client_for(config: SetConfig[Any], client: Any) -> None:
    """Raise an error if a set with the option ``durable`` can't work over *client*."""
    durable, name = config.durable, config.name
    if durable is None:
        return
    # A cluster's client is used by its nodes, as long as no tracer observes it.
    reason = None if compat.is_cluster(client) else compat.why_apart(client)
    if reason is not None:
        raise InvalidTypeError(
            f"redset {shown(name)}: durable needs a client that sends several commands over one "
            f"connection, and {reason}; use a redis.Redis or valkey.Valkey with a pool"
        )
    read_timeout = compat.read_timeout_of(client)
    if read_timeout is not None and durable.timeout > read_timeout / 2:
        raise InvalidValueError(
            f"redset {shown(name)}: durable waits up to {durable.timeout:g} seconds, and the "
            f"client hangs up after socket_timeout={read_timeout:g}; choose a timeout of Durable "
            "that is at most half of it"
        )


class DurableCall(Confirmations):
    """The confirmations of one call over a *client*, which is asked once whether it has them."""

    def __init__(self, client: Any, name: str, key: bytes, durable: Durable) -> None:
        super().__init__(name, key, durable)
        self._client = client

    @property
    def is_supported(self) -> bool:
        """True if the server of the client has shown that it can confirm."""
        return self._durable.disk in _known(self._client)

    def support(self, refused: Exception | None, confirmed: Confirmed) -> None:
        """Record the replies to `probe`; raise `DurabilityUnsupported` if the server can't."""
        error = confirmed.error
        if refused is not None and client_errors.is_denied(refused):
            error = refused
        elif refused is not None:
            return  # the change will be refused, too
        if error is not None:
            needs = (
                "WAITAOF (Redis 7.2, or Valkey) and appendonly yes"
                if self._durable.disk
                else "WAIT"
            )
            raise DurabilityUnsupported(
                f"redset {shown(self._name)}: durable={self._durable} needs {needs}, and the right "
                f"to it; the server replied: {error}. Nothing was changed"
            ) from error
        _known(self._client).add(self._durable.disk)


def durable_call(config: Any, connection: Any, durable: Durable) -> DurableCall:
    """Return the confirmations of a call for *config* over *connection*."""
    return DurableCall(connection.client, config.name, config.keys[0], durable)


def _known(client: Any) -> set[bool]:
    """Return for which values of ``disk`` the server of *client* has shown that it can confirm."""
    # A program may give its client the pool of another server. A cluster's client has none.
    keeper = client if compat.is_cluster(client) else compat.pool_of(client)
    return compat.shared_by_client(keeper, "confirms", set)


class DurableConnection:
    """The `Connection` of one call: *connection*, with a confirmation of each change."""

    def __init__(self, connection: Connection, call: DurableCall) -> None:
        self._connection, self._call = connection, call

    def execute(self, batch: Sequence[Command[Any]]) -> list[Any]:
        """Send *batch*, and wait until its changes are confirmed, or the time is up."""
        call = self._call
        if not call.asks(batch):
            return self._connection.execute(batch)
        if not call.is_supported:
            call.support(*self._connection.execute(call.probe()))
        *replies, refused, confirmed = self._connection.execute([*batch, *call.confirming()])
        call.record(batch, replies, refused, confirmed)
        return replies

    def subscribe(self, keys: tuple[bytes, ...]) -> KeySubscription:
        """Subscribe as the connection does."""
        return self._connection.subscribe(keys)


class AsyncDurableConnection:
    """`DurableConnection` for asyncio."""

    def __init__(self, connection: AsyncConnection, call: DurableCall) -> None:
        self._connection, self._call = connection, call

    async def execute(self, batch: Sequence[Command[Any]]) -> list[Any]:
        """Send *batch* as `DurableConnection.execute` does."""
        call = self._call
        if not call.asks(batch):
            return await self._connection.execute(batch)
        if not call.is_supported:
            call.support(*await self._connection.execute(call.probe()))
        *replies, refused, confirmed = await self._connection.execute([*batch, *call.confirming()])
        call.record(batch, replies, refused, confirmed)
        return replies

    def subscribe(self, keys: tuple[bytes, ...]) -> AsyncSubscription:
        """Subscribe as the connection does."""
        return self._connection.subscribe(keys)


def _told_before_waits(plan: Plan[T], call: DurableCall) -> Plan[T]:
    """Run *plan*; where it would wait for items, raise what was not confirmed so far.

    A consumer acknowledges items, and may find no others for hours.
    """
    answer: Any = None
    failed = False
    while True:
        try:
            step = plan.throw(answer) if failed else plan.send(answer)
        except StopIteration as stop:
            return cast(T, stop.value)
        if isinstance(step, WaitForChange) and (error := call.error()) is not None:
            answer, failed = error, True
            continue
        try:
            answer, failed = (yield step), False
        except BaseException as raised:
            answer, failed = raised, True


def drive_durably(
    plan: Plan[T],
    connection: Connection,
    call: DurableCall,
    translate: Translate | None = None,
    slot: SubscriptionSlot | None = None,
) -> T:
    """Run *plan* as `drive` does; raise `NotDurable` at its end if a change was not confirmed."""
    plan = _told_before_waits(plan, call)
    try:
        result = drive(plan, DurableConnection(connection, call), translate, slot)
    except NotDurable:
        raise
    except BaseException:
        call.log()
        raise
    call.check(result)
    return result


async def drive_durably_async(
    plan: Plan[T],
    connection: AsyncConnection,
    call: DurableCall,
    translate: Translate | None = None,
    slot: SubscriptionSlot | None = None,
    received: list[bool] | None = None,
) -> T:
    """Run *plan* as `drive_durably` does, and note what was *received* as `drive_async` does."""
    plan = _told_before_waits(plan, call)
    durable = AsyncDurableConnection(connection, call)
    try:
        result = await drive_async(plan, durable, translate, slot, received)
    except NotDurable:
        raise
    except BaseException:
        call.log()
        raise
    call.check(result)
    return result
