"""A server that tells its clients to move: a proxy says so in the place of Redis Enterprise's."""

import asyncio
import contextlib
import inspect
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis
import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

import redset.asyncio
from redset import RedisSortedSet
from tests.servers import TestServer

maintenance = pytest.importorskip("redis.maint_notifications", reason="since redis-py 6.3")

TTL = 10  # seconds, for which an address holds that a server moves to
WAIT = 10.0
# A server moves to another address, but keeps its port.
OLD, NEW = "127.0.0.1", "127.0.0.2"
MOVING = b">4\r\n+MOVING\r\n:1\r\n:%d\r\n+%s:0\r\n" % (TTL, NEW.encode())


class TellingProxy:
    """Passes bytes between clients and the server on *port*, and what it is asked to push."""

    def __init__(self, server_port: int, host: str = OLD, port: int = 0) -> None:
        self._server_port = server_port
        self._listener = socket.create_server((host, port))
        self.port: int = self._listener.getsockname()[1]
        self._clients: list[socket.socket] = []
        # What comes before the next reply, in one write with it.
        self.before_reply = b""
        # What comes before the reply to the next increment, which is sent line by line: messages,
        # and pauses in seconds after each of them and each line.
        self.maintenance: list[tuple[bytes, float]] = []
        self.commands = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def push(self, message: bytes) -> None:
        """Send *message* to all clients, who have asked for nothing."""
        for client in list(self._clients):
            client.sendall(message)

    def close(self) -> None:
        self._listener.close()
        for client in list(self._clients):
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)

    @property
    def clients(self) -> int:
        """How many are connected."""
        return len(self._clients)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        server = socket.create_connection(("127.0.0.1", self._server_port))
        self._clients.append(client)
        with client, server, contextlib.suppress(OSError):
            while command := client.recv(1 << 16):
                if b"MAINT_NOTIFICATIONS" in command:  # which no free server knows
                    client.sendall(b"+OK\r\n")
                    continue
                self.commands += 1
                server.sendall(command)
                reply = server.recv(1 << 16)
                if self.maintenance and b"ZINCRBY" in command:
                    messages, self.maintenance = self.maintenance, []
                    lines = [(line, messages[-1][1]) for line in reply.splitlines(keepends=True)]
                    for message, pause in [*messages, *lines]:
                        client.sendall(message)
                        time.sleep(pause)
                    continue
                before, self.before_reply = self.before_reply, b""
                client.sendall(before + reply)
        self._clients.remove(client)


@pytest.fixture
def old(server: TestServer, client: redis.Redis) -> Iterator[TellingProxy]:
    """Stand before the server that the tests share."""
    proxy = TellingProxy(server.port)
    yield proxy
    proxy.close()


@pytest.fixture(scope="module")
def other_server() -> Iterator[TestServer]:
    with TestServer.start("valkey-9.1") as started:
        yield started


@pytest.fixture
def new(old: TellingProxy, other_server: TestServer) -> Iterator[redis.Redis]:
    """A client of the server that is to be found where the old one says."""
    try:
        proxy = TellingProxy(other_server.port, NEW, old.port)
    except OSError as error:
        pytest.skip(f"this machine has one address of its own: {error}")
    with redis.Redis(port=other_server.port) as client:
        client.flushall()
        yield client
    proxy.close()


def options(port: int) -> dict[str, Any]:
    config = maintenance.MaintNotificationsConfig(enabled=True)
    return {"port": port, "protocol": 3, "maint_notifications_config": config}


def wait_until_nobody_is_left(proxy: TellingProxy) -> None:
    deadline = time.monotonic() + WAIT
    while proxy.clients:
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.parametrize("when", ["idle", "with a reply"])
def test_a_kept_connection_moves_where_the_server_says(
    old: TellingProxy, new: redis.Redis, when: str
) -> None:
    with redis.Redis(**options(old.port)) as mine:
        RedisSortedSet[str](new, "words").add("of the new one", 2)
        words: RedisSortedSet[str] = RedisSortedSet(mine, "words")
        words.add("of the old one", 1)
        if when == "idle":
            old.push(MOVING)
            time.sleep(0.05)
        else:
            old.before_reply = MOVING
            assert words.score("of the old one") == 1.0
        before = old.commands
        assert list(words) == ["of the new one"]
        assert (words.score("of the new one"), len(words)) == (2.0, 1)
        assert old.commands == before
        wait_until_nobody_is_left(old)


def test_a_message_about_something_else_leaves_the_connection_as_it_is(
    old: TellingProxy, client: redis.Redis
) -> None:
    with redis.Redis(**options(old.port)) as mine:
        words: RedisSortedSet[str] = RedisSortedSet(mine, "words")
        words.add("a", 1)
        before = old.clients
        for message in (b">3\r\n+MIGRATING\r\n:2\r\n:5\r\n", b">3\r\n+MIGRATED\r\n:3\r\n:5\r\n"):
            old.push(message)
            assert words.score("a") == 1.0
            old.before_reply = message
            assert (words.score("a"), len(words)) == (1.0, 1)
        assert old.clients == before


def test_many_threads_move_without_a_wrong_answer(old: TellingProxy, new: redis.Redis) -> None:
    with redis.Redis(**options(old.port)) as mine:
        words: RedisSortedSet[str] = RedisSortedSet(mine, "words")
        names = [str(number) for number in range(8)]
        for each in (words, RedisSortedSet[str](new, "words")):
            for name in names:
                each.add(name, float(name))
        wrong: list[Any] = []
        moved = threading.Event()

        def work(name: str) -> None:
            try:
                rounds_after = 0
                while rounds_after < 20:
                    rounds_after += moved.is_set()
                    found = (words.score(name), name in words, len(words))
                    if found != (float(name), True, len(names)):
                        wrong.append(found)
            except Exception as error:
                wrong.append(error)

        threads = [threading.Thread(target=work, args=(name,)) for name in names]
        for thread in threads:
            thread.start()
        time.sleep(0.1)
        old.before_reply = MOVING
        time.sleep(0.2)
        moved.set()
        for thread in threads:
            thread.join()
        assert wrong == []
        before = old.commands
        assert [words.score(name) for name in names] == [float(name) for name in names]
        assert old.commands == before


needs_asyncio = pytest.mark.skipif(
    "maint_notifications_config" not in inspect.signature(redis.asyncio.Redis).parameters,
    reason="this client of asyncio knows no maintenance",
)


@needs_asyncio
@pytest.mark.parametrize("when", ["idle", "with a reply"])
def test_asyncio_moves_where_the_server_says(
    old: TellingProxy, new: redis.Redis, when: str
) -> None:
    async def main() -> None:
        RedisSortedSet[str](new, "words").add("of the new one", 2)
        mine = redis.asyncio.Redis(**options(old.port))
        words: Any = redset.asyncio.RedisSortedSet(mine, "words")
        await words.add("of the old one", 1)
        if when == "idle":
            old.push(MOVING)
            # As in the client itself, it is read with the next reply.
            await words.score("of the old one")
        else:
            old.before_reply = MOVING
            assert await words.score("of the old one") == 1.0
        before = old.commands
        assert [item async for item in words] == ["of the new one"]
        assert (await words.score("of the new one"), await words.size()) == (2.0, 1)
        assert old.commands == before
        await mine.aclose()

    asyncio.run(main())


MIGRATING, MIGRATED = (
    b'>%d\r\n+%s\r\n:%d\r\n%s+["1"]\r\n' % (size, name, number, seconds)
    for name, size, number, seconds in [
        (b"MIGRATING", 4, 2, b":%d\r\n" % TTL),
        (b"MIGRATED", 3, 3, b""),
    ]
)
TIMEOUT = 1.0  # of the socket, as long as the server tells of no maintenance


async def incremented(old: TellingProxy, messages: list[tuple[bytes, float]]) -> list[Any]:
    """The answers to two increments that share a write, while the server says *messages*."""
    config = maintenance.MaintNotificationsConfig(enabled=True, relaxed_timeout=20 * TIMEOUT)
    chosen = options(old.port) | {"maint_notifications_config": config}
    mine = redis.asyncio.Redis(**chosen, socket_timeout=TIMEOUT, retry=Retry(NoBackoff(), 1))
    words: Any = redset.asyncio.RedisSortedSet(mine, "words")
    await words.add("b", 1)
    old.maintenance = messages
    calls = [words.increment(word) for word in "ab"]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert await words.score("b") is not None
    await mine.aclose()
    return answers


@needs_asyncio
@pytest.mark.parametrize(
    "messages",
    [[(MIGRATING, 1.5 * TIMEOUT)], [(MIGRATING, 0.5 * TIMEOUT), (b"", 1.5 * TIMEOUT)]],
    ids=["before the first reply", "between replies"],
)
def test_asyncio_a_reply_is_awaited_as_long_as_maintenance_allows(
    old: TellingProxy, client: redis.Redis, messages: list[tuple[bytes, float]]
) -> None:
    assert asyncio.run(incremented(old, messages)) == [1.0, 2.0]
    assert client.zscore("words", "s:a") == 1.0


@needs_asyncio
def test_asyncio_the_end_of_maintenance_ends_the_longer_wait(
    old: TellingProxy, client: redis.Redis
) -> None:
    # Had the longer limit held, the reply would have come, and nothing have been repeated.
    messages = [(MIGRATING, 0.0), (MIGRATED, 5 * TIMEOUT)]
    assert asyncio.run(incremented(old, messages)) == [2.0, 3.0]
