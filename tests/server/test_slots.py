"""Handles of one set over one client share the slots of their calls, and so what these leave."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis

from redset import RedisSortedSet, ScheduledSet, SortedSet
from tests.proxy import LossyProxy
from tests.server.conftest import MakeClient
from tests.server.test_lost_replies import behind, connection_error, loaded
from tests.servers import TestServer

Jobs = RedisSortedSet[Any]


def jobs_of(client: redis.Redis, name: str = "jobs") -> Jobs:
    return RedisSortedSet(client, name)


def given(client: redis.Redis, name: str = "jobs") -> list[Any]:
    """The reply keys of a set."""
    return list(client.keys(f"{{{name}}}:given:*"))


def finish(jobs: Jobs) -> None:
    with jobs.lease(1):
        pass


def release(jobs: Jobs) -> None:
    with jobs.consume(timeout=0) as work:
        next(work)


CALLS: dict[str, tuple[Callable[[Jobs], Any], int]] = {
    "pop": (lambda jobs: jobs.pop(), 1),
    "take": (lambda jobs: jobs.take(2), 1),
    "insert": (lambda jobs: jobs.insert("new"), 1),
    "lease": (finish, 2),  # and to acknowledge
    "consume": (release, 2),
    "into": (lambda jobs: jobs.copy(into="{jobs}2"), 1),
    "in place": (lambda jobs: jobs.intersection_update(jobs), 1),
}


@pytest.mark.parametrize(("call", "keys"), CALLS.values(), ids=CALLS)
def test_handle_for_each_call_leaves_as_many_keys_as_one_handle(
    client: redis.Redis, call: Callable[[Jobs], Any], keys: int
) -> None:
    jobs_of(client).update(range(200))
    for _ in range(50):
        call(jobs_of(client))
    assert len(given(client)) == keys


def test_handles_of_many_threads_leave_a_key_for_each_call_at_once(client: redis.Redis) -> None:
    jobs_of(client).update(range(400))
    threads = 4

    def pop(_number: int) -> Any:
        return jobs_of(client).pop()

    with ThreadPoolExecutor(threads) as pool:
        found = list(pool.map(pop, range(400)))
    assert sorted(found) == list(range(400))
    assert len(given(client)) <= threads


def test_sets_and_clients_share_no_slot(client: redis.Redis, make_client: MakeClient) -> None:
    twin = make_client()
    for name in ("jobs", "others"):
        jobs_of(client, name).update(range(9))
        jobs_of(client, name).pop()
        jobs_of(twin, name).pop()
        assert len(given(client, name)) == 2


@pytest.fixture
def failing(client: redis.Redis, server: TestServer, make_client: MakeClient) -> Any:
    """A client without retries that has lost the reply of a pop, of the item "0"."""
    with LossyProxy(*server.ports) as proxy:
        lossy = behind(proxy, make_client, client, 0)
        jobs: SortedSet[str] = SortedSet(lossy, "jobs", float)
        jobs.update(map(str, range(3)))
        loaded(client)
        proxy.lose("EVAL", 1)
        with pytest.raises(connection_error(client)):
            jobs.pop()
        yield lossy


def test_pop_that_failed_is_repeated_by_the_next_handle(failing: redis.Redis) -> None:
    assert [SortedSet[str](failing, "jobs").pop() for _ in range(3)] == ["0", "1", "2"]


def test_clear_of_any_handle_forgets_what_a_call_was_given(
    client: redis.Redis, failing: redis.Redis
) -> None:
    SortedSet[str](failing, "jobs").clear()
    assert given(client) == []
    with pytest.raises(KeyError):
        SortedSet[str](failing, "jobs").pop()


def test_scheduled_handle_is_not_given_what_a_plain_one_took(failing: redis.Redis) -> None:
    due: ScheduledSet[str] = ScheduledSet(failing, "jobs", clock=lambda: -1.0)
    assert due.take(3) == []
    assert SortedSet[str](failing, "jobs").pop() == "0"


def test_large_item_is_kept_once_after_its_delivery(client: redis.Redis) -> None:
    size = 1 << 20
    jobs = jobs_of(client)
    for end in (Jobs.pop, finish, lambda jobs: list(jobs.consume(timeout=0))):
        client.flushall()
        item = "x" * size
        assert jobs.insert(item) == [item]
        end(jobs)
        kept = sum(client.memory_usage(key) or 0 for key in client.keys("*"))
        assert kept < 1.5 * size


def test_insert_repeated_tells_of_large_items_again(
    client: redis.Redis, server: TestServer, make_client: MakeClient
) -> None:
    items = ["x" * 39, "y" * 40, "z" * 5_000, "short"]
    with LossyProxy(*server.ports) as proxy:
        jobs = jobs_of(behind(proxy, make_client, client, 0))
        loaded(client)
        proxy.lose("EVAL", 1)
        with pytest.raises(connection_error(client)):
            jobs.insert(*items[:3])
        assert jobs.insert(*items) == items
        assert jobs.insert(*items) == []
