"""Where an embedded server lives, and the locks in that directory."""

import fcntl
import os
import shutil
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
DELETING_SECONDS = 1.0  # how long a directory is deleted again in which new files appear


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


def delete_private(directory: Path) -> None:
    """Delete the temporary directory of a private server, and what is made there until it's gone.

    An interrupt while the server starts kills the supervisor, which isn't waited for then, and may
    be making its first file.
    """
    deadline = monotonic() + DELETING_SECONDS
    while True:
        shutil.rmtree(directory, ignore_errors=True)
        if not os.path.lexists(directory) or monotonic() > deadline:
            return
        time.sleep(0.002)


@contextmanager
def _translated_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise EmbeddedServerError(
            "redset: a private server needs a temporary directory, and there is none that can be "
            f"written to ({error}); set TMPDIR, or give connect() a directory or a URL"
        ) from error


def lock_in_time(descriptor: int, operation: int, path: str, seconds: float | None = None) -> None:
    """Take a lock; `EmbeddedServerError` if another process holds it for too long."""
    seconds = TIMEOUT_SECONDS if seconds is None else seconds
    deadline, pause = monotonic() + seconds, 0.001
    while not try_lock(descriptor, operation):
        if monotonic() > deadline:
            raise EmbeddedServerError(
                f"redset server: {path} is held by another process for "
                f"{seconds:g} seconds; "
                "end that process, or use another directory"
            )
        time.sleep(pause)
        pause = min(2 * pause, 0.05)


class Membership:
    """A lock file that is open. A program that closes all descriptors, closes this one too.

    Its number may then be that of another file of the program, which is left as it is.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._descriptor = open_lock(path)
        self.identity = _identity(self._descriptor)

    def is_open(self) -> bool:
        """Return whether the descriptor is still that of the lock file."""
        return self.identity is not None and _identity(self._descriptor) == self.identity

    def try_lock(self, operation: int) -> bool:
        """Take the lock if that is possible at once; return whether it was."""
        return self.is_open() and try_lock(self._descriptor, operation)

    def lock_in_time(self, operation: int) -> None:
        """Take the lock; `EmbeddedServerError` if another process holds it for too long."""
        lock_in_time(self._descriptor, operation, self._path)

    def close(self) -> None:
        """Close the file, which ends its lock unless another process has a copy of it."""
        if self.is_open():
            os.close(self._descriptor)
        self.identity = None


def _identity(descriptor: int) -> tuple[int, int] | None:
    """Return which file it is, whatever its number and name; ``None`` if it is closed."""
    try:
        found = os.fstat(descriptor)
    except OSError:
        return None
    return found.st_dev, found.st_ino


@contextmanager
def locked(path: str, seconds: float | None = None) -> Iterator[None]:
    """Hold the lock in the file *path* alone."""
    descriptor = open_lock(path)
    try:
        lock_in_time(descriptor, fcntl.LOCK_EX, path, seconds)
        yield
    finally:
        # Closing alone is not enough: a child that was forked during the block has the descriptor,
        # too.
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)
