from tests.server.bridged import loaded

# One makes a lease by hand, as no user does.
vars().update(loaded("test_leases", "a_renewal_that_comes_too_late"))
