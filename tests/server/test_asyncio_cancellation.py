"""A task may be cancelled anywhere: nothing is lost, nothing comes twice, the client is usable.

``REDSET_FAULT_CANCELLATIONS`` sets how often the storm cancels; it reports its seed.
"""

import asyncio
import contextlib
import gc
import os
import random
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest
import redis

from redset import LockTimeout
from redset._protocol.commands import Command
from redset._transport.async_connection import AsyncClientConnection
from redset.asyncio import FirstOf, Lock, RedisSortedSet
from redset.exceptions import LeaseLost
from tests.server.asyncio_clients import all_given_back, connected, counted_writes, make
from tests.servers import TestServer

CANCELLATIONS = int(os.environ.get("REDSET_FAULT_CANCELLATIONS", "600"))
# No call of those below lives for so many iterations of the loop.
STEPS = 200

pytestmark = pytest.mark.usefixtures("client")
sharing = pytest.mark.parametrize("pipelining", [True, False], ids=["shared", "alone"])
Jobs = RedisSortedSet[int]


async def cancelled_after(steps: int, call: Coroutine[Any, Any, Any]) -> Any:
    """Cancel the task of *call* after so many iterations; give its result if it was faster."""
    task = asyncio.ensure_future(call)
    for _ in range(steps):
        if task.done():
            break
        await asyncio.sleep(0)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        return await task
    return None


async def filled(client: Any, size: int, pipelining: bool = True) -> Jobs:
    jobs: Jobs = RedisSortedSet(client, "jobs", scorer=int, pipelining=pipelining)
    await jobs.update(range(size))
    return jobs


def each_step() -> range:
    """Every iteration until a call surely is over, and some beyond."""
    return range(STEPS) if os.environ.get("REDSET_FAULT_CANCELLATIONS") else range(60)


# At every await


@sharing
@pytest.mark.parametrize("num", [0, 3], ids=["pop", "take"])
def test_what_a_cancelled_call_was_given_the_next_one_is_given(
    server: TestServer, num: int, pipelining: bool
) -> None:
    async def main() -> None:
        async with connected(server) as client:
            jobs = await filled(client, 3_000, pipelining)
            lowest = 0
            for steps in each_step():
                got = await cancelled_after(steps, jobs.take(num) if num else pop_one(jobs))
                lowest += len(got or [])
                # As if the first call had never been, but for how many it had asked for.
                again = await jobs.take(3)
                assert again == list(range(lowest, lowest + len(again))) != [], steps
                lowest += len(again)
            rest = await jobs.take(3_000)
            assert rest == list(range(lowest, 3_000))

    asyncio.run(main())


@sharing
@pytest.mark.parametrize("last", [False, True], ids=["lowest", "last"])
@pytest.mark.parametrize("num", [0, 3], ids=["pop", "take"])
def test_what_a_cancelled_call_was_given_is_there_for_others(
    server: TestServer, num: int, last: bool, pipelining: bool
) -> None:
    async def main() -> None:
        async with connected(server) as client, connected(server) as elsewhere:
            await filled(client, 1_500, pipelining)
            others: Jobs = RedisSortedSet(elsewhere, "jobs")
            got: list[int] = []
            for steps in each_step():
                one: Jobs = RedisSortedSet(client, "jobs", pipelining=pipelining)
                call = one.take(num, last=last) if num else pop_one(one, last=last)
                got += await cancelled_after(steps, call) or []
                assert await others.size() == 1_500 - len(got), steps
            got += await others.take(1_500)
            assert sorted(got) == list(range(1_500))

    asyncio.run(main())


@sharing
@pytest.mark.parametrize("several", [False, True], ids=["one set", "first of two"])
def test_what_the_steps_before_a_cancelled_one_were_given_is_there_for_others(
    server: TestServer, monkeypatch: pytest.MonkeyPatch, several: bool, pipelining: bool
) -> None:
    """Later steps may wait in the queue of the client when their task is cancelled."""

    async def main() -> None:
        async with connected(server) as client:
            jobs = await filled(client, 3_500, pipelining)
            empty: Jobs = RedisSortedSet(client, f"{{{jobs.name}}}empty")
            taking: Any = FirstOf(empty, jobs) if several else jobs
            execute = AsyncClientConnection.execute
            for unsent in (2, 3):
                begun = 0

                async def stuck(connection: Any, batch: Any, unsent: int = unsent) -> Any:
                    nonlocal begun
                    begun += 1
                    if begun == unsent:
                        await asyncio.Event().wait()
                    return await execute(connection, batch)

                monkeypatch.setattr(AsyncClientConnection, "execute", stuck)
                task = asyncio.ensure_future(taking.take(3_000))
                while begun < unsent:
                    await asyncio.sleep(0)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                monkeypatch.undo()
                assert await jobs.size() == 3_500

    asyncio.run(main())


def test_a_wait_that_is_cancelled_asks_for_nothing(server: TestServer) -> None:
    async def main() -> None:
        async with connected(server) as client:
            jobs: Jobs = RedisSortedSet(client, "jobs")
            waiting = asyncio.ensure_future(jobs.pop(timeout=None))
            await asyncio.sleep(0.1)
            with counted_writes() as written:
                waiting.cancel()
                await asyncio.wait({waiting})
            assert written.value == 0

    asyncio.run(main())


async def pop_one(jobs: Jobs, *, last: bool = False) -> list[Any]:
    return [await jobs.pop(last=last)]


@sharing
def test_a_cancelled_remove_at_is_done_once_however_often_it_is_repeated(
    server: TestServer, pipelining: bool
) -> None:
    async def main() -> None:
        async with connected(server) as client:
            jobs = await filled(client, 1_500, pipelining)
            for removed, steps in enumerate(each_step()):
                assert await jobs[0] == removed
                if await cancelled_after(steps, jobs.remove_at(0)) is None:
                    assert await jobs.remove_at(0) == 1

    asyncio.run(main())


@sharing
def test_a_cancelled_call_that_asks_for_fewer_gives_nothing_of_the_next_one_back(
    server: TestServer, pipelining: bool
) -> None:
    async def main() -> None:
        async with connected(server) as client:
            jobs = await filled(client, 3_000, pipelining)
            given: list[int] = []
            for steps in each_step():
                one = asyncio.ensure_future(jobs.pop())
                for _ in range(steps % 20):
                    await asyncio.sleep(0)
                one.cancel()
                # Begun before the cancelled one has ended.
                many, size = await asyncio.gather(jobs.take(5), jobs.size())
                with contextlib.suppress(asyncio.CancelledError):
                    given.append(await one or 0)
                given += many
                assert size <= 3_000
            given += await jobs.take(3_000)
            assert sorted(given) == list(range(3_000))

    asyncio.run(main())


@sharing
def test_a_cancelled_insert_hides_no_new_item(server: TestServer, pipelining: bool) -> None:
    async def main() -> None:
        async with connected(server) as client:
            seen: Jobs = RedisSortedSet(client, "seen", pipelining=pipelining)
            for steps in each_step():
                items = range(steps * 10, steps * 10 + 3)
                told = await cancelled_after(steps, seen.insert(*items)) or []
                told += await seen.insert(*items)
                assert told == list(items), steps

    asyncio.run(main())


@sharing
def test_a_cancelled_lease_is_given_again_or_comes_back(
    server: TestServer, pipelining: bool
) -> None:
    async def main() -> None:
        async with connected(server) as client:
            jobs = await filled(client, 1_500, pipelining)
            ending: set[int] = set()
            ended: set[int] = set()

            async def work() -> None:
                async with jobs.lease(3, ttl=60) as batch:
                    await jobs.rank(batch[0])
                    ending.update(batch)
                ended.update(batch)

            for steps in each_step():
                await cancelled_after(steps, work())
                # Settles what a cancelled call may still hold: the next lease is that one.
                await (await jobs.lease(3, ttl=60)).release()
                while (await jobs.stats()).leased:  # a cancelled exit goes on to its end
                    await asyncio.sleep(0)
                assert (await jobs.stats()).dead == 0
                left = {item async for item in jobs}
                assert set(range(1_500)) - left <= ending
                assert not left & ended

    asyncio.run(main())


@sharing
@pytest.mark.parametrize("loop", [False, True], ids=["lease", "consume"])
def test_what_was_leased_to_a_cancelled_call_is_there_for_others_and_not_counted(
    server: TestServer, pipelining: bool, loop: bool
) -> None:
    """It was a dead letter once its lease had run out, though nobody had received it."""

    async def main() -> None:
        async with connected(server) as client, connected(server) as another:
            jobs = await filled(client, 600, pipelining)
            theirs: Jobs = RedisSortedSet(another, "jobs", scorer=int)

            async def work() -> None:
                if loop:
                    async with jobs.consume(600, ttl=60, max_deliveries=1) as consumer:
                        await anext(consumer)
                        await asyncio.Event().wait()
                else:
                    async with jobs.lease(600, ttl=60, max_deliveries=1):
                        await asyncio.Event().wait()

            for steps in each_step():
                await cancelled_after(steps, work())
                while (await theirs.stats()).leased:  # what is given back may take a moment
                    await asyncio.sleep(0)
                assert (await theirs.stats())[:5] == (600, 600, 0, 0, 0), steps
            async with theirs.lease(600, max_deliveries=2) as batch:
                assert {batch.deliveries(job) for job in batch} == {1}

    asyncio.run(main())


@pytest.mark.parametrize("batch", [1, 2])
def test_what_a_cancelled_step_of_a_consumer_acknowledged_is_not_lost(
    server: TestServer, caplog: pytest.LogCaptureFixture, batch: int
) -> None:
    async def main() -> None:
        async with connected(server) as client:
            jobs = await filled(client, 300)
            done: set[int] = set()

            async def work() -> None:
                async with jobs.consume(batch, ttl=60) as consumer:
                    async for job in consumer:
                        done.add(job)

            for steps in each_step():
                await cancelled_after(steps, work())
                while (await jobs.stats()).leased:
                    await asyncio.sleep(0)
            assert "doesn't hold" not in caplog.text

    asyncio.run(main())


def test_a_cancelled_lease_of_several_sets_is_given_back(server: TestServer) -> None:
    async def main() -> None:
        async with connected(server) as client:
            jobs = await filled(client, 5)
            several = FirstOf(RedisSortedSet[int](client, "{jobs}first"), jobs)

            async def work() -> None:
                async with several.lease(2, ttl=60):
                    await asyncio.Event().wait()

            for steps in each_step():
                await cancelled_after(steps, work())
                while (await jobs.stats()).leased:
                    await asyncio.sleep(0)
                assert [item async for item in jobs] == list(range(5))

    asyncio.run(main())


@sharing
def test_a_sender_that_is_cancelled_before_its_first_step_leaves_nobody_waiting(
    server: TestServer, pipelining: bool
) -> None:
    """As by a program that cancels all tasks of its loop, those of libraries too."""

    async def main() -> None:
        async with connected(server) as client:
            jobs = await filled(client, 3, pipelining)
            for cancels_its_own in (True, False):
                own = asyncio.create_task(jobs.size())
                await asyncio.sleep(0)
                mine = {asyncio.current_task()} | (set() if cancels_its_own else {own})
                for task in asyncio.all_tasks() - mine:
                    task.cancel()
                if not cancels_its_own:
                    assert await own == 3
                assert await jobs.size() == 3
                assert tuple(await asyncio.gather(jobs.size(), jobs.score(1))) == (3, 1.0)

    asyncio.run(main())


def test_a_cancelled_wait_leaves_no_watch_behind(server: TestServer, client: redis.Redis) -> None:
    async def main() -> None:
        async with connected(server) as own:
            jobs: Jobs = RedisSortedSet(own, "jobs")
            for steps in each_step():
                assert await cancelled_after(steps, jobs.pop(timeout=None)) is None
            waiting = asyncio.create_task(jobs.pop(timeout=None))
            await asyncio.sleep(0.01)
            await jobs.add(1)
            assert await waiting == 1
        while client.client_list(_type="pubsub"):
            await asyncio.sleep(0.01)

    asyncio.run(main())


def test_every_kind_of_call_may_be_cancelled_at_every_step(server: TestServer) -> None:
    async def main() -> None:
        async with connected(server) as client:
            jobs = await filled(client, 300)
            other: Jobs = RedisSortedSet(client, "other")
            await other.update(range(100, 400))

            async def read() -> list[int]:
                return [item async for item in jobs]

            async def consume() -> None:
                async for _ in jobs.consume(batch=2, timeout=0.01):
                    await jobs.size()

            async def combine() -> None:
                async with jobs.union(other) as both:
                    await both.size()

            async def locked() -> None:
                async with jobs.lock:
                    await jobs.size()

            calls: list[Callable[[], Coroutine[Any, Any, Any]]] = [
                *(read, consume, combine, locked),
                lambda: jobs.update(range(1_000, 1_010)),
                lambda: jobs.issubset(range(2_000)),
                lambda: jobs.intersection_update(jobs, range(-5, 2_000)),
                lambda: jobs.clear() if False else jobs.remove_range(max=-1),
            ]
            for steps in range(0, 60, 1 if "REDSET_FAULT_CANCELLATIONS" in os.environ else 3):
                for call in calls:
                    await cancelled_after(steps, call())
                assert not await jobs.contains(-1)

    asyncio.run(main())


# The wire


def test_a_cancelled_task_does_not_cancel_those_that_travel_with_it(server: TestServer) -> None:
    async def main() -> None:
        async with connected(server) as client:
            jobs: Jobs = RedisSortedSet(client, "jobs")
            for steps in range(30):
                with counted_writes() as count:
                    tasks = [asyncio.create_task(jobs.add(number)) for number in range(20)]
                    for _ in range(steps % 10):
                        await asyncio.sleep(0)
                    for task in tasks[::2]:
                        task.cancel()
                    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
                assert outcomes[1::2] == [0.0] * 10
                assert count.value <= 1

    asyncio.run(main())


def test_a_cancelled_operation_keeps_the_connection(
    server: TestServer, client: redis.Redis
) -> None:
    async def main() -> None:
        async with connected(server) as own:
            jobs: Jobs = RedisSortedSet(own, "jobs")
            before = await own.execute_command("CLIENT", "ID")
            for steps in each_step():
                await cancelled_after(steps, jobs.add(steps))
                await all_given_back(own)
            assert await own.execute_command("CLIENT", "ID") == before

    asyncio.run(main())


@sharing
def test_what_is_asked_after_a_cancellation_does_not_overtake_what_was_sent(
    server: TestServer, pipelining: bool
) -> None:
    async def main() -> None:
        async with connected(server) as client:
            jobs: Jobs = RedisSortedSet(client, "jobs", pipelining=pipelining)
            for steps in each_step():
                await cancelled_after(steps % 12, jobs.update(range(3_000)))
                await jobs.clear()
                assert await jobs.size() == 0, steps

    asyncio.run(main())


def test_an_expired_timeout_ends_a_wait_for_a_silent_server_and_loses_nothing(
    server: TestServer,
) -> None:
    async def main() -> None:
        async with connected(server) as client, connected(server) as janitor:
            jobs = await filled(client, 10)
            await jobs.take(0)
            assert await jobs.take(1) == [0]
            await janitor.execute_command("CLIENT", "PAUSE", "400")
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await jobs.take(3)
            assert await jobs.take(3) == [1, 2, 3]

    asyncio.run(main())


def test_a_group_of_tasks_that_fails_takes_the_items_of_the_others_back(server: TestServer) -> None:
    async def main() -> None:
        async with connected(server) as client:
            jobs = await filled(client, 20)

            async def work(number: int) -> None:
                async with jobs.lease(2, ttl=60):
                    if number == 3:
                        raise ZeroDivisionError
                    await asyncio.sleep(3600)

            with pytest.raises(ExceptionGroup) as caught:
                async with asyncio.TaskGroup() as group:
                    for number in range(5):
                        group.create_task(work(number))
            assert caught.group_contains(ZeroDivisionError)
            assert await jobs.size() == 20

    asyncio.run(main())


def test_a_loop_that_ends_leaves_what_it_had_leased(
    server: TestServer, client: redis.Redis
) -> None:
    async def main() -> None:
        own = connected(server)
        jobs = await filled(await own.__aenter__(), 20)

        async def work() -> None:
            async with jobs.lease(2, ttl=60):
                await asyncio.sleep(3600)

        kept.extend(asyncio.create_task(work()) for _ in range(5))
        while (await jobs.stats()).leased < 10:
            await asyncio.sleep(0)
        kept.append(own)  # asyncio.run() cancels the tasks

    kept: list[Any] = []
    asyncio.run(main())
    assert client.zcard("jobs") == 20


# Locks


def test_a_cancelled_task_never_keeps_a_lock(server: TestServer) -> None:
    async def main() -> None:
        async with connected(server) as client:
            for steps in each_step():
                lock = Lock(client, "lock", expires=60, timeout=0, poll_interval=0.001)
                await cancelled_after(steps % 25, hold(lock))
                while True:  # until the lock of the cancelled task is given back
                    with contextlib.suppress(LockTimeout):
                        async with lock:
                            break
                    await asyncio.sleep(0.001)

    async def hold(lock: Lock) -> None:
        async with lock:
            await asyncio.sleep(0)

    asyncio.run(main())


def test_a_lock_that_is_acquired_within_a_timeout_belongs_to_its_task(server: TestServer) -> None:
    async def main() -> None:
        async with connected(server) as client:
            lock = Lock(client, "lock", expires=60)
            async with asyncio.timeout(30):
                await lock.acquire()
            assert await lock.release()

    asyncio.run(main())


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_lock_may_be_the_first_to_use_its_client_in_another_loop(server: TestServer) -> None:
    locks = [Lock(make(server), "lock", timeout=0)]

    async def main() -> None:
        async with locks[0]:
            assert await locks[0].redis.exists("lock")

    for _ in range(3):  # each leaves a connection that belongs to its loop
        asyncio.run(main())
    locks.clear()
    gc.collect()  # while the warnings are ignored


def test_a_lock_lets_one_task_in_at_a_time(server: TestServer) -> None:
    async def main() -> None:
        async with connected(server) as client:
            jobs: Jobs = RedisSortedSet(client, "jobs")
            inside = 0

            async def enter() -> None:
                nonlocal inside
                async with Lock(client, "lock", poll_interval=0.001, timeout=60):
                    inside += 1
                    await jobs.size()
                    assert inside == 1
                    inside -= 1

            await asyncio.gather(*(enter() for _ in range(10)))
            assert await Lock(client, "lock").release() is False

    asyncio.run(main())


# The storm


@sharing
def test_a_storm_of_cancellations_loses_nothing(
    server: TestServer, pipelining: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    seed = random.getrandbits(32)
    with capsys.disabled():
        print(f"\nstorm of {CANCELLATIONS} cancellations, seed {seed}")
    chance = random.Random(seed)

    async def main() -> None:
        async with connected(server, max_connections=60) as client:
            total = 3 * CANCELLATIONS + 500
            jobs = await filled(client, total, pipelining)
            done: list[int] = []
            settled: set[int] = set()
            cancelled = 0

            async def work() -> None:
                kind = chance.randrange(4)
                if kind == 0:
                    done.append((await jobs.pop()) or 0)
                elif kind == 1:
                    done.extend(await jobs.take(chance.randrange(1, 4)))
                else:
                    async with jobs.lease(2, ttl=600) as batch:
                        await jobs.size()
                        for item in batch[: kind - 1]:
                            # Cancelled here, nobody hears whether it was acknowledged.
                            settled.add(item)
                            await batch.ack(item)
                        if kind == 2:
                            await batch.release()
                        settled.update(hold.item for hold in batch._held.unsettled.values())

            while cancelled < CANCELLATIONS:
                tasks = [asyncio.create_task(work()) for _ in range(20)]
                for task in tasks:
                    for _ in range(chance.randrange(4)):
                        await asyncio.sleep(0)
                    if chance.random() < 0.9:
                        cancelled += task.cancel()
                for outcome in await asyncio.gather(*tasks, return_exceptions=True):
                    assert isinstance(outcome, None | asyncio.CancelledError | LeaseLost | KeyError)
            # The handle still owes what cancelled calls were given.
            while batch := await jobs.take(500):
                done.extend(batch)
            while lease := await jobs.lease(50):
                done.extend(lease)
                await lease.ack()
            await owed(jobs, done)
            found = Counter(done)
            twice = [item for item, number in found.items() if number > 1]
            assert set(range(total)) - found.keys() - settled == set()
            assert set(twice) <= settled

    asyncio.run(main())


async def owed(jobs: Jobs, done: list[int]) -> None:
    """Take what acknowledgements, of which nobody heard, have not settled."""
    stats = await jobs.stats()
    assert (stats.ready, stats.dead, stats.undecodable) == (0, 0, 0)
    held = [entry.item async for entry in jobs.leased()]
    assert len(held) == stats.leased
    done.extend(held)


class Renaming(AsyncClientConnection):
    """A connection that has no reply, while another task renames the set; or none ever."""

    def __init__(self, jobs: Jobs, renamed: asyncio.Event, *, hangs: bool) -> None:
        super().__init__(jobs._runner.client, jobs.key, pipelining=True)
        self._jobs, self._renamed, self._hangs = jobs, renamed, hangs

    async def _send(self, batch: Sequence[Command[Any]]) -> list[Any]:
        await super()._send(batch)
        await self._jobs.rename(f"{{{self._jobs.name}}}new")
        self._renamed.set()
        if self._hangs:
            await asyncio.Future()
        raise ConnectionError


@pytest.mark.parametrize("cancelled", [True, False])
def test_what_a_call_was_given_while_the_set_was_renamed_is_given_again(
    server: TestServer, cancelled: bool
) -> None:
    async def main() -> None:
        async with connected(server) as client:
            jobs, renamed = await filled(client, 5), asyncio.Event()
            jobs._runner.connection = Renaming(jobs, renamed, hangs=cancelled)
            call = asyncio.ensure_future(jobs.take(2))
            await renamed.wait()
            if cancelled:
                call.cancel()
            with pytest.raises(asyncio.CancelledError if cancelled else ConnectionError):
                await call
            assert (jobs.name, await jobs.take(2)) == ("{jobs}new", [0, 1])

    asyncio.run(main())
