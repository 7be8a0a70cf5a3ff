"""Sets over fakeredis, which many test suites use in place of a server: both surfaces."""

import asyncio
from typing import Any

import fakeredis
import pytest

import redset.asyncio
from redset import FirstOf, RedisSortedSet, ScheduledSet


@pytest.fixture
def client() -> Any:
    return fakeredis.FakeRedis()


def test_items_can_be_added_looked_up_and_removed(client: Any) -> None:
    jobs: RedisSortedSet[Any] = RedisSortedSet(client, "jobs")
    assert jobs.add(("resize", 7), score=2) == 2
    jobs.update(range(300))
    assert (("resize", 7) in jobs, len(jobs), jobs.score(("resize", 7))) == (True, 301, 2.0)
    assert list(jobs)[-1] == ("resize", 7)
    assert jobs.discard(("resize", 7)) is True
    assert jobs.increment(3, 5) == 5.0
    assert sorted(jobs) == list(range(300))
    assert jobs.clear() is True


def test_items_are_handed_out_once(client: Any) -> None:
    jobs: RedisSortedSet[int] = RedisSortedSet(client, "jobs")
    assert jobs.insert(1, 2, 3, 4) == [1, 2, 3, 4]
    assert jobs.insert(4, 5) == [5]
    assert (jobs.pop(), jobs.take(2)) == (1, [2, 3])
    assert jobs.take(9, timeout=0.01) == [4, 5]
    with pytest.raises(KeyError):
        jobs.pop()


def test_leases_come_back_or_are_acknowledged(client: Any) -> None:
    jobs: RedisSortedSet[int] = RedisSortedSet(client, "jobs", max_deliveries=2)
    jobs.update([1, 2, 3])
    with jobs.lease(2, ttl=60) as lease:
        assert list(lease) == [1, 2]
        lease.release(2)
    assert list(jobs) == [2, 3]
    assert list(jobs.consume(timeout=0)) == [2, 3]
    assert jobs.stats().leased == 0
    jobs.add(4)
    for _ in range(2):
        jobs.lease(1).release()
    assert list(jobs.dead_items) == [4]
    assert jobs.requeue() == 1


def test_a_set_goes_at_one_time(client: Any) -> None:
    jobs: RedisSortedSet[int] = RedisSortedSet(client, "jobs")
    jobs.update([1, 2, 3])
    assert (jobs.expire(1e300), jobs.persist(), jobs.expire(100)) == (True, True, True)
    jobs.lease(1).release(delay=60)
    jobs.lease(1).reject()
    lease = jobs.lease(1)
    jobs.add(4)
    assert jobs.ttl() == pytest.approx(100, abs=30)
    lease.release()
    found = client.keys()
    assert (len(found) > 6, [key for key in found if client.ttl(key) == -1]) == (True, [])


def test_sets_are_combined(client: Any) -> None:
    left, right = (RedisSortedSet[int](client, name) for name in ("left", "right"))
    left.update([1, 2, 3])
    right.update([2, 3, 4])
    assert sorted(left | right) == [1, 2, 3, 4]
    assert sorted(left & right) == [2, 3]
    assert sorted(left - {1}) == [2, 3]
    assert (left == {1, 2, 3}, left <= right, left.isdisjoint([9])) == (True, False, True)
    left ^= right
    assert sorted(left) == [1, 4]


def test_combinations_are_read_and_counted(client: Any) -> None:
    left, right, third = (RedisSortedSet[int](client, name) for name in ("l", "r", "t"))
    left.add_scored({1: 1, 2: 2, 3: 3})
    right.add_scored({2: 9, 3: 1, 4: 0.5})
    third.add_scored({3: 7, 5: 0})
    assert left.read_union(right, with_scores=True) == [(4, 0.5), (1, 1), (2, 2), (3, 3)]
    assert left.read_union(right, third, on_conflict="sum") == [5, 4, 1, 2, 3]
    assert left.read_intersection(right, on_conflict="replace", with_scores=True) == [
        (3, 1),
        (2, 9),
    ]
    assert left.read_intersection(right, {3, 4}) == [3]
    assert left.read_difference(third, reverse=True, limit=1) == [2]
    assert left.read_symmetric_difference(right) == [4, 1]
    assert (left.union_count(right, third, [6]), left.difference_count(right, third)) == (6, 1)
    assert left.intersection_count(right, third) == 1


def test_a_consumer_that_waits_polls(client: Any) -> None:
    later: ScheduledSet[str] = ScheduledSet(client, "later")
    later.add("due", score=0)
    assert later.pop(timeout=5) == "due"


def test_the_first_of_several_sets_hands_out(client: Any) -> None:
    first, second = (RedisSortedSet[int](client, name) for name in ("first", "second"))
    jobs = FirstOf(first, second)
    second.update([1, 2, 3, 4])
    assert jobs.pop()[1] == 1
    assert [item for _, item in jobs.take(1, timeout=0.01)] == [2]
    with jobs.lease(1, ttl=60) as lease:
        assert (lease.source.name, list(lease)) == ("second", [3])
    first.add(5)
    assert [item for _, item in jobs.consume(timeout=0)] == [5, 4]
    assert jobs.take(1, timeout=0.01) == []
    first.stats(), second.stats()


def test_sets_of_asyncio_work_alike() -> None:
    async def main() -> None:
        client = fakeredis.FakeAsyncRedis()
        jobs: Any = redset.asyncio.RedisSortedSet(client, "jobs")
        await jobs.update([1, 2, 3, 4])
        assert await jobs.contains(1)
        assert await jobs.insert(4, 5) == [5]
        assert await jobs.pop() == 1
        async with jobs.lease(2, ttl=60) as lease:
            assert list(lease) == [2, 3]
        assert [item async for item in jobs.consume(timeout=0)] == [4, 5]
        assert await jobs.size() == 0
        await client.aclose()

    asyncio.run(main())


def test_sets_over_two_clients_are_combined_too() -> None:
    server = fakeredis.FakeServer()
    one, other = (fakeredis.FakeRedis(server=server) for _ in range(2))
    here: RedisSortedSet[int] = RedisSortedSet(one, "here")
    there: RedisSortedSet[int] = RedisSortedSet(other, "there")
    here.update([1, 2, 3])
    there.update([2, 3, 4])
    assert here.read_intersection(there) == [2, 3]
    assert set(here - there) == {1}
