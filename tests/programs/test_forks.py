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


# The first process of a PID namespace, whose child is the first one of another: both are process 1.
SAME_NUMBER = """
import ctypes, json, os, sys
import redset
NEWPID = 0x20000000
def unshare():
    if ctypes.CDLL(None).unshare(NEWPID):
        print(json.dumps("not allowed"))
        sys.exit()
unshare()
if first := os.fork():
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(first, 0)[1]))
client = redset.connect("unix://" + sys.argv[1], socket_timeout=20)
numbers, shared = redset.RedisSortedSet(client, "numbers"), redset.RedisSortedSet(client, "shared")
numbers.add_scored({number: number for number in range(100)})
shared.update(range(1_000))
lease = shared.lease(1, ttl=600)
lease.__enter__()
unshare()
read, write = os.pipe()
child = os.fork()
own, popped, wrong = (0 if child else 50), [], []
try:
    for number in range(400):
        place = own + number % 50
        if (found := numbers.score(place)) != place:
            wrong.append((place, found))
        popped.append(shared.pop())
except Exception as error:
    wrong.append(repr(error))
if not child:
    os.write(write, json.dumps([os.getpid(), popped, wrong[:20]]).encode())
    lease.__exit__(None, None, None)
    os._exit(0)
os.close(write)
with os.fdopen(read) as said:
    theirs, others, errors = json.loads(said.read() or '[0, [], ["the child died"]]')
wrong += errors
if len({*popped, *others}) != 800:
    wrong.append(f"{len({*popped, *others})} items popped")
if shared.stats().leased != 1:
    wrong.append("the child ended its parent's lease")
print(json.dumps([os.getpid(), theirs, wrong]))
"""


def test_fork_into_another_pid_namespace_parent_and_child_share_no_connection(
    server: TestServer,
) -> None:
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SAME_NUMBER, server.unix_socket],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-4000:]
    found = json.loads(ended.stdout)
    if found == "not allowed":
        pytest.skip("this user may make no PID namespaces")
    assert found == [1, 1, []], ended.stderr[-2000:]
