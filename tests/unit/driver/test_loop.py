"""Many writes where the driver sends them one by one: the default of the contract."""

from __future__ import annotations

import pytest

from polystore.driver import Refused, Unprocessed, Write, Written
from polystore.drivers.memory import MemoryDriver
from polystore.drivers.memory.driver import Space
from polystore.errors import Contention, OutcomeUnknown, PolystoreError, Throttled, Unavailable
from polystore.schema import Collection

THINGS = Collection("things", ["id"])


class Failing(MemoryDriver):
    """The write of the key ``x`` fails."""

    def __init__(self, error: PolystoreError) -> None:
        super().__init__(Space())
        self.error = error
        self.create(THINGS)

    def write(self, write: Write) -> Written | Refused:
        if write.key == ("x",):
            raise self.error
        return super().write(write)

    def many(self) -> list[type]:
        outcomes = self.write_many([Write(THINGS, (k,), {"id": k}) for k in ("a", "x", "b")])
        return [type(outcome) for outcome in outcomes]


@pytest.mark.rule("DRV-4", "DRV-7", "DRV-17")
@pytest.mark.parametrize(
    ("error", "told"),
    [
        (Contention("x"), [Written, Unprocessed, Written]),
        (Unavailable("x"), [Written, Unprocessed, Unprocessed]),
        (Throttled("x"), [Written, Unprocessed, Unprocessed]),
    ],
)
def test_what_was_applied_before_one_that_was_not_is_told(
    error: PolystoreError, told: list[type]
) -> None:
    driver = Failing(error)
    assert driver.many() == told
    assert (("b",) in driver.native()["things"].rows) == (told[2] is Written)


@pytest.mark.rule("DRV-4")
def test_an_open_outcome_is_raised_for_all() -> None:
    with pytest.raises(OutcomeUnknown):
        Failing(OutcomeUnknown("x")).many()
