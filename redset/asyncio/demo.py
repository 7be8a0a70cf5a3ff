"""The demo's workers for asyncio: each process runs an event loop with several tasks.

Everything else is in `redset.demo`, which knows nothing of loops; this module knows nothing of
processes.
"""

import asyncio

from redset.asyncio.clients import connect
from redset.asyncio.sets import SortedSet
from redset.demo import BATCH, IDLE, Mapped, Sources, Stop, imports_of, never, open_sets

TASKS = 4  # of each process

Modules = SortedSet[str]


async def work(
    frontier: Modules, seen: Modules, done: Modules, sources: Sources, stop: Stop = never
) -> list[Mapped]:
    """Map modules as the work of `redset.demo` does; each task runs this.

    A thread reads and parses each module, so that the loop can serve the other tasks.
    """
    mapped = []
    while not stop() and await done.size() < await seen.size():
        async for module in frontier.consume(BATCH, timeout=IDLE, stop=stop):
            imports = await asyncio.to_thread(imports_of, module, sources)
            await frontier.update(await seen.insert(*imports))
            await done.add(module)
            mapped.append(Mapped(module, imports))
    return mapped


async def work_together(url: str, run: str, sources: Sources, stop: Stop) -> list[Mapped]:
    """Let several tasks do the `work` of one process, over one client."""
    async with connect(url) as client:
        sets = open_sets(Modules, client, run)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(work(*sets, sources, stop)) for _ in range(TASKS)]
    return [mapped for task in tasks for mapped in task.result()]


def work_in_tasks(url: str, run: str, sources: Sources, stop: Stop = never) -> list[Mapped]:
    """Do what `redset.demo.work_alone` does, in an event loop."""
    return asyncio.run(work_together(url, run, sources, stop))
