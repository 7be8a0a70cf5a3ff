"""Watch: learns that a key has changed, whoever changed it, without asking again and again.

The server itself tells: ``CLIENT TRACKING`` in broadcast mode, whose messages go to the connection
that asked for them. It needs no setting of the server's, and the key need not exist.
"""

import inspect
import logging
import random
import time
from typing import Any, Self

from redset._core.keys import wake_channel

logger = logging.getLogger("redset")

CHANNEL = b"__redis__:invalidate"
DRAINED = b"drained"
# How often to look all the same: a connection may die without a word.
PATIENCE_SECONDS = 15.0
# The same where the server can't tell (a cluster, an account without CLIENT TRACKING).
POLL_SECONDS = 1.0
# How much later, at random, one tries who was woken for nothing: it doubles each time.
SHORTEST_SECONDS, LONGEST_SECONDS = 0.001, 0.016


class Watch:
    """A connection of the client's pool, lent for as long as one waits for a key to change.

    Cost: 4 round trips to begin, none to wait. Where no connection can watch, `wait` only sleeps,
    for a second at the most.
    """

    def __init__(self, client: Any, key: bytes) -> None:
        self._pool: Any = getattr(client, "connection_pool", None)
        self._key = key
        self._connection: Any = None
        self._reticence = 0.0
        self._woken = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._give_back()

    def wait(self, seconds: float) -> bool:
        """Return when the key has changed (true), after *seconds*, or after a while.

        The first call begins to watch and returns at once: the key may have changed before.
        """
        try:
            if self._connection is None:
                self._begin()
                return False
            if self._woken:  # for nothing: somebody else was faster
                self._reticence = min(2 * self._reticence + SHORTEST_SECONDS, LONGEST_SECONDS)
            self._woken = self._listen(min(seconds, PATIENCE_SECONDS))
            return self._woken
        except Exception:
            logger.debug("redset: can't watch %r, so it is polled", self._key, exc_info=True)
            self._give_back()
            self._woken = False
            time.sleep(min(seconds, POLL_SECONDS))
            return False

    def _begin(self) -> None:
        if self._pool is None or getattr(self._pool, "max_connections", 2) < 2:
            raise NotImplementedError("a connection to watch with can't be spared")
        self._connection = _borrow(self._pool)
        if str(getattr(self._connection, "protocol", 2)) == "3":
            self._ask("HELLO", 2)  # then messages come as those of a channel, for every parser
        own = self._ask("CLIENT", "ID")
        self._ask("CLIENT", "TRACKING", "ON", "REDIRECT", own, "BCAST", "PREFIX", self._key)
        for channel in (CHANNEL, wake_channel(self._key)):
            self._ask("SUBSCRIBE", channel)

    def _ask(self, *words: Any) -> Any:
        self._connection.send_command(*words)
        return self._connection.read_response(disable_decoding=True)

    def _listen(self, seconds: float) -> bool:
        """Listen until there may be something to take; say whether a change was why.

        Who came too late before lets others go first, and stays if they leave nothing.
        """
        until = time.monotonic() + seconds
        turn: float | None = None
        while (left := (until if turn is None else turn) - time.monotonic()) > 0:
            if not self._connection.can_read(timeout=left):
                continue
            *_, channel, said = self._connection.read_response(disable_decoding=True)
            if channel == CHANNEL:
                # No keys: the whole database was flushed. Others may only begin like ours.
                if turn is None and (said is None or self._key in said):
                    turn = time.monotonic() + random.random() * self._reticence  # noqa: S311 - no secret
            elif said == DRAINED:
                turn = None
            else:
                return False
        return turn is not None

    def _give_back(self) -> None:
        if self._connection is not None:
            # The next user of the connection finds it without tracking, as it connects anew.
            self._connection.disconnect()
            self._pool.release(self._connection)
            self._connection = None


def _borrow(pool: Any) -> Any:
    # Older clients want to know for which command.
    wanted = inspect.signature(pool.get_connection).parameters.get("command_name")
    needs_name = wanted is not None and wanted.default is inspect.Parameter.empty
    return pool.get_connection("CLIENT") if needs_name else pool.get_connection()
