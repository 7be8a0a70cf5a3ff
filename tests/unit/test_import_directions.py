"""The rooms of redset, and the directions in which they may import each other."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "redset"
CLIENTS = {"redis", "valkey"}
TEST_HELPERS = {"tests", "pytest", "_pytest", "hypothesis", "unittest"}
# What each room may import of redset, besides itself, and which modules it must not import at all.
ALL_ROOMS = {"redset._support", "redset._protocol", "redset._plans", "redset._transport"}
PURE = {"socket", "asyncio", "ssl", *CLIENTS}
ROOMS: dict[str, tuple[set[str], set[str]]] = {
    "_support": (set(), PURE),
    "codecs": ({"redset._support", "redset.exceptions"}, PURE),
    "_protocol": ({"redset._support", "redset.exceptions"}, PURE),
    "_plans": ({"redset._support", "redset._protocol", "redset.exceptions"}, PURE),
    "_transport": (ALL_ROOMS | {"redset.exceptions"}, set()),
}


def modules(pattern: str) -> list[Path]:
    return sorted(PACKAGE.glob(pattern))


def name_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(tree: ast.AST, package: list[str]) -> Iterator[str]:
    """Every module that a tree names in an import, wherever it stands, by its full name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*base, *filter(None, [node.module])])
            yield source
            # `from redset._transport import connection` names a module too.
            yield from (f"{source}.{alias.name}" for alias in node.names)


def imports_of(path: Path) -> set[str]:
    package = list(path.relative_to(PACKAGE.parent).parent.parts)
    return set(imported(ast.parse(path.read_text()), package))


def is_in(name: str, rooms: set[str]) -> bool:
    return any(name == room or name.startswith(f"{room}.") for room in rooms)


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_what_lies_below_it(room: str) -> None:
    below, forbidden = ROOMS[room]
    paths = modules(f"{room}/**/*.py")
    assert paths
    for path in paths:
        found = imports_of(path)
        of_redset = {name for name in found if is_in(name, {"redset"})} - {"redset"}
        assert {name for name in of_redset if not is_in(name, below | {f"redset.{room}"})} == set()
        assert {name for name in found if is_in(name, forbidden)} == set(), path


@pytest.mark.parametrize("room", ["_protocol", "_plans"])
def test_a_room_without_io_needs_no_socket_no_client_and_no_asyncio(room: str) -> None:
    names = [name_of(path) for path in modules(f"{room}/**/*.py")]
    program = f"""
import importlib, sys, types
for blocked in {sorted(PURE | {"_socket", "_ssl"})!r}:
    sys.modules[blocked] = None
# The package itself has the surfaces, which need a client.
package = types.ModuleType("redset")
package.__path__ = [{str(PACKAGE)!r}]
sys.modules["redset"] = package
for name in {names!r}:
    importlib.import_module(name)
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def edges(path: Path, names: set[str]) -> set[str]:
    """The modules that one really imports: not what type checkers alone do."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            node.body = []
    found = set(imported(tree, list(path.relative_to(PACKAGE.parent).parent.parts))) & names
    # `from package import module` needs the module, and the package as far as it goes by itself.
    return {name for name in found if not any(is_in(other, {name}) for other in found - {name})}


def test_no_modules_import_each_other_in_a_circle() -> None:
    names = {name_of(path): path for path in modules("**/*.py")}
    graph = {name: edges(path, set(names)) - {name} for name, path in names.items()}
    circles = []

    def visit(name: str, way: tuple[str, ...]) -> None:
        if name in way:
            circles.append(way[way.index(name) :])
        elif name not in done:
            for other in graph[name]:
                visit(other, (*way, name))
            done.add(name)

    done: set[str] = set()
    for name in graph:
        visit(name, ())
    assert circles == []


def test_no_module_imports_a_test_helper() -> None:
    for path in modules("**/*.py"):
        assert not {name for name in imports_of(path) if is_in(name, TEST_HELPERS)}, path


@pytest.mark.parametrize(
    "line",
    [
        "import redis",
        "import redis.client as anything",
        "from redis import Redis",
        "from redset._transport.connection import Connection",
        "from redset._transport import connection",
        "from .. import _transport",
        "from .._transport.connection import Connection",
        "from .._transport import connection",
        "def later():\n    import valkey",
    ],
)
def test_the_check_notices_every_way_to_write_an_import(line: str) -> None:
    names = set(imported(ast.parse(line), ["redset", "_plans"]))
    assert any(is_in(name, CLIENTS | {"redset._transport"}) for name in names)


def test_the_check_lets_pass_what_only_looks_alike() -> None:
    names = set(imported(ast.parse("from redset import redis_like\nimport rediscover"), []))
    assert not any(is_in(name, CLIENTS) for name in names)
