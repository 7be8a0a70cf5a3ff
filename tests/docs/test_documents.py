"""The documents say what is so: their examples run, what they quote and link to exists."""

import ast
import doctest
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

import redset
from redset import demo, embedded
from tests.servers import TestServer

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
DOCS = ROOT / "docs"
TABLE = DOCS / "redset-0.4.md"
DOCUMENTS = [README, *sorted(DOCS.glob("*.md"))]
WITH_LINKS = [*DOCUMENTS, ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", ROOT / "CHANGELOG.md"]
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


def name_of(document: Path) -> str:
    """The name that pytest shows."""
    return document.relative_to(ROOT).as_posix()


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


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current directory of the examples, without servers when they have ended."""
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for made in tmp_path.iterdir():
        embedded.shared_server(made).close()


def run_examples(test: doctest.DocTest) -> None:
    said: list[str] = []
    result = doctest.DocTestRunner(verbose=False).run(test, out=said.append)
    assert result.failed == 0, "".join(said)


def examples_of(document: Path) -> doctest.DocTest:
    """All the ``>>>`` of a document's python blocks, as one session with its own line numbers.

    Those in comments belong to it: they remove what a reader may keep.
    """
    lines: list[str] = []
    inside = False
    for line in document.read_text().splitlines():
        fence = line.startswith("```")
        lines.append(line if inside and not fence else "")
        inside = line == "```python" or (inside and not fence)
    parser = doctest.DocTestParser()
    return parser.get_doctest("\n".join(lines), {}, document.name, str(document), 0)


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
@pytest.mark.usefixtures("directory")
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


def test_worker_of_the_demo_is_shown_as_it_is() -> None:
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / "frontier.md").read_text(), re.DOTALL)
    [shown] = [block for block in blocks if block.startswith("def work(")]
    assert without_docstring(shown) == without_docstring(inspect.getsource(demo.work))


def test_figures_of_the_demo_are_shown_as_it_prints_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = (DOCS / "frontier.md").read_text()
    [shown] = re.findall(r"^mapping .*\n((?:.+\n)+?)\$", text, re.MULTILINE)
    demo.report([demo.Mapped("a", set())], ["a"], 1.0, {"a"})
    lines = [re.sub(r"[\d,.]*\d", "0", line) for line in shown.splitlines()]
    printed = [re.sub(r"[\d,.]*\d", "0", line) for line in capsys.readouterr().out.splitlines()]
    assert [line.split() for line in lines] == [line.split() for line in printed]
    figures = re.findall(r"^[a-z ]+ ([\d,]+)", shown, re.MULTILINE)
    seeds, found, refused, modules = (int(figure.replace(",", "")) for figure in figures[:4])
    assert seeds + found - refused == modules


def test_the_web_example_is_shown_as_it_is() -> None:
    text = (DOCS / "asyncio.md").read_text()
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


@pytest.mark.parametrize("document", WITH_LINKS, ids=name_of)
def test_links_of_a_document_lead_to_files_and_headings(document: Path) -> None:
    missing = []
    for target, heading in re.findall(r"\]\(([^)#:\s]*)(?:#([^)]*))?\)", document.read_text()):
        path = document.parent / target if target else document
        if not path.exists() or (heading and heading not in anchors(path)):
            missing.append(f"{target}#{heading}")
    assert missing == []


def anchors(document: Path) -> set[str]:
    """The anchors that GitHub makes of the headings."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_map_of_the_documents_leads_to_each_of_them() -> None:
    linked = set(re.findall(r"\]\(([\w.-]+\.md)\)", (DOCS / "README.md").read_text()))
    assert {path.name for path in DOCS.glob("*.md")} - {"README.md"} == linked


@pytest.mark.parametrize("page", ["sets.md", "which-set.md"])
def test_calls_that_a_table_names_exist(page: str) -> None:
    """Of calls on a set; those of a lease, and what is called by its module, stand apart."""
    named = re.findall(r"(?<![\w.])`(?:\w\.)?([a-z_]+)\(", (DOCS / page).read_text())
    assert named
    elsewhere = {"reversed", "len", "help", "attempt"}
    missing = [
        name for name in named if name not in elsewhere and not hasattr(redset.ScheduledSet, name)
    ]
    assert missing == []


def test_every_call_of_a_set_is_named_in_the_reference() -> None:
    named = set(re.findall(r"`(\w+)", (DOCS / "sets.md").read_text()))
    calls = {name for name in dir(redset.ScheduledSet) if not name.startswith("_")}
    assert calls - named == set()


def test_every_error_is_in_the_table_of_errors() -> None:
    named = set(re.findall(r"`(\w+)`", (DOCS / "errors.md").read_text()))
    errors = {
        name
        for name, kind in vars(redset.exceptions).items()
        if not name.startswith("_") and inspect.isclass(kind) and issubclass(kind, Exception)
    }
    assert errors - named == set()


TERMINAL = """
import doctest, sys
doctest.testfile(sys.argv[1], module_relative=False)
print("ended", flush=True)
input()
"""


@pytest.mark.usefixtures("empty_server")
def test_quick_start_runs_in_two_terminals(
    directory: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Each block in a process of its own; the first one lives while the second runs."""
    [section] = re.findall(r"^## Quick start.*?(?=^## )", README.read_text(), re.DOTALL | re.M)
    blocks = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    assert len(blocks) == 2
    running = []
    try:
        for number, block in enumerate(blocks):
            path = tmp_path_factory.mktemp("terminal") / f"terminal-{number}.txt"
            path.write_text(block)
            command = [sys.executable, "-c", TERMINAL, str(path)]
            pipe = subprocess.PIPE
            process = subprocess.Popen(command, cwd=directory, stdin=pipe, stdout=pipe, text=True)
            running.append(process)
            assert process.stdout is not None
            shown = "".join(iter(process.stdout.readline, "ended\n"))
            assert shown == ""
    finally:
        for process in running:
            process.communicate("\n")


def test_commands_of_the_readme_are_targets_of_the_makefile() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z-]+)", README.read_text())) <= targets


# The table of redset 0.4


def rows() -> list[list[str]]:
    """The cells of each row, without the heads of the tables."""
    _, _, tables = TABLE.read_text().partition("\n## Sets\n")
    lines = [line for line in tables.splitlines() if line.startswith("| `")]
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
