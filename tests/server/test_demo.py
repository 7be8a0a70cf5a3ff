"""The demo, run as its user runs it, and the parts of it that a lucky run would not prove."""

import ast
import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import active_children
from pathlib import Path
from typing import Any

import pytest
import redis

import redset.asyncio.demo
from redset import SortedSet, demo
from redset.__main__ import main
from tests.servers import TestServer

WAIT = 60  # seconds until a hanging demo fails its test
COMMAND = [sys.executable, "-m", "redset", "demo"]
PROJECT = Path(__file__).parents[2]
SURFACES = {
    "processes": ([], demo.work_alone),
    "asyncio": (["--asyncio"], redset.asyncio.demo.work_in_tasks),
}
SAMPLE = {
    # Importing the package would raise: it must be read only.
    "__init__": "from . import labels\nraise RuntimeError('imported')\n",
    "labels": "import sample.wrapping.paper, json\nfrom sample import *\n",
    "scale": "def weigh():\n    from .labels import Label, labels\n",
    "template": "class {{ name }}:\n",
    "wrapping/__init__": "",
    "wrapping/paper": "from .. import labels, missing\nfrom ..... import beyond\n",
    "wrapping/unused": "",
}


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    """A directory with the package of `SAMPLE` in it."""
    for module, source in SAMPLE.items():
        path = tmp_path / "sample" / f"{module}.py"
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


def url_of(server: TestServer) -> str:
    return f"unix://{server.unix_socket}"


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


def adds_up(found: dict[str, int]) -> bool:
    """Whether a reader who calculates gets the number of modules that is printed."""
    new = found["imports found"] - found["duplicates refused"]
    return found["seeds"] + new == found["modules"]


def test_four_workers_map_the_standard_library_as_one_process_does(temporary: Path) -> None:
    process = start(temporary=temporary)
    output, errors = process.communicate(timeout=WAIT)
    assert (process.returncode, errors) == (0, "")
    assert "the same modules, 0 twice, 0 lost, 0 unexpected" in output
    found = figures(output)
    assert found["modules"] == found["single-process walk"] > 300
    assert found["imports found"] > found["duplicates refused"] > found["modules"]
    assert adds_up(found)
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("surface", SURFACES)
def test_a_package_is_mapped_without_being_imported(
    surface: str, sample: Path, temporary: Path
) -> None:
    arguments = ["--workers", "2", "--package", "sample", *SURFACES[surface][0]]
    process = start(*arguments, temporary=temporary, path=sample)
    output, errors = process.communicate(timeout=WAIT)
    assert (process.returncode, errors) == (0, "")
    found = figures(output)
    assert found["modules"] == len(SAMPLE.keys() - {"wrapping/unused"})
    # labels; sample, wrapping, paper; sample, labels; sample, labels
    assert found["imports found"] == 8
    # paper alone was neither a seed nor there already
    assert found["duplicates refused"] == 7
    assert found["seeds"] == len(SAMPLE.keys() - {"wrapping/paper", "wrapping/unused"})
    assert adds_up(found)


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


def test_imports_are_resolved_as_python_does(sample: Path) -> None:
    sources = demo.find_sources(sample, ["sample"])
    found = {module: demo.imports_of(module, sources) for module in sources}
    assert found == {
        "sample": {"sample.labels"},
        "sample.labels": {"sample", "sample.wrapping", "sample.wrapping.paper"},
        "sample.scale": {"sample", "sample.labels"},
        "sample.template": set(),
        "sample.wrapping": set(),
        "sample.wrapping.paper": {"sample", "sample.labels"},
        "sample.wrapping.unused": set(),
    }


def modules_of(client: redis.Redis, *seeds: str) -> tuple[SortedSet[str], ...]:
    """The three sets of a run named "run", with the *seeds* in them."""
    frontier, seen, done = demo.open_sets(SortedSet[str], client, "run")
    frontier.update(seen.insert(*seeds))
    return frontier, seen, done


@pytest.mark.parametrize("surface", SURFACES)
def test_a_worker_waits_while_another_may_find_more(
    surface: str, client: redis.Redis, server: TestServer, sample: Path
) -> None:
    frontier, seen, done = modules_of(client)
    seen.add("sample.scale")  # taken by somebody else, who is still reading it
    sources = demo.find_sources(sample, ["sample"])
    with ThreadPoolExecutor(1) as thread:
        working = thread.submit(SURFACES[surface][1], url_of(server), "run", sources, demo.never)
        deadline = time.monotonic() + WAIT
        while not client.keys("{run:frontier}:given:*"):  # it has looked, and found nothing
            assert time.monotonic() < deadline
            time.sleep(0.001)
        frontier.update(seen.insert("sample.template"))
        done.add("sample.scale")
        assert working.result(WAIT) == [demo.Mapped("sample.template", set())]


@pytest.mark.parametrize("surface", SURFACES)
def test_a_worker_that_is_to_stop_has_done_what_it_began_and_gives_back_the_rest(
    surface: str, client: redis.Redis, server: TestServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = {"processes": 1, "asyncio": redset.asyncio.demo.TASKS}[surface]
    read: list[str] = []

    def note(module: str, sources: demo.Sources) -> set[str]:
        read.append(module)
        return set()

    for module in (demo, redset.asyncio.demo):
        monkeypatch.setattr(module, "imports_of", note)
    seeds = {f"module_{number}" for number in range(2 * demo.BATCH * tasks)}
    frontier, _, done = modules_of(client, *seeds)
    mapped = SURFACES[surface][1](url_of(server), "run", {}, lambda: len(read) >= 3)
    assert 3 <= len(read) < 3 + tasks
    assert sorted(each.module for each in mapped) == sorted(read) == sorted(done)
    assert set(frontier) == seeds - set(read)
    assert frontier.stats().leased == 0


def test_outer_modules_are_mapped_first(
    client: redis.Redis, server: TestServer, sample: Path
) -> None:
    sources = demo.find_sources(sample, ["sample"])
    modules_of(client, *sources)
    mapped = demo.work_alone(url_of(server), "run", sources)
    depths = [demo.depth(each.module) for each in mapped]
    assert depths == sorted(depths)
    assert len(mapped) == len(sources)


def test_tasks_of_one_process_read_modules_at_the_same_time(
    client: redis.Redis, server: TestServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = redset.asyncio.demo.TASKS
    together = threading.Barrier(tasks)

    def read_with_the_others(module: str, sources: demo.Sources) -> set[str]:
        together.wait(WAIT)
        return set()

    monkeypatch.setattr(redset.asyncio.demo, "imports_of", read_with_the_others)
    seeds = [f"module_{number}" for number in range(demo.BATCH * tasks)]
    modules_of(client, *seeds)
    mapped = redset.asyncio.demo.work_in_tasks(url_of(server), "run", {})
    assert sorted(each.module for each in mapped) == sorted(seeds)


def test_no_thread_is_warned_of_what_it_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "careless.py"
    path.write_text(r"'\ '" + "\nimport careless, other\n")
    sources = {"careless": str(path), "other": str(path)}
    parse = ast.parse

    def parse_while_others_begin(text: bytes) -> ast.AST:
        time.sleep(0.001)
        return parse(text)

    with monkeypatch.context() as patch, warnings.catch_warnings(action="error"):
        patch.setattr(ast, "parse", parse_while_others_begin)
        with ThreadPoolExecutor(8) as threads:
            found = list(threads.map(demo.imports_of, ["other"] * 16, [sources] * 16))
    assert found == [{"careless"}] * 16


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


def test_a_module_that_was_mapped_twice_leaves_figures_that_add_up(
    capsys: pytest.CaptureFixture[str],
) -> None:
    twice = [demo.Mapped("a", {"b"}), demo.Mapped("a", {"b"}), demo.Mapped("b", {"a"})]
    assert demo.report(twice, ["a"], 1.0, {"a", "b"}) == 1
    found = figures(capsys.readouterr().out)
    assert (found["seeds"], found["modules"], found["duplicates refused"]) == (1, 2, 2)
    assert adds_up(found)


def test_the_exit_code_of_a_run_is_that_of_its_check(
    server: TestServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo, "walk", lambda seeds, sources: {"json", "json.lost"})
    arguments = ["--workers", "1", "--package", "json", "--url", url_of(server)]
    assert main(["demo", *arguments]) == 1
    assert "1 lost" in capsys.readouterr().out


def test_a_server_of_the_users_is_left_as_it_was(
    client: redis.Redis, server: TestServer, temporary: Path
) -> None:
    client.set("mine", "stays")
    process = start("--package", "json", "--url", url_of(server), temporary=temporary)
    output, errors = process.communicate(timeout=WAIT)
    assert (process.returncode, errors) == (0, ""), output
    assert lasting_keys(client) in (["mine"], [b"mine"])


@pytest.mark.parametrize("surface", SURFACES)
def test_a_worker_that_fails_ends_the_run_and_leaves_nothing(
    surface: str, client: redis.Redis, server: TestServer, capfd: pytest.CaptureFixture[str]
) -> None:
    sources = {"gone": "/nowhere/gone.py"}
    with pytest.raises(EOFError):
        demo.crawl(url_of(server), sources, ["gone"], workers=2, target=SURFACES[surface][1])
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
@pytest.mark.parametrize(
    ("surface", "interrupt", "number"),
    [
        ("processes", os.killpg, signal.SIGINT),
        ("processes", os.kill, signal.SIGINT),
        ("processes", os.killpg, signal.SIGTERM),
        ("processes", os.kill, signal.SIGTERM),
        ("asyncio", os.killpg, signal.SIGINT),
        ("asyncio", os.kill, signal.SIGTERM),
    ],
)
def test_an_interrupt_leaves_no_process_and_no_directory(
    surface: str, interrupt: Callable[[int, int], None], number: int, temporary: Path
) -> None:
    process = start("--workers", "2", *SURFACES[surface][0], temporary=temporary)
    deadline = time.monotonic() + WAIT
    commands = ""
    while commands.count("spawn_main") < 2 or "-server" not in commands:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, commands
        running = processes_of(process, temporary)
        commands = "\n".join(running.values())
    assert list(temporary.iterdir()) != []

    interrupt(process.pid, number)
    errors = process.communicate(timeout=WAIT)[1]
    assert (process.returncode, errors) == (128 + number, "redset demo: interrupted\n")
    assert list(temporary.iterdir()) == []
    # Python's own resource tracker ends a moment after the process that it served.
    while left := [pid for pid in running if Path(f"/proc/{pid}").exists()]:
        assert time.monotonic() < deadline, {pid: running[pid] for pid in left}
        time.sleep(0.01)


@pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="finds processes in /proc")
@pytest.mark.parametrize("surface", SURFACES)
def test_a_worker_that_is_terminated_leaves_its_modules_to_the_others(
    surface: str, client: redis.Redis, server: TestServer, temporary: Path
) -> None:
    arguments = ["--workers", "3", "--url", url_of(server), *SURFACES[surface][0]]
    process = start(*arguments, temporary=temporary)
    deadline = time.monotonic() + WAIT
    workers: list[int] = []
    while not (workers and client.keys("*done*")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        running = processes_of(process, temporary)
        workers = [pid for pid, command in running.items() if "spawn_main" in command]
        workers = workers if len(workers) == 3 else []
    for worker in workers[:2]:
        os.kill(worker, signal.SIGTERM)
    output, errors = process.communicate(timeout=WAIT)
    assert (process.returncode, errors) == (0, ""), output
    assert "the same modules, 0 twice, 0 lost, 0 unexpected" in output


@pytest.mark.parametrize("surface", SURFACES)
def test_an_interrupt_clears_the_users_server(
    surface: str, client: redis.Redis, server: TestServer, temporary: Path
) -> None:
    arguments = ["--workers", "2", "--url", url_of(server), *SURFACES[surface][0]]
    process = start(*arguments, temporary=temporary)
    deadline = time.monotonic() + WAIT
    while not client.keys("*done*"):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
    os.killpg(process.pid, signal.SIGINT)
    errors = process.communicate(timeout=WAIT)[1]
    assert (process.returncode, errors) == (130, "redset demo: interrupted\n")
    assert lasting_keys(client) == []


def test_progress_is_drawn_on_a_terminal_only(sample: Path, temporary: Path) -> None:
    terminal, stderr = os.openpty()
    process = subprocess.Popen(
        [*COMMAND, "--workers", "1", "--package", "sample"],
        env=os.environ | {"TMPDIR": str(temporary), "PYTHONPATH": f"{PROJECT}:{sample}"},
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
