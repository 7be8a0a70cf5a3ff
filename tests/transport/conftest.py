"""A cluster of two nodes, beside the fixtures of a plain server."""

import time
from collections.abc import Iterator

import pytest
import redis

from tests.server.conftest import client, make_client, round_trips, server
from tests.servers import TestServer

__all__ = ["client", "cluster", "make_client", "round_trips", "server"]

PATIENCE_SECONDS = 30.0


@pytest.fixture(scope="session")
def cluster() -> Iterator[TestServer]:
    """A node of a cluster of two, each of which has half of the slots."""
    flags = ("--cluster-enabled", "yes")
    with (
        TestServer.start("valkey-9.1", *flags) as first,
        TestServer.start("valkey-9.1", *flags) as second,
    ):
        halves = ((first, 0, 8191), (second, 8192, 16383))
        for node, lowest, highest in halves:
            with redis.Redis(port=node.port) as one:
                one.execute_command("CLUSTER", "ADDSLOTSRANGE", lowest, highest)
                one.execute_command("CLUSTER", "MEET", "127.0.0.1", first.port)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not all(_knows_all(node.port) for node, *_ in halves):
            assert time.monotonic() < deadline, "the nodes don't find each other"
            time.sleep(0.05)
        yield first


def _knows_all(port: int) -> bool:
    with redis.Redis(port=port, decode_responses=True) as one:
        info = str(one.execute_command("CLUSTER", "INFO"))
    return "cluster_state:ok" in info and "cluster_known_nodes:2" in info
