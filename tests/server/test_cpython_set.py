"""CPython's own tests of ``set``, of the interpreter that runs this, against a redset set.

In a copy of its module ``set`` is `OfItems`, a set on the test's server that can be made from items
alone. What fails is named here, with the row of ``docs/set-contract.md`` that says why; an
exclusion that passes is an error.
"""

import functools
import importlib
import inspect
import itertools
import re
import sys
import unittest
from abc import ABCMeta
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, ClassVar

import pytest
import redis

import redset

CONTRACT = Path(__file__).parents[2] / "docs" / "set-contract.md"


class WithDict(ABCMeta):
    """What asks for a ``__dict__``, which builtin sets don't have, is told that it has one."""

    def __new__(cls, name: str, bases: tuple[type, ...], names: dict[str, Any]) -> "WithDict":
        if "__slots__" in names:
            names["__slots__"] = [slot for slot in names["__slots__"] if slot != "__dict__"]
        return super().__new__(cls, name, bases, names)


class OfItems(redset.RedisSortedSet[Any], metaclass=WithDict):
    """A set that is called like builtin ``set``; called like a redset set, it is one."""

    client: ClassVar[redis.Redis]
    numbers: ClassVar[Iterator[int]] = itertools.count()

    def __init__(self, *args: Any, **options: Any) -> None:
        if args and hasattr(args[0], "execute_command"):
            super().__init__(*args, **options)
            return
        if options or len(args) > 1:
            raise TypeError("set expected at most 1 argument")
        super().__init__(self.client, f"set-{next(self.numbers)}")
        self.update(*args)


cpythons: ModuleType | None = None
with suppress(ImportError):  # not every distribution of Python has its tests
    cpythons = importlib.import_module("test.test_set")


@functools.cache
def code_of_cpythons() -> CodeType:
    """The module's code. Its loader would be pytest's, which rewrites the code for each copy."""
    assert cpythons is not None
    return compile(inspect.getsource(cpythons), str(cpythons.__file__), "exec")


def with_redset_sets() -> ModuleType:
    """A copy of CPython's module in which ``set`` is `OfItems`; some of its classes have sets."""
    module = ModuleType("test.test_set")
    vars(module)["set"] = OfItems
    exec(code_of_cpythons(), vars(module))
    return module


# Rows of the contract, by their first cell.
ELEMENTS = "any hashable element"
HASHES = "`==` and `hash` decide"
OBJECTS = "elements come back as the same objects"
REPR = "`repr` shows the elements"
CHANGES = "a set that is changed during iteration raises `RuntimeError`"
ITERATORS = "an iterator can be pickled, and has `__length_hint__`"
SUBCLASS = "what a subclass combines is a builtin `set`"
FROM_ITEMS = "`set(items)`"

# A test, or a class all of whose tests are meant; those of a base class stand for its subclasses.
EXCLUDED = {
    "TestJointOps.test_badcmp": ELEMENTS,
    "TestJointOps.test_container_iterator": ELEMENTS,
    "TestJointOps.test_cyclical_repr": ELEMENTS,
    "TestJointOps.test_deepcopy": ELEMENTS,
    "TestJointOps.test_do_not_rehash_dict_keys": HASHES,
    "TestJointOps.test_gc": ELEMENTS,
    "TestJointOps.test_subclass_with_custom_hash": ELEMENTS,
    "TestBasicOpsTriple": ELEMENTS,
    "TestOperationsMutating": ELEMENTS,
    "TestJointOps.test_iterator_pickling": ITERATORS,
    "TestBasicOps.test_iteration": ITERATORS,
    "TestBasicOps.test_repr": REPR,
    "TestBasicOpsBytes.test_repr": REPR,
    "TestBasicOpsMixedStringBytes.test_repr": REPR,
    "TestBasicOpsString.test_repr": REPR,
    "TestCopyingNested.test_copy": OBJECTS,
    "TestCopyingSingleton.test_copy": OBJECTS,
    "TestCopyingTriple.test_copy": OBJECTS,
    "TestCopyingTuple.test_copy": OBJECTS,
    "TestExceptionPropagation.test_changingSizeWhileIterating": CHANGES,
    "TestSetSubclass.test_copy": SUBCLASS,
    "TestSetSubclass.test_difference": SUBCLASS,
    "TestSetSubclass.test_intersection": SUBCLASS,
    "TestSetSubclass.test_symmetric_difference": SUBCLASS,
    "TestSetSubclass.test_union": SUBCLASS,
    "TestSetSubclass.test_keywords_in_subclass": FROM_ITEMS,
}
OF_FROZENSET = {"TestFrozenSet", "TestFrozenSetSubclass", "TestFrozenSetSubclassWithSlots"}


def cases() -> Iterator[Any]:
    for kind in vars(cpythons).values() if cpythons else ():
        if not (isinstance(kind, type) and issubclass(kind, unittest.TestCase)):
            continue
        if kind.__name__ not in OF_FROZENSET:
            for name in unittest.defaultTestLoader.getTestCaseNames(kind):
                words = (kind.__name__, name)
                yield pytest.param(*words, id=".".join(words), marks=excluded(kind, name))


def excluded(kind: type, name: str) -> list[pytest.MarkDecorator]:
    for parent in kind.__mro__:
        for entry in (f"{parent.__name__}.{name}", parent.__name__):
            if entry in EXCLUDED:
                return [pytest.mark.xfail(strict=True, reason=EXCLUDED[entry])]
    return []


@pytest.mark.parametrize(("kind", "name"), list(cases()))
def test_of_cpython(
    kind: str, name: str, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OfItems, "client", client, raising=False)
    module = with_redset_sets()
    # Where a pickle looks for its classes.
    monkeypatch.setitem(sys.modules, module.__name__, module)
    getattr(module, kind)(name).debug()


def test_each_exclusion_is_of_a_test_of_cpython() -> None:
    if cpythons is None:
        pytest.skip("this Python has been installed without its tests")
    for entry in EXCLUDED:
        kind, _, name = entry.partition(".")
        assert hasattr(getattr(cpythons, kind), name or "__init__"), entry


def test_the_contract_says_why_each_of_them_is_excluded() -> None:
    rows = re.findall(r"^\| (.+?) \| ", CONTRACT.read_text(), re.MULTILINE)
    assert set(EXCLUDED.values()) <= set(rows)
