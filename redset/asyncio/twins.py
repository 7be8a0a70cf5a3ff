"""Twins: a docstring stands once, with the synchronous method; its twin here is given the same."""

from collections.abc import Callable
from inspect import getattr_static
from types import FunctionType
from typing import TypeVar

C = TypeVar("C", bound=type)

# Where the two surfaces have different names for one thing.
NAMED = {
    "contains": "__contains__",
    "size": "__len__",
    "equals": "__eq__",
    "ispropersubset": "__lt__",
    "ispropersuperset": "__gt__",
    "__aiter__": "__iter__",
}


def documented(twin: type) -> Callable[[C], C]:
    """Give the methods of a class the docstrings of its synchronous *twin*."""

    def document(cls: C) -> C:
        for name, method in vars(cls).items():
            is_public = not name.startswith("_") or name.endswith("__")
            if is_public and isinstance(method, FunctionType | property) and not method.__doc__:
                original = getattr_static(twin, NAMED.get(name, name), None)
                method.__doc__ = None if original is None else original.__doc__
        return cls

    return document
