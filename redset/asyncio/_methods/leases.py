"""Methods of a set that deliver items until they are acknowledged."""

from collections.abc import Callable
from typing import Any, TypeVar

from redset._plans import leases
from redset._plans.consuming import Settings, Work, checked_settings
from redset.asyncio._methods.handle import SetHandle
from redset.asyncio.awaitables import AwaitableContext
from redset.asyncio.consumers import Consumer
from redset.asyncio.leases import Lease
from redset.exceptions import NotDurable

T = TypeVar("T")


class LeaseMethods(SetHandle[T]):
    """Lease items, and consume them."""

    def lease(
        self,
        num: int = 1,
        ttl: float = 30.0,
        *,
        timeout: float | None = 0.0,
        renew: bool = False,
        max_deliveries: int | None = None,
        worker: str | None = None,
        last: bool = False,
    ) -> AwaitableContext[Lease[T]]:
        """Lease up to *num* items until a deadline; items not acknowledged by then are ready again.

        The items leave the set, and are kept with their scores in companion keys. An item whose
        lease has expired becomes ready again within the next calls, of any consumer, that deliver
        something. If the lease held several items that were not settled, they are delivered alone
        from then on, and that delivery is not counted. An item that can't be deserialized is logged
        and becomes a dead letter. If a reply is lost, the repeated call returns the same lease.

        Args:
            num: at most how many; if less than 1, the lease is empty.
            ttl: seconds until the deadline, which is on the server's clock.
            timeout: seconds to wait for an item, as in `pop`.
            renew: whether a thread extends the lease until its block ends, or the lease is no
                longer referenced.
            max_deliveries: how often an item may be delivered before it becomes a dead letter
                (`dead_items`) instead of ready again; ``None`` means the set's own limit.
            worker: the name of this consumer, which `leased` shows; ``None`` means the host's
                name and the process id.
            last: whether to lease the items with the highest scores, as in `pop`.

        Cost: 1 round trip for each 500 items, O(num * log n). Each of these requests is atomic.

        """
        return AwaitableContext(
            _lease(self, num, ttl, timeout, renew, max_deliveries, worker, last)
        )

    def consume(
        self,
        batch: int = 1,
        ttl: float = 30.0,
        *,
        timeout: float | None = None,
        renew: bool = True,
        max_deliveries: int | None = None,
        stop: Any = None,
        worker: str | None = None,
        retry_delay: float | Callable[[int], float] = 0.0,
        on_error: Callable[[T, BaseException], Any] | None = None,
    ) -> Consumer[T]:
        """Deliver items without end; each is acknowledged when the loop asks for the next one.

        If the loop's body ends in another way (an exception, ``break``), its item is released. The
        other items of its batch are released too, and their delivery doesn't count then.

        Args:
            batch: how many items to lease at once. Items that are done are acknowledged
                together with their batch: if the process dies, up to *batch* items that were done
                are delivered again, one by one.
            ttl: seconds until a lease expires, as in `lease`.
            renew: whether a thread extends the lease while the loop works, as in `lease`.
            max_deliveries: as in `lease`.
            timeout: seconds without an item after which the loop ends; ``None`` waits without a
                limit.
            stop: an event (anything with ``is_set()``) or a callable that returns whether to
                end. A loop that is busy ends after its current item, which is acknowledged; the
                other items of its batch are released, and that delivery doesn't count. A loop that
                waits ends within 0.1 seconds (1 second where the server can't notify of changes). A
                signal handler may set the event.
            worker: as in `lease`.
            retry_delay: seconds until an item that failed is ready again, or a callable that
                takes the number of its deliveries and returns the seconds: see `redset.backoff`.
            on_error: called with an item and the error that ended its processing, in
                `Consumer.attempt` or in a ``with`` block around the loop.

        Items that the lease has lost by then (see `LeaseLost`) are logged and not delivered, and
        the loop continues.
        Cost: 1 round trip for each batch, which also acknowledges the batch before: O(batch * log
        n). A batch of more than 500 takes a step for each 500 to be leased, and for each to be
        acknowledged.

        """
        settings = Settings(
            batch, ttl, timeout, renew, max_deliveries, stop, worker, retry_delay, on_error
        )
        work: Work[T] = Work(self.name, checked_settings(self._runner.config, settings))
        return Consumer(self._runner, leases.consume, (self,), work)


async def _lease(
    source: SetHandle[T],
    num: int,
    ttl: float,
    timeout: float | None,
    renew: bool,
    max_deliveries: int | None,
    worker: str | None,
    last: bool,
) -> Lease[T]:
    try:
        held = await source._runner.lease(
            last, leases.lease, num, ttl, timeout, max_deliveries, worker, last=last
        )
    except NotDurable as error:
        error.result = Lease(source, error.result, float(ttl), renew=renew)
        raise
    return Lease(source, held, float(ttl), renew=renew)
