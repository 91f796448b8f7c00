"""Redis as a driver: conditions and commits are scripts that the server runs as one step."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from importlib.resources import files
from typing import Any
from zlib import crc32

import redis

from polystore.capabilities import Capabilities
from polystore.driver import (
    Check,
    Committed,
    Consistency,
    Description,
    Driver,
    QueryPage,
    ReadReply,
    Refused,
    Rejected,
    ScanPage,
    Segment,
    Sizes,
    Write,
    Written,
    alone,
    readable,
)
from polystore.driver.absence import check_key, present, problems
from polystore.driver.faults import reading
from polystore.driver.filling import fill
from polystore.driver.kept import Kept, read_back, written_down
from polystore.driver.keycodec import AFTER, decode_key, encode_key
from polystore.driver.known import Known
from polystore.driver.paging import key_at, position
from polystore.driver.policies import joined, policed
from polystore.driver.spans import span
from polystore.errors import PolystoreError
from polystore.plugin.specs import DriverURL
from polystore.queries import Position, QueryPlan
from polystore.schema import Collection
from polystore.values import Key
from polystore_redis.capabilities import capabilities_of
from polystore_redis.connections import Connections, refuse_forgetful
from polystore_redis.faults import LOST, translated
from polystore_redis.records import described, document, places, stored
from polystore_redis.settings import DRIVER, settings_of


def open_redis(url: DriverURL) -> Driver:
    """Open ``redis://HOST:PORT/NUMBER``; connects when first needed.

    Options: ``user``, ``prefix`` of all keys (ps), ``timeout`` of a call in seconds (5),
    ``connections`` at most at once (50), ``tls`` (yes; no on this machine). The password is
    ``REDIS_PASSWORD``.

    Raises:
        ConfigError: the URL is wrong.
    """
    settings = settings_of(url)
    return RedisDriver(Connections(settings), settings.prefix)


class RedisDriver(Driver):
    """Collections as hashes, their orders as one sorted set each."""

    name = DRIVER

    def __init__(self, connections: Connections, prefix: str) -> None:
        self._connections = connections
        self._client = redis.Redis(connection_pool=connections)
        self._prefix = prefix
        self._known = Known(DRIVER, self._asked)
        self._read, self._page, self._write = (
            self._client.register_script(files(__package__).joinpath(name).read_text())
            for name in ("read.lua", "page.lua", "write.lua")
        )

    # -- what it promises ---------------------------------------------------------------------

    def capabilities(self, collection: Collection) -> Capabilities:
        return capabilities_of(collection)

    def measure(self, write: Write) -> Sizes:
        """Bytes of the text."""
        return Sizes(record=0 if write.fields is None else len(document(write).encode()))

    # -- reading ------------------------------------------------------------------------------

    @reading(*LOST)
    def read(
        self, collection: Collection, keys: Sequence[Key], consistency: Consistency
    ) -> ReadReply:
        texts = self._texts(collection, [*map(encode_key, keys)])
        return ReadReply([*map(partial(stored, collection), keys, texts)])

    @reading(*LOST)
    def query(
        self, collection: Collection, plan: QueryPlan, after: Position | None, limit: int
    ) -> QueryPage:
        before = ""
        if plan.index is not None:
            declared = policed(collection, DRIVER, native=False)
            if not set(declared) <= set(read_back(self._known[collection]).indexes):
                self._known.forget(collection)  # another process may have made it by now
            there = read_back(self._known[collection]).indexes
            present(DRIVER, collection, plan.index, declared, there)
            before = places(plan.index)
        asked = span(plan, after)
        command, bounds = "ZRANGEBYLEX", ["[" + before + asked.low, "(" + before + asked.high]
        if plan.descending:
            command, bounds = "ZREVRANGEBYLEX", bounds[::-1]
        keys = self._places(collection, "mrk")
        told = self._known.settled(
            [collection],
            lambda: self._page(keys, [self._known[collection], command, *bounds, limit]),
        )
        rows = [*zip(told[::2], told[1::2], strict=True)]
        found = (stored(collection, decode_key(key.decode()), text) for key, text in rows)
        records = [record for record in found if record is not None]
        ends = len(rows) < limit or not records
        return QueryPage(records, None if ends else position(plan, records[-1]))

    @reading(*LOST)
    def scan(
        self, collection: Collection, segment: Segment, cursor: str | None, limit: int
    ) -> ScanPage:
        """Looks at the keys of all segments, and at the records of this one."""
        after = "" if cursor is None else encode_key(key_at(DRIVER, collection, cursor)) + AFTER
        (order,) = self._places(collection, "k")
        keys: Any = self._client.zrangebylex(order, "[" + after, "(" + AFTER, 0, limit)
        index, count = segment.modulo()
        mine = [key.decode() for key in keys if crc32(key) % count == index]
        rows = zip(map(decode_key, mine), self._texts(collection, mine), strict=True)
        records, unreadable = readable(
            rows, lambda row: stored(collection, *row), lambda row: row[0], self.translate
        )
        return ScanPage(records, keys[-1].decode() if len(keys) == limit else None, unreadable)

    def halve(self, collection: Collection, segment: Segment) -> bool:
        return True

    def _texts(self, collection: Collection, keys: Sequence[str]) -> Any:
        """The texts under encoded keys, ``None`` where there is none."""
        asked = self._places(collection, "mr")
        return self._known.settled(
            [collection], lambda: self._read(asked, [self._known[collection], *keys])
        )

    # -- writing ------------------------------------------------------------------------------

    def write(self, write: Write) -> Written | Refused:
        return alone(self.commit([write], []))

    def commit(self, writes: Sequence[Write], checks: Sequence[Check]) -> Committed | Rejected:
        parts: list[Write | Check] = [*writes, *checks]
        if not parts:
            return Committed(())

        def attempt() -> Any:
            keys, arguments = [f"{self._prefix}:token"], []
            for part in parts:
                known = self._known[part.collection]
                keys += self._places(part.collection, "mrkx")
                arguments += [known, *described(part, read_back(known).indexes)]
            return self._write(keys, arguments)

        state, answers = self._known.settled([part.collection for part in parts], attempt)
        if state == b"done":
            return Committed(tuple(answer.decode() or None for answer in answers[: len(writes)]))
        refusals = (
            None if answer == b"ok" else Refused(True, stored(part.collection, part.key, answer))
            for part, answer in zip(parts, answers, strict=True)
        )
        return Rejected(tuple(refusals))

    # -- around it ----------------------------------------------------------------------------

    def translate(self, error: Exception) -> PolystoreError:
        return translated(error)

    def create(self, collection: Collection) -> None:
        declared = policed(collection, DRIVER, native=False)
        there = self._asked(collection)
        kept = read_back(there) if there else Kept(collection.key, ())
        check_key(DRIVER, collection, kept.key)
        (place,) = self._places(collection, "m")
        now = Kept(collection.key, joined(declared, kept.indexes))
        self._client.set(place, written_down(now))
        self._known.forget(collection)
        if there and not set(declared) <= set(kept.indexes):
            fill(self, collection)

    def drop(self, collection: Collection) -> None:
        self._known.forget(collection)
        self._client.delete(*self._places(collection, "mrkx"))

    def describe(self, collection: Collection) -> Description:
        there = self._asked(collection)
        if there is None:
            return Description(exists=False)
        declared = policed(collection, DRIVER, native=False)
        return Description(True, problems(DRIVER, collection, declared, read_back(there)))

    def native(self, collection: Collection | None = None) -> redis.Redis:
        """redis-py's client over this driver's connections."""
        self._connections.check_open()
        return self._client

    def close(self) -> None:
        self._connections.close()

    def _places(self, collection: Collection, letters: str) -> list[str]:
        """Keys of the server.

        ``m`` what the collection is, ``r`` its records, ``k`` their order by key and behind it by
        each index, ``x`` the places of each record in the indexes.
        """
        return [f"{self._prefix}:{collection.name}:{letter}" for letter in letters]

    @reading(*LOST)
    def _asked(self, collection: Collection) -> Any:
        """The text that says what a collection is; ``None`` where it is not there."""
        refuse_forgetful(self._client)
        return self._client.get(*self._places(collection, "m"))
