"""Names of keys: the set's own, and those of its companions in the same cluster slot.

The module knows the server's hash-tag rule, and imports no commands and no clients.
"""

import binascii
import re
from functools import lru_cache
from itertools import count
from typing import NamedTuple

from redset._support.words import shown
from redset.exceptions import InvalidTypeError, InvalidValueError

SLOTS = 16384


# The purposes of companion keys. No purpose contains a brace, and none ends with a colon and
# another purpose, so that a companion key has one meaning only.
_PURPOSE = re.compile(
    rb"absent|dead|delayed|deliveries|fence|held|leased|letters|lock|moved|seen|undecodable|wake|"
    rb"given:[0-9a-f]{16}|(?:result|staged):[0-9a-f]{20}n\d+|result:[0-9a-f]{20}n\d+:alive|"
    rb"scratch:(?:1|2|into|alive)"
)
_TEMPORARY = re.compile(rb":(?:(?:result|staged):[^:]*(?::alive)?|scratch:\w+)\Z")
_COMPANION = re.compile(rb"\{([^}]+)\}:(?:(.+):)?(%b)" % _PURPOSE.pattern, re.DOTALL)


def check_name(name: object, own: bytes = b"") -> bytes:
    """Return the key of the set called *name*; raise an error if *name* can't be one.

    The name of another set's companion key is refused too. The *own* key of a set is always
    accepted: a result may keep its key.
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
    """Return *name* as bytes; refuse text that UTF-8 can't encode: two names could share a key."""
    try:
        return name.encode() if isinstance(name, str) else bytes(name)
    except UnicodeEncodeError:
        raise InvalidValueError(
            f"redset {shown(name)}: a name must be text that UTF-8 can write, and this has a lone "
            "surrogate; for a key of other bytes, give bytes"
        ) from None


def text_of(key: bytes) -> str:
    """Return *key* as text for messages; two different keys may have the same text."""
    return key.decode("utf-8", "backslashreplace")


@lru_cache(maxsize=1024)
def companion(key: bytes, purpose: str) -> bytes:
    """Return the name of a companion key of the set under *key*, in the set's cluster slot."""
    if b"}" not in key:
        return b"{%b}:%b" % (key, purpose.encode())
    tag = hash_tag(key)
    if tag == key:
        # Braces around such a name would end at its own "}". A number of the same cluster slot is
        # the hash tag instead.
        tag = _number_in(slot_of(key))
    # The whole name follows the tag, so that "jobs" and "{jobs}" share no companion. Because of
    # the rules for `_PURPOSE`, no two names have the same companion.
    return b"{%b}:%b:%b" % (tag, key, purpose.encode())


@lru_cache(maxsize=1024)
def _number_in(slot: int) -> bytes:
    return next(tag for tag in (b"%d" % number for number in count()) if slot_of(tag) == slot)


def owner_of(key: bytes) -> bytes | None:
    """Return the key of the set that has *key* as a companion; ``None`` if *key* isn't one."""
    # Most names have no braces, or other words after them.
    found = _COMPANION.fullmatch(key) if key[:1] == b"{" else None
    if found is None:
        return None
    tag, name, purpose = found.groups()
    owner: bytes = tag if name is None else name
    return owner if companion(owner, purpose.decode()) == key else None


def is_temporary(key: bytes) -> bool:
    """Return whether *key* belongs to one call or to a result, and lasts no longer."""
    return owner_of(key) is not None and _TEMPORARY.search(key) is not None


def lasting_set_of(key: bytes) -> bytes:
    """Return the set that *key* is a companion of, also through other companions; else *key*."""
    while (owner := owner_of(key)) is not None:
        key = owner
    return key


class LeasingKeys(NamedTuple):
    """The companion keys of a set; ``lua/delivering.lua`` describes what each of them holds.

    The key of leased members is first, and a key that never exists is last.
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
    """Return the companion keys that are renamed, expire and are deleted with the set.

    These don't include the lock, which belongs to the set's name, and the keys that belong to a
    caller, such as replies and results.
    """
    return LeasingKeys(*(companion(key, purpose) for purpose in LeasingKeys._fields))


def moved_key(key: bytes) -> bytes:
    """Return the key that tells the leases of a renamed set, once under *key*, its new key."""
    return companion(key, "moved")


def wake_channel(key: bytes) -> bytes:
    """Return the channel that notifies waiting consumers of a deadline nearer than they know."""
    return companion(key, "wake")


def slot_of(key: bytes) -> int:
    """Return the cluster slot of *key* (CRC16 of its hash tag, as in the cluster specification)."""
    return binascii.crc_hqx(hash_tag(key), 0) % SLOTS


def hash_tag(key: bytes) -> bytes:
    """Return the part of *key* that decides its slot: inside the first braces, else all of it."""
    start = key.find(b"{")
    end = key.find(b"}", start + 1)
    return key[start + 1 : end] if start >= 0 and end > start + 1 else key
