"""Deadlines are measured by one clock, which nothing but time moves."""

import ast
import time
from pathlib import Path

import pytest

import redset.clocks
from redset._support.clock import monotonic

PACKAGE = Path(redset.__file__).parent
# Clocks that freezegun stops, and that nothing of redset reads for a deadline.
STOPPED = {"monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns"}
# The one module that may, and the demo, which shows how long its steps take.
ALLOWED = {"_support/clock.py": {"monotonic"}, "demo.py": {"perf_counter"}}


def stopped_clocks(source: str) -> set[str]:
    """The clocks of `time` that a module reads, by whichever import."""
    tree, found = ast.parse(source), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            found |= {node.attr} if node.value.id == "time" else set()
        elif isinstance(node, ast.ImportFrom) and node.module == "time":
            found |= {alias.name for alias in node.names}
    return found & STOPPED


def test_no_module_reads_another_clock_for_a_deadline() -> None:
    for path in PACKAGE.rglob("*.py"):
        name = path.relative_to(PACKAGE).as_posix()
        assert stopped_clocks(path.read_text()) <= ALLOWED.get(name, set()), name


@pytest.mark.parametrize("line", ["from time import monotonic as now", "time.perf_counter()"])
def test_the_check_notices_a_stopped_clock(line: str) -> None:
    assert stopped_clocks(line)


def test_monotonic_counts_the_seconds_of_the_system() -> None:
    before = monotonic()
    time.sleep(0.02)
    assert monotonic() - before >= 0.015


class Clock(redset.clocks.BaseClock):
    """A clock whose server's time is 1,000 seconds ahead of this process's."""

    def __init__(self) -> None:
        super().__init__(None, 60.0)
        self.asked = 0

    def read(self, now: float) -> None:
        if self._is_due(now):
            self.asked += 1
            self._learn(now + 1_000.0, now)


def test_the_servers_clock_asks_again_if_the_clock_was_set_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock()
    for number, now in enumerate([5_000.0, 100.0, 161.0], 1):
        monkeypatch.setattr(redset.clocks, "monotonic", lambda now=now: now)
        clock.read(now)
        clock.read(now)
        assert clock.asked == number
