"""One page of a query from two: where homes are mixed, each side has a part of the answer. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from polystore.driver import QueryPage, Stored
from polystore.driver.keycodec import encode_key
from polystore.driver.ordering import encode_ordered
from polystore.queries import Position, QueryPlan
from polystore.route.base import Page, visible


def position_of(plan: QueryPlan, stored: Stored) -> Position:
    """Where a record stands in the order of a query."""
    fields = stored.fields or {}
    names = plan.index.fields if plan.index else ()
    return Position(stored.key, tuple(fields[name] for name in names))


def rank(position: Position) -> str:
    """Text whose order is the order of positions, ascending."""
    return "".join(map(encode_ordered, position.values)) + encode_key(position.key)


def merged(plan: QueryPlan, pages: Sequence[QueryPage], limit: int, now: int) -> Page:
    """The next records of several pages of one query, in order, at most ``limit``.

    A page that is not the last says nothing about what comes after its ``next``: what other pages
    have beyond the nearest of those places has to wait for the next page. What has expired by
    ``now`` counts up to here, so that a page may be short.
    """
    found = sorted(
        (
            (rank(position_of(plan, stored)), stored)
            for page in pages
            for stored in page.records
            if stored.fields is not None
        ),
        key=lambda pair: pair[0],
        reverse=plan.descending,
    )
    nexts = [(rank(page.next), page.next) for page in pages if page.next is not None]
    end = (max if plan.descending else min)(nexts, key=lambda pair: pair[0]) if nexts else None
    if end is not None:
        found = [
            pair for pair in found if (pair[0] >= end[0] if plan.descending else pair[0] <= end[0])
        ]
    taken = found[:limit]
    if len(found) > limit:
        follow: Position | None = position_of(plan, taken[-1][1])
    else:
        follow = None if end is None else end[1]
    records = [record for _, stored in taken if (record := visible(stored, now)) is not None]
    return Page(records, follow)
