"""Sockets that tell when bytes are on their way: the worst time to interrupt a program.

They are real sockets; only Python's class of them is replaced, so that any transport, of redset or
of its client, goes through the hooks.
"""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

# Called with the name of the method, before and after the bytes went: ("recv", "after").
Hook = Callable[[str, str], None]


_hooks: list[Hook] = []


class HookedSocket(socket.socket):
    """A socket that calls every hook before and after it sends and receives."""

    def sendall(self, *args: Any, **options: Any) -> None:
        with _hooked("send"):
            return super().sendall(*args, **options)

    def send(self, *args: Any, **options: Any) -> int:
        with _hooked("send"):
            return super().send(*args, **options)

    def recv(self, *args: Any, **options: Any) -> bytes:
        with _hooked("recv"):
            return super().recv(*args, **options)

    def recv_into(self, *args: Any, **options: Any) -> int:
        with _hooked("recv"):
            return super().recv_into(*args, **options)


_METHODS = {
    method.__code__
    for method in (
        *(HookedSocket.sendall, HookedSocket.send),
        *(HookedSocket.recv, HookedSocket.recv_into),
    )
}


@contextmanager
def _hooked(method: str) -> Iterator[None]:
    for hook in _hooks:
        hook(method, "before")
    yield
    for hook in _hooks:
        hook(method, "after")


def is_in_io(frame: FrameType | None) -> bool:
    """Return whether *frame* is that of a method of a socket, or of something that one called.

    The stack is searched: a count of the methods that were begun and not ended would be wrong from
    the first time on that a signal handler raises between counting and what counts back.
    """
    while frame is not None:
        if frame.f_code in _METHODS:
            return True
        frame = frame.f_back
    return False


@contextmanager
def hooked_sockets() -> Iterator[list[Hook]]:
    """Have sockets that are made in the block call the hooks of a list, as long as it lasts."""
    original = socket.socket
    socket.socket = HookedSocket  # type: ignore[misc]
    try:
        yield _hooks
    finally:
        socket.socket = original  # type: ignore[misc]
        _hooks.clear()
