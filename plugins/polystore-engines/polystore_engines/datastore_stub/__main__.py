"""Serves one project until it is stopped: `python -m polystore_engines.datastore_stub`.

Prints one line of JSON once both listeners are up: {"host": "127.0.0.1:N", "http": "127.0.0.1:M"}.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys

from polystore_engines.datastore_stub.serving import serve


def main() -> None:
    """Reads the command line, serves, and waits."""
    parser = argparse.ArgumentParser(
        prog="python -m polystore_engines.datastore_stub",
        description="Cloud Datastore v1 on 127.0.0.1, from Google's Python stub",
    )
    parser.add_argument("--project", required=True, help="the only project that is served")
    parser.add_argument("--port", type=int, default=0, help="of gRPC; 0: a free one")
    parser.add_argument("--http-port", type=int, default=0, help="of GET / and POST /reset")
    args = parser.parse_args()
    serving = serve(args.project, args.port, args.http_port)
    gc.freeze()  # Google's modules are many objects that never become garbage
    sys.stdout.write(json.dumps({"host": serving.host, "http": serving.http}) + "\n")
    sys.stdout.flush()
    serving.grpc_server.wait_for_termination()


if __name__ == "__main__":
    main()
