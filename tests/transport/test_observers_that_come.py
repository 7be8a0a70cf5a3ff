"""Observers of a cluster's client that come while a call is under way."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
import redis.asyncio
import redis.cluster

import redset.asyncio
from redset import Durable, RedisSortedSet
from redset._transport.async_cluster import AsyncSlotRoute
from redset._transport.cluster import SlotRoute
from tests.clusters import TestCluster, slot_of

NAME = "numbers"


@pytest.fixture
def moved(cluster: TestCluster) -> Iterator[tuple[int, Any]]:
    """A port of the cluster, and what moves the set's slot, which clients don't know then."""
    cluster.flush()
    source = cluster.node_of(NAME)
    [to] = [node for node in cluster.nodes if node is not source]
    yield cluster.nodes[0].port, lambda: cluster.move_slot(slot_of(NAME), to)
    cluster.move_slot(slot_of(NAME), source)


@pytest.fixture
def switch_on() -> Iterator[Any]:
    """What switches on the metrics of redis-py 8, which are switched off after the test."""
    pytest.importorskip("redis.observability")
    metrics = pytest.importorskip("opentelemetry.sdk.metrics")
    from opentelemetry.metrics import set_meter_provider
    from redis.observability import MetricGroup, OTelConfig, get_observability_instance

    set_meter_provider(metrics.MeterProvider())
    instance = get_observability_instance()
    yield lambda: instance.init(OTelConfig(metric_groups=[MetricGroup.COMMAND]))
    instance.shutdown()


def after(learn: Any, switch_on: Any) -> Any:
    """What switches metrics on when a route has learned of the nodes."""

    def wrapped(route: Any) -> None:
        learn(route)
        switch_on()

    async def wrapped_async(route: Any) -> None:
        await learn(route)
        switch_on()

    return wrapped_async if asyncio.iscoroutinefunction(learn) else wrapped


@pytest.mark.parametrize("pipelining", [True, False])
@pytest.mark.parametrize("is_first", [True, False])
def test_asyncio_metrics_that_come_while_a_call_learns_of_nodes(
    moved: tuple[int, Any],
    switch_on: Any,
    monkeypatch: pytest.MonkeyPatch,
    pipelining: bool,
    is_first: bool,
) -> None:
    port, move = moved

    async def use() -> None:
        client: Any = redis.asyncio.RedisCluster(host="127.0.0.1", port=port)
        numbers: redset.asyncio.RedisSortedSet[int] = redset.asyncio.RedisSortedSet(
            client, NAME, pipelining=pipelining
        )
        if not is_first:
            await numbers.update([1, 2, 3])
            move()
        monkeypatch.setattr(AsyncSlotRoute, "_learn", after(AsyncSlotRoute._learn, switch_on))
        assert await numbers.add(4, score=4) == 4
        assert sorted([number async for number in numbers])[-1] == 4
        assert await numbers.pop() == (4 if is_first else 1)
        await client.aclose()

    asyncio.run(use())


def test_asyncio_a_durable_change_that_has_begun_is_finished(
    moved: tuple[int, Any], switch_on: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    port, move = moved

    async def use() -> None:
        async with redis.asyncio.RedisCluster(host="127.0.0.1", port=port) as client:
            numbers: redset.asyncio.RedisSortedSet[int] = redset.asyncio.RedisSortedSet(
                client, NAME, durable=Durable(replicas=1, timeout=0.001)
            )
            with pytest.raises(redset.NotDurable):
                await numbers.add(1, score=1)
            move()
            monkeypatch.setattr(AsyncSlotRoute, "_learn", after(AsyncSlotRoute._learn, switch_on))
            # The node refused it, so that nothing was changed.
            with pytest.raises(TypeError, match="nothing was sent"):
                await numbers.increment(1)
            assert await numbers.score(1) == 1

    asyncio.run(use())


def test_metrics_that_come_while_a_call_learns_of_nodes(
    moved: tuple[int, Any], switch_on: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    port, move = moved
    client = redis.cluster.RedisCluster(host="127.0.0.1", port=port)
    numbers: RedisSortedSet[int] = RedisSortedSet(client, NAME)
    numbers.update([1, 2, 3])
    move()
    monkeypatch.setattr(SlotRoute, "_learn", after(SlotRoute._learn, switch_on))
    assert numbers.add(4, score=4) == 4
    assert sorted(numbers) == [1, 2, 3, 4]
    assert numbers.pop() == 1
    client.close()


def test_asyncio_a_result_is_deleted_with_its_handle_while_metrics_are_on(
    moved: tuple[int, Any], switch_on: Any
) -> None:
    port, _ = moved

    async def use() -> None:
        async with redis.asyncio.RedisCluster(host="127.0.0.1", port=port) as client:
            switch_on()
            numbers: redset.asyncio.RedisSortedSet[int] = redset.asyncio.RedisSortedSet(
                client, NAME
            )
            result = await numbers.union([1])
            key = result._runner.config.key
            assert await client.exists(key) == 1
            del result
            async with asyncio.timeout(30):
                while await client.exists(key):
                    await asyncio.sleep(0.001)

    asyncio.run(use())
