"""Storms as programs of their own: what hangs or crashes there ends there, and is reported."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

# How long each storm lasts; without one, each test has a short time of its own.
SECONDS = float(os.environ.get("REDSET_STORM_SECONDS", "0"))
SEED = int(os.environ.get("REDSET_STORM_SEED", "20240229"))
# Beyond the time of the storm: to start, to empty the queues, and for the watchdog to report.
TIMEOUT_SECONDS = 90.0

_ROOT = Path(__file__).resolve().parent.parent.parent


def storm(module: str, *arguments: str, quick: float) -> dict[str, Any]:
    """Run ``tests.storms.<module>`` and return its report, the last line that it printed.

    *quick* is for how many seconds, if the environment doesn't say.
    """
    seconds = SECONDS or quick
    command = [sys.executable, "-m", f"tests.storms.{module}", "--seed", str(SEED), *arguments]
    command += ["--seconds", str(seconds)]
    ended = subprocess.run(
        command,
        cwd=_ROOT,
        capture_output=True,
        text=True,
        timeout=3 * seconds + TIMEOUT_SECONDS,
        check=False,
    )
    if ended.returncode:
        # Exit code 1 is the watchdog's, whose traceback says where the program hangs.
        raise AssertionError(f"{module} ended with {ended.returncode}:\n{ended.stderr[-6000:]}")
    found: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return found
