"""Pools that a program gives its client later, and connections of classes of the user's."""

import asyncio
import pickle
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
import redis.asyncio

import redset._transport.subscription
import redset.asyncio
from redset import Durable, RedisSortedSet
from redset._transport.pinned import pinned_connections_for
from redset.exceptions import DurabilityUnsupported
from tests.server import asyncio_clients
from tests.server.conftest import MakeClient
from tests.server.test_waiting import WAIT, Call, wait_for_watchers, watchers
from tests.servers import TestServer

Strings = RedisSortedSet[str]


@pytest.fixture(scope="module")
def other_server() -> Iterator[TestServer]:
    with TestServer.start("valkey-9.1") as started:
        yield started


@pytest.fixture
def other(other_server: TestServer, client: redis.Redis, make_client: MakeClient) -> redis.Redis:
    """A client of another server; both servers are empty."""
    found = make_client(of=other_server)
    for each in (client, found):
        each.flushall()
    return found


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let consumers look by themselves after a moment."""
    monkeypatch.setattr(redset._transport.subscription, "RECHECK_INTERVAL", 0.2)


def new_pool(of: redis.Redis, **options: Any) -> Any:
    pool = of.connection_pool
    return type(pool)(pool.connection_class, **(pool.connection_kwargs | options))


SENDING: dict[str, Callable[[Strings], object]] = {
    "one command": lambda jobs: jobs.add("new"),
    "several commands": lambda jobs: jobs.add_and_rank("new"),
    "many items": lambda jobs: jobs.update(["new", *map(str, range(12_000))]),
    "an iteration": lambda jobs: (list(jobs), jobs.add("new")),
    "a script": lambda jobs: (jobs.take(1), jobs.add("new")),
}


@pytest.mark.parametrize("way", SENDING)
def test_a_pool_that_is_replaced_is_left_by_sets_made_before(
    client: redis.Redis, make_client: MakeClient, other: redis.Redis, way: str
) -> None:
    mine = make_client()
    jobs: Strings = RedisSortedSet(mine, "jobs")
    jobs.add("old")
    mine.connection_pool = new_pool(other)
    SENDING[way](jobs)
    assert "new" in jobs
    assert len(jobs) == mine.zcard("jobs") == other.zcard("jobs")
    assert client.zcard("jobs") == 1


def test_a_pool_that_is_replaced_by_one_of_a_class_of_its_own_is_used_by_the_client(
    make_client: MakeClient, other: redis.Redis
) -> None:
    mine = make_client()
    jobs: Strings = RedisSortedSet(mine, "jobs")
    jobs.add("old")
    given: list[Any] = []

    class Own(type(other.connection_pool)):  # type: ignore[misc]
        def get_connection(self, *words: Any, **options: Any) -> Any:
            given.append(words)
            return super().get_connection(*words, **options)

    kind = other.connection_pool.connection_class
    mine.connection_pool = Own(kind, **other.connection_pool.connection_kwargs)
    assert pinned_connections_for(mine) is None
    for number in range(3):
        jobs.add(str(number))
    assert len(given) == 3


def test_asyncio_a_pool_that_is_replaced_is_left_by_sets_made_before(
    server: TestServer, client: redis.Redis, other: redis.Redis, other_server: TestServer
) -> None:
    given: list[Any] = []

    async def main() -> None:
        async with asyncio_clients.connected(server) as mine:
            jobs: Any = redset.asyncio.RedisSortedSet(mine, "jobs")
            await jobs.add("old")
            before = mine.connection_pool
            spare = asyncio_clients.make(other_server)
            mine.connection_pool = spare.connection_pool
            await asyncio.gather(*(jobs.add(str(number)) for number in range(3)))
            assert await jobs.size() == 3

            class Own(type(before)):  # type: ignore[misc]
                async def get_connection(self, *words: Any, **options: Any) -> Any:
                    given.append(words)
                    return await super().get_connection(*words, **options)

            # Shares no write with others: the client itself asks for each connection.
            kind, options = before.connection_class, spare.connection_pool.connection_kwargs
            mine.connection_pool = Own(kind, **options)
            await asyncio.gather(*(jobs.add(str(number)) for number in range(5)))
            assert len(given) == 5
            await mine.connection_pool.disconnect()
            mine.connection_pool = before
            assert [item async for item in jobs] == ["old"]
            await spare.aclose()

    asyncio.run(main())
    assert (client.zcard("jobs"), other.zcard("jobs")) == (1, 5)


@pytest.mark.usefixtures("soon")
def test_a_wait_for_items_goes_on_in_the_pool_that_the_client_has_now(
    client: redis.Redis, make_client: MakeClient, other: redis.Redis
) -> None:
    mine = make_client()
    jobs: Strings = RedisSortedSet(mine, "jobs")
    waiting = Call(jobs.pop, timeout=WAIT)
    wait_for_watchers(client, 1)
    mine.connection_pool = new_pool(other)
    RedisSortedSet[str](other, "jobs").add("new")
    assert waiting.result() == "new"
    wait_for_watchers(client, 0)


@pytest.mark.usefixtures("soon")
def test_asyncio_waits_for_items_go_on_in_the_pool_that_the_client_has_now(
    server: TestServer, client: redis.Redis, other: redis.Redis, other_server: TestServer
) -> None:
    async def main() -> None:
        async with asyncio_clients.connected(server) as mine:
            jobs: Any = redset.asyncio.RedisSortedSet(mine, "jobs")
            waiting = [asyncio.create_task(jobs.pop(timeout=WAIT)) for _ in range(3)]
            await asyncio.to_thread(wait_for_watchers, client, 1)
            spare, before = asyncio_clients.make(other_server), mine.connection_pool
            mine.connection_pool = spare.connection_pool
            theirs: Strings = RedisSortedSet(other, "jobs")
            await asyncio.to_thread(theirs.update, ["a", "b", "c"])
            assert sorted(await asyncio.gather(*waiting)) == ["a", "b", "c"]
            await asyncio_clients.all_given_back(mine)
            mine.connection_pool = before
            await spare.aclose()

    asyncio.run(main())


def test_a_set_whose_client_has_another_server_now_takes_part_item_by_item(
    make_client: MakeClient, other: redis.Redis, server: TestServer
) -> None:
    # By different addresses: the servers are told apart by their ids.
    ours, theirs = make_client(), make_client(port=server.port)
    one, two = (RedisSortedSet[str](each, name) for each, name in ((ours, "one"), (theirs, "two")))
    one.update(["a", "b"])
    two.update(["b", "c"])
    assert one.union_count(two) == 3
    theirs.connection_pool = new_pool(other)
    two.update(["b", "d", "e"])
    assert one.union_count(two) == 4
    one |= two
    assert sorted(one) == ["a", "b", "d", "e"]


def test_asyncio_a_set_whose_client_has_another_server_now_takes_part_item_by_item(
    server: TestServer, other: redis.Redis, other_server: TestServer
) -> None:
    async def main() -> None:
        async with (
            asyncio_clients.connected(server) as ours,
            asyncio_clients.connected(server, port=server.port) as theirs,
            asyncio_clients.connected(other_server) as spare,
        ):
            one: Any = redset.asyncio.RedisSortedSet(ours, "one")
            two: Any = redset.asyncio.RedisSortedSet(theirs, "two")
            await one.update(["a", "b"])
            await two.update(["b", "c"])
            assert await one.union_count(two) == 3
            before, theirs.connection_pool = theirs.connection_pool, spare.connection_pool
            await two.update(["b", "d", "e"])
            assert await one.union_count(two) == 4
            theirs.connection_pool = before

    asyncio.run(main())


def test_whether_a_server_confirms_changes_is_asked_of_each_server(
    make_client: MakeClient, other: redis.Redis
) -> None:
    with TestServer.start("valkey-9.1", "--appendonly", "yes") as lasting:
        mine = make_client(of=lasting)
        jobs: Strings = RedisSortedSet(mine, "jobs", durable=Durable(disk=True))
        jobs.add("kept")
        mine.connection_pool = new_pool(other)
        with pytest.raises(DurabilityUnsupported, match="Nothing was changed"):
            jobs.add("lost")
        assert other.zcard("jobs") == 0


def test_a_result_that_is_dropped_after_the_pool_was_replaced_interrupts_nothing(
    make_client: MakeClient, other: redis.Redis
) -> None:
    mine = make_client()
    jobs: Strings = RedisSortedSet(mine, "jobs")
    jobs.update(["a", "b"])
    result = jobs | {"c"}
    assert len(result) == 3
    mine.connection_pool = new_pool(other)
    del result
    assert len(jobs) == 0
    assert len(jobs | {"d"}) == 1
    assert len(jobs) == 0
    assert other.dbsize() == 0


def test_a_handle_is_unpickled_with_the_pool_that_its_client_had(
    make_client: MakeClient, client: redis.Redis, other: redis.Redis
) -> None:
    jobs: Strings = RedisSortedSet(make_client(), "jobs")
    jobs.add("old")
    pickled = pickle.dumps(jobs)
    first: Any = pickle.loads(pickled)
    again: Any = pickle.loads(pickled)
    assert first._runner.client is again._runner.client
    first._runner.client.connection_pool = new_pool(other)
    assert list(first) == list(again) == []
    later: Any = pickle.loads(pickled)
    assert list(later) == ["old"]
    for each in (first, later):
        each._runner.client.close()


# Connections of a class of the user's


def of_tenant(words: Any) -> list[Any]:
    """The words of one command, with another name of the set and its companion keys."""

    def renamed(word: Any) -> Any:
        key = word.encode() if isinstance(word, str) else word
        is_key = isinstance(key, bytes) and key.startswith((b"jobs", b"{jobs}"))
        return b"tenant:" + key if is_key else word

    return [renamed(word) for word in words]


def tenant_class(kind: type, *methods: str) -> type:
    """A class of connections that rename keys in these *methods*."""

    def send_command(self: Any, *words: Any, **options: Any) -> Any:
        return kind.send_command(self, *of_tenant(words), **options)  # type: ignore[attr-defined]

    def pack_commands(self: Any, batch: Any) -> Any:
        return kind.pack_commands(self, map(of_tenant, batch))  # type: ignore[attr-defined]

    made = {"send_command": send_command, "pack_commands": pack_commands}
    return type("TenantConnection", (kind,), {name: made[name] for name in methods})


def tenant_pool(of: Any, way: str) -> Any:
    """A pool beside that *of* a client, whose connections rename keys in this *way*."""
    pool = of.connection_pool
    kind, options = pool.connection_class, pool.connection_kwargs
    if way == "a pool":

        class TenantPool(type(pool)):  # type: ignore[misc]
            def make_connection(self) -> Any:
                made = super().make_connection()
                made.__class__ = tenant_class(kind, "send_command", "pack_commands")
                return made

        return TenantPool(kind, **options)
    methods = ["send_command"] if way == "one method" else ["send_command", "pack_commands"]
    return type(pool)(tenant_class(kind, *methods), **options)


WAYS = ["one method", "both methods", "a pool"]


@pytest.mark.parametrize("way", WAYS)
def test_connections_that_rename_keys_do_so_in_calls_and_waits(
    client: redis.Redis, make_client: MakeClient, way: str
) -> None:
    client.flushall()
    mine = make_client()
    mine.connection_pool = tenant_pool(mine, way)
    jobs: Strings = RedisSortedSet(mine, "jobs")
    waiting = Call(jobs.pop, timeout=None)
    time.sleep(0.2)
    assert watchers(client) == 0
    jobs.update(map(str, range(12_000)))
    assert waiting.result() == "0"
    assert jobs.add_and_rank("first", -1) == 0
    assert len(jobs) == client.zcard("tenant:jobs") == 12_000
    assert not client.exists("jobs")


@pytest.mark.parametrize("way", WAYS)
def test_asyncio_connections_that_rename_keys_do_so_in_calls_and_waits(
    server: TestServer, client: redis.Redis, way: str
) -> None:
    client.flushall()

    async def main() -> None:
        async with asyncio_clients.connected(server) as mine:
            before = mine.connection_pool
            mine.connection_pool = tenant_pool(mine, way)
            jobs: Any = redset.asyncio.RedisSortedSet(mine, "jobs")
            waiting = asyncio.create_task(jobs.pop(timeout=None))
            await asyncio.sleep(0.2)
            assert await asyncio.to_thread(watchers, client) == 0
            await jobs.update(map(str, range(12_000)))
            assert await waiting == "0"
            assert await jobs.add_and_rank("first", -1) == 0
            await asyncio_clients.all_given_back(mine)
            await mine.connection_pool.disconnect()
            mine.connection_pool = before

    asyncio.run(main())
    assert client.zcard("tenant:jobs") == 12_000
    assert not client.exists("jobs")


def test_sets_over_connections_that_rename_keys_are_not_taken_for_those_of_one_database(
    client: redis.Redis, make_client: MakeClient
) -> None:
    client.flushall()
    mine = make_client()
    mine.connection_pool = tenant_pool(mine, "both methods")
    jobs: Strings = RedisSortedSet(mine, "jobs")
    plain: Strings = RedisSortedSet(client, "jobs")
    jobs.update(["a", "b"])
    plain.update(["b", "c"])
    assert jobs.union_count(plain) == 3
    jobs |= plain
    assert (sorted(jobs), sorted(plain)) == (["a", "b", "c"], ["b", "c"])


def test_connections_that_note_only_when_they_are_opened_are_notified(
    client: redis.Redis, make_client: MakeClient
) -> None:
    mine = make_client()
    pool = mine.connection_pool
    opened: list[Any] = []

    def connect(self: Any) -> None:
        opened.append(self)
        pool.connection_class.connect(self)

    kind = type("Noting", (pool.connection_class,), {"connect": connect})
    mine.connection_pool = type(pool)(kind, **pool.connection_kwargs)
    jobs: Strings = RedisSortedSet(mine, "jobs")
    waiting = Call(jobs.pop, timeout=WAIT)
    wait_for_watchers(client, 1)
    jobs.add("new")
    assert waiting.result() == "new"
    assert opened


def test_a_packer_of_the_users_packs_all_commands(
    client: redis.Redis, make_client: MakeClient
) -> None:
    class Packer:
        def __init__(self, packer: Any) -> None:
            self._packer = packer

        def pack(self, *words: Any) -> Any:
            return self._packer.pack(*of_tenant(words))

    client.flushall()
    mine = make_client()
    made: Any = mine.connection_pool.make_connection()
    mine.connection_pool = new_pool(mine, command_packer=Packer(made._command_packer))
    jobs: Strings = RedisSortedSet(mine, "jobs")
    waiting = Call(jobs.pop, timeout=None)
    time.sleep(0.2)
    assert watchers(client) == 0
    jobs.update(["a", "b"])
    assert waiting.result() == "a"
    assert client.zcard("tenant:jobs") == 1
    assert not client.exists("jobs")
