"""The serializers of redset: each turns items into members, the bytes that a server keeps.

They know nothing of sets, keys, scores or clients; your own serializer may use them freely.
"""

from redset.codecs.json import JSONSerializer
from redset.codecs.msgpack import MsgpackSerializer
from redset.codecs.namedtuple import NamedtupleSerializer
from redset.codecs.pickle import PickleSerializer
from redset.codecs.text import TextSerializer
from redset.codecs.values import ValueSerializer

__all__ = [
    "JSONSerializer",
    "MsgpackSerializer",
    "NamedtupleSerializer",
    "PickleSerializer",
    "TextSerializer",
    "ValueSerializer",
]
