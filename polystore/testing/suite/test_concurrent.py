"""Many threads and processes on few records: one order for each record explains all answers."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from polystore.driver import (
    Check,
    Committed,
    Consistency,
    Driver,
    Unchanged,
)
from polystore.errors import Contention, OutcomeUnknown, Throttled
from polystore.testing.child import Processes
from polystore.testing.harness import Address
from polystore.testing.history import Operation, check
from polystore.testing.suite.calls import Make, fields_of, put, refusal_of, told_of, written
from polystore.testing.suite.clients import (
    ACCOUNTS,
    EACH,
    KEYS,
    Asks,
    Client,
    Counted,
    Counts,
    Forks,
    Moves,
    amount_of,
)

THREADS = 6
TURNS = 12
PROCESSES = 3
PROCESS_TURNS = 60
MEETINGS = 60
"""So often a process must have come between what another read and what it wrote."""
ROUNDS = 6
FORK_TURNS = 20


@pytest.mark.rule("DRV-1", "DRV-2", "DRV-10", "CON-3", "REC-8")
@pytest.mark.parametrize("seed", range(3))
def test_one_order_explains_what_many_threads_were_answered(
    driver: Driver, another: Driver, make: Make, seed: int
) -> None:
    things = make()
    history: list[Operation] = []
    clients = [
        Client((driver, another)[n % 2], things, f"thread {n}", history) for n in range(THREADS)
    ]
    with ThreadPoolExecutor(THREADS) as pool:
        for future in [
            pool.submit(client.work, 100 * seed + n, TURNS) for n, client in enumerate(clients, 1)
        ]:
            future.result()
    assert check(history) > THREADS * TURNS // 2


@pytest.mark.claims("transactions over the store")
@pytest.mark.rule("DRV-3", "DRV-10", "TX-4")
def test_what_is_read_together_was_there_together(
    driver: Driver, another: Driver, make: Make
) -> None:
    """Two records have one value; whoever reads both and commits a check of both, saw one state."""
    things = make()
    left, right = KEYS
    driver.commit([put(things, key, v=0) for key in KEYS], [])
    odd: list[tuple[object, object]] = []

    def changes(value: int) -> None:
        opened = (driver, another)[value % 2]
        writes = [put(things, key, v=value) for key in KEYS]
        error = refusal_of(opened, lambda: opened.commit(writes, []))
        assert error is None or isinstance(error, Contention | Throttled | OutcomeUnknown)

    def looks(number: int) -> None:
        opened = (driver, another)[number % 2]
        one, two = opened.read(things, [left, right], Consistency.STRONG).records
        assert one is not None
        assert two is not None
        checks = [Check(things, s.key, Unchanged(s.token)) for s in (one, two)]
        told = told_of(opened, lambda: opened.commit([], checks))
        assert one.fields is not None
        assert two.fields is not None
        if isinstance(told, Committed) and one.fields["v"] != two.fields["v"]:
            odd.append((one.fields["v"], two.fields["v"]))

    with ThreadPoolExecutor(THREADS) as pool:
        waiting = [pool.submit(changes if n % 3 == 0 else looks, n) for n in range(1, 8 * THREADS)]
        for future in waiting:
            future.result()
    assert odd == []


@pytest.fixture(scope="session")
def processes(address: Address) -> Iterator[Processes]:
    """Others that have the database open."""
    made = Processes(address)
    yield made
    made.end()


@pytest.mark.about_what_is_stored
@pytest.mark.needs("address")
@pytest.mark.rule("DRV-20", "DRV-1", "DRV-2", "CON-3")
def test_one_order_explains_what_many_processes_were_answered(
    processes: Processes, make: Make
) -> None:
    things = make()
    told = processes.do([Asks(things, n, PROCESS_TURNS) for n in range(1, PROCESSES + 1)])
    assert check(operation for history in told for operation in history) > PROCESS_TURNS


@pytest.mark.about_what_is_stored
@pytest.mark.needs("address")
@pytest.mark.rule("DRV-20", "DRV-1", "DRV-2", "CON-3")
def test_what_processes_count_is_counted_once(
    processes: Processes, driver: Driver, make: Make
) -> None:
    """They go on until they have often enough met: a busy machine lets them take turns."""
    things, counter = make(), KEYS[0]
    written(driver, put(things, counter, n=0))
    told: list[Counted] = []
    while len(told) < PROCESSES * ROUNDS and sum(one.refused for one in told) < MEETINGS:
        told += processes.do([Counts(things, counter, PROCESS_TURNS)] * PROCESSES)
    done, unknown = (sum(getattr(one, name) for one in told) for name in ("done", "unknown"))
    assert done <= amount_of(fields_of(driver, things, counter)) <= done + unknown


@pytest.mark.about_what_is_stored
@pytest.mark.needs("address")
@pytest.mark.claims("transactions over the store")
@pytest.mark.rule("DRV-20", "DRV-3", "TX-4")
def test_what_processes_move_is_neither_lost_nor_made(
    processes: Processes, driver: Driver, make: Make
) -> None:
    things = make()
    for key in ACCOUNTS:
        written(driver, put(things, key, n=EACH))
    told = processes.do([Moves(things, n, PROCESS_TURNS) for n in range(1, PROCESSES + 1)])
    assert [odd for seen in told for odd in seen.odd] == []
    amounts = [amount_of(fields_of(driver, things, key)) for key in ACCOUNTS]
    assert sum(amounts) == EACH * len(ACCOUNTS)
    assert sum(seen.moved for seen in told) > 0


@pytest.mark.needs("address")
@pytest.mark.rule("DRV-21")
@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
def test_a_driver_from_before_a_fork_serves_parent_and_child(
    processes: Processes, make: Make
) -> None:
    assert processes.do([Forks(make(), FORK_TURNS)]) == [FORK_TURNS]
