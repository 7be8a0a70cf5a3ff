"""The sets of `redset.asyncio`: what is awaited, what is shared on the wire, what is absent."""

import asyncio
import copy
import gc
import importlib
import json
import pickle
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import redis

import redset._transport.renewals
from redset import EmptySetError, KeyTypeError, RedsetError, ResultExpired
from redset._transport import pipeliner
from redset.asyncio import (
    RedisSortedSet,
    ScheduledSet,
    ServerClock,
    SortedSet,
    TimeSortedSet,
    connect,
)
from tests.bridge import disconnect
from tests.server.asyncio_clients import LIBRARY, all_given_back, connected, counted_writes, make
from tests.server.conftest import TAG, MakeClient
from tests.servers import TestServer

pytestmark = pytest.mark.usefixtures("client")  # a server that holds nothing


async def listed(items: AsyncIterator[Any]) -> list[Any]:
    return [item async for item in items]


# What is awaited


def test_each_kind_of_call_answers_as_the_synchronous_one(server: TestServer) -> None:
    async def main() -> None:
        async with connected(server) as client:
            jobs: RedisSortedSet[Any] = RedisSortedSet(client, "jobs")
            assert [await jobs.add("b", 2), await jobs.add("a"), await jobs.size()] == [2, 0, 2]
            assert [await jobs.contains("a"), await jobs.contains("c")] == [True, False]
            assert await jobs.insert("a", "c") == ["c"]
            assert await listed(aiter(jobs)) == ["a", "c", "b"]
            assert await listed(reversed(jobs)) == ["b", "c", "a"]
            assert await listed(jobs.items()) == [("a", 0.0), ("c", 0.0), ("b", 2.0)]
            assert [await jobs[0], await jobs[-1], await jobs[1:]] == ["a", "b", ["c", "b"]]
            assert [await jobs.pop(), await jobs.take(5)] == ["a", ["c", "b"]]
            with pytest.raises(EmptySetError):
                await jobs.pop()

    asyncio.run(main())


def test_a_lease_is_awaited_or_entered(server: TestServer) -> None:
    async def main() -> None:
        async with connected(server) as client:
            jobs: RedisSortedSet[int] = RedisSortedSet(client, "jobs", scorer=int)
            await jobs.update(range(6))
            async with jobs.lease(2) as batch:
                assert list(batch) == [0, 1]
            held = await jobs.lease(2)
            assert [entry.item async for entry in jobs.leased()] == [2, 3]
            await held.ack(2)
            await held.release(score=9)
            with pytest.raises(ZeroDivisionError):
                async with jobs.lease(1):
                    raise ZeroDivisionError
            assert await listed(jobs.items()) == [(4, 4.0), (5, 5.0), (3, 9.0)]
            assert (await jobs.stats()).leased == 0

    asyncio.run(main())


def test_a_lease_is_renewed_while_its_block_works(server: TestServer) -> None:
    async def main() -> None:
        async with connected(server) as client:
            jobs: RedisSortedSet[str] = RedisSortedSet(client, "jobs")
            await jobs.add("slow")
            async with jobs.lease(ttl=3, renew=True) as batch:
                [first] = await listed(jobs.leased())
                renewed = first
                while renewed.expires <= first.expires:
                    await asyncio.sleep(0.05)
                    [renewed] = await listed(jobs.leased())
                assert list(batch) == ["slow"]
            assert await jobs.size() == 0
            assert [task for task in asyncio.all_tasks() if "lease" in task.get_name()] == []

    asyncio.run(main())


def test_consume_hands_out_until_nothing_comes_any_more(server: TestServer) -> None:
    async def main() -> None:
        async with connected(server) as client:
            jobs: RedisSortedSet[int] = RedisSortedSet(client, "jobs", scorer=int)
            await jobs.update(range(10))
            assert [item async for item in jobs.consume(batch=3, timeout=0)] == list(range(10))
            assert (await jobs.stats()).leased == 0

    asyncio.run(main())


def test_an_item_whose_turn_of_the_loop_fails_is_given_back(server: TestServer) -> None:
    async def main() -> None:
        async with connected(server) as client:
            jobs: RedisSortedSet[int] = RedisSortedSet(client, "jobs", scorer=int)
            await jobs.update(range(5))
            tasks = jobs.consume(batch=4)
            assert [await anext(tasks), await anext(tasks)] == [0, 1]
            await tasks.aclose()
            assert await listed(aiter(jobs)) == [1, 2, 3, 4]

    asyncio.run(main())


def test_one_who_waits_is_woken_by_an_item(server: TestServer) -> None:
    async def main() -> None:
        async with connected(server) as client:
            jobs: RedisSortedSet[int] = RedisSortedSet(client, "jobs")
            waiting = [asyncio.create_task(jobs.pop(timeout=None)) for _ in range(20)]
            await asyncio.sleep(0.05)
            in_use = len(client.connection_pool._in_use_connections)
            await jobs.update(range(20))
            assert set(await asyncio.gather(*waiting)) == set(range(20))
            assert in_use <= 2  # all of them wait by one connection, one is to speak

    asyncio.run(main())


def test_a_wait_ends_in_time_and_without_a_connection_to_watch_with(server: TestServer) -> None:
    async def main() -> None:
        async with connected(server, max_connections=1) as client:
            jobs: RedisSortedSet[int] = RedisSortedSet(client, "jobs")
            assert await jobs.take(1, timeout=0.01) == []
            waiting = asyncio.create_task(jobs.take(1, timeout=None))
            await asyncio.sleep(0.01)
            await jobs.add(1)
            assert await waiting == [1]

    asyncio.run(main())


def test_one_who_waits_goes_on_when_the_server_drops_the_connection(
    server: TestServer, client: redis.Redis
) -> None:
    async def main() -> None:
        async with connected(server) as own:
            jobs: RedisSortedSet[int] = RedisSortedSet(own, "jobs")
            waiting = asyncio.create_task(jobs.pop(timeout=None))
            while not client.client_list(_type="pubsub"):
                await asyncio.sleep(0.01)
            client.client_kill_filter(_type="pubsub")
            await jobs.add(7)
            assert await waiting == 7

    asyncio.run(main())


def test_results_are_awaited_or_entered_and_go_with_their_block(
    server: TestServer, client: redis.Redis
) -> None:
    async def main() -> None:
        async with connected(server) as own:
            a: RedisSortedSet[int] = RedisSortedSet(own, "a")
            b: RedisSortedSet[int] = RedisSortedSet(own, "{a}b")
            await asyncio.gather(a.update([1, 2, 3]), b.update([3, 4]))
            async with a.union(b, [9]) as all_of_them:
                assert await listed(aiter(all_of_them)) == [1, 2, 3, 4, 9]
            with pytest.raises(ResultExpired):
                await all_of_them.size()
            common = await a.intersection(b)
            assert await common.equals({3})
            await common.rename("{a}common")
            await common.close()
            lasting = await a.difference(b, into="{a}rest")
            assert [await lasting.equals({1, 2}), await common.size()] == [True, 1]

    asyncio.run(main())
    left = {key for key in map(as_bytes, client.keys()) if b":given:" not in key}
    assert left == {b"a", b"{a}b", b"{a}common", b"{a}rest"}


def as_bytes(key: Any) -> bytes:
    return key if isinstance(key, bytes) else str(key).encode()


def test_a_change_renews_a_result_while_what_it_is_changed_by_is_read(
    server: TestServer, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redset._transport.renewals, "RENEW_AFTER", 1e-5)

    async def main() -> None:
        async with connected(server) as awaited:
            numbers: RedisSortedSet[int] = RedisSortedSet(awaited, "numbers")
            await numbers.update([1, 2])
            async with numbers.copy() as result:
                liveness_key = f"{result.name}:alive"

                async def slow() -> AsyncIterator[int]:
                    client.pexpire(liveness_key, 60_000)
                    async with asyncio.timeout(120):
                        while client.pttl(liveness_key) < 500_000:
                            await asyncio.sleep(0.001)
                    yield 2

                await result.update(slow())
                await result.difference_update(slow())
                await result.add_scored((item, 1) async for item in slow())
                assert await listed(result.items()) == [(1, 0.0), (2, 1.0)]

    asyncio.run(main())


def test_a_result_that_is_collected_is_deleted_by_the_loop(
    server: TestServer, client: redis.Redis
) -> None:
    async def main() -> None:
        async with connected(server) as own:
            a: RedisSortedSet[int] = RedisSortedSet(own, "a")
            await a.add(1)
            await a.union([2])  # nobody keeps it
            gc.collect()
            while len(client.keys()) > 1:
                await asyncio.sleep(0.001)

    asyncio.run(main())


def test_a_result_that_is_collected_after_the_loop_is_left_to_the_server(
    server: TestServer, client: redis.Redis
) -> None:
    kept: list[Any] = []

    async def main() -> None:
        async with connected(server) as own:
            a: RedisSortedSet[int] = RedisSortedSet(own, "a")
            kept.append(await a.union([2]))

    asyncio.run(main())
    kept.clear()
    gc.collect()
    assert [client.pttl(key) > 0 for key in client.scan_iter()] == [True, True]


def test_an_asynchronous_iterable_is_read_in_chunks(server: TestServer) -> None:
    async def numbers() -> AsyncIterator[int]:
        for number in range(12_000):
            yield number

    async def main() -> None:
        async with connected(server) as client:
            a: RedisSortedSet[int] = RedisSortedSet(client, "a", scorer=int)
            with counted_writes() as count:
                await a.update(numbers(), [-1])
            assert count.value == 3
            assert [await a.size(), await a[:2]] == [12_001, [-1, 0]]
            async with a.intersection(numbers()) as common:
                assert await common.size() == 12_000
            assert await a.issuperset(numbers())
            await a.difference_update(numbers())
            assert await listed(aiter(a)) == [-1]
            await a.add_scored((number, -number) async for number in numbers())
            await a.add_scored(a.items(), on_conflict="sum")
            assert [await a.score(7), await a[0]] == [-14.0, 11_999]

    asyncio.run(main())


def test_a_set_on_another_server_takes_part_item_by_item(server: TestServer) -> None:
    async def main() -> None:
        async with connected(server) as client, connected(server, db=1) as elsewhere:
            a: RedisSortedSet[int] = RedisSortedSet(client, "a")
            b: RedisSortedSet[int] = RedisSortedSet(elsewhere, "b", scorer=lambda item: 7)
            await asyncio.gather(a.update([1, 2]), b.update([2, 3]))
            async with a.union(b) as both:
                assert await listed(both.items()) == [(1, 0.0), (2, 0.0), (3, 7.0)]
            assert not await a.isdisjoint(b)
            await a.update(b, on_conflict="max")
            assert await listed(a.items()) == [(1, 0.0), (2, 7.0), (3, 7.0)]
            await elsewhere.flushdb()

    asyncio.run(main())


@pytest.mark.parametrize("library", ["redis", "valkey"])
def test_a_parser_in_python_reads_that_all_was_flushed(
    server: TestServer, client: redis.Redis, library: str
) -> None:
    package: Any = pytest.importorskip(f"{library}.asyncio")
    connection = importlib.import_module(f"{library}.asyncio.connection")
    pool = connection.ConnectionPool(
        port=server.port,  # redis-py 7.0 speaks no RESP3 over a unix socket
        protocol=3,
        parser_class=importlib.import_module(f"{library}._parsers")._AsyncRESP2Parser,
    )

    async def main() -> None:
        async with getattr(package, library.capitalize())(connection_pool=pool) as other:
            jobs: SortedSet[str] = SortedSet(other, "jobs")
            for _ in range(2):
                waiting = asyncio.create_task(jobs.pop(timeout=60))
                while client.info("clients")["tracking_clients"] == 0:
                    await asyncio.sleep(0.005)
                client.flushall()
                client.zadd("jobs", {"a": 1})
                assert await asyncio.wait_for(waiting, 10) == "a"
        await pool.disconnect()

    asyncio.run(main())


def test_one_server_by_two_addresses_is_one_server(server: TestServer) -> None:
    async def main() -> None:
        async with connected(server) as one, connected(server, port=server.port) as other:
            a: RedisSortedSet[int] = RedisSortedSet(one, "a")
            b: RedisSortedSet[int] = RedisSortedSet(other, "b")
            await a.update(range(3))
            await b.update(range(2))
            assert await b.ispropersubset(a)
            with counted_writes() as count:
                assert await a.ispropersuperset(b)
            assert count.value == 1

    asyncio.run(main())


def test_a_synchronous_set_is_refused_as_an_operand(
    server: TestServer, client: redis.Redis
) -> None:
    async def main() -> None:
        async with connected(server) as own:
            a: RedisSortedSet[int] = RedisSortedSet(own, "a")
            with pytest.raises(TypeError, match="synchronous set"):
                await a.union(redset.RedisSortedSet(client, "b"))
            with pytest.raises(TypeError, match="awaited"):
                redset.RedisSortedSet(client, "b").update(a)  # type: ignore[arg-type]

    asyncio.run(main())


def test_a_key_of_another_type_is_named(server: TestServer, client: redis.Redis) -> None:
    client.set("text", "x")

    async def main() -> None:
        async with connected(server) as own:
            with pytest.raises(KeyTypeError, match="redset 'text'"):
                await RedisSortedSet(own, "text").size()

    asyncio.run(main())


# Classes, clocks, clients


def test_the_classes_of_0_4_keep_their_ways(server: TestServer) -> None:
    async def main() -> None:
        async with connected(server) as client:
            names: SortedSet[Any] = SortedSet(client, "names")
            await names.update([3, "a"])
            assert await listed(aiter(names)) == ["3", "a"]
            times: TimeSortedSet[str] = TimeSortedSet(client, "times", clock=lambda: 5.0)
            await times.update(["z", "a"])
            assert await times.take(5) == ["z", "a"]
            due: ScheduledSet[str] = ScheduledSet(client, "due", clock=lambda: 100.0)
            await asyncio.gather(due.add("later", 160), due.add("now"))
            assert [await due.available(), await due.size(), await due.take(9)] == [1, 2, ["now"]]

    asyncio.run(main())


def test_a_set_synchronizes_the_servers_clock_before_it_needs_it(server: TestServer) -> None:
    async def main() -> None:
        async with connected(server) as client:
            clock = ServerClock(client)
            with pytest.raises(RedsetError, match="synchronize"):
                clock()
            due: ScheduledSet[str] = ScheduledSet(client, f"{TAG}due", clock=clock)
            other: RedisSortedSet[str] = RedisSortedSet(client, f"{TAG}other")
            assert await other.take(1) == []  # its script is known now
            with counted_writes() as count:
                assert abs(await due.add("now") - time.time()) < 5
                assert await due.take(1) == ["now"]
                await clock.synchronize()
            assert count.value == 3  # the time once, two operations

    asyncio.run(main())


def test_connect_makes_an_asyncio_client(
    server: TestServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        monkeypatch.setenv("REDIS_URL", f"unix://{server.unix_socket}")
        for client in (connect(), connect(f"unix://{server.unix_socket}", db=0)):
            async with client:
                assert await RedisSortedSet(client, "jobs").size() == 0

    asyncio.run(main())
    with pytest.raises(redset.InvalidValueError, match="address of a server"):
        connect("localhost:6379")


def test_a_synchronous_client_is_refused(client: redis.Redis) -> None:
    with pytest.raises(redset.InvalidTypeError, match="synchronous client"):
        RedisSortedSet(client, "jobs")
    with pytest.raises(redset.InvalidTypeError, match=r"such as redis.asyncio.Redis\(\)"):
        RedisSortedSet(None, "jobs")


def test_a_handle_can_be_pickled(server: TestServer) -> None:
    async def main() -> None:
        async with connected(server) as client:
            jobs: RedisSortedSet[str] = RedisSortedSet(client, "jobs", len, pipelining=False)
            await jobs.add("four")
            sent = pickle.loads(pickle.dumps(jobs))
            assert await listed(sent.items()) == [("four", 4.0)]
            assert sent._runner.pipelining is False
            await disconnect(sent._runner.client)

    asyncio.run(main())


@pytest.mark.parametrize("module", [json, pickle], ids=lambda each: each.__name__)
def test_a_handle_whose_serializer_is_a_module_can_be_pickled(
    server: TestServer, module: Any
) -> None:
    async def main() -> None:
        async with connected(server) as client:
            jobs: RedisSortedSet[Any] = RedisSortedSet(client, "jobs", serializer=module)
            await jobs.add({"a": 1})
            sent = pickle.loads(pickle.dumps(jobs))
            assert await listed(sent) == [{"a": 1}]
            await disconnect(sent._runner.client)

    asyncio.run(main())


def test_a_handle_that_is_unpickled_when_its_client_was_closed_is_connected(
    server: TestServer,
) -> None:
    async def main() -> None:
        async with connected(server) as client:
            jobs: RedisSortedSet[str] = RedisSortedSet(client, "jobs")
            await jobs.add("a")
            words = pickle.dumps(jobs)
            handles = []
            for _ in range(2):
                handles.append(pickle.loads(words))
                assert await handles[-1].size() == 1
                await disconnect(handles[-1]._runner.client)

    asyncio.run(main())


def test_a_handle_may_be_used_in_one_loop_after_another(server: TestServer) -> None:
    client = make(server)
    jobs: RedisSortedSet[int] = RedisSortedSet(client, "jobs")

    async def add(number: int) -> int:
        waiting = asyncio.create_task(jobs.pop(timeout=None)) if number == 1 else None
        await jobs.add(number)
        if waiting is not None:
            assert await waiting in {0, 1}
            left_behind = asyncio.create_task(jobs.remove_range(max=-1))
            await asyncio.sleep(0)
            assert not left_behind.done()
        size = await jobs.size()
        await client.aclose()
        return size

    assert [asyncio.run(add(number)) for number in range(4)] == [1, 1, 2, 3]


# Several loops, each of which is closed while the connection of a wait is still to be given back.
LOOPS = """
import asyncio, importlib, sys
import redset.asyncio

library, path, number, is_pipelined = sys.argv[1:]
client = getattr(importlib.import_module(f"{library}.asyncio"), library.capitalize())(
    unix_socket_path=path, max_connections=4
)
jobs = redset.asyncio.RedisSortedSet(client, "jobs", pipelining=is_pipelined == "True")
for _ in range(int(number)):
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(jobs.pop(timeout=0.1))
    except redset.EmptySetError:
        print("empty", len(client.connection_pool._in_use_connections))
    loop.close()
"""


@pytest.mark.parametrize("pipelining", [True, False])
def test_a_wait_in_a_loop_that_is_closed_at_once_keeps_no_connection(
    server: TestServer, client: redis.Redis, pipelining: bool
) -> None:
    number = 10
    arguments = [LIBRARY, server.unix_socket, str(number), str(pipelining)]
    found = subprocess.run(
        # Such a program is told of what it left in its loops.
        [sys.executable, "-W", "ignore", "-c", LOOPS, *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    lines = found.stdout.splitlines()
    assert [line.partition(" ")[0] for line in lines] == number * ["empty"], found.stderr
    assert max(int(line.partition(" ")[2]) for line in lines) <= 2


# What is absent


UNSUPPORTED: list[tuple[Callable[[Any], Any], str]] = [
    (len, "size"),
    (bool, "size"),
    (list, "async for"),
    (iter, "async for"),
    (lambda s: "a" in s, "contains"),
    (lambda s: s | {1}, "union"),
    (lambda s: {1} | s, "union"),
    (lambda s: s & s, "intersection"),
    (lambda s: s - {1}, "difference"),
    (lambda s: s ^ {1}, "symmetric_difference"),
    (lambda s: s.__ior__({1}), "update"),
    (lambda s: s <= {1}, "issubset"),
    (lambda s: s < {1}, "ispropersubset"),
    (lambda s: s > {1}, "ispropersuperset"),
    (lambda s: s == {1}, "equals"),
    (lambda s: s != frozenset(), "equals"),
    (copy.copy, r"s\.copy"),
    (copy.deepcopy, r"s\.copy"),
    (lambda s: s.__enter__(), "async with"),
]


@pytest.mark.parametrize(
    ("operate", "instead"), UNSUPPORTED, ids=[words for _, words in UNSUPPORTED]
)
def test_an_operator_that_would_block_says_what_to_await(
    server: TestServer, operate: Callable[[Any], Any], instead: str
) -> None:
    jobs: RedisSortedSet[Any] = RedisSortedSet(make(server), "jobs")
    with pytest.raises(TypeError, match=f"redset 'jobs': .*{instead}"):
        operate(jobs)


def test_a_comparison_with_what_is_no_set_is_false(server: TestServer) -> None:
    jobs: RedisSortedSet[Any] = RedisSortedSet(make(server), "jobs")
    assert jobs == jobs  # noqa: PLR0124
    assert (jobs == None, jobs == [1], jobs != "a") == (False, False, True)  # noqa: E711
    with pytest.raises(TypeError, match="unhashable"):
        hash(jobs)
    assert repr(jobs) == "<redset.asyncio.RedisSortedSet 'jobs'>"


# What is shared


def test_operations_of_many_tasks_share_round_trips(server: TestServer) -> None:
    async def main() -> None:
        async with connected(server) as client:
            jobs: RedisSortedSet[int] = RedisSortedSet(client, "jobs")
            seen: RedisSortedSet[int] = RedisSortedSet(client, "seen")
            await jobs.insert(-1)  # brings the script
            await seen.insert(-1)  # to its node of a cluster

            async def work(number: int) -> None:
                await jobs.add(number)
                assert await jobs.contains(number)
                assert await seen.insert(number) == [number]

            with counted_writes() as count:
                await asyncio.gather(*(work(number) for number in range(500)))
            assert count.value == 3
            assert [await jobs.size(), await seen.size()] == [501, 501]

    asyncio.run(main())


def test_sharing_can_be_switched_off(server: TestServer) -> None:
    async def main() -> None:
        async with connected(server) as client:
            jobs: RedisSortedSet[int] = RedisSortedSet(client, "jobs", pipelining=False)
            with counted_writes() as count:
                await asyncio.gather(*(jobs.add(number) for number in range(20)))
            assert count.value == 20
            assert await jobs.size() == 20

    asyncio.run(main())


def test_one_operation_alone_takes_one_round_trip(server: TestServer) -> None:
    async def main() -> None:
        async with connected(server) as client:
            jobs: RedisSortedSet[int] = RedisSortedSet(client, "jobs")
            await jobs.insert(1)
            await jobs.take(1)
            await jobs.clear()
            calls: list[Any] = [jobs.add(1), jobs.contains(1), jobs.size(), jobs.discard(1)]
            calls += [jobs.insert(2), jobs.pop(), jobs.take(2), jobs.score(1), jobs.clear()]
            with counted_writes() as count:
                for call in calls:
                    await call
            assert count.value == len(calls)

    asyncio.run(main())


@pytest.mark.parametrize("pipelining", [True, False])
def test_errors_go_to_the_task_that_caused_them(
    server: TestServer, client: redis.Redis, pipelining: bool
) -> None:
    client.set("text", "x")

    async def main() -> None:
        async with connected(server) as own:
            jobs: RedisSortedSet[int] = RedisSortedSet(own, "jobs", pipelining=pipelining)
            wrong: RedisSortedSet[int] = RedisSortedSet(own, "text", pipelining=pipelining)
            sets = [wrong if number % 3 == 0 else jobs for number in range(30)]
            outcomes = await asyncio.gather(
                *(each.add(number) for number, each in enumerate(sets)), return_exceptions=True
            )
            for number, outcome in enumerate(outcomes):
                assert isinstance(outcome, KeyTypeError) is (number % 3 == 0)
            assert await jobs.size() == 20

    asyncio.run(main())


def test_what_cannot_be_sent_is_an_error_of_its_task_alone(server: TestServer) -> None:
    async def main() -> None:
        async with connected(server) as client:
            jobs: RedisSortedSet[Any] = RedisSortedSet(client, "jobs")
            calls = [jobs.add([1]), jobs.add(1), jobs.add(2)]
            outcomes = await asyncio.gather(*calls, return_exceptions=True)
            assert isinstance(outcomes[0], TypeError)
            assert outcomes[1:] == [0, 0]

    asyncio.run(main())


def test_scripts_that_the_server_forgot_are_sent_again_for_those_who_need_them(
    server: TestServer, client: redis.Redis
) -> None:
    async def main() -> None:
        async with connected(server) as own:
            jobs: RedisSortedSet[int] = RedisSortedSet(own, "jobs", scorer=int)
            await jobs.update(range(10))
            client.script_flush()
            found = await asyncio.gather(*(jobs.pop() for _ in range(10)), jobs.size())
            assert set(found[:10]) == set(range(10))

    asyncio.run(main())


def test_a_large_number_of_operations_is_sent_in_several_writes(server: TestServer) -> None:
    async def main() -> None:
        async with connected(server) as client:
            jobs: RedisSortedSet[int] = RedisSortedSet(client, "jobs")
            with counted_writes() as count:
                await asyncio.gather(*(jobs.add(number) for number in range(12_000)))
            assert count.value == 3
            big: RedisSortedSet[str] = RedisSortedSet(client, "big")
            with counted_writes() as count:
                await asyncio.gather(*(big.add(f"{n}" * 600_000) for n in range(4)))
            assert count.value == 4

    asyncio.run(main())


def test_a_call_costs_no_task(server: TestServer) -> None:
    """A limit of the time of a write would be one in Python 3.11, and turns of the event loop."""

    async def main() -> None:
        async with connected(server, socket_timeout=5) as client:
            jobs: RedisSortedSet[int] = RedisSortedSet(client, "jobs")
            await jobs.add(1)
            made: list[Any] = []

            def counting(loop: asyncio.AbstractEventLoop, work: Any, **options: Any) -> Any:
                made.append(work)
                return asyncio.Task(work, loop=loop, **options)

            asyncio.get_running_loop().set_task_factory(counting)
            for _ in range(20):
                assert await jobs.contains(1)
            # That which sends for all tasks, as long as they have something to send.
            assert len(made) <= 1

    asyncio.run(main())


def test_a_silent_server_is_an_error_after_the_clients_own_timeout(server: TestServer) -> None:
    async def main() -> None:
        async with connected(server, socket_timeout=0.2, retry=no_retries()) as own:
            jobs: RedisSortedSet[int] = RedisSortedSet(own, "jobs")
            await jobs.add(1)
            async with connected(server) as janitor:
                await janitor.execute_command("CLIENT", "PAUSE", "1500")
                errors = await asyncio.gather(jobs.size(), jobs.size(), return_exceptions=True)
                assert [type(error).__name__ for error in errors] == ["TimeoutError"] * 2
                await janitor.execute_command("PING")
            assert await jobs.size() == 1

    asyncio.run(main())


def no_retries() -> Any:
    import importlib

    from tests.server.asyncio_clients import LIBRARY

    backoff = importlib.import_module(f"{LIBRARY}.backoff").NoBackoff()
    return importlib.import_module(f"{LIBRARY}.asyncio.retry").Retry(backoff, 0)


def test_a_server_that_is_down_is_an_error_of_the_client_to_everybody(
    make_client: MakeClient, server: TestServer
) -> None:
    async def main() -> None:
        async with connected(server, port=1, host="127.0.0.1", retry=no_retries()) as client:
            jobs: RedisSortedSet[int] = RedisSortedSet(client, "jobs")
            errors = await asyncio.gather(*(jobs.size() for _ in range(3)), return_exceptions=True)
            assert [type(error).__name__ for error in errors] == ["ConnectionError"] * 3
            assert len({id(error) for error in errors}) == 3
            await all_given_back(client)

    asyncio.run(main())


# The sockets of a loop are left to it when another one takes over.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_call_that_waits_when_another_loop_takes_over_fails(
    server: TestServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = asyncio.new_event_loop(), asyncio.new_event_loop()
    write_and_read, may_write, held = pipeliner.write_and_read, asyncio.Event(), id(first)

    async def held_up(*about: Any) -> list[Any]:
        if id(asyncio.get_running_loop()) == held:
            await may_write.wait()
        return await write_and_read(*about)

    client = make(server)
    jobs: RedisSortedSet[int] = RedisSortedSet(client, "jobs")
    assert first.run_until_complete(jobs.size()) == 0
    monkeypatch.setattr(pipeliner, "write_and_read", held_up)

    async def begin(jobs: RedisSortedSet[int]) -> list[asyncio.Task[int]]:
        sent = asyncio.ensure_future(jobs.size())
        while not jobs._runner.connection._sender._taken:  # type: ignore[union-attr]
            await asyncio.sleep(0)
        waits = asyncio.ensure_future(jobs.size())
        await asyncio.sleep(0)
        return [sent, waits]

    tasks = first.run_until_complete(begin(jobs))
    assert second.run_until_complete(jobs.size()) == 0
    may_write.set()
    sent, error = first.run_until_complete(
        asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 30)
    )
    assert sent == 0
    assert isinstance(error, TypeError)
    assert "another event loop" in str(error)
    assert first.run_until_complete(jobs.size()) == 0
    first.run_until_complete(client.aclose())
    del client, jobs, tasks
    for loop in (first, second):
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
    del loop, first, second
    gc.collect()


def test_a_client_with_one_connection_of_its_own_works(server: TestServer) -> None:
    async def main() -> None:
        async with make(server, single_connection_client=True) as client:
            jobs: RedisSortedSet[int] = RedisSortedSet(client, "jobs")
            await asyncio.gather(*(jobs.add(number) for number in range(5)))
            assert await jobs.insert(4, 5) == [5]
            assert await jobs.take(9) == [0, 1, 2, 3, 4, 5]

    asyncio.run(main())
