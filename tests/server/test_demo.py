"""The demo, run as its user runs it, and the parts of it that a lucky run would not prove."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from multiprocessing import active_children
from pathlib import Path
from typing import Any

import pytest
import redis

from redset import SortedSet, demo
from redset.__main__ import main
from tests.servers import TestServer

WAIT = 60  # seconds until a hanging demo fails its test
COMMAND = [sys.executable, "-m", "redset", "demo"]
PROJECT = Path(__file__).parents[2]
PARCEL = {
    # Importing the package would raise: it must be read only.
    "__init__": "from . import labels\nraise RuntimeError('imported')\n",
    "labels": "import parcel.wrapping.paper, json\nfrom parcel import *\n",
    "scale": "def weigh():\n    from .labels import Label, labels\n",
    "template": "class {{ name }}:\n",
    "wrapping/__init__": "",
    "wrapping/paper": "from .. import labels, missing\nfrom ..... import beyond\n",
    "wrapping/unused": "",
}


@pytest.fixture
def parcel(tmp_path: Path) -> Path:
    """A directory with the package of `PARCEL` in it."""
    for module, source in PARCEL.items():
        path = tmp_path / "parcel" / f"{module}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(source)
    return tmp_path


@pytest.fixture
def temporary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory for the temporary files of a demo; its short name fits a socket's address."""
    return tmp_path_factory.mktemp("t")


def lasting_keys(client: redis.Redis) -> list[Any]:
    """The keys that don't expire; what a worker was handed last is kept for minutes, by design."""
    return [key for key in client.scan_iter() if client.ttl(key) == -1]


def start(*arguments: str, temporary: Path, path: Path = PROJECT) -> subprocess.Popen[str]:
    search = os.pathsep.join((str(PROJECT), str(path)))
    return subprocess.Popen(
        [*COMMAND, *arguments],
        env=os.environ | {"TMPDIR": str(temporary), "PYTHONPATH": search},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # a Ctrl-C for the whole group must not reach the tests
    )


def figures(output: str) -> dict[str, int]:
    rows = re.findall(r"^([a-z -]+?) +([\d,]+)(?!.*processes)", output, re.MULTILINE)
    return {label: int(figure.replace(",", "")) for label, figure in rows}


def test_four_workers_map_the_standard_library_as_one_process_does(temporary: Path) -> None:
    process = start(temporary=temporary)
    output, errors = process.communicate(timeout=WAIT)
    assert (process.returncode, errors) == (0, "")
    assert "the same modules, 0 twice, 0 lost, 0 unexpected" in output
    found = figures(output)
    assert found["modules"] == found["single-process walk"] > 300
    assert found["imports found"] > found["duplicates refused"] > found["modules"]
    assert list(temporary.iterdir()) == []


def test_a_package_is_mapped_without_being_imported(parcel: Path, temporary: Path) -> None:
    process = start("--workers", "2", "--package", "parcel", temporary=temporary, path=parcel)
    output, errors = process.communicate(timeout=WAIT)
    assert (process.returncode, errors) == (0, "")
    found = figures(output)
    assert found["modules"] == len(PARCEL.keys() - {"wrapping/unused"})
    # labels; parcel, wrapping, paper; parcel, labels; parcel, labels
    assert found["imports found"] == 8
    # paper alone was neither a seed nor there already
    assert found["duplicates refused"] == 7


def test_a_module_that_is_no_package_can_be_mapped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lonely.py").write_text("import lonely, sys\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    sources = demo.find_package("lonely")
    assert sources == {"lonely": str(tmp_path / "lonely.py")}
    assert demo.walk(["lonely"], sources) == {"lonely"}


def test_a_package_hides_the_module_of_its_name(tmp_path: Path) -> None:
    (tmp_path / "twin").mkdir()
    for path in (tmp_path / "twin.py", tmp_path / "twin" / "__init__.py"):
        path.touch()
    sources = demo.find_sources(tmp_path, ["twin"])
    assert sources == {"twin": str(tmp_path / "twin" / "__init__.py")}


def test_imports_are_resolved_as_python_does(parcel: Path) -> None:
    sources = demo.find_sources(parcel, ["parcel"])
    found = {module: demo.imports_of(module, sources) for module in sources}
    assert found == {
        "parcel": {"parcel.labels"},
        "parcel.labels": {"parcel", "parcel.wrapping", "parcel.wrapping.paper"},
        "parcel.scale": {"parcel", "parcel.labels"},
        "parcel.template": set(),
        "parcel.wrapping": set(),
        "parcel.wrapping.paper": {"parcel", "parcel.labels"},
        "parcel.wrapping.unused": set(),
    }


def test_a_worker_waits_while_another_may_find_more(
    client: redis.Redis, parcel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frontier, seen, done = (SortedSet[str](client, name) for name in ("frontier", "seen", "done"))
    seen.add("parcel.scale")  # taken by somebody else, who is still reading it

    def the_other_finds_more(seconds: float) -> None:
        monkeypatch.undo()
        frontier.update(seen.insert("parcel.template"))
        done.add("parcel.scale")

    monkeypatch.setattr(time, "sleep", the_other_finds_more)
    mapped = demo.work(frontier, seen, done, demo.find_sources(parcel, ["parcel"]))
    assert mapped == [demo.Mapped("parcel.template", set())]


def test_outer_modules_are_mapped_first(client: redis.Redis, parcel: Path) -> None:
    sources = demo.find_sources(parcel, ["parcel"])
    frontier = SortedSet[str](client, "frontier", scorer=demo.depth)
    seen, done = SortedSet[str](client, "seen"), SortedSet[str](client, "done")
    frontier.update(seen.insert(*sources))
    mapped = demo.work(frontier, seen, done, sources)
    depths = [demo.depth(each.module) for each in mapped]
    assert depths == sorted(depths)
    assert len(mapped) == len(sources)


def mapped(modules: Iterable[str]) -> list[demo.Mapped]:
    return [demo.Mapped(module, set()) for module in modules]


@pytest.mark.parametrize(
    ("modules", "code", "verdict"),
    [
        ("ab", 0, "the same modules, 0 twice, 0 lost, 0 unexpected"),
        ("ba", 0, "the same modules, 0 twice, 0 lost, 0 unexpected"),
        ("aba", 1, "DIFFERENT, 1 twice, 0 lost, 0 unexpected"),
        ("a", 1, "DIFFERENT, 0 twice, 1 lost, 0 unexpected"),
        ("abc", 1, "DIFFERENT, 0 twice, 0 lost, 1 unexpected"),
        ("", 1, "DIFFERENT, 0 twice, 2 lost, 0 unexpected"),
    ],
)
def test_any_difference_is_reported_and_gives_exit_code_1(
    modules: str, code: int, verdict: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert demo.report(mapped(modules), ["a", "b"], 1.0, {"a", "b"}) == code
    assert verdict in capsys.readouterr().out


def test_the_exit_code_of_a_run_is_that_of_its_check(
    server: TestServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo, "walk", lambda seeds, sources: {"json", "json.lost"})
    url = f"unix://{server.unix_socket}"
    assert main(["demo", "--workers", "1", "--package", "json", "--url", url]) == 1
    assert "1 lost" in capsys.readouterr().out


def test_a_server_of_the_users_is_left_as_it_was(
    client: redis.Redis, server: TestServer, temporary: Path
) -> None:
    client.set("mine", "stays")
    url = f"unix://{server.unix_socket}"
    process = start("--package", "json", "--url", url, temporary=temporary)
    output, errors = process.communicate(timeout=WAIT)
    assert (process.returncode, errors) == (0, ""), output
    assert lasting_keys(client) in (["mine"], [b"mine"])


def test_a_worker_that_fails_ends_the_run_and_leaves_nothing(
    client: redis.Redis, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(EOFError):
        demo.crawl(client, {"gone": "/nowhere/gone.py"}, ["gone"], workers=2)
    assert active_children() == []
    assert lasting_keys(client) == []
    assert "FileNotFoundError" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--package", "no_such_package"], "no Python source found for package 'no_such_package'"),
        (["--package", "json.decoder"], "no Python source found for package 'json.decoder'"),
        (["--package", "sys"], "no Python source found for package 'sys'"),
        (["--package", "json", "--url", "unix:///nowhere/socket"], "/nowhere/socket"),
    ],
)
def test_what_makes_a_run_impossible_is_said_in_a_line(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = signal.getsignal(signal.SIGINT)
    assert main(["demo", *arguments]) == 2
    said = capsys.readouterr().err
    assert complaint in said
    assert said.count("\n") == 1
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("workers", ["0", "-1", "many"])
def test_a_number_of_workers_that_makes_no_sense_is_refused(
    workers: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as refused:
        main(["demo", "--workers", workers])
    assert refused.value.code == 2
    assert "--workers" in capsys.readouterr().err


def processes_of(demo_process: subprocess.Popen[str], temporary: Path) -> dict[int, str]:
    """The children of a demo, and what runs in its temporary directory: ids, command lines."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has just ended, or is another user's
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            is_child = parent == demo_process.pid
            if is_child or (entry / "cwd").readlink().is_relative_to(temporary):
                found[int(entry.name)] = (entry / "cmdline").read_text(errors="replace")
    return found


@pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="finds processes in /proc")
@pytest.mark.parametrize("to_group", [True, False], ids=["to the group", "to the parent"])
def test_an_interrupt_leaves_no_process_and_no_directory(to_group: bool, temporary: Path) -> None:
    process = start("--workers", "2", temporary=temporary)
    deadline = time.monotonic() + WAIT
    commands = ""
    while commands.count("spawn_main") < 2 or "-server" not in commands:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, commands
        running = processes_of(process, temporary)
        commands = "\n".join(running.values())
    assert list(temporary.iterdir()) != []

    interrupt = os.killpg if to_group else os.kill
    interrupt(process.pid, signal.SIGINT)
    errors = process.communicate(timeout=WAIT)[1]
    assert (process.returncode, errors) == (130, "redset demo: interrupted\n")
    assert list(temporary.iterdir()) == []
    # Python's own resource tracker ends a moment after the process that it served.
    while left := [pid for pid in running if Path(f"/proc/{pid}").exists()]:
        assert time.monotonic() < deadline, {pid: running[pid] for pid in left}
        time.sleep(0.01)


def test_an_interrupt_clears_the_users_server(
    client: redis.Redis, server: TestServer, temporary: Path
) -> None:
    process = start("--url", f"unix://{server.unix_socket}", temporary=temporary)
    deadline = time.monotonic() + WAIT
    while not client.keys("*done*"):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
    os.killpg(process.pid, signal.SIGINT)
    errors = process.communicate(timeout=WAIT)[1]
    assert (process.returncode, errors) == (130, "redset demo: interrupted\n")
    assert lasting_keys(client) == []


def test_progress_is_drawn_on_a_terminal_only(parcel: Path, temporary: Path) -> None:
    terminal, stderr = os.openpty()
    process = subprocess.Popen(
        [*COMMAND, "--workers", "1", "--package", "parcel"],
        env=os.environ | {"TMPDIR": str(temporary), "PYTHONPATH": f"{PROJECT}:{parcel}"},
        stdout=subprocess.PIPE,
        stderr=stderr,
    )
    os.close(stderr)
    output = process.communicate(timeout=WAIT)[0]
    drawn = os.read(terminal, 1 << 16)
    os.close(terminal)
    assert process.returncode == 0
    assert b"\r" in drawn
    assert b"modules" in drawn
    assert b"\r" not in output


def test_the_plain_bar_shows_how_many_of_how_many(capsys: pytest.CaptureFixture[str]) -> None:
    demo.draw_plainly(0, 0)
    demo.draw_plainly(1, 4, width=8)
    assert capsys.readouterr().err.endswith("\r[##      ] 1/4 modules")
