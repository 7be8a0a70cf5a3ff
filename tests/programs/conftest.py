"""Programs that users really run, beside a server that the tests start."""

from collections.abc import Callable

import pytest

from tests.server.conftest import client, make_client, server

__all__ = ["client", "make_client", "report", "server"]


@pytest.fixture
def report(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Show a line of figures, whether the test passes or not."""

    def show(line: str) -> None:
        with capsys.disabled():
            print(f"\n  {line}")

    return show
