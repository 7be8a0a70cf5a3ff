"""What the client would do: repeating, caching, one connection, and who listens to its commands."""

import asyncio
import signal
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import redis
import redis.asyncio
from redis.backoff import NoBackoff
from redis.exceptions import ReadOnlyError
from redis.retry import Retry

import redset.asyncio
from redset import Durable, RedisSortedSet, ScheduledSet
from redset._transport.connection import ClientConnection
from redset._transport.pinned import pinned_connections_for
from redset.exceptions import InvalidTypeError, InvalidValueError, KeyTypeError, NestedCallError
from tests.server.conftest import MakeClient
from tests.servers import ServerNotFoundError, TestServer, binary

Numbers = RedisSortedSet[Any]


def is_packed(client: Any) -> bool:
    """Whether a connection of redset's own choice lies ready: the last call was sent packed."""
    found = pinned_connections_for(client)
    return found is not None and len(found.get()._idle) > 0


# Repeating


@pytest.fixture
def replica(server: TestServer, client: redis.Redis) -> Iterator[TestServer]:
    with TestServer.start("valkey-9.1") as started:
        with redis.Redis(port=started.port) as one:
            one.execute_command("REPLICAOF", "127.0.0.1", server.port)
        yield started


class Counting(Retry):
    """Notes what it repeats after, and promotes the replica then."""

    def __init__(self, port: int, retries: int, promote_at: int) -> None:
        super().__init__(NoBackoff(), retries)
        self.port, self.promote_at, self.failures = port, promote_at, 0

    def __deepcopy__(self, _memo: object) -> "Counting":
        return self  # each connection has a copy of its own, except of this one

    def call_with_retry(self, do: Any, fail: Any, *args: Any, **options: Any) -> Any:
        def noted(error: Exception, *more: Any) -> Any:
            self.failures += 1
            if self.failures == self.promote_at:
                with redis.Redis(port=self.port) as one:
                    one.execute_command("REPLICAOF", "NO", "ONE")
            return fail(error, *more)

        return super().call_with_retry(do, noted, *args, **options)


@pytest.mark.parametrize("call", ["add", "update", "pop", "iter"])
def test_read_only_error_that_is_named_is_repeated_until_the_replica_is_promoted(
    replica: TestServer, client: redis.Redis, call: str
) -> None:
    retry = Counting(replica.port, retries=5, promote_at=3)
    mine = redis.Redis(port=replica.port, retry=retry, retry_on_error=[ReadOnlyError])
    numbers: Numbers = RedisSortedSet(mine, "numbers")
    calls: dict[str, Callable[[], Any]] = {
        "add": lambda: numbers.add(1),
        "update": lambda: numbers.update(range(20)),
        "pop": lambda: numbers.insert(1) and numbers.pop(),
        "iter": lambda: numbers.update([1]) or list(numbers),  # type: ignore[func-returns-value]
    }
    calls[call]()
    assert retry.failures == 3
    mine.close()


def test_read_only_error_is_raised_after_as_many_tries_as_the_client_makes(
    replica: TestServer, client: redis.Redis
) -> None:
    by_hand, ours = (Counting(replica.port, retries=4, promote_at=99) for _ in range(2))
    options: dict[str, Any] = {"port": replica.port, "retry_on_error": [ReadOnlyError]}
    with (
        redis.Redis(retry=by_hand, **options) as one,
        redis.Redis(retry=ours, **options) as other,
    ):
        with pytest.raises(ReadOnlyError):
            one.zadd("numbers", {"a": 1})
        with pytest.raises(ReadOnlyError):
            RedisSortedSet[int](other, "numbers").add(1)
    assert ours.failures == by_hand.failures


def test_read_only_error_that_is_not_named_is_raised_at_once(
    replica: TestServer, client: redis.Redis
) -> None:
    retry = Counting(replica.port, retries=5, promote_at=1)
    with redis.Redis(port=replica.port, retry=retry) as mine, pytest.raises(ReadOnlyError):
        RedisSortedSet[int](mine, "numbers").add(1)
    assert retry.failures == 0


def test_asyncio_repeats_only_what_was_refused(replica: TestServer, client: redis.Redis) -> None:
    async def main() -> None:
        promoted = 0

        class Promoting(redis.asyncio.retry.Retry):
            async def call_with_retry(self, do: Any, fail: Any, *args: Any, **options: Any) -> Any:
                async def noted(error: Exception, *more: Any) -> Any:
                    nonlocal promoted
                    promoted += 1
                    with redis.Redis(port=replica.port) as one:
                        one.execute_command("REPLICAOF", "NO", "ONE")
                    return await fail(error, *more)

                return await super().call_with_retry(do, noted, *args, **options)

        mine = redis.asyncio.Redis(
            port=replica.port, retry=Promoting(NoBackoff(), 3), retry_on_error=[ReadOnlyError]
        )
        numbers: Any = redset.asyncio.RedisSortedSet(mine, "numbers")
        # They share a write; the reads are answered at once, the writes once they are taken.
        answers = await asyncio.gather(
            *(numbers.increment(number, 1) for number in range(20)), numbers.contains(99)
        )
        assert answers == [1.0] * 20 + [False]
        assert promoted == 1
        await mine.aclose()

    asyncio.run(main())


# Caching


def test_client_side_caching_is_passed_by() -> None:
    cache = pytest.importorskip("redis.cache", reason="this redis-py has no cache")
    # The client allows it with no other server.
    try:
        binary("redis-8.2")
    except ServerNotFoundError as error:
        pytest.skip(str(error))
    with TestServer.start("redis-8.2") as redis_8, redis.Redis(port=redis_8.port) as other:
        for decodes in (False, True):
            check_caching(cache, redis_8.port, other, decodes)


def check_caching(cache: Any, port: int, other: redis.Redis, decodes: bool) -> None:
    mine = redis.Redis(
        port=port,
        protocol=3,
        cache_config=cache.CacheConfig(),
        decode_responses=decodes,
    )
    numbers: Numbers = RedisSortedSet(mine, f"numbers-{decodes}")
    numbers.update(range(3))
    for _ in range(2):
        assert (numbers.score(1), len(numbers), list(numbers)) == (0.0, 3, [0, 1, 2])
        assert mine.zscore(f"numbers-{decodes}", "i:1") == 0.0
    other.zadd(f"numbers-{decodes}", {"i:1": 5})
    assert numbers.score(1) == 5.0
    assert numbers.pop() == 0
    mine.close()


def test_a_client_of_several_databases_is_refused() -> None:
    # The real one needs a package of its own to be imported.
    class MultiDBClient(redis.Redis):
        pass

    alike = MultiDBClient()
    with pytest.raises(InvalidTypeError, match="MultiDBClient"):
        RedisSortedSet(alike, "numbers")


# One connection


def test_what_the_user_set_on_a_single_connection_holds_for_sets(make_client: MakeClient) -> None:
    single = make_client(single_connection_client=True)
    single.execute_command("SELECT", 3)
    numbers: Numbers = RedisSortedSet(single, "numbers")
    numbers.update(range(7))
    assert list(numbers) == list(range(7))
    assert single.execute_command("ZCARD", "numbers") == 7
    numbers.clear()


def test_what_the_user_set_on_a_single_connection_holds_for_waits(make_client: MakeClient) -> None:
    single = make_client(single_connection_client=True)
    single.execute_command("SELECT", 3)
    jobs: ScheduledSet[str] = ScheduledSet(single, "jobs")
    jobs.clear()
    jobs.add("a", time.time() + 0.5)
    # A connection that looks in another database sees no item that will be due.
    assert jobs.pop(timeout=10) == "a"


def test_asyncio_a_single_connection_is_the_only_one_from_the_first_command_on(
    server: TestServer, client: redis.Redis
) -> None:
    async def main() -> None:
        single = redis.asyncio.Redis(
            unix_socket_path=server.unix_socket, single_connection_client=True
        )
        numbers: Any = redset.asyncio.RedisSortedSet(single, "numbers")
        await single.execute_command("SELECT", 3)
        await numbers.clear()
        await numbers.update(range(7))
        await numbers.add(7)
        assert [number async for number in numbers] == [*range(8)]
        assert await single.execute_command("ZCARD", "numbers") == 8
        waiting = asyncio.ensure_future(numbers.take(9, timeout=None))
        assert await waiting == [*range(8)]
        waiting = asyncio.ensure_future(numbers.pop(timeout=None))
        await asyncio.sleep(0.1)
        await numbers.add(8)
        assert await waiting == 8
        pool = single.connection_pool
        assert len(pool._in_use_connections) + len(pool._available_connections) == 1
        await single.aclose()
        # One that the set is the first to use.
        fresh = redis.asyncio.Redis(
            unix_socket_path=server.unix_socket, single_connection_client=True
        )
        first: Any = redset.asyncio.RedisSortedSet(fresh, "first")
        await asyncio.gather(*(first.add_scored({number: number}) for number in range(5)))
        assert await first.size() == 5
        assert len(fresh.connection_pool._in_use_connections) == 1
        await first.clear()
        await fresh.aclose()

    asyncio.run(main())


def test_a_call_inside_a_call_over_a_single_connection_reads_no_other_reply(
    make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    single = make_client(single_connection_client=True)
    single.set("text", "mine")
    numbers: Numbers = RedisSortedSet(single, "numbers")
    connection: Any = single.connection
    read = connection.read_response
    raised: list[Exception] = []

    def interrupted(*args: Any, **options: Any) -> Any:
        monkeypatch.undo()
        try:
            len(numbers)
        except NestedCallError as error:
            raised.append(error)
        return read(*args, **options)

    monkeypatch.setattr(connection, "read_response", interrupted)
    assert single.get("text") in {b"mine", "mine"}
    assert len(raised) == 1


# Inside of each other


def test_a_handler_inside_a_call_takes_another_connection(
    client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers: Numbers = RedisSortedSet(client, "numbers")
    numbers.add("outer", 7)
    numbers.add("inner", 3)
    found = pinned_connections_for(client)
    assert found is not None
    connection = found.get()._idle[-1].connection
    read = connection.read_response
    inner: list[Any] = []
    handler = signal.signal(signal.SIGUSR1, lambda *_: inner.append(numbers.score("inner")))

    def interrupted(*args: Any, **options: Any) -> Any:
        monkeypatch.undo()
        signal.raise_signal(signal.SIGUSR1)
        return read(*args, **options)

    monkeypatch.setattr(connection, "read_response", interrupted)
    try:
        assert numbers.score("outer") == 7.0
    finally:
        signal.signal(signal.SIGUSR1, handler)
    assert inner == [3.0]


# Who listens


# Results to delete


def observed(make_client: MakeClient) -> Any:
    client: Any = make_client()
    client.execute_command = partial(client.execute_command)
    return client


KEEPING_NONE: dict[str, Callable[[MakeClient], Any]] = {
    "a small pool": lambda make: make(max_connections=1),
    "one connection": lambda make: make(single_connection_client=True),
    "an observer": observed,
}


@pytest.mark.parametrize("kind", KEEPING_NONE)
def test_a_call_after_many_results_were_dropped_deletes_them_all(
    client: redis.Redis, make_client: MakeClient, kind: str
) -> None:
    numbers: Numbers = RedisSortedSet(KEEPING_NONE[kind](make_client), "numbers")
    numbers.update([1, 2])
    results = [numbers | {3} for _ in range(700)]
    assert client.dbsize() > 1_400
    del results
    assert len(numbers) == 2
    assert not client.keys("*result*")


@pytest.mark.parametrize("kind", [ConnectionError, KeyboardInterrupt, redis.ConnectionError])
def test_a_deletion_that_fails_is_repeated_by_a_later_call(
    client: redis.Redis, monkeypatch: pytest.MonkeyPatch, kind: type[BaseException]
) -> None:
    numbers: Numbers = RedisSortedSet(client, "numbers")
    keys = [b"one", b"two", b"three"]
    for key in keys:
        client.set(key, 1)
        numbers._runner.connection.delete_later([key])
    delete_now = ClientConnection.delete_now

    def fail_once(connection: ClientConnection, keys: Any) -> bool:
        if keys == [b"two"]:
            monkeypatch.undo()
            raise kind
        return delete_now(connection, keys)

    monkeypatch.setattr(ClientConnection, "delete_now", fail_once)
    if kind is redis.ConnectionError:
        assert len(numbers) == 0
    else:
        with pytest.raises(kind):
            len(numbers)
    assert client.exists(*keys) == 2
    assert len(numbers) == 0
    assert client.exists(*keys) == 0


def test_an_observer_may_come_and_go_after_the_sets_were_made(make_client: MakeClient) -> None:
    client = make_client()
    client.flushall()
    numbers: Numbers = RedisSortedSet(client, "numbers")
    numbers.add(1)
    assert is_packed(client)
    seen: list[str] = []
    original: Any = client.execute_command

    def observed(*words: Any, **options: Any) -> Any:
        seen.append(words[0])
        return original(*words, **options)

    client.execute_command = observed  # type: ignore[method-assign]
    numbers.add(2)
    assert 2 in numbers
    assert numbers.pop() == 1
    numbers.update(range(5))
    assert list(numbers) == list(range(5))
    assert seen[:2] == ["ZADD", "ZSCORE"]
    assert set(seen) >= {"ZADD", "ZSCORE", "EVALSHA"}
    number = len(seen)
    del client.execute_command
    assert len(numbers) == 5
    assert len(seen) == number


def test_a_class_that_is_patched_later_is_observed(
    make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = make_client()
    client.flushall()
    numbers: Numbers = RedisSortedSet(client, "numbers")
    numbers.add(1)
    kind = type(client)
    original: Any = kind.execute_command
    seen: list[str] = []

    def observed(self: Any, *words: Any, **options: Any) -> Any:
        seen.append(words[0])
        return original(self, *words, **options)

    monkeypatch.setattr(kind, "execute_command", observed)
    assert (len(numbers), numbers.score(1)) == (1, 0.0)
    assert seen == ["ZCARD", "ZSCORE"]
    monkeypatch.undo()
    assert len(numbers) == 1
    assert len(seen) == 2


@pytest.mark.parametrize("way", ["an assignment", "a class that is patched"])
@pytest.mark.parametrize("pipelining", [True, False])
def test_asyncio_pipelines_that_are_observed_are_used_for_several_commands(
    server: TestServer,
    client: redis.Redis,
    monkeypatch: pytest.MonkeyPatch,
    way: str,
    pipelining: bool,
) -> None:
    client.flushall()
    seen: list[object] = []

    def noted(original: Any) -> Any:
        def observed(*words: Any, **options: Any) -> Any:
            seen.append(original)
            return original(*words, **options)

        return observed

    async def main() -> None:
        mine: Any = redis.asyncio.Redis(port=server.port)
        numbers: Any = redset.asyncio.RedisSortedSet(mine, "numbers", pipelining=pipelining)
        assert await numbers.add_and_rank(0, 0) == 0
        observes, method = (
            (mine, "pipeline")
            if way == "an assignment"
            else (redis.asyncio.client.Pipeline, "execute")
        )
        monkeypatch.setattr(observes, method, noted(getattr(observes, method)))
        calls = [numbers.add_and_rank(number, number) for number in range(1, 4)]
        others = [numbers.increment(number, 10) for number in range(4)]
        if pipelining:
            # Each sees what those before it did, whichever way they are sent.
            answers = await asyncio.gather(*calls, *others)
        else:
            answers = [*await asyncio.gather(*calls), *await asyncio.gather(*others)]
        assert answers[3:] == [10.0, 11.0, 12.0, 13.0]
        assert [item async for item in numbers] == [0, 1, 2, 3]
        assert len(seen) == 3
        monkeypatch.undo()
        assert await numbers.add_and_rank(9, 99) == 4
        assert len(seen) == 3
        await mine.aclose()

    asyncio.run(main())


def test_asyncio_requests_of_one_command_go_on_while_pipelines_are_observed(
    server: TestServer, client: redis.Redis
) -> None:
    client.flushall()

    async def main() -> None:
        mine: Any = redis.asyncio.Redis(port=server.port)
        numbers: Any = redset.asyncio.RedisSortedSet(mine, "numbers")
        mine.pipeline = partial(mine.pipeline)
        calls = [numbers.add_and_rank(number, number) for number in range(20)]
        tasks = [asyncio.create_task(call) for call in calls]
        await asyncio.sleep(0)
        for task in tasks[5:]:
            task.cancel()
        assert await asyncio.gather(*tasks[:5]) == [0, 1, 2, 3, 4]
        assert await asyncio.gather(*(numbers.contains(number) for number in range(5))) == 5 * [
            True
        ]
        await mine.aclose()

    asyncio.run(main())


def test_a_client_that_renames_keys_does_so_on_both_surfaces(
    server: TestServer, client: redis.Redis
) -> None:
    def prefixed(words: tuple[Any, ...]) -> tuple[Any, ...]:
        if words[0] in {"EVAL", "EVALSHA"}:
            end = 3 + int(words[2])
            return (*words[:3], *(with_prefix(key) for key in words[3:end]), *words[end:])
        return (words[0], with_prefix(words[1]), *words[2:])

    def with_prefix(key: Any) -> bytes:
        return b"app:" + (key.encode() if isinstance(key, str) else key)

    class Prefixing(redis.Redis):
        def execute_command(self, *words: Any, **options: Any) -> Any:
            return super().execute_command(*prefixed(words), **options)  # type: ignore[no-untyped-call]

    class AlsoPrefixing(redis.asyncio.Redis):
        async def execute_command(self, *words: Any, **options: Any) -> Any:
            answer: Any = super().execute_command(*prefixed(words), **options)  # type: ignore[no-untyped-call]
            return await answer

    mine: Numbers = RedisSortedSet(Prefixing(port=server.port), "numbers")
    mine.update(range(4))
    assert (mine.pop(), len(mine), list(mine)) == (0, 3, [1, 2, 3])

    async def main() -> None:
        also = AlsoPrefixing(port=server.port)
        theirs: Any = redset.asyncio.RedisSortedSet(also, "numbers")
        await theirs.add(9, 9)
        assert await theirs.pop() == 1
        assert [item async for item in theirs] == [2, 3, 9]
        await also.aclose()

    asyncio.run(main())
    assert list(mine) == [2, 3, 9]
    keys: Any = client.keys("*")
    assert {bytes(key) if isinstance(key, bytes) else key.encode() for key in keys} >= {
        b"app:numbers"
    }
    assert client.exists("numbers") == 0
    mine._runner.client.close()


INSIDE = ["_execute_command", "_send_command_parse_response"]


def prefixing(kind: type, method: str) -> type:
    """A class of clients that rename the keys of each command by itself, in one inner *method*."""
    original: Any = getattr(kind, method)

    def with_prefix(word: Any) -> Any:
        key = word.encode() if isinstance(word, str) else word
        is_key = isinstance(key, bytes) and key.startswith((b"numbers", b"{numbers}"))
        return b"app:" + key if is_key else word

    def prefixed(self: Any, *words: Any, **options: Any) -> Any:
        return original(self, *map(with_prefix, words), **options)

    return type("Prefixing", (kind,), {method: prefixed})


@pytest.mark.parametrize("method", INSIDE)
@pytest.mark.parametrize("library", ["redis", "valkey"])
def test_a_client_that_renames_keys_inside_of_its_execute_command_does_so_in_each_call(
    server: TestServer, client: redis.Redis, library: str, method: str
) -> None:
    kind = getattr(pytest.importorskip(library), library.capitalize())
    if not hasattr(kind, method):
        pytest.skip(f"{library} has no {method}")
    client.flushall()
    with prefixing(kind, method)(port=server.port) as mine:
        numbers: Numbers = RedisSortedSet(mine, "numbers")
        numbers.add(-1)
        numbers.update(range(12_000))
        assert numbers.add_and_rank(-2, -1) == 0
        assert (len(numbers), -1 in numbers, len(list(numbers))) == (12_002, True, 12_002)
        assert client.zcard("app:numbers") == 12_002
        assert not client.exists("numbers")
        with pytest.raises(InvalidTypeError, match="execute_command of its own"):
            RedisSortedSet[Any](mine, "numbers", durable=Durable(replicas=1))


@pytest.mark.parametrize("library", ["redis", "valkey"])
def test_asyncio_a_client_that_renames_keys_inside_of_its_execute_command_does_so_in_each_call(
    server: TestServer, client: redis.Redis, library: str
) -> None:
    kind = getattr(pytest.importorskip(f"{library}.asyncio"), library.capitalize())
    client.flushall()

    async def main() -> None:
        mine: Any = prefixing(kind, INSIDE[-1])(port=server.port)
        numbers: Any = redset.asyncio.RedisSortedSet(mine, "numbers")
        await numbers.add(-1)
        await numbers.update(range(12_000))
        assert await numbers.add_and_rank(-2, -1) == 0
        assert await numbers.size() == 12_002
        await mine.aclose()

    asyncio.run(main())
    assert client.zcard("app:numbers") == 12_002
    assert not client.exists("numbers")


# Pools


class Tenant(redis.Redis):
    """A client of the user's that keeps its keys apart from those of other tenants."""

    tenant = b""

    def execute_command(self, *words: Any, **options: Any) -> Any:
        def of_tenant(word: Any) -> Any:
            key = word.encode() if isinstance(word, str) else word
            return self.tenant + key if key in {b"one", b"two", b"{one}result"} else word

        return super().execute_command(*map(of_tenant, words), **options)  # type: ignore[no-untyped-call]


def check_sets_that_see_different_keys(one: Numbers, two: Numbers) -> None:
    one.update([1, 2])
    two.update([2, 3])
    assert one.read_intersection(two) == [2]
    assert not one.isdisjoint(two)
    with pytest.raises(TypeError, match="two"):
        one.move(1, to=two)
    assert one.union_count(two) == 3
    one &= two
    assert (list(one), list(two)) == ([2], [2, 3])


def test_sets_of_two_tenants_are_not_taken_for_sets_of_one_database(server: TestServer) -> None:
    clients = [Tenant(port=server.port) for _ in range(2)]
    clients[1].tenant = b"other:"
    one, two = (
        RedisSortedSet[Any](each, name) for each, name in zip(clients, ("one", "two"), strict=True)
    )
    check_sets_that_see_different_keys(one, two)


def test_a_single_connection_may_have_selected_another_database(server: TestServer) -> None:
    single = redis.Redis(port=server.port, single_connection_client=True)
    single.select(1)
    with redis.Redis(port=server.port) as plain:
        one: Numbers = RedisSortedSet(single, "one")
        check_sets_that_see_different_keys(one, RedisSortedSet(plain, "two"))
        single.flushdb()
    single.close()


def test_a_result_that_is_dropped_after_the_main_thread_ended_interrupts_no_call(
    server: TestServer, make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = redis.Redis(port=server.port, single_connection_client=True)
    numbers: Numbers = RedisSortedSet(client, "numbers")
    numbers.add(1)
    results = [numbers | {2}]
    key = results[0].key
    ended = threading.Thread()
    monkeypatch.setattr(threading, "main_thread", lambda: ended)
    parse: Any = client.parse_response

    def drop(*words: Any, **options: Any) -> Any:
        results.clear()
        return parse(*words, **options)

    monkeypatch.setattr(client, "parse_response", drop)
    assert client.ping() is True
    monkeypatch.undo()
    assert len(numbers) == 1
    assert make_client().exists(key) == 0
    client.close()


@pytest.mark.parametrize(("size", "threads"), [(1, 1), (1, 4), (3, 3), (16, 16), (100, 100)])
def test_as_many_consumers_as_connections_meet_no_error(
    make_client: MakeClient, size: int, threads: int
) -> None:
    client = make_client(max_connections=size)
    client.flushall()
    jobs: Numbers = RedisSortedSet(client, "jobs")
    got: list[int] = []
    errors: list[BaseException] = []
    done = threading.Event()
    number = 10 * threads

    def work() -> None:
        try:
            while not done.is_set():
                for item in jobs.consume(timeout=0.2, renew=False):
                    got.append(item)
                    if len(got) == number:
                        done.set()
        except BaseException as error:
            errors.append(error)
            done.set()

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for item in range(number):
        jobs.add(item)
    for worker in workers:
        worker.join()
    assert not errors
    assert sorted(got) == list(range(number))


def test_tasks_that_send_by_themselves_wait_for_a_connection(server: TestServer) -> None:
    async def main() -> None:
        mine = redis.asyncio.Redis(port=server.port, max_connections=5)
        numbers: Any = redset.asyncio.RedisSortedSet(mine, "numbers", pipelining=False)
        await asyncio.gather(*(numbers.add(number) for number in range(100)))
        assert await numbers.size() == 100
        await numbers.clear()
        await mine.aclose()

    asyncio.run(main())


# Errors


def test_only_the_servers_errors_are_explained(client: redis.Redis) -> None:
    def score(_item: object) -> float:
        raise ValueError("row 7 is not a number: WRONGTYPE")

    with pytest.raises(ValueError, match="row 7 is not a number: WRONGTYPE") as caught:
        RedisSortedSet[int](client, "numbers", scorer=score).add(1)
    assert not isinstance(caught.value, InvalidValueError)
    client.set("text", "x")
    wrong: Numbers = RedisSortedSet(client, "text")
    for call in (lambda: wrong.add(1), wrong.pop, lambda: wrong.insert(1), lambda: list(wrong)):
        with pytest.raises(KeyTypeError, match="another Redis type"):
            call()
    numbers: Numbers = RedisSortedSet(client, "numbers")
    numbers.add(1, float("inf"))
    with pytest.raises(InvalidValueError, match="inf and -inf"):
        numbers.increment(1, float("-inf"))
