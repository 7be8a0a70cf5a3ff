"""Places: removing what has a rank, and asking for the ranks of items."""

from typing import Any

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from redset import (
    InvalidTypeError,
    InvalidValueError,
    KeyTypeError,
    MissingRankError,
    RedisSortedSet,
    ScheduledSet,
    SortedSet,
)
from redset._plans.arguments import CONFLICTS
from redset.serializers import JSONSerializer
from tests.proxy import LossyProxy
from tests.server.conftest import MakeClient, RoundTrips
from tests.server.test_lost_replies import behind, connection_error
from tests.servers import TestServer

LETTERS = "abcdef"

numbers = st.one_of(st.integers(-8, 8), st.sampled_from([2**31, -(2**63), 10**30]))
places = st.one_of(st.none(), numbers)
steps = st.one_of(st.none(), st.integers(-4, 4).filter(bool), st.just(10**30))


def letters(client: redis.Redis) -> SortedSet[str]:
    found: SortedSet[str] = SortedSet(client, "letters")
    found.clear()
    found.update(LETTERS)
    return found


@given(places, places, steps)
def test_a_slice_is_removed_as_from_a_list(
    client: redis.Redis, start: int | None, stop: int | None, step: int | None
) -> None:
    ours, model = letters(client), list(LETTERS)
    del ours[start:stop:step]
    del model[start:stop:step]
    assert list(ours) == model
    again = letters(client)
    assert again.remove_at(slice(start, stop, step)) == len(LETTERS) - len(model)


@given(numbers)
def test_an_index_is_removed_as_from_a_list(client: redis.Redis, index: int) -> None:
    ours, model = letters(client), list(LETTERS)
    if -len(model) <= index < len(model):
        del model[index]
        del ours[index]
    else:
        with pytest.raises(MissingRankError, match=r"'letters': no item of rank"):
            del ours[index]
        with pytest.raises(IndexError):
            ours.remove_at(index)
    assert list(ours) == model


def test_an_empty_set_has_no_places(client: redis.Redis) -> None:
    empty: RedisSortedSet[int] = RedisSortedSet(client, "empty")
    with pytest.raises(IndexError):
        del empty[0]
    empty.add(1)
    del empty[0]  # and the failed call is not taken for this one
    assert len(empty) == 0
    assert [empty.remove_at(slice(None)), empty.ranks(), empty.ranks(1)] == [0, [], [None]]
    with pytest.raises(ValueError, match="'empty': 1 is not in the set"):
        empty.index(1)


def test_places_of_items(client: redis.Redis) -> None:
    words: RedisSortedSet[Any] = RedisSortedSet(client, "words", scorer=len)
    words.update(["ccc", "a", "bb"])
    assert words.ranks("bb", "x", "a", object(), "ccc") == [1, None, 0, None, 2]
    assert words.ranks("bb", "x", "a", reverse=True) == [1, None, 2]
    assert [words.index("a"), words.index("ccc")] == [0, 2]
    with pytest.raises(InvalidValueError, match="'words'"):
        words.index("x")
    with pytest.raises(TypeError):
        words.ranks("a", [])


@given(
    st.dictionaries(st.sampled_from("abc"), st.integers(-2, 2)),
    st.sampled_from("abc"),
    st.integers(-2, 2),
    st.sampled_from(CONFLICTS),
    st.booleans(),
)
def test_add_and_rank_does_what_add_and_rank_do(
    client: redis.Redis,
    given: dict[str, int],
    item: str,
    score: int,
    conflict: Any,
    reverse: bool,
) -> None:
    for unique in ("until_taken", "until_acked"):
        one: RedisSortedSet[str] = RedisSortedSet(client, "one", unique=unique)  # type: ignore[arg-type,unused-ignore]
        other: RedisSortedSet[str] = RedisSortedSet(client, "other")
        for each in (one, other):
            each.clear()
            each.add_scored(given)
        place = one.add_and_rank(item, score, on_conflict=conflict, reverse=reverse)
        other.add(item, score, on_conflict=conflict)
        assert place == other.rank(item, reverse=reverse)
        assert list(one.items()) == list(other.items())


def test_an_item_that_is_refused_has_no_rank(client: redis.Redis) -> None:
    jobs: RedisSortedSet[str] = RedisSortedSet(client, "jobs", scorer=len, unique="until_acked")
    assert jobs.add_and_rank("long") == 0
    assert jobs.add_and_rank("a") == 0
    with jobs.lease() as lease:
        assert jobs.add_and_rank("a") is None
        lease.ack()
    with pytest.raises(TypeError):
        jobs.add_and_rank([])  # type: ignore[arg-type,unused-ignore]
    with pytest.raises(InvalidValueError, match="on_conflict"):
        jobs.add_and_rank("b", on_conflict="less")  # type: ignore[arg-type,unused-ignore]
    assert list(jobs) == ["long"]


def test_other_serializers_and_what_is_not_due(client: redis.Redis) -> None:
    documents: RedisSortedSet[Any] = RedisSortedSet(client, "d", serializer=JSONSerializer())
    documents.add_scored([({"id": 1}, 1), ({"id": 2}, 2)])
    assert documents.index({"id": 2}) == 1
    del documents[0]
    later: ScheduledSet[str] = ScheduledSet(client, "later", clock=lambda: 100.0)
    later.add_scored({"now": 100, "then": 200})
    del later[-1]
    assert (list(documents), list(later)) == ([{"id": 2}], ["now"])


def test_each_is_one_round_trip(client: redis.Redis, round_trips: RoundTrips) -> None:
    ours = letters(client)
    ours.ranks("a")
    with round_trips(client) as count:
        del ours[0]
        ours.remove_at(slice(-2, None))
        ours.index("b")
        ours.add_and_rank("b")
        ours.ranks(*LETTERS)
        ours.ranks()
        del ours[0:0]
    assert count.value == 5
    with round_trips(client) as count:
        del ours[::2]
    assert (count.value, list(ours)) == (1, ["c"])


def test_what_is_no_place_is_refused(client: redis.Redis) -> None:
    ours: Any = letters(client)
    for wrong in ("a", 1.5, None, slice("a", None)):
        with pytest.raises(InvalidTypeError, match="must be an integer"):
            ours.remove_at(wrong)
    with pytest.raises(InvalidValueError, match="step cannot be zero"):
        del ours[::0]
    client.set("text", "x")
    with pytest.raises(KeyTypeError):
        SortedSet[str](client, "text").remove_at(0)
    assert list(ours) == list(LETTERS)


@pytest.mark.parametrize("retries", [0, 10])
def test_a_lost_reply_removes_nothing_else(
    client: redis.Redis, server: TestServer, make_client: MakeClient, retries: int
) -> None:
    letters(client).remove_at(0)
    with LossyProxy(*server.ports) as proxy:
        ours: SortedSet[str] = SortedSet(behind(proxy, make_client, client, retries), "letters")
        assert ours[0] == "b"
        proxy.lose("EVAL", 1)
        if retries:
            del ours[0]
        else:
            with pytest.raises(connection_error(client)):
                del ours[0]
            assert ours.remove_at(-1) == 1  # another call, which repeats nothing
            assert ours.remove_at(0) == 1
        assert proxy.lost == 1
        assert list(ours) == ["c", "d", "e", "f"][: None if retries else -1]
        del ours[0]
        assert ours[0] == "d"
