"""Redis commands are named in one package only, and that names all of its commands by itself."""

import ast
import inspect
import re
from pathlib import Path
from types import ModuleType

import redis.commands.core

import redset
from redset._protocol import commands

PACKAGE = Path(redset.__file__).parent
# Every command that the client's library knows.
NAMES = set(
    re.findall(r'execute_command\(\s*"([A-Z]+)', inspect.getsource(redis.commands.core))
) | {"MULTI", "EXEC", "SUBSCRIBE", "UNSUBSCRIBE", "SSUBSCRIBE", "SUNSUBSCRIBE", "HELLO"}
# What isn't sent as the command of a plan.
ELSEWHERE = {
    "_protocol/client_errors.py": {"READONLY"},  # an error's code
    "_transport/compat/pools.py": {"CLIENT"},  # an argument of the oldest clients' pools
    "_transport/durable.py": {"WAIT", "WAITAOF"},  # an error's advice
    "_transport/look.py": {
        *("CLIENT", "EXEC", "HELLO", "MULTI"),
        *("SSUBSCRIBE", "SUBSCRIBE", "SUNSUBSCRIBE", "UNSUBSCRIBE"),
    },
    "asyncio/locks.py": {"GET"},  # the locks are the client's own
    "embedded/server.py": {"PING"},
    "locks.py": {"GET"},
}


def named_in(text: str) -> set[str]:
    """The commands that a module names as words of their own."""
    words = {
        node.value.decode(errors="replace") if isinstance(node.value, bytes) else node.value
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes)
    }
    return {word.split(" ", 1)[0] for word in words} & NAMES


def test_redis_commands_are_named_in_one_package_only() -> None:
    found = {
        str(path.relative_to(PACKAGE)): named
        for path in PACKAGE.glob("**/*.py")
        if PACKAGE / "_protocol" / "commands" not in path.parents
        and (named := named_in(path.read_text()))
    }
    assert found == ELSEWHERE


def test_the_check_notices_the_name_of_a_command_in_any_form() -> None:
    assert named_in("x = ('ZADD', key)") == {"ZADD"}
    assert named_in("x = b'GET'") == {"GET"}
    assert named_in("x = 'CLIENT ID'") == {"CLIENT"}
    assert named_in('"""Words such as ZADD."""') == set()


def test_each_module_of_the_package_is_reached_by_the_name_of_the_package() -> None:
    modules = {name: each for name, each in vars(commands).items() if isinstance(each, ModuleType)}
    own = {
        name
        for module in modules.values()
        for name, value in vars(module).items()
        if inspect.isfunction(value) and value.__module__.startswith(commands.__name__)
    }
    inner = {"call", "call_once", "flat", "milliseconds", "packed_words", "packed_head"}
    assert {name for name in own if not name.startswith("_")} - inner <= set(commands.__all__)
