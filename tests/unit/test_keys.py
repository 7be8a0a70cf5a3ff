"""Companion keys stay in their set's cluster slot, whatever the set is called."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

import redset
from redset._plans.operands import new_result
from redset._protocol.config import SetConfig
from redset._protocol.encoding import Encoding
from redset._protocol.idempotency import IdempotencySlot
from redset._protocol.keys import (
    check_name,
    companion,
    lasting_set_of,
    leasing_keys,
    owner_of,
    slot_of,
    wake_channel,
)
from redset.codecs import ValueSerializer
from redset.exceptions import InvalidTypeError, InvalidValueError

TOKEN = "0123456789abcdef0123n7"
PURPOSES = [
    *("lock", "undecodable", "seen", "leased", "held", "deliveries", "dead", "wake", "moved"),
    *("letters", "delayed", "absent", "given:0123456789abcdef", f"result:{TOKEN}"),
    *(f"result:{TOKEN}:alive", f"staged:{TOKEN}"),
    *("scratch:1", "scratch:2", "scratch:into", "scratch:alive", "fence"),
]
purposes = st.sampled_from(PURPOSES)
# Also names that look like companions of others, and some that are.
parts = st.sampled_from(["a", "jobs", "{", "}", "{}", ":", "{jobs}:", "7", "{7}", *PURPOSES])
plain_names = st.one_of(
    st.binary(min_size=1),
    st.text("a{}:", min_size=1).map(str.encode),
    st.lists(parts, min_size=1, max_size=6).map(lambda found: "".join(found).encode()),
)
names = st.one_of(plain_names, st.builds(companion, plain_names, purposes))


def is_accepted(name: bytes) -> bool:
    try:
        return check_name(name) == name
    except InvalidValueError:
        return False


def family(name: bytes) -> set[bytes]:
    """All keys that the set called *name* may ever use, its channel too."""
    return {name, *(companion(name, purpose) for purpose in PURPOSES)}


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


@given(names, names)
@example(b"a", b"{a}:dead")
@example(b"{a}", b"{a}:{a}:seen")
@example(b"}", b"{a}:}:seen")
def test_two_sets_share_no_key_at_all(one: bytes, other: bytes) -> None:
    assume(one != other and is_accepted(one) and is_accepted(other))
    assert family(one).isdisjoint(family(other))


@given(names, purposes)
def test_a_companion_is_no_name_for_a_set_of_its_own(name: bytes, purpose: str) -> None:
    key = companion(name, purpose)
    assert owner_of(key) == name
    with pytest.raises(InvalidValueError, match=r"companion key of the set .*another name"):
        check_name(key)
    assert check_name(key, own=key) == key
    assert lasting_set_of(companion(key, "lock")) == lasting_set_of(name)


@pytest.mark.parametrize(
    "name",
    [
        *(
            "{shop}:jobs",
            "{shop}",
            "shop:dead",
            "{shop}:dead:letters",
            "{shop}dead",
            "{shop}:urls-seen",
        ),
        *("{shop}:shop:dead", "{other}:{shop}:dead", "{shop}:given:1f", "{}:dead", "a{shop}:dead"),
        *("{shop}:result:1f", "{shop}:scratch:3", "}:dead", "dead", "{sh}op}:dead"),
    ],
)
def test_names_that_only_look_like_companions_are_accepted(name: str) -> None:
    assert check_name(name) == name.encode()


def used_purposes() -> Iterator[str]:
    """What companions are for, read in redset's source; a word stands for a token in it."""
    for path in Path(redset.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            called = isinstance(node, ast.Call) and getattr(node.func, "id", "") == "companion"
            if isinstance(node, ast.Call) and called and isinstance(node.args[1], ast.Constant):
                yield str(node.args[1].value)


def test_all_purposes_are_known() -> None:
    """What `owner_of` relies on: a name may be that of a companion only if it knows the purpose."""
    config: SetConfig[Any] = SetConfig(
        "jobs", b"jobs", Encoding("jobs", ValueSerializer()), lambda item: 0
    )
    result = new_result(config)
    made = [IdempotencySlot(b"jobs").reply_key, result.key, result.liveness_key]
    made.append(wake_channel(b"jobs"))
    made += [*leasing_keys(b"jobs"), *(companion(b"jobs", each) for each in used_purposes())]
    assert {owner_of(key) for key in made} == {b"jobs"}


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


@pytest.mark.parametrize("name", ["\ud800", "jobs\udcff"])
def test_a_name_that_no_bytes_are_for_is_refused(name: str) -> None:
    with pytest.raises(InvalidValueError, match=r"redset '.*\\ud.*lone surrogate; .* give bytes"):
        check_name(name)
