"""What `redset.connect` makes of its argument and of the environment."""

import multiprocessing
import subprocess
import sys
import traceback
import types
from pathlib import Path
from typing import Any

import pytest
import redis
import redis.asyncio

import redset
import redset.asyncio
import redset.embedded
from redset.embedded import Server, shared_server
from redset.exceptions import InvalidTypeError, InvalidValueError

_URL = "redis://user:secret@example.com:6380/2"


def _settings(client: redis.Redis) -> dict[str, Any]:
    return dict(client.connection_pool.connection_kwargs)


def test_a_url_is_read_as_redis_py_reads_it() -> None:
    settings = _settings(redset.connect(_URL))
    expected = {"host": "example.com", "port": 6380, "db": 2}
    expected |= {"username": "user", "password": "secret"}
    assert {name: settings[name] for name in expected} == expected


def test_rediss_is_an_encrypted_connection() -> None:
    pool = redset.connect("rediss://example.com").connection_pool
    assert pool.connection_class is redis.SSLConnection


def test_options_reach_the_client() -> None:
    client = redset.connect(_URL, decode_responses=True, socket_timeout=1.5)
    assert _settings(client)["decode_responses"] is True
    assert _settings(client)["socket_timeout"] == 1.5


def test_a_given_url_goes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://elsewhere")
    assert _settings(redset.connect(_URL))["host"] == "example.com"


def test_the_environment_goes_before_an_embedded_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", _URL)
    assert _settings(redset.connect())["host"] == "example.com"


def test_the_environment_may_name_a_directory(
    monkeypatch: pytest.MonkeyPatch, directory: Path
) -> None:
    monkeypatch.setenv("REDIS_URL", str(directory))
    assert redset.connect().ping()
    assert (directory / "redset.sock").exists()


@pytest.mark.parametrize("value", [None, ""])
def test_without_a_url_all_calls_of_a_process_share_one_embedded_server(
    monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    monkeypatch.delenv("REDIS_URL", raising=False)
    if value is not None:
        monkeypatch.setenv("REDIS_URL", value)
    with redset.connect() as one, redset.connect(decode_responses=True) as other:
        one.set("key", "value")
        assert other.get("key") == "value"
        one.delete("key")


def test_a_directory_is_one_server_however_it_is_written(directory: Path) -> None:
    with redset.connect(directory) as one, redset.connect(f"{directory}/../kept") as other:
        one.set("key", "value")
        assert other.get("key") == b"value"


def _increment(url: str) -> None:
    with redset.connect(url) as client:
        client.incr("count")


def test_spawned_processes_join_by_url() -> None:
    context = multiprocessing.get_context("spawn")
    with Server() as server, server.client() as client:
        processes = [context.Process(target=_increment, args=[server.url]) for _ in range(2)]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        assert [process.exitcode for process in processes] == [0, 0]
        assert client.get("count") == b"2"


@pytest.mark.parametrize("url", [b"redis://localhost", 6379, ["redis://localhost"]])
def test_what_is_no_url_and_no_path_is_a_type_error(url: Any) -> None:
    with pytest.raises(InvalidTypeError, match="url must be a str, a path or None"):
        redset.connect(url)


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("", "must not be empty"),
        ("localhost:6379", "redis://host:port"),
        ("LOCALHOST", "address of a server"),
        ("127.0.0.1", "address of a server"),
        ("[::1]:6379", "address of a server"),
        ("user:secret@host:6379", "address of a server"),
        ("user:secret@host", "address of a server"),
        (":secret@host/0", "address of a server"),
        ("secret@host", "address of a server"),
        ("secret@host://x", "redis://"),
        ("Secret://x", "redis://"),
        ("user:secret://x", "redis://"),
        ("redis//:secret@localhost", "address of a server"),
        ("redis:/:secret@localhost", "address of a server"),
        ("redis//localhost", "redis://host:port, or ./ before"),
        ("redis//localhost:6379", "address of a server"),
        ("redis:/localhost", "address of a server"),
        ("redis:localhost", "address of a server"),
        ("redis;//localhost", "address of a server"),
        ("redis/:secret@localhost", "address of a server"),
        ("reids:/localhost", "address of a server"),
        ("reids//localhost:6379", "address of a server"),
        ("http:/localhost", "address of a server"),
        ("http//localhost", "address of a server"),
        ("localhost/0", "address of a server"),
        ("localhost:", "address of a server"),
        ("localhost:6379?db=1", "address of a server"),
        ("localhost:6379\n", "address of a server"),
        ("'redis//localhost'", "address of a server"),
        ("redis://user:secret@[host", "can't be read"),
        ("redis://user:secret@ho\u2100st", "can't be read"),
        ("127.0.0.1:6379/0", "address of a server"),
        ("http://user:secret@localhost", "redis://, rediss:// or unix://.*'http://…'"),
        ("://localhost", "redis://"),
        ("redis://:secret@localhost:port", "can't be read"),
        ("redis://:secret@localhost?socket_timeout=soon", "socket_timeout"),
    ],
)
def test_a_bad_url_says_what_to_write_and_keeps_its_password(
    url: str, hint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for connect in (redset.connect, redset.asyncio.connect):
        with pytest.raises(InvalidValueError, match=hint) as caught:
            connect(url)
        shown = "".join(traceback.format_exception(caught.value))
        assert "secret" not in str(caught.value).lower()
        assert "secret" not in shown.replace("from_url", "").lower() or "socket_timeout" in url
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "path",
    ["jobs", "./jobs", "./redis:/localhost", "redis", "redis/data", "data//jobs", "a.b-c", "/x"],
)
def test_a_plain_path_is_a_directory(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def shared(directory: Any) -> Any:
        asked.append(directory)
        return types.SimpleNamespace(url="unix:///nowhere")

    monkeypatch.setattr(redset.embedded, "shared_server", shared)
    for connect in (redset.connect, redset.asyncio.connect):
        connect(path)
    assert asked == [path, path]


@pytest.mark.parametrize("name", ["a@b", "localhost", "redis//x", "h:6379"])
def test_any_name_may_be_a_directory_s_if_it_is_written_as_a_path(
    directory: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    directory.mkdir()
    monkeypatch.chdir(directory)
    with redset.connect(f"./{name}") as client:
        assert client.ping()
    with redset.connect(Path(name)) as client:
        assert client.ping()
    shared_server(Path(name)).close()
    assert Path(name).is_dir()


def test_connecting_to_a_url_needs_no_embedded_server() -> None:
    script = (
        f"import sys; sys.modules['fcntl'] = None; import redset; redset.connect({_URL!r})\n"
        "try:\n    redset.connect('directory')\n"
        "except redset.exceptions.EmbeddedServerError as error:\n    print(error)\n"
    )
    root = str(Path(redset.__file__).parent.parent)
    process = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONPATH": root},
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.stdout.strip().endswith("needs Linux or macOS; give connect() a URL")


@pytest.mark.parametrize("kind", [redis.Redis, redis.asyncio.Redis])
def test_connect_has_the_time_limits_and_retries_of_a_client_without_url(kind: Any) -> None:
    make = redset.connect if kind is redis.Redis else redset.asyncio.connect
    plain = kind().connection_pool.connection_kwargs
    for url in ("redis://127.0.0.1:1", "unix:///nowhere"):
        options = make(url).connection_pool.connection_kwargs
        assert options.get("socket_timeout") == plain["socket_timeout"]
        assert getattr(options.get("retry"), "_retries", None) == getattr(
            plain.get("retry"), "_retries", None
        )
        assert make(url, socket_timeout=7).connection_pool.connection_kwargs["socket_timeout"] == 7
    tcp: Any = make("redis://127.0.0.1:1?socket_timeout=9").connection_pool
    assert tcp.connection_kwargs["socket_timeout"] == 9
    assert tcp.connection_kwargs.get("socket_connect_timeout") == plain["socket_connect_timeout"]
