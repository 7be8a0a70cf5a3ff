"""What does an awaited operation cost, among many tasks and alone, beside `redis.asyncio` by hand?

By hand is what one writes without redset: ``await client.zscore(name, member)`` over a pool of 50
connections, for members that are bytes already. Both take turns in one run, over TCP.
"""

import argparse
import asyncio
import json
import statistics
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import redis.asyncio
from redis.asyncio.connection import AbstractConnection

from redset.asyncio import RedisSortedSet
from tests.servers import TestServer

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--quick", action="store_true")
parser.add_argument("--json", type=Path)
OPTIONS = parser.parse_args()
TASKS = 100 if OPTIONS.quick else 1_000
EACH = 10  # operations of a task, one after the other
ROUNDS = 3 if OPTIONS.quick else 25

Ask = Callable[[int], Awaitable[bool]]
writes = 0


async def together(ask: Ask) -> None:
    async def task(number: int) -> None:
        for _ in range(EACH):
            assert await ask(number)

    await asyncio.gather(*(task(number) for number in range(TASKS)))


async def alone(ask: Ask) -> None:
    for number in range(TASKS):
        assert await ask(number)


async def measure(server: TestServer) -> dict[str, dict[str, tuple[float, int]]]:
    address: dict[str, Any] = {"host": "127.0.0.1", "port": server.port}
    pool = redis.asyncio.BlockingConnectionPool(max_connections=50, **address)
    by_hand = redis.asyncio.Redis(connection_pool=pool)
    async with redis.asyncio.Redis(**address) as client:
        numbers: RedisSortedSet[int] = RedisSortedSet(client, "numbers")
        apart: RedisSortedSet[int] = RedisSortedSet(by_hand, "numbers", pipelining=False)
        await numbers.update(range(TASKS))
        members = [numbers._spec.encoding.encode(number) for number in range(TASKS)]

        async def zscore(number: int) -> bool:
            return await by_hand.zscore("numbers", members[number]) is not None

        ways: dict[str, Ask] = {
            "by hand": zscore,
            "redset": numbers.contains,
            "pipelining=False": apart.contains,
        }
        print(
            f"{TASKS:,} tasks, {EACH} times contains each; microseconds an operation, round trips"
        )
        many = await compare(ways, together, TASKS * EACH)
        print("one task alone")
        one = await compare(ways, alone, TASKS)
    await pool.aclose()
    return {f"{TASKS:,} tasks": many, "one task alone": one}


async def compare(
    ways: dict[str, Ask], work: Callable[[Ask], Awaitable[None]], size: int
) -> dict[str, tuple[float, int]]:
    """Microseconds an operation (median), and the round trips of all."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    trips = dict.fromkeys(ways, 0)
    for _ in range(ROUNDS + 1):  # the first one connects
        for name, ask in ways.items():
            before, begun = writes, time.perf_counter()
            await work(ask)
            times[name].append((time.perf_counter() - begun) / size * 1e6)
            trips[name] = writes - before
    hand = statistics.median(times["by hand"][1:])
    for name, found in times.items():
        took = statistics.median(found[1:])
        print(f"  {name:20}{took:8.1f} µs{hand / took:8.1f} x{trips[name]:10,} round trips")
    return {name: (statistics.median(found[1:]), trips[name]) for name, found in times.items()}


def count_writes() -> None:
    send = AbstractConnection.send_packed_command

    async def counted(self: Any, *args: Any, **options: Any) -> Any:
        global writes  # noqa: PLW0603
        writes += 1
        return await send(self, *args, **options)

    AbstractConnection.send_packed_command = counted  # type: ignore[method-assign]


if __name__ == "__main__":
    count_writes()
    with TestServer.start("valkey-9.1") as started:
        results = asyncio.run(measure(started))
    if OPTIONS.json:
        OPTIONS.json.write_text(json.dumps(results))
