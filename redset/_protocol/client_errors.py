"""What errors of the clients' libraries say, told by the names of their classes. No I/O."""

import re

# The libraries whose clients redset takes.
LIBRARIES = ("redis", "valkey")


def library_of(kind: type) -> str | None:
    """Return which of the two libraries *kind* comes from itself; ``None`` for a user's class."""
    name = kind.__module__.partition(".")[0]
    return name if name in LIBRARIES else None


def is_named(error: BaseException, name: str) -> bool:
    # Both libraries have classes of these names, with no common base.
    return any(
        kind.__name__ == name and library_of(kind) is not None for kind in type(error).__mro__
    )


def is_reply(error: BaseException) -> bool:
    """Return whether *error* is what the server replied, and no failure on the way."""
    return is_named(error, "ResponseError")


def is_client_error(error: BaseException) -> bool:
    """Return whether the client's library raised *error*, so that its connections are in order."""
    return any(is_named(error, name) for name in ("RedisError", "ValkeyError"))


def is_disconnected(error: BaseException) -> bool:
    """Return whether the server could not be reached, or didn't answer in time."""
    return is_named(error, "ConnectionError") or is_named(error, "TimeoutError")


def is_missing_script(error: BaseException) -> bool:
    """Return whether the server doesn't have the script that was called by its digest."""
    return is_named(error, "NoScriptError")


def is_exhausted(error: BaseException) -> bool:
    """Return whether a pool raised *error* because all its connections are in use."""
    if is_named(error, "MaxConnectionsError"):
        return True
    # Older versions have no class of its own for it; BlockingConnectionPool never had.
    texts = ("Too many connections", "No connection available.")
    return is_named(error, "ConnectionError") and str(error) in texts


def error_code(error: BaseException) -> str:
    """Return the first word of what the server replied, ``""`` for any other error."""
    if not is_reply(error):
        return ""
    text = str(error)
    # Redis 6.2 says in which line of a script an error occurred, and then which one.
    in_script = re.search(r"@user_script: ?\d+: (.*)", text)
    word = (in_script[1] if in_script else text).partition(" ")[0]
    # The libraries take away the code "ERR", which most errors have.
    return word if word.isupper() else "ERR"


def is_read_only(error: BaseException) -> bool:
    """Return whether the server replied that it is a replica, which nothing may write to."""
    names = {kind.__name__ for kind in type(error).__mro__}
    return "ReadOnlyError" in names or error_code(error) == "READONLY"


def is_denied(error: BaseException) -> bool:
    """Return whether the server replied that the account has no right to the command."""
    # The libraries take away this code too, and tell by a class of their own.
    names = {kind.__name__ for kind in type(error).__mro__}
    return "NoPermissionError" in names or error_code(error) == "NOPERM"


def refuses_writes(error: BaseException) -> bool:
    """Return whether the server replied that this client may not write, but perhaps may read."""
    return is_read_only(error) or is_denied(error)
