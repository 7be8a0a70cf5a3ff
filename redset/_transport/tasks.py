"""Tasks that run to their end, also if the task that awaits them is cancelled."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, TypeVar

R = TypeVar("R")

logger = logging.getLogger("redset")

# The loop itself keeps no task alive.
_going_on: set[asyncio.Task[Any]] = set()


def spawn(coroutine: Coroutine[Any, Any, R]) -> "asyncio.Task[R]":
    """Run *coroutine* in a task, to which the caller need not keep a reference."""
    task = asyncio.get_running_loop().create_task(coroutine)
    _going_on.add(task)
    task.add_done_callback(_going_on.discard)
    return task


async def run_shielded(coroutine: Coroutine[Any, Any, R]) -> R:
    """Await *coroutine*; if this task is cancelled, it continues, and its errors are logged."""
    task = spawn(coroutine)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        task.add_done_callback(_report)
        raise


async def run_with_grace(seconds: float, coroutine: Coroutine[Any, Any, Any]) -> None:
    """Await *coroutine* for *seconds*; then it continues alone, and its errors are logged."""
    task = spawn(coroutine)
    task.add_done_callback(_report)
    await asyncio.wait({task}, timeout=seconds)


def _report(task: "asyncio.Task[Any]") -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.warning("after a cancellation: %s", error)
