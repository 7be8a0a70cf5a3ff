"""How does the cost of an operation grow with the size of the set?

At each size the median in microseconds, and the memory that the client needs at its peak in KiB, in
a run of its own; algebra and iteration only where they take seconds, not minutes. ``--json FILE``
writes what `bench.report` draws.
"""

import argparse
import json
import statistics
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import redis

from redset import RedisSortedSet
from tests.servers import TestServer

SIZES = [1_000, 10_000, 100_000, 1_000_000, 10_000_000]
LARGEST_OF_LINEAR = 1_000_000

Numbers = RedisSortedSet[int]
# The operation, how often it is repeated, and whether its cost may grow with the set.
OPERATIONS: dict[str, tuple[Callable[[Numbers, Numbers], object], int, bool]] = {
    "in": (lambda a, _: 500 in a, 300, False),
    "len": (lambda a, _: len(a), 300, False),
    "add": (lambda a, _: a.add(500, 500), 300, False),
    "peek": (lambda a, _: a.peek(), 300, False),
    "take(100)": (lambda a, _: a.take(100), 9, False),
    "a[5:15]": (lambda a, _: a[5:15], 300, False),
    "iterate": (lambda a, _: sum(1 for _ in a), 3, True),
    "a & b": (lambda a, b: (a & b).close(), 3, True),
    "a == b": (lambda a, b: a == b, 3, True),
}


def measure(client: redis.Redis, size: int) -> dict[str, tuple[float, float]]:
    client.flushall()
    a: Numbers = RedisSortedSet(client, "a", scorer=int)
    a.update(range(size))
    linear = size <= LARGEST_OF_LINEAR
    b = a.copy(into="b") if linear else a
    costs = {}
    for name, (operation, times, grows) in OPERATIONS.items():
        if linear or not grows:
            seconds = []
            for _ in range(times):
                begin = time.perf_counter()
                operation(a, b)
                seconds.append(time.perf_counter() - begin)
            costs[name] = (1e6 * statistics.median(seconds), peak(operation, a, b))
    return costs


def peak(operation: Callable[[Numbers, Numbers], object], a: Numbers, b: Numbers) -> float:
    """The KiB that Python allocates beyond what it has, at the most."""
    tracemalloc.start()
    operation(a, b)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    sizes = SIZES[:2] if options.quick else SIZES
    # A command on a set of a million items may take longer than a client waits by default.
    with (
        TestServer.start("valkey-9.1") as server,
        redis.Redis(unix_socket_path=server.unix_socket, socket_timeout=120) as client,
    ):
        costs = {size: measure(client, size) for size in sizes}
    for place, unit in enumerate(("microseconds", "KiB")):
        print(f"{unit:12}" + "".join(f"{size:>14,}" for size in sizes))
        for name in OPERATIONS:
            cells = (costs[size].get(name) for size in sizes)
            print(f"{name:12}" + "".join("" if c is None else f"{c[place]:14,.0f}" for c in cells))
    if options.json:
        options.json.write_text(json.dumps(costs))


if __name__ == "__main__":
    main()
