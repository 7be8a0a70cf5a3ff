"""Ways to a client's server: whether its commands are its library's own, observed or changed."""

import inspect
import sys
from collections.abc import Sequence
from enum import Enum
from types import FrameType, FunctionType, MethodType
from typing import Any
from weakref import WeakKeyDictionary

from redset._protocol.client_errors import library_of
from redset._transport.compat.kinds import has_cache, has_single_connection, is_cluster, pool_of


class CommandPath(Enum):
    """The ways to send several commands by a client whose commands are observed or changed."""

    PIPELINE = "in a pipeline of the client's"
    SINGLY = "one at a time, as only `execute_command` is the user's own"


# Methods that each command by itself goes through, and that pipelines don't call.
_OF_ONE_COMMAND = ("execute_command", "_execute_command", "_send_command_parse_response")
# Methods that decide what reaches the server: if a user's class overrides one, the client sends.
_DECIDING = (*_OF_ONE_COMMAND, "pipeline", "parse_response")
# Methods of a connection that decide what reaches the server: commands by themselves go through the
# first, those of pipelines through the second, all of them through the others.
_SENDING = (
    *("send_command", "pack_commands"),
    *("pack_command", "send_packed_command", "_send_packed_command"),
)
# Methods of a connection that decide what comes of the server's answers.
_READING = ("read_response", "can_read", "can_read_destructive")


def provider_of(kind: type, method: str) -> type | None:
    return next((base for base in kind.__mro__ if method in vars(base)), None)


def _is_library_code(function: Any, kind: type) -> bool:
    module = sys.modules.get(kind.__module__)
    # By `type`: a tracer's proxy imitates the function in all its attributes.
    return type(function) is FunctionType and function.__globals__ is vars(module)


_originals: WeakKeyDictionary[type, Any] = WeakKeyDictionary()


def original_execute(client: Any) -> Any:
    """Return the library's own function behind ``client.execute_command``.

    The wrapper of a tracer is removed. ``None`` if a user's class has its own function, also one
    that the library's calls, or if the function can't be found.
    """
    kind = type(client)
    own = getattr(client, "__dict__", {})
    # An assignment to `execute_command` is noticed by each call, also if it comes later.
    if any(method in own for method in (*_OF_ONE_COMMAND[1:], "parse_response")):
        return None
    if kind not in _originals:
        _originals[kind] = _find_original(kind)
    return _originals[kind]


def _find_original(kind: type) -> Any:
    for method in _DECIDING:
        provider = provider_of(kind, method)
        if provider is not None and library_of(provider) is None:
            return None
    return _library_function(kind, "execute_command")


def is_untouched(client: Any, original: Any) -> bool:
    """Return whether ``client.execute_command`` is *original*, and commands are not counted.

    Checked before each call, as a tracer may be installed at any time: about 0.15 µs.
    """
    execute = client.execute_command
    # The function of a tracer's proxy would be the original one: by `type`.
    if type(execute) is not MethodType or execute.__func__ is not original:
        return False
    # redis-py 8 may count the commands of all clients (``redis.observability``).
    recorder = _recorder if _recorder is not None else _find_recorder()
    if recorder is False:
        return True
    instance = recorder._observability_instance
    return instance is None or instance._provider_manager is None


def pipeline_is_untouched(client: Any) -> bool:
    """Return whether the pipelines of *client* are unobserved, as `is_untouched` for commands."""
    kind = type(client)
    found = _pipelines.get(kind)
    if found is None:
        found = _find_pipeline(kind)
        if found[0] is None or None not in found:  # else the library's may come back
            _pipelines[kind] = found
    pipeline, original, execute = found
    if pipeline is None:
        return True
    return (
        _calls(client.pipeline, original)
        and vars(pipeline).get("execute") is execute
        and execute is not None
    )


# The class of the pipelines of each class of clients, and the library's own functions: that which
# makes a pipeline, and that which executes it.
_pipelines: WeakKeyDictionary[type, tuple[Any, Any, Any]] = WeakKeyDictionary()


def _find_pipeline(kind: type) -> tuple[Any, Any, Any]:
    pipeline = _pipeline_class(kind)
    functions = [
        _library_function(kind, "pipeline"),
        None if pipeline is None else _library_function(pipeline, "execute"),
    ]
    return pipeline, *functions


def _library_function(kind: type, method: str) -> Any:
    """Return the library's own function behind a *method*, ``None`` if a user's or not found."""
    provider = provider_of(kind, method)
    if provider is None or library_of(provider) is None:
        return None
    function = inspect.unwrap(vars(provider)[method])
    return function if _is_library_code(function, provider) else None


def _calls(method: Any, function: Any) -> bool:
    """Return whether a bound *method* is *function* itself, and no tracer's proxy of it."""
    return type(method) is MethodType and method.__func__ is function


def _pipeline_class(kind: type) -> Any:
    provider = provider_of(kind, "execute_command")
    name = "ClusterPipeline" if hasattr(kind, "get_node_from_key") else "Pipeline"
    return getattr(sys.modules.get(getattr(provider, "__module__", "")), name, None)


def path_through_client(client: Any) -> CommandPath:
    """Return how a client whose commands are observed or changed sends several of them."""
    changed = any(_changes(client, method) for method in (*_OF_ONE_COMMAND, "parse_response"))
    if changed and not _changes(client, "pipeline"):
        return CommandPath.SINGLY
    return CommandPath.SINGLY if _connections_pipe_otherwise(client) else CommandPath.PIPELINE


def sends_singly(client: Any, number: int) -> bool:
    """Return whether a batch of *number* commands goes to `execute_command` one by one."""
    if has_cache(client):
        return False  # a pipeline bypasses the client's cache, whose entries may be decoded
    if number == 1 or has_single_connection(client):
        # A setting of the user on a client's single connection (SELECT) applies to all commands.
        return True
    return path_through_client(client) is CommandPath.SINGLY


def why_apart(client: Any) -> str | None:
    """Return why *client* sends several commands over different connections; ``None`` if not so."""
    if is_cluster(client):
        return "a cluster's client that is observed sends each to the node of its key"
    if has_single_connection(client):
        return "a client with single_connection_client=True may connect again between two of them"
    if _connections_pipe_otherwise(client):
        return "its connections have a send_command of their own, and the library's pack_commands"
    if sends_singly(client, 2):
        return "this one has an execute_command of its own, and the library's pipeline"
    return None


def renames_keys(client: Any) -> bool:
    """Return whether commands may reach the server in another form than redset wrote them."""
    if any(_changes(client, method) for method in (*_OF_ONE_COMMAND, "pipeline")):
        return True
    pool = pool_of(client)
    kind = getattr(pool, "connection_class", None)
    if has_own_packer(pool):
        return True
    return kind is not None and _overrides(kind, _SENDING)


def has_own_packer(pool: Any) -> bool:
    """Return whether the user gave connections of *pool* what packs their commands."""
    return getattr(pool, "connection_kwargs", {}).get("command_packer") is not None


def passes_messages(connection: Any) -> bool:
    """Return whether a *connection*, or a class of them, writes and reads as the library does."""
    return not _overrides(connection, (*_SENDING, *_READING))


# The methods by which a connection writes what is packed.
_WRITING = ("send_packed_command", "_send_packed_command")
_writing: WeakKeyDictionary[type, list[Any]] = WeakKeyDictionary()


def writes_as_library(connection: Any) -> bool:
    """Return whether a *connection* writes by the library's own methods, now: no tracer's either.

    Checked before each write, as a tracer may be installed at any time.
    """
    kind = type(connection)
    functions = _writing.get(kind)
    if functions is None:
        functions = _writing[kind] = [_library_function(kind, method) for method in _WRITING]
    return _calls(connection.send_packed_command, functions[0]) and _calls(
        connection._send_packed_command, functions[1]
    )


def _connections_pipe_otherwise(client: Any) -> bool:
    """Return whether a user's connections change commands by themselves, or pipelines, not both."""
    kind = getattr(pool_of(client), "connection_class", None)
    if kind is None:
        return False
    return _overrides(kind, ["send_command"]) != _overrides(kind, ["pack_commands"])


def _overrides(connection: Any, methods: Sequence[str]) -> bool:
    """Return whether a user's class has one of *methods*, or the *connection* one of its own."""
    kind = connection if isinstance(connection, type) else type(connection)
    own = {} if kind is connection else getattr(connection, "__dict__", {})
    for method in methods:
        provider = provider_of(kind, method)
        if method in own or (provider is not None and library_of(provider) is None):
            return True
    return False


def sees_other_keys(client: Any) -> bool:
    """Return whether *client* may have other keys than another one with its address.

    A class of the user's may write keys in another form, and a single connection may have selected
    another database.
    """
    return has_single_connection(client) or renames_keys(client)


def _changes(client: Any, method: str) -> bool:
    if method in getattr(client, "__dict__", {}):
        return True
    provider = provider_of(type(client), method)
    return provider is not None and library_of(provider) is None


_recorder: Any = None


def _find_recorder() -> Any:
    """Return the module of redis-py 8 that knows whether commands are counted, or `False`."""
    global _recorder  # noqa: PLW0603 - looked up once
    # Imported by each client of a version that has it.
    _recorder = sys.modules.get("redis.observability.providers", False)
    return _recorder


def is_in_the_middle_of_a_call(client: Any) -> bool:
    """Return whether this thread is in a call over the one connection of *client*, if it has one.

    Older clients have no lock that records this: for them, the stack is searched.
    """
    if getattr(client, "connection", None) is None:
        return False
    owned = getattr(getattr(client, "single_connection_lock", None), "_is_owned", None)
    if owned is not None:
        return bool(owned())
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_name == "execute_command" and frame.f_locals.get("self") is client:
            return True
        frame = frame.f_back
    return False
