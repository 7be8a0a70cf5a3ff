"""Consumers that wait for the same sets by the same clocks share a subscription."""

import redis

from redset import ScheduledSet
from redset._protocol.outlook import Outlook


def outlook_of(scheduled: ScheduledSet) -> Outlook:
    config = scheduled._runner.config
    outlook: Outlook = config.outlook(config.no_wait.now)
    return outlook


def test_two_handles_of_one_clock_have_the_same_outlook() -> None:
    client = redis.Redis()
    one, other = ScheduledSet(client, "jobs"), ScheduledSet(client, "jobs")
    assert outlook_of(one).is_that_of(outlook_of(other))


def test_handles_of_two_clocks_have_outlooks_of_their_own() -> None:
    client = redis.Redis()
    one, other = ScheduledSet(client, "jobs"), ScheduledSet(client, "jobs", clock=lambda: 0.0)
    assert not outlook_of(one).is_that_of(outlook_of(other))
