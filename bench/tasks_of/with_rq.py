"""rq: workers that fork no process for a task, and keep no results."""

import sys

from rq import Queue, SimpleWorker

from bench import tasks_of

queue = Queue("bench", connection=tasks_of.client)

if __name__ == "__main__":
    if sys.argv[1] == "worker":
        SimpleWorker([queue], connection=tasks_of.client).work(logging_level="ERROR")
    else:
        tasks_of.produce(lambda: queue.enqueue(tasks_of.count, result_ttl=0))
