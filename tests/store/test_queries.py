"""What serves a query, what it answers, and how it is paged."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import pytest

import polystore
from polystore import (
    Above,
    Below,
    Between,
    Collection,
    ConfigError,
    CursorExpired,
    Field,
    From,
    InvalidKey,
    InvalidRequest,
    InvalidValue,
    OpenCollection,
    PolystoreError,
    Query,
    Record,
    Store,
    Unsupported,
    UpTo,
)

STATES = ("", None, "open", "paid")


def fill(store: Store, count: int = 12) -> OpenCollection:
    """Orders of two customers, with states in turn, empty and null ones among them."""
    (name,) = store.config.collections
    orders = store[name]
    for number in range(count):
        for customer in ("c1", "c2"):
            orders.put(
                {
                    "customer": customer,
                    "order": number - 3,
                    "state": STATES[number % 4],
                    "total": number // 4,
                }
            )
    return orders


def numbers(records: Iterable[Record]) -> list[int]:
    """The second key part of each record."""
    return [record["order"] for record in records]


@pytest.mark.rule("QRY-1")
def test_a_partition_in_key_order_both_ways(every: Store) -> None:
    orders = fill(every)
    whole = list(range(-3, 9))
    assert numbers(orders.query("c1")) == whole
    assert numbers(orders.query("c1", order="desc")) == whole[::-1]
    assert numbers(orders.query("c1", limit=5)) == whole[:5]
    assert numbers(orders.query("c1", order="desc", limit=5)) == whole[:-6:-1]
    assert numbers(orders.query("c1", 4)) == [4]
    assert numbers(orders.query("c3")) == []


@pytest.mark.rule("QRY-1")
@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        (Between(2, 4), [2, 3, 4]),
        (From(6), [6, 7, 8]),
        (Above(6), [7, 8]),
        (UpTo(-2), [-3, -2]),
        (Below(-2), [-3]),
        (Between(4, 2), []),
        (Above(8), []),
    ],
)
def test_ranges_of_the_key(local: Store, bounds: polystore.Range, expected: list[int]) -> None:
    orders = fill(local)
    assert numbers(orders.query("c1", sort=bounds)) == expected
    assert numbers(orders.query("c1", sort=bounds, order="desc")) == expected[::-1]
    assert orders.count("c1", sort=bounds) == len(expected)


@pytest.mark.rule("QRY-1", "QRY-2", "QRY-3")
def test_ranges_and_indexes_on_the_engines(every: Store) -> None:
    orders = fill(every)
    assert numbers(orders.query("c1", sort=Between(2, 4), order="desc")) == [4, 3, 2]
    assert numbers(orders.query("c1", sort=Between(4, 2))) == []
    rows = [(r["total"], r["customer"]) for r in orders.query(index="by_state", state="")]
    assert rows == [(0, "c1"), (0, "c2"), (1, "c1"), (1, "c2"), (2, "c1"), (2, "c2")]
    back = orders.query(index="by_state", order="desc", state=None, total=UpTo(1))
    assert [(r["total"], r["customer"]) for r in back] == [
        (1, "c2"), (1, "c1"), (0, "c2"), (0, "c1"),
    ]  # fmt: skip
    assert orders.count(index="by_state", state="open", total=2) == 2
    assert orders.count(index="by_state", state="nowhere") == 0


@pytest.mark.rule("QRY-12")
def test_a_range_is_of_one_type(local: Store) -> None:
    orders = fill(local)
    for rank in (None, True, 1.5, Decimal(2), "1", b"1"):
        orders.put({"customer": "c", "order": 1, "state": "open", "total": rank})
        ranks = [r["total"] for r in orders.query(index="by_state", state="open", total=Above(1))]
        assert ranks == sorted([2, 2, rank] if rank in (1.5, Decimal(2)) else [2, 2])
    for low, high in ((1, "a"), (None, 1), (True, 1), ("a", b"a")):
        with pytest.raises(InvalidRequest, match="total: the bounds of a range are of one type"):
            orders.query(index="by_state", state="open", total=Between(low, high))
    assert orders.count(index="by_state", state="open", total=Between(0.5, Decimal(2))) == 4


@pytest.mark.rule("QRY-2", "QRY-7")
def test_where_filters_after_reading(local: Store) -> None:
    orders = fill(local)
    where = (Field("state") == "paid") | (Field("order") < -1)
    assert numbers(orders.query("c1", where=where)) == [-3, -2, 0, 4, 8]
    assert numbers(orders.query("c1", where=where, limit=3)) == [-3, -2, 0]
    assert orders.count("c1", where=where) == 5
    assert orders.count("c1", where=where, limit=2) == 2
    assert orders.explain("c1", where=where).filtered == ("state", "order")


@pytest.mark.rule("QRY-4")
def test_what_nothing_serves_is_refused_without_a_scan(local: Store) -> None:
    orders = fill(local)
    refused: tuple[dict[str, Any], ...] = (
        {},
        {"where": Field("state") == "paid"},
        {"state": "paid"},
        {"index": "by_state", "total": 1},
        {"index": "by_state", "state": "paid", "note": "x"},
        {"index": "by_state", "state": From("a"), "total": 1},
        {"index": "by_state"},
    )
    for arguments in refused:
        for verb in (orders.query, orders.count, orders.explain):
            with pytest.raises(Unsupported, match="allow_scan"):
                verb(**arguments)
    with pytest.raises(Unsupported, match="index='by_state'"):
        orders.query(state="paid")


@pytest.mark.rule("QRY-4", "QRY-7")
def test_a_scan_that_is_allowed_gives_what_was_asked(every: Store) -> None:
    orders = fill(every)
    assert orders.count(allow_scan=True) == 24
    assert sorted(numbers(orders.query(allow_scan=True, state="paid"))) == [0, 0, 4, 4, 8, 8]
    asked: dict[str, Any] = {"index": "by_state", "total": Above(1), "where": Field("order") == 8}
    assert numbers(orders.query(allow_scan=True, **asked)) == [8, 8]
    assert sorted(numbers(orders.scan())) == sorted([*range(-3, 9)] * 2)
    assert len(list(orders.scan(limit=5))) == 5
    with pytest.raises(Unsupported, match="order"):
        orders.query(allow_scan=True, order="desc")


@pytest.mark.rule("QRY-4")
def test_explain_says_what_serves_a_query(local: Store) -> None:
    orders = fill(local, count=0)
    key = orders.explain("c1", where=Field("state") == "paid", order="desc")
    assert (key.served_by, key.filtered) == ("the key (customer, order)", ("state",))
    assert key.order == "customer, order, descending"
    index = orders.explain(index="by_state", state="secret")
    assert index.served_by == "index by_state (state, total)"
    assert index.order == "state, total, then customer, order, ascending"
    scan = orders.explain(allow_scan=True, state="secret", total=Between(1, 2))
    assert (scan.served_by, scan.order) == ("a scan of the whole collection", "none")
    assert scan.filtered == ("state", "total")
    for explanation in (key, index, scan):
        assert "count: reads every record" in str(explanation)
        assert "secret" not in str(explanation)


def test_arguments_that_contradict_the_declaration_are_refused(local: Store) -> None:
    orders = fill(local, count=0)
    wrong: Any = "wrong"
    cases: tuple[tuple[type[PolystoreError], str, dict[str, Any], tuple[Any, ...]], ...] = (
        (InvalidKey, "is str, not int", {}, (1,)),
        (InvalidKey, "is int, not str", {"sort": Between("a", "b")}, ("c1",)),
        (InvalidKey, "2 parts", {}, ("c1", 1, 2)),
        (InvalidRequest, "none left", {"sort": From(1)}, ("c1", 1)),
        (InvalidRequest, "names", {"index": "by_state"}, ("c1",)),
        (InvalidRequest, "by name", {"index": "by_state", "state": "", "sort": From(1)}, ()),
        (ConfigError, "by_state", {"index": "by_stat", "state": ""}, ()),
        (InvalidValue, "no place", {"index": "by_state", "state": ["x"]}, ()),
        (InvalidValue, "no place", {"index": "by_state", "state": From({})}, ()),
        (InvalidRequest, "asc", {"order": "up"}, ("c1",)),
        (InvalidRequest, "limit", {"limit": 0}, ("c1",)),
        (InvalidRequest, "limit", {"limit": True}, ("c1",)),
        (InvalidRequest, "where", {"where": wrong}, ("c1",)),
        (InvalidRequest, "sort", {"sort": wrong}, ("c1",)),
        (InvalidRequest, "where=", {"state": "paid"}, ("c1",)),
    )
    for error, message, arguments, prefix in cases:
        with pytest.raises(error, match=message) as caught:
            orders.query(*prefix, **arguments)
        assert caught.value.collection == orders.declared.name


def test_values_by_names_that_arguments_have_go_into_a_mapping(local_url: str) -> None:
    declared = Collection("odd", ["id:int"], indexes={"by_order": ["order", "two words"]})
    with polystore.open(local_url, [declared]) as store:
        store.create()
        odd = store["odd"]
        for number in range(4):
            odd.put({"id": number, "order": number % 2, "two words": number})
        found = odd.query({"order": 1, "two words": From(2)}, index="by_order")
        assert [record["id"] for record in found] == [3]


def pages(query: Query) -> list[list[int]]:
    """The numbers of each page, from the first to the last."""
    found, cursor = [], None
    while True:
        page = query.page(cursor)
        found.append(numbers(page.records))
        cursor = page.cursor
        if cursor is None:
            return found


@pytest.mark.rule("QRY-5", "DRV-5")
def test_pages_joined_are_the_whole_answer(every: Store) -> None:
    orders = fill(every)
    for query, expected in (
        (orders.query("c1", limit=5), numbers(orders.query("c1"))),
        (orders.query("c1", order="desc", limit=4), numbers(orders.query("c1", order="desc"))),
        (
            orders.query("c1", where=Field("total") < 2, limit=3),
            numbers(orders.query("c1", where=Field("total") < 2)),
        ),
        (
            orders.query(index="by_state", state="", limit=2),
            numbers(orders.query(index="by_state", state="")),
        ),
    ):
        found = pages(query)
        assert all(found[:-1])
        assert [number for page in found for number in page] == expected


@pytest.mark.rule("QRY-5")
def test_pages_of_a_scan_hold_everything_once(local: Store) -> None:
    orders = fill(local)
    found = pages(orders.scan(limit=7))
    assert sorted(number for page in found for number in page) == sorted(numbers(orders.scan()))
    some = pages(orders.scan(limit=4, where=Field("state") == "open"))
    assert max(map(len, some)) <= 4
    assert sorted(number for page in some for number in page) == [-1, -1, 3, 3, 7, 7]


@pytest.mark.rule("QRY-5")
def test_a_cursor_goes_on_after_values_of_every_kind(local_url: str) -> None:
    values: list[Any] = [
        None, True, -0.0, 0.0, float("nan"), float("inf"), 3, 3.0, Decimal(3), Decimal("3.00"),
        "", "ü", b"", b"x", polystore.GeoPoint(1.0, -2.0), polystore.Ref("other", ("a", 1, b"z")),
    ]  # fmt: skip
    declared = Collection("kinds", ["id:bytes"], indexes={"by_value": ["one", "value"]})
    with polystore.open(local_url, [declared]) as store:
        store.create()
        kinds = store["kinds"]
        for number, value in enumerate(values):
            kinds.put({"id": bytes([number]), "one": 1, "value": value})
        query = kinds.query(index="by_value", one=1, limit=1)
        found, cursor = [], None
        while True:
            page = query.page(cursor)
            found += [record.key for record in page.records]
            cursor = page.cursor
            if cursor is None:
                break
        assert found == [record.key for record in kinds.query(index="by_value", one=1)]
        assert len(found) == len(values)


@pytest.mark.rule("QRY-6")
def test_a_cursor_of_another_query_is_refused(local: Store) -> None:
    orders = fill(local)
    cursor = orders.query("c1", limit=2).page().cursor
    scanned = orders.scan(limit=2).page().cursor
    assert cursor is not None
    others = (
        orders.query("c2"),
        orders.query("c1", order="desc"),
        orders.query("c1", sort=From(0)),
        orders.query("c1", where=Field("state") == "paid"),
        orders.query(index="by_state", state="c1"),
        orders.scan(),
    )
    for query in others:
        with pytest.raises(CursorExpired):
            query.page(cursor)
    for text in ("", "x", "é", cursor[:-3], scanned):
        with pytest.raises(CursorExpired):
            orders.query("c1").page(text)
    assert numbers(orders.query("c1", limit=9).page(cursor).records)[0] == -1


def test_a_query_is_read_anew_each_time_it_is_iterated(local: Store) -> None:
    orders = fill(local)
    query = orders.query("c1", sort=From(8))
    assert numbers(query) == [8]
    orders.put({"customer": "c1", "order": 9})
    assert numbers(query) == [8, 9]
    assert query.count() == 2


@pytest.mark.rule("QRY-5")
def test_an_answer_of_many_pages_is_iterated_whole(local: Store) -> None:
    (name,) = local.config.collections
    orders = local[name]
    for number in range(700):
        orders.put({"customer": "c1", "order": number, "state": "", "total": 0})
    assert numbers(orders.query("c1")) == list(range(700))
    assert numbers(orders.query("c1", limit=350)) == list(range(350))
    assert orders.count(index="by_state", state="") == 700
    assert len(list(orders.scan(where=Field("order") >= 650))) == 50
