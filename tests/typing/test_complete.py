"""Every public type is written out, so that all type checkers of other packages read the same."""

import json
import os
import shutil
import subprocess
import sys
import venv
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
# What the public types of redset are made of, besides the standard library.
NEEDED = ("redis", "msgpack", "typing_extensions")


def place_of(package: str) -> Path:
    spec = find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    origin = Path(spec.origin)
    return origin.parent if origin.name == "__init__.py" else origin


def as_installed(folder: Path) -> Path:
    """Make an environment that holds redset as other packages see it; return its commands."""
    venv.create(folder, symlinks=True)
    [site] = folder.glob("lib/python*/site-packages")
    shutil.copytree(ROOT / "redset", site / "redset")
    for name in NEEDED:
        place = place_of(name)
        (shutil.copytree if place.is_dir() else shutil.copy)(place, site / place.name)
    return folder / "bin"


def test_no_public_type_is_unknown_or_ambiguous(tmp_path: Path) -> None:
    path = f"{as_installed(tmp_path / 'env')}{os.pathsep}{os.environ['PATH']}"
    command = [sys.executable, "-m", "basedpyright", "--verifytypes", "redset"]
    done = subprocess.run(
        [*command, "--ignoreexternal", "--outputjson"],
        cwd=tmp_path,
        env=os.environ | {"PATH": path, "VIRTUAL_ENV": str(tmp_path / "env")},
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=300,
    )
    report: Any = json.loads(done.stdout)["typeCompleteness"]
    unclear = [
        (symbol["name"], found["message"])
        for symbol in report["symbols"]
        for found in symbol["diagnostics"]
        if not (symbol["isTypeKnown"] and not symbol["isTypeAmbiguous"])
    ]
    assert unclear == []
    counts = report["exportedSymbolCounts"]
    assert counts["withKnownType"] > 350
    assert (counts["withAmbiguousType"], counts["withUnknownType"]) == (0, 0)
