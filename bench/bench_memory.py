"""Does memory stay where it is, however large the sets are?

Iterates over a set, and combines and compares two of them, each in a process of its own, and
prints how far that process's peak of resident memory rose, and the commands that the server saw.
"""

import multiprocessing
import sys
from collections.abc import Callable
from pathlib import Path

import redis

from redset import RedisSortedSet
from redset.embedded import Server

SIZE = 20_000 if "--quick" in sys.argv else 1_000_000


def iterate(a: RedisSortedSet[int], _b: RedisSortedSet[int]) -> object:
    return sum(1 for _ in a)


def iterate_backwards(a: RedisSortedSet[int], _b: RedisSortedSet[int]) -> object:
    return sum(1 for _ in reversed(a))


QUESTIONS: dict[str, Callable[[RedisSortedSet[int], RedisSortedSet[int]], object]] = {
    "for item in a": iterate,
    "for item in reversed(a)": iterate_backwards,
    "a & b": lambda a, b: (a & b).name,
    "a | b": lambda a, b: (a | b).name,
    "a - b": lambda a, b: (a - b).name,
    "a ^ b": lambda a, b: (a ^ b).name,
    "a == b": lambda a, b: a == b,
    "a == c, an equal set": lambda a, b: a == RedisSortedSet(a._client, "c"),
    "a <= b": lambda a, b: a <= b,
    "a <= c, an equal set": lambda a, b: a <= RedisSortedSet(a._client, "c"),
    "a.isdisjoint(b)": lambda a, b: a.isdisjoint(b),
    "a.isdisjoint(d), a disjoint set": lambda a, b: a.isdisjoint(RedisSortedSet(a._client, "d")),
}


def fill(client: redis.Redis) -> None:
    ranges = {"a": 0, "b": SIZE // 2, "c": 0, "d": SIZE}
    for name, start in ranges.items():
        RedisSortedSet[int](client, name).update(range(start, start + SIZE))


def ask(question: str, url: str, answers: "multiprocessing.SimpleQueue[tuple[float, int]]") -> None:
    client = redis.Redis.from_url(url)
    sets = (RedisSortedSet[int](client, "a"), RedisSortedSet[int](client, "b"))
    len(sets[0])  # connected
    before, commands = peak(), calls(client)
    QUESTIONS[question](*sets)
    answers.put((peak() - before, calls(client) - commands))


def peak() -> float:
    """The highest resident memory of this process so far, in MB."""
    # Linux only; ru_maxrss would start at what the parent process had.
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def calls(client: redis.Redis) -> int:
    """How many scripts the server was asked to run: each is one round trip of its own."""
    stats = client.info("commandstats")
    names = ("cmdstat_evalsha", "cmdstat_eval")
    return sum(int(stats.get(name, {}).get("calls", 0)) for name in names)


def main() -> None:
    context = multiprocessing.get_context("spawn")
    with Server() as server:
        with server.client() as client:
            fill(client)
        print(f"sets of {SIZE:,} items")
        print(f"{'':34}{'memory':>10}{'scripts':>10}")
        for question in QUESTIONS:
            answers: multiprocessing.SimpleQueue[tuple[float, int]] = context.SimpleQueue()
            process = context.Process(target=ask, args=(question, server.url, answers))
            process.start()
            grown, commands = answers.get()
            process.join()
            print(f"{question:34}{grown:7.1f} MB{commands:10}")


if __name__ == "__main__":
    main()
