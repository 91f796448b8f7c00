"""What the target could not hold is refused while two are in play, before the source is touched."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.store.refusals import tried


@pytest.mark.engine
@pytest.mark.rule("CAP-6", "CAP-4", "WR-1")
@pytest.mark.parametrize(
    ("source", "target"), [("datastore", "dynamodb"), ("dynamodb", "datastore")]
)
def test_what_the_target_refuses_leaves_both_sides_as_they_were(
    url_of: Callable[[str], str], source: str, target: str
) -> None:
    expected, results = tried(url_of(source), url_of(target))
    assert {result.code for result in results} == expected
    for result in results:
        assert result.error in ("limit-exceeded", "invalid-key"), result
        # How wide a transaction may be is a limit of the pair.
        assert result.driver == (None if result.code == "transactions.items" else target), result
        assert result.unchanged, result
