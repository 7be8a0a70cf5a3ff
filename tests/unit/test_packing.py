"""What a command is packed to is what a client of redis-py would send for its words."""

import math
from typing import Any

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from redset._protocol import commands
from redset._protocol.commands import Command

CONNECTION = redis.Connection()
words = st.binary(max_size=9) | st.text(max_size=9) | st.integers()
scores = st.sampled_from([0.0, 1, 0.1, math.inf, -math.inf, 1_700_000_000.123456])
pairs = st.lists(st.tuples(st.binary(max_size=9), scores), min_size=1)


def sent(command: Command[Any]) -> bytes:
    packed: list[bytes] = CONNECTION.pack_command(*command.words)
    return b"".join(packed)


@given(st.lists(words, min_size=1))
def test_words_of_any_kind_are_packed(given_words: list[Any]) -> None:
    command = Command(("ZREM", "key"), given_words, bool)
    assert command.packed() == sent(command)


@pytest.mark.parametrize("size", [0, 1, 9, 10, 4_095, 4_096, 4_097, 100_000])
def test_one_member_of_any_length_is_packed(size: int) -> None:
    command = commands.contains(b"key", b"x" * size)
    assert command.packed() == sent(command)


@given(pairs, st.sampled_from([None, "NX", "GT"]))
def test_an_addition_is_packed_with_each_score_before_its_member(
    some: list[tuple[bytes, float]], flag: str | None
) -> None:
    members, numbers = zip(*some, strict=True)
    command = commands.add(b"key", members, numbers, flag=flag)
    flags = [] if flag is None else [flag]
    pairs = [word for member, score in some for word in (repr(float(score)), member)]
    assert list(command.words) == ["ZADD", b"key", *flags, *pairs]
    assert command.packed() == sent(command)
