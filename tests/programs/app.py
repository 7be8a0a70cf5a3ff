"""A web application whose sets are made, and used, before its server forks.

``REDSET_TEST_SOCKET`` is the server's socket; without one the application has an embedded server.
``REDSET_TEST_ASYNC=1`` also uses sets of asyncio. ``REDSET_TEST_BUSY=0`` starts no busy thread
before the fork, but only one that waits: uWSGI forks while any thread may hold the interpreter,
whose lock then stays held in the child, whatever that thread did. Each request answers with what
was wrong.
"""

import asyncio
import contextlib
import json
import os
import sys
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterable
from typing import Any

import redis
import redis.asyncio

import redset
import redset.asyncio
from tests.programs.work import LEASE_SECONDS, Sets

# Numbers from here on are those of processes, not of requests.
EARLY = 10**9

StartResponse = Callable[[str, list[tuple[str, str]]], Any]

socket = os.environ.get("REDSET_TEST_SOCKET")
with_asyncio = os.environ.get("REDSET_TEST_ASYNC") == "1"

address: dict[str, Any] = {"unix_socket_path": socket, "socket_timeout": None}
client = redis.Redis(**address) if socket else redset.connect()
async_client: redis.asyncio.Redis | None = None
if with_asyncio:
    async_client = redis.asyncio.Redis(**address)
sets = Sets(client, async_client)
sets.fill()
made_by = os.getpid()

early = sets.wrong_answers(EARLY + made_by)
if with_asyncio:
    early += asyncio.run(sets.wrong_async_answers(EARLY + made_by))

# Threads of the process that forks, in the middle of a call when it does.
sets.held.add("held")
held = sets.held.lease(1, LEASE_SECONDS)


def hold() -> None:
    while os.getpid() == made_by:
        held.extend(LEASE_SECONDS)
        if "gevent" in sys.modules:
            time.sleep(0.001)  # its locks are not fair: others that extend would never get there


def idle() -> None:
    for _ in sets.idle.consume():
        pass


for work in (idle, hold) if os.environ["REDSET_TEST_BUSY"] == "1" else (idle,):
    threading.Thread(target=work, daemon=True).start()
time.sleep(0.2)

_loop_lock = threading.Lock()
_loop: tuple[int, Any] = (0, None)


def _in_loop(work: Any) -> Any:
    """Run a coroutine in the one event loop of this process."""
    global _loop  # noqa: PLW0603
    with _loop_lock:
        if _loop[0] != os.getpid():
            _loop = (os.getpid(), asyncio.new_event_loop())
        return _loop[1].run_until_complete(work)


def application(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
    """Work on one request; its number is the query."""
    number = int(urllib.parse.parse_qs(environ["QUERY_STRING"])["number"][0])
    wrong = list(early)
    try:
        wrong += sets.wrong_answers(number)
        if number % 10 == 0:
            held.extend(LEASE_SECONDS)  # a copy of the one that another process holds
            with contextlib.suppress(KeyError):
                wrong.append(f"waited for nothing: {sets.never.pop(timeout=0.01)!r}")
        if with_asyncio:
            wrong += _in_loop(sets.wrong_async_answers(number))
        if client.echo(f"echo {number}") != f"echo {number}".encode():
            wrong.append("by hand")
    except Exception as error:
        wrong.append(repr(error))
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps({"wrong": wrong, "forked": os.getpid() != made_by}).encode()]
