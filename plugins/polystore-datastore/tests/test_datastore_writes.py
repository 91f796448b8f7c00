"""Reads, writes, bulk writes and commits on the Datastore stub."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from polystore.driver import (
    ANYTHING,
    NOTHING,
    Check,
    Committed,
    Condition,
    Consistency,
    OlderThan,
    Refused,
    Rejected,
    Stored,
    Unchanged,
    Write,
    Written,
)
from polystore.schema import Collection
from polystore_datastore.driver import DatastoreDriver
from polystore_datastore.messages import CommitRequest

Made = Callable[..., Collection]
pytestmark = pytest.mark.engine


def put(
    collection: Collection, name: str, condition: Condition = ANYTHING, n: int = 0, **beside: Any
) -> Write:
    beside.setdefault("write_id", f"w-{name}-{n}")
    return Write(collection, (name,), {"id": name, "n": n}, condition, **beside)


def read(driver: DatastoreDriver, collection: Collection, name: str) -> Stored | None:
    return driver.read(collection, [(name,)], Consistency.STRONG).records[0]


def found(driver: DatastoreDriver, collection: Collection, name: str) -> Stored:
    record = read(driver, collection, name)
    assert record is not None
    return record


def number(driver: DatastoreDriver, collection: Collection, name: str) -> Any:
    record = read(driver, collection, name)
    return None if record is None or record.fields is None else record.fields["n"]


def written(outcome: object) -> Any:
    assert isinstance(outcome, Written)
    return outcome.token


def kinds(outcomes: Sequence[object]) -> str:
    return "".join(type(outcome).__name__[0] for outcome in outcomes)


@pytest.mark.rule("DRV-1")
def test_a_read_reports_every_key_in_order(driver: DatastoreDriver, made: Made) -> None:
    things = made()
    for n in range(5):
        driver.write(put(things, f"k{n}", n=n))
    keys = [("k3",), ("none",), ("k0",), ("k4",)]
    for consistency in Consistency:
        reply = driver.read(things, keys, consistency)
        assert [r and r.key for r in reply.records] == [("k3",), None, ("k0",), ("k4",)]
        assert reply.unprocessed == ()
    assert driver.read(things, [], Consistency.STRONG).records == []


@pytest.mark.rule("DRV-1")
def test_what_the_service_defers_is_unprocessed(driver: DatastoreDriver, made: Made) -> None:
    things = made()
    names = [f"big{n}" for n in range(6)]
    for name in names:
        driver.write(Write(things, (name,), {"id": name, "body": b"x" * 900_000}))
    reply = driver.read(things, [(name,) for name in names], Consistency.STRONG)
    there = {n for n, record in enumerate(reply.records) if record is not None}
    assert reply.unprocessed
    assert there | set(reply.unprocessed) == set(range(6))
    assert not there & set(reply.unprocessed)


@pytest.mark.rule("DRV-2")
def test_a_write_returns_the_token_that_the_next_read_returns(
    driver: DatastoreDriver, made: Made
) -> None:
    things = made()
    for condition in (ANYTHING, OlderThan(5)):
        token = written(driver.write(put(things, "a", condition, n=1, stamp=4)))
        record = found(driver, things, "a")
        assert (record.token, record.stamp, record.write_id) == (token, 4, "w-a-1")
    token = written(driver.write(put(things, "a", Unchanged(token), n=2)))
    assert found(driver, things, "a").token == token


@pytest.mark.rule("DRV-2")
def test_insert_only_where_nothing_is_there_not_even_a_tombstone(
    driver: DatastoreDriver, made: Made
) -> None:
    things = made()
    assert isinstance(driver.write(put(things, "a", NOTHING, n=1)), Written)
    assert isinstance(driver.write(put(things, "a", NOTHING, n=2)), Refused)
    assert number(driver, things, "a") == 1
    driver.write(Write(things, ("dead",), None, write_id="t", stamp=3))
    assert isinstance(driver.write(put(things, "dead", NOTHING)), Refused)
    assert found(driver, things, "dead").fields is None


@pytest.mark.rule("DRV-2", "CON-2")
def test_a_changed_or_missing_record_refuses_its_token(driver: DatastoreDriver, made: Made) -> None:
    things = made()
    token = written(driver.write(put(things, "a", n=1)))
    driver.write(put(things, "a", n=2))
    cases: list[tuple[Any, int | None]] = [({"id": "a", "n": 9}, None), (None, None), (None, 7)]
    for fields, stamp in cases:
        write = Write(things, ("a",), fields, Unchanged(token), "x", stamp)
        assert isinstance(driver.write(write), Refused)
        gone = Write(things, ("gone",), fields, Unchanged(token), "x", stamp)
        assert isinstance(driver.write(gone), Refused)
    assert number(driver, things, "a") == 2


@pytest.mark.rule("DRV-2")
def test_a_token_is_refused_after_delete_and_insert(driver: DatastoreDriver, made: Made) -> None:
    things = made()
    token = written(driver.write(put(things, "a", n=1)))
    assert written(driver.write(Write(things, ("a",), None, Unchanged(token)))) is None
    driver.write(put(things, "a", NOTHING, n=1))
    assert isinstance(driver.write(put(things, "a", Unchanged(token), n=2)), Refused)


@pytest.mark.rule("REC-8")
def test_deletes(driver: DatastoreDriver, made: Made) -> None:
    things = made()
    for condition in (ANYTHING, NOTHING, OlderThan(3)):
        assert driver.write(Write(things, ("none",), None, condition)) == Written(None)
    driver.write(put(things, "a", stamp=5))
    assert isinstance(driver.write(Write(things, ("a",), None, NOTHING)), Refused)
    assert isinstance(driver.write(Write(things, ("a",), None, OlderThan(5))), Refused)
    assert driver.write(Write(things, ("a",), None, OlderThan(6))) == Written(None)
    assert read(driver, things, "a") is None


@pytest.mark.rule("MIR-1", "MIR-2")
def test_only_an_older_stamp_gives_way_and_a_refusal_tells_what_refused(
    driver: DatastoreDriver, made: Made
) -> None:
    things = made()
    driver.write(put(things, "plain", n=1, write_id=None))
    assert isinstance(driver.write(put(things, "plain", OlderThan(1), n=2, stamp=1)), Written)
    refused = driver.write(put(things, "plain", OlderThan(1), n=3, stamp=1))
    assert isinstance(refused, Refused)
    assert refused.told
    assert refused.current is not None
    assert (refused.current.stamp, refused.current.fields) == (1, {"id": "plain", "n": 2})


@pytest.mark.rule("DRV-2")
def test_writers_that_race_by_stamp_leave_the_greatest(driver: DatastoreDriver, made: Made) -> None:
    things = made()

    def race(start: int) -> None:
        for stamp in range(start, 24, 4):
            driver.write(put(things, "a", OlderThan(stamp), n=stamp, stamp=stamp))

    threads = [threading.Thread(target=race, args=(n,)) for n in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found(driver, things, "a").stamp == 23


@pytest.mark.rule("DRV-4")
def test_many_writes_have_an_outcome_each(driver: DatastoreDriver, made: Made) -> None:
    things, others = made(), made()
    there = written(driver.write(put(things, "there", n=1, stamp=5)))
    stale = there
    there = written(driver.write(put(things, "changed", n=1)))
    outcomes = driver.write_many(
        [
            put(things, "any"),
            put(things, "there", NOTHING),
            put(things, "new", NOTHING),
            put(things, "changed", Unchanged(there), n=2),
            put(others, "there", Unchanged(stale)),
            put(things, "older", OlderThan(3), stamp=3),
            Write(things, ("gone",), None, OlderThan(3), "t", 3),
            Write(things, ("nothing",), None),
        ]
    )
    assert kinds(outcomes) == "WRWWRWWW"
    assert outcomes[0] == Written(found(driver, things, "any").token)
    assert number(driver, things, "changed") == 2
    assert number(driver, things, "there") == 1
    assert found(driver, things, "gone").fields is None
    assert outcomes[7] == Written(None)
    assert driver.write_many([]) == []


@pytest.mark.rule("DRV-4", "MIR-1")
def test_many_by_stamp_refuse_what_is_as_new(driver: DatastoreDriver, made: Made) -> None:
    things = made()
    driver.write_many([put(things, f"k{n}", OlderThan(5), stamp=n % 8) for n in range(40)])
    outcomes = driver.write_many(
        [put(things, f"k{n}", OlderThan(5), n=1, stamp=5) for n in range(48)]
    )
    assert [isinstance(o, Written) for o in outcomes] == [n >= 40 or n % 8 < 5 for n in range(48)]
    assert all(o.told and o.current for o in outcomes if isinstance(o, Refused))


@pytest.mark.rule("DRV-4")
def test_many_inserts_find_those_that_exist(driver: DatastoreDriver, made: Made) -> None:
    things = made()
    driver.write_many([put(things, f"k{n}", NOTHING) for n in range(0, 600, 7)])
    outcomes = driver.write_many([put(things, f"k{n}", NOTHING, n=1) for n in range(600)])
    assert [isinstance(o, Refused) for o in outcomes] == [n % 7 == 0 for n in range(600)]


@pytest.mark.rule("DRV-4")
def test_many_large_writes_take_several_commits(driver: DatastoreDriver, made: Made) -> None:
    things = made()
    body = b"x" * 1_000_000
    writes = [Write(things, (f"b{n}",), {"id": f"b{n}", "body": body}) for n in range(9)]
    assert kinds(driver.write_many(writes)) == "W" * 9


@pytest.mark.rule("DRV-4")
def test_many_that_race_leave_one_winner_each(driver: DatastoreDriver, made: Made) -> None:
    things = made()
    results: dict[int, list[Any]] = {}

    def race(writer: int) -> None:
        results[writer] = driver.write_many(
            [put(things, f"k{n}", NOTHING, n=writer) for n in range(60)]
        )

    threads = [threading.Thread(target=race, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for n in range(60):
        winners = [w for w in results if isinstance(results[w][n], Written)]
        assert winners == [number(driver, things, f"k{n}")]


@pytest.mark.rule("DRV-3", "TX-2")
def test_a_commit_is_whole_across_collections(driver: DatastoreDriver, made: Made) -> None:
    things, others = made(), made(["a:str", "b:int"])
    token = written(driver.write(put(things, "a", n=1)))
    other = Write(others, ("x", -5), {"a": "x", "b": -5}, NOTHING, "w1")
    done = driver.commit(
        [put(things, "a", Unchanged(token), n=2), other, Write(things, ("none",), None)],
        [Check(things, ("free",), NOTHING)],
    )
    assert isinstance(done, Committed)
    assert done.tokens[0] == found(driver, things, "a").token
    assert done.tokens[2] is None
    again = driver.commit([put(things, "b", NOTHING), other], [])
    assert again == Rejected(())
    assert read(driver, things, "b") is None


@pytest.mark.rule("DRV-3")
def test_a_false_check_rejects_and_a_true_one_changes_nothing(
    driver: DatastoreDriver, made: Made
) -> None:
    things = made()
    token = written(driver.write(put(things, "a", n=1)))
    old = token
    good = [Check(things, ("a",), Unchanged(token)), Check(things, ("free",), NOTHING)]
    assert driver.commit([], good) == Committed(())
    assert driver.commit([], []) == Committed(())
    assert found(driver, things, "a").token == token
    assert number(driver, things, "a") == 1
    driver.write(put(things, "a", n=2))
    for check in (
        Check(things, ("a",), Unchanged(old)),
        Check(things, ("a",), NOTHING),
        Check(things, ("free",), Unchanged(old)),
    ):
        assert isinstance(driver.commit([put(things, "b")], [check]), Rejected)
        assert isinstance(driver.commit([], [check]), Rejected)
    assert read(driver, things, "b") is None


@pytest.mark.rule("DRV-3", "MIR-1")
def test_a_commit_by_stamp(driver: DatastoreDriver, made: Made) -> None:
    things = made()
    driver.write(put(things, "new", stamp=9))
    rejected = driver.commit(
        [put(things, "a", OlderThan(5), stamp=5), put(things, "new", OlderThan(9), stamp=9)],
        [Check(things, ("free",), NOTHING)],
    )
    assert isinstance(rejected, Rejected)
    assert [bool(refusal) for refusal in rejected.refusals] == [False, True, False]
    assert read(driver, things, "a") is None
    done = driver.commit([put(things, "new", OlderThan(10), n=10, stamp=10)], [])
    assert isinstance(done, Committed)
    assert found(driver, things, "new").token == done.tokens[0]


@pytest.mark.rule("VAL-10", "PLC-4")
def test_entities_of_another_program_are_read_and_replaced(driver: DatastoreDriver) -> None:
    orders = Collection(
        "orders",
        ["customer:str", "order:int"],
        placements={"datastore": {"path": "NativeCustomer/{customer}/NativeOrder/{order}"}},
    )
    request = driver._connection.request(CommitRequest)
    request.mode = 2
    entity = request.mutations.add().upsert
    entity.key.partition_id.project_id = "polystore-test"
    entity.key.path.add(kind="NativeCustomer", name="c1")
    entity.key.path.add(kind="NativeOrder", id=17)
    entity.properties["total"].double_value = 1.5
    entity.properties["note"].string_value = "x" * 3000
    entity.properties["note"].exclude_from_indexes = True
    driver._connection.commit(request)
    record = driver.read(orders, [("c1", 17)], Consistency.STRONG).records[0]
    assert record is not None
    assert record.write_id is None
    fields: dict[str, Any] = {"customer": "c1", "order": 17, "total": 1.5, "note": "x" * 3000}
    assert record.fields == fields
    new = {**fields, "total": 2.0}
    outcome = driver.write(Write(orders, ("c1", 17), new, Unchanged(record.token)))
    assert isinstance(outcome, Written)
    assert driver.describe(orders).problems == ()
    driver.drop(orders)


@pytest.mark.rule("CAP-9", "CAP-3")
def test_more_values_than_a_record_may_have_in_indexes(driver: DatastoreDriver, made: Made) -> None:
    """Datastore refuses over 20,000 index entries; indexes that nobody declared give way before."""
    things = made(indexes={"by_state": ["state"]})
    lists: dict[str, Any] = {f"l{i}": list(range(1000)) for i in range(20)}
    fields = {"id": "k", "state": list(range(1000)), **lists}
    written(driver.write(Write(things, ("k",), fields, write_id="w")))
    assert found(driver, things, "k").fields == fields
