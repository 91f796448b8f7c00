"""One fixture per engine, started once per test session, the first time a test asks for it.

An engine that does not start fails the tests that asked for it: a skipped test proves nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from polystore_engines.engine import Engine
from polystore_engines.registry import start


@pytest.fixture(scope="session")
def datastore_engine() -> Iterator[Engine]:
    """Google's Datastore stub on 127.0.0.1."""
    with start("datastore") as engine:
        yield engine


@pytest.fixture(scope="session")
def dynamodb_engine() -> Iterator[Engine]:
    """DynamoDB Local; it listens on all interfaces."""
    with start("dynamodb") as engine:
        yield engine
