"""Durable sets whose slot is being moved: each change is made once, and confirmed where it is."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
import redis
import redis.asyncio
import redis.cluster

import redset.asyncio
from redset import Durable, NotDurable, RedisSortedSet
from tests import bridge
from tests.clusters import ClusterNode, TestCluster, slot_of
from tests.transport.conftest import client_of_nodes
from tests.transport.test_moving_slots import (
    NAME,
    Move,
    begun,
    everything,
    everything_async,
    in_a_moment,
)

DISK = Durable(disk=True)
REPLICA = Durable(replicas=1)
# For a replica that is stopped.
SHORT = Durable(replicas=1, timeout=0.02)


@pytest.fixture(scope="module")
def nodes() -> Iterator[TestCluster]:
    flags = ("--appendonly", "yes", "--appendfsync", "always")
    with TestCluster.start("valkey-9.1", *flags, masters=2, replicas=1) as found:
        yield found


client = client_of_nodes


@pytest.fixture(params=["sync", "asyncio"])
def kind(request: pytest.FixtureRequest) -> Iterator[Any]:
    """The sets of one surface, both of which are called alike."""
    if request.param == "sync":
        yield RedisSortedSet
    else:
        end = bridge.begin()
        yield bridge.RedisSortedSet
        end()


@pytest.fixture
def move(nodes: TestCluster) -> Iterator[Move]:
    """A move of the set's slot to the other master, from which it returns after the test."""
    source = nodes.node_of(NAME)
    begun = Move(nodes, to=next(node for node in nodes.masters if node is not source))
    yield begun
    begun.finish()
    nodes.move_slot(slot_of(NAME), source)
    nodes.settle()


def held_by(node: ClusterNode, name: str = NAME) -> list[tuple[bytes, float]]:
    """What *node* has of a set, also if the set's slot is another node's."""
    with node.client.pipeline(transaction=False) as pipeline:
        pipeline.execute_command("ASKING")
        pipeline.zrange(name, 0, -1, withscores=True)
        _, found = pipeline.execute(raise_on_error=False)
    return [] if isinstance(found, Exception) else found


@pytest.mark.parametrize("durable", [DISK, REPLICA])
def test_a_change_at_a_node_that_its_slot_is_leaving_is_made_once(
    client: Any, move: Move, kind: Any, durable: Durable
) -> None:
    numbers = kind(client, NAME, durable=durable)
    numbers.add_scored({1: 5, 2: 5, 3: 5})
    move.announce()
    assert numbers.increment(1) == 6
    assert numbers.increment(1, 2) == 8
    assert numbers.remove(2) is None
    assert numbers.discard(3) is True
    assert numbers.discard(3) is False
    assert numbers.add(4, score=1) == 1
    assert numbers.add(4, score=1) == 1
    assert held_by(move.source) == [(b"i:4", 1.0), (b"i:1", 8.0)]
    assert held_by(move.to) == []


@pytest.mark.parametrize("durable", [DISK, REPLICA])
def test_the_last_item_is_removed_from_a_set_whose_slot_is_leaving(
    client: Any, move: Move, kind: Any, durable: Durable
) -> None:
    numbers = kind(client, NAME, durable=durable)
    numbers.add(1)
    move.announce()
    assert numbers.discard(1) is True
    assert held_by(move.source) == held_by(move.to) == []
    assert numbers.discard(1) is False


def test_a_set_with_a_time_to_live_keeps_it_when_a_change_is_confirmed(
    client: Any, move: Move, kind: Any
) -> None:
    numbers = kind(client, NAME, durable=REPLICA)
    numbers.add(1)
    client.expire(NAME, 1_000)
    move.announce()
    assert numbers.increment(1) == 1
    assert 990 < move.source.call("TTL", NAME) <= 1_000


def test_a_change_is_confirmed_by_the_replica_of_the_node_that_made_it(
    client: Any, nodes: TestCluster, move: Move, kind: Any
) -> None:
    numbers, impatient = (kind(client, NAME, durable=each) for each in (REPLICA, SHORT))
    numbers.add(1, score=5)
    [of_source], [of_target] = nodes.replicas_of(move.source), nodes.replicas_of(move.to)
    move.announce()
    nodes.pause(of_target)
    try:
        assert numbers.increment(1) == 6
    finally:
        nodes.resume(of_target)
    nodes.pause(of_source)
    try:
        with pytest.raises(NotDurable) as caught:
            impatient.increment(1)
        assert (caught.value.result, caught.value.replicas) == (7, 0)
    finally:
        nodes.resume(of_source)
    move.move_keys()
    assert numbers.increment(1) == 8
    nodes.pause(of_target)
    try:
        with pytest.raises(NotDurable) as caught:
            impatient.increment(1)
        assert (caught.value.result, caught.value.replicas) == (9, 0)
    finally:
        nodes.resume(of_target)
    assert held_by(move.to) == [(b"i:1", 9.0)]


def test_a_change_of_several_commands_is_made_once(client: Any, move: Move, kind: Any) -> None:
    numbers = kind(client, NAME, durable=DISK)
    numbers.add(-1)
    move.announce()
    numbers.update(range(4_000))
    assert held_by(move.to) == []
    assert len(numbers) == 4_001
    numbers.difference_update(range(4_000))
    assert [member for member, _ in held_by(move.source)] == [b"i:-1"]
    mover = in_a_moment(move.finish)
    numbers.clear()
    mover.join()
    assert len(numbers) == 0
    assert held_by(move.source) == held_by(move.to) == []


def test_a_slot_that_moved_between_two_calls_gets_each_change_once(
    client: Any, nodes: TestCluster, move: Move, kind: Any
) -> None:
    numbers = kind(client, NAME, durable=DISK)
    numbers.add(1, score=5)
    nodes.move_slot(slot_of(NAME), move.to)
    assert numbers.increment(1) == 6
    assert held_by(move.to) == [(b"i:1", 6.0)]


@pytest.mark.parametrize("moved", ["nothing", "the set", "all keys", "all"])
def test_calls_of_durable_sets_are_right_in_each_step_of_a_move(
    client: Any, move: Move, moved: str
) -> None:
    numbers: RedisSortedSet[int] = RedisSortedSet(client, NAME, durable=DISK)
    numbers.update(range(100))
    mover = begun(move, moved)
    everything(numbers)
    mover.join()


@pytest.mark.parametrize("moved", ["nothing", "the set", "all keys", "all"])
def test_asyncio_calls_of_durable_sets_are_right_in_each_step_of_a_move(
    client: Any, move: Move, moved: str
) -> None:
    RedisSortedSet[int](client, NAME).update(range(100))

    async def use() -> None:
        port = move.source.port
        async with redis.asyncio.RedisCluster(host="127.0.0.1", port=port) as alike:
            numbers: redset.asyncio.RedisSortedSet[int] = redset.asyncio.RedisSortedSet(
                alike, NAME, durable=DISK
            )
            assert await numbers.size() == 100
            mover = begun(move, moved)
            await everything_async(numbers)
            mover.join()

    asyncio.run(use())


@pytest.mark.parametrize("how", ["moved", "is moving"])
def test_a_set_whose_slot_moves_leaves_the_changes_of_others_as_they_are(
    client: Any, nodes: TestCluster, move: Move, how: str
) -> None:
    names = (f"other{number}" for number in range(100))
    beside = next(name for name in names if nodes.node_of(name) is move.source)

    async def use() -> tuple[list[Any], list[Any]]:
        port = move.source.port
        async with redis.asyncio.RedisCluster(host="127.0.0.1", port=port) as alike:
            other, moving = (
                redset.asyncio.RedisSortedSet[int](alike, name, durable=DISK)
                for name in (beside, NAME)
            )
            await asyncio.gather(other.add(1, score=0), moving.add(1, score=0))
            if how == "moved":
                nodes.move_slot(slot_of(NAME), move.to)
            else:
                move.announce()
            # All four share a write, and the wait of its last one.
            calls = other.increment(1), moving.increment(1), other.increment(1), moving.discard(7)
            found = await asyncio.gather(*calls, return_exceptions=True)
            return list(found), [await other.score(1), await moving.score(1)]

    assert asyncio.run(use()) == ([1.0, 1.0, 2.0, False], [2.0, 1.0])
