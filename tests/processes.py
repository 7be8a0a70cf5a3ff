"""Several processes that do one piece of work at the same time."""

import multiprocessing
import traceback
from collections.abc import Callable
from typing import Any, Self, TypeVar

R = TypeVar("R")

METHODS = ("spawn", "fork")
TIMEOUT_SECONDS = 120


def in_processes(
    method: str,
    number: int,
    work: Callable[..., R],
    *arguments: Any,
    timeout: float = TIMEOUT_SECONDS,
    numbered: bool = False,
) -> list[R]:
    """Run ``work(*arguments)`` in *number* processes that start it together; give all results.

    *method* is how processes start: with ``spawn`` work and arguments are pickled, with ``fork``
    they are inherited. *timeout* is how many seconds to wait for each result. If *numbered*, the
    first argument is the number of the process.
    """
    context: Any = multiprocessing.get_context(method)
    outcomes, start = context.Queue(), context.Barrier(number)
    processes = []
    for place in range(number):
        given = (place, *arguments) if numbered else arguments
        about = (outcomes, start, work, given)
        processes.append(context.Process(target=_report, args=about, daemon=True))
    for process in processes:
        process.start()
    results = []
    for _ in processes:
        error, result = outcomes.get(timeout=timeout)
        if error is not None:
            raise RuntimeError(f"a process failed:\n{error}")
        results.append(result)
    for process in processes:
        process.join()
    return results


class Mortals:
    """A number of processes, each of which is replaced when it is killed.

    Each is told which one it is: 0 for the first, and those that replace others count on.
    """

    def __init__(self, method: str, number: int, work: Callable[..., None], *arguments: Any):
        self._context: Any = multiprocessing.get_context(method)
        self._work, self._arguments = work, arguments
        self._born = 0
        self.alive: dict[int, Any] = {}
        for _ in range(number):
            self._bear()

    def _bear(self) -> None:
        arguments = (self._born, *self._arguments)
        process = self._context.Process(target=self._work, args=arguments, daemon=True)
        process.start()
        self.alive[self._born] = process
        self._born += 1

    def kill(self, which: int) -> None:
        """End process *which* as a crash would (SIGKILL), and start another one."""
        process = self.alive.pop(which)
        process.kill()
        process.join()
        self._bear()

    def join(self) -> list[int]:
        """Wait until all have ended by themselves; give their exit codes."""
        for process in self.alive.values():
            process.join(TIMEOUT_SECONDS)
        return [process.exitcode for process in self.alive.values()]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for process in self.alive.values():
            process.kill()
            process.join()


def _report(
    outcomes: Any, start: Any, work: Callable[..., Any], arguments: tuple[Any, ...]
) -> None:
    try:
        start.wait(TIMEOUT_SECONDS)
        outcomes.put((None, work(*arguments)))
    except BaseException:
        outcomes.put((traceback.format_exc(), None))
