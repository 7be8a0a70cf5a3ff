"""Who is compared: each does the same jobs in its own words, on the same server.

A competitor that lacks a job has no method for it, and is left out of that group. What each does
less or more than redset is said in its ``note``, which the report prints. A method returns what is
called and timed; ``answer`` turns what that returns into what `bench.operations` expects, so that
no one is compared who gives wrong answers.
"""

import socket
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

import redis

import redset

CHUNK = 5_000
BASE = "redis-py by hand"
FLOOR = "raw socket"

Call = Callable[[], Any]


def chunks(items: Iterable[str]) -> Iterator[list[str]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, CHUNK)):
        yield chunk


def text(member: Any) -> str:
    return member.decode() if isinstance(member, bytes) else str(member)


class Competitor:
    """What all of them have."""

    name: str
    note: str

    def __init__(self, client: redis.Redis) -> None:
        self.client = client

    def make(self, name: str) -> Any:
        return name

    def fill(self, shared: Any, items: Iterable[str]) -> None:
        raise NotImplementedError

    def answer(self, found: Any) -> Any:
        """Return members as text, without their scores; all else as it is."""
        if isinstance(found, bytes):
            return text(found)
        if isinstance(found, list):
            return [text(each[0] if isinstance(each, tuple) else each) for each in found]
        return found

    def forget(self, result: Any) -> None:
        """Delete the result of an operation on two sets; a part of that operation."""

    def count(self, result: Any) -> int:
        """Return how many items the result of an operation on two sets has; for the check only."""
        return len(result)


class Redset(Competitor):
    """SortedSet, whose items are text as the others' are."""

    name = "redset"
    note = "sorted, atomic pop and take that survive lost replies"
    kind: type[Any] = redset.SortedSet

    def make(self, name: str) -> Any:
        return self.kind(self.client, name)

    def fill(self, shared: Any, items: Iterable[str]) -> None:
        shared.update(items)

    def add(self, shared: Any, item: str) -> Call:
        return lambda: shared.add(item, 1.0)

    def contains(self, shared: Any, item: str) -> Call:
        return lambda: item in shared

    def score(self, shared: Any, item: str) -> Call:
        return lambda: shared.score(item)

    def size(self, shared: Any) -> Call:
        return lambda: len(shared)

    def discard(self, shared: Any, item: str) -> Call:
        return lambda: shared.discard(item)

    def pop(self, shared: Any) -> Call:
        return shared.pop  # type: ignore[no-any-return]

    def iterate(self, shared: Any) -> Call:
        return lambda: sum(1 for _ in shared)

    def take(self, shared: Any, number: int) -> Call:
        return lambda: shared.take(number)

    def insert(self, shared: Any, batches: Iterator[list[str]]) -> Call:
        return lambda: shared.insert(*next(batches))

    def intersection(self, one: Any, other: Any) -> Call:
        return lambda: one & other

    def union(self, one: Any, other: Any) -> Call:
        return lambda: one | other

    def difference(self, one: Any, other: Any) -> Call:
        return lambda: one - other

    def forget(self, result: Any) -> None:
        result.close()

    def subset(self, one: Any, other: Any) -> Call:
        return lambda: one <= other

    def lease(self, shared: Any, number: int) -> Call:
        def lease_and_ack() -> None:
            with shared.lease(number):
                pass

        return lease_and_ack


class RedsetValues(Redset):
    name = "redset, Python values"
    note = "the same with RedisSortedSet, whose items keep their types"
    kind = redset.RedisSortedSet


class ByHand(Competitor):
    """What a user would write with redis-py."""

    name = BASE
    note = "no types, no retry-safety; its algebra takes the server's default scores"

    def fill(self, shared: str, items: Iterable[str]) -> None:
        for chunk in chunks(items):
            self.client.zadd(shared, dict.fromkeys(chunk, 0.0))

    def add(self, shared: str, item: str) -> Call:
        return lambda: self.client.zadd(shared, {item: 1.0})

    def contains(self, shared: str, item: str) -> Call:
        return lambda: self.client.zscore(shared, item) is not None

    def score(self, shared: str, item: str) -> Call:
        return lambda: self.client.zscore(shared, item)

    def size(self, shared: str) -> Call:
        return lambda: self.client.zcard(shared)

    def discard(self, shared: str, item: str) -> Call:
        return lambda: self.client.zrem(shared, item)

    def pop(self, shared: str) -> Call:
        def pop() -> str:
            reply: Any = self.client.zpopmin(shared)
            return reply[0][0].decode()  # type: ignore[no-any-return]

        return pop

    def iterate(self, shared: str) -> Call:
        def iterate() -> int:
            reply: Any = self.client.zrange(shared, 0, -1)
            return sum(1 for _ in [member.decode() for member in reply])

        return iterate

    def take(self, shared: str, number: int) -> Call:
        def take() -> list[str]:
            reply: Any = self.client.zpopmin(shared, number)
            return [member.decode() for member, _ in reply]

        return take

    def insert(self, shared: str, batches: Iterator[list[str]]) -> Call:
        """One ZADD for each item, as the reply to one for all doesn't say which are new."""

        def insert() -> list[str]:
            batch = next(batches)
            with self.client.pipeline(transaction=True) as pipeline:
                for item in batch:
                    pipeline.zadd(shared, {item: 0.0}, nx=True)
                added = pipeline.execute()
            return [item for item, new in zip(batch, added, strict=True) if new]

        return insert

    def intersection(self, one: str, other: str) -> Call:
        return lambda: self.client.zinterstore("result", [one, other])

    def union(self, one: str, other: str) -> Call:
        return lambda: self.client.zunionstore("result", [one, other])

    def difference(self, one: str, other: str) -> Call:
        return lambda: self.client.zdiffstore("result", [one, other])

    def forget(self, result: Any) -> None:
        self.client.delete("result")

    def count(self, result: Any) -> int:
        return self.client.zcard("result")  # type: ignore[return-value]

    def subset(self, one: str, other: str) -> Call:
        # ZDIFF would send the difference, and ZDIFFSTORE write it, if there is one.
        count, size = self.client.zintercard, self.client.zcard
        return lambda: count(2, [one, other]) == size(one)

    def lease(self, shared: str, number: int) -> Call:
        """Unsafe: who dies between the commands loses what he has taken."""

        def lease_and_ack() -> None:
            taken: Any = self.client.zpopmin(shared, number)
            self.client.zadd("held", dict(taken))
            self.client.zrem("held", *(member for member, _ in taken))

        return lease_and_ack


class RawSocket(Competitor):
    """The floor: bytes that are ready before, replies that nobody parses."""

    name = FLOOR
    note = "prepared bytes over one socket; parses nothing, survives nothing"

    def __init__(self, client: redis.Redis) -> None:
        super().__init__(client)
        options = client.get_connection_kwargs()
        self.socket = socket.create_connection((options["host"], options["port"]))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.hand = ByHand(client)

    def fill(self, shared: str, items: Iterable[str]) -> None:
        self.hand.fill(shared, items)

    def answer(self, found: Any) -> Any:
        """Parse the replies that the jobs below get."""
        first, *rest = found.decode().split("\r\n")
        if first.startswith(":"):
            return int(first[1:])
        if first.startswith("*"):
            return [line for line in rest if line.startswith("item:")]
        return None if first == "$-1" else rest[0]

    def _ready(self, *words: str) -> Call:
        packed = f"*{len(words)}\r\n" + "".join(f"${len(word)}\r\n{word}\r\n" for word in words)
        send, receive, request = self.socket.sendall, self.socket.recv, packed.encode()

        def call() -> bytes:
            send(request)
            return receive(4096)

        return call

    def add(self, shared: str, item: str) -> Call:
        return self._ready("ZADD", shared, "1.0", item)

    def contains(self, shared: str, item: str) -> Call:
        return self._ready("ZSCORE", shared, item)

    def score(self, shared: str, item: str) -> Call:
        return self._ready("ZSCORE", shared, item)

    def size(self, shared: str) -> Call:
        return self._ready("ZCARD", shared)

    def discard(self, shared: str, item: str) -> Call:
        return self._ready("ZREM", shared, item)

    def pop(self, shared: str) -> Call:
        return self._ready("ZPOPMIN", shared)

    def take(self, shared: str, number: int) -> Call:
        return self._ready("ZPOPMIN", shared, str(number))


class RedisCollections(Competitor):
    name = "redis-collections"
    note = "SortedSetCounter, and for algebra its unsorted Set; pickles; no atomic pop of a score"

    def make(self, name: str) -> Any:
        from redis_collections import Set, SortedSetCounter

        kind = Set if name.startswith("algebra") else SortedSetCounter
        return kind(redis=self.client, key=name)

    def fill(self, shared: Any, items: Iterable[str]) -> None:
        if hasattr(shared, "set_score"):
            shared.update((item, 0.0) for item in items)
        else:
            shared.update(items)

    def add(self, shared: Any, item: str) -> Call:
        return lambda: shared.set_score(item, 1.0)

    def contains(self, shared: Any, item: str) -> Call:
        return lambda: item in shared

    def score(self, shared: Any, item: str) -> Call:
        return lambda: shared.get_score(item)

    def size(self, shared: Any) -> Call:
        return lambda: len(shared)

    def discard(self, shared: Any, item: str) -> Call:
        return lambda: shared.discard_member(item)

    def iterate(self, shared: Any) -> Call:
        return lambda: sum(1 for _ in shared.items())

    def intersection(self, one: Any, other: Any) -> Call:
        return lambda: one & other

    def union(self, one: Any, other: Any) -> Call:
        return lambda: one | other

    def difference(self, one: Any, other: Any) -> Call:
        return lambda: one - other

    def forget(self, result: Any) -> None:
        result.clear()

    def subset(self, one: Any, other: Any) -> Call:
        return lambda: one <= other


class Pottery(Competitor):
    name = "pottery"
    note = "RedisSet: unsorted, so its pop takes any item; JSON members"

    def make(self, name: str) -> Any:
        from pottery import RedisSet

        return RedisSet(redis=self.client, key=name)

    def fill(self, shared: Any, items: Iterable[str]) -> None:
        shared.update(items)

    def add(self, shared: Any, item: str) -> Call:
        return lambda: shared.add(item)

    def contains(self, shared: Any, item: str) -> Call:
        return lambda: item in shared

    def size(self, shared: Any) -> Call:
        return lambda: len(shared)

    def discard(self, shared: Any, item: str) -> Call:
        return lambda: shared.discard(item)

    def pop(self, shared: Any) -> Call:
        return shared.pop  # type: ignore[no-any-return]

    def iterate(self, shared: Any) -> Call:
        return lambda: sum(1 for _ in shared)


class Walrus(Competitor):
    name = "walrus"
    note = "ZSet: bytes come back; its algebra adds scores up"

    def __init__(self, client: redis.Redis) -> None:
        from walrus import Database

        super().__init__(client)
        self.database = Database(port=client.get_connection_kwargs()["port"])

    def make(self, name: str) -> Any:
        return self.database.ZSet(name)

    def fill(self, shared: Any, items: Iterable[str]) -> None:
        for chunk in chunks(items):
            shared.add(dict.fromkeys(chunk, 0.0))

    def add(self, shared: Any, item: str) -> Call:
        return lambda: shared.add({item: 1.0})

    def contains(self, shared: Any, item: str) -> Call:
        return lambda: item in shared

    def score(self, shared: Any, item: str) -> Call:
        return lambda: shared.score(item)

    def size(self, shared: Any) -> Call:
        return lambda: len(shared)

    def discard(self, shared: Any, item: str) -> Call:
        return lambda: shared.remove(item)

    def pop(self, shared: Any) -> Call:
        return lambda: shared.popmin(1)

    def iterate(self, shared: Any) -> Call:
        return lambda: sum(1 for _ in shared)

    def take(self, shared: Any, number: int) -> Call:
        return lambda: shared.popmin(number)

    def intersection(self, one: Any, other: Any) -> Call:
        return lambda: one.interstore("result", other)

    def union(self, one: Any, other: Any) -> Call:
        return lambda: one.unionstore("result", other)

    def forget(self, result: Any) -> None:
        result.clear()


COMPETITORS: list[type[Competitor]] = [
    *(ByHand, Redset, RedsetValues, RawSocket),
    *(RedisCollections, Pottery, Walrus),
]
