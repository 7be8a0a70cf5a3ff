"""Both surfaces have the same methods, arguments and docstrings, but for what is listed here."""

import inspect
import re
from typing import Any

import pytest

import redset
import redset.asyncio
import redset.leases
import redset.locks
from redset.asyncio.operators import UNSUPPORTED

PAIRS: list[tuple[Any, Any]] = [
    (redset.RedisSortedSet, redset.asyncio.RedisSortedSet),
    (redset.SortedSet, redset.asyncio.SortedSet),
    (redset.TimeSortedSet, redset.asyncio.TimeSortedSet),
    (redset.ScheduledSet, redset.asyncio.ScheduledSet),
    (redset.FirstOf, redset.asyncio.FirstOf),
    (redset.FirstConsumer, redset.asyncio.FirstConsumer),
    (redset.Consumer, redset.asyncio.Consumer),
    (redset.leases.Lease, redset.asyncio.Lease),
    (redset.locks.Lock, redset.asyncio.Lock),
    (redset.ServerClock, redset.asyncio.ServerClock),
]
pairs = pytest.mark.parametrize(
    ("one", "other"), PAIRS, ids=[f"{one.__name__}" for one, _ in PAIRS]
)

# All that differs on purpose; docs/asyncio.md has the same list.
INSTEAD = {  # an operator, and the method that is awaited instead
    "__contains__": "contains",
    "__len__": "size",
    "__eq__": "equals",
    "__lt__": "ispropersubset",
    "__gt__": "ispropersuperset",
    "__iter__": "__aiter__",
    "__next__": "__anext__",
    "__enter__": "__aenter__",
    "__exit__": "__aexit__",
}
ADDED = {  # on the asyncio surface only
    *INSTEAD.values(),
    "aclose",  # what contextlib.aclosing calls
    "synchronize",  # of ServerClock, which can't ask the server when it is called
}
ADDED_ARGUMENTS = {"pipelining"}
# Documented for itself: what belongs to a thread there belongs to a task here.
OWN_WORDS = {"acquire", "release", "synchronize", "aclose", "contains", "__call__"}

# What Python brings along, whatever a class does.
OF_PYTHON = {
    *dir(object),
    *("__weakref__", "__dict__", "__module__", "__annotations__", "__orig_bases__"),
    *("__parameters__", "__abstractmethods__", "__class_getitem__", "__slots__"),
    *("__static_attributes__", "__firstlineno__", "__type_params__", "__protocol_attrs__"),
    "__slotnames__",  # which is kept once an instance was asked for its state
}


def is_public(name: str) -> bool:
    return not name.startswith("_") or (name.endswith("__") and name not in OF_PYTHON)


def names(kind: type) -> set[str]:
    return {name for name in dir(kind) if is_public(name)}


def parameters(method: Any) -> list[tuple[str, Any, Any]]:
    signature = inspect.signature(method)
    return [
        (name, parameter.kind, parameter.default)
        for name, parameter in signature.parameters.items()
        if name not in ADDED_ARGUMENTS
    ]


def is_plain_sequence(name: str) -> bool:
    # A lease is a sequence that is here, on both sides.
    return name in {"__getitem__", "__len__", "__contains__", "__iter__", "__reversed__"}


@pairs
def test_what_one_surface_has_the_other_has(one: Any, other: Any) -> None:
    there, here = names(one), names(other) - {"__bool__"}
    expected = {
        name
        for name in there
        if name not in INSTEAD or (one is redset.leases.Lease and is_plain_sequence(name))
    }
    operators = {
        name for name in here if name in UNSUPPORTED and issubclass(one, redset.RedisSortedSet)
    }
    of_a_set = {"__isub__", "__ixor__", "_from_iterable", "__subclasshook__"}
    assert expected - here - of_a_set == set()
    assert here - operators - ADDED - there == set()
    for name in there & INSTEAD.keys() - expected:
        assert INSTEAD[name] in here, name


@pairs
def test_methods_take_the_same_arguments(one: Any, other: Any) -> None:
    for name in sorted(names(one) | {"__init__"}):
        theirs = inspect.getattr_static(one, name)
        ours = inspect.getattr_static(other, INSTEAD.get(name, name), None)
        if inspect.isfunction(theirs) and inspect.isfunction(ours) and name not in UNSUPPORTED:
            assert parameters(ours) == parameters(theirs), name


@pairs
def test_methods_have_the_same_docstring(one: Any, other: Any) -> None:
    for name in sorted(names(one)):
        ours = inspect.getattr_static(other, INSTEAD.get(name, name), None)
        theirs = inspect.getattr_static(one, name)
        if name in UNSUPPORTED or name in OWN_WORDS or not callable(theirs):
            continue
        assert ours is not None, name
        assert ours.__doc__ == theirs.__doc__, name


@pairs
def test_everything_public_is_documented(one: Any, other: Any) -> None:
    for name in sorted(names(other)):
        if not name.startswith("_"):
            assert inspect.getdoc(inspect.getattr_static(other, name)), name


@pairs
def test_what_awaits_there_is_a_coroutine_or_opens_something(one: Any, other: Any) -> None:
    no_waiting = {
        *("name", "key", "lock", "dead", "deliveries", "members", "close", "index", "count"),
        *(
            "all_members",
            "by_lease",
            "key_of",
            "not_returning",
            "to_return",
            "is_settled_at_once",
            "log_lost",
            "loss",
        ),
    }
    opening = {"lease", "union", "intersection", "difference", "symmetric_difference", "copy"}
    opening |= {"attempt"}
    iterating = {"consume", "leased", "items", "dead_letters"}
    for name in sorted(names(other)):
        method = inspect.getattr_static(other, name)
        if name.startswith("_") or (one is redset.leases.Lease and name in no_waiting):
            continue
        if inspect.isfunction(method) and name not in opening | iterating:
            assert inspect.iscoroutinefunction(method), name


@pytest.mark.parametrize("module", [redset, redset.asyncio], ids=lambda module: module.__name__)
@pytest.mark.parametrize("name", ["RedisSortedSet", "SortedSet", "TimeSortedSet", "ScheduledSet"])
def test_help_of_a_set_names_each_argument_that_it_takes(module: Any, name: str) -> None:
    kind = getattr(module, name)
    signature = inspect.signature(kind)
    _, *taken = inspect.signature(kind.__init__).parameters.values()
    assert list(signature.parameters.values()) == taken
    _, _, section = (inspect.getdoc(kind) or "").partition("\nArgs:\n")
    described = re.findall(r"^    (\w[\w, ]*):", section, re.MULTILINE)
    assert sorted(", ".join(described).split(", ")) == sorted(signature.parameters)


def test_connect_takes_the_same_arguments() -> None:
    assert parameters(redset.asyncio.connect) == parameters(redset.connect)


def test_the_names_of_the_module_are_those_of_redset() -> None:
    here = set(redset.asyncio.__all__)
    exceptions = {name for name in redset.__all__ if issubclass_of_exception(name)}
    assert here == set(redset.__all__) - exceptions


def issubclass_of_exception(name: str) -> bool:
    found = getattr(redset, name)
    return isinstance(found, type) and issubclass(found, Exception)


def test_an_argument_on_one_side_only_would_be_noticed() -> None:
    class Before:
        def method(self, item: int) -> None: ...

    class After:
        async def method(self, item: int, *, option: bool = False) -> None: ...

    assert parameters(After.method) != parameters(Before.method)
