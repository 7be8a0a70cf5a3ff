"""What belongs to a process: a forked child is told apart, whatever its process id."""

import mmap
import os
import subprocess
import sys
from pathlib import Path

import pytest

import redset
from redset._support import forks
from redset._support.forks import PerProcess, this_process

PACKAGE = Path(redset.__file__).parent


def in_child(program: str, setup: str = "") -> str:
    """Run a program whose ``fork()`` is a child with the process id of its parent."""
    begin = f"""
import os
from redset._support import forks
from redset._support.forks import PerProcess, this_process
{setup}
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


# Where no page of memory tells a child: each use asks for the process id.
WITHOUT_PAGE = "forks._state = forks._NO_PAGE, os.getpid()"
# C code forks, which calls none of Python's hooks.
WITHOUT_HOOKS = "import ctypes; os.fork = ctypes.CDLL(None).fork"
FAMILY = """
seen = {this_process()}
for _ in range(3):
    fork()
    seen.add(this_process())
    assert this_process() in seen
print(len(seen), flush=True)
"""

only_linux = pytest.mark.skipif(sys.platform != "linux", reason="the page is one of Linux")


@pytest.mark.parametrize("setup", ["", WITHOUT_PAGE, pytest.param(WITHOUT_HOOKS, marks=only_linux)])
def test_a_child_and_its_child_of_the_same_process_id_differ(setup: str) -> None:
    assert in_child(FAMILY, setup) == "4"


@pytest.mark.parametrize("setup", ["", WITHOUT_HOOKS])
def test_a_child_that_gets_no_page_of_its_own_is_told_apart_from_its_parent(setup: str) -> None:
    program = """
parent = this_process()
forks._new_page = lambda: forks._NO_PAGE
fork()
print(this_process() != parent, this_process() == this_process(), flush=True)
"""
    assert in_child(program, setup) == "True True"


@only_linux
def test_an_emulator_that_follows_no_advice_has_no_page(monkeypatch: pytest.MonkeyPatch) -> None:
    class Emulated(mmap.mmap):
        def madvise(self, *_: int) -> None: ...

    assert forks._new_page() != forks._NO_PAGE
    monkeypatch.setattr(mmap, "mmap", Emulated)
    assert forks._new_page() == forks._NO_PAGE


@only_linux
def test_threads_and_a_child_of_c_code_agree_about_their_process() -> None:
    program = """
import sys, threading
sys.setswitchinterval(1e-6)
fork()
ready, found = threading.Barrier(16), []
def look():
    ready.wait()
    found.append(this_process())
threads = [threading.Thread(target=look) for _ in range(16)]
for each in threads: each.start()
for each in threads: each.join()
print(len(set(found)), len(found), flush=True)
"""
    assert in_child(program, WITHOUT_HOOKS) == "1 16"


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
