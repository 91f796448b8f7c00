"""The lean wire against servers that say anything: heads, bodies, closed sockets, proxies."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
import zlib
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import attrs
import pytest
from botocore.exceptions import ClientError, HTTPClientError

from polystore.driver import NOTHING, Consistency, Write, Written
from polystore.errors import ConfigError, OutcomeUnknown, PolystoreError, Unavailable
from polystore.schema import Collection
from polystore_dynamodb.driver import DynamoDBDriver
from polystore_dynamodb.faults import error_of
from polystore_dynamodb.settings import Settings
from polystore_dynamodb.wire import channels
from polystore_dynamodb.wire.bodies import reply_of, request_body
from polystore_dynamodb.wire.channels import Channels
from polystore_dynamodb.wire.endpoint import Endpoint

THINGS = Collection("things", ["id"])
WRITE = Write(THINGS, ("a",), {"id": "a", "secret": "s3cr3t"}, NOTHING, "w1")
OK = b"HTTP/1.1 200 OK\r\n"


class Canned:
    """A server that gives each request, whatever it is, the next of its answers.

    An empty answer closes the connection; after the last answer, that one is given again.
    """

    def __init__(self) -> None:
        self.answers: list[bytes] = []
        self.connections = 0
        self.closing = False
        self.tls: ssl.SSLContext | None = None
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._server.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._answer, args=(client,), daemon=True).start()

    def _answer(self, plain: socket.socket) -> None:
        with suppress(OSError), plain, self._secured(plain) as client:
            while client.recv(65536):
                answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                if not answer:
                    return
                client.sendall(answer)
                if self.closing:
                    return

    def _secured(self, plain: socket.socket) -> socket.socket:
        return self.tls.wrap_socket(plain, server_side=True) if self.tls else plain


def answer(body: bytes, *headers: str) -> bytes:
    lines = "".join(f"{header}\r\n" for header in headers)
    return OK + f"{lines}Content-Length: {len(body)}\r\n\r\n".encode() + body


@pytest.fixture
def server() -> Iterator[Canned]:
    opened = Canned()
    yield opened
    opened.close()


@pytest.fixture(autouse=True)
def identity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "polystore")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "polystore")


@pytest.fixture
def lean(server: Canned) -> Iterator[DynamoDBDriver]:
    url = f"http://127.0.0.1:{server.port}"
    opened = DynamoDBDriver(Settings(region="us-east-1", endpoint=url, timeout=0.5, wire="lean"))
    yield opened
    opened.close()


def told(driver: DynamoDBDriver, call: Callable[[], Any]) -> PolystoreError:
    with pytest.raises(Exception) as raised:  # native, or of the tree
        call()
    error = driver.translate(raised.value)
    assert "s3cr3t" not in str(error)
    return error


def get(driver: DynamoDBDriver) -> Any:
    return driver.read(THINGS, [("a",)], Consistency.STRONG).records[0]


@pytest.mark.parametrize(
    "wrong",
    [
        b"",
        b"nonsense\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
        OK + b"\r\n{}",
        OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
        OK + b"Content-Length: 2\r\nContent-Encoding: gzip\r\n\r\n{}",
        OK + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
        OK + b"Content-Length: -2\r\n\r\n{}",
        OK + b"Content-Length: 2\r\nheader\r\n\r\n{}",
        OK + b"Content-Length: 2\r\n\r\n{}{}",
        OK + b"X: " + b"x" * 70_000,
        answer(b"{}", "x-amz-crc32: 1"),
        answer(b"{}", "x-amz-crc32: one"),
        OK + b"Content-Length: 3\r\n\r\n{}",
    ],
)
@pytest.mark.rule("DRV-7")
def test_what_is_no_answer_leaves_the_outcome_unknown_and_its_socket_closed(
    server: Canned, wrong: bytes
) -> None:
    endpoint = Endpoint("http://db.example", "127.0.0.1", server.port, "db.example", tls=None)
    lean = Channels(endpoint, timeout=0.2, kept=4)
    server.answers = [wrong, answer(b"{}")]
    with pytest.raises(HTTPClientError) as raised:
        lean.exchange(b"request")
    assert isinstance(error_of(raised.value), OutcomeUnknown)
    for _ in range(2):
        assert lean.exchange(b"request") == (200, b"{}")
    assert server.connections == 2
    lean.close()


@pytest.mark.rule("DRV-7")
@pytest.mark.parametrize("wrong", [b"[]", b"no JSON", b"\xff"])
def test_what_is_no_json_leaves_a_write_unknown_and_a_read_not_done(
    lean: DynamoDBDriver, server: Canned, wrong: bytes
) -> None:
    server.answers = [answer(wrong)]
    assert isinstance(told(lean, lambda: lean.write(WRITE)), OutcomeUnknown)
    assert isinstance(told(lean, lambda: get(lean)), Unavailable)


def test_an_answer_may_come_in_pieces(lean: DynamoDBDriver, server: Canned) -> None:
    body = b'{"Item":{"id":{"S":"a"},"text":{"S":"' + b"x" * 300_000 + b'"}}}'
    server.answers = [answer(body, f"X-AMZ-CRC32: {zlib.crc32(body)}")]
    assert len(get(lean).fields["text"]) == 300_000
    assert server.connections == 1


def test_a_server_may_announce_its_end(lean: DynamoDBDriver, server: Canned) -> None:
    server.answers = [answer(b"{}", "Connection: close")]
    assert get(lean) is None
    assert get(lean) is None
    assert server.connections == 2


@pytest.mark.rule("DRV-7")
def test_a_socket_that_the_server_closed_is_left_aside(
    lean: DynamoDBDriver, server: Canned, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.answers, server.closing = [answer(b"{}")], True
    lean.write(WRITE)
    time.sleep(0.05)
    assert isinstance(told(lean, lambda: lean.write(WRITE)), (OutcomeUnknown, Unavailable))
    lean.write(WRITE)
    monkeypatch.setattr(channels, "FRESH", 0.0)
    time.sleep(0.05)
    assert lean.write(WRITE) == Written(("w", "w1"))


def test_a_socket_that_idled_is_used_again(
    lean: DynamoDBDriver, server: Canned, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channels, "FRESH", 0.0)
    server.answers = [answer(b"{}")]
    lean.write(WRITE)
    lean.write(WRITE)
    assert server.connections == 1


@pytest.mark.rule("ERR-5")
def test_a_proxy_is_left_to_boto3(lean: DynamoDBDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    error = told(lean, lambda: get(lean))
    assert isinstance(error, ConfigError)
    assert "wire=boto3" in str(error)


def test_a_proxy_for_others_is_none(
    lean: DynamoDBDriver, server: Canned, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server.answers = [answer(b"{}")]
    assert get(lean) is None


@pytest.mark.rule("ERR-5")
def test_an_endpoint_with_a_path_is_left_to_boto3() -> None:
    settings = Settings(region="us-east-1", endpoint="http://127.0.0.1:9/db", wire="lean")
    driver = DynamoDBDriver(settings)
    assert isinstance(told(driver, lambda: get(driver)), ConfigError)


@pytest.fixture
def secure(server: Canned, tmp_path: Path) -> Iterator[DynamoDBDriver]:
    """A driver to the server, which speaks TLS now; nobody vouches for its certificate."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make a certificate")
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -batch"
        " -subj /CN=localhost -addext subjectAltName=DNS:localhost -out cert.pem -keyout key.pem"
    )
    subprocess.run(command.split(), cwd=tmp_path, check=True, capture_output=True)
    server.tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.tls.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    url = f"https://localhost:{server.port}"
    opened = DynamoDBDriver(Settings(region="us-east-1", endpoint=url, timeout=2, wire="lean"))
    yield opened
    opened.close()


def test_over_tls(
    secure: DynamoDBDriver, server: Canned, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "cert.pem"))
    monkeypatch.setattr(channels, "FRESH", 0.0)
    server.answers = [answer(b"{}")]
    assert secure.write(WRITE) == Written(("w", "w1"))
    assert get(secure) is None
    server.answers = [b""]
    assert isinstance(told(secure, lambda: secure.write(WRITE)), OutcomeUnknown)


@pytest.mark.rule("DRV-7")
def test_a_server_that_nobody_vouches_for_is_no_connection(
    secure: DynamoDBDriver, server: Canned
) -> None:
    server.answers = [answer(b"{}")]
    assert isinstance(told(secure, lambda: secure.write(WRITE)), Unavailable)
    server.tls = None
    assert isinstance(told(secure, lambda: secure.write(WRITE)), Unavailable)


@pytest.mark.parametrize("call", [get, lambda d: d.write(WRITE)], ids=["get", "put"])
def test_a_call_is_a_fifth_of_the_work_of_boto3(
    lean: DynamoDBDriver, server: Canned, call: Callable[[DynamoDBDriver], Any]
) -> None:
    """In calls of functions, which no other work on the machine changes; the time that they take
    is in docs/drivers/dynamodb.md.
    """
    server.answers = [answer(b'{"Item":{"id":{"S":"a"},"n":{"N":"7"}}}')]
    boto3 = DynamoDBDriver(attrs.evolve(lean._settings, wire="boto3"))
    assert functions(call, lean) <= functions(call, boto3) / 5
    boto3.close()


def functions(call: Callable[[DynamoDBDriver], Any], driver: DynamoDBDriver) -> int:
    """How many functions of Python and of C the second call of this kind runs in this thread."""
    call(driver)
    events: list[str] = []
    before = sys.getprofile()
    sys.setprofile(lambda _frame, event, _arg: events.append(event))
    try:
        call(driver)
    finally:
        sys.setprofile(before)
    return events.count("call") + events.count("c_call")


@pytest.mark.rule("VAL-2")
def test_bytes_are_base64_on_the_wire_alone() -> None:
    item = {"B": {"B": b"\0\xff"}, "BS": {"BS": [b"a", b""]}, "x": {"L": [{"M": {"B": {"S": ""}}}]}}
    body = request_body({"Item": item})
    assert b64encode(b"\0\xff") in body
    assert reply_of("GetItem", 200, body) == {"Item": item}


def test_an_error_has_the_shape_that_botocore_gives_it() -> None:
    body = (
        b'{"__type":"a.b#ConditionalCheckFailedException:http://x","Message":"no",'
        b'"Item":{"f":{"B":"AA=="}}}'
    )
    with pytest.raises(ClientError) as raised:
        reply_of("PutItem", 400, body)
    assert raised.value.response == {
        "Item": {"f": {"B": b"\0"}},
        "Error": {"Code": "ConditionalCheckFailedException", "Message": "no"},
        "ResponseMetadata": {"HTTPStatusCode": 400},
    }
    with pytest.raises(ClientError) as raised:
        reply_of("PutItem", 503, b"<html>")
    assert raised.value.response["Error"] == {"Code": "503", "Message": ""}
