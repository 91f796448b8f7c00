"""Refusals, with the status code that the service gives them."""

from __future__ import annotations

import grpc

from polystore_engines.datastore_stub.appengine import datastore_pb


class ApiError(Exception):
    """A call is refused.

    Attributes:
        code: the gRPC status that the client sees.
    """

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code


def invalid(message: str) -> ApiError:
    """The refusal of a request that no state of the database would make right."""
    return ApiError(grpc.StatusCode.INVALID_ARGUMENT, message)


def need(condition: object, message: str) -> None:
    """Refuses the request unless the condition is true."""
    if not condition:
        raise invalid(message)


def no_transaction() -> ApiError:
    """What the service answers for transactions that expired, are closed or never were."""
    return invalid("The referenced transaction has expired or is no longer valid.")


V3_CODES = {
    datastore_pb.Error.BAD_REQUEST: grpc.StatusCode.INVALID_ARGUMENT,
    datastore_pb.Error.CONCURRENT_TRANSACTION: grpc.StatusCode.ABORTED,
    datastore_pb.Error.NEED_INDEX: grpc.StatusCode.FAILED_PRECONDITION,
    datastore_pb.Error.TIMEOUT: grpc.StatusCode.DEADLINE_EXCEEDED,
    datastore_pb.Error.PERMISSION_DENIED: grpc.StatusCode.PERMISSION_DENIED,
}
"""What Google's v3 code raises, as today's status codes."""
