"""An exception that a signal handler raises inside a serializer says nothing about the item."""

from collections.abc import Callable
from typing import Any, cast

import pytest

from redset._plans import queue
from redset._protocol.commands import Command
from redset._protocol.config import SetConfig
from redset._protocol.encoding import Encoding
from redset._protocol.members import decoded, decoded_members, encode_for_lookup
from redset._protocol.replies import Taken
from redset._protocol.scores import zero
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


def config_of(serializer: Any) -> SetConfig[Any]:
    return SetConfig("jobs", b"jobs", Encoding("jobs", serializer), zero, "until_taken")


CALLS: dict[str, Callable[[SetConfig[Any]], object]] = {
    "lookup": lambda config: encode_for_lookup(config, "a"),
    "one": lambda config: list(decoded(config, [(b"a", 1.0)])),
    "many": lambda config: decoded_members(config, [b"a", b"b"]),
}


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("call", CALLS)
def test_serializer_interrupted_raises_what_the_handler_raised(call: str, wrapped: bool) -> None:
    config = config_of(Interrupted(wrapped=wrapped))
    with pytest.raises(SoftTimeLimit):
        CALLS[call](config)
    assert CALLS[call](config)


def test_pop_serializer_interrupted_gives_the_item_to_the_next_call() -> None:
    config = config_of(Interrupted())

    def pop() -> Any:
        plan = queue.pop(config, 0.0, last=False, with_scores=False)
        [command] = cast(list[Command[Any]], next(plan))
        asked.append(command.words)
        try:
            plan.send([Taken([(b"a", 1.0)], more=False)])
        except StopIteration as stop:
            return stop.value

    asked: list[Any] = []
    with pytest.raises(SoftTimeLimit):
        pop()
    assert pop() == "a"
    # The same call, by its number before the point: the server gives the same item again.
    calls = [
        [word for word in words if isinstance(word, bytes) and b"." in word] for words in asked
    ]
    numbers = [[word.partition(b".")[0] for word in words] for words in calls]
    assert numbers[0] == numbers[1] != []
