"""A program that forks in the middle of everything, with Python's hooks or behind its back.

Parent and child both go on with the sets that were made before, and count wrong answers. The
report, a line of JSON, has both counts.

Run by `tests.programs.test_forks`.
"""

import argparse
import asyncio
import ctypes
import faulthandler
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import redis
import redis.asyncio

from redset._transport import renewals
from tests.programs.work import (
    LEASE_SECONDS,
    Sets,
    count_wrong,
    count_wrong_async,
)

# A child that takes so long hangs.
TIMEOUT_SECONDS = 60
# The thread that renews leases looks for others after this time, instead of each second: a fork
# behind Python's back must not meet it while it asks for Python's lock.
renewals.LINGER_SECONDS = 10.0 * TIMEOUT_SECONDS
# The child's numbers, and the other thread's, begin here.
CHILD, THREAD, BEFORE = 10**6, 2 * 10**6, 3 * 10**6

# One keeps Python's lock while it forks, as uWSGI does; without it the child would find it held by
# a thread that it doesn't have.
HOWS: dict[str, Callable[[], int]] = {
    "os": os.fork,
    "ctypes": lambda: int(ctypes.PyDLL(None).fork()),
}


class Program:
    def __init__(self, sets: Sets, how: str, calls: int) -> None:
        self.sets, self.calls = sets, calls
        self.fork = HOWS[how]
        self.may_be_busy = how == "os"

    def work(self, first: int) -> list[str]:
        """Go on with all sets; return what was wrong."""
        return count_wrong(self.sets.wrong_answers, first, self.calls // 2)

    def in_child(self, work: Callable[[], list[str]]) -> "Child":
        """Fork; the child does *work* and ends there."""
        read, write = os.pipe()
        if not self.may_be_busy:
            until_threads_rest()
        pid = self.fork()
        if pid:
            os.close(write)
            return Child(pid, read)
        faulthandler.register(signal.SIGALRM, chain=True)  # says where it hung, and it ends
        signal.alarm(TIMEOUT_SECONDS)  # the watchdog's thread, and its lock, are the parent's
        try:
            said = json.dumps(work())
        except BaseException as error:
            said = json.dumps([f"in the child: {error!r}"])
        os.write(write, said.encode()[:60_000])
        os._exit(0)

    def lease(self) -> tuple[list[str], list[str]]:
        """Fork inside the block of a lease: leaving it ends the parent's hold only."""
        tasks = self.sets.tasks
        tasks.update(["a", "b", "c"])
        right, left = (3, 0), (0, 0)

        def in_the_block() -> list[str]:
            wrong = self.work(CHILD)
            lease.extend(LEASE_SECONDS)  # the guard may have been held
            return wrong

        def leave_the_block() -> list[str]:
            lease.__exit__(None, None, None)
            return []

        with tasks.lease(3, LEASE_SECONDS, renew=True) as lease:
            thread = self.busy(lambda: lease.extend(LEASE_SECONDS)) if self.may_be_busy else None
            child = self.in_child(in_the_block)
            wrong = self.work(0)
            in_child = child.wrong()
            in_child += self.in_child(leave_the_block).wrong()
            found = tasks.stats().leased, len(tasks)
            if found != right:
                wrong.append(f"after the child left the block: {found}")
            if thread is not None:
                thread.stop()
        found = tasks.stats().leased, len(tasks)
        if found != left:
            wrong.append(f"after the block: {found}")
        return wrong, in_child

    def thread(self) -> tuple[list[str], list[str]]:
        """Fork while other threads are in the middle of calls, and one waits."""
        numbers = iter(range(THREAD, CHILD + THREAD))
        in_thread: list[str] = []
        threads = [
            self.busy(lambda: in_thread.extend(self.sets.wrong_answers(next(numbers)))),
            self.busy(lambda: len(self.sets.static)),
            self.busy(lambda: next(self.sets.idle.consume(timeout=0.05), None)),
        ]
        children = [
            self.in_child(lambda n=n: self.work(CHILD + n * CHILD // 10))  # type: ignore[misc]
            for n in range(3)
        ]
        wrong = self.work(0)
        in_children = [each for child in children for each in child.wrong()]
        for thread in threads:
            thread.stop()
        return wrong + in_thread, in_children

    def loop(self) -> tuple[list[str], list[str]]:
        """Fork inside an event loop, in the middle of other tasks' calls."""
        return asyncio.run(self._in_loop())

    async def _in_loop(self) -> tuple[list[str], list[str]]:
        work = self.sets.wrong_async_answers
        assert self.sets.async_shared is not None
        client = self.sets.async_shared._runner.client
        # They leave connections that are idle at the fork, and are used after it.
        await asyncio.gather(*(client.ping() for _ in range(3)))
        tasks = [
            asyncio.create_task(count_wrong_async(work, first * CHILD // 10, self.calls // 10))
            for first in range(5)
        ]
        for _ in range(5):
            await asyncio.sleep(0)

        def in_a_loop_of_its_own() -> list[str]:
            asyncio._set_running_loop(None)  # the parent's, which only Python's hook forgets
            wrong = asyncio.run(count_wrong_async(work, CHILD, self.calls // 2))
            return wrong + self.work(CHILD)

        child = self.in_child(in_a_loop_of_its_own)
        wrong = [each for part in await asyncio.gather(*tasks) for each in part]
        await asyncio.gather(*(client.ping() for _ in range(3)))
        return wrong + self.work(0), await asyncio.to_thread(child.wrong)

    def busy(self, work: Callable[[], object]) -> "Busy":
        return Busy(work)


def until_threads_rest() -> None:
    """Wait until each other thread waits for something else than Python's own lock."""
    seen: dict[int, tuple[int, int]] | None = None
    for _ in range(10 * TIMEOUT_SECONDS):
        me = threading.get_ident()
        others = {each: frame for each, frame in sys._current_frames().items() if each != me}
        now = {each: (id(frame), frame.f_lasti) for each, frame in others.items()}
        if now == seen:
            return
        seen = now
        time.sleep(0.1)  # without the lock, so that the others go on to where they wait
    raise TimeoutError("the other threads never rest")


class Child:
    """A forked process, and what it says at its end."""

    def __init__(self, pid: int, read: int) -> None:
        self.pid, self.read = pid, read

    def wrong(self) -> list[str]:
        with os.fdopen(self.read) as pipe:
            said = pipe.read()
        _, status = os.waitpid(self.pid, 0)
        if status or not said:
            return [f"the child ended with {os.waitstatus_to_exitcode(status)}"]
        found: list[str] = json.loads(said)
        return found


class Busy(threading.Thread):
    """A thread that works on and on."""

    def __init__(self, work: Callable[[], object]) -> None:
        super().__init__(daemon=True)
        self.work, self.stopped, self.began = work, threading.Event(), threading.Event()
        self.start()
        self.began.wait()

    def run(self) -> None:
        while not self.stopped.is_set():
            self.work()
            self.began.set()

    def stop(self) -> None:
        self.stopped.set()
        self.join()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--socket", required=True)
    parser.add_argument("--how", choices=list(HOWS), required=True)
    parser.add_argument("--where", choices=["lease", "thread", "loop"], required=True)
    parser.add_argument("--calls", type=int, default=1_000)
    options = parser.parse_args()
    faulthandler.dump_traceback_later(3 * TIMEOUT_SECONDS, exit=True)
    address: dict[str, Any] = {"unix_socket_path": options.socket, "socket_timeout": None}
    sets = Sets(redis.Redis(**address), redis.asyncio.Redis(**address))
    sets.client.flushall()
    sets.fill()
    wrong = sets.wrong_answers(BEFORE)
    program = Program(sets, options.how, options.calls)
    in_parent, in_child = getattr(program, options.where)()
    print(json.dumps({"parent": wrong + in_parent, "child": in_child}))


if __name__ == "__main__":
    main()
