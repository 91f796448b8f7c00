"""What somebody changed past the library is found, named and mended, whichever side is home."""

from __future__ import annotations

from collections.abc import Callable

import attrs
import pytest

from polystore.driver import Write
from polystore.migration.stages import SOURCE, TARGET
from polystore.testing.pairs import WAY, Stand
from polystore.testing.simulator.fleet import ITEMS
from polystore.testing.suite.pairs.records import item, shown
from polystore.values import Key

pytestmark = [pytest.mark.share(8), pytest.mark.claims("transactions over the store")]

KEY: Key = ("ann", 1)


def planted(stand: Stand, kind: str, mirror: str) -> None:
    """Make a difference of this kind on the mirror."""
    there = stand.stored(mirror, [KEY])[0]
    assert there is not None
    assert there.stamp is not None
    write = Write(ITEMS, KEY, item(KEY, v=1), write_id=there.write_id, stamp=there.stamp)
    if kind == "missing":
        write = Write(ITEMS, KEY, None)
    elif kind == "stale":
        write = attrs.evolve(write, stamp=there.stamp - 1, write_id="older")
    elif kind == "different":
        write = attrs.evolve(write, fields=item(KEY, v=7))
    elif kind == "ahead":
        write = attrs.evolve(write, stamp=there.stamp + 5, write_id="newer")
    else:
        other: Key = ("bob", 1)
        write = Write(ITEMS, other, item(other, v=7), write_id="x", stamp=there.stamp)
    stand.fleet.plant(mirror, write)


@pytest.mark.rule("VER-1", "VER-5", "CNF-8")
@pytest.mark.parametrize("kind", ["missing", "stale", "different", "ahead", "extra"])
@pytest.mark.parametrize("dial", [0, 100])
def test_a_planted_difference_is_found_and_mended(
    begin: Callable[..., Stand], kind: str, dial: int
) -> None:
    stand = begin(entry=WAY[f"dual-read at {dial}"].entry)
    mirror = TARGET if dial == 0 else SOURCE
    for value in (1, 2):
        stand.put(0, item(KEY, v=value))
    stand.settled()
    planted(stand, kind, mirror)
    reported = stand.operator.verify(repair=False)["items"]
    assert {k: n for k, n in reported.kinds().items() if n} == {kind: 1}
    stand.operator.verify()
    assert stand.operator.verify()["items"].discrepancies == []
    assert shown(stand.get(1, KEY)) == item(KEY, v=2)
    assert stand.get(0, ("bob", 1)) is None
    stand.agree([KEY, ("bob", 1)])
