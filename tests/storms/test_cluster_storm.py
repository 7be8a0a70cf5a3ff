"""What becomes of work on sets of a cluster whose slots move, whose masters die or hang.

``REDSET_STORM_SECONDS=120`` moves slots under 100,000 items, and kills masters for two minutes.
"""

import os
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import count, cycle, islice
from typing import Any

import pytest

import redset
from redset import RedisSortedSet
from redset._protocol.client_errors import is_client_error
from tests.clusters import QUICK_NODE_TIMEOUT, ClusterNode, TestCluster, slot_of
from tests.processes import in_processes
from tests.storms import cluster_storm
from tests.storms.cluster_storm import WORKERS, Done, Signals
from tests.storms.programs import SEED

SECONDS = float(os.environ.get("REDSET_STORM_SECONDS", "5"))
KIND = os.environ.get("REDSET_TEST_SERVER", "valkey-9.1")
TOTAL = 100_000 if SECONDS > 60 else 3_000
# From one death to the next one.
KILL_SECONDS = 10.0
# How long a new master has no replica.
ALONE_SECONDS = 3.0
TIMEOUT_SECONDS = 900.0
# After this a client gives up on a node that doesn't answer.
SOCKET_SECONDS = 0.5

Report = Callable[[str], None]
Jobs = RedisSortedSet[int]

pytestmark = pytest.mark.timeout(240 + 20 * SECONDS)

MOVERS: dict[str, Callable[[TestCluster, ClusterNode, ClusterNode], None]] = {
    "one by one": lambda cluster, source, to: cluster.move_all_slots(source, to),
    "as a whole": lambda cluster, source, to: cluster.move_atomically(source, to),
}


def names_at(cluster: TestCluster, node: ClusterNode, number: int) -> list[str]:
    """So many names of sets whose slots *node* has."""
    slots = set(cluster.slots_of(node))
    names = (f"jobs-{place}" for place in count())
    return list(islice((name for name in names if slot_of(name) in slots), number))


@contextmanager
def client_of(cluster: TestCluster, **options: Any) -> Iterator[Any]:
    kind = cluster_storm.client_class(is_asyncio=False)
    client = kind(host="127.0.0.1", port=cluster.running[0].port, **options)
    yield client
    client.close()


def drained(cluster: TestCluster, names: list[str]) -> list[int]:
    """What is left in the sets, once no lease runs any more."""
    left: list[int] = []
    with client_of(cluster) as client:
        for name in names:
            jobs = Jobs(client, name)
            while any(jobs.stats()):
                left += jobs.take(1_000, timeout=0.5)
    return left


@contextmanager
def processes(
    signals: Signals, work: Callable[..., Done], *about: Any
) -> Iterator["Future[list[Done]]"]:
    """Workers that go on beside the block; their results come after it."""

    def results() -> list[Done]:
        given = (signals, SEED, *about)
        return in_processes("spawn", WORKERS, work, *given, timeout=TIMEOUT_SECONDS, numbered=True)

    with ThreadPoolExecutor(1) as thread:
        try:
            yield thread.submit(results)
        finally:
            signals.is_over.set()


@pytest.mark.parametrize("mover", MOVERS)
def test_slots_that_move_lose_and_double_nothing(mover: str, report: Report) -> None:
    with TestCluster.start(KIND) as cluster:
        if mover == "as a whole" and not cluster.moves_atomically:
            pytest.skip("these servers move slots one by one")
        first, second, third = cluster.nodes
        names = [*names_at(cluster, first, 4), *names_at(cluster, third, 2)]
        signals = Signals()
        about = (first.port, names, TOTAL // WORKERS)
        moves = 0
        with processes(signals, cluster_storm.work_while_slots_move, *about) as working:
            signals.wait_for(working)
            for source, to in cycle([(first, second), (second, first)]):
                MOVERS[mover](cluster, source, to)
                moves += 1
                # There and back: the second time, the clients know both nodes.
                if moves >= 2:
                    signals.is_over.set()
                if working.done():
                    break
        found = working.result()
        left = drained(cluster, names)
    added = Counter(item for each in found for item in each.added)
    done = Counter(item for each in found for item in each.done) + Counter(left)
    report(
        f"{len(added)} items while all slots of a node moved {moves} times, {mover}: "
        f"{len(added - done)} lost, {len(done - added)} done twice, {len(left)} left for the end"
    )
    assert done == added


@pytest.mark.parametrize("durable", [None, redset.Durable(replicas=1, timeout=1.0)])
def test_work_goes_on_when_masters_die(durable: redset.Durable | None, report: Report) -> None:
    # One replica each, so that the one that confirmed a change takes over. Then none confirms what
    # the new master has until the old one is back.
    alone = ALONE_SECONDS if durable is None else ALONE_SECONDS / 3
    with TestCluster.start(KIND, replicas=1, node_timeout=QUICK_NODE_TIMEOUT) as cluster:
        masters = cluster.masters
        names = [name for node in masters for name in names_at(cluster, node, 2)]
        worked, awaited = names[::2], names[1::2]
        signals = Signals()
        about, waiting = (masters[0].port, worked, durable), (masters[0].port, awaited)
        deaths: list[tuple[float, str, str]] = []
        with (
            processes(signals, cluster_storm.work_while_masters_die, *about) as working,
            processes(signals, cluster_storm.wait_while_masters_die, *waiting) as awaiting,
            going_on(cluster, awaited),
        ):
            signals.wait_for(working, awaiting)
            for round_ in range(max(1, int(SECONDS // KILL_SECONDS))):
                place, end = round_ % len(worked), time.monotonic() + KILL_SECONDS
                time.sleep(1.0)
                killed = cluster.kill_master(worked[place])
                deaths.append((time.monotonic(), worked[place], awaited[place]))
                time.sleep(alone)
                cluster.restart(killed)
                time.sleep(max(0.0, end - time.monotonic()))
        found, waited = working.result(), awaiting.result()
        left = drained(cluster, worked)
    show_work_after_deaths(found, waited, deaths, report)
    added = Counter(item for each in found for item in each.added)
    unsure = {item for each in found for item in each.unsure}
    done = Counter(item for each in found for item in each.done) + Counter(left)
    maybe = {item for each in found for item in each.maybe_done}
    lost, twice = set(added - done) - maybe, {item for item, n in done.items() if n > 1}
    report(
        f"{len(added)} items while {len(deaths)} masters died, durable={durable}: {len(lost)} lost "
        f"with a master, {len(twice)} done twice, {len(unsure)} not known to be added, "
        f"{len(maybe)} not known to be acknowledged"
    )
    assert set(done) <= set(added) | unsure
    if durable is not None:
        assert (lost, twice) == (set(), set())


def show_work_after_deaths(
    found: list[Done], waited: list[Done], deaths: list[tuple[float, str, str]], report: Report
) -> None:
    """Report after how many seconds of a new master work went on; there must have been some."""
    for what, dones, place in (("leases", found, 1), ("waits", waited, 2)):
        pauses = []
        for death in deaths:
            times = [t for each in dones for t, name in each.times if name == death[place]]
            later = [moment - death[0] for moment in times if moment > death[0]]
            assert later, f"no {what} after the death of a master"
            pauses.append(min(later))
        errors = sum((each.errors for each in dones), Counter[str]())
        shown = ", ".join(f"{pause:.2f}" for pause in pauses)
        report(f"{what} went on {shown} s after a replica was the new master; {dict(errors)}")


@contextmanager
def going_on(cluster: TestCluster, names: list[str]) -> Iterator[None]:
    """Add an item to each set, ten times a second, beside the block."""
    is_over = threading.Event()

    def add(name: str) -> None:
        with client_of(cluster) as client:
            jobs, numbers = Jobs(client, name), count()
            while not is_over.wait(0.1):
                with suppress_client_errors():
                    jobs.add(next(numbers))

    with ThreadPoolExecutor(len(names)) as threads:
        adding = [threads.submit(add, name) for name in names]
        try:
            yield
        finally:
            is_over.set()
    for each in adding:
        each.result()


@contextmanager
def suppress_client_errors() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if not is_client_error(error):
            raise


def test_a_node_that_hangs_holds_up_its_own_sets_only(report: Report) -> None:
    with TestCluster.start(KIND) as cluster:
        hanging, *others = cluster.nodes
        [bad] = names_at(cluster, hanging, 1)
        good = [name for node in others for name in names_at(cluster, node, 1)]
        options = {"socket_timeout": SOCKET_SECONDS, "socket_connect_timeout": SOCKET_SECONDS}
        with client_of(cluster, **options) as client, ThreadPoolExecutor(2) as threads:
            sets = [Jobs(client, name) for name in good]
            calls_in(sets, 0.5)  # connects, and finds its stride
            before = [calls_in(sets, 0.1) for _ in range(10)]
            Jobs(client, bad).add(1)
            cluster.pause(hanging)
            failing = [threads.submit(outcome_of, Jobs(client, bad)) for _ in range(2)]
            during: list[int] = []
            while not all(each.done() for each in failing) or len(during) < 10:
                during.append(calls_in(sets, 0.1))
            cluster.resume(hanging)
            after = [calls_in(sets, 0.1) for _ in range(10)]
            with suppress(Exception):
                Jobs(client, bad).score(1)  # what the client still has to learn
            assert Jobs(client, bad).score(1) is not None
        middle, worst = statistics.median(during), min(during)
        errors = [each.result() for each in failing]
        report(
            f"calls in 0.1 s for sets of other nodes: {statistics.median(before):.0f} before, "
            f"{middle:.0f} (at worst {worst}) while a node hangs, {statistics.median(after):.0f} "
            f"after; its own sets: "
            + ", ".join(f"{type(error).__name__} after {pause:.1f} s" for error, pause in errors)
        )
    assert all(error is not None and is_client_error(error) for error, _ in errors), errors
    assert middle > statistics.median([*before, *after]) / 10


def calls_in(sets: list[Jobs], seconds: float) -> int:
    end, number = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        for each in sets:
            each.add(number)
        number += 1
    return number * len(sets)


def outcome_of(jobs: Jobs) -> tuple[Exception | None, float]:
    """The error that a call ends with, and after how many seconds."""
    begun = time.monotonic()
    try:
        jobs.score(1)
    except Exception as error:
        return error, time.monotonic() - begun
    return None, time.monotonic() - begun
