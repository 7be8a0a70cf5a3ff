"""Connection: sends batches of commands through the user's own client, one round trip each.

The client keeps its pool, retries, credentials and protocol; only the decoding of replies is
switched off for each call, so that binary members survive ``decode_responses=True``.
"""

import inspect
import threading
from collections.abc import Sequence
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from redset._core import commands
from redset._core.commands import Command
from redset._core.lanes import lanes_of
from redset._core.watch import Watch
from redset.exceptions import InvalidTypeError

RAW = {"NEVER_DECODE": True}


class _Calls(threading.local):
    """How deep this thread is in the code of a client."""

    depth = 0


calls = _Calls()


class Connection(Protocol):
    """What the driver needs: replies, parsed, for a batch of commands in one round trip."""

    def execute(self, batch: Sequence[Command[Any]]) -> list[Any]: ...

    def watch(self, key: bytes) -> Watch: ...


class AsyncWatch(Protocol):
    """`Watch` for asyncio; `close` gives back what it needs, without waiting."""

    async def wait(self, seconds: float) -> bool: ...

    def catch_up(self) -> None: ...

    def close(self) -> None: ...


class AsyncConnection(Protocol):
    """`Connection` for asyncio."""

    async def execute(self, batch: Sequence[Command[Any]]) -> list[Any]: ...

    def watch(self, key: bytes) -> AsyncWatch: ...


class ClientConnection:
    """A `Connection` over a synchronous client of redis-py or valkey-py."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self._lanes = lanes_of(client)

    @property
    def is_cluster(self) -> bool:
        """Whether keys must share a slot to be used together."""
        return hasattr(self.client, "nodes_manager")

    def execute(self, batch: Sequence[Command[Any]]) -> list[Any]:
        """Send *batch* in one write, and give its parsed replies, or raise the first error.

        A script that the server doesn't have (restarted, flushed) is sent again with its source.
        """
        replies = self._send(batch)
        if missing := without_script(replies):
            again = self._send([batch[place].with_source() for place in missing])
            for place, reply in zip(missing, again, strict=True):
                replies[place] = reply
        return parsed(batch, replies)

    def watch(self, key: bytes) -> Watch:
        """What tells when *key* changes."""
        return Watch(self.client, key)

    def _send(self, batch: Sequence[Command[Any]]) -> list[Any]:
        calls.depth += 1
        try:
            lane = None if self._lanes is None else self._lanes.mine()
            if lane is not None:
                if len(batch) > 1:
                    return lane.call_all([command.packed() for command in batch])
                return [lane.call(batch[0].packed())]
            if len(batch) > 1:
                with self.client.pipeline(transaction=False) as pipeline:
                    for command in batch:
                        pipeline.execute_command(*command.words, **RAW)
                    return list(pipeline.execute(raise_on_error=False))
            return [self.client.execute_command(*batch[0].words, **RAW)]
        except Exception as error:
            if without_script([error]):
                return [error]
            raise
        finally:
            calls.depth -= 1


def without_script(replies: Sequence[Any]) -> list[int]:
    """The places of those *replies* that say that the server doesn't have the script."""
    missing = []
    for place, reply in enumerate(replies):
        # redis-py and valkey-py have a class of this name each, with no common base.
        if isinstance(reply, Exception) and type(reply).__name__ == "NoScriptError":
            missing.append(place)
    return missing


def parsed(batch: Sequence[Command[Any]], replies: Sequence[Any]) -> list[Any]:
    """Give the parsed *replies* to *batch*, or raise the first one that is an error."""
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply
    return [command.parse(reply) for command, reply in zip(batch, replies, strict=True)]


# What each client's server has answered to `INFO`.
run_ids: WeakKeyDictionary[Any, str] = WeakKeyDictionary()


def same_server(one: ClientConnection, other: ClientConnection) -> bool:
    """Say whether two clients speak to one database of one server, by whatever address.

    Cost: none for one client or equal addresses; else 1 round trip for each client, once.
    Source: ``run_id`` of ``INFO server``.
    """
    known = same_address(one, other)
    return _run_id(one) == _run_id(other) if known is None else known


def same_address(one: Any, other: Any) -> bool | None:
    """`same_server` as far as addresses tell; ``None`` if only the servers know."""
    if one.client is other.client:
        return True
    if one.is_cluster or other.is_cluster:
        return False
    places = [_address(connection.client) for connection in (one, other)]
    if places[0] == places[1] and (places[0]["host"] or places[0]["path"]):
        return True
    return None if places[0]["db"] == places[1]["db"] else False


def _address(client: Any) -> dict[str, Any]:
    options = client.connection_pool.connection_kwargs
    address = {name: options.get(name) for name in ("host", "port", "path")}
    return address | {"db": options.get("db") or 0}


def _run_id(connection: ClientConnection) -> str:
    known = run_ids.get(connection.client)
    if known is None:
        [known] = ClientConnection(connection.client).execute([commands.server_info()])
        run_ids[connection.client] = known
    return known


def is_async(name: str, client: Any, wanted: str = "redis.Redis()") -> bool:
    """Say which surface *client* serves; what is wrong if it serves none."""
    execute = getattr(client, "execute_command", None)
    if not callable(execute) or not callable(getattr(client, "pipeline", None)):
        raise InvalidTypeError(
            f"redset {name!r}: redis_client must be a client such as {wanted}, "
            f"got {type(client).__name__}"
        )
    return inspect.iscoroutinefunction(execute)


def check_client(name: str, client: Any) -> Any:
    """Give *client* back if it can serve a synchronous set; say what is wrong if it can't."""
    if is_async(name, client):
        raise InvalidTypeError(
            f"redset {name!r}: redis_client is an asyncio client ({type(client).__name__}); "
            "this set needs a synchronous one such as redis.Redis()"
        )
    return client
