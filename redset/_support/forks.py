"""Forks: values that belong to one process; a forked child makes its own.

Python's fork hooks are not enough: uWSGI, other C programs and ``ctypes`` fork without them, and
Windows has none. Linux can empty a page of memory in each child, also of a fork by C code: each use
looks at such a page. Elsewhere each use asks for the process id, a system call, which takes longer.
Nor is that enough by itself: the first process of a container and its child in another PID
namespace are both process 1. So a number of a child differs from its parent's by a count, too.
"""

import mmap
import os
import sys
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

# More than any process id.
_GENERATION = 1 << 32
_MADV_WIPEONFORK = 18  # Linux 4.14; Python has no name for it

# In place of a page, where the system has none: each use asks for the process id.
_NO_PAGE = b"\0"
# How often this process was forked, as far as Python's hooks know, times `_GENERATION`.
_forks = 0


def _count_fork() -> None:
    global _forks  # noqa: PLW0603 - read at each call
    _forks += _GENERATION


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_count_fork)


def _new_page() -> mmap.mmap | bytes:
    """Return memory that begins with a 1, and with a 0 in each child that is forked from now on."""
    if sys.platform != "linux":
        return _NO_PAGE
    try:
        page = mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        page.madvise(_MADV_WIPEONFORK)
    except OSError:
        return _NO_PAGE
    try:
        page.madvise(-1)
    except OSError:
        page[0] = 1
        return page
    return _NO_PAGE  # an emulator that accepts any advice, and follows none


# The page of this process and its number: one object, as threads and signal handlers may look at
# any moment.
_state: tuple[mmap.mmap | bytes, int] = _new_page(), os.getpid()


def this_process() -> int:
    """Return a number that differs in a forked child: the process id, and how often it was forked.

    Where the system has no such page, a child in another PID namespace that C code forked may have
    the same number as its parent.
    """
    page, number = _state
    return number if page[0] else _look()


def _look() -> int:
    """Return the number of a process that was just forked, or that has no page."""
    global _state, _forks  # noqa: PLW0603 - read at each call
    page, parent = _state
    if page[0]:  # another thread, or a signal handler, was faster
        return parent
    if page is _NO_PAGE:
        return os.getpid() + _forks
    # All that look at the same time read the same state, and so make the same number.
    forks = (parent // _GENERATION + 1) * _GENERATION
    number = os.getpid() + forks
    mine = _new_page()
    _forks = forks  # from here on without a page, if none is to be had
    _state = mine, number
    return number


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
        page, process = _state  # as in `this_process`, without the call
        if not page[0]:
            process = _look()
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
