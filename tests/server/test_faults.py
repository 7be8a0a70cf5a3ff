"""Replies get lost, processes and servers are killed: every item that was fed in is accounted for.

``REDSET_FAULT_ITEMS`` sets how many items there are where processes empty a set. What is random
follows ``REDSET_FAULT_SEED``, which each report names.
"""

import contextlib
import importlib
import itertools
import multiprocessing
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import pytest
import redis

from redset import RedisSortedSet, ScheduledSet
from redset._protocol.keys import leasing_keys
from redset.exceptions import LeaseLost
from redset.leases import Lease
from tests.processes import Mortals, in_processes
from tests.proxy import LossyProxy
from tests.server.conftest import (
    TIMEOUT_SECONDS,
    MakeClient,
    errors_of,
    home_of,
    retry_options,
    until,
)
from tests.servers import TestServer

ITEMS = int(os.environ.get("REDSET_FAULT_ITEMS", "0"))
SEED = int(os.environ.get("REDSET_FAULT_SEED", "20240229"))
# Seconds for a run of so many items, on a machine that is slow and busy.
LONG = 60 + max(ITEMS, 5_000) / 50

# Who waits for so long has no answer in time unless he is woken.
WAIT = 3 * TIMEOUT_SECONDS
# Longer than any test: what is leased for so long doesn't come back by itself.
FOREVER = 600.0

# Python 3.12 warns of fork in a process with threads; these tests fork on purpose.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")

T = TypeVar("T")
Numbers = RedisSortedSet[int]
Worker = Callable[[Numbers], list[int]]


@pytest.fixture
def report(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Show a line of figures, whether the test passes or not."""

    def show(line: str) -> None:
        with capsys.disabled():
            print(f"\n  {line}")

    return show


def stubborn(client: redis.Redis, make_client: MakeClient, **options: Any) -> redis.Redis:
    """A client that repeats a command for some seconds, and to connect for longer."""
    library = type(client).__module__.partition(".")[0]
    backoff = importlib.import_module(f"{library}.backoff").ConstantBackoff(0.02)
    retry = importlib.import_module(f"{library}.retry").Retry(backoff, 100)
    return make_client(retry=retry, retry_on_error=list(errors_of(client)), **options)


def numbers(client: redis.Redis, total: int, name: str = "numbers") -> Numbers:
    found: Numbers = RedisSortedSet(client, name, scorer=float)
    found.update(range(total))
    return found


def answered(items: Numbers, call: Callable[[], T]) -> T:
    """Repeat a call until it is answered, as a worker does that is told of a lost connection.

    valkey-py doesn't repeat by itself what goes wrong while it connects.
    """
    errors, end = errors_of(items._runner.client), time.monotonic() + TIMEOUT_SECONDS
    while True:
        try:
            return call()
        except errors:
            if time.monotonic() > end:
                raise
            time.sleep(0.02)


# Lost replies


def pop_and_take(items: Numbers) -> list[int]:
    given: list[Any] = []
    for num in itertools.cycle((1, 3, 2)):
        batch = answered(items, lambda: items.take(num))  # noqa: B023 - called at once
        given += batch
        with contextlib.suppress(KeyError):
            given.append(answered(items, items.pop))
            continue
        if not batch:
            break
    return given


def lease_and_acknowledge(items: Numbers) -> list[int]:
    given: list[int] = []
    for num in itertools.cycle((1, 5, 3)):
        batch = answered(items, lambda: items.lease(num, FOREVER))  # noqa: B023 - called at once
        given += batch
        for item in batch[1::2]:
            answered(items, lambda: batch.ack(item))  # noqa: B023 - called at once
        answered(items, batch.ack)
        if not batch:
            break
    return given


def zpopmin(items: Numbers) -> list[int]:
    given: list[int] = []
    while batch := answered(items, lambda: items._runner.client.zpopmin(items.name, 2)):
        given += [int(score) for _, score in batch]
    return given


@pytest.fixture
def lossy_run(
    client: redis.Redis,
    make_client: MakeClient,
    proxy: LossyProxy,
    report: Callable[[str], None],
) -> Callable[[Worker, int], list[int]]:
    """Let four processes hand out so many items over a network that loses one reply in 20."""

    def run(work: Worker, total: int) -> list[int]:
        address = {"host": "127.0.0.1", "port": proxy.port, "socket_timeout": 2.0}
        items = numbers(stubborn(client, make_client, **address), total)
        proxy.lose_at_random(20, SEED, stalls=40)
        began = time.monotonic()
        shares = in_processes("fork", 4, work, items, timeout=LONG)
        given = [item for share in shares for item in share]
        faults = ", ".join(f"{number:,} {fault}" for fault, number in proxy.faults.items())
        report(
            f"{work.__name__}: {total:,} items, seed {SEED}, replies {faults}; "
            f"{total - len(set(given)):,} lost, {len(given) - len(set(given)):,} given twice; "
            f"{time.monotonic() - began:.1f} s"
        )
        return given

    return run


def test_each_item_is_given_once_however_many_replies_are_lost(
    lossy_run: Callable[[Worker, int], list[int]], proxy: LossyProxy, client: redis.Redis
) -> None:
    total = ITEMS or 5_000
    assert sorted(lossy_run(pop_and_take, total)) == list(range(total))
    assert proxy.faults.keys() == {"dropped", "cut", "stalled"}
    assert client.zcard("numbers") == 0


def test_each_item_is_leased_and_acknowledged_once_however_many_replies_are_lost(
    lossy_run: Callable[[Worker, int], list[int]], client: redis.Redis
) -> None:
    total = (ITEMS or 5_000) // 2
    assert sorted(lossy_run(lease_and_acknowledge, total)) == list(range(total))
    assert not any(numbers(client, 0).stats())


def test_a_plain_zpopmin_loses_items_with_the_replies(
    lossy_run: Callable[[Worker, int], list[int]],
) -> None:
    given = lossy_run(zpopmin, 2_000)
    assert len(given) == len(set(given)) < 2_000


def test_an_ack_is_answered_as_the_first_time_whatever_was_settled_meanwhile(
    client: redis.Redis, make_client: MakeClient, proxy: LossyProxy
) -> None:
    once = make_client(host="127.0.0.1", port=proxy.port, **retry_options(client, 0))
    items = numbers(once, 3)
    first, second, third = (items.lease(1, FOREVER) for _ in range(3))
    first.ack()  # brings the script to the server
    proxy.lose("EVAL", 1)
    with pytest.raises(errors_of(client)):
        second.ack()
    third.ack()
    second.ack()


# Killed consumers


def work_off(which: int, items: Numbers, log: Any) -> None:
    """Do what there is, and write down each item before it is acknowledged."""
    each = which % 2 == 0
    while any(items.stats()):
        with (
            contextlib.suppress(LeaseLost),
            items.lease(10, ttl=1.0, timeout=0.5) as batch,
        ):
            for item in batch:
                with log.pipeline() as pipeline:
                    pipeline.hincrby("done", str(item), 1).sadd("busy", which).execute()
                time.sleep(0.01)
                if each:
                    batch.ack(item)


class Journal:
    """What the server's append-only file says of the leases of one set.

    No process that was killed can have kept it from saying so: how often each member was handed
    out, and how often its lease ended without its going anywhere, which is to be acknowledged.
    """

    def __init__(self, directory: Path, key: bytes) -> None:
        self.handed_out: Counter[bytes] = Counter()
        self.acknowledged: Counter[bytes] = Counter()
        held, dead = leasing_keys(key).held, leasing_keys(key).dead
        for step in _transactions(directory):
            over = [
                word for name, at, *words in step if (name, at) == (b"HDEL", held) for word in words
            ]
            there = {
                words[-1] for name, at, *words in step if name == b"ZADD" and at in {key, dead}
            }
            self.acknowledged.update(member for member in over if member not in there)
            for name, at, *words in step:
                if name in {b"HSET", b"HMSET"} and at == held:
                    self.handed_out.update(words[::2])


def _transactions(directory: Path) -> Iterator[list[list[bytes]]]:
    """The commands that had effects, those of one script together."""
    step: list[list[bytes]] | None = None
    for words in _commands(directory):
        name = words[0].upper()
        if name == b"MULTI":
            step = []
        elif name == b"EXEC":
            yield step or []
            step = None
        elif len(words) > 1:
            command = [name, *words[1:]]
            if step is None:
                yield [command]
            else:
                step.append(command)


def _commands(directory: Path) -> Iterator[list[bytes]]:
    for path in sorted(directory.rglob("*.aof")):
        with path.open("rb") as file:
            while line := file.readline():
                words = []
                for _ in range(int(line[1:])):
                    words.append(file.read(int(file.readline()[1:])))
                    file.read(2)
                yield words


def test_each_item_is_acknowledged_once_while_consumers_are_killed(
    server: TestServer,
    client: redis.Redis,
    make_client: MakeClient,
    report: Callable[[str], None],
) -> None:
    total = ITEMS or 3_000
    flags = ["--appendonly", "yes", "--appendfsync", "no", "--aof-use-rdb-preamble", "no"]
    choice, kills, began = random.Random(SEED), 0, time.monotonic()
    with TestServer.start(server.kind, *flags, "--auto-aof-rewrite-percentage", "0") as own:
        log: Any = stubborn(client, make_client, unix_socket_path=own.unix_socket)
        items = numbers(log, total)
        with Mortals("fork", 8, work_off, items, log) as consumers:
            while any(items.stats()):
                assert time.monotonic() < began + LONG
                time.sleep(0.5)
                # Only who has begun: however slow the machine is, the work goes on.
                busy = consumers.alive.keys() & map(int, log.smembers("busy"))
                if busy:
                    consumers.kill(choice.choice(sorted(busy)))
                    kills += 1
            assert set(consumers.join()) == {0}
        assert not any(items.stats())
        done = {int(item): int(times) for item, times in log.hgetall("done").items()}
        member_of = items._runner.config.encoding.encode
        members = {member_of(item) for item in range(total)}
        own.stop()
        journal = Journal(own.directory, b"numbers")
    again = [member for member, times in journal.handed_out.items() if times > 1]
    report(
        f"{total:,} items, {kills} of their consumers killed, seed {SEED}; "
        f"{total - len(done):,} lost, {len(again):,} delivered more than once "
        f"({max(journal.handed_out.values())} times at the most), "
        f"{sum(times > 1 for times in done.values()):,} worked on more than once; "
        f"{time.monotonic() - began:.1f} s"
    )
    assert done.keys() == set(range(total))
    assert journal.acknowledged == dict.fromkeys(members, 1)
    assert kills > 0
    assert again


def hold(items: Numbers, log: Any) -> None:
    items.lease(3, ttl=FOREVER)
    brief = items.lease(5, ttl=0.2)
    brief.ack(*brief[:2])
    log.set("holding", 1)
    time.sleep(FOREVER)


def loop_on_the_third(items: Numbers, log: Any) -> None:
    for item in items.consume(batch=5, ttl=1.0, renew=True):
        if item == 2:
            log.set("holding", 1)
            time.sleep(FOREVER)


@contextlib.contextmanager
def running(work: Callable[..., Any], *arguments: Any) -> Iterator[Any]:
    process = multiprocessing.get_context("fork").Process(target=work, args=arguments, daemon=True)
    process.start()
    try:
        yield process
    finally:
        process.kill()
        process.join()


def test_what_a_killed_consumer_held_comes_to_another_when_its_lease_runs_out(
    client: redis.Redis, make_client: MakeClient
) -> None:
    items = numbers(client, 8)
    with running(hold, items, client):
        until(lambda: client.get("holding"))
    others = numbers(make_client(), 0)
    batch = others.lease(2, FOREVER, timeout=TIMEOUT_SECONDS)
    # It is alone, and whether the consumer died of this one, nobody knows.
    assert [(item, batch.deliveries(item)) for item in batch] == [(5, 1)]
    batch.ack()
    assert [others.take(1), others.take(10), others.take(10)] == [[6], [7], []]
    assert sorted(leased.item for leased in others.leased()) == [0, 1, 2]


def test_what_a_killed_consumer_renewed_comes_back_too(
    client: redis.Redis, make_client: MakeClient
) -> None:
    items = numbers(client, 5)
    with running(loop_on_the_third, items, client):
        until(lambda: client.get("holding"))
        [first, *_] = items.leased()
        until(lambda: all(leased.expires > first.expires for leased in items.leased()))
    others = numbers(make_client(), 0)
    batches = [others.lease(10, FOREVER, timeout=TIMEOUT_SECONDS) for _ in range(5)]
    assert [[(item, batch.deliveries(item)) for item in batch] for batch in batches] == [
        [(item, 1)] for item in range(5)
    ]


@pytest.mark.parametrize("done", [0, 2])
def test_a_loop_that_is_left_when_its_lease_is_lost_is_given_nothing_more(
    client: redis.Redis, done: int
) -> None:
    items = numbers(client, 9)
    loop = items.consume(3, ttl=0.05, renew=False)
    assert [next(loop) for _ in range(done + 1)] == list(range(done + 1))
    others = until(lambda: items.take(3) if items.stats().expired == 3 else None)
    assert list(others) == [0, 1, 2]
    loop.close()
    assert items.stats()[:3] == (6, 6, 0)


# Forked consumers


def take_part(items: Numbers) -> list[int]:
    with items.lease(2, FOREVER) as batch:
        return [*batch, *items.take(1), *items.consume(2, FOREVER, timeout=0)]


def test_a_process_forked_while_holding_is_given_other_items(client: redis.Redis) -> None:
    items = numbers(client, 12)
    items.take(1)
    with items.lease(3, FOREVER, renew=True) as batch:
        shares = in_processes("fork", 2, take_part, items)
        batch.ack(1)
    given = [item for share in shares for item in share]
    assert sorted([*batch, *given]) == list(range(1, 12))
    assert not any(items.stats())


def test_a_child_does_not_repeat_the_failed_call_that_it_inherits(
    client: redis.Redis, make_client: MakeClient, proxy: LossyProxy
) -> None:
    once = make_client(host="127.0.0.1", port=proxy.port, **retry_options(client, 0))
    items = numbers(once, 8)
    for call in (lambda: items.take(2), lambda: items.lease(2, FOREVER)):
        call()  # brings the script to the server
        proxy.lose("EVAL", 1)
        with pytest.raises(errors_of(client)[0]):
            call()
    assert in_processes("fork", 1, pop_and_take, items) == [[]]
    assert items.take(2) == [2, 3]
    assert list(items.lease(2, FOREVER)) == [6, 7]


def test_a_thread_keeps_what_it_holds_while_another_forks(client: redis.Redis) -> None:
    items = numbers(client, 20)
    holding, forked = threading.Event(), threading.Event()

    def work() -> list[int]:
        with items.lease(4, FOREVER, renew=True) as batch:
            holding.set()
            forked.wait(TIMEOUT_SECONDS)
        return list(batch)

    with ThreadPoolExecutor() as pool:
        own = pool.submit(work)
        holding.wait(TIMEOUT_SECONDS)
        [share] = in_processes("fork", 1, take_part, items)
        forked.set()
        assert sorted(own.result(TIMEOUT_SECONDS) + share) == list(range(20))
    assert not any(items.stats())


def leave_with(batch: Lease[int]) -> None:
    with batch:
        pass


def leave_loop(consuming: Generator[int, None, None]) -> None:
    consuming.close()


@pytest.mark.parametrize("consuming", [False, True])
def test_a_child_that_leaves_the_block_of_its_parent_settles_nothing(
    client: redis.Redis, consuming: bool
) -> None:
    items = numbers(client, 4)
    if consuming:
        loop = items.consume(4, FOREVER)
        assert [next(loop), next(loop)] == [0, 1]
        in_processes("fork", 1, leave_loop, loop)
    else:
        batch = items.lease(4, FOREVER)
        in_processes("fork", 1, leave_with, batch)
    held = sorted(leased.item for leased in items.leased())
    if consuming:
        loop.close()
    assert held == [0, 1, 2, 3]


# A killed server


class Traffic:
    """Threads that add items and acknowledge them, and what they were answered."""

    def __init__(self, make: Callable[[], Numbers], errors: tuple[type[Exception], ...]) -> None:
        self._make, self._errors = make, errors
        self._over = threading.Event()
        self.added: set[int] = set()
        self.acknowledged: set[int] = set()
        self.given_after_that: list[int] = []

    def produce(self, first: int, step: int) -> None:
        items = self._make()
        for item in itertools.count(first, step):
            if self._over.is_set():
                return
            try:
                items.add(item)
            except self._errors:
                time.sleep(0.02)  # whether it is there, nobody knows
            else:
                self.added.add(item)

    def consume(self) -> None:
        items = self._make()
        while not self._over.is_set():
            batch = answered(items, lambda: items.lease(5, FOREVER))
            self.given_after_that += self.acknowledged.intersection(batch)
            for item in batch:
                if self._over.is_set():
                    return
                answered(items, lambda: batch.ack(item))  # noqa: B023 - called at once
                self.acknowledged.add(item)

    @contextlib.contextmanager
    def flowing(self) -> Iterator[None]:
        with ThreadPoolExecutor() as pool:
            threads = [pool.submit(self.produce, first, 2) for first in (0, 1)]
            threads += [pool.submit(self.consume) for _ in range(2)]
            try:
                yield
            finally:
                self._over.set()
            for thread in threads:
                thread.result(TIMEOUT_SECONDS)


def test_every_add_and_ack_that_was_answered_survives_a_killed_server(
    server: TestServer, client: redis.Redis, make_client: MakeClient, report: Callable[[str], None]
) -> None:
    def once() -> Numbers:
        # A client that repeated an add could add again what was acknowledged meanwhile.
        never = retry_options(client, 0)
        return numbers(make_client(unix_socket_path=own.unix_socket, **never), 0)

    with TestServer.start(server.kind, "--appendonly", "yes", "--appendfsync", "always") as own:
        traffic = Traffic(once, errors_of(client))
        with traffic.flowing():
            for _ in range(4):
                added, acknowledged = len(traffic.added), len(traffic.acknowledged)
                until(lambda: len(traffic.added) > added + 100)  # noqa: B023 - called at once
                until(lambda: len(traffic.acknowledged) > acknowledged + 100)  # noqa: B023
                own.kill()
                own.launch()
        items = numbers(stubborn(client, make_client, unix_socket_path=own.unix_socket), 0)
        left = {*items, *(leased.item for leased in items.leased())}
    report(f"{len(traffic.added):,} adds and {len(traffic.acknowledged):,} acks answered, 4 kills")
    assert traffic.added - traffic.acknowledged - left == set()
    assert traffic.acknowledged & left == set()
    assert traffic.given_after_that == []


# Scripts forgotten, connections closed, servers started again


def take_some(items: Numbers, over: threading.Event) -> list[int]:
    given: list[int] = []
    while True:
        last = over.is_set()
        batch = answered(items, lambda: items.take(3))
        given += batch
        if last and not batch:
            return given


def lease_some(items: Numbers, over: threading.Event) -> list[int]:
    given: list[int] = []
    while True:
        last = over.is_set()
        batch = answered(items, lambda: items.lease(3, FOREVER))
        for item in batch:
            answered(items, lambda: batch.ack(item))  # noqa: B023 - called at once
            given.append(item)
        if last and not batch:
            return given


def wait_and_pop(items: Numbers, _over: threading.Event) -> list[int]:
    given: list[int] = []
    while True:
        item = answered(items, lambda: items.pop(timeout=WAIT))
        if item is None or item < 0:
            return given
        given.append(item)


def wait_and_consume(items: Numbers, _over: threading.Event) -> list[int]:
    given: list[int] = []
    while True:
        with contextlib.suppress(*errors_of(items._runner.client)):
            for item in items.consume(2, ttl=2.0, timeout=WAIT):
                if item < 0:
                    return given
                given.append(item)
            raise AssertionError("it waited for nothing")


def forget_scripts(janitor: redis.Redis) -> None:
    janitor.script_flush()


def close_connections(janitor: redis.Redis) -> None:
    # Who waits is subscribed, and so of the other type.
    for kind in ("normal", "pubsub"):
        janitor.client_kill_filter(_type=kind, skipme=True)


Share = Callable[[Numbers, threading.Event], list[int]]
Disturb = Callable[[redis.Redis], None]
DISTURBED = 1_500


@pytest.fixture
def disturbed_run(
    server: TestServer, client: redis.Redis, make_client: MakeClient
) -> Callable[[Share, Disturb], list[int]]:
    """Let four threads have items while the server is disturbed again and again."""

    def run(work: Share, disturb: Disturb) -> list[int]:
        over = threading.Event()
        with (
            redis.Redis(unix_socket_path=home_of(server, "numbers").unix_socket) as janitor,
            ThreadPoolExecutor() as pool,
        ):
            items = numbers(janitor, 0)
            handles = [numbers(stubborn(client, make_client), 0) for _ in range(4)]
            shares = [pool.submit(work, handle, over) for handle in handles]
            for first in range(0, DISTURBED, 30):
                items.update(range(first, first + 30))
                disturb(janitor)
            over.set()
            for end in range(-4, 0):
                items.add(end, float("inf"))
            given = [item for share in shares for item in share.result(2 * TIMEOUT_SECONDS)]
            assert [item for item in items if item >= 0] == []
        return sorted(item for item in given if item >= 0)

    return run


@pytest.mark.parametrize("work", [take_some, lease_some, wait_and_pop, wait_and_consume])
def test_each_item_is_given_once_by_a_server_that_forgets_its_scripts(
    disturbed_run: Callable[[Share, Disturb], list[int]], work: Share, client: redis.Redis
) -> None:
    assert disturbed_run(work, forget_scripts) == list(range(DISTURBED))
    assert numbers(client, 0).stats().leased == 0


@pytest.mark.parametrize("work", [take_some, lease_some, wait_and_pop])
def test_each_item_is_given_once_by_a_server_that_closes_connections(
    disturbed_run: Callable[[Share, Disturb], list[int]], work: Share, client: redis.Redis
) -> None:
    assert disturbed_run(work, close_connections) == list(range(DISTURBED))
    assert numbers(client, 0).stats().leased == 0


def test_each_item_is_consumed_by_a_server_that_closes_connections(
    disturbed_run: Callable[[Share, Disturb], list[int]],
) -> None:
    # Twice where neither the client nor `consume` could learn that it was acknowledged.
    given = disturbed_run(wait_and_consume, close_connections)
    assert sorted(set(given)) == list(range(DISTURBED))


def consume_one(items: Numbers) -> int:
    return next(iter(items.consume(ttl=FOREVER, timeout=WAIT)))


def pop_one(items: Numbers) -> int | None:
    return items.pop(timeout=WAIT)


@pytest.mark.parametrize("how", ["stop", "kill"])
@pytest.mark.parametrize("wait", [pop_one, consume_one])
def test_who_waits_is_given_what_a_restarted_server_is_brought(
    server: TestServer,
    client: redis.Redis,
    make_client: MakeClient,
    wait: Callable[[Numbers], int],
    how: str,
) -> None:
    with TestServer.start(server.kind) as own, ThreadPoolExecutor() as pool:
        mine = stubborn(client, make_client, unix_socket_path=own.unix_socket)
        items = numbers(mine, 0)
        waiting: Future[int] = pool.submit(answered, items, lambda: wait(items))
        with redis.Redis(unix_socket_path=own.unix_socket) as janitor:
            until(lambda: janitor.client_list(_type="pubsub"))
        getattr(own, how)()
        own.launch()
        numbers(stubborn(client, make_client, unix_socket_path=own.unix_socket), 0).add(7)
        assert waiting.result(2 * TIMEOUT_SECONDS) == 7


# Clocks set apart

YEAR = 365 * 86_400


def ahead() -> float:
    return time.time() + YEAR


def behind() -> float:
    return time.time() - YEAR


@pytest.mark.parametrize("kind", [RedisSortedSet, ScheduledSet])
@pytest.mark.parametrize(("mine", "theirs"), [(ahead, behind), (behind, ahead)])
def test_the_clocks_of_clients_do_not_move_the_deadline_of_a_lease(
    client: redis.Redis, kind: Any, mine: Callable[[], float], theirs: Callable[[], float]
) -> None:
    holder, others = (kind(client, "jobs", clock=clock) for clock in (mine, theirs))
    for name in ("brief", "long"):
        holder.add(name, 0)
    [brief] = holder.take(1)
    before, long, after = client.time(), holder.lease(1, ttl=FOREVER), client.time()
    assert _milliseconds(before) <= (long.deadline - FOREVER) * 1000 <= _milliseconds(after)
    assert [leased.expires for leased in others.leased()] == [pytest.approx(long.deadline)]
    holder.add(brief, 0)
    ran_out = holder.lease(1, ttl=0.05)
    batch = others.lease(5, ttl=FOREVER, timeout=TIMEOUT_SECONDS)
    assert [(item, batch.deliveries(item)) for item in batch] == [(brief, 2)]
    assert others.stats()[2:4] == (2, 0)
    with pytest.raises(LeaseLost):
        ran_out.ack()
    for lease in (long, batch):
        lease.ack()
    assert not any(holder.stats())


def _milliseconds(time: Iterable[Any]) -> float:
    seconds, micro = time
    return int(seconds) * 1000 + int(micro) // 1000


# Requests that arrive late


@pytest.fixture
def impatient(
    client: redis.Redis, make_client: MakeClient, proxy: LossyProxy
) -> Callable[[int], redis.Redis]:
    """A client that gives a command up soon, and repeats it so many times."""

    def make(retries: int) -> redis.Redis:
        address = {"host": "127.0.0.1", "port": proxy.port, "socket_timeout": 0.5}
        return make_client(**address, **retry_options(client, retries))

    return make


@pytest.mark.parametrize("calls", [[1, 1], [1, 2, 1]])
@pytest.mark.parametrize("method", ["take", "lease"])
def test_a_request_that_arrives_after_its_repetition_was_answered_takes_nothing(
    impatient: Callable[[int], redis.Redis], proxy: LossyProxy, calls: list[int], method: str
) -> None:
    items = numbers(impatient(9), 8)
    deliver = getattr(items, method)
    given = [*deliver(1)]
    proxy.delay("EVAL")
    for num in calls:
        given += deliver(num)
    proxy.deliver()
    given += deliver(8)
    assert given == list(range(8))


@pytest.mark.parametrize("method", ["take", "lease"])
def test_a_request_that_arrives_after_a_call_that_found_nothing_loses_nothing(
    impatient: Callable[[int], redis.Redis], proxy: LossyProxy, method: str
) -> None:
    items = numbers(impatient(9), 2)
    deliver = getattr(items, method)
    given = [*deliver(1)]
    proxy.delay("EVAL")
    for _ in range(2):
        given += deliver(1)
    items.add(7)
    proxy.deliver()
    assert [*given, *deliver(8)] == [0, 1, 7]


def test_a_pop_that_arrives_late_puts_nothing_back_of_the_take_that_followed(
    impatient: Callable[[int], redis.Redis], client: redis.Redis, proxy: LossyProxy
) -> None:
    items = numbers(impatient(0), 6)
    items.take(1)
    proxy.delay("EVAL")
    with pytest.raises(errors_of(client)):
        items.pop()
    assert items.take(5) == [1, 2, 3, 4, 5]
    proxy.deliver()
    assert items.take(5) == []
