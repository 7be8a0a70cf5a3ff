"""A real server and clients of it, as the environment asks for them.

``REDSET_TEST_SERVER`` (one of `tests.servers.KINDS`), ``REDSET_TEST_PROTOCOL`` (2, 3),
``REDSET_TEST_DECODE`` (0, 1) and ``REDSET_TEST_CLIENT`` (redis, valkey) choose them. Each
process that runs tests has a server of its own.
"""

import gc
import importlib
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis

from redset._protocol import commands
from redset._transport.connection import ClientConnection
from redset.embedded import shared_server
from tests.servers import TestServer

MakeClient = Callable[..., redis.Redis]

# What must happen has so many seconds, however busy the machine is.
PATIENCE = 60.0


@pytest.fixture(scope="session")
def server() -> Iterator[TestServer]:
    """The server that all tests of this process share."""
    with TestServer.start(os.environ.get("REDSET_TEST_SERVER", "valkey-9.1")) as started:
        yield started


@pytest.fixture
def make_client(server: TestServer) -> Iterator[MakeClient]:
    """Make further clients of the same server; options are those of the client's class."""
    library = os.environ.get("REDSET_TEST_CLIENT", "redis")
    made: list[redis.Redis] = []

    def make(**options: Any) -> redis.Redis:
        settings: dict[str, Any] = {
            "protocol": int(os.environ.get("REDSET_TEST_PROTOCOL", "2")),
            "decode_responses": os.environ.get("REDSET_TEST_DECODE", "0") == "1",
        }
        if not {"port", "unix_socket_path"} & options.keys():
            settings["unix_socket_path"] = server.unix_socket
        client_class = getattr(importlib.import_module(library), library.capitalize())
        made.append(client_class(**(settings | options)))
        return made[-1]

    yield make
    for client in made:
        client.close()


@pytest.fixture
def client(server: TestServer, make_client: MakeClient) -> redis.Redis:
    """A client of the shared server, which holds nothing yet."""
    with redis.Redis(unix_socket_path=server.unix_socket) as janitor:
        janitor.flushall()
    return make_client()


def until(condition: Callable[[], Any]) -> Any:
    """Wait until there is something."""
    end = time.monotonic() + PATIENCE
    while not (found := condition()):
        if time.monotonic() > end:
            raise AssertionError("it did not happen")
        time.sleep(0.005)
    return found


@pytest.fixture
def replica(server: TestServer, client: redis.Redis, make_client: MakeClient) -> Iterator[Any]:
    """A client of a replica of the shared server, once that has all that was written."""
    with TestServer.start(server.kind, "--replicaof", "127.0.0.1", str(server.port)) as started:
        made: Any = make_client(unix_socket_path=started.unix_socket)

        def is_up_to_date() -> bool:
            return b"master_link_status:up" in _info(made) and bool(
                client.execute_command("WAIT", 1, 1)
            )

        until(is_up_to_date)
        made.caught_up = lambda: until(is_up_to_date)
        yield made


def _info(client: Any) -> bytes:
    found: Any = client.execute_command("INFO", "replication", NEVER_DECODE=True)
    return found if isinstance(found, bytes) else str(found).encode().replace(b"': '", b":")


READER = "reader"
# The rights of an account that may only read: to commands that only read, or to keys too.
READERS = {"commands": "~*", "keys": "%R~*"}


@pytest.fixture(params=READERS)
def reader(
    request: pytest.FixtureRequest, server: TestServer, client: redis.Redis, make_client: MakeClient
) -> Iterator[redis.Redis]:
    """A client whose account may read what is on the shared server, and nothing else."""
    if server.kind == "redis-6.2" and request.param == "keys":
        pytest.skip("knows no rights to read keys")
    scripts = [
        "eval",
        "evalsha",
        *(() if server.kind == "redis-6.2" else ("eval_ro", "evalsha_ro")),
    ]
    commands = ["+@read", *(f"+{name}" for name in (*scripts, "multi", "exec", "script", "time"))]
    rights = ["reset", "on", ">secret", READERS[request.param], *commands]
    client.execute_command("ACL", "SETUSER", READER, *rights)
    yield make_client(username=READER, password="secret")
    client.execute_command("ACL", "DELUSER", READER)


@dataclass
class Count:
    """How many round trips there were so far."""

    value: int = 0


RoundTrips = Callable[[redis.Redis], AbstractContextManager[Count]]


@pytest.fixture
def round_trips() -> RoundTrips:
    """Count what a client's library writes to its sockets: one write, one round trip.

    ``with round_trips(client) as count: …; assert count.value == 1``. The whole process is
    counted, every thread and every client of that library; handshakes and health checks are not.
    """
    return _count_round_trips


def load_scripts(client: redis.Redis) -> None:
    """Have the server know all scripts, whichever tests came before: one more is a round trip."""
    for script in vars(commands).values():
        if isinstance(script, commands.Script):
            client.script_load(script.source)


@contextmanager
def _count_round_trips(client: redis.Redis) -> Iterator[Count]:
    library = type(client).__module__.partition(".")[0]
    connection = importlib.import_module(f"{library}.connection").AbstractConnection
    count = Count()
    guard = threading.Lock()
    # Results of earlier tests that the collector has not found yet would be deleted in between.
    gc.collect()
    ClientConnection(client).delete_collected()
    load_scripts(client)
    local = threading.local()
    # A consumer that an earlier test left waiting asks for itself.
    others = set(threading.enumerate()) - {threading.current_thread()}
    send, on_connect = connection.send_packed_command, "on_connect"
    if hasattr(connection, "on_connect_check_health"):
        on_connect = "on_connect_check_health"
    shake_hands = getattr(connection, on_connect)

    def counted_send(self: Any, command: Any, check_health: bool = True) -> Any:
        # The first write on a new socket connects from within, hence: written, then counted.
        result = send(self, command, check_health)
        is_counted = check_health and threading.current_thread() not in others
        if is_counted and not getattr(local, "shaking_hands", False):
            with guard:
                count.value += 1
        return result

    def uncounted_handshake(self: Any, *args: Any, **options: Any) -> Any:
        local.shaking_hands = True
        try:
            return shake_hands(self, *args, **options)
        finally:
            local.shaking_hands = False

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(connection, "send_packed_command", counted_send)
        patch.setattr(connection, on_connect, uncounted_handshake)
        yield count


@pytest.fixture
def directory() -> Iterator[Path]:
    """A directory for a server of this process, which ends with the test."""
    with tempfile.TemporaryDirectory(
        prefix="redset-test-", dir="/tmp", ignore_cleanup_errors=True
    ) as path:
        yield Path(path, "kept")
        shared_server(Path(path, "kept")).close()
