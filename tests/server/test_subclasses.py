"""Subclasses of the sets: what they add is there in results, and in handles that were sent."""

import asyncio
import pickle
from collections import Counter, defaultdict, deque
from functools import cached_property
from typing import Any

import pytest
import redis
import redis.asyncio

import redset
import redset.asyncio
from redset import base
from redset.codecs import JSONSerializer
from tests.server.conftest import name_beside
from tests.servers import TestServer


def by_length(item: Any) -> float:
    return len(item)


class Tags:
    """An ``__init__`` of its own, attributes and slots."""

    def __init__(self, client: Any, *, team: str) -> None:
        self.team = team
        self.seen = [team]
        self.counts = {"a": [1]}
        super().__init__(client, f"tags-{team}", by_length, JSONSerializer())  # type: ignore[call-arg]
        self.colour = "red"
        self.__private = "mine"
        self.client = client

    @property
    def private(self) -> str:
        return self.__private


class Tagged(Tags, redset.RedisSortedSet[Any]):
    __slots__ = ("__private", "colour", "unset")


class AsyncTagged(Tags, redset.asyncio.RedisSortedSet[Any]):
    __slots__ = ("__private", "colour", "unset")


class Stateful(redset.SortedSet[Any]):
    """Says itself what travels, as any class may."""

    def __init__(self, client: Any) -> None:
        super().__init__(client, "stateful")
        self.cache = {"big": object()}

    def __getstate__(self) -> dict[str, Any]:
        return {"version": 1}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.version, self.cache = state["version"], {}


class Positional(redset.TimeSortedSet[Any]):
    def __new__(cls, _client: Any, _number: int) -> "Positional":
        return super().__new__(cls)

    def __init__(self, client: Any, number: int) -> None:
        super().__init__(client, f"set-{number}")


class Cached:
    @cached_property
    def label(self) -> str:
        return f"the set {self.name}"  # type: ignore[attr-defined]


class CachedSet(Cached, redset.RedisSortedSet[Any]):
    pass


class AsyncCachedSet(Cached, redset.asyncio.RedisSortedSet[Any]):
    pass


def check_added(handle: Any, origin: Any) -> None:
    """Check that *handle* has what `Tags` adds to *origin*."""
    assert type(handle) is type(origin)
    assert (handle.team, handle.colour, handle.private) == ("red", "red", "mine")
    assert (handle.seen, handle.counts) == (origin.seen, origin.counts)
    assert not hasattr(handle, "unset")
    assert type(handle._runner.config.encoding.serializer) is JSONSerializer
    assert handle._runner.config.scorer is by_length


def check_apart(handle: Any, origin: Any) -> None:
    """Check that *handle* shares no container with *origin*, but other objects."""
    handle.seen.append("new")
    handle.counts["new"] = []
    assert origin.seen == ["red"]
    assert list(origin.counts) == ["a"]
    assert handle.client is origin.client


def sent(handle: Any) -> Any:
    client, handle.client = handle.client, None
    try:
        return pickle.loads(pickle.dumps(handle))
    finally:
        handle.client = client


def test_results_have_what_a_subclass_added_and_share_no_container(client: redis.Redis) -> None:
    tags = Tagged(client, team="red")
    tags.update(["a", "bcd"])
    made = [
        *(tags | {"x"}, tags & tags, tags - {"x"}, tags ^ set(), tags.copy()),
        *(tags.union(["y"], into=name_beside(tags.key)), tags.dead_items),
    ]
    for result in [*made, made[0] | {"z"}]:
        check_added(result, tags)
        check_apart(result, tags)
        assert result.add("four") == 4


def test_a_cached_property_of_a_result_is_its_own(client: redis.Redis) -> None:
    tags = CachedSet(client, "tags")
    assert tags.label == "the set tags"
    for made in (tags | {"a"}, tags.copy(), tags.dead_items):
        assert made.label == f"the set {made.name}"
    assert tags.label == "the set tags"
    asynchronous = AsyncCachedSet(redis.asyncio.Redis(), "tags")
    assert asynchronous.label == "the set tags"
    assert asynchronous.dead_items.label == "the set {tags}:dead"


def test_a_sent_handle_has_what_a_subclass_added(client: redis.Redis) -> None:
    tags = Tagged(client, team="red")
    tags.add("abc")
    for handle in (tags, tags | {"x"}, tags.dead_items):
        copy = sent(handle)
        check_added(copy, tags)
        assert copy.name == handle.name
        assert sorted(copy) == sorted(handle)
        assert copy.add("four") == 4
        assert copy.client is None


def test_a_subclass_may_say_what_travels(client: redis.Redis) -> None:
    copy = sent_as_it_is(Stateful(client))
    assert (copy.version, copy.cache, copy.name) == (1, {}, "stateful")


def test_neither_new_nor_init_of_a_subclass_is_called_again(client: redis.Redis) -> None:
    first = Positional(client, 7)
    first.add("a")
    result = first | {"b"}
    for handle in (result, sent_as_it_is(first), sent_as_it_is(result)):
        assert type(handle) is Positional
        assert "a" in handle


def sent_as_it_is(handle: Any) -> Any:
    return pickle.loads(pickle.dumps(handle))


@pytest.mark.parametrize(
    "container",
    [[1], {1: 2}, {1}, bytearray(b"a"), deque([1], 5), defaultdict(int, a=1), Counter("a")],
    ids=lambda container: type(container).__name__,
)
def test_a_result_has_a_container_of_its_own_of_the_same_type(
    client: redis.Redis, container: Any
) -> None:
    tags = Tagged(client, team="red")
    tags.container = container  # type: ignore[attr-defined]
    result: Any = tags | {"a"}
    assert result.container == container
    assert type(result.container) is type(container)
    assert result.container is not container


def test_an_attribute_that_refers_to_the_set_does_so_when_it_was_sent(client: redis.Redis) -> None:
    tags = Tagged(client, team="red")
    tags.client = tags
    copy = sent_as_it_is(tags)
    assert copy.client is copy


@pytest.mark.parametrize(
    "kind", [redset.RedisSortedSet, redset.SortedSet, redset.TimeSortedSet, redset.ScheduledSet]
)
def test_a_set_of_redsets_own_has_no_state_of_a_subclass(client: redis.Redis, kind: Any) -> None:
    handle = kind[int](client, "jobs")
    handle.add(1)
    assert handle.lock is handle.lock
    for made in (handle, handle | {2}, handle.dead_items):
        assert set(vars(made)) <= base._ATTRIBUTES
        assert made.__getstate__() is None


def test_on_the_asyncio_surface_likewise(client: redis.Redis, server: TestServer) -> None:
    async def main() -> None:
        async with redis.asyncio.Redis(unix_socket_path=server.unix_socket) as asynchronous:
            tags = AsyncTagged(asynchronous, team="red")
            assert set(vars(redset.asyncio.SortedSet[str](asynchronous, "a"))) <= base._ATTRIBUTES
            await tags.add("abc")
            async with tags.union(["x"]) as result, await tags.union(["x"]) as other:
                check_added(result, tags)
                check_apart(result, tags)
                for handle in (tags, other, tags.dead_items):
                    copy = sent(handle)
                    check_added(copy, tags)
                    assert copy._runner.pipelining
                    assert {item async for item in copy} == {item async for item in handle}
                    await copy._runner.client.connection_pool.disconnect()

    asyncio.run(main())
