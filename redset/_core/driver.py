"""Driver: runs a plan over a connection."""

from contextlib import ExitStack
from typing import Any, TypeVar

from redset._core.connection import Connection
from redset._core.plans import Pause, Plan

T = TypeVar("T")


def run(plan: Plan[T], connection: Connection) -> T:
    """Answer each batch that *plan* yields with its replies; give what the plan returns."""
    answer: Any = None
    failed = False
    watch = None
    with ExitStack() as stack:
        while True:
            try:
                step = plan.throw(answer) if failed else plan.send(answer)
            except StopIteration as stop:
                return stop.value  # type: ignore[no-any-return]
            try:
                if isinstance(step, Pause):
                    if watch is None:
                        watch = stack.enter_context(connection.watch(step.key))
                    answer, failed = [watch.wait(step.seconds)], False
                else:
                    answer, failed = connection.execute(step), False
            except BaseException as error:
                answer, failed = error, True
