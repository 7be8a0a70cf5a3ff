"""Workers that are told to stop all the time, that some items kill, that the server refuses.

Each worker is a process; what it has done it notes, on the server or in a file, before it asks for
the next item, so that a process that dies can't have kept it from saying so.
"""

import contextlib
import multiprocessing
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import redis

from redset import RedisSortedSet, backoff

FORK = multiprocessing.get_context("fork")
Jobs = RedisSortedSet[int]
# Seconds that a worker may take to end, and all items to be accounted for.
TIMEOUT_SECONDS = 120.0
BATCH = 10
# One item in so many of the poisonous ones raises an exception, the others kill the worker.
RAISES = 2
# Seconds for which the server refuses something, and for which it then refuses nothing.
REFUSED, ALLOWED = 0.05, 0.2
# What a worker notes in place of an item.
WAS_REFUSED = -1
# What scripts need to lease, to settle and to undo, and scripts themselves.
RIGHTS = ("+zadd", "+zrem", "+zrange", "+hset", "+hdel", "+sadd", "+unlink", "+@scripting")
ACCOUNT: dict[str, Any] = {"username": "worker", "password": "storm"}


class Found(NamedTuple):
    """What became of the items: how often each was done, and which are dead for what reason."""

    done: Counter[int]
    dead: dict[int, str]
    left: int
    workers: int


class Format:
    """A serializer of version 1 or 2, of which only the second one reads both."""

    def __init__(self, version: int) -> None:
        self.version = version

    def dumps(self, job: int) -> bytes:
        return b"%d:%d" % (self.version, job)

    def loads(self, member: bytes) -> int:
        version, job = map(int, member.split(b":"))
        if version > self.version:
            raise ValueError(f"written by version {version}, read by version {self.version}")
        return job


def jobs_at(path: str, account: dict[str, Any] | None = None, **options: Any) -> Jobs:
    client = redis.Redis(unix_socket_path=path, **(account or {}))
    return RedisSortedSet(client, "jobs", **options)


def work_until_told(path: str) -> None:
    """Do items until SIGTERM, each in a millisecond."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda _number, _frame: stop.set())
    jobs = jobs_at(path, max_deliveries=1)
    for job in jobs.consume(BATCH, stop=stop):
        time.sleep(0.001)
        jobs._runner.client.rpush("done", job)


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
            jobs._runner.client.rpush("done", job)


def work_in_hard_times(path: str, notes: Path, poison: int, version: int) -> None:
    """Do items until SIGTERM, whatever the server refuses; those below *poison* raise."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda _number, _frame: stop.set())
    jobs = jobs_at(path, ACCOUNT, serializer=Format(version), max_deliveries=3)
    with notes.open("ab", buffering=0) as done:
        while not stop.is_set():
            try:
                work = jobs.consume(BATCH, ttl=1, retry_delay=0.01, on_error=_seen, stop=stop)
                for job in work:
                    with work.attempt():
                        if job < poison:
                            raise ValueError(job)
                        time.sleep(0.002)
                        done.write(b"%d\n" % job)
            except redis.ResponseError:  # short of memory, or of a right
                done.write(b"%d\n" % WAS_REFUSED)
                time.sleep(0.001)


def _seen(_job: int, error: BaseException) -> None:
    """Let the loop go on after a poisonous item, and after nothing else."""
    if not isinstance(error, ValueError):
        raise error


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

    @property
    def is_alive(self) -> bool:
        return all(process.is_alive() for process in self._processes)

    def tell_to_stop(self, place: int) -> None:
        """Have one worker end, and another one take its place."""
        process = self._processes[place % len(self._processes)]
        process.terminate()
        process.join(TIMEOUT_SECONDS)
        assert process.exitcode == 0, f"a worker ended with {process.exitcode}"
        self.replace_ended()

    def end(self, how: Callable[[Any], None]) -> None:
        for process in self._processes:
            how(process)
            process.join(TIMEOUT_SECONDS)


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
    return added, found(jobs, noted_on(jobs), crew)


def poison(path: str, size: int, total: int, number: int) -> Found:
    """Have *size* workers do *total* items, the first *number* of them poisonous."""
    jobs = jobs_at(path, scorer=mixed(total))
    jobs.update(range(total))
    crew = Crew(size, work_on_poison, path, number)
    _wait_until(lambda: not any(jobs.stats()[:5]), crew)
    crew.end(lambda process: process.kill())
    return found(jobs, noted_on(jobs), crew)


def hard_times(path: str, size: int, total: int, number: int) -> tuple[int, Found]:
    """Have *size* workers do *total* items, with a server that refuses memory and rights.

    The first *number* items are poisonous. Those of even number are written by the older one of two
    versions of a program, which can't read the others. So are half of the workers, until half of
    the items are done. Return how often a worker was refused something, and what was found.
    """
    notes = Path(path).with_name("done")
    notes.write_bytes(b"")  # here already before the first worker has started
    older, jobs = (jobs_at(path, serializer=Format(version), scorer=mixed(total))
                   for version in (1, 2))  # fmt: skip
    older.update(range(0, total, 2))
    jobs.update(range(1, total, 2))
    with refusing(jobs._runner.client) as refuse:
        crews = [Crew(size // 2, work_in_hard_times, path, notes, number, version)
                 for version in (1, 2)]  # fmt: skip
        while 2 * len(set(notes.read_bytes().split())) < total:
            refuse()
        crews[0].end(lambda process: process.terminate())
        crews[0] = Crew(size // 2, work_in_hard_times, path, notes, number, 2)
        while jobs.requeue(reason="undecodable") or any(jobs.stats()[:5]):
            refuse()
            assert all(crew.is_alive for crew in crews), "a worker ended"
    for crew in crews:
        crew.end(lambda process: process.terminate())
    assert not jobs._runner.client.exists("{jobs}:held", "{jobs}:leased", "{jobs}:delayed")
    what = found(jobs, notes.read_bytes().split(), *crews)
    return what.done.pop(WAS_REFUSED), what


@contextlib.contextmanager
def refusing(client: redis.Redis) -> Iterator[Callable[[], None]]:
    """Make the account of the workers, and a call that refuses them something for a moment."""
    chance = random.Random(len(RIGHTS))
    client.acl_setuser(
        ACCOUNT["username"],
        enabled=True,
        passwords=[f"+{ACCOUNT['password']}"],
        keys="*",
        channels="*",
        categories=["+@all"],
    )

    def refuse() -> None:
        right = chance.choice([*RIGHTS, "memory"])
        if right == "memory":
            client.config_set("maxmemory", 1)
            time.sleep(REFUSED)
            client.config_set("maxmemory", 0)
        else:
            user = ("ACL", "SETUSER", ACCOUNT["username"])
            client.execute_command(*user, right.replace("+", "-"))
            time.sleep(REFUSED)
            client.execute_command(*user, right)
        time.sleep(ALLOWED)

    try:
        yield refuse
    finally:
        client.acl_deluser(ACCOUNT["username"])


def mixed(total: int) -> Callable[[int], int]:
    """Give items scores that put those of low number among the others."""
    return lambda job: job * 7919 % total


def noted_on(jobs: Jobs) -> list[bytes]:
    noted: Any = jobs._runner.client.lrange("done", 0, -1)
    return noted  # type: ignore[no-any-return]


def found(jobs: Jobs, noted: Iterable[bytes], *crews: Crew) -> Found:
    dead = {letter.item: letter.reason for letter in jobs.dead_letters() if letter.item is not None}
    left = sum(jobs.stats()[:5])
    return Found(Counter(map(int, noted)), dead, left, sum(crew.started for crew in crews))


def _wait_until(over: Callable[[], bool], crew: Crew) -> None:
    before = time.monotonic() + 10 * TIMEOUT_SECONDS
    while not over():
        assert time.monotonic() < before, "some items are never done"
        crew.replace_ended()
        time.sleep(0.02)
