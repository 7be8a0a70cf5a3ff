"""What failovers do to programs: all goes on, nothing is lost or doubled but by a failover.

``REDSET_STORM_SECONDS=120`` replaces masters for two minutes, by turns by command and by killing
them.
"""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.sentinels import Sentinels
from tests.storms.sentinel_storm import storm

SECONDS = float(os.environ.get("REDSET_STORM_SECONDS", "5"))


@pytest.mark.parametrize("kind", ["valkey-9.1", "redis-6.2"])
def test_work_goes_on_through_failovers_and_killed_masters(
    kind: str, tmp_path: Path, report: Callable[[str], None]
) -> None:
    with Sentinels.start(kind, replicas=2) as sentinels:
        found = storm(sentinels, tmp_path, SECONDS)
    report(
        f"{kind}: {found.faults} masters replaced, {found.added} items: {len(found.lost)} lost and "
        f"{len(found.twice)} done twice by failovers; with a new master, work went on within "
        f"{found.work_went_on:.1f} s, the last waiter woke after {found.waiters_woke:.1f} s"
    )
    assert found.unexplained == set()
