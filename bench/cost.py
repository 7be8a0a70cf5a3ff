"""What does the most expensive member of a stranger cost?

For each serializer the members, of all that the tests generate, that take the most CPU time in
``loads`` or ``dumps`` for a byte. ``SECURITY.md`` promises 50 ms for 10 KB and 1 s for 1 MB.
"""

import argparse
import time
from typing import Any

from redset.exceptions import SerializerError
from tests.unit.codecs.costly import SERIALIZERS, items, members

SHOWN = 5


def seconds(serializer: Any, member: bytes) -> float:
    """Return the CPU time of the slower of ``loads`` and ``dumps``."""
    began = time.thread_time()
    try:
        item = serializer.loads(member)
    except SerializerError:
        return time.thread_time() - began
    read = time.thread_time()
    serializer.dumps(item)
    return max(read - began, time.thread_time() - read)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=10_000, help="bytes of a member")
    size: int = parser.parse_args().size
    for name, serializer in SERIALIZERS.items():
        valid = ((label, serializer.dumps(item)) for label, item in items(name, size))
        costs = [
            (seconds(serializer, member), len(member), label)
            for label, member in (*valid, *members(name, size))
        ]
        print(name)
        for spent, length, label in sorted(costs, reverse=True)[:SHOWN]:
            print(f"  {1000 * spent:8.1f} ms {length:12,} bytes  {label}")


if __name__ == "__main__":
    main()
