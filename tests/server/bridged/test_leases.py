from tests.server.bridged import loaded

vars().update(
    loaded(
        "test_leases",
        # It makes a lease by hand, as no user does.
        "a_renewal_that_comes_too_late",
        # Tasks renew the leases of this surface.
        "one_thread_renews",
        "many_leases_of_a_client",
    )
)
