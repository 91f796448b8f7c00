"""Many threads and processes on few records: one order for each record explains all answers."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier
from typing import Any

import pytest

from polystore.capabilities import Freshness, Scope
from polystore.driver import (
    Check,
    Committed,
    Consistency,
    Driver,
    OlderThan,
    Segment,
    Unchanged,
    Unprocessed,
    Write,
    Written,
)
from polystore.errors import Contention, OutcomeUnknown, Throttled
from polystore.queries import QueryPlan
from polystore.testing.child import Processes
from polystore.testing.harness import Address
from polystore.testing.history import Operation, check
from polystore.testing.suite.calls import (
    WRITINGS,
    Make,
    answer,
    attempt,
    committed,
    delete,
    fields_of,
    fill,
    found,
    put,
    refusal_of,
    scanned,
    told_of,
    written,
)
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
    Scans,
    amount_of,
)
from polystore.values import Key

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


@pytest.mark.rule("CON-3", "DRV-2", "DRV-10")
@pytest.mark.parametrize("condition", ["unchanged", "older than"])
def test_of_two_who_saw_one_state_at_most_one_writes(
    driver: Driver, another: Driver, make: Make, condition: str
) -> None:
    """One replaces the record, and one deletes it: the delete takes no newer record away."""
    things = make()
    start = Barrier(2)

    def send(opened: Driver, write: Write) -> bool:
        start.wait()
        return isinstance(attempt(opened, write), Written)

    for turn in range(8):
        key: Key = (f"k{turn}",)
        token = written(driver, put(things, key, stamp=1, v=0))
        held = Unchanged(token) if condition == "unchanged" else OlderThan(2)
        newer, gone = put(things, key, held, stamp=2, v=1), delete(things, key, held)
        with ThreadPoolExecutor(2) as pool:
            wrote, removed = pool.map(send, (driver, another), (newer, gone))
        there = found(driver, things, key)
        if condition == "unchanged":
            assert not (wrote and removed)
        if wrote:  # it came last, or the delete saw it
            assert there is not None
            assert there.write_id == newer.write_id


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


@pytest.mark.rule("DRV-10", "DRV-1", "DRV-4", "DRV-5")
def test_threads_of_one_driver_get_each_its_own_answers(driver: Driver, make: Make) -> None:
    """Whatever they ask at once: each writes, reads, queries and scans a partition of its own."""
    things = make(["p", "s:int"], indexes={"by_p": ["of"]})
    transactional = driver.capabilities(things).transactions.scope is Scope.STORE
    strong = driver.capabilities(things).reads.index is Freshness.STRONG
    start = Barrier(THREADS)

    def work(number: int) -> None:
        mine = f"p{number}"
        keys: list[Key] = [(mine, n) for n in range(4)]
        start.wait()
        for turn in range(3):
            writes = [put(things, key, of=mine, n=turn) for key in keys]
            fill(driver, writes[:2])
            if transactional:
                committed(driver, writes[2:])
            else:
                fill(driver, writes[2:])
            ways = [driver.read(things, keys, Consistency.STRONG).records]
            ways.append([r for r in scanned(driver, things, None, 7) if r.key[0] == mine])
            ways.append([*answer(driver, things, QueryPlan(None, (mine,)), 3)])
            if strong:
                ways.append([*answer(driver, things, QueryPlan(things.index("by_p"), (mine,)), 3)])
            for way in ways:
                fields = [(r.key, r.fields and (r.fields["of"], r.fields["n"])) for r in way if r]
                assert sorted(fields) == [(key, (mine, turn)) for key in keys]

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(work, range(THREADS)))


@pytest.mark.rule("DRV-7", "DRV-10", "DRV-17")
@pytest.mark.parametrize("together", WRITINGS[1:])
def test_writers_of_the_same_records_in_other_orders_give_way_or_write(
    driver: Driver, another: Driver, make: Make, together: str
) -> None:
    """Where the database has them wait for each other, it says that it gave way."""
    things = make()
    keys: list[Key] = [(f"k{n}",) for n in range(6)]
    atomic = together == "in a commit"

    def work(number: int) -> None:
        opening = (driver, another)[number % 2]
        for turn in range(4):
            order = keys if (number // 2 + turn) % 2 else keys[::-1]
            writes = [put(things, key, v=number) for key in order]
            call = (
                partial(opening.commit, writes, [])
                if atomic
                else partial(opening.write_many, writes)
            )
            told: Any = told_of(opening, call)
            parts = told if isinstance(told, list) else [told]
            for part in parts:
                assert isinstance(part, Written | Committed | Unprocessed | Contention | Throttled)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    if atomic:
        values = [fields_of(driver, things, key) for key in keys]
        assert len({fields and fields["v"] for fields in values}) == 1


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


@pytest.mark.about_what_is_stored
@pytest.mark.needs("address")
@pytest.mark.rule("DRV-6", "DRV-24", "BF-3")
def test_segments_and_cursors_mean_the_same_in_every_process(
    processes: Processes, driver: Driver, make: Make
) -> None:
    """Each process scans a segment, and another goes on from its cursor."""
    things = make()
    keys: list[Key] = [(f"k{n:02}",) for n in range(60)]
    fill(driver, [put(things, key) for key in keys])
    parts = [Segment(n, PROCESSES) for n in range(PROCESSES)]
    begun = processes.do([Scans(things, part, most=1) for part in parts])
    ways = [Scans(things, part, at) for part, (_, at) in zip(parts, begun, strict=True)]
    ended = processes.do(ways[1:] + ways[:1])
    seen = [key for keys, _ in begun + ended for key in keys]
    assert sorted(seen) == keys


@pytest.mark.needs("address")
@pytest.mark.rule("DRV-21")
@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
def test_a_driver_from_before_a_fork_serves_parent_and_child(
    processes: Processes, make: Make
) -> None:
    assert processes.do([Forks(make(), FORK_TURNS)]) == [FORK_TURNS]
