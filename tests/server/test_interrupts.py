"""What a signal handler raises in the middle of a call, at any step of it: nothing is lost."""

from contextlib import suppress
from typing import Any

import pytest
import redis

from redset import FirstOf, RedisSortedSet
from redset._plans import settling
from redset._plans.leased import LeasedItems
from redset._protocol.idempotency import FirstAcquired, IdempotencySlots, _Acquired
from redset._transport.connection import ClientConnection
from redset.exceptions import LeaseLost
from tests.interrupts import each_interrupt

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
        stats = tasks.stats()
        expected = {"ack": (0, 0, 0), "release": (3, 0, 0), "reject": (0, 0, 3)}
        found = stats.ready, stats.leased, stats.dead
        assert found == expected.get(verb, (0, 3, 0))


def test_a_loss_that_was_interrupted_is_told(client: redis.Redis) -> None:
    tasks: RedisSortedSet[int] = RedisSortedSet(client, "tasks")
    for interrupted in each_interrupt(LeasedItems.close):
        tasks.clear()
        tasks.update(range(3))
        lease = tasks.lease(3, 600)
        tasks.clear()
        with suppress(LeaseLost):
            interrupted(lease.ack)
        assert set(lease._held.lost) | set(lease._held.unsettled) == {b"i:0", b"i:1", b"i:2"}


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
