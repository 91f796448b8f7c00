"""What became of a call that failed, in the order in which that is asked."""

from __future__ import annotations

import pytest

from polystore.driver.faults import Meanings, NotSent, Silent, error_of, meaning, reading
from polystore.errors import (
    DriverError,
    OutcomeUnknown,
    PermissionDenied,
    PolystoreError,
    Throttled,
    Unavailable,
)

MEANINGS: Meanings = {"AUTH PASS": (PermissionDenied, "wrong user"), "BUSY": (Throttled, "later")}


class Refusal(Exception):
    """The database said no; its words may hold a value."""


def refused(error: BaseException) -> PolystoreError | None:
    return meaning("shelf", str(error), MEANINGS) if isinstance(error, Refusal) else None


def caused(error: Exception, cause: BaseException) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.rule("DRV-7")
@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (Throttled("as it is"), Throttled),
        (Refusal("AUTHORIZE"), PermissionDenied),
        (Refusal("PASS"), PermissionDenied),
        (Refusal("BUSY"), Throttled),
        (Refusal("s3cret"), DriverError),
        (NotSent(), Unavailable),
        (caused(NotSent(), TimeoutError("s3cret")), Unavailable),
        (caused(NotSent(), Refusal("AUTH")), PermissionDenied),
        (Silent(), Unavailable),
        (TimeoutError("s3cret"), OutcomeUnknown),
        (ValueError("s3cret"), DriverError),
    ],
)
def test_what_was_sent_refused_or_only_read_decides(error: Exception, kind: type) -> None:
    found = error_of("shelf", error, refused, TimeoutError)
    assert type(found) is kind
    assert "s3cret" not in str(found)


@pytest.mark.rule("DRV-7")
def test_a_read_without_an_answer_is_silent_and_all_else_is_as_it_was() -> None:
    @reading(TimeoutError, NotSent)
    def read(error: Exception) -> None:
        raise error

    with pytest.raises(Silent):
        read(TimeoutError())
    with pytest.raises(NotSent):
        read(NotSent())
    with pytest.raises(ValueError, match="no number"):
        read(ValueError("no number"))
