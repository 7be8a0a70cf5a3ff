"""Consumers in hand when their program or their server ends: what is logged, what is settled."""

import asyncio
import logging
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import redset
import redset.asyncio
from redset.embedded import Server

SYNCHRONOUS = """
import sys, redset
jobs = redset.RedisSortedSet(redset.connect(*sys.argv[1:]), "jobs", scorer=int)
jobs.update(range(5))
work = jobs.consume(3)
for job in work:
    if job == 1:
        raise KeyboardInterrupt
"""
ASYNCIO = """
import asyncio, sys, redset.asyncio
async def main():
    global work
    client = redset.asyncio.connect(*sys.argv[1:])
    jobs = redset.asyncio.RedisSortedSet(client, "jobs", scorer=int)
    await jobs.update(range(5))
    work = jobs.consume(3)
    async for job in work:
        if job == 1:
            raise KeyboardInterrupt
asyncio.run(main())
"""
surfaces = pytest.mark.parametrize("program", [SYNCHRONOUS, ASYNCIO], ids=["sync", "asyncio"])


def end_of(program: str, *arguments: str) -> list[str]:
    """The last lines that an interrupted *program* writes: those after Python's own traceback."""
    ended = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == -signal.SIGINT, ended.stderr
    lines = ended.stderr.splitlines()
    return lines[lines.index("KeyboardInterrupt") :]


@surfaces
def test_an_interrupted_consumer_on_a_private_server_logs_nothing(program: str) -> None:
    assert end_of(program) == ["KeyboardInterrupt"]


@surfaces
def test_an_interrupted_consumer_settles_its_lease_before_its_server_ends(
    program: str, directory: Path
) -> None:
    assert end_of(program, str(directory)) == ["KeyboardInterrupt"]
    jobs: redset.RedisSortedSet[int] = redset.RedisSortedSet(redset.connect(directory), "jobs")
    assert jobs.stats().leased == 0
    assert list(jobs) == [1, 2, 3, 4]


def test_a_consumer_that_another_thread_runs_disturbs_no_exit() -> None:
    program = """
import redset, threading
jobs = redset.RedisSortedSet(redset.connect(), "jobs")
asked = threading.Event()
def stop():
    asked.set()
    return False
work = jobs.consume(stop=stop)
threading.Thread(target=next, args=[work], daemon=True).start()
asked.wait()
raise KeyboardInterrupt
"""
    assert end_of(program) == ["KeyboardInterrupt"]


@pytest.mark.parametrize("jobs", ["jobs", "redset.FirstOf(jobs)"])
def test_a_thread_that_asks_for_an_item_while_the_exit_closes_its_consumer_ends(jobs: str) -> None:
    program = f"""
import redset, threading, time
client = redset.connect()
jobs = redset.RedisSortedSet(client, "jobs")
jobs.update(range(5))
work, works = {jobs}.consume(), threading.Event()
def run():
    for job in work:
        works.set()
        while not work._items.gi_running:
            time.sleep(0.001)
threading.Thread(target=run, daemon=True).start()
works.wait()
client.execute_command("CLIENT", "PAUSE", 1_000, "ALL")  # the exit closes for that long
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_consumer_that_is_dropped_is_not_kept_until_the_exit() -> None:
    with Server() as server, server.client() as client:
        jobs: redset.RedisSortedSet[int] = redset.RedisSortedSet(client, "jobs")
        jobs.update([1])
        assert next(jobs.consume()) == 1
        assert jobs.stats().leased == 0


def one_line_of(caplog: pytest.LogCaptureFixture) -> str:
    [record] = caplog.records
    assert record.levelno == logging.ERROR
    assert record.exc_info is None
    return record.getMessage()


def test_a_server_that_has_gone_is_said_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    server = Server()
    with server.client() as client:
        jobs: redset.RedisSortedSet[int] = redset.RedisSortedSet(client, "jobs")
        jobs.update([1])
        work = jobs.consume(renew=False)
        next(work)
        server.close()
        work.close()
    assert one_line_of(caplog).startswith(
        "redset 'jobs': can't give items of a lease back, which come back when it runs out: "
        "ConnectionError: "
    )


def test_a_server_that_has_gone_is_said_in_one_line_on_the_asyncio_surface(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        server = Server()
        async with redset.asyncio.connect(server.url) as client:
            jobs: redset.asyncio.RedisSortedSet[int]
            jobs = redset.asyncio.RedisSortedSet(client, "jobs")
            await jobs.update([1])
            work = jobs.consume(renew=False)
            await anext(work)
            server.close()
            await work.close()

    caplog.set_level(logging.WARNING, "redset")
    asyncio.run(main())
    assert "ConnectionError: " in one_line_of(caplog)


def test_a_consumer_that_was_dropped_is_not_taken_for_the_exit() -> None:
    """An error of two threads with one consumer would be taken for the end of its items."""
    program = """
import gc, redset, threading, time
jobs = redset.RedisSortedSet(redset.connect(), "jobs")
assert list(jobs.consume(timeout=0)) == []
gc.collect()
work = jobs.consume()
threading.Thread(target=next, args=(work,), daemon=True).start()
while not work._items.gi_running:
    time.sleep(0.001)
try:
    next(work, None)
except ValueError as error:
    print(error)
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.stdout == "generator already executing\n", ended.stderr
