"""Forks: values that belong to one process; a forked child makes its own.

Python's fork hooks are not enough: uWSGI, other C programs and ``ctypes`` fork without them, and
Windows has none. Each use compares the process id, a system call of about 50 ns. Nor is that enough
by itself: the first process of a container and its child in another PID namespace are both
process 1. So the id of a child that Python has forked differs from its parent's by a count, too.
"""

import os
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

# More than any process id.
_GENERATION = 1 << 32
_forks = 0


def _count_fork() -> None:
    global _forks  # noqa: PLW0603 - read at each call
    _forks += _GENERATION


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_count_fork)


def this_process() -> int:
    """Return a number that differs in a forked child: the process id, and how often it was forked.

    A child in another PID namespace that C code forked may have the same number as its parent.
    """
    return os.getpid() + _forks


def id_of(process: int) -> int:
    """Return the id that the system gave *process*, a number of `this_process`."""
    return process % _GENERATION


class PerProcess(Generic[T]):
    """A value that each process makes for itself at its first use.

    A copy that a fork left in a child is neither used nor closed there. Safe across threads.
    """

    __slots__ = ("_make", "_values")

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        # Both reading and `setdefault` are atomic, so a fork can't leave a lock held.
        self._values: dict[int, T] = {}

    def get(self) -> T:
        """Return the value of this process."""
        process = os.getpid() + _forks  # `this_process`, without the call
        value = self._values.get(process)
        if value is None:
            value = self._values.setdefault(process, self._make())
            for other in list(self._values):
                if other != process:
                    self._values.pop(other, None)
        return value


# Guards state of one process: ``with self._lock.get():``. It is free in a forked child, whichever
# thread of the parent held it, and reentrant, as a signal handler or a finalizer may use a set
# while its own thread is in the middle of another call. `with` on the lock itself, which is written
# in C, leaves no moment in which an exception in a signal handler could leave it held forever.
ReentrantLock = PerProcess[threading.RLock]


def reentrant_lock() -> ReentrantLock:
    """Return a reentrant lock for each process."""
    return PerProcess(threading.RLock)
