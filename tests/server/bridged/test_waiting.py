from tests.server.bridged import loaded

OF_THREADS = (
    # Tasks that wait share what they watch with.
    "a_busy_loop_begins",
    "leave_half_of_the_pool",
    # Tasks that are woken together ask in one write.
    "crowds_learn_to_let_one_go_first",
)
# It has a twin in `test_asyncio`, with a pool of asyncio.
OF_POOLS = ("a_parser_in_python",)
vars().update(loaded("test_waiting", *OF_THREADS, *OF_POOLS))
