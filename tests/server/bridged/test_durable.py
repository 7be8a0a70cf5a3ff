from tests.server.bridged import loaded

vars().update(
    loaded(
        "test_durable",
        # They look at both surfaces, or make sets of the synchronous one.
        "each_public_method_is_known",
        "client_that_can_not_keep_commands_together",
        "client_whose_commands_are_replaced",
        "client_whose_pipeline_is_its_own",
        "an_error_can_be_pickled",
    )
)
