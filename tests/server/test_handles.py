"""Handles: pickled, sent to processes, used by many threads; what can't be one is refused."""

import copy
import json
import marshal
import pickle
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType, SimpleNamespace
from typing import Any

import msgpack
import pytest
import redis
import redis.asyncio

import redset.asyncio
from redset import (
    InvalidTypeError,
    RedisSortedSet,
    RedsetError,
    ScheduledSet,
    ServerClock,
    SortedSet,
    TimeSortedSet,
)
from redset.codecs import JSONSerializer, NamedtupleSerializer
from tests.processes import METHODS, in_processes
from tests.proxy import LossyProxy
from tests.server.conftest import MakeClient, RoundTrips
from tests.server.test_lost_replies import behind, connection_error, loaded
from tests.servers import TestServer

NOW = 1_700_000_000.0
THREADS = 8

pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")

every_class = pytest.mark.parametrize(
    "kind", [RedisSortedSet, SortedSet, TimeSortedSet, ScheduledSet], ids=lambda kind: kind.__name__
)
both_methods = pytest.mark.parametrize("method", METHODS)


def negative(item: str) -> float:
    return -len(item)


def at_now() -> float:
    return NOW


class Reversing:
    """A serializer whose members tell that it was used."""

    def dumps(self, item: str) -> str:
        return item[::-1]

    def loads(self, member: str) -> str:
        return member[::-1]


def sent(handle: Any) -> Any:
    return pickle.loads(pickle.dumps(handle))


def settings(handle: Any) -> dict[str, Any]:
    return dict(handle._runner.client.connection_pool.connection_kwargs)


# Pickled


@every_class
def test_a_handle_that_was_sent_is_of_the_same_class_and_set(
    client: redis.Redis, kind: Any
) -> None:
    handle = kind(client, "jobs", clock=at_now)
    handle.add("b", score=2)
    copy = sent(handle)
    copy.add("a", score=1)
    assert type(copy) is kind
    assert copy.name == "jobs"
    assert list(handle.items()) == list(copy.items()) == [("a", 1.0), ("b", 2.0)]
    assert copy.take(5) == ["a", "b"]


@every_class
def test_a_sent_handle_keeps_its_scorer_serializer_and_lock(client: redis.Redis, kind: Any) -> None:
    handle = kind(client, "jobs", negative, Reversing(), lock_timeout=0.5, lock_expires=7)
    copy = sent(sent(handle))
    assert copy.add("abc") == -3
    assert client.zscore("jobs", "cba") == -3
    assert (copy.lock.timeout, copy.lock.expires) == (0.5, 7)


@pytest.mark.parametrize("module", [json, pickle, marshal, msgpack], ids=lambda each: each.__name__)
def test_a_sent_handle_keeps_the_module_that_is_its_serializer(
    client: redis.Redis, module: Any
) -> None:
    jobs: RedisSortedSet[Any] = RedisSortedSet(client, "jobs", serializer=module)
    jobs.add({"b": 1, "a": [2]})
    received = sent(sent(jobs))
    assert list(received) == [{"a": [2], "b": 1}]
    assert list(copy.copy(received)) == list(copy.deepcopy(received)) == list(jobs)
    assert list(sent(received & jobs)) == list(jobs)


def test_a_set_with_a_module_that_no_import_finds_can_not_be_sent(client: redis.Redis) -> None:
    module: Any = ModuleType("made_up")
    module.dumps, module.loads = repr, eval
    jobs: RedisSortedSet[Any] = RedisSortedSet(client, "jobs", serializer=module)
    with pytest.raises(RedsetError, match="the module 'made_up' can't be pickled"):
        pickle.dumps(jobs)
    assert list(copy.copy(jobs)) == []


@pytest.mark.parametrize("kind", [TimeSortedSet, ScheduledSet])
def test_a_sent_handle_keeps_its_clock(client: redis.Redis, kind: Any) -> None:
    copy = sent(kind(client, "jobs", clock=at_now))
    assert copy.add("a") == NOW


def test_a_set_with_the_servers_clock_can_be_sent(client: redis.Redis) -> None:
    jobs: ScheduledSet[str] = ScheduledSet(client, "jobs", clock=ServerClock(client))
    jobs.add("due", score=NOW)
    jobs.add("later", score=time.time() + 1e6)
    copy = sent(jobs)
    assert [copy.available(), copy.take(5)] == [1, ["due"]]


def test_a_sent_handle_takes_binary_names(client: redis.Redis) -> None:
    handle: SortedSet[str] = SortedSet(client, b"jobs\xff")
    sent(handle).add("a")
    assert list(handle) == ["a"]


def test_a_sent_handle_keeps_the_clients_settings(make_client: MakeClient) -> None:
    made = make_client(
        db=3,
        protocol=3,
        decode_responses=True,
        socket_timeout=1.5,
        socket_connect_timeout=2.5,
        health_check_interval=9,
        client_name="worker",
        max_connections=4,
    )
    try:
        made.ping()
    except ValueError as error:
        pytest.skip(f"redis-py 7.0 has no RESP3 over unix sockets: {error}")
    copy = sent(SortedSet[str](made, "jobs"))
    assert type(copy._runner.client) is type(made)
    assert copy._runner.client.connection_pool.max_connections == 4
    kept = settings(copy)
    for option in ("db", "protocol", "decode_responses", "socket_timeout", "client_name"):
        assert kept[option] == made.connection_pool.connection_kwargs[option]
    assert kept["health_check_interval"] == 9
    copy.add("a")
    try:
        assert made.zcard("jobs") == 1
    finally:
        made.flushdb()


def test_a_sent_handle_keeps_a_tcp_clients_settings(
    client: redis.Redis, server: TestServer, make_client: MakeClient
) -> None:
    made = make_client(host="127.0.0.1", port=server.port, socket_connect_timeout=2.5)
    copy = sent(SortedSet[str](made, "jobs"))
    kept = settings(copy)
    assert (kept["port"], kept["socket_connect_timeout"]) == (server.port, 2.5)
    copy.add("a")
    assert client.zcard("jobs") == 1


@pytest.fixture
def password(client: redis.Redis) -> Iterator[str]:
    """The password of the user ``guest``."""
    client.acl_setuser("guest", enabled=True, passwords=["+secret"], keys=["*"], commands=["+@all"])
    yield "secret"
    client.acl_deluser("guest")


def test_a_sent_handle_keeps_the_clients_user_and_password(
    client: redis.Redis, make_client: MakeClient, password: str
) -> None:
    made = make_client(username="guest", password=password)
    copy = sent(SortedSet[str](made, "jobs"))
    copy.add("a")
    whoami = copy._runner.client.execute_command("ACL WHOAMI")
    assert whoami in {"guest", b"guest"}


def test_handles_that_were_sent_share_one_client(
    client: redis.Redis, make_client: MakeClient
) -> None:
    jobs, seen = sent(SortedSet[str](client, "jobs")), sent(SortedSet[str](client, "seen"))
    elsewhere = sent(SortedSet[str](make_client(db=3), "jobs"))
    assert jobs._runner.client is seen._runner.client
    assert jobs._runner.client is not elsewhere._runner.client


class Made(redis.Redis):
    """A client of the user's, with an argument that no pool knows."""

    def __init__(self, tenant: str = "", **options: Any) -> None:
        super().__init__(**options)
        self.tenant = tenant


def test_a_client_whose_settings_are_not_all_known_can_not_be_sent(
    server: TestServer,
) -> None:
    for client in (
        Made("a", port=server.port),
        redis.Redis(port=server.port, single_connection_client=True),
    ):
        with pytest.raises(InvalidTypeError, match="more than a pool of connections"):
            pickle.dumps(RedisSortedSet[Any](client, "jobs"))
        client.close()


def test_a_sent_handle_keeps_how_long_its_pool_waits(server: TestServer) -> None:
    pool = redis.BlockingConnectionPool(port=server.port, timeout=0.25, max_connections=7)
    received = sent(RedisSortedSet[Any](redis.Redis(connection_pool=pool), "jobs"))
    found = received._runner.client.connection_pool
    assert (type(found), found.timeout, found.max_connections) == (type(pool), 0.25, 7)


def test_a_set_with_a_lambda_can_not_be_sent(client: redis.Redis) -> None:
    jobs: SortedSet[str] = SortedSet(client, "jobs", scorer=lambda item: 2 * len(item))
    with pytest.raises((pickle.PicklingError, AttributeError), match="lambda"):
        pickle.dumps(jobs)


def test_settings_that_can_not_be_sent_are_named(make_client: MakeClient) -> None:
    class Provider(redis.CredentialProvider):
        def get_credentials(self) -> Any:
            return ()  # a client of a cluster connects at once

    jobs: SortedSet[str] = SortedSet(make_client(credential_provider=Provider()), "jobs")
    with pytest.raises(TypeError, match=r"settings can't be pickled: .*Provider") as caught:
        pickle.dumps(jobs)
    assert isinstance(caught.value, RedsetError)


# In other processes and threads


def work_on(handle: Any) -> tuple[float, list[str]]:
    """What every process does with its handle: one item of each kind of call."""
    return handle.add("abc"), [handle.pop() for _ in range(10)]


@both_methods
@every_class
def test_a_handle_works_in_other_processes(client: redis.Redis, kind: Any, method: str) -> None:
    handle = kind(client, "jobs", scorer=negative)
    handle.update("x" * number for number in range(4, 60))
    outcomes = in_processes(method, 3, work_on, handle)
    assert {score for score, _ in outcomes} == {-3}
    items = [item for _, share in outcomes for item in share]
    assert len(items) == len(set(items)) == 30


@both_methods
def test_a_handle_that_was_used_here_works_there_and_here(client: redis.Redis, method: str) -> None:
    jobs: SortedSet[str] = SortedSet(client, "jobs", scorer=float)
    jobs.update(map(str, range(50)))
    here = [jobs.pop(), *jobs.take(2)]
    shares = [share for _, share in in_processes(method, 2, pop_ten, jobs)]
    here += [jobs.pop(), *jobs.take(2)]
    items = here + [item for share in shares for item in share]
    assert sorted(int(item or 0) for item in items) == list(range(26))


def pop_ten(jobs: SortedSet[str]) -> tuple[None, list[str | None]]:
    return None, [jobs.pop() for _ in range(10)]


@both_methods
def test_another_process_never_replays_a_pop_that_failed_here(
    client: redis.Redis, server: TestServer, make_client: MakeClient, method: str
) -> None:
    with LossyProxy(*server.ports) as proxy:
        jobs: SortedSet[str] = SortedSet(behind(proxy, make_client, client, 0), "jobs", float)
        jobs.update(map(str, range(30)))
        loaded(client)
        proxy.lose("EVAL", 1)
        with pytest.raises(connection_error(client)):
            jobs.pop()
        shares = [share for _, share in in_processes(method, 2, pop_ten, jobs)]
        assert sorted(int(item or 0) for share in shares for item in share) == list(range(1, 21))
        assert [jobs.pop(), jobs.pop()] == ["0", "21"]


def test_one_handle_serves_many_threads(client: redis.Redis) -> None:
    jobs: RedisSortedSet[int] = RedisSortedSet(client, "jobs")

    def produce(first: int) -> None:
        for item in range(first, 1_000, THREADS):
            jobs.add(item)

    def consume(_: int) -> list[int]:
        items = []
        while batch := jobs.take(2):
            items += batch
            try:
                item = jobs.pop()
            except KeyError:
                break
            items += [] if item is None else [item]
        return items

    with ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(produce, range(THREADS)))
        assert len(jobs) == 1_000
        shares = list(threads.map(consume, range(THREADS)))
    assert sorted(item for share in shares for item in share) == list(range(1_000))


def test_one_handle_gives_threads_distinct_times(client: redis.Redis) -> None:
    jobs: TimeSortedSet[str] = TimeSortedSet(client, "jobs", clock=at_now)
    with ThreadPoolExecutor(THREADS) as threads:
        scores = list(threads.map(jobs.add, map(str, range(500))))
    assert len(set(scores)) == 500
    assert min(scores) == NOW


@every_class
def test_repr_names_class_and_set_without_a_round_trip(
    client: redis.Redis, round_trips: RoundTrips, kind: Any
) -> None:
    with round_trips(client) as count:
        assert repr(kind(client, "jobs")) == f"<redset.{kind.__name__} 'jobs'>"
    assert count.value == 0


# Refused


REFUSED: list[tuple[Callable[[redis.Redis], Any], type[Exception], str]] = [
    (lambda client: SortedSet(client, ""), ValueError, "name must not be empty"),
    (lambda client: SortedSet(client, b""), ValueError, "name must not be empty"),
    (lambda client: SortedSet(client, 7), TypeError, "name must be str or bytes, got int 7"),  # type: ignore[arg-type]
    (lambda client: SortedSet(client, None), TypeError, "name must be .*, got NoneType None"),  # type: ignore[arg-type]
    (lambda _: SortedSet(None, "jobs"), TypeError, "'jobs': redis_client must be .*NoneType"),
    (lambda _: SortedSet("redis://", "jobs"), TypeError, "'jobs': redis_client must be .*got str"),
    (
        lambda _: SortedSet(redis.asyncio.Redis(), "jobs"),
        TypeError,
        "'jobs': redis_client is an asyncio client",
    ),
    (lambda client: SortedSet(client, "jobs", 5), TypeError, "'jobs': scorer must .*got 5"),  # type: ignore[arg-type]
    (
        lambda client: SortedSet(client, "jobs", clock=5),  # type: ignore[arg-type]
        TypeError,
        "'jobs': clock must be callable, got 5",
    ),
    (
        lambda client: RedisSortedSet(client, "jobs", serializer=object()),  # type: ignore[arg-type]
        TypeError,
        "'jobs': serializer must have dumps or loads",
    ),
    (
        lambda client: RedisSortedSet(client, "jobs", serializer=[json]),  # type: ignore[arg-type]
        TypeError,
        "'jobs': serializer must have dumps or loads",
    ),
    (
        lambda client: SortedSet(client, "jobs", serializer=JSONSerializer),  # type: ignore[arg-type]
        TypeError,
        r"'jobs': .* got the class JSONSerializer; write serializer=JSONSerializer\(…\)",
    ),
    (
        lambda _: redset.asyncio.RedisSortedSet(
            *(redis.asyncio.Redis(), "jobs"),
            serializer=NamedtupleSerializer,  # type: ignore[arg-type]
        ),
        TypeError,
        "'jobs': serializer must be an instance, got the class NamedtupleSerializer",
    ),
    (
        lambda _: redset.asyncio.RedisSortedSet(
            *(redis.asyncio.Redis(), "jobs"),
            serializer=0,  # type: ignore[arg-type]
        ),
        TypeError,
        "'jobs': serializer must have dumps or loads",
    ),
    (
        lambda client: SortedSet(client, "jobs", serializer=SimpleNamespace(dumps="a")),
        TypeError,
        "'jobs': serializer.dumps must be callable, got 'a'",
    ),
]


@pytest.mark.parametrize(("make", "error", "words"), REFUSED, ids=[case[2] for case in REFUSED])
def test_bad_arguments_are_refused_before_anything_is_sent(
    client: redis.Redis, round_trips: RoundTrips, make: Any, error: type[Exception], words: str
) -> None:
    with round_trips(client) as count, pytest.raises(error, match=f"^redset.*{words}") as caught:
        make(client)
    assert isinstance(caught.value, RedsetError)
    assert count.value == 0
