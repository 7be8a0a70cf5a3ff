"""How many tasks a second go from producers through consumers, each acknowledged?

The task does nothing. Each system has the same number of worker processes, which have started
before the clock does, and is asked to do its least: no results kept, nothing logged. Prints, and
with ``--json FILE`` writes, tasks per second; fails if a task was not done exactly once.
"""

import argparse
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import redis

import redset
from tests.servers import TestServer

WORKERS = 2
ROOT = Path(__file__).resolve().parents[1]
DONE = "done"


def count(client: redis.Redis) -> int:
    return int(client.get(DONE) or 0)


# redset


def redset_worker(port: int, batch: int, ready: Any) -> None:
    client = redis.Redis(port=port)
    tasks: redset.RedisSortedSet[int] = redset.RedisSortedSet(client, "tasks")
    done = 0
    ready.release()
    for number in tasks.consume(batch, timeout=None):
        if number < 0:
            break
        done += 1
    client.incrby(DONE, done)


def with_redset(batch: int) -> Callable[[TestServer, int], float]:
    def run(server: TestServer, total: int) -> float:
        context = multiprocessing.get_context("spawn")
        ready = context.Semaphore(0)
        arguments = (server.port, batch, ready)
        workers = [context.Process(target=redset_worker, args=arguments) for _ in range(WORKERS)]
        for worker in workers:
            worker.start()
        for _ in workers:
            ready.acquire()
        tasks: redset.RedisSortedSet[int] = redset.RedisSortedSet(
            redis.Redis(port=server.port), "tasks", scorer=lambda number: number
        )
        begin = time.perf_counter()
        tasks.update(range(total))
        while sum(tasks.stats()[i] for i in (0, 2)):
            time.sleep(0.005)
        seconds = time.perf_counter() - begin
        for worker in workers:
            tasks.add(-1)
            worker.join(0.2)
        while any(worker.is_alive() for worker in workers):
            tasks.add(-1)
            time.sleep(0.05)
        return seconds

    return run


# The others: a module of tasks, workers as their documentation starts them


def others(module: str, command: list[str], workers: int = 1) -> Callable[[TestServer, int], float]:
    def run(server: TestServer, total: int) -> float:
        environment = os.environ | {"BENCH_PORT": str(server.port), "PYTHONPATH": str(ROOT)}
        os.environ["BENCH_PORT"] = str(server.port)
        processes = [
            subprocess.Popen(
                [sys.executable, "-m", *command],
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            for _ in range(workers)
        ]
        try:
            producer = subprocess.Popen(
                [sys.executable, "-m", f"bench.tasks_of.{module}", str(total)],
                env=environment,
                stdout=subprocess.PIPE,
                text=True,
            )
            said = producer.communicate(timeout=900)[0]
        finally:
            for process in processes:
                process.terminate()
            for process in processes:
                process.wait()
        return float(said)

    return run


SYSTEMS: dict[str, tuple[Callable[[TestServer, int], float], int]] = {
    "redset, consume(100)": (with_redset(100), 100_000),
    "redset, consume(1)": (with_redset(1), 20_000),
    "huey": (
        others("with_huey", ["huey.bin.huey_consumer", "bench.tasks_of.with_huey.huey", "-w", "2",
                             "-k", "process", "-n", "-q"]),
        5_000,
    ),
    "rq": (others("with_rq", ["bench.tasks_of.with_rq", "worker"], WORKERS), 2_000),
    "dramatiq": (
        others("with_dramatiq", ["dramatiq", "bench.tasks_of.with_dramatiq", "-p", "2", "-t", "1"]),
        5_000,
    ),
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rounds, part = (1, 10) if options.quick else (3, 1)
    results: dict[str, list[float]] = {name: [] for name in SYSTEMS}
    with TestServer.start("valkey-9.1") as server, redis.Redis(port=server.port) as client:
        for _ in range(rounds):
            for name, (run, most) in SYSTEMS.items():
                client.flushall()
                total = most // part
                seconds = run(server, total)
                if count(client) != total:
                    sys.exit(f"{name}: {count(client)} tasks done, not {total}")
                results[name].append(total / seconds)
    for name, rates in results.items():
        print(f"{name:24}{statistics.median(rates):12,.0f} tasks per second")
    if options.json:
        options.json.write_text(json.dumps(results))


if __name__ == "__main__":
    main()
