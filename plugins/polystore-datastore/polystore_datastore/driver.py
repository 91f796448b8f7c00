"""The driver: each method of the contract as one call, or as few as Datastore allows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from polystore.capabilities import Capabilities
from polystore.driver import (
    Anything,
    Check,
    Committed,
    Condition,
    Consistency,
    Description,
    Driver,
    NativeExpiry,
    OlderThan,
    QueryPage,
    ReadReply,
    Refused,
    Rejected,
    ScanPage,
    Segment,
    Sizes,
    Tariff,
    Unprocessed,
    Write,
    Written,
)
from polystore.errors import Contention, PolystoreError
from polystore.plugin.specs import DriverURL
from polystore.queries import Position, QueryPlan
from polystore.schema import Collection
from polystore.values import Key
from polystore_datastore import provision
from polystore_datastore.bulk import Bulk
from polystore_datastore.codec import Codec
from polystore_datastore.conditions import settled
from polystore_datastore.connection import Connection
from polystore_datastore.entities import sizes
from polystore_datastore.faults import error_of
from polystore_datastore.indexes import index_page
from polystore_datastore.limits import TARIFF, capabilities_of
from polystore_datastore.lookups import look, look_at_all
from polystore_datastore.messages import CommitRequest
from polystore_datastore.placement import Place, place_of
from polystore_datastore.queries import partition_page
from polystore_datastore.refs import Partition
from polystore_datastore.scans import halve, scan_page
from polystore_datastore.settings import Settings, settings_of
from polystore_datastore.writes import add_check, add_write, make_atomic, make_single, tokens

_RACES = 5
"""How often a write that lost a race looks again."""


def open_datastore(url: DriverURL) -> DatastoreDriver:
    """Open ``datastore://PROJECT?…``; no call is made, and credentials are looked for later.

    Raises:
        ConfigError: the URL is wrong (see :func:`polystore_datastore.settings.settings_of`).
    """
    return DatastoreDriver(settings_of(url))


class DatastoreDriver(Driver):
    """One database and namespace of Datastore. A token is the entity's version."""

    name = "datastore"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._connection = Connection(settings)
        self._codec = Codec(Partition(settings.project, settings.database, settings.namespace))
        self._places: dict[Collection, Place] = {}

    def __repr__(self) -> str:
        return f"<DatastoreDriver on {self._settings.emulator or self._settings.project}>"

    def _place(self, collection: Collection) -> Place:
        place = self._places.get(collection)
        if place is None:
            place = self._places[collection] = place_of(collection, self._codec)
        return place

    def capabilities(self, collection: Collection) -> Capabilities:
        return capabilities_of(self._place(collection))

    def measure(self, write: Write) -> Sizes:
        return sizes(self._place(write.collection), write)

    def tariff(self, collection: Collection) -> Tariff:
        return TARIFF

    def read(
        self, collection: Collection, keys: Sequence[Key], consistency: Consistency
    ) -> ReadReply:
        strong = consistency is Consistency.STRONG
        return look(self._connection, self._place(collection), keys, strong)

    def write(self, write: Write) -> Written | Refused:
        if isinstance(write.condition, OlderThan):
            return self._write_older(write)
        return self._write(write, write.condition)

    def _write(self, write: Write, condition: Condition) -> Written | Refused:
        request = self._connection.request(CommitRequest)
        if isinstance(condition, Anything):
            make_single(request)
        else:
            make_atomic(request)
        add_write(self._place(write.collection), write, condition, request)
        reply = self._connection.commit(request)
        if reply is None:
            return Refused()
        return Written(tokens((write,), reply.mutation_results)[0])

    def _write_older(self, write: Write) -> Written | Refused:
        """Look, and write if nobody has come between; else look again.

        Raises:
            Contention: others came between each time.
        """
        place = self._place(write.collection)
        for _ in range(_RACES):
            (current,) = look_at_all(self._connection, place, (write.key,))
            condition = settled(write.condition, current)
            if isinstance(condition, Refused):
                return condition
            outcome = self._write(write, condition)
            if isinstance(outcome, Written):
                return outcome
        raise Contention(
            f"others wrote it {_RACES} times between look and write",
            collection=write.collection.name,
            key=write.key,
            driver=self.name,
        )

    def write_many(self, writes: Sequence[Write]) -> list[Written | Refused | Unprocessed]:
        return Bulk(self._connection, self._place, self.write, writes).run()

    def commit(self, writes: Sequence[Write], checks: Sequence[Check]) -> Committed | Rejected:
        if not writes and not checks:
            return Committed(())
        conditions = self._settled(writes, len(checks))
        if isinstance(conditions, Rejected):
            return conditions
        request = self._connection.request(CommitRequest)
        make_atomic(request)
        for write, condition in zip(writes, conditions, strict=True):
            add_write(self._place(write.collection), write, condition, request)
        for check in checks:
            add_check(self._place(check.collection), check, request)
        reply = self._connection.commit(request)
        return Rejected() if reply is None else Committed(tokens(writes, reply.mutation_results))

    def _settled(self, writes: Sequence[Write], checks: int) -> list[Condition] | Rejected:
        """Conditions that Datastore knows; a look decides ``OlderThan``, the version holds it."""
        conditions: list[Condition] = []
        refusals: list[Refused | None] = []
        for write in writes:
            condition: Condition | Refused = write.condition
            if isinstance(condition, OlderThan):
                place = self._place(write.collection)
                (current,) = look_at_all(self._connection, place, (write.key,))
                condition = settled(condition, current)
            if isinstance(condition, Refused):
                refusals.append(condition)
            else:
                refusals.append(None)
                conditions.append(condition)
        if len(conditions) < len(writes):
            return Rejected((*refusals, *(None for _ in range(checks))))
        return conditions

    def query(
        self, collection: Collection, plan: QueryPlan, after: Position | None, limit: int
    ) -> QueryPage:
        page = partition_page if plan.index is None else index_page
        return page(self._connection, self._place(collection), plan, after, limit)

    def scan(
        self, collection: Collection, segment: Segment, cursor: str | None, limit: int
    ) -> ScanPage:
        return scan_page(self._connection, self._place(collection), segment, cursor, limit)

    def halve(self, collection: Collection, segment: Segment) -> bool:
        return halve(self._connection, self._place(collection), segment)

    def translate(self, error: Exception) -> PolystoreError:
        return error_of(error)

    def create(self, collection: Collection) -> None:
        """Nothing to make: a kind comes with its first entity, indexes with the properties."""
        self._connection.check_open()
        self._place(collection)

    def drop(self, collection: Collection) -> None:
        provision.drop(self._connection, self._place(collection))

    def describe(self, collection: Collection) -> Description:
        return provision.describe(self._connection, self._place(collection))

    def native_expiry(self, collection: Collection) -> NativeExpiry:
        return provision.native_expiry(self._place(collection))

    def native(self, collection: Collection | None = None) -> Any:
        """Google's ``DatastoreClient`` over this driver's channel, with its own retries."""
        return self._connection.client()

    def close(self) -> None:
        self._connection.close()
