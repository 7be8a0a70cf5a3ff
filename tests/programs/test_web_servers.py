"""Sets that are made in a web server's master process, and used by its forked workers."""

from collections.abc import Callable, Sequence

import pytest

from tests.programs.servers import BIN, CALLS, Answers, web_server
from tests.programs.work import ANSWERS
from tests.servers import TestServer

Say = Callable[[str], None]

UWSGI = [
    *(str(BIN / "uwsgi"), "--http-socket", "127.0.0.1:{port}", "--master", "--processes", "4"),
    *("--module", "tests.programs.app", "--need-app", "--pythonpath", ".", "--die-on-term"),
    *("--listen", "64", "--disable-logging"),
]
GUNICORN = [
    *(str(BIN / "gunicorn"), "--bind", "127.0.0.1:{port}", "--worker-class", "gevent"),
    *("--workers", "2", "--timeout", "120", "tests.programs.app:application"),
]


def answers_of(
    command: Sequence[str], server: TestServer | None, *, with_asyncio: bool, busy: bool
) -> tuple[Answers, str]:
    environment = {
        "REDSET_TEST_BUSY": "1" if busy else "0",
        "REDSET_TEST_SOCKET": server.unix_socket if server else "",
        "REDSET_TEST_ASYNC": "1" if with_asyncio else "0",
    }
    with web_server(command, environment) as program:
        answers = program.ask(max(20, CALLS // ANSWERS))
        return answers, program.log.read_text()[-3000:]


def check(answers: Answers, log: str, report: Say) -> None:
    report(
        f"{answers.requests} requests, {len(answers.failed)} failed, "
        f"{len(answers.wrong)} wrong answers"
    )
    assert not answers.failed, (answers.failed[:3], log)
    assert not answers.wrong, answers.wrong[:5]


@pytest.mark.parametrize("threads", [(), ("--threads", "4")], ids=["single", "threads"])
def test_uwsgi_prefork_every_answer_is_its_callers(
    server: TestServer, client: object, report: Say, threads: tuple[str, ...]
) -> None:
    command = [*UWSGI, "--enable-threads", *threads]
    answers, log = answers_of(command, server, with_asyncio=True, busy=False)
    check(answers, log, report)
    assert answers.forked == answers.requests


def test_uwsgi_prefork_embedded_server_serves_all_workers(report: Say) -> None:
    answers, log = answers_of([*UWSGI, "--enable-threads"], None, with_asyncio=False, busy=False)
    check(answers, log, report)


@pytest.mark.parametrize("preload", [(), ("--preload",)], ids=["plain", "preload"])
def test_gunicorn_gevent_every_answer_is_its_greenlets(
    server: TestServer, client: object, report: Say, preload: tuple[str, ...]
) -> None:
    answers, log = answers_of([*GUNICORN, *preload], server, with_asyncio=False, busy=True)
    check(answers, log, report)
    assert answers.forked == (answers.requests if preload else 0)
