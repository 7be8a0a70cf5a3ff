"""Commands for a temporary set, which must not be changed once it is gone."""

from collections.abc import Sequence
from typing import Any

from redset._protocol.commands.command import Command, R, call
from redset._protocol.commands.scripts import ALIVE, INCREASE, INSERT, MOVE, REMOVE_AT, TAKE


def while_alive(
    batch: Sequence[Command[Any]], key: bytes, liveness_key: bytes
) -> list[Command[Any]]:
    """Return commands that do what *batch* does, but change no temporary set that is gone.

    The set under *key* is gone if its *liveness_key* doesn't exist. Only commands that change this
    set are replaced; a command that deletes it stays as it is.
    """
    guarded = [_while_alive(command, key, liveness_key) for command in batch]
    if len(guarded) == 1:
        return guarded
    # Later commands of a batch rely on this script, so it must not fail because the server doesn't
    # have it: it is sent with its source.
    return [each.with_source() if each.script is ALIVE else each for each in guarded]


def _while_alive(command: Command[R], key: bytes, liveness_key: bytes) -> Command[R]:
    name, *head = command._head or ("",)
    if command.script in {TAKE, INSERT, INCREASE, REMOVE_AT, MOVE}:
        digest, number, *words = head
        keys, same = words[: int(number)], words[int(number) :]
        head = ["EVALSHA", digest, len(keys) + 1, *keys, liveness_key, *same]
        return Command(tuple(head), command._rest, command.parse, command.script)
    if head[:1] != [key] or name not in {"ZADD", "ZREM", "ZINCRBY", "ZREMRANGEBYSCORE"}:
        return command
    return call(ALIVE, (key, liveness_key), (name, *command.words[2:]), command.parse)
