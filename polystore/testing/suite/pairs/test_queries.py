"""Queries, pages, counts and scans, at each place: what one store would answer."""

from __future__ import annotations

from typing import Any

import pytest

from polystore.conditions import Field
from polystore.queries import Between
from polystore.testing.pairs import Stand
from polystore.testing.suite.pairs.records import item
from polystore.values import Fields

pytestmark = [pytest.mark.share(8), pytest.mark.claims("transactions over the store")]

NUMBERS = (3, 1, 6, 2, 5, 4)


def filled(stand: Stand) -> tuple[str, list[Fields]]:
    """Six items of an owner, of which one was deleted again; those that are left, in key order."""
    owner = stand.owner()
    for number in NUMBERS:
        stand.put(number % 2, item((owner, number), state=owner, rank=-number, v=number))
    stand.delete(0, (owner, 4))
    return owner, [item((owner, n), state=owner, rank=-n, v=n) for n in sorted(NUMBERS) if n != 4]


def rows(found: list[Any]) -> list[Fields]:
    return [dict(record) for record in found]


@pytest.mark.rule("QRY-1", "QRY-5", "QRY-7", "QRY-8", "CNF-8")
@pytest.mark.parametrize("limit", [None, 1, 2])
def test_a_partition_is_answered_in_key_order(stand: Stand, limit: int | None) -> None:
    owner, there = filled(stand)
    assert rows(stand.query(1, prefix=(owner,), limit=limit)) == there
    assert rows(stand.query(1, prefix=(owner,), limit=limit, order="desc")) == there[::-1]
    assert rows(stand.query(0, prefix=(owner,), sort=Between(2, 5), limit=limit)) == there[1:4]
    assert stand.count(1, prefix=(owner,)) == 5


@pytest.mark.rule("QRY-2", "QRY-5", "QRY-8", "CNF-8")
@pytest.mark.parametrize("order", ["asc", "desc"])
def test_an_index_is_answered_in_its_order(stand: Stand, order: str) -> None:
    owner, there = filled(stand)
    stand.settled()
    for side in stand.sides.values():
        side.settle()
    wanted = there[::-1] if order == "asc" else there
    asked: dict[str, Any] = {"index": "by_state", "equals": {"state": owner}, "order": order}
    assert rows(stand.query(1, **asked)) == wanted
    assert rows(stand.query(1, **asked, limit=2)) == wanted
    asked["equals"]["rank"] = Between(-5, -2)
    assert rows(stand.query(1, **asked)) == wanted[1:4]


@pytest.mark.rule("QRY-4", "QRY-7", "QRY-8", "CNF-8")
def test_what_is_filtered_and_scanned_is_met_once(stand: Stand) -> None:
    owner, there = filled(stand)
    late = rows(stand.query(0, prefix=(owner,), where=Field("v") > 2))
    assert late == there[2:]
    found = rows(stand.query(1, where=Field("owner") == owner, allow_scan=True))
    assert sorted(found, key=lambda record: record["v"]) == there  # type: ignore[arg-type,return-value]
