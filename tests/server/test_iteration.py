"""Iteration comes in pages, and is exact whatever others add or remove between them."""

import math
from collections.abc import Callable, Iterator
from itertools import islice, product
from typing import Any

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from redset import RedisSortedSet
from redset._plans import iteration
from tests.server.conftest import RoundTrips

TOTAL = 2_000
# Pages hold 100, 400, 1,600, … items: the reader is in the second page, and item 499 is the last
# that it was sent.
READ, LAST_SENT = 150, 499

SCORES = [-math.inf, -1.5, 0.0, 5e-324, 1_700_000_000.123456, 1_700_000_000.1234562, math.inf]
MEMBERS = [b"", b"\x00", b"a", b"a\x00", b"a\x7f", b"a\x80", b"a\xff", b"\x80", b"\xff"]

Read = Callable[[Any], Iterator[bytes]]

both_ways = pytest.mark.parametrize("read", [iter, reversed], ids=["forward", "backward"])
ties_or_none = pytest.mark.parametrize("step", [0, 0.1], ids=["one score", "many scores"])


class Raw:
    """Items are their members."""

    def dumps(self, item: bytes) -> bytes:
        return item

    def loads(self, member: bytes) -> bytes:
        return member


def numbered(number: int, suffix: bytes = b"") -> bytes:
    return b"%05d%b" % (number, suffix)


def filled(client: redis.Redis, step: float) -> RedisSortedSet[bytes]:
    items: RedisSortedSet[bytes] = RedisSortedSet(
        client, "items", scorer=lambda item: int(item[:5]) * step, serializer=Raw()
    )
    items.update(map(numbered, range(TOTAL)))
    return items


def read_around(
    items: RedisSortedSet[bytes], read: Read, change: Callable[[list[bytes]], Any]
) -> list[bytes]:
    """Read some pages, let *change* have the items in the order of reading, read the rest."""
    in_order = list(read([numbered(number) for number in range(TOTAL)]))
    reading = read(items)
    found = list(islice(reading, READ))
    change(in_order)
    found += reading
    assert len(found) == len(set(found))
    return found


@both_ways
@ties_or_none
def test_items_that_stay_come_once_while_others_are_removed(
    client: redis.Redis, read: Read, step: float
) -> None:
    items = filled(client, step)

    def remove_many(in_order: list[bytes]) -> None:
        for item in in_order[50 : LAST_SENT + 100 : 3] + in_order[LAST_SENT : LAST_SENT + 9]:
            items.discard(item)

    found = read_around(items, read, remove_many)
    stayed = list(read(items))
    assert [item for item in found if item in set(stayed)] == stayed


@both_ways
@ties_or_none
def test_items_that_stay_come_once_while_others_are_popped(
    client: redis.Redis, read: Read, step: float
) -> None:
    items = filled(client, step)
    found = read_around(items, read, lambda _: items.take(LAST_SENT + 100))
    stayed = list(read(items))
    assert len(stayed) == TOTAL - LAST_SENT - 100
    assert [item for item in found if item in set(stayed)] == stayed


@both_ways
@ties_or_none
def test_items_that_stay_come_once_while_others_are_added(
    client: redis.Redis, read: Read, step: float
) -> None:
    items = filled(client, step)
    before = list(read(items))
    found = read_around(
        items, read, lambda _: items.update(numbered(number, b"!") for number in range(TOTAL))
    )
    assert [item for item in found if item in set(before)] == before
    # What was added beyond the page at hand is seen, what was added before it is not.
    added = [item for item in found if item not in set(before)]
    assert TOTAL - LAST_SENT - 1 <= len(added) <= TOTAL - LAST_SENT


@both_ways
@ties_or_none
@pytest.mark.parametrize("score", [-math.inf, math.inf], ids=["to the front", "to the end"])
def test_the_other_items_come_once_when_the_last_one_sent_moves(
    client: redis.Redis, read: Read, step: float, score: float
) -> None:
    items = filled(client, step)
    before = list(read(items))
    last_sent = before[LAST_SENT]
    reading = read(items)
    found = list(islice(reading, READ))
    items.add(last_sent, score=score)
    found += reading
    before.remove(last_sent)
    assert [item for item in found if item != last_sent] == before


@both_ways
def test_the_last_one_sent_may_move_and_still_have_the_rank_that_it_had(
    client: redis.Redis, read: Read
) -> None:
    items = filled(client, 1)
    in_order = list(read(items))
    first, last_sent, next_one = in_order[0], in_order[LAST_SENT], in_order[LAST_SENT + 1]
    reading = read(items)
    found = list(islice(reading, READ))
    # One before it goes, and it moves behind the next one: as many as ever come before it.
    items.discard(first)
    items.add(last_sent, score=(items.score(next_one) or 0.0) + (0.5 if read is iter else -0.5))
    found += reading
    assert next_one in found
    assert [item for item in found if item != last_sent] == [
        item for item in in_order if item != last_sent
    ]


@both_ways
def test_pages_take_one_round_trip_and_one_more_when_a_change_is_noticed(
    client: redis.Redis, read: Read, round_trips: RoundTrips
) -> None:
    items = filled(client, 1)
    reading = read(items)
    found = list(islice(reading, READ))
    items.discard(found[0])
    next(iter(reading))
    with round_trips(client) as count:
        assert len(list(reading)) == TOTAL - READ - 1
    # 500 were sent; the next page of 1,600 needs the script, the one after that is by rank again.
    assert count.value == 2


@both_ways
def test_binary_items_of_one_score_come_in_order_of_their_bytes_while_all_are_removed(
    client: redis.Redis, read: Read
) -> None:
    items: RedisSortedSet[bytes] = RedisSortedSet(client, "items", serializer=Raw())
    some = [0, 1, 10, 13, 32, 65, 97, 127, 128, 195, 228, 255]
    members = [bytes(word) for length in range(4) for word in product(some, repeat=length)]
    items.update(members)
    found = []
    for item in read(items):
        found.append(item)
        items.discard(item)
    assert found == list(read(sorted(members)))


def test_scores_of_many_digits_keep_their_order_and_value_while_all_are_removed(
    client: redis.Redis,
) -> None:
    scores = [1_700_000_000.123456]
    while len(scores) < 700:
        scores.append(math.nextafter(scores[-1], math.inf))
    scores = sorted({*SCORES, *scores, -5e-324, 0.1 + 0.2, 1e-300, 1.7976931348623157e308})
    items: RedisSortedSet[bytes] = RedisSortedSet(client, "items", serializer=Raw())
    # The bytes run against the scores, so that only the score can put them in order.
    expected = [(numbered(1_000 - place), score) for place, score in enumerate(scores)]
    for item, score in expected:
        items.add(item, score=score)
    found = []
    for item, score in items.items():
        found.append((item, score))
        items.discard(item)
    assert found == expected


@both_ways
def test_ten_thousand_items_come_in_a_few_round_trips(
    client: redis.Redis, round_trips: RoundTrips, read: Read
) -> None:
    items: RedisSortedSet[int] = RedisSortedSet(client, "items", scorer=int)
    items.update(range(10_000))
    with round_trips(client) as count:
        assert list(read(items)) == list(read(range(10_000)))
    assert count.value <= 6


def test_pages_of_large_items_hold_few_of_them(
    client: redis.Redis, round_trips: RoundTrips
) -> None:
    items: RedisSortedSet[bytes] = RedisSortedSet(client, "items", serializer=Raw())
    members = [numbered(number, bytes(100_000)) for number in range(150)]
    items.update(members)
    with round_trips(client) as count:
        assert list(items) == members
    # After the first 100 items their size is known: about 1 MiB, so 10 items, a page.
    assert count.value >= 1 + 50 // 11


changes = st.one_of(
    st.tuples(st.just("read"), st.integers(1, 5)),
    st.tuples(st.just("discard"), st.sampled_from(MEMBERS)),
    st.tuples(st.just("add"), st.tuples(st.sampled_from(MEMBERS), st.sampled_from(SCORES))),
)


def pairs(items: RedisSortedSet[bytes]) -> Iterator[tuple[bytes, float]]:
    return items.items()


@pytest.mark.parametrize("read", [iter, reversed, pairs])
@given(
    start=st.dictionaries(st.sampled_from(MEMBERS), st.sampled_from(SCORES)),
    steps=st.lists(changes, max_size=30),
)
def test_any_interleaving_reads_what_stays_exactly_once_and_nothing_that_never_was(
    client: redis.Redis,
    read: Callable[[Any], Iterator[Any]],
    start: dict[bytes, float],
    steps: list[tuple[str, Any]],
) -> None:
    items: RedisSortedSet[bytes] = RedisSortedSet(client, "items", serializer=Raw())
    items.clear()
    for member, score in start.items():
        items.add(member, score=score)
    steady, ever = dict(start), set(start.items())
    found: list[Any] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(iteration, "FIRST_PAGE", 1)
        patch.setattr(iteration, "LAST_PAGE", 2)
        reading = read(items)
        for step, given_with in [*steps, ("read", None)]:
            if step == "read":
                found += islice(reading, given_with)
            elif step == "discard":
                items.discard(given_with)
                steady.pop(given_with, None)
            else:
                member, score = given_with
                items.add(member, score=score)
                ever.add(given_with)
                if steady.get(member) != score:
                    steady.pop(member, None)
    if read is pairs:
        places = [(score, member) for member, score in found]
        assert places == sorted(set(places))
        assert ever.issuperset(found)
        assert steady.items() <= set(found)
    else:
        stayed = sorted(steady, key=lambda member: (steady[member], member))
        expected = stayed[::-1] if read is reversed else stayed
        assert [member for member in found if member in steady] == expected
        assert {member for member, _ in ever}.issuperset(found)
