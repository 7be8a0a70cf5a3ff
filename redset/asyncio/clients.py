"""`connect` for asyncio programs."""

import os
from typing import Any, Literal, overload

import redis.asyncio

from redset.clients import client_of


@overload
def connect(
    url: str | os.PathLike[str] | None = None, *, cluster: Literal[True], **options: Any
) -> redis.asyncio.RedisCluster: ...
@overload
def connect(
    url: str | os.PathLike[str] | None = None, *, cluster: Literal[False] = False, **options: Any
) -> redis.asyncio.Redis: ...
@overload
def connect(
    url: str | os.PathLike[str] | None = None, *, cluster: bool, **options: Any
) -> redis.asyncio.Redis | redis.asyncio.RedisCluster: ...
def connect(
    url: str | os.PathLike[str] | None = None, *, cluster: bool = False, **options: Any
) -> redis.asyncio.Redis | redis.asyncio.RedisCluster:
    """Make an asyncio client of the server that *url* names, or of a server that redset starts.

    As `redset.connect`, not awaited: a URL takes no I/O, that of a cluster neither (the first
    command asks for its nodes); starting an embedded server blocks the loop for about 0.2 s, once.
    Close the client with ``await client.aclose()``.
    """
    kinds = (redis.asyncio.Redis, redis.asyncio.RedisCluster)
    return client_of(kinds, url, options, cluster=cluster)
