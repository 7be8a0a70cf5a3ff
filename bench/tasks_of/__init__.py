"""The same task, which only counts, for each system that is compared."""

import os
import sys
import time
from collections.abc import Callable

import redis

client = redis.Redis(port=int(os.environ.get("BENCH_PORT", "6379")))


def count() -> None:
    client.incr("done")


def produce(enqueue: Callable[[], object], warm_up: int = 20) -> None:
    """Enqueue so many tasks as the command line says; print the seconds until all are done."""
    total = int(sys.argv[1])
    for _ in range(warm_up):
        enqueue()
    wait_for(warm_up)
    client.set("done", 0)
    begin = time.perf_counter()
    for _ in range(total):
        enqueue()
    wait_for(total)
    print(time.perf_counter() - begin)


def wait_for(total: int) -> None:
    while int(client.get("done") or 0) < total:
        time.sleep(0.005)
