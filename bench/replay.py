"""Tell pytest-benchmark what was measured elsewhere.

pytest-benchmark runs one benchmark after the other, and so each falls into another state of the
machine. Here all of a group are measured first, in turns (`bench.pairs`). Then each benchmark
replays its blocks to pytest-benchmark, whose clock goes on by what each of them took. So its
tables, its selection (``-k pop``), its JSON and its comparison with saved runs are what they always
are.
"""

from collections.abc import Callable, Iterator

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.pairs import Groups, Series

Replay = Callable[[str, str], None]


class ReplayedClock:
    """A clock that is told how late it is."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def play(self, seconds: Iterator[float]) -> None:
        self.now += next(seconds)


CLOCK = ReplayedClock()
by_replay = pytest.mark.benchmark(timer=CLOCK)


def replay(benchmark: BenchmarkFixture, measured: Groups, group: str, name: str) -> None:
    """Hand the blocks of one competitor of a group to pytest-benchmark."""
    series: Series = measured[group][name]
    benchmark.group, benchmark.name = group, name
    benchmark.extra_info = {"wall": series.wall, "cpu": series.cpu}
    blocks = [seconds for each in series.wall for seconds in each]
    CLOCK.now = 0.0  # far from zero, small times lose digits
    benchmark.pedantic(CLOCK.play, (iter(blocks),), rounds=len(blocks))
