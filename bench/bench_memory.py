"""Does memory stay where it is, however large the sets are?

Iterates over a set, and combines and compares two of them, each in a process of its own, and
prints how far that process's peak of resident memory rose, and the commands that the server saw.
"""

import argparse
import json
import multiprocessing
from collections.abc import Callable
from pathlib import Path

import redis

from redset import RedisSortedSet
from redset.embedded import Server

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--quick", action="store_true")
parser.add_argument("--json", type=Path)
OPTIONS = parser.parse_args()
SIZE = 20_000 if OPTIONS.quick else 1_000_000


def iterate(a: RedisSortedSet[int], _b: RedisSortedSet[int]) -> object:
    return sum(1 for _ in a)


def iterate_backwards(a: RedisSortedSet[int], _b: RedisSortedSet[int]) -> object:
    return sum(1 for _ in reversed(a))


# What is asked of a and another set.
QUESTIONS: dict[str, tuple[Callable[[RedisSortedSet[int], RedisSortedSet[int]], object], str]] = {
    "for item in a": (iterate, "b"),
    "for item in reversed(a)": (iterate_backwards, "b"),
    "a & b": (lambda a, b: (a & b).name, "b"),
    "a | b": (lambda a, b: (a | b).name, "b"),
    "a - b": (lambda a, b: (a - b).name, "b"),
    "a ^ b": (lambda a, b: (a ^ b).name, "b"),
    "a == b": (lambda a, b: a == b, "b"),
    "a == c, an equal set": (lambda a, c: a == c, "c"),
    "a <= b": (lambda a, b: a <= b, "b"),
    "a <= c, an equal set": (lambda a, c: a <= c, "c"),
    "a.isdisjoint(b)": (lambda a, b: a.isdisjoint(b), "b"),
    "a.isdisjoint(d), a disjoint set": (lambda a, d: a.isdisjoint(d), "d"),
}


def fill(client: redis.Redis) -> None:
    ranges = {"a": 0, "b": SIZE // 2, "c": 0, "d": SIZE}
    for name, start in ranges.items():
        RedisSortedSet[int](client, name).update(range(start, start + SIZE))


def ask(question: str, url: str, answers: "multiprocessing.SimpleQueue[tuple[float, int]]") -> None:
    # A command on sets of this size may take longer than a client waits by default.
    client = redis.Redis.from_url(url, socket_timeout=120)
    operation, other = QUESTIONS[question]
    sets = (RedisSortedSet[int](client, "a"), RedisSortedSet[int](client, other))
    len(sets[0])  # connected
    before, commands = peak(), calls(client)
    operation(*sets)
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
        found: dict[str, tuple[float, int]] = {}
        for question in QUESTIONS:
            answers: multiprocessing.SimpleQueue[tuple[float, int]] = context.SimpleQueue()
            process = context.Process(target=ask, args=(question, server.url, answers))
            process.start()
            process.join()
            if process.exitcode:  # it has said why
                raise SystemExit(process.exitcode)
            grown, commands = answers.get()
            found[question] = (grown, commands)
            print(f"{question:34}{grown:7.1f} MB{commands:10}")
    if OPTIONS.json:
        OPTIONS.json.write_text(json.dumps(found))


if __name__ == "__main__":
    main()
