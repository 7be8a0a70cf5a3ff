from tests.server.bridged import loaded

# On the right of a builtin set, the bridge answers by itself.
vars().update(loaded("test_lookups", "on_the_right_of_a_builtin_set"))
