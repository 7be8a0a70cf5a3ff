"""The attributes of subclasses and of their instances, in the dict or in slots. No I/O."""

import copy
from collections import deque
from collections.abc import Set
from functools import cached_property
from typing import Any


def own_state(instance: object, base: Set[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the attributes of *instance* that are not in *base*: of its dict, of its slots."""
    state: Any = object.__getstate__(instance)
    attributes, slots = state if isinstance(state, tuple) else (state, {})
    return {name: attributes[name] for name in attributes if name not in base}, slots


def copy_own_state(one: object, other: object, base: Set[str]) -> None:
    """Set on *other* the attributes that *one* has, except those in *base*.

    A list, dict, set, bytearray or deque is copied, so that a change of one instance doesn't change
    the other. Anything else is the same object: a copy of a client or of a lock would do harm. What
    a cached property computed is left out: it would be wrong for the other.
    """
    for attributes in own_state(one, base):
        for name, value in attributes.items():
            if isinstance(static(type(one), name), cached_property):
                continue
            kept = copy.copy(value) if isinstance(value, _CONTAINERS) else value
            object.__setattr__(other, name, kept)


def static(cls: type, name: str) -> Any:
    """Return the attribute *name* of *cls*, without running its code."""
    for base in cls.__mro__:
        if name in vars(base):
            return vars(base)[name]
    return None


_CONTAINERS = (list, dict, set, bytearray, deque)
