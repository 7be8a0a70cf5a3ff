"""What others write to the server: it is an error or left out, loses nothing, and forges no log."""

import io
import json
import logging
import re
import traceback
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import redis

from redset import RedisSortedSet, SortedSet
from redset.codecs import JSONSerializer, NamedtupleSerializer, PickleSerializer, ValueSerializer
from redset.exceptions import InvalidTypeError, KeyTypeError, SerializerError

ITEMS = list(range(10))
COMPANIONS = ("leased", "held", "deliveries", "dead", "seen")
FORGED = [
    b"D:2020-01-01T00:00[../x\nCRITICAL:root:server on fire\x1b[2J]",
    b"D:2020-01-01T00:00[Europe/\x1b]0;title\x07]",
    b"q:1\n2/3",
    b"s:\xff\nERROR\x1b[31m",
    b"\nCRITICAL: all is lost",
    b"x:" + b"\x1b" * 5_000_000,
]


class Task(NamedTuple):
    name: str


@pytest.fixture
def jobs(client: redis.Redis) -> RedisSortedSet[int]:
    found: RedisSortedSet[int] = RedisSortedSet(client, "jobs", scorer=int)
    found.update(ITEMS)
    return found


def everywhere(client: redis.Redis, name: str = "jobs") -> set[bytes]:
    """Every member that is ready, on lease or dead."""
    found: list[Any] = []
    for key in (name, f"{{{name}}}:leased", f"{{{name}}}:dead"):
        if client.type(key) in (b"zset", "zset"):
            found += client.zrange(key, 0, -1)
    return {as_bytes(member) for member in found}


def as_bytes(member: Any) -> bytes:
    return member if isinstance(member, bytes) else member.encode()


def plain(text: str) -> bool:
    """Whether *text* has nothing in it that a terminal obeys, but for its line breaks."""
    return all(line.isprintable() for line in text.split("\n"))


# Logs and messages


@pytest.mark.parametrize("member", FORGED, ids=range(len(FORGED)))
def test_a_member_forges_no_line_of_a_log(client: redis.Redis, member: bytes) -> None:
    log = io.StringIO()
    handler = logging.StreamHandler(log)
    handler.setFormatter(logging.Formatter("%(levelname)s:%(name)s:%(message)s"))
    logging.getLogger("redset").addHandler(handler)
    try:
        client.zadd("jobs", {member: 1})
        jobs: RedisSortedSet[Any] = RedisSortedSet(client, "jobs")
        assert list(jobs) == []
        assert jobs.pop() is None
    finally:
        logging.getLogger("redset").removeHandler(handler)
    written = log.getvalue()
    assert plain(written)
    assert len(written) < 20_000
    levels = [line.split(":")[0] for line in written.split("\n") if line.startswith(tuple("CEWI"))]
    assert set(levels) == {"ERROR"}


@pytest.mark.parametrize("member", FORGED, ids=range(len(FORGED)))
@pytest.mark.parametrize(
    "serializer", [ValueSerializer(), JSONSerializer(), PickleSerializer()], ids=type
)
def test_a_traceback_of_a_members_error_is_plain(serializer: Any, member: bytes) -> None:
    with pytest.raises(SerializerError) as raised:
        serializer.loads(member)
    shown = "".join(traceback.format_exception(raised.value))
    assert plain(shown)
    assert len(shown) < 20_000
    assert len(str(raised.value)) < 1_100


def test_a_pickle_names_what_it_wants_in_one_line() -> None:
    name = "x\nCRITICAL:root:\x1b[2J" * 100_000
    pickled = b"\x80\x04\x8c\x02os" + b"\x8d" + len(name).to_bytes(8, "little") + name.encode()
    with pytest.raises(SerializerError, match=r"os\.x\\nCRITICAL") as raised:
        PickleSerializer().loads(pickled + b"\x93.")
    assert plain(str(raised.value))
    assert len(str(raised.value)) < 1_100


def test_a_long_name_makes_no_long_message(client: redis.Redis) -> None:
    name = "n" * 5_000_000
    jobs: RedisSortedSet[Any] = RedisSortedSet(client, name)
    calls: list[Callable[[], object]] = [
        lambda: jobs.add([]),
        lambda: jobs.add("x", "y"),
        jobs.pop,
        lambda: jobs[7],
        lambda: jobs.lease(1, ttl=-1),
        lambda: RedisSortedSet(client, name, scorer=1),  # type: ignore[arg-type]
    ]
    for call in calls:
        with pytest.raises((TypeError, ValueError, LookupError)) as raised:
            call()
        assert len(str(raised.value)) < 2_000
    client.set("text", "x")
    assert jobs.name == name


# Companion keys that another program wrote to


@pytest.mark.parametrize("entry", ["abc", "-1", "1e400", "nan", "", "1 2 3", "9" * 400])
def test_foreign_deliveries_lose_nothing(
    client: redis.Redis, jobs: RedisSortedSet[int], entry: str
) -> None:
    client.hset("{jobs}:deliveries", mapping={b"i:%d" % item: entry for item in ITEMS})
    lease = jobs.lease(10)
    assert list(lease) == ITEMS
    assert [lease.deliveries(item) for item in ITEMS] == [1] * 10
    lease.release()
    assert list(jobs) == ITEMS
    assert jobs.take(10) == ITEMS


@pytest.mark.parametrize(
    "entry", ["", "abc", "lease", "lease 1 x 5", "l 1 0 nan", "l 1 0 abc", "l -1 0 1", "1 2 3 4 5"]
)
def test_foreign_entries_of_what_is_held_lose_nothing(
    client: redis.Redis, jobs: RedisSortedSet[int], entry: str
) -> None:
    jobs.lease(5)
    client.hset("{jobs}:held", "i:1", entry)
    assert len(list(jobs.leased())) == 5
    # The leases run out, so that all come back.
    leased: Any = client.zrange("{jobs}:leased", 0, -1)
    client.zadd("{jobs}:leased", dict.fromkeys(leased, 1))
    assert sorted(jobs.take(10)) == ITEMS


@pytest.mark.parametrize("entry", ["{0} x 0 5", "{0} 1 0 abc", "{0} 1 0 nan"])
@pytest.mark.parametrize(
    "settle",
    [
        lambda lease: lease.release(),
        lambda lease: lease.release(delay=60),
        lambda lease: lease.extend(60),
        lambda lease: lease.ack(),
    ],
    ids=["release", "release later", "extend", "ack"],
)
def test_a_lease_is_settled_whatever_its_entry_says(
    client: redis.Redis, jobs: RedisSortedSet[int], settle: Callable[[Any], None], entry: str
) -> None:
    lease = jobs.lease(3)
    held: Any = client.hget("{jobs}:held", "i:1")
    name = (held.decode() if isinstance(held, bytes) else held).split()[0]
    client.hset("{jobs}:held", "i:1", entry.format(name))
    settle(lease)
    kept = {int(member.split(b":")[1]) for member in everywhere(client)}
    assert kept in ({*ITEMS}, {*ITEMS} - {0, 1, 2})


@pytest.mark.parametrize("companion", COMPANIONS)
@pytest.mark.parametrize(
    "use",
    [
        lambda jobs: jobs.lease(10),
        lambda jobs: jobs.lease(10, max_deliveries=1).release(),
        lambda jobs: jobs.lease(10).release(delay=60),
        lambda jobs: jobs.take(10),
        lambda jobs: jobs.insert(77),
        lambda jobs: jobs.add(77),
        lambda jobs: jobs.requeue(),
        lambda jobs: jobs.requeue(99),
    ],
    ids=["lease", "dead_letter", "later", "take", "insert", "add", "requeue", "requeue one"],
)
@pytest.mark.parametrize("unique", ["until_taken", "until_acked", "forever"])
def test_a_companion_of_another_type_loses_nothing(
    client: redis.Redis, companion: str, use: Callable[[Any], Any], unique: Any
) -> None:
    """A script that failed halfway had removed what it could then put nowhere."""
    jobs: RedisSortedSet[int] = RedisSortedSet(client, "jobs", scorer=int, unique=unique)
    jobs.update(ITEMS)
    client.zadd("{jobs}:dead", {b"i:99": 99})
    # Some come back with the next call, so that every script has all to do.
    client.zadd("{jobs}:leased", {b"i:98": 1})
    client.hset("{jobs}:held", "i:98", "gone 1 1 98")
    key = f"{{jobs}}:{companion}"
    before = {int(member.split(b":")[1]) for member in everywhere(client)}
    lost = {"leased": {98}, "dead": {99}}.get(companion, set())
    client.delete(key)
    client.set(key, "of another program")
    result: Any = []
    try:
        result = use(jobs)
    except KeyTypeError:
        result = []
    found = {int(member.split(b":")[1]) for member in everywhere(client)}
    given = set(result) if isinstance(result, list) else set()
    assert before - lost <= found | given


@pytest.mark.parametrize("unique", ["until_acked", "forever"])
@pytest.mark.parametrize("call", ["insert", "add"])
def test_what_could_not_be_added_is_not_remembered_as_seen(
    client: redis.Redis, unique: Any, call: str
) -> None:
    jobs: RedisSortedSet[int] = RedisSortedSet(client, "jobs", unique=unique)
    for key in ("jobs", "{jobs}:held"):
        client.set(key, "of another program")
        with pytest.raises(KeyTypeError):
            getattr(jobs, call)(1)
        client.delete(key)
        assert not client.exists("{jobs}:seen")
    assert jobs.insert(1) == [1]


def test_a_foreign_answer_is_no_answer(client: redis.Redis, jobs: RedisSortedSet[int]) -> None:
    assert jobs.pop() == 0
    [given] = client.keys("{jobs}:given:*")
    client.set(given, "of another program")
    assert jobs.pop() == 1


# Members that can be read and not be written


class Odd(ValueSerializer):
    """Reads what it doesn't write, as a serializer of a user's may."""

    def dumps(self, item: object, /) -> bytes:
        if item == 3:
            raise InvalidTypeError("3 can't be written")
        return super().dumps(item)


def test_what_can_be_read_and_not_written_hides_nothing_and_is_settled(
    client: redis.Redis, jobs: RedisSortedSet[int]
) -> None:
    odd: RedisSortedSet[int] = RedisSortedSet(client, "jobs", serializer=Odd())
    lease = odd.lease(10)
    assert [entry.item for entry in odd.leased()] == ITEMS
    assert [lease.deliveries(item) for item in lease] == [1] * 10
    for item in lease:
        lease.ack(item)
    assert list(odd.leased()) == []
    assert odd.stats().leased == 0


def test_a_member_that_can_not_be_read_hides_nothing_that_is_leased(
    client: redis.Redis, jobs: RedisSortedSet[int], caplog: pytest.LogCaptureFixture
) -> None:
    jobs.lease(10)
    client.zadd("{jobs}:leased", {b"\xff": 1})
    client.hset("{jobs}:held", b"\xff", "other 1 0 5")
    assert [entry.item for entry in jobs.leased()] == ITEMS
    assert "can't deserialize" in caplog.text


@pytest.mark.parametrize(
    ("make", "member", "line"),
    [
        (
            RedisSortedSet[Any],
            b"plain text",
            r"redset 'jobs': can't deserialize b'plain text' with ValueSerializer; "
            r"was it written by another class or serializer\? \(\w+: .+\)",
        ),
        (
            SortedSet[Any],
            b"\xff",
            r"redset 'jobs': .* b'\\xff' with TextSerializer; .* \(Unicode.*\)",
        ),
        (
            lambda client, name: SortedSet[Any](client, name, serializer=json),
            b"x" * 5_000,
            r"redset 'jobs': .* b'x{100}' with json; .* \(JSONDecodeError: .*\)",
        ),
        (
            lambda client, name: SortedSet[Any](
                client, name, serializer=NamedtupleSerializer(Task)
            ),
            b"\x01",
            r"redset 'jobs': .* b'\\x01' with NamedtupleSerializer; .* "
            r"\(ValueError: not the fields of a Task\)",
        ),
    ],
    ids=["values", "text", "json", "namedtuple"],
)
def test_a_foreign_member_is_logged_in_one_line_and_its_traceback_at_level_debug(
    client: redis.Redis, make: Any, member: bytes, line: str, caplog: pytest.LogCaptureFixture
) -> None:
    jobs = make(client, "jobs")
    client.zadd("jobs", {member: 1})
    with caplog.at_level(logging.DEBUG, logger="redset"):
        assert jobs.peek() is None
    said, traced = [record for record in caplog.records if "deserialize" in record.getMessage()]
    assert said.levelno == logging.ERROR
    assert re.fullmatch(line, said.getMessage())
    assert said.exc_info is None
    assert traced.levelno == logging.DEBUG
    assert traced.exc_info is not None


def test_a_document_that_was_changed_at_work_is_still_the_one_that_was_leased(
    client: redis.Redis,
) -> None:
    tasks: RedisSortedSet[Any] = RedisSortedSet(client, "tasks", serializer=JSONSerializer())
    client.zadd("tasks", {'{"id": 7}': 1})  # as another program writes it
    lease = tasks.lease(1)
    [task] = lease
    task["done"] = True
    assert lease.deliveries(task) == 1
    lease.ack(task)
    assert tasks.stats().leased == 0
