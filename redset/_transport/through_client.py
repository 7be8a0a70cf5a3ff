"""Batches that are sent through the public methods of a client, on both surfaces."""

from collections.abc import Sequence
from typing import Any

from redset._protocol import client_errors, commands
from redset._protocol.commands import Command
from redset._transport import compat
from redset._transport.compat import RAW
from redset.exceptions import InvalidTypeError, NestedCallError


def send_through(client: Any, batch: Sequence[Command[Any]]) -> list[Any]:
    """Send *batch* with public methods of *client*; return the replies, errors among them."""
    check_transaction(batch)
    check_kept_together(client, batch)
    if compat.is_in_the_middle_of_a_call(client):
        raise NestedCallError(
            "redset: the client has a single connection, which is in the middle of another call of "
            "this thread (this one comes from a signal handler or a finalizer); use a client with "
            "a pool of connections"
        )
    try:
        if compat.sends_singly(client, len(batch)):
            return [_reply(client, command) for command in batch]
        with client.pipeline(transaction=False) as pipeline:
            for command in batch:
                pipeline.execute_command(*command.words, **RAW)
            return list(pipeline.execute(raise_on_error=False))
    except BaseException as error:
        if not client_errors.is_client_error(error):
            # A signal handler may have raised it between a command and its reply. The next call
            # would read that reply as its own.
            compat.close_half_read(client)
        raise


def _reply(client: Any, command: Command[Any]) -> Any:
    try:
        return client.execute_command(*command.words, **RAW)
    except Exception as error:
        if client_errors.is_reply(error):
            return error
        raise


async def send_through_async(client: Any, batch: Sequence[Command[Any]]) -> list[Any]:
    """Send *batch* with public methods of an asyncio *client*, as `send_through` does."""
    check_transaction(batch)
    check_kept_together(client, batch)
    if compat.sends_singly(client, len(batch)):
        return [await _reply_async(client, command) for command in batch]
    pipeline = client.pipeline(transaction=False)
    for command in batch:
        pipeline.execute_command(*command.words, **RAW)
    return list(await pipeline.execute(raise_on_error=False))


async def _reply_async(client: Any, command: Command[Any]) -> Any:
    try:
        return await client.execute_command(*command.words, **RAW)
    except Exception as error:
        if client_errors.is_reply(error):
            return error
        raise


def check_transaction(batch: Sequence[Command[Any]]) -> None:
    """Refuse a transaction: the client might send its commands over several connections."""
    if commands.MULTI in batch:  # a result's renewal may come before it
        raise commands.TransactionUnsupportedError


def check_kept_together(client: Any, batch: Sequence[Command[Any]]) -> None:
    """Refuse to confirm changes if the client might have made them over another connection."""
    if batch and batch[-1].confirms and (reason := compat.why_apart(client)) is not None:
        raise InvalidTypeError(
            f"redset: a set with durable=… can't use this client any more: {reason}; nothing was "
            "sent"
        )


def confirmations_after(batch: Sequence[Command[Any]], first: int) -> list[int]:
    """Return the places of the commands in *batch*, after the *first* place, that confirm it."""
    return [place for place in range(first, len(batch)) if batch[place].confirms]
