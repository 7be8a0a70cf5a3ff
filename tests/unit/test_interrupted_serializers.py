"""An exception that a signal handler raises inside a serializer says nothing about the item."""

from collections.abc import Callable
from typing import Any

import pytest

from redset._core import plans
from redset._core.encoding import Encoding
from redset._core.idempotency import IdempotencySlots
from redset._core.members import decoded, decoded_members, encode_sought
from redset._core.replies import Taken
from redset._core.scores import zero
from redset._core.spec import Spec, Terms
from redset.exceptions import SerializerError


class SoftTimeLimit(Exception):
    """What a task queue raises out of a handler."""


class Interrupted:
    """A serializer whose next call is interrupted; every call, with a message, if it is broken."""

    def __init__(self, *, wrapped: bool = False) -> None:
        self.wrapped, self.interrupt = wrapped, True

    def _work(self) -> None:
        interrupt, self.interrupt = self.interrupt, False
        if interrupt:
            try:
                raise SoftTimeLimit
            except SoftTimeLimit as error:
                if self.wrapped:
                    raise SerializerError("can't read member") from error
                raise

    def dumps(self, item: str) -> bytes:
        self._work()
        return item.encode()

    def loads(self, member: bytes) -> str:
        self._work()
        return member.decode()


def spec_of(serializer: Any) -> Spec[Any]:
    return Spec("jobs", b"jobs", Encoding("jobs", serializer), zero, "until_taken")


CALLS: dict[str, Callable[[Spec[Any]], object]] = {
    "lookup": lambda spec: encode_sought(spec, "a"),
    "one": lambda spec: list(decoded(spec, [(b"a", 1.0)])),
    "many": lambda spec: decoded_members(spec, [b"a", b"b"]),
}


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("call", CALLS)
def test_serializer_interrupted_raises_what_the_handler_raised(call: str, wrapped: bool) -> None:
    spec = spec_of(Interrupted(wrapped=wrapped))
    with pytest.raises(SoftTimeLimit):
        CALLS[call](spec)
    assert CALLS[call](spec)


def test_pop_serializer_interrupted_gives_the_item_to_the_next_call() -> None:
    spec = spec_of(Interrupted())
    turns = IdempotencySlots(b"jobs")

    def pop() -> Any:
        with turns.acquire() as turn:
            tokens.append(turn.sequence)
            plan = plans.pop(spec, turn, Terms(None))
            next(plan)
            try:
                plan.send([Taken([(b"a", 1.0)], more=False)])
            except StopIteration as stop:
                return stop.value

    tokens: list[int] = []
    with pytest.raises(SoftTimeLimit):
        pop()
    assert pop() == "a"
    assert tokens[0] == tokens[1]  # the same call: the server gives the same item again
