"""How long do other clients wait while a million items are leased, given back, requeued or cleared?

``python -m bench.pauses [--size N] [--server KIND]``: the worst PING of another process during each
of them. With ``--plain``, the same keys are changed by plain commands instead: what the server
itself takes to grow its tables and to free memory.
"""

import argparse
import multiprocessing
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import redis

from redset import RedisSortedSet
from redset.embedded.supervisor import MEMORY
from tests.servers import KINDS, TestServer

# Seconds between two PINGs.
PAUSE = 0.0005
# As many members as redset returns to a set in one request.
AT_ONCE = 250

Phase = tuple[str, Callable[[], object]]


def computed(pid: int) -> float:
    """Return the seconds that the main thread of the server has computed so far; 0 if unknown."""
    try:
        spent = Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()[0]
    except OSError:
        return 0.0
    return int(spent) / 1e9


def ping(port: int, pid: int, ready: Any, over: Any, answers: Any) -> None:
    """Measure each PING until it is *over*: how long it takes, and the server computes in it."""
    client = redis.Redis(port=port)
    client.ping()
    ready.set()
    times = []
    while not over.is_set():
        before, begin = computed(pid), time.perf_counter()
        client.ping()
        took = time.perf_counter() - begin
        times.append((took, computed(pid) - before))
        time.sleep(PAUSE)
    answers.put(times)


def worst_ping(server: TestServer, call: Callable[[], object]) -> tuple[float, float, float]:
    """Return the worst PING while *call* runs, what the server computed in one, and its seconds."""
    context = multiprocessing.get_context("spawn")
    ready, over, answers = context.Event(), context.Event(), context.Queue()
    asked = (server.port, server.pid, ready, over, answers)
    process = context.Process(target=ping, args=asked)
    process.start()
    ready.wait()
    begin = time.perf_counter()
    call()
    seconds = time.perf_counter() - begin
    with redis.Redis(port=server.port) as client:  # it may go on in the background
        while client.info("memory")["lazyfree_pending_objects"]:
            time.sleep(PAUSE)
    time.sleep(1_000 * PAUSE)
    over.set()
    took, busy = zip(*answers.get(), strict=True)
    process.join()
    return max(took), max(busy), seconds


def phases_of_redset(client: Any, size: int) -> list[Phase]:
    """Return the jobs, each with its name; each goes on with what the one before left."""
    jobs: RedisSortedSet[int] = RedisSortedSet(client, "jobs", max_deliveries=1)
    jobs.update(range(size))
    held: list[Any] = []

    def reclaim() -> None:
        while jobs.stats().expired:
            jobs.pop()

    def take_all() -> None:
        while jobs.take(300_000):
            pass

    return [
        ("lease all", lambda: held.append(jobs.lease(size, ttl=3600))),
        ("release all, to the dead", lambda: held.pop().release()),
        ("requeue all", jobs.requeue),
        ("lease all again", lambda: held.append(jobs.lease(size, ttl=3600))),
        ("extend until all run out", lambda: held[0].extend(0.001)),
        ("pop while all run out", reclaim),
        ("insert 300,000", lambda: jobs.insert(*range(-300_000, 0))),
        ("take 300,000 at a time", take_all),
        ("add all again", lambda: jobs.update(range(size))),
        ("lease half", lambda: held.append(jobs.lease(size // 2, ttl=3600))),
        ("clear", jobs.clear),
        ("add after clear", lambda: jobs.update(range(5_000))),
    ]


def phases_of_plain_commands(client: Any, size: int) -> list[Phase]:
    """Return jobs that change the same keys without redset."""
    entry = b"0123456789abcdef0123456789abcdef 1 1 1 1700000000000 many worker:1"
    parts = [
        [b"i:%d" % number for number in range(first, first + AT_ONCE)]
        for first in range(0, size, AT_ONCE)
    ]

    def add(key: str, members: list[bytes]) -> None:
        client.zadd(key, dict.fromkeys(members, 1.0))

    def put(key: str, members: list[bytes], value: bytes) -> None:
        client.hset(key, mapping=dict.fromkeys(members, value))

    def lease() -> None:
        for members in parts:
            add("leased", members)
            put("held", members, entry)
            client.zrem("set", *members)

    def reclaim() -> None:
        for members in parts:
            add("set", members)
            put("deliveries", members, b"0 alone")
            client.zrem("leased", *members)
            client.hdel("held", *members)

    return [
        ("ZADD set", lambda: [add("set", members) for members in parts]),
        ("ZADD leased, HSET, ZREM", lease),
        ("ZADD set, HSET, ZREM, HDEL", reclaim),
        ("ZADD leased, HSET, ZREM", lease),
        ("UNLINK leased", lambda: client.unlink("leased")),
        ("ZADD after UNLINK", lambda: [add("other", members) for members in parts[:20]]),
    ]


def main() -> None:
    """Print the worst PING during each job, and the most that the server computed in one.

    Unlike the former, the latter doesn't depend on what else runs on this machine.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=1_000_000)
    parser.add_argument("--server", choices=KINDS, default="valkey-9.1")
    parser.add_argument("--plain", action="store_true")
    options = parser.parse_args()
    os.environ.setdefault("GLIBC_TUNABLES", MEMORY)
    with TestServer.start(options.server) as server:
        client: Any = redis.Redis(port=server.port)
        print(f"{options.server}, memory of {client.info('memory')['mem_allocator']}")
        phases = phases_of_plain_commands if options.plain else phases_of_redset
        for name, call in phases(client, options.size):
            worst, busy, seconds = worst_ping(server, call)
            print(
                f"{name:26} {seconds:7.2f} s   worst PING {worst * 1000:6.2f} ms, "
                f"most that the server computed in one {busy * 1000:6.2f} ms"
            )


if __name__ == "__main__":
    main()
