"""Durable sets of asyncio: tasks that share a write share what confirms it, in their order."""

import asyncio
import os
import signal
from collections.abc import Callable
from typing import Any

import redis

from redset import Durable, NotDurable
from redset.asyncio import RedisSortedSet
from tests.proxy import RecordingProxy
from tests.server import asyncio_clients, test_durable
from tests.servers import TestServer

# The fixtures of the synchronous surface.
client, master = test_durable.client, test_durable.master
replica_server, stop = test_durable.replica_server, test_durable.stop
HEALTHY, SHORT, PATIENT = test_durable.HEALTHY, test_durable.SHORT, test_durable.PATIENT


def sent(proxy: RecordingProxy) -> list[list[bytes]]:
    """The commands of sets that were sent so far."""
    names = {b"ZADD", b"ZREM", b"ZSCORE", b"EVAL", b"EVALSHA", b"WAIT"}
    return [words for words in proxy.requests() if words[0] in names]


def test_tasks_share_one_wait_and_each_is_told(
    client: redis.Redis, master: TestServer, stop: Callable[[], None]
) -> None:
    async def main(proxy: RecordingProxy) -> list[Any]:
        async with asyncio_clients.connected(master, port=proxy.port, **PATIENT) as through:
            vital: RedisSortedSet[int] = RedisSortedSet(through, "vital", durable=HEALTHY)
            await vital.add(0)
            stop()
            vital._runner.durable = SHORT
            before = len(sent(proxy))
            calls = [vital.add(number, score=number) for number in range(1, 20)]
            found = await asyncio.gather(*calls, return_exceptions=True)
            assert [words[0] for words in sent(proxy)[before:]] == [
                *[b"ZADD"] * 19,
                b"EVAL",
                b"WAIT",
            ]
            return found

    with RecordingProxy(*master.ports) as proxy:
        found = asyncio.run(main(proxy))
    assert [type(error) for error in found] == [NotDurable] * 19
    assert [error.result for error in found] == list(range(1, 20))
    assert client.zcard("vital") == 20


def test_confirmed_tasks_and_others_get_their_own_replies_in_order(
    client: redis.Redis, master: TestServer
) -> None:
    async def main(proxy: RecordingProxy) -> None:
        async with asyncio_clients.connected(master, port=proxy.port, **PATIENT) as through:
            vital: RedisSortedSet[int] = RedisSortedSet(through, "vital", durable=HEALTHY)
            other: RedisSortedSet[int] = RedisSortedSet(
                through, "other", durable=Durable(replicas=1, timeout=29.0)
            )
            plain: RedisSortedSet[int] = RedisSortedSet(through, "plain")
            await asyncio.gather(vital.add(0, score=7), other.add(0, score=7))
            before = len(sent(proxy))
            assert await asyncio.gather(
                vital.add(1, score=1),
                plain.add(1, score=5),
                other.discard(0),
                vital.score(1),
                other.score(0),
                vital.discard(0),
                vital.discard(0),
                plain.score(1),
            ) == [1, 5, True, 1.0, None, True, False, 5.0]
            names = [words[0] for words in sent(proxy)[before:]]
            assert names == [
                *(b"ZADD", b"ZADD", b"ZREM", b"EVAL", b"WAIT", b"ZSCORE", b"ZSCORE"),
                *(b"ZREM", b"ZREM", b"EVAL", b"WAIT", b"ZSCORE"),
            ]

    with RecordingProxy(*master.ports) as proxy:
        asyncio.run(main(proxy))


def test_sets_share_one_wait_and_each_has_its_own_fence(
    client: redis.Redis, master: TestServer
) -> None:
    async def main(proxy: RecordingProxy) -> None:
        async with asyncio_clients.connected(master, port=proxy.port, **PATIENT) as through:
            sets: list[RedisSortedSet[int]] = [
                RedisSortedSet(through, name, durable=HEALTHY) for name in ("one", "two", "three")
            ]
            one, two, three = sets
            await asyncio.gather(*[each.add(0, score=0) for each in sets])
            before = len(sent(proxy))
            calls = two.add(1, score=1), one.add(1, score=1), three.add(1, score=1), one.discard(7)
            assert await asyncio.gather(*calls) == [1.0, 1.0, 1.0, False]
            found = [
                words[3] if words[0] == b"EVAL" else words[0] for words in sent(proxy)[before:]
            ]
            assert found == [
                *(b"ZADD", b"{two}:fence"),
                b"ZADD",  # the fence of the set's last change comes after both
                *(b"ZADD", b"{three}:fence"),
                *(b"ZREM", b"{one}:fence", b"WAIT"),
            ]

    with RecordingProxy(*master.ports) as proxy:
        asyncio.run(main(proxy))


def test_a_set_whose_fence_is_refused_leaves_others_their_confirmation(
    client: redis.Redis, master: TestServer
) -> None:
    # It has no right to the companion keys of the second set.
    keys = ("~one", "~{one}:*", "~two")
    client.execute_command("ACL", "SETUSER", "narrow", "on", ">secret", *keys, "+@all")

    async def main() -> list[Any]:
        account = {"username": "narrow", "password": "secret"}
        async with asyncio_clients.connected(master, **account, **PATIENT) as through:
            one, two = (
                RedisSortedSet[int](through, name, durable=HEALTHY) for name in ("one", "two")
            )
            await one.add(0)
            calls = [one.add(1, score=1), two.add(2, score=2), one.add(3, score=3)]
            return await asyncio.gather(*calls, return_exceptions=True)

    first, second, third = asyncio.run(main())
    client.execute_command("ACL", "DELUSER", "narrow")
    assert (first, third) == (1.0, 3.0)
    assert isinstance(second, NotDurable)
    assert (second.result, second.replicas) == (2.0, 0)


def test_a_task_that_is_cancelled_leaves_the_others_their_confirmation(
    client: redis.Redis, master: TestServer, replica_server: TestServer, stop: Callable[[], None]
) -> None:
    async def main() -> list[Any]:
        async with asyncio_clients.connected(master, **PATIENT) as through:
            vital: RedisSortedSet[int] = RedisSortedSet(through, "vital", durable=HEALTHY)
            await vital.add(0)
            stop()
            calls = [asyncio.ensure_future(vital.add(n, score=n)) for n in (1, 2, 3)]
            while client.zcard("vital") != 4:
                await asyncio.sleep(0.001)
            calls[2].cancel()  # it has the commands that the others share
            await asyncio.sleep(0)
            os.kill(replica_server.pid or 0, signal.SIGCONT)
            return await asyncio.gather(*calls, return_exceptions=True)

    first, second, third = asyncio.run(main())
    assert (first, second) == (1, 2)
    assert isinstance(third, asyncio.CancelledError)


def test_an_item_that_a_cancelled_task_popped_is_put_back_though_nothing_confirms_it(
    client: redis.Redis, master: TestServer, stop: Callable[[], None]
) -> None:
    async def main() -> None:
        async with asyncio_clients.connected(master, **PATIENT) as through:
            vital: RedisSortedSet[int] = RedisSortedSet(through, "vital", durable=HEALTHY)
            await vital.update([1, 2])
            stop()
            # What puts the item back follows the wait of the cancelled call.
            vital._runner.durable = Durable(replicas=1, timeout=0.3)
            popping = asyncio.ensure_future(vital.pop())
            while client.zcard("vital") == 2:
                await asyncio.sleep(0.001)
            popping.cancel()
            await asyncio.gather(popping, return_exceptions=True)
            while client.zcard("vital") == 1:
                await asyncio.sleep(0.001)

    asyncio.run(main())
    assert client.zcard("vital") == 2
