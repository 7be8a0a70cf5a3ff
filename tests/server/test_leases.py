"""Leases: what is handed out until a deadline is done, given back, or comes back by itself."""

import gc
import json
import math
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from redset import RedisSortedSet, ScheduledSet, SortedSet
from redset.exceptions import InvalidTypeError, InvalidValueError, LeaseLost
from redset.leases import Lease
from tests.proxy import LossyProxy
from tests.server.conftest import MakeClient, RoundTrips
from tests.server.test_lost_replies import behind

Numbers = RedisSortedSet[int]

WAIT = 60.0
# A lease that a test lets run out, and a time after which it surely has.
SHORT, OVER = 0.02, 0.05


@pytest.fixture
def numbers(client: redis.Redis) -> Numbers:
    """0 to 9, each with itself as the score."""
    found: Numbers = RedisSortedSet(client, "numbers", scorer=int)
    found.update(range(10))
    return found


def companions(client: redis.Redis) -> set[bytes]:
    """Keys that are left, but for those that a call's answer is kept in for a while."""
    keys: Any = client.execute_command("KEYS", "*", NEVER_DECODE=True)
    return {key for key in keys if b":given:" not in key}


def expire(lease: Lease[Any]) -> None:
    lease.extend(0.001)
    time.sleep(OVER)


# The block


def test_a_normal_exit_acknowledges_all(client: redis.Redis, numbers: Numbers) -> None:
    with numbers.lease(3, ttl=60) as batch:
        assert list(batch) == [0, 1, 2]
        assert numbers.stats().leased == 3
        assert list(numbers) == list(range(3, 10))
    assert list(numbers) == list(range(3, 10))
    assert companions(client) == {b"numbers"}


def test_an_exception_gives_all_back_where_they_were(client: redis.Redis, numbers: Numbers) -> None:
    with pytest.raises(ZeroDivisionError), numbers.lease(3):
        raise ZeroDivisionError
    assert list(numbers.items()) == [(number, float(number)) for number in range(10)]
    assert companions(client) == {b"numbers", b"{numbers}:deliveries"}


def test_what_was_settled_in_the_block_stays_settled(numbers: Numbers) -> None:
    with pytest.raises(ZeroDivisionError), numbers.lease(3) as batch:
        batch.ack(1)
        batch.release(2, score=-1)
        raise ZeroDivisionError
    assert list(numbers) == [2, 0, *range(3, 10)]


def test_a_lease_is_a_sequence_of_its_items(numbers: Numbers) -> None:
    batch = numbers.lease(3)
    assert (len(batch), batch[0], batch[-1], batch[1:]) == (3, 0, 2, [1, 2])
    assert 1 in batch
    assert 5 not in batch
    assert list(reversed(batch)) == [2, 1, 0]
    batch.ack()
    assert list(batch) == [0, 1, 2]


def test_what_a_signal_handler_settles_in_the_middle_of_a_call_is_left_out(
    numbers: Numbers,
) -> None:
    numbers.update([1, 2])
    lease = numbers.lease(2, 60)
    held = lease._held

    def members() -> Iterator[bytes]:
        for member in list(held.unsettled):
            lease.ack()  # as a handler would, in the middle of the call that asks for members
            yield member

    assert list(held.by_lease(members(), 10)) == []
    assert numbers.stats().leased == 0


def test_a_set_without_items_gives_an_empty_lease(numbers: Numbers) -> None:
    numbers.clear()
    with numbers.lease(5) as batch:
        assert not batch
        assert list(batch) == []


@pytest.mark.parametrize("num", [0, -1])
def test_fewer_than_one_item_is_asked_of_nobody(
    client: redis.Redis, numbers: Numbers, round_trips: RoundTrips, num: int
) -> None:
    with round_trips(client) as count, numbers.lease(num) as batch:
        assert not batch
    assert count.value == 0


def test_lease_and_ack_of_100_items_take_two_round_trips(
    client: redis.Redis, numbers: Numbers, round_trips: RoundTrips
) -> None:
    numbers.update(range(100))
    with round_trips(client) as count, numbers.lease(100) as batch:
        assert len(batch) == 100
    assert count.value == 2
    assert len(numbers) == 0


def test_ten_thousand_items_can_be_leased_and_settled_at_once(numbers: Numbers) -> None:
    numbers.update(range(10_000))
    numbers.lease(10_000).release()
    assert len(numbers) == 10_000
    with numbers.lease(10_000) as batch:
        batch.extend(60)
    assert sum(numbers.stats()) == 0


# Settling


def test_ack_release_and_extend_take_those_that_are_named(numbers: Numbers) -> None:
    batch = numbers.lease(5)
    batch.ack(0, 4)
    batch.release(1)
    assert list(numbers) == [1, *range(5, 10)]
    assert {leased.item for leased in numbers.leased()} == {2, 3}
    batch.ack()
    assert numbers.stats().leased == 0


def test_a_released_item_can_have_another_score(numbers: Numbers) -> None:
    numbers.lease(1).release(score=99)
    assert list(numbers.items())[-1] == (0, 99.0)


def test_a_released_item_can_be_kept_back_for_a_while(numbers: Numbers) -> None:
    numbers.clear()
    numbers.add(1)
    numbers.lease(1).release(delay=60)
    assert numbers.take(5) == []
    [kept_back] = numbers.leased()
    assert (kept_back.item, kept_back.score, kept_back.deliveries) == (1, 1.0, 1)
    assert kept_back.expires > time.time() + 30
    numbers.clear()
    numbers.add(1)
    numbers.lease(1).release(delay=SHORT, score=7)
    time.sleep(OVER)
    assert numbers.take(5) == [1]


def test_what_is_kept_back_is_not_the_former_holders(numbers: Numbers) -> None:
    batch = numbers.lease(1)
    batch.release(delay=60)
    with pytest.raises(InvalidValueError, match="not in this lease"):
        batch.ack(0)
    batch.ack()
    assert (numbers.stats().leased, numbers.stats().delayed) == (0, 1)


@pytest.mark.parametrize("num", [1, 4])
def test_an_item_that_is_added_again_during_its_delay_is_delayed_no_more(
    client: redis.Redis, numbers: Numbers, num: int
) -> None:
    first = numbers.lease(2)
    given = list(first)
    first.release(*given, delay=60)
    numbers.update(given[:1])
    batch = numbers.lease(num)
    assert given[0] in batch
    assert (numbers.stats().leased, numbers.stats().delayed) == (len(batch), 1)
    batch.ack()
    assert (numbers.stats().leased, numbers.stats().delayed) == (0, 1)
    assert numbers.cancel(given[1]) == 1
    assert client.exists("{numbers}:delayed", "{numbers}:leased") == 0


def test_an_item_is_found_by_equality_as_in_a_set(numbers: Numbers) -> None:
    batch = numbers.lease(2)
    batch.ack(1.0)  # type: ignore[arg-type]
    assert [leased.item for leased in numbers.leased()] == [0]


@pytest.mark.parametrize("verb", ["ack", "release", "deliveries"])
def test_what_is_not_in_the_lease_is_an_error_before_anything_is_sent(
    client: redis.Redis, numbers: Numbers, round_trips: RoundTrips, verb: str
) -> None:
    batch = numbers.lease(2)
    call: Callable[..., Any] = getattr(batch, verb)
    arguments = (7,) if verb == "deliveries" else (1, 7)
    words = "redset 'numbers': 7 is not in this lease"
    with round_trips(client) as count, pytest.raises(InvalidValueError, match=words):
        call(*arguments)
    assert count.value == 0
    assert numbers.stats().leased == 2


def test_settling_nothing_sends_nothing(
    client: redis.Redis, numbers: Numbers, round_trips: RoundTrips
) -> None:
    batch = numbers.lease(2)
    batch.ack()
    with round_trips(client) as count:
        batch.ack()
        batch.release()
        batch.extend()
    assert count.value == 0


def test_a_lease_can_be_prolonged(numbers: Numbers) -> None:
    batch = numbers.lease(1, ttl=SHORT)
    batch.extend(60)
    time.sleep(OVER)
    assert numbers.take(10) == list(range(1, 10))
    batch.ack()


# Running out


def test_what_runs_out_comes_back_in_score_order(numbers: Numbers) -> None:
    expire(numbers.lease(3))
    assert numbers.take(4) == [0, 1, 2, 3]
    expire(numbers.lease(2))
    assert numbers.pop() == 4
    expire(numbers.lease(2))
    # Its worker may have died of it, so it is not handed out with another.
    assert [list(numbers.lease(2)) for _ in range(3)] == [[5], [6, 7], [8, 9]]


def test_what_has_run_out_but_nobody_was_given_can_still_be_acknowledged(
    numbers: Numbers,
) -> None:
    batch = numbers.lease(3)
    expire(batch)
    batch.ack()
    assert numbers.take(10) == list(range(3, 10))


def test_a_lease_is_lost_once_somebody_else_was_given_its_items(numbers: Numbers) -> None:
    batch = numbers.lease(3)
    expire(batch)
    others = [numbers.lease(2), numbers.lease(2)]
    with pytest.raises(LeaseLost) as caught:
        batch.ack()
    # What came back is ready again, and so not his either: 2 is done once more.
    assert caught.value.items == [0, 1, 2]
    assert "redset 'numbers'" in str(caught.value)
    assert {leased.item for leased in numbers.leased()} == {0, 1}
    for other in others:
        other.ack()
    assert list(numbers) == list(range(2, 10))
    with pytest.raises(LeaseLost):
        batch.ack(0)


def test_the_rest_of_a_lost_lease_is_acknowledged(numbers: Numbers) -> None:
    batch = numbers.lease(3)
    batch.extend(60)
    numbers.add(1)  # is on lease: ready again at once
    other = numbers.lease(1)
    assert list(other) == [1]
    with pytest.raises(LeaseLost) as caught, batch:
        pass
    assert caught.value.items == [1]
    assert [leased.item for leased in numbers.leased()] == [1]


@pytest.mark.parametrize("verb", ["release", "extend"])
def test_nobody_settles_what_another_holds(numbers: Numbers, verb: str) -> None:
    batch = numbers.lease(2)
    expire(batch)
    other = numbers.lease(2, ttl=60)
    before = list(numbers.leased())
    with pytest.raises(LeaseLost) as caught:
        getattr(batch, verb)()
    assert caught.value.items == [0, 1]
    assert list(numbers.leased()) == before
    other.ack()


def test_an_error_in_the_block_is_not_hidden_by_a_lost_lease(
    numbers: Numbers, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ZeroDivisionError), numbers.lease(1) as batch:
        expire(batch)
        numbers.pop()
        raise ZeroDivisionError
    assert "ran out" in caplog.text


def test_the_clock_of_a_lease_is_the_servers(client: redis.Redis) -> None:
    wrong: ScheduledSet[str] = ScheduledSet(client, "jobs", clock=lambda: 5.0)
    wrong.add("a")
    batch = wrong.lease(1, ttl=60)
    assert abs(batch.deadline - time.time() - 60) < 30
    assert wrong.take(1) == []


def test_only_what_is_due_is_leased(client: redis.Redis) -> None:
    jobs: ScheduledSet[str] = ScheduledSet(client, "jobs", clock=lambda: 100.0)
    jobs.add("now", 100)
    jobs.add("later", 101)
    assert list(jobs.lease(5)) == ["now"]
    assert jobs.stats()._asdict() == {
        "ready": 1, "due": 0, "leased": 1, "delayed": 0, "expired": 0, "dead": 0, "undecodable": 0,
        "oldest": 0.0,
    }  # fmt: skip


def test_a_lease_is_renewed_while_its_block_runs(numbers: Numbers) -> None:
    with numbers.lease(2, ttl=0.6, renew=True):
        deadline = time.monotonic() + 1.5
        while time.monotonic() < deadline:
            assert numbers.stats().leased == 2
            time.sleep(0.05)
        assert numbers.take(10) == list(range(2, 10))
    assert sum(numbers.stats()) == 0


def test_a_renewal_that_comes_too_late_is_an_error_at_the_end(numbers: Numbers) -> None:
    with pytest.raises(LeaseLost) as caught, numbers.lease(2, ttl=3, renew=True) as batch:
        expire(Lease(numbers, batch._held, 1.0, renew=False))  # as a process that was suspended
        assert numbers.take(2) == [0, 1]
        renewed_by = time.monotonic() + WAIT
        while batch._held.unsettled and time.monotonic() < renewed_by:
            time.sleep(0.01)
    assert caught.value.items == [0, 1]


def test_no_thread_goes_on_after_the_block(numbers: Numbers) -> None:
    others = set(threading.enumerate())
    with numbers.lease(1, ttl=0.03, renew=True):
        time.sleep(0.1)
    gone_by = time.monotonic() + WAIT
    while any("redset renew" in each.name for each in set(threading.enumerate()) - others):
        assert time.monotonic() < gone_by
        time.sleep(0.01)


def test_one_thread_renews_the_leases_of_a_loop_one_after_the_other(numbers: Numbers) -> None:
    others = set(threading.enumerate())
    renewing: set[threading.Thread] = set()
    for number in numbers.consume(ttl=0.6, timeout=0):
        now = set(threading.enumerate()) - others
        renewing |= {each for each in now if "redset renew" in each.name}
        if number == 7:
            time.sleep(1.5)
            assert (numbers.stats().leased, numbers.stats().expired) == (1, 0)
    assert len(renewing) == 1
    gone_by = time.monotonic() + WAIT
    while not renewing.isdisjoint(threading.enumerate()):
        assert time.monotonic() < gone_by
        time.sleep(0.01)


# Deliveries and the dead


def test_deliveries_are_counted_until_an_item_is_done(
    client: redis.Redis, numbers: Numbers
) -> None:
    for count in (1, 2, 3):
        batch = numbers.lease(1)
        assert batch.deliveries(0) == count
        batch.release()
    expire(numbers.lease(1))
    batch = numbers.lease(1)
    assert batch.deliveries(0) == 5
    batch.ack()
    numbers.add(0)
    assert numbers.lease(1).deliveries(0) == 1


def test_a_plain_take_ends_the_counting(client: redis.Redis, numbers: Numbers) -> None:
    numbers.lease(3).release()
    assert client.hlen("{numbers}:deliveries") == 3
    numbers.take(2)
    numbers.pop()
    assert not client.exists("{numbers}:deliveries")


def test_counts_of_items_that_left_otherwise_do_not_pile_up(
    client: redis.Redis, numbers: Numbers
) -> None:
    numbers.lease(10).release()
    numbers.remove_range()
    numbers.add(99)
    numbers.lease(1)
    assert client.hlen("{numbers}:deliveries") == 0


@pytest.mark.parametrize("how", [Lease.release, expire])
@pytest.mark.parametrize("by_set", [True, False])
def test_what_came_back_too_often_is_dead(
    client: redis.Redis, numbers: Numbers, how: Callable[[Lease[int]], None], by_set: bool
) -> None:
    of_set, of_lease = (2, None) if by_set else (None, 2)
    numbers = RedisSortedSet(client, "numbers", scorer=int, max_deliveries=of_set)
    for _ in range(2):
        assert 0 not in numbers.dead_items
        how(numbers.lease(1, max_deliveries=of_lease))
    assert numbers.take(1) == [1]
    assert list(numbers.dead_items.items()) == [(0, 0.0)]
    assert numbers.stats().dead == 1


def test_anybody_sees_to_it_that_the_dead_stay_dead(numbers: Numbers) -> None:
    """Who reclaims need not know how often the items may come back."""
    for _ in range(2):
        expire(numbers.lease(1, max_deliveries=1))
    assert numbers.pop() == 2
    assert list(numbers.dead_items) == [0, 1]


def test_the_dead_can_be_requeued_read_and_cleared(client: redis.Redis, numbers: Numbers) -> None:
    numbers.lease(4, max_deliveries=1).release()
    assert list(numbers.dead_items) == [0, 1, 2, 3]
    assert numbers.requeue(2, 3, 77) == 2
    assert list(numbers.items())[:2] == [(2, 2.0), (3, 3.0)]
    assert numbers.lease(1).deliveries(2) == 1
    assert numbers.requeue() == 2
    assert numbers.requeue() == 0
    assert len(numbers.dead_items) == 0
    numbers.lease(3, max_deliveries=1).release()
    assert numbers.dead_items.clear()
    assert not client.exists("{numbers}:dead", "{numbers}:letters")
    assert not numbers.dead_items


def test_a_handle_of_the_dead_shares_no_lease_with_the_set(numbers: Numbers) -> None:
    numbers.lease(1, max_deliveries=1).release()
    assert numbers.dead_items.name == "{numbers}:dead"
    assert numbers.dead_items.pop() == 0


def test_bytes_that_cannot_be_deserialized_are_dead_at_once(
    client: redis.Redis, numbers: Numbers, caplog: pytest.LogCaptureFixture
) -> None:
    client.zadd("numbers", {b"\xc1\xff": -5.0})
    with numbers.lease(2) as batch:
        assert list(batch) == [0]
    assert "can't deserialize" in caplog.text
    assert client.zscore("{numbers}:dead", b"\xc1\xff") == -5.0
    assert numbers.stats()._replace(ready=0, due=0) == (0, 0, 0, 0, 0, 1, 0, 0)
    assert numbers.requeue() == 1


# Where everything is


class LeaseMachine(RuleBasedStateMachine):
    """Two handles lease, settle and let run out; a model says where each item must be."""

    client: redis.Redis

    @initialize()
    def start(self) -> None:
        self.client.flushall()
        self.handles = [
            RedisSortedSet[int](self.client, "n", scorer=int, max_deliveries=3) for _ in range(2)
        ]
        self.ready: dict[int, float] = {}
        self.counts: dict[int, int] = {}
        self.dead: set[int] = set()
        # What comes back from a worker that died is handed out alone.
        self.alone: set[int] = set()
        self.leases: list[tuple[Lease[int], dict[int, float]]] = []

    def return_to_ready(self, item: int, score: float) -> None:
        if self.counts[item] == 3:
            self.dead.add(item)
            del self.counts[item]
        else:
            self.ready.setdefault(item, score)

    @rule(which=st.integers(0, 1), item=st.integers(0, 30))
    def add(self, which: int, item: int) -> None:
        if all(item not in held for _, held in self.leases) and item not in self.dead:
            self.handles[which].add(item)
            self.ready[item] = item
            self.counts.setdefault(item, 0)

    @rule(which=st.integers(0, 1), num=st.integers(1, 4))
    def lease(self, which: int, num: int) -> None:
        batch = self.handles[which].lease(num, ttl=60)
        expected = sorted(self.ready, key=lambda item: (self.ready[item], bytes([item])))[:num]
        alone = [place for place, item in enumerate(expected) if item in self.alone]
        if alone:
            expected = expected[: max(alone[0], 1)]
        assert [self.ready[item] for item in batch] == [self.ready[item] for item in expected]
        for item in batch:
            self.counts[item] += 1
            assert batch.deliveries(item) == self.counts[item]
            self.alone.discard(item)
        self.leases.append((batch, {item: self.ready.pop(item) for item in batch}))

    @rule(
        place=st.integers(0, 9),
        verb=st.sampled_from(["ack", "release", "expire"]),
        part=st.booleans(),
    )
    def settle(self, place: int, verb: str, part: bool) -> None:
        if not self.leases:
            return
        batch, held = self.leases[place % len(self.leases)]
        chosen = list(held)[:1] if part else list(held)
        if verb == "expire" and held:
            chosen = list(held)
            expire(batch)
            self.handles[0].take(1)  # reclaims, and takes the lowest
            for item in chosen:
                if len(batch) > 1:  # nobody knows whether it is to blame
                    self.counts[item] -= 1
                    self.ready.setdefault(item, held[item])
                    self.alone.add(item)
                else:
                    self.return_to_ready(item, held[item])
                    self.alone.add(item)
            if self.ready:
                lowest = min(self.ready, key=lambda item: (self.ready[item], bytes([item])))
                taken = {i for i in self.ready if i not in self.handles[0]}
                assert [self.ready[i] for i in taken] == [self.ready[lowest]]
                for item in taken:
                    del self.ready[item], self.counts[item]
                    self.alone.discard(item)
        elif chosen:
            getattr(batch, verb)(*chosen)
            for item in chosen:
                if verb == "release":
                    self.return_to_ready(item, held[item])
                else:
                    del self.counts[item]
        for item in chosen:
            del held[item]

    @rule(which=st.integers(0, 1))
    def requeue(self, which: int) -> None:
        assert self.handles[which].requeue() == len(self.dead)
        for item in self.dead:
            self.ready[item], self.counts[item] = float(item), 0
            self.alone.discard(item)
        self.dead.clear()

    @invariant()
    def all_are_where_they_should_be(self) -> None:
        handle = self.handles[0]
        assert dict(handle.items()) == self.ready
        assert set(handle.dead_items) == self.dead
        held = {item: score for _, each in self.leases for item, score in each.items()}
        assert {leased.item: leased.score for leased in handle.leased()} == held
        stats = handle.stats()
        assert (stats.ready, stats.leased, stats.dead) == (
            len(self.ready), len(held), len(self.dead),
        )  # fmt: skip


def test_every_item_is_where_it_should_be(client: redis.Redis) -> None:
    class Machine(LeaseMachine):
        pass

    Machine.client = client
    run_state_machine_as_test(Machine)


def test_clear_forgets_leases_and_the_dead(client: redis.Redis, numbers: Numbers) -> None:
    numbers.lease(2, max_deliveries=1).release()
    batch = numbers.lease(2)
    numbers.lease(2).release()
    assert numbers.clear()
    assert companions(client) == set()
    with pytest.raises(LeaseLost):
        batch.ack()


def test_leased_pages_through_many(client: redis.Redis, numbers: Numbers) -> None:
    numbers.update(range(2_500))
    batch = numbers.lease(2_500)
    assert sorted(leased.item for leased in numbers.leased()) == list(batch)


def test_a_result_is_not_leased_as_it_would_go_with_its_items(numbers: Numbers) -> None:
    with numbers.copy() as result, pytest.raises(InvalidTypeError, match="into="):
        result.lease(1)
    assert numbers.copy(into="{numbers}kept").lease(1)[0] == 0


# Added again


def test_by_default_an_item_on_lease_can_be_ready_again_at_once(numbers: Numbers) -> None:
    batch = numbers.lease(1)
    numbers.add(0)
    assert 0 in numbers
    batch.ack()
    assert numbers.pop() == 0


def test_an_item_added_again_keeps_its_new_score_when_the_old_one_comes_back(
    numbers: Numbers,
) -> None:
    batch = numbers.lease(1)
    numbers.add(0, 50)
    batch.release()
    assert numbers.score(0) == 50


def test_unique_until_acked_refuses_what_is_on_lease(client: redis.Redis) -> None:
    jobs: SortedSet[str] = SortedSet(client, "jobs", unique="until_acked")
    assert jobs.add("a", 1) == 1
    assert jobs.add("a", 2) == 2
    batch = jobs.lease(1)
    assert jobs.add("a", 3) is None
    assert jobs.add("a", 3, on_conflict="min") is None
    assert jobs.increment("a") is None
    assert jobs.insert("a", "b") == ["b"]
    jobs.update(["a", "c"])
    jobs |= {"a", "d"}
    assert list(jobs) == ["b", "c", "d"]
    batch.ack()
    assert jobs.insert("a") == ["a"]
    assert jobs.take(1) == ["a"]
    assert jobs.add("a") == 0  # taken is done


def test_unique_until_acked_lets_back_what_was_released(client: redis.Redis) -> None:
    jobs: SortedSet[str] = SortedSet(client, "jobs", unique="until_acked")
    jobs.add("a")
    jobs.lease(1).release()
    assert jobs.take(1) == ["a"]


def test_unique_forever_takes_an_item_once(client: redis.Redis) -> None:
    pages: SortedSet[str] = SortedSet(client, "pages", unique="forever")
    assert pages.insert("a", "b") == ["a", "b"]
    assert pages.add("a", 5) == 5
    with pages.lease(1) as batch:
        assert list(batch) == ["b"]
        assert pages.add("b") is None
    assert pages.pop() == "a"
    pages.update(["a", "b", "c"])
    assert pages.insert("a", "b", "c", "d") == ["d"]
    assert list(pages) == ["c", "d"]
    assert pages.clear()
    assert pages.add("a") == 0


def test_unique_forever_knows_what_is_added_from_another_set(
    client: redis.Redis, make_client: MakeClient
) -> None:
    pages: SortedSet[str] = SortedSet(client, "pages", unique="forever")
    other: SortedSet[str] = SortedSet(make_client(), "other")
    pages.add("a")
    pages.pop()
    other.add("a", 3)
    other.add("b", 4)
    pages |= other
    assert list(pages.items()) == [("b", 4.0)]
    with pytest.raises(InvalidTypeError, match="forever"):
        pages ^= other


def test_how_unique_a_set_is_travels_with_it(client: redis.Redis) -> None:
    import copy
    import pickle

    pages: SortedSet[str] = SortedSet(client, "pages", unique="forever", max_deliveries=1)
    pages.add("a")
    there: SortedSet[str] = pickle.loads(pickle.dumps(pages))
    there.lease(1).release()
    assert list(pages.dead_items) == ["a"]
    assert there.add("a") is None
    with copy.copy(pages) as snapshot:  # a result takes what it is given
        assert snapshot.add("a") == 0


# Lost replies


def prepared(client: redis.Redis, lossy: redis.Redis) -> Numbers:
    """Numbers behind a network that loses replies; the scripts are on the server."""
    numbers: Numbers = RedisSortedSet(lossy, "numbers", scorer=int)
    numbers.update(range(10))
    other: Numbers = RedisSortedSet(client, "{numbers}other")
    other.add(1)
    other.lease(1).release()
    return numbers


@pytest.mark.parametrize("losses", [1, 3])
def test_a_repeated_lease_is_the_same_lease(
    client: redis.Redis, proxy: LossyProxy, make_client: MakeClient, losses: int
) -> None:
    numbers = prepared(client, behind(proxy, make_client, client, retries=10))
    proxy.lose("EVAL", *range(1, losses + 1))
    batch = numbers.lease(4)
    assert list(batch) == [0, 1, 2, 3]
    assert batch.deliveries(0) == 1
    assert proxy.lost == losses
    assert numbers.stats().leased == 4
    batch.ack()


@pytest.mark.parametrize("verb", ["ack", "release", "extend"])
def test_a_repeated_settlement_loses_nothing_that_it_settled(
    client: redis.Redis, proxy: LossyProxy, make_client: MakeClient, verb: str
) -> None:
    numbers = prepared(client, behind(proxy, make_client, client, retries=10))
    batch = numbers.lease(4)
    proxy.lose("EVAL", 1, 2)
    getattr(batch, verb)()
    assert proxy.lost == 2
    assert numbers.stats().leased == (4 if verb == "extend" else 0)
    assert len(numbers) == (10 if verb == "release" else 6)


def test_a_lease_whose_reply_never_came_is_the_next_one_of_the_handle(
    client: redis.Redis, proxy: LossyProxy, make_client: MakeClient
) -> None:
    numbers = prepared(client, behind(proxy, make_client, client, retries=0))
    proxy.lose("EVAL", 1)
    with pytest.raises(Exception, match="closed"):
        numbers.lease(4)
    assert numbers.stats().leased == 4
    batch = numbers.lease(2)
    assert list(batch) == [0, 1]
    assert list(numbers) == [2, 3, *range(4, 10)]
    batch.ack()


def test_a_lease_whose_reply_never_came_does_not_take_what_others_got(
    client: redis.Redis, proxy: LossyProxy, make_client: MakeClient
) -> None:
    numbers = prepared(client, behind(proxy, make_client, client, retries=0))
    proxy.lose("EVAL", 1)
    with pytest.raises(Exception, match="closed"):
        numbers.lease(3, ttl=SHORT)
    time.sleep(OVER)
    other: Numbers = RedisSortedSet(client, "numbers", scorer=int)
    assert [list(other.lease(2)) for _ in range(3)] == [[0], [1], [2]]
    assert list(numbers.lease(3)) == [3, 4, 5]


def test_another_settlement_after_a_lost_one_is_done(
    client: redis.Redis, proxy: LossyProxy, make_client: MakeClient
) -> None:
    numbers = prepared(client, behind(proxy, make_client, client, retries=0))
    batch = numbers.lease(4)
    proxy.lose("EVAL", 1)
    with pytest.raises(Exception, match="closed"):
        batch.ack(0)
    batch.ack(1)
    assert {leased.item for leased in numbers.leased()} == {2, 3}


# Bad input


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"ttl": 0}, InvalidValueError, "ttl"),
        ({"ttl": -1}, InvalidValueError, "ttl"),
        ({"ttl": math.inf}, InvalidValueError, "ttl"),
        ({"ttl": math.nan}, InvalidValueError, "ttl"),
        ({"ttl": "x"}, InvalidTypeError, "ttl"),
        ({"ttl": True}, InvalidTypeError, "ttl"),
        ({"ttl": None}, InvalidTypeError, "ttl"),
        ({"timeout": -1}, InvalidValueError, "timeout"),
        ({"timeout": "x"}, InvalidTypeError, "timeout"),
        ({"max_deliveries": 0}, InvalidValueError, "max_deliveries"),
        ({"max_deliveries": "x"}, InvalidTypeError, "max_deliveries"),
        ({"num": "x"}, InvalidTypeError, "num"),
    ],
)
def test_bad_terms_are_named_before_anything_is_sent(
    client: redis.Redis,
    numbers: Numbers,
    round_trips: RoundTrips,
    options: dict[str, Any],
    error: type[Exception],
    words: str,
) -> None:
    with round_trips(client) as count, pytest.raises(error, match=f"redset 'numbers': {words}"):
        numbers.lease(**options)
    assert count.value == 0


@pytest.mark.parametrize("options", [{"delay": -1}, {"delay": "x"}, {"score": math.nan}])
def test_bad_terms_of_a_release_change_nothing(numbers: Numbers, options: dict[str, Any]) -> None:
    batch = numbers.lease(2)
    with pytest.raises((InvalidValueError, InvalidTypeError), match="redset 'numbers'"):
        batch.release(**options)
    assert numbers.stats().leased == 2
    batch.release()


def test_bad_options_of_a_set_are_named(client: redis.Redis) -> None:
    with pytest.raises(InvalidValueError, match="unique must be one of until_taken"):
        SortedSet(client, "jobs", unique="sometimes")  # type: ignore[arg-type]
    with pytest.raises(InvalidValueError, match="max_deliveries must be 1 or more"):
        SortedSet(client, "jobs", max_deliveries=0)


def test_documents_are_leased_as_they_are(client: redis.Redis) -> None:
    jobs: RedisSortedSet[Any] = RedisSortedSet(client, "jobs", serializer=json)
    jobs.add({"b": 1, "a": [2]})
    with jobs.lease(1) as batch:
        batch[0]["changed"] = True  # also one that has changed is done when the block is
    assert sum(jobs.stats()) == 0


def test_binary_names_and_ten_megabytes_are_leased(client: redis.Redis) -> None:
    jobs: RedisSortedSet[bytes] = RedisSortedSet(client, b"\xff{\n}\r\n*")
    item = bytes(10_000_000)
    jobs.add(item, 3)
    batch = jobs.lease(1)
    batch.extend(90)
    batch.release()
    with jobs.lease(1) as batch:
        assert batch[0] == item
    assert sum(jobs.stats()) == 0


def test_many_leases_of_a_client_are_renewed_by_one_thread_as_long_as_somebody_has_them(
    numbers: Numbers,
) -> None:
    """Each had a thread of its own, which renewed for ever without a `with`."""
    others = set(threading.enumerate())
    kept = [numbers.lease(1, ttl=0.5, renew=True) for _ in range(5)]
    dropped = [numbers.lease(1, ttl=0.5, renew=True) for _ in range(5)]
    now = set(threading.enumerate()) - others
    assert sum("redset renew" in each.name for each in now) == 1
    dropped.clear()
    gc.collect()
    time.sleep(1.5)
    # In the order of their deadlines, and some may have been renewed once more than others.
    renewed = [leased.item for leased in numbers.leased() if leased.expires > time.time()]
    assert sorted(renewed) == [*range(5)]
    assert numbers.take(10) == [*range(5, 10)]
    assert all(lease._held.unsettled for lease in kept)


def test_renewal_shortens_no_lease_and_the_deadline_is_told(numbers: Numbers) -> None:
    with numbers.lease(1, ttl=0.3, renew=True) as batch:
        first = batch.deadline
        time.sleep(0.5)
        renewed = batch.deadline
        assert first < renewed
        batch.extend(60)
        assert batch.deadline > renewed + 50
        time.sleep(0.5)
        [leased] = numbers.leased()
        assert leased.expires == batch.deadline
