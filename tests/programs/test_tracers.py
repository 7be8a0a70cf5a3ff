"""Whoever listens to the client's commands hears those of sets, whenever it was switched on."""

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.programs.servers import ROOT
from tests.programs.tracers import OPERATIONS, TRACERS
from tests.servers import TestServer

SWITCHED_OFF = ("opentelemetry", "opentelemetry-client")


@pytest.mark.parametrize(
    ("tracer", "when"),
    [
        (tracer, when)
        for tracer in TRACERS
        for when in ("before", "after", *(["again"] if tracer in SWITCHED_OFF else []))
    ],
)
def test_tracer_sees_each_operation_of_both_surfaces(
    server: TestServer, report: Callable[[str], None], tracer: str, when: str
) -> None:
    if tracer == "metrics" and importlib.util.find_spec("redis.observability") is None:
        pytest.skip("redis-py before 8 has no metrics")
    ended = subprocess.run(
        [sys.executable, "-m", "tests.programs.tracers", server.unix_socket, tracer, when],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-4000:]
    found = json.loads(ended.stdout.splitlines()[-1])
    for state, expected in (("on", OPERATIONS), ("off", 0)):
        counts = found.get(state, {})
        wrong = [
            (surface, operation, of_redset, by_hand)
            for surface, operations in counts.items()
            for operation, (of_redset, by_hand) in operations.items()
            if (of_redset, by_hand) != (expected, expected)
        ]
        assert wrong == [], state
    operations = sum(len(operations) for operations in found["on"].values())
    report(f"{operations} operations, {OPERATIONS} times each: as many seen as by hand")
