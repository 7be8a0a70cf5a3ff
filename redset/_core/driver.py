"""Driver: runs a plan over a connection, synchronous or asynchronous."""

import math
from collections.abc import Callable
from time import monotonic
from typing import Any, TypeVar

from redset._core.connection import AsyncConnection, Connection
from redset._core.sources import Pull, pull
from redset._core.spec import Pause, Plan

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


class Vigil:
    """Keeps the watch of one plan for the next, of one who waits again and again."""

    def __init__(self) -> None:
        self.watch: Any = None

    def close(self) -> None:
        """Watch no more, until a plan waits again."""
        if self.watch is not None:
            self.watch.close()
            self.watch = None


class Rhythm:
    """Whether one who works and waits in turns keeps his watch while he works.

    What changes meanwhile is told, and piles up unread: so only if the work is done soon. That it
    was last time is taken as a sign.
    """

    def __init__(self) -> None:
        self._vigil = Vigil()
        self._began = math.inf

    def vigil(self) -> Vigil | None:
        """Give what the next wait keeps its watch in, if it is to be kept."""
        took, self._began = monotonic() - self._began, monotonic()
        if took <= SOON_SECONDS:
            return self._vigil
        self.end()
        return None

    def end(self) -> None:
        """Watch no more."""
        self._vigil.close()


def _kept_in(vigil: Vigil | None) -> Any:
    """Take the watch that was kept, to hear of what changes from now on."""
    if vigil is None or vigil.watch is None:
        return None
    watch, vigil.watch = vigil.watch, None
    watch.catch_up()
    return watch


def _put_away(watch: Any, vigil: Vigil | None) -> None:
    if watch is None:
        return
    if vigil is None:
        watch.close()
    else:
        vigil.watch = watch


def run(
    plan: Plan[T],
    connection: Connection,
    translate: Translate | None = None,
    vigil: Vigil | None = None,
) -> T:
    """Answer each batch that *plan* yields with its replies; return what the plan returns.

    What sending a batch raises is translated; what else the plan raises (a scorer, a serializer)
    is not.
    """
    answer: Any = None
    failed = False
    watch = _kept_in(vigil)
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
                elif isinstance(step, Pause):
                    watch = watch or connection.watch(step.key)
                    answer, failed = [watch.wait(step.seconds)], False
                else:
                    raise NotImplementedError("a synchronous plan has nothing to await")
            except BaseException as error:
                answer, failed = error, True
    finally:
        _put_away(watch, vigil if ended else None)


async def run_async(
    plan: Plan[T],
    connection: AsyncConnection,
    translate: Translate | None = None,
    vigil: Vigil | None = None,
) -> T:
    """`run` for asyncio: to the plan, a task that is cancelled while it waits is one more error."""
    answer: Any = None
    failed = False
    watch = _kept_in(vigil)
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
                elif isinstance(step, Pause):
                    watch = watch or connection.watch(step.key)
                    answer, failed = [await watch.wait(step.seconds)], False
                elif isinstance(step, Pull):
                    answer, failed = await pull(step.source, 1), False
            except BaseException as error:
                answer, failed = error, True
    finally:
        _put_away(watch, vigil if ended else None)
