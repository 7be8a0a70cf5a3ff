"""The tests that are about one server, and not for a cluster: which, and why.

On a cluster (``REDSET_TEST_CLUSTER=1``) these must fail: one that passes is reported, and has to
go from the table. What asks for no server isn't run there a second time.
"""

from collections.abc import Mapping
from typing import NamedTuple

import pytest


class Reason(NamedTuple):
    """Why tests are for one server only."""

    words: str
    # Without: it is not tried, as it would wait for what never comes.
    runs: bool = True


POOL = Reason("it reads the pool of a client, and a client of a cluster has one for each node")
NOT_TRIED = Reason("it is about the one pool of a client, and waits until that is full", runs=False)
REPLICA = Reason("it asks a replica that knows of no cluster, and has the slots of one node")
ADDRESS = Reason("it is about the address of one server, or the socket of one")
TWO_CLIENTS = Reason("two clients of a cluster count as two servers: sets of both are streamed")
ONE_LOOP = Reason("asyncio's client of a cluster keeps to its first loop", runs=False)
PROGRAM = Reason("it starts programs with the URL of one server", runs=False)
PAST_PROXIES = Reason("now and then, asyncio's client goes past the lossy proxies", runs=False)
SLOTS_FIRST = Reason("of a set on another server, too, redset says that slots are different")
MONITOR = Reason("it looks on by MONITOR or ECHO, at the one server that it connects to")
RETRIES = Reason("a client of a cluster repeats no command because of a server's error")
CONNECTING = Reason("its client takes what is raised while it connects for an error of its own")
RIGHTS = Reason("over a cluster an account needs more rights: to ask for the nodes")


# A part of a test's id, from the name of its module on: the longest one counts. `None` is for
# exceptions, which pass on a cluster.
TABLE: Mapping[str, Reason | None] = {
    # What redset does with the connections of one server's pool
    "test_subscriptions.py": NOT_TRIED,
    "test_pinned.py": POOL,
    "test_pinned.py::test_a_single_connection_is_not_taken": None,
    "test_pinned.py::test_a_connection_that_the_server_closed_is_replaced": None,
    "test_pinned.py::test_a_closed_client_connects_anew": None,
    "test_asyncio.py::test_one_who_waits_is_woken_by_an_item": POOL._replace(runs=False),
    "test_asyncio.py::test_a_client_with_one_connection_of_its_own": POOL,
    "test_handles.py::test_a_sent_handle_keeps_a_tcp_clients_settings": POOL,
    "test_waiting.py::test_threads_that_wait_leave_half_of_the_pool": POOL,
    "test_locks.py::test_lock_is_ours_when_only_the_reply_was_lost": POOL,
    # What is only there once
    "test_algebra.py::test_one_server_is_recognised_by_all_its_addresses": TWO_CLIENTS,
    "test_asyncio.py::test_one_server_by_two_addresses_is_one_server": TWO_CLIENTS,
    "test_comparing.py::test_a_read_only_replica": REPLICA,
    "test_comparing.py::test_a_replica_answers": REPLICA,
    "test_counts.py::test_a_read_only_replica_counts": REPLICA,
    "test_reading.py::test_a_read_only_replica_is_read": REPLICA,
    "test_reading.py::test_many_local_items_are_looked_up_in_steps": REPLICA,
    "test_reading.py::test_a_replica_reads_results": REPLICA,
    "test_asyncio.py::test_connect_makes_an_asyncio_client": ADDRESS,
    "test_durable.py::test_a_client_that_can_not_keep_commands": ADDRESS,
    "test_durable.py::test_a_client_whose_pipeline_is_its_own": ADDRESS,
    "test_locks.py::test_processes_with_one_lock_lose_no_update": ADDRESS,
    "test_subclasses.py::test_on_the_asyncio_surface_likewise": ADDRESS,
    "test_waiting.py::test_ctrl_c_ends_a_wait_without_end": PROGRAM,
    "test_waiting.py::test_a_waiter_that_is_killed_leaves_nothing": PROGRAM,
    "test_sizes.py::test_the_work_of_one_script_is_bounded": MONITOR,
    "test_sizes.py::test_update_of_what_is_unique_goes_in_scripts": MONITOR,
    "test_security.py::test_an_account": RIGHTS,
    "test_security.py::test_every_right_that_is_listed_is_used": RIGHTS,
    "test_demo.py": PROGRAM,
    "test_web_example.py": PROGRAM,
    "test_asyncio_cancellation.py::test_a_cancelled_operation_keeps_the_connection": ADDRESS,
    "test_asyncio_cancellation.py::test_a_lock_may_be_the_first_to_use": ONE_LOOP,
    "test_locks.py::test_a_lock_whose_acquisition_failed_is_free": POOL,
    "test_asyncio_cancellation.py::test_an_expired_timeout_ends_a_wait": ADDRESS,
    "test_travel.py::test_a_large_set_of_another_serializer_or_server": SLOTS_FIRST,
    "test_asyncio.py::test_a_silent_server_is_an_error": ADDRESS,
    "test_waiting.py::test_a_parser_in_python": ADDRESS._replace(runs=False),
    "test_asyncio.py::test_a_parser_in_python": ADDRESS._replace(runs=False),
    # What a cluster, or a client of one, does in another way
    "test_asyncio.py::test_a_handle_may_be_used_in_one_loop_after_another": ONE_LOOP,
    "test_asyncio.py::test_a_call_that_waits_when_another_loop_takes_over": ONE_LOOP,
    "test_asyncio.py::test_a_wait_in_a_loop_that_is_closed_at_once": ONE_LOOP,
    "test_readers.py::test_a_read_only_replica": REPLICA,
    "test_replica.py::test_a_replica": REPLICA,
    "test_replica.py::test_a_replica_refuses_every_other_call": None,
    "test_durable.py::test_a_command_that_the_client_repeats": RETRIES,
    "test_interrupts.py::test_a_timeout_that_a_handler_raises_in_a_repetition": CONNECTING,
    "test_first_of_faults.py::test_a_request_that_comes_too_late_takes_from_no_set": POOL,
}

# What tests ask for that have to do with the shared server.
_FIXTURES = {"client", "make_client", "server"}


def mark(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what has no server, and expect failures of what is for one server."""
    chosen = [item for item in items if _FIXTURES & set(getattr(item, "fixturenames", ()))]
    left_out = [item for item in items if item not in set(chosen)]
    for item in chosen:
        if (reason := _reason(item.nodeid)) is not None:
            expected = pytest.mark.xfail(reason=reason.words, strict=True, run=reason.runs)
            item.add_marker(expected)
    items[:] = chosen
    config.hook.pytest_deselected(items=left_out)


def _reason(test: str) -> Reason | None:
    found = [part for part in TABLE if part in test]
    return TABLE[max(found, key=len)] if found else None
