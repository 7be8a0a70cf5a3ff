"""What is sent again of a batch for a slot of a cluster, by the replies to it so far."""

from typing import Any

import pytest
import redis
from redis.exceptions import AskError, MovedError, ResponseError, TryAgainError

from redset._protocol import commands
from redset._protocol.commands import Command
from redset._transport.attempts import Attempts

ADD = commands.add(b"jobs", [b"a"], [1.0])
INCREMENT = commands.increment(b"jobs", b"b", 1.0)
FENCE, WAIT = commands.confirm(b"{jobs}:fence", 1, 100, disk=False)
BATCH: list[Command[Any]] = [ADD, INCREMENT, FENCE, WAIT]
ASK, MOVED, TRY_AGAIN = AskError("1 a:1"), MovedError("1 a:1"), TryAgainError()


def attempts_of(batch: list[Command[Any]], *replies: Any) -> Attempts:
    attempts = Attempts(redis.Redis(), batch)
    attempts.answered(replies)
    return attempts


def words_of(sent: list[Command[Any]]) -> list[tuple[Any, ...]]:
    """The name of each command, and the key of each that is a fence."""
    return [each.words[::3] if each.words[0] == "EVAL" else each.words[:1] for each in sent]


BESIDE = ("EVAL", b"jobs")


def test_final_replies_are_the_end() -> None:
    attempts = attempts_of(BATCH, 1, b"2", 1, 1)
    assert (attempts.is_over, attempts.replies) == (True, [1, b"2", None, 1])


@pytest.mark.parametrize("refused", [ASK, MOVED, TRY_AGAIN])
def test_a_batch_that_was_refused_is_sent_as_a_whole(refused: Exception) -> None:
    attempts = attempts_of(BATCH, refused, refused, ASK, 0)
    assert (attempts.is_over, attempts.unanswered) == (False, BATCH)
    assert attempts.must_learn is (refused is not TRY_AGAIN)
    attempts.answered([1, b"2", 1, 1])
    assert (attempts.is_over, attempts.replies) == (True, [1, b"2", None, 1])


def test_a_refused_fence_is_sent_for_the_key_of_the_change_to_its_node() -> None:
    attempts = attempts_of(BATCH, 1, b"2", ASK, 2)
    assert words_of(attempts.unanswered) == [BESIDE, ("WAIT",)]
    assert (attempts.redirection, attempts.must_learn, attempts.is_over) == (None, False, False)
    attempts.answered([1, 1])
    assert (attempts.is_over, attempts.replies) == (True, [1, b"2", None, 1])


def test_a_fence_that_is_refused_again_follows_the_key() -> None:
    attempts = attempts_of(BATCH, 1, b"2", ASK, 2)
    attempts.answered([ASK, 2])
    assert attempts.redirection is ASK
    assert words_of(attempts.asked) == [("ASKING",), BESIDE, ("WAIT",)]
    assert attempts.permitted(["OK", 1, 2]) == [1, 2]
    attempts.answered([1, 2])
    assert (attempts.is_over, attempts.replies) == (True, [1, b"2", None, 2])


def test_a_slot_that_moved_after_a_change_is_learned_before_the_fence_is_sent_again() -> None:
    attempts = attempts_of(BATCH, 1, b"2", MOVED, 2)
    assert words_of(attempts.unanswered) == [BESIDE, ("WAIT",)]
    assert (attempts.redirection, attempts.must_learn) == (MOVED, True)


def test_each_node_confirms_its_own_changes() -> None:
    attempts = attempts_of(BATCH, 1, ASK, ASK, 2)
    assert attempts.unanswered == [INCREMENT, FENCE, WAIT]
    assert words_of(attempts.asked) == [
        ("ASKING",),
        ("ZINCRBY",),
        ("ASKING",),
        ("EVAL", b"{jobs}:fence"),
        ("WAIT",),
    ]
    attempts.answered([b"2", 1, 3])
    assert words_of(attempts.unanswered) == [BESIDE, ("WAIT",)]
    assert (attempts.redirection, attempts.must_learn, attempts.is_over) == (None, False, False)
    attempts.answered([1, 4])
    assert (attempts.is_over, attempts.replies) == (True, [1, b"2", None, 2])


def test_what_was_confirmed_before_a_redirection_is_not_confirmed_again() -> None:
    attempts = attempts_of(BATCH, 1, MOVED, 1, 0)
    assert attempts.unanswered == [INCREMENT, FENCE, WAIT]
    attempts.answered([b"2", 1, 3])
    assert (attempts.is_over, attempts.replies) == (True, [1, b"2", None, 0])


def test_a_node_that_changed_nothing_confirms_nothing() -> None:
    error = ResponseError("WRONGTYPE")
    attempts = attempts_of(BATCH, error, error, ASK, 0)
    assert attempts.is_over
    assert attempts.replies[:2] == [error, error]


def test_a_confirmation_that_fails_leaves_the_replies_to_the_changes() -> None:
    attempts = attempts_of(BATCH, 1, b"2", ASK, 2)
    error = redis.ConnectionError()
    attempts.failed(error)
    assert words_of(attempts.unanswered) == [BESIDE, ("WAIT",)]
    assert attempts.must_learn
    attempts.end(error)
    assert (attempts.is_over, attempts.replies) == (True, [1, b"2", error, 2])


def test_an_error_of_an_open_change_is_raised() -> None:
    attempts = attempts_of(BATCH, 1, ASK, ASK, 2)
    with pytest.raises(redis.ConnectionError):
        attempts.end(redis.ConnectionError())


def test_a_fence_that_is_refused_for_too_long_is_an_error_of_the_confirmation() -> None:
    attempts = attempts_of(BATCH, 1, b"2", MOVED, 2)
    while not attempts.is_over:
        attempts.answered([MOVED, 2])
    assert attempts.replies == [1, b"2", MOVED, 2]


def test_a_script_is_confirmed_by_its_first_key() -> None:
    clear, *_ = commands.clear([b"jobs", b"{jobs}:dead"])
    for command in (clear, clear.with_source()):
        attempts = attempts_of([command, FENCE, WAIT], 1, ASK, 2)
        assert words_of(attempts.unanswered) == [BESIDE, ("WAIT",)]


def test_a_transaction_is_sent_again_as_a_whole() -> None:
    batch = commands.transaction([commands.size(b"jobs")], lambda found: found)
    attempts = attempts_of(batch, "OK", MOVED, ResponseError("EXECABORT"))
    assert attempts.unanswered == batch
    attempts.answered(["OK", "QUEUED", [1]])
    assert (attempts.is_over, attempts.replies) == (True, ["OK", "QUEUED", [1]])


def test_a_question_whether_the_server_can_confirm_follows_redirections() -> None:
    attempts = attempts_of([FENCE, WAIT], ASK, 0)
    assert (attempts.redirection, attempts.unanswered) == (ASK, [FENCE, WAIT])
    attempts.answered([1, 1])
    assert (attempts.is_over, attempts.replies) == (True, [None, 1])


@pytest.mark.parametrize(
    ("one", "other", "worse"), [(2, 1, 1), ([1, 0], [0, 3], [0, 0]), (b"3", b"2", 2)]
)
def test_two_nodes_have_confirmed_what_the_worse_one_has(one: Any, other: Any, worse: Any) -> None:
    attempts = attempts_of(BATCH, 1, MOVED, 1, one)
    attempts.answered([b"2", 1, other])
    assert attempts.replies[-1] == worse


def test_an_error_of_one_node_is_that_of_the_confirmation() -> None:
    error = ResponseError("WAITAOF cannot be used")
    attempts = attempts_of(BATCH, 1, MOVED, 1, error)
    attempts.answered([b"2", 1, 1])
    assert attempts.replies[-1] is error
