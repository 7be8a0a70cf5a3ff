"""Do several runs say the same? Compare every ratio of `make bench` between the runs.

Two runs agree in a ratio if the spreads that they give overlap. Prints where they don't, and how
far apart the medians are; ends with 1 if any two disagree.

    python -m bench.agree RUN RUN [RUN ...]
"""

import statistics
import sys
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

from bench.pairs import Ratio, ratio
from bench.results import Run, base_of

Key = tuple[str, str, str]  # group, competitor, clock


def ratios(run: Run) -> dict[Key, Ratio]:
    """Return all ratios of a run."""

    def each() -> Iterator[tuple[Key, Ratio]]:
        for title, group in run.groups.items():
            base = base_of(group)
            for name in group:
                for clock in ("wall", "cpu"):
                    if name != base:
                        yield (title, name, clock), ratio(group[name], group[base], clock)

    return dict(each())


def main() -> None:
    runs = {path: ratios(Run.load(Path(path))) for path in sys.argv[1:]}
    if len(runs) < 2:
        sys.exit("expected at least two directories of results")
    keys = sorted(set.intersection(*(set(run) for run in runs.values())))
    apart, opposite, differences = [], [], []
    for key in keys:
        for one, other in combinations(runs.values(), 2):
            a, b = one[key], other[key]
            differences.append(max(a.median, b.median) / min(a.median, b.median) - 1)
            if a.low > b.high or b.low > a.high:
                apart.append(f"{' | '.join(key)}: {a} and {b}")
            if {a.verdict, b.verdict} == {"faster", "slower"}:
                opposite.append(" | ".join(key))
    for each in apart:
        print(each)
    count = len(differences)
    middle, high = statistics.median(differences), statistics.quantiles(differences, n=10)[8]
    print(
        f"{len(runs)} runs, {len(keys)} ratios, {count} comparisons: {len(apart)} apart, "
        f"{len(opposite)} with opposite verdicts; medians differ by {middle:.1%} (median), "
        f"{high:.1%} (9 of 10)"
    )
    sys.exit(1 if apart else 0)


if __name__ == "__main__":
    main()
