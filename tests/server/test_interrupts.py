"""What a signal handler raises in the middle of a call, at any step of it: nothing is lost."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from types import FunctionType
from typing import Any

import pytest
import redis

from redset import FirstOf, Lease, RedisSortedSet
from redset._plans import settling
from redset._plans.leased import LeasedItems
from redset._protocol import client_errors
from redset._protocol.config import WaitForChange
from redset._protocol.idempotency import FirstAcquired, IdempotencySlots, _Acquired
from redset._protocol.outlook import Outlook, Place
from redset._transport.connection import ClientConnection
from redset._transport.subscription import KeySubscription
from redset.exceptions import InvalidValueError, LeaseLost
from redset.locks import Lock
from tests.interrupts import each_interrupt, interrupt
from tests.server.conftest import MakeClient, home_of, retry_options
from tests.servers import TestServer

ACQUIRING = (
    *(_Acquired.__enter__, FirstAcquired.__enter__),
    *(IdempotencySlots.check_out, IdempotencySlots._take_failed, IdempotencySlots._take),
)


def interrupt_after_reply(monkeypatch: pytest.MonkeyPatch, call: object) -> None:
    """Make *call*, which the server does, and which is interrupted before it knows the reply."""
    execute = ClientConnection.execute

    def interrupted(self: ClientConnection, *arguments: object) -> object:
        execute(self, *arguments)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(ClientConnection, "execute", interrupted)
        call()  # type: ignore[operator]


@pytest.mark.parametrize("verb", ["ack", "release", "reject", "extend"])
def test_a_settling_that_was_interrupted_is_repeated(client: redis.Redis, verb: str) -> None:
    tasks: RedisSortedSet[int] = RedisSortedSet(client, "tasks")
    for interrupted in each_interrupt(
        *(settling.settle, settling._settle_at, settling._settle_once, LeasedItems.close)
    ):
        tasks.clear()
        tasks.update(range(3))
        lease = tasks.lease(3, 600)
        call = getattr(lease, verb)
        if interrupted(call):
            call()
        assert not lease._held.lost
        assert not lease._held.asked
        stats = tasks.stats()
        expected = {"ack": (0, 0, 0), "release": (3, 0, 0), "reject": (0, 0, 3)}
        found = stats.ready, stats.leased, stats.dead
        assert found == expected.get(verb, (0, 3, 0))


LEASE_STEPS: tuple[Callable[..., Any], ...] = (
    *(settling.ack, settling.release, settling.reject, settling.extend, settling.renew),
    *(settling._settle_those, settling.release_remaining, settling.finish, settling.settle_each),
    *(settling.settle, settling._ask_earlier, settling._settle_at, settling._settle_once),
    *(value for value in vars(LeasedItems).values() if isinstance(value, FunctionType)),
)
# What each call makes of the items; "leased" is no end, so another call may still settle them.
SETTLING: dict[str, tuple[Callable[[Lease[int]], object], str]] = {
    "ack": (lambda lease: lease.ack(), "acknowledged"),
    "again": (lambda lease: lease.ack(again_at=5.0), "ready again"),
    "release": (lambda lease: lease.release(), "ready"),
    "reject": (lambda lease: lease.reject(), "dead"),
    "extend": (lambda lease: lease.extend(900), "leased"),
    "end": (lambda lease: lease.__exit__(None, None, None), "acknowledged"),
    "fail": (lambda lease: lease.__exit__(ValueError, ValueError(), None), "ready"),
}


def states_of(tasks: RedisSortedSet[int]) -> list[str]:
    ready = {item: "ready again" if score == 5.0 else "ready" for item, score in tasks.items()}
    leased = {info.item: "leased" for info in tasks.leased()}
    dead = {letter.item: "dead" for letter in tasks.dead_letters()}
    return [(ready | leased | dead).get(item, "acknowledged") for item in range(3)]


@pytest.mark.parametrize("handler", ["ack", "release", "extend", "the same, repeated"])
@pytest.mark.parametrize("call", SETTLING)
def test_a_handler_settles_the_lease_that_its_thread_is_settling(
    client: redis.Redis, monkeypatch: pytest.MonkeyPatch, call: str, handler: str
) -> None:
    """Each item ends as one of the calls wished, and none of them takes it for lost."""
    tasks: RedisSortedSet[int] = RedisSortedSet(client, "tasks")
    settle, end = SETTLING[call]
    handle, other_end = SETTLING.get(handler, (settle, end))
    for interrupted in each_interrupt(*LEASE_STEPS):
        tasks.clear()
        tasks.update(range(3))
        lease = tasks.lease(3, 600)
        if handler not in SETTLING:
            interrupt_after_reply(monkeypatch, partial(settle, lease))
        was_interrupted = interrupted(partial(settle, lease), partial(handle, lease))
        assert not lease._held.lost
        ends = {end, other_end} - {"leased"} if was_interrupted else {end}
        assert set(states_of(tasks)) <= (ends or {"leased"})


@pytest.mark.parametrize("later", SETTLING)
@pytest.mark.parametrize("earlier", ["ack", "again", "release", "reject"])
def test_what_an_earlier_call_settled_is_not_taken_for_lost(
    client: redis.Redis, monkeypatch: pytest.MonkeyPatch, earlier: str, later: str
) -> None:
    """Its reply was lost: the caller didn't know that it was done."""
    tasks: RedisSortedSet[int] = RedisSortedSet(client, "tasks")
    tasks.update(range(3))
    lease = tasks.lease(3, 600)
    settle, end = SETTLING[earlier]
    interrupt_after_reply(monkeypatch, partial(settle, lease))
    SETTLING[later][0](lease)
    assert states_of(tasks) == [end] * 3
    lease.__exit__(None, None, None)
    assert states_of(tasks) == [end] * 3
    assert not lease._held.unsettled


def test_an_earlier_call_that_was_not_done_is_not_repeated_against_the_later_one(
    client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks: RedisSortedSet[int] = RedisSortedSet(client, "tasks")
    tasks.update(range(3))
    lease = tasks.lease(3, 600)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(ClientConnection, "execute", interrupt)
        lease.ack()
    tasks.discard(1)
    tasks.add(1)
    tasks.lease(1, 600).ack()
    with pytest.raises(LeaseLost) as caught:
        lease.extend(900)
    assert (caught.value.items, tasks.stats().leased) == ([1], 2)


def test_a_handler_settles_the_item_whose_deliveries_are_asked_for(client: redis.Redis) -> None:
    tasks: RedisSortedSet[int] = RedisSortedSet(client, "tasks")
    for interrupted in each_interrupt(LeasedItems.deliveries, LeasedItems.members):
        tasks.update(range(3))
        lease = tasks.lease(3, 600)
        found: list[int] = []
        with suppress(InvalidValueError):  # it says that the item was acknowledged before
            interrupted(lambda: found.append(lease.deliveries(1)), lease.ack)  # noqa: B023
        assert found in ([], [1])


@pytest.mark.parametrize("call", SETTLING)
def test_what_a_handler_raises_in_the_middle_of_a_settling_is_raised(
    client: redis.Redis, call: str
) -> None:
    """Also if the call itself might have raised it."""
    tasks: RedisSortedSet[int] = RedisSortedSet(client, "tasks")
    of_handler = LeaseLost("others", [7])

    def handler() -> None:
        raise of_handler

    for interrupted in each_interrupt(*LEASE_STEPS):
        tasks.clear()
        tasks.update(range(3))
        lease = tasks.lease(3, 600)
        try:
            is_hidden = interrupted(partial(SETTLING[call][0], lease), handler)
        except LeaseLost as loss:
            is_hidden = loss is not of_handler
        assert not is_hidden


def test_a_loss_that_was_interrupted_is_told(client: redis.Redis) -> None:
    tasks: RedisSortedSet[int] = RedisSortedSet(client, "tasks")
    for interrupted in each_interrupt(LeasedItems.lose, LeasedItems.close):
        tasks.clear()
        tasks.update(range(3))
        lease = tasks.lease(3, 600)
        tasks.clear()
        with suppress(LeaseLost):
            interrupted(lease.ack)
        assert set(lease._held.lost) | set(lease._held.unsettled) == {b"i:0", b"i:1", b"i:2"}


def test_a_lock_whose_acquisition_was_interrupted_can_be_acquired(client: redis.Redis) -> None:
    lock = Lock(client, "lock", expires=600, timeout=0)
    for interrupted in each_interrupt(Lock.acquire, Lock._try):
        if interrupted(lock.acquire):
            assert lock.acquire()
        assert lock.release()
        assert not client.exists("lock")


def test_an_ack_that_is_interrupted_twice_is_repeated(
    client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks: RedisSortedSet[int] = RedisSortedSet(client, "tasks")
    for interrupted in each_interrupt(*ACQUIRING):
        tasks.update(range(3))
        lease = tasks.lease(3, 600)
        interrupt_after_reply(monkeypatch, lease.ack)
        if interrupted(lease.ack):
            lease.ack()
        assert (len(tasks), tasks.stats().leased) == (0, 0)


@pytest.mark.parametrize("several", [False, True])
def test_an_item_whose_pop_is_interrupted_twice_is_popped(
    client: redis.Redis, monkeypatch: pytest.MonkeyPatch, several: bool
) -> None:
    one: RedisSortedSet[int] = RedisSortedSet(client, "{queue}one")
    two: RedisSortedSet[int] = RedisSortedSet(client, "{queue}two")
    queue: Any = FirstOf(one, two) if several else one
    got: list[Any] = []
    for interrupted in each_interrupt(*ACQUIRING):
        one.update([1, 2])
        got.clear()
        interrupt_after_reply(monkeypatch, queue.pop)
        if interrupted(lambda: got.append(queue.pop())):
            got.append(queue.pop())
        assert (got, set(one)) == ([(one, 1)] if several else [1], {2})
        one.clear()


def test_an_insert_that_is_interrupted_twice_tells_of_its_items(
    client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: RedisSortedSet[int] = RedisSortedSet(client, "seen")
    got: list[int] = []
    finding = (IdempotencySlots.failed_parts, IdempotencySlots._failed_lately)
    for interrupted in each_interrupt(*ACQUIRING, *finding):
        got.clear()
        interrupt_after_reply(monkeypatch, lambda: seen.insert(1, 2))
        if interrupted(lambda: got.extend(seen.insert(2, 4, 1, 3))):
            got.extend(seen.insert(2, 4, 1, 3))
        assert got == [2, 4, 1, 3]
        seen.clear()


@contextmanager
def soft_limit_in_a_silence(server: TestServer, name: str) -> Iterator[None]:
    """The server is silent, and after a moment a signal handler raises a builtin TimeoutError."""

    def handler(*_: object) -> None:
        raise TimeoutError("soft limit")

    before = signal.signal(signal.SIGALRM, handler)
    process = home_of(server, name).pid
    assert process is not None
    os.kill(process, signal.SIGSTOP)
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        os.kill(process, signal.SIGCONT)


SILENT: dict[str, Callable[[RedisSortedSet[int]], object]] = {
    "one command": len,
    "several commands": list,
    "an insertion": lambda tasks: tasks.insert(7),
}


@pytest.mark.parametrize("call", SILENT)
def test_a_timeout_that_a_handler_raises_is_not_taken_for_that_of_the_socket(
    server: TestServer, client: redis.Redis, call: str
) -> None:
    tasks: RedisSortedSet[int] = RedisSortedSet(client, "tasks")
    tasks.update(range(3))
    with soft_limit_in_a_silence(server, "tasks"), pytest.raises(TimeoutError, match="soft limit"):
        SILENT[call](tasks)
    assert set(tasks) >= {0, 1, 2}


def test_a_timeout_that_a_handler_raises_while_a_connection_is_made_is_raised(
    server: TestServer, client: redis.Redis, make_client: MakeClient
) -> None:
    RedisSortedSet(client, "tasks").update(range(3))
    tasks: RedisSortedSet[int] = RedisSortedSet(make_client(**retry_options(client, 0)), "tasks")
    with soft_limit_in_a_silence(server, "tasks"), pytest.raises(TimeoutError, match="soft limit"):
        len(tasks)
    assert len(tasks) == 3


def test_a_timeout_that_a_handler_raises_in_a_repetition_is_raised(
    server: TestServer, client: redis.Redis, make_client: MakeClient
) -> None:
    RedisSortedSet(client, "tasks").update(range(3))
    hasty: Any = make_client(socket_timeout=0.4, **retry_options(client, 9))
    tasks: RedisSortedSet[int] = RedisSortedSet(hasty, "tasks")
    assert len(tasks) == 3
    with soft_limit_in_a_silence(server, "tasks"), pytest.raises(TimeoutError, match="soft limit"):
        signal.setitimer(signal.ITIMER_REAL, 0.6)
        len(tasks)
    assert len(tasks) == 3


def test_a_timeout_that_a_handler_raises_in_a_wait_is_raised(
    server: TestServer, client: redis.Redis
) -> None:
    subscription = KeySubscription(client, (b"tasks",))
    outlook = Outlook(Place(b"tasks", None))
    assert subscription.wait(WaitForChange(outlook, 0.0)) is False
    subscription._armed = False  # it looks at the server next
    with soft_limit_in_a_silence(server, "tasks"), pytest.raises(TimeoutError, match="soft limit"):
        subscription.wait(WaitForChange(outlook, 1.0))


@pytest.mark.parametrize("loop", [False, True], ids=["lease", "consume"])
def test_a_timeout_that_a_handler_raises_while_items_are_given_back_is_raised(
    server: TestServer, client: redis.Redis, loop: bool
) -> None:
    tasks: RedisSortedSet[int] = RedisSortedSet(client, "tasks")
    tasks.update(range(3))
    if loop:
        consuming = tasks.consume(timeout=0)
        next(consuming)
        settle: Callable[[], object] = consuming.close
    else:
        block = tasks.lease(1).__enter__()
        settle = partial(block.__exit__, ValueError, ValueError(), None)
    with soft_limit_in_a_silence(server, "tasks"), pytest.raises(TimeoutError, match="soft limit"):
        settle()


def test_a_timeout_of_the_socket_is_still_one_of_the_call(
    server: TestServer, client: redis.Redis, make_client: MakeClient
) -> None:
    """Also while a caller handles a TimeoutError of another origin."""
    hasty: Any = make_client(socket_timeout=0.05, **retry_options(client, 0))
    tasks: RedisSortedSet[int] = RedisSortedSet(hasty, "tasks")
    tasks.update(range(3))
    batch = tasks.lease(1)
    with (
        soft_limit_in_a_silence(server, "tasks"),
        pytest.raises(TimeoutError, match="soft limit"),
    ):
        signal.setitimer(signal.ITIMER_REAL, 0)
        try:
            raise TimeoutError("soft limit")
        except TimeoutError:
            with pytest.raises(Exception, match="Timeout reading") as caught:
                batch.extend()
            assert client_errors.is_client_error(caught.value)
            assert client_errors.is_of_the_call(caught.value)
            raise
