"""Renewals: every object that was begun is renewed, whatever happens to the threads that do it."""

import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from redset._transport import renewals
from redset._transport.renewals import Renewer, _NodeThread
from tests.interrupts import each_interrupt

TTL = 60.0
EARLIER: list[threading.Thread] = []


class Renewed:
    """An object that counts its renewals, at a node that may be given another name."""

    def __init__(self, node: str | None = None) -> None:
        self.node, self.count = node, 0
        self.threads: list[threading.Thread] = []
        self.answers = threading.Event()
        self.answers.set()

    def _node(self) -> str | None:
        return self.node

    def _renew(self) -> float | None:
        self.threads.append(threading.current_thread())
        self.answers.wait()
        self.count += 1
        return TTL


def until(condition: Callable[[], Any]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.001)


def is_renewed_again(renewed: Renewed) -> bool:
    before = renewed.count
    until(lambda: renewed.count > before + 1)
    return True


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Renewals are due at once, and a thread ends soon after the last of them."""
    # Those of leases that earlier tests left in this process go on.
    EARLIER[:] = threads()
    monkeypatch.setattr(renewals, "RENEW_AFTER", 1e-6)
    monkeypatch.setattr(renewals, "LINGER_SECONDS", 0.001)
    yield
    until(lambda: not running())


def running() -> list[threading.Thread]:
    return [each for each in threads() if each not in EARLIER]


def threads() -> list[threading.Thread]:
    # Python also lists threads whose start was interrupted, and which never ran.
    listed = [each for each in threading.enumerate() if each.is_alive()]
    return [each for each in listed if each.name == "redset renewals"]


def test_what_is_begun_is_renewed_until_it_is_ended_or_dropped() -> None:
    renewer = Renewer()
    ended, dropped = Renewed(), Renewed()
    renewer.begin(ended, TTL)
    renewer.begin(dropped, TTL)
    assert is_renewed_again(ended)
    assert is_renewed_again(dropped)
    assert {*ended.threads} == {*dropped.threads}
    renewer.end(ended)
    del dropped
    until(lambda: not running())
    assert not renewer._due
    renewer.begin(ended, TTL)
    assert is_renewed_again(ended)
    renewer.end(ended)


def test_a_thread_that_can_not_be_started_is_started_for_the_next_lease(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    renewer, lease = Renewer(), Renewed()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fail)
        with pytest.raises(RuntimeError, match="start new thread"):
            renewer.begin(Renewed(), TTL)
    renewer.begin(lease, 2 * TTL)
    assert is_renewed_again(lease)
    renewer.end(lease)


def test_a_start_that_is_interrupted_leaves_one_thread_or_none() -> None:
    codes = (Renewer.begin, Renewer.look_at, _NodeThread.look_at, threading.Thread.start)
    for interrupted in each_interrupt(*codes):
        renewer, lease, later = Renewer(), Renewed(), Renewed()
        interrupted(partial(renewer.begin, lease, TTL))
        renewer.begin(later, 2 * TTL)
        assert is_renewed_again(later)
        until(lambda: len(running()) == 1)
        for each in (lease, later):
            renewer.end(each)
        until(lambda: not running())


def test_a_node_that_does_not_answer_holds_up_no_renewal_of_another_one() -> None:
    renewer, hung, healthy = Renewer(), Renewed("one"), Renewed("two")
    hung.answers.clear()
    for each in (hung, healthy):
        renewer.begin(each, TTL)
    until(lambda: hung.threads)
    assert is_renewed_again(healthy)
    assert hung.count == 0
    hung.answers.set()
    assert is_renewed_again(hung)
    assert {*hung.threads}.isdisjoint(healthy.threads)
    for each in (hung, healthy):
        renewer.end(each)


def test_what_has_moved_to_another_node_is_renewed_in_the_thread_of_that_one() -> None:
    renewer, stays, moves = Renewer(), Renewed("one"), Renewed("one")
    for each in (stays, moves):
        renewer.begin(each, TTL)
        assert is_renewed_again(each)
    moves.node = "two"
    until(lambda: moves.threads[-1] is not stays.threads[-1])
    stays.answers.clear()
    assert is_renewed_again(moves)
    stays.answers.set()
    for each in (stays, moves):
        renewer.end(each)


def test_what_has_moved_is_renewed_where_it_was_if_no_thread_can_be_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    renewer, moves = Renewer(), Renewed("one")
    renewer.begin(moves, TTL)
    monkeypatch.setattr(threading.Thread, "start", fail)
    moves.node = "two"
    assert is_renewed_again(moves)
    assert len({*moves.threads}) == 1
    renewer.end(moves)


def test_those_that_begin_at_once_after_a_thread_has_ended_share_its_successor() -> None:
    renewer = Renewer()
    for _ in range(20):
        first = Renewed()
        renewer.begin(first, TTL)
        # Not ended: what is ended in the middle of its renewal may be renewed once more, and so on.
        del first
        until(lambda: not running())
        leases, start = [Renewed() for _ in range(8)], threading.Barrier(8)

        def begin(lease: Renewed, start: threading.Barrier = start) -> None:
            start.wait()
            renewer.begin(lease, TTL)

        beginners = [threading.Thread(target=begin, args=[each]) for each in leases]
        for beginner in beginners:
            beginner.start()
        for beginner in beginners:
            beginner.join()
        assert all(is_renewed_again(each) for each in leases)
        assert len({thread for each in leases for thread in each.threads}) == 1
        leases.clear()
