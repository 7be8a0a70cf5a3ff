from tests.server.bridged import loaded

vars().update(
    loaded(
        "test_settling",
        # It renews a lease by hand, as no user does.
        "a_call_for_all_items",
    )
)
