from tests.server.bridged import loaded

# The loop of the other thread runs no signal handlers.
vars().update(loaded("test_consume", "stopped_by_a_signal_handler"))
