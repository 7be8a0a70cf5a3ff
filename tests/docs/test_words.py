"""The documents, and the prose of the package, avoid words that a reader would have to look up."""

import ast
import io
import re
import tokenize
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

import redset

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = Path(redset.__file__).parent
TEXTS = [
    path
    for folder in ("redset", "tests", "bench", "tools", "examples", "docs")
    for path in sorted((ROOT / folder).rglob("*"))
    if path.suffix in {".py", ".lua", ".md"} and path != Path(__file__)
]
DOCUMENTS = [ROOT / "README.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*.md"))]
MODULES = sorted(PACKAGE.rglob("*.py"))
SCRIPTS = sorted(PACKAGE.rglob("*.lua"))

# A reader whose first language isn't English has to look these up, or can't.
UNCLEAR = [
    "but for", "but that", "without that", "anew", "meanwhile", "so many", "at the most",
    "for good", "stands for", "stand for", "on its way", "is had", "told of", "a moment later",
    "all the same", "for ever", "nobody", "somebody", "whoever",
    "handed out", "hand out", "hands out",
]  # fmt: skip
# A sentence of the code names its subject: the consumer, the caller, the server, the lease.
UNCLEAR_IN_CODE = [
    *UNCLEAR, "at the least", "as ever", "on their way", "handing out", "taker", "takers",
    "say whether", "says whether", "take along", "stranger", "strangers",
    "who", "whom", "he", "him", "his", "himself",
]  # fmt: skip
# A docstring says what is done or returned: "Return the score", not "Give the score".
BEGINNINGS = {"Give", "Gives", "Say", "Says", "How", "Whether", "Have"}

# Names that the code had, and the terms of the field that replace them.
REPLACED = {
    "Lane": "PinnedConnection", "Lanes": "PinnedConnections", "lanes_of": "pinned_connections_for",
    "lane": "pinned connection", "lanes": "pinned connections", "SHARE": "POOL_DIVISOR",
    "_check_out": "acquire", "give_back": "release, return_to_ready", "_settled": "idle",
    "Turns": "IdempotencySlots", "Loan": "a context manager", "lend": "acquire",
    "take_up": "check_out", "lay_down": "check_in", "given_up": "discarding",
    "KEEP_SECONDS": "REPLY_TTL", "MOST_": "MAX_",
    "Vigil": "SubscriptionSlot", "Rhythm": "SubscriptionReuse", "Watch": "KeySubscription",
    "ClientWatch": "AsyncKeySubscription", "Station": "SharedSubscription",
    "Attention": "WakeupBackoff", "greet": "handshake", "catch_up": "drain",
    "_reticence": "backoff", "PATIENCE_SECONDS": "RECHECK_INTERVAL", "patience": "a timeout",
    "borrow": "acquire_connection", "takes_name": "requires_command_name",
    "Wire": "Pipeliner", "Parcel": "PendingRequest", "parcel": "PendingRequest",
    "_hand_in": "enqueue", "_exchange": "round_trip", "_ask": "send_batch, or what is asked",
    "_talk": "write_and_read", "abandoned": "cancelled_after_send",
    "_is_left_behind": "is_orphaned", "Spec": "SetConfig", "Terms": "TakeOptions",
    "admits_all": "not deduplicates", "admission": "dedup_keys", "Pause": "WaitForChange",
    "Pull": "ReadItems", "Batch": "ItemBatch", "unscored_later": "unscored_async",
    "_Filling": "ChunkBuilder", "take_in": "add", "encode_known": "encode_or_none",
    "encode_sought": "encode_for_lookup", "Walk": "Cursor", "go_on": "advance",
    "Remote": "StoredOperand", "life": "ttl", "_STRANGER": "UNENCODABLE",
    "Holds": "LeasedItems", "bury": "dead_letter", "HandingOut": "QueueOperations",
    "handing_out": "delivery", "hand_out": "deliver", "taker": "consumer", "takers": "consumers",
    "_to_add": "operations.add", "_most": "max_deliveries", "_at_once": "no_wait",
    "_due_by": "due_clock", "_move": "rebind", "_sibling": "derive",
    "_explained": "translate_error", "_turns": "requests.take", "_leases": "requests.lease",
    "_settlings": "requests.settle", "_inserts": "requests.insert", "_stores": "requests.store",
    "ResultConnection": "RefreshingConnection", "_drop": "delete_keys",
    "PortableClient": "PicklableClient", "renewed_in_children": "reset_lock_after_fork",
    "Opening": "AwaitableContext", "ABSENT": "UnsupportedOperator", "to_the_end": "run_shielded",
    "Renewal": "LeaseRenewer", "_is_a_copy": "in_forked_child",
    "until_done": "until_acked", "for_good": "forever",
}  # fmt: skip

# Code inside prose: names of methods and arguments, and examples.
CODE = re.compile(r"``.*?``|`[^`]*`|^\s*(?:>>>|\.\.\.) .*$", re.MULTILINE)
MARK = re.compile(r"# (?:noqa|type|sync|pyright|ruff|fmt)\b.*")


def name_of(document: Path) -> str:
    """The name that pytest shows."""
    return document.relative_to(ROOT).as_posix()


def unclear(text: str, words: list[str]) -> list[str]:
    plain = " ".join(text.split()).lower()
    return [each for each in words if re.search(rf"\b{each}\b", plain)]


def joined(lines: Iterable[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """Return comments with their first lines; lines that follow each other are one comment."""
    start, last, text = 0, -1, ""
    for line, words in lines:
        if line == last + 1:
            text = f"{text} {words}"
        else:
            yield start, text
            start, text = line, words
        last = line
    yield start, text


def comments(source: str) -> Iterator[tuple[int, str]]:
    return joined(
        (token.start[0], MARK.sub("", token.string).lstrip("# "))
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    )


def comments_of_script(source: str) -> Iterator[tuple[int, str]]:
    """Return the comments of a Lua script that have lines of their own."""
    lines = enumerate(map(str.strip, source.splitlines()), 1)
    return joined((line, words.lstrip("- ")) for line, words in lines if words.startswith("--"))


def strings(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Each string with its first line: docstrings, messages, the text of f-strings."""
    inner = set[int]()
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = [part for part in node.values if isinstance(part, ast.Constant)]
            inner.update(map(id, parts))
            yield node.lineno, " … ".join(str(part.value) for part in parts)
        elif id(node) not in inner and isinstance(node, ast.Constant) and type(node.value) is str:
            yield node.lineno, node.value


def unclear_places(source: str) -> list[str]:
    """Return the unclear words of a module's prose, each with the line where the text begins."""
    return unclear_in([*comments(source), *strings(ast.parse(source))])


def unclear_in(prose: Iterable[tuple[int, str]]) -> list[str]:
    return [
        f"line {line}: {words}"
        for line, text in sorted(prose)
        for words in unclear(CODE.sub(" ", text), UNCLEAR_IN_CODE)
    ]


def docstrings(source: str) -> Iterator[tuple[int, str]]:
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, kinds) and (text := ast.get_docstring(node)):
            yield getattr(node, "lineno", 1), text


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_documents_use_plain_words(document: Path) -> None:
    assert unclear(document.read_text(), UNCLEAR) == []


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_prose_of_the_package_uses_plain_words(module: Path) -> None:
    assert unclear_places(module.read_text()) == []


@pytest.mark.parametrize("script", SCRIPTS, ids=name_of)
def test_comments_of_the_scripts_use_plain_words(script: Path) -> None:
    assert unclear_in(comments_of_script(script.read_text())) == []


def replaced_names(text: str) -> set[str]:
    found = {*re.findall(r"\w+", text), *re.findall(r"\bMOST_", text)}
    return found & REPLACED.keys()


def test_names_that_were_replaced_are_nowhere() -> None:
    texts = {name_of(path): path.read_text() for path in TEXTS}
    found = {name: replaced_names(text) for name, text in texts.items()}
    assert len(found) > 350
    assert {name: words for name, words in found.items() if words} == {}


def test_replaced_names_are_found_whole_and_by_their_beginning() -> None:
    assert replaced_names("MOST_SETS = pool.borrow()") == {"MOST_", "borrow"}
    assert replaced_names("ALMOST_ALL = borrowed(lanes_of_a_road)") == set()


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_docstrings_begin_with_what_is_done_or_returned(module: Path) -> None:
    found = [
        f"line {line}: {text.splitlines()[0]}"
        for line, text in docstrings(module.read_text())
        if text.split()[0] in BEGINNINGS
    ]
    assert found == []


@pytest.mark.parametrize(
    "source",
    [
        '"""Items go to whoever\nasks."""',
        "ready = 1  # but\n# for this one",
        "raise KeyError(f'{name} is kept for {much} good, for good')",
        "def wait():\n    'Wait a moment\\n\\n    later: a moment later.'",
    ],
)
def test_unclear_words_are_found_in_docstrings_comments_and_messages(source: str) -> None:
    assert len(unclear_places(source)) == 1


@pytest.mark.parametrize(
    "source",
    [
        "for_good = anew + whoever",
        "x = 1  # see `hand out`",
        "'''Return ``anew``.\n\n>>> anew\n'''",
    ],
)
def test_identifiers_and_examples_are_no_prose(source: str) -> None:
    assert unclear_places(source) == []


def test_unclear_words_are_found_in_the_comments_of_scripts() -> None:
    script = (
        "-- Kept for\n  -- good.\nlocal anew = 'anew'  -- see `anew`\n-- Add whoever\n-- asks.\n"
    )

    assert unclear_in(comments_of_script(script)) == ["line 1: for good", "line 4: whoever"]
