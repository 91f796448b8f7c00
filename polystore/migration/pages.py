"""One page of a query from two: where homes are mixed, each side has a part of the answer. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from polystore.driver import QueryPage, Stored
from polystore.driver.keycodec import encode_key
from polystore.driver.ordering import encode_ordered
from polystore.errors import Unsupported
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


def merged(
    plan: QueryPlan, pages: Sequence[QueryPage], after: Position | None, limit: int, now: int
) -> Page:
    """The next records of several pages of one query, in order, at most ``limit``.

    A page that is not the last says nothing about what comes after its ``next``: what other pages
    have beyond the nearest of those places has to wait for the next page. What has expired by
    ``now`` counts up to here, so that a page may be short.

    Raises:
        Unsupported: a page is not in the order that both sides share.
    """
    for page in pages:
        _check_order(plan, page, after)
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


def _check_order(plan: QueryPlan, page: QueryPage, after: Position | None) -> None:
    """Refuse what would show records twice, or never: a native index that mixes types (QRY-13)."""
    places = [position_of(plan, s) for s in page.records if s.fields is not None]
    places = [place for place in (after, *places, page.next) if place is not None]
    ranks = [rank(place) for place in places]
    if plan.index is not None and ranks != sorted(ranks, reverse=plan.descending):
        raise Unsupported(
            f"the index {plan.index.name!r} holds values of several types, which one of the two "
            "databases orders its own way: their answers cannot be joined while homes are mixed. "
            "Give it the policy encode there, or set the dial to 0 or 100"
        )
