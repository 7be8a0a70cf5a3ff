"""The tests of the synchronous surface, run once more through the asyncio one.

Each module here loads its namesake of `tests.server` again, with the sets of `tests.bridge` in the
place of redset's own, and says which of the tests it leaves out because they are of one surface.
"""

import functools
import importlib
import importlib.util
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest
from hypothesis import settings

import redset
import redset._transport.results
import redset.leases
from tests import bridge

SERVER = Path(__file__).parents[1]


@contextmanager
def fewer_examples() -> Iterator[None]:
    """A third of what Hypothesis tries: the other surface, of the same source, had all."""
    profile, count = settings.get_current_profile_name(), settings().max_examples
    settings.register_profile("bridged", settings(), max_examples=-(-count // 3))
    settings.load_profile("bridged")
    try:
        yield
    finally:
        settings.load_profile(profile)


def loaded(name: str, *left_out: str) -> dict[str, Any]:
    """The names of a copy of the module *name*, without those tests: a part of a name will do."""
    # What it imports from: loaded first under the bridge, that would keep the bridge's sets.
    importlib.import_module(f"tests.server.{name}")
    with pytest.MonkeyPatch.context() as patch, fewer_examples():
        for kind in bridge.BRIDGED:
            patch.setattr(redset, kind.__name__, kind)
        patch.setattr(redset, "FirstOf", bridge.FirstOf)
        patch.setattr(redset.leases, "Lease", bridge.Lease)
        patch.setattr(
            redset._transport.results, "delete_collected", lambda _client: bridge.delete_collected()
        )
        spec = importlib.util.spec_from_file_location(f"bridged_{name}", SERVER / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    if hasattr(module, "keys"):
        vars(module)["keys"] = after_deletions(module.keys)
    found = {key: value for key, value in vars(module).items() if not key.startswith("__")}
    tests = [key for key, value in found.items() if is_a_test(key, value)]
    for words in left_out:
        named = [test for test in tests if words in test]
        assert named, f"no test of {name} is called {words}"
        for test in named:
            found.pop(test, None)
    return found


def after_deletions(keys: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """*keys* of a server, but for those of results that the loop is about to delete."""

    @functools.wraps(keys)
    def settled(client: Any) -> Any:
        bridge.delete_collected()
        return keys(client)

    return settled


def is_a_test(name: str, value: object) -> bool:
    return name.startswith("test_") and isinstance(value, FunctionType)
