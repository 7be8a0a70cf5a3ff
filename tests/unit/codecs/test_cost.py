"""No member costs more time or memory than its length allows, whoever wrote it.

The bounds are on CPU time of this thread, five times what `bench.cost` finds on a slow machine: a
cost that isn't linear is hundreds of times over them.
"""

import gc
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redset.codecs import _pickle_reader
from redset.exceptions import InvalidValueError, SerializerError
from tests.unit.codecs.costly import SERIALIZERS, items, members

SMALL, LARGE = 10_000, 300_000
# Seconds for a byte, and for any member however short.
SECONDS_PER_BYTE, SECONDS = 5 / 1_000_000, 0.2
# What Python itself takes: bytes for a byte of a member, and for each collection in the item.
BYTES_PER_BYTE, COLLECTION, BYTES = 20, 260, 40_000
# What was read of a pickle is written again beside it, and sets are sorted.
PICKLE_BYTES_PER_BYTE = 50


@contextmanager
def alone() -> Iterator[None]:
    """Without what measures the tests' coverage, and without the collector of garbage."""
    tracing = sys.gettrace()
    sys.settrace(None)
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        sys.settrace(tracing)


@contextmanager
def budget(member: bytes, label: str) -> Iterator[None]:
    with alone():
        began = time.thread_time()
        yield
        spent = time.thread_time() - began
    assert spent < SECONDS + SECONDS_PER_BYTE * len(member), f"{label}: {spent:.2f} s"


def memory(call: Callable[[], Any]) -> tuple[int, Any]:
    """Return how many bytes *call* takes at its peak, and its result.

    The least of three times: threads that other tests left may need some of it meanwhile.
    """
    peaks = []
    with alone():
        for _ in range(3):
            tracemalloc.start()
            try:
                result = call()
                peaks.append(tracemalloc.get_traced_memory()[1])
            finally:
                tracemalloc.stop()
    return min(peaks), result


def collections_in(item: Any) -> int:
    """How many containers, and values that are objects of several parts, *item* holds."""
    count, waiting = 0, [item]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            waiting += [*each.keys(), *each.values()]
        elif isinstance(each, list | tuple | set | frozenset):
            waiting += each
        elif isinstance(each, str | bytes | int | float | None):
            continue
        count += 1
    return count


def loaded(serializer: Any, member: bytes) -> Any:
    try:
        return serializer.loads(member)
    except SerializerError:
        return None


def read_in_vain(member: bytes) -> Any:
    """Return what is read of a pickle before it is found to be another than ``dumps`` writes."""
    try:
        return _pickle_reader.read(member, ())
    except Exception:
        return None


def as_bytes(member: str | bytes) -> bytes:
    return member.encode() if isinstance(member, str) else member


@pytest.mark.parametrize("name", SERIALIZERS)
def test_valid_items_are_read_and_written_in_linear_time(name: str) -> None:
    serializer = SERIALIZERS[name]
    for label, item in items(name, SMALL):
        member = serializer.dumps(item)
        with budget(member, f"loads {label}"):
            assert serializer.loads(member) == item, label
        with budget(member, f"dumps {label}"):
            assert serializer.dumps(item) == member, label


@pytest.mark.parametrize("name", SERIALIZERS)
def test_members_of_strangers_are_read_in_linear_time(name: str) -> None:
    serializer = SERIALIZERS[name]
    for size in (SMALL, LARGE):
        for label, member in members(name, size):
            with budget(member, f"loads {label}"):
                item = loaded(serializer, member)
            if item is not None:
                with budget(member, f"dumps {label}"):
                    serializer.dumps(item)


@pytest.mark.parametrize("name", SERIALIZERS)
def test_memory_is_linear(name: str) -> None:
    serializer = SERIALIZERS[name]
    valid = ((label, as_bytes(serializer.dumps(item))) for label, item in items(name, SMALL))
    for label, member in (*valid, *members(name, SMALL)):
        peak, item = memory(partial(loaded, serializer, member))
        if item is None and name == "pickle":
            item = read_in_vain(member)
        factor = PICKLE_BYTES_PER_BYTE if name == "pickle" else BYTES_PER_BYTE
        most = BYTES + factor * len(member) + COLLECTION * collections_in(item)
        assert peak < most, f"{label}: {peak / len(member):.0f} times"


_PARTS = st.sampled_from(["i:0x", "i:", "*10^", "d:", "E", "q:", "/", "-", ".", "f:", "t:", "z:"])


@given(st.lists(st.tuples(_PARTS, st.integers(0, 10**6)), max_size=6), st.integers(1, 200))
def test_generated_numbers_are_read_in_linear_time(
    parts: list[tuple[str, int]], times: int
) -> None:
    """What looks like a number, alone and again and again in a tuple."""
    number = "".join(f"{part}{digits}" for part, digits in parts).encode()
    row = b"t:" + b" ".join([b"%d %b" % (len(number), number)] * times)
    for member in (number, row):
        for serializer in SERIALIZERS.values():
            with budget(member, repr(member[:80])):
                item = loaded(serializer, member)
                if item is not None:
                    serializer.dumps(item)


def test_what_is_too_long_is_refused_both_ways() -> None:
    """An integer that was dumped must not be one that can't be read."""
    values = SERIALIZERS["values"]
    assert values.loads(values.dumps(10**120_000 - 1)) == 10**120_000 - 1
    for number in (10**120_000, -(10**120_000), 1 << 398_632):
        with pytest.raises(InvalidValueError, match="120,000 decimal digits"):
            values.dumps(number)
        with pytest.raises(SerializerError):
            values.loads(b"i:%#x" % number)
