"""The stub's own additions against Google's code alone, in this process."""

import random
import time
import warnings
from collections.abc import Callable, Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

SAMPLE_VALUES: list[dict[str, Any]] = [
    *({"integer_value": number} for number in range(4)),
    {"null_value": 0},
    {"double_value": 1.5},
    {"double_value": float("nan")},
    {"string_value": "a"},
    {"string_value": "é"},
    {"blob_value": b"a"},
    {"boolean_value": True},
]

COMPARISONS = [5, 5, 1, 2, 3, 4]  # =, =, <, <=, >, >= of google.datastore.v1
HAS_ANCESTOR = 11
QUERIES = 300


@pytest.fixture(scope="module")
def stub() -> Iterator[Any]:
    """The stub's modules; Google's warn of what Python 3 thinks of them when imported."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from polystore_engines.datastore_stub import (
            appengine,
            commits,
            database,
            errors,
            filters,
            limits,
            ordering,
            queries,
            service,
            tables,
        )

        modules: list[ModuleType] = [
            appengine, commits, database, errors, filters, limits, ordering, queries, service,
            tables,
        ]  # fmt: skip
        yield SimpleNamespace(**{module.__name__.rpartition(".")[2]: module for module in modules})


def random_entity(stub: Any, rnd: random.Random, number: int) -> Any:
    """Some under a parent, ids and names mixed; a property may be absent or a list."""
    gd = stub.appengine.gd
    entity = gd.Entity(key={"partition_id": {"project_id": "p"}})
    if number % 3 == 0:
        entity.key.path.add(kind="Root", id=number % 7 + 1)
    entity.key.path.add(kind="K", **({"id": number + 1} if number % 2 else {"name": f"n{number}"}))
    for name in "abc":
        values = [gd.Value(**rnd.choice(SAMPLE_VALUES)) for _ in range(rnd.choice([1, 1, 1, 2, 3]))]
        if rnd.random() < 0.2:
            continue
        if len(values) == 1:
            entity.properties[name].CopyFrom(values[0])
        else:
            entity.properties[name].array_value.values.extend(values)
    return entity


def random_query(stub: Any, rnd: random.Random) -> Any:
    gd = stub.appengine.gd
    query = gd.Query(kind=[{"name": "K"}])
    filters = query.filter.composite_filter
    filters.op = stub.filters.AND
    for _ in range(rnd.choice([0, 1, 1, 2])):
        f = filters.filters.add().property_filter
        f.property.name, f.op = rnd.choice("abc"), rnd.choice(COMPARISONS)
        f.value.CopyFrom(gd.Value(**rnd.choice(SAMPLE_VALUES)))
    if rnd.random() < 0.2:
        f = filters.filters.add().property_filter
        f.property.name, f.op = "__key__", HAS_ANCESTOR
        f.value.key_value.partition_id.project_id = "p"
        f.value.key_value.path.add(kind="Root", id=rnd.randint(1, 7))
    if not filters.filters:
        query.ClearField("filter")
    for name in rnd.sample(["a", "b", "c", "__key__"], rnd.choice([0, 0, 1, 2])):
        query.order.add(direction=rnd.choice([1, 2])).property.name = name
    return query


def random_key_query(stub: Any, rnd: random.Random) -> Any:
    """In the order of keys, between two of them, of an ancestor or with a value."""
    gd = stub.appengine.gd
    query = gd.Query(kind=[{"name": "K"}])
    filters = query.filter.composite_filter
    filters.op = stub.filters.AND
    for op in (*rnd.sample([3, 4], 1), *rnd.sample([1, 2], 1), HAS_ANCESTOR)[: rnd.randint(1, 3)]:
        f = filters.filters.add().property_filter
        f.property.name, f.op = "__key__", op
        f.value.key_value.partition_id.project_id = "p"
        f.value.key_value.path.add(kind="Root", id=rnd.randint(1, 7))
        if op != HAS_ANCESTOR:
            f.value.key_value.path.add(kind="K", id=rnd.randint(1, 400))
    if rnd.random() < 0.5:
        f = filters.filters.add().property_filter
        f.property.name, f.op = rnd.choice("abc"), COMPARISONS[0]
        f.value.CopyFrom(gd.Value(**rnd.choice(SAMPLE_VALUES)))
    if rnd.random() < 0.5:
        query.order.add(direction=rnd.choice([1, 2])).property.name = "__key__"
    return query


@pytest.mark.parametrize("made", [random_query, random_key_query])
def test_indexes_give_the_rows_and_order_of_a_full_scan_and_sort(
    stub: Any, monkeypatch: pytest.MonkeyPatch, made: Callable[[Any, random.Random], Any]
) -> None:
    gd, rnd = stub.appengine.gd, random.Random(11)
    service = stub.service.Service("p")
    request = gd.CommitRequest(project_id="p", mode=gd.CommitRequest.NON_TRANSACTIONAL)
    for number in range(400):
        request.mutations.add(upsert=random_entity(stub, rnd, number))
    stub.commits.commit(service, request)
    database = service.database(gd.RunQueryRequest(project_id="p"))

    def rows(query: Any, want: int | None) -> list[Any]:
        run = stub.queries.Query(service, database, gd.RunQueryRequest(), query, want)
        return [stub.ordering.key_value(r.entity.key) for r in run.results().records]

    compared = 0
    for _ in range(QUERIES):
        query = made(stub, rnd)
        if stub.filters.plan_filter(gd.Query.FromString(query.SerializeToString())):
            continue  # Google's code alone cannot run it
        with monkeypatch.context() as patch:
            patch.setattr(stub.tables.Table, "select", lambda self, *_: list(self.records.values()))
            patch.setattr(stub.database, "complete", lambda *_: False)
            expected = rows(query, None)
        assert rows(query, None) == expected
        assert rows(query, 5) == expected[:5]
        compared += bool(expected)
    assert compared > QUERIES / 5


def test_an_index_follows_every_write(stub: Any) -> None:
    gd, rnd = stub.appengine.gd, random.Random(5)
    service = stub.service.Service("p")
    database = service.database(gd.RunQueryRequest(project_id="p"))
    query = gd.Query(kind=[{"name": "K"}], order=[{"property": {"name": "a"}, "direction": 2}])

    def order() -> list[Any]:
        run = stub.queries.Query(service, database, gd.RunQueryRequest(), query)
        return [stub.ordering.key_value(r.entity.key) for r in run.results().records]

    for _ in range(300):
        entity = random_entity(stub, rnd, rnd.randrange(40))
        gone = rnd.random() < 0.3
        mutation = {"delete": entity.key} if gone else {"upsert": entity}
        mode = gd.CommitRequest.NON_TRANSACTIONAL
        request = gd.CommitRequest(project_id="p", mode=mode, mutations=[mutation])
        stub.commits.commit(service, request)
        order()  # builds the index the first time
    followed = order()
    database.tables["", "K"].indexes.clear()
    assert order() == followed


def test_an_idle_transaction_expires(stub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    gd = stub.appengine.gd
    service = stub.service.Service("p")
    begin = gd.BeginTransactionRequest(project_id="p")
    token = stub.commits.begin_transaction(service, begin).transaction
    later = time.monotonic() + stub.limits.TXN_IDLE_SECONDS + 1
    monkeypatch.setattr(time, "monotonic", lambda: later)
    with pytest.raises(stub.errors.ApiError, match="expired"):
        stub.commits.commit(
            service,
            gd.CommitRequest(
                project_id="p", mode=gd.CommitRequest.TRANSACTIONAL, transaction=token
            ),
        )
