"""Driver: runs a plan over a connection, synchronous or asynchronous."""

import math
from collections.abc import Callable, Hashable
from time import monotonic
from typing import Any, TypeVar

from redset._protocol.config import Plan, WaitForChange
from redset._protocol.sources import ReadItems, pull_async
from redset._transport.connection import AsyncConnection, Connection

T = TypeVar("T")

SOON_SECONDS = 1.0

# Returns the error of redset's own for what a server replied, or the error that it was given.
Translate = Callable[[Exception], Exception]


def translated(error: Exception, translate: Translate | None) -> Exception:
    """Return *error* as redset's users shall see it; the original is its cause."""
    better = error if translate is None else translate(error)
    if better is not error:
        better.__cause__ = error
    return better


class SubscriptionSlot:
    """Keeps the subscription of one plan for the next one of a consumer that waits repeatedly."""

    def __init__(self) -> None:
        self.subscription: Any = None

    def close(self) -> None:
        """End the subscription, until a plan waits again."""
        if self.subscription is not None:
            self.subscription.close()
            self.subscription = None


class SubscriptionReuse:
    """Decide whether a consumer keeps its subscription open between waits.

    Meanwhile it occupies a connection, so only if the consumer's work takes a second at most. The
    time that the last item took is taken as a sign.
    """

    def __init__(self) -> None:
        self._slot = SubscriptionSlot()
        self._began = math.inf
        self._keys: Hashable = None

    def slot(self, keys: Hashable) -> SubscriptionSlot | None:
        """Return where the next wait for *keys* keeps its subscription, if it is to be kept."""
        took, self._began = monotonic() - self._began, monotonic()
        if keys != self._keys:
            self.end()
            self._keys = keys
        if took <= SOON_SECONDS:
            return self._slot
        self.end()
        return None

    def end(self) -> None:
        """End the subscription."""
        self._slot.close()


def _kept_in(slot: SubscriptionSlot | None) -> Any:
    """Take the subscription that was kept, to be told of what changes from now on."""
    if slot is None or slot.subscription is None:
        return None
    subscription, slot.subscription = slot.subscription, None
    try:
        subscription.drain()
    except BaseException:
        subscription.close()
        raise
    return subscription


def _put_away(subscription: Any, wait: WaitForChange | None, slot: SubscriptionSlot | None) -> None:
    """Say what came of the last *wait*, and keep the subscription in *slot*, or end it."""
    if subscription is None:
        return
    if wait is not None:
        subscription.asked(found=wait.outlook.found)
    if slot is None:
        subscription.close()
    else:
        slot.subscription = subscription


def drive(
    plan: Plan[T],
    connection: Connection,
    translate: Translate | None = None,
    slot: SubscriptionSlot | None = None,
) -> T:
    """Answer each batch that *plan* yields with its replies; return what the plan returns.

    What sending a batch raises is translated; what else the plan raises (a scorer, a serializer)
    is not.
    """
    answer: Any = None
    failed = False
    subscription = _kept_in(slot)
    wait: WaitForChange | None = None
    ended = False
    try:
        while True:
            try:
                step = plan.throw(answer) if failed else plan.send(answer)
            except StopIteration as stop:
                ended = True
                return stop.value  # type: ignore[no-any-return]
            try:
                if type(step) is list:
                    try:
                        answer, failed = connection.execute(step), False
                    except Exception as error:
                        answer, failed = translated(error, translate), True
                elif isinstance(step, WaitForChange):
                    subscription = subscription or connection.subscribe(step.outlook.keys)
                    wait = step
                    answer, failed = [subscription.wait(step)], False
                else:
                    raise NotImplementedError("a synchronous plan has nothing to await")
            except BaseException as error:
                answer, failed = error, True
    finally:
        _put_away(subscription, wait, slot if ended else None)


async def drive_async(
    plan: Plan[T],
    connection: AsyncConnection,
    translate: Translate | None = None,
    slot: SubscriptionSlot | None = None,
) -> T:
    """`drive` for asyncio: a task that is cancelled while it waits is an error to the plan."""
    answer: Any = None
    failed = False
    subscription = _kept_in(slot)
    wait: WaitForChange | None = None
    ended = False
    try:
        while True:
            try:
                step = plan.throw(answer) if failed else plan.send(answer)
            except StopIteration as stop:
                ended = True
                return stop.value  # type: ignore[no-any-return]
            try:
                if type(step) is list:
                    try:
                        answer, failed = await connection.execute(step), False
                    except Exception as error:
                        answer, failed = translated(error, translate), True
                elif isinstance(step, WaitForChange):
                    subscription = subscription or connection.subscribe(step.outlook.keys)
                    wait = step
                    answer, failed = [await subscription.wait(step)], False
                elif isinstance(step, ReadItems):
                    answer, failed = await pull_async(step.source, 1), False
            except BaseException as error:
                answer, failed = error, True
    finally:
        _put_away(subscription, wait, slot if ended else None)
