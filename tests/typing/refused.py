"""What a user must not write: every checker must find an error in each line that ends in a mark.

Nothing here runs. `accepted` is the other half.
"""

from collections.abc import Hashable, MutableSet
from pathlib import Path
from typing import NamedTuple

import redis

import redset
from redset import RedisSortedSet, ScheduledSet, SortedSet
from redset.interfaces import Serializer
from redset.locks import Lock
from redset.serializers import NamedtupleSerializer, TextSerializer


class Task(NamedTuple):
    name: str


class WithoutLoads:
    def dumps(self, obj: int, /) -> str:
        return str(obj)


class ToInt(WithoutLoads):
    def dumps(self, obj: int, /) -> int:  # error
        return obj

    def loads(self, str_from_redis: str | bytes, /) -> int:
        return int(str_from_redis)


def wants_int(_number: int) -> None: ...


def wants_text(_text: str) -> None: ...


def wants_builtin_set(_numbers: set[int]) -> None: ...


def wants_ints(_numbers: RedisSortedSet[int]) -> None: ...


def wants_objects(_objects: RedisSortedSet[object]) -> None: ...


def wants_texts(_texts: MutableSet[str]) -> None: ...


def wants_hashable(_key: Hashable) -> None: ...


def wants_scheduled(_later: ScheduledSet[str]) -> None: ...


def wants_serializer(_serializer: Serializer[int]) -> None: ...


def making_sets(client: redis.Redis) -> None:
    RedisSortedSet[int](client)  # error
    RedisSortedSet[int](client, 3)  # error
    RedisSortedSet[int](client, Path("numbers"))  # error
    RedisSortedSet[int](client, "numbers", scorer=len)  # error
    RedisSortedSet[int](client, "numbers", lock_timeout="1")  # error
    RedisSortedSet[int](client, "numbers", lock_expires="1")  # error
    RedisSortedSet[int](client, "numbers", clock=1_700_000_000)  # error
    RedisSortedSet[int](client, "numbers", clock=lambda: "now")  # error
    RedisSortedSet[int](client, "numbers", unique="never")  # error
    RedisSortedSet[int](client, "numbers", max_deliveries="3")  # error
    RedisSortedSet[int](client, "numbers", items=[1])  # error
    RedisSortedSet[int]([1, 2])  # error
    RedisSortedSet(client, "numbers", serializer=3)  # error
    RedisSortedSet[int](client, "numbers", serializer=TextSerializer())  # error
    SortedSet(client, "names", serializer=WithoutLoads())  # error
    SortedSet(client, "names").add(1)  # error
    ScheduledSet(client, "tasks", serializer=NamedtupleSerializer(Task)).add("task")  # error
    redset.connect(6379)  # error
    redset.connect(["redis://localhost"])  # error
    redset.ServerClock()  # error


def serializers() -> None:
    wants_serializer(WithoutLoads())  # error
    wants_serializer(ToInt())  # error
    wants_serializer(TextSerializer())  # error
    wants_serializer(NamedtupleSerializer(int))  # error


def being_a_set(s: RedisSortedSet[int], names: SortedSet[str]) -> None:
    wants_builtin_set(s)  # error
    wants_builtin_set(s & {1})  # error
    wants_objects(s)  # error
    wants_ints(names)  # error
    wants_texts(s)  # error
    wants_hashable(s)  # error
    wants_hashable(s & {1})  # error
    wants_scheduled(names)  # error
    names.available()  # error


def one_item(s: RedisSortedSet[int], names: SortedSet[str]) -> None:
    s.add("x")  # error
    s.add(None)  # error
    s.add()  # error
    s.add(1, 2, "max")  # error
    s.add(1, on_conflict="most")  # error
    s.add(1, on_conflict=None)  # error
    names.add(1)  # error
    s.discard("x")  # error
    s.remove("x")  # error
    s.score("x")  # error
    s.rank("x")  # error
    s.ranks(1, "x")  # error
    s.add_scored({"x": 1})  # error
    s.add_scored([1])  # error
    s.increment("x")  # error
    s.increment(1, "2")  # error


def many_items(s: RedisSortedSet[int], word: str) -> None:
    s.update(["x"])  # error
    s.update([1], {"x"})  # error
    s.update(1)  # error
    s.update([1], on_conflict="most")  # error
    s.update([1], on_conflict=word)  # error
    s.insert("x")  # error
    s.insert([1, 2])  # error
    s.scores("x")  # error


def in_order(s: RedisSortedSet[int]) -> None:
    for _item, _score in s:  # error
        pass
    wants_text(next(s.items())[0])  # error
    s["x"]  # error
    s[0] = 1  # error
    del s["a"]  # error
    wants_int(s[0])  # error
    wants_int(s[:1])  # error
    s.range("a")  # error
    s.range(inclusive=True)  # error
    s.range(limit="1")  # error
    s.count("a")  # error
    s.sample("1")  # error
    s.sample()  # error
    wants_text(s.random())  # error


def delivering(s: RedisSortedSet[int]) -> None:
    s.take("x")  # error
    s.take()  # error
    s.take(1.5)  # error
    s.take(1, 2)  # error
    s.pop(0)  # error
    s.pop(timeout="1")  # error
    s.peek("x")  # error
    wants_int(s.pop())  # error
    wants_int(s.peek())  # error
    wants_int(s.take(1))  # error
    s.requeue("x")  # error
    with s.lease("x"):  # error
        pass
    with s.lease(1) as lease:
        lease.ack("x")  # error
        wants_text(lease[0])  # error


def operators(s: RedisSortedSet[int]) -> None:
    s | [1]  # error
    s & [1]  # error
    s - (1,)  # error
    s ^ "x"  # error
    s + s  # error
    [1] | s  # error
    (1,) - s  # error
    bool(s < [1])  # error
    bool(s <= 1)  # error
    bool(s > "x")  # error
    wants_ints(s | {"x"})  # error
    wants_ints(s ^ {"x"})  # error
    wants_ints({1} | s)  # error


def operators_in_place(s: RedisSortedSet[int], words: set[str]) -> None:
    s |= [1]  # error
    s |= words  # error
    s &= [1]  # error
    s -= [1]  # error
    s ^= words  # error
    words |= s  # error


def methods_of_sets(s: RedisSortedSet[int], names: SortedSet[str], word: str) -> None:
    s.union(1)  # error
    s.union([1], into=3)  # error
    s.union([1], on_conflict="most")  # error
    s.union([1], on_conflict=word)  # error
    s.union([1], weights=2)  # error
    s.union([1], weights=["2"])  # error
    wants_ints(s.union(names))  # error
    s.intersection([1], into=3)  # error
    s.intersection([1], on_conflict="most")  # error
    s.intersection_update([1], on_conflict="most")  # error
    s.difference([1], into=3)  # error
    s.difference([1], on_conflict="keep")  # error
    s.symmetric_difference([1], [2])  # error
    s.symmetric_difference([1], into=3)  # error
    wants_ints(s.symmetric_difference(names))  # error
    s.symmetric_difference_update(["x"])  # error
    s.copy("kept")  # error
    s.copy(into=3)  # error
    s.rename(3)  # error
    s.expire()  # error
    s.expire("9")  # error
    s.persist(9)  # error
    s.ttl + 1  # error
    s.ttl() + 1  # error
    s.name = "others"  # error
    s.issubset(1)  # error
    s.isdisjoint(1)  # error


def first_of_several(s: RedisSortedSet[int], names: SortedSet[str]) -> None:
    jobs = redset.FirstOf(s)
    redset.FirstOf([s])  # error
    redset.FirstOf("jobs")  # error
    redset.FirstOf[int](s, names)  # error
    jobs.take()  # error
    jobs.pop(5)  # error
    jobs.lease("3")  # error
    wants_text(jobs.take(1)[0][1])  # error
    jobs.consume(on_error=lambda given: None)  # error


def durable(client: redis.Redis) -> None:
    RedisSortedSet[int](client, "jobs", durable=1)  # error
    RedisSortedSet[int](client, "jobs", durable=True)  # error
    SortedSet(client, "jobs", None, None, None, None, redset.Durable(replicas=1))  # error
    redset.Durable(replicas="1")  # error
    redset.Durable(copies=1)  # error
    redset.Durable(replicas=1).replicas = 2  # error


def locks(s: RedisSortedSet[int], client: redis.Redis) -> None:
    s.lock()  # error
    s.lock.acquire(5)  # error
    Lock(client)  # error
    Lock(client, 3)  # error
    Lock(client, "report", expires="60")  # error
    with s.lock as lock:
        wants_int(lock)  # error
