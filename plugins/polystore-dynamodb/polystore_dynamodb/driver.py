"""The driver: each method of the contract as one call, or as few as DynamoDB allows."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import attrs
from botocore.exceptions import ClientError

from polystore.capabilities import Capabilities
from polystore.driver import (
    Check,
    Committed,
    Consistency,
    Description,
    Driver,
    NativeExpiry,
    QueryPage,
    ReadReply,
    Refused,
    Rejected,
    ScanPage,
    Segment,
    Sizes,
    Stored,
    Tariff,
    Unprocessed,
    Write,
    Written,
)
from polystore.errors import PolystoreError, Throttled
from polystore.plugin.specs import DriverURL
from polystore.queries import Position, QueryPlan
from polystore.schema import Collection
from polystore.values import Key
from polystore_dynamodb import provision, ttl
from polystore_dynamodb.bulk import Bulk
from polystore_dynamodb.connection import Connection
from polystore_dynamodb.faults import code_of, error_of, reasons_of
from polystore_dynamodb.indexes import NativeIndex
from polystore_dynamodb.items import sizes, stored, written_token
from polystore_dynamodb.limits import READ_KEYS, TARIFF, capabilities_of
from polystore_dynamodb.native_indexes import NativePage
from polystore_dynamodb.placement import Table, table_of
from polystore_dynamodb.queries import query_page, query_request, scan_page, scan_request
from polystore_dynamodb.settings import Settings, settings_of
from polystore_dynamodb.transactions import rejection, transaction
from polystore_dynamodb.wire.connection import LeanConnection
from polystore_dynamodb.writes import refusal, write_request

_WIRES = {"boto3": Connection, "lean": LeanConnection}


def open_dynamodb(url: DriverURL) -> DynamoDBDriver:
    """Open ``dynamodb://REGION?…``; no call is made, and credentials are looked for later.

    Raises:
        ConfigError: the URL is wrong (see :func:`polystore_dynamodb.settings.settings_of`).
    """
    return DynamoDBDriver(settings_of(url))


class DynamoDBDriver(Driver):
    """DynamoDB in one region, or behind one endpoint."""

    name = "dynamodb"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._connection = _WIRES[settings.wire](settings)
        self._tables: dict[Collection, Table] = {}

    def __repr__(self) -> str:
        place = self._settings.endpoint or self._settings.region or "the configured region"
        return f"<DynamoDBDriver on {place}>"

    def _table(self, collection: Collection) -> Table:
        table = self._tables.get(collection)
        if table is None:
            table = self._tables[collection] = table_of(collection, self._settings.prefix)
        return table

    def capabilities(self, collection: Collection) -> Capabilities:
        return capabilities_of(self._table(collection))

    def measure(self, write: Write) -> Sizes:
        return sizes(self._table(write.collection), write)

    def tariff(self, collection: Collection) -> Tariff:
        atomic = self._connection.settings.bulk == "transaction"
        return attrs.evolve(TARIFF, bulk=TARIFF.atomic) if atomic else TARIFF

    def read(
        self, collection: Collection, keys: Sequence[Key], consistency: Consistency
    ) -> ReadReply:
        table = self._table(collection)
        strong = consistency is Consistency.STRONG
        if len(keys) != 1:
            return self._read_many(table, keys, strong)
        reply = self._connection.call(
            "get_item",
            TableName=table.name,
            Key=table.key_item(keys[0]),
            ConsistentRead=strong,
        )
        item = reply.get("Item")
        return ReadReply([None if item is None else stored(table, item)])

    def _read_many(self, table: Table, keys: Sequence[Key], strong: bool) -> ReadReply:
        records: list[Any] = [None] * len(keys)
        if not keys:
            return ReadReply(records)
        place = {key: i for i, key in enumerate(keys)}
        asked = {"Keys": [table.key_item(key) for key in keys], "ConsistentRead": strong}
        reply = self._connection.call("batch_get_item", RequestItems={table.name: asked})
        for item in reply["Responses"].get(table.name, ()):
            record = stored(table, item)
            records[place[record.key]] = record
        left = reply.get("UnprocessedKeys", {}).get(table.name, {}).get("Keys", ())
        return ReadReply(records, tuple(place[table.key_of(key)] for key in left))

    def write(self, write: Write) -> Written | Refused:
        table = self._table(write.collection)
        operation, request, item = write_request(table, write)
        try:
            self._connection.call(operation, **request)
        except ClientError as error:
            if code_of(error) != "ConditionalCheckFailedException":
                raise
            return refusal(table, write, error.response.get("Item"))
        return Written(written_token(write, item))

    def write_many(self, writes: Sequence[Write]) -> list[Written | Refused | Unprocessed]:
        return Bulk(self._connection, self._table, self.write, writes).run()

    def commit(self, writes: Sequence[Write], checks: Sequence[Check]) -> Committed | Rejected:
        if len(writes) == 1 and not checks:
            return self._commit_one(writes[0])
        made = transaction(self._table, writes, checks)
        try:
            self._connection.call("transact_write_items", **made.request)
        except ClientError as error:
            decided = rejection(self._table, writes, checks, reasons_of(error), made.tokens)
            if decided is None:
                raise
            return decided
        return Committed(made.tokens)

    def _commit_one(self, write: Write) -> Committed | Rejected:
        """A single write is atomic by itself, at half the price."""
        outcome = self.write(write)
        if isinstance(outcome, Refused):
            return Rejected((outcome,))
        return Committed((outcome.token,))

    def query(
        self, collection: Collection, plan: QueryPlan, after: Position | None, limit: int
    ) -> QueryPage:
        table = self._table(collection)
        index = None if plan.index is None else table.index(plan.index)
        if isinstance(index, NativeIndex):
            read_all = partial(self._read_all, table)
            return NativePage(self._ask, read_all, table, index, plan, after, limit).run()
        made = query_request(table, index, plan, after, limit)
        if made is None:
            return QueryPage([], None)
        request, sort = made
        found: list[Stored] = []
        while True:
            reply = self._ask(request)
            page = query_page(table, index, plan, sort, reply)
            found += page.records
            if page.next is not None or not reply.get("LastEvaluatedKey"):
                return QueryPage(found, page.next)
            request["ExclusiveStartKey"] = reply["LastEvaluatedKey"]
            request["Limit"] = limit - len(found)

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        reply: dict[str, Any] = self._connection.call("query", **request)
        return reply

    def _read_all(self, table: Table, keys: Sequence[Key]) -> list[Stored | None]:
        """Records by key, strongly, however many; for an index that has only their keys.

        Raises:
            Throttled: DynamoDB leaves the same keys unprocessed again and again.
        """
        found: dict[Key, Stored] = {}
        left = list(keys)
        while left:
            asked, left = left[: READ_KEYS.most], left[READ_KEYS.most :]
            reply = self._read_many(table, asked, strong=True)
            found.update((record.key, record) for record in reply.records if record is not None)
            if len(reply.unprocessed) == len(asked):
                raise Throttled(f"{len(asked)} keys were not processed", driver=self.name)
            left += [asked[i] for i in reply.unprocessed]
        return [found.get(key) for key in keys]

    def scan(
        self, collection: Collection, segment: Segment, cursor: str | None, limit: int
    ) -> ScanPage:
        table = self._table(collection)
        request = scan_request(table, segment, cursor, limit)
        return scan_page(table, self._connection.call("scan", **request))

    def translate(self, error: Exception) -> PolystoreError:
        return error_of(error)

    def create(self, collection: Collection) -> None:
        provision.create(self._connection, self._table(collection))

    def drop(self, collection: Collection) -> None:
        provision.drop(self._connection, self._table(collection))

    def describe(self, collection: Collection) -> Description:
        return provision.describe(self._connection, self._table(collection))

    def native_expiry(self, collection: Collection) -> NativeExpiry:
        return ttl.native_expiry(self._connection, self._table(collection))

    def expire_natively(self, collection: Collection) -> bool:
        return ttl.expire_natively(self._connection, self._table(collection))

    def native(self, collection: Collection | None = None) -> Any:
        """The boto3 client, with retries off."""
        return self._connection.client()

    def close(self) -> None:
        self._connection.close()
