from tests.server.bridged import loaded

vars().update(
    loaded(
        "test_rename",
        # Its connection is a synchronous one.
        "what_was_given_while_the_set_was_renamed",
    )
)
