"""The same task, which only counts, for each system that is compared.

It appends a byte to a file: that costs the same whoever runs it, and no round trip.
"""

import os
import sys
import time
from collections.abc import Callable

PORT = int(os.environ.get("BENCH_PORT", "6379"))
WARM_UP = 20

_file = os.open(os.environ.get("BENCH_DONE", os.devnull), os.O_WRONLY | os.O_APPEND | os.O_CREAT)


def task() -> None:
    os.write(_file, b".")


def produce(enqueue: Callable[[], object]) -> None:
    """Enqueue so many tasks as the command line says; print the seconds until all are done."""
    total = int(sys.argv[1])
    for _ in range(WARM_UP):
        enqueue()
    wait_for(WARM_UP)
    begin = time.perf_counter()
    for _ in range(total):
        enqueue()
    wait_for(WARM_UP + total)
    print(time.perf_counter() - begin)


def wait_for(total: int) -> None:
    while os.fstat(_file).st_size < total:
        time.sleep(0.002)
