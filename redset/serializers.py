"""The serializers under the import path of redset 0.4; they live in `redset.codecs`."""

from redset.codecs import (
    JSONSerializer,
    MsgpackSerializer,
    NamedtupleSerializer,
    PickleSerializer,
    TextSerializer,
    ValueSerializer,
)

__all__ = [
    "JSONSerializer",
    "MsgpackSerializer",
    "NamedtupleSerializer",
    "PickleSerializer",
    "TextSerializer",
    "ValueSerializer",
]
