"""The directions in which redset's modules may import each other, read from their source."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "redset"
SERVER_CLIENTS = {"redis", "valkey", "redset._core.connection"}
TEST_HELPERS = {"tests", "pytest", "_pytest", "hypothesis", "unittest"}


def modules(pattern: str) -> list[Path]:
    return sorted(PACKAGE.glob(pattern))


def package_of(path: Path) -> list[str]:
    return list(path.relative_to(PACKAGE.parent).parent.parts)


def imported(tree: ast.AST, package: list[str]) -> Iterator[str]:
    """Every module that a tree names in an import, wherever it stands, by its full name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*base, *filter(None, [node.module])])
            yield source
            # `from redset._core import connection` names a module too.
            yield from (f"{source}.{alias.name}" for alias in node.names)


def forbidden(path: Path, modules_not_to_import: set[str]) -> set[str]:
    found = imported(ast.parse(path.read_text()), package_of(path))
    return {
        name
        for name in found
        for module in modules_not_to_import
        if name == module or name.startswith(f"{module}.")
    }


@pytest.mark.parametrize(
    "name", ["plans", "members", "spec", "walking", "commands", "replies", "keys", "encoding"]
)
def test_the_core_without_io_imports_no_client_and_no_connection(name: str) -> None:
    for path in modules(f"_core/{name}.py"):
        assert not forbidden(path, SERVER_CLIENTS), path


def test_codecs_import_no_client_and_nothing_that_sends() -> None:
    for path in modules("codecs/**/*.py"):
        assert not forbidden(path, SERVER_CLIENTS | {"redset._core.driver", "redset.sets"}), path


def test_no_module_imports_a_test_helper() -> None:
    for path in modules("**/*.py"):
        assert not forbidden(path, TEST_HELPERS), path


@pytest.mark.parametrize(
    "line",
    [
        "import redis",
        "import redis.client as anything",
        "from redis import Redis",
        "from redset._core.connection import Connection",
        "from redset._core import connection",
        "from . import connection",
        "from .connection import Connection",
        "from .._core import connection",
        "def later():\n    import valkey",
    ],
)
def test_the_check_notices_every_way_to_write_an_import(line: str) -> None:
    names = set(imported(ast.parse(line), ["redset", "_core"]))
    assert any(
        name == client or name.startswith(f"{client}.")
        for name in names
        for client in SERVER_CLIENTS
    )


def test_the_check_lets_pass_what_only_looks_alike() -> None:
    names = set(imported(ast.parse("from redset import redis_like\nimport rediscover"), []))
    assert names == {"redset", "redset.redis_like", "rediscover"}
