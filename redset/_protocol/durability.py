"""Durability: which copies of a change a set waits for, and what is known of them. No I/O."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from redset._protocol import commands
from redset._protocol.arguments import check_count, check_seconds
from redset._protocol.commands import Command
from redset._protocol.keys import companion
from redset._protocol.replies import Confirmed
from redset._support.words import shown
from redset.exceptions import InvalidTypeError, InvalidValueError, NotDurable

logger = logging.getLogger("redset")

# The shortest wait that the server knows: 0 would have no end.
MS = 0.001


@dataclass(frozen=True, slots=True)
class Durable:
    """The copies of a change that the calls of a set wait for: an argument of the sets.

    Each call that changes the set waits, in the same round trip, until that many replicas have the
    change; with *disk*, until the server has it on its disk and *replicas* have it on theirs. If
    too few confirm it in time, the call raises `NotDurable`, whose ``result`` is what the call
    would have returned.

    Args:
        replicas: how many replicas must have the change; 0 with *disk* alone.
        disk: whether the disk of the server, and those of *replicas*, must have it. The server
            needs ``appendonly yes``, and Redis 7.2 or Valkey; with ``appendfsync everysec`` this
            takes up to 1.1 seconds.
        timeout: for how many seconds a call waits at most. It must be at most half of the client's
            ``socket_timeout``.

    Raises: ``ValueError`` if neither replicas nor disk are asked for.

    >>> import redset
    >>> redset.Durable(replicas=1, timeout=0.5)
    Durable(replicas=1, disk=False, timeout=0.5)

    """

    replicas: int = 0
    disk: bool = False
    timeout: float = 2.0

    def __post_init__(self) -> None:
        replicas = check_count("Durable", "replicas", self.replicas)
        if not isinstance(self.disk, bool):
            raise InvalidTypeError(
                f"redset 'Durable': disk must be True or False, got {shown(self.disk)}"
            )
        if replicas < 0 or (not replicas and not self.disk):
            raise InvalidValueError(
                "redset 'Durable': needs replicas=1 or more, or disk=True, "
                f"got replicas={shown(self.replicas)}"
            )
        object.__setattr__(self, "replicas", replicas)
        check_seconds("Durable", "timeout", self.timeout, least=MS)


def check_durable(name: str, durable: object) -> Durable | None:
    """Return *durable* if it is a `Durable` or ``None``; else raise an error."""
    if durable is not None and not isinstance(durable, Durable):
        raise InvalidTypeError(
            f"redset {shown(name)}: durable must be a redset.Durable, such as "
            f"Durable(replicas=1), got {type(durable).__name__} {shown(durable)}"
        )
    return durable


def strictest(every: Iterable[Durable | None]) -> Durable | None:
    """Return the option of a call that changes several sets: it meets the option of each."""
    some = [each for each in every if each is not None]
    if len(some) < 2:
        return some[0] if some else None
    return Durable(
        max([each.replicas for each in some]),
        any(each.disk for each in some),
        max([each.timeout for each in some]),
    )


class Confirmations:
    """What the steps of one call were confirmed by.

    Each step waits for itself: if the server failed between two steps, what confirms the later step
    says nothing about the earlier one. After a step that was not confirmed in time, the others
    don't wait.
    """

    def __init__(self, name: str, key: bytes, durable: Durable) -> None:
        self._name, self._durable = name, durable
        self._fence = companion(key, "fence")
        self._fewest: Confirmed | None = None

    def asks(self, batch: Sequence[Command[Any]]) -> bool:
        """Return whether *batch* changes something that must last."""
        return any(commands.changes(command) for command in batch)

    def confirming(self) -> list[Command[Any]]:
        """Return the commands to send after a batch; `record` takes their replies."""
        durable = self._durable
        seconds = MS if self._fewest is not None else durable.timeout
        wait = max(1, round(seconds * 1000))
        return commands.confirm(self._fence, durable.replicas, wait, disk=durable.disk)

    def probe(self) -> list[Command[Any]]:
        """Return commands by which the server shows whether it can confirm, without a wait."""
        return commands.confirm(self._fence, 0, 1, disk=self._durable.disk)

    def record(
        self,
        batch: Sequence[Command[Any]],
        replies: Sequence[Any],
        refused: Exception | None,
        confirmed: Confirmed,
    ) -> None:
        """Record what *batch* was confirmed by; *refused* is the error of the fence."""
        if refused is not None:
            confirmed = Confirmed(0, False if self._durable.disk else None, refused)
        if self._meets(confirmed) or all(
            commands.delivered_nothing(command, reply)
            for command, reply in zip(batch, replies, strict=True)
            if commands.changes(command)
        ):
            return
        before = self._fewest or confirmed
        self._fewest = Confirmed(
            min(before.replicas, confirmed.replicas),
            before.disk and confirmed.disk,
            before.error or confirmed.error,
        )

    def _meets(self, confirmed: Confirmed) -> bool:
        return confirmed.replicas >= self._durable.replicas and confirmed.disk is not False

    def check(self, result: Any) -> None:
        """Raise `NotDurable`, with the *result* of the call, if a step was not confirmed."""
        error = self.error()
        if error is not None:
            error.result = result
            raise error

    def log(self) -> None:
        """Log what was not confirmed of a call that raises another error."""
        error = self.error()
        if error is not None:
            logger.warning("%s", error)

    def error(self) -> NotDurable | None:
        """Return the error that names what was not confirmed so far; ``None`` if all was."""
        fewest, wanted = self._fewest, self._durable.replicas
        if fewest is None:
            return None
        error = NotDurable(self._name, fewest.replicas, wanted, fewest.disk)
        error.__cause__ = fewest.error
        return error
