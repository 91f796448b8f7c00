"""The route to one database that is limited: each operation waits for its turn, or is declined."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from polystore.driver import Consistency
from polystore.effects import Now
from polystore.pacing.turn import Need, strictest, take_turn
from polystore.queries import Position, QueryPlan
from polystore.records import Record, Version
from polystore.route.base import Decision, Page, Place, ScannedPage, Seen, Show, Verb, visible
from polystore.route.bound import Bound
from polystore.route.plain import PlainRoute
from polystore.values import Key

T = TypeVar("T")


class LimitedRoute:
    """A plain route whose side has limits.

    Args:
        route: what carries the operations out.
    """

    def __init__(self, route: PlainRoute) -> None:
        self._route = route

    async def read(
        self, bound: Bound, keys: Sequence[Key], consistency: Consistency, timeout: float
    ) -> list[Record | None]:
        """Records by key, in order."""
        return await self._in_turn(
            (bound,), len(keys), timeout, lambda r, left: r.read(bound, keys, consistency, left)
        )

    async def write(self, bound: Bound, key: Key, verb: Verb, timeout: float) -> Version | None:
        """Decide on one record and write it."""
        operations = 1 if verb.blind or verb.fresh else 2
        return await self._in_turn(
            (bound,), operations, timeout, lambda r, left: r.write(bound, key, verb, left)
        )

    async def look(self, place: Place, timeout: float) -> Seen:
        """Read one record for a transaction."""
        return await self._in_turn((place[0],), 1, timeout, lambda r, left: r.look(place, left))

    async def commit(
        self,
        seen: Sequence[tuple[Place, Seen]],
        writes: Sequence[tuple[Place, Decision]],
        timeout: float,
    ) -> list[Version | None]:
        """Write all if everything seen is still so."""
        places = [place for place, _ in (*seen, *writes)]
        touched = {(bound.collection.name, key) for bound, key in places}
        return await self._in_turn(
            [bound for bound, _ in places],
            len(touched),
            timeout,
            lambda r, left: r.commit(seen, writes, left),
        )

    async def query(
        self, bound: Bound, plan: QueryPlan, after: Position | None, limit: int, timeout: float
    ) -> Page:
        """One page of visible records."""
        return await self._in_turn(
            (bound,), 1, timeout, lambda r, left: r.query(bound, plan, after, limit, left)
        )

    async def scan(
        self, bound: Bound, cursor: str | None, limit: int, timeout: float, show: Show = visible
    ) -> ScannedPage:
        """One page of all records, as ``show`` shows them."""
        return await self._in_turn(
            (bound,), 1, timeout, lambda r, left: r.scan(bound, cursor, limit, left, show)
        )

    async def _in_turn(
        self,
        bounds: Sequence[Bound],
        operations: int,
        timeout: float,
        carry_out: Callable[[PlainRoute, float], Awaitable[T]],
    ) -> T:
        """Carry out an operation when it is its turn, in what is left of its time."""
        until = await Now() + timeout
        policy = strictest(bound.collection.overload for bound in bounds)
        turn = await take_turn((Need(self._route.side, operations),), policy, until)
        try:
            route = self._route.at(turn.at(self._route.side))
            return await carry_out(route, until - await Now())
        finally:
            turn.end()
