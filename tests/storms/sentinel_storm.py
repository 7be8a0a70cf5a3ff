"""Masters that are replaced or killed while processes add items, work on them and wait for some.

Each worker is a process, of one of both libraries and surfaces. It notes each item, with the time,
before it asks for the next one, so that what a failover loses can be told from what redset loses.
"""

import asyncio
import importlib
import multiprocessing
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from redset import RedisSortedSet
from redset import asyncio as awaited
from tests.sentinels import SERVICE, Sentinels, ask, until

FORK = multiprocessing.get_context("fork")
KINDS = [(library, is_async) for library in ("redis", "valkey") for is_async in (False, True)]
Address = tuple[str, int]
# Seconds of a lease, between faults, and around a fault in which a server may forget what it has
# acknowledged: its replica is behind (by seconds on a busy machine); a client repeats after that.
TTL, PAUSE, BEFORE, AFTER = 10.0, 1.0, 5.0, 10.0


class Fault(NamedTuple):
    """When a master began to be replaced, when the next one was there, and was the only one.

    Until then a server may serve as a master whose data the other one's will replace.
    """

    began: float
    replaced: float
    ended: float


class Found(NamedTuple):
    """What became of all items; times are in seconds after a new master was there."""

    faults: int
    added: int
    lost: set[int]
    twice: set[int]
    # Of the two above, those that no failover explains.
    unexplained: set[int]
    work_went_on: float
    waiters_woke: float


def client_of(addresses: list[Address], library: str, *, is_async: bool) -> Any:
    """Return a client that repeats for longer than a failover takes."""
    package = f"{library}.asyncio" if is_async else library
    errors = importlib.import_module(f"{library}.exceptions")
    backoff = importlib.import_module(f"{library}.backoff").ExponentialBackoff(cap=0.2, base=0.02)
    retry = importlib.import_module(f"{package}.retry").Retry(backoff, 150)
    sentinel = importlib.import_module(f"{package}.sentinel").Sentinel(addresses, socket_timeout=1)
    return sentinel.master_for(
        SERVICE, retry=retry, retry_on_error=[errors.ConnectionError, errors.TimeoutError]
    )


class Notes:
    """Numbers with times, which a process appends and others read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.touch()

    def append(self, number: int) -> None:
        with self._path.open("ab", buffering=0) as file:
            file.write(b"%d %.6f\n" % (number, time.monotonic()))

    def read(self) -> list[tuple[int, float]]:
        lines = [line.split() for line in self._path.read_bytes().splitlines()]
        return [(int(number), float(at)) for number, at in lines]


def work(addresses: list[Address], library: str, is_async: bool, done: Notes) -> None:
    """Do items, each in a millisecond."""
    client = client_of(addresses, library, is_async=is_async)
    if not is_async:
        for job in RedisSortedSet[int](client, "jobs").consume(5, ttl=TTL):
            time.sleep(0.001)
            done.append(job)
        return

    async def main() -> None:
        jobs: Any = awaited.RedisSortedSet(client, "jobs")
        async for job in jobs.consume(5, ttl=TTL):
            await asyncio.sleep(0.001)
            done.append(job)

    asyncio.run(main())


def wait(addresses: list[Address], library: str, is_async: bool, notified: Notes) -> None:
    """Wait for one item after the other, in a set of this process alone."""
    client = client_of(addresses, library, is_async=is_async)
    name = quiet(library, is_async=is_async)
    if not is_async:
        for number in RedisSortedSet[int](client, name).consume(ttl=TTL):
            notified.append(number)
        return

    async def main() -> None:
        mine: Any = awaited.RedisSortedSet(client, name)
        async for number in mine.consume(ttl=TTL):
            notified.append(number)

    asyncio.run(main())


def quiet(library: str, *, is_async: bool) -> str:
    return f"quiet:{library}:{is_async}"


class Storm:
    """One run: processes that work and wait, and the faults that they are to survive."""

    def __init__(self, sentinels: Sentinels, directory: Path) -> None:
        self._sentinels = sentinels
        self._added, self._done, self._woken = (
            Notes(directory / name) for name in ("added", "done", "woken")
        )
        addresses = sentinels.addresses
        self._client = client_of(addresses, "redis", is_async=False)
        self._jobs = RedisSortedSet[int](self._client, "jobs")
        crew: list[tuple[Callable[..., None], Notes]] = [(work, self._done), (wait, self._woken)]
        self._processes: list[Any] = [
            FORK.Process(target=target, args=(addresses, *kind, notes), daemon=True)
            for target, notes in crew
            for kind in KINDS
        ]
        # Of its own, as a failover holds up the process that has it.
        self._stops = FORK.Event()
        self._processes.append(
            FORK.Process(target=produce, args=(addresses, self._added, self._stops), daemon=True)
        )

    def run(self, seconds: float) -> Found:
        faults: list[Fault] = []
        for process in self._processes:
            process.start()
        try:
            until(self._done.read)
            with self._sentinels.watch() as changes:
                begin = time.monotonic()
                while time.monotonic() < begin + seconds or len(faults) < 2:
                    faults.append(self._one_fault(len(faults)))
                    time.sleep(PAUSE)
                self._stops.set()
                self._processes[-1].join()
                until(lambda: not any(self._jobs.stats()[:5]))
            assert all(process.is_alive() for process in self._processes[:-1]), "a worker ended"
        finally:
            for process in self._processes:
                process.kill()
                process.join()
        return self._account_for(faults, changes)

    def _one_fault(self, number: int) -> Fault:
        began = time.monotonic()
        if number % 2 == 0:
            self._sentinels.failover()
            replaced = time.monotonic()
            self._wake_all(number)
        else:
            killed = self._sentinels.kill_master()
            self._sentinels.successor_of(killed)
            replaced = time.monotonic()
            self._wake_all(number)
            self._sentinels.restart(killed, as_master=True)
        return Fault(began, replaced, time.monotonic())

    def _wake_all(self, number: int) -> None:
        """Add an item to each set of a process that waits; return when all have theirs."""
        for library, is_async in KINDS:
            name = quiet(library, is_async=is_async)
            RedisSortedSet[int](self._client, name).add(number)
        until(lambda: sum(each == number for each, _ in self._woken.read()) >= len(KINDS))

    def _account_for(self, faults: list[Fault], changes: list[float]) -> Found:
        added, done = dict(self._added.read()), self._done.read()
        times: dict[int, list[float]] = {}
        for number, at in done:
            times.setdefault(number, []).append(at)
        lost = {number for number in added if number not in times}
        twice = {number for number, when in times.items() if len(when) > 1}

        # On a busy machine, Sentinels replace masters that were only slow.
        troubles = [(each.began, each.ended) for each in faults]
        troubles += [(at, at) for at in changes]

        def explained(at: float) -> bool:
            return any(began - BEFORE <= at <= ended + AFTER for began, ended in troubles)

        return Found(
            len(faults),
            len(added),
            lost,
            twice,
            {number for number in lost if not explained(added[number])}
            | {number for number in twice if not explained(min(times[number]))},
            max(min(at for _, at in done if at > each.replaced) - each.replaced for each in faults),
            max(self._slowest(number, each) for number, each in enumerate(faults)),
        )

    def _slowest(self, number: int, fault: Fault) -> float:
        return max(at for each, at in self._woken.read() if each == number) - fault.replaced


def produce(addresses: list[Address], added: Notes, stops: Any) -> None:
    """Add items and note those that the server has acknowledged, until told to stop."""
    jobs = RedisSortedSet[int](client_of(addresses, "redis", is_async=False), "jobs")
    number = 0
    while not stops.is_set():
        jobs.insert(number)
        added.append(number)
        number += 1
        time.sleep(0.002)


def storm(sentinels: Sentinels, directory: Path, seconds: float) -> Found:
    """Replace masters for *seconds*, and account for every item."""
    ask(sentinels.master, "FLUSHALL")
    return Storm(sentinels, directory).run(seconds)
