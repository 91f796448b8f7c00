"""Records that expire, at each place."""

from __future__ import annotations

import pytest

from polystore.conditions import If
from polystore.records import Set
from polystore.testing.pairs import Stand
from polystore.testing.suite.pairs.records import item, shown

pytestmark = [pytest.mark.share(8), pytest.mark.claims("transactions over the store")]


@pytest.mark.rule("EXP-1", "EXP-4", "CNF-8")
def test_an_expiry_is_kept_to_the_microsecond_on_both_sides(stand: Stand) -> None:
    key, moment = (stand.owner(), 1), stand.moment(9_999_999.000001)
    stand.put(0, item(key, v=1), expires_at=moment)
    record = stand.get(1, key)
    assert record is not None
    assert record.expires_at == moment
    stand.update(1, key, Set(v=2))
    record = stand.get(0, key)
    assert record is not None
    assert (record["v"], record.expires_at) == (2, moment)
    stand.agree([key])
    stand.put(0, item(key, v=3))
    record = stand.get(1, key)
    assert record is not None
    assert record.expires_at is None
    stand.agree([key])


@pytest.mark.rule("EXP-2", "EXP-3", "CNF-8")
def test_from_its_moment_on_a_record_is_gone_for_reads_and_conditions(stand: Stand) -> None:
    owner = stand.owner()
    keys = [(owner, n) for n in (1, 2)]
    for key in keys:
        stand.put(0, item(key, v=1, state=owner), expires_at=stand.moment(0.4))
    assert all(stand.get_many(1, keys))
    stand.fleet.pass_time(0.5)
    assert stand.get_many(1, keys) == [None, None]
    assert stand.query(1, prefix=(owner,)) == []
    assert stand.query(0, index="by_state", equals={"state": owner}) == []
    stand.put(1, item(keys[0], v=2), If.absent)
    stand.delete(1, keys[1], If.absent)
    assert shown(stand.get(0, keys[0])) == item(keys[0], v=2)
    assert stand.get(0, keys[1]) is None
    stand.agree(keys)
