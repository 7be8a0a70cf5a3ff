"""Companion keys stay in their set's cluster slot, whatever the set is called."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from redset._core.keys import check_name, companion, slot_of
from redset.exceptions import InvalidTypeError, InvalidValueError

# Also names that look like companions of others.
parts = st.sampled_from(["a", "jobs", "{", "}", "{}", ":", "{jobs}:", "lock", ":dead", "7", "{7}"])
names = st.one_of(
    st.binary(min_size=1),
    st.text("a{}:", min_size=1).map(str.encode),
    st.lists(parts, min_size=1, max_size=6).map(lambda found: "".join(found).encode()),
)
PURPOSES = [
    *("lock", "undecodable", "seen", "leased", "held", "deliveries", "dead", "wake"),
    *("given:1f", "result:1f", "result:1f:alive", "staged:1f", "scratch:1", "scratch:into"),
]
purposes = st.sampled_from(PURPOSES)


@given(names, purposes)
def test_a_companion_is_in_the_slot_of_its_set(name: bytes, purpose: str) -> None:
    assert slot_of(companion(name, purpose)) == slot_of(name)


@given(names, names, purposes, purposes)
@example(b"jobs", b"{jobs}", "lock", "lock")
@example(b"{7}:a", b"a}", "lock", "lock")
@example(b"a", b"{a}:dead", "dead", "lock")
def test_two_sets_share_no_companion(one: bytes, other: bytes, first: str, second: str) -> None:
    same = (one, first) == (other, second)
    assert (companion(one, first) == companion(other, second)) == same
    for name in (one, other):  # whatever numbers tag names without a tag of their own
        tagged = companion(name, first)
        assert companion(tagged, second) != tagged
        assert (companion(tagged, second) == companion(one, second)) == (tagged == one)


def test_no_purpose_ends_with_another_one() -> None:
    """What `companion` relies on."""
    for one in PURPOSES:
        assert not any(one.endswith(f":{other}") for other in PURPOSES)
        assert not set("{}") & set(one)


@pytest.mark.parametrize(
    ("name", "key"),
    [
        (b"jobs", b"{jobs}:lock"),
        (b"{shop}:jobs", b"{shop}:{shop}:jobs:lock"),
        (b"{jobs}", b"{jobs}:{jobs}:lock"),
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
