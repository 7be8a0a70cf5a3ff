"""How fast is each operation, beside the same by hand and in other libraries?"""

from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.operations import OPERATIONS, Operation
from bench.pairs import Groups
from bench.replay import by_replay, replay


@by_replay
@pytest.mark.parametrize(
    ("operation", "kind"),
    [
        pytest.param(operation, kind, id=f"{operation.title.split(' of ')[0]}-{kind.name}")
        for operation in OPERATIONS
        for kind in operation.competitors
    ],
)
def test_operation(
    benchmark: BenchmarkFixture, measured: Groups, many: int, operation: Operation, kind: Any
) -> None:
    replay(benchmark, measured, operation.heading(many), kind.name)
