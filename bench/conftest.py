"""Measure all groups that were selected, before any of their benchmarks is reported."""

from typing import Any

import pytest

from bench import operations, serializers
from bench.pairs import PASSES, Groups, in_passes


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--quick", action="store_true", help="small sizes, to see that all runs")
    parser.addoption("--passes", type=int, default=PASSES, help="processes that measure all again")


@pytest.fixture(scope="session")
def many(request: pytest.FixtureRequest) -> int:
    """How many items a large set has."""
    quick = request.config.getoption("--quick")
    return operations.MANY_QUICK if quick else operations.MANY


def selected(session: pytest.Session, parameter: str) -> list[Any]:
    """Return the values of a parameter of the tests that are to run, each once."""
    found: dict[Any, None] = {}
    for test in session.items:
        parameters = test.callspec.params if hasattr(test, "callspec") else {}
        if parameter in parameters:
            found[parameters[parameter]] = None
    return list(found)


@pytest.fixture(scope="session")
def measured(request: pytest.FixtureRequest, many: int) -> Groups:
    """Return what was measured in turns, by group and competitor."""
    quick = request.config.getoption("--quick")
    passes = 1 if quick else request.config.getoption("--passes")
    titles = [operation.title for operation in selected(request.session, "operation")]
    values = selected(request.session, "item")
    groups: Groups = {}
    capture: Any = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        if titles:
            groups |= in_passes(operations.measure, passes, titles, many, quick)
        if values:
            groups |= in_passes(serializers.measure, passes, values, quick)
    return groups
