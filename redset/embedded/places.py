"""Where an embedded server lives, and the locks in that directory."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from redset._support.clock import monotonic
from redset._support.words import shown
from redset.embedded import supervisor
from redset.embedded.supervisor import open_lock, try_lock
from redset.exceptions import EmbeddedServerError, InvalidTypeError, InvalidValueError

TIMEOUT_SECONDS = 30.0  # seconds for a server to answer, and for the last member to see it end


def resolved(directory: str | os.PathLike[str]) -> Path:
    """Return the absolute path of *directory*; raise an error if it can't be one."""
    path = os.fspath(directory)
    if not isinstance(path, str):
        raise InvalidTypeError(f"redset server: directory must be a str path, got {shown(path)}")
    if not path or "\0" in path:
        raise InvalidValueError(f"redset server: directory must be a path, got {shown(path)}")
    try:
        return Path(path).expanduser().resolve()
    except RuntimeError as error:
        raise InvalidValueError(f"redset server: {shown(path)} names no home directory") from error


def private_path() -> Path:
    """Choose the temporary directory of a private server; `make_private` makes it."""
    with _translated_errors():
        return Path(supervisor.temporary_path())


def make_private(directory: Path) -> None:
    """Make the temporary directory of a private server."""
    with _translated_errors():
        directory.mkdir(mode=0o700)


@contextmanager
def _translated_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise EmbeddedServerError(
            "redset: a private server needs a temporary directory, and there is none that can be "
            f"written to ({error}); set TMPDIR, or give connect() a directory or a URL"
        ) from error


def lock_in_time(descriptor: int, operation: int, path: str) -> None:
    """Take a lock; `EmbeddedServerError` if another process holds it for too long."""
    deadline, pause = monotonic() + TIMEOUT_SECONDS, 0.001
    while not try_lock(descriptor, operation):
        if monotonic() > deadline:
            raise EmbeddedServerError(
                f"redset server: {path} is held by another process for "
                f"{TIMEOUT_SECONDS:g} seconds; "
                "end that process, or use another directory"
            )
        time.sleep(pause)
        pause = min(2 * pause, 0.05)


@contextmanager
def locked(path: str) -> Iterator[None]:
    """Hold the lock in the file *path* alone."""
    descriptor = open_lock(path)
    try:
        lock_in_time(descriptor, fcntl.LOCK_EX, path)
        yield
    finally:
        # Closing alone is not enough: a child that was forked during the block has the descriptor,
        # too.
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)
