"""What `make bench` left in a directory: one run.

Several runs are pooled by adding their passes up.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.bench_asyncio import BY_HAND as AWAITED_BY_HAND
from bench.bench_waiting import BY_HAND as WAITED_BY_HAND
from bench.competitors import BASE
from bench.pairs import Group, Groups, Series, from_json, merge
from bench.tasks import BASE as TASKS_BASE

BASES = (BASE, AWAITED_BY_HAND, WAITED_BY_HAND, TASKS_BASE)


def base_of(group: Group) -> str:
    """Return what the others of a group are compared with: by hand, or else the fastest."""
    for name in BASES:
        if name in group:
            return name
    return min(group, key=lambda name: group[name].median())


@dataclass
class Run:
    """All groups of a run, or of several, by part of `make bench`."""

    operations: Groups = field(default_factory=dict)
    awaited: Groups = field(default_factory=dict)
    tasks: Groups = field(default_factory=dict)
    waiting: Groups = field(default_factory=dict)
    counted: list[dict[str, float]] = field(default_factory=list)
    trips: dict[str, dict[str, float]] = field(default_factory=dict)
    growth: Any = None
    about: Any = None
    count: int = 1

    @property
    def groups(self) -> Groups:
        """All groups that ratios can be taken of."""
        awaited = {f"awaited: {title}": group for title, group in self.awaited.items()}
        return self.operations | awaited | self.tasks | self.waiting

    @classmethod
    def load(cls, folder: Path) -> "Run":
        """Read what there is of a run."""

        def read(name: str) -> Any:
            path = folder / f"{name}.json"
            return json.loads(path.read_text()) if path.exists() else None

        run = cls(growth=read("growth"))
        if found := read("operations"):
            run.about = {key: found[key] for key in ("machine_info", "datetime", "commit_info")}
            for each in found["benchmarks"]:
                series = Series(**each["extra_info"])
                run.operations.setdefault(each["group"], {})[each["name"]] = series
        if found := read("asyncio"):
            run.awaited, run.trips = from_json(found["groups"]), found["trips"]
        if found := read("tasks"):
            run.tasks = from_json(found)
        if found := read("waiting"):
            run.waiting, run.counted = from_json(found["groups"]), [found["counted"]]
        return run

    def add(self, other: "Run") -> None:
        """Add the passes of another run."""
        for name in ("operations", "awaited", "tasks", "waiting"):
            merge(getattr(self, name), getattr(other, name))
        self.counted += other.counted
        self.count += other.count

    @property
    def passes(self) -> int:
        return max(len(each.wall) for group in self.operations.values() for each in group.values())
