"""Redis as a driver: conditions and commits are scripts that the server runs as one step."""

from __future__ import annotations

import json
from collections.abc import Sequence
from hashlib import sha1
from typing import Any
from zlib import crc32

import attrs
import redis

from polystore.capabilities import Capabilities, Indexes, Scope, Transactions, Values
from polystore.driver import (
    ANYTHING,
    NOTHING,
    Check,
    Committed,
    Condition,
    Consistency,
    Description,
    Driver,
    OlderThan,
    QueryPage,
    ReadReply,
    Refused,
    Rejected,
    ScanPage,
    Segment,
    Sizes,
    Stored,
    Unchanged,
    Unprocessed,
    Write,
    Written,
    readable,
)
from polystore.driver.absence import no_collection, no_index
from polystore.driver.bookkeeping import EXPIRES, WRITE_ID
from polystore.driver.document import decode_document, encode_document
from polystore.driver.keycodec import AFTER, decode_key, encode_key
from polystore.driver.policies import Policed, Policy, empties, policed
from polystore.driver.spans import span
from polystore.errors import (
    ConfigError,
    Contention,
    CursorExpired,
    PolystoreError,
    Unsupported,
)
from polystore.plugin.specs import DriverURL
from polystore.queries import Position, QueryPlan
from polystore.schema import Collection, Index
from polystore.values import Fields, Key
from polystore_redis.connections import Connections
from polystore_redis.faults import translated
from polystore_redis.scripts import PAGE, READ, WRITE, digest
from polystore_redis.settings import DRIVER, settings_of

_NATIVE = frozenset({"null", "bool", "int", "float", "text", "list", "list in a list", "map"})
"""Kinds of JSON."""

_TRIES = 5
"""How often a call is prepared anew where its collection has just been changed."""

STAMPS = 2**63
"""Added to a stamp, so that its 20 digits are in its order."""


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


@attrs.frozen
class _Kept:
    """What a collection is on the server: the text that says so, and the indexes it keeps."""

    text: bytes
    indexes: tuple[Policed, ...]

    @classmethod
    def of(cls, text: bytes) -> _Kept:
        listed = json.loads(text)
        return cls(text, tuple(Policed(Index(n, f), Policy(word)) for n, f, word in listed))


class RedisDriver(Driver):
    """Collections as hashes, their orders as sorted sets."""

    name = DRIVER

    def __init__(self, connections: Connections, prefix: str) -> None:
        self._connections = connections
        self._prefix = prefix
        self._collections: dict[str, _Kept] = {}

    # -- what it promises ---------------------------------------------------------------------

    def capabilities(self, collection: Collection) -> Capabilities:
        return Capabilities(
            values=Values(native=_NATIVE),
            transactions=Transactions(scope=Scope.STORE),
            indexes=Indexes(empty=empties(_indexes(collection))),
        )

    def measure(self, write: Write) -> Sizes:
        """Bytes of the text."""
        return Sizes(record=0 if write.fields is None else len(_text(write).encode()))

    # -- reading ------------------------------------------------------------------------------

    def read(
        self, collection: Collection, keys: Sequence[Key], consistency: Consistency
    ) -> ReadReply:
        places = [self._of(collection, part) for part in "rm"]
        texts = self._run(READ, places, [*map(encode_key, keys)], reads=True)
        if texts is None:
            raise no_collection(self.name, collection)
        pairs = zip(keys, texts, strict=True)
        return ReadReply(
            [None if text is None else _stored(collection, k, text) for k, text in pairs]
        )

    def query(
        self, collection: Collection, plan: QueryPlan, after: Position | None, limit: int
    ) -> QueryPage:
        order, kind = "k", ""
        if plan.index is not None:
            kept = next((k for k in _indexes(collection) if k.index == plan.index), None)
            if kept is None or kept not in self._known(collection).indexes:
                self._forget(collection)
                raise no_index(self.name, collection, plan.index)
            order, kind = f"i:{plan.index.name}", "entry"
        asked = span(plan, after)
        descending = "desc" if plan.descending else ""
        rows = self._page(collection, order, asked.low, asked.high, limit, descending, kind)
        records = [_stored(collection, decode_key(key), text) for key, text in rows if text]
        if len(rows) < limit or not records:
            return QueryPage(records, None)
        last = records[-1]
        names = plan.index.fields if plan.index else ()
        values = tuple((last.fields or {})[name] for name in names)
        return QueryPage(records, Position(last.key, values))

    def scan(
        self, collection: Collection, segment: Segment, cursor: str | None, limit: int
    ) -> ScanPage:
        low = "" if cursor is None else encode_key(_key(collection, cursor)) + AFTER
        rows = self._page(collection, "k", low, AFTER, limit, "", "")
        mine = [
            (decode_key(key), text)
            for key, text in rows
            if text and crc32(key.encode()) % segment.count == segment.index
        ]
        records, unreadable = readable(
            mine, lambda row: _stored(collection, *row), lambda row: row[0], self.translate
        )
        return ScanPage(records, rows[-1][0] if len(rows) == limit else None, unreadable)

    def _page(
        self, collection: Collection, order: str, low: str, high: str, limit: int,
        descending: str, kind: str,
    ) -> list[tuple[str, bytes]]:  # fmt: skip
        keys = [self._of(collection, part) for part in ("r", order, "m")]
        bounds = ["-" if low == "" else "[" + low, "(" + high]
        for _ in range(_TRIES):
            told = self._known(collection).text
            found = self._run(PAGE, keys, [told, *bounds, limit, descending, kind], reads=True)
            if found is not None:
                break
            self._forget(collection)
        else:
            raise _changing(collection)
        return [(found[i].decode(), found[i + 1]) for i in range(0, len(found), 2)]

    # -- writing ------------------------------------------------------------------------------

    def write(self, write: Write) -> Written | Refused:
        outcome = self._commit([write], [])
        if isinstance(outcome, Rejected):
            refused = outcome.refusals[0] if outcome.refusals else None
            return refused or Refused()
        return Written(outcome.tokens[0])

    def write_many(self, writes: Sequence[Write]) -> list[Written | Refused | Unprocessed]:
        return [self.write(write) for write in writes]

    def commit(self, writes: Sequence[Write], checks: Sequence[Check]) -> Committed | Rejected:
        return self._commit(writes, checks)

    def _commit(self, writes: Sequence[Write], checks: Sequence[Check]) -> Committed | Rejected:
        parts: list[Write | Check] = [*writes, *checks]
        if not parts:
            return Committed(())
        for _ in range(_TRIES):
            keys: list[str] = [f"{self._prefix}:token"]
            arguments: list[Any] = []
            for part in parts:
                known = self._known(part.collection)
                keys += [self._of(part.collection, name) for name in "rkm"]
                for one in known.indexes:
                    keys += [self._of(part.collection, f"{of}:{one.index.name}") for of in "xi"]
                arguments += _arguments(part, known)
            state, *told = self._run(WRITE, keys, arguments)
            if state != b"changed":
                break
            for part in parts:
                self._forget(part.collection)
        else:
            raise _changing(parts[0].collection)
        (answers,) = told
        if state == b"done":
            return Committed(tuple((a.decode() or None) for a in answers[: len(writes)]))
        refusals = [
            None if answer == b"ok" else Refused(True, _current(part, answer))
            for part, answer in zip(parts, answers, strict=True)
        ]
        return Rejected(tuple(refusals))

    # -- around it ----------------------------------------------------------------------------

    def translate(self, error: Exception) -> PolystoreError:
        return translated(error)

    def create(self, collection: Collection) -> None:
        declared = _indexes(collection)
        there = self._kept(collection)
        known = None if there is None else there.indexes
        new = [kept for kept in declared if kept not in (known or ())]
        names = {kept.index.name for kept in declared}
        others = [kept for kept in known or () if kept.index.name not in names]
        told = [
            [k.index.name, list(k.index.declared), k.policy.value] for k in (*declared, *others)
        ]
        self._connections.send("SET", self._of(collection, "m"), json.dumps(told))
        self._forget(collection)
        if new and known is not None:
            self._fill(collection)

    def drop(self, collection: Collection) -> None:
        there = self._kept(collection)
        kept = () if there is None else there.indexes
        names = ["m", "r", "k", *(f"{of}:{one.index.name}" for one in kept for of in "xi")]
        self._forget(collection)
        self._connections.send("DEL", *(self._of(collection, name) for name in names))

    def describe(self, collection: Collection) -> Description:
        known = self._kept(collection)
        if known is None:
            return Description(exists=False)
        missing = [kept for kept in _indexes(collection) if kept not in known.indexes]
        problems = [no_index(self.name, collection, kept.index).message for kept in missing]
        return Description(exists=True, problems=tuple(problems))

    def native(self, collection: Collection | None = None) -> redis.Redis:
        """redis-py's client over this driver's connections."""
        return self._connections.client()

    def close(self) -> None:
        self._connections.close()

    def _of(self, collection: Collection, part: str) -> str:
        """A key of the server.

        ``r`` records, ``k`` their order, ``m`` what the collection is, ``x:I`` the places of
        records in an index, ``i:I`` its order.
        """
        return f"{self._prefix}:{collection.name}:{part}"

    def _kept(self, collection: Collection) -> _Kept | None:
        """What a collection is, asked now; ``None`` where it is not there."""
        text = self._connections.read("GET", self._of(collection, "m"))
        return None if text is None else _Kept.of(text)

    def _known(self, collection: Collection) -> _Kept:
        """The same as it was when it was last asked: the scripts refuse it where it is not so."""
        found = self._collections.get(collection.name)
        if found is None:
            found = self._kept(collection)
            if found is None:
                raise no_collection(self.name, collection)
            self._collections[collection.name] = found
        return found

    def _forget(self, collection: Collection) -> None:
        self._collections.pop(collection.name, None)

    def _fill(self, collection: Collection) -> None:
        """Work out every record's place in every index, each if it is still as it was read."""
        cursor: str | None = None
        while True:
            page = self.scan(collection, Segment(), cursor, 500)
            for stored in page.records:
                if stored.fields is not None:
                    self.write(
                        Write(
                            collection, stored.key, stored.fields, Unchanged(stored.token),
                            stored.write_id, stored.stamp, stored.expires,
                        )
                    )  # fmt: skip
            cursor = page.cursor
            if cursor is None:
                return

    def _run(
        self, script: str, keys: Sequence[str], arguments: Sequence[Any], *, reads: bool = False
    ) -> Any:
        """Run a script; sent whole only where the server does not know it."""
        send = self._connections.read if reads else self._connections.send
        rest = (len(keys), *keys, *arguments)
        try:
            return send("EVALSHA", digest(script), *rest)
        except redis.exceptions.NoScriptError:
            return send("EVAL", script, *rest)


def _indexes(collection: Collection) -> tuple[Policed, ...]:
    """The declared indexes. Raises ConfigError for a policy that there is not."""
    found = policed(collection, DRIVER)
    native = [kept.index.name for kept in found if kept.native]
    if native:
        raise ConfigError(
            f"placement in {DRIVER}: the policy of {', '.join(native)} cannot be native here",
            collection=collection.name,
            driver=DRIVER,
        )
    return found


def _changing(collection: Collection) -> Contention:
    return Contention("the collection is being changed", collection=collection.name, driver=DRIVER)


def _arguments(part: Write | Check, kept: _Kept) -> list[Any]:
    """What the script is told of one part."""
    word, argument = _condition(part.condition)
    head = [len(kept.indexes), kept.text, encode_key(part.key), word, argument]
    if not isinstance(part, Write):
        return [*head, "check", "", "", *("" for _ in kept.indexes)]
    deletes = part.fields is None and part.stamp is None
    stamp = "" if part.stamp is None else _digits(part.stamp)
    entries = [_entry(one, part) for one in kept.indexes]
    return [*head, "delete" if deletes else "put", stamp, _text(part), *entries]


def _entry(kept: Policed, write: Write) -> str:
    """A record's member of an index: its entry, and how many bytes of that are its key."""
    entry = kept.entry(write.fields, write.key)
    return "" if entry is None else f"{entry}{len(encode_key(write.key).encode()):08d}"


def _condition(condition: Condition) -> tuple[str, str]:
    if condition is ANYTHING:
        return "anything", ""
    if condition is NOTHING:
        return "nothing", ""
    if isinstance(condition, Unchanged):
        return "unchanged", str(condition.token)
    assert isinstance(condition, OlderThan)
    return "older", _digits(condition.stamp)


def _digits(stamp: int) -> str:
    return f"{stamp + STAMPS:020d}"


def _text(write: Write) -> str:
    """What a put or tombstone keeps, as JSON; a tombstone keeps no fields."""
    kept: dict[str, Any] = {WRITE_ID: write.write_id, EXPIRES: write.expires}
    if write.fields is None:
        return encode_document({name: v for name, v in kept.items() if v is not None})
    names = write.collection.key_names
    rest = {name: value for name, value in write.fields.items() if name not in names}
    return encode_document({**{n: v for n, v in kept.items() if v is not None}, "f": rest})


def _stored(collection: Collection, key: Key, raw: bytes) -> Stored:
    """The record of a text.

    Raises:
        Unsupported: it is none of ours, and no JSON object.
    """
    text = raw.decode()
    token, _, rest = text.partition("\n")
    stamp, _, body = rest.partition("\n")
    try:
        if not token.isdecimal():
            return _foreign(collection, key, raw)
        told = decode_document(body)
    except ValueError:
        raise Unsupported("the text of a record is no JSON", driver=DRIVER) from None
    number = int(stamp) - STAMPS if stamp else None
    write_id: Any = told.get(WRITE_ID)
    expires: Any = told.get(EXPIRES)
    if "f" not in told:
        return Stored(key, None, token, write_id, number)
    named: Fields = dict(zip(collection.key_names, key, strict=True))
    fields: Any = told["f"]
    return Stored(key, {**named, **fields}, token, write_id, number, expires)


def _foreign(collection: Collection, key: Key, raw: bytes) -> Stored:
    """A record of another program: a JSON object of its fields."""
    fields = decode_document(raw.decode())
    if type(fields) is not dict:
        raise ValueError("no object")
    named: Fields = dict(zip(collection.key_names, key, strict=True))
    return Stored(key, {**fields, **named}, sha1(raw, usedforsecurity=False).hexdigest())


def _current(part: Write | Check, answer: bytes | None) -> Stored | None:
    return None if answer is None else _stored(part.collection, part.key, answer)


def _key(collection: Collection, cursor: str) -> Key:
    try:
        key = decode_key(cursor)
    except ValueError:
        key = ()
    if tuple(map(type, key)) != tuple(field.type for field in collection.key):
        raise CursorExpired("not a cursor of this scan", collection=collection.name, driver=DRIVER)
    return key
