"""A program whose signal handler uses sets every 3 ms, in the middle of whatever the program does.

The main thread makes calls of every kind, each with a right answer that it knows; so does the
handler. With ``--raising`` the handler also raises, at random, and what was raised is caught at the
call that it broke off. The report, a line of JSON, says how often an answer was wrong, and which
items were handed out twice or not at all.

Run by `tests.storms.test_handler_storm`; alone:
``python -m tests.storms.handler_storm --socket PATH --seconds 60``
"""

import argparse
import contextlib
import faulthandler
import gc
import itertools
import json
import random
import signal
import statistics
import sys
import time
import traceback
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

# In the greeting of a new connection, hiredis 3.5 crashes the process if a handler raises while it
# turns a number into text; the client's own parser doesn't.
if "--raising" in sys.argv and "none" not in sys.argv:
    sys.modules["hiredis"] = None  # type: ignore[assignment]

import redis

from redset import RedisSortedSet
from redset.exceptions import LeaseLost
from redset.leases import Lease
from tests.storms.sockets import hooked_sockets, is_in_io

INTERVAL = 0.003
STATIC = 1_200
# A storm of fewer calls, or fewer handlers, would show little.
ENOUGH = 100
# Longer than any storm: what is leased for so long doesn't come back by itself.
FOREVER = 3_600.0
# A waiting call that takes so long was not woken.
WAIT = 30.0
MAX_SHOWN = 10
# Of handlers that interrupt each other, the next one does nothing.
DEEPEST = 3

Item = Any
Items = RedisSortedSet[Item]


class SoftTimeLimit(Exception):
    """What task queues raise out of a handler when a job takes too long."""


RAISED: dict[str, type[BaseException]] = {
    "exception": SoftTimeLimit,
    "timeout": TimeoutError,
    "interrupt": KeyboardInterrupt,
}
# redis-py takes a TimeoutError for one of its sockets', and raises its own.
CAUGHT = (SoftTimeLimit, TimeoutError, redis.TimeoutError, KeyboardInterrupt)
FAILED = object()


class Verdict:
    """What was wrong, and how often."""

    def __init__(self) -> None:
        self.count = self.silenced = 0
        self.shown: list[str] = []

    def check(self, right: bool, *what: object) -> None:
        if not right:
            self.count += 1
            if len(self.shown) < MAX_SHOWN:
                self.shown.append(" ".join(map(repr, what)))

    def swallowed(self, stack: traceback.StackSummary) -> None:
        """Count, and show, what was raised and reached no caller."""
        if any(frame.filename == weakref.__file__ for frame in stack):
            return  # in a finalizer, where Python itself goes on
        self.silenced += 1
        if self.silenced < MAX_SHOWN:
            print("swallowed:", *stack.format(), sep="\n", file=sys.stderr)

    def fail(self, where: str, error: Exception) -> None:
        """Count *error*, which is not an answer, and show where the first ones came from."""
        if len(self.shown) < MAX_SHOWN:
            traceback.print_exception(error)
        self.check(False, where, error)


class Handler:
    """What the signal does: calls on handles that the main thread uses, and on its own."""

    def __init__(self, storm: "Storm", raising: str, chance: float, only_in_io: bool) -> None:
        self.storm, self.raising = storm, RAISED.get(raising)
        self.chance, self.only_in_io = chance, only_in_io
        self.random = random.Random(storm.seed + 1)
        self.runs = self.raised = self.raised_in_io = self.depth = 0
        self.armed = False
        self.stack = traceback.StackSummary()
        self.numbers = itertools.count()
        self.counted = 0
        self.works = [self.read, self.write, self.deliver, self.lease, self.count, self.extend]

    def __call__(self, _signal: int, frame: FrameType | None) -> None:
        # The thread's own I/O, that of the handler not included.
        in_io = is_in_io(frame)
        if self.depth >= (1 if self.raising else DEEPEST):
            return
        self.depth += 1
        try:
            self.runs += 1
            if self.storm.waiting:
                self.wake()
            self.random.choice(self.works)()
        except Exception as error:
            self.storm.verdict.fail("in the handler", error)
        finally:
            self.depth -= 1
        if self.raising and self.armed and self.random.random() < self.chance:
            if self.only_in_io and not in_io:
                return
            self.armed = False
            self.raised += 1
            self.raised_in_io += in_io
            self.stack = traceback.extract_stack(frame)
            raise self.raising("from a signal handler")

    def read(self) -> None:
        number = self.random.randrange(STATIC)
        check, static = self.storm.verdict.check, self.storm.static
        size, score = len(static), static.score(number)
        check((size, score) == (STATIC, number + 0.5), "handler read", number, size, score)

    def write(self) -> None:
        mine = self.random.choice([self.storm.own, self.storm.theirs])
        number = next(self.numbers)
        item = ("handler", number)
        answers = mine.add(item, number + 0.25), mine.score(item), mine.discard(item)
        expected = (number + 0.25, number + 0.25, True)
        self.storm.verdict.check(answers == expected, "handler wrote", number, answers)

    def deliver(self) -> None:
        item = ("handler", next(self.numbers))
        self.storm.fed[item] += 1
        self.storm.queue.add(item)
        with contextlib.suppress(KeyError):
            self.storm.got[self.storm.queue.pop()] += 1

    def lease(self) -> None:
        item = ("handler", next(self.numbers))
        self.storm.tasks_fed[item] += 1
        self.storm.tasks.add(item)
        lease = self.storm.tasks.lease(1, FOREVER)
        lease.ack()
        self.storm.acked.update(lease)

    def count(self) -> None:
        if self.depth > 1:
            return  # the handler that this one interrupts may be in the middle of it
        found = self.storm.theirs.increment("counted", 1)
        self.counted += 1
        self.storm.verdict.check(found == self.counted, "handler counted", found, self.counted)

    def extend(self) -> None:
        lease = self.storm.current
        if lease is not None:
            # The main thread may be in the middle of the call that acknowledges it.
            with contextlib.suppress(LeaseLost):
                lease.extend(FOREVER)

    def wake(self) -> None:
        self.storm.waiting = False
        item = ("told", next(self.numbers))
        self.storm.told_fed[item] += 1
        self.storm.told.add(item)


class Storm:
    """The main thread's calls, and what it knows of every set."""

    def __init__(self, client: redis.Redis, seed: int, raising: str, only_in_io: bool) -> None:
        client.flushall()
        self.client, self.seed, self.raising = client, seed, raising
        self.random = random.Random(seed)
        self.verdict = Verdict()
        self.calls = 0
        self.static: Items = RedisSortedSet(client, "static", scorer=lambda item: item + 0.5)
        self.left: Items = RedisSortedSet(client, "left", scorer=float)
        self.right: Items = RedisSortedSet(client, "right", scorer=float)
        self.own: Items = RedisSortedSet(client, "own")
        self.theirs: Items = RedisSortedSet(client, "theirs")
        self.bulk: Items = RedisSortedSet(client, "bulk")
        self.seen: Items = RedisSortedSet(client, "seen")
        self.queue: Items = RedisSortedSet(client, "queue")
        self.tasks: Items = RedisSortedSet(client, "tasks")
        self.loop: Items = RedisSortedSet(client, "loop")
        self.told: Items = RedisSortedSet(client, "told")
        self.locked: Items = RedisSortedSet(client, "locked")
        self.current: Lease[Item] | None = None
        self.waiting = False
        self.numbers = itertools.count()
        self.fed: Counter[Item] = Counter()
        self.got: Counter[Item] = Counter()
        self.tasks_fed: Counter[Item] = Counter()
        self.acked: Counter[Item] = Counter()
        self.told_fed: Counter[Item] = Counter()
        self.told_got: Counter[Item] = Counter()
        self.loop_fed: Counter[Item] = Counter()
        self.received: set[Item] = set()
        self.done: set[Item] = set()
        # What each score may be: more than one after a call that was broken off.
        self.scores: dict[Item, set[float | None]] = {}
        self.counts: dict[Item, set[float]] = {}
        self.handler = Handler(self, raising, 0.3, only_in_io)
        self.static.update(range(STATIC))
        self.left.update(range(60))
        self.right.update(range(30, 90))
        self.steps: list[Callable[[], None]] = [
            *[self.read_one] * 12,
            *[self.write_one] * 8,
            *[self.count_one] * 4,
            *[self.deliver] * 6,
            *[self.insert] * 2,
            *[self.lease] * 4,
            *[self.consume] * 2,
            self.fill,
            self.iterate,
            self.combine,
            self.compare,
            self.wait,
        ]
        if raising == "none":
            self.steps += [self.lock, self.renewed_lease]

    def attempt(self, call: Callable[[], Any]) -> Any:
        """Make one call; `FAILED` if the handler broke it off."""
        self.calls += 1
        try:
            self.handler.armed = True
            try:
                result = call()
                if not self.handler.armed:
                    self.verdict.swallowed(self.handler.stack)
                return result
            finally:
                self.handler.armed = False
        except (*CAUGHT, AttributeError) as error:
            # On a unix socket, redis-py 8.1 fails when it counts a TimeoutError: it has no port.
            if isinstance(error, AttributeError) and "'port'" not in str(error):
                raise
            self.handler.armed = False
            return FAILED

    def until_acked(self, call: Callable[[], Any]) -> Any:
        while (result := self.attempt(call)) is FAILED:
            pass
        return result

    @contextlib.contextmanager
    def feeding(self) -> Iterator[None]:
        """Change what is counted, without being broken off in the middle."""
        if self.raising == "none":
            yield
            return
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGALRM})

    def feed(self, where: Items, fed: Counter[Item], number: int) -> None:
        items = [("main", next(self.numbers)) for _ in range(number)]
        fed.update(items)
        with self.feeding():
            where.update(items)

    def expect(self, call: Callable[[], Any], expected: object, *what: object) -> None:
        found = self.attempt(call)
        if found is not FAILED:
            self.verdict.check(found == expected, *what, "gave", found, "not", expected)

    # Calls whose answers never change

    def read_one(self) -> None:
        static, place = self.static, self.random.randrange(STATIC - 10)
        span = list(range(place, place + 5))
        kind, call, expected = self.random.choice(
            [
                ("score", lambda: static.score(place), place + 0.5),
                ("in", lambda: (place in static, -1 in static), (True, False)),
                ("len", lambda: len(static), STATIC),
                ("rank", lambda: static.rank(place), place),
                ("peek", lambda: static.peek(place), place),
                ("peek_score", static.peek_score, 0.5),
                ("index", lambda: static[place], place),
                ("slice", lambda: static[place : place + 5], span),
                ("count", lambda: static.count(place, place + 5), 5),
                ("range", lambda: static.range(place, place + 5), span),
                ("scores", lambda: static.scores(*span), [each + 0.5 for each in span]),
                ("sample", lambda: len(static.sample(7)), 7),
                ("random", lambda: static.random() in range(STATIC), True),
                ("stats", lambda: static.stats().ready, STATIC),
                ("leased", lambda: list(static.leased()), []),
                ("dead", lambda: len(static.dead_items), 0),
            ]
        )
        self.expect(call, expected, kind, place)

    def iterate(self) -> None:
        static = self.static
        self.expect(lambda: list(static), list(range(STATIC)), "iter")
        self.expect(lambda: list(reversed(static)), list(range(STATIC))[::-1], "reversed")
        pairs = [(each, each + 0.5) for each in range(STATIC)]
        self.expect(lambda: list(static.items()), pairs, "items")

    def combine(self) -> None:
        left, right = self.left, self.right
        self.expect(lambda: set(left | right), set(range(90)), "or")
        self.expect(lambda: list(left & right), list(range(30, 60)), "and")
        self.expect(lambda: len(left - right), 30, "sub")
        self.expect(lambda: set(left ^ right), {*range(30), *range(60, 90)}, "xor")
        self.expect(lambda: set(left & {1, 2, -1}), {1, 2}, "and local")

        def in_a_cycle() -> int:
            result = left | right
            result.itself = result  # type: ignore[attr-defined]
            return len(result)

        self.expect(in_a_cycle, 90, "a result in a cycle")
        self.attempt(gc.collect)

    def compare(self) -> None:
        left, right = self.left, self.right
        answers = [
            ("le", lambda: left <= right, False),
            ("eq", lambda: left == set(range(60)), True),
            ("disjoint", lambda: left.isdisjoint({-1}), True),
        ]
        for what, call, expected in answers:
            self.expect(call, expected, what)

    # Calls that change a set which only the main thread changes

    def write_one(self) -> None:
        number = next(self.numbers)
        item = ("item", number % 50)
        before = self.scores.get(item, {None})
        if self.random.random() < 0.2:
            removed = self.attempt(lambda: self.own.discard(item))
            if removed is FAILED:
                self.scores[item] = before | {None}
            else:
                fits = {score is not None for score in before}
                # A TimeoutError is repeated by the client itself, which then finds nothing.
                fits |= {False} if self.raising == "timeout" else set()
                self.verdict.check(removed in fits, "discard", item, before, removed)
                self.scores[item] = {None}
        else:
            score = self.attempt(lambda: self.own.add(item, number + 0.125))
            self.verdict.check(score in {FAILED, number + 0.125}, "add", item, number, score)
            new: set[float | None] = {number + 0.125}
            self.scores[item] = before | new if score is FAILED else new
        found = self.attempt(lambda: self.own.score(item))
        if found is not FAILED:
            self.verdict.check(found in self.scores[item], "score", item, self.scores[item], found)
            self.scores[item] = {found}

    def count_one(self) -> None:
        item = ("count", self.random.randrange(10))
        before = self.counts.get(item, {0.0})
        found = self.attempt(lambda: self.own.increment(item, 1))
        after = {count + 1 for count in before}
        if found is FAILED:
            self.counts[item] = before | after
            return
        if self.raising == "timeout":  # which the client's own retry repeats
            self.counts[item] = {found}
            return
        self.verdict.check(found in after, "increment", item, before, found)
        self.counts[item] = {found}

    def insert(self) -> None:
        item, other = ("new", next(self.numbers)), ("new", next(self.numbers))
        late = self.handler.raised - self.handler.raised_in_io
        while (new := self.attempt(lambda: self.seen.insert(item))) is FAILED:
            if self.random.random() < 0.3:
                self.expect(lambda: self.seen.insert(other), [other], "insert another")
                return
        if self.handler.raised - self.handler.raised_in_io == late:
            self.verdict.check(new == [item], "insert", item, new)
        else:  # perhaps it broke off a call that was done, on its way back to the caller
            self.verdict.check(new in ([item], []), "insert", item, new)
        self.expect(lambda: self.seen.insert(item), [], "insert again", item)

    def fill(self) -> None:
        first = next(self.numbers)
        items = [("bulk", number) for number in range(first, first + 300)]
        self.until_acked(lambda: self.bulk.update(items))
        self.expect(lambda: len(self.bulk), 300, "len after update")
        self.until_acked(lambda: self.bulk.difference_update(items[:100]))
        self.expect(lambda: len(self.bulk), 200, "len after difference_update")
        self.until_acked(self.bulk.clear)
        self.expect(lambda: len(self.bulk), 0, "len after clear")

    # Handing out

    def deliver(self) -> None:
        self.feed(self.queue, self.fed, 3)
        with contextlib.suppress(KeyError):
            item = self.attempt(self.queue.pop)
            if item is not FAILED:
                self.got[item] += 1
        items = self.attempt(lambda: self.queue.take(2))
        if items is not FAILED:
            self.got.update(items)

    def lease(self) -> None:
        self.feed(self.tasks, self.tasks_fed, 2)
        lease = self.attempt(lambda: self.tasks.lease(2, FOREVER))
        if lease is FAILED:
            return
        self.current = lease
        if self.random.random() < 0.2:
            self.until_acked(lease.release)
        else:
            self.until_acked(lease.ack)
            self.acked.update(lease)
        self.current = None

    def renewed_lease(self) -> None:
        self.feed(self.tasks, self.tasks_fed, 1)
        with self.tasks.lease(1, FOREVER, renew=True) as lease:
            pass
        self.acked.update(lease)

    def consume(self) -> None:
        self.feed(self.loop, self.loop_fed, 3)
        items = self.loop.consume(3, FOREVER, timeout=0, renew=False)
        last: Item = None
        for _ in range(4):
            item = self.attempt(lambda: next(items, None))
            if item is FAILED:
                break  # whether the last one counts as done is open
            if last is not None:
                self.done.add(last)
            self.verdict.check(item not in self.done, "consume gave again", item)
            if item is None:
                break
            self.received.add(item)
            last = item
        self.attempt(items.close)

    def wait(self) -> None:
        self.waiting = True
        try:
            item = self.attempt(lambda: self.told.pop(timeout=WAIT))
        except KeyError:
            self.verdict.check(False, "waited in vain")
            return
        finally:
            self.waiting = False
        if item is not FAILED:
            self.told_got[item] += 1

    def lock(self) -> None:
        with self.locked.lock:
            self.calls += 1

    # All together

    def run(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        # On a busy machine, it may take longer to do anything worth the name; a watchdog ends it.
        while time.monotonic() < end or not self.has_done_enough():
            try:
                self.random.choice(self.steps)()
            except Exception as error:
                self.current = None
                self.verdict.fail("in the main thread", error)

    def has_done_enough(self) -> bool:
        """Whether there were enough calls in which something could go wrong."""
        return min(self.calls, self.handler.runs) > ENOUGH

    def account(self) -> dict[str, Any]:
        """Empty every queue, and say what is twice and what is missing."""
        for where, got in ((self.queue, self.got), (self.told, self.told_got)):
            with contextlib.suppress(KeyError):
                while True:
                    got[where.pop()] += 1
        # What a call that was broken off was given is what the next one gets: the storm may have
        # ended between the two.
        for _ in range(2):
            self.tasks.lease(2, FOREVER).release()
        held = Counter(entry.item for entry in self.tasks.leased())
        left = Counter(self.tasks)
        loop_left = {*self.loop, *(entry.item for entry in self.loop.leased())}
        every = [
            ("pop", self.fed, self.got),
            ("wait", self.told_fed, self.told_got),
            ("lease", self.tasks_fed, self.acked + held + left),
        ]
        twice = [(what, item) for what, fed, got in every for item in got - fed]
        lost = [(what, item) for what, fed, got in every for item in fed - got]
        lost += [("consume", item) for item in self.loop_fed.keys() - self.received - loop_left]
        return {
            "twice": len(twice),
            "lost": len(lost),
            # Leased by a call whose lease nobody got.
            "leased": sum(held.values()),
            "which": [repr(each) for each in (twice + lost)[:MAX_SHOWN]],
        }


class ByHand:
    """The calls per second of redset and of redis-py by hand, under the same handler."""

    def __init__(self, client: redis.Redis) -> None:
        self.client = client
        self.items: RedisSortedSet[str] = RedisSortedSet(client, "compared")
        self.mine: RedisSortedSet[str] = RedisSortedSet(client, "compared-handler")
        self.redset = True
        self.depth = 0

    def handle(self, _signal: int, _frame: object) -> None:
        if self.depth >= DEEPEST:
            return
        self.depth += 1
        try:
            self.use()
        finally:
            self.depth -= 1

    def use(self) -> None:
        if self.redset:
            self.mine.add("a", 1), len(self.items), self.items.score("b"), self.mine.take(1)
        else:
            self.client.zadd("by-hand-handler", {"a": 1})
            self.client.zcard("by-hand"), self.client.zscore("by-hand", "b")
            self.client.zpopmin("by-hand-handler")

    def by_redset(self) -> None:
        items = self.items
        items.add("b", 2), items.score("b"), "c" in items, len(items), items.discard("b")

    def by_hand(self) -> None:
        client = self.client
        client.zadd("by-hand", {"b": 2}), client.zscore("by-hand", "b")
        client.zscore("by-hand", "c"), client.zcard("by-hand"), client.zrem("by-hand", "b")

    def ratios(self, seconds: float) -> list[float]:
        """How many calls redset makes for each by hand, for pairs of alternating blocks."""
        block, found = 0.1, []
        for _ in range(max(3, int(seconds / (2 * block)))):
            made = []
            for redset, work in ((True, self.by_redset), (False, self.by_hand)):
                self.redset = redset
                number, end = 0, time.perf_counter() + block
                while time.perf_counter() < end:
                    work()
                    number += 1
                made.append(number)
            found.append(made[0] / made[1])
        return found


def stormy(handler: Callable[[int, Any], None], work: Callable[[], Any]) -> Any:
    """Do *work* while *handler* is called every few milliseconds."""
    signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, INTERVAL, INTERVAL)
    try:
        return work()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--socket", required=True)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--raising", choices=["none", *RAISED], default="none")
    parser.add_argument("--only-in-io", action="store_true")
    options = parser.parse_args()
    faulthandler.enable()
    # A watchdog that needs no bytecode to be run: it says where the program hangs, and ends it.
    faulthandler.dump_traceback_later(2 * options.seconds + WAIT, exit=True)
    with hooked_sockets():
        # Without a timeout, a reply that never comes is waited for until the watchdog sees it.
        client = redis.Redis(unix_socket_path=options.socket, socket_timeout=None)
        storm = Storm(client, options.seed, options.raising, options.only_in_io)
        stormy(storm.handler, lambda: storm.run(options.seconds))
    report = storm.account() | {
        "wrong": storm.verdict.count,
        "examples": storm.verdict.shown,
        "calls": storm.calls,
        "handled": storm.handler.runs,
        "raised": storm.handler.raised,
        "raised_in_io": storm.handler.raised_in_io,
        "swallowed": storm.verdict.silenced,
    }
    if options.raising == "none":
        plain = ByHand(redis.Redis(unix_socket_path=options.socket, socket_timeout=None))
        try:
            ratios = stormy(plain.handle, lambda: plain.ratios(options.seconds / 4))
            report["ratio"] = statistics.median(ratios)
        except Exception as error:
            report["ratio"], report["compared"] = 0.0, repr(error)
    print(json.dumps(report))


if __name__ == "__main__":
    main()
