"""Commands for a whole set, its time-to-live and its name, and for the server."""

from collections.abc import Sequence
from typing import Any

from redset._protocol import replies
from redset._protocol.commands.command import Command, call, call_once, milliseconds, parts
from redset._protocol.commands.scripts import CLEAR, EXPIRE, RENAME, TTL


def reach_owner(key: bytes) -> Command[int]:
    """Remove nothing from a *key* that doesn't exist, at the node that owns its slot in a cluster.

    Only a command that writes reaches that node in any case: a client that reads from replicas
    sends others to any of them, and a master that became a replica answers them.
    """
    return Command(("ZREM", key), (b"",), replies.integer)


def delete(*keys: bytes) -> Command[int]:
    """Delete *keys*; the server frees their memory in the background."""
    return Command(("UNLINK",), keys, replies.integer)


def delete_all(keys: Sequence[bytes]) -> list[Command[Any]]:
    """Return the commands of `delete` for any number of keys."""
    return [delete(*part) for part in parts(keys)]


def clear(keys: Sequence[bytes]) -> list[Command[Any]]:
    """Return the commands that delete a set, its key first, and any number of other *keys*."""
    first, *others = parts(keys)
    return [call(CLEAR, first, (), replies.integer), *(delete(*part) for part in others)]


def expire(key: bytes, seconds: float) -> Command[int]:
    return Command(("PEXPIRE", key), (milliseconds(seconds),), replies.integer)


def expire_set(
    keys: Sequence[bytes], request_id: bytes, keep: float, seconds: float | None
) -> Command[bool]:
    """Set the time-to-live of a set and its companions; ``None`` removes it."""
    words = ("PERSIST",) if seconds is None else ("PEXPIRE", milliseconds(seconds))
    return call(EXPIRE, keys, (request_id, milliseconds(keep), *words), replies.truth)


def ttl_of_set(keys: Sequence[bytes]) -> Command[float | None]:
    return call(TTL, keys, (), replies.seconds_left)


def rename(
    keys: Sequence[bytes], request: tuple[bytes, float], channel: bytes
) -> Command[tuple[str, int]]:
    request_id, keep = request
    return call_once(RENAME, keys, (request_id, milliseconds(keep), channel), replies.verdict)


def server_time() -> Command[float]:
    return Command(("TIME",), (), replies.seconds)


def server_info() -> Command[str]:
    return Command(("INFO", "server"), (), replies.run_id)
