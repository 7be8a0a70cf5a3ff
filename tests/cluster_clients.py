"""Clients of a cluster for tests that were written for one server.

What a test asks of the server that it runs on (keys, accounts, counts), such a client asks of all
nodes, by the tables that the client libraries have for this. Calls with keys are the library's own.
"""

import importlib
from collections.abc import Callable
from typing import Any

# Commands that the libraries send to one node, or to all without making one reply of the replies.
_EVERYWHERE = ("ACL SETUSER", "ACL DELUSER", "CONFIG SET", "CONFIG RESETSTAT")
_COUNTED = ("CLIENT KILL", "DBSIZE", "PUBLISH")
_MERGED = ("KEYS", "CLIENT LIST", "ACL LOG", "PUBSUB CHANNELS")


def _last(_command: str, replies: Any, **_options: Any) -> Any:
    return list(replies.values())[-1] if isinstance(replies, dict) else replies


def _sum(_command: str, replies: Any, **_options: Any) -> Any:
    return sum(map(int, replies.values())) if isinstance(replies, dict) else replies


def _merge(_command: str, replies: Any, **_options: Any) -> Any:
    found = list(replies.values()) if isinstance(replies, dict) else [replies]
    if not all(isinstance(reply, list) for reply in found):
        return found[0] if len(found) == 1 else type(found[0])().join(found)
    return [part for reply in found for part in reply]


def _merge_info(_command: str, replies: Any, **_options: Any) -> Any:
    """Add up how often each command was called; of all else, what the first node says."""
    if not isinstance(replies, dict) or not all(isinstance(one, dict) for one in replies.values()):
        return _last(_command, replies)
    merged: dict[str, Any] = {}
    for reply in replies.values():
        for name, value in reply.items():
            known = merged.setdefault(name, value)
            if name.startswith("cmdstat_") and known is not value:
                merged[name] = {key: known.get(key, 0) + more for key, more in value.items()}
    return merged


_CALLBACKS: dict[str, Callable[..., Any]] = {
    **dict.fromkeys(_EVERYWHERE, _last),
    **dict.fromkeys(_COUNTED, _sum),
    **dict.fromkeys(_MERGED, _merge),
    "INFO": _merge_info,
}


def make_cluster_client(library: str, *, is_asyncio: bool = False, **options: Any) -> Any:
    """A client of *library* (redis, valkey) for a cluster, with the tables of this module.

    It repeats a command as often as its ``retry``, if it has that option, repeats it.
    """
    if library == "valkey" and "retry" in options:
        # The option is that of the connections; the client repeats by itself.
        options.setdefault("cluster_error_retry_attempts", options["retry"]._retries)
    module = importlib.import_module(f"{library}.asyncio" if is_asyncio else library)
    made: Any = getattr(module, f"{library.capitalize()}Cluster")(**options)
    made.command_flags.update(dict.fromkeys(_CALLBACKS, made.PRIMARIES))
    made.result_callbacks.update(_CALLBACKS)
    return made


def is_cluster(client: Any) -> bool:
    return hasattr(client, "nodes_manager")


def settings_of(client: Any) -> dict[str, Any]:
    """What the connections of *client* are made with, whichever node they go to."""
    if is_cluster(client):
        found: dict[str, Any] = client.nodes_manager.connection_kwargs
        return found
    return dict(client.connection_pool.connection_kwargs)
