"""Who is compared: each does the same jobs in its own words, on the same server.

A competitor that lacks a job has no method for it, and is left out of that group. What each does
less or more than redset is said in its ``note``, which the report prints.
"""

import socket
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

import redis

import redset

CHUNK = 5_000


def chunks(items: Iterable[str]) -> Iterator[list[str]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, CHUNK)):
        yield chunk


class Redset:
    """SortedSet, whose items are text as the others' are."""

    name = "redset"
    note = "sorted, atomic pop and take that survive lost replies"
    kind: type[Any] = redset.SortedSet

    def __init__(self, client: redis.Redis) -> None:
        self.client = client

    def make(self, name: str) -> Any:
        return self.kind(self.client, name)

    def fill(self, shared: Any, items: Iterable[str]) -> None:
        shared.update(items)

    def add(self, shared: Any, item: str) -> Callable[[], object]:
        return lambda: shared.add(item, 1.0)

    def contains(self, shared: Any, item: str) -> Callable[[], object]:
        return lambda: item in shared

    def size(self, shared: Any) -> Callable[[], object]:
        return lambda: len(shared)

    def discard(self, shared: Any, item: str) -> Callable[[], object]:
        return lambda: shared.discard(item)

    def pop(self, shared: Any) -> Callable[[], object]:
        return shared.pop  # type: ignore[no-any-return]

    def iterate(self, shared: Any) -> Callable[[], object]:
        return lambda: sum(1 for _ in shared)

    def take(self, shared: Any) -> Callable[[], object]:
        return lambda: shared.take(1000)

    def intersection(self, one: Any, other: Any) -> Callable[[], object]:
        return lambda: (one & other).close()

    def union(self, one: Any, other: Any) -> Callable[[], object]:
        return lambda: (one | other).close()

    def difference(self, one: Any, other: Any) -> Callable[[], object]:
        return lambda: (one - other).close()

    def subset(self, one: Any, other: Any) -> Callable[[], object]:
        return lambda: one <= other

    def lease(self, shared: Any) -> Callable[[], object]:
        def lease_and_ack() -> None:
            with shared.lease(100):
                pass

        return lease_and_ack


class RedsetValues(Redset):
    name = "redset, Python values"
    note = "the same with RedisSortedSet, whose items keep their types"
    kind = redset.RedisSortedSet


class ByHand:
    """What a user would write with redis-py."""

    name = "redis-py by hand"
    note = "no types, no retry-safety; its algebra takes the server's default scores"

    def __init__(self, client: redis.Redis) -> None:
        self.client = client

    def make(self, name: str) -> str:
        return name

    def fill(self, shared: str, items: Iterable[str]) -> None:
        for chunk in chunks(items):
            self.client.zadd(shared, dict.fromkeys(chunk, 0.0))

    def add(self, shared: str, item: str) -> Callable[[], object]:
        return lambda: self.client.zadd(shared, {item: 1.0})

    def contains(self, shared: str, item: str) -> Callable[[], object]:
        return lambda: self.client.zscore(shared, item) is not None

    def size(self, shared: str) -> Callable[[], object]:
        return lambda: self.client.zcard(shared)

    def discard(self, shared: str, item: str) -> Callable[[], object]:
        return lambda: self.client.zrem(shared, item)

    def pop(self, shared: str) -> Callable[[], object]:
        def pop() -> str:
            reply: Any = self.client.zpopmin(shared)
            return reply[0][0].decode()  # type: ignore[no-any-return]

        return pop

    def iterate(self, shared: str) -> Callable[[], object]:
        def iterate() -> int:
            reply: Any = self.client.zrange(shared, 0, -1)
            return sum(1 for _ in [member.decode() for member in reply])

        return iterate

    def take(self, shared: str) -> Callable[[], object]:
        def take() -> list[str]:
            reply: Any = self.client.zpopmin(shared, 1000)
            return [member.decode() for member, _ in reply]

        return take

    def intersection(self, one: str, other: str) -> Callable[[], object]:
        return lambda: self._store(self.client.zinterstore, one, other)

    def union(self, one: str, other: str) -> Callable[[], object]:
        return lambda: self._store(self.client.zunionstore, one, other)

    def difference(self, one: str, other: str) -> Callable[[], object]:
        return lambda: self._store(self.client.zdiffstore, one, other)

    def subset(self, one: str, other: str) -> Callable[[], object]:
        # ZDIFF would send the difference, and ZDIFFSTORE write it, if there is one.
        count, size = self.client.zintercard, self.client.zcard
        return lambda: count(2, [one, other]) == size(one)

    def _store(self, command: Any, one: str, other: str) -> object:
        size = command("result", [one, other])
        self.client.delete("result")
        return size

    def lease(self, shared: str) -> Callable[[], object]:
        """Unsafe: who dies between the commands loses what he has taken."""

        def lease_and_ack() -> None:
            taken: Any = self.client.zpopmin(shared, 100)
            self.client.zadd("held", dict(taken))
            self.client.zrem("held", *(member for member, _ in taken))

        return lease_and_ack


class RawSocket:
    """The floor: bytes that are ready before, replies that nobody parses."""

    name = "raw socket"
    note = "prepared bytes over one socket; parses nothing, survives nothing"

    def __init__(self, client: redis.Redis) -> None:
        options = client.connection_pool.connection_kwargs
        self.socket = socket.create_connection((options["host"], options["port"]))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.hand = ByHand(client)

    def make(self, name: str) -> str:
        return name

    def fill(self, shared: str, items: Iterable[str]) -> None:
        self.hand.fill(shared, items)

    def _ready(self, *words: str) -> Callable[[], object]:
        packed = f"*{len(words)}\r\n" + "".join(f"${len(word)}\r\n{word}\r\n" for word in words)
        send, receive, request = self.socket.sendall, self.socket.recv, packed.encode()

        def call() -> bytes:
            send(request)
            return receive(4096)

        return call

    def add(self, shared: str, item: str) -> Callable[[], object]:
        return self._ready("ZADD", shared, "1.0", item)

    def contains(self, shared: str, item: str) -> Callable[[], object]:
        return self._ready("ZSCORE", shared, item)

    def size(self, shared: str) -> Callable[[], object]:
        return self._ready("ZCARD", shared)

    def discard(self, shared: str, item: str) -> Callable[[], object]:
        return self._ready("ZREM", shared, item)

    def pop(self, shared: str) -> Callable[[], object]:
        return self._ready("ZPOPMIN", shared)


class RedisCollections:
    name = "redis-collections"
    note = "SortedSetCounter, and for algebra its unsorted Set; pickles; no atomic pop of a score"

    def __init__(self, client: redis.Redis) -> None:
        self.client = client

    def make(self, name: str) -> Any:
        from redis_collections import Set, SortedSetCounter

        kind = Set if name.startswith("algebra") else SortedSetCounter
        return kind(redis=self.client, key=name)

    def fill(self, shared: Any, items: Iterable[str]) -> None:
        if hasattr(shared, "set_score"):
            shared.update((item, 0.0) for item in items)
        else:
            shared.update(items)

    def add(self, shared: Any, item: str) -> Callable[[], object]:
        return lambda: shared.set_score(item, 1.0)

    def contains(self, shared: Any, item: str) -> Callable[[], object]:
        return lambda: item in shared

    def size(self, shared: Any) -> Callable[[], object]:
        return lambda: len(shared)

    def discard(self, shared: Any, item: str) -> Callable[[], object]:
        return lambda: shared.discard_member(item)

    def iterate(self, shared: Any) -> Callable[[], object]:
        return lambda: sum(1 for _ in shared.items())

    def intersection(self, one: Any, other: Any) -> Callable[[], object]:
        return lambda: (one & other).clear()

    def union(self, one: Any, other: Any) -> Callable[[], object]:
        return lambda: (one | other).clear()

    def difference(self, one: Any, other: Any) -> Callable[[], object]:
        return lambda: (one - other).clear()

    def subset(self, one: Any, other: Any) -> Callable[[], object]:
        return lambda: one <= other


class Pottery:
    name = "pottery"
    note = "RedisSet: unsorted, JSON members, results as sets of this process"

    def __init__(self, client: redis.Redis) -> None:
        self.client = client

    def make(self, name: str) -> Any:
        from pottery import RedisSet

        return RedisSet(redis=self.client, key=name)

    def fill(self, shared: Any, items: Iterable[str]) -> None:
        shared.update(items)

    def add(self, shared: Any, item: str) -> Callable[[], object]:
        return lambda: shared.add(item)

    def contains(self, shared: Any, item: str) -> Callable[[], object]:
        return lambda: item in shared

    def size(self, shared: Any) -> Callable[[], object]:
        return lambda: len(shared)

    def discard(self, shared: Any, item: str) -> Callable[[], object]:
        return lambda: shared.discard(item)

    def pop(self, shared: Any) -> Callable[[], object]:
        return shared.pop  # type: ignore[no-any-return]

    def iterate(self, shared: Any) -> Callable[[], object]:
        return lambda: sum(1 for _ in shared)


class Walrus:
    name = "walrus"
    note = "ZSet: bytes come back; its algebra adds scores up"

    def __init__(self, client: redis.Redis) -> None:
        from walrus import Database

        self.database = Database(port=client.connection_pool.connection_kwargs["port"])

    def make(self, name: str) -> Any:
        return self.database.ZSet(name)

    def fill(self, shared: Any, items: Iterable[str]) -> None:
        for chunk in chunks(items):
            shared.add(dict.fromkeys(chunk, 0.0))

    def add(self, shared: Any, item: str) -> Callable[[], object]:
        return lambda: shared.add({item: 1.0})

    def contains(self, shared: Any, item: str) -> Callable[[], object]:
        return lambda: item in shared

    def size(self, shared: Any) -> Callable[[], object]:
        return lambda: len(shared)

    def discard(self, shared: Any, item: str) -> Callable[[], object]:
        return lambda: shared.remove(item)

    def pop(self, shared: Any) -> Callable[[], object]:
        return lambda: shared.popmin(1)

    def iterate(self, shared: Any) -> Callable[[], object]:
        return lambda: sum(1 for _ in shared)

    def take(self, shared: Any) -> Callable[[], object]:
        return lambda: shared.popmin(1000)

    def intersection(self, one: Any, other: Any) -> Callable[[], object]:
        return lambda: one.interstore("result", other).clear()

    def union(self, one: Any, other: Any) -> Callable[[], object]:
        return lambda: one.unionstore("result", other).clear()


COMPETITORS: list[Any] = [
    *(ByHand, Redset, RedsetValues, RawSocket),
    *(RedisCollections, Pottery, Walrus),
]
