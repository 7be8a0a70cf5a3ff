"""huey: a queue without results."""

import os

from huey import RedisHuey

from bench import tasks_of

huey = RedisHuey("bench", results=False, port=int(os.environ.get("BENCH_PORT", "6379")))


@huey.task()
def task() -> None:
    tasks_of.count()


if __name__ == "__main__":
    from bench.tasks_of import with_huey

    tasks_of.produce(with_huey.task)
