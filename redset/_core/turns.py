"""Turns: who is asking when items are handed out, so that a repeated call gets the same again.

A turn is one taker's place on the server: a companion key for what it was given last, and the
number of its call. A handle lends one to each call; one whose call failed is lent again first,
unchanged, and so the next call of the handle is given what the failed one had taken.
"""

import os
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from secrets import token_hex

from redset._core.forks import reentrant_lock
from redset._core.keys import companion, leasing_keys

# Longer than redis-py keeps repeating a command by itself (10 times, 5 seconds each).
KEEP_SECONDS = 300.0
# Of calls that failed and were never repeated, so many are remembered.
MOST_FAILED = 1_000


class Turn:
    """The companion key of one taker, and how many of its calls are settled."""

    __slots__ = ("attempts", "calls", "found", "given", "keys", "name")

    def __init__(self, key: bytes) -> None:
        self.name = token_hex(8)
        self.given = companion(key, f"given:{self.name}")
        # What all scripts of handing out work with.
        self.keys = (key, self.given, *leasing_keys(key))
        self.calls = self.attempts = 0
        # Whether the call was given something. One that wasn't is not settled: what reaches the
        # server when nobody waits for it any more may be given something yet.
        self.found = True

    @property
    def token(self) -> bytes:
        return b"%d" % self.calls

    @property
    def attempt(self) -> bytes:
        """The token of a call that must not be obeyed when a later attempt was."""
        return b"%d.%d" % (self.calls, self.attempts)


class Loan:
    """A turn that is lent for the time of a block."""

    __slots__ = ("_about", "_turn", "_turns")

    def __init__(self, turns: "Turns", about: Hashable) -> None:
        self._turns, self._about = turns, about

    def __enter__(self) -> Turn:
        self._turn = self._turns.take_up(self._about)
        return self._turn

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._turns.lay_down(self._about, self._turn, failed=kind is not None)


class Turns:
    """The turns of one handle; safe across threads, never shared with a forked child."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._lock = reentrant_lock()
        self._forget()

    def _forget(self) -> None:
        self._process = os.getpid()
        self._settled: list[Turn] = []
        self._failed: list[tuple[Hashable, Turn]] = []

    def lend(self, about: Hashable = None) -> "Loan":
        """Lend a turn for one call, the block; an exception leaves it to be repeated.

        Only a call that is *about* the same is a repetition.
        """
        return Loan(self, about)

    def take_up(self, about: Hashable) -> Turn:
        """Give the turn of a call that failed, or one that is free."""
        with self._lock.get():
            if self._process != os.getpid():
                self._forget()
            turn = self._failed_call(about) if self._failed else None
            if turn is None and self._settled:
                turn = self._settled.pop()
        turn = turn or Turn(self._key)
        turn.found = True
        return turn

    def lay_down(self, about: Hashable, turn: Turn, *, failed: bool) -> None:
        """Take back what was taken up."""
        if turn.found and not failed:
            turn.calls, turn.attempts = turn.calls + 1, 0
        else:
            turn.attempts += 1
        with self._lock.get():
            if failed:
                self._failed.append((about, turn))
                del self._failed[:-MOST_FAILED]
            else:
                self._settled.append(turn)

    def _failed_call(self, about: Hashable) -> Turn | None:
        for place, (what, turn) in enumerate(self._failed):
            if what == about:
                del self._failed[place]
                return turn
        return None

    @contextmanager
    def given_up(self) -> Iterator[list[bytes]]:
        """Give the companion keys of all idle turns, to be deleted, and forget them after that.

        An exception keeps them: what a failed call was given is still to be had.
        """
        with self._lock.get():
            if self._process != os.getpid():
                self._forget()
            idle = [*self._settled, *(turn for _, turn in self._failed)]
        yield [turn.given for turn in idle]
        with self._lock.get():
            self._settled = [turn for turn in self._settled if turn not in idle]
            self._failed = [(what, turn) for what, turn in self._failed if turn not in idle]
