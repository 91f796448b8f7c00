"""The driver's harness: a real server, read and written by redis-py. Needs polystore-engines."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from polystore.driver import Driver
from polystore.driver.keycodec import encode_key
from polystore.schema import Collection
from polystore.testing.harness import Address, Engine, Harness
from polystore.values import Key


class RedisHarness(Harness):
    """One server a process, which ends with it."""

    def available(self) -> str | None:
        try:
            from polystore_engines import EngineError, shared
        except ImportError:
            return "it needs a Redis: pip install 'polystore-engines[redis]'"
        try:
            self._server = shared("redis")
        except EngineError as error:
            return str(error)
        self._driver = self.open()
        self._client = self._driver.native()
        return None

    def open(self) -> Driver:
        return self.address.open()

    @property
    def address(self) -> Address:
        return Address(self._server.url, port=self._server.port).having(self.options)

    def refusing(
        self, driver: Driver, collection: Collection
    ) -> Mapping[str, AbstractContextManager[None]]:
        return {"full": self._full()}

    @contextmanager
    def _full(self) -> Iterator[None]:
        """There is no memory left."""
        self._client.config_set("maxmemory", 1)
        try:
            yield
        finally:
            self._client.config_set("maxmemory", 0)

    def peek(self, collection: Collection, key: Key) -> Any:
        text = self._client.hget(f"ps:{collection.name}:r", encode_key(key))
        if text is None:
            return None
        return json.loads(text if text.startswith(b"{") else text.split(b"\n", 2)[2])

    def poke(self, collection: Collection, key: Key, fields: Mapping[str, str | int]) -> None:
        text = encode_key(key)
        rest = {name: v for name, v in fields.items() if name not in collection.key_names}
        self._client.hset(f"ps:{collection.name}:r", text, json.dumps(rest))
        self._client.zadd(f"ps:{collection.name}:k", {text: 0})

    @property
    def engine(self) -> Engine:
        return Engine(self._server.product, real=True)
