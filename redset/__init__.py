"""The set that many processes share, kept in Redis or Valkey and ordered by score."""

from redset._plans.consuming import backoff
from redset._plans.leased import DeadLetter, LeaseInfo, Stats
from redset._protocol.durability import Durable
from redset.clients import connect
from redset.clocks import ServerClock
from redset.consumers import Consumer, FirstConsumer
from redset.exceptions import (
    AlreadyRenamed,
    DurabilityUnsupported,
    EmbeddedServerError,
    EmptySetError,
    InvalidTypeError,
    InvalidValueError,
    KeyTypeError,
    LeaseLost,
    LockTimeout,
    MissingItemError,
    MissingRankError,
    NotDurable,
    RedsetError,
    ResultExpired,
    SerializerError,
)
from redset.first import FirstOf
from redset.leases import Lease
from redset.locks import Lock
from redset.sets import RedisSortedSet, ScheduledSet, SortedSet, TimeSortedSet

# The one source of the version: pyproject.toml reads it. A program that is frozen or a zip file has
# no metadata to ask.
__version__ = "1.0.0"

__all__ = [
    "AlreadyRenamed",
    "Consumer",
    "DeadLetter",
    "DurabilityUnsupported",
    "Durable",
    "EmbeddedServerError",
    "EmptySetError",
    "FirstConsumer",
    "FirstOf",
    "InvalidTypeError",
    "InvalidValueError",
    "KeyTypeError",
    "Lease",
    "LeaseInfo",
    "LeaseLost",
    "Lock",
    "LockTimeout",
    "MissingItemError",
    "MissingRankError",
    "NotDurable",
    "RedisSortedSet",
    "RedsetError",
    "ResultExpired",
    "ScheduledSet",
    "SerializerError",
    "ServerClock",
    "SortedSet",
    "Stats",
    "TimeSortedSet",
    "backoff",
    "connect",
]
