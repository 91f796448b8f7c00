"""The four conditions of a write, on records in every state; tokens; what a refusal tells."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polystore.driver import (
    ANYTHING,
    NOTHING,
    Check,
    Condition,
    Driver,
    OlderThan,
    Refused,
    Stored,
    Token,
    Unchanged,
    Write,
    Written,
)
from polystore.schema import Collection
from polystore.testing.harness import Harness
from polystore.testing.suite.calls import (
    WRITINGS,
    Make,
    attempt,
    delete,
    found,
    fresh,
    put,
    refused,
    rejected,
    sent,
    tombstone,
    whole,
    written,
)
from polystore.values import Key, same

STAMP = 2**40 + 7


@attrs.frozen
class Case:
    """A key, what is there, and the token of a state that is no more."""

    key: Key
    current: Stored | None
    stale: Token


STATES = ("absent", "deleted", "foreign", "unstamped", "no-write-id", "stamped", "tombstone")
CONDITIONS = ("anything", "nothing", "unchanged", "stale", "above", "equal", "below")
ACTIONS = ("put", "put-stamped", "tombstone", "delete")

# Written out by hand: which conditions hold of which state, `unchanged` of all that are there.
HELD = {
    "absent": {"anything", "nothing", "above", "equal", "below"},
    "deleted": {"anything", "nothing", "above", "equal", "below"},
    "foreign": {"anything", "unchanged", "above", "equal", "below"},
    "unstamped": {"anything", "unchanged", "above", "equal", "below"},
    "no-write-id": {"anything", "unchanged", "above", "equal", "below"},
    "stamped": {"anything", "unchanged", "above"},
    "tombstone": {"anything", "unchanged", "above"},
}
CASES = [
    pytest.param(state, condition, id=f"{state}-{condition}")
    for state in STATES
    for condition in CONDITIONS
    if not (state in ("absent", "deleted") and condition == "unchanged")
]


@pytest.fixture(scope="module")
def things(make: Make) -> Collection:
    return make(["customer", "order:int"])


def fresh_key() -> Key:
    return (fresh(), 17)


def prepared(driver: Driver, harness: Harness, things: Collection, state: str) -> Case:
    """A new key in a state; before that there was another record."""
    key = fresh_key()
    stale = written(driver, put(things, key, n=0))
    if state == "foreign":
        written(driver, delete(things, key))
        harness.poke(things, key, {"n": 1})
    elif state in ("absent", "deleted"):
        written(driver, delete(things, key))
    else:
        stamp = None if state in ("unstamped", "no-write-id") else STAMP
        write = put(things, key, stamp=stamp, n=1)
        if state == "no-write-id":
            write.write_id = None
        if state == "tombstone":
            write.fields = None
        written(driver, write)
    if state == "absent":
        key = fresh_key()
    return Case(key, found(driver, things, key), stale)


def condition_of(name: str, case: Case) -> Condition:
    if name == "unchanged":
        assert case.current is not None
        return Unchanged(case.current.token)
    conditions: dict[str, Condition] = {
        "anything": ANYTHING,
        "nothing": NOTHING,
        "stale": Unchanged(case.stale),
        "above": OlderThan(STAMP + 1),
        "equal": OlderThan(STAMP),
        "below": OlderThan(STAMP - 1),
    }
    return conditions[name]


def write_of(action: str, things: Collection, key: Key, condition: Condition) -> Write:
    if action == "delete":
        return delete(things, key, condition)
    if action == "tombstone":
        return tombstone(things, key, condition, stamp=STAMP + 9)
    stamp = STAMP + 9 if action == "put-stamped" else None
    return put(things, key, condition, stamp=stamp, n=2, text="new")


def alike(one: Stored | None, other: Stored | None) -> bool:
    """Whether two reads found the same state."""
    if one is None or other is None:
        return one is other
    return (
        one.key == other.key
        and same(one.fields, other.fields)
        and bool(one.token == other.token)
        and (one.write_id, one.stamp) == (other.write_id, other.stamp)
    )


def is_what(record: Stored | None, write: Write, token: Token) -> bool:
    """Whether a record is what a write left behind."""
    if write.fields is None and write.stamp is None:
        return record is None and token is None
    expected = Stored(write.key, write.fields, token, write.write_id, write.stamp)
    return token is not None and alike(record, expected)


@pytest.mark.rule("DRV-1", "DRV-2", "CON-1", "CON-2", "MIR-1")
@pytest.mark.parametrize("writing", WRITINGS)
@pytest.mark.parametrize(("state", "name"), CASES)
def test_a_condition_decides(
    driver: Driver,
    another: Driver,
    harness: Harness,
    things: Collection,
    state: str,
    name: str,
    writing: str,
) -> None:
    for action in ACTIONS:
        case = prepared(driver, harness, things, state)
        write = write_of(action, things, case.key, condition_of(name, case))
        before = harness.peek(things, case.key)
        outcome = sent(driver, write, writing)
        after = found(another, things, case.key)
        if name in HELD[state]:
            assert isinstance(outcome, Written), action
            assert is_what(after, write, outcome.token), action
            assert case.current is None or after is None or after.token != case.current.token
        else:
            assert isinstance(outcome, Refused), action
            assert alike(after, case.current), action
            assert harness.peek(things, case.key) == before, action
            if outcome.told:
                assert alike(outcome.current, case.current), action


@pytest.mark.rule("DRV-2", "REC-5", "CON-3")
def test_the_token_of_a_deleted_record_never_holds_again(
    driver: Driver, things: Collection
) -> None:
    key = fresh_key()
    for again in (delete(things, key), tombstone(things, key, stamp=1)):
        token = written(driver, put(things, key, same="fields"))
        written(driver, again)
        refused(driver, put(things, key, Unchanged(token)))
        renewed = written(driver, put(things, key, same="fields"))
        assert renewed != token
        refused(driver, delete(things, key, Unchanged(token)))
        written(driver, delete(things, key, Unchanged(renewed)))


@pytest.mark.rule("DRV-2", "REC-5")
def test_no_two_states_share_a_token(driver: Driver, things: Collection) -> None:
    step = st.sampled_from(["put", "put-stamped", "tombstone", "delete"])

    @settings(max_examples=15)
    @given(st.lists(step, min_size=2, max_size=8))
    def check(steps: list[str]) -> None:
        key = fresh_key()
        tokens: list[Any] = []
        for action in steps:
            write = write_of(action, things, key, ANYTHING)
            token = written(driver, write)
            record = found(driver, things, key)
            assert is_what(record, write, token)
            assert token is None or all(token != earlier for earlier in tokens)
            tokens += [] if token is None else [token]
        for token in tokens[:-1]:
            refused(driver, delete(things, key, Unchanged(token)))

    check()


@pytest.mark.rule("DRV-2", "REC-5")
@pytest.mark.parametrize("writing", WRITINGS)
def test_a_put_of_what_is_there_is_a_new_state(
    driver: Driver, things: Collection, writing: str
) -> None:
    """Of the same fields under the same conditions, with a write id of its own."""
    key = fresh_key()
    before = written(driver, put(things, key, stamp=5, same="fields"))
    again = put(things, key, stamp=5, same="fields")
    outcome = sent(driver, again, writing)
    assert isinstance(outcome, Written)
    assert outcome.token != before
    assert is_what(found(driver, things, key), again, outcome.token)


@pytest.mark.rule("DRV-2", "REC-5")
def test_no_two_states_that_different_openings_wrote_share_a_token(
    driver: Driver, harness: Harness, things: Collection
) -> None:
    """Each has just been opened: what it counts from then on is counted by the others, too."""
    key, tokens = fresh_key(), list[Token]()
    for _ in range(3):
        opened = harness.open()
        tokens.append(written(opened, put(things, key, same="fields")))
        opened.close()
    for token in tokens[:-1]:
        assert token != tokens[-1]
        refused(driver, delete(things, key, Unchanged(token)))
    written(driver, delete(things, key, Unchanged(tokens[-1])))


@pytest.mark.rule("REC-8", "DRV-2")
def test_a_delete_of_nothing_succeeds(driver: Driver, things: Collection) -> None:
    assert written(driver, delete(things, fresh_key())) is None


@pytest.mark.rule("DRV-2", "MIR-1", "WR-4")
@pytest.mark.parametrize("writing", WRITINGS)
def test_stamps_are_compared_as_numbers(driver: Driver, things: Collection, writing: str) -> None:
    """Of all sizes: more digits are more, and none is rounded."""
    key = fresh_key()
    for stamp in (1, 9, 10, 99, 100, 2**31, 2**32, 2**40 - 1, 2**40, 2**53, 2**53 + 1, 2**62 + 1):
        for kind in (Written, Refused):
            write = put(things, key, OlderThan(stamp), stamp=stamp)
            assert isinstance(sent(driver, write, writing), kind), stamp
            record = found(driver, things, key)
            assert record is not None
            assert record.stamp == stamp


@pytest.mark.rule("REC-5", "CON-4", "DRV-2", "DRV-3")
@pytest.mark.parametrize("writing", WRITINGS)
def test_a_token_changes_with_whatever_another_program_writes(
    driver: Driver, harness: Harness, things: Collection, writing: str
) -> None:
    """Also where it only changes one value, or the name of one, of a record of its own.

    A database that compares all that was read need not see what was added to that.
    """
    key = fresh_key()
    tokens = [written(driver, put(things, key, n=1))]
    pokes: list[dict[str, str | int]] = [{"n": 1}, {"n": 2}, {"m": 2}, {"m": "2"}]
    for fields in pokes:
        harness.poke(things, key, fields)
        harness.settle()
        for token in tokens:
            outcome = sent(driver, put(things, key, Unchanged(token), n=0), writing)
            assert isinstance(outcome, Refused), fields
            if writing == "in a commit":
                rejected(driver, [], Check(things, key, Unchanged(token)))
        record = found(driver, things, key)
        assert record is not None
        tokens.append(record.token)
    outcome = sent(driver, put(things, key, Unchanged(tokens[-1]), n=0), writing)
    assert isinstance(outcome, Written)


@pytest.mark.rule("CON-3", "DRV-2", "DRV-10")
@pytest.mark.parametrize("writing", WRITINGS)
@pytest.mark.parametrize("condition", ["nothing", "unchanged", "older-than"])
def test_of_many_writers_at_once_one_succeeds(
    driver: Driver, another: Driver, things: Collection, condition: str, writing: str
) -> None:
    """8 threads on two openings; ``OlderThan`` is won by one, since all have one stamp."""
    for _ in range(2):
        key = fresh_key()
        held: Condition = NOTHING
        if condition == "unchanged":
            held = Unchanged(written(driver, put(things, key)))
        elif condition == "older-than":
            held = OlderThan(5)
        writes = [put(things, key, held, stamp=5, n=i) for i in range(8)]
        with ThreadPoolExecutor(8) as pool:
            openings = [driver, another] * 4
            outcomes = list(pool.map(attempt, openings, writes, [writing] * 8))
        winners = [w for w, o in zip(writes, outcomes, strict=True) if isinstance(o, Written)]
        assert len(winners) == 1, outcomes
        record = found(driver, things, key)
        assert record is not None
        assert record.write_id == winners[0].write_id


@pytest.mark.rule("DRV-10", "DRV-2")
def test_counting_in_many_threads_loses_nothing(
    driver: Driver, another: Driver, things: Collection
) -> None:
    """Each of 4 threads adds 1 five times, each time against the token that it read."""
    key = fresh_key()
    written(driver, put(things, key, n=0))

    def add(opening: Driver) -> None:
        done = 0
        while done < 5:
            record = found(opening, things, key)
            assert record is not None
            assert record.fields is not None
            write = put(things, key, Unchanged(record.token), n=record.fields["n"] + 1)  # type: ignore[operator]  # an int
            done += isinstance(attempt(opening, write), Written)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(add, [driver, another] * 2))
    record = found(driver, things, key)
    assert record is not None
    assert record.fields == whole(things, key, {"n": 20})
