"""What operators, items and servers do to workers: nothing is lost, nobody is blamed wrongly.

``REDSET_STORM_SECONDS=120`` restarts for two minutes, and has 100,000 items of which 50 are poison.
"""

import os
from collections.abc import Callable

import redis

from tests.servers import TestServer
from tests.storms.delivery_storm import RAISES, hard_times, poison, restart_all_the_time

SECONDS = float(os.environ.get("REDSET_STORM_SECONDS", "5"))
WORKERS = 8
TOTAL, POISON = (100_000, 50) if SECONDS > 60 else (2_000, 6)


def test_rolling_restarts_lose_and_double_nothing(
    server: TestServer, client: redis.Redis, report: Callable[[str], None]
) -> None:
    client.flushall()
    total, found = restart_all_the_time(server.unix_socket, WORKERS, SECONDS)
    twice = [job for job, times in found.done.items() if times > 1]
    lost = set(range(total)) - set(found.done)
    report(
        f"{found.workers} workers one after the other, {total} items: {len(twice)} done twice, "
        f"{len(lost)} lost, {len(found.dead)} dead"
    )
    assert (twice, lost, found.dead, found.left) == ([], set(), {}, 0)


def test_poison_is_dead_and_nothing_else_is(
    server: TestServer, client: redis.Redis, report: Callable[[str], None]
) -> None:
    client.flushall()
    found = poison(server.unix_socket, 4, TOTAL, POISON)
    again = sum(times > 1 for times in found.done.values())
    report(
        f"{TOTAL} items, {found.workers - 4} workers killed: {len(found.dead)} dead, "
        f"{again} of the others done more than once"
    )
    assert found.dead == {job: "failed" if job % RAISES else "expired" for job in range(POISON)}
    assert set(found.done) == set(range(POISON, TOTAL))
    assert found.left == 0


def test_only_the_poison_is_dead_after_refused_memory_refused_rights_and_a_deploy(
    server: TestServer, client: redis.Redis, report: Callable[[str], None]
) -> None:
    client.flushall()
    refused, found = hard_times(server.unix_socket, 4, TOTAL, POISON)
    again = sum(times > 1 for times in found.done.values())
    report(
        f"{TOTAL} items, workers were refused something {refused} times: {len(found.dead)} dead, "
        f"{again} of the others done more than once"
    )
    assert refused > 0
    assert found.dead == dict.fromkeys(range(POISON), "failed")
    assert set(found.done) == set(range(POISON, TOTAL))
    assert found.left == 0
