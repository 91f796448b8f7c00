"""One fixture per engine, started once per process, the first time a test asks for it.

An engine that does not start fails the tests that asked for it: a skipped test proves nothing.
"""

from __future__ import annotations

import pytest

from polystore_engines.engine import Engine
from polystore_engines.registry import shared


@pytest.fixture(scope="session")
def datastore_engine() -> Engine:
    """Google's Datastore stub on 127.0.0.1."""
    return shared("datastore")


@pytest.fixture(scope="session")
def dynamodb_engine() -> Engine:
    """DynamoDB Local; it listens on all interfaces."""
    return shared("dynamodb")


@pytest.fixture(scope="session")
def postgresql_engine() -> Engine:
    """A PostgreSQL server on 127.0.0.1."""
    return shared("postgresql")


@pytest.fixture(scope="session")
def redis_engine() -> Engine:
    """A Redis server on 127.0.0.1."""
    return shared("redis")
