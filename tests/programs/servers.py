"""Web servers that the tests start on loopback, and many requests at the same time."""

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tests.servers import free_port

ROOT = Path(__file__).resolve().parent.parent.parent
BIN = Path(sys.executable).parent
# How many answers are checked in each program.
CALLS = int(os.environ.get("REDSET_PROGRAM_CALLS", "1000"))
START_SECONDS = 60.0
# One request makes some ten calls; without an answer in that time it hangs.
ANSWER_SECONDS = 30.0
AT_ONCE = 16


@dataclass
class Answers:
    """What the requests of one program came to."""

    requests: int = 0
    wrong: list[str] = field(default_factory=list)
    forked: int = 0
    failed: list[str] = field(default_factory=list)


class WebServer:
    """A program that serves `tests.programs.app` on a port of loopback."""

    def __init__(self, port: int, log: Path) -> None:
        self.port, self.log = port, log

    def _answer_to(self, number: int) -> dict[str, object]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=ANSWER_SECONDS)
        with contextlib.closing(connection):
            connection.request("GET", f"/?number={number}")
            found: dict[str, object] = json.loads(connection.getresponse().read())
            return found

    def ask(self, requests: int) -> Answers:
        """Send *requests* requests, many at a time; return what was wrong with the answers."""
        answers = Answers(requests)

        def one(number: int) -> None:
            try:
                found = self._answer_to(number)
            except Exception as error:
                answers.failed.append(repr(error))
                return
            answers.wrong += found["wrong"]  # type: ignore[arg-type]
            answers.forked += bool(found["forked"])

        with ThreadPoolExecutor(AT_ONCE) as threads:
            list(threads.map(one, range(requests)))
        return answers


@contextlib.contextmanager
def web_server(command: Sequence[str], environment: dict[str, str]) -> Iterator[WebServer]:
    """Run *command*, in which ``{port}`` stands for a free port, until the block ends."""
    port = free_port()
    settings = os.environ | environment
    with tempfile.TemporaryDirectory(prefix="redset-program-") as directory:
        log = Path(directory) / "log"
        settings["HOME"] = directory  # where gunicorn makes a socket to be controlled by
        with log.open("wb") as output:
            process = subprocess.Popen(
                [word.format(port=port) for word in command],
                cwd=ROOT,
                env=settings,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            _wait_until_served(process, port, log)
            yield WebServer(port, log)
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            # Workers that outlive their master are of the same session.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def _wait_until_served(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        if process.poll() is not None or time.monotonic() > deadline:
            raise AssertionError(f"the program didn't start:\n{log.read_text()[-4000:]}")
        time.sleep(0.05)
