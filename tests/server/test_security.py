"""Accounts with few rights, passwords, TLS, and what hostile data can do."""

import os
import re
import threading
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

import redset
from redset import FirstOf, RedisSortedSet, ScheduledSet
from redset.exceptions import InvalidValueError, SerializerError
from tests.proxy import TLSProxy
from tests.server.conftest import MakeClient
from tests.server.test_readers import answers, check_same, fill, opened
from tests.server.test_waiting import Call
from tests.servers import TestServer

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "servers.md"
# What older servers don't have: others are used in its stead, or it can be done without.
MISSING = {"redis-6.2": {"zintercard", "client|setinfo"}, "redis-7.0": {"client|setinfo"}}
PASSWORD = "s3cret:/@#"


def listed_commands() -> list[str]:
    """The commands that the document says an account needs."""
    text = DOCUMENT.read_text()
    block, _, _ = re.findall(r"```text\n(ACL SETUSER.*?)```", text, re.DOTALL)
    return [word[1:] for word in block.split() if word.startswith("+")]


def narrowing() -> list[str]:
    """What the document says to take from that account, so that it sees nothing but its sets."""
    text = DOCUMENT.read_text()
    _, block, _ = re.findall(r"```text\n(ACL SETUSER.*?)```", text, re.DOTALL)
    words: list[str] = block.split()[3:]
    return words


def rights_of_a_reader() -> list[str]:
    """What the document says an account needs that may only read."""
    text = DOCUMENT.read_text()
    *_, block = re.findall(r"```text\n(ACL SETUSER.*?)```", text, re.DOTALL)
    words: list[str] = block.split()[5:]
    return words


def use_everything(shared: Any, other: Any, third: Any) -> None:
    """Call every public method, and each operator of each kind."""
    shared.clear()
    shared.add("a", 1)
    for conflict in ("keep", "replace", "min", "max", "sum"):
        shared.add("b", 2, on_conflict=conflict)
        shared.add_scored({"a": 1}, on_conflict=conflict)
        shared.union(other, on_conflict=conflict).close()
        shared.intersection(other, on_conflict=conflict).close()
    shared.update("cdef")
    shared.update(other, ["x"])
    shared.insert("g", "a")
    assert "a" in shared
    assert shared
    assert shared.key == os.fsencode(shared.name)
    shared.score("a"), shared.scores("a", "b"), shared.rank("a"), shared.rank("a", reverse=True)
    shared.increment("a"), shared.count(0, 5), shared.available()
    shared.ranks("a", "b", reverse=True), shared.index("a"), shared.remove_at(slice(9, None, 2))
    del shared[9:]
    shared.range(0, 5), shared.range(0, 5, reverse=True), shared.remove_range(90, 91)
    shared.random(), shared.sample(2), shared.peek(), shared.peek(1), shared.peek_score()
    shared[0], shared[-1], shared[1:3], list(shared), list(reversed(shared)), list(shared.items())
    shared.update(map(str, range(300)))
    assert len(list(shared)) > 300
    assert len(list(reversed(shared))) > 300
    shared.discard("x")
    shared.remove("a")
    for result in (shared | other, shared & other, shared - other, shared ^ other, shared | {"q"}):
        assert len(result) >= 0
        result.close()
    assert {shared == other, shared <= other, shared < other, shared.issubset(other)} == {False}
    assert {shared.isdisjoint(other), shared.issuperset(["a"])} == {False}
    shared.difference(other).close()
    for method in (shared.read_union, shared.read_intersection):
        method(other, on_conflict="sum"), method(other, ["q"], with_scores=True), method(other)
    shared.read_difference(other, limit=1), shared.read_symmetric_difference(other, reverse=True)
    shared.union_count(other), shared.intersection_count(other, limit=2)
    shared.difference_count(other, "abc")
    shared.symmetric_difference(other).close()
    shared.copy().close()
    shared.copy(into=third.name)
    third.intersection_update(other)
    third.difference_update(other)
    third.symmetric_difference_update(other)
    third ^= {"q"}
    with third.lease() as moved:
        third.rename(other.name)
        moved.extend()
    with shared.lock:
        pass
    for conflict in ("keep", "replace", "min", "max", "sum"):
        shared.update_score("b", 3, on_conflict=conflict)
        shared.add_and_rank("b", 3, on_conflict=conflict)
        shared.add("moving"), shared.move("moving", other, on_conflict=conflict)
    shared.add("old"), shared.replace("old", "new")
    shared.pop()
    shared.take(2)
    shared.peek(last=True), shared.pop(last=True)
    with shared.lease(3, max_deliveries=2) as batch:
        batch.extend(60)
        batch.release(batch[0])
        batch.release(batch[1], delay=0.001)
        assert len(list(shared.leased())) > 0
    shared.lease(1, max_deliveries=1).release()
    shared.expire(60), shared.persist(), shared.expire(60)
    assert 50 < shared.ttl() <= 60
    for each in shared.consume(2, max_deliveries=1, timeout=0):
        if each is not None:
            break
    shared.requeue(*shared.dead_items)
    shared.stats()
    list(shared.dead_letters()), shared.discard_dead(), shared.cancel("y")
    for _ in shared.consume(2, timeout=0):
        break
    jobs = FirstOf(shared, other)
    shared.update("vw")
    jobs.pop(), jobs.take(1, last=True), jobs.take(1, timeout=0.01)
    jobs.lease(1).release()
    for _, _ in jobs.consume(timeout=0):
        break
    shared.clear()
    ended = threading.Event()
    changing = threading.Thread(target=change_until, args=(shared, ended))
    changing.start()
    shared.take(1, timeout=0.5)  # looks again after each change
    ended.set()
    changing.join()
    for unique in ("until_acked", "forever"):
        chosen: ScheduledSet[str] = ScheduledSet(
            shared._runner.client, shared._runner.config.key, unique=unique
        )
        chosen.add("a")
        chosen.add("b", 5, on_conflict="min")
        chosen.insert("c", "b")
        chosen.increment("b", 1)
    result = shared.copy()
    result.rename(third.name)
    plain: RedisSortedSet[str] = RedisSortedSet(shared._runner.client, shared._runner.config.key)
    plain.update("abcdef")
    plain.lease(6).release()
    plain.remove_range()
    plain.update("uvwxyz")
    plain.lease(2).ack()
    repeat(plain, plain._runner.config.requests.take, plain.take)
    repeat(plain, plain._runner.config.requests.lease, plain.lease)
    plain.insert("m", "n")
    again(plain._runner.config.requests.insert)
    assert plain.insert("m") == ["m"]
    shared.close()
    shared.clear()
    redset.ServerClock(shared._runner.client)()


def change_until(shared: Any, ended: threading.Event) -> None:
    """Change a set again and again, without an item that is due."""
    while not ended.wait(0.02):
        shared.add("later", time.time() + 1_000)


def again(slots: Any) -> None:
    """Have the next call be an attempt of the one before."""
    slot = slots._idle[-1]
    slot.sequence, slot.attempt = slot.sequence - 1, 9


def repeat(shared: Any, slots: Any, call: Any) -> None:
    """Call once more with the token of the call before, as after a lost reply, for fewer items."""
    first = list(call(2))
    again(slots)
    assert list(call(1)) == first[:1]
    call(9)


def methods(kind: type) -> set[str]:
    return {name for name in dir(kind) if not name.startswith("_")}


@pytest.mark.parametrize(
    ("name", "patterns"),
    [
        ("jobs", ["~jobs*", "~{jobs*"]),
        ("jobs", ["~jobs", "~jobs2", "~jobs3", "~{jobs}:*", "~{jobs2}:*", "~{jobs3}:*"]),
        ("{jobs}", ["~{jobs}*"]),
    ],
)
def test_an_account_with_the_listed_rights_can_do_everything(
    server: TestServer,
    client: redis.Redis,
    make_client: MakeClient,
    name: str,
    patterns: list[str],
) -> None:
    missing = MISSING.get(server.kind, set())
    commands = [f"+{word}" for word in listed_commands() if word not in missing]
    channels = ["&__redis__:invalidate", "&{jobs}:wake", "&{jobs}:{jobs}:wake"]
    channels += ["&{jobs2}:wake", "&{jobs}:{jobs}2:wake"]
    rights = [*patterns, "resetchannels", *channels, *commands]
    client.execute_command("ACL", "SETUSER", "worker", "reset", "on", f">{PASSWORD}", *rights)
    used: set[str] = set()

    class Recording(ScheduledSet[str]):
        def __getattribute__(self, attribute: str) -> Any:
            used.add(attribute)
            return super().__getattribute__(attribute)

    worker = make_client(username="worker", password=PASSWORD)
    client.execute_command("ACL", "LOG", "RESET")
    try:
        first = Recording(worker, name)
        others = [Recording(worker, f"{name}{number}") for number in (2, 3)]
        others[0].update("az")
        use_everything(first, *others)
        denied = str(client.execute_command("ACL", "LOG"))
        # The client's own CLIENT SETINFO, where the server doesn't know it.
        assert denied == "[]" or ("client|setinfo" in missing and denied.count("object") == 1)
    finally:
        client.execute_command("ACL", "DELUSER", "worker")
    assert methods(ScheduledSet) <= used


def test_an_account_that_sees_nothing_but_its_sets_can_do_everything(
    server: TestServer, client: redis.Redis, make_client: MakeClient
) -> None:
    if server.kind == "redis-6.2":
        pytest.skip("takes no subcommands away")
    missing = MISSING.get(server.kind, set())
    commands = [f"+{word}" for word in listed_commands() if word not in missing]
    keys = [
        pattern for name in ("jobs", "jobs2", "jobs3") for pattern in (f"~{name}", f"~{{{name}}}:*")
    ]
    rights = [*keys, *commands, *narrowing()]
    client.execute_command("ACL", "SETUSER", "worker", "reset", "on", f">{PASSWORD}", *rights)
    worker = make_client(username="worker", password=PASSWORD)
    elsewhere = make_client(username="worker", password=PASSWORD, port=server.port)
    try:
        first, second = (ScheduledSet[str](worker, name) for name in ("jobs", "jobs2"))
        second.update("az")
        use_everything(first, second, ScheduledSet[str](worker, "jobs3"))
        # Whether that is the same server it may not ask; the answer is right all the same.
        first.update("abc")
        far: ScheduledSet[str] = ScheduledSet(elsewhere, "jobs2")
        far.clear()
        far.update("az")
        assert set(first & far) == {"a"}
        assert set(first | far) == {*first, "z"}
        first.clear()
        waiting = Call(first.take, 1, timeout=None)
        time.sleep(0.1)
        ScheduledSet[str](client, "jobs").add("x", 1)
        assert waiting.result() == ["x"]
        refused: list[tuple[str, ...]] = [
            *(("INFO",), ("SELECT", "1"), ("SUBSCRIBE", "c"), ("KEYS", "*"), ("GET", "other")),
            ("CLIENT", "TRACKING", "ON", "BCAST"),
        ]
        for words in refused:
            with pytest.raises(Exception, match=r"(?i)permission"):
                worker.execute_command(*words)
    finally:
        client.execute_command("ACL", "DELUSER", "worker")


@pytest.mark.parametrize("prefix", ["%R~", "~"])
def test_an_account_with_the_rights_of_a_reader_reads_and_does_nothing_else(
    server: TestServer, client: redis.Redis, make_client: MakeClient, prefix: str
) -> None:
    rights = rights_of_a_reader()
    keys = [right.replace("%R~", prefix) for right in rights if right.startswith("%R~")]
    assert keys == [f"{prefix}jobs", f"{prefix}{{jobs}}:*"]
    missing = {"zintercard", "eval_ro", "evalsha_ro"} if server.kind == "redis-6.2" else set()
    if missing and prefix == "%R~":
        pytest.skip("knows no rights to read keys")
    commands = [word for word in rights[len(keys) :] if word[1:] not in missing]
    words = ["reset", "on", f">{PASSWORD}", *keys, *commands]
    client.execute_command("ACL", "SETUSER", "reader", *words)
    fill(client)
    expected = answers(client)
    client.config_resetstat()
    try:
        account = make_client(username="reader", password=PASSWORD)
        check_same(expected, answers(account))
        jobs, seen = opened(client), opened(account)
        for item in iter(seen):
            jobs.discard(item)
        for change in (seen.pop, seen.clear, lambda: seen.add("a"), lambda: seen | seen):
            with pytest.raises(Exception, match=r"(?i)permission|can't run this command"):
                change()
        stats: Any = client.info("commandstats")
    finally:
        client.execute_command("ACL", "DELUSER", "reader")
    used = {name.removeprefix("cmdstat_").lower() for name in stats}
    unused = {word[1:] for word in commands} - used
    # How a script is called depends on the rights, and on whether the server has it.
    assert unused <= {"eval", "eval_ro", "evalsha_ro"}


def test_every_right_that_is_listed_is_used(server: TestServer, make_client: MakeClient) -> None:
    if server.kind == "redis-6.2":
        pytest.skip("counts no subcommands")
    client = make_client()
    client.flushall()
    client.config_resetstat()
    other, third = (ScheduledSet[str](client, name) for name in ("jobs2", "jobs3"))
    other.update("az")
    use_everything(ScheduledSet[str](client, "jobs"), other, third)
    again = make_client(username="default", password="any")
    assert again.ping()
    stats: Any = client.info("commandstats")
    names = {name.removeprefix("cmdstat_").lower() for name in stats}
    optional = {"auth", "hello", "select", "client|setinfo", "script|load", "eval", "ping", "info"}
    assert set(listed_commands()) - optional <= names


def test_the_server_of_another_set_is_never_asked(
    client: redis.Redis, make_client: MakeClient
) -> None:
    """No key but the set's own and its companions is touched."""
    monitor_pattern = re.compile(rb"^(\{jobs\}:.*|jobs)$", re.DOTALL)
    client.set("bystander", "as it was")
    shared: ScheduledSet[str] = ScheduledSet(client, "jobs")
    shared.update("abc")
    with shared.lease(2):
        found: Any = client.execute_command("KEYS", "*", NEVER_DECODE=True)
    others = [key for key in found if not monitor_pattern.match(key)]
    assert others == [b"bystander"]
    assert client.execute_command("GET", "bystander", NEVER_DECODE=True) == b"as it was"


# Passwords and TLS


@pytest.fixture
def guarded(server: TestServer) -> Iterator[TestServer]:
    with TestServer.start(server.kind) as started:
        with redis.Redis(port=started.port) as admin:
            admin.config_set("requirepass", PASSWORD)
        yield started


def test_a_url_with_a_password_connects(guarded: TestServer) -> None:
    from urllib.parse import quote

    with pytest.raises(redis.AuthenticationError):
        redset.connect(f"redis://127.0.0.1:{guarded.port}/0").ping()
    for user in ("", "default"):
        client = redset.connect(
            f"redis://{user}:{quote(PASSWORD, safe='')}@127.0.0.1:{guarded.port}/0"
        )
        shared: RedisSortedSet[str] = RedisSortedSet(client, "jobs")
        shared.add("a")
        assert shared.pop(timeout=1) == "a"
        assert PASSWORD not in repr(shared)
        client.close()


def test_a_url_that_cannot_be_read_shows_no_part_of_its_password() -> None:
    with pytest.raises(InvalidValueError, match="must be a number") as caught:
        redset.connect(f"redis://:{PASSWORD}@localhost:1")
    assert "s3cret" not in "".join(traceback.format_exception(caught.value)).partition("Error: ")[2]


def test_a_tls_url_connects_and_checks_the_certificate(guarded: TestServer, tmp_path: Path) -> None:
    import trustme

    authority, unknown = trustme.CA(), trustme.CA()
    certificate = tmp_path / "server.pem"
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(certificate)
    trusted, wrong = tmp_path / "trusted.pem", tmp_path / "wrong.pem"
    authority.cert_pem.write_to_path(trusted)
    unknown.cert_pem.write_to_path(wrong)
    with TLSProxy(certificate, guarded.port) as proxy:
        place = f"rediss://:s3cret%3A%2F%40%23@127.0.0.1:{proxy.port}/0?ssl_ca_certs="
        with redset.connect(f"{place}{trusted}") as client:
            shared: RedisSortedSet[str] = RedisSortedSet(client, "jobs")
            shared.add("a")
            assert shared.pop(timeout=5) == "a"
            assert shared.take(1, timeout=0.05) == []
        client = redset.connect(f"{place}{wrong}", retry=None)
        with client, pytest.raises(redis.ConnectionError, match="certificate"):
            client.ping()


# Hostile data


@pytest.mark.parametrize(
    "name",
    [
        "a b",
        "line\r\nDEL victim\r\n",
        "{",
        "}{",
        "{}",
        "{}{x}",
        "a{b}c",
        "*?[x]",
        "ä\0ö",
        b"\xff\xfe{\x00}",
        b"\r\n$3\r\n",
    ],
)
def test_any_name_is_just_a_name(client: redis.Redis, name: str | bytes) -> None:
    client.set("victim", "alive")
    shared: RedisSortedSet[str] = RedisSortedSet(client, name)
    shared.update("abc")
    with shared.lease(1) as batch:
        assert list(batch) == ["a"]
    assert shared.pop(timeout=1) == "b"
    assert shared.take(1, timeout=0.01) == ["c"]
    assert shared.take(1, timeout=0.01) == []
    with shared | {"x"} as result:
        assert result == {"x"}
    shared.clear()
    keys: Any = client.execute_command("KEYS", "*", NEVER_DECODE=True)
    assert keys == [b"victim"]


HOSTILE = [
    "",
    "\r\n",
    "- 0 0 0",
    "x 1 1 1",
    "\0",
    "$-1\r\n",
    "*1\r\n",
    "{jobs}:held",
    "%",
    "\\",
    "'\"]]",
]


def test_hostile_members_are_just_members(client: redis.Redis) -> None:
    shared: redset.SortedSet[str] = redset.SortedSet(client, "jobs", scorer=HOSTILE.index)
    shared.update(HOSTILE)
    batch = shared.lease(len(HOSTILE))
    assert list(batch) == HOSTILE
    batch.extend(60)
    assert sorted(leased.item for leased in shared.leased()) == sorted(HOSTILE)
    batch.release()
    assert list(shared) == HOSTILE
    assert shared.take(len(HOSTILE)) == HOSTILE


class Broken:
    """A serializer that raises, as a user's may."""

    def dumps(self, _item: Any) -> bytes:
        raise ZeroDivisionError("in dumps")

    def loads(self, member: bytes) -> Any:
        if member == b"bad":
            raise ZeroDivisionError("in loads")
        return member.decode()


def test_a_serializer_that_raises_loses_nothing(client: redis.Redis) -> None:
    client.zadd("jobs", {"good": 1, "bad": 2, "late": 3})
    shared: RedisSortedSet[str] = RedisSortedSet(client, "jobs", serializer=Broken())
    with pytest.raises(ZeroDivisionError, match="in dumps"):
        shared.add("x")
    with shared.lease(3) as batch:
        assert list(batch) == ["good", "late"]
        with pytest.raises(ZeroDivisionError, match="in dumps"):
            batch.ack("good")
    assert shared.stats()._replace(dead=0) == (0,) * 8
    assert client.zscore("{jobs}:dead", "bad") == 2
    assert shared.requeue() == 1
    assert shared.pop() is None
    assert client.zscore("{jobs}:undecodable", "bad") == 2


def test_what_a_stranger_writes_among_leases_breaks_nothing(client: redis.Redis) -> None:
    """Companion keys are as open to strangers as the set: they lose order, not items."""
    shared: RedisSortedSet[str] = RedisSortedSet(client, "jobs")
    client.zadd("{jobs}:leased", {shared._runner.config.encoding.encode("orphan"): 0})
    assert shared.take(5) == ["orphan"]
    with pytest.raises(SerializerError):
        shared._runner.config.encoding.decode(b"\xc1")
