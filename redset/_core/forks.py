"""Forks: a lock that another thread held when a process forked would never be free in the child."""

import os
import threading
import weakref
from typing import Protocol


class HasLock(Protocol):
    """What guards its state with a lock of its own."""

    _lock: threading.Lock


_owners: "weakref.WeakSet[HasLock]" = weakref.WeakSet()


def renewed_in_children(owner: HasLock) -> None:
    """Give *owner* another lock in each process that is forked from this one."""
    _owners.add(owner)


def _after_fork_in_child() -> None:
    for owner in list(_owners):
        owner._lock = threading.Lock()


os.register_at_fork(after_in_child=_after_fork_in_child)
