"""Turn the results of one run into tables of ratios and plots, and put both into the documents.

Reads ``bench/results/*.json`` as `make bench` leaves them; writes ``docs/benchmarks.md``, the plots
beside it, and the part of the README between its two marks.
"""

import json
import re
import statistics
from importlib.metadata import version
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot

from bench.competitors import COMPETITORS

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "bench" / "results"
DOCS = ROOT / "docs"
MARKS = re.compile(r"(<!-- figures -->\n).*?(<!-- /figures -->)", re.DOTALL)
BASE = "redis-py by hand"
LIBRARIES = ["redis", "hiredis", "redis-collections", "pottery", "walrus", "huey", "rq", "dramatiq"]


def load(name: str) -> Any:
    return json.loads((RESULTS / f"{name}.json").read_text())


def groups(run: Any) -> dict[str, dict[str, Any]]:
    """Give the statistics of each competitor, by group, in the groups' order."""
    found: dict[str, dict[str, Any]] = {}
    for each in sorted(run["benchmarks"], key=lambda each: each["group"]):
        found.setdefault(each["group"], {})[each["name"]] = each["stats"]
    return found


def title(group: str) -> str:
    return group.partition(" ")[2]


def time_of(seconds: float) -> str:
    for unit, factor in (("s", 1.0), ("ms", 1e3), ("µs", 1e6)):
        if seconds * factor >= 1:
            return f"{seconds * factor:,.1f} {unit}"
    return f"{seconds * 1e9:,.0f} ns"


def table(group: str, ways: dict[str, Any]) -> list[str]:
    """Give a table of medians, their spread, and their ratio to the same by hand."""
    base = ways.get(BASE) or min(ways.values(), key=lambda stats: stats["median"])
    lines = [
        "",
        f"### {title(group)}",
        "",
        "| | median | quartiles | ratio |",
        "| --- | --: | --: | --: |",
    ]
    for name, stats in sorted(ways.items(), key=lambda pair: pair[1]["median"]):
        spread = f"{time_of(stats['q1'])} to {time_of(stats['q3'])}"
        ratio = stats["median"] / base["median"]
        lines.append(f"| {name} | {time_of(stats['median'])} | {spread} | {ratio:.2f} |")
    return lines


def summary(found: dict[str, dict[str, Any]]) -> list[str]:
    """Give one table of all operations: how many times as long as by hand each one takes."""
    names = [kind.name for kind in COMPETITORS if kind.name not in {BASE, "raw socket"}]
    lines = ["| | " + " | ".join(names) + " |", "| --- |" + " --: |" * len(names)]
    for group, ways in found.items():
        if BASE in ways:
            cells = [
                f"{ways[name]['median'] / ways[BASE]['median']:.2f}" if name in ways else ""
                for name in names
            ]
            lines.append(f"| {title(group)} | " + " | ".join(cells) + " |")
    return lines


def plot_ratios(found: dict[str, dict[str, Any]]) -> None:
    shown = {group: ways for group, ways in found.items() if BASE in ways}
    names = [kind.name for kind in COMPETITORS if kind.name != BASE]
    figure, axes = pyplot.subplots(figsize=(9, 0.55 * len(shown) + 1.2))
    for place, name in enumerate(names):
        points = [
            (ways[name]["median"] / ways[BASE]["median"], -row)
            for row, ways in enumerate(shown.values())
            if name in ways
        ]
        marker = "D" if name.startswith("redset") else "o"
        axes.scatter(*zip(*points, strict=True), label=name, marker=marker, color=f"C{place}")
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xscale("log")
    axes.set_xlabel(f"times as long as {BASE} (left is faster)")
    axes.set_yticks([-row for row in range(len(shown))], [title(group) for group in shown])
    axes.grid(axis="x", alpha=0.3)
    axes.legend(fontsize=8)
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


# Why a peer may be faster in a group, where the reason is more than the spread of a run.
REMEMBERED = "a script remembers on the server what was handed out, in case the reply is lost"
REASONS = {
    "pop": REMEMBERED,
    "take": REMEMBERED,
    "union": "the sets of redis-collections have no scores to combine and to sort by",
}


def faster_peers(found: dict[str, dict[str, Any]]) -> list[str]:
    """Say in which groups a library was faster than redset, and why."""
    lines = []
    for group, ways in found.items():
        ours = [stats["median"] for name, stats in ways.items() if name.startswith("redset")]
        peers = {kind.name for kind in COMPETITORS if not kind.name.startswith("redset")}
        for name in sorted(ways.keys() & peers - {BASE, "raw socket"}):
            if ours and ways[name]["median"] < min(ours):
                ratio = min(ours) / ways[name]["median"]
                job = title(group).split()[0]
                reason = REASONS.get(job, "their commands are the same, and the spread is larger")
                lines.append(f"- {title(group)}: {name}, {ratio:.2f} times as fast; {reason}.")
    return lines or ["None."]


def throughput(tasks: dict[str, list[float]]) -> list[str]:
    """Give a table of tasks per second, the fastest first."""
    lines = ["| | tasks per second | slowest to fastest run |", "| --- | --: | --: |"]
    for name, rates in sorted(tasks.items(), key=lambda each: -statistics.median(each[1])):
        spread = f"{min(rates):,.0f} to {max(rates):,.0f}"
        lines.append(f"| {name} | {statistics.median(rates):,.0f} | {spread} |")
    return lines


def awaited(found: dict[str, dict[str, tuple[float, int]]]) -> list[str]:
    """Give a table of what an awaited operation costs."""
    lines = [
        "| | | microseconds | times as fast | round trips |",
        "| --- | --- | --: | --: | --: |",
    ]
    for work, ways in found.items():
        hand = ways["by hand"][0]
        for name, (took, trips) in ways.items():
            lines.append(f"| {work} | {name} | {took:.1f} | {hand / took:.1f} | {trips:,} |")
    return lines


def main() -> None:
    run, tasks, growth = load("operations"), load("tasks"), load("growth")
    found = groups(run)
    plot_ratios(found)
    plot_growth(growth)
    machine = run["machine_info"]
    processor = machine["cpu"].get("brand_raw", "unknown processor")
    versions = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    setting = (
        f"Measured on {run['datetime'][:10]}: {processor}, {machine['cpu']['count']} cores, "
        f"Python {machine['python_version']}, Valkey 9.1 over TCP on the same machine; {versions}."
    )
    heading = "How many times as long it takes as the same by hand with redis-py (medians):"
    readme = [heading, "", *summary(found), "", *throughput(tasks), "", setting]
    path = ROOT / "README.md"
    text = MARKS.sub(lambda marks: marks[1] + "\n".join(readme) + "\n" + marks[2], path.read_text())
    path.write_text(text)
    notes = [f"- {kind.name}: {kind.note}" for kind in COMPETITORS]
    page = [
        "# Benchmarks", "", "Written by `make bench`, nothing by hand. " + setting, "",
        "![times as long as by hand](benchmarks.svg)", "", "Who does what:", "", *notes,
        "", "Where another library was faster than redset:", "", *faster_peers(found),
        *(line for group, ways in found.items() for line in table(group, ways)),
        "", "### tasks per second", "",
        "Two worker processes, a task that only counts, each done once. redset's are added one by "
        "one (`add`) or in bulk (`update`, which the others don't have), leased one by one or a "
        "hundred at a time, and each is acknowledged.", "", *throughput(tasks),
        "", "### awaited", "",
        "`contains`, beside `await client.zscore(…)` by hand over a pool of 50 connections.", "",
        *awaited(load("asyncio")),
        "", "### how cost grows", "", "![by size](growth.svg)",
    ]  # fmt: skip
    (DOCS / "benchmarks.md").write_text("\n".join(page) + "\n")


if __name__ == "__main__":
    main()
