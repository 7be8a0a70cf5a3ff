"""An embedded server: started when needed, shared by its members, stopped by the last of them.

Contains the member's side: joining, starting and leaving. The supervisor, a small process of its
own, owns the server and describes the lock files. Must not know sets, items or commands except
PING.
"""

import fcntl
import os
import socket
import struct
import subprocess
import threading
import time
import weakref
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, NoReturn, Self
from urllib.parse import quote

import redis

from redset._support.clock import monotonic
from redset._support.forks import PerProcess, reentrant_lock, this_process
from redset._support.words import one_line
from redset.embedded import places, supervisor
from redset.embedded.places import Membership, locked, make_private, private_path, resolved
from redset.embedded.program import find_server, python_program, supervisor_source
from redset.embedded.supervisor import open_lock, try_lock
from redset.exceptions import EmbeddedServerError, InvalidTypeError

_LOG = "redset.log"
LEAVING_SECONDS = 1.0  # how long a member that leaves waits for others that leave
FOREIGN_SERVER = b"another server"  # the answer of `Server._reply_to` if another server listens
_PEER = struct.Struct("3i")  # process, user and group at the other end of a socket

_open_servers: weakref.WeakSet["Server"] = weakref.WeakSet()


# The servers that `shared_server` returns; a forked child inherits those of its parent.
_shared: dict[Path | None, "Server"] = {}
# For each place, a lock that is held while a server is started there; other places don't wait for
# it.
_locks: PerProcess[dict[Path | None, Any]] = PerProcess(dict)


class Server:
    """A Valkey server that lives as long as a process uses it; needs the ``embedded`` extra.

    >>> with Server() as server:
    ...     server.client().ping()
    True

    Without *directory* the server is private: it keeps nothing, and its temporary directory is
    deleted with it. With *directory* it is shared like an SQLite file: the first process starts it,
    other processes on this machine join it, the last one to leave stops it, and the data is there
    again next time (an append-only file, flushed to disk every second).

    - Using it: `url`, `client`, `directory`.
    - Ending it: `close`, a ``with`` block, or the end of the process, however it ends.

    Other processes may use `url`; a private server still ends with the process that made it. A
    forked child never ends its parent's private server; of a directory's server it becomes a member
    of its own. Only a unix socket is opened; socket, data and log belong to the user alone (0700,
    0600), and a directory that others may write to is refused.

    Errors: `EmbeddedServerError`, with the end of the server's log if it has died.
    Cost: about 0.2 s to start and 1 round trip to join, and in addition the time to load its data.
    """

    def __init__(self, directory: str | os.PathLike[str] | None = None) -> None:
        self._private = directory is None
        self._membership: Membership | None = None
        self._is_guest = False
        self._process = this_process()
        self._guard = reentrant_lock()
        self.directory: Path = private_path() if directory is None else resolved(directory)
        try:
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
        """Return the server's ``unix://`` URL, for `redset.connect` on this machine."""
        return f"unix://{quote(self._address)}"

    def client(self, **options: Any) -> redis.Redis:
        """Make a client of this server; *options* are those of ``redis.Redis``. No I/O."""
        return redis.Redis.from_url(self.url, **options)

    def close(self) -> None:
        """Leave the server; the last member stops it, and waits until it has ended.

        A second call does nothing, nor does a call in a forked child on a private server.
        """
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
        if self._private:
            make_private(self.directory)
        else:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._check_owner()
        self._membership = Membership(self._path(supervisor.MEMBERS_LOCK))
        _open_servers.add(self)
        self._membership.lock_in_time(fcntl.LOCK_SH)  # waits while a previous server is ending
        if self._reply_to(b"PING") != b"+PONG":
            with locked(self._path(supervisor.START_LOCK)):
                self._start()
        self._address = supervisor.socket_path(str(self.directory)) or ""

    def _check_owner(self) -> None:
        """Refuse a directory in which another user could start a server."""
        found = os.stat(self.directory)
        if found.st_uid not in {os.geteuid(), 0}:
            raise EmbeddedServerError(
                f"redset server in {self.directory}: the directory belongs to another user "
                f"(uid {found.st_uid}); use one of your own"
            )
        if found.st_mode & 0o022:
            raise EmbeddedServerError(
                f"redset server in {self.directory}: others may write to the directory "
                f"(mode {found.st_mode & 0o777:o}); run: chmod go-w {self.directory}"
            )

    def _start(self) -> None:
        """Wait until a server answers: the one that runs, or otherwise a new one."""
        launched = False
        deadline, pause = monotonic() + places.TIMEOUT_SECONDS, 0.001
        with open(self._path(_LOG), "ab+", opener=supervisor.open_own) as log:
            while (reply := self._reply_to(b"PING")) != b"+PONG":
                if not self._lives():
                    if launched:
                        raise EmbeddedServerError(self._report("ended while starting", log))
                    launched = self._launch(log)
                if reply is not None and reply.startswith(b"-LOADING"):
                    deadline = monotonic() + places.TIMEOUT_SECONDS
                if monotonic() > deadline:
                    raise EmbeddedServerError(self._report("doesn't answer", log))
                time.sleep(pause)
                pause = min(2 * pause, 0.1)

    def _launch(self, log: BinaryIO) -> bool:
        lifetime = "private" if self._private else "kept"
        command = [*python_program(), *supervisor_source(), find_server(), lifetime]
        ended = subprocess.run(  # noqa: S603 - all of it is our own
            command,
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C is for the members
            check=False,
        )
        if ended.returncode not in {0, supervisor.ALREADY_RUNNING}:
            raise EmbeddedServerError(self._report("could not be started", log))
        return ended.returncode == 0

    def _report(self, what: str, log: BinaryIO) -> str:
        log.seek(0)
        text = log.read()[-10_000:].decode(errors="replace")
        lines = [one_line(line) for line in text.splitlines()[-10:]]
        return "\n    ".join([f"redset server in {self.directory}: {what}; its log ends:", *lines])

    # -- leaving

    def _leave(self) -> None:
        with self._guard.get():
            if self._membership is None:
                return
            membership, self._membership = self._membership, None
            if self._process != this_process():
                membership.close()  # a forked child's copy of that of the parent
                return
            try:
                if self._private:
                    self._stop_private(membership)
                else:
                    self._stop_if_last(membership)
            finally:
                membership.close()  # the supervisor does the rest
                _open_servers.discard(self)

    def _stop_private(self, membership: Membership) -> None:
        """Stop the server, which no other process is a member of; a child has only a copy."""
        if membership.try_lock(fcntl.LOCK_EX):
            self._stop()
            # Also if the supervisor was killed.
            places.delete_private(self.directory)

    def _stop_if_last(self, membership: Membership) -> None:
        """Stop the server of a directory, and wait until it has ended, if no member is left."""
        # Not by this one's own lock: a child that was forked a moment ago, or without Python's
        # hooks, shares it, and would lose it.
        try:
            other = Membership(self._path(supervisor.MEMBERS_LOCK))
        except OSError:  # the directory was deleted
            return
        try:
            if self._is_last(membership, other):
                self._stop()
        finally:
            other.try_lock(fcntl.LOCK_UN)  # a child that was forked at this moment has it, too
            other.close()

    def _is_last(self, membership: Membership, other: Membership) -> bool:
        """End *membership*; return whether it was the last, and *other* is locked alone."""
        if other.identity != membership.identity:
            return False  # the directory was deleted, and may have another server
        try:
            # One after the other: each of two members would take the other one for a third one.
            with locked(self._path(supervisor.START_LOCK), LEAVING_SECONDS):
                membership.close()
                if other.try_lock(fcntl.LOCK_EX):
                    return True
                if other.try_lock(fcntl.LOCK_SH):
                    return False
            # The supervisor was faster, and is stopping the server.
            other.lock_in_time(fcntl.LOCK_SH)
        except (OSError, EmbeddedServerError):
            pass  # held for longer by a process that starts a server: it is a member, too
        return False

    def _stop(self) -> None:
        """Stop the server; its members' lock is held, so that no process can join before."""
        deadline = monotonic() + places.TIMEOUT_SECONDS
        while self._lives() and monotonic() < deadline:
            # Repeated, as a server that is still starting doesn't listen yet. An append-only file
            # is flushed in spite of NOSAVE.
            if self._reply_to(b"SHUTDOWN NOSAVE") == FOREIGN_SERVER:
                break  # the supervisor will end the server
            time.sleep(0.002)

    def _give_up(self) -> None:
        with suppress(OSError):
            self._leave()
        if self._private:
            places.delete_private(self.directory)

    def _remain_member(self) -> bool:
        """Return whether this process is a member; become one again if that is to be.

        A forked child has a copy of the membership of its parent, which it would prolong: it gets
        one of its own. A program that closed all descriptors, as a daemon does, is none any more.
        """
        membership, is_child = self._membership, self._process != this_process()
        if membership is not None and not is_child and membership.is_open():
            return True
        self._membership, self._process = None, this_process()
        if self._private:
            # A child uses its parent's server for as long as the parent lives.
            self._is_guest = self._is_guest or is_child
        else:
            with suppress(OSError):  # the directory was deleted
                own = Membership(self._path(supervisor.MEMBERS_LOCK))
                if own.try_lock(fcntl.LOCK_SH):
                    self._membership = own
                else:  # the server is ending
                    own.close()
        if membership is not None:
            membership.close()
        return self._membership is not None or self._is_guest

    # -- the server, seen from outside

    def _path(self, name: str) -> str:
        return str(self.directory / name)

    def _reply_to(self, command: bytes) -> bytes | None:
        """Send one command; return the reply's first line.

        Returns ``b""`` if no reply comes in time, and None if there is no server. A server that
        closes the connection without a reply is ending, which also counts as none. A server that
        isn't this directory's is sent nothing: `FOREIGN_SERVER`.
        """
        address = supervisor.socket_path(str(self.directory))
        if address is None:
            return None
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(1.0)
            try:
                connection.connect(address)
                if not self._is_ours(connection):
                    return FOREIGN_SERVER
                connection.sendall(command + b"\r\n")
                return connection.recv(256).partition(b"\r\n")[0] or None
            except (FileNotFoundError, ConnectionError):
                return None
            except (TimeoutError, BlockingIOError):
                return b""

    def _is_ours(self, connection: socket.socket) -> bool:
        """Return whether the server that was started for this directory is at the other end.

        Raises `EmbeddedServerError` if it is a process of another user.
        """
        if not hasattr(socket, "SO_PEERCRED"):  # only Linux reports the process at the other end
            return True
        found = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
        pid, uid, _ = _PEER.unpack(found)
        if uid != os.geteuid():
            raise EmbeddedServerError(
                f"redset server in {self.directory}: a process of another user (uid {uid}) listens "
                f"at {supervisor.SOCKET}; delete it, and keep the directory to yourself (0700)"
            )
        # 0: a process of another container, which shares the directory.
        return pid in {0, self._recorded_pid()}

    def _recorded_pid(self) -> int | None:
        try:
            return int(Path(self._path(supervisor.SERVER_LOCK)).read_bytes())
        except (OSError, ValueError):
            return None

    def _answers(self) -> bool:
        return self._reply_to(b"PING") not in {None, FOREIGN_SERVER}

    def _lives(self) -> bool:
        """Return whether a server or its supervisor runs in the directory."""
        try:
            descriptor = open_lock(self._path(supervisor.SERVER_LOCK))
        except FileNotFoundError:  # the directory has gone, as a private one does
            return False
        try:
            return not try_lock(descriptor, fcntl.LOCK_SH)
        finally:
            os.close(descriptor)


def shared_server(directory: str | os.PathLike[str] | None = None) -> Server:
    """Return this process's one server for *directory* (None: its private one); start it if needed.

    Cost: 1 round trip, which shows that the server still runs; a server that has died is replaced.
    """
    place = None if directory is None else resolved(directory)
    with _locks.get().setdefault(place, threading.RLock()):
        server = _shared.get(place)
        if server is None or not server._remain_member() or not server._answers():
            if server is not None:
                server.close()
            server = _shared[place] = Server(place)
        return server


def _after_fork_in_child() -> None:
    # No correctness depends on this: it makes a child a member at the start of the fork.
    for server in list(_open_servers):
        with suppress(Exception):
            server._remain_member()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
