"""Names of keys: the set's own, and those of its companions in the same cluster slot.

Knows the server's hash-tag rule and nothing of commands or clients.
"""

import binascii
from functools import lru_cache
from itertools import count
from typing import NamedTuple

from redset.exceptions import InvalidTypeError, InvalidValueError

SLOTS = 16384


def check_name(name: object) -> bytes:
    """Give the key of the set called *name*; refuse what can't be one."""
    if not isinstance(name, str | bytes):
        raise InvalidTypeError(
            f"redset: name must be str or bytes, got {type(name).__name__} {name!r}"
        )
    if not name:
        raise InvalidValueError("redset: name must not be empty; it is the key of the set")
    return name.encode() if isinstance(name, str) else name


@lru_cache(maxsize=1024)
def companion(key: bytes, purpose: str) -> bytes:
    """Name a further key of the set under *key*, always in the set's cluster slot."""
    if b"}" not in key:
        return b"{%b}:%b" % (key, purpose.encode())
    tag = hash_tag(key)
    if tag == key:
        # Braces around such a name would end at its own "}": a number of the same slot tags it.
        slot = slot_of(key)
        tag = next(tag for tag in (b"%d" % number for number in count()) if slot_of(tag) == slot)
    # The whole name follows: "jobs" and "{jobs}" must not share a companion. No purpose holds a
    # brace, and none ends with a colon and another one, so no two names give one key.
    return b"{%b}:%b:%b" % (tag, key, purpose.encode())


class LeasingKeys(NamedTuple):
    """The keys of what is on lease; ``scripts/leasing.lua`` says what each of them holds."""

    leased: bytes
    held: bytes
    deliveries: bytes
    dead: bytes
    letters: bytes
    delayed: bytes
    absent: bytes


@lru_cache(maxsize=1024)
def leasing_keys(key: bytes) -> LeasingKeys:
    """Name what is on lease, who holds it, how often it came back, and what is dead, and why."""
    return LeasingKeys(*(companion(key, purpose) for purpose in LeasingKeys._fields))


def wake_channel(key: bytes) -> bytes:
    """Name the channel that tells waiting takers of a deadline earlier than they know of."""
    return companion(key, "wake")


def slot_of(key: bytes) -> int:
    """Give the cluster slot of *key* (CRC16 of its hash tag, as in the cluster specification)."""
    return binascii.crc_hqx(hash_tag(key), 0) % SLOTS


def hash_tag(key: bytes) -> bytes:
    """Give the part of *key* that decides its slot: inside the first braces, else all of it."""
    start = key.find(b"{")
    end = key.find(b"}", start + 1)
    return key[start + 1 : end] if start >= 0 and end > start + 1 else key
