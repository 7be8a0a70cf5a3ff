"""dramatiq: no middleware but what acknowledges."""

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from bench import tasks_of

broker = RedisBroker(port=tasks_of.PORT, middleware=[])
dramatiq.set_broker(broker)


@dramatiq.actor
def task() -> None:
    tasks_of.task()


if __name__ == "__main__":
    from bench.tasks_of import with_dramatiq

    tasks_of.produce(with_dramatiq.task.send)
