"""The tests that are about one server, and not for a cluster: which, and why.

On a cluster (``REDSET_TEST_CLUSTER=1``) these must fail: one that passes is reported, and has to
go from the table. What asks for no server isn't run there a second time.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import pytest


class Reason(NamedTuple):
    """Why tests are for one server only."""

    words: str
    # Without: it is not tried, as it would wait for what never comes.
    runs: bool = True


# A part of a test's id, from the name of its module on: the most specific one counts.
TABLE: Mapping[str, Reason] = {}

# What tests ask for that have to do with the shared server.
_FIXTURES = {"client", "make_client", "server"}


def mark(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what has no server, and expect failures of what is for one server."""
    chosen = [item for item in items if _FIXTURES & set(getattr(item, "fixturenames", ()))]
    left_out = [item for item in items if item not in set(chosen)]
    for item in chosen:
        for reason in _reasons(item.nodeid):
            mark = pytest.mark.xfail(reason=reason.words, strict=True, run=reason.runs)
            item.add_marker(mark)
    items[:] = chosen
    config.hook.pytest_deselected(items=left_out)


def _reasons(test: str) -> Iterator[Reason]:
    found = [part for part in TABLE if part in test]
    if found:
        yield TABLE[max(found, key=len)]
