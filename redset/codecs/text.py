"""TextSerializer: every item is its ``str``, and its member is that text in UTF-8."""

from collections.abc import Sequence

from redset.codecs import _scalars
from redset.exceptions import InvalidValueError


class TextSerializer:
    """Cast items to ``str`` and return them as ``str``; the default of `SortedSet`.

    >>> TextSerializer().loads(TextSerializer().dumps(42))
    '42'

    A ``str`` (or a subclass, so an enum of strings too) is its own characters, ``bytes`` are read
    as UTF-8, anything else is ``str(item)``. Every ``str`` comes back as it was, including lone
    surrogates.

    Source: "items are cast to and returned as strings" in the redset 0.4 documentation.
    """

    def dumps(self, item: object, /) -> bytes:
        """Turn ``str(item)`` into UTF-8; raise `InvalidValueError` for bytes that are not UTF-8."""
        if isinstance(item, bytes):
            member = bytes.__bytes__(item)  # a subclass may override its methods
            try:
                member.decode("utf-8", "surrogatepass")
            except UnicodeDecodeError as error:
                raise InvalidValueError(
                    f"item {_scalars.shown(item)} is not UTF-8 text; "
                    "a RedisSortedSet without a serializer keeps bytes"
                ) from error
            return member
        text = item if isinstance(item, str) else str(item)
        return str.encode(text, "utf-8", "surrogatepass")

    def loads(self, member: str | bytes, /) -> str:
        """Turn *member* into ``str``; raise `SerializerError` for bytes that are not UTF-8."""
        if isinstance(member, str):
            return member
        try:
            return member.decode("utf-8", "surrogatepass")
        except UnicodeDecodeError as error:
            raise _scalars.undecodable(self, member, error) from _scalars.cause(error)

    def dumps_all(self, items: Sequence[object], /) -> list[bytes]:
        """Do ``dumps`` for many items at once, without a call for each."""
        return _scalars.encode_texts("", items) or [self.dumps(item) for item in items]

    def loads_all(self, members: list[bytes], /) -> list[str]:
        """Do ``loads`` for a page of members at once, without a call for each."""
        return [member.decode("utf-8", "surrogatepass") for member in members]
