"""Work on sets of a cluster while its slots move and its masters die; half of it by asyncio.

The work is a generator that yields what a set's method returns, so that it is written once: what a
synchronous set returns is sent back as it is, what an asyncio set returns is awaited first.
"""

import asyncio
import importlib
import multiprocessing
import os
import random
import time
from collections import Counter
from collections.abc import Callable, Generator
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import count, islice
from typing import Any

import redset
import redset.asyncio
from redset._protocol.client_errors import is_client_error

LIBRARY = os.environ.get("REDSET_TEST_CLIENT", "redis")
# How many processes there are; each second one is an asyncio program.
WORKERS = 4
# Longer than a storm over slots, in which nothing may come back by itself.
FOREVER = 600.0
# After this comes back what a lease held whose acknowledgement is lost.
LEASE_SECONDS = 3.0
ADDED_AT_ONCE = 5

Work = Generator[Any, Any, None]


@dataclass
class Done:
    """What one worker did."""

    added: list[int] = field(default_factory=list)
    # Added or not: the call raised an error.
    unsure: list[int] = field(default_factory=list)
    done: list[int] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    # Acknowledged or not: the call raised an error.
    maybe_done: list[int] = field(default_factory=list)
    # When a lease of which set was acknowledged, by `time.monotonic`.
    times: list[tuple[float, str]] = field(default_factory=list)


class Signals:
    """What the processes of a storm tell each other."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.is_over, self._working = context.Event(), context.Semaphore(0)

    def begin(self) -> None:
        """Say that this worker has connected."""
        self._working.release()

    def wait_for(self, *working: "Future[list[Done]]") -> None:
        """Wait until the workers of all these have begun; raise the error of one that failed."""
        for _ in range(WORKERS * len(working)):
            while not self._working.acquire(timeout=1.0):
                for each in working:
                    if each.done():
                        each.result()


def client_class(*, is_asyncio: bool) -> Any:
    module = importlib.import_module(f"{LIBRARY}.asyncio" if is_asyncio else LIBRARY)
    return getattr(module, f"{LIBRARY.capitalize()}Cluster")


def run(
    port: int,
    names: list[str],
    number: int,
    work: Callable[[list[Any]], Work],
    durable: redset.Durable | None = None,
) -> None:
    """Do *work* with sets under *names*, by asyncio if *number* is odd."""
    if number % 2:
        asyncio.run(_run_by_asyncio(port, names, work, durable))
        return
    client = client_class(is_asyncio=False)(host="127.0.0.1", port=port)
    going = work([redset.RedisSortedSet[int](client, name, durable=durable) for name in names])
    result = None
    try:
        while True:
            result = going.send(result)
    except StopIteration:
        client.close()


async def _run_by_asyncio(
    port: int,
    names: list[str],
    work: Callable[[list[Any]], Work],
    durable: redset.Durable | None,
) -> None:
    client = client_class(is_asyncio=True)(host="127.0.0.1", port=port)
    made = redset.asyncio.RedisSortedSet[int]
    going = work([made(client, name, durable=durable) for name in names])
    try:
        call = next(going)
        while True:
            try:
                result = await call
            except Exception as error:
                call = going.throw(error)
            else:
                call = going.send(result)
    except StopIteration:
        await client.aclose()


# Slots that move


def work_while_slots_move(
    number: int, signals: Signals, seed: int, port: int, names: list[str], total: int
) -> Done:
    """Add *total* items or more, until it is over; take and lease; no call may fail."""
    found = Done()
    own = count(number, WORKERS)
    chance = random.Random(seed + number)

    def work(sets: list[Any]) -> Work:
        yield sets[0].score(0)
        signals.begin()
        while len(found.added) < total or not signals.is_over.is_set():
            new = list(islice(own, ADDED_AT_ONCE))
            inserted = yield chance.choice(sets).insert(*new)
            assert inserted == new, (inserted, new)
            found.added += new
            yield from _take_or_lease(chance.choice(sets), chance, found)

    run(port, names, number, work)
    return found


def _take_or_lease(jobs: Any, chance: random.Random, found: Done) -> Work:
    """Do some items, in one of the ways that there are."""
    way = chance.randrange(4)
    if way == 0:
        found.done += yield jobs.take(3)
    elif way == 1:
        found.done += yield jobs.take(3, timeout=0.05)
    else:
        lease = yield jobs.lease(2 * ADDED_AT_ONCE, ttl=FOREVER)
        items = list(lease)
        back = items[len(items) // 2 :] if way == 2 else []
        if back:
            yield lease.release(*back)
        yield lease.ack()
        found.done += items[: len(items) - len(back)]


# Masters that die


def work_while_masters_die(
    number: int,
    signals: Signals,
    seed: int,
    port: int,
    names: list[str],
    durable: redset.Durable | None,
) -> Done:
    """Add, lease and acknowledge until it is over, whatever errors there are."""
    found = Done()
    own = count(number, WORKERS)
    chance = random.Random(seed + number)

    def work(sets: list[Any]) -> Work:
        yield sets[0].score(0)
        signals.begin()
        while not signals.is_over.is_set():
            new, jobs = next(own), chance.choice(sets)
            try:
                yield jobs.insert(new)
            except Exception as error:
                found.unsure.append(new)
                _note(error, found)
            else:
                found.added.append(new)
            jobs, items = chance.choice(sets), list[int]()
            try:
                lease = yield jobs.lease(2, ttl=LEASE_SECONDS)
                items = list(lease)
                yield lease.ack()
            except Exception as error:
                found.maybe_done += items
                _note(error, found)
            else:
                found.done += items
                found.times.append((time.monotonic(), jobs.name))

    run(port, names, number, work, durable)
    return found


def wait_while_masters_die(
    number: int, signals: Signals, _seed: int, port: int, names: list[str]
) -> Done:
    """Wait for items of one set, *number* says of which, and note when each came."""
    found = Done()

    def work(sets: list[Any]) -> Work:
        yield sets[0].score(0)
        signals.begin()
        jobs = sets[number % len(sets)]
        while not signals.is_over.is_set():
            try:
                items = yield jobs.take(9, timeout=20)
            except Exception as error:
                _note(error, found)
            else:
                found.done += items
                found.times += [(time.monotonic(), jobs.name)] if items else []

    run(port, names, number, work)
    return found


def _note(error: Exception, found: Done) -> None:
    # A lease of which the new master knows nothing is lost too; what no replica has may be.
    if not (is_client_error(error) or isinstance(error, redset.LeaseLost | redset.NotDurable)):
        raise error
    found.errors[type(error).__name__] += 1
    time.sleep(0.02)
