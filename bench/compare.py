"""Compare two versions of redset in one run: a commit, and what is in this directory.

Each version has a process of its own, both ask one server, and their blocks alternate in random
order (`bench.pairs`). All share one core, so that no round trip waits for another core to wake up.
Each process also measures the same commands by hand, whose ratio tells what the run can't, and over
a raw socket, which no client can avoid: what its own raw socket takes is subtracted for "above". A
pass has new processes and a new server.

    python -m bench.compare REV [--only WORD ...] [--passes N] [--seconds N]
"""

import argparse
import importlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any, Self

import redis

from bench.pairs import (
    FEWEST_ROUNDS,
    MAX_ROUNDS,
    Block,
    Groups,
    Series,
    merge,
    pass_medians,
    ratio,
    time_of,
)
from bench.placement import cores, served

ROOT = Path(__file__).resolve().parents[1]
OLD, NEW = "old", "new"
SIDES = (OLD, NEW)
COMPARED = ["redset", "redset, Python values", "redis-py by hand", "raw socket"]
HAND, FLOOR = COMPARED[2:]
ASYNC_WAYS = {"redset": "redset", "by hand": HAND}
ASYNC_TASKS = 100
WARM_UP = 10  # the other process has just used the caches of this core
MANY = 20_000  # items of a large set
SECONDS = 2.0  # of each operation in a pass


class Worker:
    """The process of one version: makes the work of an operation, and runs blocks when told."""

    def __init__(self, redset: Path, port: int) -> None:
        # The harness is this directory's in both.
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bench.compare", "--worker", str(redset), "--port", str(port)],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": ""},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, *words: str) -> Any:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(words) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit(f"the process that measures ended with {self.process.wait()}")
        return json.loads(answer)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def work(redset: Path, port: int) -> None:
    """Be a worker: read orders, write answers."""
    if chosen := cores(0):
        os.sched_setaffinity(0, {chosen[0]})
    sys.path.insert(0, str(redset))
    found = Path(str(importlib.import_module("redset").__file__)).resolve()
    if not found.is_relative_to(redset.resolve()):
        sys.exit(f"expected redset of {redset}, imported {found}")
    # Only now, as they import redset.
    known = importlib.import_module("bench.operations")
    awaiting = importlib.import_module("bench.bench_asyncio")

    client = redis.Redis(port=port)
    awaited = None
    works: dict[str, Any] = {}
    for line in sys.stdin:
        order, *words = json.loads(line)
        answer: Any = None
        if order == "block":
            answer = works[words[0]].block()
        elif order == "operation":
            operation = next(each for each in known.OPERATIONS if each.title == words[0])
            operation = replace(operation, warm_up=WARM_UP)
            kinds = [kind for kind in operation.competitors if kind.name in COMPARED]
            works = known.work_of(operation, client, MANY, kinds, prefix=words[1])
            answer = list(works)
        else:
            if awaited is None:
                awaited = awaiting.Awaited(port, ASYNC_TASKS)
            made = awaiting.work_of(words[0], awaited)
            works = {ASYNC_WAYS[name]: each for name, each in made.items() if name in ASYNC_WAYS}
            answer = list(works)
        print(json.dumps(answer), flush=True)


def all_operations() -> list[tuple[str, str]]:
    """Return the word that orders each operation from a worker, and its title."""
    from bench.bench_asyncio import titles
    from bench.operations import OPERATIONS

    known = [("operation", operation.title) for operation in OPERATIONS]
    return known + [("asyncio", title) for title in titles(ASYNC_TASKS)]


def interleave(workers: dict[str, Worker], names: list[str], seconds: float, order: Any) -> Any:
    """Let both versions run one block right after the other; return series by side and name."""
    names, sides = list(names), list(SIDES)
    blocks: dict[tuple[str, str], list[Block]] = {each: [] for each in product(SIDES, names)}
    end, rounds = time.monotonic() + seconds, 0
    while rounds < FEWEST_ROUNDS or (rounds < MAX_ROUNDS and time.monotonic() < end):
        order.shuffle(names)
        for name in names:
            order.shuffle(sides)
            for side in sides:
                blocks[side, name].append(Block(*workers[side].ask("block", name)))
        rounds += 1
    return {f"{side} {name}": Series.of(each) for (side, name), each in blocks.items()}


def one_pass(old: Path, operations: list[tuple[str, str]], seconds: float, number: int) -> Groups:
    """Measure all operations once, with new processes and a new server."""
    order, groups = random.Random(number), {}
    sides = [OLD, NEW] if number % 2 else [NEW, OLD]  # who starts first
    paths = {OLD: old, NEW: ROOT}
    with ExitStack() as stack:
        server = stack.enter_context(served(0, stay=False))
        client = stack.enter_context(redis.Redis(port=server.port))
        workers = {side: stack.enter_context(Worker(paths[side], server.port)) for side in sides}
        for order_word, title in operations:
            client.flushall()
            names, _ = (worker.ask(order_word, title, side) for side, worker in workers.items())
            heading = title.format(many=MANY)
            if order_word == "asyncio":
                heading = f"asyncio: {title}"
            groups[heading] = interleave(workers, names, seconds, order)
    return groups


def above(series: Series, floor: Series) -> Series:
    """Subtract what the raw socket of the same process takes in the same round."""
    wall, cpu = (
        [
            [max(0.0, a - b) for a, b in zip(*each, strict=True)]
            for each in zip(getattr(series, clock), getattr(floor, clock), strict=True)
        ]
        for clock in ("wall", "cpu")
    )
    return Series(wall, cpu)


def show(title: str, group: dict[str, Series]) -> None:
    """Print what one operation takes in both versions."""
    print(title)
    for name in COMPARED:
        if f"{OLD} {name}" not in group:
            continue
        old, new = (group[f"{side} {name}"] for side in SIDES)
        wall, cpu = (ratio(new, old, clock) for clock in ("wall", "cpu"))
        times = f"{time_of(old.median('cpu'))} -> {time_of(new.median('cpu'))}"
        label = f"({name})" if name in {HAND, FLOOR} else name
        print(f"  {label:24}wall {wall!s:22}{wall.verdict:9}CPU {cpu!s:22}{cpu.verdict:9}{times}")
        if name in {HAND, FLOOR}:
            continue
        passes = " ".join(f"{each:.2f}" for each in pass_medians(new, old, "cpu"))
        said = f"CPU of each pass: {passes}"
        if f"{OLD} {FLOOR}" in group:
            old, new = (above(group[f"{side} {name}"], group[f"{side} {FLOOR}"]) for side in SIDES)
            said += f"; above the raw socket {ratio(new, old, 'cpu')}"
        print(f"  {'':24}{said}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("rev", nargs="?", help="the commit to compare with")
    parser.add_argument("--only", nargs="*", default=[], help="words of the operations' names")
    parser.add_argument("--passes", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of an operation and pass")
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        work(options.worker, options.port)
        return
    if not options.rev:
        parser.error("expected a commit, for example HEAD~1 or v1.0.0")
    chosen = [
        (kind, title)
        for kind, title in all_operations()
        if not options.only or any(word in f"{kind} {title}" for word in options.only)
    ]
    with tempfile.TemporaryDirectory(prefix="redset-bench-") as folder:
        archive = subprocess.run(
            ["git", "archive", options.rev, "redset"], cwd=ROOT, check=True, stdout=subprocess.PIPE
        )
        subprocess.run(["tar", "-x", "-C", folder], input=archive.stdout, check=True)
        groups: Groups = {}
        for number in range(options.passes):
            began = time.monotonic()
            merge(groups, one_pass(Path(folder), chosen, options.seconds, number))
            took = time.monotonic() - began
            print(f"pass {number + 1} of {options.passes}: {took:.0f} s", file=sys.stderr)
    print(
        f"this directory beside {options.rev}: times as long, 1.00 = the same, lower is better; "
        "(in brackets) what both do alike"
    )
    for title, group in groups.items():
        show(title, group)


if __name__ == "__main__":
    main()
