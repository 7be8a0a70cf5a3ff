"""How long do other clients wait while a million items are leased, given back, requeued or cleared?

``python -m bench.pauses [--size N]``: the worst PING of another process during each of them.
"""

import argparse
import multiprocessing
import statistics
import time
from typing import Any

import redis

from redset import RedisSortedSet
from tests.servers import TestServer

# Seconds between two PINGs.
PAUSE = 0.0005


def ping(port: int, ready: Any, over: Any, answers: Any) -> None:
    """Measure how long each PING takes until it is *over*."""
    client = redis.Redis(port=port)
    client.ping()
    ready.set()
    times = []
    while not over.is_set():
        begin = time.perf_counter()
        client.ping()
        times.append(time.perf_counter() - begin)
        time.sleep(PAUSE)
    answers.put(times)


def worst_ping(port: int, call: Any) -> tuple[float, float, float]:
    """Return the worst and the median PING while *call* runs, and the seconds that it takes."""
    context = multiprocessing.get_context("spawn")
    ready, over, answers = context.Event(), context.Event(), context.Queue()
    process = context.Process(target=ping, args=(port, ready, over, answers))
    process.start()
    ready.wait()
    begin = time.perf_counter()
    call()
    seconds = time.perf_counter() - begin
    time.sleep(100 * PAUSE)  # what was begun by it may go on in the background
    over.set()
    times = answers.get()
    process.join()
    return max(times), statistics.median(times), seconds


def main() -> None:
    """Print the worst PING during each job."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=1_000_000)
    size = parser.parse_args().size
    with TestServer.start("valkey-9.1") as server:
        client = redis.Redis(port=server.port)
        jobs: RedisSortedSet[int] = RedisSortedSet(client, "jobs", max_deliveries=1)
        jobs.update(range(size))
        held: list[Any] = []

        def run_out() -> None:
            client.execute_command("ZUNIONSTORE", "{jobs}:leased", 1, "{jobs}:leased", "WEIGHTS", 0)

        def reclaim() -> None:
            while jobs.stats().expired:
                jobs.pop()

        def take_all() -> None:
            while jobs.take(300_000):
                pass

        for name, call in (
            ("lease all", lambda: held.append(jobs.lease(size, ttl=3600))),
            ("release all, to the dead", lambda: held.pop().release()),
            ("requeue all", jobs.requeue),
            ("lease all again", lambda: held.append(jobs.lease(size, ttl=3600))),
            ("pop while all run out", reclaim),
            ("insert 300,000", lambda: jobs.insert(*range(-300_000, 0))),
            ("take 300,000 at a time", take_all),
            ("add all again", lambda: jobs.update(range(size))),
            ("clear", jobs.clear),
        ):
            if call is reclaim:
                run_out()  # one command, and not redset's
            worst, median, seconds = worst_ping(server.port, call)
            print(
                f"{name:26} {seconds:7.2f} s   worst PING {worst * 1000:6.2f} ms, "
                f"median {median * 1000:.2f} ms"
            )


if __name__ == "__main__":
    main()
