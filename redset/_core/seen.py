"""Seen: the members of local items, each once, as far as one call can take them along.

Nothing here sends anything or awaits.
"""

from typing import Generic, TypeVar

from redset._core.members import CHUNK_BYTES, CHUNK_MEMBERS, encode_all_known, read_batch
from redset._core.sources import AT_ONCE, Batch, Source
from redset._core.spec import Plan, Spec

T = TypeVar("T")

# The first write comes when the second chunk is full: a server that refuses it is known by then.
REMEMBERED = 2 * (CHUNK_MEMBERS + AT_ONCE)


class Seen(Generic[T]):
    """The members of the items that were read, each once.

    *strange* says whether there were items that the set can't hold; if that is *strict*, they are
    an error.
    """

    def __init__(self, spec: Spec[T], *, strict: bool = False) -> None:
        self._spec, self._strict = spec, strict
        self._room = CHUNK_BYTES
        self.members: set[bytes] = set()
        self.strange = False

    def new(self, batch: Batch) -> set[bytes]:
        """Return the members of the items in *batch* that were not there before."""
        encoded: set[bytes | None]
        if self._strict:
            encoded = set(self._spec.encoding.encode_all(batch.items))
        else:
            encoded = set(encode_all_known(self._spec, batch.items, batch.encoding))
        self.strange = self.strange or None in encoded
        new = {member for member in encoded if member is not None} - self.members
        self.members |= new
        return new

    def read_all(self, source: Source, most: int) -> Plan[bool]:
        """Read *source*; return whether one call takes all that is in it, *most* members.

        Else it is read only in part, and no more than `REMEMBERED` items of it.
        """
        number = 0
        while batches := (yield from read_batch(source)):
            number += len(batches[0].items)
            self._room -= sum(map(len, self.new(batches[0])))
            if len(self.members) > most or self._room < 0 or number > 2 * most:
                return False
        return True
