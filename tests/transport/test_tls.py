"""TLS: what is read and written as records, over connections that are not kept between calls."""

import asyncio
import importlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

import redset.asyncio
from redset import RedisSortedSet
from redset._transport import compat
from tests.processes import in_processes
from tests.proxy import TLSProxy
from tests.servers import TestServer

pytestmark = pytest.mark.usefixtures("client")  # a server that holds nothing

# More than a record of TLS, more than a transport's buffer, more than one write.
SIZES = (17_000, 70_000, 3_000_000)


@pytest.fixture(params=["redis", "valkey"])
def library(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    pytest.importorskip(name)
    return name


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def settings(server: TestServer, authority: trustme.CA, tmp_path: Path) -> Iterator[dict[str, Any]]:
    """What a client needs to reach the server by TLS."""
    certificate, trusted = tmp_path / "server.pem", tmp_path / "trusted.pem"
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(certificate)
    authority.cert_pem.write_to_path(trusted)
    with TLSProxy(certificate, server.port) as proxy:
        settings = {"host": "127.0.0.1", "port": proxy.port, "socket_timeout": 60}
        yield {**settings, "ssl": True, "ssl_ca_certs": str(trusted)}


def client_of(module: str, settings: dict[str, Any]) -> Any:
    """Return a client of ``redis``, ``valkey.asyncio``, …"""
    name, _, _ = module.partition(".")
    return getattr(importlib.import_module(module), name.capitalize())(**settings)


async def all_closed(port: int) -> None:
    """Wait until the proxy at *port*, and the loop, have closed what the client has ended.

    A transport of TLS is closed in a few turns of the loop, after it has told the other side.
    """
    proxy = TLSProxy.at(port)
    assert isinstance(proxy, TLSProxy)
    while proxy.open:
        await asyncio.sleep(0.01)
    for _ in range(5):
        await asyncio.sleep(0.01)


def test_small_and_large_requests_and_replies_pass(library: str, settings: dict[str, Any]) -> None:
    large = {chr(97 + place) * size for place, size in enumerate(SIZES)}
    with client_of(library, settings) as client:
        shared: RedisSortedSet[Any] = RedisSortedSet(client, "jobs")
        shared.update(range(20_000), large)
        assert set(shared) == {*range(20_000), *large}
        assert all(item in shared for item in (*large, *range(0, 20_000, 999)))
        with shared.lease(2) as batch:
            assert len(batch) == 2
        assert len(shared.take(30_000)) == 20_001
        threading.Timer(0.2, shared.add, ["late"]).start()
        assert shared.pop(timeout=60) == "late"


def test_tasks_of_asyncio_share_writes(
    library: str, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    writes: list[bool] = []
    write_at_once = compat.write_at_once

    def noted(connection: Any, packed: list[bytes]) -> bool:
        writes.append(write_at_once(connection, packed))
        return writes[-1]

    monkeypatch.setattr(compat, "write_at_once", noted)

    async def main() -> None:
        async with client_of(f"{library}.asyncio", settings) as client:
            shared: redset.asyncio.RedisSortedSet[Any]
            shared = redset.asyncio.RedisSortedSet(client, "jobs")
            await shared.update(range(1_000))
            found = await asyncio.gather(*(shared.contains(item) for item in range(2_000)))
            assert found == [item < 1_000 for item in range(2_000)]
            await asyncio.gather(*(shared.add("x" * size) for size in SIZES))
            assert await shared.contains("x" * SIZES[-1])
            assert len(await shared.take(2_000)) == 1_000 + len(SIZES)
            waiting = asyncio.create_task(shared.pop(timeout=60))
            await asyncio.sleep(0.1)
            await shared.add("late")
            assert await waiting == "late"
        await all_closed(settings["port"])

    asyncio.run(main())
    assert set(writes) == {True, False}  # some were small enough, and some were not


def test_children_of_a_fork_leave_the_parents_connections_alone(
    library: str, settings: dict[str, Any]
) -> None:
    with client_of(library, settings) as client:
        shared: RedisSortedSet[int] = RedisSortedSet(client, "jobs", scorer=int)
        shared.update(range(100))

        def scores() -> list[float | None]:
            return [shared.score(item) for item in range(100)]

        expected = scores()
        for _ in range(3):
            assert in_processes("fork", 2, scores) == [expected, expected]
            assert scores() == expected == [float(item) for item in range(100)]
