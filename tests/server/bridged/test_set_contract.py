from tests.server.bridged import loaded

# What the class itself has, and not what its calls do, is up to tests/unit/test_parity.py.
vars().update(
    loaded(
        "test_set_contract",
        "everything_in_dir_of_set",
        "redset_defines_what_set_defines",
        "what_is_callable_in_set",
    )
)
