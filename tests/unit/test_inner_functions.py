"""Functions that a call makes: Python evaluates their annotations each time, unless told not to."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import redset

PACKAGE = Path(redset.__file__).parent
# The rooms that each call goes through; what runs once for a program may evaluate its own.
ROOMS = ("_methods", "_plans", "_protocol", "_transport", "asyncio", "codecs")
MODULES = [path for room in ROOMS for path in sorted((PACKAGE / room).rglob("*.py"))]


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def annotations(function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[ast.expr]:
    arguments = function.args
    all_of_them = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    for argument in (*all_of_them, arguments.vararg, arguments.kwarg):
        if argument is not None and argument.annotation is not None:
            yield argument.annotation
    if function.returns is not None:
        yield function.returns


def is_dear(annotation: ast.expr) -> bool:
    """``list[T]`` and ``A | B`` make an object, of `typing` at that; a name is only read."""
    return any(isinstance(node, ast.Subscript | ast.BinOp) for node in ast.walk(annotation))


def postpones(tree: ast.Module) -> bool:
    return any(
        isinstance(each, ast.ImportFrom) and each.module == "__future__" for each in tree.body
    )


def dear_inner_functions(tree: ast.Module) -> list[str]:
    return [
        f"{inner.name}, line {inner.lineno}"
        for outer in functions(tree)
        for inner in functions(ast.Module(outer.body, []))
        if any(map(is_dear, annotations(inner)))
    ]


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_call_evaluates_annotations(module: Path) -> None:
    tree = ast.parse(module.read_text())
    assert postpones(tree) or not dear_inner_functions(tree)


def test_dear_annotations_of_inner_functions_are_found() -> None:
    source = "def take():\n    def some(num: int, wait: A) -> Plan[int]:\n        pass\n"
    assert dear_inner_functions(ast.parse(source)) == ["some, line 2"]
    assert not dear_inner_functions(ast.parse(source.replace("Plan[int]", "Plan")))
