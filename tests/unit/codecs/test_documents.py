"""What documents promise: the same content is the same item, and types stay as they are."""

import json
import math
from collections import OrderedDict, namedtuple
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from redset.codecs import JSONSerializer, MsgpackSerializer, TextSerializer
from redset.exceptions import InvalidTypeError, InvalidValueError, SerializerError
from tests.unit.codecs.strategies import (
    Colour,
    Level,
    documents,
    json_documents,
    mutated,
    shuffled,
    texts,
    typed,
)

MSGPACK, JSON, TEXT = MsgpackSerializer(), JSONSerializer(), TextSerializer()
Point = namedtuple("Point", "x,y")


def nested(depth: int, wrap: Callable[[Any], Any]) -> Any:
    item = wrap(None)
    for _ in range(depth):
        item = wrap(item)
    return item


@pytest.mark.law
@given(documents)
def test_msgpack_gives_back_the_same_content_with_its_types(document: Any) -> None:
    assert typed(MSGPACK.loads(MSGPACK.dumps(document))) == typed(document)


@pytest.mark.law
@given(documents, documents)
def test_msgpack_members_are_equal_if_and_only_if_content_and_types_are(
    one: Any, other: Any
) -> None:
    assert MSGPACK.dumps(one) == MSGPACK.dumps(shuffled(one))
    assert (MSGPACK.dumps(one) == MSGPACK.dumps(other)) == (typed(one) == typed(other))


@pytest.mark.law
@given(json_documents, json_documents)
def test_json_members_are_equal_if_and_only_if_content_and_types_are(one: Any, other: Any) -> None:
    assert JSON.dumps(one) == JSON.dumps(shuffled(one))
    assert (JSON.dumps(one) == JSON.dumps(other)) == (typed(one) == typed(other))
    assert typed(JSON.loads(JSON.dumps(one))) == typed(one)


@pytest.mark.parametrize("serializer", [MSGPACK, JSON])
def test_inside_a_document_one_and_true_are_different_items(
    serializer: MsgpackSerializer | JSONSerializer,
) -> None:
    assert len({serializer.dumps({"a": value}) for value in (1, 1.0, True)}) == 3


@pytest.mark.parametrize("serializer", [MSGPACK, JSON])
def test_the_sign_of_zero_and_the_class_of_a_dict_make_no_difference(
    serializer: MsgpackSerializer | JSONSerializer,
) -> None:
    plain = serializer.dumps({"a": 0.0, "b": 1})
    assert serializer.dumps(OrderedDict([("b", 1), ("a", -0.0)])) == plain


def test_msgpack_carries_subclasses_as_the_base_that_they_equal() -> None:
    moment = type("Moment", (datetime,), {})(2024, 1, 1)
    document = [Level.HIGH, Colour.RED, Point(1, 2), moment]
    assert MSGPACK.loads(MSGPACK.dumps(document)) == document
    assert MSGPACK.dumps(document) == MSGPACK.dumps([1, "red", (1, 2), datetime(2024, 1, 1)])


def test_msgpack_carries_what_messagepack_lacks() -> None:
    for item in (2**64, -(2**99999), 1j, bytearray(b"a"), {(1, (2,)): frozenset({()})}, "\ud800"):
        back = MSGPACK.loads(MSGPACK.dumps(item))
        assert (type(back), back) == (type(item), item)
    assert math.isnan(MSGPACK.loads(MSGPACK.dumps(-math.nan)))


def test_msgpack_orders_keys_alike_whatever_stands_beside_them() -> None:
    texts = ["é", "z", "aa", "a" * 40, "b" * 300, "", "\ud800"]
    alone, beside = (
        list(MSGPACK.loads(MSGPACK.dumps(item)))
        for item in (dict.fromkeys(texts), dict.fromkeys([*texts, Colour.RED]))
    )
    assert alone == [key for key in beside if key != "red"]


def test_msgpack_counts_equal_decimals_and_moments_as_one() -> None:
    east = timezone(timedelta(hours=1))
    assert MSGPACK.dumps([Decimal("1.0")]) == MSGPACK.dumps([Decimal("1.00")])
    assert MSGPACK.dumps(datetime(2024, 1, 1, 1, tzinfo=east)) == MSGPACK.dumps(
        datetime(2024, 1, 1, tzinfo=UTC)
    )


def test_msgpack_refuses_a_dict_with_two_nan_keys() -> None:
    with pytest.raises(InvalidValueError, match="nan"):
        MSGPACK.dumps({float("nan"): 1, float("nan"): 2})


class Money:
    def __init__(self, amount: Decimal, currency: str) -> None:
        self.amount = amount
        self.currency = currency


def registered() -> MsgpackSerializer:
    return MsgpackSerializer(
        types=[(Money, 7, lambda money: (money.amount, money.currency), lambda two: Money(*two))]
    )


def test_msgpack_carries_registered_types_at_any_place() -> None:
    back = registered().loads(registered().dumps({"pay": [Money(Decimal("1.5"), "EUR")]}))
    assert (back["pay"][0].amount, back["pay"][0].currency) == (Decimal("1.5"), "EUR")


def test_msgpack_refuses_types_that_are_not_registered_by_name() -> None:
    with pytest.raises(InvalidTypeError, match="no type Money; register it"):
        MSGPACK.dumps([Money(Decimal(1), "EUR")])
    with pytest.raises(SerializerError, match="7 is not registered"):
        MSGPACK.loads(registered().dumps(Money(Decimal(1), "EUR")))


@pytest.mark.parametrize("code", [-1, 64, 127, 7, "7"])
def test_msgpack_refuses_codes_that_are_taken_or_reserved(code: Any) -> None:
    with pytest.raises(InvalidValueError, match=r"7|0 to 63"):
        registered().register(Point, code, tuple, Point._make)


def test_msgpack_registers_classes_only_and_each_once() -> None:
    with pytest.raises(InvalidTypeError, match="only a class"):
        registered().register("Money", 1, str, str)  # type: ignore[arg-type]
    with pytest.raises(InvalidValueError, match="already"):
        registered().register(Money, 8, repr, eval)


def test_an_error_in_the_loads_of_a_registered_type_is_a_serializer_error() -> None:
    picky = MsgpackSerializer([(Money, 7, lambda money: 0, lambda zero: 1 // zero)])
    with pytest.raises(SerializerError, match="division"):
        picky.loads(picky.dumps(Money(Decimal(1), "EUR")))


def test_msgpack_reads_timestamps_of_other_languages() -> None:
    member = msgpack.packb(msgpack.Timestamp(0))
    assert MSGPACK.loads(member) == datetime(1970, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "wrap",
    [lambda x: [x], lambda x: (x,), lambda x: {"a": x}, lambda x: {(x,) if x else (): 1}],
)
def test_msgpack_refuses_endless_nesting_without_a_crash(wrap: Callable[[Any], Any]) -> None:
    with pytest.raises((InvalidValueError, TypeError)):
        MSGPACK.dumps(nested(101, wrap))


def test_documents_that_contain_themselves_are_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    for dumps in (MSGPACK.dumps, JSON.dumps):
        with pytest.raises(InvalidValueError, match="contain itself"):
            dumps(endless)


def test_members_nested_without_end_are_an_error_and_not_a_crash() -> None:
    deep_tuples = b"\x90"
    for _ in range(3000):
        deep_tuples = b"\x91" + msgpack.packb(msgpack.ExtType(ord("t"), deep_tuples))
    for member in (b"\x91" * 100_000, deep_tuples):
        with pytest.raises(SerializerError):
            MSGPACK.loads(member)
    with pytest.raises(SerializerError):
        JSON.loads("[" * 100_000)


@pytest.mark.parametrize("header", [b"\xdd", b"\xdf", b"\xdb", b"\xc6", b"\xc9"])
def test_msgpack_believes_no_length_that_is_not_there(header: bytes) -> None:
    with pytest.raises(SerializerError):
        MSGPACK.loads(header + b"\xff\xff\xff\xff" * 2)


EXTENSIONS = st.builds(msgpack.ExtType, st.integers(0, 127), st.binary(max_size=8))


@given(
    st.one_of(
        st.binary(),
        EXTENSIONS.map(msgpack.packb),
        documents.map(MSGPACK.dumps).flatmap(mutated),
    )
)
def test_msgpack_turns_any_bytes_into_an_item_or_an_error(member: bytes) -> None:
    try:
        item = MSGPACK.loads(member)
    except SerializerError:
        return
    assert typed_text(MSGPACK.loads(MSGPACK.dumps(item))) == typed_text(item)


def typed_text(document: Any) -> str:
    """A comparison by which nan equals itself, too."""
    if isinstance(document, dict):
        entries = [f"{typed_text(key)}: {typed_text(document[key])}" for key in document]
        return f"{{{sorted(entries)}}}"
    if isinstance(document, list | tuple):
        return f"{type(document)}{[typed_text(part) for part in document]}"
    if isinstance(document, set | frozenset):
        return f"{type(document)}{sorted({typed_text(part) for part in document})}"
    is_zero = isinstance(document, float) and not document
    return f"{type(document)} {0.0 if is_zero else document!r}"


def test_json_is_compact_sorted_and_readable() -> None:
    assert JSON.dumps({"b": [1, "é"], "a": None}) == '{"a":null,"b":[1,"é"]}'


@pytest.mark.parametrize(
    "item",
    [{1: 2}, {None: 1}, (1,), {"a": [(1,)]}, {1}, b"a", Decimal(1), object(), Point(1, 2), 1j],
    ids=lambda item: type(item).__name__,
)
def test_json_refuses_types_that_it_would_bend(item: Any) -> None:
    with pytest.raises(InvalidTypeError, match="MsgpackSerializer"):
        JSON.dumps(item)


@pytest.mark.parametrize(
    "item",
    [math.nan, [math.inf], "\ud800", {"\ud800": 1}, 7**9999],
    ids=["nan", "infinity", "surrogate", "surrogate in a key", "endless integer"],
)
def test_json_refuses_values_that_it_lacks(item: Any) -> None:
    with pytest.raises(InvalidValueError, match="MsgpackSerializer"):
        JSON.dumps(item)


@pytest.mark.parametrize(
    "member",
    ["", "NaN", "-Infinity", "1e999", "[1", b"\xff", b"\xef\xbb\xbf1", '"\udcff"', "9" * 5000],
    ids=ascii,
)
def test_json_that_carries_no_document_is_an_error(member: str | bytes) -> None:
    with pytest.raises(SerializerError, match="JSONSerializer can't read member"):
        JSON.loads(member)


@given(
    st.one_of(
        st.binary(),
        texts,
        json_documents.map(lambda item: JSON.dumps(item).encode()).flatmap(mutated),
    )
)
def test_json_turns_any_input_into_an_item_or_an_error(member: str | bytes) -> None:
    try:
        item = JSON.loads(member)
    except SerializerError:
        return
    assert item == item  # noqa: PLR0124 - it is no nan


@pytest.mark.law
@given(texts)
def test_text_comes_back_as_it_was(text: str) -> None:
    assert TEXT.loads(TEXT.dumps(text)) == text


@pytest.mark.parametrize(
    ("item", "text"), [(1, "1"), (None, "None"), (b"a", "a"), (Colour.RED, "red"), (1.5, "1.5")]
)
def test_text_casts_items_to_str(item: Any, text: str) -> None:
    assert TEXT.loads(TEXT.dumps(item)) == text


def test_text_has_no_place_for_bytes_that_are_not_utf_8() -> None:
    with pytest.raises(InvalidValueError, match="not UTF-8"):
        TEXT.dumps(b"\xff")
    with pytest.raises(SerializerError, match="TextSerializer can't read"):
        TEXT.loads(b"\xff")


@given(st.binary())
def test_text_turns_any_bytes_into_text_or_an_error(member: bytes) -> None:
    try:
        text = TEXT.loads(member)
    except SerializerError:
        return
    assert TEXT.dumps(text) == member


BOTTOMS: list[Any] = [None, [], {"a": [1]}]
# What MessagePack reads in another way.
EXTENDED = [*BOTTOMS, (), (1, 2), [(), 3], {1: Decimal(2)}, {"a": {2}}]


@pytest.mark.parametrize("wrap", [lambda value: [value], lambda value: {"a": value}])
@pytest.mark.parametrize(
    ("serializer", "bottom"),
    [*((JSON, each) for each in BOTTOMS), *((MSGPACK, each) for each in EXTENDED)],
)
def test_what_is_nested_too_deep_is_neither_written_nor_read(
    serializer: Any, wrap: Any, bottom: Any
) -> None:
    """The limit is one: what is read can be written again, for an acknowledgement."""
    for depth in range(96, 104):
        item = bottom
        for _ in range(depth):
            item = wrap(item)
        member: Any = msgpack.packb(wrap(None))[:-1] * depth + MSGPACK.dumps(bottom)
        if serializer is JSON:
            member = json.dumps(item)
        try:
            serializer.dumps(item)
        except InvalidValueError:
            with pytest.raises(SerializerError, match="deep"):
                serializer.loads(member)
        else:
            assert serializer.loads(member) == item


@pytest.mark.parametrize(
    "member", ['"\\ud800"', '["\\udfff"]', '{"\\udc00": 1}', '{"a": "\\ud83d"}'], ids=range(4)
)
def test_lone_surrogates_are_neither_written_nor_read(member: str) -> None:
    with pytest.raises(SerializerError, match="surrogates"):
        JSONSerializer().loads(member)
    with pytest.raises(InvalidValueError, match="surrogates"):
        JSONSerializer().dumps(json.loads(member))


def test_surrogate_pairs_and_other_escapes_are_read() -> None:
    assert JSONSerializer().loads('["\\ud83d\\ude00", "\\u00e9"]') == ["😀", "é"]


def test_a_crowd_of_one_hash_is_neither_written_nor_read() -> None:
    documents = MsgpackSerializer()
    crowd = [number * (2**61 - 1) for number in range(2000)]
    for item in (set(crowd), frozenset(crowd), dict.fromkeys(crowd)):
        with pytest.raises(InvalidValueError, match="same hash"):
            documents.dumps(item)
    packed = documents.dumps(crowd)
    for tag in "sz":
        with pytest.raises(SerializerError, match="same hash"):
            documents.loads(msgpack.packb(msgpack.ExtType(ord(tag), packed)))
