"""What does an awaited operation cost, among many tasks and alone, beside `redis.asyncio` by hand?

By hand is what one writes without redset: ``await client.zscore(name, member)`` over a pool of 50
connections. All take turns in one event loop, over TCP.
"""

import argparse
import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import redis
import redis.asyncio

from bench.operations import items
from bench.pairs import PASSES, Groups, Work, as_json, in_passes, interleave, print_group
from bench.placement import served
from redset.asyncio import SortedSet

BY_HAND = "by hand"
CONNECTIONS = 50
EACH = 3  # operations of a task, one after the other
ALONE = 50  # operations of a block of a task that is alone
TASKS, TASKS_QUICK = 1_000, 100
JOBS = ("contains", "add")
ONE = "one task alone"

Ask = Callable[[str], Awaitable[object]]


class Awaited:
    """One event loop, a set in it, and the ways to ask for its items."""

    def __init__(self, port: int, tasks: int) -> None:
        self.loop = asyncio.new_event_loop()
        self.tasks = items(tasks)
        address: dict[str, Any] = {"host": "127.0.0.1", "port": port}
        pool = redis.asyncio.BlockingConnectionPool(max_connections=CONNECTIONS, **address)
        self.hand = redis.asyncio.Redis(connection_pool=pool)
        self.client = redis.asyncio.Redis(**address)
        self.together: SortedSet[str] = SortedSet(self.client, "numbers")
        self.apart: SortedSet[str] = SortedSet(self.hand, "numbers", pipelining=False)

    def run(self, awaitable: Any) -> Any:
        return self.loop.run_until_complete(awaitable)

    def ways(self, job: str) -> dict[str, Ask]:
        hand, together, apart = self.hand, self.together, self.apart

        async def zscore(item: str) -> bool:
            return await hand.zscore("numbers", item) is not None

        async def zadd(item: str) -> None:
            await hand.zadd("numbers", {item: 1.0})

        if job == "contains":
            return {
                BY_HAND: zscore,
                "redset": together.contains,
                "pipelining=False": apart.contains,
            }
        return {
            BY_HAND: zadd,
            "redset": lambda item: together.add(item, 1.0),
            "pipelining=False": lambda item: apart.add(item, 1.0),
        }

    def check(self, job: str) -> None:
        for name, ask in self.ways(job).items():
            found = self.run(ask(self.tasks[1]))
            right = found is True if job == "contains" else True
            missing = job == "contains" and self.run(ask("absent"))
            if not right or missing or self.run(self.together.size()) != len(self.tasks):
                raise RuntimeError(f"{name}: a wrong answer to {job}")

    def alone(self, job: str) -> dict[str, Work]:
        async def one_task(ask: Ask) -> None:
            for item in self.tasks[:ALONE]:
                await ask(item)

        return self._work(job, one_task, ALONE)

    def crowd(self, job: str) -> dict[str, Work]:
        async def task(ask: Ask, item: str) -> None:
            for _ in range(EACH):
                await ask(item)

        async def all_tasks(ask: Ask) -> None:
            await asyncio.gather(*(task(ask, item) for item in self.tasks))

        return self._work(job, all_tasks, len(self.tasks) * EACH)

    def _work(self, job: str, work: Callable[[Ask], Any], units: int) -> dict[str, Work]:
        self.run(self.together.update(self.tasks))
        self.check(job)

        def call(ask: Ask) -> Callable[[], object]:
            return lambda: self.run(work(ask))

        found = {
            name: Work(call(ask), units=units, warm_up=0) for name, ask in self.ways(job).items()
        }
        for each in found.values():
            each.call()  # the first one connects
        return found

    def close(self) -> None:
        self.run(self.client.aclose())
        self.run(self.hand.aclose())
        self.run(self.hand.connection_pool.aclose())
        self.loop.close()


def titles(tasks: int) -> list[str]:
    """Return the groups that there are."""
    return [f"{job}, {who}" for job in JOBS for who in (ONE, f"{tasks:,} tasks")]


def seconds_of(title: str) -> float:
    """Return for how long a group is measured: a block of many tasks takes half a second."""
    return 4.0 if title.endswith(ONE) else 14.0


def work_of(title: str, awaited: Awaited) -> dict[str, Work]:
    """Return the work of each way in a group."""
    job, who = title.split(", ", 1)
    return awaited.alone(job) if who == ONE else awaited.crowd(job)


def reads(client: redis.Redis) -> int:
    """Return how often the server read from its clients."""
    stats: Any = client.info("stats")
    return int(stats["total_reads_processed"])


def count_trips(tasks: int) -> dict[str, dict[str, float]]:
    """Count what the server reads for an operation: how many are sent in one write."""
    found: dict[str, dict[str, float]] = {}
    with served(0, stay=False) as server, redis.Redis(port=server.port) as client:
        awaited = Awaited(server.port, tasks)
        for title in titles(tasks):
            for name, work in work_of(title, awaited).items():
                before = reads(client)
                work.call()
                # The question itself is read, too.
                count = reads(client) - before - 1
                found.setdefault(title, {})[name] = count / work.units
        awaited.close()
    return found


def measure(quick: bool, number: int) -> Groups:
    order = random.Random(number)
    with served(number) as server:
        awaited = Awaited(server.port, TASKS_QUICK if quick else TASKS)
        found = {
            title: interleave(work_of(title, awaited), 0 if quick else seconds_of(title), order)
            for title in titles(len(awaited.tasks))
        }
        awaited.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--passes", type=int, default=PASSES)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    groups = in_passes(measure, 1 if options.quick else options.passes, options.quick)
    trips = count_trips(TASKS_QUICK if options.quick else TASKS)
    for title, group in groups.items():
        print_group(title, group, BY_HAND)
        said = ", ".join(f"{name} {count:.3f}" for name, count in trips[title].items())
        print(f"  the server reads for an operation: {said}")
    if options.json:
        options.json.write_text(json.dumps({"groups": as_json(groups), "trips": trips}))


if __name__ == "__main__":
    main()
