"""What has expired is gone, in every way to look: a store on each driver against a small model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from itertools import count
from typing import Any

import attrs
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from polystore import (
    KEEP,
    AlreadyExists,
    Conflict,
    If,
    NotFound,
    Record,
    Set,
    Transaction,
)
from polystore.driver import Segment
from polystore.values import Fields
from tests.store.timed import MICROSECOND, Timed, timed

_runs = count()


@pytest.fixture
def every(every_url: str) -> Iterator[Timed]:
    """On all four drivers."""
    yield from timed(every_url)


@attrs.frozen
class Held:
    """A record of the model."""

    fields: Fields
    expires_at: datetime | None


numbers = st.integers(1, 3)
states = st.sampled_from(["a", "b"])
offsets = st.sampled_from([None, None, -MICROSECOND, timedelta(0), MICROSECOND, timedelta(days=2)])
"""When a record expires, from the moment it is written."""

conditions = st.sampled_from(["any", "absent", "present", "a", "seen"])
steps = st.sampled_from([MICROSECOND, timedelta(days=2)])


class ExpiryMachine(RuleBasedStateMachine):
    """A dict whose entries go at their moment is all that a collection is."""

    def __init__(self, place: Timed) -> None:
        super().__init__()
        self.place = place
        self.orders = place.orders
        self.clock = place.clock
        self.run = f"run{next(_runs)}"
        self.model: dict[int, Held] = {}
        self.seen: dict[int, Record] = {}

    def held(self, n: int) -> Held | None:
        """What is there now."""
        held = self.model.get(n)
        if held and held.expires_at is not None and held.expires_at <= self.clock.now:
            return None
        return held

    def moment(self, offset: timedelta | None) -> datetime | None:
        return None if offset is None else self.clock.now + offset

    def fields(self, n: int, state: str) -> Fields:
        return {"customer": self.run, "order": n, "state": self.run + state, "total": n}

    def condition(self, n: int, name: str) -> tuple[Any, bool]:
        """A condition, and whether it holds in the model."""
        held = self.held(n)
        if name == "a":
            wanted = self.run + "a"
            return If.field("state") == wanted, bool(held and held.fields["state"] == wanted)
        if name == "seen":
            seen = self.seen.get(n)
            if seen is None:
                return If.any, True
            now = self.orders.get(self.run, n)
            return If.version(seen.version), now is not None and now.version == seen.version
        always = {"any": True, "absent": held is None, "present": held is not None}
        return getattr(If, name), always[name]

    @rule(step=steps)
    def tick(self, step: timedelta) -> None:
        self.clock.now += step

    @rule(n=numbers, state=states, offset=offsets, name=conditions, how=st.integers(0, 2))
    def put(self, n: int, state: str, offset: timedelta | None, name: str, how: int) -> None:
        fields = {**self.fields(n, state), "put": True}
        expires_at = self.moment(offset)
        when, holds = self.condition(n, name)
        writes: list[Callable[[], object]] = [
            lambda: self.orders.put(fields, when, expires_at=expires_at),
            lambda: self.within(lambda o: o.put(fields, when, expires_at=expires_at)),
            lambda: self.orders.insert(fields, expires_at=expires_at),
        ]
        if how == 2:
            holds = self.held(n) is None
        self.expect(holds, (AlreadyExists, NotFound, Conflict), writes[how])
        if holds:
            self.model[n] = Held(fields, expires_at)

    @rule(
        n=numbers,
        state=states,
        offset=offsets | st.just(KEEP),
        name=conditions,
        atomic=st.booleans(),
    )
    def update(self, n: int, state: str, offset: Any, name: str, atomic: bool) -> None:
        held = self.held(n)
        when, holds = self.condition(n, name)
        expires_at = offset if offset is KEEP else self.moment(offset)
        changes = Set(state=self.run + state, total=n)

        def update(on: Any) -> None:
            on.update(self.run, n, changes, when=when, expires_at=expires_at)

        self.expect(holds, Conflict, lambda: self.within(update) if atomic else update(self.orders))
        if holds:
            if expires_at is KEEP:
                expires_at = None if held is None else held.expires_at
            kept = {} if held is None else held.fields
            self.model[n] = Held({**kept, **self.fields(n, state)}, expires_at)

    @rule(n=numbers, name=conditions)
    def delete(self, n: int, name: str) -> None:
        when, holds = self.condition(n, name)
        self.expect(holds, Conflict, lambda: self.orders.delete(self.run, n, when=when))
        if holds:
            self.model.pop(n, None)

    @rule(limit=st.integers(1, 4), descending=st.booleans(), state=states)
    def look(self, limit: int, descending: bool, state: str) -> None:
        orders, run = self.orders, self.run
        live = [n for n in (1, 2, 3) if self.held(n)]
        keys = [(run, n) for n in (1, 2, 3)]
        self.agree([orders.get(*key) for key in keys])
        self.agree(orders.get_many(keys))
        self.agree(self.within(lambda o: [o.get(*key) for key in keys]))
        order, ordered = ("desc", live[::-1]) if descending else ("asc", live)
        assert [r.key[1] for r in orders.query(run, order=order)] == ordered
        query, paged, cursor = orders.query(run, limit=limit), [], None
        while True:
            page = query.page(cursor)
            paged += [r.key[1] for r in page.records]
            cursor = page.cursor
            if cursor is None:
                break
        assert paged == live
        by_state: Any = {"index": "by_state", "state": run + state}
        expected = [n for n in live if self.model[n].fields["state"] == run + state]
        assert [r.key[1] for r in orders.query(**by_state)] == expected
        assert orders.count(**by_state) == len(expected)
        assert orders.count(run) == len(live)
        assert sorted(r.key[1] for r in orders.scan() if r.key[0] == run) == live
        self.seen = {n: r for n in live if (r := orders.get(run, n)) is not None}

    @rule()
    def purge(self) -> None:
        gone = [n for n in self.model if not self.held(n)]
        assert self.orders.purge() >= len(gone)
        for n in gone:
            del self.model[n]
        self.lies()

    def lies(self) -> None:
        """After a purge nothing lies there but what is seen."""
        page = self.place.driver.scan(self.place.collection, Segment(), None, 1000)
        assert sorted(s.key[1] for s in page.records if s.key[0] == self.run) == sorted(self.model)

    def agree(self, found: list[Record | None]) -> None:
        for n, record in zip((1, 2, 3), found, strict=True):
            held = self.held(n)
            assert (held is None) is (record is None)
            if held is not None and record is not None:
                assert dict(record) == held.fields
                assert record.expires_at == held.expires_at

    def within(self, work: Callable[[Any], Any]) -> Any:
        """Do it in a transaction."""
        name = self.place.collection.name

        def function(tx: Transaction) -> Any:
            return work(tx[name])

        return self.place.store.transaction(function)

    def expect(self, holds: bool, error: Any, write: Callable[[], object]) -> None:
        if holds:
            write()
        else:
            with pytest.raises(error):
                write()

    def teardown(self) -> None:
        self.look(2, False, "a")
        self.purge()


@pytest.mark.rule("EXP-1", "EXP-2", "EXP-3", "EXP-8")
def test_a_record_is_gone_from_its_moment_on_whichever_way_one_looks(
    every: Timed, every_url: str
) -> None:
    few = 4 if every_url.startswith("dynamodb") else 12

    class PlacedMachine(ExpiryMachine):
        def __init__(self) -> None:
            super().__init__(every)

    run_state_machine_as_test(
        PlacedMachine,
        settings=settings(
            max_examples=max(few, settings().max_examples // 20),
            stateful_step_count=20,
            report_multiple_bugs=False,
        ),
    )
