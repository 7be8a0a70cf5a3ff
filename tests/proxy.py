"""A network that loses replies, or notes requests: proxies on 127.0.0.1 in front of a test server.

Owns which replies get lost: the server has acted, its answer never arrives, the connection ends.
Knows nothing of redset. `LossyProxy` expects clients that send one command and wait for its reply.
"""

import contextlib
import random
import select
import socket
import ssl
import threading
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import ClassVar, Literal, Self

CHUNK = 1 << 16
TIMEOUT_SECONDS = 60

# What becomes of a reply: it is dropped, or cut in the middle, and the connection closed; or it is
# stalled until the client hangs up.
Fault = Literal["dropped", "cut", "stalled"]


class Proxy:
    """Takes connections, each of which is served in a thread of its own.

    In front of a cluster it is in front of each node, and `port` is that of the first one.
    """

    # By their ports, for clients that have to be told where the other nodes are.
    _running: ClassVar[dict[int, "Proxy"]] = {}

    def __init__(self, *server_ports: int) -> None:
        self._listeners = [socket.create_server(("127.0.0.1", 0)) for _ in server_ports]
        own = [listener.getsockname()[1] for listener in self._listeners]
        # The port in front of each server's.
        self.port_of: dict[int, int] = dict(zip(server_ports, own, strict=True))
        self.port: int = own[0]
        self._running[self.port] = self
        for listener, server_port in zip(self._listeners, server_ports, strict=True):
            about = (listener, server_port)
            threading.Thread(target=self._accept, args=about, daemon=True).start()

    @classmethod
    def at(cls, port: int) -> "Proxy | None":
        """The proxy with that *port*."""
        return cls._running.get(port)

    def _accept(self, listener: socket.socket, server_port: int) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                client, _ = listener.accept()
                about = (client, server_port)
                threading.Thread(target=self._serve, args=about, daemon=True).start()

    def _serve(self, client: socket.socket, server_port: int) -> None:
        """Pass bytes between *client* and the server until one of them ends."""
        raise NotImplementedError

    def close(self) -> None:
        """Take no further connections; those that are open end with their clients."""
        # Wakes the thread that waits in accept(); closing alone would not.
        self._running.pop(self.port, None)
        for listener in self._listeners:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class LossyProxy(Proxy):
    """Passes bytes between clients and the servers on *server_ports*, but for lost replies."""

    def __init__(self, *server_ports: int) -> None:
        self.lost = 0
        self.faults: Counter[Fault] = Counter()
        self._guard = threading.Lock()
        self._command = b""
        self._doomed: Collection[int] = ()
        self._seen = 0
        self._random: random.Random | None = None
        self._one_in, self._stalls = 0, 0
        self._late_command = b""
        self._arrives, self._acted = threading.Event(), threading.Event()
        super().__init__(*server_ports)

    def lose(self, command: str, *places: int) -> None:
        """Lose the replies to the first (1), second (2), … *command* from now on.

        The start of a name is enough: ``EVAL`` stands for ``EVALSHA`` too.
        """
        with self._guard:
            self._command, self._doomed = command.encode(), places
            self._seen = self.lost = 0

    def lose_at_random(self, one_in: int, seed: int, *, stalls: int) -> None:
        """Lose one reply in so many from now on, at random.

        One loss in *stalls* is a stall: each of them costs a client's whole timeout.
        """
        with self._guard:
            self._random, self._one_in, self._stalls = random.Random(seed), one_in, stalls

    def delay(self, command: str) -> None:
        """Keep the next *command* from the server until it is delivered, however late.

        So a network does that sends lost packets again, when their client has long hung up.
        """
        with self._guard:
            self._late_command = command.encode()
            self._arrives.clear()
            self._acted.clear()

    def deliver(self) -> None:
        """Bring the delayed command to the server; return when it has acted."""
        self._arrives.set()
        if not self._acted.wait(TIMEOUT_SECONDS):
            raise RuntimeError("there was no such command, or the server doesn't answer it")

    def _serve(self, client: socket.socket, server_port: int) -> None:
        with client, contextlib.suppress(OSError):
            server = socket.create_connection(("127.0.0.1", server_port))
            with server:
                self._pass_bytes(client, server)

    def _pass_bytes(self, client: socket.socket, server: socket.socket) -> None:
        fault: Fault | None = None
        while True:
            readable, _, _ = select.select([client, server], [], [])
            for source in readable:
                data = source.recv(CHUNK)
                if not data:
                    return
                if source is client:
                    if self._is_late(data):
                        self._arrives.wait()
                        server.sendall(data)
                        server.recv(CHUNK)
                        self._acted.set()
                        return
                    fault = self._fault(data) or fault
                    server.sendall(data)
                    continue
                if fault is None:
                    client.sendall(data)
                    continue
                with self._guard:
                    self.lost += 1
                    self.faults[fault] += 1
                if fault == "cut":
                    client.sendall(data[: len(data) // 2])
                elif fault == "stalled":
                    client.recv(CHUNK)  # nothing: it has hung up
                return

    def _fault(self, request: bytes) -> Fault | None:
        with self._guard:
            if self._random is not None and self._random.randrange(self._one_in) == 0:
                self._seen += 1
                ending: Fault = "cut" if self._random.randrange(2) else "dropped"
                return ending if self._seen % self._stalls else "stalled"
            if not self._doomed or not _is_a(request, self._command):
                return None
            self._seen += 1
            return "dropped" if self._seen in self._doomed else None

    def _is_late(self, request: bytes) -> bool:
        with self._guard:
            late = bool(self._late_command) and _is_a(request, self._late_command)
            if late:
                self._late_command = b""
            return late


class RecordingProxy(Proxy):
    """Passes bytes between clients and the servers on *server_ports*; keeps what clients send."""

    def __init__(self, *server_ports: int) -> None:
        self._sent: list[bytearray] = []
        super().__init__(*server_ports)

    def requests(self) -> list[list[bytes]]:
        """The words of each request that was sent so far, connection by connection."""
        return [words for sent in self._sent for words in _requests(bytes(sent))]

    def _serve(self, client: socket.socket, server_port: int) -> None:
        server = socket.create_connection(("127.0.0.1", server_port))
        sent = bytearray()
        self._sent.append(sent)
        back = threading.Thread(target=self._pass_bytes, args=(server, client, None), daemon=True)
        back.start()
        self._pass_bytes(client, server, sent)

    def _pass_bytes(
        self, source: socket.socket, target: socket.socket, kept: bytearray | None
    ) -> None:
        with contextlib.suppress(OSError), source:
            while data := source.recv(CHUNK):
                if kept is not None:
                    kept += data
                target.sendall(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_RDWR)


class TLSProxy(Proxy):
    """Speaks TLS to its clients, with a *certificate*, and plainly to the servers."""

    def __init__(self, certificate: Path, *server_ports: int) -> None:
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._context.load_cert_chain(certificate)
        # An entry for each connection that is open.
        self.open: list[int] = []
        super().__init__(*server_ports)

    def _serve(self, client: socket.socket, server_port: int) -> None:
        self.open.append(server_port)
        with (
            contextlib.suppress(OSError),
            self._context.wrap_socket(client, True) as secured,
            socket.create_connection(("127.0.0.1", server_port)) as server,
        ):
            while self._pass_bytes(secured, server):
                pass
        self.open.remove(server_port)

    @staticmethod
    def _pass_bytes(client: ssl.SSLSocket, server: socket.socket) -> bool:
        # One thread reads and writes: two could not use the socket of TLS at the same time.
        is_read = client.pending() > 0  # what was decrypted is no longer in the socket
        sources = [client] if is_read else select.select([client, server], [], [])[0]
        for source in sources:
            data = source.recv(CHUNK)
            (server if source is client else client).sendall(data)
            if not data:
                return False
        return True


def _requests(sent: bytes) -> Iterator[list[bytes]]:
    """The words of the requests in *sent*, all of which are arrays of strings, as in RESP."""
    place = 0

    def number(mark: bytes) -> int:
        nonlocal place
        end = sent.index(b"\r\n", place)
        assert sent[place : place + 1] == mark
        start, place = place + 1, end + 2
        return int(sent[start:end])

    while place < len(sent):
        words = []
        for _ in range(number(b"*")):
            length = number(b"$")
            words.append(sent[place : place + length])
            place += length + 2
        yield words


def _is_a(request: bytes, command: bytes) -> bool:
    words = request.split(b"\r\n", 3)
    return len(words) >= 3 and words[2].startswith(command)
