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


LEASING = ("delivering", "time_to_live", "leasing")
TAKING = ("liveness", "delivering", "taking", "time_to_live", "leasing", "take")
TAKE = Script("idempotency", "reclaiming", *TAKING)
INSERT = Script("idempotency", "liveness", "time_to_live", "insert")
ALIVE = Script("liveness", "alive")
ALGEBRA = Script("idempotency", "time_to_live", "scores", "sums", "comparing", "algebra")
RENAME = Script("idempotency", "rename")
COMPARE, OVERLAP = Script("comparing", "compare"), Script("comparing", "overlap")
COUNT, READ = Script("comparing", "count"), Script("scores", "sums", "comparing", "read")
LEASE = Script("idempotency", "reclaiming", *LEASING, "lease")
SETTLE = Script("idempotency", *LEASING, "settle")
PUT_ASIDE = Script(*LEASING, "put_aside")
CLEAR = Script("clear")
EXPIRE, TTL = Script("idempotency", "expire"), Script("time_to_live", "ttl")
# The same scripts, for the first of several sets that has something.
FIRST_TAKE = Script("idempotency", "reclaiming", "first_begin", *TAKING, "first")
FIRST_LEASE = Script("idempotency", "reclaiming", "first_begin", *LEASING, "lease", "first")
PAGE = Script("page")
STATS, ADMIT = Script("stats"), Script("time_to_live", "scores", "admit")
DEAD, CANCEL = Script("time_to_live", "dead"), Script("cancel")
INCREASE = Script("idempotency", "liveness", "increase")
REMOVE_AT = Script("idempotency", "liveness", "remove_at")
MOVE = Script("idempotency", "liveness", "scores", "move")
FENCE, FENCE_BESIDE = Script("fence"), Script("beside", "fence")
CALL = Script("call")
