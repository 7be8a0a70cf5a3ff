"""Plans that wait until a set, or one of several sets, may have an item to take."""

import math
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any, TypeVar

from redset._protocol.commands import Command
from redset._protocol.config import Awaited, Plan, TakeOptions, WaitForChange
from redset._protocol.replies import MayHaveMore

R = TypeVar("R", bound=MayHaveMore)

# A waiting consumer that can be stopped checks whether it is to stop each time after this long.
GLANCE_SECONDS = 0.1


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
    while True:
        left = end - monotonic()
        if left <= 0 or (options.stopped and options.stopped()):
            return reply
        [told] = yield WaitForChange(outlook, min(left, seconds, glance))
        if told is False and glance < min(left, seconds):
            continue  # nothing has changed: only `stopped` is checked, without a request
        if told is None:  # no notifications: each wait ends with a request to the server
            glance = math.inf
        # Without notifications, each request also reads when the next item will be ready.
        looks = outlook.commands() if told is None else []
        reply, looked = yield from _asked(options, request, looks)
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
