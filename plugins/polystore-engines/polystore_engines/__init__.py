"""Real database engines for demos and tests, found in packages and started on free ports.

    with polystore_engines.start("datastore") as engine:
        store = polystore.open(engine.url)

An engine ends with the process that started it, even when that is killed. The Datastore stub
and PostgreSQL listen on 127.0.0.1; **DynamoDB Local listens on all interfaces**, it has no option
for that.
"""

from polystore_engines.engine import Engine
from polystore_engines.errors import EngineError, EngineStartFailed, EngineUnavailable, Missing
from polystore_engines.registry import NAMES, available, shared, start, start_many

__all__ = [
    "NAMES",
    "Engine",
    "EngineError",
    "EngineStartFailed",
    "EngineUnavailable",
    "Missing",
    "available",
    "shared",
    "start",
    "start_many",
]
