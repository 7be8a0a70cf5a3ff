"""huey: a queue without results."""

from huey import RedisHuey

from bench import tasks_of

huey = RedisHuey("bench", results=False, port=tasks_of.PORT)


@huey.task()
def task() -> None:
    tasks_of.task()


if __name__ == "__main__":
    from bench.tasks_of import with_huey

    tasks_of.produce(with_huey.task)
