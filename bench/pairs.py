"""Measure competitors against each other: short alternating blocks, compared pair by pair.

A machine is not equally fast at all times: other programs run, cores sleep and wake, and a round
trip over loopback takes 14 µs in one state of the cores and 60 µs in another. Two measurements are
comparable only if they are made next to each other. So the competitors of a group take turns: in
every round each runs one block of some milliseconds, in random order. A ratio is taken of the two
blocks of one round, and the median of these ratios is reported.

A *pass* is a process and a server of its own; a run makes several passes, as the layout of memory
and the hash seed of a process also make it faster or slower. The spread of a ratio covers the
middle half of all pairs, and the median of every pass.

This module imports nothing of redset, so that it can measure any version.
"""

import gc
import math
import multiprocessing
import random
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any, NamedTuple

WARM_UP_CALLS = 3
PASSES = 4  # of a run; an even number, see `bench.placement`
# Fewer pairs have no quartiles worth the name; more than this only cost time.
FEWEST_ROUNDS, MAX_ROUNDS = 4, 150


class Block(NamedTuple):
    """Seconds that one operation took, as a mean over a short run of them."""

    wall: float
    cpu: float  # of this process, all its threads


@dataclass
class Work:
    """What one competitor does in a group.

    A block is *calls* times *call*, each of which is *units* operations. *prepare* runs before
    each block and is not measured.
    """

    call: Callable[[], object]
    calls: int = 1
    units: int = 1
    warm_up: int = WARM_UP_CALLS
    prepare: Callable[[], object] = field(default=lambda: None)

    def block(self) -> Block:
        """Run one block and return what an operation took in it."""
        self.prepare()
        call = self.call
        for _ in range(self.warm_up):
            call()
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in repeat(None, self.calls):
            call()
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        count = self.calls * self.units
        return Block(wall / count, cpu / count)


class Series:
    """The blocks of one competitor: a list for each pass, in the order of the rounds."""

    def __init__(self, wall: list[list[float]], cpu: list[list[float]]) -> None:
        self.wall = wall
        self.cpu = cpu

    @classmethod
    def of(cls, blocks: list[Block]) -> "Series":
        """Return the series of one pass."""
        return cls([[block.wall for block in blocks]], [[block.cpu for block in blocks]])

    def __add__(self, other: "Series") -> "Series":
        return Series(self.wall + other.wall, self.cpu + other.cpu)

    def median(self, clock: str = "wall") -> float:
        """Return the median seconds of an operation over all blocks."""
        passes: list[list[float]] = getattr(self, clock)
        return statistics.median(value for each in passes for value in each)


Group = dict[str, Series]  # by competitor
Groups = dict[str, Group]


class Ratio(NamedTuple):
    """The median of pairwise ratios, and the interval that it may be in."""

    median: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """Return in a word which of the two is faster, if one is."""
        if self.high < 1:
            return "faster"
        return "slower" if self.low > 1 else "neither"

    def __str__(self) -> str:
        if self.high == math.inf:
            return f"{self.median:.2f} (?)"
        return f"{self.median:.2f} ({self.low:.2f} to {self.high:.2f})"


def ratio(ours: Series, base: Series, clock: str = "wall", floor: Series | None = None) -> Ratio:
    """Compare block with block: how many times as long as *base* does *ours* take?

    Of a few pairs the spread is not known, and so without bounds.

    With *floor*, what the floor takes in the same round is first subtracted from both.
    """
    passes = _pairs(ours, base, clock, floor)
    medians = [statistics.median(each) for each in passes if each]
    pairs = [value for each in passes for value in each]
    if len(pairs) < FEWEST_ROUNDS:
        return Ratio(statistics.median(pairs) if pairs else math.nan, 0.0, math.inf)
    first, median, third = statistics.quantiles(pairs, n=4, method="inclusive")
    return Ratio(median, min(first, *medians), max(third, *medians))


def pass_medians(ours: Series, base: Series, clock: str = "wall") -> list[float]:
    """Return the median ratio of each pass."""
    return [statistics.median(each) for each in _pairs(ours, base, clock, None)]


def _pairs(ours: Series, base: Series, clock: str, floor: Series | None) -> list[list[float]]:
    series = [getattr(each, clock) for each in (ours, base)]
    lowest = getattr(floor, clock) if floor else [[0.0] * len(each) for each in series[0]]
    return [
        [(a - f) / (b - f) for a, b, f in zip(*each, strict=True) if b > f]
        for each in zip(*series, lowest, strict=True)
    ]


def interleave(work: Mapping[str, Work], seconds: float, order: random.Random) -> Group:
    """Let the competitors run block after block in turns, for about *seconds*."""
    blocks: dict[str, list[Block]] = {name: [] for name in work}
    names = list(work)
    gc.collect()
    end = time.monotonic() + seconds
    rounds = 0
    least = FEWEST_ROUNDS if seconds else 1
    while rounds < least or (rounds < MAX_ROUNDS and time.monotonic() < end):
        order.shuffle(names)
        for name in names:
            blocks[name].append(work[name].block())
        rounds += 1
    return {name: Series.of(each) for name, each in blocks.items()}


def merge(into: Groups, found: Groups) -> None:
    """Add the passes of *found* to those that are there."""
    for title, group in found.items():
        known = into.setdefault(title, {})
        for name, series in group.items():
            known[name] = known[name] + series if name in known else series


def in_passes(
    one_pass: Callable[..., Groups], passes: int, *arguments: Any, quiet: bool = False
) -> Groups:
    """Call *one_pass* in so many new processes, one after the other, and merge what they return.

    Its last argument is the number of the pass, from 0.
    """
    context = multiprocessing.get_context("spawn")
    groups: Groups = {}
    for number in range(passes):
        began = time.monotonic()
        # A pool of one hands an exception of the child on with its traceback.
        with context.Pool(1) as pool:
            found = pool.apply(one_pass, (*arguments, number))
        merge(groups, found)
        if not quiet:
            took = time.monotonic() - began
            print(f"pass {number + 1} of {passes}: {took:.0f} s", file=sys.stderr, flush=True)
    return groups


def as_json(groups: Groups) -> dict[str, dict[str, dict[str, list[list[float]]]]]:
    """Return *groups* as what `json` can write."""
    return {
        title: {name: {"wall": each.wall, "cpu": each.cpu} for name, each in group.items()}
        for title, group in groups.items()
    }


def from_json(data: Any) -> Groups:
    """Return the groups that `as_json` made *data* of."""
    return {
        title: {name: Series(**each) for name, each in group.items()}
        for title, group in data.items()
    }


def time_of(seconds: float) -> str:
    """Return a time with its unit."""
    for unit, factor in (("s", 1.0), ("ms", 1e3), ("µs", 1e6)):
        if seconds * factor >= 1:
            return f"{seconds * factor:,.1f} {unit}"
    return f"{seconds * 1e9:,.0f} ns"


def print_group(title: str, group: Group, base: str) -> None:
    """Print the medians of a group, and the ratios to *base*."""
    print(title)
    for name, series in group.items():
        wall, cpu = (ratio(series, group[base], clock) for clock in ("wall", "cpu"))
        print(
            f"  {name:28}{time_of(series.median()):>10}  {wall!s:24}"
            f"client CPU {time_of(series.median('cpu')):>9}  {cpu!s:24}{wall.verdict}"
        )
