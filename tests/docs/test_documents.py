"""The documents say what is so: their examples run, what they quote and link to exists."""

import ast
import doctest
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

import redset
from redset import demo
from tests.servers import TestServer

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
TABLE = ROOT / "docs" / "redset-0.4.md"
DOCUMENTS = [README, *sorted((ROOT / "docs").glob("*.md"))]
MODULES = [
    "redset",
    *(
        module.name
        for module in pkgutil.walk_packages(redset.__path__, "redset.")
        if "__pyinstaller" not in module.name  # which only PyInstaller can import
    ),
]

# Every public name of the redset 0.4 documentation.
NAMES_OF_0_4 = [
    "redset.locks.Lock",
    "redset.exceptions.LockTimeout",
    "redset.SortedSet",
    "SortedSet.__init__",
    "SortedSet.__len__",
    "SortedSet.__contains__",
    "SortedSet.add",
    "SortedSet.clear",
    "SortedSet.discard",
    "SortedSet.name",
    "SortedSet.peek",
    "SortedSet.peek_score",
    "SortedSet.pop",
    "SortedSet.score",
    "SortedSet.take",
    "redset.TimeSortedSet",
    "TimeSortedSet.__init__",
    "redset.ScheduledSet",
    "ScheduledSet.__init__",
    "redset.interfaces.Serializer",
    "Serializer.dumps",
    "Serializer.loads",
    "redset.serializers.NamedtupleSerializer",
    "NamedtupleSerializer.__init__",
    "NamedtupleSerializer.dumps",
    "NamedtupleSerializer.loads",
]


@pytest.fixture(scope="module")
def server() -> Iterator[TestServer]:
    with TestServer.start("valkey-9.1") as started:
        yield started


@pytest.fixture
def empty_server(server: TestServer, monkeypatch: pytest.MonkeyPatch) -> redis.Redis:
    """A server that holds nothing, and is the one that ``redset.connect()`` finds."""
    monkeypatch.setenv("REDIS_URL", f"unix://{server.unix_socket}")
    client = redis.Redis(unix_socket_path=server.unix_socket)
    client.flushall()
    return client


def run_examples(test: doctest.DocTest) -> None:
    said: list[str] = []
    result = doctest.DocTestRunner(verbose=False).run(test, out=said.append)
    assert result.failed == 0, "".join(said)


def examples_of(document: Path) -> doctest.DocTest:
    """All the ``>>>`` of a document's python blocks, as one session with its own line numbers."""
    lines: list[str] = []
    inside = False
    for line in document.read_text().splitlines():
        fence = line.startswith("```")
        lines.append(line if inside and not fence else "")
        inside = line == "```python" or (inside and not fence)
    parser = doctest.DocTestParser()
    return parser.get_doctest("\n".join(lines), {}, document.name, str(document), 0)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_examples_of_a_document_run_as_written(document: Path, empty_server: redis.Redis) -> None:
    run_examples(examples_of(document))
    assert empty_server.keys() == [], "a document's examples leave something on the server"


def test_readme_has_examples() -> None:
    assert len(examples_of(README).examples) > 10


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples_of_a_module_run_as_written(
    name: str, empty_server: redis.Redis
) -> None:
    module = importlib.import_module(name)
    for test in doctest.DocTestFinder(exclude_empty=True).find(module, name):
        empty_server.flushall()
        run_examples(test)


def test_readme_shows_the_worker_of_the_demo_as_it_is() -> None:
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    [shown] = [block for block in blocks if block.startswith("def work(")]
    assert without_docstring(shown) == without_docstring(inspect.getsource(demo.work))


def test_the_web_example_is_shown_as_it_is() -> None:
    text = (ROOT / "docs" / "asyncio.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    [shown] = [block for block in blocks if block.startswith("async def consume(")]
    example = ast.parse((ROOT / "examples" / "web.py").read_text()).body
    functions = {each.name: each for each in example if isinstance(each, ast.AsyncFunctionDef)}
    for function in ast.parse(shown).body:
        assert isinstance(function, ast.AsyncFunctionDef)
        written = without_docstring(ast.unparse(functions[function.name]))
        assert ast.unparse(function) == written


def without_docstring(source: str) -> str:
    [function] = ast.parse(source).body
    assert isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
    if ast.get_docstring(function) is not None:
        function.body = function.body[1:]
    return ast.unparse(function)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_of_a_document_lead_to_files(document: Path) -> None:
    targets = re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", document.read_text())
    missing = [target for target in targets if not (document.parent / target).exists()]
    assert missing == []


def test_commands_of_the_readme_are_targets_of_the_makefile() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z-]+)", README.read_text())) <= targets


# The table of redset 0.4


def rows() -> list[list[str]]:
    """The cells of each row, without the heads of the tables."""
    lines = [line for line in TABLE.read_text().splitlines() if line.startswith("| `")]
    return [re.split(r"\s*(?<!\\)\|\s*", line.strip("| ")) for line in lines]


@pytest.mark.parametrize("name", NAMES_OF_0_4)
def test_each_name_of_0_4_has_a_row_with_a_test(name: str) -> None:
    shown = [row for row in rows() if row[0].strip("`").split("(")[0] == name]
    assert shown, f"{name} has no row in {TABLE.name}"
    assert all("::test_" in row[-1] for row in shown)


@pytest.mark.parametrize("name", NAMES_OF_0_4)
def test_each_name_of_0_4_exists(name: str) -> None:
    owner, _, attribute = name.rpartition(".")
    owners = {
        "Serializer": "redset.interfaces",
        "NamedtupleSerializer": "redset.serializers",
    }
    module = owner if owner.startswith("redset") else owners.get(owner, "redset")
    found = importlib.import_module(module)
    assert hasattr(found if module == owner else getattr(found, owner), attribute)


def test_each_test_that_the_table_names_exists() -> None:
    named = re.findall(r"(tests/\S+?\.py)::(test_\w+)", TABLE.read_text())
    assert named
    missing = [
        f"{path}::{test}"
        for path, test in named
        if not (ROOT / path).exists() or f"def {test}(" not in (ROOT / path).read_text()
    ]
    assert missing == []


def test_each_row_of_the_table_names_a_test() -> None:
    bare = [row[0] for row in rows() if "::test_" not in row[-1]]
    assert bare == []
