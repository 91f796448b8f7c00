"""What is made, described, dropped; what is not there; what is closed."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from functools import partial
from threading import Barrier
from typing import Any

import pytest

from polystore.capabilities import Scope
from polystore.driver import (
    NOTHING,
    Check,
    Committed,
    Consistency,
    Driver,
    Refused,
    Segment,
    Unchanged,
    Unprocessed,
    Written,
)
from polystore.errors import ConfigError, OutcomeUnknown, Unavailable
from polystore.queries import QueryPlan
from polystore.schema import Collection
from polystore.testing.harness import Harness
from polystore.testing.suite.calls import (
    Make,
    answer,
    delete,
    error_of,
    fields_of,
    fill,
    found,
    fresh,
    put,
    scanned,
    told_of,
    written,
)
from polystore.values import Key

Call = Callable[[Driver, Collection], object]
CALLS: dict[str, Call] = {
    "read": lambda driver, things: driver.read(things, [("k",)], Consistency.STRONG),
    "read-many": lambda driver, things: driver.read(things, [("k",), ("l",)], Consistency.EVENTUAL),
    "write": lambda driver, things: driver.write(put(things, ("k",), NOTHING, state="s")),
    "write-many": lambda driver, things: driver.write_many(
        [put(things, ("k",), NOTHING, state="s"), put(things, ("l",), NOTHING, state="s")]
    ),
    "commit": lambda driver, things: driver.commit(
        [put(things, ("k",), state="s")], [Check(things, ("l",), NOTHING)]
    ),
    "query": lambda driver, things: driver.query(things, QueryPlan(None, ("k",)), None, 10),
    "index": lambda driver, things: driver.query(
        things, QueryPlan(things.index("by_state"), ("s",)), None, 10
    ),
    "scan": lambda driver, things: driver.scan(things, Segment(), None, 10),
    "segment": lambda driver, things: driver.scan(things, Segment(1, 2), None, 10),
}
PROVISIONING: dict[str, Call] = {
    "create": lambda driver, things: driver.create(things),
    "drop": lambda driver, things: driver.drop(things),
    "describe": lambda driver, things: driver.describe(things),
    "native": lambda driver, things: driver.native(things),
}
STATE = {"by_state": ["state"]}


def calls_of(driver: Driver, things: Collection) -> dict[str, Call]:
    """The calls about records; a driver without transactions refuses a commit as such."""
    claimed = driver.capabilities(things).transactions.scope
    return {
        name: call for name, call in CALLS.items() if name != "commit" or claimed is Scope.STORE
    }


@pytest.fixture(scope="module")
def needless(driver: Driver, declare: Make) -> bool:
    """Whether nothing has to be made: then every collection is there, as ``describe`` says."""
    return driver.describe(declare()).exists


@pytest.mark.rule("PLC-3", "DRV-9")
def test_create_describe_drop(
    driver: Driver, another: Driver, declare: Make, needless: bool
) -> None:
    things = declare(["p", "s:int"], indexes=STATE)
    assert driver.describe(things).exists == needless
    driver.create(things)
    for opening in (driver, another):
        description = opening.describe(things)
        assert (description.exists, description.problems) == (True, ())
    written(another, put(things, ("p", 1), state="s"))
    driver.drop(things)
    assert another.describe(things).exists == needless


@pytest.mark.rule("PLC-3")
def test_create_leaves_what_is_there(driver: Driver, another: Driver, make: Make) -> None:
    things = make(indexes=STATE)
    token = written(driver, put(things, ("k",), state="s", n=1))
    for opening in (driver, another):
        opening.create(things)
        record = found(driver, things, ("k",))
        assert record is not None
        assert record.token == token
    assert driver.describe(things).problems == ()


@pytest.mark.rule("PLC-3")
def test_drop_removes_one_collection_with_all_its_records(driver: Driver, make: Make) -> None:
    things, others = make(["p", "s:int"], indexes=STATE), make(["p", "s:int"], indexes=STATE)
    for collection in (things, others):
        fill(driver, [put(collection, ("p", n), stamp=1, state="s") for n in range(30)])
    driver.drop(things)
    driver.drop(things)
    driver.create(things)
    assert found(driver, things, ("p", 1)) is None
    assert answer(driver, things, QueryPlan(None, ("p",))) == []
    assert answer(driver, things, QueryPlan(things.index("by_state"), ("s",))) == []
    assert scanned(driver, things) == []
    assert len(scanned(driver, others)) == 30
    written(driver, put(things, ("p", 1), NOTHING, state="s"))


@pytest.mark.rule("PLC-3", "DRV-10")
def test_a_collection_that_many_make_at_once_is_made(
    driver: Driver, another: Driver, declare: Make
) -> None:
    for _ in range(2):
        things = declare(indexes=STATE)
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(partial(create_with, Barrier(4), things), [driver, another] * 2))
        assert driver.describe(things).problems == ()
        written(another, put(things, ("k",), state="s"))
        assert fields_of(driver, things, ("k",)) == {"id": "k", "state": "s"}
        driver.drop(things)


def create_with(others: Barrier, things: Collection, opening: Driver) -> None:
    """Make a collection when all the others do."""
    others.wait()
    opening.create(things)


@pytest.mark.rule("PLC-3", "DRV-7", "REC-5")
def test_what_another_drops_is_gone_and_what_it_makes_again_is_another(
    driver: Driver, another: Driver, make: Make, needless: bool
) -> None:
    """Also for who knew the collection: he sees nothing of it, and no token of it holds again."""
    things = make(indexes=STATE)
    for _ in range(2):
        token = written(driver, put(things, ("k",), state="s"))
        for opening in (driver, another):
            assert fields_of(opening, things, ("k",)) == {"id": "k", "state": "s"}
        another.drop(things)
        if not needless:
            for name, call in calls_of(driver, things).items():
                error = error_of(driver, partial(call, driver, things))
                assert isinstance(error, ConfigError), name
        another.create(things)
        assert found(driver, things, ("k",)) is None
        assert isinstance(driver.write(put(things, ("k",), Unchanged(token))), Refused)
        renewed = written(driver, put(things, ("k",), state="s"))
        assert renewed != token
        assert isinstance(driver.write(delete(things, ("k",), Unchanged(token))), Refused)


@pytest.mark.rule("PLC-3", "ERR-5", "DRV-7")
def test_a_collection_that_is_not_there_is_never_made_by_surprise(
    driver: Driver, declare: Make, needless: bool
) -> None:
    things = declare(indexes=STATE)
    for name, call in calls_of(driver, things).items():
        if needless:
            call(driver, things)
            continue
        error = error_of(driver, partial(call, driver, things))
        assert isinstance(error, ConfigError), name
        assert "create" in error.message
        assert driver.describe(things).exists is False


@pytest.mark.claims("transactions over the store")
@pytest.mark.rule("DRV-3", "PLC-3")
@pytest.mark.parametrize("order", [1, -1], ids=["last", "first"])
def test_a_commit_into_what_is_not_there_writes_nothing(
    driver: Driver, make: Make, declare: Make, needless: bool, order: int
) -> None:
    things, absent = make(), declare()
    writes = [put(things, ("k",)), put(absent, ("k",))][::order]
    told = told_of(driver, lambda: driver.commit(writes, []))
    assert isinstance(told, Committed if needless else ConfigError)
    assert (found(driver, things, ("k",)) is not None) == needless
    driver.drop(absent)


@pytest.mark.rule("DRV-9", "PLC-5")
@pytest.mark.parametrize("other", [["id:int"], ["key"], ["id", "more:int"]], ids=str)
def test_another_key_than_is_there_is_described(
    driver: Driver, harness: Harness, make: Make, other: list[str], needless: bool
) -> None:
    things = make(["id"])
    written(driver, put(things, ("k",)))
    declared = harness.placed(Collection(things.name, other))
    description = driver.describe(declared)
    assert description.exists
    # Where nothing is made, nothing has to know the names of key fields.
    assert description.problems or (needless and other == ["key"])


@pytest.mark.rule("DRV-9", "PLC-3")
def test_an_index_that_is_not_there_is_described_and_made(
    driver: Driver, harness: Harness, make: Make, needless: bool
) -> None:
    plain = make()
    written(driver, put(plain, ("k",), state="s"))
    things = harness.placed(Collection(plain.name, ["id"], indexes=STATE))
    if not needless:
        assert driver.describe(things).problems
        error = error_of(driver, lambda: CALLS["index"](driver, things))
        assert isinstance(error, ConfigError)
    driver.create(things)
    assert driver.describe(things).problems == ()
    written(driver, put(things, ("l",), state="s"))
    harness.settle()
    keys = [r.key for r in answer(driver, things, QueryPlan(things.index("by_state"), ("s",)))]
    assert ("l",) in keys


@pytest.mark.rule("PLC-3")
def test_records_are_found_by_all_openings(
    driver: Driver, another: Driver, harness: Harness, make: Make
) -> None:
    """One opening declares it as the other did, in an object of its own."""
    things = make(indexes=STATE)
    same = harness.placed(Collection(things.name, ["id"], indexes=STATE))
    written(driver, put(things, ("k",), state="s"))
    harness.settle()
    assert fields_of(another, same, ("k",)) == {"id": "k", "state": "s"}
    plan = QueryPlan(same.index("by_state"), ("s",))
    assert [r.key for r in answer(another, same, plan)] == [("k",)]


@pytest.mark.rule("DRV-11", "DRV-7", "ERR-1")
def test_a_closed_driver_is_unavailable(driver: Driver, harness: Harness, make: Make) -> None:
    things = make(indexes=STATE)
    opened = harness.open()
    for name in ("read", "query", "index", "scan"):
        CALLS[name](opened, things)
    opened.describe(things)  # what it knows is known no more
    opened.close()
    opened.close()
    calls: dict[str, Any] = {**calls_of(driver, things), **PROVISIONING}
    told = {name: raised_by(opened, things, call) for name, call in calls.items()}
    assert {name for name, kind in told.items() if kind is not Unavailable} == set()
    assert scanned(driver, things) == []


def raised_by(driver: Driver, things: Collection, call: Call) -> type[Exception] | None:
    """What a call raises, or says of each of many writes that it did not process."""
    try:
        outcome = call(driver, things)
    except Exception as error:  # noqa: BLE001  # whatever the database raises
        return type(driver.translate(error))
    many = outcome if isinstance(outcome, list) else []
    kinds = {type(o.error) if isinstance(o, Unprocessed) else None for o in many}
    return kinds.pop() if len(kinds) == 1 else None


@pytest.mark.rule("DRV-11", "DRV-10", "WR-9")
def test_closing_beneath_running_calls_takes_nothing_acknowledged_away(
    driver: Driver, harness: Harness, make: Make
) -> None:
    close_beneath(driver, harness.open, make(), rounds=4)


def close_beneath(
    driver: Driver, opening: Callable[[], Driver], things: Collection, rounds: int
) -> None:
    """Three threads write until they are refused; the process lives, and all of theirs is there."""

    def write_on(opened: Driver, thread: int) -> list[Key]:
        done: list[Key] = []
        while True:
            key = (f"{len(done)} of {thread} {fresh()}",)
            try:
                assert isinstance(opened.write(put(things, key)), Written)
                opened.read(things, [key], Consistency.STRONG)
            except Exception as error:  # noqa: BLE001  # whatever the database raises
                told = opened.translate(error)
                assert isinstance(told, (Unavailable, OutcomeUnknown)), told
                return done
            done.append(key)

    with ThreadPoolExecutor(3) as pool:
        for number in range(rounds):
            opened = opening()
            threads = [pool.submit(write_on, opened, thread) for thread in range(3)]
            wait(threads, timeout=number % 10 / 1000)
            opened.close()
            done = [key for thread in threads for key in thread.result()]
            assert [key for key in done if found(driver, things, key) is None] == []


@pytest.mark.rule("DRV-11")
def test_a_driver_that_never_called_anybody_can_be_closed(harness: Harness, make: Make) -> None:
    things = make(indexes=STATE)
    opened = harness.open()
    opened.close()
    error = error_of(opened, lambda: CALLS["read"](opened, things))
    assert isinstance(error, Unavailable)
