"""What messages quote of a user's values: shortened, and never an error of its own."""

import ast
from pathlib import Path
from typing import Any

import pytest

import redset
from redset._support.words import LONGEST_VALUE, shown
from redset.exceptions import LeaseLost, MissingItemError, ResultExpired

PACKAGE = Path(redset.__file__).parent


class Unshowable:
    def __repr__(self) -> str:
        raise ZeroDivisionError


@pytest.mark.parametrize("value", ["a", b"a", 7, [1], None])
def test_a_short_value_is_shown_as_it_is(value: Any) -> None:
    assert shown(value) == repr(value)


def test_a_long_value_is_shown_by_its_beginning_and_its_end() -> None:
    words = shown("a" * 5_000_000 + "z")
    assert len(words) < 2 * LONGEST_VALUE
    assert words.startswith("'aaa")
    assert words.endswith("az'")
    assert "characters more" in words


def test_a_value_without_a_repr_is_shown_by_its_type() -> None:
    assert shown(Unshowable()) == "a Unshowable"
    assert shown(-(10**5000)) == "an int of 16610 bits"


def test_no_message_quotes_a_value_that_is_not_shortened() -> None:
    """Only what builds a ``repr``, or bytes of a member, may use ``!r``."""
    found = []
    for path in PACKAGE.rglob("*.py"):
        tree = ast.parse(path.read_text())
        names = [
            (node.lineno, node.end_lineno or 0)
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef) and node.name in {"__repr__", "_complex"}
        ]
        found += [
            f"{path.relative_to(PACKAGE)}:{node.lineno}"
            for node in ast.walk(tree)
            if isinstance(node, ast.FormattedValue)
            and node.conversion == ord("r")
            and not any(first <= node.lineno <= last for first, last in names)
        ]
    assert [each for each in found if not each.startswith(("demo.py", "codecs/_"))] == []


def test_an_error_that_names_items_shortens_each() -> None:
    words = str(LeaseLost("jobs", ["x" * 1_000_000, Unshowable(), 10**5000]))
    assert "a Unshowable, an int of 16610 bits" in words
    assert len(words) < 1_000
    assert len(str(ResultExpired("x" * 1_000_000))) < 1_000


def test_an_item_that_is_not_there_is_shown_as_by_a_key_error_and_shortened() -> None:
    assert str(MissingItemError("a")) == str(KeyError("a"))
    error = MissingItemError("x" * 1_000_000)
    assert len(str(error)) < 2 * LONGEST_VALUE
    assert error.args == ("x" * 1_000_000,)
