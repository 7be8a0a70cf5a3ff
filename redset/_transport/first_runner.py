"""Runners of several sets: what `redset.FirstOf` sends its plans with."""

from collections.abc import Sequence
from typing import Any, Generic, TypeVar

from redset._plans import first
from redset._protocol import client_errors
from redset._protocol.config import FirstConfig
from redset._protocol.durability import Durable, strictest
from redset._support.words import shown
from redset._transport.runner import BaseRunner, PlanRunner
from redset.exceptions import InvalidTypeError, KeyTypeError

T = TypeVar("T")


class BaseFirstRunner(Generic[T]):
    """What runners of several sets have in common: those of the sets, in their order."""

    def __init__(self, runners: Sequence[BaseRunner[T]]) -> None:
        self.runners = runners
        sets = self.config.sets
        first.check_sets(sets)
        one, *others = runners
        for each in others:
            if each.client is not one.client:
                raise InvalidTypeError(
                    f"redset {shown(each.config.name)}: FirstOf asks all sets in one step, and "
                    f"this one has another client than {shown(one.config.name)}; make the sets "
                    "with one client"
                )
        if self.connection.is_cluster:
            first.check_one_slot(sets)

    @property
    def config(self) -> FirstConfig[T]:
        """What the sets are now: any of them may be renamed."""
        return FirstConfig(tuple([each.config for each in self.runners]))

    @property
    def connection(self) -> Any:
        """A connection of the client that all sets have."""
        return self.runners[0].connection

    @property
    def durable(self) -> Durable | None:
        """The option of a call, which may change any of the sets."""
        return strictest([each.durable for each in self.runners])

    def take_over(self, before: FirstConfig[T]) -> None:
        """As that of `BaseRunner`, for each set."""
        for each, config in zip(self.runners, before.sets, strict=True):
            each.take_over(config)

    def translate_error(self, error: Exception) -> Exception:
        """Return the error of redset's own for what the server replied, or *error* itself."""
        if client_errors.error_code(error) == "WRONGTYPE":
            return KeyTypeError(
                f"redset {shown(self.config.name)}: the key of one of these sets holds another "
                "Redis type than a sorted set, or one of their companion keys does; choose another "
                "name, or delete that key"
            )
        return error


class FirstRunner(BaseFirstRunner[T], PlanRunner[FirstConfig[T]]):  # type: ignore[override]
    """Sends the plans of several sets over a synchronous client."""
