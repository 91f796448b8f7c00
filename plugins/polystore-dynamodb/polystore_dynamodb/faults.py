"""Native exceptions to errors of the tree (database-facts 2.2 and 2.9).

Native messages may hold values of fields, so none is repeated: the exception is the cause.
"""

from __future__ import annotations

from typing import Any

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    EndpointConnectionError,
    HTTPClientError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
    ProxyConnectionError,
    SSLError,
    TokenRetrievalError,
    UnauthorizedSSOTokenError,
)

from polystore.errors import (
    ConfigError,
    Conflict,
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
from polystore_dynamodb.limits import (
    DEPTH,
    INDEX_RANGE,
    ITEM,
    PARTITION_KEY,
    REQUEST,
    SORT_KEY,
    TRANSACTION_SIZE,
)

THROTTLED = frozenset(
    {
        "ProvisionedThroughputExceeded",
        "ProvisionedThroughputExceededException",
        "Throttling",
        "ThrottlingError",
        "ThrottlingException",
        "ThrottledException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "TooManyRequestsException",
        "LimitExceededException",
        "SlowDown",
    }
)
CONTENDED = frozenset(
    {
        "TransactionConflict",
        "TransactionConflictException",
        "ReplicatedWriteConflictException",
    }
)
DENIED = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "UnrecognizedClientException",
        "InvalidSignatureException",
        "InvalidClientTokenId",
        "IncompleteSignature",
        "IncompleteSignatureException",
        "MissingAuthenticationToken",
        "MissingAuthenticationTokenException",
        "ExpiredToken",
        "ExpiredTokenException",
        "SignatureDoesNotMatch",
        "RequestExpired",
        "KMSAccessDeniedException",
    }
)
INVALID = frozenset({"ValidationException", "ValidationError", "SerializationException"})
NO_INDEX = "does not have the specified index"
"""What the service says of an index that is not there; its code is that of invalid requests."""

READ_OPERATIONS = frozenset({"GetItem", "BatchGetItem", "Query", "Scan", "DescribeTable"})
IDENTITY_ERRORS = (
    NoCredentialsError,
    PartialCredentialsError,
    CredentialRetrievalError,
    TokenRetrievalError,
    UnauthorizedSSOTokenError,
)
NOT_SENT = (EndpointConnectionError, ConnectTimeoutError, ProxyConnectionError)
GIBIBYTE = 1 << 30

_LIMIT_TEXTS = (
    ("item size", ITEM, "the item is over the limit"),
    ("nesting levels", DEPTH, "lists and maps are nested over the limit"),
    ("hashkey", PARTITION_KEY, "the partition key is over the limit"),
    ("range key", SORT_KEY, "the sort key is over the limit"),
    ("primary key values must be under", SORT_KEY, "a key is over the limit"),
    ("payload size", TRANSACTION_SIZE, "the transaction is over the limit"),
    ("aggregate size", TRANSACTION_SIZE, "the transaction is over the limit"),
    ("size limit exceeded", INDEX_RANGE, "an indexed value is over the limit"),
)
"""What the service and DynamoDB Local say, lower case; the first that fits."""


def error_of(error: Exception) -> PolystoreError:
    """The error of the tree that a native exception stands for."""
    if isinstance(error, PolystoreError):
        return error
    if isinstance(error, ClientError):
        return _refusal(error)
    if isinstance(error, IDENTITY_ERRORS):
        return PermissionDenied(
            "boto3 found no usable AWS credentials; set them up in the environment, the AWS "
            "configuration or the instance's role",
            driver="dynamodb",
        )
    if isinstance(error, (NoRegionError, ProfileNotFound)):
        return ConfigError(
            "no usable AWS region or profile; name the region in the URL: dynamodb://REGION",
            driver="dynamodb",
        )
    if isinstance(error, NOT_SENT) or (isinstance(error, SSLError) and _is_handshake(error)):
        return Unavailable(f"no connection: {type(error).__name__}", driver="dynamodb")
    if isinstance(error, HTTPClientError):
        return OutcomeUnknown(f"sent, no answer: {type(error).__name__}", driver="dynamodb")
    return _unexpected(error)


def _unexpected(error: Exception) -> PolystoreError:
    where = "botocore" if isinstance(error, BotoCoreError) else "the driver"
    return DriverError(f"unexpected {type(error).__name__} from {where}", driver="dynamodb")


def _is_handshake(error: Exception) -> bool:
    """Whether TLS failed before a request could be sent."""
    text = str(error)
    signs = ("CERTIFICATE_VERIFY_FAILED", "WRONG_VERSION_NUMBER", "HANDSHAKE", "UNKNOWN_PROTOCOL")
    return any(sign in text.upper() for sign in signs)


def code_of(error: ClientError) -> str:
    """DynamoDB's code for an error."""
    code: str = error.response.get("Error", {}).get("Code", "")
    return code


def reasons_of(error: ClientError) -> list[dict[str, Any]]:
    """Why a transaction was cancelled: an entry for each of its parts."""
    reasons: list[dict[str, Any]] = error.response.get("CancellationReasons", [])
    return reasons


def _refusal(error: ClientError) -> PolystoreError:
    code = code_of(error)
    if code == "TransactionCanceledException":
        return _cancelled(error)
    message = str(error.response.get("Error", {}).get("Message", ""))
    return _by_code(code, message, error.operation_name, _status(error))


def _status(error: ClientError) -> int:
    status: int = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 400)
    return status


def _cancelled(error: ClientError) -> PolystoreError:
    """Of several reasons the one that decides: invalid, condition, contention, throttled."""
    reasons = reasons_of(error)
    codes = {str(reason.get("Code", "None")) for reason in reasons} - {"None"}
    for decisive in (INVALID | {"ItemCollectionSizeLimitExceeded"}, {"ConditionalCheckFailed"}):
        for reason in reasons:
            if reason.get("Code") in decisive:
                message = str(reason.get("Message", ""))
                return _by_code(reason["Code"], message, error.operation_name, 400)
    for decisive in (CONTENDED, THROTTLED):
        if codes & decisive:
            return _by_code(min(codes & decisive), "", error.operation_name, 400)
    return DriverError(
        f"the transaction was cancelled: {', '.join(sorted(codes)) or 'no reason'}",
        driver="dynamodb",
    )


def _by_code(code: str, message: str, operation: str, status: int) -> PolystoreError:
    if code in THROTTLED:
        return Throttled(f"{operation}: {code}", driver="dynamodb")
    if code in CONTENDED:
        return Contention(f"{operation}: {code}", driver="dynamodb")
    if code in ("ConditionalCheckFailedException", "ConditionalCheckFailed"):
        return Conflict(f"{operation}: a condition did not hold", driver="dynamodb")
    no_index = code in INVALID and NO_INDEX in message
    if no_index or code in ("ResourceNotFoundException", "TableNotFoundException"):
        return ConfigError(
            f"{operation}: the table or index is not there; run store.create(), or correct the "
            "placement's table, the prefix or the region",
            driver="dynamodb",
        )
    if code == "ResourceInUseException":
        return Unavailable(f"{operation}: the table is being made or changed", driver="dynamodb")
    if code in DENIED:
        return PermissionDenied(f"{operation}: {code}", driver="dynamodb")
    if code in INVALID or code.startswith("ItemCollectionSizeLimit") or status == 413:
        return _invalid(code, message, operation)
    if code == "IdempotentParameterMismatchException":
        return InvalidRequest(f"{operation}: one write id for two commits", driver="dynamodb")
    if status >= 500 or code in ("TransactionInProgressException", "InternalServerError"):
        return _broken(operation, code)
    return DriverError(f"{operation}: {code or 'no code'}", driver="dynamodb")


def _invalid(code: str, message: str, operation: str) -> PolystoreError:
    if code.startswith("ItemCollectionSizeLimit"):
        return _too_large(operation, "the partition is over the limit", 10 * GIBIBYTE, "bytes")
    if code == "413":
        return _too_large(operation, "the request is over the limit", REQUEST.most, REQUEST.unit)
    for text, limit, problem in _LIMIT_TEXTS:
        if text in message.lower():
            return _too_large(operation, problem, limit.most, limit.unit)
    return InvalidRequest(
        f"{operation}: DynamoDB calls the request invalid ({code}); its words are in the cause",
        driver="dynamodb",
    )


def _too_large(operation: str, problem: str, limit: int, unit: str) -> LimitExceeded:
    """DynamoDB names no size; all that is known is that it is over."""
    return LimitExceeded(
        f"{operation}: {problem} of {limit} {unit}",
        limit=limit,
        size=limit + 1,
        unit=unit,
        driver="dynamodb",
    )


def _broken(operation: str, code: str) -> PolystoreError:
    if operation in READ_OPERATIONS:
        return Unavailable(f"{operation}: {code}", driver="dynamodb")
    return OutcomeUnknown(f"{operation}: {code}, applied once or never", driver="dynamodb")
