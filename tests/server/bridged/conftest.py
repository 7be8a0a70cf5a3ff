"""The loop that the bridged sets run in, and the round trips of asyncio clients."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest

from tests import bridge
from tests.server.asyncio_clients import counted_writes
from tests.server.bridged import fewer_examples
from tests.server.conftest import Count, load_scripts


@pytest.fixture(autouse=True)
def _bridge() -> Iterator[None]:
    end = bridge.begin()
    with fewer_examples():
        yield
    end()


@pytest.fixture
def round_trips() -> Callable[[Any], AbstractContextManager[Count]]:
    """As the fixture of that name, for what asyncio clients write."""

    @contextmanager
    def count(client: Any) -> Iterator[Count]:
        load_scripts(client)
        with counted_writes() as counted:
            yield counted

    return count
