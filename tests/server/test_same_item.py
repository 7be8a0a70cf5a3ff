"""An item stays the item that it is: after a cache was filled, in an hour that is there twice."""

from collections.abc import Iterator
from datetime import UTC
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
import redis

from redset import RedisSortedSet
from redset.codecs import MsgpackSerializer, PickleSerializer
from redset.exceptions import InvalidValueError, UncertainItemError
from tests.unit.codecs.strategies import BERLIN, FOLDED
from tests.unit.codecs.test_identity import Hashed, Task
from tests.unit.codecs.test_overrides import Money, UserId
from tests.unit.test_encoding import Reversing


@pytest.fixture(
    params=[{"allow": [Task]}, {"secret": b"0123456789abcdef"}], ids=["allow", "secret"]
)
def jobs(client: redis.Redis, request: pytest.FixtureRequest) -> RedisSortedSet[Any]:
    return RedisSortedSet(client, "jobs", serializer=PickleSerializer(**request.param))


def test_an_item_is_found_after_its_cached_property_was_read(jobs: RedisSortedSet[Any]) -> None:
    job = Task("/a")
    jobs.add(job)
    assert job in jobs
    assert job.slow == 2
    assert job in jobs
    assert jobs.insert(job, Task("/a", note="urgent")) == []
    [kept] = jobs
    assert kept == job
    assert kept.slow == 2
    assert jobs.discard(kept)


def test_an_item_whose_equals_have_several_members_is_refused_by_lookups(
    client: redis.Redis,
) -> None:
    shared: RedisSortedSet[Any] = RedisSortedSet(
        client, "hashed", serializer=PickleSerializer(allow=[Hashed])
    )
    for call in (shared.add, shared.discard, shared.__contains__):
        with pytest.raises(UncertainItemError, match="takes no part in its =="):
            call(Hashed(1))


def test_both_times_of_the_repeated_hour_are_items_of_documents(client: redis.Redis) -> None:
    shared: RedisSortedSet[Any] = RedisSortedSet(
        client, "documents", serializer=MsgpackSerializer()
    )
    times = [FOLDED.replace(tzinfo=BERLIN, fold=fold) for fold in (0, 1)]
    shared.update([{"at": each} for each in times])
    instants = {each["at"].astimezone(UTC) for each in shared}
    assert instants == {each.astimezone(UTC) for each in times}
    assert len(instants) == 2
    popped: Any = shared.pop()
    assert popped["at"].astimezone(UTC) in instants


def test_the_second_time_of_the_repeated_hour_is_refused_by_values(client: redis.Redis) -> None:
    values: RedisSortedSet[Any] = RedisSortedSet(client, "values")
    first, second = (FOLDED.replace(tzinfo=BERLIN, fold=fold) for fold in (0, 1))
    values.add(first)
    for call in (values.add, values.insert, values.discard, values.score, values.__contains__):
        with pytest.raises(UncertainItemError, match=r"astimezone\(UTC\)"):
            call(second)
    values.add(second.astimezone(UTC))
    assert {each.astimezone(UTC) for each in values} == {
        each.astimezone(UTC) for each in (first, second)
    }


def test_items_of_a_subclass_are_those_of_its_base_whatever_it_overrides(
    client: redis.Redis,
) -> None:
    values: RedisSortedSet[Any] = RedisSortedSet(client, "values")
    prices = [Money("1.25"), Money("1.5"), Money("19.99")]
    assert values.insert(*prices) == prices
    assert all(Decimal(price) in values for price in prices)
    values.add(UserId(int=5), -1)
    assert UUID(int=5) in values
    assert values.pop() == UserId(int=5)


def test_a_text_with_surrogates_is_no_other_text(client: redis.Redis) -> None:
    names: RedisSortedSet[str] = RedisSortedSet(client, "names", serializer=Reversing())
    with pytest.raises(InvalidValueError, match=r"lone surrogates.*return bytes"):
        names.add("\udca9\udcc3")
    assert "é" not in names
    names.add("é")
    assert "\udca9\udcc3" not in names
    client.zadd("names", {b"\xff": 1})
    assert list(names) == ["é", "\udcff"]


class Emptied(set[Any]):
    """A set that shows none of its elements."""

    def __iter__(self) -> Iterator[Any]:
        return iter(())


def test_a_set_is_looked_up_by_what_it_holds(client: redis.Redis) -> None:
    values: RedisSortedSet[Any] = RedisSortedSet(client, "values")
    values.add(frozenset("ab"))
    assert Emptied("ab") in values
    assert Emptied() not in values
