"""The call RunAggregationQuery: COUNT, SUM and AVG over the results of a query."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from polystore_engines.datastore_stub.appengine import Message, gd, v3
from polystore_engines.datastore_stub.errors import need
from polystore_engines.datastore_stub.limits import MAX_AGGREGATIONS
from polystore_engines.datastore_stub.queries import Query, refuse_gql
from polystore_engines.datastore_stub.service import Service
from polystore_engines.datastore_stub.timestamps import now_micros, to_timestamp
from polystore_engines.datastore_stub.transforms import INT64_MAX, INT64_MIN


def run_aggregation_query(service: Service, request: Message) -> Message:
    """All aggregations of one query, in one batch."""
    database = service.database(request)
    refuse_gql(request)
    wanted = request.aggregation_query.aggregations
    need(
        0 < len(wanted) <= MAX_AGGREGATIONS, f"A query takes 1 to {MAX_AGGREGATIONS} aggregations."
    )
    for item in wanted:
        need(item.WhichOneof("operator"), "An aggregation needs an operator.")
    read = service.reading(database, request.read_options)
    query = Query(service, database, request, request.aggregation_query.nested_query)
    query.watch(read)
    results = query.results(read.as_of)
    records = list(_countable(results.records[results.query.offset :], wanted))
    response = gd.RunAggregationQueryResponse(transaction=read.token)
    _fill_values(response.batch.aggregation_results.add().aggregate_properties, wanted, records)
    response.batch.more_results = gd.QueryResultBatch.NO_MORE_RESULTS
    response.batch.read_time.CopyFrom(to_timestamp(read.as_of or now_micros()))
    return response


def _fill_values(values: Any, wanted: Iterable[Message], records: list[Any]) -> None:
    for n, item in enumerate(wanted, 1):
        alias = item.alias or f"property_{n}"
        need(alias not in values, f'Duplicate aggregation alias "{alias}".')
        values[alias].CopyFrom(_aggregate(item, records))


def _countable(records: Iterable[Any], wanted: Iterable[Message]) -> Iterator[Any]:
    """The entities that have every property that is summed or averaged."""
    summed = {_summed(item) for item in wanted} - {None}
    for record in records:
        if not summed or summed <= {p.name for p in record.entity.property}:
            yield record


def _summed(item: Message) -> str | None:
    kind = item.WhichOneof("operator")
    return None if kind == "count" else getattr(item, kind).property.name


def _aggregate(item: Message, records: list[Any]) -> Message:
    name = _summed(item)
    if name is None:
        return gd.Value(integer_value=_count(item.count, len(records)))
    numbers = [number for record in records for number in _numbers(record.entity, name)]
    if item.WhichOneof("operator") == "avg":
        return gd.Value(double_value=sum(numbers) / len(numbers)) if numbers else _null()
    total = sum(numbers)
    if isinstance(total, int) and INT64_MIN <= total <= INT64_MAX:
        return gd.Value(integer_value=total)
    return gd.Value(double_value=float(total))


def _null() -> Message:
    return gd.Value(null_value=0)


def _count(count: Message, found: int) -> int:
    if not count.HasField("up_to"):
        return found
    need(count.up_to.value > 0, "up_to must be positive.")
    return min(int(count.up_to.value), found)


def _numbers(entity: Message, name: str) -> Iterator[int | float]:
    """The numbers under a name; lists and timestamps, which v3 keeps as ints, do not count."""
    for prop in entity.property:
        if prop.name != name or prop.multiple or prop.meaning == v3.Property.GD_WHEN:
            continue
        if prop.value.HasField("int64Value"):
            yield prop.value.int64Value
        elif prop.value.HasField("doubleValue"):
            yield prop.value.doubleValue
