"""The sound driver behind a network, of which the broken ones are made, passes what they fail."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest

from polystore.schema import Collection
from polystore.testing.child import Processes
from polystore.testing.harness import Address
from polystore.testing.harnesses.memory import MemoryHarness
from polystore.testing.proxy import Proxy
from polystore.testing.suite import test_concurrent as concurrent
from polystore.testing.suite import test_faults as faults
from polystore.testing.suite.faulty import COMMIT, MANY, SINGLE, TIMEOUT
from tests.mutants.remote import Remote, RemoteAddress, Server


class Sound(MemoryHarness):
    def __init__(self) -> None:
        super().__init__()
        self.server = Server(self._space)

    @property
    def address(self) -> Address:
        port = self.server.port
        return RemoteAddress(f"remote://127.0.0.1:{port}", port=port, mutant=Remote)


@pytest.fixture
def harness() -> Iterator[Sound]:
    made = Sound()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.mark.rule("CNF-5")
def test_a_sound_driver_passes_the_faults_and_processes(harness: Sound) -> None:
    numbers = count(1)
    driver = harness.open()

    def make(key: Any = ("id",), **declaration: Any) -> Collection:
        things = Collection(f"t{next(numbers)}", key, **declaration)
        driver.create(things)
        return things

    with Proxy(harness.server.port) as proxy:
        behind = harness.address.within(TIMEOUT).behind(proxy.port).open()
        for kind in (*SINGLE.values(), MANY, COMMIT):
            faults.cut_everywhere(harness, driver, behind, proxy, make, kind)
        for late in ("the answer", "the request"):
            faults.test_a_write_without_an_answer_in_time_is_unknown_and_may_be_applied_later(
                harness, driver, behind, proxy, make, late
            )
        rest = (harness, driver, behind, proxy, make)
        faults.test_a_driver_that_is_closed_has_no_connections(harness.address, proxy, make)
        faults.test_a_read_without_an_answer_is_unavailable(behind, proxy, make)
        faults.test_a_write_is_not_sent_again_over_what_another_wrote(*rest)
        faults.test_faults_leave_no_connections_and_no_threads_behind(*rest)
        behind.close()
    faults.test_where_nobody_listens_nothing_is_executed_until_somebody_does(
        harness, harness.address, driver, make
    )
    processes = Processes(harness.address)
    concurrent.test_one_order_explains_what_many_processes_were_answered(processes, make)
    concurrent.test_segments_and_cursors_mean_the_same_in_every_process(processes, driver, make)
    concurrent.test_what_processes_move_is_neither_lost_nor_made(processes, driver, make)
    concurrent.test_a_driver_from_before_a_fork_serves_parent_and_child(processes, make)
    assert processes.end() == ""
