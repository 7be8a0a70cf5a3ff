"""Renewals: the thread that renews the leases of one client, and the results that are read."""

import contextlib
import math
import threading
import weakref
from time import monotonic
from typing import Any, Protocol

from redset._support.forks import PerProcess, ReentrantLock, reentrant_lock
from redset._transport import compat

# A lease is renewed after this part of its time: two more attempts fit in.
RENEW_AFTER = 1 / 3
# The thread ends this long after the last lease. If it ended with each lease, the next item of a
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


class Renewer:
    """One thread that renews all leases that were begun, as long as there are any.

    It keeps no lease alive: a lease that is no longer referenced expires. The same applies to other
    renewed objects. To begin and to end a renewal costs some steps of the interpreter, and no
    system call unless the thread would wake up too late. Safe across threads and in signal
    handlers.
    """

    def __init__(self) -> None:
        # Each access is atomic.
        self._due: dict[int, tuple[float, weakref.ref[Renewable]]] = {}
        # Reentrant, as a signal handler may interrupt any step.
        self._guard = threading.RLock()
        # Nearly always held: the thread waits for it. Its release is one step, where the `set` of
        # an event would not be safe in a signal handler.
        self._earlier = threading.Lock()
        self._earlier.acquire()
        self._thread: threading.Thread | None = None
        # When the thread looks next; when the lease that was begun last is due.
        self._next = math.inf
        self._latest = 0.0

    def begin(self, lease: Renewable, ttl: float) -> None:
        """Renew *lease* of *ttl* seconds from now on."""
        due = due_after(ttl)
        self._due[id(lease)] = due, weakref.ref(lease)
        self._latest = due
        if due < self._next:
            self._look_at(due)

    def end(self, lease: Renewable) -> None:
        """Stop renewing *lease*, which then expires or is settled."""
        self._due.pop(id(lease), None)

    def _look_at(self, due: float) -> None:
        with self._guard:
            self._next = min(self._next, due)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="redset renewals", daemon=True
                )
                self._thread.start()
            else:
                with contextlib.suppress(RuntimeError):  # the thread was notified already
                    self._earlier.release()

    def _run(self) -> None:
        seen = -math.inf
        while True:
            with self._guard:
                soonest = min((due for due, _ in list(self._due.values())), default=math.inf)
                # A loop's lease may just have ended, and the next one is about to begin.
                if soonest == math.inf and self._latest == seen:
                    self._next = math.inf
                    if not self._due:  # or one began before that was set
                        self._thread = None
                        return
                seen = self._latest
                self._next = min(soonest, monotonic() + LINGER_SECONDS)
            self._earlier.acquire(timeout=max(0.0, self._next - monotonic()))
            self._renew_due()

    def _renew_due(self) -> None:
        now = monotonic()
        for key, entry in list(self._due.items()):
            due, reference = entry
            if due > now:
                continue
            lease = reference()
            ttl = None if lease is None else lease._renew()
            if self._due.get(key) is not entry:
                continue  # it ended during the renewal, and another may have its id
            if ttl is None:
                self._due.pop(key, None)
            else:
                self._due[key] = due_after(ttl), reference


def renewer_of(client: Any) -> Renewer:
    """Return the renewer for the leases and results of *client* in this process."""
    of_processes: PerProcess[Renewer] = compat.shared_by_client(
        client, "renewer", lambda: PerProcess(Renewer)
    )
    return of_processes.get()


def new_guard() -> ReentrantLock:
    """Return a lock that lets one thread at a time settle items of a lease."""
    return reentrant_lock()
