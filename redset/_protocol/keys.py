"""Names of keys: the set's own, and those of its companions in the same cluster slot.

Knows the server's hash-tag rule and nothing of commands or clients.
"""

import binascii
import re
from functools import lru_cache
from itertools import count
from typing import NamedTuple

from redset._support.words import shown
from redset.exceptions import InvalidTypeError, InvalidValueError

SLOTS = 16384


# What companions are for: no brace, and none ends with a colon and another one.
_PURPOSE = re.compile(
    rb"absent|dead|delayed|deliveries|held|leased|letters|lock|moved|seen|undecodable|wake|"
    rb"given:[0-9a-f]{16}|(?:result|staged):[0-9a-f]{20}n\d+|result:[0-9a-f]{20}n\d+:alive|"
    rb"scratch:(?:1|2|into|sign)"
)
_COMPANION = re.compile(rb"\{([^}]+)\}:(?:(.+):)?(%b)" % _PURPOSE.pattern, re.DOTALL)


def check_name(name: object, own: bytes = b"") -> bytes:
    """Give the key of the set called *name*; refuse what can't be one, and others' companions.

    The *own* key of a set is its name in any case: a result may be kept under it.
    """
    if not isinstance(name, str | bytes):
        raise InvalidTypeError(
            f"redset: name must be str or bytes, got {type(name).__name__} {shown(name)}"
        )
    if not name:
        raise InvalidValueError("redset: name must not be empty; it is the key of the set")
    key = encoded_name(name)
    if key != own and (owner := owner_of(key)) is not None:
        raise InvalidValueError(
            f"redset {shown(name)}: this is the name of a companion key of the set "
            f"{shown(text_of(owner))}; "
            "choose another name"
        )
    return key


def encoded_name(name: str | bytes) -> bytes:
    """Give the bytes of *name*; refuse text that has none in UTF-8, which would be another's."""
    try:
        return name.encode() if isinstance(name, str) else bytes(name)
    except UnicodeEncodeError:
        raise InvalidValueError(
            f"redset {shown(name)}: a name must be text that UTF-8 can write, and this has a lone "
            "surrogate; for a key of other bytes, give bytes"
        ) from None


def text_of(key: bytes) -> str:
    """Give *key* as messages show it; two keys may look alike."""
    return key.decode("utf-8", "backslashreplace")


@lru_cache(maxsize=1024)
def companion(key: bytes, purpose: str) -> bytes:
    """Name a further key of the set under *key*, always in the set's cluster slot."""
    if b"}" not in key:
        return b"{%b}:%b" % (key, purpose.encode())
    tag = hash_tag(key)
    if tag == key:
        # Braces around such a name would end at its own "}": a number of the same slot tags it.
        tag = _number_in(slot_of(key))
    # The whole name follows: "jobs" and "{jobs}" must not share a companion. As purposes are what
    # they are, no two names give one key.
    return b"{%b}:%b:%b" % (tag, key, purpose.encode())


@lru_cache(maxsize=1024)
def _number_in(slot: int) -> bytes:
    return next(tag for tag in (b"%d" % number for number in count()) if slot_of(tag) == slot)


def owner_of(key: bytes) -> bytes | None:
    """Give the key of the set whose companion *key* would be; ``None`` if it can't be one."""
    # Most names have no braces at all, or other words after them.
    found = _COMPANION.fullmatch(key) if key[:1] == b"{" else None
    if found is None:
        return None
    tag, name, purpose = found.groups()
    owner: bytes = tag if name is None else name
    return owner if companion(owner, purpose.decode()) == key else None


def lasting_set_of(key: bytes) -> bytes:
    """Give the key of the set that *key* is a companion of, by way of other ones, or *key*."""
    while (owner := owner_of(key)) is not None:
        key = owner
    return key


class LeasingKeys(NamedTuple):
    """The keys of all that belongs to a set; ``lua/leasing.lua`` says what each of them holds.

    What is leased comes first, and what never exists last.
    """

    leased: bytes
    held: bytes
    deliveries: bytes
    dead: bytes
    letters: bytes
    delayed: bytes
    undecodable: bytes
    seen: bytes
    absent: bytes


@lru_cache(maxsize=1024)
def leasing_keys(key: bytes) -> LeasingKeys:
    """Name all that belongs to the set under *key*, and moves, ends or goes with it.

    Not its lock, which is its name's, nor what is a caller's: replies, results and their like.
    """
    return LeasingKeys(*(companion(key, purpose) for purpose in LeasingKeys._fields))


def moved_key(key: bytes) -> bytes:
    """Name what tells the leases of the set that was under *key* where it is now."""
    return companion(key, "moved")


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
