"""Plans that wait until a set, or one of several, may have something to take."""

import math
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any, TypeVar

from redset._protocol.commands import Command
from redset._protocol.config import Awaited, Plan, TakeOptions, WaitForChange
from redset._protocol.replies import MayHaveMore

R = TypeVar("R", bound=MayHaveMore)

# How long a consumer that can be stopped waits before it asks whether it is to stop.
GLANCE_SECONDS = 0.1


def when_there(
    awaited: Awaited,
    options: TakeOptions,
    request: Callable[[str], Command[R]],
    found: Callable[[R], bool],
    answered: Callable[[R], Plan[None]] | None = None,
) -> Plan[R]:
    """Ask whenever there may be something to take, until something is *found* or time is up.

    *request* is told the highest score that is due; *answered* does what the first reply calls for.
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
            continue  # nothing has changed, and the server is not asked
        if told is None:  # then each wait ends with a question to the server
            glance = math.inf
        # As long as nothing tells of changes, each ask looks when the next item will be ready.
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
    """Ask once, or until the server has put right what it had to; also look, the first time."""
    reply, *looked = yield [request(options.max_due_score()), *looks]
    while reply.more:
        [reply] = yield [request(options.max_due_score())]
    return reply, looked
