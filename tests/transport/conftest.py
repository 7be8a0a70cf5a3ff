"""A cluster, beside the fixtures of a plain server."""

from collections.abc import Iterator

import pytest

from tests.clusters import TestCluster
from tests.server.conftest import client, make_client, round_trips, server

__all__ = ["client", "cluster", "make_client", "round_trips", "server"]


@pytest.fixture(scope="session")
def cluster() -> Iterator[TestCluster]:
    """Two masters, each of which has half of the slots."""
    with TestCluster.start("valkey-9.1", masters=2) as started:
        yield started
