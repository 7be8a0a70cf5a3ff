"""redset: a set of numbers, leased in batches and acknowledged."""

import sys
import time

import redis

from bench import tasks_of
from redset import RedisSortedSet

tasks: RedisSortedSet[int] = RedisSortedSet(redis.Redis(port=tasks_of.PORT), "tasks")

if __name__ == "__main__":
    total, how = sys.argv[1:3]
    if total == "worker":
        for _ in tasks.consume(int(how)):
            tasks_of.task()
    else:
        tasks.update(range(tasks_of.WARM_UP))
        tasks_of.wait_for(tasks_of.WARM_UP)
        numbers = range(tasks_of.WARM_UP, tasks_of.WARM_UP + int(total))
        begin = time.perf_counter()
        if how == "at once":
            tasks.update(numbers)
        else:
            for number in numbers:
                tasks.add(number)
        tasks_of.wait_for(numbers.stop)
        # The last ones are done, and also acknowledged.
        while sum(tasks.stats()):
            time.sleep(0.002)
        print(time.perf_counter() - begin)
