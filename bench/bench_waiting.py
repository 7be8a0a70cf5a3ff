"""How soon does a waiting consumer have an item, and what does it cost while there is none?

An item carries the moment at which it was added (or is due); a consumer in another process notes
how much later it has it, and the CPU time that it used for it. All ways have a waiting consumer at
the same time, and the items go to them in turns. Beside them: ``BZPOPMIN`` by hand, which can lose
items; and the calls that an idle consumer and a crowd of them make.
"""

import argparse
import json
import multiprocessing
import random
import statistics
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import redis

from bench.pairs import PASSES, Block, Group, Groups, Series, as_json, merge, print_group
from redset import ScheduledSet, SortedSet
from tests.servers import TestServer

ROUNDS, ROUNDS_QUICK = 200, 10  # of a pass: as many items for each way
IDLE_SECONDS, IDLE_SECONDS_QUICK = 30, 2
CROWDS = (1, 10, 50)
CROWD_ITEMS, CROWD_ITEMS_QUICK = 60, 10
PAUSE = 0.005  # seconds between two items, in which the consumer falls asleep again
STOP = "-1"
TITLE = "waiting"
BY_HAND = "add → BZPOPMIN by hand"
DUE = "due → ScheduledSet.pop(timeout=None)"

Pop = Callable[[], str]
Add = Callable[[str, float], object]  # an item, the moment when it is due


def by_pop(client: redis.Redis) -> tuple[Pop, Add]:
    shared: SortedSet[str] = SortedSet(client, "popped")
    return lambda: str(shared.pop(timeout=None)), lambda item, _: shared.add(item, 0.0)


def by_consume(client: redis.Redis) -> tuple[Pop, Add]:
    shared: SortedSet[str] = SortedSet(client, "consumed")
    consumed = shared.consume()
    return lambda: next(consumed), lambda item, _: shared.add(item, 0.0)


def by_bzpopmin(client: redis.Redis) -> tuple[Pop, Add]:
    def pop() -> str:
        reply: Any = client.bzpopmin("by hand", timeout=0)
        return str(reply[1].decode())

    return pop, lambda item, _: client.zadd("by hand", {item: 0.0})


def by_due_time(client: redis.Redis) -> tuple[Pop, Add]:
    shared: ScheduledSet[str] = ScheduledSet(client, "scheduled")
    return lambda: str(shared.pop(timeout=None)), shared.add


WAYS: dict[str, Callable[[redis.Redis], tuple[Pop, Add]]] = {
    "add → pop(timeout=None)": by_pop,
    "add → consume()": by_consume,
    BY_HAND: by_bzpopmin,
    DUE: by_due_time,
}


def consume(way: str, port: int, ready: Any, answers: Any) -> None:
    # A consumer waits for longer than a client waits for a reply by default.
    pop, _ = WAYS[way](redis.Redis(port=port, socket_timeout=None))
    blocks = []
    ready.set()
    before = time.process_time()
    while (item := pop()) != STOP:
        late, cpu = time.time() - float(item), time.process_time()
        blocks.append((late, cpu - before))
        before = cpu
    answers.put(blocks)


def measure(rounds: int, number: int) -> Groups:
    """Give each way as many items as there are rounds, one of each in turns."""
    context = multiprocessing.get_context("spawn")
    order, names = random.Random(number), list(WAYS)
    answers = {name: context.SimpleQueue() for name in names}
    with TestServer.start("valkey-9.1") as server, redis.Redis(port=server.port) as client:
        processes = []
        for name in names:
            ready = context.Event()
            arguments = (name, server.port, ready, answers[name])
            processes.append(context.Process(target=consume, args=arguments))
            processes[-1].start()
            ready.wait()
        add = {name: WAYS[name](client)[1] for name in names}
        for _ in range(rounds):
            order.shuffle(names)
            for name in names:
                time.sleep(PAUSE)
                wait = PAUSE if name == DUE else 0.0
                moment = time.time() + wait
                add[name](repr(moment), moment)
                time.sleep(wait)
        time.sleep(0.1)
        for name in names:
            add[name](STOP, 0.0)
        found: Group = {}
        for name in WAYS:
            blocks = [Block(*each) for each in answers[name].get()]
            if len(blocks) != rounds:
                raise SystemExit(f"{name}: {len(blocks)} items came, not {rounds}")
            found[name] = Series.of(blocks)
        for process in processes:
            process.join()
    return {TITLE: found}


def calls(client: redis.Redis) -> int:
    """Return how often the server ran a script: how often a consumer looked for an item."""
    stats: Any = client.info("commandstats")
    names = ("evalsha", "eval")
    return sum(int(stats.get(f"cmdstat_{name}", {}).get("calls", 0)) for name in names)


def idle(server: TestServer, client: redis.Redis, seconds: float) -> float:
    """Return the looks for an item, a minute, of a consumer that has nothing to do."""
    shared: SortedSet[str] = SortedSet(redis.Redis(port=server.port), "idle")
    waiting = threading.Thread(target=shared.take, args=(1,), kwargs={"timeout": None})
    waiting.start()
    time.sleep(1)
    before = calls(client)
    time.sleep(seconds)
    seen = calls(client) - before
    shared.add(STOP)
    waiting.join()
    return seen * 60 / seconds


def crowd(size: int, number: int, server: TestServer, client: redis.Redis) -> float:
    """Return the calls for each item, of *size* consumers that wait for it together (median)."""
    client.flushall()

    def work() -> None:
        shared: SortedSet[str] = SortedSet(redis.Redis(port=server.port), "crowd")
        while shared.pop(timeout=None) != STOP:
            pass
        shared.add(STOP)

    threads = [threading.Thread(target=work) for _ in range(size)]
    for thread in threads:
        thread.start()
    shared: SortedSet[str] = SortedSet(client, "crowd")
    time.sleep(0.5)
    counts = []
    for item in range(number):
        before = calls(client)
        shared.add(f"{item}")
        time.sleep(0.1)
        counts.append(calls(client) - before)
    shared.add(STOP)
    for thread in threads:
        thread.join()
    return statistics.median(counts[number // 3 :])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--passes", type=int, default=PASSES)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rounds = ROUNDS_QUICK if options.quick else ROUNDS
    groups: Groups = {}
    for number in range(1 if options.quick else options.passes):
        merge(groups, measure(rounds, number))
    print_group("seconds until the consumer has it", groups[TITLE], BY_HAND)
    with TestServer.start("valkey-9.1") as server, redis.Redis(port=server.port) as client:
        seconds = IDLE_SECONDS_QUICK if options.quick else IDLE_SECONDS
        counted = {"idle": idle(server, client, seconds)}
        print(f"looks of an idle consumer: {counted['idle']:.0f} a minute, over {seconds} s")
        for size in CROWDS[:1] if options.quick else CROWDS:
            number = CROWD_ITEMS_QUICK if options.quick else CROWD_ITEMS
            counted[f"{size}"] = crowd(size, number, server, client)
            print(f"looks for one item, {size} waiting: {counted[f'{size}']:.0f}")
    if options.json:
        options.json.write_text(json.dumps({"groups": as_json(groups), "counted": counted}))


if __name__ == "__main__":
    main()
