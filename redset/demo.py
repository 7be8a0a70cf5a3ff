"""The demo: several processes map the imports of a library through three sets.

Contains the workers, their sources and the report. Uses redset as any user would: without Redis
commands, without keys except the names of sets, and without private modules.
"""
# The output of a command is printed.
# ruff: noqa: T201

import ast
import contextlib
import importlib
import importlib.machinery
import importlib.util
import itertools
import multiprocessing
import signal
import sys
import sysconfig
import threading
import time
import types
import uuid
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from multiprocessing import connection, resource_tracker
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, TypeVar

import redis

from redset import SortedSet, connect
from redset._support.clock import monotonic
from redset.embedded import Server
from redset.exceptions import RedsetError

PROMISE = "Map the imports of Python's standard library with several processes."
BATCH = 8
IDLE = 0.1  # seconds
TICK = 0.1  # seconds
TIMEOUT_SECONDS = 10.0  # seconds that a worker has to end after its current module
USAGE_ERROR = 2
INTERRUPTS = (signal.SIGINT, signal.SIGTERM)

# Warnings are ignored by all threads or by none; and Python parses one source at a time anyway.
PARSING = threading.Lock()

S = TypeVar("S")
Sources = dict[str, str]  # module name -> path of its source
Modules = SortedSet[str]
Pipe = connection.Connection


class Mapped(NamedTuple):
    """One module, and the modules that it imports."""

    module: str
    imports: set[str]


Stop = Callable[[], bool]  # returns whether a worker is to end after its current module
Target = Callable[[str, str, Sources, Stop], list[Mapped]]  # the function of a worker process


def depth(module: str) -> int:
    """Score *module* by its depth in its package, so that outer modules come first."""
    return module.count(".")


def never() -> bool:
    """Return ``False``: a worker need not end."""
    return False


def work(
    frontier: Modules, seen: Modules, done: Modules, sources: Sources, stop: Stop = never
) -> list[Mapped]:
    """Map modules until no worker can find another one; each worker process runs this.

    A module is done only when all that it imports has been seen, so all is done exactly when the
    numbers of ``done`` and ``seen`` are equal. ``done`` is counted first: counted last, it could
    reach an old count of ``seen``.
    """
    mapped = []
    while not stop() and len(done) < len(seen):
        for module in frontier.consume(BATCH, timeout=IDLE, stop=stop):
            imports = imports_of(module, sources)
            frontier.update(seen.insert(*imports))
            done.add(module)
            mapped.append(Mapped(module, imports))
    return mapped


def work_alone(url: str, run: str, sources: Sources, stop: Stop = never) -> list[Mapped]:
    """Do the `work` of one process, over a client of its own."""
    return work(*open_sets(Modules, connect(url), run), sources, stop)


def open_sets(kind: Callable[..., S], client: Any, run: str) -> tuple[S, S, S]:
    """Open the sets of one *run*: frontier, seen, done; in any process, and of either surface."""
    frontier = kind(client, f"{run}:frontier", scorer=depth)
    return frontier, kind(client, f"{run}:seen"), kind(client, f"{run}:done")


def walk(seeds: Iterable[str], sources: Sources) -> set[str]:
    """Find the same modules in one process, with a builtin ``set``, to check `work`."""
    seen = set(seeds)
    frontier = list(seen)
    while frontier:
        new = imports_of(frontier.pop(), sources) - seen
        seen |= new
        frontier += new
    return seen


def find_sources(root: Path, names: Iterable[str]) -> Sources:
    """Find the source files of the top-level modules *names* and all that is in them."""
    paths = [path for name in names for path in (root / f"{name}.py", *(root / name).rglob("*.py"))]
    paths.sort(key=lambda path: path.name == "__init__.py")  # a package hides a module of its name
    return {
        ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): str(path)
        for path in paths
        if path.is_file()
    }


def find_package(name: str) -> Sources:
    """Find the source files of the installed package or module *name*, without importing it."""
    if not name.isidentifier():
        return {}
    # The usual finder comes first: importlib.util knows "os" and similar modules only as frozen,
    # without a file.
    spec = importlib.machinery.PathFinder.find_spec(name) or importlib.util.find_spec(name)
    if spec is None:
        return {}
    [location, *_] = spec.submodule_search_locations or [spec.origin or ""]
    return find_sources(Path(location).parent, [name])


def imports_of(module: str, sources: Sources) -> set[str]:
    """Read and parse *module*; return what it imports, as far as *sources* has it.

    ``import a.b`` imports ``a`` too; ``from a import b`` imports ``a.b`` if that is a module.
    """
    path = Path(sources[module])
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    text = path.read_bytes()
    try:
        with PARSING, warnings.catch_warnings(action="ignore"):
            tree = ast.parse(text)
    except (SyntaxError, ValueError):  # a template, or written for another version of Python
        return set()
    names = itertools.chain.from_iterable(imported_names(node, package) for node in ast.walk(tree))
    found = {
        part for name in names for part in itertools.accumulate(name.split("."), "{}.{}".format)
    }
    return (found & sources.keys()) - {module}


def imported_names(node: ast.AST, package: str) -> list[str]:
    """List the absolute names in one import statement; other nodes have none."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        try:
            base = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
        except ImportError:  # more dots than packages: Python would refuse it too
            return []
        return [f"{base}.{alias.name}" for alias in node.names]
    return []


def crawl(
    url: str, sources: Sources, seeds: list[str], workers: int, target: Target = work_alone
) -> list[Mapped]:
    """Let *workers* processes map all that *seeds* lead to; leave nothing on the server.

    Raises `EOFError` when a worker ends without a result.
    """
    run = f"redset-demo:{uuid.uuid4().hex}"
    frontier, seen, done = open_sets(Modules, connect(url), run)
    try:
        frontier.update(seen.insert(*seeds))
        mapped = list[Mapped]()
        with (
            progress_bar() as draw,
            started_workers(workers, target, url, run, sources) as results,
        ):
            while results:
                ready = connection.wait(results, timeout=TICK)
                for result in [each for each in results if each in ready]:
                    mapped += result.recv()
                    results.remove(result)
                draw(len(done), len(seen))
        return mapped
    finally:
        for each in (frontier, seen, done):
            each.clear()


@contextlib.contextmanager
def open_server(url: str | None) -> Iterator[str]:
    """Yield *url*, or otherwise the URL of a server that lives as long as the block."""
    with contextlib.ExitStack() as stack:
        with signals_postponed(signal.SIGINT):
            there = url if url is not None else stack.enter_context(Server()).url
        yield there


@contextlib.contextmanager
def started_workers(count: int, target: Target, *arguments: Any) -> Iterator[list[Pipe]]:
    """Start *count* processes of *target*; yield the pipes of their results; end all of them."""
    spawn = multiprocessing.get_context("spawn")
    results, processes = [], list[SpawnProcess]()
    try:
        with signals_postponed(*INTERRUPTS):
            for _ in range(count):
                result, outlet = spawn.Pipe(duplex=False)
                sent = (outlet, target, *arguments)
                process = spawn.Process(target=send_work, args=sent, daemon=True)
                process.start()
                outlet.close()  # so that a worker that dies ends its pipe
                results.append(result)
                processes.append(process)
        yield results
    except BaseException:
        for result in results:
            result.close()  # a worker that sends a long result must not wait until it is read
        for process in processes:
            process.terminate()
        deadline = monotonic() + TIMEOUT_SECONDS
        for process in processes:
            process.join(max(0.0, deadline - monotonic()))
            process.kill()
        raise
    finally:
        for process in processes:
            process.join()


def send_work(outlet: Pipe, target: Target, url: str, run: str, sources: Sources) -> None:
    """Run *target* in a process of its own and send the result to the parent.

    SIGTERM ends the work after the current module, which is done then; the other modules of its
    batch return to the frontier, for another worker.
    """
    stop = threading.Event()

    def end(signal_number: int, frame: types.FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second signal changes nothing
        stop.set()

    signal.signal(signal.SIGTERM, end)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})  # blocked while this began
    with contextlib.suppress(BrokenPipeError):  # the parent doesn't wait for it any more
        outlet.send(target(url, run, sources, stop.is_set))


@contextlib.contextmanager
def signals_postponed(*signals: int) -> Iterator[None]:
    """Postpone *signals* for this block, and block them in the processes started in it.

    The processes inherit the blocked signals: a Ctrl-C at the terminal reaches only the parent, and
    the parent stops them. It does so when the block has ended and all processes are known.
    """
    resource_tracker.ensure_running()  # started later, it would unblock the signals
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Interrupted(KeyboardInterrupt):
    """A signal told the demo to end; ``code`` is the exit code that says which one."""

    def __init__(self, signal_number: int) -> None:
        super().__init__()
        self.code: int = 128 + signal_number


def interrupt_once(signal_number: int, frame: types.FrameType | None) -> NoReturn:
    """Handle Ctrl-C and SIGTERM: a second signal must not disturb the clean-up after the first."""
    for each in INTERRUPTS:
        signal.signal(each, signal.SIG_IGN)
    raise Interrupted(signal_number)


@contextlib.contextmanager
def progress_bar() -> Iterator[Callable[[int, int], None]]:
    """Yield a function that draws how many of how many modules are done, with rich if installed."""
    if not sys.stderr.isatty():
        yield lambda completed, total: None
        return
    try:
        console = importlib.import_module("rich.console").Console(stderr=True)
        progress = importlib.import_module("rich.progress").Progress(console=console)
    except ImportError:
        try:
            yield draw_plainly
        finally:
            print(file=sys.stderr)
        return
    with progress:
        task = progress.add_task("modules")
        yield lambda completed, total: progress.update(task, completed=completed, total=total)


def draw_plainly(completed: int, total: int, width: int = 40) -> None:
    """Draw a bar over the previous one."""
    bar = "#" * (width * completed // max(total, 1))
    print(f"\r[{bar:<{width}}] {completed}/{total} modules", end="", file=sys.stderr, flush=True)


class Difference(NamedTuple):
    """The differences between the workers' modules and those of the single process."""

    twice: set[str]
    lost: set[str]
    unexpected: set[str]


def compare(modules: Iterable[str], walked: set[str]) -> Difference:
    """Compare the modules that the workers mapped, in any order, with those of `walk`."""
    times = Counter(modules)
    twice = {module for module, count in times.items() if count > 1}
    return Difference(twice, walked - times.keys(), times.keys() - walked)


def report(mapped: list[Mapped], seeds: list[str], seconds: float, walked: set[str]) -> int:
    """Print the result; return the exit code: 1 if it differs from the single-process walk."""
    modules = {each.module for each in mapped}
    found = sum(len(each.imports) for each in mapped)
    # Each module except the seeds was new once; every other time the `seen` set refused it.
    refused = found - (len(modules) - len(seeds))
    difference = compare((each.module for each in mapped), walked)
    verdict = "DIFFERENT" if any(difference) else "the same modules"
    print(f"seeds                {len(seeds):>8,}  modules to begin with")
    print(f"imports found        {found:>8,}")
    print(f"duplicates refused   {refused:>8,}")
    print(f"modules              {len(modules):>8,}  seeds + imports - duplicates")
    print(f"modules per second   {len(mapped) / seconds:>8,.0f}  {seconds:.1f} s, start included")
    print(f"single-process walk  {len(walked):>8,}  {verdict}", end="")
    print("".join(f", {len(names)} {word}" for word, names in difference._asdict().items()))
    return int(any(difference))


def main(
    *,
    workers: int = 4,
    url: str | None = None,
    package: str | None = None,
    target: Target = work_alone,
) -> int:
    """Run the demo; return its exit code: 0, 1 (it differs), 2 (it can't run), 128 and a signal.

    Without *url*, it starts a server of its own, which is deleted when it ends. Without *package*,
    it maps the standard library of the running Python. *target* is the function that each worker
    process runs.
    """
    before = {each: signal.signal(each, interrupt_once) for each in INTERRUPTS}
    try:
        if package is None:
            root = Path(sysconfig.get_path("stdlib"))
            sources = find_sources(root, sys.stdlib_module_names)
        else:
            sources = find_package(package)
        seeds = [module for module in sources if depth(module) <= (package is not None)]
        if not seeds:
            return complain(f"no Python source found for package {package!r}")
        print(f"mapping {package or 'the standard library'} with {workers} processes", flush=True)
        with open_server(url) as there:
            start = time.perf_counter()
            mapped = crawl(there, sources, seeds, workers, target)
            seconds = time.perf_counter() - start
        return report(mapped, seeds, seconds, walk(seeds, sources))
    except Interrupted as interrupt:
        return complain("interrupted", interrupt.code)
    except EOFError:
        return complain("a worker process ended without its result", 1)
    except (RedsetError, redis.RedisError) as error:
        return complain(str(error))
    finally:
        # After a Ctrl-C further signals stay ignored: only the end of the process is left.
        for each, handler in before.items():
            if signal.getsignal(each) is interrupt_once:
                signal.signal(each, handler)


def complain(message: str, code: int = USAGE_ERROR) -> int:
    """Print why the demo ends early; return the exit code."""
    print(f"redset demo: {message}", file=sys.stderr)
    return code
