"""A program that PyInstaller made: `sys.executable` is the program itself."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.programs.servers import ROOT


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("frozen")
    command = [sys.executable, "-m", "PyInstaller", "--log-level", "ERROR", "--name", "program"]
    command += ["--distpath", str(directory / "dist"), "--workpath", str(directory / "work")]
    command += ["--specpath", str(directory), str(ROOT / "tests" / "programs" / "frozen.py")]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr[-4000:]
    return directory / "dist" / "program" / "program"


def run(program: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    # One that starts itself again and again would not end.
    return subprocess.run(
        [str(program), *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def test_frozen_program_has_a_private_server(program: Path) -> None:
    ended = run(program)
    assert (ended.stdout, ended.returncode) == ("a 1 b\n", 0), ended.stderr


def test_frozen_program_keeps_its_data_in_a_directory(program: Path, tmp_path: Path) -> None:
    for expected in ("a 1 b\n", "a 1 b\n"):
        ended = run(program, str(tmp_path / "data"))
        assert (ended.stdout, ended.returncode) == (expected, 0), ended.stderr
