"""Commands that learn whether changes are safe, and which commands change something."""

from collections.abc import Sequence
from typing import Any, ClassVar

from redset._protocol import replies
from redset._protocol.commands.command import READING, Command, R
from redset._protocol.commands.delivery import SHAPES
from redset._protocol.commands.scripts import (
    COMPARE,
    COUNT,
    FENCE,
    FENCE_BESIDE,
    FIRST_LEASE,
    FIRST_TAKE,
    LEASE,
    OVERLAP,
    PAGE,
    READ,
    RENAME,
    SETTLE,
    STATS,
    TAKE,
    TTL,
    Script,
)
from redset._protocol.keys import is_temporary

# The verb of settle.lua that renews a lease in the background.
RENEW = "renew"

# The scripts that change nothing: see `changes`.
# What calls a script: its keys come after the script and their number.
_CALLS = frozenset(["EVAL", "EVALSHA", "EVAL_RO", "EVALSHA_RO"])
_READERS: frozenset[Script | None] = frozenset([COMPARE, COUNT, OVERLAP, PAGE, READ, STATS, TTL])


class Confirming(Command[R]):
    """A command that is sent after others, to learn whether their changes are safe.

    It is sent again together with any command before it. An error of it is parsed, not raised: the
    commands before it were executed.
    """

    __slots__ = ()

    confirms: ClassVar[bool] = True


def confirm(key: bytes, number: int, milliseconds: int, *, disk: bool) -> list[Command[Any]]:
    """Wait until *number* replicas have all that the server has, with *disk* on their disks.

    With *disk*, the server's own disk has it too. The last reply says what was confirmed. *key* is
    a key that doesn't exist; the first command writes it and deletes it: see fence.lua.
    """
    fence = Confirming(("EVAL", FENCE.source, 1, key), (), replies.error_or_none)
    if disk:
        waits = ("WAITAOF", 1, number, milliseconds)
        return [fence, Confirming(waits, (), replies.confirmed_on_disk)]
    return [fence, Confirming(("WAIT", number, milliseconds), (), replies.confirmed)]


def fence_beside(command: Command[Any]) -> Command[Any]:
    """Return another first command of `confirm`, for the node that executed *command*.

    It writes to the first key of *command*, without changing it: see beside.lua.
    """
    name, *words = command.words
    key = words[2] if name in _CALLS else words[0]
    return Confirming(("EVAL", FENCE_BESIDE.source, 1, key), (), replies.error_or_none)


def changes(command: Command[Any]) -> bool:
    """Return whether *command* changes a set that lasts, or its companions.

    Reading does not, nor do changes of results and of staged items, which are temporary, nor the
    renewal of a lease: the next one comes soon.
    """
    script = command.script
    name, *words = (*command._head, *command._rest[:4])
    if script in _READERS or name in READING:
        return False
    if script is SETTLE and command._rest[2] == RENEW:
        return False
    if script is RENAME:  # of a result, which lasts from then on
        return True
    key = words[0] if script is None else words[2]
    return not (isinstance(key, bytes) and is_temporary(key))


def delivered_nothing(command: Command[Any], reply: Any) -> bool:
    """Return whether *command* is a request for items that found none, and acknowledged none."""
    script = command.script
    if script is TAKE:
        return not reply.pairs
    if script is LEASE:
        return not reply.held and not command._rest[3]
    if script is FIRST_TAKE or script is FIRST_LEASE:
        return reply.reply is None and not command._rest[2 + len(SHAPES[TAKE][1])]
    return False


_PACKED_WAITS = (b"*3\r\n$4\r\nWAIT\r\n", b"*4\r\n$7\r\nWAITAOF\r\n")


def confirming_places(packed: Sequence[bytes]) -> list[int]:
    """Return the places of `Confirming` commands in a *packed* batch."""
    places = [place for place, words in enumerate(packed) if words.startswith(_PACKED_WAITS)]
    return [each for place in places for each in (place - 1, place)]
