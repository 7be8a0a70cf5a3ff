"""What serializers do for many items at once is what they do for each of them."""

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from redset.codecs import TextSerializer, ValueSerializer
from tests.unit.codecs.strategies import same, values

SERIALIZERS = [TextSerializer(), ValueSerializer()]
ids = [type(serializer).__name__ for serializer in SERIALIZERS]
# What is joined by line breaks must not mistake those within for its own.
texts = st.text(st.sampled_from(["a", "\n", "s", ":", "é", "\ud800", "\udcff", "\0"]), max_size=5)


class Loud(str):
    """A string by another class."""

    __slots__ = ()


@pytest.mark.parametrize("serializer", SERIALIZERS, ids=ids)
@given(items=st.lists(texts) | st.lists(texts | values, max_size=4))
@example(items=["a\ns:b", "c"])
@example(items=[""])
@example(items=["a", b"a"])
@example(items=["a", Loud("b")])
@example(items=["a", 7, 10**400, -5])
def test_many_items_are_written_and_read_as_each_of_them(serializer: Any, items: list[Any]) -> None:
    try:
        members = [serializer.dumps(item) for item in items]
    except ValueError:
        with pytest.raises(ValueError, match="UTF-8"):  # bytes, for text
            serializer.dumps_all(items)
        return
    assert serializer.dumps_all(items) == members
    read = [serializer.loads(member) for member in members]
    assert all(map(same, serializer.loads_all(members), read))


@pytest.mark.parametrize("serializer", SERIALIZERS, ids=ids)
@given(members=st.lists(st.binary(max_size=8) | st.sampled_from([b"i:1_0", b"i:007", b"i: 7"])))
def test_what_can_not_be_read_alone_can_not_be_read_among_many(
    serializer: Any, members: list[bytes]
) -> None:
    for place, member in enumerate(members):
        try:
            serializer.loads(member)
        except ValueError:
            with pytest.raises((ValueError, LookupError, TypeError, ArithmeticError)):
                serializer.loads_all(members[place:])
            return
    assert len(serializer.loads_all(members)) == len(members)
