"""The matrix: the tests with each version of what redset stands on, in an environment of its own.

``nox -s clients`` has all tests with the client libraries, from the oldest to the newest, with and
without their parsers in C, and on each Python; ``nox -s servers`` has those of tests/server on each
server, protocol and decoding; ``nox -s cluster`` has them on clusters of those servers. What this
machine can't have is skipped, and named at the end.
"""

import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import nox

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "uv"
nox.options.error_on_missing_interpreters = False

ROOT = Path(__file__).resolve().parent
XDIST = ("--numprocesses", "auto", "--maxprocesses", "4")
# What finds out, in a minute, whether redset gets along with a client at all.
QUICK = (
    *("tests/unit/test_compat.py", "tests/transport", "tests/server/test_pinned.py"),
    *("tests/server/test_asyncio.py", "tests/server/test_waiting.py"),
    *("tests/server/test_lost_replies.py", "tests/server/test_subscriptions.py"),
)
# Of these, what takes long, and is about clusters more than about clients: in the quick form, only
# the two newest clients have it.
SLOW = ("tests/transport/test_durable_moves.py", "tests/transport/test_replica_readers.py")
NEWEST = ("newest", "valkey")
# Rows so much like another one, or like `make test`, that the quick form leaves them out.
ALIKE = ("redis-5.0", "newest-hiredis", "valkey-6.1-libvalkey")
# What needs nothing but a client: no type checker, no web server, no tracer.
ALL = (
    *("tests/unit", "tests/docs", "tests/server", "tests/transport"),
    "tests/storms/test_handler_storm.py",
)


@cache
def interpreter(version: str) -> str:
    """Find Python *version* on PATH, or where pyenv keeps it; *version* itself if it is nowhere."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    installed = sorted(pyenv.glob(f"{version}.*/bin/python"), reverse=True)
    on_path = shutil.which(f"python{version}")
    for path in (sys.executable, on_path, *map(str, installed)):
        if path is not None and _version_of(path) == version:
            return path
    return version


def _version_of(python: str) -> str:
    # pyenv puts a program on PATH that fails for versions that are there, but not chosen.
    question = "import sys; print('%d.%d' % sys.version_info[:2])"
    asked = subprocess.run([python, "-c", question], capture_output=True, text=True, check=False)
    return asked.stdout.strip()


def row(
    python: str, client: str, *packages: str, name: str | None = None, protocol: str = "2"
) -> object:
    """Return one environment for `clients`."""
    called = name or packages[0].partition("=")[0]
    return nox.param(interpreter(python), client, packages, protocol, id=called)


CLIENTS = [
    row("3.11", "redis", "--resolution=lowest-direct", name="oldest"),
    row("3.12", "redis", "redis==5.0.8", "hiredis", name="redis-5.0"),
    row("3.13", "redis", "redis==5.2.1", name="redis-5.2"),
    row("3.11", "redis", "redis==6.4.0", "hiredis", name="redis-6.4"),
    row("3.12", "redis", "redis==7.0.1", name="redis-7.0"),
    # redis-py 8 speaks RESP3 unless it is told otherwise.
    row("3.13", "redis", "redis", name="newest", protocol="3"),
    row("3.12", "redis", "redis", "hiredis", name="newest-hiredis", protocol="3"),
    row("3.13", "valkey", "valkey", name="valkey"),
    row("3.11", "valkey", "valkey==6.1.0", "libvalkey", name="valkey-6.1-libvalkey"),
]


@nox.session
@nox.parametrize("python,client,packages,protocol", CLIENTS)
def clients(session: nox.Session, client: str, packages: tuple[str, ...], protocol: str) -> None:
    """Run the tests with a version of a client; ``-- quick`` runs those about the client."""
    arguments = list(session.posargs)
    quick = "quick" in arguments
    if quick:
        arguments.remove("quick")
        if any(f"({name})" in session.name for name in ALIKE):
            session.skip("only in the long form")
        if not any(f"({name})" in session.name for name in NEWEST):
            arguments += [f"--ignore={path}" for path in SLOW]
    session.install("--editable", ".[test]", *packages)
    paths = QUICK if quick else ALL
    # Sockets that the oldest clients leave to the garbage collector are no fault of redset.
    session.run(
        *("python", "-m", "pytest", "-q", *XDIST, *paths),
        *("-W", "ignore::ResourceWarning", *arguments),
        env={"REDSET_TEST_CLIENT": client, "REDSET_TEST_PROTOCOL": protocol},
    )


def fetch(session: nox.Session, server: str) -> None:
    """Get the binary of a *server* that no package brings; skip the session if that fails."""
    if server in ("redis-7.0", "redis-8.10"):
        script, target = ROOT / "tests" / "fetch_server.sh", ROOT / ".venv" / server
        command = ["sh", str(script), server, str(target)]
        found = subprocess.run(command, env=os.environ | {"PYTHON": sys.executable}, check=False)
        if found.returncode != 0:
            session.skip(f"{server} can't be had on this machine")


SERVERS = [
    nox.param(server, protocol, decode, client, id=f"{server}-resp{protocol}-{decode}-{client}")
    for server, protocol, decode, client in [
        *[("valkey-9.1", "2", "0", "redis"), ("valkey-9.1", "3", "0", "redis")],
        *[("valkey-9.1", "2", "1", "redis"), ("valkey-9.1", "3", "1", "redis")],
        *[("valkey-9.1", "2", "0", "valkey"), ("valkey-9.1", "3", "1", "valkey")],
        *[("valkey-8.1", "3", "0", "valkey"), ("valkey-8.1", "2", "1", "redis")],
        *[("redis-6.2", "2", "0", "redis"), ("redis-6.2", "3", "1", "redis")],
        *[("redis-7.0", "2", "0", "redis"), ("redis-7.0", "3", "1", "redis")],
        *[("redis-8.2", "2", "0", "redis"), ("redis-8.2", "3", "1", "redis")],
        *[("redis-8.10", "2", "0", "redis"), ("redis-8.10", "3", "1", "redis")],
    ]
]


@nox.session(python=False)
@nox.parametrize("server,protocol,decode,client", SERVERS)
def servers(session: nox.Session, server: str, protocol: str, decode: str, client: str) -> None:
    """Run tests/server on a server, in the environment that nox runs in."""
    fetch(session, server)
    session.run(
        *(sys.executable, "-m", "pytest", "-q", *XDIST, "tests/server", *session.posargs),
        env={
            "REDSET_TEST_SERVER": server,
            "REDSET_TEST_PROTOCOL": protocol,
            "REDSET_TEST_DECODE": decode,
            "REDSET_TEST_CLIENT": client,
        },
    )


# What tells in a minute or two whether sets are right over a cluster's clients, on both surfaces.
QUICK_ON_CLUSTER = (
    *("tests/server/test_set_contract.py", "tests/server/bridged/test_set_contract.py"),
    *("tests/server/test_leases.py", "tests/server/bridged/test_leases.py"),
    *("tests/server/test_algebra.py", "tests/server/test_results.py"),
    *("tests/server/test_first_of.py", "tests/server/test_lost_replies.py"),
)
CLUSTERS = [
    nox.param(server, protocol, client, id=f"{server}-resp{protocol}-{client}")
    for server, protocol, client in [
        *[("valkey-9.1", "2", "redis"), ("valkey-9.1", "3", "valkey")],
        *[("redis-6.2", "2", "redis"), ("redis-7.0", "3", "redis"), ("redis-8.2", "2", "valkey")],
    ]
]


@nox.session(python=False)
@nox.parametrize("server,protocol,client", CLUSTERS)
def cluster(session: nox.Session, server: str, protocol: str, client: str) -> None:
    """Run tests/server on a cluster; ``-- quick`` runs the most important part, on Valkey."""
    arguments = list(session.posargs)
    quick = "quick" in arguments
    if quick:
        arguments.remove("quick")
        if (server, client) != ("valkey-9.1", "redis"):
            session.skip("only in the long form")
    fetch(session, server)
    paths = QUICK_ON_CLUSTER if quick else ("tests/server",)
    session.run(
        *(sys.executable, "-m", "pytest", "-q", *XDIST, *paths, *arguments),
        env={
            "REDSET_TEST_CLUSTER": "1",
            "REDSET_TEST_SERVER": server,
            "REDSET_TEST_PROTOCOL": protocol,
            "REDSET_TEST_CLIENT": client,
        },
    )
