from tests.server.bridged import loaded

# One drives the pages by hand.
vars().update(loaded("test_iteration", "any_interleaving_reads"))
