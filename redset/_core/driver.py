"""Driver: runs a plan over a connection, synchronous or asynchronous."""

from collections.abc import Callable
from typing import Any, TypeVar

from redset._core.connection import AsyncConnection, Connection
from redset._core.sources import Pull, pull
from redset._core.spec import Pause, Plan

T = TypeVar("T")


def run(plan: Plan[T], connection: Connection) -> T:
    """Answer each batch that *plan* yields with its replies; give what the plan returns."""
    answer: Any = None
    failed = False
    watch = None
    try:
        while True:
            try:
                step = plan.throw(answer) if failed else plan.send(answer)
            except StopIteration as stop:
                return stop.value  # type: ignore[no-any-return]
            try:
                if type(step) is list:
                    answer, failed = connection.execute(step), False
                elif isinstance(step, Pause):
                    watch = watch or connection.watch(step.key)
                    answer, failed = [watch.wait(step.seconds)], False
                else:
                    raise NotImplementedError("a synchronous plan has nothing to await")
            except BaseException as error:
                answer, failed = error, True
    finally:
        if watch is not None:
            watch.close()


async def run_async(
    plan: Plan[T],
    connection: AsyncConnection,
    explained: Callable[[Exception], Exception] = lambda error: error,
) -> T:
    """`run` for asyncio: to the plan, a task that is cancelled meanwhile is one more error.

    What it raises is *explained* here: one more coroutine would cost each operation.
    """
    answer: Any = None
    failed = False
    watch = None
    try:
        while True:
            try:
                step = plan.throw(answer) if failed else plan.send(answer)
            except StopIteration as stop:
                return stop.value  # type: ignore[no-any-return]
            try:
                if type(step) is list:
                    answer, failed = await connection.execute(step), False
                elif isinstance(step, Pause):
                    watch = watch or connection.watch(step.key)
                    answer, failed = [await watch.wait(step.seconds)], False
                elif isinstance(step, Pull):
                    answer, failed = await pull(step.source, 1), False
            except BaseException as error:
                answer, failed = error, True
    except Exception as error:
        better = explained(error)
        if better is error:
            raise
        raise better from error
    finally:
        if watch is not None:
            watch.close()
