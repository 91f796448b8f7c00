"""Broken drivers whose database is behind a network: what they do where a call fails, and forks."""

from __future__ import annotations

import contextlib
import os
import pickle
import socket
import socketserver
import threading
from collections.abc import Sequence
from typing import Any

import attrs

from polystore.capabilities import Capabilities
from polystore.driver import (
    ANYTHING,
    Anything,
    Check,
    Committed,
    Consistency,
    Description,
    Driver,
    QueryPage,
    ReadReply,
    Refused,
    Rejected,
    ScanPage,
    Segment,
    Sizes,
    Unprocessed,
    Write,
    Written,
)
from polystore.driver.absence import closed
from polystore.driver.bookkeeping import holds
from polystore.drivers.memory import MemoryDriver
from polystore.drivers.memory.driver import Space
from polystore.errors import DriverError, OutcomeUnknown, PolystoreError, Unavailable
from polystore.queries import Position, QueryPlan
from polystore.schema import Collection
from polystore.testing import child  # noqa: F401  # it lets declarations be pickled
from polystore.testing.harness import Address
from polystore.values import Key

READS = {"read", "query", "scan", "describe"}
HEAD = 4


class Server(socketserver.ThreadingTCPServer):
    """Memory, for whoever connects. It ends with its process."""

    daemon_threads = True

    def __init__(self, space: Space) -> None:
        super().__init__(("127.0.0.1", 0), _Session)
        self.memory = MemoryDriver(space)
        self.port: int = self.server_address[1]
        threading.Thread(target=self.serve_forever, daemon=True).start()


class _Session(socketserver.BaseRequestHandler):
    server: Server

    def handle(self) -> None:
        with contextlib.suppress(OSError, EOFError):
            while True:
                name, arguments = _received(self.request)
                try:
                    told: Any = getattr(self.server.memory, name)(*arguments)
                except PolystoreError as error:
                    told = error
                _send(self.request, told)


def _send(connection: socket.socket, told: object) -> None:
    data = pickle.dumps(told)
    connection.sendall(len(data).to_bytes(HEAD, "big") + data)


def _received(connection: socket.socket) -> Any:
    size = int.from_bytes(_exactly(connection, HEAD), "big")
    return pickle.loads(_exactly(connection, size))


def _exactly(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = connection.recv(size - len(data))
        if not piece:
            raise ConnectionResetError
        data += piece
    return data


@attrs.frozen
class RemoteAddress(Address):
    """``remote://127.0.0.1:PORT?mutant=NAME&timeout=SECONDS``."""

    mutant: type[Remote] = attrs.field(kw_only=True)

    def open(self) -> Driver:
        _, _, timeout = self.url.partition("timeout=")
        assert self.port is not None
        return self.mutant(self.port, float(timeout or 5))


class Remote(Driver):
    """A sound one: a connection for each thread, closed after any failure, left by a fork."""

    name = "remote"

    def __init__(self, port: int, timeout: float) -> None:
        self._port = port
        self._timeout: float | None = timeout
        self._open = True
        self._connections: dict[Any, socket.socket] = {}
        self._model = MemoryDriver(Space())

    # How it calls

    def _whose(self) -> Any:
        """Who has a connection of its own."""
        return os.getpid(), threading.get_ident()

    def _call(self, name: str, *arguments: Any) -> Any:
        if not self._open:
            raise closed(self.name)
        connection = self._connections.get(self._whose()) or self._connected()
        try:
            _send(connection, (name, arguments))
            told = _received(connection)
        except (OSError, EOFError) as error:
            self._failed()
            raise self._lost(name) from error
        if isinstance(told, PolystoreError):
            raise told
        return told

    def _connected(self) -> socket.socket:
        try:
            made = socket.create_connection(("127.0.0.1", self._port), timeout=self._timeout)
        except OSError as error:
            raise Unavailable("nobody listens", driver=self.name) from error
        self._connections[self._whose()] = made
        return made

    def _failed(self) -> None:
        """A connection is of no use any more."""
        connection = self._connections.pop(self._whose(), None)
        if connection is not None:  # else another thread has closed the driver
            connection.close()

    def _lost(self, name: str) -> PolystoreError:
        """What a call without an answer is."""
        return (Unavailable if name in READS else OutcomeUnknown)("no answer", driver=self.name)

    # The contract

    def capabilities(self, collection: Collection) -> Capabilities:
        return self._model.capabilities(collection)

    def measure(self, write: Write) -> Sizes:
        return self._model.measure(write)

    def read(
        self, collection: Collection, keys: Sequence[Key], consistency: Consistency
    ) -> ReadReply:
        reply: ReadReply = self._call("read", collection, keys, consistency)
        return reply

    def write(self, write: Write) -> Written | Refused:
        told: Written | Refused = self._call("write", write)
        return told

    def write_many(self, writes: Sequence[Write]) -> list[Written | Refused | Unprocessed]:
        told: list[Written | Refused | Unprocessed] = self._call("write_many", writes)
        return told

    def commit(self, writes: Sequence[Write], checks: Sequence[Check]) -> Committed | Rejected:
        told: Committed | Rejected = self._call("commit", writes, checks)
        return told

    def query(
        self, collection: Collection, plan: QueryPlan, after: Position | None, limit: int
    ) -> QueryPage:
        page: QueryPage = self._call("query", collection, plan, after, limit)
        return page

    def scan(
        self, collection: Collection, segment: Segment, cursor: str | None, limit: int
    ) -> ScanPage:
        page: ScanPage = self._call("scan", collection, segment, cursor, limit)
        return page

    def translate(self, error: Exception) -> PolystoreError:
        if isinstance(error, PolystoreError):
            return error
        return DriverError(f"{type(error).__name__}", driver=self.name)

    def create(self, collection: Collection) -> None:
        self._call("create", collection)

    def drop(self, collection: Collection) -> None:
        self._call("drop", collection)

    def describe(self, collection: Collection) -> Description:
        found: Description = self._call("describe", collection)
        return found

    def native(self, collection: Collection | None = None) -> None:
        if not self._open:
            raise closed(self.name)

    def close(self) -> None:
        self._open = False
        while self._connections:
            self._connections.popitem()[1].close()


class LostAnswerToldAsNotApplied(Remote):
    """A write without an answer was not executed, it says."""

    def _lost(self, name: str) -> PolystoreError:
        return Unavailable("no answer", driver=self.name)


class LostAnswerToldAsWritten(Remote):
    """It hopes for the best."""

    def write(self, write: Write) -> Written | Refused:
        try:
            return super().write(write)
        except OutcomeUnknown:
            return Written(None)


class RepeatedAndRefused(Remote):
    """It sends a conditional write again; the first sending's own success refuses it."""

    def write(self, write: Write) -> Written | Refused:
        try:
            return super().write(write)
        except OutcomeUnknown:
            return super().write(write)


class RepeatedBlindly(Remote):
    """It sends a write without a condition again: what another wrote meanwhile is gone."""

    def write(self, write: Write) -> Written | Refused:
        try:
            return super().write(write)
        except OutcomeUnknown:
            if not isinstance(write.condition, Anything):
                raise
            return super().write(write)


class ManyLeftOpenToldAsUnprocessed(Remote):
    """Many writes without an answer are unprocessed, it says."""

    def write_many(self, writes: Sequence[Write]) -> list[Written | Refused | Unprocessed]:
        try:
            return super().write_many(writes)
        except OutcomeUnknown:
            return [Unprocessed(Unavailable("no answer", driver=self.name)) for _ in writes]


class WaitsForEver(Remote):
    """It has no time-out of its own."""

    def __init__(self, port: int, timeout: float) -> None:
        super().__init__(port, timeout)
        self._timeout = None


class LateAnswerForTheNext(Remote):
    """A connection whose answer is still due is kept: the next call gets that answer."""

    def _failed(self) -> None:
        if self._connections[self._whose()].fileno() < 0 or not self._due():
            super()._failed()

    def _due(self) -> bool:
        """Whether the other end is still there."""
        connection = self._connections[self._whose()]
        connection.setblocking(False)
        try:
            return connection.recv(1, socket.MSG_PEEK) != b""
        except BlockingIOError:
            return True
        except OSError:
            return False
        finally:
            connection.settimeout(self._timeout)


class NeverConnectsAgain(Remote):
    """After a failure it has no connection for good."""

    def _failed(self) -> None:
        self._connections[self._whose()].close()


class FailedConnectionsLeftOpen(Remote):
    """After a failure it takes a new connection, and leaves the old one open."""

    def __init__(self, port: int, timeout: float) -> None:
        super().__init__(port, timeout)
        self._left: list[socket.socket] = []

    def _failed(self) -> None:
        self._left.append(self._connections.pop(self._whose()))

    def close(self) -> None:
        super().close()
        for connection in self._left:
            connection.close()


class DecidedInItsProcess(Remote):
    """Conditions are decided under a lock that other processes do not have."""

    _lock = threading.Lock()

    def write(self, write: Write) -> Written | Refused:
        with self._lock:
            reply = self.read(write.collection, [write.key], Consistency.STRONG)
            (current,) = reply.records
            if not holds(write.condition, current):
                return Refused(told=True, current=current)
            return super().write(attrs.evolve(write, condition=ANYTHING))


class SharedOverAFork(Remote):
    """Parent and child of a fork speak on one connection."""

    def _whose(self) -> Any:
        return threading.get_ident()


class SegmentsByHash(Remote):
    """Its segments are Python's hash of the key, which is another in every process."""

    def scan(
        self, collection: Collection, segment: Segment, cursor: str | None, limit: int
    ) -> ScanPage:
        index, count = segment.modulo()
        page = super().scan(collection, Segment(), cursor, limit)
        mine = [record for record in page.records if hash(record.key) % count == index]
        return ScanPage(mine, page.cursor)


_PLACES: list[str] = []


class CursorsOfItsProcess(Remote):
    """A cursor is the number of a place that its process remembers."""

    def scan(
        self, collection: Collection, segment: Segment, cursor: str | None, limit: int
    ) -> ScanPage:
        place = None if cursor is None else _PLACES[int(cursor)]
        page = super().scan(collection, segment, place, limit)
        if page.cursor is not None:
            _PLACES.append(page.cursor)
            page.cursor = f"{len(_PLACES) - 1}"
        return page


class LostPageIsTheEnd(Remote):
    """A page that did not come, after others that did, is taken for the end."""

    def scan(
        self, collection: Collection, segment: Segment, cursor: str | None, limit: int
    ) -> ScanPage:
        try:
            return super().scan(collection, segment, cursor, limit)
        except Unavailable:
            if cursor is None or not self._open:
                raise
            return ScanPage([], None)


class ConnectionsLeftOpen(Remote):
    """It closes the connection of the thread that closes it."""

    def close(self) -> None:
        self._open = False
        connection = self._connections.pop(self._whose(), None)
        if connection is not None:
            connection.close()
