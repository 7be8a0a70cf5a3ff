"""What does it cost to turn an item into bytes and back?"""

import json
import pickle
import random
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import msgpack

from bench.operations import WrongAnswer
from bench.pairs import Groups, Work, interleave
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


def title(item: str) -> str:
    return f"serialize and read: {item}"


def measure(chosen: list[str], quick: bool, number: int) -> Groups:
    """Measure the serializers of these items once."""
    order, groups = random.Random(number), {}
    for item in chosen:
        value = ITEMS[item]
        work = {
            name: Work(partial(way, value), calls=100)
            for name, (way, known) in WAYS.items()
            if item in known
        }
        for name, each in work.items():
            if (found := each.call()) != value:
                raise WrongAnswer(f"{name}: expected {value!r}, got {found!r}")
        groups[title(item)] = interleave(work, 0 if quick else 0.3, order)
    return groups
