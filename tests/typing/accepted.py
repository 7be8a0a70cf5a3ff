"""What a user may write, and what type it has: every checker must accept all of this.

Nothing here runs. `refused` is the other half.
"""

import json
import pickle
import time
from collections.abc import Collection, Iterator, KeysView, MutableSet, Reversible
from collections.abc import Set as AbstractSet
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple, assert_type

import redis
import redis.asyncio

import redset
import redset.asyncio
from redset import RedisSortedSet, ScheduledSet, ServerClock, SortedSet, TimeSortedSet
from redset._plans.arguments import OnConflict
from redset.interfaces import Serializer
from redset.leases import Lease
from redset.locks import Lock
from redset.serializers import (
    JSONSerializer,
    MsgpackSerializer,
    NamedtupleSerializer,
    PickleSerializer,
    TextSerializer,
    ValueSerializer,
)


class Task(NamedTuple):
    name: str
    priority: int


class Tasks(RedisSortedSet[Task]):
    """A user's own class."""


class Minutes:
    """A user's own serializer, without a base class."""

    def dumps(self, obj: timedelta, /) -> str:
        return str(obj // timedelta(minutes=1))

    def loads(self, str_from_redis: str | bytes, /) -> timedelta:
        return timedelta(minutes=int(str_from_redis))


class OfTextOnly:
    """A serializer that reads what it writes, and nothing else."""

    def dumps(self, number: int) -> str:
        return str(number)

    def loads(self, text: str) -> int:
        return int(text)


def total(numbers: AbstractSet[int]) -> int:
    return sum(numbers) + len(numbers | {1}) + len(numbers & {1})


def grow(numbers: MutableSet[int]) -> None:
    numbers |= {1, 2}
    numbers.add(3)


def wants_float(_number: float) -> None: ...


def wants_objects(_objects: AbstractSet[object]) -> None: ...


def wants_order(_numbers: Reversible[int], _same: Collection[int]) -> None: ...


def wants_ints(_serializer: Serializer[int]) -> None: ...


def wants_texts(_serializer: Serializer[str]) -> None: ...


def wants_tasks(_serializer: Serializer[Task]) -> None: ...


def wants_minutes(_serializer: Serializer[timedelta]) -> None: ...


def making_sets(client: redis.Redis) -> None:
    assert_type(RedisSortedSet[int](client, "numbers"), RedisSortedSet[int])
    assert_type(SortedSet[str](client, b"names", len), SortedSet[str])
    assert_type(TimeSortedSet[str](client, "log", clock=time.time), TimeSortedSet[str])
    assert_type(ScheduledSet[str](client, "later", clock=ServerClock(client)), ScheduledSet[str])
    assert_type(Tasks(client, "tasks", lambda task: task.priority), Tasks)
    RedisSortedSet[Task](client, "tasks", lambda task: Decimal(task.priority), json)
    RedisSortedSet[int](client, "numbers", None, None, 0.5, 60, unique="forever")
    ScheduledSet[str](client, "later", clock=lambda: 1_700_000_000, max_deliveries=3)
    minutes: SortedSet[timedelta] = SortedSet(client, "minutes", serializer=Minutes())
    assert_type(minutes.take(2), list[timedelta])
    named = SortedSet[Task](client, "tasks", serializer=NamedtupleSerializer(Task))
    assert_type([task.name for task in named], list[str])


class Owner:
    """Attributes that no annotation describes."""

    def __init__(self, client: redis.Redis, later: redis.asyncio.Redis) -> None:
        self.names = SortedSet(client, "names")
        self.jobs = RedisSortedSet(client, "jobs")
        self.later = redset.asyncio.ScheduledSet(later, "later")
        self.seen = redset.asyncio.RedisSortedSet(later, "seen", unique="forever")


def making_sets_without_an_annotation(owner: Owner, client: redis.Redis) -> None:
    assert_type(owner.names, SortedSet[str])
    assert_type(owner.names.pop(), str | None)
    assert_type(owner.jobs, RedisSortedSet[Any])
    assert_type(owner.later, redset.asyncio.ScheduledSet[str])
    assert_type(owner.seen, redset.asyncio.RedisSortedSet[Any])
    assert_type(TimeSortedSet(client, "log", clock=time.time), TimeSortedSet[str])
    assert_type(ScheduledSet(client, "later", None, None, 0.5), ScheduledSet[str])
    tasks = NamedtupleSerializer(Task)
    assert_type(SortedSet(client, "tasks", serializer=tasks), SortedSet[Task])
    assert_type(RedisSortedSet(client, "tasks", None, tasks), RedisSortedSet[Task])
    assert_type(SortedSet(client, "tasks", lambda task: task.priority, tasks), SortedSet[Task])
    assert_type(ScheduledSet(client, "tasks", serializer=json), ScheduledSet[Any])
    assert_type(SortedSet(client, "minutes", serializer=Minutes()), SortedSet[timedelta])
    assert_type(RedisSortedSet(client, "texts", serializer=OfTextOnly()), RedisSortedSet[int])
    numbers: RedisSortedSet[int] = RedisSortedSet(client, "numbers")
    assert_type(numbers, RedisSortedSet[int])
    SortedSet[int](client, "numbers", serializer=pickle)


def bare_annotations(names: SortedSet, jobs: RedisSortedSet) -> None:
    assert_type(names.take(1), list[str])
    assert_type(jobs.take(1), list[Any])


def connecting() -> None:
    assert_type(redset.connect(), redis.Redis)
    assert_type(redset.connect("redis://localhost", decode_responses=True), redis.Redis)
    assert_type(redset.connect(Path("data")), redis.Redis)
    assert_type(ServerClock(redset.connect(), refresh=5)(), float)


def serializers() -> None:
    for of_anything in (JSONSerializer(), MsgpackSerializer(), PickleSerializer()):
        wants_ints(of_anything)
        wants_tasks(of_anything)
    wants_ints(ValueSerializer())
    wants_ints(json)
    wants_texts(TextSerializer())
    assert_type(NamedtupleSerializer(Task), NamedtupleSerializer[Task])
    wants_tasks(NamedtupleSerializer(Task))
    wants_minutes(Minutes())


def being_a_set(s: RedisSortedSet[int], later: ScheduledSet[str], tasks: Tasks) -> None:
    assert_type(total(s), int)
    grow(s)
    wants_objects(later)
    wants_objects(tasks & {1})
    wants_order(s, s)
    assert_type(set(later), set[str])
    assert_type(sorted(s), list[int])
    assert_type(max(s), int)


def one_item(s: RedisSortedSet[int], names: SortedSet[str], tasks: Tasks) -> None:
    wants_float(s.add(1))
    wants_float(s.add(1, 2))
    names.add("ann", Fraction(1, 3))
    names.add("ann", score=Decimal(7), on_conflict="max")
    tasks.add(Task("mail", 1))
    assert_type(1 in s, bool)
    assert_type(s.discard(1), bool)
    assert_type(s.remove(1), None)
    assert_type(s.score(1), float | None)
    assert_type(s.rank(1, reverse=True), int | None)
    assert_type(s.add_and_rank(1, 2, on_conflict="max", reverse=True), int | None)
    assert_type(s.update_score(1, 2, on_conflict="max"), float | None)
    assert_type(s.replace(1, 2), float)
    assert_type(s.move(1, s, on_conflict="keep"), bool)
    assert_type(names.increment("ann", 2), float | None)


def many_items(s: RedisSortedSet[int], names: SortedSet[str], conflict: OnConflict) -> None:
    assert_type(s.update([1], {2}, range(3), s, (n for n in (4, 5))), None)
    s.update({True}, on_conflict=conflict)
    assert_type(s.add_scored({1: 0.5, 2: 3}, on_conflict=conflict), None)
    assert_type(names.add_scored(names.items()), None)
    assert_type(s.insert(1, 2), list[int])
    assert_type(names.insert(*names), list[str])
    assert_type(s.scores(1, 2), list[float | None])
    assert_type(len(s), int)
    assert_type(s.clear(), bool)


def in_order(s: RedisSortedSet[int], names: SortedSet[str]) -> None:
    for name in names:
        assert_type(name, str)
    assert_type(iter(s), Iterator[int])
    assert_type(reversed(names), Iterator[str])
    assert_type(s.items(), Iterator[tuple[int, float]])
    assert_type(dict(names.items()), dict[str, float])
    assert_type(s[0], int | None)
    assert_type(s[-3:], list[int])
    assert_type(s.remove_at(0), int)
    assert_type(s.remove_at(slice(0, 2)), int)
    del s[0], s[1:3]
    assert_type(names.index("ann"), int)
    assert_type(s.ranks(1, 2, reverse=True), list[int | None])
    assert_type(names[::2], list[str])
    assert_type(s.range(1, limit=5, inclusive=(True, False)), list[int])
    assert_type(s.count(max=0.5), int)
    assert_type(s.remove_range(1, 2), int)
    assert_type(names.random(), str | None)
    assert_type(names.sample(2), list[str])


def delivering(s: RedisSortedSet[int], tasks: Tasks, later: ScheduledSet[str]) -> None:
    assert_type(s.pop(), int | None)
    assert_type(s.pop(last=True), int | None)
    assert_type(s.pop(with_scores=True), tuple[int | None, float])
    assert_type(s.pop(with_scores=False), int | None)
    assert_type(tasks.take(2, with_scores=True), list[tuple[Task, float]])
    assert_type(tasks.peek(1, with_scores=True), tuple[Task | None, float])
    assert_type(s.range(limit=2, with_scores=True), list[tuple[int, float]])
    assert_type(s.sample(2, with_scores=True), list[tuple[int, float]])
    assert_type(s.take(3, last=True), list[int])
    assert_type(later.peek(last=True), str | None)
    assert_type(tasks.pop(timeout=None), Task | None)
    assert_type(s.take(3), list[int])
    assert_type(later.take(3, timeout=0.5), list[str])
    assert_type(tasks.peek(), Task | None)
    assert_type(tasks.peek(2), Task | None)
    assert_type(s.peek_score(), float | None)
    assert_type(later.available(), int)


def leasing(s: RedisSortedSet[int], tasks: Tasks) -> None:
    with tasks.lease(10, ttl=60, renew=True) as lease:
        assert_type(lease, Lease[Task])
        assert_type([task.priority for task in lease], list[int])
        assert_type(lease.deadline, float)
        lease.ack(lease[0])
        lease.release(delay=5)
    for number in s.consume(timeout=1):
        assert_type(number, int)
    assert_type(tasks.dead_items, Tasks)
    assert_type(s.requeue(1, 2), int)


def first_of_several(
    s: RedisSortedSet[int], t: RedisSortedSet[int], later: ScheduledSet[str]
) -> None:
    jobs = redset.FirstOf(s, t)
    assert_type(jobs, redset.FirstOf[int])
    assert_type(jobs.sets, tuple[RedisSortedSet[int], ...])
    assert_type(jobs.pop(timeout=None), tuple[RedisSortedSet[int], int | None])
    assert_type(jobs.pop(with_scores=True), tuple[RedisSortedSet[int], int | None, float])
    assert_type(jobs.take(3), list[tuple[RedisSortedSet[int], int]])
    assert_type(jobs.take(3, with_scores=True), list[tuple[RedisSortedSet[int], int, float]])
    with jobs.lease(10, ttl=60) as lease:
        assert_type(lease, Lease[int])
        assert_type(lease.source, RedisSortedSet[int])
    work = jobs.consume(on_error=lambda given, error: print(given[0].name, given[1] + 1, error))
    for source, number in work:
        assert_type(source, RedisSortedSet[int])
        assert_type(number, int)
        with work.attempt() as same:
            assert_type(same, redset.FirstConsumer[int])
    assert_type(redset.FirstOf(later).pop()[1], str | None)
    mixed = redset.FirstOf[Any](s, later)
    mixed.pop()[0].add("anything")


def operators(s: RedisSortedSet[int], names: SortedSet[str]) -> None:
    assert_type(s | s, RedisSortedSet[int])
    assert_type(s & s, RedisSortedSet[int])
    assert_type(s - s, RedisSortedSet[int])
    assert_type(s ^ s, RedisSortedSet[int])
    # With items of another type
    assert_type(s | names, RedisSortedSet[int | str])
    assert_type(names | s, RedisSortedSet[int | str])
    assert_type(s & names, RedisSortedSet[int])
    assert_type(names & s, SortedSet[str])
    assert_type(s - names, RedisSortedSet[int])
    assert_type(names - s, SortedSet[str])
    assert_type(s ^ names, RedisSortedSet[int | str])
    assert_type((s | names) & names, RedisSortedSet[int | str])


def operators_of_classes(tasks: Tasks, log: TimeSortedSet[str], later: ScheduledSet[str]) -> None:
    assert_type(tasks | tasks, Tasks)
    assert_type(tasks ^ {Task("mail", 1)}, Tasks)
    assert_type(tasks & {1}, Tasks)
    assert_type(tasks | {1}, RedisSortedSet[Task | int])
    assert_type(log | later, TimeSortedSet[str])
    assert_type(later | log, ScheduledSet[str])
    assert_type((later - log).available(), int)
    with later & log as both:
        assert_type(both, ScheduledSet[str])


def operators_with_builtin_sets(
    s: RedisSortedSet[int], words: set[str], fixed: frozenset[int], keys: KeysView[str]
) -> None:
    assert_type(s | {1}, RedisSortedSet[int])
    assert_type(s | fixed, RedisSortedSet[int])
    assert_type(s | set(), RedisSortedSet[int])
    assert_type(s | words, RedisSortedSet[int | str])
    assert_type(s | keys, RedisSortedSet[int | str])
    assert_type(s & words, RedisSortedSet[int])
    assert_type(s - keys, RedisSortedSet[int])
    assert_type(s ^ fixed, RedisSortedSet[int])
    assert_type(s ^ words, RedisSortedSet[int | str])


def reflected_operators(
    s: RedisSortedSet[int], words: set[str], fixed: frozenset[str], keys: KeysView[str]
) -> None:
    assert_type({1} | s, set[int])
    assert_type({1} & s, set[int])
    assert_type({1} - s, set[int])
    assert_type({1} ^ s, set[int])
    assert_type(words | s, set[str | int])
    assert_type(words & s, set[str])
    assert_type(words - s, set[str])
    assert_type(words ^ s, set[str | int])
    assert_type(fixed | s, frozenset[str | int])
    assert_type(fixed & s, frozenset[str])
    assert_type(fixed - s, frozenset[str])
    assert_type(fixed ^ s, frozenset[str | int])
    assert_type(keys | s, set[str | int])


def reflected_operators_of_any_set(s: RedisSortedSet[int], texts: AbstractSet[str]) -> None:
    assert_type(texts | s, AbstractSet[str | int])
    assert_type(texts & s, AbstractSet[str])
    assert_type(texts - s, AbstractSet[str])
    assert_type(texts ^ s, AbstractSet[str | int])


def operators_in_place(
    s: RedisSortedSet[int], later: ScheduledSet[str], words: set[str], numbers: set[int]
) -> None:
    s |= {1}
    s |= s
    s &= words
    s &= {1}
    s -= words
    s ^= numbers
    assert_type(s, RedisSortedSet[int])
    later |= words
    later -= numbers
    assert_type(later, ScheduledSet[str])
    numbers |= s
    numbers &= s
    assert_type(numbers, set[int])


def methods_of_sets(s: RedisSortedSet[int], names: SortedSet[str], conflict: OnConflict) -> None:
    assert_type(s.union(), RedisSortedSet[int])
    assert_type(s.union([1], {2}, s), RedisSortedSet[int])
    assert_type(s.union(["a"]), RedisSortedSet[int | str])
    assert_type(s.union(names, on_conflict="sum", weights=[1, 0.5]), RedisSortedSet[int | str])
    assert_type(names.union(names, into="all", on_conflict=conflict), SortedSet[str])
    assert_type(s.intersection(["a"], names, into=b"both"), RedisSortedSet[int])
    assert_type(names.intersection(s, on_conflict="min", weights=(1, 2)), SortedSet[str])
    assert_type(names.difference([1], s, into="left"), SortedSet[str])
    assert_type(names.symmetric_difference(["a"]), SortedSet[str])
    assert_type(s.symmetric_difference(names, into="one"), RedisSortedSet[int | str])
    assert_type(names.copy(), SortedSet[str])
    assert_type(names.copy(into="kept"), SortedSet[str])
    assert_type(s.intersection_update([1], names, on_conflict="replace"), None)
    assert_type(s.difference_update(names), None)
    assert_type(s.symmetric_difference_update([1]), None)
    assert_type(names.rename("others"), None)
    assert_type(names.expire(9.5), bool)
    assert_type(names.expire(9), bool)
    assert_type(names.persist(), bool)
    assert_type(names.ttl(), float | None)
    assert_type(names.name, str)


def comparisons(s: RedisSortedSet[int], names: SortedSet[str]) -> None:
    assert_type(s == {1}, bool)
    assert_type(s != names, bool)
    assert_type(s < {1}, bool)
    assert_type(s <= names, bool)
    assert_type(s > names, bool)
    assert_type({1} >= s, bool)
    assert_type(s.issubset([1]), bool)
    assert_type(s.issuperset(names), bool)
    assert_type(s.isdisjoint("ab"), bool)
    assert_type(s.union_count(names, [1]), int)
    assert_type(s.intersection_count(names, limit=5), int)
    assert_type(s.difference_count([1]), int)


def readings(s: RedisSortedSet[int], names: SortedSet[str], conflict: OnConflict) -> None:
    assert_type(s.read_union([1], {2}, limit=3), list[int])
    assert_type(s.read_union(names, on_conflict=conflict, reverse=True), list[int | str])
    pairs = s.read_union(names, on_conflict="sum", weights=[1, 0.5], with_scores=True)
    assert_type(pairs, list[tuple[int | str, float]])
    assert_type(s.read_intersection(names, ["a"], weights=(1, 2, 3), on_conflict="min"), list[int])
    assert_type(names.read_intersection([1], with_scores=True), list[tuple[str, float]])
    assert_type(s.read_difference(names, limit=2, with_scores=False), list[int])
    assert_type(s.read_difference(names, with_scores=True), list[tuple[int, float]])
    assert_type(s.read_symmetric_difference(names), list[int | str])
    assert_type(s.read_symmetric_difference([1], with_scores=True), list[tuple[int, float]])


def locks(s: RedisSortedSet[int], client: redis.Redis) -> None:
    assert_type(s.key, bytes)
    assert_type(RedisSortedSet[int](client, s.key), RedisSortedSet[int])
    assert_type(s.lock, Lock)
    with s.lock as lock:
        assert_type(lock, Lock)
    with Lock(client, "report", expires=60, timeout=0.5) as report:
        assert_type(report, Lock)
    if report.acquire():
        assert_type(report.release(), bool)


def durable(client: redis.Redis, later: redis.asyncio.Redis) -> None:
    option = redset.Durable(replicas=1, disk=True, timeout=0.5)
    assert_type(option.timeout, float)
    jobs = RedisSortedSet[int](client, "jobs", durable=option)
    ScheduledSet(client, "jobs", durable=redset.Durable(disk=True))
    TimeSortedSet(client, "jobs", durable=None)
    redset.asyncio.SortedSet(later, "jobs", durable=redset.asyncio.Durable(replicas=2))
    try:
        jobs.pop()
    except redset.NotDurable as error:
        assert_type(error.replicas, int)
        assert_type(error.wanted, int)
        assert_type(error.disk, bool | None)
        assert_type(error.result, Any)
