"""Renewals: the threads that renew the leases of one client, and the results that are read."""

import contextlib
import math
import threading
import weakref
from typing import Any, NamedTuple, Protocol

from redset._support.clock import monotonic
from redset._support.forks import PerProcess, ReentrantLock, reentrant_lock
from redset._transport import compat

# A lease is renewed after this part of its time: two more attempts fit in.
RENEW_AFTER = 1 / 3
# A thread ends this long after the last lease. If it ended with each lease, the next item of a
# loop would have to start it again.
LINGER_SECONDS = 1.0


def due_after(ttl: float) -> float:
    """Return when a lease that now has *ttl* seconds is to be renewed, by `monotonic`."""
    return monotonic() + ttl * RENEW_AFTER


class Renewable(Protocol):
    """An object that expires unless it is renewed."""

    def _renew(self) -> float | None:
        """Renew it; return for how many seconds, ``None`` if nothing is left of it."""
        ...

    def _node(self) -> str | None:
        """Return the name of the node that is asked to renew it; ``None`` without a cluster."""
        ...


class _Entry(NamedTuple):
    """A renewed object: when it is due, and the node that is asked to renew it."""

    due: float
    reference: "weakref.ref[Renewable]"
    node: str | None


Entries = dict[int, _Entry]


class Renewer:
    """Renews all leases of a client that were begun, in one thread for each node that has some.

    So a node of a cluster that doesn't answer holds up no renewal at another one. A lease that is
    no longer referenced is not kept alive: it expires. The same applies to other renewed objects.
    To begin and to end a renewal costs some steps of the interpreter, and no system call unless a
    thread would wake up too late. Safe across threads and in signal handlers.
    """

    def __init__(self) -> None:
        # Each access to either of them is atomic.
        self._due: Entries = {}
        self._threads: dict[str | None, _NodeThread] = {}

    def begin(self, lease: Renewable, ttl: float) -> None:
        """Renew *lease* of *ttl* seconds from now on."""
        node, due = lease._node(), due_after(ttl)
        self._due[id(lease)] = _Entry(due, weakref.ref(lease), node)
        self.look_at(node, due)

    def end(self, lease: Renewable) -> None:
        """Stop renewing *lease*, which then expires or is settled."""
        self._due.pop(id(lease), None)

    def look_at(self, node: str | None, due: float) -> None:
        """Let the thread of *node* look at the time *due*; start one if there is none."""
        thread = self._threads.get(node)
        if thread is None:
            thread = self._threads.setdefault(node, _NodeThread(self, self._due, node))
        while not thread.look_at(due):
            # Of several callers, all find the same successor, in whichever order they note it.
            thread = self._threads[node] = thread.successor(self)


class _NodeThread:
    """The thread for the entries of one node, which runs as long as there are any.

    Runs once. Its successor has locks of its own: if gevent has replaced threads by greenlets, the
    locks of the thread before would stop all greenlets while one of them waits.
    """

    def __init__(self, renewer: Renewer, entries: Entries, node: str | None) -> None:
        self._renewer, self._entries, self._node = weakref.ref(renewer), entries, node
        # Reentrant, as a signal handler may interrupt any step.
        self._guard = threading.RLock()
        # Nearly always held: the thread waits for it. Its release is one step, where the `set` of
        # an event would not be safe in a signal handler.
        self._earlier = threading.Lock()
        self._earlier.acquire()
        self._thread: threading.Thread | None = None
        self._ended = False
        # Has at most one item; `setdefault` is atomic.
        self._successors: dict[None, _NodeThread] = {}
        # When the thread looks next; when the lease that was begun last is due.
        self._next = math.inf
        self._latest = 0.0

    def successor(self, renewer: Renewer) -> "_NodeThread":
        """Return the thread for the node after this one, which has ended."""
        thread = _NodeThread(renewer, self._entries, self._node)
        return self._successors.setdefault(None, thread)

    def look_at(self, due: float) -> bool:
        """Let the thread look at the time *due* at the latest; start it if it does not run.

        Return ``False`` if it has ended.
        """
        self._latest = due
        if due >= self._next:
            return True
        with self._guard:
            if self._ended:
                return False
            if self._thread is None:
                # Noted only when it runs: if it can't be started, or if a signal handler raises
                # here, the next lease starts another one.
                thread = threading.Thread(target=self._run, name="redset renewals", daemon=True)
                thread.start()
                self._thread = thread
            else:
                with contextlib.suppress(RuntimeError):  # the thread was notified already
                    self._earlier.release()
            self._next = min(self._next, due)
            return True

    def _run(self) -> None:
        this = threading.current_thread()
        with self._guard:
            # A call that was interrupted while it started this thread has not noted it.
            self._thread = self._thread or this
            if self._thread is not this or self._ended:
                return
        try:
            self._renew_until_none_is_left()
        finally:
            with self._guard:
                self._ended, self._next = True, math.inf

    def _renew_until_none_is_left(self) -> None:
        seen = -math.inf
        while True:
            with self._guard:
                soonest = self._soonest()
                # A loop's lease may just have ended, and the next one is about to begin.
                if soonest == math.inf and self._latest == seen:
                    self._next = math.inf
                    if self._soonest() == math.inf:  # or one began before that was set
                        self._ended = True
                        return
                seen = self._latest
                self._next = min(soonest, monotonic() + LINGER_SECONDS)
            self._earlier.acquire(timeout=max(0.0, self._next - monotonic()))
            self._renew_due()

    def _soonest(self) -> float:
        """Return when the next entry of the node is due."""
        entries = list(self._entries.values())
        return min((each.due for each in entries if each.node == self._node), default=math.inf)

    def _renew_due(self) -> None:
        now = monotonic()
        for key, entry in list(self._entries.items()):
            if entry.node != self._node or entry.due > now:
                continue
            lease = entry.reference()
            ttl = None if lease is None else lease._renew()
            if self._entries.get(key) is not entry:
                continue  # it ended during the renewal, and another may have its id
            if lease is None or ttl is None:
                self._entries.pop(key, None)
            else:
                self._keep(key, entry._replace(due=due_after(ttl), node=lease._node()))

    def _keep(self, key: int, entry: _Entry) -> None:
        """Renew again when *entry* is due, in the thread of another node if the slot has moved."""
        self._entries[key] = entry
        renewer = self._renewer()
        if entry.node != self._node and renewer is not None:
            try:
                renewer.look_at(entry.node, entry.due)
            except RuntimeError:  # no thread can be started: it stays with this one
                self._entries[key] = entry._replace(node=self._node)


def renewer_of(client: Any) -> Renewer:
    """Return the renewer for the leases and results of *client* in this process."""
    of_processes: PerProcess[Renewer] = compat.shared_by_client(
        client, "renewer", lambda: PerProcess(Renewer)
    )
    return of_processes.get()


def new_guard() -> ReentrantLock:
    """Return a lock that lets one thread at a time settle items of a lease."""
    return reentrant_lock()
