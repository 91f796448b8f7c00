"""Limits, both ways: at the limit it passes, one over it the core refuses, and the database too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import pytest

from polystore.capabilities import Capabilities, Limit
from polystore.driver import NOTHING, Check, Committed, Consistency, Driver, Sizes, Write, Written
from polystore.driver.side import Side, declared
from polystore.errors import InvalidKey, InvalidRequest, LimitExceeded
from polystore.route.bound import Bound
from polystore.schema import Collection
from polystore.values import Key
from tests.drivers.calls import error_of, found, put
from tests.drivers.conftest import Make

Sized: TypeAlias = Callable[[Collection, int], Write]


def bound(driver: Driver, collection: Collection) -> Bound:
    """What the core checks, with this database alone in play."""
    return Bound(collection, [Side("source", driver, declared)])


def of_size(
    driver: Driver, make_write: Callable[[int], Write], measured: Callable[[Sizes], int], size: int
) -> Write:
    """The write that measures ``size``; what surrounds the padding may grow with it."""
    padding = 0
    for _ in range(6):
        write = make_write(padding)
        lacking = size - measured(driver.measure(write))
        if not lacking:
            return write
        padding += lacking
    raise AssertionError(f"no write measures {size}")


def both_ways(
    driver: Driver, limit: Limit, at: Write, over: Write, *, core_alone: bool = False
) -> None:
    """``core_alone`` says that the database itself takes more, or does something else with it."""
    core = bound(driver, at.collection)
    core.check_write(at)
    assert isinstance(driver.write(at), Written)
    record = found(driver, at.collection, at.key)
    assert record is not None
    assert record.fields == at.fields
    with pytest.raises(LimitExceeded) as refused:
        core.check_write(over)
    told = refused.value
    assert (told.limit, told.size, told.unit) == (limit.most, limit.most + 1, limit.unit)
    assert (told.driver, told.collection, told.key) == (driver.name, at.collection.name, over.key)
    assert "xxxx" not in told.message
    if core_alone:
        return
    error = error_of(driver, lambda: driver.write(over))
    assert isinstance(error, LimitExceeded)
    assert error.unit == limit.unit
    assert "xxxx" not in str(error)
    assert found(driver, at.collection, at.key) is not None


@pytest.mark.rule("CAP-4", "CAP-3", "ERR-4")
def test_the_size_of_a_record(driver: Driver, make: Make) -> None:
    things = make(["p", "s:int"], indexes={"by_state": ["state"]})
    limit = driver.capabilities(things).records.size
    if limit is None:
        return

    def padded(n: int) -> Write:
        more: dict[str, Any] = {"f": 1.5, "é": [None, {"a": b"\x00"}], "state": ""}
        return put(things, ("p", -7), stamp=2**41, pad="x" * n, **more)

    at = of_size(driver, padded, lambda sizes: sizes.record, limit.most)
    over = of_size(driver, padded, lambda sizes: sizes.record, limit.most + 1)
    both_ways(driver, limit, at, over)


KEYS: dict[str, list[str]] = {"str": ["p", "s"], "mixed": ["p", "s:int"], "bytes": ["p:bytes", "s"]}


@pytest.mark.rule("CAP-4", "CAP-3", "KEY-5", "ERR-4")
@pytest.mark.parametrize("shape", KEYS)
def test_the_partition_part_of_a_key(driver: Driver, make: Make, shape: str) -> None:
    things = make(KEYS[shape])
    limit = driver.capabilities(things).keys.partition
    if limit is None:
        return
    # Datastore keeps bytes as hex, in one text with the other part.
    hex_digits = 2 if (driver.name, shape) == ("datastore", "bytes") else 1

    def padded(n: int) -> Write:
        part: Any = b"x" * (n // hex_digits) if shape == "bytes" else "x" * n
        return put(things, (part, 7 if shape == "mixed" else "x" * (1 + n % hex_digits)))

    at = of_size(driver, padded, lambda sizes: sizes.partition, limit.most)
    over = of_size(driver, padded, lambda sizes: sizes.partition, limit.most + 1)
    both_ways(driver, limit, at, over)


@pytest.mark.rule("CAP-4", "CAP-3", "KEY-5", "ERR-4")
def test_the_sort_part_of_a_key(driver: Driver, make: Make) -> None:
    """Six parts, so that each is far from the limit of a part by itself."""
    names = [f"k{i}" for i in range(6)]
    path = "/".join(f"Limit{name}/{{{name}}}" for name in names)
    things = make(names, placements={"datastore": {"path": path}})
    limit = driver.capabilities(things).keys.sort
    if limit is None:
        return
    part = "x" * (limit.most // 6 - 40)

    def padded(n: int) -> Write:
        return put(things, (part,) * 5 + ("x" * n or "x",))

    at = of_size(driver, padded, lambda sizes: sizes.sort, limit.most)
    over = of_size(driver, padded, lambda sizes: sizes.sort, limit.most + 1)
    both_ways(driver, limit, at, over)


@pytest.mark.rule("CAP-4", "CAP-3", "ERR-4")
@pytest.mark.parametrize("field", ["state", "rank"])
def test_an_indexed_value(driver: Driver, make: Make, field: str) -> None:
    """DynamoDB takes 2048 bytes in an index's first attribute, and 1024 in its second: one limit is
    claimed for both. Datastore would leave a longer text out of the index.
    """
    core_alone = driver.name == "datastore" or (driver.name, field) == ("dynamodb", "state")
    things = make(indexes={"by_two": ["state", "rank"]})
    limit = driver.capabilities(things).indexes.value
    if limit is None:
        return

    def padded(n: int) -> Write:
        fields: dict[str, Any] = {"state": "s", "rank": "r", field: "x" * n}
        return put(things, ("k",), **fields)

    at = of_size(driver, padded, lambda sizes: sizes.indexed, limit.most)
    over = of_size(driver, padded, lambda sizes: sizes.indexed, limit.most + 1)
    both_ways(driver, limit, at, over, core_alone=core_alone)


@pytest.mark.rule("CAP-4", "CAP-3", "ERR-4")
@pytest.mark.parametrize("kind", ["list", "dict"])
def test_how_deep_a_record_nests(driver: Driver, make: Make, kind: str) -> None:
    things = make()
    limit = driver.capabilities(things).records.depth
    if limit is None:
        return

    def nested(levels: int) -> Write:
        value: Any = 1.5
        for _ in range(levels):
            value = [value] if kind == "list" else {"a": value}
        return put(things, ("k",), n=value)

    core = bound(driver, things)
    core.check_write(nested(limit.most))
    assert isinstance(driver.write(nested(limit.most)), Written)
    with pytest.raises(LimitExceeded) as refused:
        core.check_write(nested(limit.most + 1))
    assert (refused.value.limit, refused.value.size) == (limit.most, limit.most + 1)


@pytest.mark.rule("CAP-4", "CAP-3", "TX-3", "ERR-4")
def test_the_records_of_a_commit(driver: Driver, make: Make) -> None:
    things = make()
    limit = driver.capabilities(things).transactions.items
    if limit is None:
        return
    core = bound(driver, things)
    checks = [Check(things, (f"k{i}",), NOTHING) for i in range(limit.most)]
    core.check_atomic(limit.most, 0, [])
    assert isinstance(driver.commit([], checks), Committed)
    write = put(things, ("new",))
    with pytest.raises(LimitExceeded) as refused:
        core.check_atomic(limit.most + 1, 0, [write])
    assert (refused.value.limit, refused.value.size) == (limit.most, limit.most + 1)
    assert isinstance(error_of(driver, lambda: driver.commit([write], checks)), InvalidRequest)
    assert found(driver, things, ("new",)) is None


@pytest.mark.rule("CAP-4", "CAP-3", "TX-3", "ERR-4")
def test_the_size_of_a_commit(driver: Driver, make: Make) -> None:
    things = make()
    promised = driver.capabilities(things)
    limit, record = promised.transactions.size, promised.records.size
    if limit is None or record is None:
        return
    count = limit.most // record.most + 1

    def size(writes: list[Write]) -> int:
        return sum(driver.measure(write).record for write in writes)

    def padded(name: str, total: int) -> Write:
        return of_size(driver, lambda n: put(things, (name,), pad="x" * n), record_of, total)

    def writes_of(total: int) -> list[Write]:
        writes = [padded(f"k{i:03}", total // count) for i in range(count - 1)]
        return [*writes, padded("last", total - size(writes))]

    core = bound(driver, things)
    at, over = writes_of(limit.most), writes_of(limit.most + 1)
    core.check_atomic(count, 0, at)
    assert isinstance(driver.commit(at, []), Committed)
    with pytest.raises(LimitExceeded) as refused:
        core.check_atomic(count, 0, over)
    assert (refused.value.limit, refused.value.size) == (limit.most, limit.most + 1)
    before = found(driver, things, ("last",))
    # Datastore counts what surrounds the entities too, so that less than its limit is claimed.
    far = over if driver.name == "dynamodb" else writes_of(limit.most + 2**19)
    assert isinstance(error_of(driver, lambda: driver.commit(far, [])), LimitExceeded)
    after = found(driver, things, ("last",))
    assert before is not None
    assert after is not None
    assert after.token == before.token


def record_of(sizes: Sizes) -> int:
    return sizes.record


@pytest.mark.rule("CAP-4", "CAP-3")
def test_one_key_more_than_a_read_takes(driver: Driver, make: Make) -> None:
    """As many as it takes is in test_bulk."""
    things = make()
    limit = driver.capabilities(things).batches.read_keys
    if limit is None:
        return
    keys: list[Key] = [(f"k{i}",) for i in range(limit.most + 1)]
    error = error_of(driver, lambda: driver.read(things, keys, Consistency.STRONG))
    assert isinstance(error, InvalidRequest)


@pytest.mark.rule("CAP-4", "CAP-3", "KEY-5", "PLC-5")
def test_an_int_below_what_a_path_holds(driver: Driver, make: Make) -> None:
    """Datastore's ids begin at 1; every other placement holds all ints."""
    things = make(["p", "s:int"], placements={"datastore": {"path": "IdA/{p}/IdB/{s}"}})
    promised: Capabilities = driver.capabilities(things)
    core = bound(driver, things)
    for n in (promised.keys.int_min, promised.keys.int_max):
        assert core.check_key(("p", n)) == ("p", n)
        assert isinstance(driver.write(put(things, ("p", n))), Written)
        record = found(driver, things, ("p", n))
        assert record is not None
        assert record.key == ("p", n)
    if promised.keys.int_min > -(2**63):
        low = ("p", promised.keys.int_min - 1)
        with pytest.raises(InvalidKey, match="must be"):
            core.check_key(low)
        error = error_of(driver, lambda: driver.write(put(things, low)))
        assert isinstance(error, InvalidRequest)
