"""A driver on the Datastore stub, and collections of their own for each test."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any, TypeAlias

import pytest
from hypothesis import settings

from polystore.plugin.specs import DriverURL
from polystore.schema import Collection
from polystore_datastore.driver import DatastoreDriver, open_datastore
from polystore_engines import Engine

Made: TypeAlias = Callable[..., Collection]

_numbers = count()

# As in tests/conftest.py, which is not loaded where these tests run alone: a deadline would
# measure the machine.
settings.register_profile("datastore", settings(), deadline=None)
settings.load_profile("datastore")


class Wire:
    """A way to the engine on which answers can be lost."""

    def __init__(self, engine_port: int) -> None:
        self._engine_port = engine_port
        self._lost = threading.Event()
        self._server = socket.create_server(("127.0.0.1", 0))
        self._peers: list[socket.socket] = []
        self.port: int = self._server.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def lose_answers(self) -> None:
        """From now on requests reach the engine, and what it says does not come back."""
        self._lost.set()

    def cut(self) -> None:
        """End all connections; new ones carry answers again."""
        self._lost.clear()
        for peer in self._peers:
            try:
                peer.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
        self._peers.clear()

    def close(self) -> None:
        self._server.close()
        self.cut()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            engine = socket.create_connection(("127.0.0.1", self._engine_port))
            self._peers += [client, engine]
            for source, sink, losing in ((client, engine, False), (engine, client, True)):
                arguments = (source, sink, losing)
                threading.Thread(target=self._carry, args=arguments, daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket, losing: bool) -> None:
        with source:
            try:
                while data := source.recv(65536):
                    if not (losing and self._lost.is_set()):
                        sink.sendall(data)
            except OSError:
                return


@pytest.fixture(scope="session")
def emulator(datastore_engine: Engine) -> str:
    return f"127.0.0.1:{datastore_engine.port}"


def opened_on(emulator: str, **options: str) -> DatastoreDriver:
    return open_datastore(
        DriverURL("datastore", "polystore-test", {"emulator": emulator, **options})
    )


@pytest.fixture(scope="session")
def driver(emulator: str) -> Iterator[DatastoreDriver]:
    opened = opened_on(emulator)
    yield opened
    opened.close()


@pytest.fixture
def made(driver: DatastoreDriver) -> Iterator[Made]:
    """Declares a collection under a new name."""
    collections: list[Collection] = []

    def make(key: Any = ("id",), **declaration: Any) -> Collection:
        collection = Collection(f"things{next(_numbers)}", key, **declaration)
        driver.create(collection)
        collections.append(collection)
        return collection

    yield make
    for collection in collections:
        driver.drop(collection)


@pytest.fixture
def wire(datastore_engine: Engine) -> Iterator[Wire]:
    opened = Wire(datastore_engine.port)
    yield opened
    opened.close()


@pytest.fixture
def wired(wire: Wire) -> Iterator[DatastoreDriver]:
    """A driver whose calls go over the wire that can be cut."""
    opened = opened_on(f"127.0.0.1:{wire.port}", timeout="1")
    yield opened
    opened.close()


@pytest.fixture
def opened(emulator: str) -> Iterator[Callable[..., DatastoreDriver]]:
    """Opens further drivers on the engine."""
    drivers: list[DatastoreDriver] = []

    def open_one(**options: str) -> DatastoreDriver:
        drivers.append(opened_on(emulator, **options))
        return drivers[-1]

    yield open_one
    for one in drivers:
        one.close()
