"""A large set that is read through this process is worth a warning, and no other one is."""

import logging
from typing import Any

import pytest
import redis

from redset import RedisSortedSet, SortedSet
from redset._protocol.sources import LARGE
from tests.server.conftest import MakeClient


def made(kind: Any, client: redis.Redis, name: str, size: int, **options: Any) -> Any:
    found = kind(client, name, **options)
    found.update(map(str, range(size)))
    return found


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    found = [each.getMessage() for each in caplog.records if each.name == "redset"]
    caplog.clear()
    return found


def test_a_large_set_of_another_serializer_or_server_is_said_to_travel(
    client: redis.Redis, make_client: MakeClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "redset")
    ours = made(RedisSortedSet, client, "ours", 3)
    texts = made(SortedSet, client, "{ours}texts", LARGE + 1)
    elsewhere = made(RedisSortedSet, make_client(db=1), "far", LARGE + 1)
    assert warnings(caplog) == []
    about = (
        f"redset 'ours': reads all of redset '%s' through this process, more than {LARGE:,} items"
    )
    assert ours.intersection_count(texts) == 3
    assert warnings(caplog) == [f"{about % '{ours}texts'}, as their serializers differ"]
    ours.update(elsewhere)
    assert warnings(caplog) == [f"{about % 'far'}, as they are on different servers or databases"]
    assert ours == elsewhere
    assert len(warnings(caplog)) == 1
    elsewhere.clear()


def test_a_unique_set_says_why_it_reads(
    client: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "redset")
    large = made(RedisSortedSet, client, "large", LARGE + 1)
    chosen: RedisSortedSet[str] = RedisSortedSet(client, "chosen", unique="until_acked")
    chosen.update(large, ["x"])
    assert len(chosen) == LARGE + 2
    [warning] = warnings(caplog)
    assert warning.startswith("redset 'chosen': reads all of redset 'large' ")
    assert warning.endswith("as unique= may refuse some of them")


def test_nothing_is_said_of_what_does_not_travel_or_is_small(
    client: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "redset")
    ours = made(RedisSortedSet, client, "ours", LARGE + 1)
    large = made(RedisSortedSet, client, "{ours}large", LARGE + 1)
    texts = made(SortedSet, client, "{ours}texts", LARGE)
    assert ours == large
    ours.update(texts, map(str, range(LARGE + 9)))
    assert len(ours) == LARGE + 9
    assert warnings(caplog) == []
