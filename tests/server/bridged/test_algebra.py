from tests.server.bridged import loaded

vars().update(
    loaded(
        "test_algebra",
        # A synchronous generator over an asynchronous set can't be read by the loop of that set.
        "changed_by_a_generator_over_itself",
        # They count round trips while the loop still deletes a result that was collected.
        "only_the_local_side_travels",
        "many_local_operands_travel_together",
        # It speaks to the connection, below both surfaces.
        "a_repeated_command_makes_the_same_result",
    )
)
