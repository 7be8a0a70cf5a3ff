"""What `bench.pairs` says of machines whose speed is known."""

import random
from dataclasses import dataclass, field

from bench.pairs import Block, Group, Series, Work, interleave, merge, ratio


@dataclass
class Machine:
    """It is slower by half for some blocks, then faster again, as a shared one is."""

    blocks: int = 0

    def speed(self) -> float:
        self.blocks += 1
        return 1.5 if self.blocks // 40 % 2 else 1.0


@dataclass
class Simulated(Work):
    """Takes so many seconds, multiplied by what the machine and some noise make of it."""

    machine: Machine = field(default_factory=Machine)
    seconds: float = 1.0
    noise: random.Random = field(default_factory=lambda: random.Random(1))

    def block(self) -> Block:
        took = self.seconds * self.machine.speed() * self.noise.uniform(0.95, 1.05)
        return Block(took, took)


def simulated(ours: float) -> Group:
    machine = Machine()
    work = {
        "base": Simulated(int, machine=machine),
        "ours": Simulated(int, machine=machine, seconds=ours, noise=random.Random(2)),
    }
    return interleave(work, 60, random.Random(3))


def test_ratio_on_a_machine_that_changes_its_speed_is_the_true_one() -> None:
    group = simulated(ours=0.8)
    found = ratio(group["ours"], group["base"])
    assert 0.79 < found.median < 0.81
    assert found.verdict == "faster"


def test_ratio_of_equals_is_neither_faster_nor_slower() -> None:
    group = simulated(ours=1.0)
    assert ratio(group["ours"], group["base"]).verdict == "neither"


def test_ratio_whose_passes_disagree_is_neither_faster_nor_slower() -> None:
    base = Series([[1.0] * 9, [1.0] * 9], [[], []])
    ours = Series([[0.8] * 9, [1.1] * 3 + [1.2] * 6], [[], []])
    found = ratio(ours, base)
    assert (found.low, found.high) == (0.8, 1.2)
    assert found.verdict == "neither"


def test_ratio_of_a_few_pairs_has_no_verdict() -> None:
    ours, base = Series([[0.5] * 3], [[]]), Series([[1.0] * 3], [[]])
    assert ratio(ours, base).verdict == "neither"


def test_ratio_above_a_floor_subtracts_it_from_both() -> None:
    ours, base, floor = (Series([[each] * 9], [[]]) for each in (12.0, 20.0, 10.0))
    assert ratio(ours, base, floor=floor).median == 0.2


def test_merge_keeps_passes_apart() -> None:
    groups = {"add": {"redset": Series([[1.0]], [[2.0]])}}
    merge(groups, {"add": {"redset": Series([[3.0]], [[4.0]])}})
    assert groups["add"]["redset"].wall == [[1.0], [3.0]]
    assert groups["add"]["redset"].cpu == [[2.0], [4.0]]
