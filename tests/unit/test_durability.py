"""The option ``durable``, and which commands a durable set waits after. No server."""

from typing import Any

import pytest

from redset import Durable, NotDurable
from redset._plans.operands import new_result
from redset._protocol import commands
from redset._protocol.commands import Command, Operand
from redset._protocol.config import SetConfig
from redset._protocol.durability import Confirmations, check_durable, strictest
from redset._protocol.encoding import Encoding
from redset._protocol.keys import companion, is_temporary, leasing_keys
from redset._protocol.replies import Confirmed
from redset._transport.connection import without_script
from redset._transport.through_client import confirmations_after
from redset.codecs import ValueSerializer
from redset.exceptions import RedsetError

KEY = b"jobs"
KEYS = (KEY, *leasing_keys(KEY))
CONFIG: SetConfig[Any] = SetConfig(
    *("jobs", KEY, Encoding("jobs", ValueSerializer()), lambda item: 0)
)
STAGED = companion(KEY, "staged:0123456789abcdef0123n7")
RESULT = new_result(CONFIG)


def settling(verb: str) -> Command[Any]:
    about: dict[str, Any] = {"score": None, "channel": b"", "error": "", "members": [b"x"]}
    return commands.settle(KEYS, b"0.0", 1, verb, name="a", seconds=1, **about)


def combining(*keys: bytes) -> Command[Any]:
    request = (b"0.0", 1.0)
    return commands.algebra(keys, "union", "keep", "kept", request, [Operand(KEY)])


CHANGING: dict[str, Command[Any]] = {
    "add": commands.add(KEY, [b"x"], [0.0]),
    "add many": commands.add(KEY, [b"x", b"y"], [0.0, 1.0]),
    "remove": commands.remove(KEY, b"x"),
    "delete": commands.delete(KEY),
    "expire": commands.expire(KEY, 1),
    "take": commands.take(KEYS, b"0.0", 1, "+inf", 1),
    "increment": commands.increment(KEY, b"x", 1),
    "ack": settling("ack"),
    "extend": settling("extend"),
    "in place": combining(KEY, b"sign"),
    "rename of a result": commands.rename([RESULT.key, KEY], (b"0.0", 1.0), b"wake"),
    "companion": commands.add(leasing_keys(KEY).undecodable, [b"x"], [0.0]),
}
NOT_CHANGING: dict[str, Command[Any]] = {
    "score": commands.score(KEY, b"x"),
    "size": commands.size(KEY),
    "time": commands.server_time(),
    "info": commands.server_info(),
    "page": commands.page_after(KEY, None, 1, reverse=False, scored=True),
    "compare": commands.compare("subset", [Operand(KEY), Operand(KEY)]),
    "compare, by a reader": commands.compare("subset", [Operand(KEY)] * 2).as_reader(),
    "stats": commands.stats(KEYS, "+inf"),
    "multi": commands.MULTI,
    "renew": settling(commands.RENEW),
    "stage": commands.add(STAGED, [b"x"], [0.0]),
    "delete staged": commands.delete(STAGED),
    "result": combining(RESULT.key, RESULT.liveness_key),
    "renewal of a result": commands.expire(RESULT.liveness_key, 1),
    "scratch": combining(companion(KEY, "scratch:into"), b"sign"),
}


@pytest.mark.parametrize("name", CHANGING)
def test_what_changes_a_lasting_set_is_confirmed(name: str) -> None:
    assert commands.changes(CHANGING[name])


@pytest.mark.parametrize("name", NOT_CHANGING)
def test_what_reads_or_changes_what_is_temporary_is_not_confirmed(name: str) -> None:
    assert not commands.changes(NOT_CHANGING[name])


def test_the_name_of_no_set_is_taken_for_a_temporary_key() -> None:
    for name in (b"jobs", b"result:1", b"{jobs}:x:scratch:1x", b"scratch:1", b"a:staged:b"):
        assert not is_temporary(name)
    assert is_temporary(companion(companion(KEY, "dead"), "scratch:1"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "needs replicas=1 or more, or disk=True"),
        ({"replicas": -1, "disk": True}, "got replicas=-1"),
        ({"replicas": 1.5}, "replicas must be an integer"),
        ({"disk": 1}, "disk must be True or False"),
        ({"replicas": 1, "timeout": 0}, "timeout must be at least 0.001 seconds"),
        ({"replicas": 1, "timeout": float("inf")}, "timeout must be"),
        ({"replicas": 1, "timeout": "1"}, "timeout must be a number of seconds"),
    ],
)
def test_an_option_that_asks_for_nothing_or_for_ever_is_refused(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises((TypeError, ValueError), match=message) as caught:
        Durable(**options)
    assert isinstance(caught.value, RedsetError)


def test_only_a_durable_is_an_option() -> None:
    assert check_durable("jobs", None) is None
    with pytest.raises(
        TypeError, match=r"'jobs': durable must be .*Durable\(replicas=1\), got int"
    ):
        check_durable("jobs", 1)


def test_the_strictest_option_meets_each() -> None:
    one, disk = Durable(replicas=2, timeout=1.0), Durable(disk=True, timeout=3.0)
    assert strictest([None, None]) is None
    assert strictest([None, one]) is one
    assert strictest([one, None, disk]) == Durable(replicas=2, disk=True, timeout=3.0)


def recorded(durable: Durable, *found: Confirmed) -> NotDurable | None:
    call = Confirmations("jobs", KEY, durable)
    for each in found:
        call.record([CHANGING["add"]], [1], None, each)
    try:
        call.check("result")
    except NotDurable as error:
        return error
    return None


def test_the_fewest_confirmations_of_all_steps_are_told() -> None:
    two = Durable(replicas=2, disk=True)
    assert recorded(two, Confirmed(2, True), Confirmed(3, True)) is None
    error = recorded(two, Confirmed(2, False), Confirmed(1, True), Confirmed(5, True))
    assert error is not None
    assert (error.replicas, error.wanted, error.disk, error.result) == (1, 2, False, "result")


def test_a_write_of_its_own_that_was_refused_confirms_nothing() -> None:
    call = Confirmations("jobs", KEY, Durable(replicas=1))
    refused = OSError("refused")
    call.record([CHANGING["add"]], [1], refused, Confirmed(1))
    with pytest.raises(NotDurable) as caught:
        call.check(None)
    assert (caught.value.replicas, caught.value.__cause__) == (0, refused)


class NoScriptError(Exception):
    """As the libraries call it."""


NoScriptError.__module__ = "redis.exceptions"


def test_what_confirms_a_change_is_sent_again_with_it() -> None:
    call = Confirmations("jobs", KEY, Durable(replicas=1))
    batch = [CHANGING["add"], CHANGING["take"], *call.confirming()]
    assert without_script(batch, [1, NoScriptError(), None, 1]) == [1, 2, 3]
    assert without_script(batch, [1, [], None, 1]) == []
    assert confirmations_after(batch[:2], 0) == []
    packed = [command.packed() for command in batch]
    assert commands.confirming_places(packed) == [2, 3]
    disk = commands.confirm(b"fence", 1, 20, disk=True)
    assert commands.confirming_places([command.packed() for command in disk]) == [0, 1]
    assert disk[1].words == ("WAITAOF", "1", "1", "20")
