"""Forks: values that belong to one process; a forked child makes its own.

No correctness depends on Python's fork hooks: uWSGI, other C programs and ``ctypes`` fork without
them, and Windows has none. Each use compares the process id, a system call of about 50 ns.
"""

import os
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


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
        process = os.getpid()
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
