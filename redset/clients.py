"""`connect`: makes a client from a URL, from a directory, or from no argument at all.

Contains the forms in which a caller may name a server. Must not import sets, nor start a server.
"""

import copy
import inspect
import os
import re
from typing import Any, Literal, TypeVar, overload
from urllib.parse import urlsplit

import redis
import redis.cluster

from redset._support.words import shown
from redset.exceptions import EmbeddedServerError, InvalidTypeError, InvalidValueError

C = TypeVar("C")
D = TypeVar("D")

_SCHEMES = ("redis", "rediss", "unix")
# A node of a cluster, from which the client learns of the others.
_CLUSTER_SCHEMES = {"redis+cluster": "redis", "rediss+cluster": "rediss"}
# What is shown of a scheme: any other text before :// may be a password.
_SHOWN_SCHEME = re.compile(r"[a-z][a-z+]{0,15}")
# What was meant as the address of a server, and is no directory.
_ADDRESS = re.compile(
    r"""[^/]*@.* | .*:[^/]*@.*                      # user:password@host
      | (redis|rediss|valkeys?|unix|https?|tcp)     # a scheme with a typing error after it
        ( [^\w/.-]/ | [^\w/]?// | : ).*
      | \w+:/.* | \w+//[^/]+:\d+(/.*)?              # a scheme with a typing error in it
      | ([\w.-]+ | \[[0-9a-f:.]+\]) : \d+ ([/?].*)?  # host:port
      | (localhost | \d+\.\d+\.\d+\.\d+) ([:/?].*)?""",
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)


@overload
def connect(
    url: str | os.PathLike[str] | None = None, *, cluster: Literal[True], **options: Any
) -> redis.cluster.RedisCluster: ...
@overload
def connect(
    url: str | os.PathLike[str] | None = None, *, cluster: Literal[False] = False, **options: Any
) -> redis.Redis: ...
@overload
def connect(
    url: str | os.PathLike[str] | None = None, *, cluster: bool, **options: Any
) -> redis.Redis | redis.cluster.RedisCluster: ...
def connect(
    url: str | os.PathLike[str] | None = None, *, cluster: bool = False, **options: Any
) -> redis.Redis | redis.cluster.RedisCluster:
    """Make a client of the server that *url* names, or of a server that redset starts.

    - ``"redis://…"``, ``"rediss://…"``, ``"unix://…"``: as ``redis.Redis.from_url`` reads them;
    - ``"redis+cluster://…"``, ``"rediss+cluster://…"``, or *cluster* with the address of any node:
      as ``redis.RedisCluster.from_url`` reads it, a client of the whole cluster;
    - any other str or path: a server kept in that directory, shared like an SQLite file
      (`redset.embedded.Server`); it ends with the last process that connected to it. A str that
      looks like a mistyped address (``"redis//localhost"``, ``"localhost:6379"``,
      ``"user:password@host"``) is refused;
    - None: what ``$REDIS_URL`` says, in any of these forms; if unset or empty, a private server
      that is started at the first call, is the same for all calls, and ends with this process.

    *options* go to ``redis.Redis`` or ``redis.RedisCluster`` (``decode_responses=True``,
    ``socket_timeout`` in seconds, …); without them, time limits and retries are those of
    ``redis.Redis()``.

    Errors: `InvalidTypeError`, `InvalidValueError` for a *url* that is neither a URL nor a path, or
    *cluster* without the URL of a node; `EmbeddedServerError` if a server can't be started or the
    ``embedded`` extra is missing. If a server is down, the first command raises redis-py's own
    exception; the client of a cluster asks for its nodes at once, and raises it here.
    Cost: no I/O for a URL, except that of a cluster. An embedded server takes about 0.2 s to start,
    and 1 round trip in later calls.
    """
    return client_of((redis.Redis, redis.cluster.RedisCluster), url, options, cluster=cluster)


def client_of(
    kinds: tuple[type[C], type[D]],
    url: str | os.PathLike[str] | None,
    options: dict[str, Any],
    *,
    cluster: bool,
) -> C | D:
    """Make a client as `connect` does: of the first of *kinds*, or of the second in a cluster."""
    kind, cluster_kind = kinds
    if url is None:
        url = os.environ.get("REDIS_URL") or None
    if isinstance(url, str) and "://" in url:
        scheme, _, address = url.partition("://")
        if (cluster and scheme != "unix") or scheme in _CLUSTER_SCHEMES:
            scheme = _CLUSTER_SCHEMES.get(scheme, scheme)
            limits = _defaults(kind, scheme)
            limits.pop("retry", None)  # a cluster's client repeats by rules of its own
            return _from_url(cluster_kind, f"{scheme}://{address}", limits | options)
        if not cluster:
            return _from_url(kind, url, _defaults(kind, scheme) | options)
    if cluster:
        raise InvalidValueError(
            "redset: cluster=True needs the URL of one of the cluster's nodes, such as "
            "redis://host:port; an embedded server is no cluster"
        )
    if url is not None:
        _check_directory(url)
    try:
        from redset import embedded  # noqa: PLC0415 - POSIX only, and a URL doesn't need it
    except ImportError as error:
        raise EmbeddedServerError(
            "redset: an embedded server needs Linux or macOS; give connect() a URL"
        ) from error
    url = embedded.shared_server(url).url
    return _from_url(kind, url, _defaults(kind, url.partition("://")[0]) | options)


def _from_url(kind: type[C], url: str, options: dict[str, Any]) -> C:
    # Messages show only the scheme: the rest may hold a password.
    scheme = url.partition("://")[0]
    if scheme not in _SCHEMES:
        offered = f", got '{scheme}://…'" if _SHOWN_SCHEME.fullmatch(scheme) else ""
        raise InvalidValueError(
            "redset: url must start with redis://, rediss:// or unix://, or be the path of a "
            f"directory{offered}"
        )
    unreadable = f"redset: url of scheme {shown(scheme)} can't be read"
    try:
        urlsplit(url).port  # noqa: B018 - what it complains of may be a part of a password
    except ValueError:
        raise InvalidValueError(
            f"{unreadable}: its port must be a number, and a password in it needs %3A for :, "
            "%2F for /, %40 for @ (urllib.parse.quote)"
        ) from None
    try:
        client: C = kind.from_url(url, **options)  # type: ignore[attr-defined]
        return client
    except ValueError as error:
        raise InvalidValueError(f"{unreadable}: {error}") from error


def _defaults(kind: type, scheme: str) -> dict[str, Any]:
    """Return the time limits and retries that *kind* has if it is made without a URL.

    ``from_url`` doesn't set them: a client would wait without end for a server that doesn't answer.
    """
    names = ["socket_timeout", "retry"]
    if scheme != "unix":
        names += ["socket_connect_timeout", "socket_keepalive"]
    known = inspect.signature(kind).parameters
    defaults = {name: known[name].default for name in names if name in known}
    return {name: copy.deepcopy(value) for name, value in defaults.items() if value is not None}


def _check_directory(path: object) -> None:
    if not isinstance(path, str | os.PathLike):
        raise InvalidTypeError(f"redset: url must be a str, a path or None, got {shown(path)}")
    if path == "":
        raise InvalidValueError("redset: url must not be empty; None means $REDIS_URL")
    # A variable of the environment may hold the quotes or the line's end of the file it is from.
    if isinstance(path, str) and _ADDRESS.fullmatch(path.strip(" \t\r\n\"'")):
        # What was given isn't shown: it may hold a password.
        raise InvalidValueError(
            "redset: url looks like the address of a server, but doesn't begin with redis://, "
            "rediss:// or unix://; write redis://host:port, or ./ before the name of a directory"
        )
