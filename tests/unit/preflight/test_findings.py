"""Findings add up the same, however records are dealt out to pages, segments and processes."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polystore.capabilities import Limit
from polystore.migration.preflight.findings import (
    MOST_EXAMPLES,
    PART_SHOWN,
    Cases,
    Cause,
    Findings,
    Kind,
    shown_key,
)
from polystore.route.checks import Violation, exceeded
from polystore.values import Key

LIMIT = Limit(10, "bytes", "what the test says", "the test")
SIZE = Cause(Kind.REFUSE, "records.size", "one")

violated = st.tuples(
    st.tuples(st.integers(0, 99)),
    st.lists(
        st.tuples(st.sampled_from(["records.size", "keys.sort"]), st.integers(11, 20)), max_size=3
    ),
)


def found(records: Iterable[tuple[Key, list[tuple[str, int]]]]) -> Findings:
    """The findings of records with these violations."""
    findings = Findings()
    for key, sizes in records:
        findings.violated(key, [exceeded(c, LIMIT, s, "the record", "one") for c, s in sizes])
    return findings


def summed(findings: Findings) -> dict[Cause, tuple[int, int, list[int]]]:
    """What does not depend on which of equal examples was met first."""
    return {
        cause: (cases.count, cases.worst, [size for size, _ in cases.examples])
        for cause, cases in findings
    }


@pytest.mark.rule("PRE-2", "PRE-3")
@given(st.lists(violated, max_size=30, unique_by=lambda record: record[0]), st.data())
def test_a_checkpoint_anywhere_changes_nothing(
    records: list[tuple[Key, list[tuple[str, int]]]], data: st.DataObject
) -> None:
    cut = data.draw(st.integers(0, len(records)))
    whole, first, second = found(records), found(records[:cut]), found(records[cut:])
    kept = Findings.from_fields(first.to_fields())
    kept.join(second)
    second.join(first)
    assert summed(kept) == summed(second) == summed(whole)
    for cause, cases in whole:
        worst = sorted((max(s for c, s in sizes if c == cause.code), key)
                       for key, sizes in records if cause.code in dict(sizes))  # fmt: skip
        assert cases.count == len(worst)
        assert len(cases.examples) == min(len(worst), MOST_EXAMPLES)


@pytest.mark.rule("PRE-2")
def test_a_record_counts_once_for_each_cause_and_fields_are_no_causes() -> None:
    findings = Findings()
    deep = [Violation(code="records.depth", says="", driver="one", path=p) for p in ("a", "b")]
    keys = [Violation(code="keys.empty", says="", driver="one", path=p) for p in ("a", "b")]
    findings.violated(("k",), deep + keys)
    assert {cause.name: cases.count for cause, cases in findings} == {
        "records.depth@one": 1,
        "keys.empty@one:a": 1,
        "keys.empty@one:b": 1,
    }


@pytest.mark.rule("PRE-2")
def test_an_example_of_a_long_key_is_cut_so_that_the_control_store_holds_it() -> None:
    key = ("x" * 2000, 7, b"y" * 2000)
    cut = shown_key(key)
    assert cut == ("x" * PART_SHOWN + "…", 7, b"y" * PART_SHOWN + b"...")
    cases = Cases()
    cases.add(key, "too long", 4000)
    assert cases.examples == [(4000, cut)]
    assert Cases.from_fields(cases.to_fields()) == cases
