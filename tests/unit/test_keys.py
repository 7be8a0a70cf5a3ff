"""Companion keys stay in their set's cluster slot, whatever the set is called."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redset._core.keys import check_name, companion, slot_of
from redset.exceptions import InvalidTypeError, InvalidValueError

names = st.binary(min_size=1) | st.text("a{}:", min_size=1).map(str.encode)


@given(names, st.sampled_from(["lock", "undecodable"]))
def test_a_companion_is_in_the_slot_of_its_set(name: bytes, purpose: str) -> None:
    assert slot_of(companion(name, purpose)) == slot_of(name)


@given(names, names)
def test_two_sets_have_two_companions(one: bytes, other: bytes) -> None:
    assert (companion(one, "lock") == companion(other, "lock")) == (one == other)


@pytest.mark.parametrize(
    ("name", "key"),
    [
        (b"jobs", b"{jobs}:lock"),
        (b"{shop}:jobs", b"{shop}:jobs:lock"),
        (b"a{}b", b"{3991}:a{}b:lock"),
    ],
)
def test_a_companion_is_named_after_its_set(name: bytes, key: bytes) -> None:
    assert companion(name, "lock") == key


def test_slots_are_those_of_the_cluster_specification() -> None:
    # The reference value of CRC16 (XMODEM), and the slot that CLUSTER KEYSLOT gives for "foo".
    assert slot_of(b"123456789") == 0x31C3
    assert slot_of(b"foo") == slot_of(b"{foo}bar") == 12182


@pytest.mark.parametrize(
    ("name", "error"), [("", InvalidValueError), (b"", InvalidValueError), (7, InvalidTypeError)]
)
def test_a_name_is_some_text_or_bytes(name: object, error: type[Exception]) -> None:
    with pytest.raises(error, match="redset: name must"):
        check_name(name)
