"""Sets with ``durable=``: what is not confirmed is told, and nothing is lost by telling it."""

import importlib
import os
import pickle
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
import redis

import redset
import redset.asyncio
from redset import DurabilityUnsupported, Durable, FirstOf, NotDurable, RedisSortedSet
from tests.clusters import ClusterNode, TestCluster
from tests.proxy import LossyProxy, RecordingProxy
from tests.server.conftest import ON_CLUSTER, TAG, MakeClient, RoundTrips, until
from tests.server.test_lost_replies import connection_error
from tests.servers import TestServer

# No healthy replica needs as long; a stopped one confirms nothing, however short the wait.
HEALTHY = Durable(replicas=1, timeout=30.0)
PATIENT = {"socket_timeout": 60.0}
SHORT = Durable(replicas=1, timeout=0.02)
KIND = os.environ.get("REDSET_TEST_SERVER", "valkey-9.1")
HAS_WAITAOF = KIND not in {"redis-6.2", "redis-7.0"}
ITEMS = list(range(1, 9))
# Sets that are used together, in one slot of a cluster.
PLAIN, VITAL = f"{TAG}plain", f"{TAG}vital"


@pytest.fixture(scope="module")
def replica_server(master: TestServer) -> Iterator[TestServer]:
    """The one replica of *master*, which has all that was written so far."""
    with ExitStack() as stack:
        if isinstance(master, ClusterNode):
            started: TestServer = master.cluster.replicas_of(master)[0]
        else:
            flags = ("--replicaof", "127.0.0.1", str(master.port))
            started = stack.enter_context(TestServer.start(KIND, *flags))
        with redis.Redis(unix_socket_path=master.unix_socket) as one:
            until(lambda: one.set("begin", 1) and one.execute_command("WAIT", 1, 1_000))
        yield started
        os.kill(started.pid or 0, signal.SIGCONT)


@contextmanager
def started_master(*flags: str, replicas: int = 0) -> Iterator[TestServer]:
    """A server; on a cluster its one master, which has so many replicas."""
    # The server looks at the end of a wait so many times a second.
    flags = ("--hz", "200", *flags)
    if ON_CLUSTER:
        with TestCluster.start(KIND, *flags, masters=1, replicas=replicas) as cluster:
            yield cluster.nodes[0]
    else:
        with TestServer.start(KIND, *flags) as started:
            yield started


@pytest.fixture(scope="module")
def master() -> Iterator[TestServer]:
    with started_master(replicas=1) as started:
        yield started


@pytest.fixture
def client(
    master: TestServer, replica_server: TestServer, make_client: MakeClient
) -> Iterator[redis.Redis]:
    """A client of a master that holds nothing, and has one replica."""
    with redis.Redis(unix_socket_path=master.unix_socket) as janitor:
        janitor.flushall()
        assert janitor.execute_command("WAIT", 1, 30_000) == 1
    yield make_client(of=master, **PATIENT)
    os.kill(replica_server.pid or 0, signal.SIGCONT)


@pytest.fixture
def stop(client: redis.Redis, replica_server: TestServer) -> Callable[[], None]:
    """Stop the replica until the end of the test: it stays connected, and confirms nothing."""
    return lambda: os.kill(replica_server.pid or 0, signal.SIGSTOP)


Numbers = RedisSortedSet[Any]


def hurry(numbers: Numbers) -> None:
    """Let the calls of *numbers* wait only briefly from now on: the replica is stopped."""
    getattr(numbers, "_set", numbers)._runner.durable = SHORT


def filled(client: Any, name: str, **options: Any) -> Numbers:
    """A set with something to do for each call: ready, leased and dead items."""
    plain: Numbers = RedisSortedSet(client, name, max_deliveries=1)
    plain.add_scored({item: item for item in [*ITEMS, 100, 101, 102, 103]})
    plain.lease(4, last=True).reject(100, 101)
    return RedisSortedSet(client, name, max_deliveries=1, **options)


def other(numbers: Numbers) -> Numbers:
    """A set beside *numbers*, on the same server, with some of its items and others."""
    found: Numbers = RedisSortedSet(numbers._runner.client, f"{numbers.name}:other")
    found.add_scored({2: 20, 4: 40, 50: 50})
    return found


def deleted(numbers: Numbers) -> None:
    del numbers[1]


def lengthened(numbers: Numbers) -> Numbers:
    numbers |= {60, 61}
    return numbers


def shortened(numbers: Numbers) -> Numbers:
    numbers &= {1, 2, 3}
    return numbers


def lessened(numbers: Numbers) -> Numbers:
    numbers -= {1, 2}
    return numbers


def mixed(numbers: Numbers) -> Numbers:
    numbers ^= {1, 70}
    return numbers


# Each public call of a set that changes something, with what it needs.
CHANGES: dict[str, Callable[[Numbers], Any]] = {
    "add": lambda numbers: numbers.add(9, score=5),
    "add_and_rank": lambda numbers: numbers.add_and_rank(9, 0),
    "add_scored": lambda numbers: numbers.add_scored({9: 5, 1: 7}, on_conflict="sum"),
    "cancel": lambda numbers: numbers.cancel(1, 102),
    "clear": lambda numbers: numbers.clear(),
    "copy": lambda numbers: numbers.copy(into=f"{numbers.name}:into"),
    "difference": lambda numbers: numbers.difference([1], into=f"{numbers.name}:into"),
    "difference_update": lambda numbers: numbers.difference_update(other(numbers)),
    "discard": lambda numbers: numbers.discard(1),
    "discard_dead": lambda numbers: numbers.discard_dead(100),
    "expire": lambda numbers: numbers.expire(1_000),
    "increment": lambda numbers: numbers.increment(1, 5),
    "insert": lambda numbers: numbers.insert(1, 9),
    "intersection": lambda numbers: numbers.intersection([1], into=f"{numbers.name}:into"),
    "intersection_update": lambda numbers: numbers.intersection_update(other(numbers)),
    "lease": lambda numbers: numbers.lease(2),
    "move": lambda numbers: numbers.move(1, to=other(numbers)),
    "persist": lambda numbers: numbers.persist(),
    "pop": lambda numbers: numbers.pop(),
    "remove": lambda numbers: numbers.remove(1),
    "remove_at": lambda numbers: numbers.remove_at(slice(None, None, 3)),
    "remove_range": lambda numbers: numbers.remove_range(2, 4),
    "rename": lambda numbers: numbers.rename(f"{numbers.name}:renamed"),
    "replace": lambda numbers: numbers.replace(1, 9),
    "requeue": lambda numbers: numbers.requeue(),
    "symmetric_difference": lambda numbers: numbers.symmetric_difference(
        {1, 70}, into=f"{numbers.name}:into"
    ),
    "symmetric_difference_update": lambda numbers: numbers.symmetric_difference_update({1, 70}),
    "take": lambda numbers: numbers.take(3),
    "union": lambda numbers: numbers.union({80}, into=f"{numbers.name}:into"),
    "update": lambda numbers: numbers.update([9, 10]),
    "update_score": lambda numbers: numbers.update_score(1, 5),
    "__delitem__": deleted,
    "__iand__": shortened,
    "__ior__": lengthened,
    "__isub__": lessened,
    "__ixor__": mixed,
}
# Calls of the same operations in another form, one step or several.
MORE_CHANGES: dict[str, Callable[[Numbers], Any]] = {
    "add, sum": lambda numbers: numbers.add(1, score=5, on_conflict="sum"),
    "add, keep": lambda numbers: numbers.add(1, score=5, on_conflict="keep"),
    "dead_items": lambda numbers: numbers.dead_items.pop(),
    "pop, last": lambda numbers: numbers.pop(last=True, with_scores=True),
    "pop, waiting": lambda numbers: numbers.pop(timeout=5),
    "take, many": lambda numbers: numbers.take(2_000),
    "update, set": lambda numbers: numbers.update(other(numbers), on_conflict="sum"),
    "update, many": lambda numbers: numbers.update(range(200, 8_000)),
    "remove_at, one": lambda numbers: numbers.remove_at(-1),
    "rename of a result": lambda numbers: (numbers | {1}).rename(f"{numbers.name}:renamed"),
}
# Those that only read, or that change only results, and those that have tests of their own.
READS = {
    *("contains", "count", "dead_items", "dead_letters", "difference_count", "equals", "index"),
    *("intersection_count", "isdisjoint", "issubset", "issuperset", "ispropersubset"),
    *("ispropersuperset", "items", "leased", "peek", "peek_score", "random", "range", "rank"),
    *("ranks", "read_difference", "read_intersection", "read_symmetric_difference", "read_union"),
    *("sample", "score", "scores", "size", "stats", "ttl", "union_count"),
    *("name", "key", "lock", "close", "aclose", "consume"),
}
OPERATORS = {"__delitem__", "__iand__", "__ior__", "__isub__", "__ixor__"}


@pytest.mark.parametrize("module", [redset, redset.asyncio], ids=lambda module: module.__name__)
def test_each_public_method_is_known_to_change_or_not_to(module: Any) -> None:
    public = {name for name in dir(module.RedisSortedSet) if not name.startswith("_")}
    assert public - READS == CHANGES.keys() - OPERATORS
    leases = {name for name in dir(module.Lease) if not name.startswith("_")}
    assert leases - SETTLINGS.keys() == {"count", "deadline", "deliveries", "index", "source"}
    firsts = {name for name in dir(module.FirstOf) if not name.startswith("_")}
    assert firsts == {"consume", "lease", "pop", "sets", "take"}


def plainly(result: Any) -> Any:
    """A result of a call, or of its twin on another set, in a form that can be compared."""
    if isinstance(result, RedisSortedSet | redset.asyncio.RedisSortedSet):
        return result.name.partition(":")[2]
    if hasattr(result, "_held"):  # a lease
        return list(result._held.items), result._source.name.partition(":")[2]
    return result


def contents(server: TestServer, name: str) -> dict[bytes, Any]:
    """All that the server has of the set *name*, but for what belongs to calls."""
    kept: dict[bytes, Any] = {}
    with redis.Redis(unix_socket_path=server.unix_socket, single_connection_client=True) as c:
        if isinstance(server, ClusterNode):
            c.readonly()  # a replica would send this client to its master
        for key in c.scan_iter():
            if name.encode() in key and b"given" not in key:
                words = key.replace(name.encode(), b"")
                if c.type(key) == b"zset":
                    pairs = c.zrange(key, 0, -1, withscores=True)
                    if words.endswith((b"leased", b"moved")):  # whose scores are times
                        pairs = sorted(member.replace(name.encode(), b"") for member, _ in pairs)
                    kept[words] = pairs
                else:
                    kept[words] = c.hlen(key)
    return kept


@pytest.mark.parametrize("call", [*CHANGES, *MORE_CHANGES])
def test_a_change_that_is_confirmed_returns_what_it_does_without_the_option(
    client: redis.Redis,
    master: TestServer,
    replica_server: TestServer,
    round_trips: RoundTrips,
    call: str,
) -> None:
    change = (CHANGES | MORE_CHANGES)[call]
    plain, durable = filled(client, PLAIN), filled(client, VITAL, durable=HEALTHY)
    durable.add(1, score=1)  # the server is asked once whether it can confirm
    with round_trips(client) as plainly_counted:
        expected = plainly(change(plain))
    with round_trips(client) as counted:
        result = plainly(change(durable))
    assert result == expected
    assert counted.value == plainly_counted.value
    assert contents(master, VITAL) == contents(master, PLAIN)
    assert contents(replica_server, VITAL) == contents(master, VITAL)  # at once
    assert not list(client.scan_iter("*fence*"))


@pytest.mark.parametrize("call", [*CHANGES, *MORE_CHANGES])
def test_a_change_that_is_not_confirmed_is_done_and_told_with_its_result(
    client: redis.Redis, master: TestServer, stop: Callable[[], None], call: str
) -> None:
    change = (CHANGES | MORE_CHANGES)[call]
    plain, durable = filled(client, PLAIN), filled(client, VITAL, durable=SHORT)
    stop()
    expected = plainly(change(plain))
    with pytest.raises(NotDurable, match=r"vital.*0 of 1 replicas") as caught:
        change(durable)
    error = caught.value
    assert (error.replicas, error.wanted, error.disk) == (0, 1, None)
    if call not in OPERATORS:  # an operator in place returns its set, which the caller has
        assert plainly(error.result) == expected
    assert contents(master, VITAL) == contents(master, PLAIN)


SETTLINGS: dict[str, Callable[[Any], Any]] = {
    "ack": lambda lease: lease.ack(),
    "extend": lambda lease: lease.extend(100),
    "reject": lambda lease: lease.reject(1, error="no"),
    "release": lambda lease: lease.release(1, delay=100),
}


@pytest.mark.parametrize("call", SETTLINGS)
@pytest.mark.parametrize("is_confirmed", [True, False], ids=["confirmed", "stopped"])
def test_settling_waits_for_its_confirmation(
    client: redis.Redis,
    master: TestServer,
    replica_server: TestServer,
    stop: Callable[[], None],
    call: str,
    is_confirmed: bool,
) -> None:
    plain, numbers = filled(client, PLAIN), filled(client, VITAL, durable=HEALTHY)
    leases = [plain.lease(2), numbers.lease(2)]
    SETTLINGS[call](leases[0])
    if is_confirmed:
        SETTLINGS[call](leases[1])
        assert contents(replica_server, VITAL) == contents(master, VITAL)
    else:
        stop()
        hurry(numbers)
        with pytest.raises(NotDurable, match="0 of 1 replicas"):
            SETTLINGS[call](leases[1])
    assert contents(master, VITAL) == contents(master, PLAIN)


def test_reading_and_results_wait_for_nothing(
    client: redis.Redis, stop: Callable[[], None]
) -> None:
    numbers = filled(client, "vital", durable=SHORT)
    beside = other(numbers)
    stop()
    assert 1 in numbers
    assert len(numbers) == len(list(numbers)) == len(list(numbers.items())) == 8
    assert numbers.score(1) == 1
    assert numbers.stats().dead == len(list(numbers.dead_letters())) == 2
    assert len(list(numbers.leased())) == 2
    assert numbers.ttl() is None
    assert not numbers <= {1, 2}
    assert numbers.isdisjoint(range(1_000, 6_000))  # more than one script call reads
    assert numbers.union_count(range(1_000, 6_000)) == 5_008
    assert numbers.read_union(beside)
    assert sorted((numbers | beside) & {1, 50}) == [1, 50]
    with numbers | {90, 91} as both:
        both.add(92)
        both.discard(1)
        assert both.pop() in {90, 91, 92, 2}
        both |= {93}
        assert 93 in both


def test_nothing_to_deliver_is_nothing_to_confirm(
    client: redis.Redis, stop: Callable[[], None]
) -> None:
    numbers: Numbers = RedisSortedSet(client, VITAL, durable=SHORT)
    urgent: Numbers = RedisSortedSet(client, f"{TAG}urgent")
    stop()
    with pytest.raises(KeyError):
        numbers.pop()
    assert numbers.take(2) == []
    assert list(numbers.lease(2)) == []
    assert list(numbers.consume(timeout=0)) == []
    jobs = FirstOf(urgent, numbers)
    with pytest.raises(KeyError):
        jobs.pop()
    assert jobs.take(2) == []
    assert list(jobs.consume(timeout=0)) == []


def test_a_lease_that_was_not_confirmed_is_a_lease(
    client: redis.Redis, stop: Callable[[], None], replica_server: TestServer
) -> None:
    numbers = filled(client, "vital", durable=SHORT)
    stop()
    with pytest.raises(NotDurable) as caught:
        numbers.lease(2)
    held = caught.value.result
    assert (list(held._held.items), numbers.stats().leased) == ([1, 2], 4)
    patient: Numbers = RedisSortedSet(client, "vital")
    assert patient.cancel(1, 2) == 2  # what the lease held is where any lease holds it


def test_a_consumer_gives_back_what_it_leased_when_that_is_not_confirmed(
    client: redis.Redis, stop: Callable[[], None]
) -> None:
    numbers: Numbers = RedisSortedSet(client, "vital", durable=HEALTHY)
    numbers.add_scored({1: 1, 2: 2, 3: 3})
    loop = numbers.consume(timeout=0)
    assert next(loop) == 1
    stop()
    hurry(numbers)
    with pytest.raises(NotDurable) as caught:
        next(loop)
    assert caught.value.result is None
    with pytest.raises(StopIteration):
        next(loop)
    # The first is done, the second was not delivered, and that counts as no delivery.
    plain: Numbers = RedisSortedSet(client, "vital")
    assert (list(plain), plain.stats().leased) == ([2, 3], 0)
    assert [plain.lease().deliveries(2)] == [1]


def test_a_consumer_that_is_stopped_raises_after_its_acknowledgements(
    client: redis.Redis, stop: Callable[[], None]
) -> None:
    numbers: Numbers = RedisSortedSet(client, "vital", durable=HEALTHY)
    numbers.add_scored({1: 1, 2: 2, 3: 3})
    is_over = False
    loop = numbers.consume(3, timeout=0, stop=lambda: is_over)
    assert next(loop) == 1
    is_over = True
    stop()
    hurry(numbers)
    with pytest.raises(NotDurable):
        next(loop)
    plain: Numbers = RedisSortedSet(client, "vital")
    assert (list(plain), plain.stats().leased) == ([2, 3], 0)


def test_a_consumer_that_would_wait_raises_what_was_not_confirmed_before(
    client: redis.Redis, stop: Callable[[], None]
) -> None:
    numbers: Numbers = RedisSortedSet(client, "vital", durable=HEALTHY)
    numbers.add(1)
    asked = 0

    def is_over() -> bool:
        nonlocal asked
        asked += 1
        return asked > 50  # if it waits nevertheless

    loop = numbers.consume(timeout=None, stop=is_over)
    assert next(loop) == 1
    stop()
    hurry(numbers)
    with pytest.raises(NotDurable):
        next(loop)
    assert asked < 10
    plain: Numbers = RedisSortedSet(client, "vital")
    assert (list(plain), plain.stats().leased) == ([], 0)
    # The handle can be used as before.
    plain.add(2)
    getattr(numbers, "_set", numbers)._runner.durable = None
    assert list(numbers.consume(timeout=0)) == [2]


def test_an_attempt_that_failed_is_released_and_the_loop_goes_on(
    client: redis.Redis, stop: Callable[[], None], caplog: pytest.LogCaptureFixture
) -> None:
    numbers: Numbers = RedisSortedSet(client, "vital", durable=HEALTHY)
    numbers.add_scored({1: 1, 2: 2})
    loop = numbers.consume(2, timeout=0, retry_delay=100, on_error=lambda item, error: None)
    assert next(loop) == 1
    stop()
    hurry(numbers)
    with loop.attempt():
        raise ZeroDivisionError
    assert "0 of 1 replicas" in caplog.text
    assert next(loop) == 2
    assert RedisSortedSet[Any](client, "vital").stats().delayed == 1
    loop.close()  # which gives back the other, after the same delay
    assert RedisSortedSet[Any](client, "vital").stats().delayed == 2


def test_a_server_that_becomes_a_replica_during_the_wait_costs_no_item(
    make_client: MakeClient,
) -> None:
    with TestServer.start(KIND) as other, TestServer.start(KIND) as demoted:
        numbers = filled(make_client(unix_socket_path=demoted.unix_socket, **PATIENT), "vital")
        one = make_client(unix_socket_path=demoted.unix_socket)
        vital: Numbers = RedisSortedSet(numbers._runner.client, "vital", durable=HEALTHY)
        assert numbers.pop() == 1  # the server knows the script from then on
        with ThreadPoolExecutor(1) as pool:
            popped = pool.submit(vital.pop)
            until(lambda: one.info("clients")["blocked_clients"])
            one.execute_command("REPLICAOF", "127.0.0.1", other.port)
            with pytest.raises(NotDurable) as caught:
                popped.result()
    assert caught.value.result == 2
    assert "UNBLOCKED" in str(caught.value.__cause__)


def test_a_block_that_failed_raises_its_own_error(
    client: redis.Redis, stop: Callable[[], None], caplog: pytest.LogCaptureFixture
) -> None:
    numbers: Numbers = RedisSortedSet(client, "vital", durable=HEALTHY)
    numbers.update([1, 2])
    with pytest.raises(ZeroDivisionError), numbers.lease(2) as held:
        stop()
        hurry(numbers)
        assert list(held) == [1, 2]
        raise ZeroDivisionError
    assert "0 of 1 replicas" in caplog.text
    assert sorted(RedisSortedSet[Any](client, "vital")) == [1, 2]


def test_the_end_of_a_block_raises_what_was_not_confirmed(
    client: redis.Redis, stop: Callable[[], None]
) -> None:
    numbers: Numbers = RedisSortedSet(client, "vital", durable=HEALTHY)
    numbers.update([1, 2])
    with pytest.raises(NotDurable), numbers.lease(2) as held:
        assert list(held) == [1, 2]
        stop()
        hurry(numbers)
    assert RedisSortedSet[Any](client, "vital").stats().leased == 0


@pytest.fixture
def lossy(client: redis.Redis, master: TestServer) -> Iterator[LossyProxy]:
    with LossyProxy(*master.ports) as started:
        yield started


def test_a_call_that_is_repeated_after_a_lost_reply_is_confirmed_too(
    client: redis.Redis,
    master: TestServer,
    lossy: LossyProxy,
    make_client: MakeClient,
    stop: Callable[[], None],
) -> None:
    # The repeated call writes nothing: a WAIT alone would count the stopped replica at once.
    filled(client, "vital")
    behind = make_client(of=master, host="127.0.0.1", port=lossy.port, **PATIENT)
    numbers: Numbers = RedisSortedSet(behind, "vital", durable=HEALTHY)
    numbers.add(1, score=1)
    stop()
    hurry(numbers)

    def told(call: Callable[[], Any]) -> Any:
        lossy.lose("EVAL", 1)
        with pytest.raises(NotDurable, match="0 of 1 replicas") as caught:
            try:
                call()
            except connection_error(client):  # the client doesn't repeat the call by itself
                call()
        assert lossy.lost == 1
        return caught.value.result

    assert told(numbers.pop) == 1
    assert told(lambda: numbers.take(2)) == [2, 3]
    assert told(lambda: numbers.insert(4, 9)) == [9]
    assert plainly(told(lambda: numbers.lease(1)))[0] == [9]
    assert list(RedisSortedSet[Any](client, "vital")) == [4, 5, 6, 7, 8]


def test_a_change_that_was_made_already_is_confirmed(
    client: redis.Redis, make_client: MakeClient, master: TestServer, stop: Callable[[], None]
) -> None:
    stop()
    RedisSortedSet[Any](client, "vital").add(1, score=1)
    elsewhere = make_client(of=master)
    with pytest.raises(NotDurable):
        RedisSortedSet[Any](elsewhere, "vital", durable=SHORT).add(1, score=1)


@pytest.fixture
def recorded(
    client: redis.Redis, master: TestServer
) -> Iterator[tuple[int, Callable[[], list[bytes]]]]:
    """A port, and the names of the commands that were sent to it since they were asked for."""
    with RecordingProxy(*master.ports) as proxy:
        seen = 0

        def names() -> list[bytes]:
            nonlocal seen
            known = {b"CLIENT", b"HELLO", b"PING", b"MAINT_NOTIFICATIONS", b"CLUSTER", b"COMMAND"}
            found = [words for words in proxy.requests() if words[0] not in known]
            found, seen = found[seen:], len(found)
            return [words[0] for words in found]

        yield proxy.port, names


def test_a_script_that_is_sent_again_is_confirmed_again(
    client: redis.Redis,
    master: TestServer,
    make_client: MakeClient,
    recorded: tuple[int, Callable[[], list[bytes]]],
) -> None:
    port, names = recorded
    through = make_client(of=master, host="127.0.0.1", port=port, **PATIENT)
    numbers: Numbers = RedisSortedSet(through, "vital", durable=HEALTHY)
    numbers.add(1)
    client.script_flush()
    names()
    assert numbers.pop() == 1
    assert names() == [b"EVALSHA", b"EVAL", b"WAIT", b"EVAL", b"EVAL", b"WAIT"]


def test_each_step_waits_and_after_one_that_was_not_confirmed_only_briefly(
    client: redis.Redis, master: TestServer, make_client: MakeClient, stop: Callable[[], None]
) -> None:
    with RecordingProxy(*master.ports) as proxy:
        through = make_client(of=master, host="127.0.0.1", port=proxy.port, **PATIENT)
        numbers: Numbers = RedisSortedSet(through, "vital", durable=SHORT)
        stop()
        with pytest.raises(NotDurable):
            numbers.update(range(12_000))
        waits = [words[2] for words in proxy.requests() if words[0] == b"WAIT"]
    assert waits == [b"1", b"20", b"1", b"1"]  # the first asks whether the server can
    assert len(RedisSortedSet[Any](client, "vital")) == 12_000


class Lifting:
    """A backoff that does something before a client repeats its commands."""

    def __init__(self, lift: Callable[[], Any]) -> None:
        self._lift = lift

    def reset(self) -> None:
        """Do nothing."""

    def compute(self, _failures: int) -> float:
        self._lift()
        return 0


def test_a_command_that_the_client_repeats_is_confirmed_again(
    client: redis.Redis,
    master: TestServer,
    make_client: MakeClient,
    recorded: tuple[int, Callable[[], list[bytes]]],
) -> None:
    port, names = recorded
    library = type(client).__module__.partition(".")[0]
    retry = importlib.import_module(f"{library}.retry").Retry
    refusal = importlib.import_module(f"{library}.exceptions").ResponseError
    plain: Numbers = RedisSortedSet(client, "vital")
    plain.update([1, 2, 3])
    through = make_client(
        of=master,
        host="127.0.0.1",
        port=port,
        retry=retry(Lifting(lambda: client.config_set("min-replicas-to-write", 0)), 3),
        retry_on_error=[refusal],
        **PATIENT,
    )
    numbers: Numbers = RedisSortedSet(through, "vital", durable=HEALTHY)
    numbers.discard(1)
    names()
    client.config_set("min-replicas-to-write", 2)
    try:
        numbers.discard(2)
    finally:
        client.config_set("min-replicas-to-write", 0)
    assert names() == [b"ZREM", b"EVAL", b"WAIT", b"ZREM", b"EVAL", b"WAIT"]
    assert list(plain) == [3]


def test_the_first_of_several_sets_waits_for_what_any_of_them_asks(
    client: redis.Redis, stop: Callable[[], None]
) -> None:
    plain: Numbers = RedisSortedSet(client, PLAIN)
    vital: Numbers = RedisSortedSet(client, VITAL, durable=SHORT)
    plain.add_scored({item: item for item in ITEMS})
    jobs = FirstOf(vital, plain)
    stop()
    with pytest.raises(NotDurable) as popped:
        jobs.pop(with_scores=True)
    assert (popped.value.result[0].name, *popped.value.result[1:]) == (PLAIN, 1, 1)
    with pytest.raises(NotDurable) as taken:
        jobs.take(2)
    assert [(source.name, item) for source, item in taken.value.result] == [
        (PLAIN, 2),
        (PLAIN, 3),
    ]
    with pytest.raises(NotDurable) as leased:
        jobs.lease(1)
    assert list(leased.value.result._held.items) == [4]
    with pytest.raises(NotDurable):
        next(jobs.consume(timeout=0))
    assert list(plain) == [5, 6, 7, 8]


# Handles


def test_handles_keep_the_option(client: redis.Redis) -> None:
    numbers: Numbers = RedisSortedSet(client, VITAL, durable=HEALTHY)
    assert repr(numbers) == f"<redset.RedisSortedSet '{VITAL}'>"
    again = pickle.loads(pickle.dumps(numbers))
    for handle in (numbers, again, numbers.copy(into=f"{TAG}into"), numbers.dead_items):
        assert handle._runner.config.durable == handle._runner.durable == HEALTHY
    result = numbers | {1}
    assert (result._runner.config.durable, result._runner.durable) == (HEALTHY, None)
    result.rename(f"{TAG}lasting")
    assert result._runner.durable == HEALTHY
    numbers.rename(f"{TAG}renamed")
    assert numbers._runner.durable == HEALTHY


@pytest.mark.parametrize("kind", ["SortedSet", "TimeSortedSet", "ScheduledSet"])
def test_the_sets_of_redset_0_4_take_the_option(
    client: redis.Redis, stop: Callable[[], None], kind: str
) -> None:
    names = getattr(redset, kind)(client, "vital", durable=SHORT)
    stop()
    with pytest.raises(NotDurable):
        names.add("x", score=1)
    assert len(names) == 1


def test_an_error_can_be_pickled(client: redis.Redis) -> None:
    error = pickle.loads(pickle.dumps(NotDurable("vital", 0, 1, False, result=["x"])))
    assert (error.replicas, error.wanted, error.disk, error.result) == (0, 1, False, ["x"])
    assert str(error) == str(NotDurable("vital", 0, 1, False))


# What can't confirm


def test_a_client_that_can_not_keep_commands_together_is_refused(
    client: redis.Redis, make_client: MakeClient, master: TestServer
) -> None:
    single = make_client(unix_socket_path=master.unix_socket, single_connection_client=True)
    with pytest.raises(TypeError, match=r"'vital': durable needs .*single_connection_client"):
        redset.sets.RedisSortedSet(single, "vital", durable=HEALTHY)

    class Prefixing(type(client)):  # type: ignore[misc]
        def execute_command(self, *words: Any, **options: Any) -> Any:
            return super().execute_command(*words, **options)

    own = Prefixing(unix_socket_path=master.unix_socket, **PATIENT)
    with pytest.raises(TypeError, match="execute_command of its own"):
        redset.sets.RedisSortedSet(own, "vital", durable=HEALTHY)
    own.close()


def test_a_client_whose_commands_are_replaced_later_is_refused_before_anything_is_sent(
    client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = redset.sets.RedisSortedSet[Any](client, "vital", durable=HEALTHY)
    numbers.add(1)
    execute: Any = client.execute_command

    def own(*words: Any, **options: Any) -> Any:
        return execute(*words, **options)

    monkeypatch.setattr(client, "execute_command", own)
    with pytest.raises(TypeError, match="nothing was sent"):
        numbers.pop()
    monkeypatch.undo()
    assert list(numbers) == [1]


def test_a_client_whose_pipeline_is_its_own_sends_all_in_one_pipeline(
    client: redis.Redis, master: TestServer, stop: Callable[[], None]
) -> None:
    class Own(type(client)):  # type: ignore[misc]
        def pipeline(self, *args: Any, **options: Any) -> Any:
            return super().pipeline(*args, **options)

    own = Own(unix_socket_path=master.unix_socket, **PATIENT)
    numbers = redset.sets.RedisSortedSet[Any](own, "vital", durable=HEALTHY)
    assert numbers.add(1, score=1) == 1
    stop()
    hasty = redset.sets.RedisSortedSet[Any](own, "vital", durable=SHORT)
    with pytest.raises(NotDurable) as caught:
        hasty.pop()
    assert caught.value.result == 1
    own.close()


def test_a_wait_longer_than_the_client_waits_for_a_reply_is_refused(
    client: redis.Redis, make_client: MakeClient, master: TestServer
) -> None:
    hasty = make_client(of=master, socket_timeout=1.0)
    with pytest.raises(ValueError, match=r"'vital': durable waits up to 0.6 seconds.*=1;"):
        RedisSortedSet(hasty, "vital", durable=Durable(replicas=1, timeout=0.6))
    RedisSortedSet[Any](hasty, "vital", durable=Durable(replicas=1, timeout=0.5)).add(1)


def test_an_account_without_the_right_is_told_before_anything_changes(
    client: redis.Redis, make_client: MakeClient, master: TestServer
) -> None:
    client.execute_command("ACL", "SETUSER", "meek", "on", ">x", "~*", "&*", "+@all", "-wait")
    meek = make_client(of=master, username="meek", password="x", **PATIENT)
    numbers: Numbers = RedisSortedSet(meek, "vital", durable=HEALTHY)
    with pytest.raises(DurabilityUnsupported, match=r"'vital': .* needs WAIT"):
        numbers.add(1)
    assert len(numbers) == 0
    client.execute_command("ACL", "DELUSER", "meek")


# The disk


@pytest.fixture
def on_disk(make_client: MakeClient) -> Iterator[redis.Redis]:
    """A client of a server with an append-only file."""
    with started_master("--appendonly", "yes", "--appendfsync", "always") as started:
        yield make_client(of=started, **PATIENT)


DISK = Durable(disk=True, timeout=30.0)


@pytest.mark.skipif(not HAS_WAITAOF, reason="the server has no WAITAOF")
def test_a_change_is_confirmed_by_the_disk(on_disk: redis.Redis) -> None:
    numbers: Numbers = RedisSortedSet(on_disk, "vital", durable=DISK)
    assert numbers.add(1, score=2) == 2
    numbers.update(range(12_000))
    assert numbers.pop() == 0
    with numbers.lease(2) as held:
        assert len(held) == 2


@pytest.mark.skipif(not HAS_WAITAOF, reason="the server has no WAITAOF")
def test_a_disk_that_has_not_confirmed_in_time_is_told(on_disk: redis.Redis) -> None:
    numbers: Numbers = RedisSortedSet(on_disk, "vital", durable=Durable(disk=True, timeout=0.02))
    both: Numbers = RedisSortedSet(
        on_disk, "vital", durable=Durable(replicas=1, disk=True, timeout=0.02)
    )
    on_disk.config_set("appendfsync", "no")
    with pytest.raises(NotDurable, match="not its disk") as caught:
        numbers.add(1, score=2)
    error = caught.value
    assert (error.result, error.replicas, error.wanted, error.disk) == (2, 0, 0, False)
    on_disk.config_set("appendfsync", "always")
    with pytest.raises(NotDurable, match="0 of 1 replicas, its disk") as caught:
        both.pop()
    assert (caught.value.result, caught.value.disk) == (1, True)


@pytest.mark.skipif(not HAS_WAITAOF, reason="the server has no WAITAOF")
def test_a_file_that_is_switched_off_later_costs_no_item(on_disk: redis.Redis) -> None:
    numbers: Numbers = RedisSortedSet(on_disk, "vital", durable=DISK)
    numbers.add(1)
    on_disk.config_set("appendonly", "no")
    with pytest.raises(NotDurable, match="not its disk") as caught:
        numbers.pop()
    assert caught.value.result == 1
    assert "appendonly" in str(caught.value.__cause__)


def test_a_server_that_can_not_confirm_the_disk_is_told_before_anything_changes(
    client: redis.Redis,
) -> None:
    numbers: Numbers = RedisSortedSet(client, "vital", durable=DISK)
    for _ in range(2):
        with pytest.raises(DurabilityUnsupported, match=r"'vital': .*WAITAOF .*appendonly yes"):
            numbers.add(1)
    assert len(numbers) == 0
