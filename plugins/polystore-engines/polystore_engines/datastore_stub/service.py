"""The state behind the calls: databases, open transactions, one lock."""

from __future__ import annotations

import secrets
import threading
import time
from typing import NamedTuple

import grpc

from polystore_engines.datastore_stub import limits
from polystore_engines.datastore_stub.appengine import Message, datastore_pb
from polystore_engines.datastore_stub.database import Database
from polystore_engines.datastore_stub.errors import ApiError, need, no_transaction
from polystore_engines.datastore_stub.timestamps import MICROS, now_micros, to_micros
from polystore_engines.datastore_stub.transactions import Transaction

CLOCK_SKEW_MICROS = 1000
"""How far in the future a read_time may be before it is refused."""


class Read(NamedTuple):
    """How one call reads.

    Attributes:
        transaction: the one it reads in, or None.
        token: of the transaction that this very call began; else empty.
        as_of: the version it reads at; None: now.
    """

    transaction: Transaction | None
    token: bytes
    as_of: int | None


class Service:
    """One project's databases; one lock, like one very small server.

    Args:
        project: the only project whose requests are served.
    """

    def __init__(self, project: str) -> None:
        self.project = project
        self.lock = threading.Lock()
        self._databases: dict[str, Database] = {}
        self._transactions: dict[bytes, tuple[Database, Transaction]] = {}

    def reset(self) -> None:
        """Empties everything."""
        with self.lock:
            self._databases.clear()
            self._transactions.clear()

    def database(self, request: Message) -> Database:
        """The database that a request names, made when first named."""
        need(
            request.project_id == self.project or not request.project_id,
            f'This server serves project "{self.project}", not "{request.project_id}".',
        )
        request.project_id = self.project
        if request.database_id not in self._databases:
            self._databases[request.database_id] = Database(self.project)
        return self._databases[request.database_id]

    def begin(self, database: Database, options: Message) -> bytes:
        """Begins a transaction and returns its token."""
        token = secrets.token_bytes(16)
        modes = datastore_pb.BeginTransactionRequest
        read_only = options.HasField("read_only")
        transaction = database.begin(modes.READ_ONLY if read_only else modes.READ_WRITE)
        if options.read_only.HasField("read_time"):
            transaction.version = read_time(options.read_only.read_time)
        self._transactions[token] = database, transaction
        return token

    def transaction(self, database: Database, token: bytes) -> Transaction:
        """An open transaction of this database.

        Raises:
            ApiError: it expired, is closed, or never was.
        """
        owner, transaction = self._transactions.get(token, (None, None))
        if transaction is not None and _expired(transaction):
            del self._transactions[token]
            transaction = None
        if transaction is None or owner is not database:
            raise no_transaction()
        transaction.used = time.monotonic()
        return transaction

    def close(self, database: Database, token: bytes) -> Transaction:
        """The same, and its token is good for nothing from now on."""
        transaction = self.transaction(database, token)
        del self._transactions[token]
        return transaction

    def reading(self, database: Database, options: Message) -> Read:
        """How a call with these ReadOptions reads."""
        kind = options.WhichOneof("consistency_type")
        if kind == "transaction":
            need(options.transaction, "a transaction cannot be the the empty string.")
            transaction = self.transaction(database, options.transaction)
            return Read(transaction, b"", transaction.version)
        if kind == "new_transaction":
            token = self.begin(database, options.new_transaction)
            transaction = self._transactions[token][1]
            return Read(transaction, token, transaction.version)
        if kind == "read_time":
            return Read(None, b"", read_time(options.read_time))
        return Read(None, b"", None)


def _expired(transaction: Transaction) -> bool:
    now = time.monotonic()
    return (
        now - transaction.used > limits.TXN_IDLE_SECONDS
        or now - transaction.born > limits.TXN_TOTAL_SECONDS
    )


def read_time(stamp: Message) -> int:
    """The version that a read_time asks for, in microseconds."""
    micros, now = to_micros(stamp), now_micros()
    need(micros <= now + CLOCK_SKEW_MICROS, "read_time is in the future.")
    if now - micros > limits.STALE_READ_SECONDS * MICROS:
        raise ApiError(
            grpc.StatusCode.FAILED_PRECONDITION, "The requested snapshot version is too old."
        )
    return micros
