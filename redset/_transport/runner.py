"""Runners: they send the plans of a set, of its leases and of its iterations.

A runner has the set's config and its connection, and owns the set if that is a result. When a set
is renamed, its runner is bound to another config.
"""

import weakref
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, Self, TypeVar, cast

from redset._plans import many
from redset._plans.iteration import Cursor
from redset._plans.operands import Destination, StoredOperand, shares_commands, stored
from redset._protocol import client_errors
from redset._protocol.client_errors import is_of_the_call
from redset._protocol.config import Plan, SetConfig
from redset._protocol.durability import Durable
from redset._protocol.idempotency import SetSlots, SharedSlots
from redset._protocol.keys import text_of
from redset._protocol.scores import no_sum
from redset._support.forks import this_process
from redset._support.words import shown
from redset._transport import compat
from redset._transport.connection import ClientConnection, check_client, same_server
from redset._transport.driver import SubscriptionSlot, drive
from redset._transport.durable import check_client_for, drive_durably, durable_call
from redset._transport.results import (
    RefreshingConnection,
    Use,
    delete_keys,
    delete_when_collected,
)
from redset.exceptions import KeyTypeError, NotDurable, ResultExpired

__all__ = ["BaseRunner", "Operation", "P", "PlanRunner", "Runner", "is_of_the_call", "slots_of"]

T = TypeVar("T")
R = TypeVar("R")
P = ParamSpec("P")
# The config of one set, or that of several.
C = TypeVar("C")

# A function that returns a plan for the config of a set.
Operation = Callable[Concatenate[SetConfig[T], P], Plan[R]]


def slots_of(client: Any, key: bytes, *, only_due: bool) -> SetSlots:
    """Return the slots that the handles of the set under *key* share; see `SharedSlots.of`."""
    return compat.shared_by_client(client, "slots", SharedSlots).of(key, only_due=only_due)


class BaseRunner(Generic[T]):
    """The base class of the runners of both surfaces."""

    # The package of the classes that use it.
    surface = "redset"
    config: SetConfig[T]
    # Returns a client that can serve the set of a name, or raises an error.
    check_client: Callable[[str, Any], Any]

    def __init__(
        self, client: Any, config: SetConfig[T], *, clock: Any = None, **options: Any
    ) -> None:
        check_client_for(config, client)
        self.client, self.options = client, {"clock": clock, **options}
        # Deletes the result that this runner owns.
        self.owner: weakref.finalize[Any, Any] | None = None
        self.bind(config)

    def bind(self, config: SetConfig[T]) -> None:
        """Send the plans of *config* from now on, over a connection for that set."""
        self.config = config
        # A result is temporary.
        self.durable = None if config.is_result else config.durable
        self.connection = self._connect()

    def rebind(self, key: bytes, liveness_key: bytes | None = None) -> None:
        """Use another set from now on: a lasting one, or a result with its liveness key."""
        self.bind(self._config_of(key, liveness_key))

    def _config_of(self, key: bytes, liveness_key: bytes | None, **changes: Any) -> SetConfig[T]:
        """Return the config of another set of this client: a lasting one, or a result."""
        if liveness_key is None:
            slots = slots_of(self.client, key, only_due=self.config.no_wait.now is not None)
        else:  # the key of a result is not shared
            slots = SetSlots(key)
        changes |= {"name": text_of(key), "key": key, "liveness_key": liveness_key}
        return replace(self.config, requests=slots, **changes)

    def move_to(self, key: bytes) -> None:
        """Use the set under *key* from now on, its key since it was renamed."""
        before = self.config
        if self.owner is not None:
            self.owner.detach()
            self.owner = None
        self.rebind(key)
        self.take_over(before)

    def take_over(self, before: SetConfig[T]) -> None:
        """If the set was renamed since *before*, move its failed calls to the new key's slots."""
        mine = self.config.requests
        if before.requests is not mine:
            before.requests.move_failed_to(mine)
            if before.requests.twin is not None:
                only_due = self.config.no_wait.now is not None
                theirs = slots_of(self.client, self.config.key, only_due=not only_due)
                before.requests.twin.move_failed_to(theirs)

    def derive(self, destination: Destination) -> Self:
        """Return a runner for the set at *destination*; it owns that set if it is a result."""
        key, liveness_key = destination.key, destination.liveness_key or None
        config = self._config_of(key, liveness_key, unique="until_taken")
        derived = type(self)(self.client, config, **self.options)
        if liveness_key is not None:
            derived.delete_when_collected((key, liveness_key))
        return derived

    def translate_error(self, error: Exception) -> Exception:
        """Return redset's own error for an error reply of the server, or *error* itself."""
        code, name = client_errors.error_code(error), self.config.name
        if code == "WRONGTYPE":
            return KeyTypeError(
                f"redset {shown(name)}: the key holds another Redis type than a "
                "sorted set, or one of its companion keys does; choose another name, or delete "
                "that key"
            )
        if code == "EXPIRED":
            return ResultExpired(name)
        if code == "ERR" and "resulting score is not a number" in str(error):
            return no_sum(name)
        return error

    def while_read(self, *sources: object) -> AbstractContextManager[None]:
        """Return a context that keeps a result alive while *sources* are read for its change."""
        if not self.config.is_result or all(isinstance(each, Sized) for each in sources):
            return nullcontext()
        return self.use()

    # Each surface implements these methods

    def use(self) -> AbstractContextManager[None]:
        """Return a use of the result, which keeps it alive."""
        raise NotImplementedError

    def _connect(self) -> Any:
        """Return a connection; if the set is a result, one that keeps it alive."""
        raise NotImplementedError

    def delete_when_collected(self, keys: tuple[bytes, bytes]) -> None:
        """Delete *keys*, those of a result, when this runner is collected."""
        raise NotImplementedError


class PlanRunner(Generic[C]):
    """Sends the plans of the one set, or of the several, that *config* describes."""

    config: C
    connection: ClientConnection
    # Which copies of a change each call waits for.
    durable: Durable | None

    if TYPE_CHECKING:

        def translate_error(self, error: Exception) -> Exception: ...

        def take_over(self, before: C) -> None: ...

    def run(
        self, operation: Callable[Concatenate[C, P], Plan[R]], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """Run the plan of *operation*."""
        config = self.config
        plan = operation(config, *args, **kwargs)
        if self.durable is not None:
            return self._drive(config, plan)
        # As `_drive` does, without the cost of a call.
        try:
            return drive(plan, self.connection, self.translate_error)
        except BaseException:
            self.take_over(config)
            raise

    def run_in(
        self,
        slot: SubscriptionSlot | None,
        operation: Callable[Concatenate[C, P], Plan[R]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """Run the plan of *operation*; if it waits, keep its subscription in *slot*."""
        config = self.config
        return self._drive(config, operation(config, *args, **kwargs), slot)

    def deliver(
        self,
        from_end: bool,
        operation: Callable[Concatenate[C, P], Plan[R]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """Run an operation that removes items."""
        config = self.config
        return self._drive(config, operation(config, *args, **kwargs))

    # As for asyncio, where both are undone if the task is cancelled.
    lease = deliver

    def _drive(self, config: C, plan: Plan[R], slot: SubscriptionSlot | None = None) -> R:
        try:
            durable = self.durable  # that of several sets is worked out
            if durable is None:
                return drive(plan, self.connection, self.translate_error, slot)
            call = durable_call(config, self.connection, durable)
            return drive_durably(plan, self.connection, call, self.translate_error, slot)
        except BaseException:
            self.take_over(config)
            raise


class Runner(BaseRunner[T], PlanRunner[SetConfig[T]]):
    """Sends the plans of one set over a synchronous client."""

    connection: ClientConnection
    check_client = staticmethod(check_client)

    def walk(
        self,
        page_of: Callable[[SetConfig[T], Cursor], Plan[Iterable[R]]],
        handle: object = None,
        *,
        reverse: bool = False,
    ) -> Iterator[R]:
        """Yield the entries of all pages, one page after the other.

        A result is kept alive on the server until the iteration ends, and so is its *handle*, as
        with ``set``.
        """
        cursor = Cursor(reverse)
        use = self.use() if self.config.is_result else None
        try:
            while not cursor.exhausted:
                page = self.run(page_of, cursor)
                if use is None:
                    yield from page
                else:
                    yield from use.of(page, more=not cursor.exhausted)
        finally:
            if use is not None:
                use.end()

    def use(self) -> Use:
        """Return a use of the result, which keeps it alive."""
        return Use(cast(RefreshingConnection, self.connection))

    def rename(self, new_name: str | bytes) -> None:
        """Rename the set."""
        # Not over a result's connection: if the call is repeated, that would report the result as
        # gone, and if the result keeps its name, it would set a time-to-live again.
        connection = ClientConnection(self.client, self.config.key)
        plan = many.rename(self.config, new_name)
        durable = self.config.durable  # also of a result, which lasts from now on
        if durable is None:
            self.move_to(drive(plan, connection, self.translate_error))
            return
        call = durable_call(self.config, connection, durable)
        try:
            self.move_to(drive_durably(plan, connection, call, self.translate_error))
        except NotDurable as error:
            self.move_to(error.result)
            error.result = None
            raise

    def close(self) -> None:
        """Delete the set if it is a result that this runner owns."""
        owned = None if self.owner is None else self.owner.detach()
        if owned is not None:
            _, _, (connection, keys, process), _ = owned
            if process == this_process():
                delete_keys(connection, keys)

    def stored_with(self, other: "Runner[Any]") -> StoredOperand | None:
        """Return *other* as an operand on this set's server; ``None`` if it isn't stored there."""
        cluster = self.connection.is_cluster
        together = shares_commands(self.config, other.config, cluster=cluster)
        if together and same_server(self.connection, other.connection):
            return stored(other.config)
        return None

    def _connect(self) -> ClientConnection:
        config = self.config
        if config.liveness_key is None:
            return ClientConnection(self.client, config.key)
        return RefreshingConnection(self.client, config.name, config.key, config.liveness_key)

    def delete_when_collected(self, keys: tuple[bytes, bytes]) -> None:
        """Delete *keys*, those of a result, when this runner is collected."""
        self.owner = delete_when_collected(self, self.client, keys)
