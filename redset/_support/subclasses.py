"""The attributes that a subclass adds to its instances, in the dict or in slots. No I/O."""

import copy
from collections import deque
from collections.abc import Set
from typing import Any


def own_state(instance: object, base: Set[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the attributes of *instance* that are not in *base*: of its dict, of its slots."""
    state: Any = object.__getstate__(instance)
    attributes, slots = state if isinstance(state, tuple) else (state, {})
    return {name: attributes[name] for name in attributes if name not in base}, slots


def copy_own_state(one: object, other: object, base: Set[str]) -> None:
    """Set on *other* the attributes that *one* has, except those in *base*.

    A list, dict, set, bytearray or deque is copied, so that a change of one instance doesn't change
    the other. Anything else is the same object: a copy of a client or of a lock would do harm.
    """
    for attributes in own_state(one, base):
        for name, value in attributes.items():
            kept = copy.copy(value) if isinstance(value, _CONTAINERS) else value
            object.__setattr__(other, name, kept)


_CONTAINERS = (list, dict, set, bytearray, deque)
