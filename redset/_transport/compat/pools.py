"""The pools of clients, and what is known of their connections."""

import inspect
import math
import select
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast
from weakref import WeakKeyDictionary

from redset._protocol.client_errors import library_of
from redset._transport.compat.kinds import exceptions_of, has_single_connection, is_cluster, pool_of
from redset._transport.compat.observers import has_own_packer, provider_of, writes_as_library
from redset.exceptions import NestedCallError

R = TypeVar("R")

# How often, and for how long, a call waits for the lock of a queue, which is held for microseconds.
QUEUE_PAUSES, QUEUE_PAUSE = 1_000, 0.001


def shared_by_client(client: Any, name: str, make: Callable[[], R]) -> R:
    """Return the object that all users of *client* (or a pool) share under *name*; *make* it once.

    The client itself keeps the object. A dictionary of such objects would keep a client alive if a
    value refers to its own key.
    """
    try:
        attributes = vars(client)
    except TypeError:  # no attributes of its own: each caller makes its own
        return make()
    found = attributes.get(f"_redset_{name}")
    return cast(R, attributes.setdefault(f"_redset_{name}", make()) if found is None else found)


def can_be_pinned(client: Any) -> bool:
    """Return whether *client* is a pool of connections that take packed commands as they are."""
    pool = pool_of(client)
    if pool is None or has_single_connection(client) or is_cluster(client):
        return False
    connection = getattr(pool, "connection_class", None)
    return (
        library_of(type(pool)) is not None
        and connection is not None
        and library_of(connection) is not None
        and not has_own_packer(pool)
    )


def may_stay_pinned(pool: Any) -> bool:
    """Return whether a connection of *pool* may be kept between calls.

    It may not if credentials are renewed while it is idle in the pool, nor with TLS, whose records
    may arrive at any time, so that readable data says nothing about the connection.
    """
    kinds = {kind.__name__ for kind in pool.connection_class.__mro__}
    return (
        not any("SSL" in name for name in kinds)
        and hasattr(select, "poll")
        and pool.connection_kwargs.get("credential_provider") is None
        and getattr(pool, "cache", None) is None
    )


def max_connections(pool: Any) -> int:
    """Return how many connections *pool* may have."""
    return int(getattr(pool, "max_connections", 2))


def has_room(pool: Any) -> bool:
    """Return whether *pool* could give another connection without waiting for one."""
    if hasattr(pool, "pool"):  # BlockingConnectionPool has a queue of that name
        # Not `empty`, whose lock would be held when a signal handler uses a set.
        return bool(pool.pool.queue)
    created = getattr(pool, "_created_connections", 0)
    return created < pool.max_connections or bool(pool._available_connections)


def acquire_connection(pool: Any) -> Any:
    """Acquire a connection from *pool*, as this version of the client's library requires.

    If all are in use, raise the library's error at once, also where the pool would wait for one:
    another call of redset may put one back that the pool doesn't have.
    """
    _make_reentrant(pool)
    words = ["CLIENT"] if _requires_command_name(pool) else []
    connection: Any
    if hasattr(pool, "pool"):
        _check_queue(pool)
        if _is_of_library(pool, "get_connection"):
            connection = type(pool).get_connection(_AtOnce(pool), *words)
        elif has_room(pool):
            connection = pool.get_connection(*words)
        else:
            raise exceptions_of(pool).ConnectionError("No connection available.")
    else:
        connection = pool.get_connection(*words)
    if hasattr(connection, "_current_command_cache_key"):
        # Old versions would store the next reply in the client's cache, under another command.
        connection._current_command_cache_key = None
    return connection


def _is_of_library(pool: Any, method: str) -> bool:
    """Return whether the *method* of *pool* is the library's, and not one of the user's."""
    provider = provider_of(type(pool), method)
    own = method in getattr(pool, "__dict__", {})
    return not own and provider is not None and library_of(provider) is not None


class _AtOnce:
    """A BlockingConnectionPool, as its own method sees it, that waits for no connection."""

    timeout = 0.0

    def __init__(self, pool: Any) -> None:
        self._pool = pool

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)


def _check_queue(pool: Any) -> None:
    """Raise an error if a signal handler interrupted its own thread in the queue of *pool*."""
    pool._checkpid()  # a forked child has another queue
    if _is_stuck(pool):
        raise NestedCallError(
            "redset: a BlockingConnectionPool gives no connection to a signal handler that "
            "interrupted its own thread in the middle of the pool; use a ConnectionPool"
        )


def _is_stuck(pool: Any) -> bool:
    """Return whether the lock of a queue is held for longer than another thread would hold it."""
    # Waiting for the lock itself would not end if an interrupted call of this thread holds it.
    pauses = 0
    while pool.pool.mutex.locked():
        if pauses == QUEUE_PAUSES:
            return True
        time.sleep(QUEUE_PAUSE)
        pauses += 1
    return False


def release_connection(pool: Any, connection: Any) -> bool:
    """Return *connection* to *pool*; return whether that was possible in this moment."""
    if hasattr(pool, "pool"):
        pool._checkpid()
        if _is_stuck(pool):
            return False
    pool.release(connection)
    return True


def seconds_to_wait(pool: Any) -> float:
    """Return for how long *pool* itself waits if all its connections are in use."""
    timeout = getattr(pool, "timeout", 0.0)
    return math.inf if timeout is None else float(timeout)


def has_idle(pool: Any) -> bool:
    """Return whether an idle connection in *pool* was used before."""
    if hasattr(pool, "pool"):
        return any(connection is not None for connection in list(pool.pool.queue))
    return bool(pool._available_connections)


def acquire_connection_async(pool: Any) -> Any:
    """Return an awaitable that acquires a connection from *pool*, of an asyncio client.

    If all are in use, it raises the library's error, after `seconds_to_wait`.
    """
    return pool.get_connection("CLIENT") if _requires_command_name(pool) else pool.get_connection()


def check_room_async(pool: Any) -> None:
    """Raise the library's error if *pool*, of an asyncio client, would wait for a connection."""
    if seconds_to_wait(pool) > 0 and not pool.can_get_connection():
        raise exceptions_of(pool).ConnectionError("No connection available.")


def _make_reentrant(pool: Any) -> None:
    # Older versions guard a pool, and its event dispatcher, with locks that are not reentrant. A
    # signal handler that uses the client in the middle of another call of its own thread would wait
    # for such a lock until the process is killed.
    for guarded in (pool, getattr(pool, "_event_dispatcher", None)):
        make_lock_reentrant(guarded)


def make_lock_reentrant(guarded: Any) -> None:
    if type(getattr(guarded, "_lock", None)) is type(threading.Lock()):
        guarded._lock = threading.RLock()


_takes: WeakKeyDictionary[type, bool] = WeakKeyDictionary()


def _requires_command_name(pool: Any) -> bool:
    """Return whether *pool*, of an older client, requires the name of the command."""
    kind = type(pool)
    known = _takes.get(kind)
    if known is None:
        # A class of the user's may pass on whatever it is given.
        library = (each for each in kind.__mro__ if library_of(each) is not None)
        base: Any = next((each for each in library if "get_connection" in vars(each)), kind)
        wanted = inspect.signature(base.get_connection).parameters.get("command_name")
        known = _takes[kind] = wanted is not None and wanted.default is inspect.Parameter.empty
    return known


def socket_of(connection: Any) -> Any:
    """Return the socket of a synchronous *connection*, ``None`` if it has none now."""
    return connection._sock


def protocol_of(connection: Any) -> str:
    """Return ``"2"`` or ``"3"``: the version of RESP that *connection* speaks."""
    return str(getattr(connection, "protocol", 2))


def read_nulls_of_resp2(connection: Any) -> None:
    """Make a *connection* that speaks RESP2 from now on read its nulls, until it is closed.

    A client's parser of RESP3 in Python takes the null of RESP2 for a text, and waits without end.
    """
    parser: Any = getattr(connection, "_parser", None)
    if not any(kind.__name__.endswith("RESP3Parser") for kind in type(parser).__mro__):
        return
    if not inspect.iscoroutinefunction(parser.read_response):
        # A new buffer is made when it connects again.
        read = parser._buffer.read
        parser._buffer.read = lambda length, **options: (
            None if length < 0 else read(length, **options)
        )
    elif "_read" not in vars(parser):
        read_async = parser._read

        async def read_or_null(length: int) -> Any:
            return None if length < 0 else await read_async(length)

        # It stays, and changes nothing in RESP3, which has no length below 0.
        parser._read = read_or_null


def close_idle_connections(pool: Any) -> bool:
    """Close the idle connections of *pool*, one of which may be half-read.

    Return whether that was possible in this moment.
    """
    if not hasattr(pool, "pool"):
        pool.disconnect(inuse_connections=False)
        return True
    # A BlockingConnectionPool, whose old versions close all or none.
    if _is_stuck(pool):
        return False
    with pool.pool.mutex:  # `acquire` would leave a moment in which an exception keeps it held
        for connection in pool.pool.queue:
            if connection is not None:
                connection.disconnect()
    return True


def follows_pushes(pool: Any) -> bool:
    """Return whether the server may tell connections of *pool* that it moves (redis-py 7)."""
    enabled = getattr(pool, "maint_notifications_enabled", None)
    return bool(enabled is not None and enabled())


def should_reconnect(connection: Any) -> bool:
    """Return whether the server asked that *connection* reconnects, perhaps to another address."""
    asked: Callable[[], bool] | None = getattr(connection, "should_reconnect", None)
    return asked is not None and asked()


def read_pushes(connection: Any) -> None:
    """Read the messages that the server pushed to an idle *connection*; raise if it closed it."""
    while connection.can_read(timeout=0):
        connection.read_response(push_request=True, disconnect_on_error=False)


# Masters that Sentinels name


def follows_master(pool: Any) -> bool:
    """Return whether Sentinels tell *pool* which server is the master that it connects to."""
    return bool(getattr(pool, "is_master", False)) and hasattr(pool, "sentinel_manager")


def known_master(client: Any) -> Any:
    """Return the address of the master that Sentinels named last; ``None`` without Sentinels."""
    pool = pool_of(client)
    return pool.master_address if follows_master(pool) else None


def left_master(pool: Any, connection: Any) -> bool:
    """Return whether *connection*, of a pool that follows a master, is one of another server."""
    return bool(pool.master_address != (connection.host, connection.port))


def ask_for_master(pool: Any) -> Any:
    """Ask the Sentinels which server is the master of *pool*, which then closes idle connections.

    For an asyncio client, returns an awaitable. Raises the client's ConnectionError if no Sentinel
    knows.
    """
    return pool.get_master_address()


# Connections of asyncio


def belongs_to_loop(connection: Any, loop: Any) -> bool:
    """Return whether an asyncio *connection* may be used in *loop*; one without a socket may."""
    reader = getattr(connection, "_reader", None)
    return reader is None or getattr(reader, "_loop", loop) is loop


# How much asyncio's transports, and uvloop's, buffer before a writer has to wait: their default.
_BUFFERED_AT_ONCE = 64 * 1024


def write_at_once(connection: Any, packed: Sequence[bytes]) -> bool:
    """Write *packed* to an asyncio *connection* if that needs no wait; return whether it did so.

    It needs none if the connection is open, no check of its health may be due, and the transport
    buffers what the socket doesn't take. ``send_packed_command`` writes the same, with a limit of
    its time: for that, Python 3.11 makes a task, and the event loop three more turns.
    """
    if not writes_as_library(connection):
        return False
    writer = connection._writer
    if writer is None or connection.health_check_interval:
        return False
    transport = writer.transport
    size = transport.get_write_buffer_size() + sum([len(each) for each in packed])
    if size > _BUFFERED_AT_ONCE or transport.is_closing():
        return False
    writer.writelines(packed)
    return True


def may_relax(connection: Any) -> bool:
    """Return whether a server's maintenance may relax the limits of an asyncio *connection*."""
    return getattr(connection, "_maint_notifications_connection_handler", None) is not None


def relax_with(connection: Any, limit: Any) -> None:
    """Let maintenance move *limit*, an ``asyncio.timeout``, from now on; ``None`` ends that."""
    connection._active_read_timeout = limit


def forget_other_loops(pool: Any, loop: Any, *, forked: bool) -> None:
    """Drop connections of *pool* that belong to another loop or to a parent process.

    These are the idle ones, and those in use whose loop was closed, so that no task gives them
    back: the pool can make others in their place. They are not closed: that would take them from
    the loop, or the process, that is still using them.
    """
    for connection in list(getattr(pool, "_available_connections", ())):
        if forked or not belongs_to_loop(connection, loop):
            _drop_streams(connection, forked=forked)
    in_use: Any = getattr(pool, "_in_use_connections", ())
    for connection in list(in_use):
        if forked or _has_closed_loop(connection):
            _drop_streams(connection, forked=forked)
            in_use.discard(connection)


class _LeftToParent:
    """In place of a transport of the parent process, which no finalizer is to close in a child."""

    def is_closing(self) -> bool:
        return True


def _drop_streams(connection: Any, *, forked: bool) -> None:
    writer = connection._writer
    if forked and hasattr(writer, "_transport"):
        # The finalizer of the stream would close its transport. That takes the socket out of the
        # selector, which parent and child share: no reply would reach the parent again.
        writer._transport = _LeftToParent()
    connection._reader = connection._writer = None


def _has_closed_loop(connection: Any) -> bool:
    loop = getattr(getattr(connection, "_reader", None), "_loop", None)
    return loop is not None and loop.is_closed()
