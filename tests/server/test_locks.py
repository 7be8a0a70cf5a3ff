"""`redset.locks.Lock` between threads and processes, on a real server."""

import importlib
import logging
import math
import multiprocessing
import os
import threading
import time
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import redis

import redset
import redset.exceptions
import redset.locks
from redset._transport import compat
from redset.locks import Lock, LockTimeout
from tests.server.conftest import MakeClient, RoundTrips

KEY = "{jobs}:lock"
FOREVER = 600


def holder_of(client: redis.Redis) -> bytes | None:
    held: bytes | None = client.execute_command("GET", KEY, NEVER_DECODE=True)
    return held


def test_defaults_are_those_of_redset_0_4(client: redis.Redis) -> None:
    lock = Lock(client, KEY)
    assert (lock.expires, lock.timeout, lock.poll_interval) == (20, 10, 0.2)


def test_parameters_come_in_the_order_of_redset_0_4(client: redis.Redis) -> None:
    lock = Lock(client, KEY, 3, 2, 0.5)
    assert (lock.expires, lock.timeout, lock.poll_interval) == (3, 2, 0.5)


def test_lock_timeout_is_one_class_under_both_paths() -> None:
    assert redset.locks.LockTimeout is redset.exceptions.LockTimeout
    assert issubclass(redset.exceptions.LockTimeout, TimeoutError)


def test_block_holds_the_lock_with_a_time_to_live_and_frees_it(client: redis.Redis) -> None:
    with Lock(client, KEY, expires=5) as lock:
        assert isinstance(lock, Lock)
        assert 0 < client.pttl(KEY) <= 5000
    assert not client.exists(KEY)


def test_block_that_raises_frees_the_lock_and_passes_the_error_on(client: redis.Redis) -> None:
    with pytest.raises(ZeroDivisionError), Lock(client, KEY):
        raise ZeroDivisionError
    assert not client.exists(KEY)


def test_acquire_and_release_say_that_they_did(client: redis.Redis) -> None:
    lock = Lock(client, KEY)
    assert lock.acquire() is True
    assert client.exists(KEY)
    assert lock.release() is True
    assert not client.exists(KEY)


def test_a_free_lock_costs_one_round_trip(client: redis.Redis, round_trips: RoundTrips) -> None:
    lock = Lock(client, KEY)
    with lock:
        pass  # loads the library's script
    with round_trips(client) as count, lock:
        assert count.value == 1
    assert count.value == 2


@pytest.mark.parametrize("timeout", [0, 0.05])
def test_held_lock_raises_a_timeout_that_names_it(client: redis.Redis, timeout: float) -> None:
    with Lock(client, KEY):
        with pytest.raises(redset.exceptions.LockTimeout, match=r"lock '\{jobs\}:lock': held"):
            Lock(client, KEY, timeout=timeout).acquire()
        assert client.exists(KEY)


def test_timeout_of_zero_takes_a_free_lock_and_tries_a_held_one_once(
    client: redis.Redis, round_trips: RoundTrips
) -> None:
    with Lock(client, KEY, timeout=0):
        with round_trips(client) as count, pytest.raises(redset.exceptions.LockTimeout):
            Lock(client, KEY, timeout=0).acquire()
        assert count.value == 2


def test_one_lock_object_is_not_reentrant(client: redis.Redis) -> None:
    lock = Lock(client, KEY, timeout=0)
    with lock:
        with pytest.raises(redset.exceptions.LockTimeout):
            lock.acquire()
        assert lock.release() is True
        lock.acquire()


def test_waiter_gets_the_lock_when_its_holder_leaves(
    client: redis.Redis, make_client: MakeClient
) -> None:
    got = threading.Event()

    def wait() -> None:
        with Lock(make_client(), KEY, timeout=FOREVER, poll_interval=0.01):
            got.set()

    with Lock(client, KEY, expires=FOREVER):
        thread = threading.Thread(target=wait)
        thread.start()
        assert not got.wait(0.1)
    thread.join()
    assert got.is_set()


def test_waiter_gets_a_lock_whose_holder_crashed(client: redis.Redis) -> None:
    Lock(client, KEY, expires=0.05).acquire()
    with Lock(client, KEY, timeout=FOREVER, poll_interval=0.01):
        assert client.exists(KEY)


def test_leaving_an_expired_lock_logs_a_warning_and_raises_nothing(
    client: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    with Lock(client, KEY):
        client.delete(KEY)  # as its expiry does
    [record] = caplog.records
    assert (record.name, record.levelno) == ("redset.locks", logging.WARNING)
    assert KEY in record.getMessage()


def test_leaving_an_expired_lock_leaves_its_new_holder_alone(
    client: redis.Redis, make_client: MakeClient, caplog: pytest.LogCaptureFixture
) -> None:
    late, next_one = Lock(client, KEY), Lock(make_client(), KEY, timeout=0)
    with late:
        client.delete(KEY)
        next_one.acquire()
        held = holder_of(client)
    assert held is not None
    assert holder_of(client) == held
    assert len(caplog.records) == 1
    assert next_one.release() is True


def test_releasing_what_was_never_acquired_frees_nothing(
    client: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    with Lock(client, KEY):
        assert Lock(client, KEY).release() is False
        assert client.exists(KEY)
    assert len(caplog.records) == 1


def test_a_release_that_fails_can_be_repeated(
    client: redis.Redis, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    lock = Lock(client, KEY)
    lock.acquire()

    def fail(*_: object) -> None:
        raise ConnectionRefusedError

    with monkeypatch.context() as patch, pytest.raises(ConnectionRefusedError):
        patch.setattr(compat, "unlock", fail)
        lock.release()
    assert client.exists(KEY)
    assert (lock.release(), client.exists(KEY), caplog.records) == (True, 0, [])


def test_threads_that_first_ask_for_the_lock_of_a_set_get_the_same_one(
    client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs: redset.SortedSet[str] = redset.SortedSet(client, "jobs")
    found: list[Lock] = []
    make = Lock.__init__

    def make_slowly(self: Lock, *arguments: Any) -> None:
        time.sleep(0.05)
        make(self, *arguments)

    monkeypatch.setattr(Lock, "__init__", make_slowly)
    threads = [threading.Thread(target=lambda: found.append(jobs.lock)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {*found} == {jobs.lock}


def test_another_thread_with_the_same_object_frees_nothing(client: redis.Redis) -> None:
    lock = Lock(client, KEY)
    said: list[bool] = []
    with lock:
        thread = threading.Thread(target=lambda: said.append(lock.release()))
        thread.start()
        thread.join()
        assert said == [False]
        assert client.exists(KEY)


def test_lock_is_ours_when_only_the_reply_was_lost(
    make_client: MakeClient, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    flaky = make_client(**_retrying(client))
    read: Any = type(flaky).parse_response
    lost: list[str] = []

    def lose_first_reply(self: Any, connection: Any, name: Any, **options: Any) -> Any:
        reply = read(self, connection, name, **options)
        if name == "SET" and not lost:
            lost.append(name)
            connection.disconnect()
            raise ConnectionResetError("reply lost")
        return reply

    monkeypatch.setattr(type(flaky), "parse_response", lose_first_reply)
    lock = Lock(flaky, KEY, expires=FOREVER, timeout=0)
    with lock:
        assert lost
        assert client.exists(KEY)
    assert not client.exists(KEY)


def test_a_lock_whose_acquisition_failed_is_free_for_the_next_call(
    make_client: MakeClient, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server had given it, and the reply was lost: nobody would have freed it."""
    flaky = make_client()
    read: Any = type(flaky).parse_response
    lost: list[str] = []

    def lose_replies(self: Any, connection: Any, name: Any, **options: Any) -> Any:
        reply = read(self, connection, name, **options)
        if name == "SET" and not lost:
            lost.append(name)
            raise KeyboardInterrupt
        return reply

    monkeypatch.setattr(type(flaky), "parse_response", lose_replies)
    lock = Lock(flaky, KEY, expires=FOREVER, timeout=0)
    with pytest.raises(KeyboardInterrupt):
        lock.acquire()
    assert client.exists(KEY)
    with lock:
        assert lost
        assert FOREVER - 60 < client.ttl(KEY) <= FOREVER
    assert not client.exists(KEY)


def test_locks_exclude_each_other_while_ids_are_not_random(
    client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A test may have replaced them in the whole program."""
    monkeypatch.setattr(uuid, "uuid4", lambda: uuid.UUID(int=1))
    with Lock(client, KEY), pytest.raises(LockTimeout):
        Lock(client, KEY, timeout=0).acquire()


def _retrying(client: redis.Redis) -> dict[str, Any]:
    library = type(client).__module__.partition(".")[0]
    retry = importlib.import_module(f"{library}.retry").Retry
    no_backoff = importlib.import_module(f"{library}.backoff").NoBackoff
    return {"retry": retry(no_backoff(), 3, (OSError,)), "retry_on_error": [OSError]}


def test_threads_sharing_one_lock_object_are_never_inside_together(client: redis.Redis) -> None:
    lock = Lock(client, KEY, expires=FOREVER, timeout=FOREVER, poll_interval=0.001)
    inside: list[int] = []
    together: list[int] = []

    def work(number: int) -> None:
        for _ in range(10):
            with lock:
                inside.append(number)
                together.append(len(inside))
                inside.remove(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together == [1] * 40


def _count_up(unix_socket: str, counter: str, rounds: int) -> None:
    with redis.Redis(unix_socket_path=unix_socket) as own:
        lock = Lock(own, KEY, expires=FOREVER, timeout=FOREVER, poll_interval=0.001)
        path = Path(counter)
        for _ in range(rounds):
            with lock:
                path.write_text(str(int(path.read_text()) + 1))


def test_processes_with_one_lock_lose_no_update(
    client: redis.Redis, server: Any, tmp_path: Path
) -> None:
    counter = tmp_path / "counter"
    counter.write_text("0")
    context = multiprocessing.get_context("spawn")
    arguments = (server.unix_socket, str(counter), 50)
    workers = [context.Process(target=_count_up, args=arguments) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert counter.read_text() == "150"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_forked_child_leaving_the_block_does_not_free_its_parents_lock(
    client: redis.Redis,
) -> None:
    lock = Lock(client, KEY)
    lock.acquire()
    child = os.fork()
    if child == 0:
        status = 3
        try:
            status = int(lock.release())
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert client.exists(KEY)
    assert lock.release() is True


@pytest.mark.parametrize("argument", ["expires", "timeout", "poll_interval"])
@pytest.mark.parametrize("value", ["5", True, [1], 1j, object()])
def test_seconds_of_a_wrong_type_are_refused(
    client: redis.Redis, argument: str, value: Any
) -> None:
    with pytest.raises(redset.exceptions.InvalidTypeError, match=f"{argument} must be a number"):
        Lock(client, KEY, **{argument: value})


@pytest.mark.parametrize("argument", ["expires", "timeout", "poll_interval"])
@pytest.mark.parametrize("value", [-1, math.nan, math.inf, 10**400, Decimal("sNaN")])
def test_seconds_that_cannot_be_waited_are_refused(
    client: redis.Redis, argument: str, value: Any
) -> None:
    with pytest.raises(redset.exceptions.InvalidValueError, match=f"'{KEY}': {argument} must be"):
        Lock(client, KEY, **{argument: value})


@pytest.mark.parametrize("argument", ["expires", "poll_interval"])
def test_zero_is_refused_where_it_would_mean_never(client: redis.Redis, argument: str) -> None:
    with pytest.raises(redset.exceptions.InvalidValueError, match=r"at least 0\.001, got 0"):
        Lock(client, KEY, **{argument: 0})


@pytest.mark.parametrize(
    ("key", "error"), [(None, TypeError), (5, TypeError), ("", ValueError), (b"", ValueError)]
)
def test_key_must_be_a_name(client: redis.Redis, key: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="redset lock: key must") as caught:
        Lock(client, key)
    assert isinstance(caught.value, redset.exceptions.RedsetError)


def test_key_that_utf_8_cannot_write_is_refused(client: redis.Redis) -> None:
    with pytest.raises(redset.exceptions.InvalidValueError, match="lone surrogate"):
        Lock(client, "\ud800")
    with Lock(client, b"\xff"):
        assert client.exists(b"\xff")


def test_key_of_bytes_locks_the_same_as_str(client: redis.Redis) -> None:
    with Lock(client, KEY.encode()), pytest.raises(redset.exceptions.LockTimeout):
        Lock(client, KEY, timeout=0).acquire()


@pytest.mark.parametrize("client_", [None, "redis://localhost", object()])
def test_what_is_no_client_is_refused(client_: Any) -> None:
    with pytest.raises(redset.exceptions.InvalidTypeError, match="needs a client of redis-py"):
        Lock(client_, KEY)


def test_repr_does_no_io(client: redis.Redis, round_trips: RoundTrips) -> None:
    with round_trips(client) as count:
        assert repr(Lock(client, KEY)) == "<Lock '{jobs}:lock' expires=20>"
    assert count.value == 0


def test_server_that_is_down_raises_the_clients_own_error(make_client: MakeClient) -> None:
    nowhere = make_client(unix_socket_path="/nonexistent/socket", **_retrying(make_client()))
    with pytest.raises(Exception, match="connecting to") as caught:
        Lock(nowhere, KEY).acquire()
    assert not isinstance(caught.value, redset.exceptions.RedsetError)
