"""A driver on DynamoDB Local, and collections of their own for each test."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from itertools import count
from queue import Empty, SimpleQueue
from typing import Any, TypeAlias

import attrs
import pytest

from polystore.schema import Collection
from polystore_dynamodb.driver import DynamoDBDriver
from polystore_dynamodb.settings import Settings
from polystore_engines import Engine

Made: TypeAlias = Callable[..., Collection]

_numbers = count()


class Wire:
    """A way to the engine on which answers can be lost or replaced, one after the other."""

    def __init__(self, engine_port: int) -> None:
        self._engine_port = engine_port
        self._plans: SimpleQueue[tuple[str, bytes]] = SimpleQueue()
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def lose_answer(self) -> None:
        """The next request reaches the engine; its answer is dropped with the connection."""
        self._plans.put(("lose", b""))

    def hold_answer(self) -> None:
        """The next request reaches the engine; its answer never comes."""
        self._plans.put(("hold", b""))

    def answer(self, status: int, code: str, **body: Any) -> None:
        """The next request does not reach the engine and gets this answer."""
        content = json.dumps(
            {"__type": f"com.amazonaws.dynamodb.v20120810#{code}", **body}
        ).encode()
        head = f"HTTP/1.1 {status} X\r\nContent-Type: application/x-amz-json-1.0\r\n"
        self._plans.put(
            ("answer", f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content)
        )

    def close(self) -> None:
        self._server.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._carry, args=(client,), daemon=True).start()

    def _carry(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self._engine_port)) as engine:
            while request := _message(client):
                try:
                    plan, reply = self._plans.get_nowait()
                except Empty:
                    plan, reply = "pass", b""
                if plan != "answer":
                    engine.sendall(request)
                    reply = _message(engine)
                if plan == "lose":
                    return
                if plan != "hold":
                    client.sendall(reply)


def _message(peer: socket.socket) -> bytes:
    """One HTTP message with a Content-Length; empty when the peer has gone."""
    data = b""
    while True:
        head, found, body = data.partition(b"\r\n\r\n")
        if found:
            lengths = [h for h in head.lower().split(b"\r\n") if h.startswith(b"content-length:")]
            if len(body) >= int(lengths[0][15:]):
                return data
        try:
            more = peer.recv(65536)
        except OSError:
            return b""
        if not more:
            return b""
        data += more


@pytest.fixture
def endpoint(dynamodb_engine: Engine, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in dynamodb_engine.env.items():
        monkeypatch.setenv(name, value)
    return f"http://127.0.0.1:{dynamodb_engine.port}"


@pytest.fixture
def transport() -> str:
    """Who makes the calls; tests where that matters are parametrised with both."""
    return "boto3"


@pytest.fixture
def settings(endpoint: str, transport: str) -> Settings:
    return Settings(region="us-east-1", endpoint=endpoint, wire=transport)


@pytest.fixture
def driver(settings: Settings) -> Iterator[DynamoDBDriver]:
    opened = DynamoDBDriver(settings)
    yield opened
    opened.close()


@pytest.fixture
def made(driver: DynamoDBDriver) -> Iterator[Made]:
    """Declares a collection under a new name and creates its table."""
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
def wire(dynamodb_engine: Engine) -> Iterator[Wire]:
    opened = Wire(dynamodb_engine.port)
    yield opened
    opened.close()


@pytest.fixture
def wired(wire: Wire, settings: Settings) -> Iterator[DynamoDBDriver]:
    """A driver whose calls go over the wire that can be cut."""
    opened = DynamoDBDriver(
        attrs.evolve(settings, endpoint=f"http://127.0.0.1:{wire.port}", timeout=0.5)
    )
    yield opened
    opened.close()
