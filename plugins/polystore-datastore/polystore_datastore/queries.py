"""Pages of a partition, in the order of keys."""

from __future__ import annotations

from polystore.driver import QueryPage, Stored
from polystore.queries import Position, QueryPlan
from polystore_datastore.connection import Connection
from polystore_datastore.entities import stored
from polystore_datastore.key_ranges import key_range
from polystore_datastore.placement import Place
from polystore_datastore.requests import KEY, add_filters, add_orders, batches, kind_query


def partition_page(
    connection: Connection, place: Place, plan: QueryPlan, after: Position | None, limit: int
) -> QueryPage:
    """One page of a query that the key serves."""
    asked = key_range(place, plan, after)
    if asked is None:
        return QueryPage([], None)
    request = kind_query(connection, place)
    add_filters(place, request, [], [asked.low, asked.high])
    add_orders(request, [KEY], plan.descending)
    request.query.limit.value = limit
    records: list[Stored] = []
    for batch, last in batches(connection, request):
        found = (stored(place, result) for result in batch.entity_results)
        records = [record for record in found if record is not None]
        if last:
            return QueryPage(records, None)
        if records:
            break
    return QueryPage(records, Position(records[-1].key))
