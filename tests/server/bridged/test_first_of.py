from tests.server.bridged import loaded

vars().update(
    loaded(
        "test_first_of",
        # A copy of the bridge is no copy of what is behind it: see test_first_of_asyncio.py.
        "a_copy_is_of_the_same_sets",
    )
)
