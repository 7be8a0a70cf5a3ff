"""The errors that redset itself raises.

Each error derives from `RedsetError` and from the builtin that a user of ``set`` would catch.
Errors that the client raises (a server that is down, a wrong password) pass through unchanged.
"""

from typing import Any

from redset._protocol.constants import RESULT_SECONDS
from redset._support.words import shortened, shown


class RedsetError(Exception):
    """Base of all errors of redset."""


class _Message(RedsetError):
    """An error whose first argument is its message: a name or a value in it may be megabytes."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*[shortened(arg) if isinstance(arg, str) else arg for arg in args])


class InvalidTypeError(_Message, TypeError):
    """An argument, an item or a score of a type that can't be used there."""


class InvalidValueError(_Message, ValueError):
    """An argument or a score of the right type with a value that can't be used."""


class UncertainItemError(InvalidTypeError, InvalidValueError):
    """An item that the serializer can't carry, and that may be equal to an item that it can carry.

    Lookups refuse it as `add` does: redset can't decide whether it is in the set.
    """


class SerializerError(_Message, ValueError):
    """Bytes that the serializer can't turn into an item."""


class EmptySetError(_Message, KeyError):
    """No item is left (or due) to be popped or peeked at."""

    def __str__(self) -> str:
        return Exception.__str__(self)  # KeyError would show the sentence in quotes


class MissingRankError(_Message, IndexError):
    """There are fewer items than an index asks for."""


class MissingItemError(RedsetError, KeyError):
    """The item to be removed is not in the set; ``args[0]`` is the item, as with ``set``."""

    def __str__(self) -> str:
        return shown(*self.args) if len(self.args) == 1 else super().__str__()


class KeyTypeError(_Message, TypeError):
    """The key of the set holds another Redis type."""


class ResultExpired(RedsetError, LookupError):
    """The result of an operator was unused for so long that the server deleted it."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return (
            f"redset {shown(self.name)}: this result was not used for "
            f"{RESULT_SECONDS / 60:g} minutes and is gone; make it again, "
            "or keep it with into=… or rename(…)"
        )


class AlreadyRenamed(_Message, RuntimeError):
    """A rename was repeated after an error, and the first one was done; nothing was changed.

    The old name has items again since. The next call replaces what the first one moved.
    """


class LeaseLost(RedsetError, RuntimeError):
    """Some items that were to be settled are not on this lease any more; ``items`` lists them.

    The lease had expired and they were delivered again; or they were settled through a copy of the
    lease, added again and delivered, or cancelled; or their set was replaced (``rename``,
    ``into=``).
    """

    def __init__(self, name: str, items: list[Any]) -> None:
        super().__init__(name, items)
        self.name = name
        self.items = items

    def __str__(self) -> str:
        some = ", ".join(map(shown, self.items[:5]))
        more = f" and {len(self.items) - 5} more" if len(self.items) > 5 else ""
        return (
            f"redset {shown(self.name)}: the lease doesn't hold {some}{more} any more: it "
            "ran out (then the work may be done twice; give it a longer ttl, or renew=True), or "
            "they were settled elsewhere, cancelled, added again and delivered, or their set was "
            "replaced"
        )


class NotDurable(RedsetError, RuntimeError):
    """A change was made, and fewer replicas or disks confirmed it in time than the set asks for.

    Don't repeat the call: it is done, and ``result`` has what it would have returned. If the server
    fails now, the change may be lost; otherwise the replicas will have it too.

    Attributes:
        result: what the call would have returned: an item that was popped, a `Lease`, ….
        replicas: how many replicas confirmed the change, the fewest of the steps of the call.
        wanted: how many replicas were to confirm it.
        disk: whether the server's own disk confirmed it; ``None`` if it was not asked.

    """

    def __init__(
        self, name: str, replicas: int, wanted: int, disk: bool | None, result: Any = None
    ) -> None:
        super().__init__(name, replicas, wanted, disk)
        self.name: str = name
        self.replicas: int = replicas
        self.wanted: int = wanted
        self.disk: bool | None = disk
        self.result: Any = result

    def __str__(self) -> str:
        known = [f"{self.replicas} of {self.wanted} replicas"] if self.wanted else []
        if self.disk is not None:
            known.append("its disk" if self.disk else "not its disk")
        return (
            f"redset {shown(self.name)}: the change was made, and confirmed in time by: "
            f"{', '.join(known)}; don't repeat the call, what it returns is in `result`"
        )


class DurabilityUnsupported(_Message, RuntimeError):
    """The server can't confirm changes as `Durable` asks; nothing was changed."""


class NestedCallError(_Message, RuntimeError):
    """A call inside another call of its thread found no connection that it could use safely."""


class ConsumerInUse(_Message, RuntimeError, ValueError):
    """A consumer was to be closed while another task or thread is using it; nothing was done."""


class LockTimeout(_Message, TimeoutError):
    """A lock was not free within the time that the caller waits."""


class EmbeddedServerError(_Message, RuntimeError):
    """An embedded server could not be started, or is not installed."""
