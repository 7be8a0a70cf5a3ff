"""Pinned connections: one that redset keeps is as good as one that the client takes each time."""

import gc
import importlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import redis

from redset import RedisSortedSet, SortedSet
from redset._transport.pinned import POOL_DIVISOR, PinnedConnections, pinned_connections_for
from tests.server.conftest import MakeClient
from tests.servers import TestServer

Strings = SortedSet[str]


def module_of(client: redis.Redis, name: str) -> Any:
    return importlib.import_module(f"{type(client).__module__.partition('.')[0]}.{name}")


def pinned_of(client: redis.Redis) -> PinnedConnections:
    found = pinned_connections_for(client)
    assert found is not None
    return found.get()


def idle_of(client: redis.Redis) -> list[Any]:
    return [pinned.connection for pinned in pinned_of(client)._idle]


def connection_of(client: redis.Redis) -> Any:
    return idle_of(client)[-1]


def in_thread(work: Callable[[], Any]) -> Any:
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(work()))
    thread.start()
    thread.join()
    return results[0]


@pytest.fixture
def jobs(client: redis.Redis) -> Strings:
    found: Strings = SortedSet(client, "jobs")
    found.update("abc")
    return found


def test_all_sets_of_a_client_share_its_connections(client: redis.Redis, jobs: Strings) -> None:
    kept = connection_of(client)
    other: RedisSortedSet[int] = RedisSortedSet(client, "other")
    other.add(1)
    assert (1 in other, "a" in jobs, jobs.pop()) == (True, True, "a")
    assert connection_of(client) is kept is not None
    assert in_thread(lambda: "b" in jobs)
    assert idle_of(client) == [kept]


def test_threads_one_after_the_other_need_one_connection(
    client: redis.Redis, jobs: Strings
) -> None:
    for _ in range(20):
        assert in_thread(lambda: len(jobs)) == 3
    assert len(idle_of(client)) == 1


def test_a_client_that_is_gone_takes_its_connections_along(make_client: MakeClient) -> None:
    library = importlib.import_module(type(make_client()).__module__.partition(".")[0])
    options = make_client().connection_pool.connection_kwargs
    short = library.Redis(unix_socket_path=options["path"])
    len(SortedSet(short, "jobs"))
    pool = pinned_of(short)._pool
    short.close()
    del short
    gc.collect()
    assert pool() is None


def test_many_threads_use_no_more_than_the_pool_can_spare(make_client: MakeClient) -> None:
    narrow = make_client(max_connections=2 * POOL_DIVISOR)
    jobs: Strings = SortedSet(narrow, "jobs")
    here, leave = threading.Barrier(6), threading.Event()
    seen = []

    def work() -> None:
        here.wait()
        for number in range(20):
            jobs.add(f"{number}")
            seen.append(len(jobs) > 0)
        leave.wait()

    threads = [threading.Thread(target=work) for _ in range(5)]
    for thread in threads:
        thread.start()
    here.wait()
    while len(seen) < 100:
        time.sleep(0.001)
    assert len(idle_of(narrow)) <= 2
    assert all(narrow.ping() for _ in range(5))
    leave.set()
    for thread in threads:
        thread.join()


def test_a_small_pool_keeps_all_its_connections(make_client: MakeClient) -> None:
    narrow = make_client(max_connections=1)
    jobs: Strings = SortedSet(narrow, "jobs")
    assert jobs.add("a") == 0
    assert idle_of(narrow) == []
    assert narrow.ping()


def test_a_client_that_was_changed_is_called_as_before(
    client: redis.Redis, make_client: MakeClient
) -> None:
    calls: list[Any] = []

    class Traced(type(client)):  # type: ignore[misc]
        def execute_command(self, *words: Any, **options: Any) -> Any:
            calls.append(words[0])
            return super().execute_command(*words, **options)

    options = client.connection_pool.connection_kwargs
    jobs: Strings = SortedSet(Traced(unix_socket_path=options["path"]), "jobs")
    jobs.add("a")
    assert calls == ["ZADD"]
    patched: Any = make_client()

    def execute(*words: Any, **_options: Any) -> int:
        calls.append(words[0])
        return 1

    patched.execute_command = execute
    SortedSet[str](patched, "jobs").add("a")
    assert calls == ["ZADD", "ZADD"]


def test_a_single_connection_is_not_taken_from_its_client(make_client: MakeClient) -> None:
    single = make_client(single_connection_client=True)
    assert pinned_connections_for(single) is None
    assert SortedSet[str](single, "jobs").add("a") == 0


# Trouble


def test_a_connection_that_the_server_closed_is_replaced_without_any_retry(
    client: redis.Redis, jobs: Strings, make_client: MakeClient
) -> None:
    never = module_of(client, "retry").Retry(module_of(client, "backoff").NoBackoff(), 0)
    mine: Strings = SortedSet(make_client(retry=never), "jobs")
    assert len(mine) == 3
    client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    assert mine.pop() == "a"
    assert list(mine) == ["b", "c"]


def test_an_error_of_the_server_leaves_the_connection_in_order(
    client: redis.Redis, jobs: Strings
) -> None:
    kept = connection_of(client)
    client.set("text", "x")
    wrong: Strings = SortedSet(client, "text")
    for call in (lambda: len(wrong), wrong.pop, lambda: wrong.take(1, timeout=0.01)):
        with pytest.raises(TypeError, match="redset 'text'"):
            call()
        assert list(jobs) == ["a", "b", "c"]
    assert connection_of(client) is kept


@pytest.mark.parametrize("interrupted", ["send_packed_command", "read_response"])
def test_an_interrupt_in_the_middle_leaves_no_reply_to_the_next_call(
    client: redis.Redis, jobs: Strings, monkeypatch: pytest.MonkeyPatch, interrupted: str
) -> None:
    connection = connection_of(client)
    original = getattr(connection, interrupted)

    def interrupt(*args: Any, **options: Any) -> Any:
        if interrupted == "send_packed_command":
            original(*args, **options)
        monkeypatch.undo()
        raise KeyboardInterrupt

    monkeypatch.setattr(connection, interrupted, interrupt)
    with pytest.raises(KeyboardInterrupt):
        jobs.score("a")
    assert len(jobs) == 3
    assert list(jobs.items()) == [("a", 0.0), ("b", 0.0), ("c", 0.0)]


def test_a_forked_child_has_connections_of_its_own(client: redis.Redis, jobs: Strings) -> None:
    read, write = os.pipe()
    kept = connection_of(client)
    child = os.fork()
    if not child:
        ok = all(jobs.score("a") == 0.0 for _ in range(200)) and connection_of(client) is not kept
        os.write(write, b"1" if ok else b"0")
        os._exit(0)
    assert all(len(jobs) == 3 for _ in range(200))
    os.waitpid(child, 0)
    assert os.read(read, 1) == b"1"
    assert connection_of(client) is kept
    os.close(read)
    os.close(write)


def test_a_closed_client_connects_anew(client: redis.Redis, jobs: Strings) -> None:
    client.close()
    assert len(jobs) == 3


def test_a_client_that_is_dropped_closes_its_sockets_at_once(make_client: MakeClient) -> None:
    library = importlib.import_module(type(make_client()).__module__.partition(".")[0])
    options = make_client().connection_pool.connection_kwargs
    # RESP2: the pool of a client that follows maintenance pushes is in a cycle of its own.
    dropped = library.Redis(unix_socket_path=options["path"], protocol=2)
    len(SortedSet(dropped, "jobs"))
    sock = idle_of(dropped)[0]._sock
    gc.disable()
    try:
        del dropped
        assert sock.fileno() == -1
    finally:
        gc.enable()


@pytest.mark.parametrize("how", ["call", "child"])
def test_a_connection_whose_descriptor_was_closed_closes_no_file_that_got_its_number(
    server: TestServer, how: str
) -> None:
    program = f"""
import gc, os, sys, tempfile
import redset
client = redset.connect("unix://" + sys.argv[1])
jobs = redset.RedisSortedSet(client, "jobs")
jobs.add("a", score=1.0)
how = {how!r}
if how == "child" and (child := os.fork()):
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
os.closerange(3, 256)
with tempfile.TemporaryDirectory() as directory:
    logs = [open(os.path.join(directory, f"log{{n}}"), "w") for n in range(20)]
    assert [jobs.score("a") for _ in range(3)] == [1.0] * 3
    gc.collect()
    for log in logs:
        print("line", file=log, flush=True)
        assert open(log.name).read() == "line\\n"
"""
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, server.unix_socket],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
