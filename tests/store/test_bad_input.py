"""Bad input: a clear error of the tree, and nothing written."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import polystore
from polystore import (
    Collection,
    Config,
    ConfigError,
    Group,
    InvalidKey,
    InvalidValue,
    LimitExceeded,
    OpenCollection,
    Set,
    Store,
    Transaction,
    Unavailable,
    UnknownDriver,
)
from polystore.migration.stages import Setting, Stage

GOOD: dict[str, Any] = {"customer": "c1", "order": 1, "state": ""}
SECRET = "a value that no message may hold"
BAD_RECORDS: tuple[tuple[dict[str, Any], type[polystore.PolystoreError], str], ...] = (
    ({**GOOD, "order": "1"}, InvalidKey, "'order' is int, not str"),
    ({**GOOD, "order": float("nan")}, InvalidKey, "'order' is int, not float"),
    ({**GOOD, "order": True}, InvalidKey, "'order' is int, not bool"),
    ({**GOOD, "order": 2**63}, InvalidKey, "64 bits"),
    ({**GOOD, "customer": "\ud800"}, InvalidKey, "surrogate"),
    ({"customer": "c1", "state": ""}, InvalidKey, "lacks the key field 'order'"),
    ({**GOOD, "_ps_x": 1}, InvalidValue, "_ps_x.*reserved"),
    ({**GOOD, "state": {"_ps_x": 1}}, InvalidValue, "_ps_x.*reserved"),
    ({**GOOD, "state": object()}, InvalidValue, "state: object"),
    ({**GOOD, "state": 2**64}, InvalidValue, "64 bits"),
)


def the(store: Store) -> OpenCollection:
    """The only collection of a store."""
    (name,) = store.config.collections
    return store[name]


@pytest.mark.rule("ERR-5", "KEY-1", "KEY-2", "VAL-1", "VAL-8", "CON-1")
@pytest.mark.parametrize(("record", "error", "message"), BAD_RECORDS)
def test_a_bad_record_is_refused_and_nothing_is_written(
    every: Store, record: dict[str, Any], error: type[Exception], message: str
) -> None:
    orders = the(every)

    def in_transaction(tx: Transaction) -> None:
        inside = tx[orders.declared.name]
        inside.put({**GOOD, "order": 9})
        inside.put(record)

    calls: tuple[Callable[[], object], ...] = (
        lambda: orders.put({**record, "note": SECRET}),
        lambda: orders.insert(record),
        lambda: every.transaction(in_transaction),
    )
    for call in calls:
        with pytest.raises(error, match=message) as caught:
            call()
        assert getattr(caught.value, "collection", None) == orders.declared.name
        assert SECRET not in str(caught.value)
    assert orders.count(allow_scan=True) == 0


@pytest.mark.rule("ERR-5", "KEY-1")
@pytest.mark.parametrize("key", [(), ("c1",), ("c1", 1, 2), ("c1", 1.0), (b"c1", 1), ("c1", None)])
def test_a_bad_key_is_refused_by_every_verb(local: Store, key: tuple[Any, ...]) -> None:
    orders = the(local)
    calls: tuple[Callable[[], object], ...] = (
        lambda: orders.get(*key),
        lambda: orders.get_many([("c1", 1), key]),
        lambda: orders.update(*key, Set(state="x")),
        lambda: orders.delete(*key),
        lambda: local.transaction(lambda tx: tx[orders.declared.name].get(*key)),
        lambda: local.transaction(lambda tx: tx[orders.declared.name].delete(*key)),
    )
    for call in calls:
        with pytest.raises(InvalidKey) as caught:
            call()
        assert caught.value.collection == orders.declared.name


@pytest.mark.rule("ERR-5", "SEC-2")
def test_an_unknown_driver_lists_the_known_ones() -> None:
    with pytest.raises(UnknownDriver, match=r"memory.*sqlite") as caught:
        polystore.open("sqlit:///x?password=geheim", [Collection("x", ["id"])])
    assert "geheim" not in str(caught.value)


@pytest.mark.rule("ERR-5", "DRV-7")
@pytest.mark.parametrize("scheme", ["dynamodb", "datastore"])
@pytest.mark.timeout(60)
def test_an_unreachable_database_is_unavailable(
    scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "polystore")
    place = {
        "dynamodb": f"dynamodb://us-east-1?endpoint=http://127.0.0.1:{port}&timeout=1",
        "datastore": f"datastore://polystore-test?emulator=127.0.0.1:{port}",
    }[scheme]

    def use() -> None:
        with polystore.open(place, [Collection("things", ["id"])], timeout=2) as store:
            store["things"].put({"id": "a"})

    with pytest.raises(Unavailable) as caught:
        use()
    assert caught.value.__cause__ is not None


@pytest.mark.rule("ERR-5", "PLC-2")
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("url = ", "is not TOML"),
        ("urll = 'memory://'", "urll: unknown; did you mean 'url'"),
        ("url = 'memory://'\n[collections.x]\nkey = ['id:float']", "str, int, bytes"),
        ("[collections.x]\nkey = ['id']", "needs a url"),
        ("url = 'memory://'\n[collections.x]\nkey = ['id']\nindexs.a = ['b']", "indexs"),
    ],
)
def test_wrong_toml_says_where_and_what(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "polystore.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        polystore.open(path)
    assert str(path) in str(caught.value)
    with pytest.raises(ConfigError, match="cannot be read"):
        polystore.open(tmp_path / "nothing.toml")


@pytest.mark.engine
@pytest.mark.rule("ERR-4", "ERR-5", "CAP-4", "KEY-5")
def test_a_record_over_the_limit_of_dynamodb(url_of: Callable[[str], str]) -> None:
    with polystore.open(url_of("dynamodb"), [Collection("large", ["id", "n:int"])]) as store:
        store.create()
        large = store["large"]
        for call in (
            lambda: large.put({"id": "a", "n": 1, "text": "x" * 409_600 + SECRET}),
            lambda: large.insert({"id": "a", "n": 1, "text": "x" * 410_000}),
            lambda: store.transaction(
                lambda tx: tx["large"].put({"id": "a", "n": 1, "text": "x" * 410_000})
            ),
        ):
            with pytest.raises(LimitExceeded) as caught:
                call()
            error = caught.value
            assert (error.collection, error.key, error.limit) == ("large", ("a", 1), 409_600)
            assert error.size >= 400_000
            assert error.unit == "bytes"
            assert "409600" in str(error).replace(",", "")
        with pytest.raises(InvalidKey, match="empty"):
            large.put({"id": "", "n": 1})
        with pytest.raises(LimitExceeded, match="partition"):
            large.put({"id": "x" * 2100, "n": 1})
        assert large.count(allow_scan=True) == 0


@pytest.mark.engine
@pytest.mark.rule("TX-3", "ERR-4", "CAP-4")
def test_a_transaction_over_the_width_of_dynamodb(url_of: Callable[[str], str]) -> None:
    with polystore.open(url_of("dynamodb"), [Collection("wide", ["id", "n:int"])]) as store:
        store.create()

        def wide(tx: Transaction, count: int) -> None:
            assert tx["wide"].get("read", 0) is None
            for number in range(count - 1):
                tx["wide"].put({"id": "a", "n": number})

        with pytest.raises(LimitExceeded) as caught:
            store.transaction(lambda tx: wide(tx, 101))
        assert (caught.value.limit, caught.value.size, caught.value.unit) == (100, 101, "items")
        assert store["wide"].count("a") == 0
        store.transaction(lambda tx: wide(tx, 100))
        assert store["wide"].count("a") == 99


@pytest.mark.engine
@pytest.mark.rule("TX-3", "CAP-6", "ERR-4")
def test_a_migration_takes_one_record_of_the_width(url_of: Callable[[str], str]) -> None:
    group = Group(
        name="g",
        source=url_of("dynamodb"),
        target=url_of("memory"),
        control=url_of("memory"),
        collections=["moving"],
    )
    moving = Collection("moving", ["id", "n:int"])
    with polystore.open(Config(collections={"moving": moving}, groups={"g": group})) as store:
        store.create()
        ledger = store._databases.member("g").group.ledger
        stage = Setting(run=1, epoch=4, stage=Stage.DUAL_WRITE)
        store._databases.runner.run(ledger.change_setting(lambda _: stage))

        def wide(tx: Transaction, count: int) -> None:
            for number in range(count):
                tx["moving"].insert({"id": "a", "n": number})

        with pytest.raises(LimitExceeded) as caught:
            store.transaction(lambda tx: wide(tx, 100), timeout=60)
        assert (caught.value.limit, caught.value.size, caught.value.unit) == (99, 100, "items")
        assert store["moving"].count("a") == 0
        store.transaction(lambda tx: wide(tx, 99), timeout=60)
        assert store["moving"].count("a") == 99
        store["moving"].put({"id": "b", "n": 1})
        with pytest.raises(InvalidKey, match="empty"):
            store["moving"].put({"id": "", "n": 1})
