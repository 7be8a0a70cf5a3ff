"""The process that watches over one embedded server and ends it with its last member.

Run as a script with the server's directory as working directory, standard library only: it starts
in milliseconds. It uses files, locks and processes, and must not know clients, URLs or sets.

Four files in the directory carry the protocol. All locks are ``flock``, which the kernel releases
when their holder dies, however it dies:

- ``redset.members.lock``: every process that uses the server holds it shared. The supervisor
  waits to hold it alone, and then stops the server.
- ``redset.start.lock``: held by the one member that starts the server, and by a member that leaves
  while it looks for others.
- ``redset.server.lock``: held by supervisor and server together, so it is free if and only if
  neither lives, and no two servers write one directory. It holds the server's process id, by which
  members know the server at the other end of the socket.
- ``redset.sock``: the server's socket; elsewhere, if this path is too long for a socket
  (see `socket_path`).
"""

import ctypes
import errno
import fcntl
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from types import FrameType

SOCKET = "redset.sock"
ELSEWHERE = "redset.socket-directory"
PREFIX = "redset-"  # of temporary directories
MEMBERS_LOCK = "redset.members.lock"
START_LOCK = "redset.start.lock"
SERVER_LOCK = "redset.server.lock"

LONGEST_SOCKET_PATH = 103  # bytes; Linux takes 107, macOS 103
LONGEST_SHUTDOWN = 30.0  # seconds that a server has to write its data
ALREADY_RUNNING = 75  # exit status: another supervisor or its server still lives

# For a server that allocates memory by glibc, as that of the `embedded` extra. By default, glibc
# collects the small pieces that are freed, and sorts them all in some later command, of any client;
# and it may clear the whole of a large table at once. With a million members, each takes tens of
# milliseconds. Here pieces are sorted as they are freed, and the kernel clears a table (of more
# than 4 MiB) page by page, when it is used. The last setting is what glibc itself sets if large
# pieces are used often; without it, memory is returned to the kernel after each.
MEMORY = ":".join(
    [
        "glibc.malloc.mxfast=0",
        "glibc.malloc.mmap_threshold=4194304",
        "glibc.malloc.trim_threshold=67108864",
    ]
)

_PR_SET_PDEATHSIG = 1


def fits_a_socket(path: str) -> bool:
    """Return whether a unix socket can have this path."""
    return len(os.fsencode(path)) <= LONGEST_SOCKET_PATH


def temporary_path() -> str:
    """Choose the path of a new temporary directory; it leaves room for a socket.

    The caller keeps the path, and then makes the directory. `tempfile.mkdtemp` makes it first: an
    interrupt before it has returned the path would leave the directory behind.
    """
    name = PREFIX + os.urandom(8).hex()  # enough digits that no other directory has the name
    path = os.path.join(os.path.abspath(tempfile.gettempdir()), name)
    if fits_a_socket(os.path.join(path, SOCKET)):
        return path
    return os.path.join("/tmp", name)  # noqa: S108 - a random name, made with 0700


def socket_path(directory: str) -> str | None:
    """Find the server's socket: in *directory*, or where its symbolic link points.

    Returns None if the path is too long for a socket, and no server has made the link yet.
    """
    path = os.path.join(directory, SOCKET)
    if fits_a_socket(path):
        return path
    elsewhere = _elsewhere(directory)
    return None if elsewhere is None else os.path.join(elsewhere, SOCKET)


def _elsewhere(directory: str) -> str | None:
    """Find the temporary directory of the socket; None if there is none that this user made.

    The directory may have been deleted, and made again by another user.
    """
    link = os.path.join(directory, ELSEWHERE)
    try:
        target = os.readlink(link)
        owners = {os.lstat(link).st_uid, os.lstat(target).st_uid}
        mode = os.lstat(target).st_mode
    except OSError:
        return None
    own = owners == {os.geteuid()} and stat.S_ISDIR(mode) and not mode & 0o077
    return target if own and os.path.basename(target).startswith(PREFIX) else None


def open_own(path: str, flags: int) -> int:
    """Open a file that only this user can have made, or make it; return its descriptor."""
    descriptor = os.open(path, flags | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    found = os.fstat(descriptor)
    # A second name could be that of a file of another program.
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_nlink > 1:
        os.close(descriptor)
        raise PermissionError(errno.EPERM, "another user or program made this file", path)
    if found.st_mode & 0o077:
        os.fchmod(descriptor, 0o600)
    return descriptor


def open_lock(path: str) -> int:
    """Open a lock file, made if it isn't there; return its descriptor."""
    return open_own(path, os.O_RDWR)


def try_lock(descriptor: int, operation: int) -> bool:
    """Take a lock if that is possible at once; return whether it was."""
    try:
        fcntl.flock(descriptor, operation | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def supervise(binary: str, lifetime: str) -> int:
    """Run the server in the working directory until its last member has left."""
    directory = os.getcwd()
    _forget_inherited_signals()
    os.umask(0o077)  # data, log and socket are the user's own
    lock = open_lock(SERVER_LOCK)
    if not try_lock(lock, fcntl.LOCK_EX):
        return ALREADY_RUNNING
    os.ftruncate(sys.stdout.fileno(), 0)  # the log describes only this run
    if os.fork():
        # The member that started this process continues with a supervisor that is not its own
        # child: it has nothing to reap, and no signal to the member's terminal or group can reach
        # the supervisor.
        os._exit(0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _forget_elsewhere()
    with suppress(OSError):  # for a server that was started with other rights
        os.chmod("appendonlydir", 0o700)
    try:
        return _run(binary, lock, directory, keep=lifetime == "kept")
    finally:
        _forget_elsewhere()
        if lifetime == "private":
            shutil.rmtree(directory, ignore_errors=True)


def _forget_inherited_signals() -> None:
    """Let signals end supervisor and server, however the member's program handles them."""
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, set())


def _run(binary: str, lock: int, directory: str, *, keep: bool) -> int:
    address = SOCKET
    if not fits_a_socket(os.path.join(directory, SOCKET)):
        elsewhere = temporary_path()
        os.symlink(elsewhere, ELSEWHERE)
        os.mkdir(elsewhere, 0o700)
        address = os.path.join(elsewhere, SOCKET)
    options = ["--port", "0", "--unixsocket", address, "--save", ""]
    options += ["--appendonly", "yes" if keep else "no"]
    server = subprocess.Popen(  # noqa: S603 - the binary is the one that the member found
        [binary, *options],
        env={"GLIBC_TUNABLES": MEMORY, **os.environ},
        pass_fds=[lock],
        preexec_fn=_die_with_parent,  # noqa: PLW1509 - no thread runs yet
    )

    os.ftruncate(lock, 0)
    os.pwrite(lock, b"%d\n" % server.pid, 0)

    def stop(_signal: int, _frame: FrameType | None) -> None:
        server.terminate()

    signal.signal(signal.SIGTERM, stop)
    threading.Thread(target=_stop_without_members, args=[server], daemon=True).start()
    return server.wait()


def _stop_without_members(server: subprocess.Popen[bytes]) -> None:
    # The lock is kept until this process ends: a process that joins waits, and starts the next
    # server. If it can't be opened, the directory was deleted: no member can be left, or come.
    with suppress(OSError):
        fcntl.flock(open_lock(MEMBERS_LOCK), fcntl.LOCK_EX)
    server.terminate()
    time.sleep(LONGEST_SHUTDOWN)
    server.kill()


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _forget_elsewhere() -> None:
    elsewhere = _elsewhere(".")
    with suppress(OSError):
        os.unlink(ELSEWHERE)
    if elsewhere is not None:
        with suppress(OSError):
            os.unlink(os.path.join(elsewhere, SOCKET))
        with suppress(OSError):
            os.rmdir(elsewhere)


if __name__ == "__main__":
    sys.exit(supervise(*sys.argv[1:]))
