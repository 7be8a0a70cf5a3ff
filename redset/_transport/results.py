"""Results: sets that an operator made on the server, and that are deleted with their handle.

A result has two keys: the set, and a liveness key that shows that the owner is alive. Both expire
on the server; each use renews them, and an iteration is use as long as it runs. The liveness key
expires first. So if the set has no key, it is empty while the liveness key exists; after that the
result has expired, and nothing is written.
"""

import logging
import sys
import threading
import weakref
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

from redset._plans.operands import renew
from redset._protocol import client_errors, commands
from redset._protocol.commands import Command
from redset._protocol.constants import RESULT_SECONDS
from redset._support.clock import monotonic
from redset._support.forks import this_process
from redset._transport.connection import ClientConnection
from redset._transport.renewals import due_after, renewer_of
from redset.exceptions import ResultExpired

T = TypeVar("T")

logger = logging.getLogger("redset")

# Code that must not be called again in the middle of itself.
_BUSY_PACKAGES = ("redis", "valkey", "redset")


class RefreshingConnection(ClientConnection):
    """A connection that renews the result with every write, and notices that it has expired."""

    def __init__(self, client: Any, name: str, key: bytes, liveness_key: bytes) -> None:
        super().__init__(client, key)
        self._name, self._keys = name, (key, liveness_key)
        self._renew_liveness, self._renew_set = renew(key, liveness_key)

    def execute(self, batch: Sequence[Command[Any]]) -> list[Any]:
        """Send *batch* as any connection does; but write nothing if the result has expired."""
        return super().execute(commands.while_alive(batch, *self._keys))

    def _send(self, batch: Sequence[Command[Any]]) -> list[Any]:
        # Each write is between the two renewals, also the one that sends a script again: a set that
        # it creates expires as well.
        alive, *replies, _ = super()._send([self._renew_liveness, *batch, self._renew_set])
        if not alive:
            raise ResultExpired(self._name)
        return replies


class Use:
    """An iteration over a result, which counts as use during the whole iteration.

    A change of the result, the block of a ``with``, is use too, as long as it reads the items that
    it adds. Between items the iteration renews the result itself. As long as pages are left to be
    read, a thread renews it as well, as the processing of an item may take longer than an unused
    result lives.
    """

    def __init__(self, connection: RefreshingConnection) -> None:
        self._connection = connection

    def of(self, page: Iterable[T], *, more: bool) -> Iterator[T]:
        """Yield the items of *page*, which was just read; *more* if another page follows."""
        if more:
            self.begin()
        due = due_after(RESULT_SECONDS)
        for each in page:
            yield each
            if monotonic() >= due:
                self._renew_between()
                due = due_after(RESULT_SECONDS)

    def begin(self) -> None:
        """Start a thread that renews the result from now on."""
        renewer_of(self._connection.client).begin(self, RESULT_SECONDS)

    def end(self) -> None:
        """Stop renewing: an unused result expires."""
        renewer_of(self._connection.client).end(self)

    def __enter__(self) -> None:
        self.begin()

    def __exit__(self, *_error: object) -> None:
        self.end()

    def _renew_between(self) -> None:
        try:
            self._connection.execute([])
        except ResultExpired:
            pass  # the next page raises it, if there is one
        except Exception as error:
            if not client_errors.is_client_error(error):
                raise
            logger.warning("redset: can't renew a result that is read: %s", error)

    def _node(self) -> str | None:
        """Return the name of the node that has the result."""
        return self._connection.node_name

    def _renew(self) -> float | None:
        try:
            self._connection.execute([])
        except ResultExpired:
            return None
        except Exception:
            logger.exception("redset: can't renew a result that is read")
        return RESULT_SECONDS


def delete_when_collected(
    handle: object, client: Any, keys: Sequence[bytes]
) -> "weakref.finalize[Any, Any]":
    """Delete *keys* once *handle* is collected, or when this process exits."""
    connection = ClientConnection(client, keys[0])
    return weakref.finalize(handle, _delete_or_defer, connection, tuple(keys), this_process())


def delete_keys(connection: ClientConnection, keys: Sequence[bytes]) -> None:
    """Delete the *keys* of a result; if that fails, the server deletes them later."""
    try:
        connection.execute([commands.delete(*keys)])
    except Exception:
        logger.debug("redset: a result is left to run out on the server", exc_info=True)


def delete_collected(client: Any) -> None:
    """Delete now the results over *client* whose handles were collected."""
    ClientConnection(client).delete_collected()


def _delete_or_defer(connection: ClientConnection, keys: tuple[bytes, ...], process: int) -> None:
    if process != this_process():
        return  # a forked child has a copy of the handle, but doesn't own the keys
    if _interrupts_a_call():
        connection.delete_later(keys)
    elif not threading.main_thread().is_alive():
        delete_keys(connection, keys)  # the process exits, once other threads have ended
    elif not connection.delete_now(keys):
        connection.delete_later(keys)


def _interrupts_a_call() -> bool:
    """Return whether this thread is in the middle of a call of redset, or of the user's client.

    The garbage collector may run anywhere, and a handle may be dropped anywhere, so a finalizer
    checks where it runs.
    """
    frame = sys._getframe(2)
    while frame is not None:
        name = frame.f_globals.get("__name__", "")
        if isinstance(name, str) and name.partition(".")[0] in _BUSY_PACKAGES:
            return True
        frame = frame.f_back  # type: ignore[assignment]
    return False
