"""What only SQLite has: a file that forks, other programs and other releases share."""

from __future__ import annotations

import os
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

import polystore
from polystore.capacity import Capacity
from polystore.config import Config
from polystore.driver import ANYTHING, NOTHING, Consistency, Driver, Segment, Stored, Write
from polystore.drivers.sqlite import open_sqlite
from polystore.errors import ConfigError, Unavailable, Unsupported
from polystore.plugin.specs import DriverURL
from polystore.queries import QueryPlan
from polystore.schema import Collection
from polystore.testing.suite.test_provisioning import close_beneath
from polystore.values import Fields

THINGS = Collection("things", key=["id:int"])
Open = Callable[[], Driver]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file.db"


@pytest.fixture
def open_file(path: Path) -> Iterator[Open]:
    """Opens the file; every opening is closed in the end."""
    opened: list[Driver] = []

    def opening() -> Driver:
        opened.append(open_sqlite(DriverURL("sqlite", f"/{path}", {"timeout": "10"})))
        return opened[-1]

    yield opening
    for driver in opened:
        driver.close()


def run(path: Path, script: str) -> None:
    """What another program does to the file."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.executescript(script)


def get(driver: Driver, number: int, collection: Collection = THINGS) -> Stored | None:
    return driver.read(collection, [(number,)], Consistency.STRONG).records[0]


def fields(driver: Driver, number: int) -> Fields | None:
    stored = get(driver, number)
    assert stored is not None
    return stored.fields


def put(driver: Driver, number: int, mark: str, **rest: object) -> None:
    record: Fields = {"id": number, **rest}  # type: ignore[dict-item]  # portable, by the caller
    driver.write(Write(THINGS, (number,), record, ANYTHING, write_id=mark))


@pytest.mark.rule("DRV-12", "WR-9")
@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
def test_writes_of_a_forked_child_outlive_its_parents_closing(path: Path, open_file: Open) -> None:
    driver = open_file()
    driver.create(THINGS)
    put(driver, 0, "parent")
    wrote, closed = os.pipe(), os.pipe()
    child = os.fork()
    if not child:
        try:
            put(driver, 1, "child-1")
            os.write(wrote[1], b".")
            os.read(closed[0], 1)
            for number in range(2, 20):
                put(driver, number, f"child-{number}")
        finally:
            os._exit(0)
    os.read(wrote[0], 1)
    driver.close()
    os.write(closed[1], b".")
    os.waitpid(child, 0)
    for end in (*wrote, *closed):
        os.close(end)
    records = open_file().scan(THINGS, Segment(), None, 100).records
    assert [record.key for record in records] == [(number,) for number in range(20)]


@pytest.mark.rule("DRV-10", "DRV-12")
@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
def test_a_fork_waits_for_running_calls_and_both_go_on(open_file: Open) -> None:
    driver = open_file()
    driver.create(THINGS)
    stop = threading.Event()
    failures: list[Exception] = []

    def write_on(first: int) -> None:
        number = first
        try:
            while not stop.is_set():
                put(driver, number, f"t{number}")
                number += 10
        except Exception as error:  # noqa: BLE001  # whatever it is, the test shows it
            failures.append(error)

    threads = [threading.Thread(target=write_on, args=(first,)) for first in range(2)]
    for thread in threads:
        thread.start()
    codes = []
    for number in (1_000_005, 1_000_006, 1_000_007):
        child = os.fork()
        if not child:
            try:
                put(driver, number, f"child-{number}")
                os._exit(0 if get(driver, number) else 3)
            finally:
                os._exit(4)
        codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    stop.set()
    for thread in threads:
        thread.join()
    assert (codes, failures) == ([0, 0, 0], [])
    assert all(get(driver, number) for number in (1_000_005, 1_000_006, 1_000_007))


@pytest.mark.rule("VAL-10")
def test_generated_columns_are_no_fields_and_shift_nothing(path: Path, open_file: Open) -> None:
    run(
        path,
        "CREATE TABLE things (id INTEGER PRIMARY KEY, a INT, twice INT AS (a * 2), b TEXT, "
        "thrice INT AS (a * 3) STORED); INSERT INTO things (id, a, b) VALUES (1, 7, 'bee');",
    )
    driver = open_file()
    assert fields(driver, 1) == {"id": 1, "a": 7, "b": "bee"}
    driver.create(THINGS)
    put(driver, 1, "m", a=8, b="cee", c="dee")
    assert fields(driver, 1) == {"id": 1, "a": 8, "b": "cee", "c": "dee"}


@pytest.mark.rule("DRV-12", "DRV-1")
def test_columns_that_another_process_adds_are_seen_by_the_next_read(
    path: Path, open_file: Open
) -> None:
    run(path, "CREATE TABLE things (id INTEGER PRIMARY KEY, a); INSERT INTO things VALUES (1, 7)")
    early, later = open_file(), open_file()
    assert fields(early, 1) == {"id": 1, "a": 7}
    later.create(THINGS)
    put(later, 1, "m1", a=7, extra="x")
    later.write(Write(THINGS, (2,), None, ANYTHING, write_id="m2", stamp=5))
    assert fields(early, 1) == {"id": 1, "a": 7, "extra": "x"}
    tombstone = get(early, 2)
    assert tombstone is not None
    assert (tombstone.fields, tombstone.stamp) == (None, 5)


@pytest.mark.rule("DRV-12", "DRV-3")
def test_a_commit_sees_that_its_second_table_changed(open_file: Open) -> None:
    plain = Collection("others", key=["id:int"])
    early, later = open_file(), open_file()
    for collection in (THINGS, plain):
        early.create(collection)
        get(early, 1, collection)
    indexed = Collection("others", key=["id:int"], indexes={"by_a": ["a"]})
    later.create(indexed)
    writes = [Write(c, (1,), {"id": 1, "a": "x"}, NOTHING, write_id="m") for c in (THINGS, plain)]
    early.commit(writes, [])
    plan = QueryPlan(indexed.index("by_a"), ("x",))
    assert [r.key for r in later.query(indexed, plan, None, 10).records] == [(1,)]


@pytest.mark.rule("DRV-7", "DRV-12")
def test_a_refused_commit_leaves_the_connection_usable(path: Path, open_file: Open) -> None:
    run(
        path,
        "CREATE TABLE owners (id INTEGER PRIMARY KEY); "
        "CREATE TABLE things (id INTEGER PRIMARY KEY, owner REFERENCES owners (id) "
        "DEFERRABLE INITIALLY DEFERRED)",
    )
    driver = open_file()
    driver.create(THINGS)
    driver.native().execute("PRAGMA foreign_keys = ON")
    orphan = Write(THINGS, (1,), {"id": 1, "owner": 55}, NOTHING, write_id="m1")
    with pytest.raises(sqlite3.IntegrityError):
        driver.write(orphan)
    assert get(driver, 1) is None
    driver.write(Write(THINGS, (2,), {"id": 2, "owner": None}, NOTHING, write_id="m2"))
    assert fields(driver, 2) == {"id": 2, "owner": None}


@pytest.mark.rule("DRV-7")
def test_a_full_disk_is_told_as_such_and_over_when_there_is_room(open_file: Open) -> None:
    driver = open_file()
    driver.create(THINGS)
    driver.native().execute("PRAGMA max_page_count = 12")
    large = Write(THINGS, (1,), {"id": 1, "a": "x" * 200_000}, NOTHING, write_id="m1")
    with pytest.raises(sqlite3.OperationalError) as caught:
        driver.write(large)
    assert type(driver.translate(caught.value)) is Unavailable
    driver.native().execute("PRAGMA max_page_count = 100000")
    driver.write(large)
    assert get(driver, 1) is not None


@pytest.mark.rule("KEY-3", "ERR-5")
def test_a_database_whose_text_order_differs_is_refused(path: Path, open_file: Open) -> None:
    run(path, "PRAGMA encoding = 'UTF-16le'; CREATE TABLE things (id INTEGER PRIMARY KEY)")
    with pytest.raises(ConfigError, match="UTF-16le"):
        get(open_file(), 1)


@pytest.mark.rule("KEY-1", "VAL-10", "DRV-14")
@pytest.mark.parametrize("limit", [2, 3, 10])
@pytest.mark.parametrize("key", ["NULL", "'one'", "1.5"])
def test_a_row_with_a_key_of_another_type_is_told_and_hides_no_other(
    path: Path, open_file: Open, key: str, limit: int
) -> None:
    run(
        path,
        "CREATE TABLE things (id INT PRIMARY KEY, a);"
        f"INSERT INTO things VALUES (1, 7), ({key}, 7), (2, 7), (3, 7)",
    )
    driver = open_file()
    found, errors = set(), set()
    cursor: str | None = None
    while True:
        page = driver.scan(THINGS, Segment(), cursor, limit)
        found |= {stored.key for stored in page.records}
        errors |= {(u.key, type(u.error)) for u in page.unreadable}
        cursor = page.cursor
        if cursor is None:
            break
    assert found == {(1,), (2,), (3,)}
    assert errors == {((key.strip("'").replace("NULL", "None"),), ConfigError)}


@pytest.mark.rule("DRV-14")
def test_a_document_that_is_none_is_told_and_hides_no_other(path: Path, open_file: Open) -> None:
    driver = open_file()
    driver.create(THINGS)
    driver.write_many([Write(THINGS, (n,), {"id": n, "a": [n]}) for n in range(4)])
    column = _document_column(path)
    run(path, f"UPDATE things SET {column} = '{{' WHERE id = 2")
    page = driver.scan(THINGS, Segment(), None, 10)
    assert {stored.key for stored in page.records} == {(0,), (1,), (3,)}
    assert [found.key for found in page.unreadable] == [(2,)]
    with pytest.raises(type(page.unreadable[0].error)):
        page.whole()


def _document_column(path: Path) -> str:
    """The reserved column that holds what has no column of its own."""
    with closing(sqlite3.connect(path)) as connection:
        names = [row[1] for row in connection.execute("PRAGMA table_info(things)")]
        (row,) = connection.execute("SELECT * FROM things WHERE id = 1")
    return next(str(n) for n, v in zip(names, row, strict=True) if type(v) is str and v[:1] == "{")


@pytest.mark.rule("CON-3", "PLC-3")
def test_a_table_that_admits_a_key_twice_takes_no_put_until_created(
    path: Path, open_file: Open
) -> None:
    run(path, "CREATE TABLE things (id INT, a); INSERT INTO things VALUES (1, 7)")
    driver = open_file()
    assert fields(driver, 1) == {"id": 1, "a": 7}
    with pytest.raises(Unsupported, match="more than once"):
        driver.write(Write(THINGS, (1,), {"id": 1, "a": 8}, ANYTHING))
    driver.create(THINGS)
    put(driver, 1, "m", a=8)
    assert fields(driver, 1) == {"id": 1, "a": 8}
    assert driver.describe(THINGS).problems == ()


@pytest.mark.rule("PLC-3")
def test_a_table_that_is_complete_is_not_written_again(path: Path, open_file: Open) -> None:
    """Each process of a fleet may ask for it when it starts."""
    driver = open_file()
    things = Collection("things", ["id"], indexes={"by_n": ["n"]})
    driver.create(things)
    with closing(sqlite3.connect(path)) as other:
        before = other.execute("PRAGMA data_version").fetchone()
        driver.create(things)
        assert other.execute("PRAGMA data_version").fetchone() == before


@pytest.mark.rule("DRV-11", "DRV-10", "WR-9")
def test_a_file_that_is_closed_beneath_running_calls_again_and_again(open_file: Open) -> None:
    """SQLite crashes where a connection is closed that is in use."""
    driver, things = open_file(), Collection("things", ["id"])
    driver.create(things)
    close_beneath(driver, open_file, things, rounds=60)


@pytest.mark.rule("DRV-10")
def test_a_relative_path_stays_the_same_file_when_the_directory_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    driver = open_sqlite(DriverURL("sqlite", "/file.db", {}))
    driver.create(THINGS)
    put(driver, 1, "m")
    monkeypatch.chdir("/")
    found: list[Stored | None] = []
    thread = threading.Thread(target=lambda: found.append(get(driver, 1)))
    thread.start()
    thread.join()
    driver.close()
    assert [stored and stored.key for stored in found] == [(1,)]


@pytest.mark.rule("DRV-9", "DRV-7")
def test_a_view_is_no_collection(path: Path, open_file: Open) -> None:
    run(
        path, "CREATE TABLE rows (id INTEGER PRIMARY KEY); CREATE VIEW things AS SELECT * FROM rows"
    )
    with pytest.raises(ConfigError, match="is a view"):
        get(open_file(), 1)


@pytest.mark.rule("THR-4", "DRV-7")
def test_a_file_that_another_writer_has_asks_for_less(tmp_path: Path) -> None:
    """SQLITE_BUSY: a side with limits is halved, and the write is made once the file is free."""
    notes = Collection("notes", ["id"], overload="wait")
    config = Config(
        url=f"sqlite:///{tmp_path}/busy.db?timeout=0.01",
        collections={"notes": notes},
        capacity=Capacity(rate=1000),
    )
    with polystore.open(config) as store:
        store.create()
        counters = store._databases.counters
        other = sqlite3.connect(tmp_path / "busy.db", isolation_level=None, check_same_thread=False)
        other.execute("BEGIN IMMEDIATE")

        def free() -> None:
            while not counters.snapshot().get("throttled:database"):
                time.sleep(0.005)
            other.execute("ROLLBACK")
            other.close()

        thread = threading.Thread(target=free)
        thread.start()
        store["notes"].put({"id": "a"})
        thread.join()
        assert store["notes"].get("a") is not None
        assert counters.snapshot()["throttled:database"] >= 1
        assert store._databases._limiter.rate(time.monotonic()) < 600


@pytest.mark.rule("ERR-5")
@pytest.mark.parametrize("seconds", ["-1", "3601", "nan", "soon"])
def test_a_wait_for_another_writer_is_at_most_an_hour(tmp_path: Path, seconds: str) -> None:
    with pytest.raises(ConfigError, match="from 0 to 3600"):
        open_sqlite(DriverURL("sqlite", f"/{tmp_path}/a.db", {"timeout": seconds}))
    for taken in ("0", ".5", "1e1", "3600"):
        open_sqlite(DriverURL("sqlite", f"/{tmp_path}/a.db", {"timeout": taken})).close()
