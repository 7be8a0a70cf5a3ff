"""Sizes of combinations that are not made."""

from typing import Any

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from redset import InvalidTypeError, InvalidValueError, RedisSortedSet, SortedSet
from redset.serializers import JSONSerializer
from tests.server.conftest import MakeClient, RoundTrips
from tests.servers import TestServer

letters = st.sets(st.sampled_from("abcde"))
# What the other operands are: sets on the server, or of this process.
kinds = st.sampled_from(["redset", "set", "list"])

# On a cluster they share a slot.
NAMES = ("a", "{a}b", "{a}c")


def made(client: redis.Redis, name: str, items: Any) -> RedisSortedSet[Any]:
    found: RedisSortedSet[Any] = RedisSortedSet(client, name)
    found.clear()
    found.update(items)
    return found


@pytest.fixture(params=["with ZINTERCARD", "without"])
def zintercard(request: pytest.FixtureRequest, server: TestServer, client: redis.Redis) -> Any:
    """Servers with that command, and such as Redis 6.2, which have none."""
    if server.kind == "redis-6.2":
        pytest.skip("has none")
    if request.param == "without":
        client.execute_command("ACL", "SETUSER", "default", "-zintercard")
    yield
    client.execute_command("ACL", "SETUSER", "default", "+@all")


@given(letters, st.lists(st.tuples(kinds, letters), max_size=4), st.none() | st.integers(0, 4))
def test_they_are_those_of_builtin_sets(
    client: redis.Redis, one: set[str], given: list[tuple[str, set[str]]], limit: int | None
) -> None:
    check_counts(client, one, given, limit)


@given(letters, st.lists(st.tuples(kinds, letters), max_size=4), st.none() | st.integers(0, 4))
def test_they_are_so_without_zintercard_too(
    client: redis.Redis,
    zintercard: None,
    one: set[str],
    given: list[tuple[str, set[str]]],
    limit: int | None,
) -> None:
    check_counts(client, one, given, limit)


def check_counts(
    client: redis.Redis, one: set[str], given: list[tuple[str, set[str]]], limit: int | None
) -> None:
    ours, builtin = made(client, "ours", one), [items for _, items in given]
    others: list[Any] = [
        made(client, f"other-{place}", items)
        if kind == "redset"
        else items
        if kind == "set"
        else [*items, *items]
        for place, (kind, items) in enumerate(given)
    ]
    before = set(client.keys())
    assert ours.union_count(*others) == len(one.union(*builtin))
    assert ours.difference_count(*others) == len(one.difference(*builtin))
    common = len(one.intersection(*builtin))
    assert ours.intersection_count(*others) == common
    assert ours.intersection_count(*others, limit=limit) == (
        common if limit is None else min(common, limit)
    )
    assert set(client.keys()) == before


def test_other_serializers_servers_and_databases(
    client: redis.Redis, make_client: MakeClient
) -> None:
    ours = made(client, "ours", ["1", "2", 3])
    texts: SortedSet[str] = SortedSet(client, "texts")
    texts.update(["1", "3", "4"])
    elsewhere = made(make_client(db=1), "ours", ["2", 3, 5])
    assert [ours.union_count(texts, elsewhere), ours.intersection_count(texts)] == [6, 1]
    assert ours.difference_count(elsewhere) == 1
    documents: RedisSortedSet[Any] = RedisSortedSet(client, "d", serializer=JSONSerializer())
    documents.update([{"id": 1}, [2]])
    assert documents.intersection_count([{"id": 1}, {"id": 2}]) == 1
    elsewhere.clear()


def test_what_cannot_be_in_the_set_is_not_counted_and_not_added(client: redis.Redis) -> None:
    ours = made(client, "ours", [1, 2])
    strange = [1, object(), object()]
    assert [ours.intersection_count(strange), ours.difference_count(strange)] == [1, 1]
    with pytest.raises(InvalidTypeError):
        ours.union_count(strange)  # as union
    with pytest.raises(TypeError):
        ours.union_count(7)  # type: ignore[arg-type,unused-ignore]


def test_a_limit_is_a_number_of_items(client: redis.Redis) -> None:
    ours = made(client, "ours", [1, 2])
    with pytest.raises(InvalidValueError, match="'ours': limit must be 0 or more, got -1"):
        ours.intersection_count([1], limit=-1)
    with pytest.raises(InvalidTypeError, match="limit must be an integer"):
        ours.intersection_count([1], limit=1.5)  # type: ignore[arg-type,unused-ignore]
    assert ours.intersection_count([1, 2], limit=10**30) == 2


def test_each_is_one_round_trip(client: redis.Redis, round_trips: RoundTrips) -> None:
    ours, other = made(client, "ours", range(10)), made(client, "{ours}other", range(5, 20))
    ours.union_count(other)  # from now on they are known to be of one server
    with round_trips(client) as count:
        assert ours.union_count(other, [77]) == 21
        assert ours.intersection_count(other) == 5
        assert ours.difference_count(other, [0]) == 4
    assert count.value == 3


def test_infinite_scores_count(client: redis.Redis) -> None:
    ours, other = made(client, "ours", []), made(client, "{ours}other", [])
    for name, sign in (("ours", "inf"), ("{ours}other", "-inf"), ("{ours}third", "-inf")):
        client.zadd(name, {"x": float(sign)})
    third: RedisSortedSet[Any] = RedisSortedSet(client, "{ours}third")
    assert [ours.union_count(other, third), ours.intersection_count(other, third)] == [1, 1]
    assert ours.difference_count(other, third) == 0


def every_count(client: Any, many: int = 0) -> list[int]:
    """Count with sets, with local items, and with more of those than one call takes."""
    a, b, c = (RedisSortedSet[Any](client, name) for name in NAMES)
    local = [3, 4, 4, 77, 2_501, *range(5_000, 5_000 + many), *range(100_000, 100_000 + many)]
    found = []
    for others in ([], [b], [b, c], [local], [b, local], [local, c, b, [4, 5]], [c, c, a]):
        found += [a.union_count(*others), a.difference_count(*others), c.difference_count(*others)]
        found += [a.intersection_count(*others), a.intersection_count(*others, limit=2)]
    return found


def fill(client: redis.Redis) -> None:
    content = (range(12_000), range(2_000, 9_000), range(4, 30, 2))
    for name, items in zip(NAMES, content, strict=True):
        made(client, name, items)


def expected_counts(many: int = 0) -> list[int]:
    a, b, c = set(range(12_000)), set(range(2_000, 9_000)), set(range(4, 30, 2))
    local = [3, 4, 4, 77, 2_501, *range(5_000, 5_000 + many), *range(100_000, 100_000 + many)]
    found = []
    for others in ([], [b], [b, c], [local], [b, local], [local, c, b, [4, 5]], [c, c, a]):
        common = len(a.intersection(*others))
        found += [len(a.union(*others)), len(a.difference(*others)), len(c.difference(*others))]
        found += [common, min(common, 2)]
    return found


def test_large_sets_are_counted(client: redis.Redis, zintercard: None) -> None:
    fill(client)
    assert every_count(client) == expected_counts()


def test_sets_too_large_to_be_gathered_are_counted(client: redis.Redis) -> None:
    fill(client)
    a, b, c = (RedisSortedSet[Any](client, name) for name in NAMES)
    d = made(client, "{a}d", range(8_500, 12_100, 2))
    e = made(client, "{a}e", range(1_500, 4_000))
    assert a.union_count(b, d, e, c) == 12_050
    assert a.union_count(b, b) == b.union_count(b, a) == 12_000
    assert a.difference_count(b, d, e, c) == 12_000 - 7_500 - 1_500 - 13
    assert a.difference_count(b, b) == 5_000


@pytest.mark.parametrize("many", [0, 1_700, 1_800, 2_600, 6_000])
def test_a_read_only_replica_counts(client: redis.Redis, replica: Any, many: int) -> None:
    fill(client)
    replica.caught_up()
    assert every_count(client, many) == expected_counts(many)
    assert every_count(replica, many) == expected_counts(many)
    assert len(client.keys()) == 3


@pytest.mark.parametrize("many", [0, 3_000])
def test_an_account_that_may_only_read_counts(
    client: redis.Redis, reader: redis.Redis, many: int
) -> None:
    fill(client)
    assert every_count(reader, many) == expected_counts(many)


def test_counting_writes_nothing_unless_many_items_are_local(
    client: redis.Redis, round_trips: RoundTrips
) -> None:
    fill(client)
    every_count(client)
    client.config_resetstat()
    with round_trips(client) as trips:
        number = len(every_count(client))
    assert trips.value == number
    stats: Any = client.info("commandstats")
    names = {name.removeprefix("cmdstat_") for name in stats}
    assert {name for name in names if "store" in name or name in {"zadd", "unlink"}} == set()


def test_many_local_items_are_counted_at_one_moment_where_that_may_be_written(
    client: redis.Redis,
) -> None:
    fill(client)
    a: RedisSortedSet[Any] = RedisSortedSet(client, "a")
    client.config_resetstat()
    assert a.intersection_count(range(3_500)) == 3_500
    assert (calls(client, "evalsha"), calls(client, "zadd")) == (1, 0)
    assert a.intersection_count(range(3_600)) == 3_600
    assert calls(client, "zadd") > 0


def calls(client: redis.Redis, command: str) -> int:
    stats: Any = client.info("commandstats")
    return int(stats.get(f"cmdstat_{command}", {"calls": 0})["calls"])


def test_small_sets_are_gone_through_and_not_the_large_one(client: redis.Redis) -> None:
    fill(client)
    a, b, c = (RedisSortedSet[Any](client, name) for name in NAMES)
    d = made(client, "{a}d", [1, 5, -1])
    client.config_resetstat()
    assert a.difference_count(c, d) == 12_000 - 13 - 2
    assert c.union_count(a, d) == 12_001
    # A page each, and none for two sets where ZINTERCARD counts.
    assert calls(client, "zrange") <= 4
    assert a.union_count(c, b, d) == 12_001
    assert calls(client, "zrange") <= 4 + 2 + 7


def test_an_intersection_without_zintercard_stops_at_its_limit(
    client: redis.Redis, server: TestServer
) -> None:
    fill(client)
    a, b = (RedisSortedSet[Any](client, name) for name in NAMES[:2])
    if server.kind != "redis-6.2":
        client.execute_command("ACL", "SETUSER", "default", "-zintercard")
    try:
        client.config_resetstat()
        assert a.intersection_count(b, limit=1_500) == 1_500
        assert calls(client, "zrange") == 2
    finally:
        client.execute_command("ACL", "SETUSER", "default", "+@all")


def test_a_huge_local_operand_is_not_sent_where_another_has_few_items(
    client: redis.Redis, round_trips: RoundTrips
) -> None:
    fill(client)
    a: RedisSortedSet[Any] = RedisSortedSet(client, "a")
    with round_trips(client) as trips:
        assert a.intersection_count([1, 2, -3], iter(range(2, 50_000))) == 1
    assert trips.value == 1


def test_many_operands_are_counted(client: redis.Redis) -> None:
    ours = made(client, "ours", range(10))
    results = [ours | {number} for number in range(749)]
    assert ours.union_count(*results, [5_000]) == 750
    assert ours.intersection_count(*results[1:], range(4, 3_000)) == 6
    assert ours.difference_count(*results[:9], {1, 2}) == 0
    with pytest.raises(InvalidValueError, match="redset 'ours': union of 751 sets"):
        ours.union_count(*results, ours)
