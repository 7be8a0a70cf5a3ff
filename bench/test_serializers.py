"""What does it cost to turn an item into bytes and back?"""

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.pairs import Groups
from bench.replay import by_replay, replay
from bench.serializers import ITEMS, WAYS, title


@by_replay
@pytest.mark.parametrize(
    ("item", "way"), [(item, way) for item in ITEMS for way in WAYS if item in WAYS[way][1]]
)
def test_there_and_back(benchmark: BenchmarkFixture, measured: Groups, item: str, way: str) -> None:
    replay(benchmark, measured, title(item), way)
