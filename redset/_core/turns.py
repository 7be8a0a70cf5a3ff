"""Turns: who is asking when items are handed out, so that a repeated call gets the same again.

A turn is one taker's place on the server: a companion key for what it was given last, and the
number of its call. A handle lends one to each call; one whose call failed is lent again first,
unchanged, and so the next call of the handle is given what the failed one had taken.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from secrets import token_hex

from redset._core.keys import companion

# Longer than redis-py keeps repeating a command by itself (10 times, 5 seconds each).
KEEP_SECONDS = 300.0


class Turn:
    """The companion key of one taker, and how many of its calls are settled."""

    __slots__ = ("calls", "given", "name")

    def __init__(self, key: bytes) -> None:
        self.name = token_hex(8)
        self.given = companion(key, f"given:{self.name}")
        self.calls = 0

    @property
    def token(self) -> bytes:
        return b"%d" % self.calls


class Turns:
    """The turns of one handle; safe across threads, never shared with a forked child."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._lock = threading.Lock()
        self._forget()

    def _forget(self) -> None:
        self._process = os.getpid()
        self._settled: list[Turn] = []
        self._failed: list[Turn] = []

    @contextmanager
    def lend(self) -> Iterator[Turn]:
        """Lend a turn for one call; an exception, of whatever kind, leaves it to be repeated."""
        with self._lock:
            if self._process != os.getpid():
                self._forget()
            idle = self._failed or self._settled
            turn = idle.pop() if idle else Turn(self._key)
        try:
            yield turn
        except BaseException:
            with self._lock:
                self._failed.append(turn)
            raise
        turn.calls += 1
        with self._lock:
            self._settled.append(turn)

    @contextmanager
    def given_up(self) -> Iterator[list[bytes]]:
        """Give the companion keys of all idle turns, to be deleted, and forget them after that.

        An exception keeps them: what a failed call was given is still to be had.
        """
        with self._lock:
            idle = [*self._settled, *self._failed]
        yield [turn.given for turn in idle]
        with self._lock:
            self._settled = [turn for turn in self._settled if turn not in idle]
            self._failed = [turn for turn in self._failed if turn not in idle]
