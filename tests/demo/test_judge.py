"""The demo's verdict: each kind of wrong is found, and what is right raises no alarm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from polystore.cli.crew.journal import Entry, Mark, Touch
from polystore.cli.demo.judge import LOADED, Findings, judge
from polystore.values import Fields, Key

K: Key = ("DE", "n1")
CITY: Key = ("DE", 7)
pytestmark = pytest.mark.rule("DEMO-1")


def wrote(
    saw: Mark | None, left: Mark | None, *, at: float = 1.0, key: Key = K, error: str | None = None
) -> Entry:
    """A write of a note with an outcome."""
    touches = [Touch(("notes", key), saw, left)]
    return Entry("put", at, at + 0.5, touches, writes=True, acked=error is None, error=error)


def unanswered(saw: Mark | None, left: Mark | None) -> Entry:
    """A write of a note whose process died before it was told."""
    return Entry("put", 1.0, None, [Touch(("notes", K), saw, left)], writes=True, acked=False)


def read(saw: Mark | None, *, at: float) -> Entry:
    """A read of a note."""
    return Entry("get", at, at + 0.1, [Touch(("notes", K), saw)], writes=False, acked=True)


def counted(*, error: str | None = None, answered: bool = True) -> Entry:
    """An increment of the visits of the city."""
    acked = answered and error is None
    entry = Entry("update", 1.0, 2.0 if answered else None, [], True, acked, error)
    entry.counted = [("cities", CITY)]
    return entry


def note(mark: Mark) -> Fields:
    return {"country": "DE", "note": "n1", "mark": mark, "text": "x"}


def city(**fields: Any) -> Fields:
    return {"country": "DE", "city": 7, "name": "Ulm", "visits": 0, **fields}


def judged(
    operations: Sequence[Entry],
    mark: Mark | None = None,
    *,
    before: Mark | None = None,
    was: Fields | None = None,
    now: Fields | None = None,
) -> Findings:
    """Judge operations on one note, with its marks before and after, and one city."""
    was = city() if was is None else was
    first = {"notes": {} if before is None else {K: note(before)}, "cities": {CITY: was}}
    last = {
        "notes": {} if mark is None else {K: note(mark)},
        "cities": {CITY: was if now is None else now},
    }
    return judge(operations, first, last)


CHAIN = [wrote(None, "a", at=1), wrote("a", "b", at=2), wrote("b", None, at=3)]
"""Created, changed, deleted."""


def found(findings: Findings) -> set[str]:
    """The kinds of what was found."""
    return {name for name, texts in findings.lists().items() if texts}


@pytest.mark.parametrize(
    ("operations", "mark"),
    [
        ([], None),
        (CHAIN[:1], "a"),
        (CHAIN[:2], "b"),
        (CHAIN, None),
        ([*CHAIN, wrote(None, "c", at=4)], "c"),
        ([*CHAIN, read("b", at=2.8), read(None, at=4)], None),
        ([CHAIN[0], wrote(None, "c", error="already-exists")], "a"),
        ([CHAIN[0], wrote("a", "c", error="conflict")], "a"),
        ([CHAIN[0], wrote("a", "c", error="contention")], "a"),
        ([CHAIN[0], wrote("a", "c", error="not-found")], "a"),
    ],
)
def test_a_clean_history_is_clean(operations: list[Entry], mark: Mark | None) -> None:
    findings = judged(operations, mark)
    assert findings.clean, findings.told()
    assert findings.told() == []
    assert findings.acknowledged == sum(e.writes and e.acked for e in operations)


@pytest.mark.parametrize(
    ("operations", "mark", "kinds"),
    [
        pytest.param(CHAIN[:1], None, {"lost"}, id="an insert is gone"),
        pytest.param(CHAIN[:2], "a", {"lost", "returned"}, id="an update was undone"),
        pytest.param(CHAIN[:2], None, {"lost"}, id="an updated record is gone"),
        pytest.param(CHAIN, "b", {"returned"}, id="a deleted record is back"),
        pytest.param(
            [*CHAIN[:2], wrote("a", "c", at=3)], "c", {"lost", "doubled"}, id="overwritten unseen"
        ),
        pytest.param(
            [CHAIN[0], wrote("a", None, at=2), wrote("a", None, at=3)],
            None,
            {"doubled", "returned"},
            id="deleted twice",
        ),
        pytest.param(
            [CHAIN[0], wrote(None, "c", at=2)], "c", {"lost"}, id="inserted over a record"
        ),
        pytest.param(
            [CHAIN[0], wrote("a", "c", error="conflict")], "c", {"lost"}, id="refused, yet applied"
        ),
        pytest.param(
            [CHAIN[0], wrote("a", None, error="conflict")], None, {"lost"}, id="refused delete"
        ),
        pytest.param(
            [wrote(None, "c", error="conflict")], "c", {"returned"}, id="refused insert is there"
        ),
        pytest.param([], "z", {"returned"}, id="never written"),
        pytest.param([*CHAIN[:2], read("a", at=3)], "b", {"stale"}, id="a stale read"),
        pytest.param([*CHAIN, read("b", at=4)], None, {"stale"}, id="a read of a deleted record"),
    ],
)
def test_each_kind_of_wrong_is_found(
    operations: list[Entry], mark: Mark | None, kinds: set[str]
) -> None:
    findings = judged(operations, mark)
    assert found(findings) == kinds, findings.told()
    assert not findings.clean
    assert all("notes ('DE', 'n1')" in text for text in findings.told())


@pytest.mark.parametrize(
    ("operations", "marks"),
    [
        ([unanswered(None, "a")], (None, "a")),
        ([CHAIN[0], unanswered("a", "b")], ("a", "b")),
        ([CHAIN[0], unanswered("a", None)], ("a", None)),
        ([CHAIN[0], unanswered("a", None), wrote(None, "c", at=3)], ("c",)),
        ([CHAIN[0], unanswered("a", "b"), wrote("b", "c", at=3)], ("c",)),
        ([CHAIN[0], unanswered("a", "b"), wrote("a", "c", at=3)], ("c",)),
        ([CHAIN[0], unanswered("a", "b"), wrote("b", None, at=3)], (None,)),
    ],
)
def test_a_write_that_may_or_may_not_be_there_is_no_alarm(
    operations: list[Entry], marks: tuple[Mark | None, ...]
) -> None:
    for mark in marks:
        findings = judged(operations, mark)
        assert findings.clean, findings.told()


def test_an_open_outcome_hides_no_loss_of_another_write() -> None:
    operations = [*CHAIN[:2], unanswered(None, "x")]
    assert "lost" in found(judged(operations, "a"))
    assert found(judged([CHAIN[0], unanswered("z", "y")], None)) == {"lost"}


def test_an_open_outcome_that_the_application_was_told_is_an_error() -> None:
    findings = judged([wrote(None, "a", error="outcome-unknown")], "a")
    assert (found(findings), dict(findings.errors)) == (set(), {"outcome-unknown": 1})
    assert not findings.clean


@pytest.mark.parametrize("code", ["unavailable", "deadline-exceeded", "internal", "invalid-value"])
def test_an_operation_that_failed_is_an_error(code: str) -> None:
    for operation in (wrote(None, "a", error=code), Entry("get", 1, 2, [], False, False, code)):
        findings = judged([operation])
        assert dict(findings.errors) == {code: 1}
        assert findings.told() == [f"error {code}: 1"]
        assert not findings.clean


def test_what_a_read_should_not_have_seen_is_wrong() -> None:
    operation = Entry("query", 1, 2, [], False, True, wrong="DE: 3 of 4")
    assert judged([operation]).told() == ["wrong: query: DE: 3 of 4"]


@pytest.mark.parametrize(
    ("operations", "visits", "kinds"),
    [
        ([counted(), counted()], 2, set()),
        ([counted(), counted()], 1, {"lost"}),
        ([counted(), counted()], 3, {"doubled"}),
        ([counted(), counted(answered=False)], 1, set()),
        ([counted(), counted(answered=False)], 2, set()),
        ([counted(), counted(answered=False)], 0, {"lost"}),
        ([counted(), counted(answered=False)], 3, {"doubled"}),
        ([counted(error="conflict")], 0, set()),
        ([counted(error="conflict")], 1, {"doubled"}),
        ([], 1, {"doubled"}),
    ],
)
def test_increments_are_counted(operations: list[Entry], visits: int, kinds: set[str]) -> None:
    assert found(judged(operations, now=city(visits=visits))) == kinds


@pytest.mark.parametrize(
    ("was", "now", "kinds"),
    [
        (city(state=""), city(state=""), set()),
        (city(state=""), city(state="BY"), {"different"}),
        (city(state=""), city(), {"different"}),
        (city(), city(state=""), {"different"}),
        (city(people=1), city(people=1.0), {"different"}),
        (city(people=1), city(people=True), {"different"}),
        (city(height=0.0), city(height=-0.0), {"different"}),
        (city(population=5), city(population=6), {"different"}),
    ],
)
def test_what_nobody_wrote_must_be_as_it_was(was: Fields, now: Fields, kinds: set[str]) -> None:
    assert found(judged([], was=was, now=now)) == kinds


def test_a_record_that_nobody_wrote_and_is_gone_is_lost() -> None:
    findings = judge([], {"cities": {CITY: city()}}, {"cities": {}})
    assert found(findings) == {"lost"}


def test_a_transaction_on_loaded_records_rests_on_them() -> None:
    touch = Touch(("cities", CITY), LOADED, "t1")
    operations = [Entry("transaction", 1, 2, [touch], writes=True, acked=True)]
    moved = city(mark="t1", population=4)
    assert judged(operations, was=city(population=5), now=moved).clean
    undone = judged(operations, was=city(population=5))
    assert found(undone) == {"lost", "returned"}
    elsewhere = judged(operations, was=city(population=5), now={**moved, "name": "Bonn"})
    assert found(elsewhere) == {"different"}


def test_a_person_is_told_ten_findings_and_all_errors() -> None:
    operations = [wrote(None, f"m{n}", key=("DE", f"n{n}")) for n in range(30)]
    findings = judged([*operations, wrote(None, "x", error="unavailable")])
    assert len(findings.lost) == 60
    assert len(findings.told()) == 11
