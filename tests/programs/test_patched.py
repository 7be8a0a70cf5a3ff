"""Sets in programs that replace parts of Python: a clock that stands still, threads of gevent."""

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.programs.servers import ROOT
from tests.servers import TestServer

BEGIN = """
import asyncio, json, os, sys, threading, time
import redset, redset.asyncio
url = "unix://" + sys.argv[1]
client = redset.connect(url)
jobs = redset.RedisSortedSet(client, "jobs")
jobs.clear()
def say(*words):
    print(json.dumps(words), flush=True)
"""


def said(server: TestServer, program: str, *arguments: str) -> list[Any]:
    """What a program says, line by line; it must end by itself."""
    ended = subprocess.run(
        [sys.executable, "-c", BEGIN + program, server.unix_socket, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-4000:]
    return [json.loads(line) for line in ended.stdout.splitlines()]


FROZEN = """
from freezegun import freeze_time
frozen = freeze_time("2025-01-01", tick="tick" in sys.argv)
"""

WAITS = {
    "pop": "jobs.pop(timeout=0.2)",
    "take": "jobs.take(2, timeout=0.2)",
    "lease": "list(jobs.lease(1, ttl=9, timeout=0.2))",
    "consume": "list(jobs.consume(timeout=0.2))",
    "lock": "free_lock()",
    "first": "redset.FirstOf(jobs).pop(timeout=0.2)",
    "stop": "list(jobs.consume(stop=stop_soon()))",
}


@pytest.mark.parametrize("clock", ["still", "tick"])
def test_timeouts_end_while_the_time_is_frozen(server: TestServer, clock: str) -> None:
    program = f"""
def stop_soon():
    event = threading.Event()
    threading.Timer(0.2, event.set).start()
    return event.is_set

def free_lock():
    client.set("lock", "another's")
    return redset.Lock(client, "lock", timeout=0.2).acquire()

with frozen:
    for name, wait in {WAITS!r}.items():
        try:
            found = eval(wait)
            say(name, found and list(found))
        except (KeyError, redset.LockTimeout):
            say(name, "none")
"""
    found = dict(said(server, FROZEN + program, clock))
    assert found.keys() == WAITS.keys()
    assert all(each in ("none", []) for each in found.values()), found


def test_timeouts_of_asyncio_end_while_the_time_is_frozen(server: TestServer) -> None:
    # Without `real_asyncio`, freezegun stops the event loop: nothing that waits would go on.
    program = """
async def main():
    client = redset.asyncio.connect(url)
    jobs = redset.asyncio.RedisSortedSet(client, "jobs")
    with freeze_time("2025-01-01", real_asyncio=True):
        try:
            await jobs.pop(timeout=0.2)
        except KeyError:
            say("pop", "none")
        say("consume", [job async for job in jobs.consume(timeout=0.2)])
        await client.set("lock", "another's")
        try:
            await redset.asyncio.Lock(client, "lock", timeout=0.2).acquire()
        except redset.LockTimeout:
            say("lock", "none")
    await client.aclose()

asyncio.run(main())
"""
    assert said(server, FROZEN + program) == [["pop", "none"], ["consume", []], ["lock", "none"]]


@pytest.mark.parametrize(
    ("when", "clock"),
    [
        ("all along", "still"),
        ("all along", "tick"),
        ("after the lease", "still"),
        ("before the lease", "still"),
    ],
)
def test_a_lease_is_renewed_while_the_time_is_frozen(
    server: TestServer, when: str, clock: str
) -> None:
    program = f"""
when = {when!r}
jobs.update(["other", "job"])
if when == "before the lease":
    with frozen, jobs.lease(1, ttl=600, renew=True) as lease:
        pass
if when == "all along":
    frozen.start()
with jobs.lease(1, ttl=1, renew=True) as lease:
    if when == "after the lease":
        frozen.start()
    # Two and a half times its ttl, by the server's clock, which nothing stops.
    end = client.time()[0] + 2.5
    while client.time()[0] < end:
        threading.Event().wait(0.05)
    say(len(jobs.take(5)), len(lease))
say(len(jobs))
"""
    others = 0 if when == "before the lease" else 1
    assert said(server, FROZEN + program, clock) == [[others, 1], [0]]


def test_the_servers_clock_is_right_after_the_time_was_frozen(server: TestServer) -> None:
    program = """
clock = redset.ServerClock(client)
with frozen:
    clock()
for _ in range(2):
    say(abs(clock() - time.time()) < 60)
with frozen:
    say(abs(clock() - client.time()[0]) < 60)
"""
    assert said(server, FROZEN + program) == [[True]] * 3


@pytest.mark.parametrize("before", ["nothing", "lease", "running lease"])
def test_greenlets_run_while_a_lease_is_held_whatever_was_before_the_patch(
    server: TestServer, before: str
) -> None:
    program = f"""
import warnings
from redset._transport import renewals
warnings.simplefilter("ignore")  # ssl was imported before the patch
before = {before!r}
jobs.update(["first", "second"])
renewals.LINGER_SECONDS = 0.01
if before != "nothing":
    first = jobs.lease(1, ttl=600, renew=True)
    if before == "lease":
        with first:
            pass
        while "redset renewals" in [each.name for each in threading.enumerate()]:
            time.sleep(0.01)
    else:
        first.__enter__()
import gevent
import gevent.monkey
gevent.monkey.patch_all()
# If the hub waited for a lock of threads, it would do so for this time.
renewals.LINGER_SECONDS = 600.0
turns = []
def take_turns():
    for turn in range(20):
        turns.append(turn)
        gevent.sleep(0.01)
with jobs.lease(1, ttl=600, renew=True) as lease:
    gevent.spawn(take_turns).join()
    say(len(turns), len(lease))
if before == "running lease":
    first.__exit__(None, None, None)
sys.stdout.flush()
os._exit(0)
"""
    assert said(server, program) == [[20, 1]]


def test_a_consumer_waits_on_while_the_program_has_no_descriptor_left(server: TestServer) -> None:
    program = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
held, found, full = [], [], True
def work():
    for job in jobs.consume(timeout=None):
        found.append(job)
        if job == "last":
            return
def until(condition):
    while not condition():
        if not worker.is_alive():
            say("ended after", found)
            os._exit(0)
        time.sleep(0.001)
def hold_all():
    while full:
        try:
            held.append(os.open("/dev/null", os.O_RDONLY))
        except OSError:
            time.sleep(0)
# With a connection of its own, which is open.
producer = redset.RedisSortedSet(redset.connect(url), "jobs")
producer.add("first")
worker = threading.Thread(target=work)
worker.start()
until(lambda: found == ["first"])
producer.add("second")
until(lambda: len(found) == 2)
time.sleep(0.2)
# Each item wakes the consumer, which then waits again, without a descriptor to spare.
holder = threading.Thread(target=hold_all)
holder.start()
for number in range(20):
    producer.add(number)
    until(lambda: number in found)
    time.sleep(0.02)
full = False
holder.join()
for each in held:
    os.close(each)
producer.add("last")
worker.join()
say(found)
os._exit(0)
"""
    assert said(server, program) == [[["first", "second", *range(20), "last"]]]
