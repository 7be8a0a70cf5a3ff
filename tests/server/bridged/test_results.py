from tests.server.bridged import loaded

vars().update(
    loaded(
        "test_results",
        # The loop deletes a result that is collected, soon; at the end of a process there is none.
        "deleted_with_its_last_reference",
        "the_end_of_a_process",
        "an_error_that_ends_a_process",
        "a_process_that_is_killed",
        # A loop, and with it the bridge, doesn't survive a fork.
        "a_forked_child_deletes",
        "a_result_that_was_sent_to_a_process",
        # Tasks need no thread, and renew at any time.
        "over_one_page_renews",
        # What is read without being awaited holds the loop up: see test_asyncio.
        "a_change_renews",
        # Subclasses of the synchronous sets have no asynchronous twin.
        "keep_their_left_operands_class",
    )
)
