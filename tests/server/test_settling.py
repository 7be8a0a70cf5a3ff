"""What callers of a lease are told, and what its requests that failed leave behind."""

from collections.abc import Callable
from typing import Any

import pytest
import redis

from redset import RedisSortedSet, ScheduledSet
from redset._plans import leases
from redset._protocol import commands
from redset.exceptions import LeaseLost
from redset.leases import Lease
from tests.proxy import LossyProxy
from tests.server.conftest import MakeClient
from tests.server.test_lost_replies import behind

Numbers = RedisSortedSet[int]

WAIT = 60.0


@pytest.fixture
def numbers(client: redis.Redis) -> Numbers:
    """0 to 9, each with itself as the score."""
    found: Numbers = RedisSortedSet(client, "numbers", scorer=int)
    found.update(range(10))
    return found


def prepared(client: redis.Redis, lossy: redis.Redis) -> Numbers:
    """Numbers behind a network that loses replies; the scripts are on the server."""
    numbers: Numbers = RedisSortedSet(lossy, "numbers", scorer=int)
    numbers.update(range(10))
    other: Numbers = RedisSortedSet(client, "{numbers}other")
    other.add(1)
    other.lease(1).release()
    return numbers


# What a call was told before, or could not know


def test_an_error_whose_text_cannot_be_sent_is_that_of_a_dead_letter(numbers: Numbers) -> None:
    """The name of a file may have bytes that are no UTF-8, and the error that names it, too."""
    numbers.lease(1).reject(error=ValueError("no \udcff.txt"))
    numbers.lease(1).reject(error="\udcff" * 2_000)
    first, second = numbers.dead_letters()
    assert first.error == "ValueError: no \\udcff.txt"
    assert second.error == ("\\udcff" * 1_000)[:1_000]
    with pytest.raises(ValueError, match="no"), numbers.lease(1):
        raise ValueError("no \udcff")
    assert numbers.stats().leased == 0


@pytest.mark.parametrize("verb", ["ack", "release", "reject"])
def test_the_items_of_a_call_that_are_not_lost_are_settled(numbers: Numbers, verb: str) -> None:
    """Also if it was known before that some are."""
    batch = numbers.lease(4)
    numbers.cancel(0, 2)
    with pytest.raises(LeaseLost) as caught:
        batch.extend()
    assert caught.value.items == [0, 2]
    with pytest.raises(LeaseLost) as caught:
        getattr(batch, verb)(0, 1, 3)
    assert caught.value.items == [0]
    assert numbers.stats().leased == 0
    assert (1 in numbers) == (verb == "release")
    with pytest.raises(LeaseLost):
        batch.deliveries(2)


@pytest.mark.parametrize("verb", ["ack", "release", "reject", "extend"])
def test_a_call_for_all_items_tells_of_losses_that_no_call_has_told_of(
    numbers: Numbers, verb: str
) -> None:
    batch = numbers.lease(3, ttl=WAIT)
    numbers.cancel(0)
    batch._hold_on()  # as the thread that renews it does
    with pytest.raises(LeaseLost) as caught:
        getattr(batch, verb)()
    assert caught.value.items == [0]
    assert numbers.stats().leased == (2 if verb == "extend" else 0)
    getattr(batch, verb)()
    assert batch._held.lost


@pytest.mark.parametrize("how", ["ack", "release"])
def test_an_item_that_was_added_again_has_the_lower_of_two_scores(
    numbers: Numbers, how: str
) -> None:
    """It is a new item: its turn, which somebody asked for, is not put off."""
    batch = numbers.lease(2)
    numbers.add(0, 5)
    numbers.add(1, 50)
    if how == "ack":
        batch.ack(again_at=20)
    else:
        batch.release(score=20)
    assert numbers.score(0) == 5
    assert numbers.score(1) == 20


def test_an_item_that_is_added_again_between_two_steps_of_a_lease_is_in_it_once(
    numbers: Numbers, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers.update(range(1_000))
    steps = 0
    leases_of: Any = leases._lease

    def step(*arguments: Any) -> Any:
        nonlocal steps
        found = yield from leases_of(*arguments)
        steps += 1
        if steps == 1:
            yield [commands.add_all(numbers._runner.config.key, [b"3"], [3.0])[0]]
        return found

    monkeypatch.setattr(leases, "_lease", step)
    work = numbers.consume(batch=600, timeout=0)
    done: list[int] = []
    for number in work:
        if len(done) == 550:
            break
        done.append(number)
    work.close()
    assert steps == 2
    assert len(set(done)) == len(done) == 550
    assert not [number for number in done if number in numbers]
    batch = numbers.lease(1_000)
    assert {each: batch.deliveries(each) for each in batch if batch.deliveries(each) > 1} == {
        number: 2
    }


def test_letters_of_the_dead_that_were_removed_do_not_pile_up(
    client: redis.Redis, numbers: Numbers
) -> None:
    numbers.lease(3).reject()
    numbers.dead_items.pop()
    numbers.dead_items.discard(1)
    assert client.hlen("{numbers}:letters") == 3
    numbers.lease(1).reject()
    assert client.hlen("{numbers}:letters") == 2
    assert [letter.item for letter in numbers.dead_letters()] == [2, 3]


SETTLED: dict[str, Callable[[Lease[int]], object]] = {
    "ack": lambda batch: batch.ack(0),
    "ack of two": lambda batch: batch.ack(0, 1),
    "ack again": lambda batch: batch.ack(0, again_at=50),
    "release": lambda batch: batch.release(0),
    "reject": lambda batch: batch.reject(0, error="bad"),
}


def letters(numbers: Numbers) -> list[Any]:
    return [each._replace(time=0.0) for each in numbers.dead_letters()]


@pytest.mark.parametrize("how", SETTLED)
def test_a_settlement_that_failed_is_done_once_at_the_end(
    client: redis.Redis, proxy: LossyProxy, make_client: MakeClient, how: str
) -> None:
    """Only its reply was lost: the item is not taken for one that the lease has lost."""
    numbers = prepared(client, behind(proxy, make_client, client, retries=0))
    with numbers.lease(3, ttl=WAIT) as batch:
        proxy.lose("EVAL", 1)
        with pytest.raises(Exception, match="closed"):
            SETTLED[how](batch)
    assert numbers.stats().leased == 0
    expected: Numbers = RedisSortedSet(client, "{numbers}expected", scorer=int)
    expected.update(range(10))
    with expected.lease(3) as batch:
        SETTLED[how](batch)
    assert list(numbers.items()) == list(expected.items())
    assert letters(numbers) == letters(expected)


def test_a_recurring_job_is_not_lost_with_the_request_for_its_next_run(
    client: redis.Redis, proxy: LossyProxy, make_client: MakeClient
) -> None:
    due: ScheduledSet[str] = ScheduledSet(behind(proxy, make_client, client, retries=0), "due")
    due.add_scored({"backup": 0, "report": 0})
    ran = []
    work = due.consume(timeout=0)
    for job in work:
        ran.append(job)
        proxy.lose("EVAL", 1)
        with pytest.raises(Exception, match="closed"):
            work.lease.ack(job, again_at=4e9)
    assert ran == ["backup", "report"]
    assert list(due.items()) == [("backup", 4e9), ("report", 4e9)]


def test_a_consumer_takes_no_acknowledged_item_for_lost(
    client: redis.Redis,
    proxy: LossyProxy,
    make_client: MakeClient,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A step was done, and its reply was lost. What it leased is given back, and doesn't count."""
    numbers = prepared(client, behind(proxy, make_client, client, retries=0))
    work = numbers.consume(timeout=0, max_deliveries=1)
    assert next(work) == 0
    proxy.lose("EVAL", 1)
    with pytest.raises(Exception, match="closed"):
        next(work)
    assert "doesn't hold" not in caplog.text
    assert numbers.stats()[:5] == (9, 9, 0, 0, 0)
    assert list(RedisSortedSet(client, "numbers").consume(timeout=0, max_deliveries=1)) == [
        *range(1, 10)
    ]
