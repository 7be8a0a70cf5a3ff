"""Connection: sends batches of commands to a client's server, one round trip each.

A batch is sent in one of two ways (see docs/transport.md): packed, over a connection that redset
keeps, or through the client's public methods. The client's pool, retries, credentials and protocol
are used; only the decoding of replies is switched off, so that binary members survive
``decode_responses=True``.
"""

import contextlib
import threading
from collections import deque
from collections.abc import Sequence
from typing import Any, Protocol
from uuid import uuid4
from weakref import WeakKeyDictionary

from redset._protocol import client_errors, commands
from redset._protocol.commands import Command
from redset._protocol.config import WaitForChange
from redset._support.forks import PerProcess, this_process
from redset._support.words import shown
from redset._transport import compat
from redset._transport.cluster import SlotRoute
from redset._transport.pinned import PinnedConnections, pinned_connections_for
from redset._transport.subscription import KeySubscription, evict_one
from redset._transport.through_client import confirmations_after, send_through
from redset.exceptions import InvalidTypeError


class Connection(Protocol):
    """The interface that the driver needs: parsed replies for a batch, in one round trip."""

    def execute(self, batch: Sequence[Command[Any]]) -> list[Any]: ...

    def subscribe(self, keys: tuple[bytes, ...]) -> KeySubscription: ...


class AsyncSubscription(Protocol):
    """`KeySubscription` for asyncio; `close` returns the connection to the pool without waiting."""

    async def wait(self, step: WaitForChange) -> bool | None: ...

    def asked(self, *, found: bool) -> None: ...

    def drain(self) -> None: ...

    def close(self) -> None: ...


class AsyncConnection(Protocol):
    """`Connection` for asyncio."""

    async def execute(self, batch: Sequence[Command[Any]]) -> list[Any]: ...

    def subscribe(self, keys: tuple[bytes, ...]) -> AsyncSubscription: ...


class ClientConnection:
    """A `Connection` over a synchronous client of redis-py or valkey-py.

    The *key* is one of those that the connection is for, all of which are in one cluster slot.
    """

    def __init__(self, client: Any, key: bytes | None = None) -> None:
        self.client: Any = client
        self._slot = None if key is None or not self.is_cluster else SlotRoute(client, key)
        self._original = compat.original_execute(client)
        # The client's pool and its pinned connections: one object, as several threads may replace
        # it.
        self._way: tuple[Any, PerProcess[PinnedConnections] | None]
        self._follow_pool()
        # Results to delete: their handles were collected when no connection was ready.
        self._to_delete: deque[tuple[int, Sequence[bytes]]] = compat.shared_by_client(
            client, "results_to_delete", deque
        )
        # The processes and threads that are deleting them.
        self._deleting: set[tuple[int, int]] = compat.shared_by_client(client, "deleting", set)

    @property
    def is_cluster(self) -> bool:
        """True if the keys of one command must share a cluster slot."""
        return compat.is_cluster(self.client)

    @property
    def node_name(self) -> str | None:
        """The name of the cluster's node that is asked now; ``None`` if none is known."""
        return None if self._slot is None else self._slot.node_name

    def execute(self, batch: Sequence[Command[Any]]) -> list[Any]:
        """Send *batch* in one write, and return its parsed replies, or raise the first error.

        If the server doesn't have a script (it was restarted or flushed), the command is sent again
        with the script's source.
        """
        replies = self._send(batch)
        if len(replies) == 1 and not isinstance(replies[0], Exception):  # most calls
            return [batch[0].parse(replies[0])]
        for reply in replies:
            if isinstance(reply, Exception):
                return parsed(batch, self._with_scripts(batch, replies))
        return [command.parse(reply) for command, reply in zip(batch, replies, strict=True)]

    def _with_scripts(self, batch: Sequence[Command[Any]], replies: list[Any]) -> list[Any]:
        missing = without_script(batch, replies)
        if missing:
            again = self._send([batch[place].with_source() for place in missing])
            for place, reply in zip(missing, again, strict=True):
                replies[place] = reply
        return replies

    def delete_now(self, keys: Sequence[bytes]) -> bool:
        """Delete *keys* if a connection is idle; return whether one was.

        For finalizers: it opens no connection, repeats no command and raises no error.
        """
        packed = commands.delete(*keys).packed()
        if self._slot is not None:
            return self._slot.try_call(packed)
        pool, pinned = self._way
        if pinned is None or self.client.connection_pool is not pool:
            return False
        return compat.is_untouched(self.client, self._original) and pinned.get().try_call(packed)

    def delete_later(self, keys: Sequence[bytes]) -> None:
        """Delete *keys* with the next call that uses this client, in this process."""
        self._to_delete.append((this_process(), keys))

    def delete_collected(self) -> None:
        """Delete the keys that `delete_later` recorded, in a cluster those of the same node.

        What can't be deleted now is left to a later call.
        """
        caller = this_process(), threading.get_ident()
        if caller in self._deleting:
            return  # this call deletes one of them, or was made by an observer of such a call
        try:
            self._deleting.add(caller)
            for entry in list(self._to_delete):
                if self._is_deleted(*entry):
                    with contextlib.suppress(ValueError):  # another thread was faster
                        self._to_delete.remove(entry)
        except Exception as error:
            if not client_errors.is_client_error(error):
                raise
        finally:
            self._deleting.discard(caller)

    def _is_deleted(self, process: int, keys: Sequence[bytes]) -> bool:
        """Delete *keys* if they are this process's; return whether that is settled."""
        if process != this_process():
            return True  # a forked child has a copy of the handle, but doesn't own the keys
        connection = ClientConnection(self.client, keys[0])
        if self._slot is not None and self.node_name != connection.node_name:
            return False  # another node may hang: the set of this call need not wait for that
        return connection.delete_now(keys) or bool(connection._send([commands.delete(*keys)]))

    def subscribe(self, keys: tuple[bytes, ...]) -> KeySubscription:
        """Return a subscription that is notified when any of *keys* changes."""
        return KeySubscription(self.client, keys)

    def _follow_pool(self) -> tuple[Any, PerProcess[PinnedConnections] | None]:
        """Use the pool that the client has now: a program may give its client another one."""
        pool = compat.pool_of(self.client)
        pinned = None if self._original is None else pinned_connections_for(self.client)
        self._way = pool, pinned
        return self._way

    def _send(self, batch: Sequence[Command[Any]]) -> list[Any]:
        client = self.client
        pool, pinned = self._way  # *pool* is kept by this call, as *pinned* refers to it weakly
        if pinned is not None and client.connection_pool is not pool:
            pool, pinned = self._follow_pool()
        if pinned is not None and not compat.is_untouched(client, self._original):
            pinned = None
        if pinned is not None and len(batch) == 1:
            replies = [pinned.get().call(client, batch[0].packed(), evict_one)]
        elif pinned is not None and compat.pipeline_is_untouched(client):
            packed = [command.packed() for command in batch]
            replies = pinned.get().call_all(client, packed, evict_one)
        elif self._slot is not None:
            replies = self._slot.send(batch)
        else:
            replies = send_through(client, batch)
        # Afterwards: the server is there, and a connection is idle.
        if self._to_delete:
            self.delete_collected()
        return replies


def without_script(batch: Sequence[Command[Any]], replies: Sequence[Any]) -> list[int]:
    """Return the places in *batch* to send again: *replies* have the error for an unknown script.

    What confirms a change is sent again, too.
    """
    missing = [
        place
        for place, reply in enumerate(replies)
        if isinstance(reply, Exception) and client_errors.is_missing_script(reply)
    ]
    return missing and missing + confirmations_after(batch, missing[0])


def parsed(batch: Sequence[Command[Any]], replies: Sequence[Any]) -> list[Any]:
    """Return the parsed *replies* to *batch*, or raise the first one that is an error."""
    for command, reply in zip(batch, replies, strict=True):
        if isinstance(reply, Exception) and not command.confirms:
            raise reply
    return [command.parse(reply) for command, reply in zip(batch, replies, strict=True)]


# The ``run_id`` of each pool's server, and the master that it was of: see `known_run_id`.
run_ids: WeakKeyDictionary[Any, tuple[Any, str]] = WeakKeyDictionary()


def same_server(one: ClientConnection, other: ClientConnection) -> bool:
    """Return whether two clients use the same database of one server, also by other addresses.

    If an account may not ask, the servers count as different.

    Cost: none for one client or equal addresses; else 1 round trip for each client, once.
    Source: ``run_id`` of ``INFO server``.
    """
    known = same_address(one, other)
    return _run_id(one) == _run_id(other) if known is None else known


def same_address(one: Any, other: Any) -> bool | None:
    """Return the answer of `same_server` without asking; ``None`` if addresses can't decide."""
    if one.client is other.client:
        return True
    if any(each.is_cluster or compat.sees_other_keys(each.client) for each in (one, other)):
        return False
    places = [compat.address_of(connection.client) for connection in (one, other)]
    if places[0] == places[1] and (places[0]["host"] or places[0]["path"]):
        return True
    return None if places[0]["db"] == places[1]["db"] else False


def known_run_id(client: Any) -> str | None:
    """Return the ``run_id`` of the server of *client*; ``None`` if it has to be asked for.

    After a failover, the client of a Sentinel's master has another server.
    """
    master, known = run_ids.get(compat.pool_of(client), (None, None))
    return known if master == compat.known_master(client) else None


def _run_id(connection: ClientConnection) -> str:
    client = connection.client
    pool, known = compat.pool_of(client), known_run_id(client)
    if known is None:
        try:
            [known] = ClientConnection(client).execute([commands.server_info()])
        except Exception as error:
            known = unknown_server(error)
        run_ids[pool] = compat.known_master(client), known
    return known


def unknown_server(error: Exception) -> str:
    """Return an id of no other server if *error* is that it can't be asked; else raise it.

    An account may lack the right, or an imitation of a server the command. Then operators on two
    sets send items through this process, even if both sets are on one server.
    """
    if not (client_errors.is_denied(error) or client_errors.is_unknown_command(error)):
        raise error
    return f"unknown {uuid4()}"


def is_async(name: str, client: Any, wanted: str = "redis.Redis()") -> bool:
    """Return whether *client* is an asyncio client; raise an error if no set can use it."""
    execute = getattr(client, "execute_command", None)
    if not callable(execute) or not callable(getattr(client, "pipeline", None)):
        raise InvalidTypeError(
            f"redset {shown(name)}: redis_client must be a client such as {wanted}, "
            f"got {type(client).__name__}"
        )
    if compat.is_multi_database(client):
        raise InvalidTypeError(
            f"redset {shown(name)}: redis_client is a {type(client).__name__}, which "
            "changes between databases that don't hold the same set; give the client of one of them"
        )
    return compat.is_asyncio(client)


def check_client(name: str, client: Any) -> Any:
    """Return *client* if it can serve a synchronous set; else raise an error."""
    if is_async(name, client):
        raise InvalidTypeError(
            f"redset {shown(name)}: redis_client is an asyncio client ({type(client).__name__}); "
            "this set needs a synchronous one such as redis.Redis()"
        )
    return client
