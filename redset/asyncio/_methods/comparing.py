"""Methods of a set that compare it with another."""

from typing import Any, TypeVar

from redset._plans import comparing
from redset._plans.operands import stored
from redset.asyncio._methods.handle import SetHandle
from redset.asyncio._methods.operands import Items, operand_of

T = TypeVar("T")


class ComparingMethods(SetHandle[T]):
    """Compare the set with another."""

    async def issubset(self, other: Items[Any], /) -> bool:
        """Return whether *other* has every item of this set.

        Cost: 1 round trip for a set of the same server, O(n) there, and less if the sizes or the
        first items differ; another iterable travels once. Atomic; but more than 3,500 local items
        are compared chunk by chunk, which is not atomic. A read-only replica answers too, and an
        account that may only read.
        Source: ``ZINTERCARD`` (``ZMSCORE`` on Redis 6.2), ``ZMSCORE``; ``set.issubset``.
        """
        return await self._compare("subset", other)

    async def issuperset(self, other: Items[Any], /) -> bool:
        """Return whether this set has every item of *other*. Cost: as for `issubset`."""
        return await self._compare("subset", other, other_first=True)

    async def isdisjoint(self, other: Items[Any], /) -> bool:
        """Return whether no item is in both.

        Cost: as for `issubset`; stops at the first item that is in both.
        """
        return await self._compare("disjoint", other)

    # asyncio
    async def ispropersubset(self, other: Items[Any], /) -> bool:
        """Return whether *other* has every item of this set, and more."""
        return await self._compare("proper_subset", other)

    async def ispropersuperset(self, other: Items[Any], /) -> bool:
        """Return whether this set has every item of *other*, and more."""
        return await self._compare("proper_subset", other, other_first=True)

    async def equals(self, other: Items[Any], /) -> bool:
        """Return whether both have the same items, whatever their scores."""
        return await self._compare("equal", other)

    # end

    async def _compare(
        self, operation: str, other: Items[Any], *, other_first: bool = False
    ) -> bool:
        mine, theirs = stored(self._runner.config), await operand_of(self._runner, other)
        pair = (theirs, mine) if other_first else (mine, theirs)
        return await self._run(comparing.compare, operation, *pair)
