"""Slots of idempotency: who shares them, and how many a client remembers."""

import gc
import os
import weakref

import pytest
import redis
import redis.asyncio

import redset.asyncio
from redset import RedisSortedSet, ScheduledSet, SortedSet
from redset._protocol.idempotency import MAX_IDLE, MAX_SETS, IdempotencySlots, SharedSlots


def test_handles_of_a_set_over_one_client_share_their_slots() -> None:
    client, other = redis.Redis(), redis.Redis()
    slots = RedisSortedSet[str](client, "jobs")._runner.config.requests
    assert SortedSet[str](client, b"jobs")._runner.config.requests is slots
    assert RedisSortedSet[str](client, "others")._runner.config.requests is not slots
    assert RedisSortedSet[str](other, "jobs")._runner.config.requests is not slots
    # What is due later is nothing for a set that hands out what is due.
    assert ScheduledSet[str](client, "jobs")._runner.config.requests is not slots


def test_handles_of_asyncio_share_their_slots_too() -> None:
    client = redis.asyncio.Redis()
    slots = redset.asyncio.RedisSortedSet[str](client, "jobs")._runner.config.requests
    assert redset.asyncio.RedisSortedSet[str](client, "jobs")._runner.config.requests is slots


def test_slots_go_with_their_client() -> None:
    client = redis.Redis()
    RedisSortedSet[str](client, "jobs")._runner.config.requests.take.check_out(None, [])
    gone = weakref.ref(client)
    del client
    gc.collect()
    assert gone() is None


def test_client_remembers_the_slots_of_so_many_sets_and_no_more() -> None:
    shared = SharedSlots()
    first = shared.of(b"jobs", only_due=False)
    for number in range(2 * MAX_SETS):
        newest = shared.of(b"%d" % number, only_due=False)
        assert shared.of(b"%d" % number, only_due=False) is newest
    assert len(shared._sets) == MAX_SETS
    assert shared.of(b"jobs", only_due=False) is not first


def test_so_many_idle_slots_are_kept_and_no_more() -> None:
    slots = IdempotencySlots(b"jobs")
    taken = [slots.check_out(None, []) for _ in range(2 * MAX_IDLE)]
    for slot in taken:
        slots.check_in(None, slot, 0, failed=False)
    known = {slot.name for slot in taken}
    again = [slots.check_out(None, []) for _ in range(MAX_IDLE + 1)]
    assert [slot.name in known for slot in again] == [True] * MAX_IDLE + [False]


@pytest.mark.parametrize("failed", [False, True])
def test_child_that_was_forked_in_a_call_keeps_no_slot_of_its_parent(failed: bool) -> None:
    slots = IdempotencySlots(b"jobs")
    slot = slots.check_out(None, [])
    child = os.fork()
    if child == 0:
        own = slots.check_out(None, [])
        slots.check_in(None, own, 1, failed=False)
        slots.check_in(None, slot, 0, failed=failed)
        names = {slots.check_out(None, []).name for _ in range(2)}
        os._exit(int(slot.name in names or own.name not in names))
    assert os.waitpid(child, 0)[1] == 0
