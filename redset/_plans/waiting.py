"""Plans that wait until a set, or one of several sets, may have an item to take."""

import logging
import math
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from redset._protocol.client_errors import is_outage
from redset._protocol.commands import Command
from redset._protocol.config import Awaited, Plan, TakeOptions, WaitForChange
from redset._protocol.replies import MayHaveMore
from redset._support.clock import monotonic
from redset._support.words import shown

R = TypeVar("R", bound=MayHaveMore)

logger = logging.getLogger("redset")

# A consumer that waits goes on waiting for this long if it can't reach its server.
OUTAGE_SECONDS = 30.0
# A waiting consumer that can be stopped checks whether it is to stop each time after this long.
GLANCE_SECONDS = 0.1


class Outage:
    """The time during which a consumer that waits can't reach its server.

    The server may have been restarted, or another one is about to take over: the consumer goes on
    waiting for a while, as it has nothing to lose.
    """

    def __init__(self, awaited: Awaited) -> None:
        self._awaited = awaited
        self._until = 0.0
        # The last request's error, during an outage.
        self._error: Exception | None = None

    def failed(self, error: Exception) -> None:
        """Note that a request failed; raise *error* if it is no outage, or one of too long."""
        if not is_outage(error):
            raise error
        if self._error is None:
            self._until = monotonic() + OUTAGE_SECONDS
            logger.warning(
                "redset %s: a consumer waits for its server, which can't be reached: %s",
                shown(self._awaited.label),
                error,
            )
        elif monotonic() > self._until:
            raise error
        self._error = error

    def answered(self) -> None:
        """Note that a request was answered."""
        self._error = None

    def check(self) -> None:
        """Raise the last request's error: the time is up, and items may have come."""
        if self._error is not None:
            raise self._error


def when_there(
    awaited: Awaited,
    options: TakeOptions,
    request: Callable[[str], Command[R]],
    found: Callable[[R], bool],
    answered: Callable[[R], Plan[None]] | None = None,
) -> Plan[R]:
    """Ask whenever there may be an item to take, until one is *found* or the timeout has passed.

    *request* makes the command for the highest score that is due. *answered* is run once with the
    first reply, before any wait.
    """
    end = math.inf if options.timeout is None else monotonic() + options.timeout
    reply: R
    [reply] = yield [request(options.max_due_score())]
    if reply.more:
        reply, _ = yield from _asked(options, request)
    if answered is not None:
        yield from answered(reply)
    if found(reply) or options.timeout == 0:
        return reply
    outlook = awaited.outlook(options.now)
    seconds = math.inf
    glance = math.inf if options.stopped is None else GLANCE_SECONDS
    outage = Outage(awaited)
    while True:
        left = end - monotonic()
        if options.stopped and options.stopped():
            return reply
        if left <= 0:
            outage.check()
            return reply
        [notified] = yield WaitForChange(outlook, min(left, seconds, glance))
        if notified is False and glance < min(left, seconds):
            continue  # nothing has changed: only `stopped` is checked, without a request
        if notified is None:  # no notifications: each wait ends with a request to the server
            glance = math.inf
        # Without notifications, each request also reads when the next item will be ready.
        looks = outlook.commands() if notified is None else []
        try:
            reply, looked = yield from _asked(options, request, looks)
        except Exception as error:
            outage.failed(error)
            continue
        outage.answered()
        outlook.found = found(reply)
        if outlook.found:
            return reply
        ready, seconds = outlook.read(looked) if looked else (0, math.inf)
        seconds = 0.0 if ready else seconds


def _asked(
    options: TakeOptions,
    request: Callable[[str], Command[R]],
    looks: Sequence[Command[Any]] = (),
) -> Plan[tuple[R, list[Any]]]:
    """Ask, and ask again while the reply says that more expired leases are to be reclaimed.

    Send *looks* with the first request. Return the last reply, and the replies to *looks*.
    """
    reply, *looked = yield [request(options.max_due_score()), *looks]
    while reply.more:
        [reply] = yield [request(options.max_due_score())]
    return reply, looked
