"""One server for all benchmarks of a run, over TCP, as one of the peers knows nothing else."""

from collections.abc import Iterator

import pytest
import redis

from tests.servers import TestServer


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--quick", action="store_true", help="small sizes, to see that all runs")


@pytest.fixture(scope="session")
def large(request: pytest.FixtureRequest) -> int:
    """How many items a large set has."""
    return 5_000 if request.config.getoption("--quick") else 100_000


@pytest.fixture(scope="session")
def server() -> Iterator[TestServer]:
    with TestServer.start("valkey-9.1") as started:
        yield started


@pytest.fixture
def client(server: TestServer) -> Iterator[redis.Redis]:
    with redis.Redis(port=server.port) as made:
        made.flushall()
        yield made
