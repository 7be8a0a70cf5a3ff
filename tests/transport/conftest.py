"""A cluster, beside the fixtures of a plain server."""

from collections.abc import Iterator
from typing import Any

import pytest
import redis.cluster

from tests.clusters import TestCluster
from tests.server.conftest import client, make_client, round_trips, server

__all__ = ["client", "cluster", "make_client", "round_trips", "server"]


@pytest.fixture(scope="session")
def cluster() -> Iterator[TestCluster]:
    """Two masters, each of which has half of the slots."""
    with TestCluster.start("valkey-9.1", masters=2) as started:
        yield started


@pytest.fixture
def client_of_nodes(nodes: TestCluster) -> Iterator[Any]:
    """A client of a module's own cluster, its *nodes*, which holds nothing yet."""
    made = redis.cluster.RedisCluster(host="127.0.0.1", port=nodes.nodes[0].port)
    nodes.flush()
    yield made
    made.close()
