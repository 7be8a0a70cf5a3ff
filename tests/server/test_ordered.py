"""Ranks, ranges, scores and chance: what a set can do because it is sorted."""

import logging
import math
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from itertools import product
from typing import Any

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from redset import (
    EmptySetError,
    InvalidTypeError,
    InvalidValueError,
    KeyTypeError,
    RedisSortedSet,
    RedsetError,
    ScheduledSet,
    SortedSet,
    TimeSortedSet,
)
from redset._plans.arguments import OnConflict
from tests.server.conftest import RoundTrips

Call = Callable[[Any], object]

INF = math.inf
# Beyond 32 bits, beyond 64 bits, and at the edges of what the server takes.
HUGE = [sign * size for sign in (1, -1) for size in (2**31, 2**62, 2**63 - 1, 2**63, 10**30)]
# Few enough that items share them, and that the ends of a range meet them.
SCORES = [-INF, -2.5, -0.0, 0.0, 1e300, INF]

contents = st.dictionaries(st.text(max_size=2), st.sampled_from(SCORES), max_size=6)
indexes = st.one_of(st.integers(-8, 8), st.sampled_from(HUGE))
places = st.one_of(st.none(), indexes)
steps = st.one_of(st.none(), st.integers(-4, 4).filter(bool), st.sampled_from(HUGE))
ends = st.sampled_from([*SCORES, -1e301, 0.5])
# The first of them has everything between its ends, unless one of these is left out.
spans = st.one_of(st.just((-INF, INF)), st.tuples(ends, ends))
inclusives = st.tuples(st.booleans(), st.booleans())


class Three:
    """An integer to whoever asks for an index, as numpy's are."""

    def __index__(self) -> int:
        return 3


@pytest.fixture
def texts(client: redis.Redis) -> SortedSet[str]:
    """An empty set whose members are its items in UTF-8."""
    return SortedSet(client, "texts")


@pytest.fixture
def letters(client: redis.Redis) -> RedisSortedSet[Any]:
    """The items a, b, c, d with the scores 1, 2, 2, 3; without a score an item gets 5."""
    made: RedisSortedSet[Any] = RedisSortedSet(client, "letters", scorer=lambda item: 5)
    for item, score in [("d", 3), ("c", 2), ("b", 2), ("a", 1)]:
        made.add(item, score)
    return made


@pytest.fixture
def spoilt(client: redis.Redis) -> RedisSortedSet[Any]:
    """The items a and b at the ranks 1 and 3, and before each of them bytes that are no item."""
    made: RedisSortedSet[Any] = RedisSortedSet(client, "spoilt")
    made.add("a", 1)
    made.add("b", 3)
    client.zadd("spoilt", {b"\xff?": 0, b"\xfe?": 2})
    return made


def fill(texts: SortedSet[str], content: dict[str, float]) -> list[str]:
    """Make *content* all that the set holds; give the items in the order that they must have."""
    texts._runner.client.delete("texts")
    if content:
        texts._runner.client.zadd("texts", content)
    return sorted(content, key=lambda item: (content[item], item.encode()))


def between(
    score: float, lowest: float, highest: float, inclusive: tuple[bool, bool] = (True, True)
) -> bool:
    above = score >= lowest if inclusive[0] else score > lowest
    below = score <= highest if inclusive[1] else score < highest
    return above and below


# By rank


@given(content=contents, start=places, stop=places, step=steps)
def test_a_slice_is_that_of_the_sorted_list(
    texts: SortedSet[str], content: dict[str, float], start: Any, stop: Any, step: Any
) -> None:
    model = fill(texts, content)
    assert texts[start:stop:step] == model[start:stop:step]


def test_every_slice_of_a_small_set_is_that_of_a_list(texts: SortedSet[str]) -> None:
    model = fill(texts, {"c": 2.0, "a": 1.0, "b": 1.0})
    places = [None, *range(-5, 6)]
    for start, stop, step in product(places, places, [None, -2, -1, 1, 2]):
        assert texts[start:stop:step] == model[start:stop:step], (start, stop, step)


@given(content=contents, index=indexes)
def test_an_index_is_that_of_the_sorted_list(
    texts: SortedSet[str], content: dict[str, float], index: int
) -> None:
    model = fill(texts, content)
    if -len(model) <= index < len(model):
        assert texts[index] == model[index]
    else:
        with pytest.raises(IndexError, match=rf"redset 'texts': no item of rank {index}$"):
            texts[index]


@given(content=contents)
def test_ranks_are_the_places_in_the_sorted_list(
    texts: SortedSet[str], content: dict[str, float]
) -> None:
    model = fill(texts, content)
    assert [texts.rank(item) for item in model] == list(range(len(model)))
    assert [texts.rank(item, reverse=True) for item in model[::-1]] == list(range(len(model)))
    assert texts.rank("three") is texts.rank("three", reverse=True) is None


def test_equal_scores_rank_by_bytes(texts: SortedSet[str]) -> None:
    texts.update(["9", "10", "é", "z", "", "\U0001f600", "\uffff"])
    in_order = ["", "10", "9", "z", "é", "\uffff", "\U0001f600"]
    assert texts[:] == texts.range() == in_order
    assert texts.range(reverse=True) == texts[::-1] == in_order[::-1]
    assert (texts[1], texts.rank("9")) == ("10", 2)


def test_whatever_is_an_index_to_a_list_is_one_here(letters: RedisSortedSet[Any]) -> None:
    assert (letters[False], letters[True], letters[Three()]) == ("a", "b", "d")  # type: ignore[call-overload]
    assert letters[True : Three()] == ["b", "c"]
    assert letters.sample(True) in (["a"], ["b"], ["c"], ["d"])
    assert letters.range(offset=True, limit=True) == ["b"]


def test_no_item_of_that_rank_is_an_error_of_redset(letters: RedisSortedSet[Any]) -> None:
    with pytest.raises(RedsetError, match="redset 'letters': no item of rank 4"):
        letters[4]


# By score


@given(content=contents, span=spans, inclusive=inclusives)
def test_count_and_remove_range_go_by_the_scores(
    texts: SortedSet[str],
    content: dict[str, float],
    span: tuple[float, float],
    inclusive: tuple[bool, bool],
) -> None:
    model = fill(texts, content)
    kept = [item for item in model if not between(content[item], *span, inclusive)]
    assert texts.count(*span, inclusive=inclusive) == len(model) - len(kept)
    assert texts[:] == model
    assert texts.remove_range(*span, inclusive=inclusive) == len(model) - len(kept)
    assert texts[:] == kept


@given(
    content=contents,
    span=spans,
    inclusive=inclusives,
    offset=st.integers(0, 3),
    limit=st.one_of(st.none(), st.integers(0, 3)),
    reverse=st.booleans(),
)
def test_range_is_a_part_of_the_items_between_its_ends(
    texts: SortedSet[str],
    content: dict[str, float],
    span: tuple[float, float],
    inclusive: tuple[bool, bool],
    offset: int,
    limit: int | None,
    reverse: bool,
) -> None:
    model = fill(texts, content)
    found = [item for item in model if between(content[item], *span, inclusive)]
    found = found[::-1][offset:] if reverse else found[offset:]
    assert (
        texts.range(*span, inclusive=inclusive, offset=offset, limit=limit, reverse=reverse)
        == found[:limit]
    )


def test_an_offset_and_a_limit_may_be_of_any_size(letters: RedisSortedSet[Any]) -> None:
    for size in HUGE[:5]:
        assert letters.range(limit=size) == [*"abcd"]
        assert letters.range(offset=1, limit=size, reverse=True) == [*"cba"]
        assert letters.range(offset=size) == letters.range(offset=size, limit=size) == []


@pytest.mark.parametrize(("end", "counted"), [(2, 3), (Decimal("2.5"), 3), (Fraction(3, 2), 1)])
def test_an_end_is_any_real_number(letters: RedisSortedSet[Any], end: Any, counted: int) -> None:
    assert letters.count(max=end) == len(letters.range(-INF, end)) == counted
    assert letters.remove_range(max=end) == counted


def test_an_end_is_exact_to_its_last_digit(letters: RedisSortedSet[Any]) -> None:
    now = 1_700_000_000.123456
    then = math.nextafter(now, INF)
    letters.add("now", now)
    letters.add("then", then)
    assert (letters.range(now, now), letters.range(then)) == (["now"], ["then"])
    assert (letters.count(then), letters.remove_range(now, then, inclusive=(False, True))) == (1, 1)
    assert letters[-1] == "now"


def test_without_ends_it_is_the_whole_set(letters: RedisSortedSet[Any]) -> None:
    letters.add("first", -INF)
    letters.add("last", INF)
    assert letters.range() == ["first", "a", "b", "c", "d", "last"]
    assert letters.count() == letters.remove_range() == 6
    assert letters.count() == letters.remove_range() == 0


def test_scores_are_those_of_the_items_in_turn(letters: RedisSortedSet[Any]) -> None:
    letters.add("zero", 0)
    asked = ["d", "missing", "a", object(), "d", "zero"]
    assert letters.scores(*asked) == [3.0, None, 1.0, None, 3.0, 0.0]


def test_scores_of_many_thousands_are_whole(client: redis.Redis, round_trips: RoundTrips) -> None:
    many: RedisSortedSet[Any] = RedisSortedSet(client, "many", scorer=float)
    many.update(range(0, 12_000, 2))
    asked: list[Any] = [*range(12_000)]
    asked.insert(4_999, object())
    expected = [float(n) if n % 2 == 0 else None for n in range(12_000)]
    expected.insert(4_999, None)
    with round_trips(client) as count:
        assert many.scores(*asked) == expected
    assert count.value == 3


@pytest.mark.parametrize("absent", [object(), {"a"}, frozenset({1})])
def test_what_can_not_be_in_the_set_has_no_rank(letters: RedisSortedSet[Any], absent: Any) -> None:
    assert (letters.rank(absent), letters.scores(absent)) == (None, [None])


def test_a_set_is_looked_up_as_its_frozenset(letters: RedisSortedSet[Any]) -> None:
    letters.add(frozenset({"a"}), 7)
    assert (letters.rank({"a"}), letters.scores({"a"})) == (4, [7.0])


# Raising scores


def test_increment_raises_the_score_and_gives_it(letters: RedisSortedSet[Any]) -> None:
    assert (letters.increment("a"), letters.increment("a", 2.25)) == (2.0, 4.25)
    assert letters.increment("b", -2) == letters.score("b") == 0.0
    assert list(letters.items()) == [("b", 0.0), ("c", 2.0), ("d", 3.0), ("a", 4.25)]


@pytest.mark.parametrize("amount", [0, -1, 0.1, 1_700_000_000.123456, 5e-324, INF, Decimal("0.5")])
def test_increment_adds_what_is_not_there_from_zero(
    letters: RedisSortedSet[Any], amount: Any
) -> None:
    raised = letters.increment("new", amount)
    assert raised == letters.score("new") == float(amount)
    assert type(raised) is float


@given(amounts=st.lists(st.floats(-1e300, 1e300), min_size=1, max_size=5))
def test_increments_add_up_as_floats_do(letters: RedisSortedSet[Any], amounts: list[float]) -> None:
    letters.add("sum", 0)
    total = 0.0
    for amount in amounts:
        total += amount
        assert letters.increment("sum", amount) == total


RAISES: dict[str, Callable[[RedisSortedSet[Any], str, float], object]] = {
    "increment": lambda letters, item, amount: letters.increment(item, amount),
    "add": lambda letters, item, amount: letters.add(item, amount, on_conflict="sum"),
}


@pytest.mark.parametrize("name", RAISES)
@pytest.mark.parametrize("score", [INF, -INF])
def test_a_sum_that_is_no_number_is_an_error_and_changes_nothing(
    letters: RedisSortedSet[Any], name: str, score: float
) -> None:
    letters.add("a", score)
    with pytest.raises(InvalidValueError, match="redset 'letters'"):
        RAISES[name](letters, "a", -score)
    assert letters.score("a") == score


# Adding what may be there


@pytest.mark.parametrize(
    ("conflict", "after_lower", "after_higher"),
    [("replace", 1, 3), ("keep", 2, 2), ("min", 1, 2), ("max", 2, 3), ("sum", 3, 5)],
)
def test_on_conflict_says_which_score_an_item_has_then(
    letters: RedisSortedSet[Any], conflict: OnConflict, after_lower: float, after_higher: float
) -> None:
    assert letters.add("b", 1, on_conflict=conflict) == letters.score("b") == after_lower
    assert letters.add("c", 3, on_conflict=conflict) == letters.score("c") == after_higher
    assert letters.add("new", 0, on_conflict=conflict) == letters.score("new") == 0.0
    assert letters.add("newer", on_conflict=conflict) == letters.score("newer") == 5.0
    assert len(letters) == 6


@pytest.mark.parametrize("conflict", ["keep", "min", "max", "sum"])
@pytest.mark.parametrize("score", [0, -0.5, 1_700_000_000.123456, 5e-324, 1e308, -INF, INF])
def test_on_conflict_keeps_a_new_items_score_as_it_is(
    letters: RedisSortedSet[Any], conflict: OnConflict, score: float
) -> None:
    assert letters.add("new", score, on_conflict=conflict) == letters.score("new") == score


def test_keep_leaves_an_item_its_place_in_the_queue(client: redis.Redis) -> None:
    queue: TimeSortedSet[str] = TimeSortedSet(client, "queue")
    queue.update(["a", "b"])
    queue.add("a", on_conflict="keep")
    assert queue[:] == ["a", "b"]
    queue.add("a")
    assert queue[:] == ["b", "a"]


# At random


def test_a_sample_has_up_to_so_many_different_items(client: redis.Redis) -> None:
    numbers: RedisSortedSet[int] = RedisSortedSet(client, "numbers", scorer=lambda item: item % 3)
    numbers.update(range(50))
    # In this order: asked for as many with repeats, a server would be busy for ever.
    for k in [0, 1, 2, 10, 40, 49, 50, 51, 1_000, *HUGE[:5]]:
        found = numbers.sample(k)
        assert len(found) == len(set(found)) == min(k, 50)
        assert set(found) <= set(range(50))
        pairs = numbers.sample(k, with_scores=True)
        assert len(pairs) == len({item for item, _ in pairs}) == min(k, 50)
        assert all(score == item % 3 for item, score in pairs)
    assert len(numbers) == 50


def test_chance_comes_to_every_item_in_time(letters: RedisSortedSet[Any]) -> None:
    assert {letters.random() for _ in range(300)} == set("abcd")
    assert {item for _ in range(150) for item in letters.sample(2)} == set("abcd")
    assert len(letters) == 4


def test_an_empty_set_has_nothing_to_choose_from(texts: SortedSet[str]) -> None:
    assert texts.sample(3) == texts.sample(0) == []
    with pytest.raises(EmptySetError, match="redset 'texts': no item to choose from"):
        texts.random()


# What is true of all


def test_an_empty_set_has_no_ranks_and_no_range(texts: SortedSet[str]) -> None:
    assert texts[:] == texts[::-1] == texts[-3:5] == texts.range() == []
    assert texts.count() == texts.remove_range() == 0
    assert (texts.rank("a"), texts.scores("a", "b"), texts.scores()) == (None, [None, None], [])


OPERATIONS: dict[str, Call] = {
    "index": lambda letters: letters[2],
    "index from the end": lambda letters: letters[-2],
    "slice": lambda letters: letters[1:3],
    "slice from the end": lambda letters: letters[-3:-1],
    "slice with a step": lambda letters: letters[-1::-2],
    "whole slice": lambda letters: letters[:],
    "rank": lambda letters: letters.rank("c"),
    "reverse rank": lambda letters: letters.rank("c", reverse=True),
    "scores": lambda letters: letters.scores("a", *range(4_999)),
    "count": lambda letters: letters.count(1, 2),
    "range": lambda letters: letters.range(1, 2, offset=1, limit=1),
    "reverse range": lambda letters: letters.range(reverse=True),
    "remove_range": lambda letters: letters.remove_range(2),
    "increment": lambda letters: letters.increment("a", 2),
    "random": lambda letters: letters.random(),
    "sample": lambda letters: letters.sample(3),
    "add, replace": lambda letters: letters.add("a", 4, on_conflict="replace"),
    "add, keep": lambda letters: letters.add("a", 4, on_conflict="keep"),
    "add, min": lambda letters: letters.add("a", 4, on_conflict="min"),
    "add, max": lambda letters: letters.add("a", 4, on_conflict="max"),
    "add, sum": lambda letters: letters.add("a", 4, on_conflict="sum"),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_it_takes_one_round_trip(
    letters: RedisSortedSet[Any], round_trips: RoundTrips, name: str
) -> None:
    with round_trips(letters._runner.client) as count:
        OPERATIONS[name](letters)
    assert count.value == 1


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_key_of_another_type_is_named(client: redis.Redis, name: str) -> None:
    client.rpush("letters", "a list")
    with pytest.raises(KeyTypeError, match=r"redset 'letters': the key holds another Redis type"):
        OPERATIONS[name](RedisSortedSet(client, "letters"))
    assert client.llen("letters") == 1


ENDS: dict[str, Callable[..., Call]] = {
    "count": lambda *ends, **more: lambda letters: letters.count(*ends, **more),
    "range": lambda *ends, **more: lambda letters: letters.range(*ends, **more),
    "remove_range": lambda *ends, **more: lambda letters: letters.remove_range(*ends, **more),
}


def refuses(
    letters: RedisSortedSet[Any],
    round_trips: RoundTrips,
    call: Call,
    error: type[Exception],
    words: str,
) -> None:
    """Check that *call* raises an error that names the set and says *words*, and sends nothing."""
    with round_trips(letters._runner.client) as count, pytest.raises(error, match=words) as caught:
        call(letters)
    assert count.value == 0
    assert str(caught.value).startswith("redset 'letters': ")


@pytest.mark.parametrize("name", ENDS)
@pytest.mark.parametrize(
    ("ends", "options", "error", "words"),
    [
        ((math.nan,), {}, InvalidValueError, "'min' must be a real number, got nan"),
        ((0, math.nan), {}, InvalidValueError, "'max' must be a real number, got nan"),
        ((2**53 + 1,), {}, InvalidValueError, "got 9007199254740993"),
        ((0, 10**400), {}, InvalidValueError, "that a float can hold, got 10000"),
        ((Decimal("nan"),), {}, InvalidValueError, "got nan"),
        (("1",), {}, InvalidTypeError, "'min' must be a real number, got str '1'"),
        (("(1",), {}, InvalidTypeError, r"got str '\(1'"),
        ((0, "+inf"), {}, InvalidTypeError, r"'max' .* got str '\+inf'"),
        ((None,), {}, InvalidTypeError, "'min' .* got NoneType None"),
        ((0, 1j), {}, InvalidTypeError, "'max' .* got complex 1j"),
        ((), {"inclusive": True}, InvalidTypeError, "inclusive must be two bools, got True"),
        ((), {"inclusive": "ab"}, InvalidTypeError, "inclusive must be two bools, got 'ab'"),
        ((), {"inclusive": (True,)}, InvalidTypeError, "inclusive must be two bools"),
        ((), {"inclusive": (True, True, False)}, InvalidTypeError, "inclusive must be two bools"),
    ],
)
def test_bad_ends_are_refused_before_anything_is_sent(
    letters: RedisSortedSet[Any],
    round_trips: RoundTrips,
    name: str,
    ends: tuple[Any, ...],
    options: dict[str, Any],
    error: type[Exception],
    words: str,
) -> None:
    refuses(letters, round_trips, ENDS[name](*ends, **options), error, words)


BAD_TYPES: dict[str, tuple[Call, str]] = {
    "index of text": (lambda s: s["1"], "index must be an integer, got str '1'"),
    "index of float": (lambda s: s[1.0], "index must be an integer, got float 1.0"),
    "index of none": (lambda s: s[None], "index must be an integer, got NoneType"),
    "index of two": (lambda s: s[0, 1], "index must be an integer, got tuple"),
    "start": (lambda s: s["a":], "slice must be an integer, got str 'a'"),
    "stop": (lambda s: s[:1.5], "slice must be an integer, got float 1.5"),
    "step": (lambda s: s[::"2"], "slice must be an integer, got str '2'"),
    "offset": (lambda s: s.range(offset="1"), "offset must be an integer, got str '1'"),
    "no offset": (lambda s: s.range(offset=None), "offset must be an integer"),
    "limit": (lambda s: s.range(limit=1.5), "limit must be an integer, got float 1.5"),
    "k": (lambda s: s.sample("2"), "k must be an integer, got str '2'"),
    "no k": (lambda s: s.sample(None), "k must be an integer, got NoneType"),
    "amount": (lambda s: s.increment("a", "1"), "must be a real number, got str '1'"),
    "no amount": (lambda s: s.increment("a", None), "must be a real number, got None"),
    "score": (lambda s: s.add("a", "1", on_conflict="max"), "must be a real number, got str '1'"),
}


@pytest.mark.parametrize("name", BAD_TYPES)
def test_a_wrong_type_is_refused_before_anything_is_sent(
    letters: RedisSortedSet[Any], round_trips: RoundTrips, name: str
) -> None:
    call, words = BAD_TYPES[name]
    refuses(letters, round_trips, call, InvalidTypeError, words)


BAD_VALUES: dict[str, tuple[Call, str]] = {
    "step of zero": (lambda s: s[::0], "slice step cannot be zero"),
    "step of false": (lambda s: s[3:1:False], "slice step cannot be zero"),
    "offset": (lambda s: s.range(offset=-1), "must be 0 or more, got -1 and None"),
    "limit": (lambda s: s.range(limit=-1), "must be 0 or more, got 0 and -1"),
    "huge limit": (lambda s: s.range(limit=-(10**30)), "must be 0 or more, got 0 and -10000"),
    "k": (lambda s: s.sample(-1), "k must be 0 or more, got -1"),
    "amount": (lambda s: s.increment("a", math.nan), "must be a real number, got nan"),
    "odd amount": (lambda s: s.increment("a", 2**53 + 1), "got 9007199254740993"),
    "huge amount": (lambda s: s.increment("a", 10**400), "that a float can hold, got 10000"),
    "score": (lambda s: s.add("a", math.nan, on_conflict="min"), "a real number, got nan"),
    "conflict": (lambda s: s.add("a", 1, on_conflict="first"), "sum; got 'first'"),
    "no conflict": (lambda s: s.add("a", 1, on_conflict=None), "sum; got None"),
}


@pytest.mark.parametrize("name", BAD_VALUES)
def test_a_wrong_value_is_refused_before_anything_is_sent(
    letters: RedisSortedSet[Any], round_trips: RoundTrips, name: str
) -> None:
    call, words = BAD_VALUES[name]
    refuses(letters, round_trips, call, InvalidValueError, words)


UNHASHABLE: dict[str, Call] = {
    "rank": lambda letters: letters.rank([]),
    "scores": lambda letters: letters.scores("a", []),
    "increment": lambda letters: letters.increment([]),
    "add": lambda letters: letters.add([], 1, on_conflict="keep"),
}


@pytest.mark.parametrize("name", UNHASHABLE)
def test_an_unhashable_item_is_refused_before_anything_is_sent(
    letters: RedisSortedSet[Any], round_trips: RoundTrips, name: str
) -> None:
    with round_trips(letters._runner.client) as count, pytest.raises(TypeError, match="unhashable"):
        UNHASHABLE[name](letters)
    assert count.value == 0


NOTHING_TO_ASK: dict[str, Call] = {
    "slice": lambda letters: letters[3:0],
    "slice backwards": lambda letters: letters[0:-1:-1],
    "range": lambda letters: letters.range(limit=0),
    "sample": lambda letters: letters.sample(0),
    "scores": lambda letters: letters.scores(),
}


@pytest.mark.parametrize("name", NOTHING_TO_ASK)
def test_what_is_empty_anyway_sends_nothing(
    letters: RedisSortedSet[Any], round_trips: RoundTrips, name: str
) -> None:
    with round_trips(letters._runner.client) as count:
        assert NOTHING_TO_ASK[name](letters) == []
    assert count.value == 0


# Members that are no items


READS: dict[str, tuple[Call, list[Any]]] = {
    "whole slice": (lambda spoilt: spoilt[:], ["a", "b"]),
    "slice": (lambda spoilt: spoilt[:2], ["a"]),
    "slice of nothing else": (lambda spoilt: spoilt[::2], []),
    "slice backwards": (lambda spoilt: spoilt[::-1], ["b", "a"]),
    "range": (lambda spoilt: spoilt.range(0, 2), ["a"]),
    "range with a limit": (lambda spoilt: spoilt.range(offset=1, limit=2), ["a"]),
    "range backwards": (lambda spoilt: spoilt.range(reverse=True), ["b", "a"]),
}


@pytest.mark.parametrize("name", READS)
def test_an_unreadable_member_is_logged_and_left_out(
    spoilt: RedisSortedSet[Any], caplog: pytest.LogCaptureFixture, name: str
) -> None:
    call, expected = READS[name]
    with caplog.at_level(logging.ERROR, logger="redset"):
        assert call(spoilt) == expected
    assert "redset 'spoilt': can't deserialize b'\\xf" in caplog.text
    assert len(spoilt) == 4


def test_an_unreadable_member_has_its_rank(spoilt: RedisSortedSet[Any]) -> None:
    assert [spoilt[rank] for rank in range(-4, 4)] == [None, "a", None, "b"] * 2
    assert (spoilt.rank("a"), spoilt.rank("b"), spoilt.rank("a", reverse=True)) == (1, 3, 2)
    assert (spoilt[1::2], spoilt.count()) == (["a", "b"], 4)
    assert sorted(spoilt.sample(4)) == ["a", "b"]


def test_an_unreadable_member_is_removed_with_its_range(spoilt: RedisSortedSet[Any]) -> None:
    assert spoilt.remove_range(0, 1) == 2
    assert list(spoilt.items()) == [("b", 3.0)]


def test_random_takes_no_set_for_empty_that_holds_unreadable_members(
    spoilt: RedisSortedSet[Any],
) -> None:
    assert {spoilt.random() for _ in range(40)} <= {"a", "b", None}


# A set of what is due


def test_a_scheduled_set_ranks_and_ranges_over_all(client: redis.Redis) -> None:
    jobs: ScheduledSet[str] = ScheduledSet(client, "jobs", clock=lambda: 100.0)
    for item, score in [("late", 300), ("soon", 200), ("due", 100)]:
        jobs.add(item, score)
    assert (jobs[:], jobs[-1], jobs[1:]) == (["due", "soon", "late"], "late", ["soon", "late"])
    assert (jobs.range(150), jobs.range(limit=1, reverse=True)) == (["soon", "late"], ["late"])
    assert (jobs.count(), jobs.rank("late"), jobs.scores("late", "due")) == (3, 2, [300.0, 100.0])
    assert set(jobs.sample(3)) == {"due", "soon", "late"}
    assert jobs.remove_range(150) == 2
    assert jobs.random() == "due"
