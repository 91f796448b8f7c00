"""Events and counters."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from polystore.observe import Counters, Event
from polystore.observe.events import DIAL_CHANGED, KINDS


def test_an_event_is_told_as_one_mapping() -> None:
    event = Event(DIAL_CHANGED, "geo", {"from": 0, "to": 10})
    assert event.as_mapping() == {"kind": "dial-changed", "group": "geo", "from": 0, "to": 10}


def test_an_event_cannot_be_changed_by_what_it_was_made_of() -> None:
    details = {"to": 10}
    event = Event(DIAL_CHANGED, "geo", details)
    details["to"] = 20
    event.as_mapping()["to"] = 30
    assert event.details == {"to": 10}


def test_an_event_is_of_a_kind_that_exists() -> None:
    assert DIAL_CHANGED in KINDS
    with pytest.raises(ValueError, match="'kind' must be in"):
        Event("surprise", "geo")


def test_counters_lose_nothing_between_threads() -> None:
    counters = Counters()

    def count(_: int) -> None:
        for _ in range(1000):
            counters.add("a")
            counters.add("b", 2)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(count, range(4)))
    assert counters.snapshot() == {"a": 4000, "b": 8000}


def test_a_snapshot_belongs_to_the_caller() -> None:
    counters = Counters()
    counters.add("a")
    counters.snapshot()["a"] = 7
    assert counters.snapshot() == {"a": 1}
