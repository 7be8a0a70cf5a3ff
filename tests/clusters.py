"""Real clusters for the tests: nodes on 127.0.0.1 that know each other, and whose slots move.

Owns how nodes are joined, how slots go from one to another, and how masters fail. Knows nothing of
redset, as `tests.servers`.
"""

import os
import signal
import time
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import Any, NamedTuple, Self

import redis
from redis.crc import key_slot

from tests.servers import TestServer

SLOTS = 16_384
TIMEOUT_SECONDS = 60.0
# After so many milliseconds without an answer a node counts as failed, and a replica takes over.
# Those that test this ask for less.
NODE_TIMEOUT = 15_000
QUICK_NODE_TIMEOUT = 2_000
# Nodes tell each other what is new twice in this time: so long as they are being joined, this one.
JOINING_TIMEOUT = 1_000
# How many slots are under way at once while many are moved, and how many keys one MIGRATE takes.
MOVED_AT_ONCE, MIGRATED_AT_ONCE = 32, 100
MIGRATE_MILLISECONDS = 10_000


class Seen(NamedTuple):
    """What one node knows of another one."""

    node_id: str
    is_master: bool
    master_id: str
    slots: tuple[tuple[int, int], ...]
    # Of two masters that seem to have a slot, the one with the higher epoch has it.
    epoch: int
    # These are not the same in the eyes of all.
    flags: frozenset[str]
    is_linked: bool

    @property
    def place(self) -> tuple[Any, ...]:
        """What all nodes have to agree upon."""
        return self[:5]

    def has(self, slot: int) -> bool:
        return self.is_master and any(low <= slot <= high for low, high in self.slots)


class ClusterNode(TestServer):
    """One server of a cluster."""

    # Nodes write down each slot that moves, and wait until that is on the disk.
    parent = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    cluster: "TestCluster"

    @cached_property
    def client(self) -> redis.Redis:
        """A client of this node alone, for what is no concern of the tests' own clients."""
        return redis.Redis(port=self.port, socket_timeout=TIMEOUT_SECONDS)

    @property
    def ports(self) -> tuple[int, ...]:
        """The ports of all nodes, this one's first."""
        others = [node.port for node in self.cluster.nodes if node is not self]
        return self.port, *others

    @cached_property
    def node_id(self) -> str:
        return str(self.call("CLUSTER", "MYID").decode())

    def call(self, *words: Any) -> Any:
        return self.client.execute_command(*words)

    def call_many(self, commands: Iterable[Sequence[Any]]) -> list[Any]:
        """Call all *commands* in one round trip."""
        with self.client.pipeline(transaction=False) as pipeline:
            for words in commands:
                pipeline.execute_command(*words)
            return pipeline.execute()

    def seen(self) -> list[Seen]:
        """What this node knows of all, itself included."""
        return [_parsed(line) for line in self.call("CLUSTER", "NODES").decode().splitlines()]

    @property
    def own(self) -> Seen:
        """What this node knows of itself."""
        return next(seen for seen in self.seen() if seen.node_id == self.node_id)

    @property
    def is_ready(self) -> bool:
        """Whether it answers for its slots, or has all that its master has."""
        if b"cluster_state:ok" not in self.call("CLUSTER", "INFO"):
            return False
        role = self.call("ROLE")
        return bool(role[0] == b"master" or role[3] == b"connected")

    def close(self) -> None:
        if "client" in vars(self):
            self.client.close()
        super().close()


def _parsed(line: str) -> Seen:
    node_id, _, flags, master_id, _, _, epoch, link, *slots = line.split()
    ranges = [word.split("-") for word in slots if not word.startswith("[")]
    return Seen(
        node_id,
        "master" in flags.split(","),
        master_id,
        tuple((int(found[0]), int(found[-1])) for found in ranges),
        int(epoch),
        frozenset(flags.split(",")) - {"myself", "master", "slave"},
        link == "connected" or "myself" in flags,
    )


class TestCluster:
    """Masters that share all slots evenly, and for each of them so many replicas.

    While one node doesn't answer, the others go on with their slots
    (``cluster-require-full-coverage no``), and a master without slots stays a master. Further flags
    are the server's own; they come last, so they win. It ends only what it started.
    """

    __test__ = False

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.nodes: list[ClusterNode] = []
        self._paused: set[ClusterNode] = set()

    @classmethod
    def start(
        cls,
        kind: str,
        *flags: str,
        masters: int = 3,
        replicas: int = 0,
        node_timeout: int = NODE_TIMEOUT,
    ) -> Self:
        """Start *masters* nodes, and *replicas* for each; return when all know all.

        *node_timeout*, in milliseconds, is when a node counts as failed.
        """
        cluster = cls(kind)
        options = ["--cluster-enabled", "yes", "--cluster-node-timeout", str(node_timeout)]
        options += ["--cluster-require-full-coverage", "no"]
        options += ["--cluster-allow-replica-migration", "no", *flags]
        try:
            for _ in range(masters * (1 + replicas)):
                cluster.nodes.append(ClusterNode.start(kind, *options))
            for node in cluster.nodes:
                node.cluster = cluster
            cluster._join(masters)
            for node in cluster.nodes:
                node.call("CONFIG", "SET", "cluster-node-timeout", node_timeout)
        except BaseException:
            cluster.close()
            raise
        return cluster

    def _join(self, masters: int) -> None:
        """Share the slots among the first *masters* nodes, whose replicas the others become."""
        edges = [SLOTS * place // masters for place in range(masters + 1)]
        for place, node in enumerate(self.nodes):
            node.call("CONFIG", "SET", "cluster-node-timeout", JOINING_TIMEOUT)
            # Otherwise nodes find out, one by one, that they have the same.
            node.call("CLUSTER", "SET-CONFIG-EPOCH", place + 1)
            if place < masters:
                _add_slots(node, edges[place], edges[place + 1] - 1)
        # All with all: a node that was only told of by another one is met seconds later.
        for node in self.nodes:
            node.call_many(
                ("CLUSTER", "MEET", "127.0.0.1", other.port)
                for other in self.nodes
                if other is not node
            )
        self._wait("all nodes know each other", self._have_met)
        for place, node in enumerate(self.nodes[masters:]):
            node.call("CLUSTER", "REPLICATE", self.nodes[place % masters].node_id)
        self.settle()

    def _have_met(self) -> bool:
        ids = {node.node_id for node in self.nodes}
        return all(
            {seen.node_id for seen in views} == ids
            and all(seen.is_linked and not seen.flags for seen in views)
            for views in (node.seen() for node in self.nodes)
        )

    @cached_property
    def beside(self) -> TestServer:
        """A server of that kind that is no part of the cluster."""
        return TestServer.start(self.kind)

    # Who is who

    @property
    def running(self) -> list[ClusterNode]:
        """The nodes that would answer."""
        return [node for node in self.nodes if node.pid is not None and node not in self._paused]

    def node_of(self, place: int | str | bytes) -> ClusterNode:
        """The master of a slot, or of the slot of a key, as the nodes that run know it."""
        slot = place if isinstance(place, int) else slot_of(place)
        found = [seen for node in self.running for seen in node.seen() if seen.has(slot)]
        if not found:
            raise LookupError(f"no node has slot {slot}")
        return self._by_id(max(found, key=lambda seen: seen.epoch).node_id)

    @property
    def masters(self) -> list[ClusterNode]:
        """The masters that run, also those without slots."""
        return [node for node in self.running if node.own.is_master]

    def replicas_of(self, node: ClusterNode) -> list[ClusterNode]:
        """The replicas of *node* that run."""
        return [other for other in self.running if other.own.master_id == node.node_id]

    def slots_of(self, node: ClusterNode) -> list[int]:
        """All slots of *node*, which runs."""
        return [slot for low, high in node.own.slots for slot in range(low, high + 1)]

    def _by_id(self, node_id: str) -> ClusterNode:
        return next(node for node in self.nodes if node.node_id == node_id)

    def settle(self) -> None:
        """Wait until all that run agree on the slots, and replicas have what masters have."""
        self._wait("all nodes agree", self._agree)

    def _agree(self) -> bool:
        running = self.running
        ids = {node.node_id for node in running}
        views = [node.seen() for node in running]
        places = [frozenset(seen.place for seen in view if seen.node_id in ids) for view in views]
        is_seen = all(
            seen.is_linked and not seen.flags
            for view in views
            for seen in view
            if seen.node_id in ids
        )
        return is_seen and len(set(places)) == 1 and all(node.is_ready for node in running)

    def _wait(self, what: str, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while not condition():
            if time.monotonic() > deadline:
                known = "\n".join(node.call("CLUSTER", "NODES").decode() for node in self.running)
                raise RuntimeError(f"{self.kind}: it did not happen that {what}; nodes:\n{known}")
            time.sleep(0.02)

    # Slots that move

    def move_slot(self, slot: int, to: ClusterNode) -> None:
        """Move *slot* with its keys, as ``redis-cli --cluster reshard`` does."""
        self.move_slots([slot], to)

    def move_all_slots(self, source: ClusterNode, to: ClusterNode) -> None:
        """Move all that *source* has, some slots at a time."""
        slots = self.slots_of(source)
        for start in range(0, len(slots), MOVED_AT_ONCE):
            self.move_slots(slots[start : start + MOVED_AT_ONCE], to)

    def move_slots(self, slots: Iterable[int], to: ClusterNode) -> None:
        """Move *slots* of one node with their keys; requests for keys that went are sent on."""
        moved = tuple(slots)
        source = self.node_of(moved[0])
        if source is to:
            return
        to.call_many(_set_slot(slot, "IMPORTING", source) for slot in moved)
        source.call_many(_set_slot(slot, "MIGRATING", to) for slot in moved)
        self._move_keys(moved, source, to)
        # The new owner first: until the old one knows, it sends requests on.
        others = [node for node in self.masters if node not in (source, to)]
        for node in (to, source, *others):
            node.call_many(_set_slot(slot, "NODE", to) for slot in moved)

    def _move_keys(self, slots: Sequence[int], source: ClusterNode, to: ClusterNode) -> None:
        left: Sequence[int] = slots
        while left:
            found = source.call_many(
                ("CLUSTER", "GETKEYSINSLOT", slot, MIGRATED_AT_ONCE) for slot in left
            )
            left = [slot for slot, keys in zip(left, found, strict=True) if keys]
            for keys in filter(None, found):
                address = ("127.0.0.1", to.port, "", 0, MIGRATE_MILLISECONDS)
                source.call("MIGRATE", *address, "KEYS", *keys)

    @property
    def moves_atomically(self) -> bool:
        """Whether these servers can move slots as a whole: Valkey 9 does."""
        return self.kind.startswith("valkey-9")

    def move_atomically(self, source: ClusterNode, to: ClusterNode) -> None:
        """Move all slots of *source* as a whole: the old owner has them to the last moment."""
        edges = [edge for ends in source.own.slots for edge in ends]
        source.call("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", *edges, "NODE", to.node_id)
        self._wait("the slots are moved", lambda: not self.slots_of(source))
        self.settle()

    # Nodes that fail

    def kill_master(self, place: int | str | bytes) -> ClusterNode:
        """Kill the master of a slot or key (SIGKILL); return it when a replica took over.

        That takes the votes of more than half of the masters with slots, so of three or more.
        """
        killed = self.node_of(place)
        killed.kill()
        self._wait("a replica took over", lambda: self._has_lost(killed))
        return killed

    def _has_lost(self, node: ClusterNode) -> bool:
        return all(
            not seen.slots
            for other in self.running
            for seen in other.seen()
            if seen.node_id == node.node_id
        )

    def restart(self, node: ClusterNode) -> None:
        """Start a node that was killed: a replica of the one that took over, once that is done."""
        node.launch()
        self.settle()

    def pause(self, node: ClusterNode) -> None:
        """Have *node* answer nothing (SIGSTOP), while its sockets stay open."""
        assert node.pid is not None
        self._paused.add(node)
        os.kill(node.pid, signal.SIGSTOP)

    def resume(self, node: ClusterNode) -> None:
        """Have *node* go on (SIGCONT)."""
        assert node.pid is not None
        os.kill(node.pid, signal.SIGCONT)
        self._paused.discard(node)

    def failover(self, replica: ClusterNode) -> None:
        """Have *replica* and its master change places, without a loss."""
        replica.call("CLUSTER", "FAILOVER")
        self._wait("the replica is the master", lambda: replica in self.masters)
        self.settle()

    # Everything

    def flush(self) -> None:
        """Delete all keys of all masters."""
        for node in self.masters:
            node.call("FLUSHALL")

    def close(self) -> None:
        """End all nodes at once, and remove their directories."""
        for node in list(self._paused):
            self.resume(node)
        for node in self.nodes:
            node.kill()
        for node in self.nodes:
            node.close()
        if "beside" in vars(self):
            self.beside.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<TestCluster {self.kind} ports={[node.port for node in self.nodes]}>"


def slot_of(key: str | bytes) -> int:
    """The slot of *key*, of whose hash tag if it has one."""
    return key_slot(key.encode() if isinstance(key, str) else key)


def _set_slot(slot: int, state: str, node: ClusterNode) -> tuple[Any, ...]:
    return "CLUSTER", "SETSLOT", slot, state, node.node_id


def _add_slots(node: ClusterNode, low: int, high: int) -> None:
    if node.kind == "redis-6.2":  # knows no ranges
        node.call("CLUSTER", "ADDSLOTS", *range(low, high + 1))
    else:
        node.call("CLUSTER", "ADDSLOTSRANGE", low, high)
