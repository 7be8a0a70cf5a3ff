"""Requests that are lost, delayed, duplicated and reordered change nothing twice.

The real scripts run on a real server; the connection between a handle and the server is the test's
own, and does with each request what Hypothesis tells it to. docs/idempotency.md has the protocol.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import redis
from hypothesis import given
from hypothesis import strategies as st

from redset import RedisSortedSet
from redset._plans import queue
from redset._protocol.commands import Command
from redset._transport.connection import ClientConnection

FATES = ("answered", "answered", "answered", "reply lost", "delayed", "twice", "lost", "late copy")

Numbers = RedisSortedSet[int]


class Network:
    """What is under way to the server: delayed requests, in any order, any number of times."""

    def __init__(self, draw: Callable[[Any], Any]) -> None:
        self.draw = draw
        self.delayed: list[Callable[[], Any]] = []
        self.is_calm = False

    def deliver_some(self) -> None:
        while self.delayed and self.draw(st.booleans()):
            place = self.draw(st.integers(0, len(self.delayed) - 1))
            # A copy may stay under way.
            if self.draw(st.booleans()):
                self.delayed[place]()
            else:
                self.delayed.pop(place)()

    def deliver_all(self) -> None:
        while self.delayed:
            self.delayed.pop()()


class Connection(ClientConnection):
    """A connection over which requests meet with their fates."""

    def __init__(self, client: redis.Redis, network: Network) -> None:
        super().__init__(client)
        self._network = network

    def _send(self, batch: Sequence[Command[Any]]) -> list[Any]:
        network = self._network
        if network.is_calm:
            return super()._send(batch)
        network.deliver_some()
        fate = network.draw(st.sampled_from(FATES))
        send = super()._send
        # Without this the server may not know a script yet: to send its source is another request.
        batch = [command.with_source() for command in batch]
        if fate in {"delayed", "late copy"}:
            network.delayed.append(lambda: send(batch))
        if fate in {"delayed", "lost"}:
            raise redis.ConnectionError(fate)
        replies = send(batch)
        if fate == "twice":
            replies = send(batch)  # the client's own retry, after a reply that was lost
        if fate == "reply lost":
            raise redis.ConnectionError(fate)
        return replies


def begin(client: redis.Redis) -> None:
    """Forget what an earlier example left on the server, and in the client for the next calls."""
    client.flushall()
    vars(client).pop("_redset_slots", None)


def handle(client: redis.Redis, network: Network) -> Numbers:
    made: Numbers = RedisSortedSet(client, "numbers")
    made._runner.connection = Connection(client, network)
    return made


def ready(client: redis.Redis) -> list[int]:
    return list(RedisSortedSet[int](client, "numbers"))


def attempt(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except redis.ConnectionError:
        return None


def repeated(call: Callable[[], Any]) -> Any:
    """Repeat a call, as a caller does who wants it done, until it is answered."""
    while True:
        try:
            return call()
        except redis.ConnectionError:
            continue


@given(data=st.data())
def test_each_item_is_handed_out_once_whatever_happens_to_requests(
    client: redis.Redis, data: st.DataObject
) -> None:
    begin(client)
    network = Network(data.draw)
    handles = [handle(client, network) for _ in range(2)]
    got: Counter[int] = Counter()
    inserted = 0

    def pop(consumer: Numbers) -> None:
        try:
            found = consumer.pop()
        except KeyError:
            return
        assert found is not None
        got[found] += 1

    def take(consumer: Numbers) -> None:
        got.update(consumer.take(data.draw(st.integers(1, 3))))

    def take_back(consumer: Numbers) -> None:
        # Only what failed is taken back, as after a cancelled call.
        if consumer._runner.config.requests.take._failed:
            repeated(lambda: consumer._runner.run(queue.take_back, last=False))

    for _ in range(data.draw(st.integers(1, 14))):
        consumer = data.draw(st.sampled_from(handles))
        what = data.draw(st.sampled_from(["insert", "insert", "pop", "take", "take back"]))
        if what == "insert":
            number, inserted = inserted, inserted + 1
            assert repeated(partial(consumer.insert, number)) == [number]
        else:
            work = {"pop": pop, "take": take, "take back": take_back}[what]
            attempt(partial(work, consumer))
    # What a call that failed was given is given to the next one of its handle.
    network.is_calm = True
    for consumer in handles:
        while consumer._runner.config.requests.take._failed:
            got.update(consumer.take(3))
    network.deliver_all()
    got.update(ready(client))
    assert got == Counter(range(inserted))


@given(data=st.data())
def test_what_was_acknowledged_stays_so_whatever_happens_to_requests(
    client: redis.Redis, data: st.DataObject
) -> None:
    begin(client)
    network = Network(data.draw)
    handles = [handle(client, network) for _ in range(2)]
    RedisSortedSet[int](client, "numbers").update(range(6))
    acknowledged: Counter[int] = Counter()
    leases: list[Any] = []
    for _ in range(data.draw(st.integers(1, 12))):
        consumer = data.draw(st.sampled_from(handles))
        what = data.draw(st.sampled_from(["lease", "ack", "release", "extend"]))
        if what == "lease":
            number = data.draw(st.integers(1, 2))
            leases.append(repeated(partial(consumer.lease, number, 3_600.0)))
        elif leases:
            lease = leases.pop(data.draw(st.integers(0, len(leases) - 1)))
            if what == "ack":
                repeated(lease.ack)
                acknowledged.update(lease)
            elif what == "release":
                repeated(lease.release)
            else:
                repeated(partial(lease.extend, 1_800.0))
                leases.append(lease)
    network.is_calm = True
    network.deliver_all()
    for lease in leases:
        lease.release()
    assert set(acknowledged.values()) <= {1}
    left = set(ready(client))
    assert left == set(range(6)) - acknowledged.keys()
    assert RedisSortedSet[int](client, "numbers").stats().leased == 0


@given(data=st.data())
def test_changes_in_place_are_done_once_whatever_happens_to_requests(
    client: redis.Redis, data: st.DataObject
) -> None:
    begin(client)
    network = Network(data.draw)
    mine = handle(client, network)
    other: Numbers = RedisSortedSet(client, "other")
    other.update([1, 2])
    expected: set[int] = set()
    for _ in range(data.draw(st.integers(1, 8))):
        operand = data.draw(st.sampled_from([other, {2, 3}, [4]]))
        try:
            mine.symmetric_difference_update(operand)
        except redis.ConnectionError:
            # Whether it was done is not known. After a later change its copies do nothing.
            network.is_calm = True
            mine.intersection_update([])
            network.is_calm = False
            expected = set()
        else:
            expected ^= set(operand)
    network.is_calm = True
    mine.update([9], on_conflict="sum")
    network.deliver_all()
    assert set(mine) == expected | {9}


def test_take_back_that_overtakes_its_pop_makes_it_stale(client: redis.Redis) -> None:
    begin(client)
    network = Network(lambda _strategy: False)
    mine = handle(client, network)
    RedisSortedSet[int](client, "numbers").add(1)
    with suppress(ZeroDivisionError), mine._runner.config.requests.take.acquire() as slot:
        late = [command.with_source() for command in _take(mine, slot)]
        raise ZeroDivisionError
    network.is_calm = True
    mine._runner.config.requests.take._idle.clear()
    mine._runner.run(queue.take_back, last=False)
    assert ClientConnection(client).execute(late) == [([], False, None)]
    assert list(mine) == [1]


def _take(mine: Numbers, slot: Any) -> list[Command[Any]]:
    from redset._protocol import commands
    from redset._protocol.idempotency import REPLY_TTL

    return [commands.take(slot.keys, slot.request_id(), 1, "+inf", REPLY_TTL)]


def test_delayed_copy_of_insert_adds_nothing_that_was_popped_since(client: redis.Redis) -> None:
    begin(client)
    network = Network(lambda _strategy: False)
    mine = handle(client, network)
    sent: list[list[Command[Any]]] = []
    network.is_calm = True
    original = mine._runner.connection._send

    def recorded(batch: Sequence[Command[Any]]) -> list[Any]:
        sent.append([command.with_source() for command in batch])
        return original(batch)

    mine._runner.connection._send = recorded  # type: ignore[method-assign]
    assert mine.insert(1) == [1]
    [copy] = sent[:1]
    assert mine.pop() == 1
    ClientConnection(client).execute(copy)
    assert list(mine) == []
    mine.add(2)
    assert mine.insert(2) == []
    assert mine.pop() == 2
    ClientConnection(client).execute(sent[-2])
    assert list(mine) == []
    ClientConnection(client).execute(copy)
    assert list(mine) == []
