"""The call RunQuery, and how any query reaches Google's query code."""

from __future__ import annotations

from typing import Any, NamedTuple

import attrs
import grpc

from polystore_engines.datastore_stub.appengine import (
    Message,
    datastore_pb,
    gd,
    stub_util,
    validator,
)
from polystore_engines.datastore_stub.database import Database
from polystore_engines.datastore_stub.entities import (
    CONVERTER,
    QUERY_CONVERTER,
    VALIDATOR,
    fill_result,
    v1_message,
)
from polystore_engines.datastore_stub.errors import ApiError, need
from polystore_engines.datastore_stub.filters import plan_filter
from polystore_engines.datastore_stub.limits import BATCH_BYTES, BATCH_ROWS
from polystore_engines.datastore_stub.ordering import key_value
from polystore_engines.datastore_stub.service import Read, Service
from polystore_engines.datastore_stub.timestamps import now_micros, to_timestamp
from polystore_engines.datastore_stub.transactions import Rows

KINDS: Any = gd.EntityResult
MORE: Any = gd.QueryResultBatch


class _NoEntities:
    """Google's batch converter copies cursors and counters; we fill the entities in."""

    def v3_to_v1_entity(self, v3_entity: Message, v1_entity: Message) -> None:
        v1_entity.SetInParent()


BATCH_CONVERTER = stub_util.StubServiceConverter(_NoEntities(), QUERY_CONVERTER)


class Results(NamedTuple):
    """The answer of Google's query code.

    Attributes:
        query: the v3 query.
        cursor: its cursor over the results.
    """

    query: Message
    cursor: Any

    @property
    def records(self) -> list[Any]:
        """The records found, those that the query's offset skips among them."""
        found: list[Any] = self.cursor._ListCursor__results
        return found


@attrs.frozen
class Query:
    """A v1 query on its way through Google's query code.

    Attributes:
        service: for the project.
        database: where it runs.
        request: for the partition.
        message: the v1 query; it is not changed.
        want: how many results suffice; None: all.
    """

    service: Service
    database: Database
    request: Message
    message: Message
    want: int | None = None

    def results(self, as_of: int | None = None) -> Results:
        """Runs it at a version; None: now."""
        if self.message.HasField("find_nearest"):
            raise ApiError(grpc.StatusCode.UNIMPLEMENTED, "find_nearest is not supported.")
        _check_partition(self.service, self.request)
        query = type(self.message).FromString(self.message.SerializeToString())
        test = plan_filter(query)
        validator.get_query_validator().validate_query(query, False)
        v3_query = datastore_pb.Query()
        QUERY_CONVERTER.v1_to_v3_query(self.request.partition_id, query, v3_query)
        return Results(v3_query, self.database.query(v3_query, as_of, test, self.want))

    def watch(self, read: Read) -> None:
        """Inside a read-write transaction, it must give the same rows at commit."""
        if read.transaction is not None and not read.transaction.read_only:
            read.transaction.queries.append((self._rows, self._rows(read.as_of)))

    def _rows(self, as_of: int | None = None) -> Rows:
        found = self.results(as_of).records
        return [(key_value(r.entity.key), r.metadata.updated_version) for r in found]


def _check_partition(service: Service, request: Message) -> None:
    partition = request.partition_id
    partition.project_id = partition.project_id or service.project
    partition.database_id = partition.database_id or request.database_id
    need(
        partition.project_id == service.project and partition.database_id == request.database_id,
        "The partition does not match the request's project or database.",
    )
    VALIDATOR.validate_partition_id(validator.READ, partition)


def refuse_gql(request: Message) -> None:
    """GQL is not served."""
    if request.HasField("gql_query"):
        raise ApiError(grpc.StatusCode.UNIMPLEMENTED, "GQL is not supported.")


def run_query(service: Service, request: Message) -> Message:
    """One page of a query."""
    database = service.database(request)
    refuse_gql(request)
    query = request.query
    need(query.offset >= 0 and query.limit.value >= 0, "offset and limit must not be negative.")
    read = service.reading(database, request.read_options)
    limit = query.limit.value if query.HasField("limit") else None
    rows = BATCH_ROWS if limit is None else min(limit, BATCH_ROWS)
    if limit is not None and rows == limit:  # one more row tells "after limit"
        query.limit.value = limit + 1
    want = query.offset + rows + 1
    run = Query(service, database, request, query, want)
    run.watch(read)
    results = run.results(read.as_of)
    response = gd.RunQueryResponse(transaction=read.token)
    more = _fill_batch(response.batch, results, _fitting(results, rows), request)
    response.batch.more_results = _more_results(response.batch, more, limit, query)
    if read.as_of is not None:
        response.batch.snapshot_version = read.as_of
    response.batch.read_time.CopyFrom(to_timestamp(read.as_of or now_micros()))
    return response


def _fitting(results: Results, rows: int) -> int:
    """How many of the rows fit in one answer; the first always does."""
    if results.query.keys_only:
        return rows
    size, offset = 0, results.query.offset
    for n, record in enumerate(results.records[offset : offset + rows]):
        size += len(v1_message(record.entity) or b"")
        if n and size > BATCH_BYTES:
            return n
    return rows


def _fill_batch(batch: Message, results: Results, rows: int, request: Message) -> bool:
    """Converts a page; returns whether there is more."""
    page = datastore_pb.QueryResult()
    results.cursor.PopulateQueryResult(page, rows, results.query.offset, True, True)
    BATCH_CONVERTER.v3_to_v1_query_result_batch(page, batch)
    batch.entity_result_type = _result_type(results.query)
    full = batch.entity_result_type == KINDS.FULL
    mask = request.property_mask if request.HasField("property_mask") else None
    for n, (row, entity) in enumerate(zip(batch.entity_results, page.result, strict=True)):
        if full and v1_message(entity) is not None:
            fill_result(row, entity, page.version[n], mask)
        else:  # metadata kinds, keys only, projections
            CONVERTER.v3_to_v1_entity(entity, row.entity)
            row.entity.key.partition_id.database_id = request.database_id
    return bool(page.more_results)


def _result_type(query: Message) -> int:
    kind = KINDS.PROJECTION if query.property_name else KINDS.FULL
    return int(KINDS.KEY_ONLY if query.keys_only else kind)


def _more_results(batch: Message, more: bool, limit: int | None, query: Message) -> int:
    if more:
        full = limit is not None and len(batch.entity_results) >= limit
        return int(MORE.MORE_RESULTS_AFTER_LIMIT if full else MORE.NOT_FINISHED)
    return int(MORE.MORE_RESULTS_AFTER_CURSOR if query.end_cursor else MORE.NO_MORE_RESULTS)
