"""Forks in the middle of everything, also those that Python doesn't see."""

import json
import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.programs.servers import CALLS, ROOT
from tests.servers import TestServer


# Not without hooks while threads run: Python's own lock would wait in the child, for ever, for a
# thread that asked for it before the fork.
@pytest.mark.parametrize(
    ("how", "where"),
    [
        *[("os", "lease"), ("os", "thread"), ("os", "loop")],
        *[("ctypes", "lease"), ("ctypes", "loop")],
    ],
)
def test_fork_parent_and_child_go_on_with_the_same_sets(
    server: TestServer, report: Callable[[str], None], how: str, where: str
) -> None:
    command = [sys.executable, "-W", "ignore", "-m", "tests.programs.forks"]
    command += ["--socket", server.unix_socket, "--how", how, "--where", where]
    ended = subprocess.run(
        [*command, "--calls", str(CALLS)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-4000:]
    found = json.loads(ended.stdout.splitlines()[-1])
    report(
        f"{CALLS} calls: {len(found['parent'])} wrong in the parent, {len(found['child'])} below"
    )
    assert found == {"parent": [], "child": []}, ended.stderr[-2000:]
