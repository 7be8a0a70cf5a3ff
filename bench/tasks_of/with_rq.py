"""rq: workers that fork no process for a task, and keep no results."""

import sys

import redis
from rq import Queue, SimpleWorker

from bench import tasks_of

client = redis.Redis(port=tasks_of.PORT)
queue = Queue("bench", connection=client)

if __name__ == "__main__":
    if sys.argv[1] == "worker":
        SimpleWorker([queue], connection=client).work(logging_level="ERROR")
    else:
        tasks_of.produce(lambda: queue.enqueue(tasks_of.task, result_ttl=0))
