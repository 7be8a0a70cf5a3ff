"""docs/peers.md has every method of the peers, and names what there is."""

import importlib
import re
from pathlib import Path
from typing import Any

import pytest

import redset

PAGE = Path(__file__).parents[2] / "docs" / "peers.md"
# The section of the page, the module, the class.
PEERS = [
    ("sortedcontainers", "sortedcontainers", "SortedSet"),
    ("redis-collections", "redis_collections", "Set"),
    ("redis-collections", "redis_collections", "SortedSetCounter"),
    ("pottery", "pottery", "RedisSet"),
]


def rows(section: str) -> list[list[str]]:
    [text] = re.findall(
        rf"^## {section}\b.*?(?=^## |\Z)", PAGE.read_text(), re.DOTALL | re.MULTILINE
    )
    return re.findall(r"^\| (`.+?) \| (.+) \|$", text, re.MULTILINE)


def methods(kind: Any) -> set[str]:
    """What can be called on a set of this class, also what its instances are given when made."""
    made = vars(kind()) if kind.__module__.startswith("sortedcontainers") else ()
    names = {*dir(kind), *made} - set(dir(object))
    return {name for name in names if not name.startswith("_") or is_called(kind, name)}


def is_called(kind: Any, name: str) -> bool:
    """Whether an operator or a statement calls the method of that name."""
    return name.endswith("__") and callable(getattr(kind, name, None))


@pytest.mark.parametrize(("section", "module", "name"), PEERS)
def test_every_method_of_a_peer_has_a_row(section: str, module: str, name: str) -> None:
    kind = getattr(pytest.importorskip(module), name)
    shown = {word for there, _ in rows(section) for word in re.findall(r"`(\w+)", there)}
    assert methods(kind) - shown == set()


@pytest.mark.parametrize("section", sorted({section for section, _, _ in PEERS}))
def test_what_a_row_names_is_there(section: str) -> None:
    assert rows(section)
    for _, here in rows(section):
        for name in re.findall(r"`([a-z_][\w.]*)(?:\([^`]*\))?`", here):
            assert is_there(name), name


def is_there(name: str) -> bool:
    module, _, attribute = name.rpartition(".")
    if module:
        return hasattr(importlib.import_module(module), attribute)
    return name in BUILTIN or hasattr(redset.RedisSortedSet, name)


BUILTIN = {"iter", "set", "with", "scorer"}
