"""Driver: runs a plan over a connection, synchronous or asynchronous."""

import math
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

from redset._protocol.config import Plan, WaitForChange
from redset._protocol.sources import ReadItems, pull_async
from redset._support.clock import monotonic
from redset._transport.connection import AsyncConnection, Connection

T = TypeVar("T")

SOON_SECONDS = 1.0

# Return redset's own error for an error reply of the server, or the error itself.
Translate = Callable[[Exception], Exception]


def translated(error: Exception, translate: Translate | None) -> Exception:
    """Return the error to raise for *error*, with *error* as its cause if it is another one."""
    better = error if translate is None else translate(error)
    if better is not error:
        better.__cause__ = error
    return better


class SubscriptionSlot:
    """Keeps the subscription of one plan for the next one of a consumer that waits repeatedly."""

    def __init__(self) -> None:
        self.subscription: Any = None

    def close(self) -> None:
        """End the subscription; the next plan that waits begins another."""
        if self.subscription is not None:
            self.subscription.close()
            self.subscription = None


class SubscriptionReuse:
    """Decide whether a consumer keeps its subscription open between waits.

    An open subscription occupies a connection, so it is kept only if the consumer's work takes at
    most 1 second. The time of the last item is the estimate for the next one.
    """

    def __init__(self) -> None:
        self._slot = SubscriptionSlot()
        self._began = math.inf
        self._keys: Hashable = None

    def slot(self, keys: Hashable) -> SubscriptionSlot | None:
        """Return the slot for the subscription of the next wait; ``None`` if it is not kept."""
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


def _kept_in(slot: SubscriptionSlot) -> Any:
    """Take the subscription out of *slot*, and drop the messages that it received so far."""
    if slot.subscription is None:
        return None
    subscription, slot.subscription = slot.subscription, None
    try:
        subscription.drain()
    except BaseException:
        subscription.close()
        raise
    return subscription


def _put_away(subscription: Any, wait: WaitForChange | None, slot: SubscriptionSlot | None) -> None:
    """Report what the last *wait* led to, and keep the subscription in *slot*, or end it."""
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

    Errors of sending a batch are translated; other errors in the plan (of a scorer, of a
    serializer) are not.
    """
    answer: Any = None
    failed = False
    subscription = None if slot is None else _kept_in(slot)
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
        if subscription is not None:
            _put_away(subscription, wait, slot if ended else None)


async def drive_async(
    plan: Plan[T],
    connection: AsyncConnection,
    translate: Translate | None = None,
    slot: SubscriptionSlot | None = None,
    received: list[bool] | None = None,
) -> T:
    """Run *plan* as `drive` does; if the task is cancelled, the plan receives that as an error.

    Something is added to *received* if a step fails after an earlier one received something, or
    after one whose reply may be lost. If the plan waited after a step, that had received nothing.
    """
    answer: Any = None
    woken: Any = None
    failed = False
    subscription = None if slot is None else _kept_in(slot)
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
                        if received is not None:  # its reply may be lost, and the plan go on
                            received.append(True)
                        answer, failed = translated(error, translate), True
                elif isinstance(step, WaitForChange):
                    subscription = subscription or connection.subscribe(step.outlook.keys)
                    wait = step
                    woken = [await subscription.wait(step)]
                    answer, failed = woken, False
                elif isinstance(step, ReadItems):
                    answer, failed = await pull_async(step.source, 1), False
            except BaseException as error:
                is_reply = type(answer) is list and answer is not woken and type(step) is list
                if received is not None and is_reply:
                    received.append(True)
                answer, failed = error, True
    finally:
        if subscription is not None:
            _put_away(subscription, wait, slot if ended else None)
