"""The preflight between real engines: every seeded violation is found, clean data raise nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from benchmarks.violations import alarms, seeded

PAIRS = (("datastore", "dynamodb"), ("dynamodb", "datastore"))


@pytest.mark.engine
@pytest.mark.rule("PRE-8", "PRE-2", "PRE-9")
@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
def test_every_seeded_violation_is_found_and_clean_data_raise_nothing(
    pair: tuple[str, str], url_of: Callable[[str], str]
) -> None:
    source, target = map(url_of, pair)
    found = seeded(source, target)
    assert found.wanted == found.found
    assert found.unseeded == frozenset()
    assert alarms(source, target, 200) == (452, [])
