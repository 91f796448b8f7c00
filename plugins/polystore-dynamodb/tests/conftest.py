"""A driver on DynamoDB Local, and collections of their own for each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from typing import Any, TypeAlias

import pytest
from polystore_dynamodb.driver import DynamoDBDriver
from polystore_dynamodb.settings import Settings
from polystore_engines import Engine

from polystore.schema import Collection

Made: TypeAlias = Callable[..., Collection]

_numbers = count()


@pytest.fixture
def endpoint(dynamodb_engine: Engine, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in dynamodb_engine.env.items():
        monkeypatch.setenv(name, value)
    return f"http://127.0.0.1:{dynamodb_engine.port}"


@pytest.fixture
def settings(endpoint: str) -> Settings:
    return Settings(region="us-east-1", endpoint=endpoint)


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
