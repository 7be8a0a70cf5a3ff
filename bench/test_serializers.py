"""What does it cost to turn an item into bytes and back?"""

import json
import pickle
from collections.abc import Callable
from typing import Any, NamedTuple

import msgpack
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from redset.codecs import (
    JSONSerializer,
    MsgpackSerializer,
    NamedtupleSerializer,
    PickleSerializer,
    TextSerializer,
    ValueSerializer,
)


class Task(NamedTuple):
    kind: str
    number: int
    arguments: tuple[Any, ...]


DOCUMENT = {"kind": "resize", "id": 7_000_000, "tags": ["a", "b"], "size": {"w": 640, "h": 480}}
ITEMS: dict[str, Any] = {
    "int": 7_000_000,
    "str": "item:00000007",
    "tuple": ("resize", 7_000_000, 0.5),
    "task": Task("resize", 7_000_000, ("a.png", 640)),
    "document": DOCUMENT,
}


def by_msgpack(item: Any) -> Any:
    return msgpack.unpackb(msgpack.packb(item))


def by_json(item: Any) -> Any:
    return json.loads(json.dumps(item, sort_keys=True))


def by_pickle(item: Any) -> Any:
    return pickle.loads(pickle.dumps(item))


def both(serializer: Any) -> Callable[[Any], Any]:
    return lambda item: serializer.loads(serializer.dumps(item))


WAYS: dict[str, tuple[Callable[[Any], Any], list[str]]] = {
    "json module": (by_json, ["int", "str", "document"]),
    "pickle module": (by_pickle, list(ITEMS)),
    "msgpack module": (by_msgpack, ["int", "str", "document"]),
    "redset, Python values": (both(ValueSerializer()), ["int", "str", "tuple", "task"]),
    "TextSerializer": (both(TextSerializer()), ["str"]),
    "MsgpackSerializer": (both(MsgpackSerializer()), ["int", "str", "tuple", "document"]),
    "JSONSerializer": (both(JSONSerializer()), ["int", "str", "document"]),
    "PickleSerializer": (both(PickleSerializer(allow=[Task])), list(ITEMS)),
    "NamedtupleSerializer": (both(NamedtupleSerializer(Task)), ["task"]),
}


@pytest.mark.parametrize(
    ("item", "way"), [(item, way) for item in ITEMS for way in WAYS if item in WAYS[way][1]]
)
def test_there_and_back(benchmark: BenchmarkFixture, item: str, way: str) -> None:
    benchmark.group, benchmark.name = f"6 serialize and read: {item}", way
    benchmark.pedantic(WAYS[way][0], (ITEMS[item],), rounds=100, iterations=100, warmup_rounds=2)
