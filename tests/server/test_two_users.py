"""A directory that another user of the machine prepared, or may look into: nothing of it works.

Each attack is one by a real user of another uid on a real directory, so these tests need root. The
victim is root in one run, and a third user in the other.
"""

import fcntl
import json
import os
import shutil
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from redset.embedded import Server, places

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be two other users")

MALLORY, ALICE = 60_001, 60_002


def as_user(uid: int, work: Callable[[], Any]) -> Any:
    """Return what *work* returns, or the words of its error, in a process of the user *uid*."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        answer: Any = "nothing"
        try:
            os.close(reading)
            if uid != os.geteuid():
                os.setgroups([])
                os.setresgid(uid, uid, uid)
                os.setresuid(uid, uid, uid)
                os.environ["HOME"] = "/nonexistent"
            answer = work()
        except BaseException as error:
            answer = f"{type(error).__name__}: {error}"
        finally:
            with suppress(BaseException):
                os.write(writing, json.dumps(answer).encode())
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as answered:
        content = answered.read()
    os.waitpid(child, 0)
    return json.loads(content)


class Mallory:
    """Another user's process that goes on: it listens, or holds locks, until the test ends."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self._end, self._ending = os.pipe()
        ready, starting = os.pipe()
        self._child = os.fork()
        if not self._child:
            with suppress(BaseException):
                os.close(self._ending)
                os.setgroups([])
                os.setresgid(MALLORY, MALLORY, MALLORY)
                os.setresuid(MALLORY, MALLORY, MALLORY)
                kept = work()
                os.write(starting, b"x")
                os.read(self._end, 1)
                del kept
            os._exit(0)
        os.close(starting)
        os.read(ready, 1)
        os.close(ready)

    def stop(self) -> None:
        os.close(self._ending)
        os.close(self._end)
        os.waitpid(self._child, 0)


def listening(path: str) -> socket.socket:
    """A server that says yes to everything, and to everybody."""
    server = socket.socket(socket.AF_UNIX)
    server.bind(path)
    os.chmod(path, 0o777)
    server.listen()

    def answer() -> None:
        while True:
            connection, _ = server.accept()
            connection.recv(100)
            connection.sendall(b"+PONG\r\n")

    threading.Thread(target=answer, daemon=True).start()
    return server


@pytest.fixture(autouse=True, scope="module")
def _all_is_imported() -> None:
    """Another user may not be able to read this Python's library."""
    Server().close()


@pytest.fixture(params=[0, ALICE], ids=["root", "a user"])
def victim(request: pytest.FixtureRequest) -> int:
    uid: int = request.param
    if uid and as_user(uid, lambda: starts_a_server(None)) != "joined":
        pytest.skip("another user can't run what the tests run with")
    return uid


@pytest.fixture
def shared(victim: int) -> Iterator[Path]:
    """A directory of the victim's that everybody can look into."""
    top = Path(tempfile.mkdtemp(prefix="redset-users-", dir="/tmp"))
    top.chmod(0o755)
    os.chown(top, victim, victim)
    yield top
    shutil.rmtree(top, ignore_errors=True)


@pytest.fixture
def mallory() -> Iterator[Callable[[Callable[[], Any]], Mallory]]:
    working: list[Mallory] = []

    def start(work: Callable[[], Any]) -> Mallory:
        working.append(Mallory(work))
        return working[-1]

    yield start
    for each in working:
        each.stop()


def starts_a_server(directory: Path | None) -> Any:
    if not os.access(sys.executable, os.X_OK):
        sys.executable = shutil.which("python3", path="/usr/local/bin:/usr/bin") or sys.executable
    with Server(directory) as server:
        return "joined" if server.client().ping() else "no answer"


def connects(victim: int, directory: Path, timeout: float = 1.0) -> str:
    """What the victim gets from the directory, and that it comes soon."""

    def work() -> Any:
        places.TIMEOUT_SECONDS = timeout
        return starts_a_server(directory)

    began = time.monotonic()
    answer: str = as_user(victim, work)
    assert time.monotonic() - began < 20
    return answer


def prepared(shared: Path, victim: int, work: Callable[[Path], Any]) -> Path:
    """A directory that everybody could write to when Mallory came by, and nobody can now."""
    directory = shared / "jobs"
    directory.mkdir()
    directory.chmod(0o777)
    os.chown(directory, victim, victim)
    as_user(MALLORY, lambda: work(directory) and None)
    directory.chmod(0o700)
    return directory


def test_a_directory_of_another_user_is_refused(shared: Path, victim: int) -> None:
    shared.chmod(0o777)
    directory = shared / "jobs"
    as_user(MALLORY, lambda: os.mkdir(directory, 0o755))
    assert directory.stat().st_uid == MALLORY
    assert f"belongs to another user (uid {MALLORY})" in connects(victim, directory)
    assert list(directory.iterdir()) == []


def test_a_directory_that_others_may_write_to_is_refused(shared: Path, victim: int) -> None:
    directory = shared / "jobs"
    directory.mkdir()
    directory.chmod(0o777)
    os.chown(directory, victim, victim)
    assert "others may write" in connects(victim, directory)


@pytest.mark.parametrize(
    "name",
    ["redset.log", "redset.members.lock", "redset.start.lock", "redset.server.lock"],
)
@pytest.mark.parametrize("kind", ["link", "hard link", "file", "pipe"])
def test_no_planted_file_is_used(shared: Path, victim: int, name: str, kind: str) -> None:
    precious = shared / "precious"
    precious.write_text("precious")
    os.chown(precious, victim, victim)
    if kind == "hard link":  # what a careless copy leaves; the kernel keeps others from making it
        directory = prepared(shared, victim, lambda _: None)
        os.link(precious, directory / name)
    else:

        def plant(directory: Path) -> None:
            if kind == "link":
                os.symlink(precious, directory / name)
            elif kind == "pipe":
                os.mkfifo(directory / name, 0o666)
            else:
                os.close(os.open(directory / name, os.O_CREAT, 0o666))

        directory = prepared(shared, victim, plant)
    answer = connects(victim, directory)
    assert answer.startswith("EmbeddedServerError")
    assert name in answer
    assert precious.read_text() == "precious"


@pytest.mark.parametrize("name", ["redset.members.lock", "redset.start.lock", "redset.server.lock"])
def test_a_planted_lock_that_is_held_stops_nobody_for_long(
    shared: Path, victim: int, name: str, mallory: Callable[[Callable[[], Any]], Mallory]
) -> None:
    directory = shared / "jobs"
    directory.mkdir()
    directory.chmod(0o777)
    os.chown(directory, victim, victim)

    def hold() -> int:
        descriptor = os.open(directory / name, os.O_CREAT | os.O_RDWR, 0o666)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        return descriptor

    mallory(hold)
    directory.chmod(0o700)
    assert name in connects(victim, directory)


def test_a_socket_of_another_user_is_never_joined(
    shared: Path, victim: int, mallory: Callable[[Callable[[], Any]], Mallory]
) -> None:
    directory = shared / "jobs"
    directory.mkdir()
    directory.chmod(0o777)
    os.chown(directory, victim, victim)
    mallory(lambda: listening(str(directory / "redset.sock")))
    directory.chmod(0o700)
    assert f"another user (uid {MALLORY})" in connects(victim, directory)


def test_a_socket_directory_that_another_user_made_again_is_not_joined(
    shared: Path, victim: int, mallory: Callable[[Callable[[], Any]], Mallory]
) -> None:
    """The temporary directory of a crashed server may be anybody's by now."""
    shared.chmod(0o777)
    directory = shared / ("long" * 30)
    directory.mkdir(mode=0o700)
    os.chown(directory, victim, victim)
    elsewhere = shared / "redset-elsewhere"
    (directory / "redset.socket-directory").symlink_to(elsewhere)
    os.lchown(directory / "redset.socket-directory", victim, victim)

    def take_over() -> Any:
        elsewhere.mkdir(mode=0o777)
        return listening(str(elsewhere / "redset.sock"))

    mallory(take_over)
    assert connects(victim, directory, timeout=10) == "joined"
    assert elsewhere.exists()


@pytest.mark.parametrize("owner", ["mallory", "victim"])
def test_no_foreign_directory_is_deleted_for_a_link(shared: Path, victim: int, owner: str) -> None:
    home = shared / "home"
    home.mkdir(mode=0o700)
    os.chown(home, victim, victim)
    directory = prepared(
        shared, victim, lambda path: os.symlink(home, path / "redset.socket-directory")
    )
    if owner == "victim":
        os.lchown(directory / "redset.socket-directory", victim, victim)
    assert connects(victim, directory, timeout=10) == "joined"
    assert home.exists()


def test_another_server_of_the_users_is_neither_joined_nor_stopped(
    shared: Path, victim: int
) -> None:
    """The socket may be a link to it, planted while others could write."""

    def work() -> Any:
        starts_a_server(None)  # finds the Python that this user can run
        with Server(shared / "other") as other:
            other.client().set("key", "other's")
            os.symlink(shared / "other" / "redset.sock", shared / "jobs" / "redset.sock")
            with Server(shared / "jobs") as server:
                joined = server.client().exists("key")
                os.unlink(shared / "jobs" / "redset.sock")
                os.symlink(shared / "other" / "redset.sock", shared / "jobs" / "redset.sock")
            return [joined, other.client().get("key") == b"other's"]

    prepared(shared, victim, lambda _: None)
    assert as_user(victim, work) == [0, True]


def test_nobody_else_reads_the_data_or_holds_the_locks(shared: Path, victim: int) -> None:
    """Also in a directory that others may look into."""
    directory = shared / "jobs"
    directory.mkdir(mode=0o755)
    os.chown(directory, victim, victim)
    (directory / "redset.start.lock").touch(mode=0o644)
    os.chown(directory / "redset.start.lock", victim, victim)

    def work() -> Any:
        os.umask(0o022)
        starts_a_server(None)
        with Server(directory) as server:
            server.client().set("key", "secret")
            return sorted(str(path) for path in directory.rglob("*"))

    paths = as_user(victim, work)
    assert len(paths) > 5, paths

    def opened() -> list[str]:
        found = []
        for path in paths:
            with suppress(OSError):
                os.close(os.open(path, os.O_RDONLY))
                found.append(path)
        return found

    assert as_user(MALLORY, opened) == []
