"""Read-only calls of scripts: for a replica, and for an account without the right to write.

Nothing here does I/O or awaits.
"""

from collections.abc import Sequence
from typing import Any, TypeVar

from redset._protocol import client_errors
from redset._protocol.commands import Command
from redset._protocol.config import Plan

R = TypeVar("R")


def ask_reader(command: Command[R], renewals: Sequence[Command[Any]] = ()) -> Plan[R]:
    """Call a script that only reads; in the same request, renew results by *renewals*.

    If the server refuses writes, *renewals* are left out. If the account has no right to write to
    the keys, the server refuses the call too, and it is repeated as a read-only one (EVALSHA_RO).
    """
    try:
        *_, reply = yield [*renewals, command]
    except Exception as error:
        if not client_errors.refuses_writes(error):
            raise
        without = [command] if renewals else []
        if client_errors.is_denied(error):
            without.append(command.as_reader())
        reply = yield from _first_reply(without, error)
    return reply  # type: ignore[no-any-return]


def _first_reply(each: Sequence[Command[R]], refusal: Exception) -> Plan[R]:
    """Return the reply to the first command that isn't refused, or raise *refusal*."""
    for command in each:
        try:
            [reply] = yield [command]
        except Exception as error:
            if not client_errors.is_reply(error):
                raise
        else:
            return reply  # type: ignore[no-any-return]
    raise refusal
