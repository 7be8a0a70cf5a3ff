"""Seen: the members of local items, each once, as far as one call can send them.

Nothing here sends anything or awaits.
"""

from typing import Generic, TypeVar

from redset._protocol.config import Plan, SetConfig
from redset._protocol.members import CHUNK_BYTES, CHUNK_MEMBERS, encode_all_or_none, read_batch
from redset._protocol.sources import AT_ONCE, ItemBatch, ItemSource

T = TypeVar("T")

# The maximum number of items that are remembered. The first write is sent when the second chunk is
# full: if the server refuses writes, that is known by then.
REMEMBERED = 2 * (CHUNK_MEMBERS + AT_ONCE)


class Seen(Generic[T]):
    """The members of the items that were read, each once.

    *unencodable* is ``True`` if there were items that the set can't hold; with *strict*, such an
    item is an error.
    """

    def __init__(self, config: SetConfig[T], *, strict: bool = False) -> None:
        self._config, self._strict = config, strict
        self._room = CHUNK_BYTES
        self.members: set[bytes] = set()
        self.unencodable = False

    def new(self, batch: ItemBatch) -> set[bytes]:
        """Return the members of the items in *batch* that were not seen before."""
        encoded: set[bytes | None]
        if self._strict:
            encoded = set(self._config.encoding.encode_all(batch.items))
        else:
            encoded = set(encode_all_or_none(self._config, batch.items, batch.encoding))
        self.unencodable = self.unencodable or None in encoded
        new = {member for member in encoded if member is not None} - self.members
        self.members |= new
        return new

    def read_all(self, source: ItemSource, most: int) -> Plan[bool]:
        """Read *source*; return whether one call can send all its members, at most *most*.

        If not, only a part of it was read, no more than `REMEMBERED` items.
        """
        number = 0
        while batches := (yield from read_batch(source)):
            number += len(batches[0].items)
            self._room -= sum(map(len, self.new(batches[0])))
            if len(self.members) > most or self._room < 0 or number > 2 * most:
                return False
        return True
