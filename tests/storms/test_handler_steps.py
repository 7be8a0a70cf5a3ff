"""A signal handler that uses a set at each step of a call where Python may run it.

A storm comes to some of these places, by chance; this comes to all of them.
"""

import inspect
import sys
from collections.abc import Callable, Iterator
from functools import partial
from types import FunctionType
from typing import Any

import pytest
import redis

from redset import RedisSortedSet
from tests.interrupts import each_interrupt

Tasks = RedisSortedSet[int]

CALLS: dict[str, Callable[[Tasks], Any]] = {
    "pop": lambda tasks: tasks.pop(),
    "take": lambda tasks: tasks.take(2),
    "insert": lambda tasks: tasks.insert(3, 50),
    "increment": lambda tasks: tasks.increment(1, 20.0),
    "discard": lambda tasks: tasks.discard(0),
    "lease": lambda tasks: list(tasks.lease(2, 600)),
}


def functions() -> Iterator[FunctionType]:
    """Yield every function and method of the package that has been imported."""
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == "redset":
            for value in list(vars(module).values()):
                members = vars(value).values() if inspect.isclass(value) else [value]
                for member in members:
                    found = inspect.unwrap(getattr(member, "__func__", member))
                    if inspect.isfunction(found) and found.__module__.startswith("redset"):
                        yield found


def outcome(tasks: Tasks, *done: Any) -> tuple[Any, ...]:
    return (*done, list(tasks.items()), tasks.stats().leased)


def prepare(tasks: Tasks) -> None:
    tasks.clear()
    tasks.update({item: float(item) for item in range(6)})


@pytest.mark.parametrize("handler", ["pop", "insert", "lease"])
@pytest.mark.parametrize("call", CALLS)
def test_a_handler_at_any_step_comes_before_the_call_or_after_it(
    client: redis.Redis, call: str, handler: str
) -> None:
    tasks: Tasks = RedisSortedSet(client, "tasks")
    asked, handled = partial(CALLS[call], tasks), partial(CALLS[handler], tasks)
    prepare(tasks)
    first, second = asked(), handled()
    expected = [outcome(tasks, first, second)]
    prepare(tasks)
    first, second = handled(), asked()
    expected.append(outcome(tasks, second, first))
    found: list[int] = []
    for interrupted in each_interrupt(*set(functions())):
        prepare(tasks)
        of_call: list[Any] = []
        of_handler: list[Any] = []
        if interrupted(
            lambda: of_call.append(asked()),  # noqa: B023
            lambda: of_handler.append(handled()),  # noqa: B023
        ):
            found.append(expected.index(outcome(tasks, *of_call, *of_handler)))
    # Both orders were met, except where they can't be told apart.
    assert set(found) == {0, 1} or expected[0] == expected[1]
    assert len(found) > 40


@pytest.mark.parametrize("call", ["pop", "take", "insert", "lease"])
def test_a_call_that_an_exception_breaks_off_before_its_last_steps_can_be_repeated(
    client: redis.Redis, call: str
) -> None:
    """What is raised on the way from the last line of a call to its caller loses the result."""
    tasks: Tasks = RedisSortedSet(client, "tasks")
    asked = partial(CALLS[call], tasks)
    prepare(tasks)
    expected = outcome(tasks, asked())
    found: list[bool] = []
    for interrupted in each_interrupt(*set(functions())):
        prepare(tasks)
        if interrupted(asked):
            found.append(outcome(tasks, asked()) == expected)
    repeated = found.index(False) if False in found else len(found)
    assert not any(found[repeated:])
    assert repeated > 0.9 * len(found)
