"""The first of several sets that has something, over asyncio: tasks that wait or are cancelled."""

import asyncio
import contextlib
import copy
import random
from collections import Counter
from collections.abc import Awaitable
from typing import Any

import pytest

import redset
from redset._transport import async_subscription, subscription
from redset._transport.node_pools import client_of_node
from redset.asyncio import FirstOf, RedisSortedSet, ScheduledSet, ServerClock
from redset.exceptions import InvalidTypeError
from tests.cluster_clients import is_cluster
from tests.server.asyncio_clients import all_given_back, connected, counted_writes
from tests.server.test_asyncio_cancellation import Renaming, cancelled_after, each_step
from tests.servers import TestServer

NAMES = ("urgent", "{urgent}normal", "{urgent}low")
WAIT = 60.0
# Adds items to the sets in turns. Not every client of a cluster has transactions.
ADD_AT_ONCE = """
for place = 1, #ARGV, 2 do
    redis.call('ZADD', KEYS[ARGV[place] % #KEYS + 1], ARGV[place], ARGV[place + 1])
end
"""

pytestmark = pytest.mark.usefixtures("client")
Numbers = RedisSortedSet[int]


def numbers(client: Any) -> list[Numbers]:
    return [RedisSortedSet(client, name, scorer=int) for name in NAMES]


async def counted(call: Awaitable[Any]) -> tuple[Any, int]:
    with counted_writes() as count:
        return await call, count.value


@pytest.fixture(autouse=True)
def no_look_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """No consumer looks by itself: what it finds in time, it was told of."""
    monkeypatch.setattr(subscription, "RECHECK_INTERVAL", 10 * WAIT)


def the_subscriptions(client: Any) -> list[async_subscription.SharedSubscription]:
    pools = [client.connection_pool] if not is_cluster(client) else pools_of_nodes(client)
    return [each for pool in pools for each in async_subscription._subscriptions_of(pool).values()]


def pools_of_nodes(client: Any) -> list[Any]:
    return [client_of_node(client, node).connection_pool for node in client.get_nodes()]


async def until_waiting(client: Any, number: int) -> async_subscription.SharedSubscription:
    """Wait until so many tasks share one subscription, which has looked."""
    while True:
        for each in the_subscriptions(client):
            waiting = sum(len(line.waiting) for line in each._lines)
            if waiting == number and not each._stale and len(each._keys) == len(NAMES):
                return each
        await asyncio.sleep(0.001)


def test_tasks_that_wait_share_one_subscription_and_as_many_wake_as_there_are_items(
    server: TestServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    notified = 0
    wake_one = async_subscription.Line.wake_one

    def counted_wake(line: async_subscription.Line) -> None:
        nonlocal notified
        notified += 1
        wake_one(line)

    monkeypatch.setattr(async_subscription.Line, "wake_one", counted_wake)

    async def main() -> None:
        async with connected(server) as client:
            sets = numbers(client)
            handles = [FirstOf(*sets), FirstOf(*numbers(client))]
            tasks = [
                asyncio.create_task(handles[place % 2].pop(timeout=None)) for place in range(20)
            ]
            await until_waiting(client, 20)
            assert len(the_subscriptions(client)) == 1
            for number in range(3):
                await sets[number].add(number)
                await until_waiting(client, 19 - number)
            assert notified == 3
            words: list[Any] = []
            for number in range(3, 9):
                words += [number, sets[0]._runner.config.encoding.encode(number)]
            await client.eval(ADD_AT_ONCE, len(NAMES), *NAMES, *words)
            await until_waiting(client, 11)
            assert notified == 9
            for number in range(9, 20):
                await sets[number % 3].add(number)
            got = await asyncio.gather(*tasks)
            assert sorted(item or 0 for _, item in got) == list(range(20))
            assert all(source is sets[0] or source.name in NAMES for source, _ in got)

    asyncio.run(main())


@pytest.mark.parametrize("place", range(3))
def test_a_task_is_woken_by_an_item_of_any_set_or_one_that_becomes_due(
    server: TestServer, place: int
) -> None:
    async def main() -> None:
        async with connected(server) as client:
            now = 100.0
            later = [ScheduledSet[str](client, name, clock=lambda: now) for name in NAMES]
            jobs = FirstOf(*later)
            waiting = asyncio.create_task(jobs.pop(timeout=None))
            await until_waiting(client, 1)
            await later[place].add("at 200", score=200)
            while (await until_waiting(client, 1))._lines[0].event > 1e9:
                await asyncio.sleep(0.001)
            assert not waiting.done()
            await later[place].add("now", score=50)
            source, item = await waiting
            assert (source is later[place], item) == (True, "now")
            assert await jobs.take(9) == []
            now = 300.0
            source, item = await jobs.pop()
            assert (source is later[place], item) == (True, "at 200")

    asyncio.run(main())


def test_a_cancelled_call_gives_back_what_it_was_given(server: TestServer) -> None:
    async def main() -> None:
        async with connected(server) as client, connected(server) as elsewhere:
            sets, others = numbers(client), numbers(elsewhere)
            for place, each in enumerate(sets):
                await each.update(range(100 * place, 100 * place + 30))
            jobs, got = FirstOf(*sets), []
            for steps in each_step():
                got += [item for _, item in await cancelled_after(steps, jobs.take(2)) or ()]
                # At once, not when the next call comes.
                assert sum([await each.size() for each in others]) == 90 - len(got), steps
            there = [item for each in sets async for item in each]
            assert sorted([*got, *there]) == [
                100 * place + number for place in range(3) for number in range(30)
            ]

    asyncio.run(main())


@pytest.mark.parametrize("cancelled", [True, False])
def test_what_was_given_while_a_set_was_renamed_is_given_again(
    server: TestServer, cancelled: bool
) -> None:
    async def main() -> None:
        async with connected(server) as client:
            sets, renamed = numbers(client), asyncio.Event()
            await sets[0].update([1, 2, 3])
            jobs = FirstOf(*sets)
            sets[0]._runner.connection = Renaming(sets[0], renamed, hangs=cancelled)
            call = asyncio.ensure_future(jobs.take(2))
            await renamed.wait()
            if cancelled:
                call.cancel()
            with pytest.raises(asyncio.CancelledError if cancelled else ConnectionError):
                await call
            assert [item for _, item in await jobs.take(2)] == [1, 2]
            assert sets[0].name == "{urgent}new"

    asyncio.run(main())


def test_consumers_that_are_cancelled_at_any_time_lose_nothing(server: TestServer) -> None:
    choice = random.Random(20240229)

    async def work(jobs: FirstOf[int], done: Counter[int]) -> None:
        async with contextlib.aclosing(jobs.consume(2, timeout=None)) as coming:
            async for source, number in coming:
                assert source.name == NAMES[number % 3]
                await asyncio.sleep(0)
                done[number] += 1

    async def main() -> None:
        async with connected(server) as client:
            sets, done = numbers(client), Counter[int]()
            for number in range(300):
                await sets[number % 3].add(number)
            jobs = FirstOf(*sets)
            while len(done) < 300:
                tasks = [asyncio.create_task(work(jobs, done)) for _ in range(4)]
                await asyncio.sleep(choice.random() * 0.02)
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
            await all_given_back(client)
            stats = [await each.stats() for each in sets]
            # What is on lease was given to a call that was cancelled, and is there for the next.
            held = sum(each.leased for each in stats)
            assert sum(map(sum, stats)) == held
            assert sorted(done) == list(range(300))

    asyncio.run(main())


def test_a_pop_costs_one_round_trip_and_a_loop_one_for_each_item(server: TestServer) -> None:
    async def main() -> None:
        async with connected(server) as client:
            sets = numbers(client)
            jobs = FirstOf(*sets)
            await sets[2].update([1, 2, 3])
            await jobs.pop()
            await (await jobs.lease(1)).ack()
            await sets[0].add(0)

            async def drain() -> list[int]:
                return [number async for _, number in jobs.consume(timeout=0)]

            found, count = await counted(drain())
            assert (found, count) == ([0, 3], 3)
            with pytest.raises(KeyError):
                await jobs.pop()

    asyncio.run(main())


def test_clocks_of_the_server_are_asked_before_the_sets_are(server: TestServer) -> None:
    async def main() -> None:
        async with connected(server) as client:
            later: ScheduledSet[str] = ScheduledSet(
                client, "{plain}later", clock=ServerClock(client)
            )
            await later.add("a", score=1)
            plain: RedisSortedSet[str] = RedisSortedSet(client, "plain")
            jobs = FirstOf(plain, ScheduledSet(client, "{plain}later", clock=ServerClock(client)))
            async with jobs.lease(1) as lease:
                assert (lease.source.name, list(lease)) == ("{plain}later", ["a"])

    asyncio.run(main())


@pytest.mark.parametrize("make", [copy.copy, copy.deepcopy])
def test_a_copy_is_of_the_same_sets(server: TestServer, make: Any) -> None:
    async def main() -> None:
        async with connected(server) as client:
            low, high = (RedisSortedSet[str](client, name) for name in ("{jobs}a", "{jobs}b"))
            copied = make(FirstOf(low, high))
            assert copied.sets == (low, high)
            await high.add("x")
            assert await copied.pop() == (high, "x")

    asyncio.run(main())


def test_sets_of_the_other_surface_are_refused(server: TestServer, client: Any) -> None:
    async def main() -> None:
        async with connected(server) as own:
            made: Any = FirstOf
            with pytest.raises(
                InvalidTypeError, match=r"must be a redset\.asyncio\.R.*make a redset\.FirstOf"
            ):
                made(redset.RedisSortedSet(client, "jobs"))
            made = redset.FirstOf
            with pytest.raises(
                InvalidTypeError, match=r"must be a redset\.R.*make a redset\.asyncio\.F"
            ):
                made(RedisSortedSet(own, "jobs"))

    asyncio.run(main())
