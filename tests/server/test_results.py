"""Results: who owns what an operator made, how long it lives, and what is left of it."""

import copy
import gc
import math
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

import redset._transport.renewals
from redset import (
    RedisSortedSet,
    RedsetError,
    ResultExpired,
    ScheduledSet,
    SortedSet,
    TimeSortedSet,
)
from redset._protocol import commands
from redset._protocol.commands import Command
from redset._protocol.idempotency import IdempotencySlot
from redset._protocol.keys import leasing_keys
from redset._transport.connection import ClientConnection
from redset._transport.renewals import renewer_of
from tests.proxy import LossyProxy
from tests.server.conftest import (
    MakeClient,
    RoundTrips,
    companion_of,
    delete_collected,
    name_beside,
)
from tests.server.test_lost_replies import behind
from tests.servers import TestServer

NOW = 1_700_000_000.0
ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_SECONDS = 120
OPERANDS = {"a", "{a}b", "{a}c", "{a}d"}

Numbers = RedisSortedSet[Any]


@pytest.fixture
def a(client: redis.Redis) -> Numbers:
    """The items 0 to 5, each scored by itself."""
    return numbers(client, "a", range(6))


@pytest.fixture
def b(client: redis.Redis) -> Numbers:
    """The items 3 to 8, each scored by itself."""
    return numbers(client, "{a}b", range(3, 9))


def numbers(client: redis.Redis, name: str, items: range) -> Numbers:
    made: Numbers = RedisSortedSet(client, name, scorer=float)
    made.update(items)
    return made


def keys(client: redis.Redis) -> set[str]:
    """The keys on the server, except the reply keys of changes: these expire by themselves."""
    delete_collected(client)
    found = {os.fsdecode(key) for key in client.keys("*")}
    replies = {key for key in found if ":given:" in key}
    assert all(0 < client.pttl(os.fsencode(key)) <= 300_000 for key in replies)
    return found - replies


def left_over(client: redis.Redis) -> set[str]:
    """The keys on the server beside those of the operands."""
    return keys(client) - OPERANDS


def lasting(client: redis.Redis) -> set[str]:
    """The keys without a time-to-live beside those of the operands."""
    return {key for key in left_over(client) if client.pttl(key) == -1}


def liveness_key(result: Numbers) -> str:
    return f"{result.name}:alive"


def lives(client: redis.Redis, result: Numbers) -> tuple[int, int]:
    """The milliseconds that the result's liveness key and its set have left."""
    left: tuple[int, int] = (client.pttl(liveness_key(result)), client.pttl(result.name))
    return left


# How one is deleted


def test_a_result_is_a_set_of_its_own_with_its_liveness_key(
    client: redis.Redis, a: Any, b: Any
) -> None:
    result = a | b
    assert left_over(client) == {result.name, liveness_key(result)}
    assert list(result) == list(range(9))


def test_making_a_result_is_one_round_trip_and_so_is_closing_it(
    client: redis.Redis, a: Any, b: Any, round_trips: RoundTrips
) -> None:
    (a & b).close()  # the server has the script now
    with round_trips(client) as count:
        result = a & b
    assert count.value == 1
    with round_trips(client) as count:
        result.close()
        result.close()
    assert count.value == 1


def test_a_result_is_deleted_with_its_last_reference(client: redis.Redis, a: Any, b: Any) -> None:
    result = a | b
    same = result
    del result
    assert left_over(client)
    del same
    assert not left_over(client)


def test_a_closed_result_is_deleted_and_gone(client: redis.Redis, a: Any, b: Any) -> None:
    result = a | b
    result.close()
    assert not left_over(client)
    with pytest.raises(ResultExpired):
        list(result)


def test_a_result_is_deleted_when_its_block_is_left(client: redis.Redis, a: Any, b: Any) -> None:
    with a | b as result:
        assert len(result) == 9
    assert not left_over(client)
    with pytest.raises(ZeroDivisionError), a ^ b as result:
        len(result) / 0
    assert not left_over(client)


def test_closing_a_set_that_is_no_result_deletes_nothing(client: redis.Redis, a: Any) -> None:
    with a as same:
        same.close()
    del same
    assert len(a) == 6


def test_the_handle_of_an_operand_does_not_own_its_results(
    client: redis.Redis, a: Any, b: Any
) -> None:
    outer = a | b
    inner = outer & b
    outer.close()
    assert list(inner) == list(b)


def in_a_cycle(result: Any) -> None:
    cycle = [result]
    cycle.append(cycle)


def test_a_result_in_a_cycle_is_deleted_with_the_next_result_at_the_latest(
    client: redis.Redis, a: Any, b: Any
) -> None:
    in_a_cycle(a | b)
    gc.collect()
    result = a & b
    assert left_over(client) == {result.name, liveness_key(result)}


def test_results_collected_in_the_middle_of_commands_disturb_none(
    client: redis.Redis, a: Any, b: Any
) -> None:
    threshold = gc.get_threshold()

    def chains(_: int) -> None:
        for _ in range(20):
            in_a_cycle(a | b)
            assert list((a | b) & b) == list(range(3, 9))

    gc.set_threshold(5, 2, 2)
    try:
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(chains, range(4)))
    finally:
        gc.set_threshold(*threshold)
    gc.collect()
    (a | b).close()
    assert not left_over(client)


CHAINS: list[Callable[[Any, Any, Any, Any], Any]] = [
    lambda a, b, c, d: list((a | b) & c - d),
    lambda a, b, c, d: len((a ^ b) | (c & d) - (a | {1, 2})),
    lambda a, b, c, d: (a | b) == (c | d) or (a & b) <= c,
    lambda a, b, c, d: {1, 2} & (a - b),
    lambda a, b, c, d: a.union(b, c, [77], d).intersection(b, iter(range(50))).isdisjoint({9}),
    lambda a, b, c, d: a.__ior__(b & c) is a,
    lambda a, b, c, d: copy.copy(a & b).copy(),
    lambda a, b, c, d: [len(a & other) for other in (b, c, d)],
    lambda a, b, c, d: (a & b) & {1: 2},
    lambda a, b, c, d: a & b & [1],
    lambda a, b, c, d: (a | b).union(object() for _ in range(3)),
]


@pytest.mark.parametrize("chain", CHAINS, ids=range(len(CHAINS)))
def test_a_chain_leaves_no_key_behind(client: redis.Redis, a: Any, b: Any, chain: Any) -> None:
    c, d = numbers(client, "{a}c", range(2, 7)), numbers(client, "{a}d", range(0, 9, 2))
    try:
        chain(a, b, c, d)
    except TypeError as error:
        error.with_traceback(None)
    assert not left_over(client)


def test_a_result_whose_server_is_down_goes_in_silence(make_client: MakeClient) -> None:
    with TestServer.start(os.environ.get("REDSET_TEST_SERVER", "valkey-9.1")) as other:
        far = make_client(unix_socket_path=other.unix_socket, retry=Retry(NoBackoff(), 0))
        result = numbers(far, "a", range(3)) | {7}
        other.kill()
        result.close()
        del result


# Other processes


def run(code: str, *handles: Numbers) -> "subprocess.CompletedProcess[str]":
    """Run *code* in a new process, in which the first handle is ``a``, the second ``b``."""
    with start(code, *handles) as process:
        said, complaint = process.communicate(timeout=TIMEOUT_SECONDS)
    return subprocess.CompletedProcess(code, process.returncode, said, complaint)


def start(code: str, *handles: Numbers) -> "subprocess.Popen[str]":
    prelude = (
        "import copy, gc, os, pickle, signal, sys\n"
        "a, b, *_ = (*pickle.loads(bytes.fromhex(sys.argv[1])), None)\n"
    )
    command = [sys.executable, "-c", prelude + code, pickle.dumps(handles).hex()]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, cwd=ROOT)


MAKE = """
results = [a | b, a & b, a - {1}, a.copy()]
results[0].own = results[0]
cycle = [a ^ b]
cycle.append(cycle)
"""


@pytest.mark.parametrize(
    "end",
    ["", "sys.exit(0)", "del cycle; gc.collect()", "del cycle; gc.collect(); sys.exit(0)"],
    ids=["end", "exit", "collected", "collected-exit"],
)
def test_the_end_of_a_process_deletes_its_results(
    client: redis.Redis, a: Any, b: Any, end: str
) -> None:
    ended = run(MAKE + end, a, b)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert keys(client) == {"a", "{a}b"}


def test_an_error_that_ends_a_process_deletes_its_results(
    client: redis.Redis, a: Any, b: Any
) -> None:
    ended = run(MAKE + "raise SystemError('over')", a, b)
    assert ended.stderr.splitlines()[-1] == "SystemError: over"
    assert keys(client) == {"a", "{a}b"}


@pytest.mark.parametrize(
    "leave",
    [
        "sys.exit(0)",
        "os._exit(0)",
        "results[0].close(); sys.exit(0)",
        "results.clear(); cycle = None; gc.collect(); sys.exit(0)",
        "results.append(a - b); results.pop(0); sys.exit(0)",
        "results = cycle = None; gc.collect(); len(a - b); os._exit(0)",
    ],
)
def test_a_forked_child_deletes_nothing_of_its_parents(
    client: redis.Redis, a: Any, b: Any, leave: str
) -> None:
    child = f"if os.fork() == 0:\n    {leave}\nos.wait()\n"
    parent = "print([len(each) for each in results], len(cycle[0]))"
    ended = run(MAKE + child + parent, a, b)
    assert (ended.stdout, ended.stderr) == ("[9, 3, 5, 6] 6\n", "")
    assert keys(client) == {"a", "{a}b"}


def test_a_process_that_is_killed_leaves_only_keys_that_run_out(
    client: redis.Redis, a: Any, b: Any
) -> None:
    code = """
results = [a | b if number % 2 else a & {77} for number in range(1_000)]
results[0].add(1)
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert run(code, a, b).returncode == -signal.SIGKILL
    # Half of them are empty, but one of those was added to: there, only the liveness keys exist.
    assert len(left_over(client)) == 1_501
    assert not lasting(client)


def test_a_process_that_is_killed_at_work_leaves_only_keys_that_run_out(
    client: redis.Redis, a: Any, b: Any
) -> None:
    code = """
results = []
while True:
    results += [a & {77}, a | {1, 2}, (a - b) | {8}]
    results[-3].insert(1, 2)
    results[-3].update(range(500))
    results[-2] ^= b
    results[-1].pop()
    print(len(results), flush=True)
"""
    with start(code, a, b) as process:
        assert process.stdout is not None
        for _ in range(40):
            assert process.stdout.readline()
        process.kill()
    assert left_over(client)
    assert not lasting(client)


def test_a_result_that_was_sent_to_a_process_is_not_that_processs_to_delete(
    client: redis.Redis, a: Any, b: Any
) -> None:
    result = a | b
    shorten(client, result)
    ended = run("a.add(50)\nprint(list(a)[-2:])\na.close()\nwith a: pass\ndel a", result)
    assert (ended.stdout, ended.stderr) == ("[8, 50]\n", "")
    assert 50 in result
    assert min(lives(client, result)) > 500_000


def test_a_sent_result_ends_with_its_owner(client: redis.Redis, a: Any, b: Any) -> None:
    result = a | b
    sent = pickle.loads(pickle.dumps(result))
    assert list(sent) == list(result)
    del result
    with pytest.raises(ResultExpired):
        len(sent)


# How long one lives


def shorten(client: redis.Redis, result: Numbers) -> None:
    client.pexpire(result.name, 70_000)
    client.pexpire(liveness_key(result), 60_000)


def none_of(a: Numbers) -> Numbers:
    return a & {77}


MADE: dict[str, Callable[[Numbers, Numbers], Numbers]] = {
    "union": lambda a, b: a | b,
    "intersection": lambda a, b: a & b,
    "difference": lambda a, b: a - b,
    "symmetric_difference": lambda a, b: a ^ b,
    "of a local set": lambda a, b: a | {77},
    "of a result": lambda a, b: (a | b) - {1},
    "copy": lambda a, b: a.copy(),
    "copy.copy": lambda a, b: copy.copy(a),
    "copy.deepcopy": lambda a, b: copy.deepcopy(a),
    "weights": lambda a, b: a.union(b, on_conflict="sum", weights=[1, 2]),
    "empty": lambda a, b: none_of(a),
}


@pytest.mark.parametrize("make", MADE.values(), ids=MADE)
def test_every_result_runs_out_after_ten_minutes_its_sign_first(
    client: redis.Redis, a: Any, b: Any, make: Any
) -> None:
    result = make(a, b)
    of_liveness_key, of_set = lives(client, result)
    assert 500_000 < of_liveness_key <= 600_000
    assert of_liveness_key < of_set <= 660_000 or client.exists(result.name) == 0
    assert not lasting(client)


CHANGES: dict[str, Callable[[Any, Any], Any]] = {
    "add": lambda result, b: result.add(1),
    "add with a conflict": lambda result, b: result.add(1, 5, on_conflict="max"),
    "increment": lambda result, b: result.increment(1),
    "insert": lambda result, b: result.insert(1, 2),
    "update": lambda result, b: result.update(range(9)),
    "update from a set": lambda result, b: result.update(b),
    "|=": lambda result, b: result.__ior__(b),
    "^=": lambda result, b: result.__ixor__(b),
    "^= of a local set": lambda result, b: result.__ixor__({1}),
    "summed update": lambda result, b: result.update({1}, on_conflict="sum"),
}


@pytest.mark.parametrize("forgotten", [False, True], ids=["script-known", "script-forgotten"])
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_an_empty_result_that_is_filled_runs_out_as_well(
    client: redis.Redis, a: Any, b: Any, change: Any, forgotten: bool
) -> None:
    result = none_of(a)
    if forgotten:
        client.script_flush()
    change(result, b)
    assert len(result) > 0
    assert not lasting(client)


def test_a_result_that_was_emptied_and_filled_runs_out_as_well(
    client: redis.Redis, a: Any, b: Any
) -> None:
    result = a | b
    for empty in (result.clear, lambda: result.take(50), lambda: result.__isub__(result)):
        empty()
        assert list(result) == []
        result.add(1)
        assert not lasting(client)


USES: dict[str, Callable[[Any, Any], Any]] = {
    "len": lambda result, a: len(result),
    "bool": lambda result, a: bool(result),
    "in": lambda result, a: 3 in result,
    "iter": lambda result, a: list(result),
    "reversed": lambda result, a: list(reversed(result)),
    "items": lambda result, a: list(result.items()),
    "add": lambda result, a: result.add(3),
    "add on conflict": lambda result, a: result.add(3, 1, on_conflict="sum"),
    "discard": lambda result, a: result.discard(3),
    "remove": lambda result, a: result.remove(3),
    "pop": lambda result, a: result.pop(),
    "take": lambda result, a: result.take(2),
    "peek": lambda result, a: result.peek(),
    "peek_score": lambda result, a: result.peek_score(),
    "score": lambda result, a: result.score(3),
    "scores": lambda result, a: result.scores(3, 4),
    "rank": lambda result, a: result.rank(3),
    "index": lambda result, a: result[0],
    "slice": lambda result, a: result[:2],
    "count": lambda result, a: result.count(),
    "place": lambda result, a: result.index(3),
    "ranks": lambda result, a: result.ranks(3, 4),
    "remove_at": lambda result, a: result.remove_at(0),
    "remove_at of a slice": lambda result, a: result.remove_at(slice(0, 1)),
    "remove_at with a step": lambda result, a: result.remove_at(slice(0, 9, 3)),
    "add_and_rank": lambda result, a: result.add_and_rank(3, 1),
    "update_score": lambda result, a: result.update_score(3, 1),
    "update_score with a minimum": lambda result, a: result.update_score(3, 1, on_conflict="min"),
    "update_score with a sum": lambda result, a: result.update_score(3, 1, on_conflict="sum"),
    "replace": lambda result, a: result.replace(3, 33),
    "move": lambda result, a: result.move(77, a),
    "add_scored": lambda result, a: result.add_scored({3: 1}),
    "add_scored with a sum": lambda result, a: result.add_scored({3: 1}, on_conflict="sum"),
    "range": lambda result, a: result.range(),
    "remove_range": lambda result, a: result.remove_range(0, 1),
    "increment": lambda result, a: result.increment(3),
    "random": lambda result, a: result.random(),
    "sample": lambda result, a: result.sample(2),
    "insert": lambda result, a: result.insert(3),
    "update": lambda result, a: result.update([3]),
    "update from a set": lambda result, a: result.update(a),
    "intersection_update": lambda result, a: result.intersection_update(a),
    "difference_update": lambda result, a: result.difference_update([1]),
    "symmetric_difference_update": lambda result, a: result.symmetric_difference_update(a),
    "counts": lambda result, a: (result.union_count(a), result.difference_count(a)),
    "intersection_count": lambda result, a: a.intersection_count([1], result),
    "left of |": lambda result, a: result | a,
    "left of &": lambda result, a: result & {1},
    "left of -": lambda result, a: result - a,
    "left of ^": lambda result, a: result ^ a,
    "right of |": lambda result, a: a | result,
    "right of &": lambda result, a: a & result,
    "right of -": lambda result, a: a - result,
    "right of ^": lambda result, a: a ^ result,
    "right of a set": lambda result, a: {1} | result,
    "right of a set's &": lambda result, a: {1} & result,
    "right of a set's -": lambda result, a: frozenset({1}) - result,
    "right of a set's ^": lambda result, a: {1} ^ result,
    "right of |=": lambda result, a: a.__ior__(result),
    "right of &=": lambda result, a: a.__iand__(result),
    "right of -=": lambda result, a: a.__isub__(result),
    "right of ^=": lambda result, a: a.__ixor__(result),
    "one of many": lambda result, a: a.union([1], result, a),
    "into": lambda result, a: result.copy(into="{a}c"),
    "right of into": lambda result, a: a.intersection(result, into="{a}c"),
    "twice": lambda result, a: result | result,
    "==": lambda result, a: result == a,
    "right of ==": lambda result, a: a == result,
    "== a set": lambda result, a: result == {1},
    "right of a set's ==": lambda result, a: {1} == result,
    "<=": lambda result, a: result <= a,
    "right of <=": lambda result, a: a <= result,
    "<": lambda result, a: result < a,
    ">": lambda result, a: result > a,
    "isdisjoint": lambda result, a: result.isdisjoint(a),
    "right of isdisjoint": lambda result, a: a.isdisjoint(result),
    "copy.copy": lambda result, a: copy.copy(result),
    "pickle": lambda result, a: len(pickle.loads(pickle.dumps(result))),
    "another serializer": lambda result, a: SortedSet(a._runner.client, "{a}d") | result,
    "from a plain set": lambda result, a: set(result),
}
CLEARS = {"clear": lambda result, a: result.clear()}
RENAMES = {"rename": lambda result, a: result.rename("{a}c")}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_use_renews_a_result(client: redis.Redis, a: Any, b: Any, use: Any) -> None:
    result = a | b
    shorten(client, result)
    kept = use(result, a)
    assert all(left > 500_000 for left in lives(client, result))
    del kept
    assert not lasting(client) - {"{a}c"}


LONG = range(300)  # several pages


def wait_until_renewed(client: redis.Redis, result: Numbers) -> None:
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while min(lives(client, result)) < 500_000:
        assert time.monotonic() < deadline
        time.sleep(0.001)


READS: list[Callable[[Any], Any]] = [iter, reversed, lambda result: iter(result.items())]


@pytest.mark.parametrize("read", READS)
def test_an_iteration_renews_a_result_while_it_is_at_one_item(
    client: redis.Redis, monkeypatch: pytest.MonkeyPatch, read: Any
) -> None:
    monkeypatch.setattr(redset._transport.renewals, "RENEW_AFTER", 1e-5)
    result = numbers(client, "a", LONG) - {1}
    reading = read(result)
    for _ in range(3):
        next(reading)
        shorten(client, result)
        wait_until_renewed(client, result)
    assert sum(1 for _ in reading) == 299 - 3
    reading = read(result)
    next(reading)
    reading.close()
    assert not renewer_of(client)._due


def test_an_iteration_over_one_page_renews_a_result_between_items(
    client: redis.Redis, a: Any, b: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redset._transport.renewals, "RENEW_AFTER", 0.0)
    result = a | b
    before = threading.active_count()
    for _ in result:
        shorten(client, result)
    wait_until_renewed(client, result)
    assert threading.active_count() == before  # nothing is left to be read: no thread


def test_an_iteration_goes_on_over_what_it_has_read_when_the_server_is_gone(
    make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redset._transport.renewals, "RENEW_AFTER", 0.0)
    with TestServer.start(os.environ.get("REDSET_TEST_SERVER", "valkey-9.1")) as other:
        far = make_client(unix_socket_path=other.unix_socket, retry=Retry(NoBackoff(), 0))
        result = numbers(far, "a", range(3)) | {7}
        reading = iter(result)
        found = [next(reading)]
        other.kill()
        assert [*found, *reading] == [0, 1, 2, 7]


@pytest.mark.parametrize(
    "change",
    [
        lambda result, items: result.update(items),
        lambda result, items: result.difference_update(items),
        lambda result, items: result.add_scored((item, 1) for item in items),
    ],
)
def test_a_change_renews_a_result_while_what_it_is_changed_by_is_read(
    client: redis.Redis, a: Any, b: Any, monkeypatch: pytest.MonkeyPatch, change: Any
) -> None:
    monkeypatch.setattr(redset._transport.renewals, "RENEW_AFTER", 1e-5)
    result = a | b

    def slow() -> Iterator[int]:
        for item in (3, 77):
            shorten(client, result)
            wait_until_renewed(client, result)
            yield item

    change(result, slow())
    assert not renewer_of(client)._due


@pytest.mark.parametrize("read", READS)
def test_an_iteration_over_a_result_that_has_gone_is_an_error(
    client: redis.Redis, read: Any
) -> None:
    result = numbers(client, "a", LONG) - {1}
    reading = read(result)
    next(reading)
    client.delete(liveness_key(result))
    with pytest.raises(ResultExpired):
        list(reading)


def contents(client: redis.Redis) -> dict[Any, Any]:
    found: list[Any] = client.keys()
    return {key: client.dump(key) for key in found}


def delete_both(client: redis.Redis, result: Numbers) -> None:
    client.delete(result.name, liveness_key(result))


def let_both_run_out(client: redis.Redis, result: Numbers) -> None:
    client.pexpire(result.name, 1)
    let_the_sign_run_out(client, result)
    while client.exists(result.name):
        time.sleep(0.001)


def let_the_sign_run_out(client: redis.Redis, result: Numbers) -> None:
    client.pexpire(liveness_key(result), 1)
    while client.exists(liveness_key(result)):
        time.sleep(0.001)


ENDS = [delete_both, let_both_run_out, let_the_sign_run_out]


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("use", (USES | CLEARS | RENAMES).values(), ids=USES | CLEARS | RENAMES)
def test_a_result_that_has_outlived_is_an_error_and_never_empty(
    client: redis.Redis, a: Any, b: Any, use: Any, end: Any
) -> None:
    result = a | b
    client.zadd("{a}c", {"kept": 1})
    end(client, result)
    before = contents(client)
    for _ in range(2):
        with pytest.raises(ResultExpired, match=f"'{result.name}': .*into=.*rename") as caught:
            use(result, a)
    assert isinstance(caught.value, RedsetError)
    assert not isinstance(caught.value, KeyError)
    assert (len(a), client.zcard("{a}c")) == (6, 1)
    assert not lasting(client)
    if use not in CLEARS.values():
        assert contents(client) == before


SLOT = IdempotencySlot(b"a")
OWN = leasing_keys(b"a")
ADMISSION = (OWN.held, OWN.seen, OWN.dead, OWN.deliveries, OWN.letters, OWN.undecodable)
# What is asked for, its reply while the result is alive, how many items are in it then.
WRITES: dict[str, tuple[Callable[[bytes], Command[Any]], Any, int]] = {
    "add": (lambda key: commands.add(key, [b"new"], [1.0]), 1, 10),
    "add many": (
        lambda key: commands.add(
            key, [b"%d" % i for i in range(commands.MAX_MEMBERS)], [0.5] * commands.MAX_MEMBERS
        ),
        commands.MAX_MEMBERS,
        commands.MAX_MEMBERS + 9,
    ),
    "add with a flag": (lambda key: commands.add(key, [b"new"], [2.0], flag="NX"), 1, 10),
    "increment": (lambda key: commands.increment(key, b"new", 2.5), 2.5, 10),
    "remove": (lambda key: commands.remove(key, b"none"), 0, 9),
    "remove_range": (lambda key: commands.remove_by_score(key, ("0", "3")), 4, 5),
    "insert": (
        lambda key: commands.insert(
            (key, SLOT.reply_key, *ADMISSION),
            b"0.0",
            "until_taken",
            [(b"new", 1.0)],
            9.0,
        ),
        [0],
        10,
    ),
    "add_scored, with a sum": (
        lambda key: commands.increase((key, SLOT.reply_key), b"0.0", [(b"new", 1.0)], 9.0),
        1,
        10,
    ),
    "remove_at": (
        lambda key: commands.remove_at((key, SLOT.reply_key), b"0.0", 0, 1, 9.0),
        2,
        7,
    ),
    "move": (
        lambda key: commands.move(
            (key, SLOT.reply_key, b"{a}:absent", key), b"0.0", 9.0, (b"none", b"other"), "replace"
        ),
        None,
        9,
    ),
    "take": (
        lambda key: commands.take((key, *SLOT.keys[1:]), b"0.0", 9, "-inf", 9.0),
        ([], False, None),
        9,
    ),
}


@pytest.mark.parametrize(("write", "reply", "size"), WRITES.values(), ids=WRITES)
def test_a_write_looks_in_the_same_step_whether_the_result_is_there(
    client: redis.Redis,
    a: Any,
    b: Any,
    write: Callable[[bytes], Command[Any]],
    reply: Any,
    size: int,
) -> None:
    result = a | b
    key, alive = os.fsencode(result.name), os.fsencode(liveness_key(result))
    connection = ClientConnection(client)  # which renews nothing
    [command] = commands.while_alive([write(key)], key, alive)
    assert connection.execute([command]) == [reply]
    assert client.zcard(key) == size
    delete_both(client, result)
    client.delete(*client.keys("*given*") or ["none"])
    before = client.keys()
    with pytest.raises(Exception, match="EXPIRED") as refused:
        connection.execute([command])
    assert isinstance(a._runner.translate_error(refused.value), ResultExpired)
    assert client.keys() == before


@pytest.mark.parametrize(("use", "read"), [(len, 0), (list, []), (set, set()), (bool, False)])
def test_an_empty_result_reads_as_empty(a: Any, use: Any, read: Any) -> None:
    assert use(none_of(a)) == read


def test_an_empty_result_is_an_operand_like_any_empty_set(a: Any) -> None:
    empty = none_of(a)
    assert list(a | empty) == list(empty | a) == list(a)
    assert list(a & empty) == list(empty ^ empty) == []
    assert empty == set()
    assert empty < a
    assert a.isdisjoint(empty)
    with pytest.raises(KeyError):
        empty.pop()


# How one is kept


@pytest.mark.parametrize("make", MADE.values(), ids=MADE)
def test_a_renamed_result_stays_forever(client: redis.Redis, a: Any, b: Any, make: Any) -> None:
    client.zadd("{a}c", {"replaced": 1})
    client.expire("{a}c", 100)
    result = make(a, b)
    items = list(result.items())
    result.rename("{a}c")
    assert result.name == "{a}c"
    assert list(result.items()) == items
    assert client.ttl("{a}c") == (-1 if items else -2)
    result.close()
    del result
    assert list(numbers(client, "{a}c", range(0)).items()) == items
    assert not {key for key in left_over(client) if key.endswith(":alive")}
    assert not lasting(client)


def test_a_result_that_was_renamed_while_empty_can_be_filled_forever(
    client: redis.Redis, a: Any
) -> None:
    result = none_of(a)
    result.rename("{a}c")
    result.add(1)
    assert (client.zcard("{a}c"), client.ttl("{a}c")) == (1, -1)


def test_a_result_that_is_renamed_to_its_own_name_stays_forever(
    client: redis.Redis, a: Any, b: Any
) -> None:
    result = a | b
    result.rename(result.name)
    assert client.ttl(result.name) == -1
    name = result.name
    del result
    assert client.zcard(name) == 9


def test_a_renamed_result_survives_a_lost_reply(
    client: redis.Redis, server: TestServer, make_client: MakeClient
) -> None:
    with LossyProxy(*server.ports) as proxy:
        far = behind(proxy, make_client, client, 3)
        result = numbers(far, "a", range(3)) | {7}
        client.script_flush()
        (numbers(far, "{a}b", range(1)) | {7}).rename("{a}d")  # the server has the script again
        proxy.lose("EVAL", 1)
        result.rename("{a}c")
        assert proxy.lost == 1
    assert (client.zcard("{a}c"), client.ttl("{a}c")) == (4, -1)


def test_a_handle_that_was_sent_does_not_follow_a_rename(a: Any, b: Any) -> None:
    result = a | b
    sent = pickle.loads(pickle.dumps(result))
    result.rename("{a}c")
    with pytest.raises(ResultExpired):
        len(sent)


INTO: list[Callable[[Any, Any], Any]] = [
    lambda a, b: a.union(b, into="{a}c"),
    lambda a, b: a.intersection(b, {3, 4}, into=b"{a}c"),
    lambda a, b: a.difference(b, into="{a}c"),
    lambda a, b: a.symmetric_difference({1, 77}, into="{a}c"),
    lambda a, b: a.copy(into="{a}c"),
    lambda a, b: (a | b).copy(into="{a}c"),
]


@pytest.mark.parametrize("make", INTO)
def test_into_makes_a_lasting_set(client: redis.Redis, a: Any, b: Any, make: Any) -> None:
    client.zadd("{a}c", {"replaced": 1})
    client.expire("{a}c", 100)
    made = make(a, b)
    items = list(made)
    assert (made.name, client.ttl("{a}c"), keys(client)) == ("{a}c", -1, {"a", "{a}b", "{a}c"})
    made.close()
    del made
    assert list(numbers(client, "{a}c", range(0))) == items != []


def test_into_with_no_items_replaces_what_was_there_by_an_empty_set(
    client: redis.Redis, a: Any
) -> None:
    client.zadd("{a}c", {"old": 1})
    assert list(a.intersection({77}, into="{a}c")) == []
    assert keys(client) == {"a"}


# What one is


def test_a_result_is_a_snapshot(a: Any, b: Any) -> None:
    result, twin = a | b, a | b
    a.add(50)
    b.clear()
    assert list(result) == list(range(9))
    result.add(60)
    assert (60 in a, 60 in twin) == (False, False)


@pytest.mark.parametrize("make", [copy.copy, copy.deepcopy, lambda a: a.copy()])
def test_a_copy_is_a_result_with_the_same_scores(client: redis.Redis, a: Any, make: Any) -> None:
    a.add("last", math.inf)
    twin = make(a)
    assert list(twin.items()) == list(a.items())
    twin.discard(1)
    a.discard(2)
    assert (1 in a, 2 in twin) == (True, True)
    del twin
    assert keys(client) == {"a"}


def test_a_deep_copy_of_what_holds_a_set_copies_the_set(a: Any) -> None:
    held = copy.deepcopy({"set": a})["set"]
    a.clear()
    assert len(held) == 6


class Reversing:
    """A serializer whose members tell that it was used."""

    def dumps(self, item: str) -> str:
        return item[::-1]

    def loads(self, member: str) -> str:
        return member[::-1]


class Labelled(ScheduledSet[str]):
    """A set of a user's own, with a constructor of its own."""

    def __init__(self, client: redis.Redis, label: str) -> None:
        super().__init__(client, "a", len, Reversing(), 0.5, 7, clock=lambda: NOW)
        self.label = label


KINDS: list[Callable[[redis.Redis], Any]] = [
    *(
        lambda client, kind=kind: kind(client, "a", len, Reversing(), 0.5, 7, clock=lambda: NOW)
        for kind in (RedisSortedSet, SortedSet, TimeSortedSet, ScheduledSet)
    ),
    lambda client: Labelled(client, "label"),
]


@pytest.mark.parametrize("make", KINDS)
def test_results_keep_their_left_operands_class_and_settings(
    client: redis.Redis, make: Any
) -> None:
    left = make(client)
    left.add("abc")
    for result in [left | {"de"}, left & left, left - {"x"}, left ^ set(), copy.copy(left)]:
        assert type(result) is type(left)
        assert result.add("xyzz") == 4
        assert client.zscore(result.name, "zzyx") == 4
        assert (result._arguments[1]["clock"](), getattr(result, "label", "label")) == (
            NOW,
            "label",
        )
        assert (result.lock.timeout, result.lock.expires) == (0.5, 7)
        assert client.keys("*lock*") == []


@pytest.mark.parametrize("kind", [TimeSortedSet, ScheduledSet])
def test_results_of_sets_in_order_of_time_add_by_the_same_clock(
    client: redis.Redis, kind: Any
) -> None:
    left = kind(client, "a", clock=lambda: NOW)
    assert left.add("x") == NOW
    result = left | {"y"}
    assert NOW < result.score("y") < result.add("z") < NOW + 1


def test_a_result_of_a_scheduled_set_hands_out_what_is_due(client: redis.Redis) -> None:
    left: ScheduledSet[str] = ScheduledSet(client, "a", clock=lambda: NOW)
    left.add("later", NOW + 5)
    result = left | {"now"}
    assert (result.available(), result.take(9), len(result)) == (1, ["now"], 1)


def test_a_results_lock_is_its_own(a: Any, b: Any) -> None:
    result = a | b
    with a.lock, result.lock:
        pass


@pytest.fixture
def elsewhere(make_client: MakeClient) -> Iterator[redis.Redis]:
    """A client of another server."""
    with TestServer.start(os.environ.get("REDSET_TEST_SERVER", "valkey-9.1")) as other:
        yield make_client(unix_socket_path=other.unix_socket)


def test_a_result_is_on_its_left_operands_server(
    client: redis.Redis, elsewhere: redis.Redis, a: Any
) -> None:
    far = numbers(elsewhere, "far", range(3, 9))
    for operator in ("__or__", "__and__", "__sub__", "__xor__"):
        near_result, far_result = getattr(a, operator)(far), getattr(far, operator)(a)
        assert near_result == getattr(set(range(6)), operator)(set(range(3, 9)))
        assert far_result == getattr(set(range(3, 9)), operator)(set(range(6)))
        assert near_result._runner.client is client
        assert far_result._runner.client is elsewhere
        assert left_over(client) == {near_result.name, liveness_key(near_result)}
        assert keys(elsewhere) == {"far", far_result.name, liveness_key(far_result)}


def test_a_result_is_in_its_left_operands_database(
    client: redis.Redis, make_client: MakeClient, a: Any
) -> None:
    third = make_client(db=3)
    result = numbers(third, "{a}b", range(2)) | a
    assert (keys(client), keys(third)) == ({"a"}, {"{a}b", result.name, liveness_key(result)})
    assert result == set(range(6))


STEPS: dict[str, Callable[[Any, int], Any]] = {
    "|": lambda acc, number: acc | {number},
    "&": lambda acc, number: acc & set(range(99)),
    "-": lambda acc, number: acc - {-1 - number},
    "^": lambda acc, number: acc ^ {-1 - number},
    "two results": lambda acc, number: acc | (acc & {number}),
    "copy": lambda acc, number: acc.copy(),
    "copy.copy": lambda acc, number: copy.copy(acc),
    "sum": lambda acc, number: acc.union({number}, on_conflict="sum"),
    "pickle": lambda acc, number: pickle.loads(pickle.dumps(acc)) | {number},
}


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
@pytest.mark.parametrize("name", ["a", "{shop}:a", "a}b"])
def test_the_result_of_a_result_is_named_after_the_first_set(
    client: redis.Redis, name: str, step: Any
) -> None:
    """Names grew with each step, and with them what was sent."""
    acc = numbers(client, name, range(3))
    first = len(step(acc, 0).name)
    for number in range(20):
        before, acc = acc, step(acc, number)  # one that is sent is its first owner's
    assert len(acc.name) <= first + 4  # they are numbered
    assert set(range(3)) <= set(acc)
    del before
    kept = acc.copy(into=name_beside(name))
    assert (kept | {1}).name.startswith(companion_of(kept.name, "result:"))


@pytest.mark.parametrize("is_kept", [False, True])
def test_what_of_a_result_cannot_be_deserialized_goes_with_it(
    client: redis.Redis, a: Any, is_kept: bool
) -> None:
    client.zadd("a", {b"\xff": 9})
    result = a | {9}
    assert result.take(9) == [*range(6), 9]
    [aside] = [key for key in left_over(client) if key.endswith(":undecodable")]
    assert 0 < client.pttl(aside) <= 600_000
    if is_kept:
        result.rename("{a}c")
        aside = companion_of("{a}c", "undecodable")
        assert client.pttl(aside) == -1
    assert not lasting(client) - {aside}
    assert result.stats().undecodable == 1


def test_names_of_results_do_not_grow_in_thousands_of_steps(client: redis.Redis) -> None:
    union = numbers(client, "a", range(3))
    lengths = set()
    for number in range(3_000):
        union = union | {number % 7}
        lengths.add(len(union.name))
    assert max(lengths) - min(lengths) <= 4
    assert union == set(range(7))


def test_sets_in_braces_and_without_share_nothing(client: redis.Redis) -> None:
    plain, braced = numbers(client, "jobs", range(3)), numbers(client, "{jobs}", range(3, 6))
    lease = plain.lease(3, max_deliveries=1)
    assert [entry.item for entry in braced.leased()] == []
    lease.release()
    assert braced.requeue() == 0
    braced.clear()
    assert list(plain.dead_items) == [0, 1, 2]


def test_a_result_is_deleted_with_its_handle_also_after_a_script_was_unknown(
    client: redis.Redis, a: Any
) -> None:
    """The server's refusal held, by its traceback, the frames that held the handle."""
    result = copy.copy(a)
    client.script_flush()
    gc.disable()
    try:
        result.discard(1)
        del result
        assert keys(client) == {"a"}
    finally:
        gc.enable()
