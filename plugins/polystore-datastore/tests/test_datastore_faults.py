"""gRPC's statuses as errors of the tree."""

from __future__ import annotations

import grpc
import pytest
from google.auth.exceptions import GoogleAuthError

from polystore.errors import (
    ConfigError,
    Contention,
    DriverError,
    InvalidRequest,
    LimitExceeded,
    OutcomeUnknown,
    PermissionDenied,
    PolystoreError,
    Throttled,
    Unavailable,
)
from polystore_datastore.faults import call_error, error_of, is_refusal

Code = grpc.StatusCode
SECRET = "the value of a field"


class Failure(grpc.RpcError):
    """What gRPC raises, with a status."""

    def __init__(self, code: grpc.StatusCode, details: str = SECRET) -> None:
        super().__init__()
        self._code, self._details = code, details

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return self._details


OPEN = [Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED, Code.INTERNAL, Code.UNKNOWN, Code.CANCELLED]


@pytest.mark.rule("DRV-7")
@pytest.mark.parametrize("code", OPEN)
def test_without_an_answer_a_commit_is_open_and_a_read_is_not(code: grpc.StatusCode) -> None:
    assert type(call_error("Commit", Failure(code))) is OutcomeUnknown
    assert type(call_error("Lookup", Failure(code))) is Unavailable
    assert type(call_error("RunQuery", Failure(code))) is Unavailable


@pytest.mark.rule("DRV-7", "ERR-3")
@pytest.mark.parametrize("method", ["Commit", "Lookup"])
@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (Code.RESOURCE_EXHAUSTED, Throttled),
        (Code.ABORTED, Contention),
        (Code.PERMISSION_DENIED, PermissionDenied),
        (Code.UNAUTHENTICATED, PermissionDenied),
        (Code.INVALID_ARGUMENT, InvalidRequest),
        (Code.DATA_LOSS, DriverError),
    ],
)
def test_a_status_is_an_error_of_the_tree(
    method: str, code: grpc.StatusCode, kind: type[PolystoreError]
) -> None:
    error = call_error(method, Failure(code))
    assert type(error) is kind
    assert SECRET not in str(error)
    assert error.driver == "datastore"


@pytest.mark.parametrize("method", ["Commit", "Lookup"])
def test_without_a_connection_nothing_was_sent(method: str) -> None:
    details = "failed to connect to all addresses; last error: UNKNOWN: connection refused"
    assert type(call_error(method, Failure(Code.UNAVAILABLE, details))) is Unavailable
    details = "Getting metadata from plugin failed with error: ('invalid_grant: …')"
    assert type(call_error(method, Failure(Code.UNAVAILABLE, details))) is PermissionDenied


def test_limits_are_told_from_other_mistakes() -> None:
    error = call_error("Commit", Failure(Code.INVALID_ARGUMENT, "The entity is too big: 1 bytes"))
    assert isinstance(error, LimitExceeded)
    assert (error.limit, error.unit) == (1_048_572, "bytes")


@pytest.mark.parametrize("code", [Code.FAILED_PRECONDITION, Code.ALREADY_EXISTS, Code.NOT_FOUND])
def test_refusals_of_a_commit(code: grpc.StatusCode) -> None:
    assert is_refusal(Failure(code))


def test_a_query_without_its_composite_index_says_so() -> None:
    error = call_error("RunQuery", Failure(Code.FAILED_PRECONDITION))
    assert isinstance(error, ConfigError)
    assert "index" in str(error)


@pytest.mark.rule("ERR-1")
def test_what_is_raised_outside_a_call_is_translated() -> None:
    identity = GoogleAuthError(SECRET)  # type: ignore[no-untyped-call]  # the SDK's
    assert type(error_of(identity)) is PermissionDenied
    assert type(error_of(RuntimeError(SECRET))) is DriverError
    assert SECRET not in str(error_of(RuntimeError(SECRET)))
    known = Throttled("later")
    assert error_of(known) is known
