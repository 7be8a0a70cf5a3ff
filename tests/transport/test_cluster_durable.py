"""Sets that wait for replicas, in a cluster: the wait goes to the node of the change."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
import redis.asyncio
import redis.cluster

import redset.asyncio
from redset import Durable, NotDurable, RedisSortedSet
from tests.clusters import TestCluster, slot_of
from tests.transport.conftest import client_of_nodes

# Of several nodes, so that a wait at another one would confirm nothing.
NAMES = ["a", "b", "c"]
DURABLE = Durable(replicas=1, timeout=0.3)


@pytest.fixture(scope="module")
def nodes() -> Iterator[TestCluster]:
    with TestCluster.start("valkey-9.1", masters=2, replicas=1) as found:
        assert len({found.node_of(name).port for name in NAMES}) == 2
        yield found


client = client_of_nodes


@pytest.mark.parametrize("name", NAMES)
def test_changes_are_confirmed_by_the_replica_of_their_node(
    client: Any, nodes: TestCluster, name: str
) -> None:
    numbers: RedisSortedSet[int] = RedisSortedSet(client, name, durable=DURABLE)
    numbers.update(range(10))
    assert numbers.pop() == 0
    assert list(numbers.consume(timeout=0)) == list(range(1, 10))
    numbers.add(10)
    # What was confirmed is there at once.
    [replica] = nodes.replicas_of(nodes.node_of(name))
    assert replica.call_many([("READONLY",), ("ZCARD", name)])[1] == 1


@pytest.mark.parametrize("name", NAMES)
def test_a_replica_that_is_stopped_confirms_nothing(
    client: Any, nodes: TestCluster, name: str
) -> None:
    numbers: RedisSortedSet[int] = RedisSortedSet(client, name, durable=DURABLE)
    numbers.update(range(10))
    [replica] = nodes.replicas_of(nodes.node_of(name))
    nodes.pause(replica)
    try:
        with pytest.raises(NotDurable) as caught:
            numbers.pop()
        assert (caught.value.result, caught.value.replicas, caught.value.wanted) == (0, 0, 1)
        with pytest.raises(NotDurable):
            numbers.add(10)
        assert 10 in numbers
    finally:
        nodes.resume(replica)


def test_a_change_is_confirmed_by_the_node_that_the_slot_went_to(
    client: Any, nodes: TestCluster
) -> None:
    numbers: RedisSortedSet[int] = RedisSortedSet(client, "a", durable=DURABLE)
    numbers.update(range(10))
    source = nodes.node_of("a")
    [to] = [node for node in nodes.masters if node is not source]
    nodes.move_slot(slot_of("a"), to)
    try:
        nodes.settle()
        [replica] = nodes.replicas_of(to)
        nodes.pause(replica)
        with pytest.raises(NotDurable):
            numbers.add(10)
        nodes.resume(replica)
        numbers.add(11)
        assert len(numbers) == 12
    finally:
        nodes.move_slot(slot_of("a"), source)
        nodes.settle()


def test_asyncio_changes_are_confirmed_too(client: Any, nodes: TestCluster) -> None:
    async def use() -> None:
        port = nodes.nodes[0].port
        async with redis.asyncio.RedisCluster(host="127.0.0.1", port=port) as alike:
            for name in NAMES:
                numbers: redset.asyncio.RedisSortedSet[int] = redset.asyncio.RedisSortedSet(
                    alike, name, durable=DURABLE
                )
                await asyncio.gather(*[numbers.add(number) for number in range(10)])
                assert await numbers.pop() == 0
                [replica] = nodes.replicas_of(nodes.node_of(name))
                nodes.pause(replica)
                try:
                    with pytest.raises(NotDurable) as caught:
                        await numbers.pop()
                    assert caught.value.result == 1
                finally:
                    nodes.resume(replica)

    asyncio.run(use())


def test_an_observed_client_is_refused_before_anything_is_sent(
    client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers: RedisSortedSet[int] = RedisSortedSet(client, "a", durable=DURABLE)
    monkeypatch.setattr(client, "execute_command", lambda *_words, **_options: None)
    with pytest.raises(TypeError, match="durable"):
        numbers.add(1)
    monkeypatch.undo()
    assert 1 not in numbers
