"""Any object with dumps or loads serves as a serializer, with its own type of member."""

import json
import pickle
from types import SimpleNamespace
from typing import Any

import msgpack
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import redset.interfaces
from redset._protocol.encoding import Encoding, check_serializer
from redset.codecs import JSONSerializer, NamedtupleSerializer
from redset.exceptions import InvalidTypeError, InvalidValueError
from tests.unit.codecs.strategies import texts


class Recorder:
    """A serializer without annotations that notes what loads is given."""

    def __init__(self, member: Any) -> None:
        self.member = member
        self.given: list[Any] = []

    def dumps(self, _item):  # type: ignore[no-untyped-def]
        return self.member

    def loads(self, member):  # type: ignore[no-untyped-def]
        self.given.append(member)


@pytest.mark.parametrize("member", ["text", b"bytes"])
@pytest.mark.parametrize("dump_first", [True, False])
def test_loads_is_given_the_type_that_dumps_returns(member: Any, dump_first: bool) -> None:
    recorder = Recorder(member)
    encoding: Encoding[Any] = Encoding("jobs", recorder)
    if dump_first:
        encoding.encode(1)
    encoding.decode(b"x")
    assert type(recorder.given[0]) is type(member)


@pytest.mark.parametrize("module", [json, pickle, msgpack])
def test_modules_are_serializers(module: Any) -> None:
    item = {"foo": ["barl", 1, None]}
    member = Encoding[Any]("jobs", module).encode(item)
    assert Encoding[Any]("jobs", module).decode(member) == item


def test_the_json_module_makes_one_item_of_one_document() -> None:
    encoding: Encoding[Any] = Encoding("jobs", json)
    assert encoding.encode({"a": 1, "b": {"d": 1, "c": 2}}) == encoding.encode(
        {"b": {"c": 2, "d": 1}, "a": 1}
    )
    assert encoding.encode({"foo": "barl"}) == json.dumps({"foo": "barl"}).encode()


class Reversing:
    def dumps(self, item: str) -> str:
        return item[::-1]

    def loads(self, member: str) -> str:
        return member[::-1]


@given(texts)
@example("\udca9\udcc3")
@example("\ud800")
@example("\udcff")
def test_a_text_comes_back_as_it_was_or_is_refused(text: str) -> None:
    encoding: Encoding[str] = Encoding("jobs", Reversing())
    try:
        member = encoding.encode(text)
    except InvalidValueError as error:
        assert "lone surrogates" in str(error)  # noqa: PT017 - most texts are accepted
        assert any("\ud800" <= character <= "\udfff" for character in text)
        return
    assert encoding.decode(member) == text


@given(st.one_of(st.binary(), st.lists(st.sampled_from([b"\xc3", b"\xa9", b"a"])).map(b"".join)))
def test_any_bytes_are_read_as_a_text_of_which_they_are_the_member(member: bytes) -> None:
    encoding: Encoding[str] = Encoding("jobs", Reversing())
    assert encoding.encode(encoding.decode(member)) == member


def test_an_annotation_spares_the_probe() -> None:
    class Strict:
        def dumps(self, item: tuple[int, int]) -> bytes:
            return bytes(item)

        def loads(self, member: bytes) -> list[int]:
            return list(member)

    assert Encoding[Any]("jobs", Strict()).decode(b"\x01\x02") == [1, 2]


def test_a_missing_method_falls_back_to_str() -> None:
    only_loads: Encoding[Any] = Encoding("jobs", SimpleNamespace(loads=json.loads))
    assert only_loads.encode(12) == b"12"
    assert only_loads.decode(b"12") == 12
    only_dumps: Encoding[Any] = Encoding("jobs", SimpleNamespace(dumps=json.dumps))
    assert only_dumps.decode(only_dumps.encode([1])) == "[1]"


def test_dumps_must_return_text_or_bytes() -> None:
    with pytest.raises(InvalidTypeError, match=r"redset 'jobs': serializer.dumps .* got int"):
        Encoding[Any]("jobs", Recorder(7)).encode("x")


def test_an_object_without_dumps_and_loads_is_no_serializer() -> None:
    with pytest.raises(InvalidTypeError, match="redset 'jobs': serializer must have dumps or"):
        check_serializer("jobs", object())


class OfStaticMethods:
    """A class that serves as it is, as a module does."""

    @staticmethod
    def dumps(item: str) -> str:
        return item

    @classmethod
    def loads(cls, member: str) -> str:
        return member


class OfFunctions:
    dumps = json.dumps
    loads = json.loads


@pytest.mark.parametrize("serializer", [OfStaticMethods, OfFunctions])
def test_a_class_whose_functions_take_an_item_alone_is_a_serializer(serializer: type) -> None:
    encoding: Encoding[Any] = Encoding("jobs", check_serializer("jobs", serializer))
    assert encoding.decode(encoding.encode("a")) == "a"


@pytest.mark.parametrize(
    "serializer", [JSONSerializer, NamedtupleSerializer, Recorder, redset.interfaces.Serializer]
)
def test_a_class_in_place_of_its_instance_is_refused(serializer: type) -> None:
    words = (
        rf"redset 'jobs': .* class {serializer.__name__}; write serializer={serializer.__name__}"
    )
    with pytest.raises(InvalidTypeError, match=words):
        check_serializer("jobs", serializer)
