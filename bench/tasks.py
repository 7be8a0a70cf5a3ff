"""How many tasks a second go from a producer through consumers, each acknowledged?

The task does next to nothing. Each system has the same number of worker processes, which have
started before the clock does, and is asked to do its least: no results kept, nothing logged.
Prints, and with ``--json FILE`` writes, tasks per second; fails if not each was done once.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import redis

from bench.tasks_of import WARM_UP
from tests.servers import TestServer

WORKERS = 2
ROOT = Path(__file__).resolve().parents[1]
PATIENCE_SECONDS = 900


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
        "with_redset", [*REDSET, "100"], 50_000, ("one by one",), WORKERS
    ),
    "redset, consume(1), add": System(
        "with_redset", [*REDSET, "1"], 20_000, ("one by one",), WORKERS
    ),
    "huey": System("with_huey", [*HUEY, "-w", str(WORKERS)], 5_000),
    "rq": System("with_rq", ["bench.tasks_of.with_rq", "worker"], 2_000, (), WORKERS),
    "dramatiq": System("with_dramatiq", [*DRAMATIQ, "-p", str(WORKERS)], 5_000),
}


def run(system: System, server: TestServer, total: int, done: Path) -> float:
    """Give the seconds that *total* tasks take, from the first that is enqueued."""
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
            timeout=PATIENCE_SECONDS,
        ).stdout
    finally:
        for worker in workers:
            worker.terminate()
        for worker in workers:
            worker.wait()
    return float(said)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rounds, part = (1, 10) if options.quick else (3, 1)
    results: dict[str, list[float]] = {name: [] for name in SYSTEMS}
    with (
        TestServer.start("valkey-9.1") as server,
        redis.Redis(port=server.port) as client,
        tempfile.TemporaryDirectory() as folder,
    ):
        for turn in range(rounds):
            for name, system in SYSTEMS.items():
                client.flushall()
                total, done = system.tasks // part, Path(folder, f"{name} {turn}")
                seconds = run(system, server, total, done)
                if (found := done.stat().st_size - WARM_UP) != total:
                    sys.exit(f"{name}: {found} tasks done, not {total}")
                results[name].append(total / seconds)
    for name, rates in results.items():
        print(f"{name:32}{statistics.median(rates):12,.0f} tasks per second")
    if options.json:
        options.json.write_text(json.dumps(results))


if __name__ == "__main__":
    main()
