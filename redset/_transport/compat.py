"""Compat: all that redset uses of the insides of redis-py and valkey-py.

Each probe of a private attribute, a signature or a module name is a function here, with a canary
test over the versions of both libraries. Nothing outside this module uses a name that the
client's documentation doesn't have. Imports no client: a program may have only one of the two.
"""

import importlib
import inspect
import select
import sys
import threading
from collections.abc import Callable
from enum import Enum
from types import FrameType, FunctionType, MethodType
from typing import Any, TypeVar, cast
from weakref import WeakKeyDictionary

from redset._protocol import client_errors
from redset._protocol.client_errors import LIBRARIES, is_read_only, library_of

R = TypeVar("R")

# An option of `execute_command` that disables the decoding of one reply.
RAW = {"NEVER_DECODE": True}


# Libraries and their errors


_exceptions: WeakKeyDictionary[type, Any] = WeakKeyDictionary()


def exceptions_of(instance: object) -> Any:
    """Return the module of the exceptions that *instance*, of either library, raises."""
    kind = type(instance)
    known = _exceptions.get(kind)
    if known is None:
        libraries = [library_of(base) for base in kind.__mro__]
        library = next((name for name in libraries if name), LIBRARIES[0])
        known = _exceptions[kind] = importlib.import_module(f"{library}.exceptions")
    return known


# How commands may be sent


class CommandPath(Enum):
    """The ways to send several commands by a client whose commands are observed or changed."""

    PIPELINE = "in a pipeline of the client's"
    SINGLY = "one at a time, as only `execute_command` is the user's own"


# Methods that decide what reaches the server: if a user's class overrides one, the client sends.
_DECIDING = ("execute_command", "_execute_command", "pipeline", "parse_response")


def _provider(kind: type, method: str) -> type | None:
    return next((base for base in kind.__mro__ if method in vars(base)), None)


def _is_library_code(function: Any, kind: type) -> bool:
    module = sys.modules.get(kind.__module__)
    # By `type`: a tracer's proxy imitates the function in all its attributes.
    return type(function) is FunctionType and function.__globals__ is vars(module)


def _function_of(method: Any) -> Any:
    """Return the function behind a bound *method*, ``None`` for a tracer's proxy of one."""
    return method.__func__ if type(method) is MethodType else None


_originals: WeakKeyDictionary[type, Any] = WeakKeyDictionary()


def original_execute(client: Any) -> Any:
    """Return the library's own function behind ``client.execute_command``.

    The wrapper of a tracer is removed. ``None`` if a user's class has its own function, or if the
    function can't be found.
    """
    kind = type(client)
    if kind not in _originals:
        _originals[kind] = _find_original(kind)
    return _originals[kind]


def _find_original(kind: type) -> Any:
    for method in _DECIDING:
        provider = _provider(kind, method)
        if provider is not None and library_of(provider) is None:
            return None
    provider = _provider(kind, "execute_command")
    if provider is None:
        return None
    function = inspect.unwrap(vars(provider)["execute_command"])
    return function if _is_library_code(function, provider) else None


def is_untouched(client: Any, original: Any) -> bool:
    """Return whether ``client.execute_command`` is *original*, and commands are not counted.

    Checked before each call, as a tracer may be installed at any time: about 0.15 µs.
    """
    execute = client.execute_command
    # As `_function_of`, without the cost of a call.
    return type(execute) is MethodType and execute.__func__ is original and not _metrics_are_on()


def pipeline_is_untouched(client: Any) -> bool:
    """Return whether the pipelines of *client* are unobserved, as `is_untouched` for commands."""
    pipeline = _pipeline_class(type(client))
    if pipeline is None:
        return True
    provider = _provider(type(client), "pipeline")
    return (
        provider is not None
        and _is_library_code(_function_of(client.pipeline), provider)
        and _is_library_code(vars(pipeline).get("execute"), pipeline)
    )


def _pipeline_class(kind: type) -> Any:
    provider = _provider(kind, "execute_command")
    name = "ClusterPipeline" if hasattr(kind, "get_node_from_key") else "Pipeline"
    return getattr(sys.modules.get(getattr(provider, "__module__", "")), name, None)


def path_through_client(client: Any) -> CommandPath:
    """Return how a client whose commands are observed or changed sends several of them."""
    changed = _changes(client, "execute_command") or _changes(client, "parse_response")
    if changed and not _changes(client, "pipeline"):
        return CommandPath.SINGLY
    return CommandPath.PIPELINE


def sends_singly(client: Any, number: int) -> bool:
    """Return whether a batch of *number* commands goes to `execute_command` one by one."""
    if has_cache(client):
        return False  # a pipeline bypasses the client's cache, whose entries may be decoded
    if number == 1 or getattr(client, "connection", None) is not None:
        # A setting of the user on a client's single connection (SELECT) applies to all commands.
        return True
    return path_through_client(client) is CommandPath.SINGLY


def why_apart(client: Any) -> str | None:
    """Return why *client* sends several commands over different connections; ``None`` if not so."""
    if is_cluster(client):
        return "a cluster's client that is observed sends each to the node of its key"
    if getattr(client, "connection", None) is not None or getattr(
        client, "single_connection_client", False
    ):
        return "a client with single_connection_client=True may connect again between two of them"
    if sends_singly(client, 2):
        return "this one has an execute_command of its own, and the library's pipeline"
    return None


def renames_keys(client: Any) -> bool:
    """Return whether commands may reach the server in another form than redset wrote them."""
    return _changes(client, "execute_command") or _changes(client, "pipeline")


def _changes(client: Any, method: str) -> bool:
    if method in getattr(client, "__dict__", {}):
        return True
    provider = _provider(type(client), method)
    return provider is not None and library_of(provider) is None


_recorder: Any = None


def _metrics_are_on() -> bool:
    """Return whether redis-py 8 counts the commands of all clients (``redis.observability``)."""
    global _recorder  # noqa: PLW0603 - looked up once
    if _recorder is None:
        # Imported by each client of a version that has it; `False` for others.
        _recorder = sys.modules.get("redis.observability.providers", False)
    if _recorder is False:
        return False
    instance = _recorder._observability_instance
    return instance is not None and instance._provider_manager is not None


def is_cluster(client: Any) -> bool:
    """Return whether *client* speaks to a cluster: keys must share a slot to be used together."""
    return hasattr(client, "nodes_manager")


def is_asyncio(client: Any) -> bool:
    """Return whether the methods of *client* are awaited."""
    if inspect.iscoroutinefunction(inspect.unwrap(client.execute_command)):
        return True
    modules = tuple(f"{library}.asyncio" for library in LIBRARIES)
    return any(kind.__module__.startswith(modules) for kind in type(client).__mro__)


def is_multi_database(client: Any) -> bool:
    """Return whether *client* switches between databases that don't share their data at once."""
    return any(kind.__name__ == "MultiDBClient" for kind in type(client).__mro__)


def is_in_the_middle_of_a_call(client: Any) -> bool:
    """Return whether this thread is in a call over the one connection of *client*, if it has one.

    Older clients have no lock that records this: for them, the stack is searched.
    """
    if getattr(client, "connection", None) is None:
        return False
    owned = getattr(getattr(client, "single_connection_lock", None), "_is_owned", None)
    if owned is not None:
        return bool(owned())
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_name == "execute_command" and frame.f_locals.get("self") is client:
            return True
        frame = frame.f_back
    return False


# Pools and connections


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


def pool_of(client: Any) -> Any:
    """Return the pool of *client*, ``None`` for a client that is more than a pool."""
    return getattr(client, "connection_pool", None)


def can_be_pinned(client: Any) -> bool:
    """Return whether *client* is a pool of connections that take packed commands as they are."""
    pool = pool_of(client)
    if pool is None or getattr(client, "connection", None) is not None or is_cluster(client):
        return False
    connection = getattr(pool, "connection_class", None)
    return (
        library_of(type(pool)) is not None
        and connection is not None
        and library_of(connection) is not None
    )


def has_cache(client: Any) -> bool:
    """Return whether *client* answers reads from a cache of its own, decoded or not."""
    return getattr(pool_of(client), "cache", None) is not None


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
        return not pool.pool.empty()
    created = getattr(pool, "_created_connections", 0)
    return created < pool.max_connections or bool(pool._available_connections)


def borrow(pool: Any) -> Any:
    """Acquire a connection from *pool*, as this version of the client's library requires."""
    _make_reentrant(pool)
    connection = pool.get_connection("CLIENT") if _takes_name(pool) else pool.get_connection()
    if hasattr(connection, "_current_command_cache_key"):
        # Old versions would store the next reply in the client's cache, under another command.
        connection._current_command_cache_key = None
    return connection


def has_idle(pool: Any) -> bool:
    """Return whether an idle connection in *pool* was used before."""
    if hasattr(pool, "pool"):
        return any(connection is not None for connection in list(pool.pool.queue))
    return bool(pool._available_connections)


def borrow_async(pool: Any) -> Any:
    """Return an awaitable that acquires a connection from *pool*, of an asyncio client."""
    return pool.get_connection("CLIENT") if _takes_name(pool) else pool.get_connection()


def _make_reentrant(pool: Any) -> None:
    # Older versions guard a pool, and its event dispatcher, with locks that are not reentrant. A
    # signal handler that uses the client in the middle of another call of its own thread would wait
    # for such a lock until the process is killed.
    for guarded in (pool, getattr(pool, "_event_dispatcher", None)):
        _make_lock_reentrant(guarded)


def _make_lock_reentrant(guarded: Any) -> None:
    if type(getattr(guarded, "_lock", None)) is type(threading.Lock()):
        guarded._lock = threading.RLock()


_takes: WeakKeyDictionary[type, bool] = WeakKeyDictionary()


def _takes_name(pool: Any) -> bool:
    """Return whether *pool*, of an older client, requires the name of the command."""
    kind = type(pool)
    known = _takes.get(kind)
    if known is None:
        wanted = inspect.signature(pool.get_connection).parameters.get("command_name")
        known = _takes[kind] = wanted is not None and wanted.default is inspect.Parameter.empty
    return known


def socket_of(connection: Any) -> Any:
    """Return the socket of a synchronous *connection*, ``None`` if it has none now."""
    return connection._sock


def protocol_of(connection: Any) -> str:
    """Return ``"2"`` or ``"3"``: the version of RESP that *connection* speaks."""
    return str(getattr(connection, "protocol", 2))


def close_idle_connections(pool: Any) -> None:
    """Close the idle connections of *pool*, one of which may be half-read."""
    if hasattr(pool, "pool"):  # BlockingConnectionPool, whose old versions close all or none
        if pool.pool.mutex.acquire(timeout=1.0):
            try:
                for connection in pool.pool.queue:
                    if connection is not None:
                        connection.disconnect()
            finally:
                pool.pool.mutex.release()
    else:
        pool.disconnect(inuse_connections=False)


def close_half_read(client: Any) -> None:
    """Close every connection of *client* that may have been left in the middle of a reply."""
    if getattr(client, "connection", None) is not None:
        client.connection.disconnect()
    elif pool_of(client) is not None:
        close_idle_connections(pool_of(client))
    elif is_cluster(client) and not is_asyncio(client):
        for each in node_clients(client):
            close_idle_connections(pool_of(each))


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


# Nodes of a cluster


def make_cluster_reentrant(client: Any) -> None:
    """Let a signal handler use a cluster's *client*, in the middle of another of its calls."""
    for guarded in (client, client.nodes_manager):
        _make_lock_reentrant(guarded)


def client_of_slot(client: Any, slot: int) -> Any:
    """Return the client of the node that owns *slot*, as far as a cluster's *client* knows.

    Raise the client's error if it knows of none.
    """
    manager = client.nodes_manager
    try:
        # What the client's own method returns, which takes a lock.
        node = manager.slots_cache[slot][0]
    except (KeyError, IndexError, TypeError):
        node = manager.get_node_from_slot(slot)
    # The libraries have different names for it. It is made when it is first needed.
    own = vars(node).get("redis_connection") or vars(node).get("valkey_connection")
    return client_of_node(client, node) if own is None else own


def client_of_node(client: Any, node: Any) -> Any:
    """Return the client of one *node* of a synchronous cluster's *client*."""
    name = "redis" if hasattr(node, "redis_connection") else "valkey"
    return getattr(client, f"get_{name}_connection")(node)


def node_of_redirection(client: Any, reply: Any) -> Any:
    """Return the node that *reply* (ASK) names; ``None`` if it names no address.

    A node that is new in the cluster has no slots yet, so that the *client* has not heard of it. It
    belongs to the client from now on, which closes its connections.
    """
    manager = client.nodes_manager
    host, port = reply.host, reply.port
    if not host:
        return None
    if hasattr(manager, "remap_host_port"):
        host, port = manager.remap_host_port(host, port)
    known = client.get_node(host=host, port=port)
    if known is not None:
        return known
    [kind] = {type(node) for node in manager.nodes_cache.values()}
    options = manager.connection_kwargs if is_asyncio(client) else {}
    node = kind(host, port, "primary", **options)
    return manager.nodes_cache.setdefault(node.name, node)


def client_of_redirection(client: Any, reply: Any) -> Any:
    """Return the client of the node that *reply* (ASK) names; ``None`` if it isn't known."""
    node = node_of_redirection(client, reply)
    return None if node is None else client_of_node(client, node)


def node_clients(client: Any) -> list[Any]:
    """Return the clients of those nodes that a synchronous cluster's *client* has used."""
    nodes = list(client.nodes_manager.nodes_cache.values())
    found = [
        getattr(node, "redis_connection", None) or getattr(node, "valkey_connection", None)
        for node in nodes
    ]
    return [each for each in found if each is not None]


def node_of_slot(client: Any, slot: int) -> Any:
    """Return the node that owns *slot*, as far as an asyncio cluster's *client* knows.

    ``None`` if it knows of none. While it asks the cluster again, its nodes are those of before: if
    one of them doesn't answer, the sets of the others need not wait.
    """
    try:
        return client.nodes_manager.slots_cache[slot][0]
    except (KeyError, IndexError, TypeError):
        return None


async def connection_of_node(node: Any) -> Any:
    """Acquire a connection of *node*, of an asyncio cluster's client; it is checked."""
    connection = node.acquire_connection()
    try:
        await connection.connect()
        if await _has_data(connection):  # or the server closed it
            await connection.disconnect()
            await connection.connect()
    except BaseException:
        await connection.disconnect(nowait=True)
        release_to_node(node, connection)
        raise
    return connection


async def _has_data(connection: Any) -> bool:
    can_read = getattr(connection, "can_read", None) or connection.can_read_destructive
    try:
        return bool(await can_read())
    except Exception as error:
        if isinstance(error, OSError) or client_errors.is_client_error(error):
            return True
        raise


def release_to_node(node: Any, connection: Any) -> None:
    """Return *connection* to its *node*, of an asyncio cluster's client."""
    release = getattr(node, "release", None)
    if release is None:  # before version 6
        node._free.append(connection)
    else:
        release(connection)


def idle_connections_of_node(node: Any) -> Any:
    """Return the connections of *node* that no call is using."""
    return node._free


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


# Retries, as the client itself would do them


def call_with_retry(client: Any, connection: Any, first: Exception, again: Callable[[], R]) -> R:
    """Continue as *client* would after a first attempt that failed with *first*.

    The client's own `Retry` decides which errors are retried, how often, and after which pauses.
    """
    failed = [first]

    def attempt() -> R:
        if failed:
            raise failed.pop()
        connect = _connect_to_master(connection)
        if connect is not None:
            connect()
        return again()

    def fail(error: Exception) -> None:
        connection.disconnect()
        if not _repeats(client, connection, error):
            raise error

    return cast(R, connection.retry.call_with_retry(attempt, fail))


async def call_with_retry_async(client: Any, connection: Any, attempt: Callable[[], Any]) -> Any:
    """Do what `call_with_retry` does, for asyncio, including the first attempt."""

    async def attempt_at_master() -> Any:
        connect = _connect_to_master(connection)
        if connect is not None:
            await connect()
        return await attempt()

    async def fail(error: Exception) -> None:
        await connection.disconnect()
        if not _repeats(client, connection, error):
            raise error

    return await connection.retry.call_with_retry(attempt_at_master, fail)


def _connect_to_master(connection: Any) -> Callable[[], Any] | None:
    """Return what opens *connection*, if it is closed, at the master that Sentinels name now.

    ``None`` without Sentinels. redis-py 7.1 and later would open it at the address of before, when
    it sends a command again.
    """
    connect: Callable[[], Any] | None = getattr(connection, "_connect_retry", None)
    return connect


def _repeats(client: Any, connection: Any, error: Exception) -> bool:
    """Return whether *client* retries after an *error* that its `Retry` knows."""
    if not hasattr(client, "_disconnect_raise"):
        return True
    # Before version 6, only errors that the user named are retried. Of these, pipelines retry only
    # timeouts, as a user's commands may not be safe to repeat: those of redset's batches are.
    named = tuple(getattr(connection, "retry_on_error", None) or ())
    return isinstance(error, named)


def repeats_reply(connection: Any, reply: Exception) -> bool:
    """Return whether the user named *reply*, an error of the server, as a reason to retry."""
    return isinstance(reply, getattr(connection.retry, "_supported_errors", ()))


def plain_reply(connection: Any, reply: Exception) -> Exception:
    """Return what the client makes of *reply* if a plain command, not a script, receives it.

    Redis 6.2 tells inside of the error of a script that it is a read-only replica. The client
    doesn't see that, and would go on to use the connection of a master that was demoted.
    """
    if type(reply).__name__ != "ResponseError" or not is_read_only(reply):
        return reply
    exceptions = exceptions_of(connection)
    if getattr(getattr(connection, "connection_pool", None), "is_master", False):
        error = exceptions.ConnectionError("The previous master is now a slave")
    else:
        error = exceptions.ReadOnlyError(str(reply))
    error.__cause__ = reply.with_traceback(None)
    return cast(Exception, error)


# Locks


def try_to_lock(lock: Any, token: bytes) -> Any:
    """Acquire *lock*, made by a client's ``lock()``, with *token*; return whether it was acquired.

    For an asyncio client, returns an awaitable.
    """
    return lock.do_acquire(token)


def unlock(lock: Any, token: bytes) -> Any:
    """Free *lock*; raise a `ValueError`, LockNotOwnedError, if *token* is not its own.

    For an asyncio client, returns an awaitable.
    """
    return lock.do_release(token)


# Addresses and settings


def address_of(client: Any) -> dict[str, Any]:
    """Return host, port, path and database of *client*, as far as its pool has them."""
    options = pool_of(client).connection_kwargs
    address = {name: options.get(name) for name in ("host", "port", "path")}
    return address | {"db": options.get("db") or 0}


def read_timeout_of(client: Any) -> float | None:
    """Return for how many seconds connections of *client* wait for a reply; ``None``: no limit."""
    if is_cluster(client):
        settings = getattr(client, "connection_kwargs", client.nodes_manager.connection_kwargs)
        return cast("float | None", settings.get("socket_timeout"))
    pool = pool_of(client)
    options = getattr(pool, "connection_kwargs", {})
    if "socket_timeout" in options:
        return cast("float | None", options["socket_timeout"])
    kinds: tuple[Any, ...] = getattr(pool, "connection_class", object).__mro__
    for kind in kinds:
        found = inspect.signature(kind.__init__).parameters.get("socket_timeout")
        if found is not None:
            return found.default if isinstance(found.default, int | float) else None
    return None


# Settings of a pool that each pool makes for itself.
_OWN_STATE = {"himport_registry", "maint_notifications_pool_handler", "event_dispatcher"}


def portable_settings(client: Any) -> tuple[type, type, type, dict[str, Any]] | None:
    """Return the settings for such a client in another process; ``None`` for no plain pool."""
    pool = pool_of(client)
    if pool is None or type(pool).__name__ not in {"ConnectionPool", "BlockingConnectionPool"}:
        return None
    # A bare object() is a default that is compared by identity, so a copy would be a wrong value.
    options = {
        name: value
        for name, value in pool.connection_kwargs.items()
        if name not in _OWN_STATE and type(value) is not object
    }
    options["max_connections"] = pool.max_connections
    return type(client), type(pool), pool.connection_class, options


# Settings of a cluster's client that each client makes for itself.
_OWN_OF_CLUSTER = {
    *_OWN_STATE,
    *("redis_connect_func", "valkey_connect_func", "parser_class", "response_callbacks"),
    *("oss_cluster_maint_notifications_handler", "host", "port", "retry"),
}
# Settings that only the client has, not its nodes.
_ONLY_OF_CLUSTER = ("read_from_replicas", "reinitialize_steps", "retry", "load_balancing_strategy")


def portable_cluster_settings(client: Any) -> tuple[type, list[tuple[str, int]], dict[str, Any]]:
    """Return the class, the addresses and the options for such a client of a cluster elsewhere."""
    kind, manager = type(client), client.nodes_manager
    known = inspect.signature(kind.__init__).parameters
    takes_any = not is_asyncio(client)
    options = {
        name: value
        for name, value in getattr(client, "connection_kwargs", manager.connection_kwargs).items()
        if name not in _OWN_OF_CLUSTER
        and type(value) is not object
        and (name in known or takes_any)
    }
    for name in _ONLY_OF_CLUSTER:
        if name in known and (value := getattr(client, name, None)):
            options[name] = value
    nodes = [*manager.nodes_cache.values(), *manager.startup_nodes.values()]
    return kind, list(dict.fromkeys([(node.host, node.port) for node in nodes])), options


def open_cluster(kind: type, addresses: list[tuple[str, int]], options: dict[str, Any]) -> Any:
    """Make the client of a cluster whose settings `portable_cluster_settings` returned."""
    provider = _provider(kind, "execute_command")
    node = vars(sys.modules[provider.__module__ if provider else kind.__module__])["ClusterNode"]
    return kind(startup_nodes=[node(host, port) for host, port in addresses], **options)


# Connections of asyncio


def belongs_to_loop(connection: Any, loop: Any) -> bool:
    """Return whether an asyncio *connection* may be used in *loop*; one without a socket may."""
    reader = getattr(connection, "_reader", None)
    return reader is None or getattr(reader, "_loop", loop) is loop


def forget_other_loops(pool: Any, loop: Any, *, forked: bool) -> None:
    """Drop idle connections of *pool* that belong to another loop or to a parent process.

    They are not closed: that would take them from the loop, or the process, that is still using
    them.
    """
    for connection in list(getattr(pool, "_available_connections", ())):
        if forked or not belongs_to_loop(connection, loop):
            connection._reader = connection._writer = None
