"""Which errors of a call came from the client, and which from a signal handler."""

import signal
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from redset._protocol.client_errors import interruption


@pytest.fixture(autouse=True)
def alarms() -> Iterator[None]:
    before = signal.getsignal(signal.SIGALRM)
    yield
    signal.signal(signal.SIGALRM, before)


def raised(call: Callable[[], object]) -> Exception:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - whichever it is
        call()
    return caught.value


def in_module(name: str, error: str) -> Callable[[], object]:
    """A function of a module of that *name* that raises an *error*."""
    namespace: dict[str, Any] = {"__name__": name}
    exec(f"def connect():\n    raise {error}", namespace)
    found: Callable[[], object] = namespace["connect"]
    return found


@pytest.mark.parametrize("module", ["socks", "async_timeout", "socket", "redis.connection"])
@pytest.mark.parametrize("error", ["ConnectionRefusedError", "TimeoutError"])
def test_an_error_of_a_socket_is_of_the_call_whichever_module_has_the_socket(
    module: str, error: str
) -> None:
    assert interruption(raised(in_module(module, error))) is None


class Handler:
    def __call__(self, *_: object) -> None:
        raise TimeoutError

    def method(self, *_: object) -> None:
        raise TimeoutError


@pytest.mark.parametrize("handler", [Handler(), Handler().method, partial(Handler().method, 1)])
def test_an_error_that_came_through_a_signal_handler_is_not(handler: Any) -> None:
    signal.signal(signal.SIGALRM, handler)
    error = raised(partial(signal.raise_signal, signal.SIGALRM))
    assert interruption(error) is error
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    assert interruption(error) is None


def test_any_other_error_that_the_client_did_not_raise_is_not_of_the_call() -> None:
    error = raised(in_module("anywhere", "ValueError"))
    assert interruption(error) is error
