"""Watch: learns that a key has changed, whoever changed it, without asking again and again.

The server itself tells: ``CLIENT TRACKING`` in broadcast mode, whose messages go to the connection
that asked for them. It needs no setting of the server's, and the key need not exist.
"""

import logging
import random
import time
from collections.abc import Callable, Generator
from typing import Any, TypeVar
from weakref import WeakKeyDictionary, WeakSet

from redset._core import compat
from redset._core.keys import wake_channel

A = TypeVar("A")
R = TypeVar("R")
S = TypeVar("S")
Message = tuple[Any, Any]  # the channel, and what was said on it

logger = logging.getLogger("redset")

CHANNEL = b"__redis__:invalidate"
DRAINED = b"drained"
# How often to look all the same: a connection may die without a word.
PATIENCE_SECONDS = 15.0
# The same where the server can't tell (a cluster, an account without CLIENT TRACKING).
POLL_SECONDS = 1.0
# How much later, at random, one tries who was woken for nothing: it doubles each time.
SHORTEST_SECONDS, LONGEST_SECONDS = 0.001, 0.016


def greet(key: bytes, protocol: Any) -> Generator[tuple[Any, ...], Any, None]:
    """What a connection that is to tell of changes of *key* says first: command by command.

    No words stand for a second reply to what was said last.
    """
    if str(protocol) == "3":
        yield "HELLO", 2  # then messages come as those of a channel, for every parser
    own = yield "CLIENT", "ID"
    yield "CLIENT", "TRACKING", "ON", "REDIRECT", own, "BCAST", "PREFIX", key
    yield "SUBSCRIBE", CHANNEL, wake_channel(key)
    yield ()


def follow(steps: Generator[S, A, R], answer: Callable[[S], A]) -> R:
    """*answer* each step; give what the generator returns."""
    try:
        step = next(steps)
        while True:
            step = steps.send(answer(step))
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]


class Attention:
    """What one who waits makes of the messages about a key; no I/O."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._reticence = 0.0
        self.woken = False

    def listen(self, seconds: float) -> Generator[float, Message | None, bool]:
        """Listen until there may be something to take; say whether a change was why.

        Yields for how many seconds to wait for a message, and is sent the one that came, if any.
        Who came too late before lets others go first, and stays if they leave nothing.
        """
        if self.woken:  # for nothing: somebody else was faster
            self._reticence = min(2 * self._reticence + SHORTEST_SECONDS, LONGEST_SECONDS)
        self.woken = False
        until = time.monotonic() + seconds
        turn: float | None = None
        while (left := (until if turn is None else turn) - time.monotonic()) > 0:
            message = yield left
            if message is None:
                continue
            channel, said = message
            if channel == CHANNEL:
                # No keys: the whole database was flushed. Others may only begin like ours.
                if turn is None and (said is None or self._key in said):
                    turn = time.monotonic() + random.random() * self._reticence  # noqa: S311 - no secret
            elif said == DRAINED:
                turn = None
            else:
                return False
        self.woken = turn is not None
        return self.woken


class Watch:
    """A connection of the client's pool, lent for as long as one waits for a key to change.

    Cost: 4 round trips to begin, none to wait. Where no connection can watch, `wait` only sleeps,
    for a second at the most.
    """

    def __init__(self, client: Any, key: bytes) -> None:
        self._pool: Any = getattr(client, "connection_pool", None)
        self._key = key
        self._connection: Any = None
        self._attention = Attention(key)

    def wait(self, seconds: float) -> bool:
        """Return when the key has changed (true), after *seconds*, or after a while.

        The first call begins to watch and returns at once: the key may have changed before.
        """
        try:
            if self._connection is None:
                self._begin()
                return False
            listening = self._attention.listen(min(seconds, PATIENCE_SECONDS))
            return follow(listening, self._message)
        except Exception:
            logger.debug("redset: can't watch %r, so it is polled", self._key, exc_info=True)
            self.close()
            self._attention.woken = False
            time.sleep(min(seconds, POLL_SECONDS))
            return False

    def catch_up(self) -> None:
        """Pass over what was said so far; what changes from now on will be heard."""
        self._attention.woken = False
        try:
            while self._connection is not None and self._message(0) is not None:
                pass
        except Exception:
            self.close()

    def _begin(self) -> None:
        if self._pool is None:
            raise NotImplementedError("no connection of a cluster can watch")
        # The other half of the pool is for asking: who waits takes nothing while none is left.
        others = _watching.setdefault(self._pool, WeakSet())
        if len(others) >= getattr(self._pool, "max_connections", 2) // 2:
            raise NotImplementedError("a connection to watch with can't be spared")
        others.add(self)
        self._connection = compat.borrow(self._pool)
        follow(greet(self._key, getattr(self._connection, "protocol", 2)), self._ask)

    def _ask(self, words: tuple[Any, ...]) -> Any:
        if words:
            self._connection.send_command(*words)
        return self._connection.read_response(disable_decoding=True)

    def _message(self, seconds: float) -> Message | None:
        if not self._connection.can_read(timeout=seconds):
            return None
        *_, channel, said = self._connection.read_response(disable_decoding=True)
        return channel, said

    def close(self) -> None:
        """Let the pool have the connection, which no longer watches."""
        if self._pool is None:
            return
        _watching.get(self._pool, WeakSet()).discard(self)
        if self._connection is not None:
            # The next user of the connection finds it without tracking, as it connects anew.
            self._connection.disconnect()
            self._pool.release(self._connection)
            self._connection = None


# Who watches with a connection of each pool.
_watching: WeakKeyDictionary[Any, WeakSet[Watch]] = WeakKeyDictionary()
