"""The example for web frameworks, run as its user runs it: server processes, and real requests."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import redis

from redset import RedisSortedSet
from redset.codecs import JSONSerializer
from tests.servers import TestServer

WAIT = 30  # seconds until what hangs fails its test
PROJECT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "uvicorn", "--app-dir", "examples", "web:app", "--port", "0"]
NEW, THERE_ALREADY = 202, 200


class Application:
    """A process that serves the example on a free port."""

    def __init__(self, redis_url: str, log: Path) -> None:
        self._log = log
        with log.open("w") as output:
            self.process = subprocess.Popen(
                COMMAND,
                cwd=PROJECT,
                env=os.environ | {"REDIS_URL": redis_url, "PYTHONPATH": str(PROJECT)},
                stdout=output,
                stderr=output,
            )
        self.port = 0

    @property
    def log(self) -> str:
        return self._log.read_text()

    def wait_for_its_port(self) -> None:
        deadline = time.monotonic() + WAIT
        while not (address := re.search(r"http://127\.0\.0\.1:(\d+) ", self.log)):
            assert self.process.poll() is None, self.log
            assert time.monotonic() < deadline, self.log
            time.sleep(0.01)
        self.port = int(address[1])

    def request(self, method: str, path: str, body: str | None = None) -> tuple[int, Any]:
        with contextlib.closing(HTTPConnection("127.0.0.1", self.port, timeout=WAIT)) as connection:
            connection.request(method, path, body)
            response = connection.getresponse()
            return response.status, json.load(response)

    def post(self, job: Any) -> int:
        return self.request("POST", "/jobs", json.dumps(job))[0]

    def stats(self) -> dict[str, int]:
        status, stats = self.request("GET", "/stats")
        assert status == 200
        return dict(stats)

    def wait_until(self, **expected: int) -> None:
        deadline = time.monotonic() + WAIT
        while not expected.items() <= (stats := self.stats()).items():
            assert time.monotonic() < deadline, (stats, expected)
            time.sleep(0.01)

    def stop(self) -> None:
        """End the process as a supervisor does."""
        self.process.terminate()
        self.process.wait(WAIT)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


Serve = Callable[[], Application]


@pytest.fixture
def serve(client: redis.Redis, server: TestServer, tmp_path: Path) -> Iterator[Serve]:
    """Start applications on the shared server, which holds nothing yet."""
    with contextlib.ExitStack() as stack:

        def start() -> Application:
            log = tmp_path / f"{len(list(tmp_path.iterdir()))}.log"
            application = Application(f"unix://{server.unix_socket}", log)
            stack.callback(application.kill)
            application.wait_for_its_port()
            return application

        yield start


def counts_of_done(client: redis.Redis) -> list[float]:
    done = RedisSortedSet[Any](client, "done", serializer=JSONSerializer())
    return [count for _, count in done.items()]


def test_each_job_is_done_once_whichever_process_is_asked_and_however_often(
    serve: Serve, client: redis.Redis
) -> None:
    applications = [serve(), serve()]

    def ask_both(number: int) -> list[int]:
        job = {"number": number, "seconds": 0.01}
        return [application.post(job) for application in applications]

    numbers = [number for number in range(50) for _ in range(4)]  # so that some ask together
    with ThreadPoolExecutor(16) as threads:
        answers = Counter(chain.from_iterable(threads.map(ask_both, numbers)))
    assert answers == {NEW: 50, THERE_ALREADY: 350}
    applications[0].wait_until(done=50, ready=0, leased=0, dead=0)
    assert counts_of_done(client) == [1] * 50


def test_a_job_is_there_already_whatever_the_order_of_its_keys_and_also_when_done(
    serve: Serve, client: redis.Redis
) -> None:
    application = serve()
    assert application.post({"mail": "ann", "seconds": 0}) == NEW
    assert application.post({"seconds": 0, "mail": "ann"}) == THERE_ALREADY
    application.wait_until(done=1, leased=0)
    assert application.post({"mail": "ann", "seconds": 0}) == THERE_ALREADY
    assert application.post({"mail": "bob", "seconds": 0}) == NEW
    application.wait_until(done=2, ready=0, leased=0)
    assert counts_of_done(client) == [1, 1]


def test_what_is_no_job_is_refused_or_put_aside_and_the_others_are_done(serve: Serve) -> None:
    application = serve()
    for body in ("", "{", "NaN"):
        status, answer = application.request("POST", "/jobs", body)
        assert status == 400
        assert answer["error"]
    assert application.post("work_on can't do this") == NEW
    application.wait_until(dead=1)
    assert application.post({"mail": "ann", "seconds": 0}) == NEW
    application.wait_until(done=1, ready=0, leased=0, dead=1)


def test_sigterm_gives_jobs_back_that_another_process_goes_on_with(
    serve: Serve, client: redis.Redis
) -> None:
    application = serve()
    jobs = [{"number": number, "seconds": 0} for number in range(8)]
    for job in jobs:
        assert application.post(job) == NEW
    application.wait_until(done=8, leased=0)
    for number in range(6):
        assert application.post({"number": number, "seconds": WAIT}) == NEW
    application.wait_until(ready=2, leased=4)

    application.stop()
    assert application.process.returncode in {0, -signal.SIGTERM}
    assert "Application shutdown complete" in application.log
    assert "Traceback" not in application.log
    long_jobs = RedisSortedSet[Any](client, "jobs", serializer=JSONSerializer())
    assert {job["number"] for job in long_jobs} == set(range(6))
    assert long_jobs.stats().leased == 0
    assert counts_of_done(client) == [1] * 8

    serve().wait_until(ready=2, leased=4, done=8)
