"""The Lua scripts, each made of files of ``lua/``."""

import hashlib
import re
from collections.abc import Sequence
from importlib.resources import files

from redset._protocol.constants import IN_LUA


class Script:
    """A Lua script, the files *names* of ``lua/`` joined in that order; called by its digest."""

    def __init__(self, *names: str) -> None:
        folder = files("redset._protocol").joinpath("lua")
        texts = [folder.joinpath(f"{name}.lua").read_bytes() for name in names]
        self.source = _constants_of(texts) + b"".join(texts)
        self.digest = hashlib.sha1(self.source, usedforsecurity=False).hexdigest()


def _constants_of(texts: Sequence[bytes]) -> bytes:
    """Return lines of Lua that define those constants of `IN_LUA` that *texts* name."""
    lines = [
        b"local %b = %d\n" % (name.encode(), value)
        for name, value in IN_LUA.items()
        if any(re.search(rb"\b%b\b" % name.encode(), text) for text in texts)
    ]
    return b"".join(lines)


TAKE = Script("idempotency", "sign", "life", "leasing", "take")
INSERT = Script("idempotency", "sign", "life", "insert")
ALIVE = Script("sign", "alive")
ALGEBRA = Script("idempotency", "life", "scores", "sums", "comparing", "algebra")
RENAME = Script("idempotency", "rename")
COMPARE, OVERLAP = Script("comparing", "compare"), Script("comparing", "overlap")
COUNT, READ = Script("comparing", "count"), Script("scores", "sums", "comparing", "read")
LEASE = Script("idempotency", "life", "leasing", "lease")
SETTLE = Script("idempotency", "life", "leasing", "settle")
PUT_ASIDE = Script("life", "leasing", "put_aside")
EXPIRE, TTL = Script("idempotency", "expire"), Script("life", "ttl")
# The same scripts, for the first of several sets that has something.
FIRST_TAKE = Script("idempotency", "first_begin", "sign", "life", "leasing", "take", "first")
FIRST_LEASE = Script("idempotency", "first_begin", "life", "leasing", "lease", "first")
PAGE = Script("page")
STATS, ADMIT = Script("stats"), Script("life", "scores", "admit")
DEAD, CANCEL = Script("life", "dead"), Script("cancel")
INCREASE = Script("idempotency", "sign", "increase")
REMOVE_AT = Script("idempotency", "sign", "remove_at")
MOVE = Script("idempotency", "sign", "scores", "move")
FENCE = Script("fence")
