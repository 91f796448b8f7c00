"""One database: Google's in-memory stub with version history and ordered indexes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from polystore_engines.datastore_stub import patches
from polystore_engines.datastore_stub.appengine import (
    Message,
    datastore_types,
    file_stub,
    stub_util,
    v3,
)
from polystore_engines.datastore_stub.entities import add_birth, birth
from polystore_engines.datastore_stub.limits import STALE_READ_SECONDS
from polystore_engines.datastore_stub.ordering import KeyValue, key_value
from polystore_engines.datastore_stub.tables import Table, Test
from polystore_engines.datastore_stub.timestamps import MICROS, now_micros
from polystore_engines.datastore_stub.transactions import Transaction

SNAPSHOT_TABLES = 8
"""Tables of the past that are kept, each built for a kind that changed since."""

patches.apply()


def complete(query: Message, filters: Iterable[Message], orders: Sequence[Message]) -> bool:
    """Whether what `Table.select` gives for a query is its answer, filtered and in order.

    So it is in the order of keys. Elsewhere, for projections, and where whole keys are named, it
    is a superset, which Google's code filters and sorts: that takes half the time of a scan.
    """
    by_key = any(f.op == f.EQUAL and f.property[0].name == "__key__" for f in filters)
    return orders[0].property == "__key__" and not by_key and not query.property_name


class Database(file_stub.DatastoreFileStub):
    """Google's storage and query code; methods in CamelCase are hooks that it calls.

    Attributes:
        history: every version of every key that read_time may ask for, oldest first; a record
            of None is a deletion.
    """

    _commit_timestamp: int

    def __init__(self, app: str) -> None:
        self.tables: dict[tuple[str, str | None], Table] = {}
        self.history: dict[KeyValue, list[tuple[int, Any]]] = {}
        self._snapshots: dict[Any, Table] = {}
        # Google's query code has no room for these, so `query` sets them around its call.
        self._as_of: int | None = None
        self._test: Test | None = None
        self._want: int | None = None
        super().__init__(
            app,
            None,
            save_changes=False,
            trusted=True,
            use_atexit=False,
            consistency_policy=stub_util.MasterSlaveConsistencyPolicy(),
            auto_id_policy=stub_util.SCATTERED,
        )
        self.app = app

    # reading

    @property
    def last_commit(self) -> int:
        """The version of the last commit: its time in microseconds."""
        return self._commit_timestamp

    def read(self, key: KeyValue, as_of: int | None = None) -> Any:
        """The record of a key now, or at a version; None when there is none."""
        past = self.history.get(key, ())
        if as_of is None:
            return past[-1][1] if past else None
        return next((record for version, record in reversed(past) if version <= as_of), None)

    def last_version(self, key: KeyValue) -> int:
        """The version of the last change of a key, its deletion included; 0: never written."""
        past = self.history.get(key)
        return past[-1][0] if past else 0

    def query(self, query: Message, as_of: int | None, test: Test | None, want: int | None) -> Any:
        """Runs a v3 query through Google's code and returns its cursor over the results.

        Args:
            query: the v3 query.
            as_of: the version to read at; None: now.
            test: the part of the filter that v3 cannot say.
            want: how many results suffice; None: all.
        """
        self._as_of, self._test, self._want = as_of, test, want
        try:
            return self.GetQueryCursor(query, True, self.app)
        finally:
            self._as_of = self._test = self._want = None

    def _GetQueryCursor(self, query: Message, filters: Any, orders: Any, index_list: Any) -> Any:
        kind = query.kind if query.HasField("kind") else None
        if kind in self._pseudo_kinds:
            return super()._GetQueryCursor(query, filters, orders, index_list)
        full = stub_util._GuessOrders(filters, orders)
        stub_util.NormalizeCursors(query, full[0].direction)
        want = None if query.group_by_property_name or query.shallow else self._want
        table = self._table(query.name_space, kind)
        records = table.select(query, filters, full, self._test, want)
        if not complete(query, filters, full):
            return stub_util._ExecuteQuery(records, query, filters, orders, index_list)
        made = stub_util._MakeQuery(query, filters, full)
        return stub_util.ListCursor(query, made, full, index_list, records)

    def _table(self, namespace: str, kind: str | None) -> Table:
        """The table as it is now, or as it was at the version that is asked for."""
        name, as_of = (namespace, kind), self._as_of
        table = self.tables.get(name) or self._new_table(namespace, kind)
        if as_of is None or table.changed <= as_of:
            return table
        if (name, as_of) not in self._snapshots:
            while len(self._snapshots) >= SNAPSHOT_TABLES:
                del self._snapshots[next(iter(self._snapshots))]
            self._snapshots[name, as_of] = self._past_table(namespace, kind, as_of)
        return self._snapshots[name, as_of]

    def _new_table(self, namespace: str, kind: str | None) -> Table:
        """An empty table; one of all kinds is filled now and kept up from then on."""
        table = self.tables[namespace, kind] = Table()
        if kind is None:
            for (space, other), part in self.tables.items():
                if space == namespace and other is not None:
                    table.records.update(part.records)
                    table.changed = max(table.changed, part.changed)
        return table

    def _past_table(self, namespace: str, kind: str | None, as_of: int) -> Table:
        past = Table()
        for key in self.history:
            if key[2] == namespace and kind in (None, key[-2]):
                record = self.read(key, as_of)
                if record is not None:
                    past.records[key] = record
        return past

    # writing

    def begin(self, mode: int = 0) -> Transaction:
        """A transaction that sees the database as it is now."""
        return Transaction(self, self.app, True, mode)

    def allocate(self, keys: Iterable[Message]) -> list[Message]:
        """Completes v3 keys with new ids, and takes those of complete ones out of allocation."""
        allocated: list[Message] = self._AllocateIds(list(keys))
        return allocated

    def Write(self) -> None:
        """Does nothing; Google's flushes by walking every entity group there ever was.

        It would do so after each commit, and with the master/slave policy nothing is ever left
        to flush.
        """

    def _BeginTransaction(self, app: str, allow_multiple_eg: bool, mode: int = 0) -> Transaction:
        return self.begin(mode)

    def _IncrementAndGetCommitTimestamp(self) -> int:
        """Versions are commit times in microseconds."""
        self._commit_timestamp = max(self._commit_timestamp + 1, now_micros())
        return self._commit_timestamp

    def _GetEntitiesInEntityGroup(self, entity_group: Message) -> dict[KeyValue, Any]:
        key = key_value(entity_group)
        record = self.read(key)
        if record is None:
            return {}
        metadata = v3.EntityMetadata()  # LiveTxn._Apply changes it in place
        metadata.CopyFrom(record.metadata)
        return {key: stub_util.EntityRecord(record.entity, metadata)}

    def _GetMetaData(self, entity_group: Message) -> Any:
        """The log of a key, without a reference to the message that named it."""
        key = key_value(entity_group)
        if key not in self._meta_data:
            self._meta_data[key] = stub_util.EntityGroupMetaData(None)
        return self._meta_data[key]

    def _GetEntityLocation(self, key: Message) -> tuple[tuple[str, str], KeyValue, KeyValue]:
        value = key_value(key)
        space = datastore_types.EncodeAppIdNamespace(key.app, key.name_space)
        return (space, value[-2]), value, value

    def _Put(self, record: Any, insert: bool) -> None:
        stored = stub_util.StoreRecord(record)
        self._StoreRecord(stored, insert)
        key = key_value(stored.entity.key)
        version, old = stored.metadata.updated_version, self.read(key)
        add_birth(stored.entity, birth(old.entity) if old else version)
        self._remember(key, version, stored)

    def _Delete(self, key: Message) -> None:
        super()._Delete(key)
        self._remember(key_value(key), self._commit_timestamp, None)

    def _remember(self, key: KeyValue, version: int, record: Any) -> None:
        past = self.history.setdefault(key, [])
        past.append((version, record))
        horizon = version - STALE_READ_SECONDS * MICROS
        while len(past) > 1 and past[1][0] <= horizon:
            del past[0]
        namespace, kind = key[2], key[-2]
        kinds = self.tables.get((namespace, kind)) or self._new_table(namespace, kind)
        for table in (kinds, self.tables.get((namespace, None))):
            if table is not None:
                table.put(key, record) if record is not None else table.delete(key)
                table.changed = version
