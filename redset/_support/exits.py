"""The end of the process: what is closed then, while all that it needs is still there."""

import contextlib
import weakref
from collections.abc import Generator
from typing import Any, TypeVar

T = TypeVar("T")

_is_ending = False


def close_at_exit(items: Generator[Any, None, None]) -> None:
    """Close *items* when the process ends, if they are still in hand; does not keep them.

    Newest first, as all finalizers: before a server that this process started earlier. The
    collector closes them after it: what they give back would find no server.
    """
    weakref.finalize(items, _close, weakref.ref(items))


def _close(reference: "weakref.ref[Generator[Any, None, None]]") -> None:
    global _is_ending  # noqa: PLW0603 - there is one end
    items = reference()
    if items is not None:  # else the collector calls this
        _is_ending = True
        # ValueError: a thread that no exit waits for is in the middle of them.
        with contextlib.suppress(ValueError):
            items.close()


def next_until_exit(items: Generator[T, None, None]) -> T:
    """Return the next of *items*, which end for a thread that asks while the exit closes them."""
    try:
        return next(items)
    except ValueError:  # "generator already executing"
        if not _is_ending:
            raise
    raise StopIteration
