"""Eviction policies: which keys of a set a full server deletes, and what a lease says then."""

from collections.abc import Iterator
from typing import Any

import pytest
import redis

from redset import LeaseLost, RedisSortedSet
from tests.server.conftest import until
from tests.servers import TestServer

SET, LEASED, HELD = b"jobs", b"{jobs}:leased", b"{jobs}:held"
SPARE = 4 << 20


@pytest.fixture
def full(server: TestServer) -> Iterator[redis.Redis]:
    """A client of a server whose memory is limited, soon after it was started."""
    with TestServer.start(server.kind) as started, redis.Redis(port=started.port) as made:
        made.config_set("maxmemory", int(made.info("memory")["used_memory"]) + SPARE)
        # Chooses the best of all small numbers of keys, so that idle ones are the first.
        made.config_set("maxmemory-samples", 64)
        yield made


def write_until(client: redis.Redis, enough: Any) -> None:
    """Write keys of 10 kB until there is *enough* missing, or the server refuses to."""
    number = iter(range(100_000))

    def is_enough() -> bool:
        client.set(f"other:{next(number)}", b"x" * 10_000)
        return bool(enough())

    until(is_enough)


def leasing(client: redis.Redis) -> tuple[Any, Any]:
    jobs: RedisSortedSet[str] = RedisSortedSet(client, "jobs")
    jobs.update(["a", "b", "c", "d"])
    return jobs, jobs.lease(2, ttl=600)


def test_a_server_that_evicts_any_key_deletes_leases_and_the_set(full: redis.Redis) -> None:
    full.config_set("maxmemory-policy", "allkeys-lru")
    jobs, lease = leasing(full)
    keys = (SET, LEASED, HELD)
    write_until(full, lambda: not full.exists(*keys))
    with pytest.raises(LeaseLost):
        lease.ack()
    assert (len(jobs), jobs.stats()[:6]) == (0, (0,) * 6)


@pytest.mark.parametrize("policy", ["volatile-lru", "volatile-ttl"])
def test_a_server_that_evicts_keys_that_expire_keeps_sets_and_leases(
    full: redis.Redis, policy: str
) -> None:
    full.config_set("maxmemory-policy", policy)
    jobs, lease = leasing(full)
    given = [key for key in full.scan_iter() if b":given:" in key]
    assert given
    with pytest.raises(redis.ResponseError, match="maxmemory"):
        write_until(full, lambda: False)
    assert full.exists(*given) == 0
    lease.ack("a")
    full.config_set("maxmemory", 0)
    assert sorted(jobs) == ["c", "d"]


def test_a_server_that_evicts_nothing_refuses_what_needs_memory(full: redis.Redis) -> None:
    full.config_set("maxmemory-policy", "noeviction")
    jobs, lease = leasing(full)
    full.config_set("maxmemory", 1)
    for call in (jobs.add, jobs.insert, jobs.update):
        with pytest.raises(redis.ResponseError, match="maxmemory"):
            call("e")
    # Consumers go on, and free memory by that.
    lease.ack("a")
    lease.release("b")
    assert (jobs.pop(), jobs.take(1)) == ("b", ["c"])
    with jobs.lease(1) as last:
        assert list(last) == ["d"]
    full.config_set("maxmemory", 0)
    assert sorted(jobs) == []


# What a lease says, and what is there in the end, if a key is gone. `crash` is no call: the
# consumer dies, and its lease runs out.
GONE: dict[bytes, dict[str, list[str] | None]] = {
    SET: {"ack": [], "release": ["a", "b"], "crash": ["a", "b"]},
    LEASED: {"ack": ["c", "d"], "release": ["a", "b", "c", "d"], "crash": ["c", "d"]},
    HELD: {"ack": None, "release": None, "crash": ["a", "b", "c", "d"]},
}


@pytest.mark.parametrize("end", ["ack", "release", "crash"])
@pytest.mark.parametrize("gone", GONE)
def test_a_lease_notices_that_its_own_key_is_gone_and_no_other(
    client: redis.Redis, gone: bytes, end: str
) -> None:
    jobs: RedisSortedSet[str] = RedisSortedSet(client, "jobs")
    jobs.update(["a", "b", "c", "d"])
    lease = jobs.lease(2, ttl=0.05 if end == "crash" else 60)
    assert client.delete(gone) == 1
    expected = GONE[gone][end]
    if expected is None:
        with pytest.raises(LeaseLost):
            getattr(lease, end)()
        assert sorted(jobs) == ["c", "d"]
    elif end == "crash":
        until(lambda: jobs.stats().expired or gone == LEASED)
        assert sorted(jobs.take(10)) == expected
    else:
        getattr(lease, end)()
        assert sorted(jobs) == expected
