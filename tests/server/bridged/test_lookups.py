from tests.server.bridged import loaded

vars().update(
    loaded(
        "test_lookups",
        # On the right of a builtin set, the bridge answers by itself.
        "on_the_right_of_a_builtin_set",
        # It asks both surfaces itself.
        "a_set_of_the_other_surface_is_no_element",
    )
)
