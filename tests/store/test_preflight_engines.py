"""The preflight between real engines: every seeded violation is found, clean data raise nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from benchmarks.violations import alarms, seeded

PAIRS = (("datastore", "dynamodb"), ("dynamodb", "datastore"))


@pytest.mark.engine
@pytest.mark.rule("PRE-8", "PRE-2")
@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
def test_every_seeded_violation_is_found(
    pair: tuple[str, str], url_of: Callable[[str], str]
) -> None:
    source, target = map(url_of, pair)
    found = seeded(source, target)
    assert found.wanted == found.found
    assert found.unseeded == frozenset()


@pytest.mark.engine
@pytest.mark.rule("PRE-8", "PRE-9")
def test_clean_data_raise_nothing_but_notes(url_of: Callable[[str], str]) -> None:
    found = alarms(url_of("datastore"), url_of("dynamodb"), 200)
    assert (found.looked, found.refused) == (452, ())
    assert {
        "cities/values.native@dynamodb:point",
        "countries/values.native@dynamodb:float",
    } <= set(found.notes)
