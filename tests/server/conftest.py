"""A real server and clients of it, as the environment asks for them.

``REDSET_TEST_SERVER`` (one of `tests.servers.KINDS`), ``REDSET_TEST_PROTOCOL`` (2, 3),
``REDSET_TEST_DECODE`` (0, 1) and ``REDSET_TEST_CLIENT`` (redis, valkey) choose them. Each
process that runs tests has a server of its own.

With ``REDSET_TEST_CLUSTER=1`` it is a cluster of three masters, and clients are those of a cluster;
`tests.server.one_server` says which tests that is not for. The fixture ``server`` is a node then.
"""

import gc
import importlib
import itertools
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
from redset._protocol.keys import companion
from redset._transport import results
from redset._transport.connection import ClientConnection
from redset.embedded import shared_server
from tests import cluster_clients
from tests.cluster_clients import make_cluster_client
from tests.clusters import ClusterNode, TestCluster, slot_of
from tests.proxy import LossyProxy, Proxy
from tests.server import one_server
from tests.servers import TestServer

MakeClient = Callable[..., redis.Redis]

# What must happen has so many seconds, however busy the machine is.
TIMEOUT_SECONDS = 60.0

ON_CLUSTER = os.environ.get("REDSET_TEST_CLUSTER", "0") == "1"


# How the names of sets begin that are used together: on a cluster they share a slot by it.
TAG = "{together}" if ON_CLUSTER else ""


def companion_of(name: str, purpose: str) -> str:
    """The companion key of a set."""
    return companion(name.encode(), purpose).decode()


def name_beside(name: str | bytes) -> str:
    """Another name, in the same slot of a cluster."""
    tags = (str(number) for number in itertools.count())
    return next(f"{{{tag}}}beside" for tag in tags if slot_of(tag) == slot_of(name))


def home_of(server: TestServer, name: str | bytes) -> TestServer:
    """The server that has the key *name*: the shared one, or the node of its slot."""
    return server.cluster.node_of(name) if isinstance(server, ClusterNode) else server


def delete_collected(client: Any) -> None:
    """Have results deleted whose handles were collected; over a cluster, the next call does so."""
    if cluster_clients.is_cluster(client):
        results.delete_collected(client)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if ON_CLUSTER:
        one_server.mark(config, items)


@pytest.fixture(scope="session")
def server() -> Iterator[TestServer]:
    """The server that all tests of this process share; of a cluster, its first node."""
    kind = os.environ.get("REDSET_TEST_SERVER", "valkey-9.1")
    if ON_CLUSTER:
        with TestCluster.start(kind) as cluster:
            yield cluster.nodes[0]
    else:
        with TestServer.start(kind) as started:
            yield started


def errors_of(client: redis.Redis) -> tuple[type[Exception], ...]:
    """What the client's library raises when the server can't be reached or doesn't answer."""
    exceptions = importlib.import_module(f"{type(client).__module__.partition('.')[0]}.exceptions")
    return exceptions.ConnectionError, exceptions.TimeoutError


def retry_options(client: redis.Redis, retries: int) -> dict[str, Any]:
    """Options of a client that repeats a command at once, so many times."""
    library = type(client).__module__.partition(".")[0]
    no_backoff = importlib.import_module(f"{library}.backoff").NoBackoff()
    retry = importlib.import_module(f"{library}.retry").Retry(no_backoff, retries)
    return {"retry": retry, "retry_on_error": list(errors_of(client)) if retries else []}


@pytest.fixture
def make_client(server: TestServer) -> Iterator[MakeClient]:
    """Make further clients of the same server, or *of* another one; options are those of a client.

    A client of a node of a cluster is one of the cluster.
    """
    library = os.environ.get("REDSET_TEST_CLIENT", "redis")
    made: list[redis.Redis] = []

    def make(of: TestServer = server, **options: Any) -> redis.Redis:
        settings: dict[str, Any] = {
            "protocol": int(os.environ.get("REDSET_TEST_PROTOCOL", "2")),
            "decode_responses": os.environ.get("REDSET_TEST_DECODE", "0") == "1",
        }
        if (address := cluster_address(of, options)) is not None:
            made.append(make_cluster_client(library, **(settings | address | options)))
        else:
            client_class = getattr(importlib.import_module(library), library.capitalize())
            settings |= server_address(of, options)
            if "connection_pool" not in options:
                # The client's own is a few seconds, which a busy machine may take for a large call.
                settings["socket_timeout"] = TIMEOUT_SECONDS
            made.append(client_class(**(settings | options)))
        return made[-1]

    yield make
    for client in made:
        client.close()


def cluster_address(server: TestServer, options: dict[str, Any]) -> dict[str, Any] | None:
    """Where a client with these options finds the cluster that *server* is a node of.

    ``None`` for a client of one server. Behind a proxy, there is one in front of each node.
    """
    if not isinstance(server, ClusterNode) or "unix_socket_path" in options or options.get("db"):
        return None
    port = options.get("port", server.port)
    address = {"host": "127.0.0.1", "port": port}
    if (proxy := Proxy.at(port)) is not None and proxy.port_of.keys() == set(server.ports):
        address["address_remap"] = lambda node: (node[0], proxy.port_of.get(node[1], node[1]))
    return address if proxy is not None or port in server.ports else None


def server_address(server: TestServer, options: dict[str, Any]) -> dict[str, Any]:
    """Where a client with these options, which needn't say, finds its server.

    A cluster has no other databases: instead, there are those of another server.
    """
    if {"port", "unix_socket_path"} & options.keys():
        return {}
    place = server.cluster.beside if isinstance(server, ClusterNode) else server
    return {"unix_socket_path": place.unix_socket}


@pytest.fixture
def client(server: TestServer, make_client: MakeClient) -> redis.Redis:
    """A client of the shared server, which holds nothing yet."""
    places = [server]
    if isinstance(server, ClusterNode):
        places = [*server.cluster.masters, server.cluster.beside]
    for node in places:
        node.flush()
    return make_client()


@pytest.fixture
def proxy(server: TestServer) -> Iterator[LossyProxy]:
    """In front of the shared server; it loses no reply until a test asks for that."""
    with LossyProxy(*server.ports) as started:
        yield started


@contextmanager
def memory_is_short(client: redis.Redis) -> Iterator[None]:
    """The server evicts nothing, and refuses what needs memory."""
    client.config_set("maxmemory-policy", "noeviction")
    client.config_set("maxmemory", "1")
    try:
        yield
    finally:
        client.config_set("maxmemory", "0")


def until(condition: Callable[[], Any], timeout: float = TIMEOUT_SECONDS) -> Any:
    """Wait until there is something, for at most *timeout* seconds."""
    end = time.monotonic() + timeout
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
            # WAIT would ask for what its own connection wrote, and sets write over others.
            written, read = replication_of(client), replication_of(made)
            offsets = read.get("slave_repl_offset", "0"), written.get("master_repl_offset", "0")
            return read["master_link_status"] == "up" and int(offsets[0]) >= int(offsets[1])

        until(is_up_to_date)
        made.caught_up = lambda: until(is_up_to_date)
        yield made


def replication_of(client: Any) -> dict[str, str]:
    """What a server, or a cluster's nodes, tell of their replication."""
    found: Any = client.execute_command("INFO", "replication", NEVER_DECODE=True)
    if isinstance(found, bytes):
        found = dict(line.split(":", 1) for line in found.decode().splitlines() if ":" in line)
    return {str(name): str(value) for name, value in found.items()}


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
    if ON_CLUSTER:  # which the client asks for its nodes, and for what commands there are
        scripts += ["cluster" if server.kind == "redis-6.2" else "cluster|slots", "command"]
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
