"""How soon does a waiting consumer have an item, and what does it cost while there is none?

An item carries the moment at which it was added (or is due); a consumer in another process notes
how much later it has it. Beside it, in the same run: the same with ``BZPOPMIN``, which can lose
items, and the calls that an idle consumer and a crowd of them make.
"""

import multiprocessing
import statistics
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import redis

from redset import RedisSortedSet, ScheduledSet
from redset.embedded import Server

ROUNDS = 100 if "--quick" in sys.argv else 2_000
IDLE_SECONDS = 5 if "--quick" in sys.argv else 60
CROWDS = (1, 10, 50)
PAUSE = 0.005  # seconds between two items, in which the consumer falls asleep again
STOP = -1.0

Late = list[float]  # seconds


def by_pop(client: redis.Redis) -> Callable[[], float]:
    numbers: RedisSortedSet[float] = RedisSortedSet(client, "numbers")
    return lambda: numbers.pop(timeout=None) or 0.0


def by_consume(client: redis.Redis) -> Callable[[], float]:
    consumed = RedisSortedSet[float](client, "numbers").consume()
    return lambda: next(consumed)


def by_bzpopmin(client: redis.Redis) -> Callable[[], float]:
    read = RedisSortedSet[float](client, "numbers")._spec.encoding.decode

    def pop() -> float:
        reply: Any = client.bzpopmin("numbers", timeout=0)
        return read(reply[1])

    return pop


def by_due_time(client: redis.Redis) -> Callable[[], float]:
    numbers: Any = ScheduledSet(client, "numbers", serializer=RedisSortedSet._serializer_class())
    return lambda: numbers.pop(timeout=None)


WAYS = {
    "add → pop(timeout=None)": by_pop,
    "add → consume()": by_consume,
    "add → BZPOPMIN by hand": by_bzpopmin,
    "due → ScheduledSet.pop(timeout=None)": by_due_time,
}


def consume(way: str, url: str, ready: Any, answers: Any) -> None:
    pop = WAYS[way](redis.Redis.from_url(url))
    late: Late = []
    ready.set()
    while (sent := pop()) != STOP:
        late.append(time.time() - sent)
    answers.put(late)


def measure(way: str, server: Server, client: redis.Redis) -> Late:
    context = multiprocessing.get_context("spawn")
    client.flushall()
    ready, answers = context.Event(), context.SimpleQueue()
    process = context.Process(target=consume, args=(way, server.url, ready, answers))
    process.start()
    ready.wait()
    numbers: RedisSortedSet[float] = RedisSortedSet(client, "numbers")
    scheduled = way.startswith("due")
    for _ in range(ROUNDS):
        time.sleep(PAUSE)
        moment = time.time() + (PAUSE if scheduled else 0.0)
        numbers.add(moment, moment if scheduled else 0.0)
        if scheduled:
            time.sleep(PAUSE)
    numbers.add(STOP, 0.0)
    late: Late = answers.get()
    process.join()
    return late


def calls(client: redis.Redis) -> int:
    stats = client.info("commandstats")
    names = ("evalsha", "eval")
    return sum(int(stats.get(f"cmdstat_{name}", {}).get("calls", 0)) for name in names)


def idle(server: Server, client: redis.Redis) -> float:
    """Round trips a minute of a consumer that has nothing to do, once it waits."""
    numbers: RedisSortedSet[float] = RedisSortedSet(server.client(), "numbers")
    waiting = threading.Thread(target=numbers.take, args=(1,), kwargs={"timeout": None})
    client.flushall()
    waiting.start()
    time.sleep(1)
    before = client.info("commandstats")
    time.sleep(IDLE_SECONDS)
    # What a look is sent with travels in one batch: its script is counted.
    seen = calls(client) - sum(
        int(before.get(f"cmdstat_{name}", {}).get("calls", 0)) for name in ("evalsha", "eval")
    )
    numbers.add(STOP)
    waiting.join()
    return seen * 60 / IDLE_SECONDS


def crowd(size: int, server: Server, client: redis.Redis) -> float:
    """Calls for each item, of *size* consumers that wait for it together (median)."""
    client.flushall()

    def work() -> None:
        numbers: RedisSortedSet[float] = RedisSortedSet(server.client(), "numbers")
        while numbers.pop(timeout=None) != STOP:
            pass
        numbers.add(STOP)

    threads = [threading.Thread(target=work) for _ in range(size)]
    for thread in threads:
        thread.start()
    numbers: RedisSortedSet[float] = RedisSortedSet(client, "numbers")
    time.sleep(0.5)
    counts = []
    for number in range(60):
        before = calls(client)
        numbers.add(float(number))
        time.sleep(0.1)
        counts.append(calls(client) - before)
    numbers.add(STOP)
    for thread in threads:
        thread.join()
    return statistics.median(counts[20:])


def main() -> None:
    with Server() as server, server.client() as client:
        print(f"{ROUNDS:,} items each; milliseconds until the consumer has it")
        print(f"{'':40}{'median':>10}{'99 %':>10}")
        for way in WAYS:
            late = measure(way, server, client)
            worst = statistics.quantiles(late, n=100)[98]
            print(f"{way:40}{1000 * statistics.median(late):10.2f}{1000 * worst:10.2f}")
        minute = idle(server, client)
        print(f"round trips of an idle consumer: {minute:.0f} a minute, over {IDLE_SECONDS} s")
        for size in CROWDS:
            print(f"calls for one item, {size} waiting: {crowd(size, server, client):.0f}")


if __name__ == "__main__":
    main()
