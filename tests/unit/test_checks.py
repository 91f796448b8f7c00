"""What a side cannot hold of a write: every violation, with its code and its place."""

from __future__ import annotations

import attrs
import pytest

from polystore.capabilities import Capabilities, EmptyKey, Indexes, Keys, Limit, Records, Values
from polystore.driver import Driver, Sizes, Write
from polystore.driver.side import Side
from polystore.drivers.memory.driver import MemoryDriver, Space
from polystore.errors import InvalidKey, LimitExceeded
from polystore.route.bound import Bound
from polystore.schema import Collection
from polystore.values import Key

THINGS = Collection("things", ["name", "number:int"])


class Measured(MemoryDriver):
    """A database whose accounting says 10 of everything."""

    def measure(self, write: Write) -> Sizes:
        return Sizes(*[10] * 10)


def limit(most: int, unit: str = "bytes") -> Limit:
    return Limit(most, unit, "what the test says", "the test")


TIGHT = Capabilities(
    keys=Keys(
        partition=limit(9),
        sort=limit(9),
        empty=EmptyKey.REJECTED,
        int_min=1,
        int_max=5,
        part=limit(9),
        whole=limit(9),
    ),
    records=Records(size=limit(9), depth=limit(1, "levels"), name=limit(9)),
    values=Values(size=limit(9)),
    indexes=Indexes(value=limit(9), first=limit(9), rest=limit(9)),
)


def bound(*promised: Capabilities) -> Bound:
    def asked(driver: Driver, collection: Collection) -> Capabilities:
        return promises[id(driver)]

    drivers = [Measured(Space()) for _ in promised]
    promises = {id(d): p for d, p in zip(drivers, promised, strict=True)}
    return Bound(THINGS, [Side("source", driver, asked) for driver in drivers])


def write(key: Key, **fields: object) -> Write:
    return Write(THINGS, key, {"name": key[0], "number": key[1], **fields})  # type: ignore[dict-item]


@pytest.mark.rule("CAP-10")
def test_every_violation_of_a_write_is_told() -> None:
    found = list(bound(TIGHT).violations(write(("", 0), a=[1], b=[[1]])))
    assert [v.code for v in found] == [
        "keys.empty",
        "keys.int_min",
        "records.size",
        "records.name",
        "values.size",
        "keys.partition",
        "keys.sort",
        "keys.part",
        "keys.whole",
        "indexes.value",
        "indexes.first",
        "indexes.rest",
        "records.depth",
    ]
    assert [v.path for v in found] == ["name", "number", *[""] * 10, "b"]
    assert [v.size for v in found] == [0, 0, *[10] * 10, 2]
    assert next(bound(TIGHT).violations(write(("x", 6)))).code == "keys.int_max"


@pytest.mark.rule("CAP-10")
def test_each_side_tells_its_own() -> None:
    loose = attrs.evolve(TIGHT, records=Records(size=limit(10)))
    both = bound(TIGHT, loose)
    sizes = [v for v in both.violations(write(("x", 1))) if v.code == "records.size"]
    assert [v.limit for v in sizes] == [limit(9)]
    partitions = [v for v in both.violations(write(("x", 1))) if v.code == "keys.partition"]
    assert len(partitions) == 2


@pytest.mark.rule("CAP-10", "ERR-4")
def test_a_refused_write_has_the_first_violation_as_its_error() -> None:
    with pytest.raises(InvalidKey, match="'name' must not be empty") as refused:
        bound(TIGHT).check_write(write(("", 1), secret="x" * 10))
    assert (refused.value.collection, refused.value.driver) == ("things", "memory")
    with pytest.raises(LimitExceeded) as exceeded:
        bound(TIGHT).check_write(write(("x", 1), secret="x" * 10))
    told = exceeded.value
    assert (told.limit, told.size, told.unit, told.key) == (9, 10, "bytes", ("x", 1))
    assert "xxxx" not in str(told)


@pytest.mark.rule("CAP-10")
def test_what_every_side_holds_has_no_violation() -> None:
    assert not list(bound(Capabilities(), Capabilities()).violations(write(("", -1), a=[[[]]])))
