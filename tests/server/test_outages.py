"""Consumers that wait while their server is away for a moment."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import redis
import redis.asyncio

import redset.asyncio
from redset import FirstOf, SortedSet
from redset._plans import waiting
from tests.server.conftest import until
from tests.servers import TestServer

NAME = "jobs"
wait_for = partial(until, timeout=30.0)


@pytest.fixture
def away() -> Iterator[TestServer]:
    """A server of this test's own, which may be killed and started again."""
    with TestServer.start("valkey-9.1") as found:
        yield found


def listeners(server: TestServer) -> int:
    with redis.Redis(port=server.port, decode_responses=True) as client:
        channels: Any = client.pubsub_numsub("__redis__:invalidate")
    return int(dict(channels)["__redis__:invalidate"])


def take(jobs: SortedSet) -> Any:
    return jobs.take(1, timeout=60)


def pop(jobs: SortedSet) -> Any:
    return [jobs.pop(timeout=60)]


def lease(jobs: SortedSet) -> Any:
    with jobs.lease(timeout=60) as batch:
        return list(batch)


def consume(jobs: SortedSet) -> Any:
    for job in jobs.consume(timeout=60):
        return [job]
    return []


def of_several(jobs: SortedSet) -> Any:
    urgent = SortedSet(jobs._runner.client, "urgent")
    return [item for _, item in [FirstOf(urgent, jobs).pop(timeout=60)]]


WAYS = [take, pop, lease, consume, of_several]


@pytest.mark.parametrize("way", WAYS)
def test_a_wait_goes_on_when_the_server_is_back(
    away: TestServer, way: Callable[[SortedSet], Any], caplog: pytest.LogCaptureFixture
) -> None:
    client = redis.Redis(port=away.port)
    jobs, found = SortedSet(client, NAME), list[str]()
    worker = threading.Thread(target=lambda: found.extend(way(jobs)))
    worker.start()
    wait_for(lambda: listeners(away) == 1)
    with caplog.at_level(logging.WARNING, "redset"):
        away.kill()
        wait_for(lambda: "can't be reached" in caplog.text)
        away.launch()
        with redis.Redis(port=away.port) as other:
            SortedSet(other, NAME).add("job")
        worker.join(timeout=30)
    assert found == ["job"]
    # One line for one outage, however often the consumer asked.
    assert len([each for each in caplog.records if "can't be reached" in each.message]) == 1
    client.close()


def test_tasks_that_wait_go_on_when_the_server_is_back(
    away: TestServer, caplog: pytest.LogCaptureFixture
) -> None:
    async def use() -> list[Any]:
        async with redis.asyncio.Redis(port=away.port) as client:
            jobs = redset.asyncio.SortedSet(client, NAME)
            taking = asyncio.create_task(jobs.take(1, timeout=60))
            popping = asyncio.create_task(jobs.pop(timeout=60))
            await asyncio.to_thread(wait_for, lambda: listeners(away) == 1)
            away.kill()
            await asyncio.to_thread(wait_for, lambda: caplog.text.count("can't be reached") == 2)
            away.launch()
            async with redis.asyncio.Redis(port=away.port) as other:
                await redset.asyncio.SortedSet(other, NAME).update(["a", "b"])
            return [*await asyncio.wait_for(taking, 30), await asyncio.wait_for(popping, 30)]

    with caplog.at_level(logging.WARNING, "redset"):
        assert sorted(asyncio.run(use())) == ["a", "b"]


def error_of(
    away: TestServer, call: Callable[[], Any], kind: type[Exception], change: Callable[[], Any]
) -> Exception | None:
    """Return the error that *call* raises after a *change*, which comes when it waits."""
    errors: list[Exception] = []

    def work() -> None:
        try:
            call()
        except kind as error:
            errors.append(error)

    worker = threading.Thread(target=work)
    worker.start()
    wait_for(lambda: listeners(away) == 1)
    change()
    worker.join(timeout=30)
    return errors[0] if errors else None


def test_an_outage_of_too_long_is_the_client_s_error(
    away: TestServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "OUTAGE_SECONDS", 0.5)
    with redis.Redis(port=away.port) as client:
        jobs = SortedSet(client, NAME)
        assert error_of(away, lambda: take(jobs), redis.ConnectionError, away.kill)


def test_a_wait_whose_time_is_up_during_an_outage_doesn_t_say_that_nothing_came(
    away: TestServer,
) -> None:
    with redis.Redis(port=away.port) as client:
        jobs = SortedSet(client, NAME)
        call = partial(jobs.take, 1, timeout=3)
        assert error_of(away, call, redis.ConnectionError, away.kill)


def test_the_first_request_of_a_wait_raises_what_the_client_raises(away: TestServer) -> None:
    client = redis.Redis(port=away.port)
    away.kill()
    with pytest.raises(redis.ConnectionError):
        take(SortedSet(client, NAME))


def test_a_consumer_that_is_to_stop_stops_during_an_outage(away: TestServer) -> None:
    client = redis.Redis(port=away.port)
    stop = threading.Event()
    jobs = SortedSet(client, NAME)
    worker = threading.Thread(target=lambda: list(jobs.consume(stop=stop)))
    worker.start()
    wait_for(lambda: listeners(away) == 1)
    away.kill()
    time.sleep(0.3)
    stop.set()
    worker.join(timeout=20)
    assert not worker.is_alive()


def test_an_account_that_was_taken_back_is_no_outage(away: TestServer) -> None:
    with redis.Redis(port=away.port) as admin:
        admin.execute_command("ACL", "SETUSER", "worker", "on", ">secret", "~*", "&*", "+@all")
        jobs = SortedSet(redis.Redis(port=away.port, username="worker", password="secret"), NAME)
        drop = partial(admin.execute_command, "ACL", "DELUSER", "worker")
        assert error_of(away, lambda: take(jobs), redis.AuthenticationError, drop)
