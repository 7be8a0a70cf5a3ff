"""Clients of a cluster that read from replicas: their sets ask masters, and find new ones."""

import functools
import importlib
import importlib.util
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import redis.cluster

from redset import RedisSortedSet
from tests import bridge
from tests.clusters import QUICK_NODE_TIMEOUT, ClusterNode, TestCluster, slot_of
from tests.server.test_security import rights_of_a_reader

pytestmark = pytest.mark.filterwarnings("ignore:.*read_from_replicas:DeprecationWarning")

NAME = "numbers"
STRATEGIES = getattr(redis.cluster, "LoadBalancingStrategy", ())
# Each way to ask a library for this.
WAYS: list[tuple[str, dict[str, Any]]] = [
    *[("redis", {"load_balancing_strategy": strategy}) for strategy in STRATEGIES],
    *[
        (library, {"read_from_replicas": True})
        for library in ("redis", "valkey")
        if importlib.util.find_spec(library) is not None
    ],
]

# Makes a client of a library, with these options, for sets of one surface.
Make = Callable[..., Any]


@pytest.fixture(scope="module")
def nodes() -> Iterator[TestCluster]:
    with TestCluster.start(
        "valkey-9.1", masters=3, replicas=1, node_timeout=QUICK_NODE_TIMEOUT
    ) as found:
        yield found


@pytest.fixture(params=["sync", "asyncio"])
def surface(request: pytest.FixtureRequest, nodes: TestCluster) -> Iterator[tuple[Make, Any]]:
    """What makes clients, and the class of the sets over them: both surfaces are called alike."""
    nodes.flush()
    is_asyncio = request.param == "asyncio"
    end = bridge.begin() if is_asyncio else None
    made: list[Any] = []

    def make(library: str, **options: Any) -> Any:
        module = importlib.import_module(f"{library}.asyncio" if is_asyncio else library)
        kind = getattr(module, f"{library.capitalize()}Cluster")
        client = kind(host="127.0.0.1", port=nodes.nodes[0].port, **options)
        if is_asyncio:
            bridge.keep(client)
        else:
            made.append(client)
        return client

    yield make, bridge.RedisSortedSet if is_asyncio else RedisSortedSet
    for client in made:
        client.close()
    if end is not None:
        end()


@pytest.mark.parametrize("how", ["takes over", "replaces a dead one"])
def test_sets_find_a_replica_that_takes_over(
    nodes: TestCluster, surface: tuple[Make, Any], how: str
) -> None:
    make, kind = surface
    sets = [kind(make(library, **options), NAME) for library, options in WAYS]
    for number, each in enumerate(sets):
        each.add(number, score=number)
    killed = None
    if how == "takes over":
        nodes.failover(nodes.replicas_of(nodes.node_of(NAME))[0])
    else:
        killed = nodes.kill_master(NAME)
    try:
        for each in sets:
            first = each.pop()
            assert each.add(first + len(sets), score=first + len(sets)) > first
        assert list(sets[0]) == [number + len(sets) for number in range(len(sets))]
    finally:
        if killed is not None:
            nodes.restart(killed)


@contextmanager
def reader(nodes: TestCluster) -> Iterator[dict[str, str]]:
    """An account that may read the set, and no more."""
    rights = [right.replace("jobs", NAME) for right in rights_of_a_reader()]
    rights += ["+asking", "+cluster|slots", "+command", "+readonly", "+readwrite"]
    for node in nodes.nodes:
        node.call("ACL", "SETUSER", "reader", "reset", "on", ">secret", *rights)
    try:
        yield {"username": "reader", "password": "secret"}
    finally:
        for node in nodes.nodes:
            node.call("ACL", "DELUSER", "reader")


def test_sets_of_an_account_that_may_only_read_find_their_slot(
    nodes: TestCluster, surface: tuple[Make, Any]
) -> None:
    make, kind = surface
    kind(make("redis"), NAME).update([1, 2, 3])
    with reader(nodes) as account:
        sets = [kind(make(library, **options, **account), NAME) for library, options in WAYS]
        sets.append(kind(make("redis", **account), NAME))
        assert [list(each) for each in sets] == [[1, 2, 3]] * len(sets)
        nodes.failover(nodes.replicas_of(nodes.node_of(NAME))[0])
        source = nodes.node_of(NAME)
        nodes.move_slot(slot_of(NAME), next(node for node in nodes.masters if node is not source))
        try:
            assert [(2 in each, list(each)) for each in sets] == [(True, [1, 2, 3])] * len(sets)
        finally:
            nodes.move_slot(slot_of(NAME), source)
            nodes.settle()


@contextmanager
def left_behind(nodes: TestCluster, replica: ClusterNode) -> Iterator[None]:
    """Keep from *replica* what its master is told from now on."""
    replica.call("CONFIG", "SET", "masteruser", "no such account", "masterauth", "wrong")
    nodes.node_of(NAME).call("CLIENT", "KILL", "TYPE", "replica")
    try:
        yield
    finally:
        replica.call("CONFIG", "SET", "masteruser", "", "masterauth", "")
        nodes.settle()


def test_sets_read_from_masters(nodes: TestCluster, surface: tuple[Make, Any]) -> None:
    make, kind = surface
    sets = [kind(make(library, **options), NAME) for library, options in WAYS]
    sets[0].add(1, score=1)
    [replica] = nodes.replicas_of(nodes.node_of(NAME))
    with left_behind(nodes, replica):
        sets[0].add(2, score=2)
        for each in sets:
            check_read(each)


def test_observed_sets_read_from_masters(
    nodes: TestCluster, surface: tuple[Make, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    make, kind = surface
    clients = [make(library, **options) for library, options in WAYS]
    sets = [kind(client, NAME) for client in clients]
    sets[0].add(1, score=1)
    [replica] = nodes.replicas_of(nodes.node_of(NAME))
    with left_behind(nodes, replica):
        sets[0].add(2, score=2)
        with monkeypatch.context() as patch:
            seen = [observed(type(client), patch) for client in clients]
            for each in sets:
                check_read(each)
            assert all(seen)


def test_an_observed_account_that_may_only_read_reads_from_any_node(
    nodes: TestCluster, surface: tuple[Make, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    make, kind = surface
    kind(make("redis"), NAME).update([1, 2])
    nodes.settle()
    with reader(nodes) as account:
        clients = [make(library, **options, **account) for library, options in WAYS]
        with monkeypatch.context() as patch:
            seen = [observed(type(client), patch) for client in clients]
            for client in clients:
                numbers = kind(client, NAME)
                assert (2 in numbers, len(numbers), list(numbers)) == (True, 2, [1, 2])
            assert all(seen)


def observed(kind: type[Any], patch: pytest.MonkeyPatch) -> list[str]:
    """Observe the commands of all clients of *kind*, as a tracer does; return their names."""
    execute, seen = kind.execute_command, []

    @functools.wraps(execute)
    def observe(self: Any, *words: Any, **options: Any) -> Any:
        seen.append(str(words[0]))
        return execute(self, *words, **options)

    patch.setattr(kind, "execute_command", observe)
    return seen


def test_sets_don_t_read_from_a_master_that_became_a_replica(
    nodes: TestCluster, surface: tuple[Make, Any]
) -> None:
    make, kind = surface
    sets = [kind(make(library, **options), NAME) for library, options in WAYS]
    sets[0].add(1, score=1)
    assert [1 in each for each in sets] == [True] * len(sets)
    before = nodes.node_of(NAME)
    nodes.failover(nodes.replicas_of(before)[0])
    with left_behind(nodes, before):
        RedisSortedSet[int](nodes.node_of(NAME).client, NAME).add(2, score=2)
        for each in sets:
            check_read(each)


def check_read(numbers: Any) -> None:
    """Read *numbers*, which are 1 and 2, by commands, scripts and pages."""
    for _ in range(3):  # replicas and masters are asked in turns
        assert 2 in numbers
        assert len(numbers) == 2
        assert numbers.score(2) == 2.0
        assert numbers.peek(last=True) == 2
        assert list(numbers) == [1, 2]
        assert numbers.scores(1, 2) == [1.0, 2.0]
        assert numbers == {1, 2}
