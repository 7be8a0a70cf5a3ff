"""The set that many processes share, kept in Redis or Valkey and ordered by score."""

from redset.clients import connect
from redset.clocks import ServerClock
from redset.exceptions import (
    EmbeddedServerError,
    EmptySetError,
    InvalidTypeError,
    InvalidValueError,
    KeyTypeError,
    LockTimeout,
    MissingItemError,
    RedsetError,
    ResultExpired,
    SerializerError,
)
from redset.sets import RedisSortedSet, ScheduledSet, SortedSet, TimeSortedSet

__all__ = [
    "EmbeddedServerError",
    "EmptySetError",
    "InvalidTypeError",
    "InvalidValueError",
    "KeyTypeError",
    "LockTimeout",
    "MissingItemError",
    "RedisSortedSet",
    "RedsetError",
    "ResultExpired",
    "ScheduledSet",
    "SerializerError",
    "ServerClock",
    "SortedSet",
    "TimeSortedSet",
    "connect",
]
