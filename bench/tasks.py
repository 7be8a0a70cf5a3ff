"""How many tasks a second go from a producer through consumers, each acknowledged?

The task does next to nothing. Each system has the same number of worker processes, which have
started before the clock does, and is asked to do its least: no results kept, nothing logged. A
block is a whole run of one system; they take turns in random order, and each round is a pass. The
CPU time is that of producer and workers, their start included. Prints, and with ``--json FILE``
writes, seconds for each task; fails if not each was done once.
"""

import argparse
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import redis

from bench.pairs import Block, Group, Series, as_json, ratio
from bench.tasks_of import WARM_UP
from tests.servers import TestServer

WORKERS = 2
ROUNDS = 5
ROOT = Path(__file__).resolve().parents[1]
TIMEOUT_SECONDS = 900
TITLE = "tasks"
BASE = "huey"


class System(NamedTuple):
    """A module of `bench.tasks_of`, how workers and producer start, and how much they do."""

    module: str
    worker: list[str]
    tasks: int
    producer: tuple[str, ...] = ()
    processes: int = 1  # of the command, which may start several workers


HUEY = ["huey.bin.huey_consumer", "bench.tasks_of.with_huey.huey", "-k", "process", "-n", "-q"]
DRAMATIQ = ["dramatiq", "bench.tasks_of.with_dramatiq", "-t", "1"]
REDSET = ["bench.tasks_of.with_redset", "worker"]

SYSTEMS = {
    "redset, consume(100), update": System(
        "with_redset", [*REDSET, "100"], 100_000, ("at once",), WORKERS
    ),
    "redset, consume(100), add": System(
        "with_redset", [*REDSET, "100"], 20_000, ("one by one",), WORKERS
    ),
    "redset, consume(1), update": System(
        "with_redset", [*REDSET, "1"], 20_000, ("at once",), WORKERS
    ),
    "redset, consume(1), add": System(
        "with_redset", [*REDSET, "1"], 10_000, ("one by one",), WORKERS
    ),
    BASE: System("with_huey", [*HUEY, "-w", str(WORKERS)], 5_000),
    "rq": System("with_rq", ["bench.tasks_of.with_rq", "worker"], 1_000, (), WORKERS),
    "dramatiq": System("with_dramatiq", [*DRAMATIQ, "-p", str(WORKERS)], 2_000),
}


def run(system: System, server: TestServer, total: int, done: Path) -> float:
    """Return the seconds that *total* tasks take, from the first that is enqueued."""
    environment = os.environ | {
        "BENCH_PORT": str(server.port),
        "BENCH_DONE": str(done),
        "PYTHONPATH": str(ROOT),
    }
    quiet = subprocess.DEVNULL
    workers = [
        subprocess.Popen(
            [sys.executable, "-m", *system.worker], env=environment, stdout=quiet, stderr=quiet
        )
        for _ in range(system.processes)
    ]
    producer = [sys.executable, "-m", f"bench.tasks_of.{system.module}", str(total)]
    try:
        said = subprocess.run(
            [*producer, *system.producer],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            timeout=TIMEOUT_SECONDS,
        ).stdout
    finally:
        for worker in workers:
            worker.terminate()
        for worker in workers:
            worker.wait()
    return float(said)


def processor_seconds() -> float:
    """Return the CPU time of all processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measure(server: TestServer, folder: Path, part: int, number: int) -> Group:
    """Let each system do one run, in random order."""
    found: Group = {}
    names = list(SYSTEMS)
    random.Random(number).shuffle(names)
    for name in names:
        with redis.Redis(port=server.port) as client:
            client.flushall()
        total, done = SYSTEMS[name].tasks // part, folder / f"{name} {number}"
        before = processor_seconds()
        seconds = run(SYSTEMS[name], server, total, done)
        cpu = processor_seconds() - before
        if (did := done.stat().st_size - WARM_UP) != total:
            sys.exit(f"{name}: {did} tasks done, not {total}")
        found[name] = Series.of([Block(seconds / total, cpu / total)])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--passes", type=int, default=ROUNDS)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rounds, part = (1, 10) if options.quick else (options.passes, 1)
    group: Group = {}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(rounds):
            with TestServer.start("valkey-9.1") as server:
                found = measure(server, Path(folder), part, number)
            group = {name: group[name] + found[name] if group else found[name] for name in SYSTEMS}
    for name, series in group.items():
        rates = [1 / seconds for each in series.wall for seconds in each]
        times = ratio(group[BASE], series)
        print(f"{name:32}{statistics.median(rates):12,.0f} tasks per second, {BASE} x {times}")
    if options.json:
        options.json.write_text(json.dumps(as_json({TITLE: group})))


if __name__ == "__main__":
    main()
