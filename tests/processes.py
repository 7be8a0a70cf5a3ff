"""Several processes that do one piece of work at the same time."""

import multiprocessing
import traceback
from collections.abc import Callable
from typing import Any, TypeVar

R = TypeVar("R")

METHODS = ("spawn", "fork")
PATIENCE_SECONDS = 120


def in_processes(method: str, number: int, work: Callable[..., R], *arguments: Any) -> list[R]:
    """Run ``work(*arguments)`` in *number* processes that start it together; give all results.

    *method* is how processes start: with ``spawn`` work and arguments are pickled, with ``fork``
    they are inherited.
    """
    context: Any = multiprocessing.get_context(method)
    outcomes, start = context.Queue(), context.Barrier(number)
    options = {"target": _report, "args": (outcomes, start, work, arguments), "daemon": True}
    processes = [context.Process(**options) for _ in range(number)]
    for process in processes:
        process.start()
    results = []
    for _ in processes:
        error, result = outcomes.get(timeout=PATIENCE_SECONDS)
        if error is not None:
            raise RuntimeError(f"a process failed:\n{error}")
        results.append(result)
    for process in processes:
        process.join()
    return results


def _report(outcomes: Any, start: Any, work: Callable[..., Any], arguments: tuple[Any]) -> None:
    try:
        start.wait(PATIENCE_SECONDS)
        outcomes.put((None, work(*arguments)))
    except BaseException:
        outcomes.put((traceback.format_exc(), None))
