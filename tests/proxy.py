"""A network that loses replies: a proxy on 127.0.0.1 in front of a test server.

Owns which replies get lost: the server has acted, its answer never arrives, the connection ends.
Knows nothing of redset. It expects clients that send one command and wait for its reply.
"""

import contextlib
import select
import socket
import threading
from collections.abc import Collection
from typing import Self

CHUNK = 1 << 16


class LossyProxy:
    """Passes bytes between clients and the server on *server_port*, but for lost replies."""

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.lost = 0
        self._guard = threading.Lock()
        self._command = b""
        self._doomed: Collection[int] = ()
        self._seen = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def lose(self, command: str, *places: int) -> None:
        """Lose the replies to the first (1), second (2), … *command* from now on.

        The start of a name is enough: ``EVAL`` stands for ``EVALSHA`` too.
        """
        with self._guard:
            self._command, self._doomed = command.encode(), places
            self._seen = self.lost = 0

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            server = socket.create_connection(("127.0.0.1", self._server_port))
            with server:
                self._pass_bytes(client, server)

    def _pass_bytes(self, client: socket.socket, server: socket.socket) -> None:
        doomed = False
        while True:
            readable, _, _ = select.select([client, server], [], [])
            for source in readable:
                data = source.recv(CHUNK)
                if not data:
                    return
                if source is client:
                    doomed = self._is_doomed(data) or doomed
                    server.sendall(data)
                elif doomed:
                    with self._guard:
                        self.lost += 1
                    return
                else:
                    client.sendall(data)

    def _is_doomed(self, request: bytes) -> bool:
        words = request.split(b"\r\n", 3)
        with self._guard:
            if not self._doomed or len(words) < 3 or not words[2].startswith(self._command):
                return False
            self._seen += 1
            return self._seen in self._doomed

    def close(self) -> None:
        """Take no further connections; those that are open end with their clients."""
        # Wakes the thread that waits in accept(); closing alone would not.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
