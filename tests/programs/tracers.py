"""A program that is observed: what its observer saw of sets, and of the same calls by hand.

    python -m tests.programs.tracers SOCKET TRACER WHEN

prints, for each operation of both surfaces, how many spans (or measurements) a call by hand and a
call of redset came to, and how many after the observer was switched off.
"""

import asyncio
import inspect
import json
import sys
from collections.abc import Callable
from typing import Any

import redis
import redis.asyncio

OPERATIONS = 3  # how often each

# By surface and operation: what was seen of redset, and of the call by hand.
Seen = dict[str, dict[str, list[int]]]


class OpenTelemetry:
    """The spans of opentelemetry-instrumentation-redis, which wraps the classes of the client."""

    def __init__(self) -> None:
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))

    def switch_on(self, *_clients: Any) -> None:
        from opentelemetry.instrumentation.redis import RedisInstrumentor

        RedisInstrumentor().instrument(tracer_provider=self.provider)

    def switch_off(self, *_clients: Any) -> None:
        from opentelemetry.instrumentation.redis import RedisInstrumentor

        RedisInstrumentor().uninstrument()

    def seen(self) -> int:
        """How many calls there were since this was asked before."""
        spans = self.exporter.get_finished_spans()
        self.exporter.clear()
        return len(spans)


class OpenTelemetryOfClients(OpenTelemetry):
    """The same, of single clients."""

    def switch_on(self, *clients: Any) -> None:
        from opentelemetry.instrumentation.redis import RedisInstrumentor

        for client in clients:
            # It forgets to take this back when it is switched off.
            client._is_instrumented_by_opentelemetry = False
            RedisInstrumentor.instrument_client(client, tracer_provider=self.provider)

    def switch_off(self, *clients: Any) -> None:
        from opentelemetry.instrumentation.redis import RedisInstrumentor

        for client in clients:
            RedisInstrumentor.uninstrument_client(client)


class Sentry:
    """The spans of sentry-sdk, which can't be switched off."""

    def __init__(self) -> None:
        self.spans: list[Any] = []

    def switch_on(self, *_clients: Any) -> None:
        import sentry_sdk
        from sentry_sdk.integrations.redis import RedisIntegration
        from sentry_sdk.transport import Transport

        spans = self.spans

        class Kept(Transport):
            def capture_envelope(self, envelope: Any) -> None:
                event = envelope.get_transaction_event()
                spans.extend(event["spans"] if event else ())

        sentry_sdk.init(
            "http://key@127.0.0.1/1",
            transport=Kept,
            traces_sample_rate=1.0,
            default_integrations=False,
            integrations=[RedisIntegration()],
        )
        self.transaction = sentry_sdk.start_transaction(name="all")
        self.transaction.__enter__()

    def seen(self) -> int:
        """How many calls there were since this was asked before."""
        import sentry_sdk

        self.transaction.__exit__(None, None, None)
        number = len([span for span in self.spans if span["op"] == "db.redis"])
        self.spans.clear()
        self.transaction = sentry_sdk.start_transaction(name="all")
        self.transaction.__enter__()
        return number


class Metrics:
    """The durations of commands that redis-py 8 measures by itself."""

    def __init__(self) -> None:
        from opentelemetry import metrics
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import InMemoryMetricReader

        self.reader = InMemoryMetricReader()
        metrics.set_meter_provider(MeterProvider(metric_readers=[self.reader]))
        self.before = 0

    def switch_on(self, *_clients: Any) -> None:
        from redis.observability import MetricGroup, OTelConfig, get_observability_instance

        config = OTelConfig(metric_groups=[MetricGroup.COMMAND])
        get_observability_instance().init(config)

    def seen(self) -> int:
        """How many calls there were since this was asked before."""
        found = self.reader.get_metrics_data()
        total: int = sum(
            getattr(point, "count", 0)
            for resource in (found.resource_metrics if found else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == "db.client.operation.duration"
            for point in metric.data.data_points
        )
        number, self.before = total - self.before, total
        return number


TRACERS: dict[str, Callable[[], Any]] = {
    "opentelemetry": OpenTelemetry,
    "opentelemetry-client": OpenTelemetryOfClients,
    "sentry": Sentry,
    "metrics": Metrics,
}


def pairs(numbers: Any, client: Any, *, is_async: bool) -> dict[str, tuple[Any, Any]]:
    """Operations of redset beside what they take by hand: one command each, or one pipeline."""
    key, count = "by hand", iter(range(10_000))

    def by_pipeline() -> Any:
        pipeline = client.pipeline(transaction=False)
        pipeline.zscore(key, "1")
        pipeline.zcard(key)
        return pipeline.execute()

    async def listed() -> list[Any]:
        return [item async for item in numbers]

    return {
        "in": (
            lambda: numbers.contains(1) if is_async else 1 in numbers,
            lambda: client.zscore(key, "1"),
        ),
        "len": (lambda: numbers.size() if is_async else len(numbers), lambda: client.zcard(key)),
        "add": (lambda: numbers.add(next(count)), lambda: client.zadd(key, {"1": 1})),
        "score": (lambda: numbers.score(1), lambda: client.zscore(key, "1")),
        "increment": (lambda: numbers.increment(1, 1), lambda: client.zincrby(key, 1, "1")),
        "discard": (lambda: numbers.discard(5), lambda: client.zrem(key, "5")),
        "update": (
            lambda: numbers.update(range(100, 110)),
            lambda: client.zadd(key, dict.fromkeys("abc", 1)),
        ),
        "insert": (lambda: numbers.insert(3), lambda: client.zadd(key, {"3": 1})),
        "pop": (numbers.pop, lambda: client.zpopmin(key)),
        "take": (lambda: numbers.take(2), lambda: client.zpopmin(key, 2)),
        "lease": (lambda: numbers.lease(2), lambda: client.zpopmin(key, 2)),
        "iteration": (
            # Not of the set itself, which `list` asks for its length first.
            lambda: listed() if is_async else list(iter(numbers)),
            lambda: client.zrange(key, 0, -1),
        ),
        "scores": (lambda: numbers.scores(1, 2, 3), lambda: client.zmscore(key, ["1", "2"])),
        "range": (lambda: numbers.range(0, 3), lambda: client.zrange(key, 0, 2)),
        "clear": (numbers.clear, by_pipeline),
    }


async def main(socket: str, name: str, when: str) -> dict[str, Seen]:
    client, hand = (redis.Redis(unix_socket_path=socket) for _ in range(2))
    async_client, async_hand = (redis.asyncio.Redis(unix_socket_path=socket) for _ in range(2))
    clients = (client, hand, async_client, async_hand)
    tracer = TRACERS[name]()
    if when == "before":
        tracer.switch_on(*clients)
    import redset
    import redset.asyncio

    surfaces: dict[str, dict[str, tuple[Any, Any]]] = {
        "sync": pairs(redset.RedisSortedSet(client, "numbers"), hand, is_async=False),
        "asyncio": pairs(
            redset.asyncio.RedisSortedSet(async_client, "async"), async_hand, is_async=True
        ),
    }

    async def rehearse() -> None:
        """Have the server know all scripts, so that no call takes a second one to say so."""
        for operations in surfaces.values():
            for both in operations.values():
                for call in both:
                    found = call()
                    if inspect.isawaitable(found):
                        await found

    await rehearse()
    if when == "after":
        tracer.switch_on(*clients)
        await rehearse()  # what is observed is sent in another way, by other scripts
    if when == "again":
        for _ in range(2):
            tracer.switch_on(*clients)
            await rehearse()
            tracer.switch_off(*clients)
        tracer.switch_on(*clients)

    async def count() -> Seen:
        seen: Seen = {}
        for surface, operations in surfaces.items():
            seen[surface] = {}
            for operation, both in operations.items():
                seen[surface][operation] = []
                for call in both:
                    tracer.seen()
                    for _ in range(OPERATIONS):
                        found = call()
                        if inspect.isawaitable(found):
                            await found
                    seen[surface][operation].append(tracer.seen())
        return seen

    result = {"on": await count()}
    if hasattr(tracer, "switch_off"):
        tracer.switch_off(*clients)
        result["off"] = await count()
    for one in (client, hand):
        one.close()
    for other in (async_client, async_hand):
        await other.aclose()
    return result


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(*sys.argv[1:]))))
