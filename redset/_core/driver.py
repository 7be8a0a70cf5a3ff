"""Driver: runs a plan over a connection."""

from typing import Any, TypeVar

from redset._core.connection import Connection
from redset._core.plans import Plan

T = TypeVar("T")


def run(plan: Plan[T], connection: Connection) -> T:
    """Answer each batch that *plan* yields with its replies; give what the plan returns."""
    answer: Any = None
    failed = False
    while True:
        try:
            batch = plan.throw(answer) if failed else plan.send(answer)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        try:
            answer, failed = connection.execute(batch), False
        except BaseException as error:
            answer, failed = error, True
