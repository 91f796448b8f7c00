"""The network: the gRPC service, and an HTTP port to empty and to stop it."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Callable
from concurrent import futures
from http import HTTPStatus
from typing import Any, TypeAlias

import attrs
import grpc

from polystore_engines.datastore_stub.aggregations import run_aggregation_query
from polystore_engines.datastore_stub.allocation import allocate_ids, reserve_ids
from polystore_engines.datastore_stub.appengine import (
    Message,
    apiproxy_errors,
    datastore_pbs,
    gd,
    validator,
)
from polystore_engines.datastore_stub.commits import begin_transaction, commit, rollback
from polystore_engines.datastore_stub.errors import V3_CODES, ApiError, need
from polystore_engines.datastore_stub.limits import MAX_REQUEST_BYTES
from polystore_engines.datastore_stub.lookups import lookup
from polystore_engines.datastore_stub.queries import run_query
from polystore_engines.datastore_stub.service import Service

Call: TypeAlias = Callable[[Service, Message], Message]

CALLS: dict[str, Call] = {
    "Lookup": lookup,
    "RunQuery": run_query,
    "RunAggregationQuery": run_aggregation_query,
    "BeginTransaction": begin_transaction,
    "Commit": commit,
    "Rollback": rollback,
    "AllocateIds": allocate_ids,
    "ReserveIds": reserve_ids,
}

HOST = "127.0.0.1"
"""The only interface: whoever reaches the server may read and write everything."""

CHANNEL_BYTES = 64 << 20
"""Above the service's limit, so that it is we who refuse, with the service's status code."""

THREADS = 16
SHUTDOWN_SECONDS = 0.5


@attrs.frozen
class Serving:
    """Both listeners, up and running.

    Attributes:
        grpc_server: serves google.datastore.v1.Datastore.
        host: its address.
        http: address of the HTTP port: `GET /` is the health check, `POST /reset` empties,
            `POST /shutdown` stops.
    """

    grpc_server: grpc.Server
    host: str
    http: str


def serve(project: str, port: int = 0, http_port: int = 0) -> Serving:
    """Starts serving one project on 127.0.0.1.

    Args:
        project: the only project whose requests are served.
        port: of gRPC; 0: a free one.
        http_port: of HTTP; 0: a free one.
    """
    service = Service(project)
    server = grpc.server(
        futures.ThreadPoolExecutor(THREADS),
        options=[("grpc.max_receive_message_length", CHANNEL_BYTES), ("grpc.so_reuseport", 0)],
    )
    handlers = {name: _handler(service, name, call) for name, call in CALLS.items()}
    generic = grpc.method_handlers_generic_handler("google.datastore.v1.Datastore", handlers)
    server.add_generic_rpc_handlers((generic,))
    port = server.add_insecure_port(f"{HOST}:{port}")
    server.start()
    web = _serve_http(service, server, http_port)
    return Serving(server, f"{HOST}:{port}", f"{HOST}:{web.server_port}")


def _handler(service: Service, name: str, call: Call) -> Any:
    def answer(request: Message, context: grpc.ServicerContext) -> Message:
        try:
            need(
                request.ByteSize() <= MAX_REQUEST_BYTES,
                f"Request payload size exceeds the limit: {MAX_REQUEST_BYTES} bytes.",
            )
            with service.lock:
                return call(service, request)
        except Exception as error:  # noqa: BLE001 - whatever it is, the client is told
            context.abort(*_status(error))

    return grpc.unary_unary_rpc_method_handler(
        answer,
        request_deserializer=getattr(gd, f"{name}Request").FromString,
        response_serializer=lambda message: message.SerializeToString(),
    )


def _status(error: Exception) -> tuple[grpc.StatusCode, str]:
    """The status code of any exception and its text."""
    if isinstance(error, ApiError):
        return error.code, str(error)
    if isinstance(error, apiproxy_errors.ApplicationError):
        code = V3_CODES.get(error.application_error, grpc.StatusCode.INTERNAL)
        return code, error.error_detail
    if isinstance(error, (validator.ValidationError, datastore_pbs.InvalidConversionError)):
        return grpc.StatusCode.INVALID_ARGUMENT, str(error)
    return grpc.StatusCode.INTERNAL, f"{type(error).__name__}: {error}"


def _serve_http(
    service: Service, server: grpc.Server, port: int
) -> http.server.ThreadingHTTPServer:
    def shut_down() -> None:
        threading.Thread(target=server.stop, args=(SHUTDOWN_SECONDS,), daemon=True).start()

    posts: dict[str, Callable[[], None]] = {"/reset": service.reset, "/shutdown": shut_down}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._reply(HTTPStatus.OK, b"Ok\n")

        def do_POST(self) -> None:
            action = posts.get(self.path)
            if action is None:
                self._reply(HTTPStatus.NOT_FOUND, b"Not found\n")
            else:
                action()
                self._reply(HTTPStatus.OK, b"Ok\n")

        def _reply(self, status: HTTPStatus, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name in the base
            """Says nothing: the log is for what goes wrong."""

    web = http.server.ThreadingHTTPServer((HOST, port), Handler)
    threading.Thread(target=web.serve_forever, daemon=True).start()
    return web
