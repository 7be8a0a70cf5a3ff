"""Namedtuples come back as they were, with their own classes and the types of their values."""

import pickle
from collections import namedtuple
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

import redset.serializers
from redset.codecs import (
    JSONSerializer,
    MsgpackSerializer,
    NamedtupleSerializer,
    PickleSerializer,
    TextSerializer,
    ValueSerializer,
)
from redset.exceptions import InvalidTypeError, InvalidValueError, SerializerError
from tests.unit.codecs.strategies import documents, mutated, typed

Task = namedtuple("Task", "foo,bar,priority")
Renamed = namedtuple("Renamed", "foo,baz,priority")


class Leaf(NamedTuple):
    value: Any


class Tree(NamedTuple):
    left: "Tree | None"
    leaves: list[Leaf]


TASKS = NamedtupleSerializer(Task)


@pytest.mark.law
@given(documents, documents, documents)
def test_a_namedtuple_comes_back_with_the_types_of_its_values(foo: Any, bar: Any, end: Any) -> None:
    back = TASKS.loads(TASKS.dumps(Task(foo, bar, end)))
    assert type(back) is Task
    assert [typed(value) for value in back] == [typed(value) for value in (foo, bar, end)]


def test_namedtuples_of_annotated_classes_nest() -> None:
    trees = NamedtupleSerializer(Tree)
    tree = Tree(Tree(None, [Leaf(1)]), [Leaf((1, {"a": Leaf(2)}))])
    back = trees.loads(trees.dumps(tree))
    assert back == tree
    assert type(back.left) is Tree
    assert type(back.leaves[0].value[1]["a"]) is Leaf


@pytest.mark.parametrize(("most", "inner"), [(34, lambda leaf: leaf), (25, lambda leaf: [leaf])])
def test_so_many_namedtuples_can_be_nested_as_the_documents_say(
    most: int, inner: Callable[[Any], Any]
) -> None:
    leaves = NamedtupleSerializer(Leaf)
    item = Leaf(1)
    for _ in range(most - 1):
        item = Leaf(inner(item))
    assert leaves.loads(leaves.dumps(item)) == item
    with pytest.raises(InvalidValueError, match="deep"):
        leaves.dumps(Leaf(inner(item)))


def test_namedtuples_without_annotations_nest_when_they_are_named() -> None:
    outer = NamedtupleSerializer(Task, nested=[Renamed])
    assert type(outer.loads(outer.dumps(Task(Renamed(1, 2, 3), 0, 0))).foo) is Renamed
    with pytest.raises(InvalidTypeError, match="Renamed is unknown; pass it as nested="):
        TASKS.dumps(Task(Renamed(1, 2, 3), 0, 0))
    with pytest.raises(SerializerError, match="'Renamed' is unknown"):
        TASKS.loads(outer.dumps(Task(Renamed(1, 2, 3), 0, 0)))


def test_two_nested_classes_of_one_name_are_refused() -> None:
    with pytest.raises(InvalidValueError, match="named Task"):
        NamedtupleSerializer(Task, nested=[namedtuple("Task", "x")])


def test_a_member_with_other_fields_is_an_error_that_names_them() -> None:
    member = NamedtupleSerializer(Renamed).dumps(Renamed(1, 2, 3))
    with pytest.raises(SerializerError, match=r"of Task: missing \['bar'\], unknown \['baz'\]"):
        TASKS.loads(member)


@pytest.mark.parametrize("item", [("yo", "baz", 1), {"foo": 1}, None, Renamed(1, 2, 3)])
def test_items_of_another_class_are_refused(item: Any) -> None:
    with pytest.raises(InvalidTypeError, match="expected an item of type Task"):
        TASKS.dumps(item)


@pytest.mark.parametrize("cls", [tuple, dict, "Task", None])
def test_only_a_namedtuple_class_will_do(cls: Any) -> None:
    with pytest.raises(InvalidTypeError, match="namedtuple class"):
        NamedtupleSerializer(cls)


def test_an_annotation_that_names_nothing_at_run_time_is_no_error() -> None:
    Loose = NamedTuple("Loose", [("value", "Nowhere")])  # type: ignore[name-defined]  # noqa: F821, UP014
    loose = NamedtupleSerializer(Loose)
    assert loose.loads(loose.dumps(Loose(1))) == Loose(1)


@given(
    st.one_of(
        st.binary(),
        documents.map(MsgpackSerializer().dumps),
        documents.map(lambda value: TASKS.dumps(Task(value, 1, 2))).flatmap(mutated),
    )
)
def test_any_bytes_are_an_item_or_an_error(member: bytes) -> None:
    try:
        item = TASKS.loads(member)
    except SerializerError:
        return
    assert type(item) is Task


@pytest.mark.parametrize(
    "serializer",
    [
        ValueSerializer(),
        TextSerializer(),
        JSONSerializer(),
        MsgpackSerializer([(Leaf, 1, tuple, Leaf._make)]),
        PickleSerializer(allow=[Leaf], secret=b"0123456789abcdef"),
        NamedtupleSerializer(Leaf),
    ],
    ids=lambda serializer: type(serializer).__name__,
)
def test_serializers_travel_to_other_processes(serializer: Any) -> None:
    item = "text" if isinstance(serializer, TextSerializer | JSONSerializer) else Leaf(1)
    copy = pickle.loads(pickle.dumps(serializer))
    assert copy.dumps(item) == serializer.dumps(item)
    assert copy.loads(serializer.dumps(item)) == item


def test_the_older_import_path_has_the_same_names() -> None:
    assert redset.serializers.NamedtupleSerializer is NamedtupleSerializer
    assert set(redset.serializers.__all__) == set(redset.codecs.__all__)


@pytest.mark.parametrize("member", ["text", b"\xc1", b"", b"\x01"])
def test_errors_name_the_serializer_that_a_user_knows(member: Any) -> None:
    with pytest.raises(SerializerError, match=r"^NamedtupleSerializer can't read member"):
        TASKS.loads(member)
