"""What does a cluster cost a single call? A shard of one node, beside a plain server.

Both servers run on the same core, the blocks of all ways alternate in one run, and each way has a
client of its own. The second ratio is that of redset and of redis-py's RedisCluster by hand, both
on the cluster.

    python -m bench.bench_cluster [--quick] [--passes N] [--json FILE]
"""

import argparse
import json
import random
from pathlib import Path
from typing import Any

import redis
import redis.cluster

from bench.competitors import ByHand, Competitor, Redset
from bench.operations import OPERATIONS
from bench.pairs import PASSES, Group, Groups, Work, as_json, in_passes, interleave, ratio
from bench.placement import SERVER, served
from tests.clusters import TestCluster

TITLES = ("add", "contains", "score", "size", "discard", "pop", "lease and acknowledge 1")
PLAIN, CLUSTER, HAND = "redset, plain server", "redset, cluster", "RedisCluster by hand"
SECONDS = 3.0


def work_of(title: str, ways: dict[str, tuple[type[Competitor], Any]]) -> dict[str, Work]:
    """Return the work of each way that knows the operation."""
    [operation] = [each for each in OPERATIONS if each.title == title]
    return {
        name: operation.work(operation, kind(client), f"bench:{place}", 0)
        for place, (name, (kind, client)) in enumerate(ways.items())
        if hasattr(kind, operation.job)
    }


def measure(quick: bool, number: int) -> Groups:
    order = random.Random(number)
    with served(number) as server, TestCluster.start(SERVER, masters=1) as cluster:
        address: dict[str, Any] = {"host": "127.0.0.1", "port": cluster.nodes[0].port}
        clients = [redis.cluster.RedisCluster(**address) for _ in range(2)]
        with redis.Redis(port=server.port) as plain:
            ways = {
                PLAIN: (Redset, plain),
                CLUSTER: (Redset, clients[0]),
                HAND: (ByHand, clients[1]),
            }
            found = {}
            for title in TITLES:
                plain.flushall()
                cluster.flush()
                found[title] = interleave(work_of(title, ways), 0 if quick else SECONDS, order)
        for client in clients:
            client.close()
    return found


def show(title: str, group: Group) -> None:
    """Print the medians of all ways, and the two ratios."""
    times = ", ".join(f"{name} {series.median() * 1e6:.1f} µs" for name, series in group.items())
    print(f"{title}: {times}")
    for base in (PLAIN, HAND):
        if base in group:
            wall, cpu = (ratio(group[CLUSTER], group[base], clock) for clock in ("wall", "cpu"))
            print(f"  {CLUSTER} / {base}: {wall}, client CPU {cpu}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--passes", type=int, default=PASSES)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    groups = in_passes(measure, 1 if options.quick else options.passes, options.quick)
    for title, group in groups.items():
        show(title, group)
    if options.json:
        options.json.write_text(json.dumps({"groups": as_json(groups)}))


if __name__ == "__main__":
    main()
