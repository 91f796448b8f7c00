"""Requests of RunQuery: filters, orders, and batches as they come."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

import attrs

from polystore_datastore.connection import Connection
from polystore_datastore.messages import (
    AND,
    ASCENDING,
    DESCENDING,
    NO_MORE_RESULTS,
    NOT_FINISHED,
    Message,
    RunQueryRequest,
)
from polystore_datastore.placement import Path, Place

KEY = "__key__"


@attrs.frozen
class KeyBound:
    """A comparison of whole keys: an operator of ``PropertyFilter`` and a native path."""

    op: int
    path: Path


Filter: TypeAlias = tuple[str, int, Any]
"""A property, an operator and a portable value."""


def kind_query(connection: Connection, place: Place) -> Message:
    """An empty query of a collection's kind."""
    request = connection.request(RunQueryRequest)
    partition = request.partition_id
    partition.project_id = request.project_id
    partition.database_id = request.database_id
    partition.namespace_id = place.codec.home.namespace
    request.query.kind.add().name = place.kind
    return request


def add_filters(
    place: Place, request: Message, filters: list[Filter], bounds: list[KeyBound]
) -> None:
    """Make a query's filter, all of these at once."""
    if not filters and not bounds:
        return
    every = request.query.filter.composite_filter
    every.op = AND
    for name, op, value in filters:
        test = every.filters.add().property_filter
        test.property.name = name
        test.op = op
        place.codec.put(test.value, value, True)
        test.value.exclude_from_indexes = False
    for bound in bounds:
        test = every.filters.add().property_filter
        test.property.name = KEY
        test.op = bound.op
        place.fill_path(test.value.key_value, bound.path)


def add_orders(request: Message, names: list[str], descending: bool) -> None:
    """Make a query's order: by these properties, all in one direction."""
    for name in names:
        order = request.query.order.add()
        order.property.name = name
        order.direction = DESCENDING if descending else ASCENDING


def batches(connection: Connection, request: Message) -> Iterator[tuple[Message, bool]]:
    """Batches of a query up to its end, each with whether it is the last.

    A batch may be shorter than the query's limit, or empty, and not be the last.
    """
    while True:
        batch = connection.run_query(request).batch
        empty = not batch.entity_results and batch.more_results != NOT_FINISHED
        last = batch.more_results == NO_MORE_RESULTS or empty
        yield batch, last
        if last:
            return
        request.query.start_cursor = batch.end_cursor
