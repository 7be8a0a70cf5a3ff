"""Settings of every test: how many examples Hypothesis generates, and that SIGINT interrupts.

``REDSET_TEST_LOOP=uvloop`` has every event loop of the tests be one of uvloop.
"""

import asyncio
import gc
import importlib
import itertools
import os
import signal

from hypothesis import HealthCheck, settings

_SLOW_IS_FINE = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]

settings.register_profile(
    "dev", max_examples=50, deadline=None, suppress_health_check=_SLOW_IS_FINE
)
settings.register_profile(
    "ci", max_examples=50, deadline=None, derandomize=True, suppress_health_check=_SLOW_IS_FINE
)
settings.register_profile(
    "thorough", max_examples=500, deadline=None, suppress_health_check=_SLOW_IS_FINE
)
settings.register_profile(
    "law", max_examples=100_000, deadline=None, suppress_health_check=_SLOW_IS_FINE
)
settings.load_profile(
    os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "dev")
)

if os.environ.get("REDSET_TEST_LOOP") == "uvloop":
    asyncio.set_event_loop_policy(importlib.import_module("uvloop").EventLoopPolicy())

# A shell starts what runs in the background with SIGINT ignored, and children inherit that.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


_finished = itertools.count(1)


def pytest_collection_finish() -> None:
    """Spare the collector what lives as long as the process: thousands of tests and modules."""
    _keep_all_that_lives()


def pytest_runtest_logfinish() -> None:
    """The same, for what has come since: many tests begin with a collection."""
    if next(_finished) % 100 == 0:
        _keep_all_that_lives()


def _keep_all_that_lives() -> None:
    gc.collect()
    gc.freeze()
