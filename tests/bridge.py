"""The asyncio surface under the synchronous one's names, so that one test body serves both.

A set of this module is called like `redset.RedisSortedSet`, by any number of threads; each call is
awaited by one event loop, in a thread of its own. Nothing of the synchronous surface is used.
"""

import asyncio
import collections.abc
import functools
import importlib
import inspect
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Set
from typing import Any
from weakref import WeakKeyDictionary

import redset
import redset.asyncio
from redset.asyncio.awaitables import AwaitableContext
from redset.asyncio.operators import UNSUPPORTED
from tests.cluster_clients import is_cluster, make_cluster_client, settings_of

# What a connection is made of in both worlds.
SHARED = (
    *("host", "port", "path", "db", "username", "password", "protocol", "decode_responses"),
    *("socket_timeout", "socket_connect_timeout", "client_name", "retry_on_error"),
)
OPERATORS = {
    "__or__": "union",
    "__and__": "intersection",
    "__sub__": "difference",
    "__xor__": "symmetric_difference",
    "__le__": "issubset",
    "__ge__": "issuperset",
    "__lt__": "ispropersubset",
    "__gt__": "ispropersuperset",
    "__eq__": "equals",
}
IN_PLACE = {
    "__ior__": "update",
    "__iand__": "intersection_update",
    "__isub__": "difference_update",
    "__ixor__": "symmetric_difference_update",
}
# The right sides' operators are those of builtin sets, whose type decides.
REFLECTED: dict[str, Callable[[Any, Any], Any]] = {
    "__ror__": lambda one, other: one.union(other),
    "__rand__": lambda one, other: one.intersection(other),
    "__rsub__": lambda one, other: one.difference(other),
    "__rxor__": lambda one, other: one.symmetric_difference(other),
}


class Loop:
    """An event loop in a thread, and the asyncio twins of synchronous clients."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._clients: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, call: Awaitable[Any]) -> Any:
        async def wait() -> Any:
            return await call

        return asyncio.run_coroutine_threadsafe(wait(), self._loop).result()

    def is_here(self) -> bool:
        """Whether this is the thread that the loop runs in."""
        return threading.current_thread() is self._thread

    def start(self, call: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(call, self._loop)

    def twin(self, client: Any) -> Any:
        """The asyncio client with the settings of *client*."""
        if client not in self._clients:
            self._clients[client] = self.run(_twin(client))
        return self._clients[client]

    def original(self, twin: Any) -> Any:
        """The synchronous client of which this is the twin; itself for one that was reopened."""
        return next((one for one, other in self._clients.items() if other is twin), twin)

    def clients(self) -> list[Any]:
        return list(self._clients.values())

    def keep(self, client: Any) -> None:
        """Close *client*, which has no synchronous original, with the others."""
        self._clients[client] = client

    async def _end(self) -> None:
        # Who deletes a result in the middle of this would connect anew, and stay so.
        clients = self.clients()
        pipeliners = [
            pipeliner
            for client in clients
            for pipeliner in vars(client).get("_redset_pipeliners", {}).values()
        ]
        end = self._loop.time() + 1.0
        try:
            while any(pipeliner._sender for pipeliner in pipeliners) and self._loop.time() < end:
                await asyncio.sleep(0.001)
            for client in clients:
                await disconnect(client)
        finally:
            self._loop.stop()

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop)
        self._thread.join()
        self._loop.run_until_complete(self._end_late_ones())
        self._loop.close()

    async def _end_late_ones(self) -> None:
        # A result that was collected while the loop ended has begun to be deleted.
        late = asyncio.all_tasks() - {asyncio.current_task()}
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        for client in self.clients():
            await disconnect(client)


async def disconnect(client: Any) -> None:
    """Close all connections of *client*, of one server or of a cluster."""
    if is_cluster(client):
        await client.aclose()
        for node in client.get_nodes():  # what was opened after that
            await node.disconnect()
    else:
        await client.connection_pool.disconnect()


async def _twin(client: Any) -> Any:
    library = type(client).__module__.partition(".")[0]
    settings = settings_of(client)
    options = {name: settings[name] for name in SHARED if name in settings}
    if "path" in options:
        options["unix_socket_path"] = options.pop("path")
    # Over a cluster, a connection of redis-py repeats nothing: the client does.
    own = getattr(client, "retry", None) if is_cluster(client) else None
    if (retry := own or settings.get("retry")) is not None:
        twin = importlib.import_module(f"{library}.asyncio.retry").Retry
        options["retry"] = twin(retry._backoff, retry._retries)
    if is_cluster(client):
        if (attempts := getattr(client, "cluster_error_retry_attempts", None)) is not None:
            options["cluster_error_retry_attempts"] = attempts
        made = make_cluster_client(library, is_asyncio=True, **(options | _address(client)))
        # It would ask for the cluster's nodes with its first calls, which are counted.
        return await made.initialize()
    kind = getattr(importlib.import_module(f"{library}.asyncio"), library.capitalize())
    return kind(max_connections=client.connection_pool.max_connections, **options)


def _address(client: Any) -> dict[str, Any]:
    node = client.get_default_node()
    remap = client.nodes_manager.address_remap
    return {"host": node.host, "port": node.port, "address_remap": remap}


_current: list[Loop] = []


def begin() -> Callable[[], None]:
    """Make a loop for what follows; give what ends it."""
    _current.append(Loop())
    return lambda: _current.pop().close()


def keep(client: Any) -> None:
    """Let sets use the asyncio *client* itself, and close it in the end."""
    _current[-1].keep(client)


def delete_collected() -> None:
    """Wait until the results are deleted whose handles were collected."""
    if _current[-1].is_here():
        return  # called back by a set: the loop can't wait for itself
    for client in _current[-1].clients():
        _current[-1].run(redset.asyncio.RedisSortedSet[Any](client, "any").score("any"))


def _wrapped(value: Any) -> Any:
    """What a synchronous caller sees of *value*."""
    if isinstance(value, AwaitableContext) or inspect.isawaitable(value):
        return _wrapped(_current[-1].run(value))
    if isinstance(value, redset.asyncio.RedisSortedSet):
        return TWINS[type(value)]._around(value)
    for kind, twin in (
        (redset.asyncio.Consumer, Consumer),
        (redset.asyncio.Lock, Lock),
        (redset.asyncio.Lease, Lease),
    ):
        if isinstance(value, kind):
            return twin(value)
    return _iterated(value) if isinstance(value, AsyncIterator) else value


def _unwrapped(value: Any) -> Any:
    return value._set if isinstance(value, RedisSortedSet) else value


def _iterated(items: AsyncIterator[Any]) -> Iterator[Any]:
    run = _current[-1].run
    try:
        while True:
            try:
                item = run(anext(items))
            except StopAsyncIteration:
                return
            yield item
    finally:
        if inspect.isasyncgen(items):
            run(items.aclose())


async def _later(function: Callable[[], Any]) -> Any:
    # Where a loop is needed to make what is awaited.
    found = function()
    return await found if inspect.isawaitable(found) else found


class Lock:
    """`redset.locks.Lock` over one of asyncio, by a task that lives as long as it is held."""

    def __init__(self, lock: Any) -> None:
        self._lock = lock

    def __getattr__(self, name: str) -> Any:
        return getattr(self._lock, name)

    def __enter__(self) -> Any:
        self._released = asyncio.Event()
        acquired: asyncio.Queue[Exception | None] = asyncio.Queue()

        async def hold() -> None:
            try:
                async with self._lock:
                    acquired.put_nowait(None)
                    await self._released.wait()
            except Exception as error:
                acquired.put_nowait(error)

        self._task = _current[-1].start(hold())
        if (error := _current[-1].run(acquired.get())) is not None:
            raise error
        return self

    def __exit__(self, *_error: object) -> None:
        _current[-1].run(_later(self._released.set))
        self._task.result()


class Lease(collections.abc.Sequence[Any]):
    """`redset.leases.Lease` over one of asyncio."""

    def __init__(self, lease: Any) -> None:
        self._lease = lease

    def __getattr__(self, name: str) -> Any:
        return getattr(self._lease, name)

    def ack(self, *items: Any, **options: Any) -> None:
        _current[-1].run(self._lease.ack(*items, **options))

    def reject(self, *items: Any, **options: Any) -> None:
        _current[-1].run(self._lease.reject(*items, **options))

    def release(self, *items: Any, **options: Any) -> None:
        _current[-1].run(self._lease.release(*items, **options))

    def extend(self, *args: Any) -> None:
        _current[-1].run(self._lease.extend(*args))

    def __getitem__(self, index: Any) -> Any:
        return self._lease[index]

    def __len__(self) -> int:
        return len(self._lease)

    def __enter__(self) -> "Lease":
        _current[-1].run(self._lease.__aenter__())
        return self

    def __exit__(self, *error: Any) -> None:
        _current[-1].run(self._lease.__aexit__(*error))


class Consumer(Iterator[Any]):
    """`redset.Consumer` over one of asyncio."""

    def __init__(self, consumer: Any) -> None:
        self._consumer, self._loop = consumer, _current[-1]

    def __getattr__(self, name: str) -> Any:
        return _wrapped(getattr(self._consumer, name))

    def __next__(self) -> Any:
        try:
            return _current[-1].run(anext(self._consumer))
        except StopAsyncIteration:
            raise StopIteration from None

    def attempt(self) -> "Attempt":
        return Attempt(self._consumer.attempt())

    def close(self) -> None:
        _current[-1].run(self._consumer.close())

    def __del__(self) -> None:
        if _current and self._loop is _current[-1] and not self._loop.is_here():
            self.close()

    def __enter__(self) -> "Consumer":
        return self

    def __exit__(self, *error: Any) -> None:
        _current[-1].run(self._consumer.__aexit__(*error))


class Attempt:
    """`redset.consumers.Attempt` over one of asyncio."""

    def __init__(self, attempt: Any) -> None:
        self._attempt = attempt

    def __enter__(self) -> None:
        pass

    def __exit__(self, *error: Any) -> bool:
        return bool(_current[-1].run(self._attempt.__aexit__(*error)))


class Runner:
    """What tests see of the runner of a set."""

    def __init__(self, runner: Any, client: Any) -> None:
        self._inner, self.client = runner, client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class RedisSortedSet(collections.abc.MutableSet[Any]):
    """`redset.RedisSortedSet` over the class of that name in `redset.asyncio`."""

    kind: type[Any] = redset.asyncio.RedisSortedSet
    _set: Any

    def __init__(self, redis_client: Any, name: Any, *args: Any, **options: Any) -> None:
        self._client = redis_client
        if callable(getattr(redis_client, "execute_command", None)):
            redis_client = _current[-1].twin(redis_client)
        self._set = self.kind(redis_client, name, *args, **options)

    def __class_getitem__(cls, _item: Any) -> Any:
        return cls

    @classmethod
    def _around(cls, inner: Any) -> Any:
        made = object.__new__(cls)
        made._set = inner
        made._client = _current[-1].original(inner._runner.client)
        return made

    @property
    def _runner(self) -> Any:
        """The set's runner, but with the synchronous client."""
        return Runner(self._set._runner, self._client)

    def __reduce__(self) -> Any:
        return _reopened, (type(self), self._set)

    def __getattr__(self, name: str) -> Any:
        if name in {"_set", "_client"}:
            raise AttributeError(name)
        found = getattr(self._set, name)
        if inspect.isdatadescriptor(inspect.getattr_static(type(self._set), name, None)):
            return _wrapped(found)
        if name.startswith("_") or not callable(found):
            return found

        def call(*args: Any, **options: Any) -> Any:
            given = [_unwrapped(arg) for arg in args]
            named = {key: _unwrapped(value) for key, value in options.items()}
            return _wrapped(found(*given, **named))

        return functools.wraps(found)(call)

    # What `collections.abc` would do item by item

    def __contains__(self, item: object) -> bool:
        return bool(_current[-1].run(self._set.contains(_unwrapped(item))))

    def __len__(self) -> int:
        return int(_current[-1].run(self._set.size()))

    def __iter__(self) -> Iterator[Any]:
        return _iterated(aiter(self._set))

    def __reversed__(self) -> Iterator[Any]:
        return _iterated(self._set.__reversed__())

    def __getitem__(self, index: Any) -> Any:
        return _wrapped(self._set[index])

    def __delitem__(self, index: Any) -> None:
        _wrapped(self._set.remove_at(index))

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def __copy__(self) -> Any:
        return self.copy()

    def __deepcopy__(self, _memo: Any) -> Any:
        return self.copy()

    def __repr__(self) -> str:
        return repr(self._set).replace("redset.asyncio", "redset")

    def add(self, *args: Any, **options: Any) -> Any:
        return _wrapped(self._set.add(*args, **options))

    def discard(self, item: Any) -> Any:
        return _wrapped(self._set.discard(_unwrapped(item)))

    def remove(self, item: Any) -> None:
        _wrapped(self._set.remove(_unwrapped(item)))

    def pop(self, **options: Any) -> Any:
        return _wrapped(self._set.pop(**options))

    def clear(self) -> Any:
        return _wrapped(self._set.clear())

    def isdisjoint(self, other: Any) -> bool:
        return bool(_wrapped(self._set.isdisjoint(_unwrapped(other))))

    __hash__ = None  # type: ignore[assignment]


class FirstOf:
    """`redset.FirstOf` over the class of that name in `redset.asyncio`."""

    def __init__(self, *sets: Any) -> None:
        self.sets = sets
        self._first = redset.asyncio.FirstOf(*(_unwrapped(each) for each in sets))

    def __class_getitem__(cls, _item: Any) -> Any:
        return cls

    def __reduce__(self) -> Any:
        return FirstOf, self.sets

    def __repr__(self) -> str:
        return repr(self._first).replace("redset.asyncio", "redset")

    def pop(self, **options: Any) -> Any:
        return self._given(_current[-1].run(self._first.pop(**options)))

    def take(self, *args: Any, **options: Any) -> Any:
        return [self._given(each) for each in _current[-1].run(self._first.take(*args, **options))]

    def lease(self, *args: Any, **options: Any) -> Any:
        return _wrapped(self._first.lease(*args, **options))

    def consume(self, *args: Any, **options: Any) -> Any:
        if callable(on_error := options.get("on_error")):
            options["on_error"] = lambda given, error: on_error(self._given(given), error)
        return FirstConsumer(self._first.consume(*args, **options), self._given)

    def _given(self, given: Any) -> Any:
        source, *others = given
        return (*(one for one in self.sets if one._set is source), *others)


class FirstConsumer(Consumer):
    """`redset.FirstConsumer` over one of asyncio."""

    def __init__(self, consumer: Any, given: Callable[[Any], Any]) -> None:
        super().__init__(consumer)
        self._given = given

    def __next__(self) -> Any:
        return self._given(super().__next__())


def _operator(method: str) -> Callable[[Any, Any], Any]:
    def operate(self: Any, other: Any) -> Any:
        if not isinstance(other, Set):
            return NotImplemented
        return _wrapped(getattr(self._set, method)(_unwrapped(other)))

    return operate


def _in_place(method: str) -> Callable[[Any, Any], Any]:
    def operate(self: Any, other: Any) -> Any:
        if not isinstance(other, Set):
            return NotImplemented
        _wrapped(getattr(self._set, method)(_unwrapped(other)))
        return self

    return operate


def _reflected(combine: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def operate(self: Any, other: Any) -> Any:
        if not isinstance(other, Set):
            return NotImplemented
        kind = frozenset if isinstance(other, frozenset) else set
        return kind(combine(set(other), list(self)))

    return operate


for _name, _method in OPERATORS.items():
    setattr(RedisSortedSet, _name, _operator(_method))
for _name, _method in IN_PLACE.items():
    setattr(RedisSortedSet, _name, _in_place(_method))
for _name, _combine in REFLECTED.items():
    setattr(RedisSortedSet, _name, _reflected(_combine))


def _reopened(kind: type[RedisSortedSet], inner: Any) -> Any:
    _current[-1].keep(inner._runner.client)
    return kind._around(inner)


class SortedSet(RedisSortedSet):
    kind = redset.asyncio.SortedSet


class TimeSortedSet(SortedSet):
    kind = redset.asyncio.TimeSortedSet


class ScheduledSet(TimeSortedSet):
    kind = redset.asyncio.ScheduledSet


BRIDGED = (RedisSortedSet, SortedSet, TimeSortedSet, ScheduledSet)
TWINS = {kind.kind: kind for kind in BRIDGED}
assert set(OPERATORS) | set(IN_PLACE) | set(REFLECTED) <= set(UNSUPPORTED) | {"__eq__"}
