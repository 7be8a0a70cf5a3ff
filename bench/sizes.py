"""How much of the server's memory does an item take, in each of its states?

Fills a set with members of several lengths, brings all of them into one state after the other, and
asks the server by MEMORY USAGE what all keys of the set take. Prints a table in Markdown, which
docs/deployment.md shows. Nothing here measures time.

    python -m bench.sizes            # 10,000 items, on the embedded server
    python -m bench.sizes --quick    # 1,000
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import redis

from redset import RedisSortedSet
from redset.embedded import Server

LENGTHS = (10, 100, 1_000)
Jobs = RedisSortedSet[str]


def texts(number: int, length: int) -> list[str]:
    """Return *number* texts, each of *length* characters."""
    return [f"{place:0{length}d}" for place in range(number)]


def fill(jobs: Jobs, items: list[str]) -> None:
    jobs.add_scored({item: float(place) for place, item in enumerate(items)})


def lease(jobs: Jobs, items: list[str]) -> Any:
    fill(jobs, items)
    return jobs.lease(len(items), ttl=3_600)


def dead_letter(jobs: Jobs, items: list[str], error: str = "") -> None:
    lease(jobs, items).reject(error=error or None)


def compute(jobs: Jobs, items: list[str]) -> Any:
    fill(jobs, items)
    return jobs | set()  # a result is kept as long as its handle


def see(jobs: Jobs, items: list[str]) -> None:
    fill(jobs, items)
    while jobs.take(1_000):
        pass


STATES: dict[str, tuple[Callable[[Jobs, list[str]], Any], dict[str, Any]]] = {
    "ready": (fill, {}),
    "on lease": (lease, {}),
    "dead, without a text": (dead_letter, {}),
    "dead, with a text of 100 characters": (
        lambda *about: dead_letter(*about, error="x" * 100),
        {},
    ),
    'only seen (`unique="forever"`)': (see, {"unique": "forever"}),
    "ready and in a result": (compute, {}),
}


def memory_of(client: redis.Redis) -> int:
    """Return the bytes of all keys, but for what the last call was given, which runs out."""
    return sum(
        int(client.memory_usage(key, samples=0) or 0)
        for key in client.scan_iter()
        if b":given:" not in key
    )


def measured(client: redis.Redis, number: int) -> dict[str, list[int]]:
    """Return the bytes of an item for each state and length."""
    found: dict[str, list[int]] = {}
    for state, (bring, options) in STATES.items():
        for length in LENGTHS:
            client.flushall()
            jobs: Jobs = RedisSortedSet(client, "jobs", **options)
            kept = bring(jobs, texts(number, length))
            found.setdefault(state, []).append(round(memory_of(client) / number))
            del kept
    return found


def table(found: dict[str, list[int]]) -> str:
    """Return *found* as a table."""
    heads = [f"{length:,} bytes" for length in LENGTHS]
    lines = [f"| an item that is … | {' | '.join(heads)} |", "| --- " + "| --: " * len(heads) + "|"]
    for state, sizes in found.items():
        lines.append(f"| {state} | {' | '.join(f'{size:,}' for size in sizes)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--url", help="a server of yours, all of whose keys are deleted")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    number = 1_000 if options.quick else 10_000
    if options.url:
        found = measured(redis.Redis.from_url(options.url), number)
    else:
        with Server() as server:
            found = measured(server.client(), number)
    print(table(found))
    if options.json:
        options.json.write_text(json.dumps(found))


if __name__ == "__main__":
    main()
