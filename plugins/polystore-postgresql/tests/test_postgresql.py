"""What the suite does not see of this driver: its URL, its errors, its documents, its processes."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import closing
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polystore.driver import (
    ANYTHING,
    NOTHING,
    Check,
    Committed,
    Consistency,
    Driver,
    Unchanged,
    Write,
    Written,
)
from polystore.driver.faults import NotSent
from polystore.driver.kept import Kept
from polystore.driver.sql import table_of
from polystore.errors import (
    ConfigError,
    Contention,
    OutcomeUnknown,
    PermissionDenied,
    Unavailable,
)
from polystore.kinds import EXAMPLES
from polystore.plugin.specs import DriverURL
from polystore.queries import QueryPlan
from polystore.schema import Collection
from polystore.testing import strategies as portable
from polystore.values import CANONICAL_NAN, Fields, same
from polystore_postgresql.catalogue import DIALECT, layout
from polystore_postgresql.columns import columns_of
from polystore_postgresql.document import from_column, from_jsonb, to_column, to_jsonb
from polystore_postgresql.driver import open_postgresql
from polystore_postgresql.faults import translated
from polystore_postgresql.settings import settings_of

ALL_TYPES = ["text", "bigint", "boolean", "bytea", "double precision", "numeric"]
ABOUT_FIELDS = "test_values or test_kinds or test_bulk"
Opened = Callable[..., Driver]
Made = Callable[..., Collection]


def url(place: str = "db.example:6000/app", **options: str) -> DriverURL:
    return DriverURL("postgresql", place, options)


def test_tls_is_on_and_verified_unless_told_otherwise() -> None:
    far = settings_of(url(user="ann")).conninfo
    assert (far["host"], far["port"], far["dbname"]) == ("db.example", 6000, "app")
    assert (far["sslmode"], far["sslrootcert"]) == ("verify-full", "system")
    near = settings_of(url("127.0.0.1/app")).conninfo
    assert (near["sslmode"], near["port"]) == ("prefer", 5432)
    assert settings_of(url(sslmode="require")).conninfo["sslmode"] == "require"


@pytest.mark.rule("ERR-3")
def test_a_password_is_seen_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", "s3cret")
    settings = settings_of(url())
    assert settings.conninfo["password"] == "s3cret"
    assert "s3cret" not in repr(settings)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (url(""), "expected postgresql://HOST"),
        (url("db.example"), "expected postgresql://HOST"),
        (url(sslmode="no"), "sslmode is one of"),
        (url(connections="0"), "connections is a number"),
        (url(timeout="0"), "timeout is a number"),
        (url(shema="x"), "there are: user, schema"),
    ],
)
def test_a_wrong_url_is_refused(wrong: DriverURL, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        open_postgresql(wrong)


@given(portable.values())
def test_a_document_comes_back_as_it_was(value: Any) -> None:
    assert same(from_jsonb(to_jsonb({"f": value})), {"f": value})


@given(portable.texts(), portable.texts())
def test_a_column_keeps_texts_and_their_order(one: str, other: str) -> None:
    columns = [to_column(one), to_column(other)]
    assert all("\x00" not in str(column) for column in columns)
    assert list(map(from_column, columns)) == [one, other]
    left, right = (str(column).encode() for column in columns)
    assert (left < right) == (one.encode() < other.encode())


@pytest.mark.rule("DRV-7")
@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (psycopg.errors.SerializationFailure(), Contention),
        (psycopg.errors.DeadlockDetected(), Contention),
        (psycopg.errors.QueryCanceled(), Unavailable),
        (psycopg.errors.InsufficientPrivilege(), PermissionDenied),
        (psycopg.OperationalError("server closed the connection"), OutcomeUnknown),
        (psycopg.errors.AdminShutdown(), OutcomeUnknown),
        (NotSent(), Unavailable),
    ],
)
def test_what_an_error_stands_for(error: Exception, kind: type[Exception]) -> None:
    found = translated(error)
    assert type(found) is kind
    assert "closed the connection" not in str(found)


@pytest.mark.engine
def test_who_may_not_connect_is_told_so(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", "wrong")
    driver = opened()
    with pytest.raises(Exception) as raised:
        driver.describe(Collection("x", ["id"]))
    assert type(driver.translate(raised.value)) is PermissionDenied
    gone = open_postgresql(url("127.0.0.1:1/none"))
    with pytest.raises(NotSent) as unreachable:
        gone.describe(Collection("x", ["id"]))
    assert type(gone.translate(unreachable.value)) is Unavailable


@pytest.mark.engine
@pytest.mark.rule("DRV-3")
def test_a_check_of_what_is_not_there_holds_until_the_commit(opened: Opened, made: Made) -> None:
    """Two transactions, each writing what the other has checked for absence: one gives way."""
    things, drivers = made(), (opened(), opened())
    barrier = threading.Barrier(2)
    done: list[object] = []

    def work(driver: Driver, mine: str, other: str) -> None:
        put = Write(things, (mine,), {"id": mine}, ANYTHING, mine)
        barrier.wait()
        try:
            done.append(driver.commit([put], [Check(things, (other,), NOTHING)]))
        except Exception as error:  # noqa: BLE001
            done.append(driver.translate(error))

    for attempt in range(10):
        names = f"a{attempt}", f"b{attempt}"
        threads = [
            threading.Thread(target=work, args=(driver, *pair))
            for driver, pair in zip(drivers, (names, names[::-1]), strict=True)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        reply = opened().read(things, [(name,) for name in names], Consistency.STRONG)
        assert sum(record is not None for record in reply.records) <= 1
    assert any(isinstance(one, Committed) for one in done)


@pytest.mark.engine
@pytest.mark.rule("DRV-2")
def test_a_token_tells_of_writers_past_the_library(opened: Opened, made: Made) -> None:
    things, driver = made(), opened()
    written = driver.write(Write(things, ("k",), {"id": "k", "v": 1}, ANYTHING, "w1"))
    assert isinstance(written, Written)
    with driver.native() as connection:
        connection.execute(f'UPDATE "{things.name}" SET _ps_doc = \'{{"v": 2}}\'')
    (stored,) = driver.read(things, [("k",)], Consistency.STRONG).records
    assert stored is not None
    assert stored.write_id == "w1"
    assert stored.token != written.token


@pytest.mark.engine
@pytest.mark.rule("DRV-19")
@pytest.mark.parametrize("way", ["put", "put unchanged", "many", "commit"])
def test_who_does_not_declare_an_index_keeps_it_as_well(
    opened: Opened, made: Made, way: str
) -> None:
    """As while a new version of an application is rolled out; then its policy is changed."""
    bare, old, new = made(), opened(), opened()
    written = old.write(Write(bare, ("k",), {"id": "k", "state": "x"}))
    assert isinstance(written, Written)
    for policy, kept in (("encode", "s"), ("omit", "")):
        things = Collection(
            bare.name, ["id"], indexes={"by_state": ["state:str"]},
            placements={"postgresql": {"policy": {"by_state": policy}}},
        )  # fmt: skip
        new.create(things)
        puts = [Write(bare, ("k",), {"id": "k", "state": kept}, write_id=policy)]
        if way == "many":
            old.write_many(puts)
        elif way == "commit":
            old.commit(puts, [])
        else:
            (stored,) = old.read(bare, [("k",)], Consistency.STRONG).records
            if way == "put unchanged" and stored is not None:
                puts[0].condition = Unchanged(stored.token)
            assert isinstance(old.write(puts[0]), Written)
        page = new.query(things, QueryPlan(things.index("by_state"), (kept,)), None, 10)
        assert len(page.records) == (policy == "encode")


@pytest.mark.engine
@pytest.mark.rule("DRV-9")
def test_names_of_indexes_that_begin_alike_are_two_indexes(opened: Opened) -> None:
    """PostgreSQL cuts a name off after 63 bytes, and takes the second index for the first."""
    driver = opened()
    names = [f"by_a_field_whose_name_is_rather_long_indeed_{n}" for n in "ab"]
    things = Collection("of_many_things", ["id"], indexes={name: [name[-1]] for name in names})
    driver.create(things)
    with closing(driver.native()) as connection:
        found = connection.execute(
            "SELECT count(*) FROM pg_indexes WHERE tablename = %s AND indexname LIKE '_ps_index%%'",
            (things.name,),
        ).fetchone()
    driver.drop(things)
    assert found == (2,)


@pytest.mark.engine
@pytest.mark.rule("PLC-7", "PLC-3", "ERR-5")
@pytest.mark.parametrize("what", ["collection", "key", "index"])
def test_a_name_that_would_be_cut_off_is_refused(opened: Opened, what: str) -> None:
    """At 63 bytes it is taken; an index has six of them for the prefix of its column."""
    driver = opened()

    def named(size: int) -> Collection:
        names = {name: f"a_{name}" for name in ("collection", "key", "index")} | {what: "n" * size}
        indexes = {names["index"]: ["state"]}
        return Collection(names["collection"], [names["key"]], indexes=indexes)

    most = 57 if what == "index" else 63
    driver.create(named(most))
    driver.drop(named(most))
    for call in (driver.capabilities, driver.create, driver.drop):
        with pytest.raises(ConfigError, match="at most 63 bytes"):
            call(named(most + 1))
    (problem,) = driver.describe(named(most + 1)).problems
    assert "at most 63 bytes" in problem


def placed(name: str, columns: Mapping[str, str], **declaration: Any) -> Collection:
    """A collection with native columns."""
    return Collection(name, ["id"], placements={"postgresql": {"columns": columns}}, **declaration)


@given(portable.values(), st.sampled_from(ALL_TYPES))
def test_a_column_and_the_document_together_keep_every_value(value: Any, kind: str) -> None:
    things = Collection("t", ["id"])
    kept, there = Kept(things.key, (), {"f": kind}), ["id", "f", *DIALECT.kept]
    rows = table_of(DIALECT, things, layout("public", things, kept, there)).rows
    both: tuple[Fields, ...] = ({"id": "k", "f": value}, {"id": "k"})
    for fields in both:
        stored = rows.stored([*rows.row(Write(things, ("k",), fields)), None, "state"])
        assert same(stored.fields, fields)


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"f": "money"}, "a field has one of text, bigint"),
        ({"id": "text"}, "'id' can have no column"),
        ({"ctid": "text"}, "'ctid' can have no column"),
        ({"_ps_x": "text"}, "'_ps_x' can have no column"),
        ({"f" * 64: "text"}, "can have no column"),
    ],
)
def test_a_placement_that_makes_no_columns_is_refused(
    columns: Mapping[str, str], says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        columns_of(placed("t", columns))


def test_an_unknown_option_of_a_placement_is_refused() -> None:
    with pytest.raises(ConfigError, match="unknown option"):
        columns_of(Collection("t", ["id"], placements={"postgresql": {"table": "x"}}))


@pytest.mark.engine
@pytest.mark.rule("VAL-1", "DRV-2")
def test_sql_programs_see_and_change_fields_in_their_columns(opened: Opened, made: Made) -> None:
    """What they change is believed, also where the document has the field."""
    driver = opened()
    bare = made()
    things = placed(bare.name, {"state": "text", "total": "numeric"})
    driver.create(things)
    driver.write(Write(things, ("a",), {"id": "a", "state": "new", "total": Decimal("1.10")}))
    driver.write(Write(things, ("b",), {"id": "b", "state": None, "total": 7}))
    driver.write(Write(things, ("c",), {"id": "c", "state": "old", "total": "much"}))
    with driver.native() as connection:

        def rows() -> Any:
            return connection.execute(
                f'SELECT id, state, total FROM "{things.name}" ORDER BY id'
            ).fetchall()

        assert rows() == [
            ("a", "new", Decimal("1.10")), ("b", None, Decimal(7)), ("c", "old", None),
        ]  # fmt: skip
        connection.execute(f"UPDATE \"{things.name}\" SET total = 8, state = NULL WHERE id <> 'a'")
    keys = [("a",), ("b",), ("c",)]
    found = [r and r.fields for r in driver.read(things, keys, Consistency.STRONG).records]
    assert found == [
        {"id": "a", "state": "new", "total": Decimal("1.10")},
        {"id": "b", "state": None, "total": Decimal(8)},
        {"id": "c", "total": Decimal(8)},
    ]


@pytest.mark.engine
@pytest.mark.rule("VAL-1")
@pytest.mark.parametrize("kind", ALL_TYPES)
def test_every_column_takes_every_value(opened: Opened, made: Made, kind: str) -> None:
    driver = opened()
    things = placed(made().name, {"f": kind})
    driver.create(things)
    values = [*EXAMPLES.values(), -0.0, float("inf"), CANONICAL_NAN, b"\x00\xff", "\x00\x01", "é"]
    values += [Decimal(text) for text in ("-0", "1.10", "1E+1", "-1E-6144", "9E+6144")]
    values += [2**63 - 1, 2**53 + 1, 5e-324, 1e300]
    writes = [Write(things, (str(i),), {"id": str(i), "f": v}) for i, v in enumerate(values)]
    driver.write_many([*writes, Write(things, ("none",), {"id": "none"})])
    keys = [(str(i),) for i in range(len(values))]
    records = driver.read(things, [*keys, ("none",)], Consistency.STRONG).records
    for record, write in zip(records, writes, strict=False):
        assert record is not None
        assert same(record.fields, write.fields)
    assert records[-1] is not None
    assert records[-1].fields == {"id": "none"}


@pytest.mark.engine
@pytest.mark.rule("DRV-19", "DRV-9")
def test_columns_come_to_a_table_with_records_and_processes(opened: Opened, made: Made) -> None:
    """Of fields that were in the document, and of a column that another program had made."""
    bare, old, new = made(), opened(), opened()
    old.write(Write(bare, ("k",), {"id": "k", "n": 1, "state": "x"}))
    with new.native() as connection:
        connection.execute(f'ALTER TABLE "{bare.name}" ADD COLUMN theirs text')
        connection.execute(f'ALTER TABLE "{bare.name}" ADD COLUMN other numeric(5,2)')
        connection.execute(f"UPDATE \"{bare.name}\" SET theirs = 't'")
        things = placed(bare.name, {"n": "bigint", "theirs": "text"})
        (problem,) = new.describe(things).problems
        assert "columns n, theirs" in problem
        new.create(things)
        assert new.describe(things).problems == ()
        assert connection.execute(f'SELECT n, theirs FROM "{bare.name}"').fetchall() == [(1, "t")]
        (record,) = old.read(things, [("k",)], Consistency.STRONG).records
        assert record is not None
        assert record.fields == {"id": "k", "n": 1, "state": "x", "theirs": "t"}
        old.write(Write(bare, ("k",), {"id": "k", "n": 2, "state": "x"}))
        assert connection.execute(f'SELECT n, theirs FROM "{bare.name}"').fetchall() == [(2, None)]
    wrong = placed(bare.name, {"other": "numeric", "n": "text"})
    (problem,) = new.describe(wrong).problems
    assert "the column 'other' is numeric(5,2)" in problem
    assert "the column 'n' is bigint" in problem
    with pytest.raises(ConfigError, match="in the placement: change one"):
        new.create(wrong)


@pytest.mark.engine
@pytest.mark.rule("DRV-9")
def test_a_table_that_is_complete_is_left_alone(opened: Opened, made: Made) -> None:
    """Its creation waits for nobody who reads: each process of a fleet may ask for it."""
    bare, driver = made(), opened(timeout=1)
    columns, indexes = {"n": "bigint", "b": "text"}, {"by_n": ["n"], "by_b": ["b"]}
    things = placed(bare.name, columns, indexes=indexes)
    driver.create(things)
    other = placed(
        bare.name, dict(reversed(columns.items())), indexes=dict(reversed(indexes.items()))
    )
    with driver.native() as connection, connection.transaction():
        connection.execute(f'SELECT * FROM "{things.name}"')
        for declared in (things, other, bare):
            driver.create(declared)


@pytest.mark.engine
@pytest.mark.rule("DRV-9")
@pytest.mark.parametrize(
    ("columns", "there"),
    [
        ("id varchar, n int, PRIMARY KEY (id) INCLUDE (n)", None),
        ("id uuid PRIMARY KEY", "the key is (id uuid) there"),
        ("id text, n int, PRIMARY KEY (n, id)", "the key is (n integer, id text) there"),
        ("id text", "the key is () there"),
    ],
)
def test_the_key_of_a_table_of_others(opened: Opened, columns: str, there: str | None) -> None:
    driver, things = opened(), Collection("of_others", ["id"])
    with driver.native() as connection:
        connection.execute(f"CREATE TABLE of_others ({columns})")
        try:
            if there is None:
                driver.create(things)
                driver.write(Write(things, ("k",), {"id": "k", "n": 1}))
                (record,) = driver.read(things, [("k",)], Consistency.STRONG).records
                assert record is not None
                assert record.fields == {"id": "k", "n": 1}
                return
            (problem,) = driver.describe(things).problems
            assert there in problem
            with pytest.raises(ConfigError, match="declare it so"):
                driver.create(things)
        finally:
            connection.execute("DROP TABLE of_others")


@pytest.mark.engine
@pytest.mark.rule("VAL-1", "DRV-4")
def test_the_suite_where_fields_have_columns() -> None:
    """Of what is written and read; `polystore conformance postgresql?columns=1` is all of it."""
    command = ["conformance", "postgresql?columns=1", "--profile", "smoke", "-k", ABOUT_FIELDS]
    told = subprocess.run(
        [sys.executable, "-m", "polystore.cli", *command],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert told.returncode == 0, told.stdout[-3000:] + told.stderr[-1000:]


@pytest.mark.engine
def test_a_child_leaves_its_parents_connections_alone(opened: Opened, made: Made) -> None:
    things, driver = made(), opened()
    driver.write(Write(things, ("k",), {"id": "k"}))
    child = os.fork()
    if child == 0:
        driver.write(Write(things, ("c",), {"id": "c"}))
        driver.close()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    reply = driver.read(things, [("k",), ("c",)], Consistency.STRONG)
    assert None not in reply.records


@pytest.mark.engine
@pytest.mark.rule("DRV-17", "DRV-18")
def test_a_session_that_the_server_ends_leaves_a_write_open_and_a_read_unavailable(
    opened: Opened, made: Made
) -> None:
    driver, things = opened(), made()
    calls: list[tuple[Callable[[], object], type[Exception]]] = [
        (lambda: driver.read(things, [("a",)], Consistency.STRONG), Unavailable),
        (lambda: driver.write(Write(things, ("a",), {"id": "a"})), OutcomeUnknown),
    ]
    with driver.native() as client:
        for call, kind in calls:
            call()
            (kept,) = driver._connections._free  # type: ignore[attr-defined]  # of this driver
            client.execute("SELECT pg_terminate_backend(%s, 5000)", [kept.info.backend_pid])
            with pytest.raises(Exception) as caught:  # native, or the driver's own
                call()
            assert type(driver.translate(caught.value)) is kind
            call()
