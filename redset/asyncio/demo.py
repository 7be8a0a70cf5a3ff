"""The demo's workers for asyncio: each process runs an event loop with several tasks.

All else is `redset.demo`, which knows nothing of loops; nothing here knows of processes.
"""

import asyncio

from redset.asyncio.clients import connect
from redset.asyncio.sets import SortedSet
from redset.demo import BATCH, IDLE, Mapped, Sources, imports_of, open_sets

TASKS = 4  # of each process

Modules = SortedSet[str]


async def work(frontier: Modules, seen: Modules, done: Modules, sources: Sources) -> list[Mapped]:
    """Map modules as the work of `redset.demo` does; each task runs this.

    To read and parse a module goes to a thread: the loop serves the other tasks meanwhile.
    """
    mapped = []
    while await done.size() < await seen.size():
        batch = await frontier.take(BATCH)
        for module in batch:
            imports = await asyncio.to_thread(imports_of, module, sources)
            await frontier.update(await seen.insert(*imports))
            mapped.append(Mapped(module, imports))
        await done.update(batch)
        if not batch:
            await asyncio.sleep(IDLE)
    return mapped


async def work_together(url: str, run: str, sources: Sources) -> list[Mapped]:
    """Let several tasks do the `work` of one process, over one client."""
    async with connect(url) as client:
        sets = open_sets(Modules, client, run)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(work(*sets, sources)) for _ in range(TASKS)]
    return [mapped for task in tasks for mapped in task.result()]


def work_in_tasks(url: str, run: str, sources: Sources) -> list[Mapped]:
    """Do what `redset.demo.work_alone` does, in an event loop."""
    return asyncio.run(work_together(url, run, sources))
