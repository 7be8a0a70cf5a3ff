"""Commands that deliver items, settle leases, and list or sort what is on lease or dead."""

from collections.abc import Sequence

from redset._protocol import replies
from redset._protocol.commands.command import (
    Command,
    Word,
    call,
    call_once,
    flat,
    milliseconds,
    number,
)
from redset._protocol.commands.scripts import (
    CANCEL,
    DEAD,
    FIRST_LEASE,
    FIRST_TAKE,
    LEASE,
    PUT_ASIDE,
    SETTLE,
    STATS,
    TAKE,
    Script,
)

# Where a call for all dead members begins: no time yet, and no member that it ended at.
FIRST_PLACE = ("", "", "")

# The script for several sets, and what first.lua must know about the script for one set: the place
# of the request's id among its arguments, the place of the number of members, and how many words
# a recorded reply, and a reply, have that are no members.
SHAPES: dict[Script | None, tuple[Script, tuple[int, ...]]] = {
    TAKE: (FIRST_TAKE, (4, 2, 0, 0)),
    LEASE: (FIRST_LEASE, (8, 3, 2, 3)),
}


def take(
    keys: Sequence[bytes],
    request_id: bytes,
    num: int,
    max_due_score: str,
    keep: float,
    *,
    last: bool = False,
) -> Command[replies.Taken]:
    same: tuple[Word, ...] = (milliseconds(keep), num, "last" if last else "")
    return call(TAKE, keys, (request_id, max_due_score), replies.taken, same)


def lease(
    keys: Sequence[bytes],
    request_id: bytes,
    num: int,
    max_due_score: str,
    keep: float,
    name: str,
    *,
    ttl: float,
    most: int,
    channel: bytes,
    worker: str,
    last: bool = False,
    done: tuple[str, Sequence[bytes]] = ("", ()),
) -> Command[replies.LeaseReply]:
    """Lease members; *done* names an earlier lease and the members of it to acknowledge."""
    times = (milliseconds(keep), milliseconds(ttl))
    place = "last" if last else ""
    same: tuple[Word, ...] = (*times, num, most, channel, worker, place)
    rest: tuple[Word, ...] = (request_id, max_due_score, name, done[0], *done[1])
    return call(LEASE, keys, rest, replies.leased, same)


def first(
    asked: Sequence[Command[replies.R]], done: tuple[int, Sequence[bytes]] = (0, ())
) -> Command[replies.First[replies.R]]:
    """Ask the first set that has something; *asked* has a command for each set.

    *done* is the place, from 1, of the set that has members to acknowledge, and these members.
    """
    script, shape = SHAPES[asked[0].script]
    keys: list[Word] = []
    rest: list[Word] = []
    for command in asked:
        _, _, number, *words = command.words
        keys += words[: int(number)]
        rest += words[int(number) :]
    head = ("EVALSHA", script.digest, len(keys), *keys)
    every = (len(asked), len(rest) // len(asked), *shape, done[0], *rest, *done[1])
    return Command(head, every, replies.first(asked[0].parse), script)


def settle(
    keys: Sequence[bytes],
    request_id: bytes,
    keep: float,
    verb: str,
    *,
    name: str,
    seconds: float,
    score: float | None,
    channel: bytes,
    error: str,
    members: Sequence[bytes],
) -> Command[tuple[float, list[int]]]:
    place = "" if score is None else number(score)
    times = (milliseconds(keep), milliseconds(seconds))
    head: tuple[Word, ...] = (request_id, times[0], verb, name, times[1], place, channel, error)
    return call(SETTLE, keys, (*head, *members), replies.settled)


def put_aside(
    keys: Sequence[bytes], end: int | None, pairs: Sequence[replies.Pair]
) -> Command[int]:
    """Keep members that can't be deserialized under a companion key; *end* as in `Taken`."""
    return call_once(PUT_ASIDE, keys, ("" if end is None else end, *flat(pairs)), replies.integer)


def stats(keys: Sequence[bytes], max_due_score: str) -> Command[tuple[list[int], float | None]]:
    return call(STATS, keys, (max_due_score,), replies.stats)


def sort_dead(
    keys: Sequence[bytes],
    verb: str,
    reason: str,
    age: float,
    place: Sequence[Word],
    members: Sequence[bytes],
) -> Command[tuple[int, Sequence[Word]]]:
    """Requeue or discard dead members; the reply is how many, and the *place* to go on from.

    They must have been dead for *age* seconds. A call begins at `FIRST_PLACE`, and ends at a place
    whose score, the second word, is empty.
    """
    arguments = (verb, reason, milliseconds(age), *place, *members)
    return call(DEAD, keys, arguments, lambda reply: (int(reply[0]), reply[1:]))


def cancel(keys: Sequence[bytes], members: Sequence[bytes]) -> Command[int]:
    return call(CANCEL, keys, members, replies.integer)


def fields(key: bytes, names: Sequence[bytes]) -> Command[list[bytes | None]]:
    return Command(("HMGET", key), names, replies.members)
