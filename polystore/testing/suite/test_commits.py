"""Commits: all of it or nothing, over several collections, under the four conditions."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from polystore.capabilities import Scope
from polystore.driver import (
    ANYTHING,
    NOTHING,
    Check,
    Committed,
    Condition,
    Driver,
    OlderThan,
    Refused,
    Rejected,
    Stored,
    Unchanged,
    Write,
)
from polystore.errors import Contention, Throttled, Unsupported
from polystore.schema import Collection
from polystore.testing.harness import Harness
from polystore.testing.suite.calls import (
    Make,
    committed,
    delete,
    error_of,
    fields_of,
    found,
    fresh,
    put,
    rejected,
    tombstone,
    written,
)
from polystore.values import Key

STORE = pytest.mark.claims("transactions over the store")

Two = tuple[Collection, Collection]


@pytest.fixture(scope="module")
def two(make: Make) -> Two:
    return make(), make(["p:int", "s:bytes"])


def key_of(collection: Collection) -> Key:
    text = fresh()
    return (text,) if len(collection.key) == 1 else (int(text[1:]), b"s")


def there(driver: Driver, collection: Collection, key: Key) -> Stored:
    record = found(driver, collection, key)
    assert record is not None
    return record


@pytest.mark.rule("DRV-3", "CAP-3", "TX-2")
def test_a_commit_is_refused_by_name_where_no_transactions_are_claimed(
    driver: Driver, harness: Harness, two: Two
) -> None:
    """Nothing of it is written then, whether it holds writes, checks or both; else all of it is."""
    things, others = two
    key, absent = key_of(things), key_of(others)
    token = written(driver, put(things, key, n=1))
    before = harness.peek(things, key)
    held = Check(things, key, Unchanged(token))
    calls: list[tuple[list[Write], list[Check]]] = [
        ([], [held]), ([put(others, absent, n=2)], [held]), ([put(things, key, n=2)], []),
    ]  # fmt: skip
    claimed = driver.capabilities(things).transactions.scope is not Scope.NONE
    for writes, checks in calls:
        if claimed:
            committed(driver, writes, *checks)
        else:
            error = error_of(driver, lambda w=writes, c=checks: driver.commit(w, c))  # type: ignore[misc]
            assert isinstance(error, Unsupported)
            assert "transaction" in error.message
    assert (harness.peek(things, key) != before) == claimed
    assert (harness.peek(others, absent) is not None) == claimed


@pytest.mark.rule("DRV-3", "DRV-2")
@STORE
def test_all_kinds_of_writes_in_one_commit(driver: Driver, another: Driver, two: Two) -> None:
    """Each of the four conditions, each action, and checks of what is there and what is not."""
    things, others = two
    stamped, kept, gone = key_of(things), key_of(others), key_of(things)
    written(driver, put(things, stamped, stamp=5))
    unchanged = Unchanged(written(driver, put(others, kept)))
    leaving = Unchanged(written(driver, put(things, gone)))
    watched = Check(others, kept_too := key_of(others), NOTHING)
    present = Check(things, seen := key_of(things), Unchanged(written(driver, put(things, seen))))
    writes = [
        put(things, key_of(things), ANYTHING, n=0),
        put(others, key_of(others), NOTHING, stamp=9, n=1),
        put(others, kept, unchanged, n=2),
        put(things, stamped, OlderThan(6), stamp=6, n=3),
        delete(things, gone, leaving),
        tombstone(others, key_of(others), NOTHING, stamp=7),
        delete(others, key_of(others)),
    ]
    tokens = committed(driver, writes, watched, present)
    assert len(tokens) == len(writes)
    for write, token in zip(writes, tokens, strict=True):
        record = found(another, write.collection, write.key)
        if write.fields is None and write.stamp is None:
            assert (record, token) == (None, None)
        else:
            assert record is not None
            assert record.token == token
            assert (record.write_id, record.stamp) == (write.write_id, write.stamp)
            assert record.fields == write.fields
    assert found(driver, others, kept_too) is None


FALSE = ("nothing", "stale", "gone", "equal", "check-nothing", "check-stale", "check-gone")


def false_part(driver: Driver, collection: Collection, name: str) -> Write | Check:
    """A write or a check whose condition is false."""
    key = key_of(collection)
    token = written(driver, put(collection, key, stamp=5, n=0))
    condition: Condition = NOTHING
    if name.endswith("stale"):
        written(driver, put(collection, key, stamp=6, n=1))
        condition = Unchanged(token)
    elif name.endswith("gone"):
        written(driver, delete(collection, key))
        condition = Unchanged(token)
    elif name == "equal":
        condition = OlderThan(5)
    if name.startswith("check"):
        assert isinstance(condition, type(NOTHING) | Unchanged)
        return Check(collection, key, condition)
    return put(collection, key, condition, stamp=5, n="never")


@pytest.mark.rule("DRV-3", "TX-2", "CON-1")
@STORE
@pytest.mark.parametrize("position", ["first", "last", "alone"])
@pytest.mark.parametrize("false", FALSE)
def test_one_false_condition_writes_nothing(
    driver: Driver, another: Driver, two: Two, false: str, position: str
) -> None:
    things, others = two
    part = false_part(driver, others, false)
    before = found(driver, others, part.key)
    changed, gone, marked = key_of(things), key_of(things), key_of(others)
    states = {
        (things, changed): written(driver, put(things, changed, n=1)),
        (things, gone): written(driver, put(things, gone, n=1)),
        (others, marked): written(driver, put(others, marked, n=1)),
    }
    good = [
        put(things, changed, Unchanged(states[things, changed]), n=2),
        delete(things, gone),
        tombstone(others, marked, stamp=8),
        put(things, new := key_of(things), NOTHING, n=2),
    ]
    good = [] if position == "alone" else good
    writes, checks = [*good], []
    if isinstance(part, Check):
        checks.append(part)
    else:
        writes.insert(0 if position == "first" else len(writes), part)
    outcome = rejected(driver, writes, *checks)
    for (collection, key), token in states.items():
        record = there(another, collection, key)
        assert record.token == token
        assert record.fields is not None
        assert record.fields["n"] == 1
    assert found(another, things, new if good else ("never",)) is None
    after = found(another, others, part.key)
    assert (after and after.fields) == (before and before.fields)
    told(driver, outcome, [*writes, *checks], part, before)


def told(
    driver: Driver, outcome: Rejected, parts: list[Any], part: Any, before: Stored | None
) -> None:
    """The refusals name that part and no other, or the driver does not tell."""
    assert len(outcome.refusals) in (0, len(parts))
    for other, refusal in zip(parts, outcome.refusals, strict=False):
        assert (refusal is not None) == (other is part)
        if refusal is not None and refusal.told:
            current = refusal.current
            assert (current and current.token) == (before and before.token)
            assert (current and current.fields) == (before and before.fields)


@pytest.mark.rule("DRV-3", "TX-2")
@STORE
def test_several_false_conditions_write_nothing(driver: Driver, two: Two) -> None:
    things = two[0]
    parts = [
        false_part(driver, c, name) for c in two for name in ("nothing", "stale", "check-gone")
    ]
    writes = [part for part in parts if isinstance(part, Write)]
    checks = [part for part in parts if isinstance(part, Check)]
    new = key_of(things)
    outcome = rejected(driver, [*writes, put(things, new)], *checks)
    assert found(driver, things, new) is None
    refused = [isinstance(refusal, Refused) for refusal in outcome.refusals]
    assert refused in ([], [True] * 4 + [False] + [True] * 2)


@pytest.mark.rule("DRV-3")
@STORE
def test_checks_alone(driver: Driver, two: Two) -> None:
    things, others = two
    key, absent = key_of(things), key_of(others)
    token = written(driver, put(things, key))
    holds = [Check(things, key, Unchanged(token)), Check(others, absent, NOTHING)]
    assert committed(driver, [], *holds) == ()
    assert committed(driver, [], holds[0]) == ()
    assert there(driver, things, key).token == token
    assert found(driver, others, absent) is None
    written(driver, tombstone(others, absent, stamp=1))
    rejected(driver, [], *holds)
    rejected(driver, [], Check(others, absent, NOTHING))
    rejected(driver, [], Check(others, key_of(others), Unchanged(token)))


@pytest.mark.rule("DRV-3", "REC-5")
@STORE
def test_a_check_changes_nothing(driver: Driver, two: Two) -> None:
    things, others = two
    key = key_of(things)
    token = written(driver, put(things, key, a=1.5, b=None))
    before = there(driver, things, key)
    for _ in range(2):
        committed(driver, [put(others, key_of(others))], Check(things, key, Unchanged(token)))
    after = there(driver, things, key)
    assert (after.token, after.fields) == (before.token, before.fields)


@pytest.mark.rule("DRV-3")
@STORE
def test_one_key_in_two_collections(driver: Driver, make: Make) -> None:
    one, other = make(), make()
    tokens = committed(driver, [put(one, ("k",), n=1), put(other, ("k",), n=2)])
    assert fields_of(driver, one, ("k",)) == {"id": "k", "n": 1}
    assert fields_of(driver, other, ("k",)) == {"id": "k", "n": 2}
    assert there(driver, other, ("k",)).token == tokens[1]
    for absent, present in ((one, other), (other, one)):
        checks = [Check(absent, ("absent",), NOTHING), Check(present, ("k",), NOTHING)]
        checks += [Check(absent, ("k",), Unchanged(tokens[absent is other]))]
        rejected(driver, [], *checks)
        rejected(driver, [], *checks[::-1])


@pytest.mark.rule("DRV-3", "CAP-3", "CAP-4", "TX-2", "TX-3")
@STORE
def test_a_commit_as_wide_as_it_may_be(driver: Driver, two: Two) -> None:
    """Its most items, half of them checks; 120 where there is no limit. It is one, held or not."""
    things, others = two
    limit = driver.capabilities(things).transactions.items
    half = (limit.most if limit else 120) // 2
    writes = [put(things, key_of(things), stamp=7, expires=5, n=n) for n in range(half)]
    checks = [Check(others, key_of(others), NOTHING) for _ in range(half)]
    tokens = committed(driver, writes, *checks)
    for write, token in ((writes[0], tokens[0]), (writes[-1], tokens[-1])):
        record = there(driver, things, write.key)
        assert (record.fields, record.write_id) == (write.fields, write.write_id)
        assert (record.stamp, record.expires, record.token) == (7, 5, token)
    false = put(things, writes[-1].key, NOTHING, n="never")
    again = [put(things, key_of(things)) for _ in range(half)]
    for place in (0, half - 1):
        rejected(driver, [*again[:place], false, *again[place + 1 :]], *checks)
        wrong = [*checks[:place], Check(things, false.key, NOTHING), *checks[place + 1 :]]
        rejected(driver, again, *wrong)
    assert [one for one in again if found(driver, things, one.key) is not None] == []


@pytest.mark.rule("DRV-3", "DRV-10", "TX-2", "TX-4")
@STORE
def test_moving_between_two_records_keeps_their_sum(
    driver: Driver, another: Driver, two: Two
) -> None:
    """4 threads move 1 from one record to the other, five times each."""
    things, others = two
    giver, taker = key_of(things), key_of(others)
    committed(driver, [put(things, giver, n=100), put(others, taker, n=0)])

    def move(opening: Driver) -> None:
        done = 0
        while done < 5:
            one, other = there(opening, things, giver), there(opening, others, taker)
            left: Any = (one.fields or {})["n"]
            right: Any = (other.fields or {})["n"]
            writes = [
                put(things, giver, Unchanged(one.token), n=left - 1),
                put(others, taker, Unchanged(other.token), n=right + 1),
            ]
            done += moved(opening, writes)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(move, [driver, another] * 2))
    assert there(driver, things, giver).fields == {"id": giver[0], "n": 80}
    assert (there(driver, others, taker).fields or {})["n"] == 20


def moved(driver: Driver, writes: list[Write]) -> bool:
    try:
        return isinstance(driver.commit(writes, []), Committed)
    except Exception as error:
        if not isinstance(driver.translate(error), Contention | Throttled):
            raise
        return False
