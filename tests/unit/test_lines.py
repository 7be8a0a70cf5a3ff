"""Lines of waiting tasks: as many are woken as there are items, and only such that still wait."""

import asyncio
import math
from typing import Any, cast

from redset._transport.async_subscription import Line


def test_no_wake_up_is_spent_on_a_task_that_was_cancelled_or_whose_time_is_up() -> None:
    async def main() -> None:
        line = Line(cast("Any", None))
        answers = [asyncio.get_running_loop().create_future() for _ in range(6)]
        line.waiting.update(dict.fromkeys(answers))
        answers[0].cancel()
        answers[1].set_result(False)
        line.learn(2, math.inf)
        assert [each.result() for each in answers[1:4]] == [False, True, True]
        assert (line.awake, line.unclaimed) == (2, 0)
        assert list(line.waiting) == answers[4:]
        # Those that are awake have a claim to two of these items.
        answers[4].cancel()
        line.learn(3, math.inf)
        assert answers[5].result() is True
        assert (line.awake, line.unclaimed) == (3, 0)

    asyncio.run(main())


def test_items_are_left_for_tasks_to_come_if_no_task_still_waits() -> None:
    async def main() -> None:
        line = Line(cast("Any", None))
        gone = asyncio.get_running_loop().create_future()
        line.waiting[gone] = None
        gone.cancel()
        line.wake_one()
        line.learn(2, math.inf)
        assert (line.awake, line.unclaimed, len(line.waiting)) == (0, 2, 0)

    asyncio.run(main())
