"""The driver's harness: the stub server, read and written by Google's client.

Needs polystore-engines.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.cloud.datastore_v1.types import (
    CommitRequest,
    Entity,
    EntityResult,
    LookupRequest,
    Mutation,
)

from polystore.schema import Collection
from polystore.testing.harness import Address, Engine, Harness
from polystore.values import Key
from polystore_datastore.driver import DatastoreDriver
from polystore_datastore.placement import place_of


class DatastoreHarness(Harness):
    """One stub a process, which ends with it."""

    def available(self) -> str | None:
        try:
            from polystore_engines import EngineError, shared
        except ImportError:
            return "it needs a Datastore: pip install 'polystore-engines[datastore]'"
        try:
            self._stub = shared("datastore")
        except EngineError as error:
            return str(error)
        self._driver = self.open()
        self._project = self._stub.url.partition("//")[2].partition("?")[0]
        self._client = self._driver.native()
        return None

    def open(self) -> DatastoreDriver:
        driver = self.address.open()
        assert isinstance(driver, DatastoreDriver)
        return driver

    @property
    def address(self) -> Address:
        return Address(self._stub.url, self._stub.env, self._stub.port).having(self.options)

    def peek(self, collection: Collection, key: Key) -> Any:
        request = LookupRequest(project_id=self._project, keys=[self._key(collection, key)])
        found = self._client.lookup(request).found
        return EntityResult.to_dict(found[0]) if found else None

    def poke(self, collection: Collection, key: Key, fields: Mapping[str, str | int]) -> None:
        properties = {
            name: {"string_value" if isinstance(value, str) else "integer_value": value}
            for name, value in fields.items()
        }
        entity = Entity(key=self._key(collection, key), properties=properties)
        self._client.commit(
            CommitRequest(
                project_id=self._project,
                mode=CommitRequest.Mode.NON_TRANSACTIONAL,
                mutations=[Mutation(upsert=entity)],
            )
        )

    @property
    def engine(self) -> Engine:
        return Engine(self._stub.product, real=False)

    def _key(self, collection: Collection, key: Key) -> dict[str, Any]:
        path = place_of(collection, self._driver._codec).path(key)  # noqa: SLF001  # of ours
        parts = [(kind, "name" if isinstance(part, str) else "id", part) for kind, part in path]
        return {"path": [{"kind": kind, form: part} for kind, form, part in parts]}
