"""How fast is each operation, beside the same by hand and in other libraries?"""

from typing import Any

import pytest
import redis
from pytest_benchmark.fixture import BenchmarkFixture

from bench.competitors import COMPETITORS

SINGLE = ["add", "contains", "size", "discard"]
WHOLE = ["iterate"]
PAIRS = ["intersection", "union", "difference", "subset"]
MANY = 1_000


def those_with(job: str) -> list[Any]:
    return [pytest.param(kind, id=kind.name) for kind in COMPETITORS if hasattr(kind, job)]


def of(jobs: list[str]) -> list[Any]:
    return [
        pytest.param(job, kind, id=f"{job}-{kind.name}")
        for job in jobs
        for kind in COMPETITORS
        if hasattr(kind, job)
    ]


def items(count: int, start: int = 0) -> list[str]:
    return [f"item:{number:08}" for number in range(start, start + count)]


@pytest.mark.parametrize(("job", "kind"), of(SINGLE))
def test_single(benchmark: BenchmarkFixture, client: redis.Redis, job: str, kind: Any) -> None:
    benchmark.group, benchmark.name = f"1 {job}", kind.name
    competitor = kind(client)
    shared = competitor.make("single")
    competitor.fill(shared, items(MANY))
    arguments = [] if job == "size" else [items(1, start=-1 if job == "discard" else 500)[0]]
    call = getattr(competitor, job)(shared, *arguments)
    benchmark.pedantic(call, rounds=200, iterations=50, warmup_rounds=5)


@pytest.mark.parametrize("kind", those_with("pop"))
def test_pop(benchmark: BenchmarkFixture, client: redis.Redis, kind: Any) -> None:
    benchmark.group, benchmark.name = "1 pop", kind.name
    competitor = kind(client)
    shared = competitor.make("single")
    competitor.fill(shared, items(11_000))
    benchmark.pedantic(competitor.pop(shared), rounds=200, iterations=50, warmup_rounds=5)


@pytest.mark.parametrize("kind", those_with("fill"))
def test_fill(benchmark: BenchmarkFixture, client: redis.Redis, kind: Any, large: int) -> None:
    if kind.name == "raw socket":
        pytest.skip("has nothing of its own to fill a set with")
    benchmark.group, benchmark.name = f"2 add {large:,} at once", kind.name
    competitor = kind(client)
    values = items(large)
    benchmark.pedantic(
        lambda: competitor.fill(competitor.make("bulk"), values),
        setup=lambda: client.flushall() and None,
        rounds=7,
    )


@pytest.mark.parametrize("kind", those_with("iterate"))
def test_iterate(benchmark: BenchmarkFixture, client: redis.Redis, kind: Any, large: int) -> None:
    benchmark.group, benchmark.name = f"3 iterate over {large:,}", kind.name
    competitor = kind(client)
    shared = competitor.make("whole")
    competitor.fill(shared, items(large))
    assert benchmark.pedantic(competitor.iterate(shared), rounds=15, warmup_rounds=1) == large


@pytest.mark.parametrize("kind", those_with("take"))
def test_take(benchmark: BenchmarkFixture, client: redis.Redis, kind: Any, large: int) -> None:
    benchmark.group, benchmark.name = "3 take 1,000", kind.name
    competitor = kind(client)
    shared = competitor.make("whole")
    competitor.fill(shared, items(large))
    benchmark.pedantic(competitor.take(shared), rounds=min(50, large // 1000 - 1))


@pytest.mark.parametrize(("job", "kind"), of(PAIRS))
def test_algebra(
    benchmark: BenchmarkFixture, client: redis.Redis, job: str, kind: Any, large: int
) -> None:
    benchmark.group, benchmark.name = f"4 {job} of {large:,} and {large:,}", kind.name
    competitor = kind(client)
    one, other = competitor.make("algebra:1"), competitor.make("algebra:2")
    competitor.fill(one, items(large))
    competitor.fill(other, items(large, start=0 if job == "subset" else large // 2))
    benchmark.pedantic(getattr(competitor, job)(one, other), rounds=25, warmup_rounds=2)


@pytest.mark.parametrize("kind", those_with("lease"))
def test_lease(benchmark: BenchmarkFixture, client: redis.Redis, kind: Any) -> None:
    benchmark.group, benchmark.name = "5 lease and acknowledge 100", kind.name
    competitor = kind(client)
    shared = competitor.make("leased")
    competitor.fill(shared, items(6_000))
    benchmark.pedantic(competitor.lease(shared), rounds=50, warmup_rounds=5)
