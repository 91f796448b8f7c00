"""Scans of one moment."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from polystore.driver import Driver, Segment, Write
from polystore.errors import CursorExpired
from polystore.schema import Collection

Made = Callable[..., Collection]


class Things:
    """A collection of numbers."""

    def __init__(self, driver: Driver, made: Made) -> None:
        self._driver = driver
        self._collection = made(["n:int"])

    def put(self, *numbers: int, v: int = 1) -> None:
        for n in numbers:
            self._driver.write(Write(self._collection, (n,), {"n": n, "v": v}))

    def begun(self, segment: Segment) -> str:
        """The cursor after a page of two."""
        cursor = self._driver.scan(self._collection, segment, None, 2).cursor
        assert cursor is not None
        return cursor

    def rest(self, segment: Segment, cursor: str) -> list[tuple[object, object]]:
        page = self._driver.scan(self._collection, segment, cursor, 100)
        return [(stored.key[0], (stored.fields or {})["v"]) for stored in page.records]


@pytest.fixture
def things(driver: Driver, made: Made) -> Things:
    return Things(driver, made)


@pytest.mark.engine
@pytest.mark.rule("BF-8", "DRV-15")
def test_pages_of_a_snapshot_are_of_the_moment_of_the_first(things: Things) -> None:
    still, live = Segment(snapshot=True), Segment()
    things.put(*range(6))
    first = {segment: things.begun(segment) for segment in (still, live)}
    things.put(4, v=2)
    things.put(9)
    assert things.rest(still, first[still]) == [(n, 1) for n in (2, 3, 4, 5)]
    assert things.rest(live, first[live]) == [(2, 1), (3, 1), (4, 2), (5, 1), (9, 1)]


@pytest.mark.engine
@pytest.mark.rule("BF-8", "DRV-15")
def test_a_snapshot_that_is_too_old_gives_way_to_now(things: Things) -> None:
    still = Segment(snapshot=True)
    things.put(*range(4))
    told = json.loads(things.begun(still))
    told["at"] = (datetime.now(UTC) - timedelta(minutes=55)).isoformat()
    things.put(9)
    assert things.rest(still, json.dumps(told)) == [(2, 1), (3, 1), (9, 1)]
    for wrong in ({"path": told["path"]}, {**told, "at": "noon"}, {"at": told["at"]}, [1], 1):
        with pytest.raises(CursorExpired):
            things.rest(still, json.dumps(wrong))
