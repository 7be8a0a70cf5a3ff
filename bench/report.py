"""Turn the results of one or more runs into tables of ratios and plots, in the documents.

Reads the directories that `make bench` leaves; writes ``docs/benchmarks.md``, the plots beside it,
and the part of the README between its two marks. Several runs are pooled.

    python -m bench.report RUN [RUN ...]
"""

import re
import statistics
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot

from bench.bench_asyncio import BY_HAND as AWAITED_BY_HAND
from bench.bench_asyncio import TASKS
from bench.bench_waiting import BY_HAND as WAITED_BY_HAND
from bench.bench_waiting import CROWDS, DUE, TITLE
from bench.competitors import BASE, COMPETITORS, FLOOR
from bench.pairs import Group, Groups, Ratio, Series, ratio, time_of
from bench.results import Run, base_of
from bench.tasks import TITLE as TASKS_TITLE

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
MARKS = re.compile(r"(<!-- figures -->\n).*?(<!-- /figures -->)", re.DOTALL)
LIBRARIES = ["redis", "hiredis", "redis-collections", "pottery", "walrus", "huey", "rq", "dramatiq"]
OURS = [kind.name for kind in COMPETITORS if kind.name.startswith("redset")]
PEERS = [kind.name for kind in COMPETITORS if kind.name not in {*OURS, BASE, FLOOR}]

SCALE = "1.00 = the same command by hand with redis-py, lower is better"
READING = """\
All competitors of a group take turns: each runs a block of a few milliseconds (longer where one
operation takes longer), then the next one, in an order that is new in every round. A ratio is taken
between the two blocks of one round; the table shows the median of these ratios, and in brackets its
spread: from the lowest to the highest of the quartiles of all pairs and the medians of all passes.
A ratio whose spread includes 1.00 is called neither faster nor slower, whatever its median.

A pass is a new process with a new server. In every other pass client and server share a core, where
a round trip of a raw socket takes some 18 µs; in the passes between each has a core of its own, and
as cores fall asleep and must be woken, it takes some 60 to 100 µs. So a ratio is outside 1.00 only
if it is in both. Times are medians over all passes, for the order of magnitude only.

Client CPU is what the process that calls spends itself (`time.process_time`), without what it waits
for server and kernel. The raw socket sends prepared bytes and doesn't look at the reply: what it
spends can't be avoided by any client, and so the last column compares what is spent beyond it."""


def table(group: Group, base: str) -> list[str]:
    """Return a table of times, of ratios with their spreads, and of what these allow to say."""
    floor = group.get(FLOOR)
    lines = [
        "| | median | ratio | | client CPU | ratio | |" + (" CPU above the socket |" * bool(floor)),
        "| --- | --: | --: | --- | --: | --: | --- |" + (" --: |" * bool(floor)),
    ]
    for name, series in sorted(group.items(), key=lambda pair: pair[1].median()):
        cells = [name]
        for clock in ("wall", "cpu"):
            found = ratio(series, group[base], clock)
            said = ["1.00", ""] if name == base else [str(found), found.verdict]
            cells += [time_of(series.median(clock)), *said]
        if floor:
            above = ratio(series, group[base], "cpu", floor)
            cells.append("" if name == FLOOR else "1.00" if name == base else str(above))
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def cell(found: Ratio) -> str:
    """Return a ratio for a table without verdicts: none is shown that is neither."""
    spread = f"{found.low:.2f} to {found.high:.2f}"
    return f"≈ ({spread})" if found.verdict == "neither" else f"**{found.median:.2f}** ({spread})"


def brief(found: Ratio) -> str:
    """Return a ratio for a table without verdicts and without spreads."""
    return "≈" if found.verdict == "neither" else f"**{found.median:.2f}**"


def by_hand(groups: Groups) -> Groups:
    return {title: group for title, group in groups.items() if BASE in group}


def summary(
    groups: Groups, clock: str, names: list[str], shown: Callable[[Ratio], str] = cell
) -> list[str]:
    """Return one table of all operations: how many times as long as by hand each one takes."""
    lines = ["| | " + " | ".join(names) + " |", "| --- |" + " --: |" * len(names)]
    for title, group in by_hand(groups).items():
        cells = [
            shown(ratio(group[name], group[BASE], clock)) if name in group else "" for name in names
        ]
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return lines


def plot_ratios(groups: Groups) -> None:
    shown = by_hand(groups)
    names = [*OURS, FLOOR, *PEERS]
    figure, panels = pyplot.subplots(
        1, 2, figsize=(13, 0.5 * len(shown) + 1.4), sharey=True, width_ratios=(3, 2)
    )
    for axes, clock, what in zip(panels, ("wall", "cpu"), ("time", "client CPU"), strict=True):
        for place, name in enumerate(names):
            rows = [row for row, group in enumerate(shown.values()) if name in group]
            found = [
                ratio(group[name], group[BASE], clock) for group in shown.values() if name in group
            ]
            middles = [each.median for each in found]
            axes.errorbar(
                middles,
                [-row + 0.08 * (place - len(names) / 2) for row in rows],
                xerr=[
                    [each.median - each.low for each in found],
                    [each.high - each.median for each in found],
                ],
                label=name,
                fmt="D" if name in OURS else "o",
                markersize=4,
                elinewidth=1,
                color=f"C{place}",
            )
        axes.axvline(1, color="black", linewidth=0.8)
        axes.set_xscale("log")
        axes.set_xlabel(f"{what}: times as much as {BASE} (left is better); bars: spread")
        axes.grid(axis="x", alpha=0.3)
    panels[0].set_yticks([-row for row in range(len(shown))], list(shown))
    panels[1].legend(fontsize=8)
    save(figure, "benchmarks")


def plot_growth(costs: dict[str, dict[str, tuple[float, float]]]) -> None:
    figure, panels = pyplot.subplots(1, 2, figsize=(12, 5))
    for place, (axes, unit) in enumerate(
        zip(panels, ("microseconds", "KiB of the client's memory"), strict=True)
    ):
        for name in next(iter(costs.values())):
            points = [
                (int(size), each[name][place]) for size, each in costs.items() if name in each
            ]
            axes.plot(*zip(*points, strict=True), marker="o", label=name)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlabel("items in the set")
        axes.set_ylabel(unit)
        axes.grid(alpha=0.3)
    panels[0].legend(fontsize=8)
    save(figure, "growth")


def save(figure: Any, name: str) -> None:
    figure.tight_layout()
    for kind in ("svg", "png"):
        figure.savefig(
            DOCS / f"{name}.{kind}", dpi=120, metadata={"Date": None} if kind == "svg" else None
        )


# Why redset takes longer in a group, where that is known: by the first word of its title.
REMEMBERED = "a script keeps on the server what was delivered, in case the reply is lost"
REASONS = {
    "pop": REMEMBERED,
    "take": REMEMBERED,
    "lease": "by hand is unsafe: a worker that dies between its commands loses what it has taken",
}
REASONS_OF_PEERS = {
    ("redis-collections", "union"): "its sets have no scores to combine and to sort by",
    ("pottery", "pop"): "its sets aren't sorted, and what a lost reply held is lost",
}


def slower(groups: Groups, others: list[str]) -> list[str]:
    """Say in which groups one of *others* was faster than all that redset has, and why."""
    lines = []
    for title, group in by_hand(groups).items():
        job = title.split()[0]
        for name in (each for each in others if each in group):
            ours = [ratio(group[each], group[name]) for each in OURS if each in group]
            if ours and all(each.verdict == "slower" for each in ours):
                best = min(ours, key=lambda each: each.median)
                reason = REASONS_OF_PEERS.get((name, job)) or REASONS.get(job)
                why = f"; {reason}" if reason else ""
                lines.append(f"- {title}: redset takes {best} times as long as {name}{why}.")
    return lines or ["- nowhere"]


def rates(series: Series) -> list[float]:
    return [1 / seconds for each in series.wall for seconds in each]


def throughput(group: Group) -> list[str]:
    """Return a table of tasks per second, the fastest first."""
    base = base_of(group)
    lines = [
        f"| | tasks per second | slowest to fastest run | times {base}'s | client CPU of a task |",
        "| --- | --: | --: | --: | --: |",
    ]
    for name, series in sorted(group.items(), key=lambda each: -statistics.median(rates(each[1]))):
        found = rates(series)
        spread = f"{min(found):,.0f} to {max(found):,.0f}"
        times = "1.00" if name == base else cell(ratio(group[base], series))
        cpu = time_of(series.median("cpu"))
        lines.append(f"| {name} | {statistics.median(found):,.0f} | {spread} | {times} | {cpu} |")
    return lines


def awaited(run: Run) -> list[str]:
    lines = []
    for title, group in run.awaited.items():
        trips = ", ".join(f"{name} {count:.3f}" for name, count in run.trips[title].items())
        lines += ["", f"#### {title}", "", *table(group, AWAITED_BY_HAND)]
        lines += ["", f"Reads of the server for an operation: {trips}."]
    return lines


def waiting(run: Run) -> list[str]:
    group = run.waiting[TITLE]
    lines = table({name: each for name, each in group.items() if name != DUE}, WAITED_BY_HAND)
    due, cpu = time_of(group[DUE].median()), time_of(group[DUE].median("cpu"))

    def counted(name: str) -> str:
        found = [each[name] for each in run.counted]
        return f"{min(found):.0f} to {max(found):.0f}" if len(set(found)) > 1 else f"{found[0]:.0f}"

    crowds = ", ".join(f"{counted(f'{size}')} if {size} wait" for size in CROWDS)
    return [
        *lines,
        "",
        f"`ScheduledSet.pop(timeout=None)` has an item {due} after it is due, with {cpu} of client "
        f"CPU. A consumer that has nothing to do looks {counted('idle')} times a minute; for one "
        f"item the consumers together look {crowds} times.",
    ]


def setting(run: Run) -> str:
    machine = run.about["machine_info"]
    processor = machine["cpu"].get("brand_raw", "unknown processor")
    versions = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    runs = "one run" if run.count == 1 else f"{run.count} runs"
    return (
        f"Measured on {run.about['datetime'][:10]}, {runs} of `make bench`, {run.passes} passes: "
        f"{processor}, {machine['cpu']['count']} cores, Python {machine['python_version']}, "
        f"Valkey 9.1 over TCP on the same machine; {versions}."
    )


def readme(run: Run) -> list[str]:
    return [
        f"Time for an operation; {SCALE}. ≈: the runs don't say which of the two is faster.",
        "",
        *summary(run.operations, "wall", [*OURS, *PEERS], brief),
        "",
        "Tasks per second, with two worker processes; in brackets the spread:",
        "",
        *throughput(run.tasks[TASKS_TITLE]),
        "",
        setting(run),
    ]


def page(run: Run) -> list[str]:
    sections: list[tuple[str, Callable[[], list[str]]]] = [
        (title, lambda group=group: table(group, base_of(group)))  # type: ignore[misc]
        for title, group in run.operations.items()
    ]
    lines = [
        "# Benchmarks", "", "Written by `make bench`, nothing by hand. " + setting(run), "",
        f"**How to read it: {SCALE}.** Serializers are compared with the fastest of their table.",
        "", READING, "", "![times as long as by hand](benchmarks.svg)", "",
        "Who does what:", "", *(f"- {kind.name}: {kind.note}" for kind in COMPETITORS), "",
        f"Time for an operation; {SCALE}. In brackets the spread; where it includes 1.00 (≈), the "
        "runs don't say which of the two is faster:", "",
        *summary(run.operations, "wall", [*OURS, *PEERS]), "",
        f"The client's own CPU time for it; {SCALE}:", "",
        *summary(run.operations, "cpu", [*OURS, *PEERS]), "",
        "Where the same by hand was faster than redset:", "", *slower(run.operations, [BASE]), "",
        "Where another library was faster than redset:", "", *slower(run.operations, PEERS),
    ]  # fmt: skip
    for title, make in sections:
        lines += ["", f"### {title}", "", *make()]
    return [
        *lines,
        "", "### tasks per second", "",
        "Two worker processes, a task that only counts, each done once. redset's are added one by "
        "one (`add`) or in bulk (`update`, which the others don't have), leased one by one or a "
        "hundred at a time, and each is acknowledged. The systems take turns, a whole run each.",
        "", *throughput(run.tasks[TASKS_TITLE]),
        "", "### awaited", "",
        f"1.00 = the same by hand with `redis.asyncio` over a pool of 50 connections, lower is "
        f"better; alone, or {TASKS:,} tasks at a time.",
        *awaited(run),
        "", "### until a waiting consumer has an item", "",
        "1.00 = `BZPOPMIN` by hand, which loses the item if its reply is lost; lower is better.",
        "", *waiting(run),
        "", "### how cost grows", "", "![by size](growth.svg)",
    ]  # fmt: skip


def main() -> None:
    if len(sys.argv) < 2:
        sys.exit("expected the directories of one or more runs")
    run, *others = (Run.load(Path(path)) for path in sys.argv[1:])
    for other in others:
        run.add(other)
    plot_ratios(run.operations)
    plot_growth(run.growth)
    path = ROOT / "README.md"
    text = "\n".join(readme(run))
    path.write_text(MARKS.sub(lambda marks: f"{marks[1]}{text}\n{marks[2]}", path.read_text()))
    (DOCS / "benchmarks.md").write_text("\n".join(page(run)) + "\n")


if __name__ == "__main__":
    main()
