"""Retries, as the client itself would do them, and its locks."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, cast

from redset._protocol.client_errors import is_read_only, raise_interruption
from redset._transport.compat.kinds import exceptions_of

R = TypeVar("R")


def call_with_retry(client: Any, connection: Any, first: Exception, again: Callable[[], R]) -> R:
    """Continue as *client* would after a first attempt that failed with *first*.

    The client's own `Retry` decides which errors are retried, how often, and after which pauses.
    """
    failed = [first]

    def attempt() -> R:
        if failed:
            raise failed.pop()
        connect = _connect_to_master(connection)
        if connect is not None:
            connect()
        return again()

    def fail(error: Exception) -> None:
        connection.disconnect()
        raise_interruption(error)  # its `TimeoutError` would be taken for the client's
        if not _repeats(client, connection, error):
            raise error

    return cast(R, connection.retry.call_with_retry(attempt, fail))


def call_with_retry_async(
    client: Any, connection: Any, attempt: Callable[[], Awaitable[R]]
) -> Awaitable[R]:
    """Return an awaitable that does what `call_with_retry` does, including the first attempt."""
    connect = _connect_to_master(connection)

    async def attempt_at_master() -> R:
        await cast(Any, connect)()
        return await attempt()

    async def fail(error: Exception) -> None:
        await connection.disconnect()
        if not _repeats(client, connection, error):
            raise error

    first = attempt if connect is None else attempt_at_master
    return cast(Awaitable[R], connection.retry.call_with_retry(first, fail))


def _connect_to_master(connection: Any) -> Callable[[], Any] | None:
    """Return what opens *connection*, if it is closed, at the master that Sentinels name now.

    ``None`` without Sentinels. redis-py 7.1 and later would open it at the address of before, when
    it sends a command again.
    """
    connect: Callable[[], Any] | None = getattr(connection, "_connect_retry", None)
    return connect


def _repeats(client: Any, connection: Any, error: Exception) -> bool:
    """Return whether *client* retries after an *error* that its `Retry` knows."""
    if not hasattr(client, "_disconnect_raise"):
        return True
    # Before version 6, only errors that the user named are retried. Of these, pipelines retry only
    # timeouts, as a user's commands may not be safe to repeat: those of redset's batches are.
    named = tuple(getattr(connection, "retry_on_error", None) or ())
    return isinstance(error, named)


def retries_of_cluster(client: Any) -> int:
    """Return how often a cluster's *client* repeats a command that a node didn't answer."""
    # Before version 6, `retry` was that of the connections.
    named = getattr(client, "cluster_error_retry_attempts", None)
    count = getattr(getattr(client, "retry", None), "get_retries", None)
    if named is not None or count is None:
        return 3 if named is None else int(named)
    return int(count())


def repeats_reply(connection: Any, reply: Exception) -> bool:
    """Return whether the user named *reply*, an error of the server, as a reason to retry."""
    return isinstance(reply, getattr(connection.retry, "_supported_errors", ()))


def plain_reply(connection: Any, reply: Exception) -> Exception:
    """Return what the client makes of *reply* if a plain command, not a script, receives it.

    Redis 6.2 tells inside of the error of a script that it is a read-only replica. The client
    doesn't see that, and would go on to use the connection of a master that was demoted.
    """
    if type(reply).__name__ != "ResponseError" or not is_read_only(reply):
        return reply
    exceptions = exceptions_of(connection)
    if getattr(getattr(connection, "connection_pool", None), "is_master", False):
        error = exceptions.ConnectionError("The previous master is now a slave")
    else:
        error = exceptions.ReadOnlyError(str(reply))
    error.__cause__ = reply.with_traceback(None)
    return cast(Exception, error)


# Locks


def try_to_lock(lock: Any, token: bytes) -> Any:
    """Acquire *lock*, made by a client's ``lock()``, with *token*; return whether it was acquired.

    For an asyncio client, returns an awaitable.
    """
    return lock.do_acquire(token)


def unlock(lock: Any, token: bytes) -> Any:
    """Free *lock*; raise a `ValueError`, LockNotOwnedError, if *token* is not its own.

    For an asyncio client, returns an awaitable.
    """
    return lock.do_release(token)
