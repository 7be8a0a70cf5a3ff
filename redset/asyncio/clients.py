"""`connect` for asyncio programs."""

import os
from typing import Any

import redis.asyncio

from redset.clients import client_of


def connect(url: str | os.PathLike[str] | None = None, **options: Any) -> redis.asyncio.Redis:
    """Make an asyncio client of the server that *url* names, or of a server that redset starts.

    As `redset.connect`, not awaited: a URL takes no I/O; starting an embedded server blocks the
    loop for about 0.2 s, once. Close the client with ``await client.aclose()``.
    """
    return client_of(redis.asyncio.Redis, url, options)
