"""Cloud Datastore v1 over gRPC, served from Google's own pure-Python datastore stub.

Reference server for tests and demos: the official ``google-cloud-datastore`` client talks
to it through ``DATASTORE_EMULATOR_HOST`` without docker, Java or a network.

    pip install appengine-python-standard==3.1.0 google-cloud-datastore==2.27.0
    python datastore_stub_server.py --host-port 127.0.0.1:0 --project p --ready-file ready.json

What comes from Google (``google.appengine.*``, package appengine-python-standard): entity
storage, the optimistic transactions (``LiveTxn``), the query pipeline (normalisation, filters,
projections, DISTINCT, sort order, cursors), the v1 validator and the v1 <-> v3 converters.
What is added here: the v1 RPC surface, today's limits and status codes, snapshots (MVCC) for
``read_time`` and for reads inside transactions, ordered indexes so that a page costs O(page),
newer filters (IN, NOT_IN, !=, OR, several inequalities), aggregations, property masks and
transforms, conflict strategies, several databases, transaction expiry and ``POST /reset``.

GQL, vector search (find_nearest), explain options and IAM are not served (UNIMPLEMENTED or
ignored); no composite index is ever required; see the research notes for other differences.
"""
from __future__ import annotations

import argparse
import bisect
import http.server
import itertools
import json
import math
import os
import secrets
import sys
import threading
import time
import types
from concurrent import futures
from typing import Any, Callable, Iterable, Iterator, NamedTuple, Optional

import grpc
from google.cloud.datastore_v1 import types as v1
from google.protobuf import timestamp_pb2
from google.rpc import code_pb2


# --- 1. `googledatastore` shim: the old client library that Google's stub wants to import -----
def _install_shim() -> Any:
    shim: Any = types.ModuleType("googledatastore")
    shim.VERSION, shim.NULL_VALUE = (6, 0, 0), 0
    for name in v1.__all__:
        message = getattr(v1, name)
        if hasattr(message, "pb"):
            setattr(shim, name, message.pb())
    ops = dict(v1.PropertyFilter.pb().Operator.items())
    shim.PropertyFilter = types.SimpleNamespace(HAS_PARENT=-1, **ops)
    shim.code_pb2 = code_pb2
    shim.helper = types.SimpleNamespace(
        micros_from_timestamp=lambda t: t.seconds * 1_000_000 + t.nanos // 1000,
        micros_to_timestamp=lambda micros, t: t.CopyFrom(to_timestamp(micros)))
    sys.modules["googledatastore"] = shim
    return shim


def to_timestamp(micros: int) -> timestamp_pb2.Timestamp:
    seconds, rest = divmod(micros, 1_000_000)
    return timestamp_pb2.Timestamp(seconds=seconds, nanos=rest * 1000)


def to_micros(stamp: timestamp_pb2.Timestamp) -> int:
    return stamp.seconds * 1_000_000 + stamp.nanos // 1000


gd = _install_shim()
from google.appengine.api import datastore_file_stub as file_stub  # noqa: E402
from google.appengine.api import datastore_types  # noqa: E402
from google.appengine.datastore import cloud_datastore_validator as validator  # noqa: E402
from google.appengine.datastore import datastore_pb, datastore_pbs  # noqa: E402
from google.appengine.datastore import datastore_stub_util as util  # noqa: E402
from google.appengine.datastore import entity_bytes_pb2 as v3  # noqa: E402
from google.appengine.runtime import apiproxy_errors  # noqa: E402

# --- 2. limits of the current service ---------------------------------------------------------
MAX_INDEXED_BYTES = 1500          # indexed string/blob, kind, key name, property name
MAX_VALUE_BYTES = 1_048_487       # unindexed string or blob
MAX_ENTITY_BYTES = 1_048_572      # 1 MiB - 4
MAX_REQUEST_BYTES = 10 * 1024 * 1024
MAX_KEY_BYTES = 6 * 1024
MAX_INDEX_ENTRIES = 20_000
MAX_DEPTH = 20                    # nested entity values
MAX_TRANSFORMS = 500
MAX_LOOKUP_KEYS = 1000
MAX_AGGREGATIONS = 5
MAX_DISJUNCTIONS, MAX_NOT_IN = 30, 10
TXN_IDLE_SECONDS, TXN_TOTAL_SECONDS = 60.0, 270.0
STALE_READ_SECONDS = 3600         # read_time reaches back one hour (no PITR)
BATCH_ROWS, BATCH_BYTES = 300, 2_000_000
_BLOB, _CREATED = "__v1__", "__created__"   # hidden raw properties: the v1 entity, its birth
Op = gd.PropertyFilter
_INEQ = {Op.LESS_THAN, Op.LESS_THAN_OR_EQUAL, Op.GREATER_THAN, Op.GREATER_THAN_OR_EQUAL}


class ApiError(Exception):
    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code


def invalid(message: str) -> ApiError:
    return ApiError(grpc.StatusCode.INVALID_ARGUMENT, message)


def need(condition: Any, message: str) -> None:
    if not condition:
        raise invalid(message)


def no_transaction() -> ApiError:   # what the service answers for expired, closed, unknown ones
    return invalid("The referenced transaction has expired or is no longer valid.")


_V3_CODES = {
    datastore_pb.Error.BAD_REQUEST: grpc.StatusCode.INVALID_ARGUMENT,
    datastore_pb.Error.CONCURRENT_TRANSACTION: grpc.StatusCode.ABORTED,
    datastore_pb.Error.NEED_INDEX: grpc.StatusCode.FAILED_PRECONDITION,
    datastore_pb.Error.TIMEOUT: grpc.StatusCode.DEADLINE_EXCEEDED,
    datastore_pb.Error.PERMISSION_DENIED: grpc.StatusCode.PERMISSION_DENIED}


# --- 3. patches on Google's modules -----------------------------------------------------------
class _Max:
    """Greater than every index component."""

    def __gt__(self, other: object) -> bool:
        return True

    def __lt__(self, other: object) -> bool:
        return False


class _Rev:
    """A component of a descending index."""
    __slots__ = ("v",)

    def __init__(self, v: Any) -> None:
        self.v = v

    def __lt__(self, other: Any) -> bool:
        return bool(other.v < self.v) if isinstance(other, _Rev) else True

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Rev) and self.v == other.v


MAX = _Max()


def key_value(key: Any, id_resolver: Any = None) -> tuple:
    """Google's ReferenceToKeyValue, but numeric ids and names of one kind compare (ids first);
    the original mixes int and str in one tuple position and raises TypeError on Python 3."""
    if isinstance(key, gd.Key):
        parts, path = (key.partition_id.project_id, key.partition_id.namespace_id), key.path
        names: Iterable[tuple] = (
            (e.kind, (1, e.name) if e.WhichOneof("id_type") == "name" else (0, e.id)) for e in path)
    else:
        path = key.path.element if isinstance(key, v3.Reference) else key.pathelement
        parts = (key.app, key.name_space)
        names = ((e.type, (1, e.name) if e.HasField("name") else (0, e.id)) for e in path)
    return (v3.PropertyValue.REFERENCEVALUE_FIELD_NUMBER, *parts, *itertools.chain(*names))


property_key = datastore_types.PropertyValueToKeyValue     # Google's sort key of a value


class _Stored:
    """file_stub._StoredEntity without the serialised copy that only saving to disk needs."""

    def __init__(self, record: Any) -> None:
        self.record = record


def _same_entity(old: Any, new: Any) -> bool:
    """No-op writes keep the version, as in the service."""
    if old is None or new is None:
        return old is new
    return bool(old.raw_property[0] == new.raw_property[0])


def _patch_google() -> None:
    datastore_types.ReferenceToKeyValue = key_value
    datastore_pbs.MAX_INDEXED_STRING_CHARS = datastore_pbs.MAX_INDEXED_BLOB_BYTES = MAX_INDEXED_BYTES
    util._MAX_EG_PER_TXN = sys.maxsize            # no entity-group limit any more
    util._MAXIMUM_RESULTS = util.BaseDatastore._BATCH_SIZE = BATCH_ROWS
    util._SCATTER_PROPORTION = 512                # 1 entity in 128 has __scatter__
    util._IsNoOpWrite = _same_entity
    util._CalculateWriteOps = lambda indexes, old, new: (1, 0)   # billing figures
    file_stub._StoredEntity = _Stored
    # Conflicts are per entity, not per entity group: every entity is its own group.
    util._GetEntityGroup = lambda ref: type(ref).FromString(ref.SerializeToString())
    # Byte limits and indexed entity values are checked in section 5 instead.
    validator._EntityValidator._EntityValidator__validate_value_index_constraints = (
        lambda self, value: None)


_patch_google()


# --- 4. the engine: Google's stub + version history + ordered indexes -------------------------
class Table:
    """The entities of one kind (or of one namespace) with lazily built ordered indexes.

    An index is a sorted list of (component, ..., key); its signature is the equality-filtered
    properties followed by the sort orders, like a composite index of the service.
    """

    def __init__(self) -> None:
        self.records: dict[tuple, Any] = {}
        self.indexes: dict[tuple, list[tuple]] = {}
        self.changed = 0

    def entries(self, key: tuple, record: Any, signature: tuple) -> list[tuple]:
        values: dict[str, list] = {name: [] for name, _ in signature}
        for prop in record.entity.property:
            if prop.name in values:
                values[prop.name].append(property_key(prop.value))
        columns = []
        for name, descending in signature:
            column: Iterable = (key,) if name == "__key__" else set(values[name])
            columns.append([_Rev(v) for v in column] if descending else column)
        return list(itertools.product(*columns))

    def put(self, key: tuple, record: Any) -> None:
        self.delete(key)
        self.records[key] = record
        for signature, rows in self.indexes.items():
            for entry in self.entries(key, record, signature):
                bisect.insort(rows, entry)

    def delete(self, key: tuple) -> None:
        record = self.records.pop(key, None)
        if record is None:
            return
        for signature, rows in self.indexes.items():
            for entry in self.entries(key, record, signature):
                del rows[bisect.bisect_left(rows, entry)]

    def index(self, signature: tuple) -> list[tuple]:
        if signature not in self.indexes:
            self.indexes[signature] = sorted(itertools.chain.from_iterable(
                self.entries(key, record, signature) for key, record in self.records.items()))
        return self.indexes[signature]

    def select(self, query: Any, filters: list, orders: list, test: Optional[Callable],
               want: Optional[int]) -> list:
        """The first `want` matching records at or after the start cursor, in query order."""
        equal: dict[str, list] = {}
        ranges: list[tuple[int, tuple]] = []
        for f in filters:
            name, value = f.property[0].name, f.property[0].value
            if f.op == f.EQUAL:
                equal.setdefault(name, []).append(property_key(value))
            elif f.op in _INEQ:
                ranges.append((f.op, property_key(value)))
        ancestor = key_value(query.ancestor) if query.HasField("ancestor") else ()
        sort = [(o.property, o.direction == o.DESCENDING) for o in orders]
        if "__key__" in equal:
            rows = [(k,) for k in equal.pop("__key__") if k in self.records]
            signature: tuple = (("__key__", False),)
            low, high, start, stop = (), (MAX,), 0, len(rows)
            names: list[str] = []
        else:
            names = sorted(equal)
            signature = tuple((name, False) for name in names) + tuple(sort)
            rows = self.index(signature)
            prefix = tuple(equal[name][0] for name in names)
            low, high = prefix, prefix + (MAX,)
            for op, value in ranges:
                inclusive = op in (Op.LESS_THAN_OR_EQUAL, Op.GREATER_THAN_OR_EQUAL)
                is_low = (op in (Op.GREATER_THAN, Op.GREATER_THAN_OR_EQUAL)) != sort[0][1]
                bound = prefix + (_Rev(value) if sort[0][1] else value,)
                if is_low:
                    low = max(low, bound if inclusive else bound + (MAX,))
                else:
                    high = min(high, bound + (MAX,) if inclusive else bound)
            if ancestor and sort[0] == ("__key__", False):
                low, high = max(low, prefix + (ancestor,)), min(high, prefix + (ancestor + (MAX,),))
            start, stop = bisect.bisect_left(rows, low), bisect.bisect_left(rows, high)
            position = self._position(query.compiled_cursor, prefix, sort)
            if position:
                start = max(start, position[1](rows, position[0]))
            position = self._position(query.end_compiled_cursor, prefix, sort)
            if position:
                stop = min(stop, position[1](rows, position[0]))
        found: dict[tuple, Any] = {}
        for entry in itertools.islice(rows, start, max(start, stop)):
            last = entry[-1]
            key = last.v if isinstance(last, _Rev) else last
            if key in found or key[:len(ancestor)] != ancestor:
                continue
            record = self.records[key]
            if test or any(len(v) > 1 for v in equal.values()):
                values = value_map(record, key)
                if not all(set(equal[n]) <= set(values.get(n, ())) for n in names):
                    continue
                if test and not test(values):
                    continue
            if len(record.entity.property) > 1 and not query.property_name:
                record = self._pin(key, record, signature, len(names), entry, low, high)
                if record is None:
                    continue
            found[key] = record
            if want is not None and len(found) >= want:
                break
        return list(found.values())

    def _pin(self, key: tuple, record: Any, signature: tuple, first: int, entry: tuple,
             low: tuple, high: tuple) -> Any:
        """A multi-valued entity appears once, where its first matching index entry is; it is
        handed to Google's code with that one value, so that order and cursor are exact."""
        names = {n for n, _ in signature[first:]} - {n for n, _ in signature[:first]} - {"__key__"}
        if not names or len([p for p in record.entity.property if p.name in names]) == len(names):
            return record
        own = [e for e in self.entries(key, record, signature) if not e < low and e < high]
        if entry != min(own):
            return None
        wanted = {signature[i][0]: entry[i].v if isinstance(entry[i], _Rev) else entry[i]
                  for i in range(first, len(signature))}
        clone = v3.EntityProto()
        clone.CopyFrom(record.entity)
        del clone.property[:]
        for prop in record.entity.property:
            if prop.name not in names:
                clone.property.add().CopyFrom(prop)
            elif property_key(prop.value) == wanted.get(prop.name):
                clone.property.add().CopyFrom(prop)
                del wanted[prop.name]
        return util.EntityRecord(clone, record.metadata)

    @staticmethod
    def _position(cursor: Any, prefix: tuple, sort: list) -> Optional[tuple]:
        if not cursor.HasField("postfix_position"):
            return None
        place = cursor.postfix_position
        values = {v.property_name: property_key(v.value)
                  for v in place.index_value}
        if place.HasField("key"):
            values["__key__"] = key_value(place.key)
        if set(values) != {name for name, _ in sort}:
            return None                     # Google's code reports the mismatch
        entry = prefix + tuple(_Rev(values[n]) if desc else values[n] for n, desc in sort)
        return entry, bisect.bisect_left if place.before else bisect.bisect_right


def value_map(record: Any, key: tuple) -> dict[str, list]:
    values: dict[str, list] = {"__key__": [key]}
    for prop in record.entity.property:
        values.setdefault(prop.name, []).append(
            property_key(prop.value))
    return values


class Txn(util.LiveTxn):
    """Google's transaction; reads see the snapshot taken at its start."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.version = int(self._txn_manager._commit_timestamp)
        self.born = self.used = time.monotonic()
        self.reruns: list[tuple[Callable[[], list], list]] = []

    def note_read(self, ref: Any) -> None:
        tracker = self._GetTracker(ref)
        if tracker._snapshot is None:
            tracker._GrabSnapshot(self._txn_manager)
            if self._txn_manager.last_version(key_value(ref)) > self.version:
                tracker._read_pos = -3      # changed since our start: Commit will abort

    def GetQueryCursor(self, query: Any, filters: list, orders: list, index_list: list) -> Any:
        return self._txn_manager._GetQueryCursor(query, filters, orders, index_list)

    def Commit(self) -> Any:
        writes = any(t._put or t._delete for t in self._entity_groups.values())
        if writes and any(rerun() != before for rerun, before in self.reruns):
            raise apiproxy_errors.ApplicationError(
                datastore_pb.Error.CONCURRENT_TRANSACTION, "A query result changed.")
        return super().Commit()


class Engine(file_stub.DatastoreFileStub):
    """One database: Google's in-memory datastore stub with snapshots and ordered indexes."""

    def __init__(self, app: str) -> None:
        self.tables: dict[tuple, Table] = {}
        self.history: dict[tuple, list[tuple[int, Any]]] = {}
        self.snapshots: dict[tuple, Table] = {}
        self.as_of: Optional[int] = None         # set around one call, under the server's lock
        self.test: Optional[Callable] = None
        self.want: Optional[int] = None
        super().__init__(app, None, save_changes=False, trusted=True, use_atexit=False,
                         consistency_policy=util.MasterSlaveConsistencyPolicy(),
                         auto_id_policy=util.SCATTERED)
        self.app = app

    def _BeginTransaction(self, app: str, allow_multiple_eg: bool, mode: int = 0) -> Txn:
        return Txn(self, app, allow_multiple_eg, mode)

    def Write(self) -> None:
        """Google's Write flushes by walking every entity group ever seen, after each commit;
        with the master/slave policy nothing is ever left to flush."""

    def _IncrementAndGetCommitTimestamp(self) -> int:     # versions are commit times in us
        stamp = max(int(self._commit_timestamp) + 1, time.time_ns() // 1000)
        self._commit_timestamp: int = stamp
        return stamp

    def _GetEntitiesInEntityGroup(self, entity_group: Any) -> dict:
        key = key_value(entity_group)
        record = self.read(key)
        if record is None:
            return {}
        metadata = v3.EntityMetadata()           # LiveTxn._Apply changes it in place
        metadata.CopyFrom(record.metadata)
        return {key: util.EntityRecord(record.entity, metadata)}

    def _Put(self, record: Any, insert: bool) -> None:
        super()._Put(record, insert)
        key = key_value(record.entity.key)
        stored = self._GetAllEntities()[self._GetEntityLocation(record.entity.key)[0]][key].record
        version, old = stored.metadata.updated_version, self.read(key)
        birth = old.entity.raw_property[1].value.int64Value if old else version
        stored.entity.raw_property.add(name=_CREATED, multiple=False).value.int64Value = birth
        self._remember(key, version, stored)

    def _Delete(self, key: Any) -> None:
        super()._Delete(key)
        self._remember(key_value(key), self._commit_timestamp, None)

    def _remember(self, key: tuple, version: int, record: Any) -> None:
        past = self.history.setdefault(key, [])
        past.append((version, record))
        horizon = version - STALE_READ_SECONDS * 1_000_000
        while len(past) > 1 and past[1][0] <= horizon:
            del past[0]
        for name in (key[-2], None):
            table = self.tables.get((key[2], name))
            if table is None and name is not None:
                table = self.tables[key[2], name] = Table()
            if table is not None:
                table.put(key, record) if record is not None else table.delete(key)
                table.changed = version

    def last_version(self, key: tuple) -> int:
        past = self.history.get(key)
        return past[-1][0] if past else 0

    def read(self, key: tuple, as_of: Optional[int] = None) -> Any:
        past = self.history.get(key, ())
        return next((record for version, record in reversed(past)
                     if as_of is None or version <= as_of), None)

    def table(self, namespace: str, kind: Optional[str], as_of: Optional[int]) -> Table:
        name = (namespace, kind)
        if name not in self.tables:
            table = self.tables[name] = Table()
            if kind is None:                     # kindless queries: built once, then kept up
                for (space, other), part in list(self.tables.items()):
                    if space == namespace and other is not None:
                        table.records.update(part.records)
                        table.changed = max(table.changed, part.changed)
        table = self.tables[name]
        if as_of is None or table.changed <= as_of:
            return table
        if (name, as_of) not in self.snapshots:
            while len(self.snapshots) >= 8:
                del self.snapshots[next(iter(self.snapshots))]
            past = self.snapshots[name, as_of] = Table()
            for key in self.history:
                if key[2] == namespace and kind in (None, key[-2]):
                    record = self.read(key, as_of)
                    if record is not None:
                        past.records[key] = record
        return self.snapshots[name, as_of]

    def _GetQueryCursor(self, query: Any, filters: list, orders: list, index_list: list) -> Any:
        kind = query.kind if query.HasField("kind") else None
        if kind in self._pseudo_kinds:
            return super()._GetQueryCursor(query, filters, orders, index_list)
        full = util._GuessOrders(filters, orders)
        util.NormalizeCursors(query, full[0].direction)
        want = None if query.group_by_property_name or query.shallow else self.want
        records = self.table(query.name_space, kind, self.as_of).select(
            query, filters, full, self.test, want)
        return util._ExecuteQuery(records, query, filters, orders, index_list)


# --- 5. checks and conversions of v1 messages -------------------------------------------------
def pad_key(key: Any, project: str, database: str) -> None:
    part = key.partition_id
    part.project_id = part.project_id or project
    need(part.project_id == project and part.database_id == database,
         f'mismatched databases within request: "{project}|{database}" and '
         f'"{part.project_id}|{part.database_id}"')


def check_key(key: Any) -> None:
    for element in key.path:
        need(len(element.kind.encode()) <= MAX_INDEXED_BYTES and
             len(element.name.encode()) <= MAX_INDEXED_BYTES,
             f"The key path element is longer than {MAX_INDEXED_BYTES} bytes.")
    need(key.ByteSize() <= MAX_KEY_BYTES, f"The key is longer than {MAX_KEY_BYTES} bytes.")


def indexed_values(name: str, value: Any, multiple: bool = False) -> Iterator[tuple[str, bool, Any]]:
    """Index values of one property; sub-properties of an indexed entity value get dotted names."""
    kind = value.WhichOneof("value_type")
    if value.exclude_from_indexes:
        return
    if kind == "array_value":
        for item in value.array_value.values:
            yield from indexed_values(name, item, True)
    elif kind == "entity_value" and value.meaning != datastore_pbs.MEANING_PREDEFINED_ENTITY_USER:
        for sub, item in value.entity_value.properties.items():
            yield from indexed_values(f"{name}.{sub}", item, multiple)
    else:
        yield name, multiple, value


def check_value(name: str, value: Any, indexed: bool, depth: int = 0) -> None:
    need(depth <= MAX_DEPTH, f"Entity values are nested deeper than {MAX_DEPTH} levels.")
    indexed = indexed and not value.exclude_from_indexes
    kind = value.WhichOneof("value_type")
    if kind in ("string_value", "blob_value"):
        data = value.string_value.encode() if kind == "string_value" else value.blob_value
        need(not indexed or len(data) <= MAX_INDEXED_BYTES,
             f'The value of property "{name}" is longer than {MAX_INDEXED_BYTES} bytes.')
        need(len(data) <= MAX_VALUE_BYTES,
             f'The value of property "{name}" is longer than {MAX_VALUE_BYTES} bytes.')
    elif kind == "array_value":
        for item in value.array_value.values:
            check_value(name, item, indexed, depth)
    elif kind == "entity_value":
        for sub, item in value.entity_value.properties.items():
            need(len(sub.encode()) <= MAX_INDEXED_BYTES, "The property name is too long.")
            check_value(f"{name}.{sub}", item, True, depth + 1)   # exclusion is not inherited


_CONVERTER = datastore_pbs.get_entity_converter(datastore_pbs._IdentityIdResolver())
_QUERIES = util.get_query_converter(datastore_pbs._IdentityIdResolver())
_VALID = validator.get_entity_validator()


def to_v3_key(key: Any) -> Any:
    ref = v3.Reference()
    _CONVERTER.v1_to_v3_reference(key, ref)
    return ref


def to_v1_key(ref: Any, database: str) -> Any:
    key = gd.Key()
    _CONVERTER.v3_to_v1_key(ref, key)
    key.partition_id.database_id = database
    return key


def to_v3_entity(entity: Any) -> Any:
    """The v3 entity holds only the index values plus the v1 message itself, so every detail
    (empty lists, excluded parts, meanings, key database) comes back exactly."""
    check_key(entity.key)
    for name, value in entity.properties.items():
        need(len(name.encode()) <= MAX_INDEXED_BYTES, "The property name is too long.")
        check_value(name, value, True)
    _VALID.validate_entity(validator.UPSERT, entity)
    data = entity.SerializeToString(deterministic=True)
    need(len(data) <= MAX_ENTITY_BYTES,
         f"The entity is too big: {len(data)} bytes, limit {MAX_ENTITY_BYTES}.")
    out = v3.EntityProto()
    _CONVERTER.v1_to_v3_reference(entity.key, out.key)
    blob = out.raw_property.add(name=_BLOB, multiple=False, meaning=v3.Property.BLOB)
    blob.value.stringValue = data
    for top, value in entity.properties.items():
        for name, multiple, item in indexed_values(top, value):
            _CONVERTER.v1_to_v3_property(name, multiple, False, item, out.property.add())
    need(len(out.property) <= MAX_INDEX_ENTRIES,
         f"The entity has more than {MAX_INDEX_ENTRIES} index entries.")
    return out


def raw(entity: Any, name: str) -> Any:
    return next((p.value for p in entity.raw_property if p.name == name), None)


def fill_result(result: Any, entity: Any, version: int, mask: Any = None) -> None:
    """EntityResult from a stored v3 entity."""
    result.entity.ParseFromString(raw(entity, _BLOB).stringValue)
    if mask is not None:
        keep_only(result.entity, mask)
    result.version = version
    result.update_time.CopyFrom(to_timestamp(version))
    result.create_time.CopyFrom(to_timestamp(raw(entity, _CREATED).int64Value))


def split_path(path: str) -> list[str]:
    parts, escaped = [""], False
    for char in path:
        if char == "." and not escaped:
            parts.append("")
            continue
        escaped = char == "\\" and not escaped
        if not escaped:
            parts[-1] += char
    need(all(parts) and not escaped, f'Invalid property path "{path}".')
    return parts


def holder(entity: Any, path: list[str], create: bool) -> Any:
    """The entity that holds the last name of a path, or None."""
    for name in path[:-1]:
        value = entity.properties.get(name)
        if value is None or value.WhichOneof("value_type") != "entity_value":
            if not create:
                return None
            entity.properties[name].entity_value.SetInParent()
        entity = entity.properties[name].entity_value
    return entity


def copy_paths(source: Any, target: Any, mask: Any) -> None:
    """Paths of the mask: present in source -> set in target, absent -> removed from target."""
    for path in mask.paths:
        if path == "__key__":
            continue
        names = split_path(path)
        at = holder(source, names, False)
        if at is not None and names[-1] in at.properties:
            holder(target, names, True).properties[names[-1]].CopyFrom(at.properties[names[-1]])
        else:
            place = holder(target, names, False)
            if place is not None and names[-1] in place.properties:
                del place.properties[names[-1]]


def keep_only(entity: Any, mask: Any) -> None:
    source = gd.Entity.FromString(entity.SerializeToString())
    entity.ClearField("properties")
    copy_paths(source, entity, mask)


def _number(value: Any) -> Any:
    kind = value.WhichOneof("value_type") if value is not None else None
    return getattr(value, kind) if kind in ("integer_value", "double_value") else None


def _content(value: Any) -> tuple:
    number = _number(value)
    if number is not None:
        return ("number", number)
    kind = value.WhichOneof("value_type")
    item = getattr(value, kind)
    return kind, item.SerializeToString(deterministic=True) if hasattr(item, "DESCRIPTOR") else item


def transform(entity: Any, change: Any, now: int) -> Any:
    """Applies one PropertyTransform and returns the Value for transform_results."""
    names, kind = split_path(change.property), change.WhichOneof("transform_type")
    place = holder(entity, names, True)
    old = place.properties[names[-1]] if names[-1] in place.properties else None
    excluded = old.exclude_from_indexes if old is not None else False
    new, reply = gd.Value(exclude_from_indexes=excluded), gd.Value(null_value=0)
    if kind == "set_to_server_value":
        new.timestamp_value.CopyFrom(to_timestamp(now // 1000 * 1000))     # millisecond precision
        reply.CopyFrom(new)
    elif kind in ("increment", "maximum", "minimum"):
        operand, have = _number(getattr(change, kind)), _number(old)
        need(operand is not None, f"The operand of {kind} must be a number.")
        if have is None:
            result = operand
        elif kind == "increment":
            result = have + operand
            if isinstance(result, int):                        # integers saturate
                result = max(-2 ** 63, min(2 ** 63 - 1, result))
        else:
            nan = next((x for x in (have, operand) if x != x), None)
            better = operand > have if kind == "maximum" else operand < have
            result = nan if nan is not None else operand if better else have
        setattr(new, "double_value" if isinstance(result, float) else "integer_value", result)
        reply.CopyFrom(new)
    elif kind in ("append_missing_elements", "remove_all_from_array"):
        given = getattr(change, kind).values
        items = list(old.array_value.values) if old is not None and old.HasField("array_value") else []
        known = [_content(i) for i in given]
        if kind == "remove_all_from_array":
            items = [i for i in items if _content(i) not in known]
        else:
            seen = [_content(i) for i in items]
            for item in given:
                if _content(item) not in seen:
                    items.append(item)
                    seen.append(_content(item))
        new = gd.Value()
        new.array_value.SetInParent()
        new.array_value.values.extend(items)
    else:
        raise invalid("A property transform must have a transform type.")
    place.properties[names[-1]].CopyFrom(new)
    return reply


# --- 6. filters that Google's v3 query cannot express -----------------------------------------
def _operand(value: Any) -> tuple:
    prop = v3.Property()
    _CONVERTER.v1_to_v3_property("p", False, False, value, prop)
    return tuple(property_key(prop.value))


def _flat(node: Any) -> Iterator[Any]:
    if node.WhichOneof("filter_type") == "composite_filter" and node.composite_filter.op == 1:
        need(node.composite_filter.filters, "A composite filter must have at least one sub-filter.")
        for sub in node.composite_filter.filters:
            yield from _flat(sub)
    else:
        yield node


def disjunctions(node: Any) -> int:
    if node.WhichOneof("filter_type") == "property_filter":
        f = node.property_filter
        return len(f.value.array_value.values) if f.op == Op.IN else 1
    parts = [disjunctions(sub) for sub in node.composite_filter.filters]
    return math.prod(parts) if node.composite_filter.op == 1 else sum(parts)


def compile_filter(node: Any, seen: set[int], inequalities: set[str]) -> Callable[[dict], bool]:
    kind = node.WhichOneof("filter_type")
    need(kind, "A filter must have exactly one of its fields set.")
    if kind == "composite_filter":
        subs = [compile_filter(sub, seen, inequalities) for sub in node.composite_filter.filters]
        need(subs, "A composite filter must have at least one sub-filter.")
        mode = any if node.composite_filter.op == 2 else all
        return lambda values: mode(sub(values) for sub in subs)
    f = node.property_filter
    name, op = f.property.name, f.op
    seen.add(op)
    if op in (Op.IN, Op.NOT_IN):
        need(f.value.HasField("array_value") and f.value.array_value.values,
             "IN and NOT_IN need a non-empty array value.")
        listed = [_operand(v) for v in f.value.array_value.values]
        if op == Op.IN:
            return lambda values: any(v in listed for v in values.get(name, ()))
        need(len(listed) <= MAX_NOT_IN, f"NOT_IN supports up to {MAX_NOT_IN} comparison values.")
        inequalities.add(name)
        return lambda values: any(v not in listed for v in values.get(name, ()))
    need(not f.value.HasField("array_value"), "Array values are only allowed with IN and NOT_IN.")
    operand = _operand(f.value)
    if op == Op.HAS_ANCESTOR:
        return lambda values: values["__key__"][0][:len(operand)] == operand
    compare: dict[int, Callable[[Any, Any], bool]] = {
        Op.EQUAL: lambda a, b: a == b, Op.NOT_EQUAL: lambda a, b: a != b,
        Op.LESS_THAN: lambda a, b: a < b, Op.LESS_THAN_OR_EQUAL: lambda a, b: a <= b,
        Op.GREATER_THAN: lambda a, b: a > b, Op.GREATER_THAN_OR_EQUAL: lambda a, b: a >= b}
    need(op in compare, "Unknown filter operator.")
    if op != Op.EQUAL:
        inequalities.add(name)
    return lambda values: any(compare[op](v, operand) for v in values.get(name, ()))


def plan_filter(query: Any) -> Optional[Callable[[dict], bool]]:
    """Leaves in `query` what v3 understands and returns a test for the rest (None: no rest)."""
    if not query.HasField("filter"):
        return None
    need(disjunctions(query.filter) <= MAX_DISJUNCTIONS,
         f"The query has more than {MAX_DISJUNCTIONS} disjunctions.")
    nodes = list(_flat(query.filter))
    old = _INEQ | {Op.EQUAL, Op.HAS_ANCESTOR}
    simple = [n for n in nodes if n.WhichOneof("filter_type") == "property_filter"
              and n.property_filter.op in old]
    ranged = {n.property_filter.property.name for n in simple if n.property_filter.op in _INEQ}
    rest = [n for n in nodes if n not in simple]
    if not rest and (not ranged or ranged == {o.property.name for o in query.order[:1]} or
                     len(ranged) == 1 and not query.order):
        return None
    rest += [n for n in simple if n.property_filter.op in _INEQ]    # every inequality
    simple = [n for n in simple if n.property_filter.op not in _INEQ]
    seen: set[int] = set()
    inequalities: set[str] = set()
    tests = [compile_filter(n, seen, inequalities) for n in rest]
    need(Op.NOT_IN not in seen or not seen & {Op.IN, Op.NOT_EQUAL},
         "NOT_IN cannot be combined with IN or !=.")
    query.ClearField("filter")
    if simple:
        query.filter.composite_filter.op = 1
        query.filter.composite_filter.filters.extend(simple)
    if not query.order:                      # implied order: inequality properties by name
        for name in sorted(inequalities):
            query.order.add().property.name = name
    return lambda values: all(t(values) for t in tests)


# --- 7. the service ---------------------------------------------------------------------------
class Read(NamedTuple):
    txn: Optional[Txn]
    token: bytes            # set when this request began the transaction
    as_of: Optional[int]


class Service:
    """The google.datastore.v1.Datastore RPCs; one lock, like one very small server."""

    def __init__(self, project: str) -> None:
        self.project = project
        self.lock = threading.RLock()
        self.engines: dict[str, Engine] = {}
        self.txns: dict[bytes, tuple[Engine, Txn]] = {}

    def reset(self) -> None:
        with self.lock:
            self.engines.clear()
            self.txns.clear()

    def engine(self, request: Any) -> Engine:
        need(request.project_id == self.project or not request.project_id,
             f'This server serves project "{self.project}", not "{request.project_id}".')
        request.project_id = self.project
        if request.database_id not in self.engines:
            self.engines[request.database_id] = Engine(self.project)
        return self.engines[request.database_id]

    # transactions
    def BeginTransaction(self, request: Any) -> Any:
        return gd.BeginTransactionResponse(
            transaction=self._begin(self.engine(request), request.transaction_options))

    def _begin(self, engine: Engine, options: Any) -> bytes:
        token = secrets.token_bytes(16)
        modes = datastore_pb.BeginTransactionRequest
        mode = modes.READ_ONLY if options.HasField("read_only") else modes.READ_WRITE
        txn = engine._BeginTransaction(engine.app, True, mode)
        if options.read_only.HasField("read_time"):
            txn.version = self._read_time(options.read_only.read_time)
        self.txns[token] = engine, txn
        return token

    def _txn(self, engine: Engine, token: bytes, close: bool = False) -> Txn:
        owner, txn = self.txns.get(token, (None, None))
        now = time.monotonic()
        if txn and (now - txn.used > TXN_IDLE_SECONDS or now - txn.born > TXN_TOTAL_SECONDS):
            del self.txns[token]
            txn = None
        if txn is None or owner is not engine:
            raise no_transaction()
        if close:
            del self.txns[token]
        txn.used = now
        return txn

    def Rollback(self, request: Any) -> Any:
        self._txn(self.engine(request), request.transaction, close=True).Rollback()
        return gd.RollbackResponse()

    @staticmethod
    def _read_time(stamp: Any) -> int:
        micros, now = to_micros(stamp), time.time_ns() // 1000
        need(micros <= now + 1000, "read_time is in the future.")
        if now - micros > STALE_READ_SECONDS * 1_000_000:
            raise ApiError(grpc.StatusCode.FAILED_PRECONDITION,
                           "The requested snapshot version is too old.")
        return micros

    def _reading(self, engine: Engine, options: Any) -> Read:
        kind = options.WhichOneof("consistency_type")
        if kind == "transaction":
            need(options.transaction, "a transaction cannot be the the empty string.")
            txn = self._txn(engine, options.transaction)
            return Read(txn, b"", txn.version)
        if kind == "new_transaction":
            token = self._begin(engine, options.new_transaction)
            return Read(self.txns[token][1], token, self.txns[token][1].version)
        if kind == "read_time":
            return Read(None, b"", self._read_time(options.read_time))
        return Read(None, b"", None)

    # reads
    def Lookup(self, request: Any) -> Any:
        engine = self.engine(request)
        need(0 < len(request.keys) <= MAX_LOOKUP_KEYS,
             f"A lookup takes 1 to {MAX_LOOKUP_KEYS} keys.")
        for key in request.keys:
            pad_key(key, self.project, request.database_id)
            check_key(key)
        _VALID.validate_keys(validator.READ, request.keys)
        read = self._reading(engine, request.read_options)
        version = engine._commit_timestamp if read.as_of is None else read.as_of
        response, size, done = gd.LookupResponse(transaction=read.token), 0, set()
        mask = request.property_mask if request.HasField("property_mask") else None
        for key in request.keys:
            ref = to_v3_key(key)
            name = key_value(ref)
            if name in done:
                continue
            if size > BATCH_BYTES:
                response.deferred.add().CopyFrom(key)
                continue
            done.add(name)
            if read.txn:
                read.txn.note_read(ref)
            record = engine.read(name, read.as_of)
            if record is None:
                miss = response.missing.add(version=version)
                miss.entity.key.CopyFrom(key)
            else:
                hit = response.found.add()
                fill_result(hit, record.entity, record.metadata.updated_version, mask)
                size += len(raw(record.entity, _BLOB).stringValue)
        response.read_time.CopyFrom(to_timestamp(read.as_of or time.time_ns() // 1000))
        return response

    def _cursor(self, engine: Engine, request: Any, query: Any, want: Optional[int],
                as_of: Optional[int]) -> tuple[Any, Any]:
        """Runs a v1 query through Google's query code: (v3 query, its cursor over the results)."""
        if query.HasField("find_nearest"):
            raise ApiError(grpc.StatusCode.UNIMPLEMENTED, "find_nearest is not supported.")
        part = request.partition_id
        part.project_id = part.project_id or self.project
        part.database_id = part.database_id or request.database_id
        need(part.project_id == self.project and part.database_id == request.database_id,
             "The partition does not match the request's project or database.")
        _VALID.validate_partition_id(validator.READ, part)
        query = type(query).FromString(query.SerializeToString())
        test = plan_filter(query)
        validator.get_query_validator().validate_query(query, False)
        v3_query = datastore_pb.Query()
        _QUERIES.v1_to_v3_query(part, query, v3_query)
        engine.as_of, engine.test, engine.want = as_of, test, want
        try:
            return v3_query, engine.GetQueryCursor(v3_query, True, engine.app)
        finally:
            engine.as_of = engine.test = engine.want = None

    def _watch(self, read: Read, engine: Engine, request: Any, query: Any,
               want: Optional[int]) -> None:
        """Inside a read-write transaction: the same query must give the same rows at commit."""
        if read.txn is None or read.txn._mode == datastore_pb.BeginTransactionRequest.READ_ONLY:
            return

        def rows(as_of: Optional[int] = None) -> list:
            cursor = self._cursor(engine, request, query, want, as_of)[1]
            return [(key_value(r.entity.key), r.metadata.updated_version)
                    for r in cursor._ListCursor__results]
        read.txn.reruns.append((rows, rows(read.as_of)))

    def RunQuery(self, request: Any) -> Any:
        engine = self.engine(request)
        if request.HasField("gql_query"):
            raise ApiError(grpc.StatusCode.UNIMPLEMENTED, "GQL is not supported.")
        query = request.query
        need(query.offset >= 0 and query.limit.value >= 0, "offset and limit must not be negative.")
        read = self._reading(engine, request.read_options)
        limit = query.limit.value if query.HasField("limit") else None
        rows = BATCH_ROWS if limit is None else min(limit, BATCH_ROWS)
        want = query.offset + rows + 1
        if limit is not None and rows == limit:          # one more row tells "after limit"
            query.limit.value = limit + 1
        self._watch(read, engine, request, query, want)
        v3_query, cursor = self._cursor(engine, request, query, want, read.as_of)
        size = 0
        for n, record in enumerate(cursor._ListCursor__results[query.offset:query.offset + rows]):
            size += sum(len(p.value.stringValue) for p in record.entity.raw_property)
            if n and size > BATCH_BYTES and not v3_query.keys_only:
                rows = n
                break
        result = datastore_pb.QueryResult()
        cursor.PopulateQueryResult(result, rows, v3_query.offset, True, True)
        response = gd.RunQueryResponse(transaction=read.token)
        batch = response.batch
        _SERVICE_CONVERTER.v3_to_v1_query_result_batch(result, batch)
        kinds, more = gd.EntityResult, gd.QueryResultBatch
        batch.entity_result_type = (kinds.KEY_ONLY if v3_query.keys_only else kinds.PROJECTION
                                    if v3_query.property_name else kinds.FULL)
        mask = request.property_mask if request.HasField("property_mask") else None
        for row, entity, version in itertools.zip_longest(
                batch.entity_results, result.result, result.version):
            if raw(entity, _BLOB) is not None and batch.entity_result_type == kinds.FULL:
                fill_result(row, entity, version, mask)
            else:                                  # metadata kinds, keys only, projections
                _CONVERTER.v3_to_v1_entity(entity, row.entity)
                row.entity.key.partition_id.database_id = request.database_id
        if result.more_results:
            full = limit is not None and len(batch.entity_results) >= limit
            batch.more_results = more.MORE_RESULTS_AFTER_LIMIT if full else more.NOT_FINISHED
        else:
            batch.more_results = (more.MORE_RESULTS_AFTER_CURSOR if query.end_cursor
                                  else more.NO_MORE_RESULTS)
        if read.as_of is not None:
            batch.snapshot_version = read.as_of
        batch.read_time.CopyFrom(to_timestamp(read.as_of or time.time_ns() // 1000))
        return response

    def RunAggregationQuery(self, request: Any) -> Any:
        engine = self.engine(request)
        if request.HasField("gql_query"):
            raise ApiError(grpc.StatusCode.UNIMPLEMENTED, "GQL is not supported.")
        wanted = request.aggregation_query.aggregations
        need(0 < len(wanted) <= MAX_AGGREGATIONS, f"A query takes 1 to {MAX_AGGREGATIONS} aggregations.")
        read = self._reading(engine, request.read_options)
        query = request.aggregation_query.nested_query
        self._watch(read, engine, request, query, None)
        v3_query, cursor = self._cursor(engine, request, query, None, read.as_of)
        summed = {getattr(a, a.WhichOneof("operator")).property.name for a in wanted
                  if a.WhichOneof("operator") in ("sum", "avg")}
        records = [r for r in cursor._ListCursor__results[v3_query.offset:] if not summed
                   or summed <= {p.name for p in r.entity.property}]    # entities with all of them
        response = gd.RunAggregationQueryResponse(transaction=read.token)
        values = response.batch.aggregation_results.add().aggregate_properties
        for n, item in enumerate(wanted, 1):
            alias, kind = item.alias or f"property_{n}", item.WhichOneof("operator")
            need(alias not in values, f'Duplicate aggregation alias "{alias}".')
            if kind == "count":
                limit = item.count.up_to.value if item.count.HasField("up_to") else len(records)
                need(not item.count.HasField("up_to") or limit > 0, "up_to must be positive.")
                values[alias].integer_value = min(limit, len(records))
                continue
            need(kind in ("sum", "avg"), "An aggregation needs an operator.")
            name = getattr(item, kind).property.name
            numbers: list[Any] = []
            for record in records:
                numbers += [p.value.int64Value if p.value.HasField("int64Value")
                            else p.value.doubleValue for p in record.entity.property
                            if p.name == name and not p.multiple and p.meaning != v3.Property.GD_WHEN
                            and (p.value.HasField("int64Value") or p.value.HasField("doubleValue"))]
            total = sum(numbers)
            if kind == "avg":
                if numbers:
                    values[alias].double_value = total / len(numbers)
                else:
                    values[alias].null_value = 0
            elif isinstance(total, int) and -2 ** 63 <= total < 2 ** 63:
                values[alias].integer_value = total
            else:
                values[alias].double_value = float(total)
        response.batch.more_results = gd.QueryResultBatch.NO_MORE_RESULTS
        response.batch.read_time.CopyFrom(to_timestamp(read.as_of or time.time_ns() // 1000))
        return response

    # writes
    def Commit(self, request: Any) -> Any:
        engine, modes = self.engine(request), gd.CommitRequest
        selector = request.WhichOneof("transaction_selector")
        if request.mode == modes.NON_TRANSACTIONAL:
            need(not selector, "Non-transactional commit cannot specify a transaction.")
        else:
            need(selector, "Transactional commit requires a transaction.")
        self._check_mutations(request)
        response = gd.CommitResponse()
        if request.mode == modes.NON_TRANSACTIONAL:          # each mutation on its own, not atomic
            groups = [([m], engine._BeginTransaction(engine.app, True)) for m in request.mutations]
        else:
            txn = (self._txn(engine, request.transaction, close=True) if selector == "transaction"
                   else engine._BeginTransaction(engine.app, True))
            groups = [(list(request.mutations), txn)]
        for mutations, txn in groups:
            self._apply(engine, txn, mutations, request.database_id, response)
        stamp = engine._commit_timestamp if request.mutations else time.time_ns() // 1000
        response.commit_time.CopyFrom(to_timestamp(stamp))
        return response

    def _check_mutations(self, request: Any) -> None:
        bad = {("insert", "insert"), ("update", "insert"), ("upsert", "insert"), ("delete", "update")}
        last: dict[tuple, str] = {}
        for mutation in request.mutations:
            kind = mutation.WhichOneof("operation")
            need(kind, "mutation lacks required op")
            key = mutation.delete if kind == "delete" else getattr(mutation, kind).key
            pad_key(key, self.project, request.database_id)
            need(key.path, "Key path is empty.")
            check_key(key)
            need(len(mutation.property_transforms) <= MAX_TRANSFORMS,
                 f"A mutation takes at most {MAX_TRANSFORMS} property transforms.")
            need(kind != "delete" or not mutation.property_transforms, "A delete takes no transforms.")
            if not datastore_pbs.is_complete_v1_key(key):
                need(kind in ("insert", "upsert"), "Key path is incomplete.")
                need(mutation.WhichOneof("conflict_detection_strategy") is None,
                     "conflict detection is not allowed for incomplete keys")
                continue
            _VALID.validate_key(validator.DELETE, key)
            name = key_value(key)
            need(name not in last or request.mode != gd.CommitRequest.NON_TRANSACTIONAL,
                 "A non-transactional commit may not contain multiple mutations affecting the "
                 "same entity.")
            need((last.get(name), kind) not in bad, f"{kind} may not follow {last.get(name)} of "
                 "the same entity in one commit.")
            last[name] = kind

    def _apply(self, engine: Engine, txn: Txn, mutations: list, database: str, response: Any) -> None:
        now = max(engine._commit_timestamp + 1, time.time_ns() // 1000)
        pending: dict[tuple, Any] = {}           # entities as earlier mutations here left them
        outcome: list[tuple[Any, Any, Optional[int]]] = []
        for mutation in mutations:
            result, kind = response.mutation_results.add(), mutation.WhichOneof("operation")
            entity = None if kind == "delete" else getattr(mutation, kind)
            key = mutation.delete if entity is None else entity.key
            if not datastore_pbs.is_complete_v1_key(key):
                key.CopyFrom(to_v1_key(engine._AllocateIds([to_v3_key(key)])[0], database))
                result.key.CopyFrom(key)
            ref = to_v3_key(key)
            name = key_value(ref)
            record = engine.read(name)
            current = pending.get(name, record and raw(record.entity, _BLOB).stringValue)
            version = record.metadata.updated_version if record else 0
            if name not in pending and self._conflict(mutation, kind, version, record):
                result.conflict_detected = True
                outcome.append((result, ref, version))
                continue
            if kind == "insert" and current is not None:
                raise ApiError(grpc.StatusCode.ALREADY_EXISTS,
                               f"entity already exists: {datastore_pbs.v1_key_to_string(key)}")
            if kind == "update" and current is None:
                raise ApiError(grpc.StatusCode.NOT_FOUND,
                               f"no entity to update: {datastore_pbs.v1_key_to_string(key)}")
            if entity is None:
                txn.Delete(ref, [])
                pending[name] = None
            else:
                if mutation.HasField("property_mask"):
                    base = gd.Entity.FromString(current or b"")
                    base.key.CopyFrom(key)
                    copy_paths(entity, base, mutation.property_mask)
                    entity.CopyFrom(base)
                for change in mutation.property_transforms:
                    result.transform_results.append(transform(entity, change, now))
                built = to_v3_entity(entity)
                txn.Put(built, False, [])
                pending[name] = built.raw_property[0].value.stringValue
            outcome.append((result, ref, None))
        txn.Commit()
        for result, ref, kept in outcome:
            result.version = txn.GetMutationVersion(ref) if kept is None else kept
            record = engine.read(key_value(ref))
            if record is not None:
                result.create_time.CopyFrom(to_timestamp(raw(record.entity, _CREATED).int64Value))
                result.update_time.CopyFrom(to_timestamp(record.metadata.updated_version))

    @staticmethod
    def _conflict(mutation: Any, kind: str, version: int, record: Any) -> bool:
        field = mutation.WhichOneof("conflict_detection_strategy")
        if field is None:
            return False
        expected = (mutation.base_version if field == "base_version"
                    else to_micros(mutation.update_time))
        need(expected >= 0, f"Invalid base_version: {expected}, it should be >= 0")
        need(kind != "insert" or expected == 0,
             "Cannot insert an entity with a base version greater than zero")
        need(kind != "update" or expected != 0, "Cannot update an entity with a base version set to zero")
        need(not version or expected <= version,
             "Invalid base version, it is greater than the stored version")
        if version == expected:
            return False
        if mutation.conflict_resolution_strategy == gd.Mutation.FAIL:
            raise ApiError(grpc.StatusCode.FAILED_PRECONDITION,
                           f"the stored version ({version}) does not match the required base "
                           f"version ({expected})")
        return True

    # ids
    def AllocateIds(self, request: Any) -> Any:
        engine = self.engine(request)
        response = gd.AllocateIdsResponse()
        for key in request.keys:
            pad_key(key, self.project, request.database_id)
        _VALID.validate_keys(validator.ALLOCATE_KEY_ID, request.keys)
        for key in request.keys:
            full = engine._AllocateIds([to_v3_key(key)])[0]
            response.keys.add().CopyFrom(to_v1_key(full, request.database_id))
        return response

    def ReserveIds(self, request: Any) -> Any:
        engine = self.engine(request)
        for key in request.keys:
            pad_key(key, self.project, request.database_id)
        _VALID.validate_keys(validator.READ, request.keys)
        engine._AllocateIds([to_v3_key(key) for key in request.keys])
        return gd.ReserveIdsResponse()


class _NoEntities:
    """The batch converter copies cursors and counters; entities are filled in afterwards."""

    def v3_to_v1_entity(self, v3_entity: Any, v1_entity: Any) -> None:
        v1_entity.SetInParent()


_SERVICE_CONVERTER = util.StubServiceConverter(_NoEntities(), _QUERIES)


# --- 8. gRPC and HTTP front ends --------------------------------------------------------------
def _rpc(service: Service, name: str) -> Callable[[Any, grpc.ServicerContext], Any]:
    method = getattr(service, name)

    def call(request: Any, context: grpc.ServicerContext) -> Any:
        code, text = grpc.StatusCode.INTERNAL, ""
        try:
            need(request.ByteSize() <= MAX_REQUEST_BYTES,
                 f"Request payload size exceeds the limit: {MAX_REQUEST_BYTES} bytes.")
            with service.lock:
                return method(request)
        except ApiError as error:
            code, text = error.code, str(error)
        except apiproxy_errors.ApplicationError as error:
            code = _V3_CODES.get(error.application_error, code)
            text = error.error_detail
        except (validator.ValidationError, datastore_pbs.InvalidConversionError) as error:
            code, text = grpc.StatusCode.INVALID_ARGUMENT, str(error)
        except Exception as error:  # noqa: BLE001 - reported to the client as INTERNAL
            text = f"{type(error).__name__}: {error}"
        context.abort(code, text)
    return call


def serve(host_port: str, project: str, http_port: Optional[int] = 0) -> tuple[
        grpc.Server, int, Optional[http.server.ThreadingHTTPServer], Service]:
    """Starts both listeners: (gRPC server, its port, HTTP server or None, the service)."""
    service = Service(project)
    methods = ("Lookup", "RunQuery", "RunAggregationQuery", "BeginTransaction", "Commit",
               "Rollback", "AllocateIds", "ReserveIds")
    handlers = {name: grpc.unary_unary_rpc_method_handler(
        _rpc(service, name), request_deserializer=getattr(gd, f"{name}Request").FromString,
        response_serializer=lambda message: message.SerializeToString()) for name in methods}
    server = grpc.server(futures.ThreadPoolExecutor(16), options=[
        ("grpc.max_receive_message_length", 64 << 20), ("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(
        "google.datastore.v1.Datastore", handlers),))
    port = server.add_insecure_port(host_port)
    server.start()

    class Http(http.server.BaseHTTPRequestHandler):
        def reply(self, status: int, text: str) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        def do_GET(self) -> None:
            self.reply(200, "Ok\n")

        def do_POST(self) -> None:
            if self.path == "/reset":
                service.reset()
                self.reply(200, "Resetting...\n")
            elif self.path == "/shutdown":
                self.reply(200, "Shutting down\n")
                threading.Thread(target=server.stop, args=(0.5,), daemon=True).start()
            else:
                self.reply(404, "Not found\n")

        def log_message(self, format: str, *args: Any) -> None:
            return
    web = None
    if http_port is not None:
        web = http.server.ThreadingHTTPServer((host_port.rsplit(":", 1)[0], http_port), Http)
        threading.Thread(target=web.serve_forever, daemon=True).start()
    return server, port, web, service


def main() -> None:
    parser = argparse.ArgumentParser(description="Cloud Datastore v1 from Google's Python stub")
    parser.add_argument("--host-port", default="127.0.0.1:0", help="gRPC address; port 0: any")
    parser.add_argument("--http-port", type=int, default=0, help="POST /reset, POST /shutdown, GET /")
    parser.add_argument("--project", required=True)
    parser.add_argument("--ready-file", help="JSON with the addresses, written once serving")
    args = parser.parse_args()
    server, port, web, _ = serve(args.host_port, args.project, args.http_port)
    host = args.host_port.rsplit(":", 1)[0]
    ready = {"host": f"{host}:{port}", "http": f"{host}:{web.server_port}" if web else None}
    if args.ready_file:
        with open(args.ready_file + ".tmp", "w", encoding="utf-8") as out:
            json.dump(ready, out)
        os.replace(args.ready_file + ".tmp", args.ready_file)
    print(json.dumps(ready), flush=True)
    try:
        server.wait_for_termination()
    except KeyboardInterrupt:
        server.stop(0.5)


if __name__ == "__main__":
    main()
