"""A program whose garbage uses sets, and is collected in the middle of other calls.

Results, `consume` generators and objects with a ``__del__`` are left in cycles; the collector runs
on its own (``--threshold``), and from inside the sockets' methods. Every call has a right answer
that is known, those that the user makes with the same client by hand too.

Run by `tests.storms.test_collector_storm`; alone:
``python -m tests.storms.collector_storm --socket PATH --threshold 1``
"""

import argparse
import faulthandler
import gc
import json
import random
import weakref
from typing import Any

import redis

from redset import RedisSortedSet
from tests.storms.handler_storm import FOREVER, STATIC, WAIT, Items, Storm
from tests.storms.sockets import hooked_sockets

# Of the moments at which bytes are on their way, those at which the collector runs.
CHANCE = 0.05
KEYS = 100
# What is also used through a client of one connection.
SHARED = ("left", "right", "loop")


class Cycle:
    """Garbage that only the cyclic collector finds."""

    def __init__(self, *held: Any) -> None:
        self.held, self.itself = held, self


class User:
    """An object of the program's own whose ``__del__`` uses sets."""

    def __init__(self, storm: "CollectorStorm") -> None:
        self.storm = storm

    def __del__(self) -> None:
        storm = self.storm
        storm.finalized += 1
        try:
            storm.use_from_a_finalizer()
        except Exception as error:
            storm.verdict.fail("in __del__", error)


class CollectorStorm(Storm):
    """The calls of the handler's storm, and garbage that makes calls as well."""

    def __init__(self, client: redis.Redis, single: redis.Redis | None, seed: int) -> None:
        super().__init__(client, seed, "none", only_in_io=False)
        self.steps.remove(self.wait)
        self.clients = [client] if single is None else [client, single]
        self.finalized = self.gets = self.collections = 0
        self.dice = random.Random(seed + 2)
        self.pairs: list[tuple[Items, Items]] = [(self.left, self.right)]
        self.loops: list[Items] = [self.loop]
        if single is not None:
            left, right, loop = (RedisSortedSet[Any](single, name) for name in SHARED)
            self.pairs.append((left, right))
            self.loops.append(loop)
        for number in range(KEYS):
            client.set(f"key:{number}", f"value:{number}")
        self.steps += [
            *[self.get_by_hand] * 20,
            *[self.leave_a_result] * 5,
            *[self.leave_a_loop] * 5,
            *[self.leave_a_user] * 5,
        ]

    def has_done_enough(self) -> bool:
        return min(self.calls + self.gets, self.collections, self.finalized) > 0

    def hook(self, _method: str, _when: str) -> None:
        if self.dice.random() < CHANCE:
            self.collections += 1
            gc.collect()

    def get_by_hand(self) -> None:
        number = self.random.randrange(KEYS)
        client = self.random.choice(self.clients)
        self.gets += 1
        found = client.get(f"key:{number}")
        self.verdict.check(found == f"value:{number}".encode(), "get", client, number, found)

    def leave_a_result(self) -> None:
        left, right = self.random.choice(self.pairs)
        Cycle(left | right if self.random.random() < 0.5 else left & right)

    def leave_a_loop(self) -> None:
        """Break a loop over `consume` off: the collector closes it, and its item comes back."""
        self.feed(self.loop, self.loop_fed, 1)
        items = self.random.choice(self.loops).consume(1, FOREVER, timeout=0, renew=False)
        item = next(items, None)
        self.verdict.check(item not in self.done, "consume gave again", item)
        Cycle(items)

    def leave_a_user(self) -> None:
        if self.random.random() < 0.5:
            Cycle(User(self))
        else:
            User(self)
        passing = Cycle()
        weakref.finalize(passing, self.use_from_a_finalizer)

    def use_from_a_finalizer(self) -> None:
        number = self.dice.randrange(STATIC)
        size, score = len(self.static), self.static.score(number)
        self.verdict.check(
            (size, score) == (STATIC, number + 0.5), "finalizer", number, size, score
        )
        item = ("finalizer", next(self.numbers))
        self.fed[item] += 1
        self.queue.add(item)
        self.got.update(self.queue.take(1))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--socket", required=True)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threshold", type=int, default=700)
    parser.add_argument("--single", action="store_true", help="a client of one connection, too")
    options = parser.parse_args()
    faulthandler.enable()
    faulthandler.dump_traceback_later(2 * options.seconds + WAIT, exit=True)
    address = {"unix_socket_path": options.socket, "socket_timeout": None}
    with hooked_sockets() as hooks:
        client = redis.Redis(**address)
        single = redis.Redis(**address, single_connection_client=True) if options.single else None
        storm = CollectorStorm(client, single, options.seed)
        hooks.append(storm.hook)
        # What lives as long as the program would make each collection take milliseconds.
        gc.collect()
        gc.freeze()
        before = gc.get_threshold()
        gc.set_threshold(options.threshold)
        storm.run(options.seconds)
        gc.set_threshold(*before)
        hooks.clear()
        gc.collect()
        len(storm.static)  # what waited for the next call is done by now
    report = storm.account() | {
        "wrong": storm.verdict.count,
        "examples": storm.verdict.shown,
        "calls": storm.calls + storm.gets,
        "collections": storm.collections,
        "finalized": storm.finalized,
        "loops": len(list(storm.loop.leased())),
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
