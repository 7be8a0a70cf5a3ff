"""Clients of a cluster: every call is right, and none leaves a connection inside a transaction."""

import asyncio
import gc
import pickle
import re
from collections.abc import Iterator
from typing import Any

import pytest
import redis
import redis.asyncio
import redis.cluster

import redset
import redset.asyncio
from redset import FirstOf, LeaseLost, RedisSortedSet, ScheduledSet
from redset._transport import renewals
from redset._transport.async_cluster import AsyncSlotRoute
from tests.clusters import TestCluster
from tests.server.conftest import until
from tests.server.test_security import DOCUMENT, listed_commands, use_everything

Client = redis.cluster.RedisCluster


@pytest.fixture
def client(cluster: TestCluster) -> Iterator[Any]:
    made = Client(host="127.0.0.1", port=cluster.nodes[0].port)
    made.flushall(target_nodes=Client.ALL_NODES)
    yield made
    made.close()


def check_by_hand(client: Any) -> None:
    """What the user does with the same client is done, and answered, as ever."""
    for number in range(5):
        assert client.set(f"k{number}", number) is True
        assert client.get(f"k{number}") == b"%d" % number


def test_iteration_leaves_no_connection_inside_a_transaction(client: Any) -> None:
    numbers: RedisSortedSet[int] = RedisSortedSet(client, "numbers")
    numbers.update(range(1_200))
    check_by_hand(client)
    assert sorted(numbers) == list(range(1_200))
    check_by_hand(client)
    assert sorted(item for item, _ in numbers.items()) == list(range(1_200))
    backwards = list(reversed(numbers))
    assert backwards[::-1] == list(numbers)
    assert len(numbers[:7]) == 7
    assert numbers == set(range(1_200))
    check_by_hand(client)


def test_the_first_of_several_sets_of_one_slot_hands_out(client: Any) -> None:
    names = ("{jobs}:urgent", "{jobs}:normal")
    urgent, normal = (RedisSortedSet[int](client, name) for name in names)
    jobs = FirstOf(urgent, normal)
    normal.update([1, 2, 3])
    urgent.add(0)
    assert [jobs.pop()[1], jobs.pop()[1]] == [0, 1]
    assert [number for _, number in jobs.consume(timeout=0.01)] == [2, 3]
    assert jobs.take(1, timeout=0.01) == []
    elsewhere: RedisSortedSet[int] = RedisSortedSet(client, "elsewhere")
    with pytest.raises(ValueError, match=r"'elsewhere': .*another slot.*same \{tag\}"):
        FirstOf(urgent, elsewhere)
    check_by_hand(client)


def test_items_are_handed_out_and_leased(client: Any) -> None:
    jobs: RedisSortedSet[int] = RedisSortedSet(client, "jobs")
    assert jobs.insert(1, 2, 3, 4, 5) == [1, 2, 3, 4, 5]
    assert (jobs.pop(), jobs.take(1)) == (1, [2])
    with jobs.lease(1, ttl=60) as lease:
        assert list(lease) == [3]
        assert [entry.item for entry in jobs.leased()] == [3]
    assert list(jobs.consume(timeout=0)) == [4, 5]
    assert jobs.take(1, timeout=0.01) == []
    assert jobs.stats() == (0,) * 8
    check_by_hand(client)


def test_a_set_goes_at_one_time(client: Any) -> None:
    jobs: RedisSortedSet[int] = RedisSortedSet(client, "jobs")
    jobs.update([1, 2])
    assert jobs.expire(1_000) is True
    jobs.lease(1).reject()
    jobs.lease(1)
    jobs.update([3])
    assert jobs.ttl() == pytest.approx(1_000, abs=30)
    assert client.ttl("jobs") == pytest.approx(1_000, abs=30)
    assert (jobs.persist(), client.ttl("{jobs}:dead")) == (True, -1)
    check_by_hand(client)


def test_sets_are_combined_in_one_slot_and_across_slots(client: Any) -> None:
    for names in (("{x}a", "{x}b"), ("a", "b")):
        left, right = (RedisSortedSet[int](client, name) for name in names)
        left.update(range(300))
        right.update(range(200, 500))
        assert sorted(left & right) == list(range(200, 300))
        assert len(left | right) == 500
        assert sorted(left - {1, 2}) == [0, *range(3, 300)]
        left ^= right
        assert len(left) == 400
        assert left != right
    check_by_hand(client)


def test_combinations_are_read_and_counted_in_one_slot_and_across_slots(client: Any) -> None:
    one: Any = redset.RedisSortedSet(client, "{slot}one")
    one.add_scored({1: 1, 2: 2, 3: 3})
    for name in ("{slot}two", "elsewhere"):
        other: Any = redset.RedisSortedSet(client, name)
        other.add_scored({2: 0, 3: 9, 4: 4})
        assert one.read_union(other, on_conflict="replace") == [2, 1, 4, 3]
        assert one.read_intersection(other, {3}, with_scores=True) == [(3, 3.0)]
        assert (one.read_difference(other), one.read_symmetric_difference(other)) == ([1], [1, 4])
        assert (one.union_count(other), one.intersection_count(other, {3})) == (4, 1)
    check_by_hand(client)


def test_a_set_is_renamed_with_its_leases_in_one_slot_and_not_across_slots(client: Any) -> None:
    jobs, other = RedisSortedSet[int](client, "{x}a"), RedisSortedSet[int](client, "{x}b")
    jobs.update(range(5))
    other.update(range(9))
    lost = other.lease(2)
    lease = jobs.lease(2)
    jobs.rename("{x}b")
    lease.extend()
    lease.ack()
    with pytest.raises(LeaseLost):
        lost.ack()
    assert (sorted(other), other.stats().leased) == ([2, 3, 4], 0)
    with pytest.raises(Exception, match="slot"):
        jobs.rename("a")
    assert (jobs.name, len(jobs)) == ("{x}b", 3)
    check_by_hand(client)


def test_a_result_goes_with_its_handle(client: Any) -> None:
    left: RedisSortedSet[int] = RedisSortedSet(client, "{x}a")
    left.update([1, 2])
    result = left | {3}
    assert sorted(result) == [1, 2, 3]
    result.close()
    assert client.exists(result._runner.config.key) == 0
    del result
    other = left | {4}
    key = other._runner.config.key
    del other
    assert len(left) == 2  # the next call deletes it
    assert client.exists(key) == 0


def test_asyncio_iterates_and_hands_out(cluster: TestCluster, client: Any) -> None:
    async def main() -> None:
        alike = redis.asyncio.RedisCluster(host="127.0.0.1", port=cluster.nodes[0].port)
        numbers: Any = redset.asyncio.RedisSortedSet(alike, "numbers")
        await numbers.update(range(700))
        assert sorted([item async for item in numbers]) == list(range(700))
        for number in range(3):
            assert await alike.set(f"k{number}", number) is True
            assert await alike.get(f"k{number}") == b"%d" % number
        assert await numbers.pop() == 0
        async with numbers.lease(2, ttl=60) as lease:
            assert len(lease) == 2
        both = await asyncio.gather(*(numbers.contains(number) for number in range(50)))
        assert both.count(True) == 50 - 3
        assert await (await numbers.union({-1})).size() == 698
        await alike.aclose()

    asyncio.run(main())


def test_connect_makes_a_client_of_the_whole_cluster(cluster: TestCluster) -> None:
    made = [
        redset.connect(f"redis+cluster://127.0.0.1:{cluster.nodes[0].port}", decode_responses=True),
        redset.connect(f"redis://127.0.0.1:{cluster.nodes[0].port}", cluster=True),
    ]
    for client in made:
        assert isinstance(client, Client)
        for name in ("a", "b", "c", "d"):
            items: RedisSortedSet[str] = RedisSortedSet(client, name)
            items.add(name)
            assert list(items) == [name]
        client.close()


def test_asyncio_connect_makes_a_client_of_the_whole_cluster(cluster: TestCluster) -> None:
    async def use() -> list[str]:
        url = f"redis+cluster://127.0.0.1:{cluster.nodes[0].port}"
        async with redset.asyncio.connect(url) as client:
            assert isinstance(client, redis.asyncio.RedisCluster)
            items: redset.asyncio.RedisSortedSet[str] = redset.asyncio.RedisSortedSet(client, "x")
            await items.add("item")
            return [item async for item in items]

    assert asyncio.run(use()) == ["item"]


@pytest.mark.parametrize("url", [None, "directory", "unix:///socket"])
def test_only_the_url_of_a_node_is_the_address_of_a_cluster(
    url: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REDIS_URL", raising=False)
    with pytest.raises(ValueError, match="needs the URL of one of the cluster's nodes"):
        redset.connect(url, cluster=True)


def test_single_calls_don_t_go_through_the_client(
    client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers: RedisSortedSet[int] = RedisSortedSet(client, "numbers")

    def refuse(*_arguments: Any, **_options: Any) -> Any:
        raise AssertionError("sent through the client")

    # The library's own methods below `execute_command` and `pipeline`.
    monkeypatch.setattr(Client, "_internal_execute_command", refuse, raising=False)
    monkeypatch.setattr(Client, "_execute_command", refuse)
    monkeypatch.setattr(redis.cluster.ClusterPipeline, "__init__", refuse)
    numbers.update(range(1_000))
    numbers.add(1_000)
    assert 1_000 in numbers
    assert len(list(numbers)) == 1_001
    assert numbers.pop() == 0
    with numbers.lease() as lease:
        assert lease
    assert list(numbers.consume(timeout=0.01))[-1] == 999


def test_asyncio_pipelines_that_are_replaced_are_used_for_several_commands(
    client: Any, cluster: TestCluster
) -> None:
    async def main() -> None:
        mine: Any = redis.asyncio.RedisCluster(host="127.0.0.1", port=cluster.nodes[0].port)
        numbers: Any = redset.asyncio.RedisSortedSet(mine, "numbers")
        assert await numbers.add_and_rank(1, 1) == 0
        made: list[object] = []
        original = mine.pipeline

        def noted(**options: Any) -> Any:
            made.append(options)
            return original(**options)

        mine.pipeline = noted
        assert await numbers.add_and_rank(2, 2) == 1
        assert await numbers.contains(2)
        assert len(made) == 1
        await mine.aclose()

    asyncio.run(main())
    assert len(RedisSortedSet(client, "numbers")) == 2


def test_a_set_over_a_cluster_s_client_can_be_pickled(client: Any) -> None:
    numbers: RedisSortedSet[int] = RedisSortedSet(client, "numbers")
    numbers.update(range(10))
    copy = pickle.loads(pickle.dumps(numbers))
    assert set(copy) == set(range(10))
    assert type(copy._runner.client) is Client
    copy._runner.client.close()


def test_a_name_in_another_slot_is_refused_before_anything_is_sent(client: Any) -> None:
    numbers: RedisSortedSet[int] = RedisSortedSet(client, "numbers")
    numbers.update(range(3))
    for refused in (
        lambda: numbers.rename("elsewhere"),
        lambda: numbers.copy(into="elsewhere"),
        lambda: numbers.union([7], into=b"elsewhere"),
    ):
        with pytest.raises(ValueError, match=r"'elsewhere'.* in another slot.*same \{tag\}"):
            refused()
    assert set(numbers.copy(into="{numbers}:kept")) == {0, 1, 2}
    numbers.rename("{numbers}:new")
    assert (numbers.name, len(numbers)) == ("{numbers}:new", 3)
    check_by_hand(client)


def test_sets_of_different_slots_are_combined_in_the_slot_of_the_left_one(client: Any) -> None:
    one, other = (RedisSortedSet[int](client, name) for name in ("a", "b"))
    one.update(range(5))
    other.update(range(3, 8))
    assert set(one | other) == set(range(8))
    assert set(one & other) == {3, 4}
    assert set(one - other) == {0, 1, 2}
    assert set(one ^ other) == {0, 1, 2, 5, 6, 7}
    assert (one.isdisjoint(other), one <= other, one == other) == (False, False, False)
    one |= other
    assert set(one) == set(range(8))
    other &= one
    assert set(other) == set(range(3, 8))


def test_asyncio_calls_at_once_may_be_the_first_ones_of_their_client(cluster: TestCluster) -> None:
    async def main() -> set[Any]:
        outcomes = []
        for _ in range(10):
            fresh = redis.asyncio.RedisCluster(host="127.0.0.1", port=cluster.nodes[0].port)
            numbers: Any = redset.asyncio.RedisSortedSet(fresh, "numbers", scorer=float)
            calls = (numbers.add(number) for number in range(30))
            outcomes += await asyncio.gather(*calls, return_exceptions=True)
            await fresh.aclose()
        return {each for each in outcomes if not isinstance(each, float | int)}

    assert asyncio.run(main()) == set()


def test_an_asyncio_client_that_is_used_after_its_end_can_be_closed_again(
    cluster: TestCluster,
) -> None:
    async def main() -> None:
        client: Any = redis.asyncio.RedisCluster(host="127.0.0.1", port=cluster.nodes[0].port)
        numbers: Any = redset.asyncio.RedisSortedSet(client, "numbers", scorer=float)
        for number in range(3):
            await numbers.add(number)
            # The connection that deletes a result is none that nobody would close.
            result = await numbers.union([number])
            await client.aclose()
            del result
            gc.collect()
            await asyncio.sleep(0.01)
            known = [*client.get_nodes(), *client.nodes_manager.startup_nodes.values()]
            left = {one for node in known for one in node._connections if one.is_connected}
            assert left == set()

    asyncio.run(main())


def test_an_account_with_the_listed_rights_can_do_everything(
    client: Any, cluster: TestCluster
) -> None:
    [also] = re.findall(r"In a cluster, also `([^`]*)`", DOCUMENT.read_text())
    rights = [f"+{word}" for word in listed_commands()] + also.split()
    words = ["reset", "on", ">secret", "~{jobs}*", "&__redis__:invalidate", "&{jobs}*", *rights]
    for node in cluster.nodes:
        node.call("ACL", "SETUSER", "worker", *words)
        node.call("ACL", "LOG", "RESET")
    port = cluster.nodes[0].port
    worker = Client(host="127.0.0.1", port=port, username="worker", password="secret")
    names = ("{jobs}", "{jobs}2", "{jobs}3")
    first, second, third = (ScheduledSet[str](worker, name) for name in names)
    second.update("az")
    use_everything(first, second, third)
    assert first.take(1, timeout=0.2) == []
    for name in names:
        ScheduledSet[str](worker, name).clear()
    worker.close()
    assert [node.call("ACL", "LOG") for node in cluster.nodes] == [[], []]
    for node in cluster.nodes:
        node.call("ACL", "DELUSER", "worker")


def test_a_node_that_hangs_holds_up_no_renewal_at_another_one(
    cluster: TestCluster, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(renewals, "RENEW_AFTER", 1e-4)
    names = {cluster.node_of(f"jobs{number}"): f"jobs{number}" for number in range(50)}
    hung, healthy = cluster.nodes
    there, here = (RedisSortedSet[int](client, names[node]) for node in (hung, healthy))
    for jobs in (there, here):
        jobs.add(1)
    with there.lease(1, renew=True), here.lease(1, renew=True) as lease:
        cluster.pause(hung)
        try:
            for _ in range(20):
                before = lease.deadline
                until(lambda: lease.deadline > before, 10)  # noqa: B023 - it is called at once
        finally:
            cluster.resume(hung)


def test_a_result_at_another_node_is_deleted_by_a_call_there(
    cluster: TestCluster, client: Any
) -> None:
    names = {cluster.node_of(f"jobs{number}"): f"jobs{number}" for number in range(50)}
    one, other = (RedisSortedSet[int](client, names[node]) for node in cluster.nodes)
    for jobs in (one, other):
        jobs.add(1)
    result = other | {2}
    key = result._runner.config.key
    other._runner.connection.delete_later((key,))
    assert len(one) == 1
    assert client.exists(key) == 1
    assert len(other) == 1
    assert client.exists(key) == 0


@pytest.mark.parametrize("pipelining", [True, False])
def test_asyncio_what_was_taken_by_a_call_whose_reply_was_lost_is_put_back_if_it_is_cancelled(
    cluster: TestCluster, client: Any, monkeypatch: pytest.MonkeyPatch, pipelining: bool
) -> None:
    call = AsyncSlotRoute._call
    learns = asyncio.Event()

    async def lost(route: Any, node: Any, batch: Any) -> Any:
        await call(route, node, batch)
        raise redis.ConnectionError("the reply is lost")

    async def learn(route: Any) -> None:
        learns.set()
        await asyncio.Event().wait()

    async def main() -> None:
        port = cluster.nodes[0].port
        async with redis.asyncio.RedisCluster(host="127.0.0.1", port=port) as mine:
            jobs: Any = redset.asyncio.RedisSortedSet(mine, "jobs", pipelining=pipelining)
            await jobs.update([1, 2, 3, 4])
            await jobs.pop()  # the node has the script
            with monkeypatch.context() as patch:
                patch.setattr(AsyncSlotRoute, "_call", lost)
                patch.setattr(AsyncSlotRoute, "_learn", learn)
                task = asyncio.ensure_future(jobs.take(2))
                await learns.wait()
            assert await jobs.size() == 1
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await jobs.size() == 3

    asyncio.run(main())
