"""Results: sets that an operator made on the server, and that go when their handle goes.

A result has two keys: the set, and a sign that the owner is alive. Both run out on the server;
each use renews them. The sign runs out first, so a set without a key is empty while the sign is
there, and gone once it isn't.
"""

import atexit
import logging
import os
import weakref
from collections import deque
from collections.abc import Sequence
from typing import Any

from redset._core import commands
from redset._core.algebra import renew
from redset._core.commands import Command
from redset._core.connection import ClientConnection, calls
from redset.exceptions import ResultExpired

logger = logging.getLogger("redset")


class ResultConnection(ClientConnection):
    """A connection that renews the result with every write, and notices when it has run out."""

    def __init__(self, client: Any, name: str, key: bytes, sign: bytes) -> None:
        super().__init__(client)
        self._name = name
        self._renew_sign, self._renew_set = renew(key, sign)

    def _send(self, batch: Sequence[Command[Any]]) -> list[Any]:
        # Each write is between the two renewals, also the one that sends a script again: a set
        # that it makes anew runs out as well.
        alive, *replies, _ = super()._send([self._renew_sign, *batch, self._renew_set])
        if not alive:
            raise ResultExpired(self._name)
        return replies


def own(handle: object, client: Any, keys: Sequence[bytes]) -> "weakref.finalize[Any, Any]":
    """Delete *keys* once *handle* is collected, or when this process exits."""
    _delete_collected()
    return weakref.finalize(handle, _drop, client, tuple(keys), os.getpid())


# The cyclic collector may run in the middle of the client's own code, where another command
# would find its pool in disorder: what it frees then is deleted by the next result, or at exit.
_collected: deque[tuple[Any, tuple[bytes, ...], int]] = deque()


def _drop(client: Any, keys: tuple[bytes, ...], process: int) -> None:
    if process != os.getpid():
        return  # a forked child has a copy of the handle, not of what it owns
    if calls.depth:
        _collected.append((client, keys, process))
        return
    try:
        ClientConnection(client).execute([commands.delete(*keys)])
    except Exception:
        logger.debug("redset: a result is left to run out on the server", exc_info=True)


@atexit.register
def _delete_collected() -> None:
    while _collected:
        _drop(*_collected.popleft())
