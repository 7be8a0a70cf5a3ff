"""One item that is there: another score, another item in its place, another set."""

import math
from typing import Any

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from redset import (
    InvalidTypeError,
    InvalidValueError,
    KeyTypeError,
    MissingItemError,
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

scores = st.sampled_from([-math.inf, -0.1, 0.0, 1e300])
contents = st.dictionaries(st.sampled_from("abc"), scores)
conflicts = st.sampled_from(CONFLICTS)


def merged(conflict: str, there: float | None, new: float) -> float:
    if there is None or conflict == "replace":
        return new
    if conflict == "keep":
        return there
    if conflict == "sum":
        return there + new
    return min(there, new) if conflict == "min" else max(there, new)


def made(client: redis.Redis, name: str, pairs: dict[str, float]) -> RedisSortedSet[str]:
    found: RedisSortedSet[str] = RedisSortedSet(client, name)
    found.clear()
    found.add_scored(pairs)
    return found


@given(contents, st.sampled_from("abc"), scores, conflicts)
def test_a_score_is_changed_of_what_is_there(
    client: redis.Redis, given: dict[str, float], item: str, score: float, conflict: Any
) -> None:
    ours, model = made(client, "ours", given), dict(given)
    expected = None
    if item in model:
        expected = model[item] = merged(conflict, model[item], score)
    assert ours.update_score(item, score, on_conflict=conflict) == expected
    assert dict(ours.items()) == model


@given(contents, st.sampled_from("abc"), st.sampled_from("abc"))
def test_an_item_is_replaced_at_its_score(
    client: redis.Redis, given: dict[str, float], old: str, new: str
) -> None:
    ours, model = made(client, "ours", given), dict(given)
    if old in model:
        score = model.pop(old)
        model[new] = score
        assert ours.replace(old, new) == score
    else:
        with pytest.raises(MissingItemError) as caught:
            ours.replace(old, new)
        assert caught.value.args == (old,)
    assert dict(ours.items()) == model


@given(contents, contents, st.sampled_from("abc"), conflicts)
def test_an_item_is_moved_with_its_score(
    client: redis.Redis,
    given: dict[str, float],
    there: dict[str, float],
    item: str,
    conflict: Any,
) -> None:
    ours, other = made(client, "ours", given), made(client, "{ours}other", there)
    model, target = dict(given), dict(there)
    assert ours.move(item, other, on_conflict=conflict) is (item in model)
    if item in model:
        target[item] = merged(conflict, target.get(item), model.pop(item))
    assert (dict(ours.items()), dict(other.items())) == (model, target)


def test_a_move_to_the_set_itself_changes_nothing(client: redis.Redis) -> None:
    ours = made(client, "ours", {"a": 1})
    assert ours.move("a", to=ours, on_conflict="sum")
    assert not ours.move("x", to=ours)
    assert ours.replace("a", "a") == 1.0
    assert list(ours.items()) == [("a", 1.0)]


def test_other_serializers_and_items(client: redis.Redis) -> None:
    documents: RedisSortedSet[Any] = RedisSortedSet(client, "d", serializer=JSONSerializer())
    done: RedisSortedSet[Any] = RedisSortedSet(client, "{d}done", serializer=JSONSerializer())
    documents.add({"id": 1, "at": 2}, 7)
    assert documents.move({"at": 2, "id": 1}, done)
    assert done.replace({"id": 1, "at": 2}, [1]) == 7.0
    assert list(done) == [[1]]
    later: ScheduledSet[str] = ScheduledSet(client, "later", clock=lambda: 100.0)
    texts: SortedSet[str] = SortedSet(client, "{later}texts")
    later.add("then", 200)
    assert later.update_score("then", 100) == 100.0
    assert later.move("then", texts)
    assert list(texts.items()) == [("then", 100.0)]
    values: RedisSortedSet[Any] = RedisSortedSet(client, "values")
    assert values.update_score(object(), 1) is None
    assert not values.move(object(), values)


def test_where_it_cannot_go_is_refused(
    client: redis.Redis, make_client: MakeClient, round_trips: RoundTrips
) -> None:
    ours = made(client, "ours", {"a": 1})
    others: list[Any] = [
        SortedSet[str](client, "{ours}texts"),
        RedisSortedSet[str](make_client(db=1), "ours"),
        {"b"},
        "other",
        None,
    ]
    for other in others:
        with pytest.raises(InvalidTypeError, match=r"'ours': move goes to a lasting set"):
            ours.move("a", other)
    with ours.copy() as result, pytest.raises(InvalidTypeError, match="lasting set"):
        ours.move("a", result)
    unique: RedisSortedSet[str] = RedisSortedSet(client, "{ours}unique", unique="until_acked")
    with pytest.raises(InvalidTypeError, match="unique'"):
        ours.move("a", unique)
    with pytest.raises(InvalidTypeError, match="unique'"):
        unique.replace("a", "b")
    with pytest.raises(InvalidValueError, match="on_conflict"):
        ours.move("a", ours, on_conflict="less")  # type: ignore[arg-type,unused-ignore]
    client.set("{ours}text", "x")
    with pytest.raises(KeyTypeError):
        ours.move("a", RedisSortedSet[str](client, "{ours}text"))
    assert list(ours.items()) == [("a", 1.0)]


def test_a_score_that_cannot_be_kept_is_refused(client: redis.Redis) -> None:
    ours, other = (
        made(client, "ours", {"a": math.inf}),
        made(client, "{ours}other", {"a": -math.inf}),
    )
    for wrong in (math.nan, 2**53 + 1, "1", None):
        with pytest.raises((ValueError, TypeError), match="'a'"):
            ours.update_score("a", wrong)  # type: ignore[arg-type,unused-ignore]
    with pytest.raises(InvalidValueError, match="inf and -inf"):
        ours.update_score("a", -math.inf, on_conflict="sum")
    with pytest.raises(InvalidValueError, match="inf and -inf"):
        ours.move("a", other, on_conflict="sum")
    assert [ours.score("a"), other.score("a")] == [math.inf, -math.inf]


def test_each_is_one_round_trip(client: redis.Redis, round_trips: RoundTrips) -> None:
    ours, other = made(client, "ours", {"a": 1, "b": 2}), made(client, "{ours}other", {})
    with round_trips(client) as count:
        for conflict in CONFLICTS:
            ours.update_score("a", 3, on_conflict=conflict)  # type: ignore[arg-type,unused-ignore]
        ours.replace("a", "c")
        ours.move("b", other)
    assert count.value == len(CONFLICTS) + 2


@pytest.mark.parametrize("retries", [0, 10])
def test_a_lost_reply_hides_nothing(
    client: redis.Redis, server: TestServer, make_client: MakeClient, retries: int
) -> None:
    warm = made(client, "{ours}other", {"a": 5, "b": 5})
    warm.replace("a", "a")
    with LossyProxy(*server.ports) as proxy:
        lossy = behind(proxy, make_client, client, retries)
        ours, other = (
            made(lossy, "ours", {"a": 1, "b": 2}),
            made(lossy, "{ours}other", {"a": 5, "b": 5}),
        )
        proxy.lose("EVAL", 1, 2)
        if not retries:
            with pytest.raises(connection_error(client)):
                ours.replace("a", "c")
            with pytest.raises(connection_error(client)):
                ours.move("b", other, on_conflict="sum")
        assert ours.replace("a", "c") == 1.0
        assert ours.move("b", other, on_conflict="sum")
        assert proxy.lost == 2
        assert dict(ours.items()) == {"c": 1.0}
        assert dict(other.items()) == {"a": 5.0, "b": 7.0}
        ours.add("a", 9)  # which no earlier call has replaced
        assert ours.replace("a", "c") == 9.0
