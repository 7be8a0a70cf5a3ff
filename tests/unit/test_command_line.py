"""``python -m redset`` and the version, wherever redset runs; the demo has tests of its own."""

import re
import subprocess
import sys
import tomllib
import zipapp
from pathlib import Path

import pytest

import redset
from redset.__main__ import main

ROOT = Path(__file__).resolve().parents[2]


def run(*arguments: str, path: Path, directory: Path) -> str:
    """What a Python says that finds redset in *path*; -S: the other packages by PYTHONPATH only."""
    packages = [entry for entry in sys.path if entry.endswith("-packages")]
    ended = subprocess.run(
        [sys.executable, "-S", *arguments],
        cwd=directory,
        env={"PYTHONPATH": ":".join([str(path), *packages])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_version_has_one_source_which_is_that_of_the_newest_changes() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert "version" in project["project"]["dynamic"]
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "redset.__version__"}
    changes = (ROOT / "CHANGELOG.md").read_text()
    assert redset.__version__ == re.findall(r"^## \[([\d.]+)\]", changes, re.MULTILINE)[0]


def test_version_is_printed_by_a_clone(tmp_path: Path) -> None:
    said = run("-m", "redset", "--version", path=ROOT, directory=tmp_path)
    assert said == f"redset {redset.__version__}\n"


def test_version_is_printed_by_a_zip_file(tmp_path: Path) -> None:
    archive = tmp_path / "redset.pyz"
    zipapp.create_archive(
        ROOT,
        archive,
        main="redset.__main__:main",
        filter=lambda file: file.parts[0] == "redset" and file.suffix in {".py", ".lua"},
    )
    said = run(str(archive), "--version", path=tmp_path / "nowhere", directory=tmp_path)
    assert said == f"redset {redset.__version__}\n"
    where = "import redset; print(redset.__file__, redset.__version__)"
    said = run("-c", where, path=archive, directory=tmp_path)
    assert said == f"{archive}/redset/__init__.py {redset.__version__}\n"


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["--nonsense"]])
def test_command_line_without_a_known_command_prints_the_usage(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("usage: python -m redset ")


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["demo", "--help"]])
def test_help_is_printed_for_the_program_and_its_command(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert said.out.startswith("usage: python -m redset ")
    assert ("--workers" in said.out) == ("demo" in arguments)
    assert "demo" in said.out
