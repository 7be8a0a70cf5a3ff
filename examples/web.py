"""A web application that takes jobs and works on them: Starlette over redset.asyncio.

    pip install ".[embedded]" starlette uvicorn
    uvicorn --app-dir examples web:app
    curl -d '{"mail": "ann", "seconds": 0.5}' http://127.0.0.1:8000/jobs

POST /jobs takes any JSON document; the same content is the same job, for good. 202: it is new.
200: it was there already, waiting, at work or done; whoever repeats a request whose answer was
lost has done nothing wrong. 400: it is no JSON. GET /stats tells how many jobs are where.

With $REDIS_URL, any number of such processes share the jobs. Without it the process has a server
of its own, and the jobs end with it.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

import redset.asyncio
from redset.codecs import JSONSerializer

CONSUMERS = 4  # jobs that this process works on at a time
DELIVERIES = 3  # of one job, until it is put aside
PAUSE = 0.5  # seconds before a consumer goes on after an error

Jobs = redset.asyncio.TimeSortedSet[Any]
Done = redset.asyncio.RedisSortedSet[Any]

logger = logging.getLogger("uvicorn.error")


async def post_job(request: Request) -> JSONResponse:
    try:
        new = await request.state.jobs.insert(await request.json())
    except ValueError as error:
        return JSONResponse({"error": str(error)}, status_code=400)
    return JSONResponse({"new": bool(new)}, status_code=202 if new else 200)


async def get_stats(request: Request) -> JSONResponse:
    stats = await request.state.jobs.stats()
    return JSONResponse(stats._asdict() | {"done": await request.state.done.size()})


async def work_on(job: Any) -> None:
    """Stand for what there is to do: to send a mail, to draw a picture."""
    await asyncio.sleep(job["seconds"])


async def consume(jobs: Jobs, done: Done) -> None:
    """Work on one job after the other; whatever interrupts one gives it back."""
    while True:
        try:
            # Closed here, and not when Python finds the time: the client must still be open.
            async with contextlib.aclosing(jobs.consume()) as coming:
                async for job in coming:
                    await work_on(job)
                    await done.increment(job)
        except Exception:
            logger.exception("a job failed, or the server can't be reached")
            await asyncio.sleep(PAUSE)


@contextlib.asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[dict[str, Any]]:
    """Hold one client for the handlers and the consumers, who end before it is closed."""
    documents = JSONSerializer()
    async with redset.asyncio.connect() as client, asyncio.TaskGroup() as group:
        jobs = Jobs(
            client, "jobs", serializer=documents, unique="forever", max_deliveries=DELIVERIES
        )
        done = Done(client, "done", serializer=documents)  # each with how often it was done
        consumers = [group.create_task(consume(jobs, done)) for _ in range(CONSUMERS)]
        yield {"jobs": jobs, "done": done}
        for consumer in consumers:
            consumer.cancel()


routes = [
    Route("/jobs", post_job, methods=["POST"]),
    Route("/stats", get_stats),
]
app = Starlette(routes=routes, lifespan=lifespan)
