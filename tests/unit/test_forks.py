"""What belongs to a process: a forked child is told apart, whatever its process id."""

import os
import subprocess
import sys
from pathlib import Path

import redset
from redset._support.forks import PerProcess, this_process

PACKAGE = Path(redset.__file__).parent


def in_child(program: str) -> str:
    """Run a program whose ``fork()`` is a child with the process id of its parent."""
    begin = """
import os
from redset._support.forks import PerProcess, this_process
os.getpid = lambda: 1
def fork():
    if child := os.fork():
        os.waitpid(child, 0)
        os._exit(0)
"""
    ended = subprocess.run(
        [sys.executable, "-c", begin + program],
        cwd=PACKAGE.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    return ended.stdout.strip()


def test_this_process_is_the_process_id_where_nothing_was_forked() -> None:
    program = (
        "from redset._support.forks import this_process as t; import os; print(t() - os.getpid())"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program],
        cwd=PACKAGE.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout == "0\n"
    assert this_process() % (1 << 32) == os.getpid()


def test_a_child_and_its_child_of_the_same_process_id_differ() -> None:
    program = """
seen = {this_process()}
for _ in range(3):
    fork()
    seen.add(this_process())
print(len(seen), flush=True)
"""
    assert in_child(program) == "4"


def test_per_process_a_child_of_the_same_process_id_makes_its_own() -> None:
    program = """
values = PerProcess(list)
before = values.get()
fork()
print(values.get() is before, values.get() is values.get(), flush=True)
"""
    assert in_child(program) == "False True"
    values: PerProcess[list[int]] = PerProcess(list)
    assert values.get() is values.get()


def test_the_name_of_a_worker_in_a_child_has_the_id_that_the_system_knows() -> None:
    program = """
from redset._plans.leases import worker_of
fork()
print(worker_of(this_process()).rpartition(":")[2], flush=True)
"""
    assert in_child(program) == "1"


def test_no_module_compares_process_ids_by_itself() -> None:
    found = {path.name for path in PACKAGE.rglob("*.py") if "getpid" in path.read_text()}
    assert found == {"forks.py"}
