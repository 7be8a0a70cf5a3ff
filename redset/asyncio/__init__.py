"""The sets of redset for asyncio: the same names, awaited.

`redset.asyncio.RedisSortedSet` and its siblings work over clients of ``redis.asyncio`` and
``valkey.asyncio``; the exceptions are those of `redset`.
"""

from redset._plans.consuming import backoff
from redset._plans.leased import DeadLetter, LeaseInfo, Stats
from redset._protocol.durability import Durable
from redset.asyncio.clients import connect
from redset.asyncio.clocks import ServerClock
from redset.asyncio.consumers import Consumer, FirstConsumer
from redset.asyncio.first import FirstOf
from redset.asyncio.leases import Lease
from redset.asyncio.locks import Lock
from redset.asyncio.sets import RedisSortedSet, ScheduledSet, SortedSet, TimeSortedSet

__all__ = [
    "Consumer",
    "DeadLetter",
    "Durable",
    "FirstConsumer",
    "FirstOf",
    "Lease",
    "LeaseInfo",
    "Lock",
    "RedisSortedSet",
    "ScheduledSet",
    "ServerClock",
    "SortedSet",
    "Stats",
    "TimeSortedSet",
    "backoff",
    "connect",
]
