"""How many round trips each operation takes: plans are run by hand, without a server."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from redset._plans import many, queue, single
from redset._protocol import commands
from redset._protocol.commands import PUT_ASIDE, Command
from redset._protocol.config import Plan, SetConfig, TakeOptions
from redset._protocol.encoding import Encoding
from redset._protocol.idempotency import SetSlots
from redset._protocol.members import CHUNK_BYTES, CHUNK_MEMBERS, chunks
from redset._protocol.replies import Taken
from redset._protocol.sources import unscored
from redset.codecs import ValueSerializer
from redset.exceptions import EmptySetError, InvalidTypeError, MissingItemError

CONFIG: SetConfig[Any] = SetConfig(
    *("jobs", b"jobs", Encoding("jobs", ValueSerializer()), lambda item: 0),
    requests=SetSlots(b"jobs"),
)
# Of it only what is due is handed out.
DUE = replace(CONFIG, no_wait=TakeOptions(lambda: 12.5))
MEMBER = CONFIG.encoding.encode("x")
TAKEN = Taken([(MEMBER, 0.0)], more=False)


def play(plan: Plan[Any], *replies: list[Any]) -> tuple[Any, list[list[Command[Any]]]]:
    """Answer *plan* with *replies*; give what it returns and the batches it sent."""
    batches: list[list[Command[Any]]] = []
    answers = iter(replies)
    try:
        batch = next(plan)
        while True:
            assert isinstance(batch, list)
            batches.append(batch)
            batch = plan.send(next(answers))
    except StopIteration as stop:
        return stop.value, batches


@pytest.mark.parametrize(
    ("plan", "reply", "result"),
    [
        (lambda: single.add(CONFIG, "x", 2, "replace"), [1], 2),
        (lambda: single.contains(CONFIG, "x"), [True], True),
        (lambda: single.contains(CONFIG, "x"), [False], False),
        (lambda: single.score(CONFIG, "x"), [0.0], 0.0),
        (lambda: single.discard(CONFIG, "x"), [1], True),
        (lambda: single.remove(CONFIG, "x", "x"), [1], None),
        (lambda: many.size(CONFIG), [3], 3),
        (lambda: many.available(CONFIG), [3], 3),
        (lambda: many.available(DUE), [3], 3),
        (lambda: many.clear(CONFIG), [1, 0], True),
        (lambda: queue.peek(CONFIG, 0, last=False, with_scores=False), [[(MEMBER, 0.0)]], "x"),
        (lambda: queue.peek_score(CONFIG, last=False), [[(MEMBER, 4.0)]], 4.0),
        (lambda: queue.peek_score(CONFIG, last=False), [[]], None),
        (lambda: queue.pop(CONFIG, 0.0, last=False, with_scores=False), [TAKEN], "x"),
        (lambda: queue.take(CONFIG, 5, 0.0, last=False, with_scores=False), [TAKEN], ["x"]),
        (lambda: many.insert(CONFIG, ("x", "y")), [[1]], ["y"]),
    ],
)
def test_one_operation_is_one_round_trip(
    plan: Callable[[], Plan[Any]], reply: list[Any], result: object
) -> None:
    assert play(plan(), reply)[0] == result
    assert len(play(plan(), reply)[1]) == 1


@pytest.mark.parametrize("score", [b"0", 0.0, b"-inf", b"1.5"])
def test_an_item_of_any_score_is_there(score: object) -> None:
    parse = commands.contains(b"key", b"member").parse
    assert parse(score) is True
    assert parse(None) is False


def test_update_of_100_000_items_takes_at_most_100_round_trips() -> None:
    _, batches = play(
        many.add_all(CONFIG, unscored(f"item-{i}" for i in range(100_000))), *[[0]] * 101
    )
    assert len(batches) <= 100
    numbers = [len(command.words) for batch in batches for command in batch]
    assert sum(number // 2 - 1 for number in numbers) == 100_000
    assert max(numbers) < 4_000


def test_clear_of_a_handle_whose_calls_failed_names_no_more_keys_than_a_request_may() -> None:
    slots = SetSlots(b"jobs")
    for kind in slots.all():
        for number in range(700):
            with suppress(OSError), kind.acquire(number):
                raise OSError
    keys = [call.slot.reply_key for kind in slots.all() for call in kind._failed.values()]
    assert len(keys) > 5_000
    _, [batch] = play(many.clear(replace(CONFIG, requests=slots)), [1] * 4)
    words = [word for command in batch for word in command.words]
    assert set(keys) < set(words)
    assert max(len(command.words) for command in batch) < 4_000


def test_update_reads_no_further_than_the_chunk_that_it_sends() -> None:
    read: list[int] = []

    def watched() -> Iterator[int]:
        for number in range(10 * CHUNK_MEMBERS):
            read.append(number)
            yield number

    plan = many.add_all(CONFIG, unscored(watched()))
    next(plan)
    assert len(read) == CHUNK_MEMBERS


def test_chunks_are_cut_by_bytes_too() -> None:
    given = [(b"x" * (CHUNK_BYTES // 2), 0.0)] * 4
    assert [len(chunk) for chunk in chunks(given)] == [2, 2]


def test_update_of_nothing_sends_nothing() -> None:
    assert play(many.add_all(CONFIG, unscored([])))[1] == []
    assert play(many.insert(CONFIG, ()))[1] == []


def test_an_item_that_cannot_be_kept_sends_nothing() -> None:
    with pytest.raises(InvalidTypeError):
        next(many.add_all(CONFIG, unscored(["x", ["unhashable"]])))


def test_an_update_that_breaks_off_says_how_far_it_got() -> None:
    def broken() -> Any:
        yield from range(CHUNK_MEMBERS + 1)
        raise OSError("the file ended")

    plan = many.add_all(CONFIG, unscored(broken()))
    next(plan)
    with pytest.raises(OSError, match="the file ended") as caught:
        plan.send([CHUNK_MEMBERS])
    assert caught.value.__notes__ == [
        f"redset 'jobs': the first {CHUNK_MEMBERS} items were added before this"
    ]


def test_an_empty_set_has_nothing_to_pop_peek_or_remove() -> None:
    for plan, reply in (
        (queue.pop(CONFIG, 0.0, last=False, with_scores=False), Taken([], more=False)),
        (queue.peek(CONFIG, 0, last=False, with_scores=False), []),
    ):
        with pytest.raises(EmptySetError, match="redset 'jobs'"):
            play(plan, [reply])
    with pytest.raises(MissingItemError) as caught:
        play(single.remove(CONFIG, "x", "x"), [0])
    assert caught.value.args == ("x",)


def test_what_cannot_be_deserialized_is_kept_aside_by_a_second_round_trip() -> None:
    result, batches = play(
        queue.take(CONFIG, 2, 0.0, last=False, with_scores=False),
        [Taken([(b"\xff?", 3.0), (MEMBER, 4.0)], more=False)],
        [1],
    )
    assert result == ["x"]
    [kept] = batches[1]
    assert kept.script is PUT_ASIDE
    assert b"{jobs}:undecodable" in kept.words
    assert kept.words[-3:] == ("", "3.0", b"\xff?")
