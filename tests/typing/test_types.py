"""The types that users see, as each type checker reads them: `accepted` and `refused` say which.

No ``__init__.py`` here: ``python -m pytest`` in ``tests`` would take it for Python's own `typing`.
"""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ACCEPTED = Path(__file__).with_name("accepted.py")
REFUSED = Path(__file__).with_name("refused.py")
MARK = "  # error"

Errors = dict[tuple[Path, int], str]


def output_of(checker: str, *options: str) -> str:
    command = [sys.executable, "-m", checker, *options, str(ACCEPTED), str(REFUSED)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, encoding="utf-8", check=False, timeout=300
    )
    assert done.returncode == 1, f"{command} did not end with errors: {done.stdout}{done.stderr}"
    return done.stdout


def mypy(cache: Path) -> Errors:
    output = output_of("mypy", "--strict", "--output=json", f"--cache-dir={cache}")
    found = [json.loads(line) for line in output.splitlines()]
    return {
        (ROOT / each["file"], each["line"]): each["message"]
        for each in found
        if each["severity"] == "error"
    }


def basedpyright(_cache: Path) -> Errors:
    output = output_of("basedpyright", "--outputjson", f"--pythonpath={sys.executable}")
    found = json.loads(output)["generalDiagnostics"]
    return {
        # Lines are counted from 0 there.
        (Path(each["file"]), each["range"]["start"]["line"] + 1): each["message"]
        for each in found
        if each["severity"] == "error"
    }


@pytest.fixture(scope="module", params=[mypy, basedpyright], ids=lambda checker: checker.__name__)
def errors(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Errors:
    """What one checker finds in both files."""
    check: Callable[[Path], Errors] = request.param
    return check(tmp_path_factory.mktemp("cache"))


def test_right_uses_have_the_types_that_users_expect(errors: Errors) -> None:
    found = {line: message for (file, line), message in errors.items() if file == ACCEPTED}
    assert found == {}


def test_wrong_uses_are_errors_and_nothing_else_is(errors: Errors) -> None:
    found = {line: message for (file, line), message in errors.items() if file == REFUSED}
    lines = dict(enumerate(REFUSED.read_text(encoding="utf-8").splitlines(), start=1))
    marked = {number: line.strip() for number, line in lines.items() if line.endswith(MARK)}
    accepted = {number: line for number, line in marked.items() if number not in found}
    unexpected = {number: why for number, why in found.items() if number not in marked}
    assert marked
    assert (accepted, unexpected) == ({}, {})
