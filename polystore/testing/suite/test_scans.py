"""Scans: everything exactly once while nothing changes, in parts, from where they stopped."""

from __future__ import annotations

from typing import Any

import pytest

from polystore.driver import Driver, Segment
from polystore.schema import Collection
from polystore.testing.harness import Harness
from polystore.testing.suite.calls import (
    Make,
    delete,
    fill,
    put,
    scan_pages,
    scanned,
    tombstone,
    written,
)
from polystore.values import Key

SHAPES = {
    "str": ["id"],
    "int": ["id:int"],
    "bytes-str": ["p:bytes", "s:str"],
    "str-int-str": ["p", "s:int", "t"],
}
COUNTS = (1, 2, 3, 20)


def key_at(collection: Collection, i: int) -> Key:
    """Different keys, some in one partition, some texts prefixes of each other."""
    text = chr(97 + i % 5) + "\x00" * (i % 3)
    parts: dict[type, Any] = {str: text, int: i * 7 - 300, bytes: text.encode()}
    last: dict[type, Any] = {str: f"{i}", int: i * 7 - 300, bytes: b"%d" % i}
    *leading, end = collection.key
    return (*(parts[field.type] for field in leading), last[end.type])


@pytest.fixture(scope="module", params=SHAPES)
def filled(request: pytest.FixtureRequest, driver: Driver, make: Make) -> Collection:
    """120 records, every tenth of them a tombstone, and three that were deleted again."""
    things = make(SHAPES[request.param])
    keys = [key_at(things, i) for i in range(123)]
    assert len(set(keys)) == 123
    fill(driver, [put(things, key, stamp=1, n=i) for i, key in enumerate(keys)])
    fill(driver, [tombstone(things, key, stamp=2) for key in keys[:120:10]])
    fill(driver, [delete(things, key) for key in keys[120:]])
    return things


def expected(things: Collection) -> dict[Key, int | None]:
    return {key_at(things, i): None if i % 10 == 0 else i for i in range(120)}


@pytest.mark.rule("DRV-6", "DRV-5", "QRY-5")
@pytest.mark.parametrize("limit", [1, 7, 1000])
def test_a_scan_gives_everything_once(driver: Driver, filled: Collection, limit: int) -> None:
    records = scanned(driver, filled, limit=limit)
    found = {r.key: r.fields["n"] if r.fields else None for r in records}
    assert len(records) == len(found)
    assert found == expected(filled)
    assert {r.stamp for r in records if r.fields is None} == {2}
    assert all(r.write_id for r in records)


@pytest.mark.rule("DRV-6", "DRV-5")
@pytest.mark.parametrize("count", COUNTS)
def test_segments_are_apart_and_together_the_whole(
    driver: Driver, another: Driver, filled: Collection, count: int
) -> None:
    """Each is scanned by another process than the one before."""
    keys: list[Key] = []
    for i in range(count):
        opening = another if i % 2 else driver
        keys += [r.key for r in scanned(opening, filled, Segment(i, count), limit=9)]
    assert len(keys) == len(set(keys))
    assert set(keys) == set(expected(filled))


@pytest.mark.rule("DRV-6", "DRV-24", "BF-3")
@pytest.mark.parametrize("count", [1, 3])
def test_a_scan_goes_on_in_another_process(
    driver: Driver, harness: Harness, filled: Collection, count: int
) -> None:
    """From each cursor the rest is what the first scan gave after it, in any order."""
    resumed = harness.open()
    for i in range(count):
        segment = Segment(i, count)
        seen: set[Key] = set()
        everything = {r.key for r in scanned(driver, filled, segment)}
        for page in scan_pages(driver, filled, segment, 17):
            seen |= {r.key for r in page.records}
            if page.cursor is not None:
                rest = [r.key for r in scanned(resumed, filled, segment, 50, page.cursor)]
                assert len(rest) == len(set(rest))
                assert set(rest) == everything - seen
        assert seen == everything
    resumed.close()


@pytest.mark.rule("DRV-6")
@pytest.mark.parametrize("count", [1, 3])
def test_what_stays_is_found_while_others_come_and_go(
    driver: Driver, another: Driver, make: Make, count: int
) -> None:
    """Every record that is there throughout, changed or not; segments stay what they are."""
    things = make(["p", "s:int"])
    fill(driver, [put(things, (f"k{i % 7}", i), n=0) for i in range(80)])
    staying = {(f"k{i % 7}", i) for i in range(80) if i % 4}
    found: set[Key] = set()
    for i in range(count):
        for number, page in enumerate(scan_pages(driver, things, Segment(i, count), 8)):
            found |= {r.key for r in page.records}
            turn = number % 20
            n = 4 * turn
            written(another, delete(things, (f"k{n % 7}", n)))
            written(another, put(things, (f"new{turn}", n), n=1))
            written(another, put(things, (f"k{(n + 1) % 7}", n + 1), n=2, more="x" * 50))
    assert found >= {key for key in staying if key[1] < 80}


@pytest.mark.rule("DRV-6", "DRV-5")
@pytest.mark.parametrize("count", COUNTS)
def test_a_scan_of_nothing(driver: Driver, make: Make, count: int) -> None:
    things = make()
    for i in range(count):
        assert scanned(driver, things, Segment(i, count)) == []


@pytest.mark.rule("DRV-6")
def test_a_record_that_came_after_the_segments_is_in_one(driver: Driver, make: Make) -> None:
    """Who scans an empty collection in segments must not lose what is written later."""
    things = make()
    for i in range(3):
        scanned(driver, things, Segment(i, 3))
    fill(driver, [put(things, (f"k{i}",)) for i in range(30)])
    found = [r.key for i in range(3) for r in scanned(driver, things, Segment(i, 3))]
    assert sorted(found) == sorted((f"k{i}",) for i in range(30))


@pytest.mark.rule("DRV-6")
def test_collections_are_scanned_apart(driver: Driver, make: Make) -> None:
    one, other = make(), make()
    fill(driver, [put(one, ("a",)), put(other, ("b",)), put(other, ("a",))])
    assert [r.key for r in scanned(driver, one)] == [("a",)]
    assert sorted(r.key for r in scanned(driver, other)) == [("a",), ("b",)]


@pytest.mark.rule("DRV-16", "DRV-6")
@pytest.mark.parametrize("count", [1, 3])
def test_the_halves_of_a_segment_are_apart_and_together_it(
    driver: Driver, another: Driver, filled: Collection, count: int
) -> None:
    """Each half is scanned by another process than the one that halved it."""

    def leaves(segment: Segment, depth: int) -> list[Segment]:
        if depth == 0 or not driver.halve(filled, segment):
            return [segment]
        return [leaf for half in segment.halves() for leaf in leaves(half, depth - 1)]

    for i in range(count):
        whole = Segment(i, count)
        parts = leaves(whole, 3)
        keys = [r.key for part in parts for r in scanned(another, filled, part, limit=9)]
        assert len(keys) == len(set(keys))
        assert set(keys) == {r.key for r in scanned(driver, filled, whole)}


@pytest.mark.rule("DRV-16")
def test_halving_comes_down_to_one_record(driver: Driver, filled: Collection) -> None:
    key, segment = key_at(filled, 61), Segment(1, 2)
    if key not in {r.key for r in scanned(driver, filled, segment)}:
        segment = Segment(0, 2)
    able = driver.halve(filled, segment)
    while able and len(segment.path) < 32 and driver.halve(filled, segment):
        first, second = segment.halves()
        inside = key in {r.key for r in scanned(driver, filled, first)}
        segment = first if inside else second
    found = [r.key for r in scanned(driver, filled, segment)]
    assert key in found
    assert not able or found == [key]
