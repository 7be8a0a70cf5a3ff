"""How does the cost of an operation grow with the size of the set?

Sets of all sizes are on one server, and take turns. At each size the median, and the memory that
the client needs at its peak in KiB, in a run of its own; algebra and iteration only where they take
seconds, not minutes. ``--json FILE`` writes what `bench.report` draws.
"""

import argparse
import json
import random
import tracemalloc
from collections.abc import Callable
from functools import partial
from pathlib import Path

import redis

from bench.pairs import Group, Work, interleave
from bench.placement import served
from redset import RedisSortedSet

SIZES = [1_000, 10_000, 100_000, 1_000_000, 10_000_000]
LARGEST_OF_LINEAR = 1_000_000
CALLS = 10
TAKEN = 100
SECONDS = 3

Numbers = RedisSortedSet[int]
# The operation, how often a block repeats it, and whether its cost may grow with the set.
OPERATIONS: dict[str, tuple[Callable[[Numbers, Numbers], object], int, bool]] = {
    "in": (lambda a, _: 500 in a, CALLS, False),
    "len": (lambda a, _: len(a), CALLS, False),
    "add": (lambda a, _: a.add(500, 500), CALLS, False),
    "peek": (lambda a, _: a.peek(), CALLS, False),
    "take(100)": (lambda a, _: a.take(TAKEN), 1, False),
    "a[5:15]": (lambda a, _: a[5:15], CALLS, False),
    "iterate": (lambda a, _: sum(1 for _ in a), 1, True),
    "a & b": (lambda a, b: (a & b).close(), 1, True),
    "a == b": (lambda a, b: a == b, 1, True),
}


def fill(client: redis.Redis, size: int) -> tuple[Numbers, Numbers]:
    """Make two equal sets; one, if they are too large for what grows."""
    a: Numbers = RedisSortedSet(client, f"a:{size}", scorer=int)
    a.update(range(size))
    return a, a.copy(into=f"b:{size}") if size <= LARGEST_OF_LINEAR else a


def work_of(name: str, a: Numbers, b: Numbers) -> Work:
    operation, calls, _ = OPERATIONS[name]
    work = Work(partial(operation, a, b), calls, warm_up=0 if calls == 1 else 1)
    if name.startswith("take"):
        work.prepare = partial(a.update, range(TAKEN))
    return work


def peak(work: Work) -> float:
    """Return the KiB that Python allocates beyond what it has, at the most."""
    work.prepare()
    tracemalloc.start()
    work.call()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    sizes = SIZES[:2] if options.quick else SIZES
    order = random.Random(0)
    found: dict[str, Group] = {}
    memory: dict[str, dict[str, float]] = {}
    # A command on a set of a million items may take longer than a client waits by default.
    with (
        served(0) as server,
        redis.Redis(unix_socket_path=server.unix_socket, socket_timeout=120) as client,
    ):
        sets = {size: fill(client, size) for size in sizes}
        for name, (_, _, grows) in OPERATIONS.items():
            work = {
                f"{size}": work_of(name, *sets[size])
                for size in sizes
                if size <= LARGEST_OF_LINEAR or not grows
            }
            found[name] = interleave(work, 0 if options.quick else SECONDS, order)
            memory[name] = {size: peak(each) for size, each in work.items()}
    costs: dict[str, dict[str, tuple[float, float]]] = {
        f"{size}": {
            name: (1e6 * group[f"{size}"].median(), memory[name][f"{size}"])
            for name, group in found.items()
            if f"{size}" in group
        }
        for size in sizes
    }
    for place, unit in enumerate(("microseconds", "KiB")):
        print(f"{unit:12}" + "".join(f"{size:>14,}" for size in sizes))
        for name in OPERATIONS:
            cells = (costs[f"{size}"].get(name) for size in sizes)
            print(f"{name:12}" + "".join("" if c is None else f"{c[place]:14,.0f}" for c in cells))
    if options.json:
        options.json.write_text(json.dumps(costs))


if __name__ == "__main__":
    main()
