"""Slots that move between the nodes of a cluster, while sets of them are used and waited for."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import redis.asyncio
import redis.cluster

import redset.asyncio
from redset import RedisSortedSet
from redset._transport import attempts
from redset._transport.async_cluster import AsyncSlotRoute
from redset._transport.cluster import SlotRoute
from tests.clusters import ClusterNode, TestCluster, slot_of
from tests.server.conftest import until
from tests.transport.conftest import client_of_nodes

NAME = "numbers"
SLOT = slot_of(NAME)
wait_for = partial(until, timeout=20.0)


@pytest.fixture(scope="module")
def nodes() -> Iterator[TestCluster]:
    with TestCluster.start("valkey-9.1", masters=2) as found:
        yield found


client = client_of_nodes


class Move:
    """The move of one slot, in three steps: announced, the keys moved, done."""

    def __init__(self, nodes: TestCluster, to: ClusterNode | None = None) -> None:
        self._slot = SLOT
        self.source = nodes.node_of(SLOT)
        self.to = to or next(node for node in nodes.nodes if node is not self.source)

    def announce(self) -> None:
        self.to.call("CLUSTER", "SETSLOT", self._slot, "IMPORTING", self.source.node_id)
        self.source.call("CLUSTER", "SETSLOT", self._slot, "MIGRATING", self.to.node_id)

    def move_keys(self, *some: bytes) -> None:
        keys = some or self.source.call("CLUSTER", "GETKEYSINSLOT", self._slot, 1_000)
        if keys:
            self.source.call("MIGRATE", "127.0.0.1", self.to.port, "", 0, 5_000, "KEYS", *keys)

    def finish(self) -> None:
        self.move_keys()
        for node in (self.to, self.source):
            node.call("CLUSTER", "SETSLOT", self._slot, "NODE", self.to.node_id)

    def do(self) -> None:
        self.announce()
        self.finish()


@pytest.fixture
def move(nodes: TestCluster) -> Iterator[Move]:
    begun = Move(nodes)
    yield begun
    begun.finish()


def everything(numbers: RedisSortedSet[int]) -> None:
    """Use *numbers*, which has 0 to 99, by commands with one key and by scripts with several."""
    assert 7 in numbers
    assert 700 not in numbers
    assert len(numbers) == 100
    assert sorted(numbers) == list(range(100))
    assert numbers.score(5) == 0.0
    numbers.add(100)
    assert numbers.insert(100, 101) == [101]
    assert numbers.pop() == 0
    with numbers.lease() as lease:
        assert lease is not None
    assert len(numbers.take(10)) == 10
    assert len(numbers) == 90
    with numbers | {-1} as more:
        assert len(more) == 91


def in_a_moment(step: Callable[[], None]) -> threading.Thread:
    """Make *step* while the caller goes on: what it calls can only end after that."""

    def wait_and_do() -> None:
        time.sleep(0.7)
        step()

    thread = threading.Thread(target=wait_and_do)
    thread.start()
    return thread


def begun(move: Move, moved: str) -> threading.Thread:
    """Begin *move*, of which so much has *moved*; return the thread that finishes it soon."""
    move.announce()
    if moved == "the set":
        move.move_keys(NAME.encode())
    elif moved != "nothing":
        move.move_keys()
    if moved == "all":
        move.finish()
    return in_a_moment(move.finish)


@pytest.mark.parametrize("moved", ["nothing", "the set", "all keys", "all"])
def test_calls_are_right_in_each_step_of_a_move(client: Any, move: Move, moved: str) -> None:
    numbers: RedisSortedSet[int] = RedisSortedSet(client, NAME)
    numbers.update(range(100))
    mover = begun(move, moved)
    everything(numbers)
    mover.join()


def test_a_slot_that_doesn_t_end_to_move_is_an_error_of_the_client(
    client: Any, move: Move, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "MOVING_SECONDS", 0.2)
    numbers: RedisSortedSet[int] = RedisSortedSet(client, NAME)
    numbers.update(range(100))
    move.announce()
    with pytest.raises((redis.exceptions.TryAgainError, redis.exceptions.ClusterError)):
        numbers.pop()
    move.finish()
    assert numbers.pop() == 0


def test_once_moved_calls_go_straight_to_the_new_node(
    client: Any, nodes: TestCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers: RedisSortedSet[int] = RedisSortedSet(client, NAME)
    numbers.update(range(100))
    Move(nodes).do()
    assert len(numbers) == 100  # learns of the move

    def refuse(*_arguments: Any) -> Any:
        raise AssertionError("sent through the client again")

    monkeypatch.setattr(SlotRoute, "_learn", refuse)
    assert numbers.pop() == 0
    assert len(list(numbers)) == 99


async def everything_async(numbers: redset.asyncio.RedisSortedSet[int]) -> None:
    assert await numbers.contains(7)
    assert await numbers.size() == 100
    assert sorted([number async for number in numbers]) == list(range(100))
    await numbers.add(100)
    assert await numbers.insert(100, 101) == [101]
    assert await numbers.pop() == 0
    async with await numbers.lease() as lease:
        assert lease is not None
    # Several tasks share one write to a node, and one connection gets all their ASKINGs.
    found = await asyncio.gather(*[numbers.contains(number) for number in range(1, 100)])
    assert found.count(True) == 98
    assert len(await numbers.take(10)) == 10
    assert await numbers.size() == 90


@pytest.mark.parametrize("pipelining", [True, False])
@pytest.mark.parametrize("moved", ["nothing", "the set", "all keys", "all"])
def test_asyncio_calls_are_right_in_each_step_of_a_move(
    client: Any, move: Move, moved: str, pipelining: bool
) -> None:
    RedisSortedSet[int](client, NAME).update(range(100))

    async def use() -> None:
        port = move.source.port
        async with redis.asyncio.RedisCluster(host="127.0.0.1", port=port) as alike:
            numbers: redset.asyncio.RedisSortedSet[int] = redset.asyncio.RedisSortedSet(
                alike, NAME, pipelining=pipelining
            )
            assert await numbers.size() == 100  # the client knows the slots as they were
            mover = begun(move, moved)
            await everything_async(numbers)
            mover.join()

    asyncio.run(use())


def test_asyncio_calls_go_straight_to_the_new_node_once_moved(
    client: Any, nodes: TestCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    RedisSortedSet[int](client, NAME).update(range(100))

    def refuse(*_arguments: Any) -> Any:
        raise AssertionError("sent through the client again")

    async def use() -> None:
        port = nodes.nodes[0].port
        async with redis.asyncio.RedisCluster(host="127.0.0.1", port=port) as alike:
            numbers: redset.asyncio.RedisSortedSet[int] = redset.asyncio.RedisSortedSet(alike, NAME)
            assert await numbers.size() == 100
            Move(nodes).do()
            assert await numbers.size() == 100  # learns of the move
            monkeypatch.setattr(AsyncSlotRoute, "_learn", refuse)
            assert await numbers.pop() == 0
            assert len([number async for number in numbers]) == 99

    asyncio.run(use())


# A node that is new


@pytest.fixture(scope="module")
def wide_nodes() -> Iterator[TestCluster]:
    """Two masters, and a third one without slots, of which no client hears."""
    with TestCluster.start("valkey-9.1", masters=2) as found:
        # Otherwise a master whose slots are gone becomes a replica.
        flags = ("--cluster-enabled", "yes", "--cluster-allow-replica-migration", "no")
        new = ClusterNode.start("valkey-9.1", *flags)
        for node in found.nodes:
            node.call("CLUSTER", "MEET", "127.0.0.1", new.port)
        found.nodes.append(new)
        found.settle()
        yield found


@pytest.fixture
def wider(wide_nodes: TestCluster) -> Iterator[Move]:
    """A move to the node that has no slots, which has none again after it."""
    move = Move(wide_nodes, to=wide_nodes.nodes[-1])
    yield move
    move.finish()
    Move(wide_nodes, to=move.source).do()
    wide_nodes.settle()


@pytest.fixture
def wide_client(wide_nodes: TestCluster) -> Iterator[Any]:
    made = redis.cluster.RedisCluster(host="127.0.0.1", port=wide_nodes.nodes[0].port)
    wide_nodes.flush()
    yield made
    made.close()


@pytest.mark.parametrize("moved", ["nothing", "all keys", "all"])
def test_calls_follow_a_slot_to_a_node_that_is_new(
    wide_client: Any, wider: Move, moved: str
) -> None:
    numbers: RedisSortedSet[int] = RedisSortedSet(wide_client, NAME)
    numbers.update(range(100))
    mover = begun(wider, moved)
    everything(numbers)
    mover.join()


@pytest.mark.parametrize("moved", ["nothing", "all keys", "all"])
def test_asyncio_calls_follow_a_slot_to_a_node_that_is_new(
    wide_client: Any, wider: Move, moved: str
) -> None:
    RedisSortedSet[int](wide_client, NAME).update(range(100))

    async def use() -> None:
        port = wider.source.port
        async with redis.asyncio.RedisCluster(host="127.0.0.1", port=port) as alike:
            numbers: redset.asyncio.RedisSortedSet[int] = redset.asyncio.RedisSortedSet(alike, NAME)
            assert await numbers.size() == 100
            mover = begun(wider, moved)
            await everything_async(numbers)
            mover.join()

    asyncio.run(use())


# Consumers that wait


def listens(node: ClusterNode) -> bool:
    """Whether a consumer listens at *node*: nobody else subscribes there."""
    return bool(node.call("PUBSUB", "SHARDCHANNELS"))


@pytest.mark.parametrize("filled", [False, True])
def test_a_consumer_listens_where_its_slot_went(
    client: Any, nodes: TestCluster, filled: bool
) -> None:
    move = Move(nodes)
    numbers: RedisSortedSet[int] = RedisSortedSet(client, NAME)
    if filled:  # then the slot's keys go, which the server tells too
        numbers.add(1)
        assert numbers.lease(ttl=60)
    found: list[int] = []
    consumer = threading.Thread(target=lambda: found.extend(numbers.take(1, timeout=60)))
    consumer.start()
    wait_for(lambda: listens(move.source))
    move.do()
    wait_for(lambda: listens(move.to))
    # No look comes by itself for 15 seconds.
    RedisSortedSet[int](move.to.client, NAME).add(2)
    consumer.join(timeout=10)
    assert found == [2]


def test_tasks_listen_where_their_slot_went(client: Any, nodes: TestCluster) -> None:
    move = Move(nodes)

    async def use() -> list[list[int]]:
        port = nodes.nodes[0].port
        async with redis.asyncio.RedisCluster(host="127.0.0.1", port=port) as alike:
            numbers: redset.asyncio.RedisSortedSet[int] = redset.asyncio.RedisSortedSet(alike, NAME)
            tasks = [asyncio.create_task(numbers.take(1, timeout=60)) for _ in range(3)]
            await asyncio.to_thread(wait_for, lambda: listens(move.source))
            move.do()
            await asyncio.to_thread(wait_for, lambda: listens(move.to))
            RedisSortedSet[int](move.to.client, NAME).update([1, 2, 3])
            return await asyncio.wait_for(asyncio.gather(*tasks), 10)

    assert sorted(asyncio.run(use())) == [[1], [2], [3]]
