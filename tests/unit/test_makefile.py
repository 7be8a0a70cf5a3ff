"""Which Python `make` takes for its environment, with Pythons that only say what they are."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MAKE = shutil.which("make")

# Says its version, also to code that asks; makes an environment that says which Python made it.
FAKE = """#!/bin/sh
case "$1" in
    --version) echo "Python {version}" ;;
    -c) exec {real} -c "import sys; sys.version_info = ({numbers}); $2" ;;
    -m) mkdir -p "$3/bin" && echo "{name}" > "$3/bin/python" ;;
esac
"""

pytestmark = pytest.mark.skipif(MAKE is None, reason="needs make")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A directory with the Makefile, in which an environment can be made."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / "bench").mkdir()
    for name in ("pyproject.toml", "setup.py", "bench/requirements.txt"):
        (tmp_path / name).touch()
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("sh", "mkdir", "rm"):
        (programs / name).symlink_to(shutil.which(name) or name)
    return tmp_path


def make(
    clone: Path, pythons: dict[str, str], *arguments: str
) -> "subprocess.CompletedProcess[str]":
    for name, version in pythons.items():
        path = clone / "bin" / name
        numbers = version.replace(".", ", ")
        path.write_text(
            FAKE.format(version=version, numbers=numbers, real=sys.executable, name=name)
        )
        path.chmod(0o755)
    return subprocess.run(
        [str(MAKE), *arguments],
        cwd=clone,
        env={"PATH": str(clone / "bin")},
        capture_output=True,
        text=True,
        check=False,
    )


def test_an_environment_of_an_old_python_is_not_installed_into(clone: Path) -> None:
    (clone / ".venv" / "bin").mkdir(parents=True)
    make(clone, {"old": "3.10.1"}, "help")
    (clone / "bin" / "old").rename(clone / ".venv" / "bin" / "python")
    ended = make(clone, {"python3": "3.12.0"}, "demo")
    assert ended.returncode != 0
    assert ended.stdout == ""
    said = "redset needs Python 3.11 or later, and .venv has an older one: make clean demo"
    assert ended.stderr.splitlines()[0] == said


def made_by(clone: Path, environment: str = ".venv") -> str:
    return (clone / environment / "bin" / "python").read_text().strip()


@pytest.mark.parametrize(
    ("pythons", "taken"),
    [
        ({"python3": "3.11.0", "python3.13": "3.13.1"}, "python3"),
        ({"python3": "3.14.0"}, "python3"),
        ({"python3": "3.9.2", "python3.11": "3.11.9"}, "python3.11"),
        ({"python3": "3.10.12", "python3.12": "3.12.0", "python3.11": "3.11.9"}, "python3.12"),
        ({"python3.13": "3.13.1"}, "python3.13"),
    ],
)
def test_an_old_python_gives_way_to_a_newer_one_on_the_path(
    clone: Path, pythons: dict[str, str], taken: str
) -> None:
    ended = make(clone, pythons, ".venv/bin/python")
    assert ended.returncode == 0, ended.stderr
    assert made_by(clone) == taken
    assert ended.stdout == f"{taken} -m venv .venv\n"


@pytest.mark.parametrize("target", ["demo", "test", "bench"])
def test_without_a_new_python_one_line_says_what_is_needed(clone: Path, target: str) -> None:
    ended = make(clone, {"python3": "3.9.2", "python3.11": "3.10.1"}, target)
    assert ended.returncode != 0
    needed, *rest = ended.stderr.splitlines()
    assert needed == (
        "redset needs Python 3.11 or later, but python3 is Python 3.9.2; "
        f"install one, or name it: make PYTHON=/path/to/python3.12 {target}"
    )
    assert [line for line in rest if not line.startswith("make")] == []
    assert not (clone / ".venv").exists()
    assert not (clone / ".venv-bench").exists()


def test_a_python_that_was_chosen_is_not_replaced(clone: Path) -> None:
    pythons = {"python3": "3.12.0", "python3.12": "3.12.0", "python3.9": "3.9.2"}
    ended = make(clone, pythons, "PYTHON=python3.9", ".venv/bin/python")
    assert "but python3.9 is Python 3.9.2;" in ended.stderr
    assert not (clone / ".venv").exists()
    ended = make(clone, pythons, "PYTHON=python3.12", ".venv/bin/python")
    assert made_by(clone) == "python3.12"
