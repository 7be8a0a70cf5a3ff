"""Errors of the clients' libraries, classified by the names of their classes. No I/O."""

import re
import signal
from functools import partial
from typing import Any

# The libraries whose clients a set can use.
LIBRARIES = ("redis", "valkey")


def library_of(kind: type) -> str | None:
    """Return which of the two libraries defines *kind*; ``None`` for a user's class."""
    name = kind.__module__.partition(".")[0]
    return name if name in LIBRARIES else None


def is_named(error: BaseException, name: str) -> bool:
    # Both libraries have classes of these names, with no common base.
    return any(
        kind.__name__ == name and library_of(kind) is not None for kind in type(error).__mro__
    )


def is_reply(error: BaseException) -> bool:
    """Return whether *error* is a reply of the server, not a failure of the connection."""
    return is_named(error, "ResponseError")


def is_client_error(error: BaseException) -> bool:
    """Return whether the client's library raised *error*: its connections are in order then."""
    # Errors of a cluster's client have a base of their own.
    names = ("RedisError", "ValkeyError", "RedisClusterException", "ValkeyClusterException")
    return any(is_named(error, name) for name in names)


def is_redirection(error: BaseException) -> bool:
    """Return whether a cluster's node replied that it can't run the command now, and has not."""
    return any(is_named(error, name) for name in ("AskError", "TryAgainError", "ClusterError"))


def is_ask(error: BaseException) -> bool:
    """Return whether a node replied that another one may have the keys, as their slot is moving."""
    return is_named(error, "AskError") and not is_named(error, "MovedError")


def is_moving(error: BaseException) -> bool:
    """Return whether a slot is about to move, so that the same command may succeed soon.

    A client that was sent from one node to the other too often raises a plain ``ClusterError``.
    """
    names = {kind.__name__ for kind in type(error).__mro__ if library_of(kind) is not None}
    return "TryAgainError" in names or type(error).__name__ == "ClusterError"


def is_disconnected(error: BaseException) -> bool:
    """Return whether the server could not be reached, or didn't answer in time."""
    return is_named(error, "ConnectionError") or is_named(error, "TimeoutError")


def is_outage(error: BaseException) -> bool:
    """Return whether the server can't be reached or refuses its work now, and may be back soon."""
    if is_exhausted(error) or is_named(error, "AuthenticationError"):
        return False
    cluster = ("ClusterError", "RedisClusterException", "ValkeyClusterException")
    return (
        is_disconnected(error)
        or is_read_only(error)
        or any(is_named(error, name) for name in cluster)
    )


def is_of_the_call(error: Exception) -> bool:
    """Return whether *error* comes from the client, the server or redset, not a signal handler."""
    if interruption(error) is not None:
        return False
    libraries = {kind.__module__.partition(".")[0] for kind in type(error).__mro__}
    return isinstance(error, OSError) or not libraries.isdisjoint({"redset", *LIBRARIES})


def interruption(error: BaseException) -> BaseException | None:
    """Return what a signal handler raised: *error*, or what the client's library took for its own.

    A handler may raise a builtin ``TimeoutError``, which is that of a socket, too. Where an error
    was raised tells them apart.
    """
    if not is_client_error(error) and _is_foreign(error):
        return error
    replaced = error.__context__
    while replaced is not None:
        modules = _modules(replaced)
        # What redset or its caller is handling was not caught in the library.
        caught_there = isinstance(replaced, OSError) and _is_in(set(LIBRARIES), modules[:1])
        if caught_there and _is_foreign(replaced):
            return replaced
        replaced = replaced.__context__
    return None


def raise_interruption(error: BaseException) -> None:
    """Raise what a signal handler raised, if *error* is that, or replaced it."""
    if isinstance(error, Exception) and (raised := interruption(error)) is not None:
        raise raised


# Where a connection raises errors.
_OF_CALLS = {"redset", *LIBRARIES, "socket", "ssl", "asyncio", "uvloop", "gevent", "eventlet"}


def _modules(error: BaseException) -> list[str]:
    """Return the names of the modules that *error* came through, that which raised it last."""
    found, step = [], error.__traceback__
    while step is not None:
        found.append(str(step.tb_frame.f_globals.get("__name__")))
        step = step.tb_next
    return found


def _is_foreign(error: BaseException) -> bool:
    """Return whether *error* was raised outside of the client and its sockets.

    A module may have sockets of its own (a proxy's), so an ``OSError`` is foreign only if it came
    through a signal handler.
    """
    if _is_in(_OF_CALLS, _modules(error)[-1:]):
        return False
    return not isinstance(error, OSError) or _came_through_a_handler(error)


def _came_through_a_handler(error: BaseException) -> bool:
    handlers = {_code_of(signal.getsignal(number)) for number in signal.valid_signals()}
    step = error.__traceback__
    while step is not None:
        if step.tb_frame.f_code in handlers:
            return True
        step = step.tb_next
    return False


def _code_of(handler: Any) -> Any:
    """Return the code of a signal handler in Python, ``None`` for any other."""
    while isinstance(handler, partial):
        handler = handler.func
    if not hasattr(handler, "__code__") and callable(handler):
        handler = type(handler).__call__
    return getattr(handler, "__code__", None)


def _is_in(packages: set[str], modules: list[str]) -> bool:
    return {name.partition(".")[0] for name in modules} <= packages


def is_missing_script(error: BaseException) -> bool:
    """Return whether the server doesn't have the script that was called by its digest."""
    return is_named(error, "NoScriptError")


def is_exhausted(error: BaseException) -> bool:
    """Return whether a pool raised *error* because all its connections are in use."""
    if is_named(error, "MaxConnectionsError"):
        return True
    # Older versions raise a plain ConnectionError for it, and so does every BlockingConnectionPool.
    texts = ("Too many connections", "No connection available.")
    return is_named(error, "ConnectionError") and str(error) in texts


def error_code(error: BaseException) -> str:
    """Return the first word of what the server replied, ``""`` for any other error."""
    if not is_reply(error):
        return ""
    text = str(error)
    # If a script fails, Redis 6.2 names the line of the script before the error: twice, with the
    # error as it is in the protocol ("-READONLY"), if the server refused a command of the script.
    in_script = re.search(r".*@user_script: ?\d+: -?(.*)", text)
    word = (in_script[1] if in_script else text).partition(" ")[0]
    # The libraries remove the code "ERR", which most errors have.
    return word if word.isupper() else "ERR"


def is_read_only(error: BaseException) -> bool:
    """Return whether the server replied that it is a read-only replica."""
    names = {kind.__name__ for kind in type(error).__mro__}
    return "ReadOnlyError" in names or error_code(error) == "READONLY"


def is_denied(error: BaseException) -> bool:
    """Return whether the server replied that the account has no right to the command."""
    # The libraries remove this code too, and raise a class of their own instead.
    names = {kind.__name__ for kind in type(error).__mro__}
    return "NoPermissionError" in names or error_code(error) == "NOPERM"


def is_unknown_command(error: BaseException) -> bool:
    """Return whether the server replied that it doesn't have the command."""
    return "unknown command" in str(error).lower() and error_code(error) == "ERR"


def refuses_writes(error: BaseException) -> bool:
    """Return whether the server replied that this client may not write; it may be able to read."""
    return is_read_only(error) or is_denied(error)
