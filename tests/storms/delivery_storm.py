"""Workers that are told to stop all the time, and workers that some items kill.

Each worker is a process; what it has done it notes on the server before it asks for the next item,
so that a process that dies can't have kept it from saying so.
"""

import multiprocessing
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import redis

from redset import RedisSortedSet, backoff

FORK = multiprocessing.get_context("fork")
Jobs = RedisSortedSet[int]
# Seconds that a worker may take to end, and all items to be accounted for.
PATIENCE = 120.0
BATCH = 10
# One item in so many of the poisonous ones raises an exception, the others kill the worker.
RAISES = 2


class Found(NamedTuple):
    """What became of the items: how often each was done, and which are dead for what reason."""

    done: Counter[int]
    dead: dict[int, str]
    left: int
    workers: int


def jobs_at(path: str, **options: Any) -> Jobs:
    return RedisSortedSet(redis.Redis(unix_socket_path=path), "jobs", **options)


def work_until_told(path: str) -> None:
    """Do items until SIGTERM, each in a millisecond."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda _number, _frame: stop.set())
    jobs = jobs_at(path, max_deliveries=1)
    for job in jobs.consume(BATCH, stop=stop):
        time.sleep(0.001)
        jobs._client.rpush("done", job)


def work_on_poison(path: str, poison: int) -> None:
    """Do items; of those below *poison*, half raise, and half kill this process."""
    jobs = jobs_at(path, max_deliveries=3)
    work = jobs.consume(BATCH, ttl=0.5, retry_delay=backoff(0.01), on_error=lambda *_: None)
    for job in work:
        with work.attempt():
            if job < poison and job % RAISES:
                raise ValueError(job)
            if job < poison:
                os.kill(os.getpid(), signal.SIGKILL)
            jobs._client.rpush("done", job)


class Crew:
    """So many processes that do *work*; one that has ended is replaced."""

    def __init__(self, size: int, work: Callable[..., None], *about: Any) -> None:
        self._make: Callable[[], Any] = lambda: FORK.Process(target=work, args=about, daemon=True)
        self.started = 0
        self._processes = [self._begin() for _ in range(size)]

    def _begin(self) -> Any:
        process = self._make()
        process.start()
        self.started += 1
        return process

    def replace_ended(self) -> None:
        for place, process in enumerate(self._processes):
            if not process.is_alive():
                process.join()
                self._processes[place] = self._begin()

    def tell_to_stop(self, place: int) -> None:
        """Have one worker end, and another one take its place."""
        process = self._processes[place % len(self._processes)]
        process.terminate()
        process.join(PATIENCE)
        assert process.exitcode == 0, f"a worker ended with {process.exitcode}"
        self.replace_ended()

    def end(self, how: Callable[[Any], None]) -> None:
        for process in self._processes:
            how(process)
            process.join(PATIENCE)


def restart_all_the_time(path: str, size: int, seconds: float) -> tuple[int, Found]:
    """Tell each of *size* workers to stop every second; return how many items there were."""
    jobs = jobs_at(path)
    crew = Crew(size, work_until_told, path)
    added, told = 0, 0
    begin = time.monotonic()
    while (now := time.monotonic() - begin) < seconds:
        if len(jobs) < 2_000:
            jobs.update(range(added, added + 1_000))
            added += 1_000
        if now * size > told:
            crew.tell_to_stop(told)
            told += 1
    _wait_until(lambda: not any(jobs.stats()[:5]), crew)
    crew.end(lambda process: process.terminate())
    return added, found(jobs, crew)


def poison(path: str, size: int, total: int, number: int) -> Found:
    """Have *size* workers do *total* items, the first *number* of them poisonous."""
    jobs = jobs_at(path, scorer=lambda job: job * 7919 % total)  # the poison among the others
    jobs.update(range(total))
    crew = Crew(size, work_on_poison, path, number)
    _wait_until(lambda: not any(jobs.stats()[:5]), crew)
    crew.end(lambda process: process.kill())
    return found(jobs, crew)


def found(jobs: Jobs, crew: Crew) -> Found:
    noted: Any = jobs._client.lrange("done", 0, -1)
    dead = {letter.item: letter.reason for letter in jobs.dead_letters()}
    left = sum(jobs.stats()[:5])
    return Found(Counter(map(int, noted)), dead, left, crew.started)  # type: ignore[arg-type]


def _wait_until(over: Callable[[], bool], crew: Crew) -> None:
    before = time.monotonic() + 10 * PATIENCE
    while not over():
        assert time.monotonic() < before, "some items are never done"
        crew.replace_ended()
        time.sleep(0.02)
