"""Canaries: what redset relies on inside redis-py and valkey-py is still there.

Each test names the function of `redset._transport.compat` that would be wrong. No server is needed.
"""

import asyncio
import importlib
import inspect
import itertools
import socket
import threading
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from typing import Any, ClassVar

import pytest

from redset._protocol import client_errors
from redset._transport import compat
from redset._transport.compat import observers, pools, retries
from redset._transport.node_pools import NodePool
from redset._transport.pinned import PinnedConnections
from redset.exceptions import NestedCallError

LIBRARIES = ["redis", "valkey"]


@pytest.fixture(params=LIBRARIES)
def library(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    pytest.importorskip(name)
    return name


def module(library: str, name: str = "") -> Any:
    return importlib.import_module(f"{library}.{name}" if name else library)


@pytest.fixture
def client(library: str) -> Any:
    return getattr(module(library), library.capitalize())(port=1)


@pytest.fixture
def async_client(library: str) -> Any:
    return getattr(module(library, "asyncio"), library.capitalize())(port=1)


def test_original_execute_is_found_on_both_surfaces(client: Any, async_client: Any) -> None:
    for each in (client, async_client):
        original = compat.original_execute(each)
        assert original is not None
        assert compat.is_untouched(each, original)
        assert compat.pipeline_is_untouched(each)
    assert not compat.is_asyncio(client)
    assert compat.is_asyncio(async_client)


def test_original_execute_is_found_behind_a_wrapper(
    client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = type(client)
    plain = kind.execute_command

    def traced(self: Any, *words: Any, **options: Any) -> Any:
        return plain(self, *words, **options)

    traced.__wrapped__ = plain  # type: ignore[attr-defined]
    monkeypatch.setattr(kind, "execute_command", traced)
    observers._originals.pop(kind, None)
    original = compat.original_execute(client)
    assert original is plain
    assert not compat.is_untouched(client, original)
    monkeypatch.undo()
    assert compat.is_untouched(client, original)


def test_a_proxy_that_poses_as_the_function_is_a_wrapper(client: Any) -> None:
    wrapt = pytest.importorskip("wrapt")
    original = compat.original_execute(client)
    for method in ("execute_command", "pipeline"):
        wrapt.wrap_function_wrapper(client, method, lambda call, _, words, options: call(*words))
    assert client.execute_command.__func__ is original
    assert not compat.is_untouched(client, original)
    assert not compat.pipeline_is_untouched(client)


def test_a_call_over_the_one_connection_of_a_client_is_seen_in_the_middle(
    client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Connection:
        db = 0
        found: ClassVar[list[bool]] = []

        def call_with_retry(self, *_arguments: object, **_options: object) -> None:
            self.found.append(compat.is_in_the_middle_of_a_call(client))
            other = threading.Thread(
                target=lambda: self.found.append(compat.is_in_the_middle_of_a_call(client))
            )
            other.start()
            other.join()

        def should_reconnect(self) -> bool:
            return False

        def _get_from_local_cache(self, _command: object) -> None: ...

        def _add_to_local_cache(self, *_arguments: object) -> None: ...

        @property
        def retry(self) -> "Connection":
            return self

    assert not compat.is_in_the_middle_of_a_call(client)
    monkeypatch.setattr(client, "connection", Connection())
    monkeypatch.setattr(client, "_single_connection_client", True, raising=False)
    assert not compat.is_in_the_middle_of_a_call(client)
    client.execute_command("PING")
    assert Connection.found == [True, False]


def test_a_users_own_execute_command_has_no_original(client: Any) -> None:
    class Own(type(client)):  # type: ignore[misc]
        def execute_command(self, *words: Any, **options: Any) -> Any:
            return super().execute_command(*words, **options)

    own = Own(port=1)
    assert compat.original_execute(own) is None
    assert compat.path_through_client(own) is compat.CommandPath.SINGLY
    assert compat.renames_keys(own)
    assert compat.path_through_client(client) is compat.CommandPath.PIPELINE
    assert not compat.renames_keys(client)


@pytest.mark.parametrize("method", ["_execute_command", "_send_command_parse_response"])
@pytest.mark.parametrize("on", ["class", "client"])
def test_a_users_own_method_inside_execute_command_has_no_original(
    client: Any, async_client: Any, method: str, on: str
) -> None:
    def own_method(*_words: Any) -> None: ...

    for each in (client, async_client):
        if on == "class":
            own = type("Own", (type(each),), {method: own_method})(port=1)
        else:
            own = each
            setattr(own, method, own_method)
        assert compat.original_execute(own) is None
        assert compat.path_through_client(own) is compat.CommandPath.SINGLY
        assert compat.renames_keys(own)
        assert compat.why_apart(own) is not None


def test_methods_inside_execute_command_are_called_by_it(client: Any, async_client: Any) -> None:
    """`_OF_ONE_COMMAND`: those that are the library's are called in the order of their names."""
    for each in (client, async_client):
        names = [name for name in observers._OF_ONE_COMMAND if hasattr(each, name)]
        assert names[0] == "execute_command"
        assert names[-1] == "_send_command_parse_response"
        for caller, called in itertools.pairwise(names):
            assert called in inspect.getsource(inspect.unwrap(getattr(type(each), caller)))


@pytest.mark.parametrize("package", ["", "asyncio"])
def test_connections_of_the_library_write_and_read_as_it_does(library: str, package: str) -> None:
    """`passes_messages`: a consumer with such a connection is notified of changes."""
    connection = module(library, f"{package}.connection".strip("."))
    sentinel = module(library, f"{package}.sentinel".strip("."))
    kinds = [
        *(connection.Connection, connection.SSLConnection, connection.UnixDomainSocketConnection),
        *(sentinel.SentinelManagedConnection, sentinel.SentinelManagedSSLConnection),
    ]
    for kind in kinds:
        assert compat.passes_messages(kind)
        assert compat.passes_messages(type("Own", (kind,), {"connect": lambda _self: None}))
        assert compat.passes_messages(kind.__new__(kind))


@pytest.mark.parametrize("method", [*observers._SENDING, *observers._READING])
def test_connections_with_methods_of_the_users_are_told(
    client: Any, async_client: Any, method: str
) -> None:
    for each in (client, async_client):
        pool = each.connection_pool
        kind = type("Own", (pool.connection_class,), {method: lambda _self: None})
        assert not compat.passes_messages(kind)
        pool.connection_class = kind
        assert compat.renames_keys(each) == (method in observers._SENDING)
        pipes_otherwise = method in {"send_command", "pack_commands"}
        singly = compat.CommandPath.SINGLY
        assert (compat.path_through_client(each) is singly) == pipes_otherwise
        assert (compat.why_apart(each) is not None) == pipes_otherwise


def test_commands_reach_a_connection_by_the_methods_that_are_probed(
    client: Any, async_client: Any
) -> None:
    """`_SENDING`, `_READING`: a single command is sent by the first method, pipelines by others."""
    for each in (client, async_client):
        connection = each.connection_pool.connection_class
        assert all(hasattr(connection, method) for method in observers._SENDING[:-1])
        assert hasattr(connection, "read_response")
        assert hasattr(connection, "can_read") or hasattr(connection, "can_read_destructive")
        sends = inspect.getsource(type(each)._send_command_parse_response)
        assert "send_command(" in sends
        pipeline = observers._pipeline_class(type(each))
        source = inspect.getsource(pipeline._execute_pipeline)
        assert "pack_commands(" in source
        assert "send_packed_command(" in source
        assert "send_packed_command(" in inspect.getsource(connection.send_command)


def test_a_packer_of_the_users_is_told(client: Any) -> None:
    assert not observers.has_own_packer(client.connection_pool)
    assert compat.can_be_pinned(client)
    client.connection_pool.connection_kwargs["command_packer"] = object()
    assert observers.has_own_packer(client.connection_pool)
    assert not compat.can_be_pinned(client)
    assert compat.renames_keys(client)


def test_pipelines_have_an_execute_of_their_own(client: Any, async_client: Any) -> None:
    for each in (client, async_client):
        pipeline = observers._pipeline_class(type(each))
        assert "execute" in vars(pipeline)


def test_metrics_are_off_and_can_be_asked_for(client: Any) -> None:
    assert observers.is_untouched(client, compat.original_execute(client)) is True
    recorder = observers._recorder
    if recorder is not False:
        recorder.get_observability_instance()
        assert hasattr(recorder._observability_instance, "_provider_manager")


def test_errors_are_told_apart(library: str) -> None:
    errors = module(library, "exceptions")
    assert client_errors.is_reply(errors.ResponseError("x"))
    assert client_errors.is_missing_script(errors.NoScriptError("x"))
    assert not client_errors.is_reply(errors.ConnectionError("x"))
    assert client_errors.is_client_error(errors.TimeoutError("x"))
    assert not client_errors.is_client_error(TimeoutError("x"))
    assert not client_errors.is_client_error(ValueError("x"))
    in_script = "Error running script (call to f_1): @user_script:12: WRONGTYPE Operation"
    for text, code in [
        ("WRONGTYPE Operation against a key", "WRONGTYPE"),
        ("resulting score is not a number (NaN)", "ERR"),
        (in_script, "WRONGTYPE"),
    ]:
        assert client_errors.error_code(errors.ResponseError(text)) == code
    assert client_errors.error_code(ValueError("WRONGTYPE")) == ""
    denied = errors.NoPermissionError("User worker has no permissions to run the 'info' command")
    assert client_errors.is_denied(denied)
    assert client_errors.is_denied(errors.ResponseError("NOPERM User worker has no permissions"))
    assert not client_errors.is_denied(errors.ResponseError("LOADING dataset"))
    assert not client_errors.is_denied(ValueError("NOPERM"))


@pytest.mark.parametrize("kind", ["ConnectionPool", "BlockingConnectionPool"])
def test_an_exhausted_pool_says_so(library: str, kind: str) -> None:
    connection = module(library, "connection")

    unconnected = type(
        "Unconnected",
        (connection.Connection,),
        {"connect": lambda _self: None, "can_read": lambda _self, timeout=0: False},
    )
    options: dict[str, Any] = {"timeout": 0.01} if kind == "BlockingConnectionPool" else {}
    pool = getattr(connection, kind)(max_connections=1, connection_class=unconnected, **options)
    assert compat.max_connections(pool) == 1
    assert compat.has_room(pool)
    assert not compat.has_idle(pool)
    taken = compat.acquire_connection(pool)
    assert not compat.has_room(pool)
    with pytest.raises(connection.ConnectionError) as caught:
        compat.acquire_connection(pool)
    assert client_errors.is_exhausted(caught.value)
    pool.release(taken)
    assert compat.has_room(pool)
    assert compat.has_idle(pool)
    compat.close_idle_connections(pool)


def blocking_pool(library: str, *, counted: list[int] | None = None) -> Any:
    """A pool with one connection, which is never opened, that waits for a minute.

    If it is *counted*, it is of a class of the user's that counts what it gives.
    """
    connection = module(library, "connection")
    unconnected = type(
        "Unconnected",
        (connection.Connection,),
        {"connect": lambda _self: None, "can_read": lambda _self, timeout=0: False},
    )
    kind: Any = connection.BlockingConnectionPool

    class Counting(kind):  # type: ignore[misc]
        def get_connection(self, *words: Any, **options: Any) -> Any:
            assert counted is not None
            counted.append(1)
            return super().get_connection(*words, **options)

    made = kind if counted is None else Counting
    return made(max_connections=1, connection_class=unconnected, timeout=60)


@pytest.mark.parametrize("own", [False, True])
def test_no_connection_of_a_blocking_pool_is_waited_for(
    library: str, monkeypatch: pytest.MonkeyPatch, own: bool
) -> None:
    counted: list[int] = []
    pool = blocking_pool(library, counted=counted if own else None)
    assert compat.seconds_to_wait(pool) == 60
    taken = compat.acquire_connection(pool)
    # A pool that waits would fail here.
    monkeypatch.setattr(pool.pool.not_empty, "wait", None)
    with pytest.raises(module(library, "exceptions").ConnectionError) as caught:
        compat.acquire_connection(pool)
    assert client_errors.is_exhausted(caught.value)
    assert compat.release_connection(pool, taken)
    assert compat.acquire_connection(pool) is taken
    assert len(counted) == 2 * own


def test_orphans_that_a_pool_does_not_take_now_are_looked_at_once(
    library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pools, "QUEUE_PAUSES", 2)
    pool = blocking_pool(library)
    kept = PinnedConnections(pool)
    kept.keeps = 0
    orphans = [compat.acquire_connection(pool), pool.make_connection()]
    kept.orphans.extend(orphans)
    with pool.pool.mutex:
        kept._take_in_orphans()
    assert list(kept.orphans) == orphans


def test_a_handler_that_interrupts_a_queue_does_not_wait_for_its_own_thread(
    library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pools, "QUEUE_PAUSES", 2)
    pool = blocking_pool(library)
    taken = compat.acquire_connection(pool)
    with pool.pool.mutex:
        assert not compat.has_room(pool)
        assert not compat.release_connection(pool, taken)
        assert not compat.close_idle_connections(pool)
        with pytest.raises(NestedCallError, match="use a ConnectionPool"):
            compat.acquire_connection(pool)
    assert compat.release_connection(pool, taken)
    assert compat.close_idle_connections(pool)


def test_a_blocking_pool_of_asyncio_tells_that_it_would_wait(library: str) -> None:
    connection = module(library, "asyncio.connection")

    async def main() -> None:
        pool = connection.BlockingConnectionPool(max_connections=1, timeout=60)
        compat.check_room_async(pool)
        pool.get_available_connection()
        with pytest.raises(module(library, "exceptions").ConnectionError) as caught:
            compat.check_room_async(pool)
        assert client_errors.is_exhausted(caught.value)
        plain = connection.ConnectionPool(max_connections=1)
        assert compat.seconds_to_wait(plain) == 0
        compat.check_room_async(plain)

    asyncio.run(main())


def test_pools_and_connections_have_what_is_probed(client: Any) -> None:
    pool = compat.pool_of(client)
    assert compat.can_be_pinned(client)
    assert compat.may_stay_pinned(pool)
    assert compat.max_connections(pool) > 0
    connection = pool.connection_class(**pool.connection_kwargs)
    assert compat.socket_of(connection) is None
    assert compat.protocol_of(connection) in {"2", "3"}
    assert not compat.should_reconnect(connection)
    assert isinstance(connection.retry._supported_errors, tuple)
    assert "disable_decoding" in inspect.signature(connection.read_response).parameters
    assert not compat.has_cache(client)
    assert not compat.is_cluster(client)
    assert compat.address_of(client)["port"] == 1


@pytest.mark.parametrize("package", ["sentinel", "asyncio.sentinel"])
def test_pools_know_the_master_that_sentinels_name(library: str, package: str) -> None:
    """`follows_master`, `known_master`, `left_master`, `_connect_to_master`, `plain_reply`."""
    sentinel = module(library, package).Sentinel([("127.0.0.1", 1)])
    client = sentinel.master_for("service", db=0)
    pool = client.connection_pool
    assert compat.follows_master(pool)
    assert not compat.follows_master(sentinel.slave_for("service", db=0).connection_pool)
    assert compat.known_master(client) is None
    connection = pool.make_connection()
    connection.host, connection.port = "127.0.0.1", 2
    pool = connection.connection_pool
    pool.master_address = ("127.0.0.1", 2)
    assert not compat.left_master(client.connection_pool, connection)
    pool.master_address = ("127.0.0.1", 3)
    assert compat.left_master(client.connection_pool, connection)
    assert compat.known_master(client) == ("127.0.0.1", 3)
    assert retries._connect_to_master(connection) == connection._connect_retry
    refused = compat.exceptions_of(connection).ResponseError(
        "Error running script: @user_script:1: @user_script: 1: -READONLY You can't write"
    )
    reply = compat.plain_reply(connection, refused)
    assert client_errors.is_disconnected(reply)
    assert reply.__cause__ is refused


def test_a_script_that_a_replica_refuses_is_an_error_of_its_own(client: Any) -> None:
    """`plain_reply`: with Redis 6.2 it would not be the error that `retry_on_error` names."""
    connection = compat.pool_of(client).make_connection()
    errors = compat.exceptions_of(connection)
    refused, other = (
        errors.ResponseError(f"Error running script: @user_script:1: @user_script: 1: {text}")
        for text in ("-READONLY You can't write against a read only replica.", "-OOM")
    )
    assert type(compat.plain_reply(connection, refused)) is errors.ReadOnlyError
    assert compat.plain_reply(connection, other) is other
    assert retries._connect_to_master(connection) is None


def test_the_lock_of_a_pool_is_reentrant_once_a_connection_was_asked_for(client: Any) -> None:
    pool = compat.pool_of(client)
    pools._make_reentrant(pool)
    assert type(pool._lock) is not type(threading.Lock())
    with pool._lock, pool._lock:
        pass


def test_settings_of_a_client_travel(client: Any) -> None:
    settings = compat.portable_settings(client)
    assert settings is not None
    kind, pool, connection, options = settings
    alike = kind(connection_pool=pool(connection_class=connection, **options))
    assert compat.address_of(alike) == compat.address_of(client)


def test_locks_can_be_taken_with_a_token_of_ours(client: Any) -> None:
    lock = client.lock("x", timeout=1)
    assert list(inspect.signature(lock.do_acquire).parameters) == ["token"]
    assert list(inspect.signature(lock.do_release).parameters) == ["expected_token"]
    assert issubclass(
        module(type(client).__module__.partition(".")[0], "exceptions").LockNotOwnedError,
        ValueError,
    )


def test_maintenance_moves_the_limit_of_a_read(async_client: Any) -> None:
    """`may_relax`, `relax_with`: since redis-py 8.1."""
    connection = async_client.connection_pool.connection_class(port=1)
    assert not compat.may_relax(connection)
    if "maint_notifications_config" not in inspect.signature(type(async_client)).parameters:
        pytest.skip("this client of asyncio knows no maintenance")
    config = module("redis", "maint_notifications").MaintNotificationsConfig(enabled=True)
    pool = type(async_client)(port=1, protocol=3, maint_notifications_config=config).connection_pool
    connection = pool.make_connection()
    assert compat.may_relax(connection)

    async def main() -> None:
        async with asyncio.timeout(60) as limit:
            due = limit.when()
            compat.relax_with(connection, limit)
            connection.set_tmp_settings(tmp_relaxed_timeout=600)
            connection.update_current_socket_timeout(600)
            relaxed = limit.when()
            assert due is not None
            assert relaxed is not None
            assert relaxed > due + 60
            assert connection.socket_timeout == 600
            compat.relax_with(connection, None)
            connection.update_current_socket_timeout(60)
            assert limit.when() == relaxed

    asyncio.run(main())


def test_a_node_of_a_cluster_makes_a_connection_in_the_place_of_another(library: str) -> None:
    """`connections_in_use_of_node`, `abandon_connection_of_node`."""
    node = module(library, "asyncio.cluster").ClusterNode("127.0.0.1", 1, max_connections=1)
    taken = node.acquire_connection()
    in_use = NodePool(node)._in_use_connections
    assert list(in_use) == [taken]
    in_use.discard(taken)
    assert node.acquire_connection() is not taken
    compat.release_to_node(node, taken)


def test_connections_of_another_loop_are_told_and_dropped(async_client: Any) -> None:
    pool = async_client.connection_pool
    connection = pool.connection_class(**pool.connection_kwargs)
    assert connection._reader is None
    loop, other = asyncio.new_event_loop(), asyncio.new_event_loop()
    try:
        assert compat.belongs_to_loop(connection, loop)
        connection._reader = asyncio.StreamReader(loop=loop)
        connection._writer = object()
        assert compat.belongs_to_loop(connection, loop)
        assert not compat.belongs_to_loop(connection, other)
        pool._available_connections.append(connection)
        compat.forget_other_loops(pool, other, forked=False)
        assert connection._reader is connection._writer is None
        # One in use may come back, unless its loop was closed.
        pool._available_connections.clear()
        connection._reader = asyncio.StreamReader(loop=loop)
        pool._in_use_connections.add(connection)
        compat.forget_other_loops(pool, other, forked=False)
        assert connection in pool._in_use_connections
        loop.close()
        compat.forget_other_loops(pool, other, forked=False)
        assert not pool._in_use_connections
        assert connection._reader is None
    finally:
        pool._available_connections.clear()
        loop.close()
        other.close()


def test_what_an_asyncio_connection_does_to_write_is_what_is_left_out(library: str) -> None:
    """`write_at_once` leaves out connecting, a check of health, a limit of time, and waiting."""
    connections = module(library, "asyncio.connection")
    for name in ("Connection", "SSLConnection", "UnixDomainSocketConnection"):
        kind = getattr(connections, name)
        assert observers.writes_as_library(kind())
        source = inspect.getsource(kind.send_packed_command)
        calls = ["is_connected", "check_health", "wait_for", "_send_packed_command", "drain"]
        assert all(call in source for call in calls)
        assert source.count("self._writer.") == 2
        assert "self._writer.writelines(command)" in source
        assert "health_check_interval" in inspect.getsource(kind.check_health)


@asynccontextmanager
async def opened(connection: Any) -> AsyncIterator[socket.socket]:
    """Give *connection* the streams that it has after its handshake; yield the server's socket."""
    with ExitStack() as sockets:
        own, others = (sockets.enter_context(each) for each in socket.socketpair())
        others.setblocking(False)
        connection._reader, connection._writer = await asyncio.open_connection(sock=own)
        try:
            yield others
        finally:
            await connection.disconnect(nowait=True)


async def received(connection: Any, others: socket.socket) -> bytes:
    """Close *connection*; return all that it wrote to *others*."""
    connection._writer.close()
    found = b""
    while data := await asyncio.get_running_loop().sock_recv(others, 1 << 16):
        found += data
    return found


def test_a_command_is_written_at_once_to_an_open_connection(library: str) -> None:
    kind = module(library, "asyncio.connection").Connection

    async def main() -> None:
        plain = kind(health_check_interval=0)
        async with opened(plain) as others:
            assert compat.write_at_once(plain, [b"one", b"two"])
            assert compat.write_at_once(plain, [b"three"])
            assert await received(plain, others) == b"onetwothree"

    asyncio.run(main())


def test_what_may_wait_is_left_to_the_connection(
    library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = module(library, "asyncio.connection").Connection
    connections = [kind(health_check_interval=9)]
    for name in ("send_packed_command", "_send_packed_command"):
        connections += [type("Own", (kind,), {name: lambda *_: None})(), kind()]
        monkeypatch.setattr(connections[-1], name, lambda *_: None, raising=False)

    async def main() -> None:
        assert not compat.write_at_once(kind(), [b"not open"])
        for connection in connections:
            async with opened(connection) as others:
                assert not compat.write_at_once(connection, [b"in its own way"])
                assert await received(connection, others) == b""
        plain = kind()
        async with opened(plain) as others:
            assert not compat.write_at_once(plain, [b"large", b"x" * pools._BUFFERED_AT_ONCE])
            with monkeypatch.context() as patch:
                patch.setattr(kind, "send_packed_command", lambda *_: None)
                assert not compat.write_at_once(plain, [b"traced"])
            assert compat.write_at_once(plain, [b"plain"])
            assert await received(plain, others) == b"plain"
            assert not compat.write_at_once(plain, [b"closed"])

    asyncio.run(main())


def test_no_more_is_written_at_once_than_a_transport_takes(library: str) -> None:
    full = module(library, "asyncio.connection").Connection()
    part = b"x" * (pools._BUFFERED_AT_ONCE // 2)

    async def main() -> None:
        async with opened(full) as others:
            parts = 0
            while parts < 1_000 and compat.write_at_once(full, [part]):
                parts += 1
            assert 0 < full._writer.transport.get_write_buffer_size() <= pools._BUFFERED_AT_ONCE
            await asyncio.wait_for(full._writer.drain(), 5)  # a writer would not have waited
            assert len(await received(full, others)) == parts * len(part)

    asyncio.run(main())
