"""Each promise of the redset 0.4 documentation, in the order in which that document makes them."""

import inspect
import json
import logging
import pickle
import time
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis
import redis.asyncio

import redset
import redset.asyncio
import redset.exceptions
import redset.interfaces
import redset.locks
import redset.serializers
import redset.sets
from redset import ScheduledSet, SortedSet, TimeSortedSet
from redset.serializers import NamedtupleSerializer
from tests.server.conftest import MakeClient

Task = namedtuple("Task", "foo,bar,priority")

SETS: list[type[SortedSet[Any]]] = [SortedSet, TimeSortedSet, ScheduledSet]


class StopDaemonError(Exception):
    """Ends a loop that the documentation lets run for ever."""


class DumpsOnly:
    @staticmethod
    def dumps(item: object) -> str:
        return f"<{item}>"


class LoadsOnly:
    @staticmethod
    def loads(text: str) -> str:
        return text.upper()


def positional(function: Any) -> dict[str, Any]:
    """The arguments that can be given by position, with their defaults."""
    return {
        parameter.name: parameter.default
        for parameter in inspect.signature(function).parameters.values()
        if parameter.kind is parameter.POSITIONAL_OR_KEYWORD and parameter.name != "self"
    }


def fill_with_a_broken_member(client: redis.Redis, name: str) -> SortedSet[Any]:
    """A set of JSON documents, the first member of which is none."""
    documents = SortedSet[Any](client, name, serializer=json)
    documents.add({"good": 1}, score=2)
    client.zadd(name, {b"\xff{": 1})
    return documents


# Introduction


def test_quick_example_runs_as_written(
    client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis, "Redis", lambda: client)

    ss = TimeSortedSet[Any](redis.Redis(), "json_biz", serializer=json)
    assert ss.add({"foo": "barl"}, score=123) == 123
    assert {"foo": "barl"} in ss
    assert ss.score({"foo": "barl"}) == 123
    assert ss.pop() == {"foo": "barl"}


def test_items_are_unique(client: redis.Redis) -> None:
    ss = SortedSet[str](client, "unique")
    ss.add("a")
    ss.add("a", score=5)
    assert list(ss) == ["a"]


def test_task_system_runs_as_written(client: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis, "Redis", lambda: client)
    done: list[Any] = []
    do_work_on_task = done.append

    def sleep(_seconds: float) -> None:
        raise StopDaemonError

    task_set = redset.SortedSet[Any](
        redis.Redis(),
        "tasks",
        scorer=lambda task: task.priority,
        serializer=NamedtupleSerializer(Task),
    )
    task_set.add(Task("yo", "baz", 1))
    task_set.add(Task("hey", "roar", 0))

    def process_tasks() -> None:
        while True:
            for task in task_set.take(10):
                do_work_on_task(task)
            sleep(1)

    with pytest.raises(StopDaemonError):
        process_tasks()
    assert done == [Task("hey", "roar", 0), Task("yo", "baz", 1)]
    assert all(type(task) is Task for task in done)


# SortedSet


def test_items_are_stored_and_returned_as_str(client: redis.Redis) -> None:
    ss: SortedSet[Any] = SortedSet(client, "texts")
    ss.update([1, "a", None])
    assert list(ss) == ["1", "None", "a"]
    assert client.zscore("texts", "1") == 0


def test_scores_default_to_zero(client: redis.Redis) -> None:
    ss = SortedSet[str](client, "zero")
    assert ss.add("a") == 0
    assert ss.score("a") == 0


def test_the_set_is_a_redis_sorted_set_under_its_name(client: redis.Redis) -> None:
    ss = SortedSet[str](client, "plain")
    ss.add("a", score=7)
    assert ss.name == "plain"
    assert client.type("plain") in (b"zset", "zset")
    assert client.zscore("plain", "a") == 7


@pytest.mark.parametrize("kind", SETS)
def test_init_takes_the_documented_arguments_by_position(
    client: redis.Redis, kind: type[SortedSet[Any]]
) -> None:
    assert positional(kind) == {
        "redis_client": inspect.Parameter.empty,
        "name": inspect.Parameter.empty,
        "scorer": None,
        "serializer": None,
        "lock_timeout": None,
        "lock_expires": None,
    }
    ss = kind(client, "positions", len, json, 3, 4)
    assert ss.name == "positions"
    assert ss.add("four") == 4
    assert client.zscore("positions", '"four"') == 4
    assert (ss.lock.timeout, ss.lock.expires) == (3, 4)


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("add", {"item": inspect.Parameter.empty, "score": None}),
        ("clear", {}),
        ("discard", {"item": inspect.Parameter.empty}),
        ("peek", {"position": 0}),
        ("peek_score", {}),
        ("pop", {}),
        ("score", {"item": inspect.Parameter.empty}),
        ("take", {"num": inspect.Parameter.empty}),
    ],
)
def test_methods_take_the_documented_arguments_by_position(
    method: str, arguments: dict[str, Any]
) -> None:
    assert positional(getattr(SortedSet, method)) == arguments


def test_scorer_gives_the_score_of_an_item(client: redis.Redis) -> None:
    ss = SortedSet[str](client, "scored", scorer=len)
    assert ss.add("four") == 4
    assert ss.add("to") == 2
    assert [ss.pop(), ss.pop()] == ["to", "four"]


def test_serializer_packs_and_unpacks_items(client: redis.Redis) -> None:
    ss = SortedSet[Any](client, "packed", serializer=json)
    ss.add(True)
    assert client.zscore("packed", "true") == 0
    assert ss.peek() is True


def test_lock_limits_default_to_those_of_lock(client: redis.Redis) -> None:
    lock, own = redset.locks.Lock(client, "any"), SortedSet[str](client, "locked").lock
    assert (own.timeout, own.expires) == (lock.timeout, lock.expires)


def test_lock_raises_lock_timeout_after_the_sets_lock_timeout(client: redis.Redis) -> None:
    ss = SortedSet[str](client, "locked", lock_timeout=0, lock_expires=30)
    with ss.lock, pytest.raises(redset.exceptions.LockTimeout, match="locked"), ss.lock:
        pass


def test_len_counts_the_values(client: redis.Redis) -> None:
    ss = SortedSet[str](client, "counted")
    assert len(ss) == 0
    ss.update(["a", "b", "b"])
    assert len(ss) == 2


def test_contains_tells_whether_an_item_is_there(client: redis.Redis) -> None:
    ss = SortedSet[str](client, "contained")
    ss.add("a")
    assert "a" in ss
    assert "b" not in ss


def test_add_returns_the_score_the_item_was_added_with(client: redis.Redis) -> None:
    ss = SortedSet[str](client, "added", scorer=lambda _item: 9)
    assert ss.add("asked") == 9
    assert ss.add("given", 2.5) == 2.5
    assert ss.add("named", score=0) == 0
    assert [ss.score(item) for item in ("asked", "given", "named")] == [9, 2.5, 0]


def test_add_of_an_item_that_is_there_updates_its_score(client: redis.Redis) -> None:
    ss = SortedSet[str](client, "updated")
    ss.add("a", score=1)
    assert ss.add("a", score=-3) == -3
    assert list(ss.items()) == [("a", -3)]


def test_clear_empties_the_set_and_returns_a_bool(client: redis.Redis) -> None:
    ss = SortedSet[str](client, "cleared")
    ss.update("abc")
    assert ss.clear() is True
    assert len(ss) == 0
    assert ss.clear() is False


def test_discard_returns_whether_it_removed_the_item(client: redis.Redis) -> None:
    ss = SortedSet[str](client, "discarded")
    ss.add("a")
    assert ss.discard("a") is True
    assert "a" not in ss
    assert ss.discard("a") is False


def test_peek_returns_the_next_item_and_leaves_it(client: redis.Redis) -> None:
    ss = SortedSet[str](client, "peeked")
    ss.add("second", score=2)
    ss.add("first", score=1)
    assert ss.peek() == "first"
    assert ss.peek(position=1) == "second"
    assert len(ss) == 2


def test_peek_of_an_empty_set_raises_key_error(client: redis.Redis) -> None:
    with pytest.raises(KeyError):
        SortedSet[str](client, "nothing").peek()


def test_peek_score_is_the_score_of_the_next_item(client: redis.Redis) -> None:
    ss = SortedSet[str](client, "peeked")
    ss.add("second", score=2)
    ss.add("first", score=-1)
    assert ss.peek_score() == -1
    assert len(ss) == 2


def test_pop_removes_and_returns_the_lowest_score_first(client: redis.Redis) -> None:
    ss = SortedSet[str](client, "popped")
    ss.add("second", score=2)
    ss.add("first", score=1)
    assert ss.pop() == "first"
    assert list(ss) == ["second"]


def test_pop_of_an_empty_set_raises_key_error(client: redis.Redis) -> None:
    with pytest.raises(KeyError):
        SortedSet[str](client, "nothing").pop()


def test_pop_hands_each_item_to_one_taker(client: redis.Redis) -> None:
    ss = SortedSet[str](client, "shared")
    items = {str(number) for number in range(200)}
    ss.update(items)
    with ThreadPoolExecutor(4) as pool:
        popped = list(pool.map(lambda _: ss.pop(), items))
    assert sorted(item or "" for item in popped) == sorted(items)


def test_pop_of_a_broken_member_gives_none_and_logs_the_exception(
    client: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    ss = fill_with_a_broken_member(client, "broken")
    assert ss.pop() is None
    assert len(ss) == 1
    [record] = caplog.records
    assert record.levelno == logging.ERROR
    assert "broken" in record.getMessage()
    assert "JSONDecodeError: " in record.getMessage()
    assert ss.pop() == {"good": 1}


def test_bytes_of_a_broken_member_are_kept_in_a_companion_set(
    client: redis.Redis, make_client: MakeClient
) -> None:
    ss = fill_with_a_broken_member(client, "broken")
    ss.take(10)
    plain = make_client(decode_responses=False)
    assert plain.zrange("{broken}:undecodable", 0, -1) == [b"\xff{"]
    assert plain.zscore("{broken}:undecodable", b"\xff{") == 1
    ss.add({"good": 2})
    ss.clear()
    assert plain.exists("{broken}:undecodable") == 0


def test_score_is_a_number_or_none(client: redis.Redis) -> None:
    ss = SortedSet[str](client, "scores")
    ss.add("a", score=0)
    assert ss.score("a") == 0
    assert ss.score("b") is None


def test_take_returns_at_most_num_items_lowest_scores_first(client: redis.Redis) -> None:
    ss = SortedSet[str](client, "taken", scorer=len)
    ss.update(["ccc", "a", "bb"])
    assert ss.take(2) == ["a", "bb"]
    assert ss.take(2) == ["ccc"]
    assert ss.take(2) == []


@pytest.mark.parametrize("num", [0, -1])
def test_take_of_fewer_than_one_gives_an_empty_list(client: redis.Redis, num: int) -> None:
    ss = SortedSet[str](client, "taken")
    ss.add("a")
    assert ss.take(num) == []
    assert len(ss) == 1


def test_take_leaves_out_what_cannot_be_deserialized_and_logs_it(
    client: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    ss = fill_with_a_broken_member(client, "broken")
    assert ss.take(10) == [{"good": 1}]
    assert len(ss) == 0
    assert ["JSONDecodeError: " in message for message in caplog.messages] == [True]


def test_take_keeps_items_that_are_false(client: redis.Redis) -> None:
    ss = SortedSet[Any](client, "falsy", serializer=json)
    ss.update([0, "", False, []])
    assert len(ss.take(10)) == 4


def test_serializer_without_loads_falls_back_to_str(client: redis.Redis) -> None:
    dumps_only: Any = DumpsOnly()
    ss = SortedSet[Any](client, "one-way", serializer=dumps_only)
    ss.add(1)
    assert ss.pop() == "<1>"


def test_serializer_without_dumps_falls_back_to_str(client: redis.Redis) -> None:
    ss = SortedSet[Any](client, "one-way", serializer=LoadsOnly())
    ss.update([1, "a"])
    assert client.zscore("one-way", "1") == 0
    assert ss.take(2) == ["1", "A"]


@pytest.mark.parametrize("kind", [SortedSet, TimeSortedSet, ScheduledSet])
@pytest.mark.parametrize(
    "serializer", [object(), object, [json], 0], ids=["object", "class", "list", "0"]
)
def test_serializer_without_both_falls_back_to_str_with_a_warning(
    client: redis.Redis, kind: Any, serializer: Any
) -> None:
    with pytest.warns(UserWarning, match=r"redset 'neither': serializer has neither") as warned:
        ss = kind(client, "neither", serializer=serializer)
    assert [each.filename for each in warned] == [__file__]
    ss.update([1, "a", "\ud800"])
    sent = pickle.loads(pickle.dumps(ss))  # which warns no more
    plain = SortedSet[Any](client, "neither")
    assert sorted(sent) == sorted(plain) == ["1", "a", "\ud800"]
    assert plain == ss
    assert ss.take(3) == ["1", "a", "\ud800"]


def test_serializer_without_both_falls_back_to_str_on_the_asyncio_surface() -> None:
    neither: Any = object()
    with pytest.warns(UserWarning, match=r"redset 'neither': serializer has neither"):
        ss = redset.asyncio.SortedSet[Any](redis.asyncio.Redis(), "neither", serializer=neither)
    assert type(ss._runner.config.encoding.serializer) is redset.serializers.TextSerializer


# TimeSortedSet and ScheduledSet


def test_classes_derive_as_documented() -> None:
    assert TimeSortedSet.__mro__[1] is redset.sets.SortedSet
    assert ScheduledSet.__mro__[1] is redset.sets.TimeSortedSet


@pytest.mark.parametrize("kind", [TimeSortedSet, ScheduledSet])
def test_default_score_is_the_current_time(
    client: redis.Redis, kind: type[TimeSortedSet[str]]
) -> None:
    assert kind(client, "clocked", clock=lambda: 1_700_000_000.5).add("a") == 1_700_000_000.5
    before = time.time()
    score = kind(client, "clocked").add("a")
    # A time that was given out already moves up, by far less than this.
    assert before <= score <= time.time() + 0.1


@pytest.mark.parametrize("kind", [TimeSortedSet, ScheduledSet])
def test_time_sorted_sets_are_first_in_first_out(
    client: redis.Redis, kind: type[TimeSortedSet[str]]
) -> None:
    ss = kind(client, "fifo", clock=lambda: 100.0)
    items = [str(number) for number in range(50, 0, -1)]
    for item in items:
        ss.add(item)
    assert ss.take(50) == items


def test_scheduled_set_returns_only_items_that_are_due(client: redis.Redis) -> None:
    now = 100.0
    ss = ScheduledSet[str](client, "scheduled", clock=lambda: now)
    ss.add("later", score=160)
    assert (ss.available(), ss.take(10), ss.peek_score()) == (0, [], None)
    with pytest.raises(KeyError):
        ss.pop()
    with pytest.raises(KeyError):
        ss.peek()
    ss.add("due", score=100)
    assert (ss.available(), ss.peek(), ss.peek_score(), ss.pop()) == (1, "due", 100, "due")
    now = 160.0
    assert ss.pop() == "later"


def test_scheduled_set_goes_by_time_time(client: redis.Redis) -> None:
    ss = ScheduledSet[str](client, "scheduled")
    ss.add("later", score=time.time() + 3600)
    ss.add("due", score=time.time() - 3600)
    assert ss.take(10) == ["due"]
    assert "later" in ss


# Interfaces, serializers, locks


def test_serializer_need_not_subclass_the_interface(client: redis.Redis) -> None:
    class Reversed:
        def dumps(self, obj: str) -> str:
            return obj[::-1]

        def loads(self, str_from_redis: str) -> str:
            assert type(str_from_redis) is str
            return str_from_redis[::-1]

    ss = SortedSet[str](client, "reversed", serializer=Reversed())
    ss.add("abc")
    assert client.zscore("reversed", "cba") == 0
    assert ss.pop() == "abc"


def test_serializer_interface_has_dumps_and_loads() -> None:
    assert callable(redset.interfaces.Serializer.dumps)
    assert callable(redset.interfaces.Serializer.loads)


def test_serializer_interface_can_be_subclassed(client: redis.Redis) -> None:
    class Swapped(redset.interfaces.Serializer[str]):
        def dumps(self, obj: str, /) -> str:
            return obj.swapcase()

        def loads(self, str_from_redis: str | bytes, /) -> str:
            assert isinstance(str_from_redis, str)
            return str_from_redis.swapcase()

    ss = SortedSet[str](client, "swapped", serializer=Swapped())
    ss.add("aB")
    assert ss.pop() == "aB"


def test_namedtuple_serializer_gives_back_the_class_it_was_made_with() -> None:
    serializer = redset.serializers.NamedtupleSerializer(Task)
    task = Task("yo", "baz", 1)
    member = serializer.dumps(task)
    loaded = serializer.loads(member)
    assert loaded == task
    assert type(loaded) is Task


def test_lock_keeps_others_out_and_takes_the_documented_limits(client: redis.Redis) -> None:
    first = redset.locks.Lock(client, "alone", expires=30, timeout=0)
    second = redset.locks.Lock(client, "alone", expires=30, timeout=0)
    with first, pytest.raises(redset.exceptions.LockTimeout), second:
        pass
    with second:
        pass


def test_lock_timeout_is_one_class_at_both_paths() -> None:
    assert redset.locks.LockTimeout is redset.exceptions.LockTimeout
