"""A master with replicas, watched by Sentinels of the same binary, for the tests.

Owns how a master is replaced, by command or because it was killed, and how long that may take.
Knows nothing of redset, as `tests.servers`, whose servers these are.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import redis

from tests.servers import TestServer

SERVICE = "redset"
# Milliseconds after which a Sentinel takes a silent master for dead, and for one failover.
DOWN_AFTER, FAILOVER_TIMEOUT = 800, 2_000
# Milliseconds between what Sentinels do once a second, or in ten, if nothing is wrong. Redis 6.2
# has no such setting: there all takes some seconds longer.
PERIODS = {"info-period": 200, "ask-period": 100, "election-timeout": 1_000}
# While they look for each other, they say often that they are there. Later they must not: after
# four times this long, a Sentinel demotes a master if it has not heard that others promoted it.
INTRODUCTION, PUBLISH_PERIOD = 200, 500
TIMEOUT_SECONDS = 60.0
# Sentinels may give up a failover that took them too long.
ASK_AGAIN_SECONDS = 3.0
# The channels on which a Sentinel says that a master is being replaced, from first to last.
STEPS = ("+try-failover", "+promoted-slave", "+switch-master", "+convert-to-slave", "+failover-end")


class SentinelServer(TestServer):
    """One Sentinel, which keeps what it learns in a configuration file of its own."""

    def __init__(self, kind: str, *settings: str) -> None:
        super().__init__(kind)
        self._config = self.directory / "sentinel.conf"
        self._config.write_text("".join(f"{line}\n" for line in settings))

    def _command(self, log: Path) -> list[object]:
        program, *flags = super()._command(log)
        places = flags[: flags.index("--save")]
        return [program, self._config, "--sentinel", *places]


class Sentinels:
    """A master, its *replicas* and so many *sentinels*, a majority of which decides."""

    __test__ = False

    def __init__(self, kind: str, *flags: str) -> None:
        self.kind, self._flags = kind, flags
        self.servers: list[TestServer] = []
        self.sentinels: list[SentinelServer] = []

    @classmethod
    def start(cls, kind: str, *flags: str, replicas: int = 1, sentinels: int = 3) -> Self:
        """Start all, and wait until each Sentinel knows the replicas and the others."""
        group = cls(kind, *flags)
        try:
            group._start(replicas, sentinels)
        except BaseException:
            group.close()
            raise
        return group

    def _start(self, replicas: int, sentinels: int) -> None:
        master = TestServer.start(self.kind, *self._flags)
        self.servers.append(master)
        of_master = ("--replicaof", "127.0.0.1", str(master.port))
        for _ in range(replicas):
            self.servers.append(TestServer.start(self.kind, *self._flags, *of_master))
        until(lambda: all(self.is_replica_of(each, master) for each in self.servers[1:]))
        settings = (
            f"sentinel monitor {SERVICE} 127.0.0.1 {master.port} {sentinels // 2 + 1}",
            f"sentinel down-after-milliseconds {SERVICE} {DOWN_AFTER}",
            f"sentinel failover-timeout {SERVICE} {FAILOVER_TIMEOUT}",
        )
        for _ in range(sentinels):
            self.sentinels.append(SentinelServer.start(self.kind, *settings))
        self._set({**PERIODS, "publish-period": INTRODUCTION})
        until(lambda: all(self._knows_all(each) for each in self.sentinels))
        self._set({"publish-period": PUBLISH_PERIOD})

    def _set(self, periods: dict[str, int]) -> None:
        words = [str(word) for setting in periods.items() for word in setting]
        for each in self.sentinels:
            with contextlib.suppress(redis.ResponseError):
                ask(each, "SENTINEL", "DEBUG", *words)

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """The Sentinels, as the clients' classes take them."""
        return [("127.0.0.1", each.port) for each in self.sentinels]

    @property
    def master(self) -> TestServer:
        """The server that all Sentinels name, once it is a master."""
        found: TestServer = until(self._agreed_master)
        return found

    @property
    def replicas(self) -> list[TestServer]:
        """The other servers, those that are down among them."""
        master = self.master
        return [each for each in self.servers if each is not master]

    def failover(self) -> TestServer:
        """Have a replica replace the master, and wait until that is a replica; return the new one.

        In between, for some seconds, there are two masters.
        """
        before, asked = self.master, -ASK_AGAIN_SECONDS

        def is_replaced() -> bool:
            nonlocal asked
            now = self._agreed_master()
            if now is before and time.monotonic() > asked + ASK_AGAIN_SECONDS:
                # Refused while the last failover is not over, or no replica is known to be good.
                with contextlib.suppress(redis.ResponseError):
                    ask(self.sentinels[0], "SENTINEL", "FAILOVER", SERVICE)
                    asked = time.monotonic()
            return now is not None and now is not before

        until(is_replaced)
        # Until then it serves its clients as a master, and all that they write is lost.
        until(self._is_settled)
        return self.master

    def kill_master(self) -> TestServer:
        """End the master as a crash would, and return it."""
        before = self.master
        before.kill()
        return before

    def successor_of(self, before: TestServer) -> TestServer:
        """Wait until a server other than *before* is the master, and return it."""

        def found() -> TestServer | None:
            now = self._agreed_master()
            return None if now is before else now

        return until(found)  # type: ignore[no-any-return]

    def restart(self, server: TestServer, *, as_master: bool = False) -> None:
        """Start a server that is down, and wait until all are replicas of the master.

        *as_master*: it begins as what it was, until the Sentinels demote it, in some seconds.
        """
        flags = () if as_master else ("--replicaof", "127.0.0.1", str(self.master.port))
        server.flags = (*self._flags, *flags)
        server.launch()
        until(self._is_settled)

    @contextlib.contextmanager
    def watch(self) -> Iterator[list[float]]:
        """Yield the times, a list that grows, of each step of replacing a master.

        Those that nobody asked for are among them: a slow master is taken for a dead one.
        """
        changes: list[float] = []

        def note(_message: object) -> None:
            changes.append(time.monotonic())

        with contextlib.ExitStack() as stack:
            for each in self.sentinels:
                client = stack.enter_context(redis.Redis(port=each.port))
                told = stack.enter_context(client.pubsub())
                told.subscribe(**dict.fromkeys(STEPS, note))
                thread = told.run_in_thread(daemon=True)
                stack.callback(thread.join)
                stack.callback(thread.stop)
            yield changes

    def is_replica_of(self, server: TestServer, master: TestServer) -> bool:
        """Return whether *server* has the data of *master*, and follows it."""
        about = info(server)
        return (about["role"], about.get("master_port"), about.get("master_link_status")) == (
            "slave",
            master.port,
            "up",
        )

    def close(self) -> None:
        """End all processes, and remove their directories."""
        for each in (*self.sentinels, *self.servers):
            each.kill()
            each.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _is_settled(self) -> bool:
        # On a busy machine, Sentinels may replace a master once more that was only slow.
        master = self._agreed_master()
        others = [each for each in self.servers if each is not master and each.pid is not None]
        return master is not None and all(self.is_replica_of(each, master) for each in others)

    def _agreed_master(self) -> TestServer | None:
        ports = {int(ask(each, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)[1])
                 for each in self.sentinels}  # fmt: skip
        named = [each for each in self.servers if {each.port} == ports and each.pid is not None]
        return named[0] if named and info(named[0])["role"] == "master" else None

    def _knows_all(self, sentinel: SentinelServer) -> bool:
        words = ask(sentinel, "SENTINEL", "MASTER", SERVICE)
        about = (
            dict(zip(words[::2], words[1::2], strict=True)) if isinstance(words, list) else words
        )
        return (int(about["num-slaves"]), int(about["num-other-sentinels"])) == (
            len(self.servers) - 1,
            len(self.sentinels) - 1,
        )


def info(server: TestServer, section: str = "replication") -> Any:
    """Return what *server* says about itself."""
    with redis.Redis(port=server.port, decode_responses=True) as one:
        return one.info(section)


def ask(server: TestServer, *words: str) -> Any:
    """Send one command to *server*; return its reply, as texts."""
    with redis.Redis(port=server.port, decode_responses=True) as one:
        one.response_callbacks.clear()
        return one.execute_command(*words)


def until(condition: Callable[[], Any]) -> Any:
    """Wait until *condition* returns something, and return that."""
    end = time.monotonic() + TIMEOUT_SECONDS
    while True:
        with contextlib.suppress(redis.ConnectionError):
            if found := condition():
                return found
        if time.monotonic() > end:
            raise AssertionError("it did not happen")
        time.sleep(0.02)
