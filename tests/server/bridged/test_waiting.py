from tests.server.bridged import loaded

# Of threads alone: how often a crowd of them asks (tasks that are woken together ask in one write),
# and how many connections they listen with (tasks share one).
OF_THREADS = ("crowds_learn_to_let_one_go_first", "leave_half_of_the_pool")
vars().update(loaded("test_waiting", *OF_THREADS))
