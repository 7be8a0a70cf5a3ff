"""Clients of the master that Sentinels name: after a failover, all goes on at the new one."""

import gc
import importlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import redis

import redset
from redset._transport import subscription
from redset._transport.pinned import pinned_connections_for
from tests import bridge
from tests.sentinels import SERVICE, Sentinels, ask, info, until
from tests.servers import ServerNotFoundError, TestServer, binary

Make = Callable[..., Any]


@dataclass
class World:
    """A client library, and the surface of redset that uses it."""

    library: str
    is_async: bool
    _made: list[Any] = field(default_factory=list)

    def module(self, name: str) -> Any:
        package = f"{self.library}.asyncio" if self.is_async else self.library
        return importlib.import_module(f"{package}.{name}")

    @property
    def errors(self) -> Any:
        return importlib.import_module(f"{self.library}.exceptions")

    def repeating(self) -> dict[str, Any]:
        """Settings of a client that repeats for longer than a failover takes."""
        backoff = importlib.import_module(f"{self.library}.backoff").ConstantBackoff(0.02)
        repeated = [self.errors.ConnectionError, self.errors.TimeoutError]
        return {"retry": self.module("retry").Retry(backoff, 500), "retry_on_error": repeated}

    def client(self, pool: Any) -> Any:
        kind = getattr(self.module("client"), self.library.capitalize())
        return self.keep(kind(connection_pool=pool))

    def keep(self, client: Any) -> Any:
        """Close *client* at the end of the test; return it."""
        if self.is_async:
            bridge.keep(client)
        else:
            self._made.append(client)
        return client

    def close(self) -> None:
        """Close the connections of threads; those of asyncio end with their loop."""
        while self._made:
            self._made.pop().connection_pool.disconnect()

    def set(self, client: Any, name: str) -> Any:
        kind = bridge.RedisSortedSet if self.is_async else redset.RedisSortedSet
        return kind(client, name)


WORLDS = [World(library, is_async) for library in ("redis", "valkey") for is_async in (False, True)]


@pytest.fixture(
    params=WORLDS,
    ids=lambda each: f"{each.library}-{'asyncio' if each.is_async else 'threads'}",
)
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    found: World = request.param
    pytest.importorskip(found.library)
    end = bridge.begin()
    yield found
    end()
    found.close()
    gc.collect()


# Without Sentinels: the test says which server is the master


class Pair:
    """Two servers of one service, the second one a replica of the first, until they `swap`."""

    def __init__(self, old: TestServer, new: TestServer) -> None:
        self.old, self.new, self.port = old, new, old.port

    def swap(self) -> None:
        """Demote the master, whose connections stay open, as Sentinels would close them."""
        until(lambda: ask(self.old, "WAIT", "1", "1000"))
        ask(self.new, "REPLICAOF", "NO", "ONE")
        ask(self.old, "REPLICAOF", "127.0.0.1", str(self.new.port))
        self.port = self.new.port
        until(lambda: info(self.old).get("master_link_status") == "up")

    def client(self, world: World, **options: Any) -> Any:
        """Return a client of the master, whose Sentinels are this object."""
        kind = world.module("sentinel").SentinelConnectionPool
        return world.client(kind(SERVICE, _named_by(self, world), **options))


def _named_by(pair: Pair, world: World) -> Any:
    class Named:
        def discover_master(self, _service: str) -> Any:
            return ("127.0.0.1", pair.port)

    class AsyncNamed:
        async def discover_master(self, _service: str) -> Any:
            return ("127.0.0.1", pair.port)

    return AsyncNamed() if world.is_async else Named()


@pytest.fixture(scope="module", params=["valkey-9.1", "redis-6.2"])
def two_servers(request: pytest.FixtureRequest) -> Iterator[tuple[TestServer, TestServer]]:
    try:
        binary(request.param)
    except ServerNotFoundError:
        pytest.skip("an environment with a client and no more has no such server")
    with TestServer.start(request.param) as one, TestServer.start(request.param) as other:
        yield one, other


@pytest.fixture
def pair(two_servers: tuple[TestServer, TestServer]) -> Pair:
    old, new = two_servers
    ask(old, "REPLICAOF", "NO", "ONE")
    ask(old, "FLUSHALL")
    ask(new, "REPLICAOF", "127.0.0.1", str(old.port))
    until(lambda: info(new).get("master_link_status") == "up")
    return Pair(old, new)


CALLS: dict[str, Callable[[Any], Any]] = {
    "a command": lambda numbers: numbers.add(7, 7),
    "two commands": lambda numbers: numbers.add_and_rank(7, 7),
    "scripts": lambda numbers: numbers.lease(1).ack(),
}


@pytest.mark.parametrize("call", CALLS)
def test_a_demoted_master_is_left_at_the_first_call_that_it_refuses(
    world: World, pair: Pair, call: str
) -> None:
    numbers = world.set(pair.client(world), "numbers")
    numbers.update([1, 2, 3])
    pair.swap()
    with pytest.raises(world.errors.ConnectionError, match="now a slave"):
        CALLS[call](numbers)
    CALLS[call](numbers)
    assert numbers == world.set(pair.client(world), "numbers")
    assert len(numbers) == (2 if call == "scripts" else 4)


@pytest.mark.parametrize("call", CALLS)
def test_a_client_that_repeats_notices_nothing_of_a_demoted_master(
    world: World, pair: Pair, call: str
) -> None:
    numbers = world.set(pair.client(world, **world.repeating()), "numbers")
    numbers.update([1, 2, 3])
    pair.swap()
    CALLS[call](numbers)
    assert len(numbers) == (2 if call == "scripts" else 4)


@pytest.mark.parametrize("call", CALLS)
def test_a_client_without_sentinels_repeats_what_a_replica_refuses_if_it_names_that(
    world: World, pair: Pair, call: str
) -> None:
    """As with a service whose address stays the same, and whose old master becomes a replica."""
    settings = world.repeating() | {"retry_on_error": [world.errors.ReadOnlyError]}
    numbers = world.set(plain_client(world, pair.old, **settings), "numbers")
    numbers.update([1, 2, 3])
    pair.swap()
    promotion = threading.Timer(0.2, lambda: ask(pair.old, "REPLICAOF", "NO", "ONE"))
    promotion.start()
    CALLS[call](numbers)
    assert len(numbers) == (2 if call == "scripts" else 4)
    promotion.join()


def test_every_kept_connection_leaves_a_master_when_one_call_has_found_the_next(
    world: World, pair: Pair
) -> None:
    client = pair.client(world, **world.repeating())
    numbers = world.set(client, "numbers")
    numbers.update([1, 2, 3])
    barrier = threading.Barrier(3)

    def read_together() -> None:
        for _ in range(20):
            barrier.wait()
            assert len(numbers) == 3

    run_in_threads(3, read_together)
    pair.swap()
    numbers.add(4)
    # The old master, as it is a replica without a master, has no part in this.
    ask(pair.old, "REPLICAOF", "127.0.0.1", "1")
    numbers.add(5)
    wrong: list[int] = []

    def read() -> None:
        for _ in range(20):
            barrier.wait()
            if (found := len(numbers)) != 5:
                wrong.append(found)

    run_in_threads(3, read)
    assert wrong == []
    if not world.is_async:
        kept = pinned_connections_for(client)
        assert kept is not None
        idle = kept.get()._idle
        for _ in range(len(idle)):  # the threads above may have left one of them alone
            idle.rotate()
            assert len(numbers) == 5
        assert {pinned.connection.port for pinned in idle} == {pair.new.port}


def run_in_threads(number: int, work: Callable[[], None]) -> None:
    threads = [threading.Thread(target=work) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_a_consumer_that_waits_at_a_demoted_master_learns_of_the_next_one(
    world: World, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscription, "RECHECK_INTERVAL", 0.3)
    client = pair.client(world, **world.repeating())
    numbers = world.set(client, "numbers")
    numbers.add(1)
    numbers.discard(1)
    taken: list[Any] = []
    waiter = threading.Thread(target=lambda: taken.extend(numbers.take(1, timeout=None)))
    waiter.start()
    until(lambda: subscribers(pair.old))
    pair.swap()
    # What is added to the new master is not seen at the old one.
    ask(pair.old, "REPLICAOF", "127.0.0.1", "1")
    world.set(pair.client(world), "numbers").add(2)
    waiter.join(30)
    assert taken == [2]


def subscribers(server: TestServer) -> int:
    """How many connections of *server* are told of changes."""
    return int(info(server, "clients")["tracking_clients"])


def test_two_clients_have_one_server_or_two_as_the_sentinels_say_now(
    world: World, pair: Pair
) -> None:
    """With what was known before the failover, a stale set would be read at another server."""
    of_service, plain = pair.client(world, **world.repeating()), plain_client(world, pair.old)
    ours, theirs = world.set(of_service, "ours"), world.set(plain, "theirs")
    ours.update([1, 2])
    theirs.update([2, 3])
    assert sorted(ours.read_intersection(theirs)) == [2]
    pair.swap()
    ours.add(4)
    ask(pair.old, "REPLICAOF", "NO", "ONE")
    theirs.update([4, 5])
    assert sorted(ours.read_intersection(theirs)) == [2, 4]


def plain_client(world: World, server: TestServer, **options: Any) -> Any:
    kind = world.module("connection").ConnectionPool
    return world.client(kind(host="127.0.0.1", port=server.port, **options))


# With Sentinels


@pytest.fixture(scope="module")
def sentinels() -> Iterator[Sentinels]:
    with Sentinels.start("valkey-9.1") as started:
        yield started


class Work:
    """What threads of a program do, before, during and after a failover, over one client."""

    def __init__(self, world: World, client: Any) -> None:
        self._client, self._world = client, world
        self.errors: list[BaseException] = []
        self.added: list[int] = []
        self.done: list[int] = []
        self._ends = threading.Event()
        self._threads = [
            threading.Thread(target=self._noting, args=(work,), daemon=True)
            for work in (self._produce, self._consume, self._wait, self._hold)
        ]

    def _set(self, name: str) -> Any:
        # Of its own: what a test that failed left running has no part in the next one.
        return self._world.set(self._client, f"{name} {self._world.library} {self._world.is_async}")

    def _noting(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            self.errors.append(error)

    def _produce(self) -> None:
        jobs = self._set("jobs")
        number = 0
        while not self._ends.is_set():
            number += 1
            jobs.insert(number)
            self.added.append(number)
            time.sleep(0.002)
        jobs.add(-1, score=1e9)

    def _consume(self) -> None:
        for job in self._set("jobs").consume(ttl=30):
            self.done.append(job)
            if job == -1:
                return

    def _wait(self) -> None:
        [waited_for] = self._set("quiet").take(1, timeout=None)
        assert waited_for == "at last"

    def _hold(self) -> None:
        held = self._set("held")
        held.add("for long")
        with held.lease(1, ttl=10, renew=True) as lease:
            before = lease.deadline
            self._ends.wait()
            until(lambda: lease.deadline > before + 1)

    def begin(self) -> None:
        """Start, and wait until all have something to do."""
        for thread in self._threads:
            thread.start()
        until(lambda: self.errors or (self.done and self._set("held").stats().leased))

    def goes_on(self) -> None:
        """Wait until items that are added now are done."""
        added = len(self.added)
        until(lambda: self.errors or (self.added[added:] and self.added[-1] in self.done))
        assert self.errors == []

    def end(self) -> None:
        self._ends.set()
        self._set("quiet").add("at last")
        for thread in self._threads:
            thread.join(60)
        assert not any(thread.is_alive() for thread in self._threads)
        assert self.errors == []


def replicate(sentinels: Sentinels) -> None:
    """Wait until a replica has all that was written: what it lacks would be lost, a lease too."""
    with redis.Redis(port=sentinels.master.port, socket_timeout=60) as client:
        client.set("written", "now")
        assert client.wait(1, 50_000) >= 1


def test_all_goes_on_by_itself_when_a_master_is_replaced_or_killed(
    world: World, sentinels: Sentinels, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A consumer that only learns of a dead server by looking for it would not end.
    monkeypatch.setattr(subscription, "RECHECK_INTERVAL", 3_600.0)
    ask(sentinels.master, "FLUSHALL")
    kind = world.module("sentinel").Sentinel
    service = kind(sentinels.addresses, socket_timeout=1)
    for each in service.sentinels:
        world.keep(each)
    work = Work(world, world.keep(service.master_for(SERVICE, **world.repeating())))
    work.begin()
    replicate(sentinels)
    sentinels.failover()
    work.goes_on()
    replicate(sentinels)
    killed = sentinels.kill_master()
    sentinels.successor_of(killed)
    work.goes_on()
    sentinels.restart(killed)
    work.goes_on()
    work.end()
